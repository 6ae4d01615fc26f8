"""Opus packets of a real encoder in every length it makes, and anything at all."""

from __future__ import annotations

import fractions
import random

import av
import numpy as np
import pytest

from gateway.base.errors import CodecDataError
from gateway.wire import opus


def packets(milliseconds: float, layout: str = "mono", application: str = "audio") -> tuple[list[bytes], bytes]:
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format = 48000, layout, "flt"
    context.time_base = fractions.Fraction(1, 48000)
    context.options = {"frame_duration": str(milliseconds), "application": application}
    step = round(48 * milliseconds)
    channels = 1 if layout == "mono" else 2
    out = []
    for number in range(6):
        samples = np.random.default_rng(number).standard_normal((1, step * channels)).astype(np.float32) * 0.1
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
        frame.sample_rate, frame.pts = 48000, number * step
        out += [bytes(packet) for packet in context.encode(frame)]
    return out, bytes(context.extradata)


@pytest.mark.parametrize("milliseconds", [2.5, 5, 10, 20, 40, 60])
@pytest.mark.parametrize("application", ["audio", "voip", "lowdelay"])
def test_durations(milliseconds: float, application: str) -> None:
    for packet in packets(milliseconds, application=application)[0]:
        assert opus.duration(packet) == round(48 * milliseconds)


def test_channels_and_head() -> None:
    mono, head = packets(20)
    stereo, stereo_head = packets(20, "stereo")
    assert not opus.is_stereo(mono[-1]) and opus.is_stereo(stereo[-1]) and not opus.is_stereo(b"")
    assert opus.parse_head(head) == (1, 312) and opus.parse_head(stereo_head) == (2, 312)
    assert opus.parse_head(opus.build_head(2, 312)) == (2, 312)
    with pytest.raises(ValueError, match="OpusHead"):
        opus.build_head(3, 0)


def test_every_toc() -> None:
    for toc in range(256):
        assert opus.frame_samples(toc) in (120, 240, 480, 960, 1920, 2880)
        assert opus.duration(opus.concealment_packet(toc)) == opus.frame_samples(toc)


@pytest.mark.parametrize("bad", [b"", b"\x03", b"\x03\x00", bytes((0x1B, 3))])
def test_what_is_no_packet(bad: bytes) -> None:
    with pytest.raises(CodecDataError):
        opus.duration(bad)


def test_any_bytes_give_a_value_or_a_codec_data_error() -> None:
    draw = random.Random(1)
    for _ in range(2000):
        data = draw.randbytes(draw.randrange(24))
        for read in (opus.duration, opus.parse_head, lambda d: opus.parse_head(b"OpusHead" + d)):
            try:
                read(data)
            except CodecDataError:
                continue
