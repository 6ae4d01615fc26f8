"""Opus packets from outside: the TOC byte, durations, OpusHead. RFC 6716 section 3, RFC 7845 section 5.1.

All durations are samples at 48 kHz, whatever the packet's bandwidth: RTP counts them so (RFC 7587).
"""

from __future__ import annotations

from typing import Final

from gateway.base.errors import CodecDataError

RATE: Final = 48000
MAX_DURATION: Final = 5760
"""120 ms, the longest packet the format allows."""

_SILK_SAMPLES: Final = (480, 960, 1920, 2880)
_HYBRID_SAMPLES: Final = (480, 960)
_CELT_SAMPLES: Final = (120, 240, 480, 960)


def frame_samples(toc: int) -> int:
    """Return the samples of each frame that a TOC byte (0..255) announces."""
    config = toc >> 3
    if config < 12:
        return _SILK_SAMPLES[config & 3]
    if config < 16:
        return _HYBRID_SAMPLES[config & 1]
    return _CELT_SAMPLES[config & 3]


def duration(packet: bytes) -> int:
    """Return the samples of one packet, 120..5760. Raises CodecDataError."""
    if not packet:
        raise CodecDataError("empty Opus packet")
    code = packet[0] & 3
    if code == 0:
        count = 1
    elif code < 3:
        count = 2
    else:
        if len(packet) < 2:
            raise CodecDataError("Opus packet of code 3 without its frame count")
        count = packet[1] & 0x3F
    samples = count * frame_samples(packet[0])
    if not 0 < samples <= MAX_DURATION:
        raise CodecDataError(f"Opus packet of {samples} samples, limit {MAX_DURATION}")
    return samples


def is_stereo(packet: bytes) -> bool:
    return bool(packet) and bool(packet[0] & 4)


def concealment_packet(toc: int) -> bytes:
    """Return a packet that makes a decoder conceal one frame: the TOC of the last packet with no data behind it."""
    return bytes((toc & 0xFC,))


def build_head(channels: int, pre_skip: int, input_rate: int = RATE) -> bytes:
    """Return an OpusHead for 1 or 2 channels. `pre_skip` in samples at 48 kHz."""
    if channels not in (1, 2) or not 0 <= pre_skip < 65536:
        raise ValueError(f"OpusHead for {channels} channels, pre-skip {pre_skip}")
    return (
        b"OpusHead\x01"
        + bytes((channels,))
        + pre_skip.to_bytes(2, "little")
        + input_rate.to_bytes(4, "little")
        + b"\x00\x00\x00"
    )


def parse_head(data: bytes) -> tuple[int, int]:
    """Return (channels, pre-skip in samples) of an OpusHead. Raises CodecDataError."""
    if len(data) < 19 or data[:8] != b"OpusHead" or data[8] >> 4 or not data[9]:
        raise CodecDataError("not an OpusHead")
    return data[9], int.from_bytes(data[10:12], "little")
