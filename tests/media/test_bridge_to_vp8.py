"""H.264 → VP8 for viewers without H.264, with real codecs: content and skew by decoding what comes out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.base.config import AudioConfig, BridgeConfig, LiveConfig, RtcConfig
from gateway.media.bridge.pool import CodecPool
from gateway.media.bridge.to_rtp import Mode, ToRtp
from gateway.media.bridge.to_vp8 import BEHIND, QUEUE, REFUSED_RETRY_S, ToVp8
from gateway.media.live.stream import LiveStream
from gateway.media.sfu.publication import Publication
from gateway.media.sfu.subscription import State, Subscription
from gateway.media.streams import Stream, Streams
from gateway.wire.frame import Codec
from gateway.wire.payload import is_keyframe
from gateway.wire.rtp import RtpPacket, seq_diff
from tests.media.bridge_tools import (
    BEATS,
    FPS,
    LIBVPX_LIVE,
    X264_B,
    X264_LIVE,
    Browser,
    CodedPicture,
    Now,
    RtpViewer,
    Sent,
    Shown,
    aac_frames,
    beeps,
    decode_pictures,
    encode_pictures,
    find_beep,
    flash_times,
    h264_frames,
    pictures,
    publish,
    send,
    settle,
    video_encoder,
)
from tests.media.sfu_harness import Time, Viewer, video

SECONDS = 3.2


class Source:
    def __init__(self) -> None:
        self.asked = 0

    def request_keyframe(self) -> None:
        self.asked += 1


class Several:
    """Bridges in a chain, to settle and tick together."""

    def __init__(self, *bridges: Any) -> None:
        self.bridges = bridges

    @property
    def _lines(self) -> Any:
        return SimpleNamespace(_lines=[line for bridge in self.bridges for line in bridge._lines._lines])


class Gate:
    """Holds the only thread of a pool."""

    def __init__(self, pool: CodecPool) -> None:
        self._open = threading.Event()
        pool.submit(lambda: self._open.wait(10) and None)

    def open(self) -> None:
        self._open.set()


def film(seconds: float = SECONDS, gop: int = 1000, size: tuple[int, int] = (160, 96)) -> list[CodedPicture]:
    return encode_pictures(video_encoder("libx264", size, gop=gop, **X264_LIVE), pictures(seconds, size=size))


@dataclass
class Rig:
    audio: Publication
    video: Publication
    vp8: Publication
    bridge: ToVp8
    now: Now
    source: Source
    sound: RtpViewer
    viewer: RtpViewer
    notices: list[str]


@contextlib.asynccontextmanager
async def rig(pool: CodecPool | None = None, codec: Codec | None = Codec.H264) -> AsyncIterator[Rig]:
    """A browser's two tracks, the bridge, and somebody who sees its VP8."""
    now, source = Now(), Source()
    pool = pool or CodecPool(2)
    audio, picture, vp8 = Publication("audio", "s"), Publication("video", "s"), Publication("video", "s")
    audio.start(Codec.OPUS, 48000, source, now.value)
    if codec is not None:
        picture.start(codec, 90000, source, now.value)
    bridge = ToVp8(picture, vp8, pool, now)
    notices: list[str] = []
    bridge.notice = notices.append
    sound, viewer = RtpViewer(48000), RtpViewer(90000)
    audio.add_tap(sound, now.value)
    vp8.add_tap(viewer, now.value)
    bridge.start()
    try:
        yield Rig(audio, picture, vp8, bridge, now, source, sound, viewer, notices)
    finally:
        await bridge.stop()
        pool.close()


def shown(viewer: RtpViewer) -> list[Shown]:
    assert viewer.codec is Codec.VP8
    return decode_pictures("vp8", [(viewer.seconds(rtp), frame) for rtp, (frame,) in viewer.units()])


def counters(viewer: RtpViewer) -> list[int]:
    """The same without any report: only what the pictures show."""
    units = viewer.units()
    return [s.counter for s in decode_pictures("vp8", [(n / 30, frame) for n, (_, (frame,)) in enumerate(units)])]


def keys(viewer: RtpViewer) -> list[int]:
    """RTP times of the key frames."""
    return [p.timestamp for p in viewer.packets if is_keyframe(Codec.VP8, p.payload)]


