"""Real sound and pictures for the bridge tests, and the other ends: an RTMP publisher, a browser, viewers of both.

Material: a white picture and a chirp at the same instants (`BEATS`). The chirp's place is found by cross-correlation
to a fraction of a sample, so skew is measured from content, whatever stamps say. Time is virtual: `Now` is the clock
of everything under test, and `settle` waits for the codec threads in between.
"""

from __future__ import annotations

import asyncio
import fractions
import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np

from gateway.media.live.stream import LiveStream
from gateway.media.sfu.publication import Publication
from gateway.wire import h264
from gateway.wire.frame import Codec, Frame, Metadata
from gateway.wire.payload import H264Packetizer, Vp8Packetizer, depacketizer
from gateway.wire.rtp import RtpPacket

BEATS = (0.7, 1.7, 2.7)
WIDTH, HEIGHT, FPS = 160, 96, 30


class Now:
    """A clock that stands until it is set."""

    def __init__(self, start: float = 1000.0) -> None:
        self.value = start

    def __call__(self) -> float:
        return self.value


async def settle(bridge: Any) -> None:
    """Wait until the bridge's codec lines have nothing in flight and nothing waiting."""
    for _ in range(5000):
        await asyncio.sleep(0)
        lines = bridge._lines._lines
        if not any(line._in_flight or line._waiting for line in lines if not line._closing):
            return
        await asyncio.sleep(0.0005)
    raise AssertionError("the codec lines do not come to rest")


# ---------------------------------------------------------------- material


def chirp(t: np.ndarray) -> np.ndarray:
    """10 ms around t = 0 (seconds), 500 to 4500 Hz."""
    return np.exp(-((t / 0.005) ** 2)) * np.sin(2 * np.pi * (2500 * t + 1e5 * t * t))


def beeps(rate: int, seconds: float, beats: Sequence[float] = BEATS) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return sum(0.6 * chirp(t - beat) for beat in beats).astype(np.float32)


def sine(rate: int, seconds: float, frequency: float) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * frequency * t)).astype(np.float32)


def find_beep(samples: np.ndarray, rate: int, about: float, width: float = 0.2) -> float:
    """Return where (seconds from the first sample) the chirp near `about` is."""
    low, high = max(0, int((about - width) * rate)), min(len(samples), int((about + width) * rate))
    kernel_at = np.arange(-int(0.02 * rate), int(0.02 * rate) + 1)
    found = np.correlate(samples[low:high].astype(np.float64), chirp(kernel_at / rate), "valid")
    peak = int(np.argmax(found))
    fine = 0.0
    if 0 < peak < len(found) - 1:
        before, at, after = found[peak - 1 : peak + 2]
        fine = 0.5 * (before - after) / (before - 2 * at + after)
    return (low + peak + fine - kernel_at[0]) / rate


def speech(seconds: float) -> np.ndarray:
    """Voiced sound in syllables at 48 kHz: what an Opus encoder protects by a copy in the next packet."""
    count = round(seconds * 48000)
    t = np.arange(count) / 48000
    pitch = np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / 48000
    pulses = np.diff(np.floor(pitch), prepend=0.0)
    at = np.arange(2400) / 48000
    out = np.zeros(count)
    for gain, width, formant in ((1.0, 90, 700), (0.6, 110, 1200), (0.3, 160, 2600)):
        out += gain * np.convolve(pulses, np.exp(-np.pi * width * at) * np.sin(2 * np.pi * formant * at))[:count]
    out *= np.clip(np.sin(2 * np.pi * 4 * t) * 1.5, 0, 1)
    return (0.3 * out / np.abs(out).max()).astype(np.float32)


