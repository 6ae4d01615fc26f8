"""RTP packets and their numbers."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import RtpError
from gateway.wire.rtp import (
    History,
    NackList,
    RtpPacket,
    SequenceMap,
    SeqUnwrapper,
    build_extension,
    parse_rtp,
    seq_diff,
    seq_newer,
    serialize_rtp,
    ts_diff,
    unwrap_rtx,
)

PLAIN = bytes.fromhex("80e0000100000002000000030102")


def fields(packet: RtpPacket) -> tuple[object, ...]:
    return (packet.payload_type, packet.marker, packet.seq, packet.timestamp, packet.ssrc, packet.payload)


# name, bytes, payload, extensions
PACKETS = [
    ("plain", PLAIN, b"\x01\x02", None),
    ("empty payload", PLAIN[:12], b"", None),
    ("two CSRCs are skipped", b"\x82" + PLAIN[1:12] + bytes(8) + b"x", b"x", None),
    ("padding stripped", b"\xa0" + PLAIN[1:12] + b"abc\x00\x00\x03", b"abc", None),
    ("padding only", b"\xa0" + PLAIN[1:12] + bytes(254) + b"\xff", b"", None),
    (
        "one-byte extensions with padding between",
        b"\x90" + PLAIN[1:12] + bytes.fromhex("bede00021041003201020300") + b"p",
        b"p",
        {1: b"A", 3: b"\x01\x02\x03"},
    ),
    (
        "id 15 ends the one-byte form",
        b"\x90" + PLAIN[1:12] + bytes.fromhex("bede00021041f0ff10420000") + b"p",
        b"p",
        {1: b"A"},
    ),
    (
        "one-byte element beyond its block",
        b"\x90" + PLAIN[1:12] + bytes.fromhex("bede000110413f01") + b"p",
        b"p",
        {1: b"A"},
    ),
    (
        "two-byte extensions, one of length 0",
        b"\x90" + PLAIN[1:12] + bytes.fromhex("100000021100002003616263") + b"p",
        b"p",
        {0x11: b"", 0x20: b"abc"},
    ),
    ("extension block of length 0", b"\x90" + PLAIN[1:12] + bytes.fromhex("bede0000") + b"p", b"p", {}),
    ("unknown profile", b"\x90" + PLAIN[1:12] + bytes.fromhex("12340001deadbeef") + b"p", b"p", None),
]


@pytest.mark.parametrize("name, data, payload, extensions", PACKETS, ids=[row[0] for row in PACKETS])
def test_parse(name: str, data: bytes, payload: bytes, extensions: dict[int, bytes] | None) -> None:
    for form in (data, memoryview(bytearray(data))):
        packet = parse_rtp(form, 1.5)
        assert fields(packet) == (0x60, True, 1, 2, 3, payload)
        assert type(packet.payload) is bytes
        assert packet.extensions == extensions
        assert packet.arrival == 1.5


BAD = [
    ("nothing", b""),
    ("eleven bytes", PLAIN[:11]),
    ("version 1", b"\x40" + PLAIN[1:]),
    ("CSRCs missing", b"\x8f" + PLAIN[1:]),
    ("no room for the extension header", b"\x90" + PLAIN[1:12] + b"\xbe\xde"),
    ("extension block too long", b"\x90" + PLAIN[1:12] + bytes.fromhex("bede0002") + bytes(4)),
    ("padding longer than the payload", b"\xa0" + PLAIN[1:12] + b"ab\x04"),
    ("padding of length 0", b"\xa0" + PLAIN[1:12] + b"ab\x00"),
]


@pytest.mark.parametrize("name, data", BAD, ids=[row[0] for row in BAD])
def test_parse_refuses(name: str, data: bytes) -> None:
    with pytest.raises(RtpError):
        parse_rtp(data, 0.0)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_give_a_packet_or_an_rtp_error(data: bytes) -> None:
    try:
        packet = parse_rtp(data, 0.0)
    except RtpError:
        return
    assert len(packet.payload) <= len(data) - 12


def test_mutations_give_a_packet_or_an_rtp_error() -> None:
    rng = random.Random(1)
    for _ in range(3000):
        data = bytearray(rng.choice(PACKETS)[1])
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        del data[rng.randint(0, len(data)) :]
        try:
            parse_rtp(bytes(data), 0.0)
        except RtpError:
            pass


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 127),
    st.booleans(),
    st.integers(0, 65535),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=40),
    st.dictionaries(st.integers(1, 255), st.binary(max_size=30), max_size=5),
)
def test_round_trip(
    pt: int, marker: bool, seq: int, ts: int, ssrc: int, payload: bytes, exts: dict[int, bytes]
) -> None:
    packet = RtpPacket(pt, marker, seq, ts, ssrc, payload)
    again = parse_rtp(serialize_rtp(packet, build_extension(exts)), 0.0)
    assert fields(again) == fields(packet)
    assert (again.extensions or {}) == exts


def test_extension_block_takes_the_short_form_where_it_can() -> None:
    assert build_extension({4: b"0"}) == bytes.fromhex("bede000140300000")
    assert build_extension({4: b""})[:2] == b"\x10\x00"
    with pytest.raises(ValueError, match="extension 0"):
        build_extension({0: b"x"})


def test_rtx_carries_the_original_or_nothing() -> None:
    rtx = RtpPacket(97, True, 7, 1000, 55, struct.pack("!H", 65535) + b"media", {1: b"m"}, 2.0)
    original = unwrap_rtx(rtx, 96, 44)
    assert original is not None
    assert fields(original) == (96, True, 65535, 1000, 44, b"media")
    assert original.extensions == {1: b"m"} and original.arrival == 2.0
    assert unwrap_rtx(RtpPacket(97, False, 8, 1000, 55, b""), 96, 44) is None


def test_serial_arithmetic() -> None:
    assert seq_diff(0, 65535) == 1 and seq_diff(65535, 0) == -1 and seq_diff(32768, 0) == -32768
    assert seq_newer(0, 65535) and not seq_newer(65535, 0) and not seq_newer(5, 5)
    assert ts_diff(0, 2**32 - 1) == 1 and ts_diff(2**31, 0) == -(2**31)


def test_unwrapper_follows_both_ways_over_the_wrap() -> None:
    unwrapper = SeqUnwrapper()
    assert [unwrapper.unwrap(n) for n in (65534, 65535, 1, 0, 65533, 2)] == [65534, 65535, 65537, 65536, 65533, 65538]
    early = SeqUnwrapper()
    assert [early.unwrap(n) for n in (1, 65535, 2)] == [1, -1, 2]
    stamps = SeqUnwrapper(32)
    assert [stamps.unwrap(n) for n in (2**32 - 1, 3)] == [2**32 - 1, 2**32 + 3]


def test_sequence_map_closes_dropped_places_and_keeps_lost_ones() -> None:
    numbers = SequenceMap(100, 1000)
    assert numbers.rewrite(100) == 1000
    assert numbers.drop(102)  # 101 is lost so far
    assert numbers.rewrite(103) == 1002
    assert numbers.rewrite(101) == 1001  # repaired: the place it left
    assert numbers.rewrite(102) is None  # the dropped one again
    assert not numbers.drop(101)  # too late: 1001 has been told
    assert numbers.rewrite(99) is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["send", "drop", "lose"]), min_size=1, max_size=400))
def test_sequence_map_has_a_gap_exactly_where_something_was_lost(what: list[str]) -> None:
    numbers = SequenceMap(0, 0)
    expected = 0
    lost = []
    for seq, kind in enumerate(what):
        if kind == "drop":
            assert numbers.drop(seq)
            continue
        if kind == "lose":
            lost.append((seq, expected))
        else:
            assert numbers.rewrite(seq) == expected
        expected += 1
    for seq, out in lost:
        assert numbers.rewrite(seq) in (out, None if seq < numbers.oldest else out)


def test_history_is_bounded_by_age_and_count() -> None:
    history: History[str] = History(keep_s=1.0, max_items=3)
    for number in range(3):
        history.add(number, str(number), 0.1 * number)
    assert history.get(0) == "0" and 2 in history
    history.add(3, "3", 0.3)
    assert history.get(0) is None and len(history) == 3
    history.add(4, "4", 5.0)
    assert len(history) == 1 and history.get(4) == "4"
    history.add(4, "again", 5.1)
    history.add(5, "5", 6.05)
    assert history.get(4) is None and history.get(5) == "5"
    history.clear()
    assert len(history) == 0


def test_nack_waits_for_reordering_and_asks_once_per_round_trip() -> None:
    nacks = NackList()
    nacks.received(10, 0.0)
    nacks.received(12, 0.0)
    assert nacks.due(0.001) == []
    nacks.received(11, 0.002)
    assert len(nacks) == 0 and nacks.next_due() is None
    nacks.received(15, 0.010)
    assert nacks.due(0.015) == [13, 14]
    assert nacks.due(0.020) == []
    assert nacks.due(0.100) == [13, 14]
    nacks.received(13, 0.110)
    assert nacks.rtt_s is None  # asked twice: which request was answered?
    nacks.received(17, 0.2)
    assert nacks.due(0.21) == [14, 16]
    nacks.received(16, 0.25)
    assert nacks.rtt_s == pytest.approx(0.04)


def test_nack_asks_at_once_when_three_newer_ones_are_there() -> None:
    nacks = NackList()
    for number in (1, 3, 4, 5):
        nacks.received(number, 0.0)
    assert nacks.due(0.0) == [2]


def test_nack_gives_up_by_age_by_tries_and_at_wide_gaps() -> None:
    nacks = NackList(give_up_s=0.5)
    nacks.received(1, 0.0)
    nacks.received(3, 0.0)
    asked = sum(len(nacks.due(0.005 * step)) for step in range(1, 120))
    assert 1 <= asked <= 10 and len(nacks) == 0
    assert nacks.take_lost() == 1 and nacks.take_lost() == 0
    nacks.received(700, 1.0)
    assert len(nacks) == 0 and nacks.take_lost() == 696
    nacks.received(703, 1.0)
    nacks.forget_before(702)
    assert nacks.due(1.1) == [702]
