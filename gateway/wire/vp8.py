"""VP8 frame headers. RFC 6386 section 9.1. Nothing decodes pictures."""

from __future__ import annotations

import dataclasses

from gateway.base.errors import CodecDataError


@dataclasses.dataclass(frozen=True, slots=True)
class FrameHeader:
    """`width` and `height` in pixels: 0 unless `keyframe`."""

    keyframe: bool
    show: bool
    width: int
    height: int


def is_keyframe(frame: bytes) -> bool:
    """True if the frame (or its first bytes) begins a key frame. Never raises."""
    return bool(frame) and not frame[0] & 1


def parse_frame_header(frame: bytes) -> FrameHeader:
    """Read the uncompressed data chunk of a frame. Raises CodecDataError."""
    if len(frame) < 3:
        raise CodecDataError(f"VP8 frame of {len(frame)} bytes")
    keyframe = not frame[0] & 1
    show = bool(frame[0] & 0x10)
    if not keyframe:
        return FrameHeader(False, show, 0, 0)
    if len(frame) < 10 or frame[3:6] != b"\x9d\x01\x2a":
        raise CodecDataError("VP8 key frame without its start code")
    width = int.from_bytes(frame[6:8], "little") & 0x3FFF
    height = int.from_bytes(frame[8:10], "little") & 0x3FFF
    if not width or not height:
        raise CodecDataError(f"VP8 picture of {width}x{height}")
    return FrameHeader(True, show, width, height)
