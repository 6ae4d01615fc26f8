"""RTP payload formats: what is packetized comes back, in packets that the network and browsers like."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import CodecDataError
from gateway.wire import payload
from gateway.wire.frame import Codec
from gateway.wire.payload import (
    Av1Depacketizer,
    H264Depacketizer,
    H264Packetizer,
    Vp8Depacketizer,
    Vp8Packetizer,
    Vp9Depacketizer,
    depacketizer,
    is_keyframe,
    starts_decodable,
)

SPS, PPS = b"\x67\x42\xc0\x1f" + b"s" * 10, b"\x68" + b"p" * 4


def nal(kind: int, size: int, importance: int = 3) -> bytes:
    return bytes((importance << 5 | kind,)) + random.Random(size).randbytes(size - 1)


@pytest.mark.parametrize(
    "size", [1, 2, 100, 1196, 1197, 1198, 1199, 1200, 1201, 1202, 2397, 2398, 5000, 70001, 1_500_000]
)
def test_one_nal_of_any_size(size: int) -> None:
    unit = [nal(5, size)]
    payloads = H264Packetizer().packetize(unit)
    assert H264Depacketizer().depacketize(payloads) == unit
    assert max(map(len, payloads)) <= 1200
    if len(payloads) > 1:
        assert len({len(p) for p in payloads[:-1]}) == 1
        assert len(payloads[0]) - len(payloads) < len(payloads[-1]) <= len(payloads[0])
        assert len(payloads) == -(-(size - 1) // 1198), "no more packets than needed"
        assert payloads[0][1] & 0xC0 == 0x80 and payloads[-1][1] & 0xC0 == 0x40
        assert all(p[0] == 0x7C for p in payloads), "type 28, importance as the NAL unit's"


def test_parameter_sets_travel_together_and_before_the_picture() -> None:
    payloads = H264Packetizer().packetize([SPS, PPS, nal(5, 3000)])
    assert payloads[0] == b"\x78" + b"\x00\x0e" + SPS + b"\x00\x05" + PPS
    assert [p[0] & 31 for p in payloads] == [24, 28, 28, 28]
    assert [is_keyframe(Codec.H264, p) for p in payloads] == [True, True, False, False]
    assert [starts_decodable(Codec.H264, p) for p in payloads] == [True, False, False, False]


def test_small_slices_share_a_packet() -> None:
    unit = [nal(1, 300, 2) for _ in range(8)]
    payloads = H264Packetizer().packetize(unit)
    assert len(payloads) == 3
    assert H264Depacketizer().depacketize(payloads) == unit
    assert not any(is_keyframe(Codec.H264, p) for p in payloads)


@given(st.lists(st.tuples(st.sampled_from([1, 5, 6, 7, 8]), st.integers(1, 4000)), max_size=12), st.integers(16, 1400))
@settings(max_examples=100, deadline=None)
def test_any_access_unit_comes_back(parts: list[tuple[int, int]], mtu: int) -> None:
    unit = [nal(kind, size) for kind, size in parts]
    payloads = H264Packetizer(mtu).packetize(unit)
    assert H264Depacketizer().depacketize([*payloads, b""]) == unit
    assert all(len(p) <= mtu for p in payloads)


def test_a_missing_fragment_is_noticed() -> None:
    payloads = H264Packetizer().packetize([nal(5, 5000), nal(1, 5000)])
    for missing in (0, 4, 5, len(payloads) - 1):
        with pytest.raises(CodecDataError):
            H264Depacketizer().depacketize(payloads[:missing] + payloads[missing + 1 :])
    with pytest.raises(CodecDataError):
        H264Depacketizer().depacketize([payloads[0], nal(1, 20)])
    for bad in (b"\x78\x00\x05a", b"\x78\x00\x00", b"\x7c\x85", b"\x7d\x00\x00", b"\x60\x00"):
        with pytest.raises(CodecDataError):
            H264Depacketizer().depacketize([bad])


@pytest.mark.parametrize("size", [1, 10, 1196, 1197, 5000, 100_000])
def test_vp8_comes_back(size: int) -> None:
    packetizer = Vp8Packetizer(picture_id=0x7FFF)
    for keyframe in (True, False):
        frame = bytes((0x10 if keyframe else 0x11,)) + random.Random(size).randbytes(size - 1)
        payloads = packetizer.packetize(frame)
        assert max(map(len, payloads)) <= 1200
        assert Vp8Depacketizer().depacketize([b"", *payloads]) == [frame]
        assert [is_keyframe(Codec.VP8, p) for p in payloads] == [keyframe] + [False] * (len(payloads) - 1)
        if len(payloads) > 1:
            with pytest.raises(CodecDataError):
                Vp8Depacketizer().depacketize(payloads[1:])
    with pytest.raises(CodecDataError):
        Vp8Depacketizer().depacketize(packetizer.packetize(b"ab") + packetizer.packetize(b"ab"))
    assert payload.parse_vp8_descriptor(packetizer.packetize(b"ab")[0]).picture_id == 3


def test_vp8_descriptors_of_browsers() -> None:
    # X, S; I with 15 bits, L, T and K: all optional fields.
    full = payload.parse_vp8_descriptor(bytes((0x90, 0xF0, 0x81, 0x02, 0x07, 0x40)) + b"\x10data")
    assert (full.size, full.starts_frame, full.picture_id) == (6, True, 0x102)
    short = payload.parse_vp8_descriptor(b"\x90\x80\x05\x10")
    assert (short.size, short.picture_id) == (3, 5)
    plain = payload.parse_vp8_descriptor(b"\x11\x10")
    assert (plain.size, plain.starts_frame, plain.partition) == (1, False, 1)
    for bad in (b"", b"\x90", b"\x90\x80", b"\x90\x80\x80", b"\x10"):
        with pytest.raises(CodecDataError):
            payload.parse_vp8_descriptor(bad)


def test_vp9() -> None:
    # I, B, E, with a 15-bit picture id, non-flexible mode with layer indices (two bytes).
    key = bytes((0xAC, 0x81, 0x02, 0x00, 0x00)) + b"frame"
    assert Vp9Depacketizer().depacketize([key]) == [b"frame"]
    assert is_keyframe(Codec.VP9, key)
    inter = bytes((0xEC, 0x81, 0x02, 0x00, 0x00)) + b"frame"
    assert not is_keyframe(Codec.VP9, inter)
    first, last = bytes((0x08,)) + b"fra", bytes((0x04,)) + b"me"
    assert Vp9Depacketizer().depacketize([first, b"", last]) == [b"frame"]
    assert [is_keyframe(Codec.VP9, p) for p in (first, last)] == [True, False]
    for missing in ([first], [last]):
        with pytest.raises(CodecDataError):
            Vp9Depacketizer().depacketize(missing)
    # Scalability structure: 2 spatial layers with sizes, 1 picture group entry with 1 reference.
    structure = bytes((0x0E, 0x38)) + bytes(8) + bytes((1, 0x04, 1)) + b"frame"
    assert Vp9Depacketizer().depacketize([structure]) == [b"frame"]
    # Flexible mode, two reference indices.
    flexible = bytes((0x5C, 0x03, 0x02)) + b"frame"
    assert Vp9Depacketizer().depacketize([flexible]) == [b"frame"]


def test_av1() -> None:
    sequence, frame = b"\x08" + b"SEQ", b"\x30" + b"F" * 10
    # W=2: the first with its length, the last bare; N: a new sequence.
    packet = b"\x28" + bytes((len(sequence),)) + sequence + frame
    out = Av1Depacketizer().depacketize([packet])
    assert out == [b"\x12\x00" + b"\x0a\x03SEQ" + b"\x32\x0aFFFFFFFFFF"]
    assert is_keyframe(Codec.AV1, packet)
    # Two fragments: Y on the first, Z on the second.
    fragments = [b"\x50" + frame[:5], b"\x90" + frame[5:]]
    assert Av1Depacketizer().depacketize(fragments) == [b"\x12\x00\x32\x0aFFFFFFFFFF"]
    for missing in (fragments[:1], fragments[1:]):
        with pytest.raises(CodecDataError):
            Av1Depacketizer().depacketize(missing)
    # W=0: each has its length; one has its size field already, one is a temporal delimiter.
    many = b"\x00" + b"\x02\x12\x00" + b"\x04\x0a\x02AB"
    assert Av1Depacketizer().depacketize([many]) == [b"\x12\x00\x0a\x02AB"]
    assert not is_keyframe(Codec.AV1, fragments[0])


def test_by_codec() -> None:
    assert isinstance(depacketizer(Codec.H264), H264Depacketizer)
    for codec in (Codec.HEVC, Codec.OPUS):
        with pytest.raises(ValueError, match="payload format"):
            depacketizer(codec)
        assert not is_keyframe(codec, b"\x65")
    with pytest.raises(ValueError, match="mtu"):
        H264Packetizer(5)


def test_keyframes_of_h264() -> None:
    assert is_keyframe(Codec.H264, SPS) and is_keyframe(Codec.H264, nal(5, 9))
    assert not is_keyframe(Codec.H264, PPS) and not is_keyframe(Codec.H264, nal(1, 9))
    assert not is_keyframe(Codec.H264, b"") and not is_keyframe(Codec.H264, b"\x7c")
    # Some senders put an access unit delimiter or SEI first.
    assert is_keyframe(Codec.H264, b"\x78\x00\x02\x09\xf0" + b"\x00\x0e" + SPS)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8, Codec.VP9, Codec.AV1])
def test_any_payloads_give_a_value_or_a_codec_data_error(codec: Codec) -> None:
    draw = random.Random(7)
    reader = depacketizer(codec)
    for _ in range(3000):
        payloads = [draw.randbytes(draw.choice((0, 1, 2, 3, 5, 30))) for _ in range(draw.randrange(4))]
        for data in payloads:
            assert is_keyframe(codec, data) in (True, False)
            assert starts_decodable(codec, data) in (True, False)
        try:
            assert all(isinstance(unit, bytes) for unit in reader.depacketize(payloads))
        except CodecDataError:
            continue
