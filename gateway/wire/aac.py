"""AAC configuration: AudioSpecificConfig and ADTS headers. ISO 14496-3 section 1.6.2, table 4.2 for the PCE."""

from __future__ import annotations

import dataclasses
from typing import Final

from gateway.base.errors import CodecDataError

SAMPLE_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_CHANNELS: Final = (0, 1, 2, 3, 4, 5, 6, 8)
"""Channels by channelConfiguration; 0 means that a program config element says it."""

OBJECT_LC: Final = 2
OBJECT_SBR: Final = 5
OBJECT_PS: Final = 29


@dataclasses.dataclass(frozen=True, slots=True)
class AudioConfig:
    """`sample_rate` and `frame_samples` are the core coder's: a frame lasts frame_samples / sample_rate seconds.

    `object_type` is the core's (2 is AAC-LC); with `sbr` a decoder gives twice the rate and twice the samples.
    """

    object_type: int
    sample_rate: int
    channels: int
    frame_samples: int = 1024
    sbr: bool = False

    @property
    def codec_string(self) -> str:
        return f"mp4a.40.{OBJECT_SBR if self.sbr else self.object_type}"


class _Bits:
    """Reads from the most significant bit. Raises CodecDataError past the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def u(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise CodecDataError("AudioSpecificConfig ends in the middle of a field")
        return (self._value >> self._left) & ((1 << count) - 1)

    def object_type(self) -> int:
        value = self.u(5)
        return 32 + self.u(6) if value == 31 else value

    def sample_rate(self) -> int:
        index = self.u(4)
        if index == 15:
            rate = self.u(24)
        elif index < len(SAMPLE_RATES):
            rate = SAMPLE_RATES[index]
        else:
            raise CodecDataError(f"samplingFrequencyIndex {index}")
        if not 7350 <= rate <= 96000:
            raise CodecDataError(f"AAC sample rate {rate}")
        return rate


def parse_asc(data: bytes) -> AudioConfig:
    """Read an AudioSpecificConfig. Raises CodecDataError."""
    bits = _Bits(data[:64])
    object_type = bits.object_type()
    sample_rate = bits.sample_rate()
    channel_config = bits.u(4)
    sbr = object_type in (OBJECT_SBR, OBJECT_PS)
    if sbr:
        bits.sample_rate()  # of the extension
        object_type = bits.object_type()
    frame_samples = 1024
    channels = _CHANNELS[channel_config] if channel_config < 8 else {11: 7, 12: 8, 14: 8}.get(channel_config, -1)
    if object_type in (1, 2, 3, 4, 6, 7, 17, 19, 20, 23):  # GASpecificConfig follows
        if bits.u(1):
            frame_samples = 960
        if bits.u(1):
            bits.u(14)  # coreCoderDelay
        bits.u(1)  # extensionFlag
        if not channels:
            channels = _program_channels(bits)
    if not 1 <= channels <= 8:
        raise CodecDataError(f"AAC channel configuration {channel_config}")
    return AudioConfig(object_type, sample_rate, channels, frame_samples, sbr)


def _program_channels(bits: _Bits) -> int:
    """Count the channels of a program config element."""
    bits.u(10)  # element_instance_tag, object_type, sampling_frequency_index
    counts = [bits.u(4), bits.u(4), bits.u(4), bits.u(2)]  # front, side, back, low frequency
    bits.u(3 + 4)  # associated data, coupling elements
    for width in (4, 4, 3):  # mono, stereo, matrix mixdown
        if bits.u(1):
            bits.u(width)
    channels = counts[3]
    for _ in range(sum(counts[:3])):
        channels += 2 if bits.u(1) else 1
        bits.u(4)
    return channels


def build_asc(rate: int, channels: int) -> bytes:
    """Return the AudioSpecificConfig of AAC-LC with 1024-sample frames, 1..6 or 8 channels."""
    if not 7350 <= rate <= 96000 or channels not in _CHANNELS[1:]:
        raise ValueError(f"AAC at {rate} Hz with {channels} channels")
    channel_config = _CHANNELS.index(channels)
    if rate in SAMPLE_RATES:
        value = OBJECT_LC << 11 | SAMPLE_RATES.index(rate) << 7 | channel_config << 3
        return value.to_bytes(2, "big")
    return (OBJECT_LC << 35 | 15 << 31 | rate << 7 | channel_config << 3).to_bytes(5, "big")


_SILENCE: Final = {1: bytes.fromhex("00000007"), 2: bytes.fromhex("21000000001c")}
"""One SCE or CPE (common window) with max_sfb 0, so without any spectrum, then ID_END: tables 4.4 to 4.50."""


def silent_frame(config: AudioConfig) -> bytes | None:
    """Return an access unit that says silence under `config`; None for more than two channels, or not AAC-LC."""
    return _SILENCE.get(config.channels) if config.object_type == OBJECT_LC else None


def strip_adts(data: bytes) -> bytes:
    """Return one raw access unit: an ADTS header is removed if a publisher left it there. Never raises."""
    if len(data) > 7 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        size = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
        if size == len(data):
            return data[7 if data[1] & 1 else 9 :]
    return data


def adts_header(config: AudioConfig, size: int) -> bytes:
    """Return the 7-byte header for a raw access unit of `size` bytes, 1..8184. Raises ValueError for other rates."""
    if config.sample_rate not in SAMPLE_RATES or not 0 < size <= 8184 or config.channels not in _CHANNELS[1:]:
        raise ValueError(f"no ADTS header for {config} with {size} bytes")
    total = size + 7
    channel_config = _CHANNELS.index(config.channels)
    index = SAMPLE_RATES.index(config.sample_rate)
    profile = min(max(config.object_type - 1, 0), 3)
    return bytes(
        (
            0xFF,
            0xF1,
            profile << 6 | index << 2 | channel_config >> 2,
            (channel_config & 3) << 6 | total >> 11,
            total >> 3 & 0xFF,
            (total & 7) << 5 | 0x1F,
            0xFC,
        )
    )
