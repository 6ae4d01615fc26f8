"""One publisher at a time, and bridges only while somebody on the other side listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.base.config import AudioConfig, BridgeConfig, LiveConfig, RtcConfig
from gateway.base.errors import NameTaken
from gateway.media.bridge.pool import CodecPool
from gateway.media.streams import FORGET_S, Stream, Streams
from gateway.wire.frame import Codec, Frame, Metadata


class Publisher:
    def __init__(self) -> None:
        self.told: list[str] = []

    def replaced(self, reason: str) -> None:
        self.told.append(reason)


class Viewer:
    """A reader of the frame hub."""

    audio = video = wants_keyframes = True

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.ended: list[str] = []

    def deliver(self, frame: Frame) -> None:
        self.frames.append(frame)

    def metadata(self, metadata: Metadata) -> None:
        return

    def stopped(self, reason: str) -> None:
        self.ended.append(reason)


@pytest.fixture
async def streams() -> AsyncIterator[Streams]:
    pool = CodecPool(1)
    made = Streams(pool, bridge=BridgeConfig(linger_s=0.05), audio=AudioConfig(), live=LiveConfig(), rtc=RtcConfig())
    yield made
    await made.aclose()
    pool.close()


def demand_rtp(stream: Stream, wanted: bool) -> None:
    """What a browser that subscribes to the sound does to the stream, without the browser."""
    stream.audio.subscriptions[:] = [object()] if wanted else []  # type: ignore[list-item]
    assert stream.audio.demand is not None
    stream.audio.demand(wanted)


async def until(condition: object, timeout_s: float = 2.0) -> None:
    assert callable(condition)
    for _ in range(int(timeout_s / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("did not happen")


async def test_an_id_is_one_stream(streams: Streams) -> None:
    assert streams.get("a") is None
    stream = streams.open("a")
    assert streams.open("a") is stream
    assert streams.get("a") is stream
    assert stream.bridging is None


async def test_the_bridge_to_frames_runs_while_there_are_readers(streams: Streams) -> None:
    stream, viewer = streams.open("a"), Viewer()
    stream.publish_rtp(Publisher(), 1.0)
    assert stream.bridging is None, "started although nobody listens"
    stream.live.add_reader(viewer)
    assert stream.bridging == "to_live"
    stream.live.remove_reader(viewer)
    assert stream.bridging == "to_live", "stopped before it lingered"
    stream.live.add_reader(viewer)
    await asyncio.sleep(0.1)
    assert stream.bridging == "to_live", "stopped although a reader came back"
    stream.live.remove_reader(viewer)
    await until(lambda: stream.bridging is None)


async def test_the_bridge_to_rtp_runs_once_while_there_are_subscriptions(streams: Streams) -> None:
    stream = streams.open("a")
    demand_rtp(stream, True)
    assert stream.bridging is None, "started without a publisher"
    stream.publish_live(Publisher(), 1.0)
    assert stream.bridging == "to_rtp"
    assert len(stream.live.readers) == 1, "two bridges read"
    demand_rtp(stream, False)
    await until(lambda: stream.bridging is None)
    assert not stream.live.readers


async def test_a_newer_publisher_replaces_the_older_and_the_viewers_stay(streams: Streams) -> None:
    stream, viewer = streams.open("a"), Viewer()
    rtmp, browser, again = Publisher(), Publisher(), Publisher()
    stream.publish_live(rtmp, 1.0)
    stream.live.add_reader(viewer)
    stream.live.write(Frame(Codec.AAC, 0, 0, b"\x11\x90", config=True))
    stream.live.write(Frame(Codec.AAC, 0, 0, b"sound"))
    stream.publish_rtp(browser, 2.0)
    assert rtmp.told == ["replaced"]
    assert stream.bridging == "to_live"
    stream.publish_live(again, 3.0)
    assert browser.told == ["replaced"]
    assert stream.bridging is None
    stream.live.write(Frame(Codec.AAC, 0, 0, b"more"))
    assert viewer.frames[-1].data == b"more"
    assert viewer.frames[-1].dts >= viewer.frames[-2].dts, "time ran back"
    assert not viewer.ended
    stream.unpublish(rtmp, 4.0)
    assert stream.publisher is again, "an old publisher's end ended the new one"
    stream.unpublish(again, 5.0)
    assert stream.publisher is None
    assert again.told == []


async def test_the_operator_may_refuse_instead(streams: Streams) -> None:
    streams.refuse_duplicates = True
    stream, first = streams.open("a"), Publisher()
    stream.publish_live(first, 1.0)
    stream.publish_live(first, 1.0)
    with pytest.raises(NameTaken, match="on_duplicate"):
        stream.publish_rtp(Publisher(), 2.0)
    assert stream.publisher is first
    assert first.told == []


async def test_idle_streams_are_forgotten(streams: Streams) -> None:
    idle, watched, viewer = streams.open("idle"), streams.open("watched"), Viewer()
    watched.live.add_reader(viewer)
    now = idle.idle_since
    streams.sweep(now + FORGET_S - 1)
    assert len(streams) == 2
    streams.sweep(now + FORGET_S + 1)
    assert streams.get("idle") is None
    assert streams.get("watched") is watched


async def test_closing_tells_publishers_and_viewers(streams: Streams) -> None:
    stream, publisher, viewer = streams.open("a"), Publisher(), Viewer()
    stream.publish_live(publisher, 1.0)
    stream.live.add_reader(viewer)
    await streams.aclose()
    assert publisher.told == ["server stops"]
    assert viewer.ended == ["server stops"]
