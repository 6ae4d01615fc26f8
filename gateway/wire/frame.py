"""The values that the frame hub speaks: one coded picture or sound frame, or a codec's configuration.

Stream time counts 90 kHz ticks from the start of the stream, as a plain int that never wraps and never runs back
within one track (dts). Milliseconds exist only inside FLV and RTMP, RTP clocks only in RTP.
"""

from __future__ import annotations

import enum
from typing import Final

TICKS: Final = 90000
"""Ticks of stream time per second."""


class Codec(enum.Enum):
    H264 = "H264"
    HEVC = "HEVC"
    AV1 = "AV1"
    VP8 = "VP8"
    VP9 = "VP9"
    AAC = "AAC"
    OPUS = "opus"
    MP3 = "MP3"

    @property
    def is_audio(self) -> bool:
        return self in _AUDIO

    @property
    def is_video(self) -> bool:
        return self not in _AUDIO


_AUDIO: Final = frozenset({Codec.AAC, Codec.OPUS, Codec.MP3})


class Frame:
    """One coded frame, immutable by convention; readers share it.

    `data`, by codec:
      H264, HEVC   length-prefixed NAL units (4-byte big-endian lengths); with `config`, the avcC / hvcC record
      AAC          one raw access unit without ADTS; with `config`, the AudioSpecificConfig
      AV1, VP9, VP8, OPUS, MP3   the codec's own frame; with `config`, av1C / vpcC / OpusHead
    `dts`, `pts`: stream time in 90 kHz ticks. `keyframe`: decoding may start here (always True for audio).
    `encodings` caches bytes made once and shared by all readers (FLV tag body, RTMP chunks), keyed by the maker.
    """

    __slots__ = ("codec", "config", "data", "dts", "encodings", "keyframe", "pts")

    def __init__(
        self, codec: Codec, dts: int, pts: int, data: bytes, *, keyframe: bool = True, config: bool = False
    ) -> None:
        self.codec = codec
        self.dts = dts
        self.pts = pts
        self.data = data
        self.keyframe = keyframe
        self.config = config
        self.encodings: dict[object, bytes] = {}

    @property
    def is_audio(self) -> bool:
        return self.codec.is_audio

    @property
    def is_video(self) -> bool:
        return self.codec.is_video

    def __repr__(self) -> str:
        what = "config" if self.config else "key" if self.keyframe and self.is_video else "frame"
        return f"<{self.codec.value} {what} dts={self.dts} pts={self.pts} {len(self.data)}B>"


class Metadata:
    """What an onMetaData said, as AMF values. Informative only: sizes and rates are read from the codec's own bytes."""

    __slots__ = ("encodings", "values")

    def __init__(self, values: dict[str, object]) -> None:
        self.values = values
        self.encodings: dict[object, bytes] = {}
