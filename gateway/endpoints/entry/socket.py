"""One client's WebSocket, as `/signaling` and `/im` share it: liveness, one bounded outbox, one order.

Everything towards the client goes through `send()`, which never waits: a queue of at most MAX_MESSAGES frames and
MAX_QUEUED characters, and whoever reads too slowly for that is closed with code 4008 by name. `close()` lets what was
queued leave first. The server pings each 5 s; 15 s without any frame and the socket is dead.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import ClientError, WSMsgType, web

from gateway.base.clock import Clock, monotonic
from gateway.base.tasks import Tasks

PING_S: Final = 5.0
DEAD_S: Final = 15.0
SEND_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0
MAX_MESSAGES: Final = 1000
MAX_QUEUED: Final = 4 * 1024 * 1024

CLOSE_PROTOCOL: Final = 4000
CLOSE_NEVER_ENTERED: Final = 4001
CLOSE_LEFT: Final = 4002
CLOSE_KICKED: Final = 4003
CLOSE_OVERFLOW: Final = 4008
CLOSE_TOO_MANY: Final = 4009
CLOSE_DEAD: Final = 4010
CLOSE_GOING_AWAY: Final = 1001


class Socket:
    """`run()` reads until the end; `send()` and `close()` may be called at any time from the event loop."""

    def __init__(self, name: str, *, max_frame: int, clock: Clock = monotonic) -> None:
        self._ws = web.WebSocketResponse(
            autoping=False, compress=False, timeout=CLOSE_TIMEOUT_S, max_msg_size=max_frame, heartbeat=None
        )
        self._clock = clock
        self._tasks = Tasks(name)
        self._outbox: collections.deque[str] = collections.deque()
        self._queued = 0
        self._wake = asyncio.Event()
        self._close_code: int | None = None
        self.close_reason = "gone"
        """Why the socket ended, in a word: `gone` if the client went, else the name given to `close()`."""
        self._heard = clock()
        self._transport: asyncio.Transport | None = None

    async def run(self, request: web.Request, receive: Callable[[str], Awaitable[None]]) -> web.WebSocketResponse:
        """Do the handshake and hand each text frame to `receive`, in order, until either side closes."""
        await self._ws.prepare(request)
        self._transport = request.transport
        self._heard = self._clock()
        writer = self._tasks.start(self._write(), "writer")
        self._tasks.start(self._ping(), "ping")
        try:
            await self._read(receive)
        finally:
            if self._close_code is None:
                self._close_code = CLOSE_GOING_AWAY
            self._wake.set()
            await asyncio.wait([writer], timeout=CLOSE_TIMEOUT_S)
            await self._tasks.aclose()
        return self._ws

    def send(self, text: str) -> None:
        """Queue one text frame. Nothing happens once the socket is closing."""
        if self._close_code is not None:
            return
        if len(self._outbox) >= MAX_MESSAGES or self._queued + len(text) > MAX_QUEUED:
            self._outbox.clear()
            self.close(CLOSE_OVERFLOW, "outbox_overflow")
            return
        self._outbox.append(text)
        self._queued += len(text)
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close after what is queued has left. The first call counts. `reason` is at most 120 ASCII characters."""
        if self._close_code is None:
            self._close_code, self.close_reason = code, reason
            self._wake.set()

    @property
    def closing(self) -> bool:
        return self._close_code is not None

    async def _read(self, receive: Callable[[str], Awaitable[None]]) -> None:
        while True:
            message = await self._ws.receive()
            self._heard = self._clock()
            if message.type is WSMsgType.TEXT:
                if self._close_code is None:
                    await receive(message.data)
            elif message.type is WSMsgType.PING:
                try:
                    await self._ws.pong(message.data)
                except (ConnectionError, ClientError):
                    return
            elif message.type is WSMsgType.PONG:
                continue
            elif message.type is WSMsgType.BINARY:
                self.close(CLOSE_PROTOCOL, "binary_frame")
            else:
                return

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._outbox:
                    text = self._outbox.popleft()
                    self._queued -= len(text)
                    async with asyncio.timeout(SEND_TIMEOUT_S):
                        await self._ws.send_str(text)
                if self._close_code is not None:
                    async with asyncio.timeout(2 * CLOSE_TIMEOUT_S):
                        reason = self.close_reason.encode("ascii", "replace")
                        await self._ws.close(code=self._close_code, message=reason)
                    return
        except TimeoutError:
            self.close(CLOSE_OVERFLOW, "outbox_overflow")
            # The peer takes nothing any more, not even a close frame: only this ends the reader.
            if self._transport is not None:
                self._transport.abort()
        except (ConnectionError, ClientError, RuntimeError):
            return  # the reader sees the same end

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            if self._clock() - self._heard >= DEAD_S:
                self.close(CLOSE_DEAD, "dead")
                return
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._ws.ping()
            except (TimeoutError, ConnectionError, ClientError, RuntimeError):
                self.close(CLOSE_DEAD, "dead")
                return


class RateLimit:
    """A token bucket for messages: `rate` a second, bursts of `burst`. `exhausted`: as many refusals in a row."""

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._then = clock()
        self._refused = 0

    def take(self) -> bool:
        """Count one message; False if it is one too many."""
        now = self._clock()
        self._tokens = min(float(self._burst), self._tokens + (now - self._then) * self._rate)
        self._then = now
        if self._tokens < 1.0:
            self._refused += 1
            return False
        self._tokens -= 1.0
        self._refused = 0
        return True

    @property
    def exhausted(self) -> bool:
        return self._refused >= self._burst