def strongest(samples: np.ndarray, rate: int) -> float:
    """Return the frequency of the strongest tone, Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


def pictures(
    seconds: float, fps: int = FPS, size: tuple[int, int] = (WIDTH, HEIGHT), beats: Sequence[float] = BEATS
) -> list[np.ndarray]:
    """Gray pictures: the first whose time is at or after a beat is white; 12 blocks at the top count."""
    width, height = size
    out = []
    flashes = {int(np.ceil(beat * fps - 1e-9)) for beat in beats}
    for number in range(round(seconds * fps)):
        image = np.full((height, width), 235 if number in flashes else 40, np.uint8)
        block = width // 12
        for bit in range(12):
            image[: height // 4, bit * block : (bit + 1) * block] = 235 if number >> bit & 1 else 16
        image[height // 4 : height // 2, (number * 3) % (width - 8) : (number * 3) % (width - 8) + 8] = 120
        out.append(image)
    return out


def read_counter(gray: np.ndarray) -> int:
    height, width = gray.shape
    block = width // 12
    return sum(int(gray[height // 8, bit * block + block // 2] > 128) << bit for bit in range(12))


def is_flash(gray: np.ndarray) -> bool:
    return bool(gray[gray.shape[0] * 3 // 4 :].mean() > 140)


def flash_times(fps: int = FPS, beats: Sequence[float] = BEATS) -> list[float]:
    return [float(np.ceil(beat * fps - 1e-9)) / fps for beat in beats]


# ---------------------------------------------------------------- codecs of the other ends


def audio_encoder(codec: str, rate: int, channels: int, fmt: str, bitrate: int = 96000, **options: object) -> Any:
    context = av.CodecContext.create(codec, "w")
    context.sample_rate, context.layout = rate, "mono" if channels == 1 else "stereo"
    context.format, context.bit_rate = fmt, bitrate
    context.time_base = fractions.Fraction(1, rate)
    context.options = {name: str(value) for name, value in options.items()}
    context.open()
    return context


def encode_audio(context: Any, samples: np.ndarray, step: int) -> list[tuple[int, bytes]]:
    """Return [(pts in samples, packet)]."""
    channels, fmt, rate = len(context.layout.channels), context.format.name, context.sample_rate
    out = []
    for position in range(0, len(samples) - step + 1, step):
        part = samples[position : position + step]
        data = np.stack([part] * channels) if fmt == "fltp" else np.repeat(part, channels)[None]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format=fmt, layout=context.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate, position, fractions.Fraction(1, rate)
        out += [(packet.pts, bytes(packet)) for packet in context.encode(frame)]
    return out


def decode_audio(codec: str, packets: Iterable[bytes], channels: int, config: bytes = b"") -> np.ndarray:
    """Return the first channel."""
    context = av.CodecContext.create(codec, "r")
    if config:
        context.extradata = config
    if codec == "libopus":
        context.sample_rate, context.layout = 48000, "mono" if channels == 1 else "stereo"
    parts = []
    for data in packets:
        for frame in context.decode(av.Packet(data)):
            samples = frame.to_ndarray()
            if samples.dtype == np.int16:
                samples = samples.astype(np.float32) / 32768
            parts.append(
                samples[0] if frame.format.is_planar else samples.reshape(-1, len(frame.layout.channels))[:, 0]
            )
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def video_encoder(codec: str, size: tuple[int, int], fps: int = FPS, gop: int = 60, **options: object) -> Any:
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = size[0], size[1], "yuv420p"
    context.time_base, context.framerate = fractions.Fraction(1, fps), fractions.Fraction(fps)
    context.gop_size, context.bit_rate, context.thread_count = gop, 400_000, 1
    context.options = {name.replace("_", "-"): str(value) for name, value in options.items()}
    return context


X264_LIVE = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}
X264_B = {"preset": "veryfast", "bf": "3"}
LIBVPX_LIVE = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}


def picture_frame(gray: np.ndarray, number: int, fps: int = FPS) -> Any:
    height, width = gray.shape
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, image in zip(frame.planes, (gray, None, None), strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        rows[:] = 128
        if image is not None:
            rows[:height, :width] = image
    frame.pts, frame.time_base = number, fractions.Fraction(1, fps)
    return frame


@dataclass
class CodedPicture:
    dts: int
    pts: int
    keyframe: bool
    data: bytes


def encode_pictures(
    context: Any, images: Sequence[np.ndarray], fps: int = FPS, flush: bool = True
) -> list[CodedPicture]:
    packets = []
    for number, image in enumerate(images):
        packets += context.encode(picture_frame(image, number, fps))
    if flush:
        packets += context.encode(None)
    return [CodedPicture(p.dts, p.pts, p.is_keyframe, bytes(p)) for p in packets]


@dataclass
class Shown:
    """A decoded picture: its time as the packets say (any clock), its counter, whether it is the flash."""

    time: float
    counter: int
    flash: bool
    size: tuple[int, int]


def decode_pictures(codec: str, units: Iterable[tuple[float, bytes]], config: bytes = b"") -> list[Shown]:
    """Decode [(time, coded picture)] and read each. Stamps go through the decoder as pts in microseconds."""
    context = av.CodecContext.create(codec, "r")
    context.thread_count = 1
    if config:
        context.extradata = config
    frames = []
    for time, data in units:
        packet = av.Packet(data)
        packet.pts, packet.time_base = round(time * 1e6), fractions.Fraction(1, 1000000)
        frames += context.decode(packet)
    frames += context.decode(None)
    out = []
    for frame in frames:
        gray = frame.to_ndarray(format="gray") if frame.width % 2 == 0 else frame.reformat(format="gray").to_ndarray()
        out.append(Shown(frame.pts / 1e6, read_counter(gray), is_flash(gray), (frame.width, frame.height)))
    return out


# ---------------------------------------------------------------- an RTMP publisher


@dataclass
class Timed:
    """`at`: when it arrives, seconds from the start."""

    at: float
    frame: Frame


def ms(ticks_or_seconds: float) -> int:
    """Seconds to ticks by way of whole milliseconds, as FLV has them."""
    return int(ticks_or_seconds * 1000 + 1e-6) * 90


def aac_frames(samples: np.ndarray, rate: int, channels: int, start: float = 0.5) -> tuple[Frame, list[Timed]]:
    """Encode as ffmpeg publishes: the first packet (pts -1024) at `start` - 1024 samples."""
    encoder = audio_encoder("aac", rate, channels, "fltp")
    coded = encode_audio(encoder, samples, 1024)
    config = Frame(Codec.AAC, 0, 0, bytes(encoder.extradata), config=True)
    out = []
    for pts, data in coded:
        time = start + pts / rate
        out.append(Timed(time - start + 0.022 + 1024 / rate, Frame(Codec.AAC, ms(time), ms(time), data)))
    return config, out


def h264_frames(
    images: Sequence[np.ndarray], options: dict[str, str], start: float = 0.5, fps: int = FPS, gop: int = 60
) -> tuple[Frame, list[Timed]]:
    """Encode as a publisher does: parameter sets in avcC, NAL units with lengths, dts and pts in milliseconds."""
    size = (images[0].shape[1], images[0].shape[0])
    coded = encode_pictures(video_encoder("libx264", size, fps, gop, **options), images, fps)
    sps: list[bytes] = []
    pps: list[bytes] = []
    out = []
    delay = max((c.pts - c.dts for c in coded[:1]), default=0)
    for picture in coded:
        nals = h264.split_annexb(picture.data)
        sps += [nal for nal in nals if nal[0] & 31 == 7 and nal not in sps]
        pps += [nal for nal in nals if nal[0] & 31 == 8 and nal not in pps]
        body = [nal for nal in nals if nal[0] & 31 not in (7, 8)]
        dts, pts = start + picture.dts / fps, start + picture.pts / fps
        frame = Frame(Codec.H264, ms(dts), ms(pts), h264.join_avcc(body), keyframe=picture.keyframe)
        out.append(Timed((picture.dts + delay) / fps + 0.005, frame))
    return Frame(Codec.H264, 0, 0, h264.build_avcc(sps, pps), config=True), out


async def publish(live: LiveStream, now: Now, bridge: Any, timed: Iterable[Timed]) -> None:
    """Write frames at their times, letting codecs keep up."""
    begun = now.value
    for item in sorted(timed, key=lambda t: t.at):
        now.value = max(now.value, begun + item.at)
        live.write(item.frame)
        if bridge is not None:
            await settle(bridge)


# ---------------------------------------------------------------- a viewer by RTP


@dataclass
class RtpViewer:
    """A tap that keeps everything and can decode it. Time is NTP seconds by the sender reports."""

    rate: int
    packets: list[RtpPacket] = field(default_factory=list)
    reports: list[tuple[int, int]] = field(default_factory=list)
    codec: Codec | None = None

    def on_packets(self, packets: Sequence[RtpPacket], now: float) -> None:
        self.packets += packets

    def on_sender_report(self, ntp: int, rtp: int, now: float) -> None:
        self.reports.append((ntp, rtp))

    def on_source(self, codec: Codec | None, now: float) -> None:
        self.codec = codec

    def seconds(self, rtp: int) -> float:
        """NTP seconds (modulo a day) of an RTP time, by the nearest report."""
        best = min(self.reports, key=lambda r: abs(_signed(rtp - r[1])))
        return best[0] / 2**32 % 86400 + _signed(rtp - best[1]) / self.rate

    def check_order(self) -> None:
        """Numbers without a gap."""
        for before, after in itertools.pairwise(self.packets):
            assert (after.seq - before.seq) & 0xFFFF == 1

    def units(self) -> list[tuple[int, list[bytes]]]:
        """Return [(RTP time, NAL units or frames)] per marker."""
        out, payloads = [], []
        reader = depacketizer(self.codec or Codec.H264)
        for packet in self.packets:
            payloads.append(packet.payload)
            if packet.marker:
                out.append((packet.timestamp, reader.depacketize(payloads)))
                payloads = []
        assert not payloads, "the last picture has no marker"
        return out

    def shown(self) -> list[Shown]:
        units = [(self.seconds(rtp), h264.join_annexb(nals)) for rtp, nals in self.units()]
        return decode_pictures("h264", units)

    def sound(self, channels: int = 1) -> tuple[np.ndarray, float]:
        """Return (samples, NTP seconds of the first)."""
        samples = decode_audio("libopus", [p.payload for p in self.packets], channels)
        return samples, self.seconds(self.packets[0].timestamp)


def _signed(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


# ---------------------------------------------------------------- a viewer by frames


class FrameViewer:
    """A LiveStream reader that keeps everything."""

    audio = True
    video = True
    wants_keyframes = True

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.ended: str | None = None

    def deliver(self, frame: Frame) -> None:
        copy = Frame(frame.codec, frame.dts, frame.pts, frame.data, keyframe=frame.keyframe, config=frame.config)
        self.frames.append(copy)

    def metadata(self, metadata: Metadata) -> None:
        return

    def stopped(self, reason: str) -> None:
        self.ended = reason

    @property
    def sound_frames(self) -> list[Frame]:
        return [f for f in self.frames if f.is_audio and not f.config]

    @property
    def picture_frames(self) -> list[Frame]:
        return [f for f in self.frames if f.is_video and not f.config]

    def configs(self, codec: Codec) -> list[Frame]:
        return [f for f in self.frames if f.config and f.codec is codec]

    def check_sound(self, rate: int = 48000) -> None:
        """AAC frames follow each other without a hole: each begins where the one before ends, to a tick."""
        frames = self.sound_frames
        for before, after in itertools.pairwise(frames):
            assert abs((after.dts - before.dts) - 1024 * 90000 / rate) <= 1

    def sound(self, channels: int = 1) -> tuple[np.ndarray, float]:
        """Return (samples, stream seconds of the first)."""
        config = self.configs(Codec.AAC)[-1].data
        frames = self.sound_frames
        return decode_audio("aac", [f.data for f in frames], channels, config), frames[0].dts / 90000

    def shown(self) -> list[Shown]:
        """Decode, with a new decoder at each configuration, as players do."""
        out: list[Shown] = []
        units: list[tuple[float, bytes]] = []
        config = b""
        for frame in [f for f in self.frames if f.is_video]:
            if frame.config:
                if units:
                    out += decode_pictures("h264", units, config)
                config, units = frame.data, []
            else:
                assert frame.pts == frame.dts
                units.append((frame.pts / 90000, frame.data))
        return out + decode_pictures("h264", units, config)


# ---------------------------------------------------------------- a browser


@dataclass
class Sent:
    """One event at the browser's side: a packet or a report of `track`, arriving `at` seconds from the start."""

    at: float
    track: str
    packet: RtpPacket | None = None
    ntp: int = 0
    rtp: int = 0


