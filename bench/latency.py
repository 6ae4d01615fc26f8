"""What the bridge adds: latency and CPU per stream of each transcoder and of both directions, in this process.

The transcoders alone are timed in CPU seconds per second of media. The directions run in real time: `--streams` equal
streams for `--seconds`; their CPU is that of the whole process, less that of the same event loop doing the same
writes with the bridge left out. Latency is from handing in the frame or packet that completes something to the
moment it comes out on the other side; a coder's own framing (20 ms, 21.3 ms) shows as waiting.
"""

from __future__ import annotations

import argparse
import asyncio
import fractions
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import av
import numpy as np

from gateway.base.config import AudioConfig, BridgeConfig
from gateway.media.bridge.picture import PictureIn, VideoToH264
from gateway.media.bridge.pool import CodecPool
from gateway.media.bridge.sound import BROWSER_DELAY, AacToOpus, OpusIn, OpusToAac, SoundIn
from gateway.media.bridge.to_live import ToLive
from gateway.media.bridge.to_rtp import ToRtp
from gateway.media.live.stream import LiveStream
from gateway.media.sfu.publication import Publication
from gateway.wire import h264
from gateway.wire.frame import Codec, Frame, Metadata
from gateway.wire.payload import H264Packetizer, Vp8Packetizer
from gateway.wire.rtp import RtpPacket


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each direction runs (default 4)")
    parser.add_argument("--streams", type=int, default=4, help="streams at once in each direction (default 4)")


# ---------------------------------------------------------------- material


def sound(rate: int, seconds: float) -> np.ndarray:
    """A mix that costs an encoder what speech over music does."""
    t = np.arange(round(rate * seconds)) / rate
    tones = 0.3 * np.sin(2 * np.pi * 440 * t) + 0.2 * np.sin(2 * np.pi * 3000 * t * (1 + 0.1 * np.sin(t)))
    return (tones + 0.05 * np.random.default_rng(0).standard_normal(len(t))).astype(np.float32)


