"""What both ends of an RTMP connection do below their commands: chunks in and out, acknowledgements, pings.

    bytes ──▶ ChunkLink.messages ──▶ the session's own messages        (aggregates taken apart; pings answered)
    bytes ◀── ChunkLink.data_to_send ◀── write, command, control

Adobe RTMP 1.0 sections 5.3 and 5.4. Each session owns one and speaks through it, from the end of the handshake on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.wire.rtmp import messages as m
from gateway.wire.rtmp.chunks import DEFAULT_CHUNK_SIZE, ChunkReader, Message, write_message

WINDOW: Final = 2500000
"""Acknowledgement window that we announce, and assume until the peer names its own (bytes)."""
MIN_WINDOW: Final = 4096
_PARTS: Final = frozenset({m.AUDIO, m.VIDEO, m.DATA, m.DATA_AMF3})
"""What an aggregate may hold."""


class ChunkLink:
    """One connection's chunk layer. `max_message`: bytes of the largest message that is taken; may be changed."""

    def __init__(self, *, max_message: int) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE
        """Of what is written; announcing another is the session's."""
        self._reader = ChunkReader(max_message=max_message)
        self._out = bytearray()
        self._window = WINDOW
        self._received = self._told = 0

    @property
    def max_message(self) -> int:
        return self._reader.max_message

    @max_message.setter
    def max_message(self, size: int) -> None:
        self._reader.max_message = size

    # --- in

    def count(self, size: int) -> None:
        """So many bytes have come, those of the handshake included: acknowledgements count all."""
        self._received += size

    def messages(self, data: bytes) -> Iterator[Message]:
        """Take bytes; give the messages that the session has to look at. Iterate to the end. Raises RtmpError."""
        self._reader.feed(data)
        while (message := self._reader.next_message()) is not None:
            match message.type:
                case m.AUDIO | m.VIDEO:
                    yield message
                case m.AGGREGATE:
                    for part in m.parse_aggregate(message):
                        if part.type in _PARTS:
                            yield part
                case m.USER_CONTROL:
                    event, payload = m.parse_user_control(message.body)
                    if event == m.PING_REQUEST:
                        self.control(m.USER_CONTROL, m.PING_RESPONSE.to_bytes(2, "big") + payload[:4])
                    else:
                        yield message
                case m.WINDOW_ACK_SIZE:
                    if len(message.body) >= 4:
                        self._window = max(MIN_WINDOW, int.from_bytes(message.body[:4], "big"))
                case _:
                    yield message
        if self._received - self._told >= self._window // 2:
            self._told = self._received
            self.control(m.ACKNOWLEDGEMENT, m.uint32(self._received))

    # --- out

    def send_raw(self, data: bytes) -> None:
        """Send bytes that are no chunks: the handshake's."""
        self._out += data

    def write(self, chunk_stream_id: int, type: int, stream_id: int, body: bytes, timestamp_ms: int = 0) -> None:
        self._out += write_message(chunk_stream_id, type, stream_id, timestamp_ms, body, self.chunk_size)

    def command(self, chunk_stream_id: int, stream_id: int, body: bytes) -> None:
        self.write(chunk_stream_id, m.COMMAND, stream_id, body)

    def control(self, type: int, body: bytes) -> None:
        self.write(m.CONTROL_CSID, type, 0, body)

    def data_to_send(self) -> bytes:
        """Return what is to be written now, and forget it."""
        if not self._out:
            return b""
        data = bytes(self._out)
        self._out.clear()
        return data
