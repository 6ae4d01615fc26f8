"""Sound transcoders: AAC (or what else FFmpeg decodes) to Opus, and Opus to AAC. Run in jobs of the codec pool.

Positions are samples of stream time, counted; what an encoder gives is stamped by the encoder (its first packets lie
before the first sample: 312 samples for Opus, 1024 for AAC). Only the caller's anchors move a position; in between
holes become concealment or silence and overlaps are cut, to the sample.
"""

from __future__ import annotations

import dataclasses
import fractions
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from gateway.base.errors import CodecDataError
from gateway.media.bridge.libopus import OpusDecoder, Pcm, open_decoder
from gateway.wire import opus
from gateway.wire.frame import Codec

RATE: Final = opus.RATE
BROWSER_DELAY: Final = 312
"""Browsers stamp an Opus packet with its first input sample; what a decoder gives for it began 312 samples before."""
CONCEALED_S: Final = 0.100
"""So long a hole is concealed by the decoder; what is beyond is silence."""
FILL_LIMIT_S: Final = 5.0
"""A hole longer than this (the process was asleep) is not filled: positions jump."""
BRIDGED_S: Final = 1.0
"""Towards Opus a hole of up to this becomes silence, so that RTP time goes on evenly; a longer one skips."""

_DECODERS: Final = {Codec.AAC: "aac", Codec.MP3: "mp3"}


@dataclasses.dataclass(frozen=True, slots=True)
class Coded:
    """One coded frame. `position`: samples of stream time at the codec's own rate, as the encoder stamped it."""

    position: int
    data: bytes


class Fifo:
    """Planar samples that wait for a whole frame. `position` is that of the first one."""

    def __init__(self, channels: int, position: int = 0) -> None:
        self.channels = channels
        self.position = position
        self._data = np.zeros((channels, 8192), np.float32)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def end(self) -> int:
        return self.position + self._size

    def write(self, samples: Pcm) -> None:
        count = samples.shape[1]
        needed = self._size + count
        if needed > self._data.shape[1]:
            grown = np.zeros((self.channels, 2 * needed), np.float32)
            grown[:, : self._size] = self._data[:, : self._size]
            self._data = grown
        self._data[:, self._size : needed] = samples
        self._size = needed

    def write_silence(self, count: int) -> None:
        self.write(np.zeros((self.channels, count), np.float32))

    def read(self, count: int) -> Pcm:
        """Return (and remove) the first `count` samples, which must be there."""
        out = self._data[:, :count].copy()
        rest = self._size - count
        self._data[:, :rest] = self._data[:, count : self._size]
        self._size = rest
        self.position += count
        return out


def _layout(channels: int) -> str:
    return "mono" if channels == 1 else "stereo"


def _context(name: str, mode: Any) -> AudioCodecContext:
    context = av.CodecContext.create(name, mode)
    assert isinstance(context, AudioCodecContext)
    return context


def _encoder(name: str, rate: int, channels: int, fmt: str, bitrate: int, options: dict[str, str]) -> AudioCodecContext:
    context = _context(name, "w")
    context.sample_rate = rate
    context.layout = _layout(channels)
    context.format = fmt
    context.bit_rate = bitrate
    context.time_base = fractions.Fraction(1, rate)
    context.options = options
    context.open()
    return context


def _frame(samples: npt.NDArray[np.float32], rate: int, channels: int, fmt: str, position: int) -> AudioFrame:
    frame = AudioFrame.from_ndarray(samples, format=fmt, layout=_layout(channels))
    frame.sample_rate = rate
    frame.pts = position
    frame.time_base = fractions.Fraction(1, rate)
    return frame


def _samples(frame: AudioFrame) -> Pcm:
    return np.asarray(frame.to_ndarray(), np.float32)


class _ToRate:
    """Brings decoded frames to planar float of one rate and channel count. Counted, so no stamps of its own."""

    def __init__(self, rate: int, channels: int) -> None:
        self._rate = rate
        self._channels = channels
        self._shape: tuple[int, str, str] | None = None
        self._resampler: AudioResampler | None = None

    def convert(self, frame: AudioFrame) -> Pcm:
        shape = (frame.sample_rate, frame.layout.name, frame.format.name)
        parts: list[Pcm] = []
        if shape != self._shape:
            parts += self._flush()
            self._shape = shape
            plain = shape == (self._rate, _layout(self._channels), "fltp")
            self._resampler = None if plain else self._new()
        if self._resampler is None:
            samples = _samples(frame)
            return samples if not parts else np.concatenate([*parts, samples], axis=1)
        frame.pts = None
        parts += [_samples(part) for part in self._resampler.resample(frame)]
        return np.concatenate(parts, axis=1) if parts else np.zeros((self._channels, 0), np.float32)

    def _new(self) -> AudioResampler:
        return AudioResampler(format="fltp", layout=_layout(self._channels), rate=self._rate)

    def _flush(self) -> list[Pcm]:
        if self._resampler is None:
            return []
        return [_samples(part) for part in self._resampler.resample(None)]


