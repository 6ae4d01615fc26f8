"""WebRTC → RTMP with real codecs: what an FLV player would decode, where flash and beep are in it, and bad networks."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
import pytest

from gateway.base.config import AudioConfig, BridgeConfig
from gateway.media.bridge.pool import CodecPool
from gateway.media.bridge.to_live import ToLive
from gateway.media.live.stream import LiveStream
from gateway.media.sfu.publication import Publication
from gateway.wire import aac, h264
from gateway.wire.frame import Codec
from gateway.wire.rtp import RtpPacket
from tests.media.bridge_tools import (
    BEATS,
    FPS,
    LIBVPX_LIVE,
    X264_LIVE,
    Browser,
    FrameViewer,
    Now,
    Sent,
    beeps,
    encode_pictures,
    find_beep,
    flash_times,
    pictures,
    send,
    settle,
    sine,
    speech,
    strongest,
    video_encoder,
)

SECONDS = 3.2


class Source:
    def __init__(self) -> None:
        self.asked = 0

    def request_keyframe(self) -> None:
        self.asked += 1


@dataclass
class Rig:
    live: LiveStream
    audio: Publication
    video: Publication
    bridge: ToLive
    now: Now
    viewer: FrameViewer
    source: Source
    notices: list[str]


@contextlib.asynccontextmanager
async def rig(
    *,
    audio: bool = True,
    video: Codec | None = Codec.H264,
    config: BridgeConfig | None = None,
    audio_config: AudioConfig | None = None,
    pool: CodecPool | None = None,
) -> AsyncIterator[Rig]:
    now, source = Now(), Source()
    pool = pool or CodecPool(2)
    live = LiveStream("s", clock=now)
    sound, picture = Publication("audio", "s"), Publication("video", "s")
    if audio:
        sound.start(Codec.OPUS, 48000, source, now.value)
    if video is not None:
        picture.start(video, 90000, source, now.value)
    bridge = ToLive(live, sound, picture, pool, config or BridgeConfig(), audio_config, clock=now)
    notices: list[str] = []
    bridge.notice = notices.append
    viewer = FrameViewer()
    bridge.start()
    live.add_reader(viewer)
    try:
        yield Rig(live, sound, picture, bridge, now, viewer, source, notices)
    finally:
        await bridge.stop()
        pool.close()


def h264_film(seconds: float = SECONDS, gop: int = 60, size: tuple[int, int] = (160, 96)) -> list:
    return encode_pictures(video_encoder("libx264", size, gop=gop, **X264_LIVE), pictures(seconds, size=size))


def vp8_film(seconds: float = SECONDS, gop: int = 60, size: tuple[int, int] = (160, 96)) -> list:
    return encode_pictures(video_encoder("libvpx", size, gop=gop, **LIBVPX_LIVE), pictures(seconds, size=size))


def skews(viewer: FrameViewer, rate: int = 48000) -> list[float]:
    """Beep minus flash, less what the material has, in ms."""
    samples, first = viewer.sound()
    out = []
    flashes = [shown.time for shown in viewer.shown() if shown.flash]
    for beat, made, seen in zip(BEATS, flash_times(), flashes, strict=True):
        expected = seen + (beat - made)
        out.append((find_beep(samples, rate, expected - first) + first - expected) * 1000)
    return out


@pytest.mark.parametrize("capture_times", [True, False])
@pytest.mark.parametrize("picture_delay", [0.015, 0.085])
async def test_beep_and_flash_stay_together(capture_times: bool, picture_delay: float) -> None:
    browser = Browser(capture_times=capture_times)
    async with rig() as r:
        events = browser.speak(beeps(48000, SECONDS)) + browser.film(h264_film(), delay=picture_delay)
        if not capture_times:
            events += browser.reports(SECONDS, audio_first=0.4, video_first=0.3)
        await send(events, r.audio, r.video, r.now, r.bridge)
        r.viewer.check_sound()
        limit = 1.0 if capture_times else 12.0
        assert max(abs(s) for s in skews(r.viewer)[0 if capture_times else 1 :]) < limit
        assert [s.counter for s in r.viewer.shown()] == list(range(round(SECONDS * FPS)))
        assert min(f.dts for f in r.viewer.frames if not f.config) > 0
        assert len(r.viewer.configs(Codec.H264)) == 1 and len(r.viewer.configs(Codec.AAC)) == 1
        assert r.viewer.configs(Codec.AAC)[0].data == aac.build_asc(48000, 1)


async def test_without_any_report_arrival_aligns() -> None:
    browser = Browser()
    async with rig() as r:
        events = browser.speak(beeps(48000, SECONDS), delay=0.025) + browser.film(h264_film(), delay=0.015)
        await send(events, r.audio, r.video, r.now, r.bridge)
        # An Opus packet leaves 20 ms after its first sample, the picture at once: 30 ms here, and nobody said so.
        assert max(abs(s) for s in skews(r.viewer)) < 31.0


@pytest.mark.parametrize("rate", [44100, 96000])
async def test_other_aac_rates(rate: int) -> None:
    browser = Browser(capture_times=True)
    async with rig(audio_config=AudioConfig(aac_rate=rate)) as r:
        events = browser.speak(beeps(48000, SECONDS)) + browser.film(h264_film())
        await send(events, r.audio, r.video, r.now, r.bridge)
        r.viewer.check_sound(rate)
        assert max(abs(s) for s in skews(r.viewer, rate)) < 1.0
        assert aac.parse_asc(r.viewer.configs(Codec.AAC)[0].data).sample_rate == rate


@pytest.mark.parametrize("size", [(160, 96), (162, 98), (161, 97)])
async def test_vp8_is_transcoded_at_any_size(size: tuple[int, int]) -> None:
    browser = Browser(capture_times=True)
    async with rig(video=Codec.VP8) as r:
        events = browser.speak(beeps(48000, SECONDS)) + browser.film(vp8_film(size=size, gop=1000), Codec.VP8)
        await send(events, r.audio, r.video, r.now, r.bridge)
        shown = r.viewer.shown()
        assert [s.counter for s in shown] == list(range(round(SECONDS * FPS)))
        assert {s.size for s in shown} == {(size[0] & ~1, size[1] & ~1)}
        assert max(abs(s) for s in skews(r.viewer)) < 1.0
        keys = [f.dts for f in r.viewer.picture_frames if f.keyframe]
        assert len(keys) == 2 and keys[1] - keys[0] == pytest.approx(180000, abs=3100), "a key frame every 2 s"
        sps = h264.parse_sps(h264.parse_avcc(r.viewer.configs(Codec.H264)[0].data).sps[0])
        assert sps.profile_idc == 66 and sps.may_reorder is False
        assert r.source.asked <= 1, "the browser is not asked for what we make ourselves"


async def test_vp9_is_transcoded() -> None:
    browser = Browser(capture_times=True)
    coded = encode_pictures(video_encoder("libvpx-vp9", (160, 96), gop=60, **LIBVPX_LIVE), pictures(0.6))
    async with rig(audio=False, video=Codec.VP9) as r:
        events = []
        for picture in coded:
            t = picture.pts / FPS
            head = 0x0C if picture.keyframe else 0x4C  # begins and ends a frame, P where predicted
            packet = browser.packet("video", t, round(t * 90000), bytes((head,)) + picture.data, True)
            events.append(Sent(t + 0.01, "video", packet))
        await send(events, r.audio, r.video, r.now, r.bridge)
        assert [s.counter for s in r.viewer.shown()] == list(range(18))


async def test_vp8_changes_its_size_in_the_middle() -> None:
    browser = Browser(capture_times=True)
    async with rig(audio=False, video=Codec.VP8) as r:
        events = browser.film(vp8_film(0.5), Codec.VP8)
        events += browser.film(vp8_film(0.5, size=(320, 192)), Codec.VP8, start=0.5)
        await send(events, r.audio, r.video, r.now, r.bridge)
        assert [s.size for s in r.viewer.shown()] == [(160, 96)] * 15 + [(320, 192)] * 15
        assert len(r.viewer.configs(Codec.H264)) == 2


async def test_h264_changes_its_size_in_the_middle() -> None:
    browser = Browser(capture_times=True)
    async with rig(audio=False) as r:
        events = browser.film(h264_film(0.5)) + browser.film(h264_film(0.5, size=(320, 192)), start=0.5)
        await send(events, r.audio, r.video, r.now, r.bridge)
        assert [s.size for s in r.viewer.shown()] == [(160, 96)] * 15 + [(320, 192)] * 15
        configs = r.viewer.configs(Codec.H264)
        assert [h264.parse_sps(h264.parse_avcc(c.data).sps[0]).width for c in configs] == [160, 320]
        assert all(len(h264.parse_avcc(c.data).sps) == 1 for c in configs)


async def test_the_tone_is_kept() -> None:
    browser = Browser()
    async with rig(video=None) as r:
        await send(browser.speak(sine(48000, 2.0, 997.0)), r.audio, r.video, r.now, r.bridge)
        samples, _ = r.viewer.sound()
        assert strongest(samples[9600:-9600], 48000) == pytest.approx(997.0, abs=1.0)
        assert r.live.has_audio and not r.live.has_video


# ---------------------------------------------------------------- loss


def lose(events: list[Sent], track: str, pattern: list[bool]) -> list[Sent]:
    """Leave out the packets of `track` whose place in the pattern says so."""
    out, index = [], 0
    for event in sorted(events, key=lambda e: (e.track, e.packet is None, e.at)):
        if event.track == track and event.packet is not None:
            lost = pattern[index % len(pattern)]
            index += 1
            if lost:
                continue
        out.append(event)
    return out


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("every tenth", [False] * 9 + [True]),
        ("two in a row", [False] * 18 + [True] * 2),
        ("ten in a row", [False] * 40 + [True] * 10),
        ("a third", [False, False, True]),
    ],
)
async def test_lost_sound_leaves_no_hole_and_moves_nothing(name: str, pattern: list[bool]) -> None:
    browser = Browser(capture_times=True)
    async with rig() as r:
        tone = sine(48000, SECONDS, 500.0) * 0.3
        spoken = browser.speak(tone, fec=1, packet_loss=20, bitrate=24000)
        await send(lose(spoken, "audio", pattern) + browser.film(h264_film()), r.audio, r.video, r.now, r.bridge)
        r.viewer.check_sound()
        samples, first = r.viewer.sound()
        assert len(samples) / 48000 + first > SECONDS
        assert strongest(samples[9600:-9600], 48000) == pytest.approx(500.0, abs=2.0)


async def test_a_lost_packet_is_recovered_from_the_next_one() -> None:
    browser = Browser(capture_times=True)
    async with rig(video=None) as r:
        events = browser.speak(speech(3.0), fec=1, packet_loss=20, bitrate=24000)
        await send(lose(events, "audio", [False] * 9 + [True]), r.audio, r.video, r.now, r.bridge)
        transcoder = r.bridge._sound._transcoder  # type: ignore[union-attr]
        assert transcoder.recovered + transcoder.concealed == 14 * 960
        assert transcoder.recovered >= 5 * 960


async def test_repaired_and_reordered_sound_is_whole() -> None:
    """Packets come late or swapped, none is lost: the sound is as without (nothing concealed, nothing dropped)."""
    browser = Browser(capture_times=True)
    draw = random.Random(4)
    async with rig() as r:
        events = browser.speak(beeps(48000, SECONDS)) + browser.film(h264_film())
        for event in events:
            if event.track == "audio" and draw.random() < 0.2:
                event.at += draw.random() * 0.05
        await send(events, r.audio, r.video, r.now, r.bridge)
        r.viewer.check_sound()
        transcoder = r.bridge._sound._transcoder  # type: ignore[union-attr]
        assert transcoder.dropped == transcoder.concealed == 0
        assert max(abs(s) for s in skews(r.viewer)) < 1.0


async def test_a_repaired_picture_is_waited_for() -> None:
    browser = Browser(capture_times=True)
    draw = random.Random(5)
    async with rig() as r:
        events = browser.speak(beeps(48000, SECONDS)) + browser.film(h264_film())
        for event in events:
            if event.track == "video" and draw.random() < 0.1:
                event.at += 0.1
        await send(events, r.audio, r.video, r.now, r.bridge)
        assert [s.counter for s in r.viewer.shown()] == list(range(round(SECONDS * FPS)))
        assert r.bridge.losses == 0
        assert max(abs(s) for s in skews(r.viewer)) < 1.0


async def test_what_depends_on_a_lost_picture_is_never_shown_and_a_key_frame_is_asked_for() -> None:
    browser = Browser(capture_times=True)
    async with rig(audio=False) as r:
        events = browser.film(h264_film(gop=30))
        lost = [e for e in events if e.packet is not None][50]
        asked = r.source.asked
        await send([e for e in events if e is not lost], r.audio, r.video, r.now, r.bridge)
        counters = [s.counter for s in r.viewer.shown()]
        missing = sorted(set(range(round(SECONDS * FPS))) - set(counters))
        assert 1 <= len(missing) <= 30
        assert missing == list(range(missing[0], missing[0] + len(missing)))
        assert (missing[-1] + 1) % 30 == 0, "it goes on with a key frame"
        assert r.bridge.losses == 1
        assert r.source.asked > asked


async def test_a_key_frame_behind_the_hole_ends_the_waiting_at_once() -> None:
    browser = Browser(capture_times=True)
    async with rig(audio=False) as r:
        events = browser.film(h264_film(1.0, gop=10))
        packets = [e for e in events if e.packet is not None]
        starts = [i for i, e in enumerate(packets) if e.packet.payload[3] & 31 == 7]  # type: ignore[union-attr]
        lost = packets[starts[1] - 1]  # the last picture before the second key frame
        await send([e for e in events if e is not lost], r.audio, r.video, r.now, r.bridge)
        counters = [s.counter for s in r.viewer.shown()]
        assert counters == [n for n in range(30) if n != 9]


async def test_probing_packets_without_payload_are_no_losses() -> None:
    browser = Browser(capture_times=True)
    async with rig() as r:
        coded = h264_film(1.0)
        events = []
        for index, picture in enumerate(coded):
            events += browser.film([picture])
            if index % 5 == 2:
                probe = browser.packet("video", 0.0, events[-1].packet.timestamp, b"", False)  # type: ignore[union-attr]
                events.append(Sent(events[-1].at + 0.001, "video", probe))
        spoken = browser.speak(sine(48000, 1.0, 440.0))
        await send(events + spoken, r.audio, r.video, r.now, r.bridge)
        assert [s.counter for s in r.viewer.shown()] == list(range(30))
        assert r.bridge.losses == 0


async def test_lost_vp8_waits_for_a_key_frame() -> None:
    browser = Browser(capture_times=True)
    async with rig(audio=False, video=Codec.VP8) as r:
        events = browser.film(vp8_film(gop=30), Codec.VP8)
        lost = [e for e in events if e.packet is not None][40]
        await send([e for e in events if e is not lost], r.audio, r.video, r.now, r.bridge)
        counters = [s.counter for s in r.viewer.shown()]
        missing = sorted(set(range(round(SECONDS * FPS))) - set(counters))
        assert missing and (missing[-1] + 1) % 30 == 0 and len(missing) <= 30
        assert counters == sorted(counters)


# ---------------------------------------------------------------- tracks that come and go


async def test_sound_removed_for_5_s_is_silent_and_in_step_on_return() -> None:
    """As Chromium's replaceTrack(null): packets stop, on return sequence + 1 and RTP + 20 ms."""
    browser = Browser(capture_times=True)
    seconds = 9.0
    async with rig() as r:
        early = beeps(48000, 1.5, (0.7,))
        late = beeps(48000, 2.5, (1.2,))  # captured from 6.5 s on: beep at 7.7 s
        events = browser.speak(early)
        browser.base["audio"] -= round((6.5 - 1.5) * 48000)
        browser._last_capture["audio"] = -9.0
        events += browser.speak(late, start=6.5)
        film = encode_pictures(
            video_encoder("libx264", (160, 96), gop=60, **X264_LIVE), pictures(seconds, beats=(0.7, 7.7))
        )
        events += browser.film(film)
        await send(events, r.audio, r.video, r.now, r.bridge)
        r.viewer.check_sound()
        samples, first = r.viewer.sound()
        flashes = [s.time for s in r.viewer.shown() if s.flash]
        made = flash_times(beats=(0.7, 7.7))
        for beat, time, seen in zip((0.7, 7.7), made, flashes, strict=True):
            expected = seen + beat - time - first
            assert find_beep(samples, 48000, expected) == pytest.approx(expected, abs=0.012)
        quiet = samples[int((2.5 - first + 0.1) * 48000) : int((6.0 - first) * 48000)]
        assert np.abs(quiet).max() < 1e-3
        # While it is away sound is never more than 0.2 s behind the picture.
        behind = 0
        sound_dts = 0
        for frame in r.viewer.frames:
            if frame.is_audio:
                sound_dts = frame.dts
            elif sound_dts:
                behind = max(behind, frame.dts - sound_dts)
        assert behind / 90000 < 0.2


