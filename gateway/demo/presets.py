"""What a phone's `live-pusher` sends in each of its modes: sizes, rates, bit rates, key-frame distance.

The recommended presets of the tag (minimum and maximum bit rate), the portrait sizes of its SDK, 3 s between key
frames in RTC mode and 5 s in the others; sound is AAC-LC, mono, 48 kHz ("high") or 16 kHz ("low").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Preset:
    """One mode of the tag. Bit rates in bit/s."""

    width: int
    height: int
    fps: int
    min_bitrate: int
    max_bitrate: int
    keyframe_s: int


@dataclass(frozen=True, slots=True)
class Sound:
    """One audio-quality of the tag. `rate` in Hz, `bitrate` in bit/s."""

    rate: int
    bitrate: int


MODES: Final = {
    "RTC": Preset(360, 640, 15, 200_000, 500_000, 3),
    "SD": Preset(360, 640, 20, 300_000, 800_000, 5),
    "HD": Preset(540, 960, 20, 600_000, 1_200_000, 5),
    "FHD": Preset(720, 1280, 20, 600_000, 1_800_000, 5),
}

QUALITIES: Final = {"high": Sound(48000, 64_000), "low": Sound(16000, 24_000)}