def code_sound(name: str, rate: int, channels: int, step: int, seconds: float) -> tuple[bytes, list[bytes]]:
    context = av.CodecContext.create(name, "w")
    fmt = "fltp" if name == "aac" else "flt"
    context.sample_rate, context.layout, context.format = rate, "mono" if channels == 1 else "stereo", fmt
    context.bit_rate, context.time_base = 64000, fractions.Fraction(1, rate)
    context.open()
    samples, out = sound(rate, seconds), []
    for position in range(0, len(samples) - step + 1, step):
        part = samples[position : position + step]
        data = np.stack([part] * channels) if fmt == "fltp" else np.repeat(part, channels)[None]
        frame = av.AudioFrame.from_ndarray(data, format=fmt, layout=context.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate, position, fractions.Fraction(1, rate)
        out += [bytes(packet) for packet in context.encode(frame)]
    return bytes(context.extradata or b""), out


def code_picture(
    name: str, size: tuple[int, int], fps: int, count: int, **options: str
) -> list[tuple[int, int, bool, bytes]]:
    """Return [(dts, pts, keyframe, data)] of a moving, noisy picture, 1 Mbit/s."""
    context = av.CodecContext.create(name, "w")
    context.width, context.height, context.pix_fmt = *size, "yuv420p"
    context.time_base, context.framerate = fractions.Fraction(1, fps), fractions.Fraction(fps)
    context.gop_size, context.bit_rate, context.thread_count = 2 * fps, 1_000_000, 1
    context.options = {name.replace("_", "-"): value for name, value in options.items()}
    width, height = size
    rng = np.random.default_rng(1)
    coarse = rng.integers(40, 200, (height * 3 // 16 + 2, width // 8 + count + 2), dtype=np.uint8)
    packets = []
    for number in range(count):
        view = coarse[:, number : number + width // 8]
        image = np.repeat(np.repeat(view, 8, 0), 8, 1)[: height * 3 // 2, :width].copy()
        image[:height] ^= rng.integers(0, 3, (height, width), dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="yuv420p")
        frame.pts, frame.time_base = number, fractions.Fraction(1, fps)
        packets += context.encode(frame)
    packets += context.encode(None)
    return [(p.dts, p.pts, p.is_keyframe, bytes(p)) for p in packets]


X264 = {"preset": "veryfast", "tune": "zerolatency", "profile": "baseline"}
LIBVPX = {"deadline": "realtime", "cpu_used": "8", "lag_in_frames": "0"}


# ---------------------------------------------------------------- transcoders alone


def cost(name: str, seconds: float, work: Callable[[], object], target: str = "") -> None:
    """Print the CPU of `work` as a share of a core, best of three."""
    shares = []
    for _ in range(3):
        begun = time.process_time()
        work()
        shares.append((time.process_time() - begun) / seconds * 100)
    print(f"  {name:<44} {min(shares):6.2f} % of a core{f'   (target {target})' if target else ''}", flush=True)


def transcoders() -> None:
    print("Transcoders alone, CPU per stream:")
    seconds = 10.0
    for rate, channels in ((48000, 1), (48000, 2), (44100, 2), (16000, 1)):
        config, frames = code_sound("aac", rate, channels, 1024, seconds)
        items = [
            SoundIn(data, 1024 * 48000 / rate, 0 if not index else None, config if not index else None, channels)
            for index, data in enumerate(frames)
        ]
        cost(
            f"AAC {rate} {'mono' if channels == 1 else 'stereo'} → Opus",
            seconds,
            lambda i=items: _each(AacToOpus(Codec.AAC), i),
            "1.3 %",
        )
    for channels in (1, 2):
        _, packets = code_sound("libopus", 48000, channels, 960, seconds)
        opus_items = [OpusIn(48000 + 960 * index - BROWSER_DELAY, data) for index, data in enumerate(packets)]
        for rate in (48000, 96000):
            cost(
                f"Opus {'mono' if channels == 1 else 'stereo'} → AAC {rate}",
                seconds,
                lambda items=opus_items, channels=channels, rate=rate: _each(OpusToAac(channels, rate=rate), items),
                "2 %" if rate == 48000 else "",
            )
    for name, codec, encoder, options in (
        ("VP8", Codec.VP8, "libvpx", LIBVPX),
        ("H.264 with B-frames", Codec.H264, "libx264", {"preset": "veryfast", "bf": "3"}),
    ):
        for size, fps in (((640, 360), 30), ((1280, 720), 30)):
            pictures = code_picture(encoder, size, fps, 3 * fps, **options)
            items = [PictureIn(data, pts * 90000 // fps, key) for _, pts, key, data in pictures]
            cost(f"{name} {size[0]}x{size[1]}@{fps} → H.264", 3.0, lambda i=items, c=codec: _each(VideoToH264(c), i))
            delays = []
            transcoder = VideoToH264(codec)
            for item in items:
                begun = time.perf_counter()
                transcoder.process([item])
                delays.append((time.perf_counter() - begun) * 1000)
            print(f"  {'':<44} {summary(delays)} ms per picture", flush=True)


def _each(transcoder: Any, items: Sequence[Any]) -> None:
    for item in items:
        transcoder.process([item])


def summary(values: list[float]) -> str:
    values = sorted(values)
    if not values:
        return "nothing came"
    at = lambda share: values[min(len(values) - 1, int(len(values) * share))]  # noqa: E731
    return f"p50 {at(0.5):.2f} p95 {at(0.95):.2f} p99 {at(0.99):.2f}"


# ---------------------------------------------------------------- both directions, in real time


class Out:
    """Takes what comes out of a direction, as a tap or as a reader, and notes when."""

    audio = video = True
    wants_keyframes = False

    def __init__(self) -> None:
        self.times: list[tuple[int, float]] = []

    def on_packets(self, packets: Sequence[RtpPacket], now: float) -> None:
        at = time.perf_counter()
        self.times += [(packet.timestamp, at) for packet in packets if packet.marker or not packet.payload_type]

    def on_sender_report(self, ntp: int, rtp: int, now: float) -> None:
        return

    def on_source(self, codec: Codec | None, now: float) -> None:
        return

    def deliver(self, frame: Frame) -> None:
        if not frame.config:
            self.times.append((frame.dts if frame.is_video else -1 - frame.dts, time.perf_counter()))

    def metadata(self, metadata: Metadata) -> None:
        return

    def stopped(self, reason: str) -> None:
        return


Schedule = list[tuple[float, Callable[[float], None]]]


async def play(schedules: list[Schedule], seconds: float) -> float:
    """Run the calls at their times; return the CPU seconds that the process took meanwhile."""
    events = sorted((event for schedule in schedules for event in schedule if event[0] < seconds), key=lambda e: e[0])
    begun, cpu = time.perf_counter(), time.process_time()
    for at, call in events:
        wait = begun + at - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        call(time.monotonic())
    await asyncio.sleep(0.2)
    return time.process_time() - cpu


async def to_rtp(pool: CodecPool, seconds: float, count: int, kind: str) -> None:
    """`kind`: "passed" or "B-frames"."""
    config, frames = code_sound("aac", 48000, 1, 1024, seconds + 0.5)
    options = X264 if kind == "passed" else {"preset": "veryfast", "bf": "3"}
    pictures = code_picture("libx264", (640, 360), 30, int(30 * seconds), **options)
    nals = h264.split_annexb(pictures[0][3])
    avcc = h264.build_avcc([n for n in nals if n[0] & 31 == 7], [n for n in nals if n[0] & 31 == 8])
    bodies = [h264.join_avcc([n for n in h264.split_annexb(p[3]) if n[0] & 31 not in (7, 8)]) for p in pictures]
    first_pts = pictures[0][1] - pictures[0][0]
    costs = []
    picture_delays: list[float] = []
    sound_delays: list[float] = []
    for bridged in (False, True):
        schedules: list[Schedule] = []
        bridges, outs = [], []
        for number in range(count):
            live = LiveStream(f"s{number}")
            live.start_source(time.monotonic())
            audio, video = Publication("audio", live.name), Publication("video", live.name)
            picture_out, sound_out = Out(), Out()
            video.add_tap(picture_out, 0.0)
            audio.add_tap(sound_out, 0.0)
            if bridged:
                bridge = ToRtp(live, audio, video, pool, BridgeConfig(), AudioConfig())
                bridge.start()
                bridges.append(bridge)
            live.write(Frame(Codec.AAC, 0, 0, config, config=True))
            live.write(Frame(Codec.H264, 0, 0, avcc, config=True))
            sent: dict[int, float] = {}

            def picture(now: float, index: int, live: LiveStream = live, sent: dict[int, float] = sent) -> None:
                dts, pts, key, _ = pictures[index]
                ticks = pts * 3000 + 9000
                sent[ticks] = time.perf_counter()
                live.write(Frame(Codec.H264, (dts + first_pts) * 3000 + 3000, ticks, bodies[index], keyframe=key))

            def speak(now: float, index: int, live: LiveStream = live, sent: dict[int, float] = sent) -> None:
                ticks = index * 1920
                sent[-1 - index * 1024] = time.perf_counter()
                live.write(Frame(Codec.AAC, ticks, ticks, frames[index]))

            offset = number * 0.003
            schedules.append(
                [(index / 30 + offset, lambda now, i=index, f=picture: f(now, i)) for index in range(len(pictures))]
            )
            schedules.append(
                [
                    ((index + 1) * 1024 / 48000 + offset, lambda now, i=index, f=speak: f(now, i))
                    for index in range(len(frames))
                ]
            )
            outs.append((picture_out, sound_out, sent))
        costs.append(await play(schedules, seconds))
        for index, bridge in enumerate(bridges):
            picture_out, sound_out, sent = outs[index]
            for rtp, at in picture_out.times:
                ticks = (rtp - bridge.picture.rtp_at(0)) % 2**32
                # What the decoder holds for order comes with a later frame: count from the one that completes it.
                came = [t for t in sent.values() if t <= at]
                picture_delays.append((at - (sent[ticks] if kind == "passed" and ticks in sent else max(came))) * 1000)
            base = bridge.sound.rtp_at(bridge.sound.correction)
            for rtp, at in sound_out.times:
                last = (rtp - base + 312 + 960 - 1) % 2**32  # its last sample is in this AAC frame
                frame = sent.get(-1 - last // 1024 * 1024)
                if frame is not None:
                    sound_delays.append((at - frame) * 1000)
        for bridge in bridges:
            await bridge.stop()
    share = (costs[1] - costs[0]) / seconds / count * 100
    print(f"  RTMP → WebRTC, {kind:<20} {share:6.2f} % of a core per stream")
    print(f"      picture out after {summary(picture_delays)} ms")
    print(f"      sound out after its last AAC frame {summary(sound_delays)} ms")


async def to_live(pool: CodecPool, seconds: float, count: int, codec: Codec) -> None:
    _, packets = code_sound("libopus", 48000, 1, 960, seconds + 0.5)
    encoder, options = ("libx264", X264) if codec is Codec.H264 else ("libvpx", LIBVPX)
    pictures = code_picture(encoder, (640, 360), 30, int(30 * seconds), **options)
    costs = []
    picture_delays: list[float] = []
    sound_delays: list[float] = []
    left_out = 0
    for bridged in (False, True):
        schedules: list[Schedule] = []
        running = []
        for number in range(count):
            live = LiveStream(f"s{number}")
            audio, video = Publication("audio", live.name), Publication("video", live.name)
            now = time.monotonic()
            source: Any = type("Source", (), {"request_keyframe": lambda self: None})()
            audio.start(Codec.OPUS, 48000, source, now)
            video.start(codec, 90000, source, now)
            out = Out()
            if bridged:
                bridge = ToLive(live, audio, video, pool, BridgeConfig(), AudioConfig())
                bridge.start()
                live.add_reader(out)
            sent_pictures: list[float] = []
            sent_sound: list[float] = []
            seq = [0, 0]
            pack = H264Packetizer().packetize if codec is Codec.H264 else Vp8Packetizer().packetize

            def picture(now: float, index: int, video: Publication = video, seq: list[int] = seq, pack: Any = pack,
                        sent: list[float] = sent_pictures) -> None:  # fmt: skip
                data = pictures[index][3]
                payloads = pack(h264.split_annexb(data) if codec is Codec.H264 else data)
                batch = []
                for part, payload in enumerate(payloads):
                    seq[0] = seq[0] + 1 & 0xFFFF
                    last = part == len(payloads) - 1
                    batch.append(RtpPacket(96, last, seq[0], index * 3000, 1, payload, None, now))
                sent.append(time.perf_counter())
                video.write(batch, now)

            def speak(now: float, index: int, audio: Publication = audio, seq: list[int] = seq,
                      sent: list[float] = sent_sound) -> None:  # fmt: skip
                seq[1] = seq[1] + 1 & 0xFFFF
                sent.append(time.perf_counter())
                audio.write([RtpPacket(111, False, seq[1], index * 960, 2, packets[index], None, now)], now)

            offset = number * 0.003
            schedules.append(
                [(index / 30 + offset, lambda now, i=index, f=picture: f(now, i)) for index in range(len(pictures))]
            )
            schedules.append(
                [
                    (0.02 * (index + 1) + offset, lambda now, i=index, f=speak: f(now, i))
                    for index in range(len(packets))
                ]
            )
            if bridged:
                running.append((bridge, out, sent_pictures, sent_sound))
        costs.append(await play(schedules, seconds))
        for bridge, out, sent_pictures, sent_sound in running:
            # By stream time from the first: pictures may be left out where the CPU is short.
            shown = [(ticks, at) for ticks, at in out.times if ticks >= 0]
            for ticks, at in shown:
                index = round((ticks - shown[0][0]) / 3000)
                if index < len(sent_pictures):
                    picture_delays.append((at - sent_pictures[index]) * 1000)
            left_out += len(sent_pictures) - len(shown)
            # Each AAC frame against the Opus packet with its last sample; the first is 1024 samples of priming.
            heard = [(-1 - ticks, at) for ticks, at in out.times if ticks < 0]
            for dts, at in heard[1:]:
                packet = ((dts - heard[0][0]) * 48000 // 90000 - 1) // 960
                if packet < len(sent_sound):
                    sound_delays.append((at - sent_sound[packet]) * 1000)
            await bridge.stop()
    share = (costs[1] - costs[0]) / seconds / count * 100
    print(f"  WebRTC → RTMP, {codec.value:<20} {share:6.2f} % of a core per stream")
    print(f"      picture out after {summary(picture_delays)} ms, {left_out} left out")
    print(f"      sound out after its last Opus packet {summary(sound_delays)} ms")


async def directions(seconds: float, count: int) -> None:
    pool = CodecPool(2)
    print(f"Both directions in real time, {count} streams of 640x360@30 and mono sound, {seconds:g} s each:")
    await to_rtp(pool, seconds, count, "passed")
    await to_live(pool, seconds, count, Codec.H264)
    await to_live(pool, seconds, 1, Codec.VP8)
    await to_rtp(pool, seconds, 1, "B-frames")
    pool.close()


def run(args: argparse.Namespace) -> None:
    transcoders()
    asyncio.run(directions(args.seconds, args.streams))
    print(f"  (event loop's own jitter here: {summary(asyncio.run(_jitter()))} ms)")


async def _jitter() -> list[float]:
    late = []
    for _ in range(100):
        begun = time.perf_counter()
        await asyncio.sleep(0.005)
        late.append((time.perf_counter() - begun - 0.005) * 1000)
    return late or [statistics.nan]