async def test_sound_by_dtx_has_no_hole() -> None:
    """RTP time goes on, sequence numbers do not skip."""
    browser = Browser(capture_times=True)
    async with rig() as r:
        events = browser.speak(beeps(48000, SECONDS))
        kept = [e for e in events if not 1.0 < e.at < 1.5]
        for index, event in enumerate(kept):
            event.packet.seq = (1000 + index) & 0xFFFF  # type: ignore[union-attr]
        await send(kept + browser.film(h264_film()), r.audio, r.video, r.now, r.bridge)
        r.viewer.check_sound()
        assert max(abs(s) for s in skews(r.viewer)) < 1.0


async def test_audio_only_goes_on_by_our_clock_when_nothing_comes() -> None:
    browser = Browser()
    async with rig(video=None) as r:
        await send(browser.speak(sine(48000, 1.0, 440.0)), r.audio, r.video, r.now, r.bridge, until=3.0)
        r.viewer.check_sound()
        assert r.viewer.sound_frames[-1].dts / 90000 > 2.8


async def test_video_only_has_no_sound_track() -> None:
    browser = Browser()
    async with rig(audio=False) as r:
        await send(browser.film(h264_film(1.0)), r.audio, r.video, r.now, r.bridge, until=2.0)
        assert len(r.viewer.picture_frames) == 30 and not r.viewer.sound_frames
        assert r.live.has_video and not r.live.has_audio


