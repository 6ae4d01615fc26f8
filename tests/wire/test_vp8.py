"""VP8 frame headers of a real encoder, and anything at all."""

from __future__ import annotations

import fractions
import random

import av
import numpy as np
import pytest

from gateway.base.errors import CodecDataError
from gateway.wire import vp8


def frames(width: int, height: int) -> list[bytes]:
    context = av.CodecContext.create("libvpx", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = fractions.Fraction(1, 25)
    context.options = {"deadline": "realtime", "lag-in-frames": "0"}
    out = []
    for number in range(5):
        image = np.random.default_rng(number).integers(0, 255, (height * 3 // 2, width), dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="yuv420p")
        frame.pts = number
        out += [bytes(packet) for packet in context.encode(frame)]
    return out


def test_headers() -> None:
    coded = frames(320, 180)
    headers = [vp8.parse_frame_header(frame) for frame in coded]
    assert headers[0] == vp8.FrameHeader(True, True, 320, 180)
    assert headers[1] == vp8.FrameHeader(False, True, 0, 0)
    assert [vp8.is_keyframe(frame) for frame in coded] == [True, False, False, False, False]
    assert not vp8.is_keyframe(b"")


@pytest.mark.parametrize(
    "bad", [b"", b"\x10", b"\x10\x00\x00\x9d\x01\x2a", b"\x10\x00\x00abcdefgh", b"\x10\0\0\x9d\x01\x2a\0\0\0\0"]
)
def test_what_is_no_frame(bad: bytes) -> None:
    with pytest.raises(CodecDataError):
        vp8.parse_frame_header(bad)


def test_any_bytes_give_a_value_or_a_codec_data_error() -> None:
    draw = random.Random(1)
    for _ in range(2000):
        try:
            vp8.parse_frame_header(draw.randbytes(draw.randrange(14)))
        except CodecDataError:
            continue