def skews(sound: RtpViewer, picture: RtpViewer) -> list[float]:
    """Beep minus flash, less what the material has, in ms."""
    samples, first = sound.sound()
    flashes = [item.time for item in shown(picture) if item.flash]
    out = []
    for beat, made, seen in zip(BEATS, flash_times(), flashes, strict=True):
        expected = seen + beat - made - first
        out.append((find_beep(samples, 48000, expected) - expected) * 1000)
    return out


async def test_a_browsers_picture_comes_out_with_its_times() -> None:
    browser = Browser()
    async with rig() as r:
        events = browser.speak(beeps(48000, SECONDS)) + browser.film(film()) + browser.reports(SECONDS)
        seen: list[tuple[int, int]] = []
        await send(events, r.audio, r.video, r.now, r.bridge)
        seen = sorted({(s.packet.seq, s.packet.timestamp) for s in events if s.track == "video" and s.packet})
        assert {p.timestamp for p in r.viewer.packets} == {timestamp for _, timestamp in seen}, "other RTP times"
        assert [s.counter for s in shown(r.viewer)] == list(range(round(SECONDS * FPS)))
        assert len(keys(r.viewer)) == 1
        r.viewer.check_order()
        # A browser's Opus is stamped 6.5 ms before what a decoder gives back.
        assert max(abs(s - 6.5) for s in skews(r.sound, r.viewer)) < 1.0
        assert r.vp8.clock(r.now.value) is not None and not r.notices and r.bridge.hidden == 0


async def test_before_any_report_the_codecs_delay_is_not_in_the_clock() -> None:
    """Our own reports go by arrival then: by that of the H.264 picture, not by when its VP8 was ready."""
    browser = Browser()
    async with rig() as r:
        for event in browser.film(film(1.0)):
            assert event.packet is not None
            r.now.value = max(r.now.value, 1000.0 + event.at)
            event.packet.arrival = r.now.value
            r.video.write([event.packet], r.now.value)
            r.now.value += 0.012  # what the codecs take
            await settle(r.bridge)
        at = r.now.value
        first, second = r.video.clock(at), r.vp8.clock(at)
        assert first is not None and second is not None
        offsets = [
            clock[1] - publication._numbering.ts_delta for clock, publication in ((first, r.video), (second, r.vp8))
        ]
        assert abs((offsets[1] - offsets[0] + 2**31) % 2**32 - 2**31) < 90 * 2


async def test_reports_are_moved_to_our_clock_like_those_of_the_sound() -> None:
    async with rig() as r:
        base = 123 << 32
        r.audio.sender_report(base, 48000, r.now.value, ntp_offset=5 << 32)
        r.video.sender_report(base, 90000, r.now.value, ntp_offset=5 << 32)
        await send(Browser().film(film(0.1)), r.audio, r.video, r.now, r.bridge)
        sound, picture = r.audio.clock(r.now.value), r.vp8.clock(r.now.value)
        assert r.viewer.reports == [(base, 90000)]
        assert sound is not None and picture is not None and sound[0] == picture[0]


@pytest.mark.parametrize("options", [X264_LIVE, X264_B], ids=["passed", "B-frames"])
async def test_an_rtmp_publishers_picture_is_in_step_with_its_sound(options: dict[str, str]) -> None:
    now, pool = Now(), CodecPool(2)
    live = LiveStream("s", clock=now)
    audio, picture, vp8 = Publication("audio", "s"), Publication("video", "s"), Publication("video", "s")
    live.start_source(now.value)
    first = ToRtp(live, audio, picture, pool, BridgeConfig(), clock=now, wall_clock=lambda: 1.7e9 + now.value)
    second = ToVp8(picture, vp8, pool, now)
    sound, h264, viewer = RtpViewer(48000), RtpViewer(90000), RtpViewer(90000)
    for publication, tap in ((audio, sound), (picture, h264), (vp8, viewer)):
        publication.add_tap(tap, now.value)
    try:
        sound_config, sounds = aac_frames(beeps(48000, SECONDS), 48000, 1)
        config, frames = h264_frames(pictures(SECONDS), options)
        second.start()
        first.start()
        live.write(sound_config)
        live.write(config)
        await publish(live, now, Several(first, second), sounds + frames)
        assert first.mode is (Mode.PASS if options is X264_LIVE else Mode.TRANSCODE)
        assert [s.counter for s in shown(viewer)] == [s.counter for s in h264.shown()]
        assert len(shown(viewer)) > SECONDS * FPS - 5
        times = [list(dict.fromkeys(p.timestamp for p in v.packets)) for v in (h264, viewer)]
        assert times[0] == times[1] and viewer.reports == h264.reports
        assert max(abs(s) for s in skews(sound, viewer)) < 1.5, "a millisecond is FLV's rounding"
    finally:
        await second.stop()
        await first.stop()
        pool.close()