# ---------------------------------------------------------------- to Opus


@dataclasses.dataclass(frozen=True, slots=True)
class SoundIn:
    """One coded frame of `duration` 48 kHz samples (may be a fraction).

    `anchor`: the position of its first sample where the count begins or was moved, else None. `config`: the decoder's
    configuration (AudioSpecificConfig) where it is new, else None.
    """

    data: bytes
    duration: float
    anchor: int | None = None
    config: bytes | None = None
    channels: int = 0


class AacToOpus:
    """AAC or MP3 → Opus 48 kHz, mono or stereo as the source; more channels are mixed down."""

    def __init__(self, codec: Codec, *, bitrate: int = 64000, frame_ms: int = 20) -> None:
        self._codec = codec
        self._bitrate = bitrate
        self._frame_ms = frame_ms
        self._samples = RATE * frame_ms // 1000
        self._decoder: AudioCodecContext | None = None
        self._encoder: AudioCodecContext | None = None
        self._to_rate: _ToRate | None = None
        self._fifo = Fifo(1)
        self._expected = 0.0  # position behind the last frame, by count
        self._started = False
        self._drop = 0
        self.errors = 0

    def process(self, items: list[SoundIn]) -> list[Coded]:
        out: list[Coded] = []
        for item in items:
            if item.config is not None or self._decoder is None:
                self._configure(item, out)
            if item.anchor is not None:
                self._anchor(item.anchor, out)
            elif not self._started:
                continue
            self._write(self._decode(item.data))
            self._expected += item.duration
            self._keep_count()
            self._encode(out)
        return out

    def close(self) -> None:
        self._decoder = self._encoder = self._to_rate = None

    def _configure(self, item: SoundIn, out: list[Coded]) -> None:
        """A new decoder for a new configuration. The encoder stays unless the channels change."""
        decoder = _context(_DECODERS[self._codec], "r")
        if item.config:
            decoder.extradata = item.config
        self._decoder = decoder
        channels = 1 if item.channels == 1 else 2
        self._to_rate = _ToRate(RATE, channels)
        if self._encoder is None or channels != self._fifo.channels:
            self._flush(out)
            self._fifo = Fifo(channels, self._fifo.position)
            self._encoder = _encoder(
                "libopus",
                RATE,
                channels,
                "flt",
                self._bitrate,
                {
                    "application": "audio",
                    "frame_duration": str(self._frame_ms),
                    "fec": "1",
                    "packet_loss": "5",
                    # 10 costs three times as much with error correction switched on; 64 kbit/s does not need it.
                    "compression_level": "5",
                },
            )

    def _decode(self, data: bytes) -> Pcm:
        """Return what one frame gives, maybe nothing."""
        assert self._decoder is not None and self._to_rate is not None
        parts: list[Pcm] = []
        if data:  # an empty packet would put the decoder at its end for good
            try:
                parts = [self._to_rate.convert(frame) for frame in self._decoder.decode(av.Packet(data))]
            except (av.error.FFmpegError, ValueError):
                self.errors += 1
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts, axis=1) if parts else np.zeros((self._fifo.channels, 0), np.float32)

    def _write(self, samples: Pcm) -> None:
        """Append samples, less those that lie before what was already there."""
        if self._drop:
            cut = min(self._drop, samples.shape[1])
            self._drop -= cut
            samples = samples[:, cut:]
        self._fifo.write(samples)

    def _keep_count(self) -> None:
        """Damaged frames give nothing, or too much: silence and cuts keep the count. (A resampler holds 1 ms back.)"""
        missing = int(self._expected) + self._drop - self._fifo.end
        if missing > self._samples:
            self._write(np.zeros((self._fifo.channels, missing), np.float32))
        elif missing < -self._samples:
            self._drop -= missing

    def _anchor(self, anchor: int, out: list[Coded]) -> None:
        if not self._started:
            self._started = True
            self._fifo.position = anchor
            self._expected = anchor
            return
        hole = anchor - self._fifo.end
        self._expected = anchor
        if hole < 0:
            self._drop = -hole
        elif hole <= BRIDGED_S * RATE:
            self._fifo.write_silence(hole)
        else:
            self._flush(out)
            self._fifo.position = anchor

    def _flush(self, out: list[Coded]) -> None:
        """Fill the last frame with silence, so that nothing is left."""
        if len(self._fifo) and self._encoder is not None:
            self._fifo.write_silence(-len(self._fifo) % self._samples)
            self._encode(out)

    def _encode(self, out: list[Coded]) -> None:
        assert self._encoder is not None
        fifo = self._fifo
        while len(fifo) >= self._samples:
            position = fifo.position
            packed = np.ascontiguousarray(fifo.read(self._samples).T).reshape(1, -1)
            for packet in self._encoder.encode(_frame(packed, RATE, fifo.channels, "flt", position)):
                assert packet.pts is not None
                out.append(Coded(packet.pts, bytes(packet)))


