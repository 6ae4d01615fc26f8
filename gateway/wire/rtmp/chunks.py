"""The chunk stream of RTMP: bytes into messages, messages into bytes (Adobe RTMP 1.0 section 5.3).

`ChunkReader` takes every header form and both habits with the extended timestamp: some peers repeat its four bytes
on each type-3 chunk of a message, some do not. Set Chunk Size and Abort act on the chunk layer, so they are obeyed
here (and still handed on). Invariant: however the bytes are cut, the messages are the same; memory stays below
`max_partial` plus one chunk.
"""

from __future__ import annotations

from typing import Final

from gateway.base.errors import RtmpError

DEFAULT_CHUNK_SIZE: Final = 128
MIN_CHUNK_SIZE: Final = 128
MAX_CHUNK_STREAMS: Final = 64

SET_CHUNK_SIZE: Final = 1
ABORT: Final = 2

_EXTENDED: Final = 0xFFFFFF
_HEADER_SIZE: Final = (11, 7, 3, 0)


class Message:
    """One RTMP message. `timestamp`: milliseconds, 32 bits, as the sender counts them."""

    __slots__ = ("body", "chunk_stream_id", "stream_id", "timestamp", "type")

    def __init__(self, type: int, timestamp: int, stream_id: int, body: bytes, chunk_stream_id: int = 0) -> None:
        self.type = type
        self.timestamp = timestamp
        self.stream_id = stream_id
        self.body = body
        self.chunk_stream_id = chunk_stream_id

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return (self.type, self.timestamp, self.stream_id, self.body) == (
            other.type,
            other.timestamp,
            other.stream_id,
            other.body,
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<message type={self.type} ts={self.timestamp} sid={self.stream_id} {len(self.body)}B>"


class _ChunkStream:
    """What is remembered of one chunk stream id."""

    __slots__ = ("body", "delta", "extended", "field", "length", "stream_id", "timestamp", "type")

    def __init__(self) -> None:
        self.timestamp = 0
        self.delta = 0
        self.field = 0  # the timestamp or delta as it stood in the header
        self.extended = False
        self.length = 0
        self.type = 0
        self.stream_id = 0
        self.body: bytearray | None = None  # the message under way


class ChunkReader:
    """Feed it bytes, take messages until None. Raises RtmpError from `next_message`."""

    def __init__(self, *, max_message: int = 8 << 20, max_partial: int | None = None) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE
        self.max_message = max_message
        self._max_partial = max_partial
        self._streams: dict[int, _ChunkStream] = {}
        self._buffer = bytearray()
        self._position = 0
        self._wanted = 1  # bytes from _position on without which there is no use in looking
        self._partial = 0  # bytes held in unfinished messages

    @property
    def buffered(self) -> int:
        """Bytes held: unread ones and those of unfinished messages."""
        return len(self._buffer) - self._position + self._partial

    def feed(self, data: bytes) -> None:
        if self._position:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += data

    def next_message(self) -> Message | None:
        """Return the next complete message, or None when more bytes are needed. Raises RtmpError."""
        buffer = self._buffer
        end = len(buffer)
        while end - self._position >= self._wanted:
            message = self._read_chunk(buffer, self._position, end)
            if message is not None:
                if message.type <= ABORT:
                    self._obey(message)
                return message
        return None

    def _need(self, size: int) -> None:
        """`size` bytes from the current position on are needed to go on."""
        self._wanted = size

    def _read_chunk(self, buffer: bytearray, start: int, end: int) -> Message | None:
        """Read one chunk at `start` if all of it is there, else change nothing but `_wanted`."""
        first = buffer[start]
        fmt = first >> 6
        csid = first & 63
        position = start + 1
        if csid < 2:
            position += csid + 1
            if end < position:
                self._need(position - start)
                return None
            csid = 64 + buffer[start + 1] + (buffer[start + 2] << 8 if csid else 0)
        if end < position + _HEADER_SIZE[fmt]:
            self._need(position - start + _HEADER_SIZE[fmt])
            return None
        stream = self._streams.get(csid)
        if stream is None:
            if fmt > 1:
                raise RtmpError(f"chunk stream {csid} begins with a header of type {fmt}")
            if len(self._streams) >= MAX_CHUNK_STREAMS:
                raise RtmpError(f"more than {MAX_CHUNK_STREAMS} chunk streams")
            stream = self._streams[csid] = _ChunkStream()
        body = stream.body
        if body is not None:
            if fmt != 3:
                raise RtmpError(f"chunk stream {csid}: a header of type {fmt} inside a message")
            if stream.extended:
                if end < position + 4:
                    self._need(position - start + 4)
                    return None
                again = int.from_bytes(buffer[position : position + 4], "big") & 0x7FFFFFFF
                if again in (stream.timestamp & 0x7FFFFFFF, stream.field & 0x7FFFFFFF):
                    position += 4
            return self._continue(buffer, start, position, end, csid, stream, body)
        return self._begin(buffer, start, position, end, fmt, csid, stream)

    def _begin(
        self, buffer: bytearray, start: int, position: int, end: int, fmt: int, csid: int, stream: _ChunkStream
    ) -> Message | None:
        """Read the first chunk of a message whose basic header ends at `position`."""
        length, kind, stream_id = stream.length, stream.type, stream.stream_id
        if fmt == 3:
            field, extended = stream.field, stream.extended
        else:
            field = int.from_bytes(buffer[position : position + 3], "big")
            extended = field == _EXTENDED
            if fmt < 2:
                length = int.from_bytes(buffer[position + 3 : position + 6], "big")
                kind = buffer[position + 6]
                if fmt == 0:
                    stream_id = int.from_bytes(buffer[position + 7 : position + 11], "little")
            position += _HEADER_SIZE[fmt]
        if extended:
            if end < position + 4:
                self._need(position - start + 4)
                return None
            field = int.from_bytes(buffer[position : position + 4], "big")
            position += 4
        if length > self.max_message:
            raise RtmpError(f"chunk stream {csid}: a message of {length} bytes, limit {self.max_message}")
        size = min(length, self.chunk_size)
        if end < position + size:
            self._need(position - start + size)
            return None
        stream.length, stream.type, stream.stream_id = length, kind, stream_id
        stream.field, stream.extended = field, extended
        stream.timestamp = field if fmt == 0 else (stream.timestamp + field) & 0xFFFFFFFF
        if size == length:
            self._position = position + size
            self._wanted = 1
            return Message(kind, stream.timestamp, stream_id, bytes(buffer[position : position + size]), csid)
        stream.body = bytearray()
        return self._continue(buffer, start, position, end, csid, stream, stream.body)

    def _continue(
        self,
        buffer: bytearray,
        start: int,
        position: int,
        end: int,
        csid: int,
        stream: _ChunkStream,
        body: bytearray,
    ) -> Message | None:
        """Take the payload at `position`, and as many chunks behind it as simply go on with the same message."""
        chunk_size = self.chunk_size
        missing = stream.length - len(body)
        size = min(missing, chunk_size)
        if end < position + size:
            self._need(position - start + size)
            return None
        took = size
        if size < missing and csid < 64 and not stream.extended:
            # A run of whole chunks with one-byte headers 0xC0|csid: cut all headers out with one slice.
            more = min((missing - size) // chunk_size, (end - position - size) // (chunk_size + 1))
            stop = position + size + more * (chunk_size + 1)
            if more and buffer[position + size : stop : chunk_size + 1].count(0xC0 | csid) == more:
                run = buffer[position:stop]
                del run[chunk_size :: chunk_size + 1]
                body += run
                took = len(run)
                position = stop
            else:
                body += buffer[position : position + size]
                position += size
        else:
            body += buffer[position : position + size]
            position += size
        self._position = position
        self._wanted = 1
        if len(body) < stream.length:
            self._partial += took
            limit = self._max_partial if self._max_partial is not None else self.max_message + (1 << 20)
            if self._partial > limit:
                raise RtmpError(f"{self._partial} bytes of unfinished messages, limit {limit}")
            return None
        self._partial -= len(body) - took
        stream.body = None
        return Message(stream.type, stream.timestamp, stream.stream_id, bytes(body), csid)

    def _obey(self, message: Message) -> None:
        if len(message.body) < 4:
            raise RtmpError(f"message of type {message.type} with {len(message.body)} bytes")
        value = int.from_bytes(message.body[:4], "big")
        if message.type == SET_CHUNK_SIZE:
            size = value & 0x7FFFFFFF
            if size < MIN_CHUNK_SIZE:
                raise RtmpError(f"chunk size {size}, at least {MIN_CHUNK_SIZE}")
            self.chunk_size = min(size, 0xFFFFFF)  # no message is longer
        else:
            stream = self._streams.get(value)
            if stream is not None and stream.body is not None:
                self._partial -= len(stream.body)
                stream.body = None


def write_message(
    chunk_stream_id: int, type: int, stream_id: int, timestamp: int, body: bytes, chunk_size: int
) -> bytes:
    """Return one message as chunks, the first with a full header, so that it depends on nothing sent before.

    `chunk_stream_id` 2..63; `timestamp` in ms, taken modulo 2^32. The extended timestamp is repeated on every chunk, as
    Adobe's servers and FFmpeg do.
    """
    timestamp &= 0xFFFFFFFF
    size = len(body)
    head = size << 40 | type << 32 | int.from_bytes(stream_id.to_bytes(4, "little"), "big")
    if timestamp < _EXTENDED:
        extra = b""
        header = bytes((chunk_stream_id,)) + (timestamp << 64 | head).to_bytes(11, "big")
    else:
        extra = timestamp.to_bytes(4, "big")
        header = bytes((chunk_stream_id,)) + (_EXTENDED << 64 | head).to_bytes(11, "big") + extra
    if size <= chunk_size:
        return header + body
    again = bytes((0xC0 | chunk_stream_id,)) + extra
    return header + again.join([body[at : at + chunk_size] for at in range(0, size, chunk_size)])