@pytest.mark.parametrize("before", [True, False], ids=["the group comes as a burst", "from the kept packets"])
async def test_an_rtmp_stream_that_is_on_shows_its_live_picture_at_once(before: bool) -> None:
    now, pool = Now(), CodecPool(2)
    live = LiveStream("s", clock=now)
    audio, picture, vp8 = Publication("audio", "s"), Publication("video", "s"), Publication("video", "s")
    live.start_source(now.value)
    first = ToRtp(live, audio, picture, pool, BridgeConfig(), clock=now, wall_clock=lambda: 1.7e9 + now.value)
    second = ToVp8(picture, vp8, pool, now)
    viewer = RtpViewer(90000)
    vp8.add_tap(viewer, now.value)
    try:
        config, frames = h264_frames(pictures(4.0), X264_LIVE, gop=1000)
        live.write(config)
        for bridge in (second, first) if before else (first,):
            bridge.start()
        await publish(live, now, Several(first, second), frames[:100])
        if not before:
            second.start()
        await settle(second)
        count = len(counters(viewer))
        assert count == (100 if before else 1)
        assert counters(viewer)[-1] == 99, "the newest picture is the one to show"
        await publish(live, now, Several(first, second), frames[100:])
        assert counters(viewer)[count:] == list(range(100, 120))
        assert len(keys(viewer)) == 1
    finally:
        await second.stop()
        await first.stop()
        pool.close()


async def test_the_kept_group_in_one_burst_never_overflows() -> None:
    """A first viewer of an RTMP stream without H.264: ToRtp gives the whole group at once."""
    now, pool = Now(), CodecPool(1)
    live = LiveStream("s", clock=now)
    audio, picture, vp8 = Publication("audio", "s"), Publication("video", "s"), Publication("video", "s")
    live.start_source(now.value)
    first = ToRtp(live, audio, picture, pool, BridgeConfig(), clock=now, wall_clock=lambda: 1.7e9 + now.value)
    second = ToVp8(picture, vp8, pool, now)
    viewer = RtpViewer(90000)
    vp8.add_tap(viewer, now.value)
    try:
        config, frames = h264_frames(pictures(9.0), X264_LIVE, gop=1000)
        live.write(config)
        await publish(live, now, None, frames[:-6])
        gate = Gate(pool)
        second.start()
        first.start()
        while first._pending:  # noqa: ASYNC110
            await asyncio.sleep(0)
        gate.open()
        await settle(second)
        await publish(live, now, Several(first, second), frames[-6:])
        got = counters(viewer)
        assert second.overflows == 0 and second.hidden == 264 - 1 - QUEUE, "one in flight, and those that wait"
        assert got == [*range(1 + QUEUE), *range(264, 270)]
    finally:
        await second.stop()
        await first.stop()
        pool.close()


async def test_a_viewer_gets_a_key_frame_from_the_encoder_and_the_publication_throttles() -> None:
    turn = Time()
    source, pool = Source(), CodecPool(1)
    picture, vp8 = video(turn), video(turn)
    bridge = ToVp8(picture, vp8, pool, lambda: turn.now)
    viewer = RtpViewer(90000)
    vp8.add_tap(viewer, turn.now)
    picture.start(Codec.H264, 90000, source, turn.now)
    bridge.start()
    try:
        times: list[int] = []
        asked = 0
        packets = [event.packet for event in Browser(2).film(film(2.0)) if event.packet]
        for number, (timestamp, group) in enumerate(itertools.groupby(packets, lambda p: p.timestamp)):
            picture.write(list(group), turn.now)
            times.append(timestamp)
            await settle(bridge)
            if number == 1:
                asked = source.asked
            turn.pass_(1 / 30)
            bridge.tick(turn.now)
            if number in (19, 24, 54):
                vp8.request_keyframe(turn.now)
                vp8.request_keyframe(turn.now)
        # The second request had to wait for half a second after the first.
        assert [times.index(t) for t in keys(viewer)] == [0, 20, 36, 55]
        assert asked == 1 and source.asked == asked, "the source had nothing to do with it"
        turn.pass_(1.0)
        vp8.request_keyframe(turn.now)
        bridge.tick(turn.now)
        assert source.asked == 2, "a source that stands still is asked for a picture"
    finally:
        await bridge.stop()
        pool.close()


