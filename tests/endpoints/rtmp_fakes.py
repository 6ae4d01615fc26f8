"""Stand-ins for the two things behind the RTMP and FLV ports, and an asyncio client for the scripted peer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from gateway.base.config import Address, LiveConfig, RoomsConfig, RtmpConfig
from gateway.base.errors import BadRequest, BadTicket, NameTaken, NotPermitted
from gateway.endpoints.entry import Flows, PlayGrant, PushGrant
from gateway.endpoints.rtmp import RtmpServer
from gateway.endpoints.rtmp import connection as connection_module
from gateway.endpoints.rtmp import server as server_module
from gateway.endpoints.rtmp.ports import Publisher
from gateway.media.live.stream import LiveStream, Start
from gateway.rooms.directory import Directory
from tests.wire.rtmp_peer import Peer


@dataclass
class FakeEntry:
    """Admits everybody, but for the names that say otherwise."""

    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    flows: Flows = field(default_factory=lambda: Flows(Directory(RoomsConfig(), {})))

    def admit_push(self, stream: str, query: Mapping[str, str]) -> PushGrant:
        self.seen.append(("push", stream, dict(query)))
        self._refuse(stream)
        return PushGrant(stream, allow_audio=query.get("audio") != "0", allow_video=query.get("video") != "0")

    def admit_room_push(self, room: str, query: Mapping[str, str]) -> PushGrant:
        self.seen.append(("room", room, dict(query)))
        return PushGrant(f"room_{room}", True, True)

    def admit_play(self, stream: str, query: Mapping[str, str]) -> PlayGrant:
        self.seen.append(("play", stream, dict(query)))
        self._refuse(stream)
        start = Start.NEWEST_KEY if query.get("rtc") else Start.GOP
        return PlayGrant(stream, query.get("audio") != "0", query.get("video") != "0", start, issued=False)

    def _refuse(self, stream: str) -> None:
        if not stream.replace("_", "").isalnum():
            raise BadRequest("not a stream name")
        if stream == "badticket":
            raise BadTicket("the signature does not hold")
        if stream == "forbidden":
            raise NotPermitted("no right to this")
        if stream == "taken":
            raise NameTaken("there is one")


class FakeStream:
    def __init__(self, name: str, linger_s: float) -> None:
        self.live = LiveStream(name, linger_s=linger_s)
        self.publisher: Publisher | None = None

    def publish_live(self, publisher: Publisher, now: float) -> None:
        old, self.publisher = self.publisher, publisher
        if old is not None and old is not publisher:
            old.replaced("replaced")
        self.live.start_source(now)

    def interrupt(self, *, video: bool) -> None:
        self.live.interrupt(video=video)

    def unpublish(self, publisher: Publisher, now: float, reason: str = "unpublished") -> None:
        if self.publisher is publisher:
            self.publisher = None
            self.live.stop_source(reason)


class FakeStreams:
    def __init__(self, linger_s: float = 15.0) -> None:
        self.linger_s = linger_s
        self.streams: dict[str, FakeStream] = {}

    def open(self, stream_id: str) -> FakeStream:
        if stream_id not in self.streams:
            self.streams[stream_id] = FakeStream(stream_id, self.linger_s)
        return self.streams[stream_id]

    def live(self, stream_id: str) -> LiveStream:
        return self.open(stream_id).live


@asynccontextmanager
async def rtmp_server(
    streams: FakeStreams | None = None,
    entry: FakeEntry | None = None,
    live: LiveConfig | None = None,
    **config: float,
) -> AsyncIterator[RtmpServer]:
    """A server on a free port of 127.0.0.1; no task may be left behind."""
    usual = connection_module.GRACE_S, server_module.SWEEP_S
    connection_module.GRACE_S, server_module.SWEEP_S = 0.05, 0.05  # type: ignore[misc]
    settings = RtmpConfig(listen=Address("127.0.0.1", 0), **config)  # type: ignore[arg-type]
    server = RtmpServer(settings, live or LiveConfig(), entry or FakeEntry(), streams or FakeStreams())
    await server.start()
    try:
        yield server
    finally:
        await server.aclose()
        assert server.connections == 0
        while Client.opened:
            await Client.opened.pop().close()
        connection_module.GRACE_S, server_module.SWEEP_S = usual  # type: ignore[misc]


class Client:
    """A scripted peer on a socket. `read_until` waits for something to have come."""

    opened: ClassVar[list[Client]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peer = Peer()
        self.ended = False
        self._reader = reader
        self._writer = writer
        self.opened.append(self)

    @classmethod
    async def open(cls, server: RtmpServer) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", server.port))

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def read_until(self, done: object, timeout_s: float = 5.0) -> None:
        """Read until `done()` is true, a status code `done` has come, or (None) the server has closed."""

        def reached() -> bool:
            if done is None:
                return self.ended
            if isinstance(done, str):
                return done in self.peer.codes
            assert callable(done)
            return bool(done())

        async with asyncio.timeout(timeout_s):
            while not reached():
                assert not self.ended, f"closed after {self.peer.codes}"
                try:
                    data = await self._reader.read(1 << 16)
                except ConnectionError:
                    data = b""
                self.ended = not data
                self.peer.feed(data)

    async def publish(self, name: str, app: str = "live") -> None:
        self.send(self.peer.publish(name, app))
        await self.read_until("NetStream.Publish.Start")

    async def play(self, name: str, **fields: object) -> None:
        self.send(self.peer.play(name, **fields))
        await self.read_until("NetStream.Play.Start")

    def media(self, kind: int, timestamp: int, body: bytes) -> None:
        self.send(self.peer.message(kind, timestamp, body))

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            pass

    def abort(self) -> None:
        self._writer.transport.abort()
