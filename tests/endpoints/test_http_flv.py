"""HTTP-FLV and WS-FLV over real sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from gateway.base.config import LiveConfig
from gateway.base.errors import GatewayError
from gateway.endpoints.http_flv import HttpFlv
from gateway.media.live.ingest import Ingest
from gateway.media.live.stream import LiveStream
from gateway.wire import flv
from tests.endpoints.rtmp_fakes import FakeEntry, FakeStreams
from tests.wire.rtmp_peer import AAC_CONFIG, AVC_CONFIG, aac, avc


class Site:
    """The routes on a free port, with the error page that the web application has."""

    def __init__(self, port: int, flv: HttpFlv, streams: FakeStreams) -> None:
        self.port = port
        self.flv = flv
        self.streams = streams

    def url(self, path: str, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def source(self, name: str) -> Source:
        return Source(self.streams.live(name))


class Source:
    """Writes a stream as a publisher would."""

    def __init__(self, live: LiveStream) -> None:
        self.live = live
        live.start_source(asyncio.get_running_loop().time())
        self._ingest = Ingest(live, audio=True, video=True, now=0.0)
        self.time = 0

    def write(self, *bodies: bytes) -> None:
        for body in bodies:
            kind = 8 if body[0] in (0xAF, 0x90, 0x91) and body[:2] in (b"\xaf\x00", b"\xaf\x01") else 9
            self._ingest.media(kind, self.time, body, self.time / 1000)
            if not flv.is_config(kind, body):
                self.time += 20


@web.middleware
async def errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except GatewayError as error:
        return web.json_response({"name": error.name}, status=error.http_status)


@asynccontextmanager
async def site(
    entry: FakeEntry | None = None, live: LiveConfig | None = None, linger_s: float = 5.0, **options: float
) -> AsyncIterator[Site]:
    streams = FakeStreams(linger_s)
    player = HttpFlv(live or LiveConfig(), entry or FakeEntry(), streams, **options)  # type: ignore[arg-type]
    app = web.Application(middlewares=[errors])
    app.add_routes(player.routes())
    runner = web.AppRunner(app, shutdown_timeout=2.0)
    await runner.setup()
    where = web.TCPSite(runner, "127.0.0.1", 0)
    await where.start()
    port = runner.addresses[0][1]
    try:
        yield Site(port, player, streams)
    finally:
        await player.aclose()
        await runner.cleanup()
        for stream in streams.streams.values():
            stream.live.close("test over")
        assert player.players == 0


async def read(content: aiohttp.StreamReader, size: int) -> bytes:
    async with asyncio.timeout(5):
        return await content.readexactly(size)


async def read_tag(content: aiohttp.StreamReader) -> tuple[int, int, bytes]:
    """Return (type, timestamp, body) of the next tag, its sizes checked."""
    head = await read(content, 11)
    size = int.from_bytes(head[1:4], "big")
    body = await read(content, size)
    assert int.from_bytes(await read(content, 4), "big") == size + 11
    return head[0], int.from_bytes(head[4:7], "big") | head[7] << 24, body


MEDIA = [AVC_CONFIG, AAC_CONFIG, avc(True), aac(), avc(False), aac()]


async def test_headers_and_tags() -> None:
    async with site() as s, aiohttp.ClientSession() as http:
        source = s.source("alice")
        source.write(*MEDIA)
        async with http.get(s.url("/live/alice.flv?txSecret=a&txTime=b")) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "video/x-flv"
            assert answer.headers["Transfer-Encoding"] == "chunked"
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert "no-store" in answer.headers["Cache-Control"]
            assert await read(answer.content, 13) == flv.file_header(True, True)
            tags = [await read_tag(answer.content) for _ in range(6)]
            assert [body for _, _, body in tags] == MEDIA
            assert [time for _, time, _ in tags] == [0, 0, 0, 20, 40, 60]
            source.write(avc(False))
            assert (await read_tag(answer.content))[1:] == (80, avc(False))


async def test_the_end_of_the_stream_is_the_end_of_the_response() -> None:
    async with site(linger_s=0.1) as s, aiohttp.ClientSession() as http:
        source = s.source("alice")
        source.write(*MEDIA)
        async with http.get(s.url("/live/alice.flv")) as answer:
            await read(answer.content, 13)
            source.live.stop_source("unpublished")
            async with asyncio.timeout(3):
                rest = await answer.content.read()
            assert rest.endswith((11 + len(aac())).to_bytes(4, "big"))


async def test_a_publisher_that_comes_back_does_not_end_it() -> None:
    async with site() as s, aiohttp.ClientSession() as http:
        source = s.source("alice")
        source.write(*MEDIA)
        async with http.get(s.url("/live/alice.flv")) as answer:
            await read(answer.content, 13)
            for _ in MEDIA:
                await read_tag(answer.content)
            source.live.stop_source("unpublished")
            s.source("alice").write(*MEDIA)
            tags = [await read_tag(answer.content) for _ in MEDIA]
            assert [body for _, _, body in tags] == MEDIA
            assert tags[2][1] >= 100


@pytest.mark.parametrize(
    ("bodies", "flags"),
    [([AVC_CONFIG, avc(True)], 1), ([AAC_CONFIG, aac()], 4), ([AVC_CONFIG, AAC_CONFIG, avc(True)], 5)],
)
async def test_the_flags_say_what_the_stream_has(bodies: list[bytes], flags: int) -> None:
    async with site() as s, aiohttp.ClientSession() as http:
        s.source("alice").write(*bodies)
        async with http.get(s.url("/live/alice.flv")) as answer:
            assert (await read(answer.content, 13))[4] == flags


async def test_sound_that_comes_a_little_later_is_still_announced() -> None:
    async with site() as s, aiohttp.ClientSession() as http:
        source = s.source("alice")
        source.write(AVC_CONFIG, avc(True))
        asyncio.get_running_loop().call_later(0.1, source.write, AAC_CONFIG, aac())
        async with http.get(s.url("/live/alice.flv")) as answer:
            assert (await read(answer.content, 13))[4] == 5
            kinds = [(await read_tag(answer.content))[0] for _ in range(4)]
            assert kinds == [9, 9, 8, 8]


async def test_kinds_outside_the_grant_are_neither_announced_nor_sent() -> None:
    async with site() as s, aiohttp.ClientSession() as http:
        source = s.source("alice")
        source.write(*MEDIA)
        async with http.get(s.url("/live/alice.flv?video=0")) as answer:
            assert (await read(answer.content, 13))[4] == 4
            source.write(avc(False), aac(), avc(True), aac())
            assert [(await read_tag(answer.content))[0] for _ in range(3)] == [8, 8, 8]


async def test_a_player_that_comes_first_waits() -> None:
    async with site(play_wait_s=3.0) as s, aiohttp.ClientSession() as http:
        request = asyncio.ensure_future(http.get(s.url("/live/alice.flv")))
        await asyncio.sleep(0.1)
        assert s.flv.players == 1
        s.source("alice").write(*MEDIA)
        answer = await request
        assert answer.status == 200
        assert await read(answer.content, 13) == flv.file_header(True, True)
        answer.close()


async def test_refusals() -> None:
    async with site(play_wait_s=0.05, max_players=1) as s, aiohttp.ClientSession() as http:
        for path, status in (
            ("/live/nobody.flv", 404),
            ("/live/badticket.flv", 401),
            ("/live/forbidden.flv", 403),
            ("/live/a-b.flv", 400),
        ):
            async with http.get(s.url(path)) as answer:
                assert answer.status == status, path
        s.source("alice").write(*MEDIA)
        async with http.get(s.url("/live/alice.flv")) as first:
            assert first.status == 200
            async with http.get(s.url("/live/alice.flv")) as second:
                assert second.status == 429


async def test_head_and_options() -> None:
    async with site() as s, aiohttp.ClientSession() as http:
        async with http.head(s.url("/live/alice.flv")) as answer:
            assert answer.status == 404
        s.source("alice").write(*MEDIA)
        async with http.head(s.url("/live/alice.flv")) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "video/x-flv"
        async with http.options(s.url("/live/alice.flv")) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert "GET" in answer.headers["Access-Control-Allow-Methods"]


async def test_http_1_0_has_no_chunks() -> None:
    async with site() as s:
        s.source("alice").write(*MEDIA)
        reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
        writer.write(b"GET /live/alice.flv HTTP/1.0\r\n\r\n")
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"chunked" not in head.lower()
            assert await reader.readexactly(13) == flv.file_header(True, True)
            assert await reader.readexactly(16) == flv.tag(9, 0, AVC_CONFIG)[:16]
        writer.close()
        await writer.wait_closed()


async def test_zlm_form_of_the_path() -> None:
    async with site() as s, aiohttp.ClientSession() as http:
        s.source("alice").write(*MEDIA)
        async with http.get(s.url("/live/alice.live.flv")) as answer:
            assert answer.status == 200


async def test_ws_flv_one_frame_per_tag() -> None:
    async with site(linger_s=0.1) as s, aiohttp.ClientSession() as http:
        source = s.source("alice")
        source.write(*MEDIA)
        async with http.ws_connect(s.url("/live/alice.flv?k=v", "ws")) as ws:
            frames = [await ws.receive_bytes(timeout=5) for _ in range(7)]
            assert frames[0] == flv.file_header(True, True)
            assert frames[1] == flv.tag(9, 0, AVC_CONFIG)
            assert frames[3] == flv.tag(9, 0, avc(True))
            await ws.ping(b"hello")
            source.write(avc(False, 70_000))
            assert await ws.receive_bytes(timeout=5) == flv.tag(9, 80, avc(False, 70_000))
            await ws.send_str("ignored")
            source.live.stop_source("unpublished")
            message = await ws.receive(timeout=5)
            assert message.type is aiohttp.WSMsgType.CLOSE


async def test_ws_players_that_leave_are_forgotten() -> None:
    async with site() as s, aiohttp.ClientSession() as http:
        s.source("alice").write(*MEDIA)
        ws = await http.ws_connect(s.url("/live/alice.flv", "ws"))
        await ws.receive_bytes(timeout=5)
        assert s.flv.players == 1
        await ws.close()
        async with asyncio.timeout(3):
            while s.flv.players:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert s.streams.live("alice").readers == ()


async def test_http_players_that_vanish_are_forgotten() -> None:
    async with site() as s, aiohttp.ClientSession() as http:
        source = s.source("alice")
        source.write(*MEDIA)
        answer = await http.get(s.url("/live/alice.flv"))
        await read(answer.content, 13)
        answer.close()
        async with asyncio.timeout(4):
            while s.flv.players:
                source.write(aac())
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("upgrade", [False, True])
async def test_a_player_that_reads_nothing_loses_pictures_then_its_place(upgrade: bool) -> None:
    async with site(live=LiveConfig(queue_live_s=0.4, blocked_timeout_s=0.3)) as s:
        source = s.source("alice")
        source.write(*MEDIA)
        reader, writer = await asyncio.open_connection("127.0.0.1", s.port, limit=1024)
        ask = "GET /live/alice.flv HTTP/1.1\r\nHost: x\r\n"
        if upgrade:
            ask += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            ask += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        writer.write(ask.encode() + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(200):
            source.write(avc(False, 100_000), aac())
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while s.flv.players:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert s.flv.blocked == 1
        assert s.flv.dropped_video > 50
        writer.close()


async def test_shutdown_ends_players_and_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    async with site() as s, aiohttp.ClientSession() as http:
        s.source("alice").write(*MEDIA)
        answer = await http.get(s.url("/live/alice.flv"))
        ws = await http.ws_connect(s.url("/live/alice.flv", "ws"))
        await s.flv.aclose()
        async with asyncio.timeout(3):
            await answer.content.read()
            while not (await ws.receive()).type == aiohttp.WSMsgType.CLOSE:
                pass
        async with http.get(s.url("/live/alice.flv")) as refused:
            assert refused.status == 503
        await ws.close()
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before


async def test_no_ticket_in_any_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with site(play_wait_s=0.05) as s, aiohttp.ClientSession() as http:
        s.source("alice").write(*MEDIA)
        for name in ("alice", "badticket", "nobody"):
            async with http.get(s.url(f"/live/{name}.flv?txSecret=s3cr3t")) as answer:
                await answer.content.readany()
    lines = [record for record in caplog.records if record.name.startswith("gateway")]
    assert lines
    assert all("s3cr3t" not in record.getMessage() for record in lines)