async def test_what_depends_on_a_lost_picture_is_not_shown_and_the_source_is_asked() -> None:
    browser = Browser()
    async with rig() as r:
        coded = film(2.0, gop=30)
        events = browser.film(coded)
        lost = next(e for e in events if e.packet and e.at > 10 / FPS + 0.0151)
        events.remove(lost)
        await send([e for e in events if e.at < 0.6], r.audio, r.video, r.now, r.bridge, until=0.6)
        assert r.source.asked == 2, "once at the start and once for the hole"
        rest = [Sent(e.at - 0.6, e.track, e.packet, e.ntp, e.rtp) for e in events if e.at >= 0.6]
        await send(rest, r.audio, r.video, r.now, r.bridge)
        assert counters(r.viewer) == [*range(11), *range(30, 60)]


async def test_a_new_size_and_a_source_that_starts_its_times_anew() -> None:
    async with rig() as r:
        small = Browser(1).film(film(0.5))
        await send(small, r.audio, r.video, r.now, r.bridge)
        large = Browser(1).film(film(0.5, size=(320, 192)))
        for event in large:  # the same source, its clock set back by a quarter of an hour
            assert event.packet is not None
            event.packet.seq = event.packet.seq + len(small) & 0xFFFF
            event.packet.timestamp = event.packet.timestamp - 81_000_000 & 0xFFFFFFFF
        await send(large, r.audio, r.video, r.now, r.bridge)
        units = [(n / 30, frame) for n, (_, (frame,)) in enumerate(r.viewer.units())]
        sizes = [s.size for s in decode_pictures("vp8", units)]
        assert sizes == [(160, 96)] * 15 + [(320, 192)] * 15
        steps = [b - a for a, b in itertools.pairwise([rtp for rtp, _ in r.viewer.units()][15:])]
        assert steps == [3000] * 14


async def test_another_publisher_goes_on_in_the_same_publication() -> None:
    async with rig() as r:
        await send(Browser(1).film(film(0.5)), r.audio, r.video, r.now, r.bridge)
        r.video.stop(r.source, r.now.value)
        assert not r.vp8.live and r.viewer.codec is None
        other = Source()
        r.video.start(Codec.VP8, 90000, other, r.now.value)
        assert not r.vp8.live
        third = Source()
        r.now.value += 1.0
        r.video.start(Codec.H264, 90000, third, r.now.value)
        assert r.vp8.live
        r.bridge.tick(r.now.value)
        assert third.asked == 1
        await send(Browser(9).film(film(0.5)), r.audio, r.video, r.now, r.bridge)
        assert counters(r.viewer) == [*range(15), *range(15)] and len(keys(r.viewer)) == 2


async def test_without_cpu_pictures_are_left_out_and_the_queue_is_bounded() -> None:
    pool = CodecPool(1)
    async with rig(pool) as r:
        events = Browser().film(film(4.0, gop=110))
        await send(events[:10], r.audio, r.video, r.now, r.bridge)
        r.now.value += 6.0  # catching up is over
        gate = Gate(pool)
        for event in events[10:40]:
            assert event.packet is not None
            r.video.write([event.packet], r.now.value)
        line = r.bridge._line
        assert line is not None and line.waiting == 29 and r.bridge.overflows == 0, "one is in flight"
        assert line._weight <= QUEUE + 1 + 30 * QUEUE / BEHIND
        gate.open()
        await settle(r.bridge)
        got = counters(r.viewer)
        assert got == list(range(9 + 1 + QUEUE)), "the rest was only decoded"
        gate = Gate(pool)
        for event in events[40:]:
            assert event.packet is not None
            r.video.write([event.packet], r.now.value)
        assert r.bridge.overflows >= 1 and line.waiting <= QUEUE + BEHIND + 1
        gate.open()
        await settle(r.bridge)
        r.bridge.tick(r.now.value)
        last = counters(r.viewer)
        assert last[-QUEUE:] == list(range(110, 110 + QUEUE)), "it starts again at the key frame"


