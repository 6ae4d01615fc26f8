"""H.264 bytes: parameter sets of real encoders, slice types, framing, and anything at all."""

from __future__ import annotations

import fractions
import random

import av
import numpy as np
import pytest

from gateway.base.errors import CodecDataError
from gateway.wire import h264
from gateway.wire.h264 import NalType, ParameterSets, SliceType


def encode(
    size: tuple[int, int] = (160, 96), pix_fmt: str = "yuv420p", count: int = 12, **options: str
) -> list[list[bytes]]:
    """Return the access units of a short film."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = *size, pix_fmt
    context.time_base = fractions.Fraction(1, 25)
    context.options = {name.replace("_", "-"): value for name, value in options.items()}
    noise = np.random.default_rng(1).integers(0, 255, (size[1] * 3 // 2, size[0] + 4 * count), dtype=np.uint8)
    packets = []
    for number in range(count):
        image = np.ascontiguousarray(noise[:, 4 * number : 4 * number + size[0]])  # moves sideways
        frame = av.VideoFrame.from_ndarray(image, format="yuv420p").reformat(format=pix_fmt)
        frame.pts, frame.time_base = number, fractions.Fraction(1, 25)
        packets += context.encode(frame)
    packets += context.encode(None)
    return [h264.split_annexb(bytes(packet)) for packet in packets]


def sps_of(**options: str) -> h264.Sps:
    size = (int(options.pop("w", "160")), int(options.pop("h", "96")))
    return h264.parse_sps(next(nal for nal in encode(size, count=2, **options)[0] if nal[0] & 31 == 7))


@pytest.mark.parametrize(
    ("options", "profile", "reorder", "may_reorder"),
    [
        ({"tune": "zerolatency", "profile": "baseline"}, 66, 0, False),
        ({"tune": "zerolatency", "profile": "main"}, 77, 0, False),
        ({"bf": "0", "profile": "high"}, 100, 0, False),
        ({"bf": "1", "x264-params": "b-pyramid=none"}, 100, 1, True),
        ({"preset": "veryfast", "bf": "3"}, 100, 2, True),
    ],
)
def test_parameter_sets_of_x264(options: dict[str, str], profile: int, reorder: int, may_reorder: bool) -> None:
    sps = sps_of(**options)
    assert (sps.profile_idc, sps.max_num_reorder_frames, sps.may_reorder) == (profile, reorder, may_reorder)
    assert (sps.width, sps.height, sps.bit_depth, sps.chroma_format_idc) == (160, 96, 8, 1)
    assert not sps.interlaced
    assert sps.codec_string == f"avc1.{sps.profile_level_id.upper()}"


@pytest.mark.parametrize("size", [(160, 90), (1918, 1078), (16, 16), (320, 240)])
def test_cropping(size: tuple[int, int]) -> None:
    sps = sps_of(w=str(size[0]), h=str(size[1]))
    assert (sps.width, sps.height) == size


def test_other_formats_of_pictures() -> None:
    ten = h264.parse_sps(next(n for n in encode(count=2, pix_fmt="yuv420p10le")[0] if n[0] & 31 == 7))
    assert (ten.profile_idc, ten.bit_depth) == (110, 10)
    full = h264.parse_sps(next(n for n in encode(count=2, pix_fmt="yuv444p")[0] if n[0] & 31 == 7))
    assert (full.profile_idc, full.chroma_format_idc, full.width, full.height) == (244, 3, 160, 96)
    fields = h264.parse_sps(next(n for n in encode(count=2, x264_params="interlaced=1")[0] if n[0] & 31 == 7))
    assert fields.interlaced and fields.height == 96
    hrd = sps_of(x264_params="nal-hrd=cbr:vbv-maxrate=500:vbv-bufsize=500:bframes=0")
    assert hrd.max_num_reorder_frames == 0, "what stands behind HRD parameters is still found"


def test_slice_types() -> None:
    kinds = [h264.slice_type(nal) for unit in encode(preset="veryfast", bf="3") for nal in unit]
    assert {kind for kind in kinds if kind is not None} == {SliceType.I, SliceType.P, SliceType.B}
    assert kinds.count(None) >= 3, "parameter sets and SEI are no slices"
    zero = [h264.slice_type(nal) for unit in encode(tune="zerolatency") for nal in unit]
    assert SliceType.B not in zero
    with pytest.raises(CodecDataError):
        h264.slice_type(b"\x41")
    with pytest.raises(CodecDataError):
        h264.slice_type(b"")


def test_configuration_records_there_and_back() -> None:
    unit = encode(bf="2")[0]
    sps = [nal for nal in unit if nal[0] & 31 == 7]
    pps = [nal for nal in unit if nal[0] & 31 == 8]
    record = h264.build_avcc(sps, pps)
    parsed = h264.parse_avcc(record)
    assert (list(parsed.sps), list(parsed.pps), parsed.length_size) == (sps, pps, 4)
    assert record[-4] == 0xFD, "High: chroma format and bit depths follow"
    annexb = h264.parse_avcc(h264.join_annexb(unit))
    assert list(annexb.sps) == sps
    context = av.CodecContext.create("h264", "r")
    context.extradata = record
    assert context.decode(av.Packet(h264.join_avcc([n for n in unit if n[0] & 31 == 5]))) is not None
    for size in (1, 2, 4):
        data = bytearray(record)
        data[4] = 0xFC | size - 1
        assert h264.parse_avcc(bytes(data)).length_size == size
    with pytest.raises(CodecDataError):
        h264.parse_avcc(record[:4] + b"\xfe" + record[5:])
    with pytest.raises(CodecDataError):
        h264.build_avcc([], pps)


def lengths(nals: list[bytes], size: int) -> bytes:
    return b"".join(len(nal).to_bytes(size, "big") + nal for nal in nals)


@pytest.mark.parametrize("declared", [1, 2, 4])
@pytest.mark.parametrize("real", [1, 2, 4, 0])
def test_access_units_are_read_whatever_they_are_framed_in(declared: int, real: int) -> None:
    for unit in encode(tune="zerolatency", crf="51", preset="ultrafast"):
        nals = [nal for nal in unit if len(nal) < 255] if 1 in (declared, real) else unit
        if not nals:
            continue
        data = h264.join_annexb(nals) if real == 0 else lengths(nals, real)
        assert h264.split_access_unit(data, declared) == nals


def test_framing_errors() -> None:
    for bad in (b"", b"\x00", b"\x00\x00\x00\x05abc", b"abcdefgh", b"\xff" * 50):
        with pytest.raises(CodecDataError):
            h264.split_access_unit(bad, 4)
    assert h264.split_annexb(b"\x00\x00\x01\x67a\x00\x00\x00\x01\x68b\x00\x00") == [b"\x67a", b"\x68b"]
    with pytest.raises(CodecDataError):
        h264.split_annexb(b"abc")
    with pytest.raises(CodecDataError, match="more than"):
        h264.split_annexb(b"\x00\x00\x01\x41" * 1025)
    with pytest.raises(CodecDataError, match="more than"):
        h264.split_avcc(b"\x00\x00\x00\x01\x41" * 1025, 4)


def test_emulation_prevention() -> None:
    assert h264.unescape(b"\x00\x00\x03\x01\x00\x00\x03\x00\x00\x03") == b"\x00\x00\x01\x00\x00\x00\x00"
    assert h264.unescape(b"abc") == b"abc"


def test_parameter_sets_in_force() -> None:
    first = encode(bf="0")[0]
    second = encode((320, 192), bf="0")[0]
    sets = ParameterSets()
    assert not sets.complete
    assert [sets.update(nal) for nal in first] == [nal[0] & 31 in (7, 8) for nal in first]
    assert sets.complete
    assert not any(sets.update(nal) for nal in first)
    assert any(sets.update(nal) for nal in second)
    assert len(sets.sps) == len(sets.pps) == 1
    assert h264.parse_sps(sets.sps[0]).width == 320
    sets.clear()
    assert not sets.complete
    with pytest.raises(CodecDataError):
        sets.update(b"")
    with pytest.raises(CodecDataError):
        sets.update(b"\x67" + bytes(20000))


def test_small_questions() -> None:
    assert h264.is_reference(b"\x65") and not h264.is_reference(b"\x01") and not h264.is_reference(b"")
    assert h264.has_idr([b"", b"\x41a", b"\x65a"]) and not h264.has_idr([b"\x41"])
    with pytest.raises(CodecDataError):
        h264.parameter_set_id(b"\x41\x00")
    assert NalType.FU_A == 28


def test_any_bytes_give_a_value_or_a_codec_data_error() -> None:
    draw = random.Random(3)
    good = [nal for unit in encode(bf="2", count=4) for nal in unit]
    record = h264.build_avcc([n for n in good if n[0] & 31 == 7], [n for n in good if n[0] & 31 == 8])
    for _ in range(3000):
        data = bytearray(draw.choice([*good, record, draw.randbytes(draw.randrange(60))])[:300])
        for _ in range(draw.randrange(4)):
            if data:
                data[draw.randrange(len(data))] = draw.randrange(256)
        cut = bytes(data[: draw.randrange(len(data) + 1)])
        for read in (
            h264.parse_sps, h264.parse_avcc, h264.slice_type, h264.parameter_set_id, h264.split_annexb,
            lambda d: h264.split_access_unit(d, draw.choice((1, 2, 4))), lambda d: ParameterSets().update(d),
        ):  # fmt: skip
            try:
                read(cut)
            except CodecDataError:
                continue


def test_a_hostile_parameter_set_costs_little() -> None:
    with pytest.raises(CodecDataError):
        h264.parse_sps(b"\x67\x64\x00\x1f" + bytes(16000))
