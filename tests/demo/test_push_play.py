"""live-pusher and live-player of the demo peer against a server that misbehaves: codes, tries, backlog."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import pytest_asyncio

from gateway.demo import link, play, push
from gateway.demo.encode import Sink, Tag, audio_config, audio_tag, video_config, video_tag
from gateway.demo.failure import Failure
from gateway.demo.play import Player
from gateway.demo.presets import MODES, QUALITIES
from gateway.demo.push import Pusher
from gateway.demo.source import ClockSource
from gateway.wire import aac
from gateway.wire.rtmp import session as s
from gateway.wire.rtmp.client import RtmpUrl
from tests.demo.rtmp_server import Server, serving
from tests.demo.test_media import collect
from tests.e2e.browser import until


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once, and silence is short."""
    for module in (push, play):
        monkeypatch.setattr(module, "RETRY_S", 0.02)
    monkeypatch.setattr(play, "LOADING_S", 0.1)
    monkeypatch.setattr(link, "CLOSE_S", 0.05)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as running:
        yield running


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as running:
        yield running


class Hand:
    """A source whose tags the test makes."""

    def __init__(self) -> None:
        self.metadata: dict[str, object] = {"width": 16}
        self.error: Exception | None = None
        self.keys = 0
        self.sink: Sink

    def start(self, sink: Sink) -> None:
        self.sink = sink
        sink(video_config(bytes.fromhex("0142e01effe100046742e01e01000468ce3c80")))
        sink(audio_config(aac.build_asc(48000, 1)))

    def want_keyframe(self) -> None:
        self.keys += 1

    def stop(self) -> None:
        pass