async def test_busy_codecs_are_said_once_and_it_is_tried_again() -> None:
    class Busy(CodecPool):
        busy = True

        @property
        def use(self) -> float:
            return 0.85 if self.busy else 0.1

    pool = Busy(1)
    async with rig(pool) as r:
        browser = Browser()
        coded = film(1.0, gop=10)
        await send(browser.film(coded), r.audio, r.video, r.now, r.bridge)
        assert r.viewer.packets == [] and len(r.notices) == 1
        assert "cannot show H264" in r.notices[0] and "85%" in r.notices[0]
        asked = r.source.asked
        pool.busy = False
        r.now.value += REFUSED_RETRY_S
        r.bridge.tick(r.now.value)
        assert r.source.asked == asked + 1
        await send(browser.film(coded, start=1.0), r.audio, r.video, r.now, r.bridge)
        assert counters(r.viewer) == list(range(30)) and len(r.notices) == 1


async def test_nothing_that_comes_breaks_it() -> None:
    draw = random.Random(4)
    async with rig() as r:
        good = [event.packet for event in Browser().film(film(1.0, gop=10)) if event.packet]
        for packet in good:
            data = packet.payload
            if draw.random() < 0.3:
                data = (
                    draw.randbytes(draw.randrange(0, 40)) if draw.random() < 0.5 else data[: draw.randrange(len(data))]
                )
            seq = packet.seq if draw.random() < 0.9 else draw.getrandbits(16)
            stamp = packet.timestamp if draw.random() < 0.9 else draw.getrandbits(32)
            r.video.write([RtpPacket(0, draw.random() < 0.8, seq, stamp, 1, data, None, r.now.value)], r.now.value)
            r.now.value += 0.03
            r.bridge.tick(r.now.value)
        await settle(r.bridge)
        assert r.bridge.failures == 0


async def test_stopping_lets_go_of_everything() -> None:
    async with rig() as r:
        await send(Browser().film(film(0.3)), r.audio, r.video, r.now, r.bridge)
        lines = list(r.bridge._lines._lines)
        await r.bridge.stop()
        assert r.video.taps == 0 and not r.vp8.live and r.vp8.source is None
        assert len(lines) == 1 and lines[0]._transcoder is None
        await r.bridge.stop()


# ---------------------------------------------------------------- a stream and its viewers


class Publisher:
    def replaced(self, reason: str) -> None:
        return


@contextlib.asynccontextmanager
async def stream(to_vp8: bool = True) -> AsyncIterator[Stream]:
    pool = CodecPool(1)
    config = BridgeConfig(to_vp8=to_vp8, linger_s=0.1)
    made = Streams(pool, bridge=config, audio=AudioConfig(), live=LiveConfig(), rtc=RtcConfig())
    try:
        yield made.open("s")
    finally:
        await made.aclose()
        pool.close()
        Viewer.close_all()


def watch(target: Stream, codecs: dict[Codec, int]) -> tuple[Viewer, Subscription, list[Codec]]:
    """A viewer as the endpoints make it; the list has the codecs that it was told it cannot have."""
    viewer, told = Viewer(), list[Codec]()
    one = Subscription(target.video, viewer, ssrc=7, rtx_ssrc=None, payload_types=codecs, rtx_payload_types={})

    def unsupported(codec: Codec) -> None:
        if not target.show_vp8(one, codec, time.monotonic()):
            told.append(codec)

    one.on_unsupported = unsupported
    target.video.subscribe(one, time.monotonic())
    return viewer, one, told


async def play(target: Stream, events: Sequence[Sent], fast: float = 2.0) -> None:
    begun = time.monotonic()
    for event in events:
        await asyncio.sleep(max(0.0, begun + event.at / fast - time.monotonic()))
        assert event.packet is not None
        event.packet.arrival = time.monotonic()
        target.video.write([event.packet], event.packet.arrival)