async def test_camera_off_and_on() -> None:
    """Pictures stop for 2 s and come back with a key frame; sound goes on; no stamp runs back."""
    browser = Browser(capture_times=True)
    async with rig() as r:
        events = browser.speak(beeps(48000, 4.2, (0.7, 3.7)))
        events += browser.film(encode_pictures(video_encoder("libx264", (160, 96), **X264_LIVE), pictures(1.0)))
        browser._last_capture["video"] = -9.0
        again = encode_pictures(video_encoder("libx264", (160, 96), **X264_LIVE), pictures(1.2, beats=(0.7,)))
        events += browser.film(again, start=3.0)
        await send(events, r.audio, r.video, r.now, r.bridge)
        r.viewer.check_sound()
        stamps = [f.dts for f in r.viewer.picture_frames]
        assert stamps == sorted(set(stamps))
        samples, first = r.viewer.sound()
        flashes = [s.time for s in r.viewer.shown() if s.flash]
        assert find_beep(samples, 48000, flashes[1] - first) + first == pytest.approx(flashes[1], abs=0.002)


async def test_another_publisher_takes_the_stream() -> None:
    """New SSRCs, RTP bases and numbers: stream time goes on, nothing runs back, sound and picture stay together."""
    browser, other = Browser(seed=1, capture_times=True), Browser(seed=2, capture_times=True)
    async with rig() as r:
        await send(
            browser.speak(beeps(48000, 1.0, (0.7,))) + browser.film(h264_film(1.0)), r.audio, r.video, r.now, r.bridge
        )
        newer = Source()
        r.audio.start(Codec.OPUS, 48000, newer, r.now.value)
        r.video.start(Codec.H264, 90000, newer, r.now.value)
        await send(other.speak(beeps(48000, SECONDS)) + other.film(h264_film()), r.audio, r.video, r.now, r.bridge)
        r.viewer.check_sound()
        for frames in (r.viewer.sound_frames, r.viewer.picture_frames):
            stamps = [f.dts for f in frames]
            assert stamps == sorted(set(stamps))
        samples, first = r.viewer.sound()
        flashes = [s for s in r.viewer.shown() if s.flash]
        for beat, made, seen in zip(BEATS, flash_times(), flashes[-3:], strict=True):
            expected = seen.time + beat - made - first
            assert find_beep(samples, 48000, expected) == pytest.approx(expected, abs=0.002)