# ---------------------------------------------------------------- to AAC


@dataclasses.dataclass(frozen=True, slots=True)
class OpusIn:
    """A packet whose sound begins at `position` (48 kHz samples of stream time); b"": sound is missing up to there."""

    position: int
    data: bytes


class OpusToAac:
    """Opus → AAC-LC. What is lost is recovered, concealed or silent, so that the AAC frames have no hole."""

    def __init__(self, channels: int, *, rate: int = 48000, bitrate: int = 64000) -> None:
        self.channels = channels
        self._rate = rate
        self._decoder: OpusDecoder = open_decoder(channels)
        self._encoder: AudioCodecContext | None = _encoder(
            "aac", rate, channels, "fltp", bitrate, {"aac_coder": "fast"}
        )
        self._resampler = None if rate == RATE else AudioResampler(format="fltp", layout=_layout(channels), rate=rate)
        self._fifo = Fifo(channels)
        self._next: int | None = None  # 48 kHz position behind what was written
        self._concealed = round(CONCEALED_S * RATE)  # since the last real packet
        self._last_frame = 960
        self.recovered = self.concealed = self.silent = self.dropped = self.errors = 0

    def process(self, items: list[OpusIn]) -> list[Coded]:
        out: list[Coded] = []
        for item in items:
            if item.data:
                self._packet(item, out)
            elif self._next is not None:
                self._reach(item.position, b"", out)
            self._encode(out)
        return out

    def close(self) -> None:
        self._decoder.close()
        self._encoder = self._resampler = None

    def _packet(self, item: OpusIn, out: list[Coded]) -> None:
        if self._next is None:
            self._begin(item.position)
        self._reach(item.position, item.data, out)
        try:
            samples = self._decoder.decode(item.data)
        except CodecDataError:
            self.errors += 1
            return  # the next packet finds a hole and conceals it
        assert self._next is not None
        overlap = self._next - item.position
        self._last_frame = samples.shape[1] or 960
        if overlap > 0:
            self.dropped += min(overlap, samples.shape[1])
            samples = samples[:, overlap:]
        if samples.shape[1]:
            self._concealed = 0
            self._write(samples)

    def _begin(self, position: int) -> None:
        self._next = position
        self._fifo.position = round(position * self._rate / RATE)

    def _reach(self, position: int, following: bytes, out: list[Coded]) -> None:
        """Fill the hole up to `position`; `following` is the packet behind it, if that has come."""
        assert self._next is not None
        hole = position - self._next
        if hole <= 0:
            return
        if hole > FILL_LIMIT_S * RATE:
            self._fifo.write_silence(-len(self._fifo) % 1024)
            self._encode(out)
            self._begin(position)
            return
        frame = self._last_frame
        if following and hole >= frame and self._concealed < CONCEALED_S * RATE:
            if hole > frame:
                self._conceal(hole - frame)
            recovered = self._recover(following, frame)
            if recovered is not None:
                self.recovered += frame
                self._write(recovered)
                return
            hole = frame
        self._conceal(hole)

    def _recover(self, following: bytes, frame: int) -> Pcm | None:
        try:
            return self._decoder.recover(following, frame)
        except CodecDataError:
            return None

    def _conceal(self, count: int) -> None:
        budget = max(0, round(CONCEALED_S * RATE) - self._concealed)
        while count > 0 and budget > 0:
            part = min(count, budget, self._last_frame)
            try:
                self._write(self._decoder.conceal(part))
            except CodecDataError:
                break
            self._concealed += part
            self.concealed += part
            budget -= part
            count -= part
        if count > 0:
            self._write(np.zeros((self.channels, count), np.float32))
            self.silent += count

    def _write(self, samples: Pcm) -> None:
        assert self._next is not None
        self._next += samples.shape[1]
        if self._resampler is None:
            self._fifo.write(samples)
            return
        frame = _frame(np.ascontiguousarray(samples), RATE, self.channels, "fltp", 0)
        frame.pts = None
        for part in self._resampler.resample(frame):
            self._fifo.write(_samples(part))

    def _encode(self, out: list[Coded]) -> None:
        assert self._encoder is not None
        while len(self._fifo) >= 1024:
            position = self._fifo.position
            frame = _frame(self._fifo.read(1024), self._rate, self.channels, "fltp", position)
            for packet in self._encoder.encode(frame):
                assert packet.pts is not None
                out.append(Coded(packet.pts, bytes(packet)))