async def until(condition: Any, timeout_s: float = 3.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_viewer_goes_to_vp8_and_back_when_the_publisher_changes_its_codec() -> None:
    async with stream() as s:
        viewer, one, told = watch(s, {Codec.VP8: 98})
        able, other, _ = watch(s, {Codec.VP8: 98, Codec.H264: 102})
        assert not s.transcodes_to_vp8
        s.publish_rtp(Publisher(), time.monotonic())
        s.video.start(Codec.H264, 90000, Source(), time.monotonic())
        assert one.publication is s.video_vp8 and other.publication is s.video
        assert s.video_vp8.subscriptions == [one] and s.video.subscriptions == [other] and s.transcodes_to_vp8
        await play(s, Browser(1).film(film(1.0)))
        await until(lambda: one.state is State.LIVE)
        await asyncio.sleep(0.1)

        s.publish_rtp(Publisher(), time.monotonic())
        native = encode_pictures(video_encoder("libvpx", (160, 96), gop=1000, **LIBVPX_LIVE), pictures(1.0))
        s.video.start(Codec.VP8, 90000, Source(), time.monotonic())
        await asyncio.sleep(0)
        assert one.publication is s.video and not s.video_vp8.subscriptions
        await play(s, Browser(2).film(native, Codec.VP8))
        await until(lambda: not s.transcodes_to_vp8)
        assert s.video.taps == 0

        s.video.start(Codec.H264, 90000, Source(), time.monotonic())
        assert one.publication is s.video_vp8 and s.transcodes_to_vp8
        await play(s, Browser(3).film(film(1.0)))
        await asyncio.sleep(0.2)
        packets = viewer.packets()
        assert {p.payload_type for p in packets} == {98} and told == []
        assert all(seq_diff(b.seq, a.seq) == 1 for a, b in itertools.pairwise(packets)), "one row of numbers"
        watched = RtpViewer(90000, packets, codec=Codec.VP8)
        got = counters(watched)
        begins = [0, *(n for n, (a, b) in enumerate(itertools.pairwise(got), 1) if b < a)]
        assert len(begins) == 3, got
        for part in (got[a:b] for a, b in itertools.pairwise([*begins, len(got)])):
            assert part == sorted(set(part)) and len(part) >= 15, "of each publisher's 30 pictures"
        assert {p.payload_type for p in able.packets()} == {98, 102}
        s.video.unsubscribe(other, time.monotonic())
        s.video_vp8.unsubscribe(one, time.monotonic())
        assert s.transcodes_to_vp8, "stopped before it lingered"
        await until(lambda: not s.transcodes_to_vp8)
        assert s.video.taps == 0 and not s.video_vp8.live


async def test_a_codec_that_neither_helps_with_is_told() -> None:
    async with stream() as s:
        _, one, told = watch(s, {Codec.VP8: 98})
        s.video.start(Codec.H264, 90000, Source(), time.monotonic())
        s.video.start(Codec.VP9, 90000, Source(), time.monotonic())
        await asyncio.sleep(0)
        assert one.publication is s.video and told == [Codec.VP9]
        _, nothing, told = watch(s, {Codec.AV1: 45})
        s.video.start(Codec.H264, 90000, Source(), time.monotonic())
        assert nothing.publication is s.video and told == [Codec.VP9, Codec.H264]


async def test_switched_off_it_is_told_and_nothing_runs() -> None:
    async with stream(to_vp8=False) as s:
        _, one, told = watch(s, {Codec.VP8: 98})
        s.video.start(Codec.H264, 90000, Source(), time.monotonic())
        assert told == [Codec.H264] and one.publication is s.video and not s.transcodes_to_vp8 and s.video.taps == 0


async def test_an_rtmp_stream_runs_both_bridges_for_one_viewer_and_stops_both() -> None:
    async with stream() as s:
        s.publish_live(Publisher(), time.monotonic())
        config, frames = h264_frames(pictures(1.0), X264_LIVE)
        s.live.write(config)
        for item in frames[:15]:
            s.live.write(item.frame)
        viewer, one, told = watch(s, {Codec.VP8: 98})
        assert s.bridging == "to_rtp" and s.transcodes_to_vp8 and one.publication is s.video_vp8
        assert not s.video.subscriptions and not told
        await asyncio.sleep(0.2)  # longer than the linger time
        for item in frames[15:]:
            s.live.write(item.frame)
            await asyncio.sleep(0.02)
        await until(lambda: one.packets >= 8)
        assert s.bridging == "to_rtp" and not s.idle()
        assert counters(RtpViewer(90000, viewer.packets(), codec=Codec.VP8))[-1] > 15
        s.video_vp8.unsubscribe(one, time.monotonic())
        await until(lambda: s.bridging is None and not s.transcodes_to_vp8)


async def test_a_stream_that_ends_stops_it() -> None:
    async with stream() as s:
        watch(s, {Codec.VP8: 98})
        s.video.start(Codec.H264, 90000, Source(), time.monotonic())
        s.close("gone")
        assert not s.transcodes_to_vp8 and s.video.taps == 0