class Told:
    """What a tag said."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.words: list[str] = []

    def __call__(self, code: int, words: str) -> None:
        self.codes.append(code)
        self.words.append(words)


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def pictures(server: Server) -> list[tuple[int, bytes]]:
    found = [(event.timestamp, event.body) for event in server.got if isinstance(event, s.VideoReceived)]
    return [(time, body) for time, body in found if body[1] == 1]


async def test_a_push_begins_with_a_key_frame_at_time_zero(server: Server) -> None:
    hand, told = Hand(), Told()
    task = asyncio.ensure_future(Pusher(server.url, hand, told, 500_000).run())
    await until(lambda: 1002 in told.codes, 3)
    assert hand.keys == 1
    hand.sink(audio_tag(b"\x21abc", 5000))
    hand.sink(video_tag(b"\0\0\0\1\x41", 5010, False))
    hand.sink(video_tag(b"\0\0\0\1\x65", 5070, True))
    hand.sink(video_tag(b"\0\0\0\1\x41", 5130, False))
    await until(lambda: len(pictures(server)) == 2, 3)
    assert [(time, body[0]) for time, body in pictures(server)] == [(70, 0x17), (130, 0x27)]
    kinds = [type(event).__name__ for event in server.got][2:6]
    assert kinds == ["MetadataReceived", "VideoReceived", "AudioReceived", "AudioReceived"]
    assert told.codes == [1003, 1007, 1008, 1001, 1002]
    server.cut()
    await until(lambda: told.codes.count(1002) == 2, 3)
    assert told.codes[5:] in ([3004, 1102, 1001, 1002], [3005, 1102, 1001, 1002])
    await stopped(task)
    assert "hidden" not in "".join(told.words)


@pytest.mark.parametrize("refuse", ["NetStream.Publish.BadName", ""])
async def test_a_push_that_is_refused_or_finds_nobody_ends_with_1307(server: Server, refuse: str) -> None:
    told = Told()
    server.refuse = refuse
    url = server.url if refuse else RtmpUrl("127.0.0.1", 1, "live", "s")
    with pytest.raises(Failure, match="not you" if refuse else "refused"):
        await asyncio.wait_for(Pusher(url, Hand(), told, 500_000).run(), 5)
    round = [1001, 3004, 1102] if refuse else [3002, 1102]
    assert told.codes[3:] == [*(round * 4)[:-1], -1307]


async def test_a_source_that_fails_ends_the_push() -> None:
    hand, told = Hand(), Told()
    hand.start = lambda sink: None  # type: ignore[method-assign]
    hand.error = ValueError("the clip has vanished")
    with pytest.raises(Failure, match="the clip has vanished"):
        await asyncio.wait_for(Pusher(RtmpUrl("127.0.0.1", 1, "live", "s"), hand, told, 1).run(), 5)
    assert told.codes == [1003, -1301]


async def test_a_slow_network_loses_pictures_up_to_a_key_frame_and_no_sound(server: Server) -> None:
    hand, told = Hand(), Told()
    task = asyncio.ensure_future(Pusher(server.url, hand, told, 8_000_000).run())
    await until(lambda: 1002 in told.codes, 3)
    server.hearing.clear()
    for number in range(400):
        hand.sink(video_tag(bytes(30_000), number * 40, number % 10 == 0))
        hand.sink(audio_tag(b"\x21abc", number * 40))
        if number % 20 == 0:
            await asyncio.sleep(0)
    await until(lambda: 1101 in told.codes, 5)
    sent = 400 * 30_000
    server.hearing.set()
    for number in range(400, 420):
        hand.sink(video_tag(bytes(30_000), number * 40, number == 410))
        await asyncio.sleep(0.02)
    await until(lambda: pictures(server) and pictures(server)[-1][0] == 419 * 40, 5)
    await stopped(task)
    came = pictures(server)
    assert sum(len(body) for _, body in came) < sent
    assert told.codes.count(1101) == 1
    sounds = [event for event in server.got if isinstance(event, s.AudioReceived) and event.body[1] == 1]
    assert len(sounds) == 400
    for (before, _), (after, body) in itertools.pairwise(came):
        assert after - before == 40 or body[0] == 0x17, "a picture whose reference was left out"


@pytest.fixture(scope="module")
def clock_tags() -> list[Tag]:
    return collect(ClockSource("bob", MODES["RTC"], QUALITIES["high"]), 0.5)


async def test_playing_and_the_end_of_the_stream(
    server: Server, pool: ThreadPoolExecutor, clock_tags: list[Tag]
) -> None:
    told = Told()
    server.tags, server.end_after_tags = clock_tags, True
    player = Player(server.url, told, pool)
    task = asyncio.ensure_future(player.run())
    whole = [2001, 2002, 2003, 2004, 2006, 2103]
    await until(lambda: len(told.codes) >= 2 * len(whole), 5, lambda: str(told.codes))
    assert told.codes[:12] == whole * 2
    await stopped(task)


async def test_playing_goes_on_after_silence_and_ends_with_2301(
    server: Server, pool: ThreadPoolExecutor, clock_tags: list[Tag], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    server.tags = clock_tags
    player = Player(server.url, told, pool)
    task = asyncio.ensure_future(player.run())
    await until(lambda: 2007 in told.codes, 3)
    assert told.codes == [2001, 2002, 2003, 2004, 2007]
    report = player.take()
    assert report is not None and (report.width, report.height) == (360, 640)
    monkeypatch.setattr(play, "IDLE_S", 0.2)
    await until(lambda: 2103 in told.codes, 3)
    assert told.codes[5:7] == [3005, 2103]
    server.refuse = "NetStream.Play.StreamNotFound"
    server.cut()
    await asyncio.wait_for(task, 5)
    assert told.codes[-4:] == [2103, 2001, 3004, -2301]
    assert player.take() is None


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(4000), b"\x03" + bytes(2000), b""])
async def test_a_server_that_speaks_something_else(pool: ThreadPoolExecutor, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read(100)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        told = Told()
        url = RtmpUrl("127.0.0.1", listening.sockets[0].getsockname()[1], "live", "s")
        await asyncio.wait_for(Player(url, told, pool).run(), 5)
    assert set(told.codes) <= {2103, -2301, 3003, 3005}
    assert told.codes[-1] == -2301


async def test_a_name_without_address(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    async def none(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio, "open_connection", none)
    told = Told()
    await asyncio.wait_for(Player(RtmpUrl("gw.invalid", 1935, "live", "s"), told, pool).run(), 5)
    assert told.codes == [3001, 2103, 3001, 2103, 3001, 2103, 3001, -2301]
