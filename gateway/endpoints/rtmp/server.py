"""The listening side of the RTMP port, and the one sweep that watches all deadlines."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Final

from gateway.base.clock import Clock, monotonic
from gateway.base.config import LiveConfig, RtmpConfig
from gateway.base.tasks import Tasks
from gateway.endpoints.rtmp.connection import Connection
from gateway.endpoints.rtmp.ports import Entry, Streams

log = logging.getLogger(__name__)

SWEEP_S: Final = 0.5
GOODBYE_S: Final = 1.0
TOLD: Final = 32
"""Connections above the limit that are let in so far as to hear that the server is full."""


class RtmpServer:
    """Listens and owns the connections. Counters are plain ints for the metrics page."""

    def __init__(
        self,
        config: RtmpConfig,
        live_config: LiveConfig,
        entry: Entry,
        streams: Streams,
        *,
        clock: Clock = monotonic,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.config = config
        self.live_config = live_config
        self.entry = entry
        self.streams = streams
        self.clock = clock
        self.random = random
        self.accepted = 0
        self.refused = 0
        self.turned_away = 0
        self.publishers = 0
        self.players = 0
        self.protocol_errors = 0
        self.not_allowed = 0
        self.dropped_video = 0
        self.dropped_audio = 0
        self.blocked = 0
        self._connections: set[Connection] = set()
        self._stopping = False
        self._all_gone = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks = Tasks("rtmp")

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def port(self) -> int:
        """The port that is listened on (useful when 0 was asked for)."""
        assert self._server is not None
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    async def start(self) -> None:
        """Listen. Raises OSError when the address cannot be had."""
        listen = self.config.listen
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), listen.host or None, listen.port, backlog=512)
        self._tasks.start(self._sweep(), "sweep")
        log.info("RTMP on %s", ", ".join(str(sock.getsockname()[:2]) for sock in self._server.sockets))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now = self.clock()
            for connection in list(self._connections):
                connection.check(now)

    def add(self, connection: Connection) -> bool:
        """Count a new connection in; False if it must go at once. A few too many are still told why in words."""
        over = len(self._connections) - self.config.max_connections
        if over >= 0:
            self.turned_away += 1
            connection.too_many = True
        if over >= TOLD or self._stopping:
            return False
        self.accepted += 1
        self._connections.add(connection)
        return True

    def remove(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._all_gone.set()

    async def aclose(self) -> None:
        """Stop listening, tell everybody, and wait a moment for the last words to leave. Idempotent."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        if self._connections:
            self._all_gone.clear()
            for connection in list(self._connections):
                connection.goodbye()
            try:
                await asyncio.wait_for(self._all_gone.wait(), GOODBYE_S)
            except TimeoutError:
                log.debug("%d RTMP connections do not go by themselves", len(self._connections))
        for connection in list(self._connections):
            connection.abort()
        await self._tasks.aclose()
        await asyncio.sleep(0)
