"""RTMP → WebRTC with real codecs: what a browser would decode, where flash and beep are in it, what is never sent."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

import av
import numpy as np
import pytest

from gateway.base.config import BridgeConfig
from gateway.media.bridge.pool import CodecPool
from gateway.media.bridge.to_rtp import Mode, ToRtp
from gateway.media.live.stream import LiveStream
from gateway.media.sfu.publication import Publication
from gateway.wire import h264
from gateway.wire.frame import Codec, Frame
from tests.media.bridge_tools import (
    BEATS,
    FPS,
    X264_B,
    X264_LIVE,
    Now,
    RtpViewer,
    Timed,
    aac_frames,
    beeps,
    find_beep,
    flash_times,
    h264_frames,
    picture_frame,
    pictures,
    publish,
    settle,
    sine,
    strongest,
)

SECONDS = 3.2


@dataclass
class Rig:
    live: LiveStream
    audio: Publication
    video: Publication
    bridge: ToRtp
    now: Now
    sound: RtpViewer
    picture: RtpViewer
    notices: list[str]


@contextlib.asynccontextmanager
async def rig(config: BridgeConfig | None = None, pool: CodecPool | None = None) -> AsyncIterator[Rig]:
    now = Now()
    pool = pool or CodecPool(2)
    live = LiveStream("s", clock=now)
    audio, video = Publication("audio", "s"), Publication("video", "s")
    live.start_source(now.value)
    bridge = ToRtp(live, audio, video, pool, config or BridgeConfig(), clock=now, wall_clock=lambda: 1.7e9 + now.value)
    notices: list[str] = []
    bridge.notice = notices.append
    sound, picture = RtpViewer(48000), RtpViewer(90000)
    audio.add_tap(sound, now.value)
    video.add_tap(picture, now.value)
    try:
        yield Rig(live, audio, video, bridge, now, sound, picture, notices)
    finally:
        await bridge.stop()
        pool.close()


def skews(viewer_sound: RtpViewer, viewer_picture: RtpViewer, channels: int = 1) -> list[float]:
    """Beep minus flash, less what the material has, in ms."""
    samples, first = viewer_sound.sound(channels)
    flashes = [shown.time for shown in viewer_picture.shown() if shown.flash]
    out = []
    for beat, made, seen in zip(BEATS, flash_times(), flashes, strict=True):
        expected = seen + (beat - made)
        heard = find_beep(samples, 48000, expected - first) + first
        out.append((heard - expected) * 1000)
    return out


@pytest.mark.parametrize(
    ("rate", "channels"),
    [(48000, 1), (48000, 2), (44100, 1), (44100, 2), (32000, 1), (24000, 1), (16000, 1), (8000, 1), (96000, 2)],
)
async def test_beep_and_flash_stay_together_at_every_rate(rate: int, channels: int) -> None:
    async with rig() as r:
        sound_config, sound = aac_frames(beeps(rate, SECONDS), rate, channels)
        picture_config, picture = h264_frames(pictures(SECONDS), X264_LIVE)
        r.bridge.start()
        r.live.write(sound_config)
        r.live.write(picture_config)
        await publish(r.live, r.now, r.bridge, sound + picture)
        assert r.audio.codec is Codec.OPUS and r.video.codec is Codec.H264
        assert max(abs(s) for s in skews(r.sound, r.picture, channels)) < 1.5, "a millisecond is FLV's rounding"
        assert {(b.timestamp - a.timestamp) % 2**32 for a, b in itertools.pairwise(r.sound.packets)} == {960}
        r.sound.check_order()
        r.picture.check_order()
        assert [s.counter for s in r.picture.shown()] == list(range(round(SECONDS * FPS)))
        assert r.bridge.mode is Mode.PASS


async def test_pitch_is_kept() -> None:
    async with rig() as r:
        config, sound = aac_frames(sine(44100, 2.0, 997.0), 44100, 2)
        r.bridge.start()
        r.live.write(config)
        await publish(r.live, r.now, r.bridge, sound)
        samples, _ = r.sound.sound(2)
        assert strongest(samples[9600:-4800], 48000) == pytest.approx(997.0, abs=1.0)


async def test_packets_are_as_browsers_need_them() -> None:
    async with rig() as r:
        noise = np.random.default_rng(1).integers(0, 255, (90, 240, 320), dtype=np.uint8)
        config, frames = h264_frames(list(noise), X264_LIVE | {"crf": "30"}, gop=30)
        r.bridge.start()
        r.live.write(config)
        await publish(r.live, r.now, r.bridge, frames)
        sets = h264.parse_avcc(config.data)
        times: dict[int, list[bytes]] = {}
        for packet in r.picture.packets:
            assert len(packet.payload) <= 1200
            times.setdefault(packet.timestamp, []).append(packet.payload)
        assert len(times) == len(frames)
        keyframes = 0
        for (_, nals), payloads in zip(r.picture.units(), times.values(), strict=True):
            kinds = [nal[0] & 31 for nal in nals]
            if 5 in kinds:
                keyframes += 1
                assert kinds[:2] == [7, 8] and nals[:2] == [sets.sps[0], sets.pps[0]]
                assert payloads[0][0] & 31 == 24, "parameter sets come as one STAP-A"
            assert not set(kinds) & {6, 9, 12}
            fragments = [len(p) for p in payloads if p[0] & 31 == 28]
            assert len(set(fragments[:-1])) <= 1 and fragments[-1:] <= fragments[:1], "equal, the last one shorter"
        assert keyframes == 3
        firsts = [
            packet for packet, after in itertools.pairwise(r.picture.packets) if packet.timestamp != after.timestamp
        ]
        assert all(packet.marker for packet in firsts)
        assert sum(packet.marker for packet in r.picture.packets) == len(frames)


async def test_the_first_viewer_has_the_kept_group_at_once_with_true_times() -> None:
    async with rig() as r:
        sound_config, sound = aac_frames(sine(48000, 2.0, 440.0), 48000, 1)
        config, frames = h264_frames(pictures(2.0), X264_LIVE)
        r.live.write(sound_config)
        r.live.write(config)
        await publish(r.live, r.now, None, sound + frames)
        r.bridge.start()
        await replayed(r.bridge)
        assert len(r.picture.units()) == len(frames), "without waiting for anything"
        assert not r.sound.packets, "sound begins live"
        steps = [(b - a) % 2**32 for (a, _), (b, _) in itertools.pairwise(r.picture.units())]
        assert set(steps) <= {2970, 3060}
        assert r.picture.reports, "a report at once"
        # The newest picture is now, by the report.
        newest = r.picture.seconds(r.picture.packets[-1].timestamp)
        assert newest == pytest.approx((1.7e9 + r.now.value + 2208988800) % 86400, abs=0.06)
        later = Frame(Codec.AAC, ms_after(sound), ms_after(sound), sound[-1].frame.data)
        for _ in range(3):
            later = Frame(Codec.AAC, later.dts + 1920, later.dts + 1920, later.data)
            r.live.write(later)
            await settle(r.bridge)
        assert r.sound.packets


async def replayed(bridge: ToRtp) -> None:
    """The kept group has gone out; on a busy machine that takes more than one slice."""
    for _ in range(2000):
        if not bridge._pending:
            return
        await asyncio.sleep(0)
    raise AssertionError("the replay does not end")


def ms_after(timed: list[Timed]) -> int:
    return timed[-1].frame.dts


async def test_a_long_group_is_replayed_in_slices_and_in_order() -> None:
    async with rig() as r:
        noise = np.random.default_rng(1).integers(0, 255, (4, 480, 640), dtype=np.uint8)
        config, frames = h264_frames(list(noise), X264_LIVE)
        r.live.write(config)
        ticks = 0
        for number in range(290):
            original = frames[0 if number == 0 else 1 + number % 3].frame
            ticks = number * 3000
            r.live.write(Frame(Codec.H264, ticks, ticks, original.data[: 1 << 20], keyframe=number == 0))
        r.bridge.start()
        assert r.bridge._pending, "more than one slice"
        r.live.write(Frame(Codec.H264, ticks + 3000, ticks + 3000, frames[1].frame.data, keyframe=False))
        await replayed(r.bridge)
        times = [packet.timestamp for packet in r.picture.packets if packet.marker]
        assert len(times) == 291
        assert {(b - a) % 2**32 for a, b in itertools.pairwise(times)} == {3000}


async def test_reports_stand_on_one_line_through_a_stall() -> None:
    async with rig() as r:
        sound_config, sound = aac_frames(sine(48000, 3.0, 440.0), 48000, 1)
        config, frames = h264_frames(pictures(3.0), X264_LIVE)
        r.bridge.start()
        r.live.write(sound_config)
        r.live.write(config)
        stalled = [Timed(t.at + (1.5 if t.at > 1.0 else 0.0), t.frame) for t in sound + frames]
        for index in range(10):
            part = [t for t in stalled if index * 0.5 <= t.at < index * 0.5 + 0.5]
            for item in sorted(part, key=lambda t: t.at):
                r.live.write(item.frame)
                await settle(r.bridge)
            r.now.value += 0.5
            r.bridge._tick()
        for viewer in (r.sound, r.picture):
            assert len(viewer.reports) >= 5
            first_ntp, first_rtp = viewer.reports[0]
            for ntp, rtp in viewer.reports:
                off = (ntp - first_ntp) / 2**32 - (rtp - first_rtp) % 2**32 / viewer.rate
                assert abs(off) < 0.001, "no report is off the line by more than a millisecond"


async def test_b_frames_are_transcoded_none_reaches_a_browser_and_none_is_missing() -> None:
    async with rig() as r:
        sound_config, sound = aac_frames(beeps(48000, SECONDS), 48000, 1)
        config, frames = h264_frames(pictures(SECONDS), X264_B)
        assert any(t.frame.pts != t.frame.dts for t in frames)
        r.bridge.start()
        r.live.write(sound_config)
        r.live.write(config)
        await publish(r.live, r.now, r.bridge, sound + frames)
        assert r.bridge.mode is Mode.TRANSCODE
        no_b(r.picture)
        counters = [s.counter for s in r.picture.shown()]
        made = round(SECONDS * FPS)
        assert counters == list(range(len(counters)))
        assert len(counters) >= made - 4, "the decoder holds the last ones until more come"
        assert max(abs(s) for s in skews(r.sound, r.picture)) < 1.5
        assert sum(5 in [n[0] & 31 for n in nals] for _, nals in r.picture.units()) >= 2, "a key frame every 2 s"
        assert not r.notices


def no_b(viewer: RtpViewer) -> None:
    times = []
    for rtp, nals in viewer.units():
        times.append(rtp)
        assert all(h264.slice_type(nal) is not h264.SliceType.B for nal in nals)
    assert all((b - a + 2**31) % 2**32 > 2**31 for a, b in itertools.pairwise(times)), "in order of display"


async def test_transcoding_catches_up_with_the_kept_group() -> None:
    async with rig() as r:
        config, frames = h264_frames(pictures(3.0), X264_B, gop=300)
        r.live.write(config)
        await publish(r.live, r.now, None, frames[:80])
        r.bridge.start()
        await settle(r.bridge)
        counters = [s.counter for s in r.picture.shown()]
        assert 1 <= len(counters) <= 6 and counters[0] >= 70, "decoded all, showed the newest"
        await publish(r.live, r.now, r.bridge, frames[80:])
        counters = [s.counter for s in r.picture.shown()]
        assert counters == list(range(counters[0], counters[0] + len(counters)))
        assert counters[-1] >= 85
        no_b(r.picture)


def without_vui(config: Frame) -> Frame:
    """Cut the VUI off the SPS: flag 0, then the stop bit. Nothing says then whether pictures are reordered."""
    avc = h264.parse_avcc(config.data)
    sps = avc.sps[0]
    bits = "".join(f"{byte:08b}" for byte in h264.unescape(sps[1:]))
    for end in range(len(bits) - 1, 40, -1):
        cut = bits[:end] + "0" + "1"
        cut += "0" * (-len(cut) % 8)
        short = sps[:1] + int(cut, 2).to_bytes(len(cut) // 8, "big")
        try:
            parsed = h264.parse_sps(short)
            whole = h264.parse_sps(sps)
        except Exception:
            continue
        same = (parsed.width, parsed.height) == (whole.width, whole.height)
        if same and parsed.max_num_reorder_frames is None and bits[end] == "1" and end < vui_limit(bits):
            return Frame(Codec.H264, 0, 0, h264.build_avcc([short], avc.pps), config=True)
    raise AssertionError("no VUI found")


def vui_limit(bits: str) -> int:
    """Position right behind the flag that begins the VUI, by reading the SPS as far as that."""
    reader = h264.BitReader(int(bits, 2).to_bytes(len(bits) // 8, "big"))
    reader.u(24)
    reader.ue()
    profile = int(bits[:8], 2)
    if profile in (100, 110, 122, 244):
        for _ in range(3):
            reader.ue()
        reader.u(1)
        assert not reader.u(1)
    reader.ue()
    if reader.ue() == 0:
        reader.ue()
    reader.ue()
    reader.u(1)
    reader.ue(), reader.ue()
    reader.u(2)
    if reader.u(1):
        for _ in range(4):
            reader.ue()
    return reader._position + 1


async def test_a_stream_that_shows_its_first_b_later_is_gated_before_that_frame() -> None:
    async with rig() as r:
        plain = pictures(3.0)
        config, frames = h264_frames(plain, X264_B, gop=300)
        # It begins without composition times, so nothing tells; the first B comes with the third frame.
        config = without_vui(config)
        r.bridge.start()
        r.live.write(config)
        r.live.write(Frame(Codec.H264, frames[0].frame.dts, frames[0].frame.dts, frames[0].frame.data))
        assert r.bridge.mode is Mode.PASS
        await publish(r.live, r.now, r.bridge, frames[1:])
        assert r.bridge.mode is Mode.TRANSCODE
        no_b(r.picture)
        counters = [s.counter for s in r.picture.shown()]
        assert counters[0] == 0 and len(counters) >= 80
        assert counters == sorted(counters)
        assert len(r.picture.units()) == len(counters), "everything sent is decoded"


async def test_no_vui_and_composition_times_in_the_kept_group_mean_transcode_at_once() -> None:
    async with rig() as r:
        config, frames = h264_frames(pictures(1.5), X264_B, gop=300)
        r.live.write(without_vui(config))
        for item in frames[:20]:
            r.live.write(item.frame)
        r.bridge.start()
        assert r.bridge.mode is Mode.TRANSCODE
        await publish(r.live, r.now, r.bridge, frames[20:])
        no_b(r.picture)
        assert r.picture.shown()


async def test_main_profile_without_b_frames_passes() -> None:
    async with rig() as r:
        config, frames = h264_frames(pictures(1.0), {"preset": "veryfast", "bf": "0", "profile": "main"})
        r.bridge.start()
        r.live.write(config)
        await publish(r.live, r.now, r.bridge, frames)
        assert r.bridge.mode is Mode.PASS
        assert r.picture.units()[5][1] == h264.split_avcc(frames[5].frame.data, 4)


async def test_switched_off_b_slices_that_nothing_refers_to_are_dropped() -> None:
    async with rig(BridgeConfig(b_frames="drop")) as r:
        config, frames = h264_frames(
            pictures(2.0), {"preset": "veryfast", "bf": "2", "x264-params": "b-pyramid=none:ref=1"}
        )
        r.bridge.start()
        r.live.write(config)
        await publish(r.live, r.now, r.bridge, frames)
        assert r.bridge.mode is Mode.DROP
        assert r.bridge.picture.b_dropped > 10
        no_b(r.picture)
        shown = r.picture.shown()
        assert len(shown) == len(r.picture.units()) == len(frames) - r.bridge.picture.b_dropped
        assert not r.notices


async def test_switched_off_referenced_b_slices_are_refused_in_words() -> None:
    async with rig(BridgeConfig(b_frames="drop")) as r:
        config, frames = h264_frames(pictures(2.0), X264_B | {"x264-params": "b-pyramid=normal:b-adapt=0"})
        r.bridge.start()
        r.live.write(config)
        await publish(r.live, r.now, r.bridge, frames)
        assert r.bridge.mode is Mode.REFUSED
        no_b(r.picture)
        assert len(r.notices) == 1 and "B-frames" in r.notices[0] and "bframes" not in r.notices[0].lower()[:10]


async def test_without_cpu_the_same_rules_hold_and_it_is_asked_again() -> None:
    pool = CodecPool(2)
    async with rig(pool=pool) as r:
        pool._add_busy(100.0)
        config, frames = h264_frames(pictures(2.0), X264_B | {"x264-params": "b-pyramid=normal:b-adapt=0"}, gop=30)
        r.bridge.start()
        r.live.write(config)
        await publish(r.live, r.now, r.bridge, frames[:40])
        assert r.bridge.mode is Mode.REFUSED and "CPU" in r.notices[0]
        pool._add_busy(-200.0)
        pool._busy = 0.0
        r.now.value += 10
        await publish(r.live, r.now, r.bridge, frames[40:])
        assert r.bridge.mode is Mode.TRANSCODE


async def test_a_change_of_size_goes_on_with_new_parameter_sets() -> None:
    async with rig() as r:
        r.bridge.start()
        for size in ((160, 96), (320, 192)):
            config, frames = h264_frames(pictures(0.5, size=size), X264_LIVE, start=0.5 if size[0] == 160 else 1.0)
            r.live.write(config)
            await publish(r.live, r.now, r.bridge, frames)
        assert [s.size for s in r.picture.shown()] == [(160, 96)] * 15 + [(320, 192)] * 15
        assert r.bridge.mode is Mode.PASS


async def test_in_band_parameter_sets_win_and_are_not_doubled() -> None:
    async with rig() as r:
        config, frames = h264_frames(pictures(0.3), X264_LIVE)
        avc = h264.parse_avcc(config.data)
        old, _ = h264_frames(pictures(0.3, size=(320, 192)), X264_LIVE)
        r.bridge.start()
        r.live.write(old)  # the configuration is stale
        first = frames[0].frame
        data = h264.join_avcc([b"\x09\xf0", *avc.sps, *avc.pps, b"\x06\x05\x01\x00\x80"]) + first.data
        r.live.write(Frame(Codec.H264, first.dts, first.dts, data))
        kinds = [nal[0] & 31 for nal in r.picture.units()[0][1]]
        assert kinds == [7, 8, 5]
        assert r.picture.units()[0][1][0] == avc.sps[0]


@pytest.mark.parametrize("framing", ["annexb", "2", "1"])
async def test_broken_publishers_are_tolerated(framing: str) -> None:
    async with rig() as r:
        config, frames = h264_frames(pictures(0.5), X264_LIVE | {"crf": "51"})
        avc = h264.parse_avcc(config.data)
        if framing == "annexb":
            config = Frame(Codec.H264, 0, 0, h264.join_annexb([*avc.sps, *avc.pps]), config=True)
        else:
            data = bytearray(config.data)
            data[4] = 0xFC | int(framing) - 1
            config = Frame(Codec.H264, 0, 0, bytes(data), config=True)
        r.bridge.start()
        r.live.write(config)
        sent = 0
        for item in frames:
            nals = h264.split_avcc(item.frame.data, 4)
            if framing == "annexb":
                data = h264.join_annexb(nals)
            elif max(map(len, nals)) >= 256 ** int(framing):
                continue
            else:
                data = b"".join(len(nal).to_bytes(int(framing), "big") + nal for nal in nals)
            sent += 1
            r.live.write(Frame(Codec.H264, item.frame.dts, item.frame.pts, data, keyframe=item.frame.keyframe))
        if framing != "1":
            assert len(r.picture.units()) == sent == 15
        assert r.bridge.damaged == 0


async def test_garbage_is_counted_and_nothing_breaks() -> None:
    async with rig() as r:
        sound_config, sound = aac_frames(sine(48000, 1.0, 440.0), 48000, 1)
        config, frames = h264_frames(pictures(1.0), X264_LIVE)
        r.bridge.start()
        r.live.write(Frame(Codec.H264, 0, 0, b"\x01\x02", config=True))
        r.live.write(Frame(Codec.AAC, 0, 0, b"\xff", config=True))
        r.live.write(sound_config)
        r.live.write(config)
        draw = np.random.default_rng(2)
        for index, item in enumerate(sorted(sound + frames, key=lambda t: t.at)):
            frame = item.frame
            if index % 7 == 3:
                frame = Frame(frame.codec, frame.dts, frame.pts, draw.bytes(len(frame.data)), keyframe=frame.keyframe)
            r.live.write(frame)
            await settle(r.bridge)
        assert r.bridge.damaged
        assert r.sound.packets and r.picture.packets
        assert {(b.timestamp - a.timestamp) % 2**32 for a, b in itertools.pairwise(r.sound.packets)} == {960}


@pytest.mark.parametrize("hole", [0.4, 5.0])
async def test_a_hole_in_the_sound_does_not_move_what_follows(hole: float) -> None:
    async with rig() as r:
        seconds = 3.2
        config, sound = aac_frames(beeps(48000, seconds), 48000, 1)
        later = [
            Timed(
                t.at + hole, Frame(Codec.AAC, t.frame.dts + ms_ticks(hole), t.frame.dts + ms_ticks(hole), t.frame.data)
            )
            for t in sound
            if t.frame.dts > 2.0 * 90000
        ]
        early = [t for t in sound if t.frame.dts <= 2.0 * 90000]
        r.bridge.start()
        r.live.write(config)
        await publish(r.live, r.now, r.bridge, early + later)
        steps = [(b.timestamp - a.timestamp) % 2**32 for a, b in itertools.pairwise(r.sound.packets)]
        if hole < 1.0:
            assert set(steps) == {960}, "a short hole is silence"
        else:
            assert sorted(set(steps))[0] == 960 and len([s for s in steps if s != 960]) == 1
        # The last beep (at 2.7 s of the material) is `hole` later, to half a millisecond.
        samples = []
        previous = r.sound.packets[0].timestamp
        decoded, _ = r.sound.sound()
        for index, packet in enumerate(r.sound.packets):
            gap = (packet.timestamp - previous) % 2**32
            if index and gap > 960:
                samples.append(np.zeros(gap - 960, np.float32))
            samples.append(decoded[index * 960 : index * 960 + 960])
            previous = packet.timestamp
        track = np.concatenate(samples)
        first = find_beep(track, 48000, BEATS[0] + 0.02)
        last = find_beep(track, 48000, BEATS[2] + hole + 0.02)
        assert last - first == pytest.approx(BEATS[2] - BEATS[0] + hole, abs=0.002)


def ms_ticks(seconds: float) -> int:
    return round(seconds * 1000) * 90


async def test_a_new_sound_configuration_keeps_the_count() -> None:
    async with rig() as r:
        r.bridge.start()
        first_config, first = aac_frames(sine(48000, 1.0, 440.0), 48000, 1, start=0.5)
        r.live.write(first_config)
        await publish(r.live, r.now, r.bridge, first)
        second_config, second = aac_frames(sine(44100, 1.0, 880.0), 44100, 2, start=1.55)
        r.live.write(second_config)
        await publish(r.live, r.now, r.bridge, second)
        assert {(b.timestamp - a.timestamp) % 2**32 for a, b in itertools.pairwise(r.sound.packets)} == {960}
        samples, _ = r.sound.sound(2)
        assert strongest(samples[9600:38400], 48000) == pytest.approx(440, abs=3)
        assert strongest(samples[-33600:-4800], 48000) == pytest.approx(880, abs=3)


async def test_wall_clock_stamps_move_reports_and_no_sample() -> None:
    """A card 500 ppm off for 60 s: 30 ms, said in the reports only."""
    async with rig() as r:
        config, sound = aac_frames(sine(48000, 1.0, 440.0), 48000, 1)
        r.bridge.start()
        r.live.write(config)
        data = sound[5].frame.data
        for number in range(2800):
            true = 0.5 + number * 1024 / 48000 * (1 + 500e-6)
            r.now.value = 1000 + true
            ticks = int(true * 1000) * 90
            r.live.write(Frame(Codec.AAC, ticks, ticks, data))
            if number % 8 == 7:
                await settle(r.bridge)
            if number % 47 == 0:
                r.bridge._tick()
        steps = {(b.timestamp - a.timestamp) % 2**32 for a, b in itertools.pairwise(r.sound.packets)}
        assert steps == {960}
        drift = [
            ((rtp - r.sound.reports[0][1]) % 2**32) / 48000 - (ntp - r.sound.reports[0][0]) / 2**32
            for ntp, rtp in r.sound.reports
        ]
        assert drift[-1] == pytest.approx(-0.030, abs=0.003)


async def test_stopping_lets_go_of_everything() -> None:
    async with rig() as r:
        config, sound = aac_frames(sine(48000, 1.0, 440.0), 48000, 1)
        pconfig, frames = h264_frames(pictures(1.0), X264_B)
        r.bridge.start()
        r.live.write(config)
        r.live.write(pconfig)
        for item in sorted(sound + frames, key=lambda t: t.at)[:30]:
            r.live.write(item.frame)
        lines = list(r.bridge._lines._lines)
        await r.bridge.stop()
        assert r.bridge not in r.live.readers
        assert not r.audio.live and not r.video.live and not r.video.keep_gop
        assert len(lines) == 2 and all(line._transcoder is None for line in lines)
        await r.bridge.stop()
        count = len(r.picture.packets)
        r.live.write(frames[-1].frame)
        assert len(r.picture.packets) == count


def container(encoder: str, options: dict[str, str]) -> tuple[bytes, list[tuple[int, int, bool, bytes]]]:
    """Encode one second and read it back from MP4: the decoder configuration, [(dts, pts, keyframe, data)] in ticks."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream(encoder, rate=FPS)
        stream.width, stream.height, stream.pix_fmt, stream.options = 160, 96, "yuv420p", options
        for number, image in enumerate(pictures(1.0)):
            out.mux(stream.encode(picture_frame(image, number)))
        out.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as read:
        stream = read.streams.video[0]
        packets = [p for p in read.demux(stream) if p.size]
        scale = stream.time_base * 90000
        coded = [(round(p.dts * scale), round(p.pts * scale), p.is_keyframe, bytes(p)) for p in packets]
        return bytes(stream.codec_context.extradata or b""), coded


