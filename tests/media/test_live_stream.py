"""LiveStream: what newcomers get, what is kept, continuous time over changes of source, the end."""

from __future__ import annotations

import asyncio

import pytest

from gateway.base.config import LiveConfig
from gateway.media.live.stream import LiveStream, Start
from gateway.wire.frame import TICKS, Codec, Frame, Metadata


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Collector:
    """A reader that keeps what it gets."""

    def __init__(self, audio: bool = True, video: bool = True) -> None:
        self.audio = audio
        self.video = video
        self.wants_keyframes = True
        self.frames: list[Frame] = []
        self.told: list[Metadata] = []
        self.end: str | None = None

    def deliver(self, frame: Frame) -> None:
        self.frames.append(frame)

    def metadata(self, metadata: Metadata) -> None:
        self.told.append(metadata)

    def stopped(self, reason: str) -> None:
        self.end = reason

    @property
    def shown(self) -> list[str]:
        return [show(frame) for frame in self.frames]


def show(frame: Frame) -> str:
    kind = "a" if frame.is_audio else "v"
    return kind + ("c" if frame.config else "K" if frame.is_video and frame.keyframe else "") + str(frame.dts // 90)


def vconfig(data: bytes = b"sps") -> Frame:
    return Frame(Codec.H264, 0, 0, data, config=True)


def aconfig(data: bytes = b"asc") -> Frame:
    return Frame(Codec.AAC, 0, 0, data, config=True)


def video(ms: int, key: bool = False, size: int = 10, cts: int = 0) -> Frame:
    return Frame(Codec.H264, ms * 90, (ms + cts) * 90, bytes(size), keyframe=key)


def audio(ms: int) -> Frame:
    return Frame(Codec.AAC, ms * 90, ms * 90, b"a")


def stream(clock: Clock | None = None, **config: float) -> LiveStream:
    live = LiveStream("s", LiveConfig(**config), clock=clock or Clock(), linger_s=0.05)  # type: ignore[arg-type]
    live.start_source(100.0)
    return live


def feed(live: LiveStream, *frames: Frame) -> None:
    for frame in frames:
        live.write(frame)


@pytest.mark.parametrize("start", [Start.GOP, Start.NEWEST_KEY])
def test_a_newcomer_gets_metadata_configurations_and_the_group(start: Start) -> None:
    live = stream()
    feed(live, vconfig(), aconfig(), video(0, True), audio(5), video(40), video(80, True), audio(90), video(120))
    metadata = Metadata({"width": 1.0})
    live.write_metadata(metadata)
    reader = Collector()
    live.add_reader(reader, start)
    assert reader.told == [metadata]
    assert reader.shown == ["vc80", "ac80", "vK80", "a90", "v120"], "configurations carry the time of the first frame"
    feed(live, audio(130), video(160))
    assert reader.shown[5:] == ["a130", "v160"]


def test_start_live_waits_for_a_key_frame_but_not_for_sound() -> None:
    live = stream()
    feed(live, vconfig(), aconfig(), video(0, True), video(40))
    reader = Collector()
    live.add_reader(reader, Start.LIVE)
    feed(live, video(80), audio(85), video(120, True), video(160))
    assert reader.shown == ["vc40", "ac40", "a85", "vK120", "v160"]


def test_frames_are_shared_not_copied() -> None:
    live = stream()
    one, two = Collector(), Collector()
    live.add_reader(one)
    live.add_reader(two)
    feed(live, video(0, True))
    assert one.frames[0] is two.frames[0]


def test_nothing_before_the_first_key_frame() -> None:
    live = stream()
    reader = Collector()
    live.add_reader(reader)
    feed(live, vconfig(), video(0), video(40), audio(41), video(80, True), video(120))
    assert reader.shown == ["vc0", "a41", "vK80", "v120"]
    assert live.dropped == 2


def test_kinds_that_are_not_wanted_are_left_out() -> None:
    live = stream()
    feed(live, vconfig(), aconfig(), video(0, True), audio(1))
    ear, eye = Collector(video=False), Collector(audio=False)
    live.add_reader(ear)
    live.add_reader(eye)
    feed(live, video(40), audio(41))
    assert ear.shown == ["ac1", "a41"]
    assert eye.shown == ["vc0", "vK0", "v40"]


def test_a_kind_switched_off_and_on_again() -> None:
    live = stream()
    reader = Collector()
    live.add_reader(reader)
    feed(live, video(0, True))
    reader.video = False
    live.refresh(reader)
    feed(live, video(40), audio(41))
    reader.video = True
    live.refresh(reader)
    feed(live, video(80), video(120, True))
    assert reader.shown == ["vK0", "a41", "vK120"]


def test_a_repeated_configuration_is_not_passed_on_and_a_new_one_is() -> None:
    live = stream()
    reader = Collector()
    live.add_reader(reader)
    feed(live, vconfig(), video(0, True), vconfig(), video(40), vconfig(b"other"), video(80), video(120, True))
    assert reader.shown == ["vc0", "vK0", "v40", "vc40", "vK120"]
    assert live.configs["video"].data == b"other"
    late = Collector()
    live.add_reader(late)
    assert late.shown == ["vc120", "vK120"], "nothing coded under the old configuration is kept"


def test_group_limits_in_time_bytes_and_frames() -> None:
    for live in (stream(gop_seconds=1.0), stream(gop_bytes=25 * 10), stream(gop_frames=25)):
        feed(live, video(0, True), *[video(40 * i) for i in range(1, 25)])
        assert len(live.gop) == 25
        feed(live, *[video(40 * i) for i in range(25, 30)])
        assert live.gop == [], "then nothing, until the next key frame"
        reader = Collector()
        live.add_reader(reader)
        feed(live, audio(1200), video(1200), video(1240, True), video(1280))
        assert reader.shown == ["a1200", "vK1240", "v1280"]
        assert len(live.gop) == 2


def test_sound_alone_is_not_kept() -> None:
    live = stream()
    feed(live, aconfig(), *[audio(21 * i) for i in range(1000)])
    assert live.gop == []
    reader = Collector()
    live.add_reader(reader)
    assert reader.shown == ["ac20979"]
    assert (live.has_audio, live.has_video) == (True, False)


def test_time_goes_on_when_the_source_changes() -> None:
    clock = Clock()
    live = stream(clock)
    reader = Collector()
    live.add_reader(reader)
    feed(live, vconfig(), video(5000, True), audio(5010), video(5040, cts=80))
    live.start_source(clock.now)  # another publisher, whose time begins at 0; 2 s later it sends
    clock.now += 2.0
    feed(live, vconfig(), aconfig(), video(0), video(40, True, cts=40), audio(30), video(80))
    assert reader.shown == ["vc0", "vK5000", "a5010", "v5040", "vc5040", "ac5040", "vK7080", "a7070", "v7120"]
    assert [f.pts - f.dts for f in reader.frames if f.is_video and not f.config] == [0, 80 * 90, 40 * 90, 0]


def test_time_never_runs_back_within_a_track() -> None:
    clock = Clock()
    live = stream(clock)
    reader = Collector()
    live.add_reader(reader)
    feed(live, video(1000, True), audio(1200), video(1240))
    live.start_source(clock.now)
    feed(live, video(500, True), audio(100), audio(121), audio(600), video(540))
    for kind in (True, False):
        times = [f.dts for f in reader.frames if f.is_audio is kind]
        assert times == sorted(times)
    assert reader.frames[3].dts == (1240 + 40) * 90


def test_what_the_old_source_left_is_not_given_to_newcomers() -> None:
    live = stream()
    feed(live, vconfig(), aconfig(), video(0, True), video(40))
    live.write_metadata(Metadata({}))
    live.start_source(100.0)
    reader = Collector()
    live.add_reader(reader)
    assert (reader.shown, reader.told) == ([], [])
    feed(live, vconfig(), video(0, True))
    assert reader.shown == ["vc40", "vK80"]


def test_without_a_source_frames_are_dropped() -> None:
    live = LiveStream("s", clock=Clock())
    reader = Collector()
    live.add_reader(reader)
    feed(live, video(0, True))
    live.write_metadata(Metadata({}))
    assert (reader.shown, reader.told, live.dropped) == ([], [], 1)


async def test_readers_live_through_a_short_absence_and_end_after_a_long_one() -> None:
    live = stream()
    reader, late = Collector(), Collector()
    live.add_reader(reader)
    feed(live, video(0, True))
    live.stop_source("unpublished")
    assert not live.alive
    assert not live.has_video
    live.add_reader(late)
    assert late.shown == []
    live.start_source(100.0)
    feed(live, video(0, True))
    await asyncio.sleep(0.1)
    assert reader.end is None
    assert reader.shown == ["vK0", "vK40"]
    live.stop_source("unpublished")
    await asyncio.sleep(0.1)
    assert (reader.end, late.end) == ("unpublished", "unpublished")
    assert live.readers == ()


async def test_close_ends_everybody_and_the_stream_can_be_used_again() -> None:
    live = stream()
    reader = Collector()
    live.add_reader(reader)
    live.close("server stops")
    assert reader.end == "server stops"
    live.start_source(100.0)
    live.add_reader(reader)
    feed(live, video(0, True))
    assert reader.shown == ["vK0"]


def test_demand_follows_the_number_of_readers() -> None:
    live = stream()
    calls: list[bool] = []
    live.demand = calls.append
    one, two = Collector(), Collector()
    live.add_reader(one)
    live.add_reader(one)
    live.add_reader(two)
    live.remove_reader(one)
    live.remove_reader(one)
    live.remove_reader(two)
    assert calls == [True, False]


def test_kinds_are_told_when_they_change() -> None:
    live = LiveStream("s", clock=Clock())
    seen: list[tuple[bool, bool]] = []
    live.kinds_changed = lambda: seen.append((live.has_audio, live.has_video))
    live.start_source(1.0)
    feed(live, aconfig(), audio(0), video(1, True), video(40))
    live.close("x")
    assert seen == [(True, False), (True, True), (False, False)]


def test_kinds_of_a_new_source_stand_until_it_has_shown_its_own() -> None:
    clock = Clock()
    live = stream(clock)
    changes: list[tuple[bool, bool]] = []
    feed(live, audio(0), video(1, True))
    live.kinds_changed = lambda: changes.append((live.has_audio, live.has_video))
    live.start_source(clock.now)
    feed(live, audio(0))
    assert (live.has_audio, live.has_video, changes) == (True, True, [])
    clock.now += 2.5
    feed(live, audio(2500))
    assert changes == [(True, False)]
    feed(live, video(2600, True))
    assert changes == [(True, False), (True, True)]


def test_a_reader_that_fails_is_removed_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    live = stream()

    class Broken(Collector):
        def deliver(self, frame: Frame) -> None:
            raise RuntimeError("boom")

    broken, good = Broken(), Collector()
    live.add_reader(broken)
    live.add_reader(good)
    feed(live, video(0, True), video(40))
    assert good.shown == ["vK0", "v40"]
    assert broken.end == "internal error"
    assert live.readers == (good,)


async def test_a_source_that_can_make_key_frames_is_asked_and_the_group_waits_for_it() -> None:
    live = stream()
    asked: list[int] = []
    live.request_keyframe = lambda: asked.append(1)
    feed(live, vconfig(), aconfig(), video(0, True), video(500), video(1000))
    quick, slow = Collector(), Collector()
    live.add_reader(quick)
    assert asked == [1]
    assert quick.shown == []
    feed(live, audio(1010), video(1040, True), video(1080))
    assert quick.shown == ["vc1040", "ac1040", "vK1040", "v1080"], "younger material came in time"
    feed(live, video(1500))
    live.add_reader(slow)
    await asyncio.sleep(0.35)
    assert slow.shown == ["vc1040", "ac1040", "vK1040", "v1080", "v1500"], "none came: the kept group it is"
    fresh = Collector()
    feed(live, video(1600, True))
    live.add_reader(fresh)
    assert fresh.shown == ["vc1600", "ac1600", "vK1600"]
    assert asked == [1, 1]


async def test_a_held_reader_may_leave() -> None:
    live = stream()
    live.request_keyframe = lambda: None
    feed(live, video(0, True), video(1000))
    reader = Collector()
    live.add_reader(reader)
    live.remove_reader(reader)
    await asyncio.sleep(0.35)
    assert reader.shown == []


async def test_wait_alive() -> None:
    live = LiveStream("s", clock=Clock())
    assert not await live.wait_alive(0.01)
    waiting = asyncio.ensure_future(live.wait_alive(5.0))
    await asyncio.sleep(0)
    live.start_source(1.0)
    assert await waiting
    assert await live.wait_alive(0.0)


def test_stream_time_of_days() -> None:
    live = stream()
    reader = Collector()
    live.add_reader(reader)
    days = 60 * 86400 * TICKS
    feed(live, Frame(Codec.H264, days, days, b"x", keyframe=True))
    assert reader.frames[0].dts == days
