"""Relays: where they may go, what arrives there, and what they do when the target fails or lies."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.base.config import RelayConfig
from gateway.base.errors import BadRequest, NotPermitted, TooMany
from gateway.media.live.stream import LiveStream
from gateway.services.relay import Reason, Relay, Relays, RelayState
from gateway.services.relay.targets import AllowList, is_public
from gateway.wire.frame import TICKS, Codec, Frame
from gateway.wire.rtmp import session as s
from tests.demo.rtmp_server import Server, serving

AVCC = bytes.fromhex("0142c01effe100096742c01e95a01e0089010004680ce3c8")
ASC = bytes.fromhex("1188")


@dataclass
class Source:
    """What the directory of streams gives: a stream that a browser publishes, unless said otherwise."""

    id: str = "8888_1001_alice"
    native: str | None = "rtp"
    live: LiveStream = field(default_factory=lambda: LiveStream("8888_1001_alice"))
    number: int = 0

    def open(self, _stream_id: str) -> Source:
        return self

    def begin(self) -> None:
        self.live.start_source(0.0)
        self.live.write(Frame(Codec.H264, 0, 0, AVCC, config=True))
        self.live.write(Frame(Codec.AAC, 0, 0, ASC, config=True))

    def write(self, count: int, size: int = 200, key_every: int = 10) -> None:
        """Write `count` pictures of 40 ms, each with a sound frame."""
        for _ in range(count):
            dts = self.number * TICKS // 25
            key = self.number % key_every == 0
            picture = bytes((0, 0, 0, 5, 0x65 if key else 0x41)) + self.number.to_bytes(4, "big") + bytes(size)
            self.live.write(Frame(Codec.H264, dts, dts, picture, keyframe=key))
            self.live.write(Frame(Codec.AAC, dts, dts, self.number.to_bytes(4, "big")))
            self.number += 1


@dataclass
class World:
    source: Source
    relays: Relays
    told: list[tuple[str, str]] = field(default_factory=list)

    def start(self, url: str) -> Relay:
        def changed(relay: Relay) -> None:
            self.told.append((relay.state.value, relay.reason.value if relay.reason else ""))

        return self.relays.start(self.source.id, url, changed)


@asynccontextmanager
async def world(
    allow: str, resolve: Callable[[str, int], Awaitable[list[str]]] | None = None, **config: Any
) -> AsyncIterator[World]:
    settings = RelayConfig(allow=(allow,), **({"retry_s": 0.02, "start_timeout_s": 5.0} | config))
    source = Source()
    more = {} if resolve is None else {"resolve": resolve}
    relays = Relays(source, settings, **more)  # type: ignore[arg-type]
    try:
        yield World(source, relays)
    finally:
        await relays.aclose()
        assert not source.live.readers and not len(relays)


def where(server: Server, name: str = "s?txSecret=hidden") -> str:
    return f"rtmp://127.0.0.1:{server.url.port}/live/{name}"


async def until(check: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not check():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def media(server: Server) -> list[s.AudioReceived | s.VideoReceived]:
    return [event for event in server.got if isinstance(event, s.AudioReceived | s.VideoReceived)]


# --- where to


@pytest.mark.parametrize(
    ("entry", "target", "good"),
    [
        ("rtmp://push.example.com", "rtmp://push.example.com/live/s", True),
        ("rtmp://push.example.com/live", "rtmp://push.example.com/live/s?k=v/../x", True),
        ("rtmp://push.example.com/live/", "RTMP://PUSH.example.com:1935/live/a/b", True),
        ("rtmp://push.example.com/live", "rtmp://push.example.com/live2/s", False),
        ("rtmp://push.example.com/live", "rtmp://push.example.com/live/../secret/s", False),
        ("rtmp://push.example.com/live", "rtmp://push.example.com/live/%2e%2e/secret/s", False),
        ("rtmp://push.example.com/live", "rtmp://push.example.com/live//s", False),
        ("rtmp://push.example.com/live", "rtmp://push.example.com/live", False),
        ("rtmp://push.example.com/live", "rtmp://push.example.com:1936/live/s", False),
        ("rtmp://push.example.com/live", "rtmp://push.example.com.evil.example/live/s", False),
        ("rtmp://push.example.com/live", "rtmp://push.example.com@evil.example/live/s", False),
        ("rtmp://push.example.com/live", "rtmp://evil.example/live/s?rtmp://push.example.com/live/s", False),
        ("rtmp://push.example.com/live", "rtmp://evil.example\\@push.example.com/live/s", False),
        ("rtmp://push.example.com/live", "rtmp://push.example.com/live/s#x", False),
        ("rtmp://push.example.com/live", "rtmp://push.example.com/li\nve/s", False),
        ("rtmp://push.example.com/live", "rtmps://push.example.com/live/s", False),
        ("rtmp://push.example.com/live", "http://push.example.com/live/s", False),
        ("rtmp://push.example.com/live", "rtmp://push.example.com:99999/live/s", False),
        ("rtmp://push.example.com/live", "rtmp://push.example.com/live/" + "s" * 3000, False),
        ("rtmp://push.example.com/live", "", False),
        ("rtmp://[::1]:1999/live", "rtmp://[0:0:0:0:0:0:0:1]:1999/live/s", True),
        ("rtmp://10.0.0.5/live", "rtmp://10.0.0.5/live/s", True),
        ("rtmp://10.0.0.5/live", "rtmp://[::ffff:10.0.0.5]/live/s", False),
        ("rtmp://10.0.0.5/live", "rtmp://10.0.0.6/live/s", False),
    ],
)  # fmt: skip
def test_targets(entry: str, target: str, good: bool) -> None:
    allowed = AllowList([entry])
    if good:
        assert allowed.check(target).url.name
    else:
        with pytest.raises((NotPermitted, BadRequest)) as refused:
            allowed.check(target)
        assert "k=v" not in str(refused.value)


def test_nothing_is_allowed_at_first() -> None:
    assert not RelayConfig().allow
    with pytest.raises(NotPermitted, match="no address"):
        AllowList(()).check("rtmp://push.example.com/live/s")


@pytest.mark.parametrize(
    "entry", ["http://h/live", "rtmp://", "rtmp://h/a/../b", "rtmp://u:p@h/live", "rtmp://h:0/a", ""]
)
def test_entries_that_cannot_be_read(entry: str) -> None:
    with pytest.raises(ValueError, match="is not rtmp://"):
        AllowList([entry])


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("127.0.0.1", False), ("10.1.2.3", False),
        ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False),
        ("0.0.0.0", False), ("224.0.0.1", False), ("255.255.255.255", False), ("::1", False), ("::", False),
        ("fe80::1", False), ("fd00::1", False), ("ff02::1", False), ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True), ("64:ff9b::7f00:1", False), ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::", False), ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),
    ],
)  # fmt: skip
def test_what_is_of_the_open_internet(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


async def test_a_name_that_leads_inside_is_refused() -> None:
    """The answer of the resolver is what would be connected to, and it is asked once: no rebinding."""
    asked = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1", "::1", "fe80::1%eth0"] if len(asked) == 1 else ["93.184.216.34"]

    async with serving() as server, world(f"rtmp://push.example.com:{server.url.port}", resolve) as w:
        w.start(f"rtmp://push.example.com:{server.url.port}/live/s")
        await until(lambda: w.told)
        assert w.told == [("ended", "forbidden")]
        assert asked == [("push.example.com", server.url.port)]
        assert server.connections == 0 and w.relays.failed == 1


async def test_a_name_that_nobody_knows() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    async with world("rtmp://push.example.com", resolve, retries=1) as w:
        relay = w.start("rtmp://push.example.com/live/s")
        await until(lambda: relay.state is RelayState.ENDED)
        assert w.told == [("waiting", "unreachable"), ("connecting", ""), ("ended", "unreachable")]
        assert relay.words == "no address is known for push.example.com"


# --- what arrives


async def test_a_stream_arrives_whole(caplog: pytest.LogCaptureFixture) -> None:
    """Configurations, then every frame from the newest key frame on, by a clock that begins at 0."""
    caplog.set_level(logging.INFO)
    async with serving() as server, world(where(server, "")) as w:
        w.source.begin()
        w.source.write(25)
        w.start(where(server))
        await until(lambda: w.source.live.readers)
        w.source.write(15)
        await until(lambda: len(media(server)) >= 2 + 2 * 20)
        assert w.told == [("live", "")]
        request = next(event for event in server.got if isinstance(event, s.PublishRequested))
        assert (request.target.app, request.target.stream, request.target.query) == (
            "live",
            "s",
            {"txSecret": "hidden"},
        )
        got = media(server)
        assert [event.body[:2] for event in got[:2]] == [b"\x17\x00", b"\xaf\x00"]
        pictures = [event for event in got[2:] if isinstance(event, s.VideoReceived)]
        sounds = [event for event in got[2:] if isinstance(event, s.AudioReceived)]
        assert [int.from_bytes(event.body[10:14], "big") for event in pictures] == list(range(20, 40))
        assert [int.from_bytes(event.body[2:6], "big") for event in sounds] == list(range(20, 40))
        assert pictures[0].body[:2] == b"\x17\x01"
        assert [event.timestamp for event in pictures] == [40 * index for index in range(20)]
        assert [event.timestamp for event in sounds] == [40 * index for index in range(20)]
        assert w.relays.stop(w.source.id, Reason.STOPPED) and not w.relays.stop(w.source.id, Reason.STOPPED)
        await until(lambda: any(isinstance(event, s.PublishStopped) for event in server.got))
        assert w.told[-1] == ("ended", "stopped") and w.relays.failed == 0
        await until(lambda: not w.source.live.readers)
        assert w.relays.totals.bytes_sent > 4000
    lines = [record.getMessage() for record in caplog.records if "relay" in record.getMessage()]
    assert len(lines) == 2 and "hidden" not in caplog.text, lines


async def test_codecs_that_classic_rtmp_lacks_are_left_out() -> None:
    async with serving() as server, world(where(server, "")) as w:
        w.source.begin()
        w.start(where(server))
        await until(lambda: w.source.live.readers)
        w.source.live.write(Frame(Codec.VP8, 0, 0, b"vp8"))
        w.source.live.write(Frame(Codec.OPUS, 0, 0, b"opus"))
        w.source.write(1)
        await until(lambda: len(media(server)) == 4)


# --- targets that fail


async def test_a_refusal_is_tried_three_times_more() -> None:
    async with serving() as server, world(where(server, "")) as w:
        server.refuse = "NetStream.Publish.BadName"
        relay = w.start(where(server))
        await until(lambda: relay.state is RelayState.ENDED)
        assert w.told == 3 * [("waiting", "refused"), ("connecting", "")] + [("ended", "refused")]
        assert relay.words == "not you (Publish.BadName)"
        assert server.connections == 4 and w.relays.failed == 1


async def test_nobody_listens_there() -> None:
    async with serving() as server:
        url = where(server)
    async with world(url.partition("?")[0], retries=0) as w:
        relay = w.start(url)
        await until(lambda: relay.state is RelayState.ENDED)
        assert w.told == [("ended", "unreachable")] and "hidden" not in relay.words


async def test_a_target_that_goes_away_and_comes_back() -> None:
    """The second connection begins as the first did: configurations, a key frame, and time from 0."""
    async with serving() as server, world(where(server, "")) as w:
        w.source.begin()
        w.start(where(server))
        await until(lambda: w.source.live.readers)
        w.source.write(5)
        await until(lambda: len(media(server)) == 12)
        server.got.clear()
        server.cut()
        await until(lambda: ("waiting", "lost") in w.told)
        await until(lambda: w.told[-1] == ("live", "") and w.source.live.readers)
        w.source.write(10)
        await until(lambda: len(media(server)) >= 20)
        got = media(server)
        assert [event.body[:2] for event in got[:3]] == [b"\x17\x00", b"\xaf\x00", b"\x17\x01"]
        assert got[2].timestamp == 0


async def test_a_slow_target_loses_pictures_and_no_sound() -> None:
    async with serving() as server, world(where(server, ""), queue_s=1.0) as w:
        w.source.begin()
        w.start(where(server))
        await until(lambda: w.source.live.readers)
        server.hearing.clear()
        w.source.write(1)
        for _ in range(400):  # far more than the kernel and we hold
            w.source.write(1, size=60_000)
            await asyncio.sleep(0)
        await until(lambda: w.relays.totals.dropped_video > 100)
        server.hearing.set()
        await until(lambda: [event for event in media(server) if isinstance(event, s.AudioReceived)][-1].body[2:6]
                    == (w.source.number - 1).to_bytes(4, "big"))  # fmt: skip
        numbers = [int.from_bytes(event.body[10:14], "big") for event in media(server)
                   if isinstance(event, s.VideoReceived) and event.body[1] == 1]  # fmt: skip
        jumps = [after for before, after in itertools.pairwise(numbers) if after != before + 1]
        assert jumps and all(number % 10 == 0 for number in jumps), "after a gap it goes on with a key frame"


async def test_a_target_that_takes_nothing_is_given_up() -> None:
    async with serving() as server, world(where(server, ""), blocked_timeout_s=0.3, retries=0) as w:
        w.source.begin()
        relay = w.start(where(server))
        await until(lambda: w.source.live.readers)
        server.hearing.clear()
        for _ in range(400):
            w.source.write(1, size=60_000)
            await asyncio.sleep(0)
        await until(lambda: relay.state is RelayState.ENDED)
        assert w.told[-1] == ("ended", "silent")


HELLO = bytes((3,)) + bytes(3072)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Reason.PROTOCOL),
        (b"", Reason.PROTOCOL),  # closed at once
        (None, Reason.SILENT),  # never a word
        (HELLO, Reason.SILENT),  # and then never a word
        (HELLO + b"\xff" * 5000, Reason.PROTOCOL),
        (HELLO + bytes.fromhex("03 000000 ffffff 14 00000000") + bytes(4000), Reason.PROTOCOL),  # 16 MB are announced
        (HELLO + bytes.fromhex("02 000000 000004 05 00000000 00000001"), Reason.SILENT),  # a window of one byte
        (HELLO + 2000 * bytes.fromhex("02 000000 000006 04 00000000 0006 00000001"), Reason.SILENT),  # pings
    ],
)  # fmt: skip
async def test_hostile_answers(answer: bytes | None, reason: Reason) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer:
            writer.write(answer)
        if answer != b"":
            await reader.read()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"rtmp://127.0.0.1:{listening.sockets[0].getsockname()[1]}/live/s"
    async with world(url, retries=0, start_timeout_s=0.3) as w:
        relay = w.start(url)
        await until(lambda: relay.state is RelayState.ENDED)
        assert relay.reason is reason, relay.words
    listening.close()
    await listening.wait_closed()


# --- which and how many


async def test_one_per_stream_and_so_many_in_all() -> None:
    async with serving() as server, world(where(server, ""), max_relays=1) as w:
        first = w.start(where(server, "a"))
        assert w.start(where(server, "a")) is first
        with pytest.raises(TooMany):
            w.relays.start("another", where(server, "b"), lambda relay: None)
        second = w.start(where(server, "b"))
        assert first.reason is Reason.REPLACED and w.relays.of(w.source.id) is second
        await until(lambda: second.state is RelayState.LIVE)


async def test_it_ends_when_another_program_takes_the_stream() -> None:
    """A relay that leads back to its own stream must not go round in a circle."""
    async with serving() as server, world(where(server, "")) as w:
        w.source.begin()
        relay = w.start(where(server))
        await until(lambda: w.source.live.readers)
        w.source.write(1)
        w.source.native = "live"
        w.source.write(1)
        assert relay.reason is Reason.TAKEN_OVER
        await until(lambda: any(isinstance(event, s.PublishStopped) for event in server.got))
        assert len(media(server)) == 4


async def test_the_end_of_the_server_ends_them_well() -> None:
    async with serving() as server:
        async with world(where(server, "")) as w:
            w.start(where(server))
            await until(lambda: w.source.live.readers)
        assert w.told[-1] == ("ended", "server_stops")
        await until(lambda: any(isinstance(event, s.PublishStopped) for event in server.got))