@pytest.mark.parametrize(
    ("codec", "encoder", "options"),
    [
        (Codec.HEVC, "libx265", {"preset": "ultrafast", "x265-params": "log-level=none"}),
        (Codec.AV1, "libsvtav1", {"preset": "12"}),
        (Codec.VP9, "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    ],
)
async def test_enhanced_rtmp_is_transcoded(codec: Codec, encoder: str, options: dict[str, str]) -> None:
    config, coded = container(encoder, options)
    async with rig() as r:
        r.bridge.start()
        r.live.write(Frame(codec, 0, 0, config, config=True))
        for dts, pts, keyframe, data in coded:
            r.live.write(Frame(codec, dts + 45000, pts + 45000, data, keyframe=keyframe))
            await settle(r.bridge)
        assert r.bridge.mode is Mode.TRANSCODE
        counters = [s.counter for s in r.picture.shown()]
        assert counters == list(range(len(counters))) and len(counters) >= 26


async def test_a_burst_after_a_stall_is_whole() -> None:
    """TCP brings two seconds at once: every picture and every sample of it goes out."""
    async with rig() as r:
        sound_config, sound = aac_frames(beeps(48000, SECONDS), 48000, 1)
        config, frames = h264_frames(pictures(SECONDS), X264_LIVE)
        r.bridge.start()
        r.live.write(sound_config)
        r.live.write(config)
        for item in sorted(sound + frames, key=lambda t: t.at):
            r.now.value = 1000 + (item.at if item.at < 1.0 else 3.0)
            r.live.write(item.frame)
            if item.at < 1.0:
                await settle(r.bridge)
        await settle(r.bridge)
        assert r.bridge.sound.overflows == 0
        assert {(b.timestamp - a.timestamp) % 2**32 for a, b in itertools.pairwise(r.sound.packets)} == {960}
        assert max(abs(s) for s in skews(r.sound, r.picture)) < 1.5