# ---------------------------------------------------------------- key frames, limits, words


async def test_key_frames_are_asked_for_at_the_start_each_2_s_and_for_new_readers() -> None:
    browser = Browser()
    async with rig(audio=False) as r:
        assert r.source.asked == 1
        await send(browser.film(h264_film(5.0, gop=1000)), r.audio, r.video, r.now, r.bridge)
        assert 3 <= r.source.asked <= 4
        asked = r.source.asked
        r.now.value += 0.6
        r.live.add_reader(FrameViewer())
        assert r.source.asked == asked + 1


async def test_transcoding_switched_off_is_said_in_words_and_sound_stays() -> None:
    browser = Browser()
    async with rig(video=Codec.VP8, config=BridgeConfig(video_transcode=False)) as r:
        await send(
            browser.speak(sine(48000, 0.5, 440.0)) + browser.film(vp8_film(0.5), Codec.VP8),
            r.audio,
            r.video,
            r.now,
            r.bridge,
        )
        assert r.viewer.sound_frames and not r.viewer.picture_frames
        assert len(r.notices) == 1 and "VP8" in r.notices[0]


async def test_without_cpu_the_picture_is_left_out_in_words_and_comes_later() -> None:
    pool = CodecPool(2)
    pool._add_busy(100.0)
    browser = Browser()
    async with rig(audio=False, video=Codec.VP8, pool=pool) as r:
        await send(browser.film(vp8_film(0.5), Codec.VP8), r.audio, r.video, r.now, r.bridge)
        assert not r.viewer.picture_frames and "left out" in r.notices[0]
        pool._busy = 0.0
        r.now.value += 6
        await send(browser.film(vp8_film(0.5), Codec.VP8, start=6.5), r.audio, r.video, r.now, r.bridge, until=7.5)
        assert r.viewer.picture_frames