class Browser:
    """Packets as Chromium sends them: Opus stamped by the first input sample, pictures by capture time."""

    def __init__(self, seed: int = 1, capture_times: bool = False) -> None:
        self.draw = random.Random(seed)
        self.base = {"audio": self.draw.getrandbits(32), "video": self.draw.getrandbits(32)}
        self.seq = {"audio": self.draw.getrandbits(16), "video": self.draw.getrandbits(16)}
        self.ntp0 = 3.9e9
        self.capture_times = capture_times
        self._last_capture = {"audio": -9.0, "video": -9.0}

    def ntp(self, t: float) -> int:
        return int((self.ntp0 + t) * 2**32)

    def packet(self, track: str, t: float, rtp: int, data: bytes, marker: bool) -> RtpPacket:
        self.seq[track] = self.seq[track] + 1 & 0xFFFF
        extensions = None
        if self.capture_times and t >= self._last_capture[track] + 1.0:
            self._last_capture[track] = t
            extensions = {5: self.ntp(t).to_bytes(8, "big") + bytes(8)}
        return RtpPacket(111, marker, self.seq[track], rtp & 0xFFFFFFFF, 1, data, extensions)

    def speak(
        self, samples: np.ndarray, delay: float = 0.025, start: float = 0.0, bitrate: int = 48000, **options: object
    ) -> list[Sent]:
        """`samples` at 48 kHz, captured from `start` on; delay from capture (of the end) to arrival."""
        options = {"application": "voip", "frame_duration": 20} | options
        encoder = audio_encoder("libopus", 48000, 1, "flt", bitrate, **options)
        out = []
        for index, (_, data) in enumerate(encode_audio(encoder, samples, 960)):
            t = start + index * 0.02
            rtp = self.base["audio"] + round(t * 48000)
            out.append(Sent(t + 0.02 + delay, "audio", self.packet("audio", t, rtp, data, False)))
        return out

    def film(
        self,
        coded: Sequence[CodedPicture],
        codec: Codec = Codec.H264,
        delay: float = 0.015,
        start: float = 0.0,
        fps: int = FPS,
    ) -> list[Sent]:
        out = []
        vp8 = Vp8Packetizer()
        for picture in coded:
            t = start + picture.pts / fps
            rtp = self.base["video"] + round(t * 90000)
            if codec is Codec.H264:
                payloads = H264Packetizer().packetize(h264.split_annexb(picture.data))
            else:
                payloads = vp8.packetize(picture.data)
            for index, data in enumerate(payloads):
                packet = self.packet("video", t, rtp, data, index == len(payloads) - 1)
                out.append(Sent(t + delay + index * 0.0001, "video", packet))
        return out

    def reports(self, seconds: float, audio_first: float = 2.2, video_first: float = 0.46) -> list[Sent]:
        out = []
        for track, rate, first, period in (("audio", 48000, audio_first, 5.0), ("video", 90000, video_first, 0.7)):
            t = first
            while t < seconds:
                rtp = (self.base[track] + round(t * rate)) & 0xFFFFFFFF
                out.append(Sent(t + 0.002, track, None, self.ntp(t), rtp))
                t += period
        return out


async def send(
    events: Iterable[Sent], audio: Publication, video: Publication, now: Now, bridge: Any, until: float | None = None
) -> None:
    """Let everything arrive at its time; the bridge ticks each 20 ms in between."""
    begun = now.value
    next_tick = begun
    queue = sorted(events, key=lambda e: e.at)
    end = begun + (until if until is not None else queue[-1].at)

    async def advance(to: float) -> None:
        nonlocal next_tick
        while next_tick <= to:
            now.value = max(now.value, next_tick)
            bridge.tick(now.value)
            next_tick += 0.02
            await settle(bridge)
        now.value = max(now.value, to)

    for event in queue:
        await advance(begun + event.at)
        publication = audio if event.track == "audio" else video
        if event.packet is None:
            publication.sender_report(event.ntp, event.rtp, now.value)
        else:
            event.packet.arrival = now.value
            if event.packet.extensions:  # abs-capture-time: the RTP hub hands it on as a report
                ntp = int.from_bytes(event.packet.extensions[5][:8], "big")
                publication.sender_report(ntp, event.packet.timestamp, now.value)
            publication.write([event.packet], now.value)
        await settle(bridge)
    await advance(end)
