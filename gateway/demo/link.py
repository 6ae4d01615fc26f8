"""One RTMP connection to a server: a socket around `ClientSession`, every wait with an end.

What goes wrong is a `LinkError` with the code that the tags give it: 3001 name not found, 3002 no connection, 3003 no
handshake, 3004 the server refused or closed, 3005 broken off or silent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Final

from gateway.base.errors import PeerError
from gateway.demo.failure import reason
from gateway.wire.rtmp.client import (
    ClientEvent,
    ClientSession,
    ClientState,
    Ended,
    Purpose,
    Refused,
    RtmpUrl,
)

CONNECT_S: Final = 5.0
CLOSE_S: Final = 0.3
READ_SIZE: Final = 65536
STUCK_S: Final = 10.0


class LinkError(Exception):
    """`code` is the tags' warning; the text says what happened, without a ticket."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


class Silence(Exception):
    """Nothing came in the time given to `read`."""


class Link:
    """An open connection. Make it with `Link.open`; end it with `close`."""

    def __init__(self, session: ClientSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.session = session
        self.bytes_in = 0
        self.bytes_out = 0
        self._reader = reader
        self._writer = writer
        self._last_pending = 0
        self._stuck_since: float | None = None

    @classmethod
    async def open(cls, url: RtmpUrl, purpose: Purpose) -> Link:
        """Connect and send the first bytes. Raises LinkError (3001, 3002)."""
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await asyncio.open_connection(url.host, url.port)
        except socket.gaierror:
            raise LinkError(3001, f"no address is known for {url.host}") from None
        except TimeoutError:
            raise LinkError(3002, f"{url.host}:{url.port} does not answer within {CONNECT_S:g} s") from None
        except OSError as error:
            raise LinkError(3002, f"no connection to {url.host}:{url.port}: {reason(error)}") from None
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = cls(ClientSession(url, purpose, os.urandom), reader, writer)
        link.flush()
        return link

    async def read(self, timeout_s: float) -> list[ClientEvent]:
        """Wait for bytes; return the events in them, often none. Raises Silence, LinkError (3003, 3004, 3005)."""
        try:
            async with asyncio.timeout(timeout_s):
                data = await self._reader.read(READ_SIZE)
        except TimeoutError:
            raise Silence from None
        except OSError as error:
            raise LinkError(3005, reason(error)) from None
        if not data:
            if self.session.state is ClientState.HANDSHAKE:
                raise LinkError(3003, "the server closed during the handshake")
            raise LinkError(3004, "the server closed the connection")
        self.bytes_in += len(data)
        try:
            events = list(self.session.receive_data(data))
        except PeerError as error:
            raise LinkError(3005, f"the server does not speak RTMP as it should: {error}") from None
        self.flush()
        return events

    def flush(self) -> None:
        """Write what the session has to say. Never waits; see `pending`."""
        data = self.session.data_to_send()
        if data and not self._writer.transport.is_closing():
            self.bytes_out += len(data)
            self._writer.write(data)

    def pending(self, now: float) -> int:
        """Return the bytes that the network has not taken. When it takes none for STUCK_S the connection is cut."""
        size = self._writer.transport.get_write_buffer_size()
        if size == 0 or size < self._last_pending:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since > STUCK_S:
            self._writer.transport.abort()
        self._last_pending = size
        return size

    async def close(self) -> None:
        """Say goodbye and close; waits only a moment. Idempotent."""
        self.session.stop()
        self.flush()
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._writer.wait_closed()
        self._writer.transport.abort()


def ended(event: Refused | Ended) -> LinkError:
    """Return what an ending of the server's means, in its own words."""
    code = event.code.removeprefix("NetStream.").removeprefix("NetConnection.")
    return LinkError(3004, f"{event.description or 'the server ended the stream'} ({code})")
