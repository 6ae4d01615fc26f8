"""One connection of a relay: a socket around `ClientSession`, fed by a reader of the frame hub.

    dial ──▶ handshake, connect, publish ──▶ began ──▶ frames ──▶ ended (PushFailed)

What the network does not take waits in the reader, which drops pictures up to the next key frame and keeps sound. The
target is hostile: it gets no more of our memory than a message of 64 KiB, and is not read from while it does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Final

from gateway.base.errors import PeerError
from gateway.media.live.reader import QueuedReader
from gateway.services.relay.failure import PushFailed, Reason
from gateway.wire import flv
from gateway.wire.frame import Codec, Frame, Metadata
from gateway.wire.rtmp.client import Began, ClientSession, ClientState, Ended, Purpose, Refused, RtmpUrl

WRITE_HIGH: Final = 64 << 10
WRITE_LOW: Final = 16 << 10
UNSENT: Final = 128 << 10
"""Bytes that the kernel holds unsent: else seconds of media hide where no rule can drop them."""
GOODBYE_S: Final = 0.5
_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_CARRIED: Final = frozenset({Codec.H264, Codec.AAC})
"""What a browser's stream is in the frame hub, and what every RTMP server takes."""


class Push(asyncio.Protocol):
    """See the module. `began` and `failed` are settled once; `failed` gives the PushFailed that ended it."""

    def __init__(self, url: RtmpUrl) -> None:
        loop = asyncio.get_running_loop()
        self.began: asyncio.Future[None] = loop.create_future()
        self.failed: asyncio.Future[PushFailed] = loop.create_future()
        self.reader: QueuedReader | None = None
        self._session = ClientSession(url, Purpose.PUBLISH, os.urandom)
        self._closed: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport
        self._writable = True

    # --- the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_HIGH, low=WRITE_LOW)
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # not everywhere; the queue then starts later
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT)
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._session.receive_data(data):
                match event:
                    case Began():
                        if not self.began.done():
                            self.began.set_result(None)
                    case Refused():
                        self._fail(Reason.REFUSED, _said(event))
                    case Ended():
                        self._fail(Reason.LOST, f"the server there ended the stream: {_said(event)}")
                    case _:
                        pass
        except PeerError as error:
            self._fail(Reason.PROTOCOL, f"what answers there does not speak RTMP as it should: {error.message}")
        self._flush()

    def pause_writing(self) -> None:
        self._writable = False
        self._transport.pause_reading()
        if self.reader is not None:
            self.reader.pause()

    def resume_writing(self) -> None:
        self._writable = True
        self._transport.resume_reading()
        if self.reader is not None:
            self.reader.resume()

    def connection_lost(self, error: Exception | None) -> None:
        if self._session.state is ClientState.HANDSHAKE:
            self._fail(Reason.PROTOCOL, "the server there closed during the handshake")
        else:
            self._fail(Reason.LOST, "the connection to the server there is lost")
        if not self._closed.done():
            self._closed.set_result(None)

    def _fail(self, reason: Reason, words: str) -> None:
        if not self.failed.done():
            self.failed.set_result(PushFailed(reason, words))

    def _flush(self) -> None:
        data = self._session.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    # --- the stream

    def feed(self, queue_s: float, allowed: Callable[[], bool]) -> QueuedReader:
        """Return the reader that feeds this connection, once that has begun. Add it to the stream, then call `go`.

        `allowed()` is asked before each frame: False, and nothing more goes out.
        """
        assert self._session.state is ClientState.RUNNING and self.reader is None
        self._session.send_metadata({"encoder": "gateway"})
        self._flush()
        self.reader = QueuedReader(_Encoder(self._session, allowed), self._write, limit_s=queue_s)
        return self.reader

    def go(self) -> None:
        """Let the frames out, those that the stream had kept first."""
        assert self.reader is not None
        self.reader.start(writable=self._writable)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    async def close(self) -> None:
        """Say that the stream is over and close; waits only a moment. Idempotent."""
        self._session.stop()
        self._flush()
        self._transport.close()
        try:
            await asyncio.wait((self._closed,), timeout=GOODBYE_S)
        finally:
            self._transport.abort()


class _Encoder:
    """Frames into what the session sends; the stream's time counts from the first frame of this connection.

    Nothing is shared with players: their bytes count time from elsewhere, in chunks of another size.
    """

    key: object = None

    def __init__(self, session: ClientSession, allowed: Callable[[], bool]) -> None:
        self._session = session
        self._allowed = allowed
        self._base_ms: int | None = None

    def encode(self, frame: Frame) -> bytes | None:
        session = self._session
        if frame.codec not in _CARRIED or not self._allowed() or session.state is not ClientState.RUNNING:
            return None
        time_ms = flv.milliseconds(frame.dts)
        if self._base_ms is None:
            self._base_ms = time_ms
        send = session.send_audio if frame.is_audio else session.send_video
        send(max(0, time_ms - self._base_ms), flv.tag_body(frame))
        return session.data_to_send()

    def metadata(self, metadata: Metadata) -> bytes:
        self._session.send_metadata(metadata.values)
        return self._session.data_to_send()


def _said(event: Refused | Ended) -> str:
    code = event.code.removeprefix("NetStream.").removeprefix("NetConnection.")
    words = f"{event.description} ({code})" if event.description else code or "no reason given"
    return "".join(letter if letter.isprintable() else " " for letter in words)[:300]
