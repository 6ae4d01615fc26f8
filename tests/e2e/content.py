"""Pictures and sound that can be recognised again: made here, sent through the gateway, read back here.

A picture says which one it is and who made it: the top eighth is a frame counter of 16 black or white blocks (lowest
bit left), the next eighth the maker's id in 8 blocks and its complement in 8 more, so that a damaged or foreign
picture reads as None. The lower half is white (the flash) during the first fifth of each second, else dark. The sound
is a tone of the maker's own frequency during exactly the same time. Blocks are fractions of the picture, so scaling
by a sender does not harm them. `probe.js` makes and reads the same in a browser.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

RATE = 48000
FLASH_S = 0.2
BITS = 16

Gray = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Maker:
    """Who made it: `ident` 1..255 in the picture, `tone` Hz in the sound (apart by 100 Hz or more)."""

    ident: int
    tone: int
    width: int = 320
    height: int = 240
    fps: int = 15


@dataclass(frozen=True)
class Seen:
    """One picture read back. `time` in seconds of whoever read it."""

    counter: int
    ident: int
    flash: bool
    time: float = 0.0


def picture(maker: Maker, number: int) -> Gray:
    """Return picture `number` (counted from 0) as (height, width) luma, 16..235."""
    height, width = maker.height, maker.width
    image = np.full((height, width), 40, np.uint8)
    eighth, block = height // 8, width // BITS
    code = maker.ident | (~maker.ident & 0xFF) << 8
    for bit in range(BITS):
        left = bit * block
        image[:eighth, left : left + block] = 235 if number >> bit & 1 else 16
        image[eighth : 2 * eighth, left : left + block] = 235 if code >> bit & 1 else 16
    # Something that moves, as a camera's picture does.
    ramp = (np.arange(width, dtype=np.uint32) + 5 * number) % 64 + 60
    image[2 * eighth : 4 * eighth, :] = ramp.astype(np.uint8)
    if number % maker.fps < maker.fps * FLASH_S:
        image[4 * eighth :, :] = 235
    return image


def sound(maker: Maker, first: int, count: int, rate: int = RATE) -> Samples:
    """Return `count` mono samples from sample `first` on, -1..1."""
    time = (first + np.arange(count)) / rate
    tone = 0.5 * np.sin(2 * np.pi * maker.tone * time)
    return np.where(time % 1.0 < FLASH_S, tone, 0.0).astype(np.float32)


def read_picture(gray: Gray, time: float = 0.0) -> Seen | None:
    """Read a (height, width) luma picture; None when it is not one of ours or too damaged."""
    height, width = gray.shape
    xs = [int((bit + 0.5) * width / BITS) for bit in range(BITS)]
    rows = [_bits(gray, int(height * row / 16), xs) for row in (1, 3)]
    ident = rows[1] & 0xFF
    if rows[1] >> 8 != ~ident & 0xFF or ident == 0:
        return None
    flash = bool(gray[int(height * 0.75), width // 2] > 130)
    return Seen(rows[0], ident, flash, time)


def _bits(gray: Gray, y: int, xs: list[int]) -> int:
    return sum(int(gray[y - 1 : y + 2, x - 1 : x + 2].mean() > 128) << bit for bit, x in enumerate(xs))


def frequency(samples: Samples, rate: int = RATE) -> float:
    """Return the strongest frequency (Hz) of the loud parts of `samples`; 0.0 when all is quiet."""
    loud = samples[np.abs(samples) > 0.01]
    if loud.size < rate // 20:
        return 0.0
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    spectrum[: int(50 * samples.size / rate)] = 0
    return float(np.argmax(spectrum) * rate / samples.size)


def beeps(samples: Samples, rate: int = RATE) -> list[float]:
    """Return when beeps begin, in seconds from the first sample."""
    step = rate // 1000
    count = samples.size // step
    level = np.sqrt((samples[: count * step].reshape(count, step) ** 2).mean(axis=1))
    if not level.size or level.max() < 0.02:
        return []
    loud = level > 0.4 * float(np.percentile(level, 99))
    starts: list[float] = []
    quiet_since = 0
    for index in np.flatnonzero(loud):
        if index - quiet_since > 300 and (index + 40 < count and loud[index : index + 40].mean() > 0.8):
            starts.append(index / 1000)
        quiet_since = int(index)
    return starts


def flashes(pictures: list[Seen]) -> list[float]:
    """Return the times of the pictures with which a flash begins, where the picture before it was seen too."""
    return [after.time for before, after in pairwise(pictures) if after.flash and not before.flash]


def skews(flash_times: list[float], beep_times: list[float]) -> list[float]:
    """Return beep minus flash in seconds for every flash that has a beep within half a second."""
    found = []
    for flash in flash_times:
        nearest = min(beep_times, key=lambda beep: abs(beep - flash), default=None)
        if nearest is not None and abs(nearest - flash) < 0.5:
            found.append(nearest - flash)
    return found


def write_file(
    path: Path, maker: Maker, seconds: int, *, video: str = "h264", x264: dict[str, str] | None = None
) -> Path:
    """Write an MP4 (H.264 + AAC) or, for `video="vp8"`, a WebM (VP8 + Opus) of `seconds` seconds.

    Without `x264` the H.264 is what a phone sends: Baseline, no B-frames, a key frame each second. `x264` replaces
    these options (for B-frames).
    """
    with av.open(str(path), "w") as output:
        picture_stream = output.add_stream("libx264" if video == "h264" else "libvpx", rate=maker.fps)
        picture_stream.width, picture_stream.height, picture_stream.pix_fmt = maker.width, maker.height, "yuv420p"
        picture_stream.bit_rate = 400_000
        picture_stream.options = (
            {"deadline": "realtime", "cpu-used": "8", "g": str(maker.fps)}
            if video == "vp8"
            else x264
            or {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "g": str(maker.fps), "bf": "0"}
        )
        sound_stream = output.add_stream("aac" if video == "h264" else "libopus", rate=RATE)
        sound_stream.layout = "mono"
        sound_stream.bit_rate = 64_000
        size, position = 960, 0
        for number in range(seconds * maker.fps):
            frame = frame_of(picture(maker, number))
            frame.pts, frame.time_base = number, Fraction(1, maker.fps)
            output.mux(picture_stream.encode(frame))
            while position * maker.fps < (number + 1) * RATE:
                audio = av.AudioFrame.from_ndarray(sound(maker, position, size)[None, :], format="fltp", layout="mono")
                audio.sample_rate, audio.pts, audio.time_base = RATE, position, Fraction(1, RATE)
                output.mux(sound_stream.encode(audio))
                position += size
        output.mux(picture_stream.encode(None))
        output.mux(sound_stream.encode(None))
    return path


def frame_of(gray: Gray) -> av.VideoFrame:
    """Return `gray` as a yuv420p frame."""
    height, width = gray.shape
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = gray
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def write_camera(path: Path, maker: Maker, seconds: int) -> Path:
    """Write a Y4M for Chromium's `--use-file-for-fake-video-capture` (it loops)."""
    chroma = b"\x80" * (maker.width * maker.height // 2)
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{maker.width} H{maker.height} F{maker.fps}:1 Ip A1:1 C420jpeg\n".encode())
        for number in range(seconds * maker.fps):
            file.write(b"FRAME\n" + picture(maker, number).tobytes() + chroma)
    return path


def write_microphone(path: Path, maker: Maker, seconds: int) -> Path:
    """Write a 48 kHz 16-bit mono WAV for Chromium's `--use-file-for-fake-audio-capture` (it loops)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((sound(maker, 0, seconds * RATE) * 32767).astype("<i2").tobytes())
    return path


@dataclass
class Reading:
    """What one recording held, read back."""

    pictures: list[Seen]
    unreadable: int
    samples: Samples
    sound_start: float
    size: tuple[int, int]
    has_b_frames: int

    def idents(self) -> list[int]:
        """Return the makers in order of appearance, each change once."""
        found: list[int] = []
        for seen in self.pictures:
            if not found or found[-1] != seen.ident:
                found.append(seen.ident)
        return found

    def skews_ms(self) -> list[float]:
        beep_times = [start + self.sound_start for start in beeps(self.samples)]
        return [round(1000 * float(skew), 1) for skew in skews(flashes(self.pictures), beep_times)]

    def frequency(self) -> float:
        return frequency(self.samples)


def read_file(path: Path) -> Reading:
    """Decode a recording. Holes between sound frames are filled with silence, so that times hold."""
    pictures: list[Seen] = []
    unreadable = 0
    pieces: list[tuple[float, Samples]] = []
    size, has_b = (0, 0), 0
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE)
    with av.open(str(path)) as source:
        streams = [stream for stream in (*source.streams.video[:1], *source.streams.audio[:1])]
        for frame in source.decode(*streams):
            if isinstance(frame, av.VideoFrame):
                size = (frame.width, frame.height)
                seen = read_picture(frame.to_ndarray(format="gray"), float(frame.time or 0.0))
                if seen is None:
                    unreadable += 1
                else:
                    pictures.append(seen)
            elif isinstance(frame, av.AudioFrame):
                start = float(frame.time or 0.0)
                frame.pts = None
                for part in resampler.resample(frame):
                    pieces.append((start, part.to_ndarray()[0].astype(np.float32)))
        if source.streams.video:
            has_b = int(source.streams.video[0].codec_context.has_b_frames)
    return Reading(pictures, unreadable, *_join(pieces), size, has_b)


def _join(pieces: list[tuple[float, Samples]]) -> tuple[Samples, float]:
    if not pieces:
        return np.zeros(0, np.float32), 0.0
    begin = pieces[0][0]
    joined: list[Samples] = []
    length = 0
    for start, samples in pieces:
        missing = round((start - begin) * RATE) - length
        if 480 < missing < 60 * RATE:
            joined.append(np.zeros(missing, np.float32))
            length += missing
        joined.append(samples)
        length += samples.size
    return np.concatenate(joined), begin