async def test_a_full_queue_drops_to_the_next_key_frame_and_a_burst_of_sound_is_whole() -> None:
    browser = Browser(capture_times=True)
    async with rig(video=Codec.VP8) as r:
        events = browser.film(vp8_film(gop=30), Codec.VP8) + browser.speak(sine(48000, SECONDS, 440.0))
        for event in sorted(events, key=lambda e: e.at):
            r.now.value = 1000 + event.at
            event.packet.arrival = r.now.value  # type: ignore[union-attr]
            (r.audio if event.track == "audio" else r.video).write([event.packet], r.now.value)  # type: ignore[list-item]
        await settle(r.bridge)
        assert r.bridge.picture_overflows and not r.bridge.sound_overflows
        assert [s.counter for s in r.viewer.shown()] == [0, *range(90, 96)]
        r.viewer.check_sound()


async def test_nothing_that_comes_breaks_it() -> None:
    draw = random.Random(9)
    for codec in (Codec.H264, Codec.VP8, Codec.VP9, Codec.AV1):
        async with rig(video=codec) as r:
            for number in range(400):
                r.now.value += 0.01
                kind = draw.choice(("audio", "video"))
                payload = draw.randbytes(draw.choice((0, 1, 2, 20, 300)))
                packet = RtpPacket(
                    96,
                    draw.random() < 0.3,
                    (number + draw.choice((0, 0, 0, 5, -3, 9000))) & 0xFFFF,
                    draw.choice((number * 900, draw.getrandbits(32))),
                    1,
                    payload,
                    draw.choice((None, {5: draw.randbytes(draw.choice((1, 8, 16)))})),
                    r.now.value,
                )
                (r.audio if kind == "audio" else r.video).write([packet], r.now.value)
                if draw.random() < 0.1:
                    r.audio.sender_report(draw.getrandbits(64), draw.getrandbits(32), r.now.value)
                if number % 20 == 0:
                    r.bridge.tick(r.now.value)
                    await settle(r.bridge)
            last = {True: -1, False: -1}
            for frame in r.viewer.frames:
                assert frame.dts >= last[frame.is_audio]
                last[frame.is_audio] = frame.dts


async def test_stopping_lets_go_of_everything() -> None:
    browser = Browser()
    async with rig(video=Codec.VP8) as r:
        events = browser.speak(sine(48000, 0.5, 440.0)) + browser.film(vp8_film(0.5), Codec.VP8)
        await send(events, r.audio, r.video, r.now, r.bridge)
        lines = list(r.bridge._lines._lines)
        await r.bridge.stop("gone")
        assert not r.live.alive and r.live.request_keyframe is None
        assert r.audio.taps == r.video.taps == 0
        assert len(lines) == 2 and all(line._transcoder is None for line in lines)
        await r.bridge.stop()
