"""What the demo peer encodes and decodes: sources, clips, watchers, without a server."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from gateway.base.errors import ConfigError
from gateway.demo.clip import ClipSource, open_clip
from gateway.demo.encode import Tag
from gateway.demo.presets import MODES, QUALITIES
from gateway.demo.sound import tone_of
from gateway.demo.source import ClockSource, Source
from gateway.demo.watch import Happened, Watcher
from gateway.wire import h264
from gateway.wire.rtmp.session import AudioReceived, VideoReceived
from tests.e2e.content import Maker, write_file


def collect(source: Source, seconds: float, *, key_at: float | None = None) -> list[Tag]:
    tags: list[Tag] = []
    lock = threading.Lock()

    def sink(tag: Tag) -> None:
        with lock:
            tags.append(tag)

    source.start(sink)
    if key_at is not None:
        time.sleep(key_at)
        source.want_keyframe()
        seconds -= key_at
    time.sleep(seconds)
    source.stop()
    source.stop()
    return tags


def watch(tags: list[Tag]) -> tuple[Watcher, Happened]:
    watcher = Watcher()
    batch = [(VideoReceived if tag.video else AudioReceived)(tag.time_ms, tag.body) for tag in tags]
    return watcher, watcher.feed(batch)


@pytest.mark.parametrize("quality", ["high", "low"])
def test_the_clock_is_what_phones_send(quality: str) -> None:
    tags = collect(ClockSource("alice", MODES["RTC"], QUALITIES[quality]), 1.4, key_at=0.7)
    pictures = [tag for tag in tags if tag.video and not tag.config]
    sounds = [tag for tag in tags if not tag.video and not tag.config]
    config = next(tag for tag in tags if tag.video and tag.config)
    sps = h264.parse_sps(h264.parse_avcc(config.body[5:]).sps[0])
    assert (sps.width, sps.height, sps.profile_idc) == (360, 640, 66)
    assert not sps.may_reorder
    assert pictures[0].keyframe and sum(tag.keyframe for tag in pictures) == 2  # the first, and the one asked for
    for line in (pictures, sounds):
        times = [tag.time_ms for tag in line]
        assert times == sorted(times)
    rate = QUALITIES[quality].rate
    assert abs(sounds[-1].time_ms - sounds[0].time_ms - (len(sounds) - 1) * 1024000 // rate) <= 1
    assert abs(pictures[-1].time_ms - sounds[-1].time_ms) < 200
    watcher, happened = watch(tags)
    assert happened.key_frame and happened.picture and happened.sound and happened.resized is None
    assert not happened.video_failed + happened.audio_failed
    report = watcher.take(time.monotonic() + 1)
    assert (report.width, report.height) == (360, 640)
    assert report.level_db is not None and report.level_db > -40
    assert abs(report.tone_hz - tone_of("alice")) < 15
    assert report.delay_ms is not None and report.delay_ms < 2000
    later = watcher.take(time.monotonic() + 2)
    assert (later.width, later.level_db, later.delay_ms) == (0, None, None)
    assert later.words == "no picture 0 kbit/s, no sound"


def test_a_phone_like_clip_passes_through_and_loops(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.mp4", Maker(7, 900), 1)
    clip = open_clip(path)
    assert clip.avcc and clip.asc
    tags = collect(ClipSource(clip, MODES["RTC"], QUALITIES["high"]), 1.5)
    pictures = [tag for tag in tags if tag.video and not tag.config]
    assert len(pictures) > 17  # 15 a second: it began again
    assert sum(tag.config for tag in tags) == 2
    gaps = np.diff([tag.time_ms for tag in pictures])
    assert gaps.min() > 40 and gaps.max() < 140
    assert np.diff([tag.time_ms for tag in tags if not tag.video and not tag.config]).min() >= 0
    _, happened = watch(tags)
    assert happened.picture and happened.sound and not happened.video_failed + happened.audio_failed


@pytest.mark.parametrize("kind", ["b-frames", "vp8"])
def test_another_clip_is_transcoded(tmp_path: Path, kind: str) -> None:
    maker = Maker(7, 900, 960, 540, 30)
    if kind == "vp8":
        path = write_file(tmp_path / "a.webm", maker, 1, video="vp8")
    else:
        path = write_file(tmp_path / "a.mp4", maker, 1, x264={"preset": "veryfast", "bf": "3", "g": "30"})
    clip = open_clip(path)
    assert clip.avcc is None
    assert (clip.asc is None) == (kind == "vp8")
    tags = collect(ClipSource(clip, MODES["RTC"], QUALITIES["high"]), 1.3)
    times = [tag.time_ms for tag in tags if tag.video and not tag.config]
    assert times == sorted(times) and len(times) > 30
    watcher, happened = watch(tags)
    assert happened.picture and happened.sound and not happened.video_failed + happened.audio_failed
    report = watcher.take(time.monotonic())
    assert (report.width, report.height) == (640, 360)
    assert abs(report.tone_hz - 900) < 15


def test_sound_alone_is_a_clip_too(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.full((1, 8000), 9000, np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    clip = open_clip(path)
    assert clip.video is None
    source = ClipSource(clip, MODES["RTC"], QUALITIES["low"])
    assert "width" not in source.metadata
    assert len(collect(source, 0.5)) > 3


@pytest.mark.parametrize("content", [None, b"", b"no film at all" * 100])
def test_what_is_no_clip_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"--file .*give a video file"):
        open_clip(path)


def test_damaged_media_is_said_and_not_raised() -> None:
    tags = collect(ClockSource("bob", MODES["RTC"], QUALITIES["high"]), 0.5)
    rng = np.random.default_rng(5)
    for _ in range(20):
        damaged = []
        for tag in tags:
            body = bytearray(tag.body)
            for at in rng.integers(0, len(body), 3):
                body[at] = int(rng.integers(256))
            damaged.append(Tag(tag.video, tag.time_ms, bytes(body)))
        watch(damaged)


def test_a_change_of_size_is_noticed() -> None:
    watcher, _ = watch(collect(ClockSource("bob", MODES["RTC"], QUALITIES["high"]), 0.4))
    tags = collect(ClockSource("bob", MODES["HD"], QUALITIES["high"]), 0.5)
    happened = watcher.feed([VideoReceived(tag.time_ms, tag.body) for tag in tags if tag.video])
    assert happened.resized == (540, 960)
