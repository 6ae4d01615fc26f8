"""RTCP packets read and written, and the record of transport-wide numbers."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import RtpError
from gateway.wire.rtcp import (
    Bye,
    Fir,
    Nack,
    Pli,
    ReceiverReport,
    Remb,
    ReportBlock,
    Rtcp,
    Sdes,
    SenderReport,
    TransportFeedback,
    TwccRecorder,
    compound_chunks,
    parse_compound,
    serialize_all,
)

BLOCK = ReportBlock(0x11223344, 64, -3, 70000, 900, 0xAABBCCDD, 0x00010000)

PACKETS: list[tuple[str, Rtcp, str]] = [
    (
        "SR with a block",
        SenderReport(1, 0x0102030405060708, 9, 10, 11, (BLOCK,)),
        "81c8000c 00000001 0102030405060708 00000009 0000000a 0000000b"
        "11223344 40fffffd 00011170 00000384 aabbccdd 00010000",
    ),
    ("RR without blocks", ReceiverReport(7), "80c90001 00000007"),
    ("SDES", Sdes(((1, "ab"),)), "81ca0003 00000001 01026162 00000000"),
    ("SDES, padded exactly", Sdes(((1, "a"),)), "81ca0002 00000001 01016100"),
    ("BYE", Bye((1, 2)), "82cb0002 00000001 00000002"),
    ("NACK over the wrap", Nack(1, 2, (65535, 0, 15, 16)), "81cd0004 00000001 00000002 ffff8001 00100000"),
    ("PLI", Pli(1, 2), "81ce0002 00000001 00000002"),
    ("FIR", Fir(1, ((5, 200),)), "84ce0004 00000001 00000000 00000005 c8000000"),
    ("REMB", Remb(1, 1 << 20, (9,)), "8fce0005 00000001 00000000 52454d42 010e0000 00000009"),
    (
        "TWCC: run, small and large deltas",
        TransportFeedback(1, 2, 65535, -1, 255, (4, None, -2, 300)),
        "8fcd0006 00000001 00000002 ffff0004 ffffffff d280 04fffe 012c 00",
    ),
]


@pytest.mark.parametrize("name, packet, text", PACKETS, ids=[row[0] for row in PACKETS])
def test_both_ways(name: str, packet: Rtcp, text: str) -> None:
    data = bytes.fromhex(text)
    assert packet.serialize() == data
    assert parse_compound(data) == [packet]


def test_compound_unknown_types_and_padding() -> None:
    xr = bytes.fromhex("80cf0001 00000001")
    app = bytes.fromhex("80cc0002 00000001 41424344")
    padded = bytes.fromhex("a1ce0003 00000001 00000002 00000004")
    assert parse_compound(xr + ReceiverReport(7).serialize() + app + padded) == [ReceiverReport(7), Pli(1, 2)]
    everything = [row[1] for row in PACKETS]
    assert parse_compound(serialize_all(everything)) == everything


def test_datagrams_stay_below_the_limit() -> None:
    packets = [SenderReport(n, 0, 0, 0, 0) for n in range(100)]
    datagrams = compound_chunks(packets, 1200)
    assert all(len(data) <= 1200 for data in datagrams)
    assert [packet for data in datagrams for packet in parse_compound(data)] == packets


BAD = [
    "",
    "80c9",
    "40c90001 00000007",
    "80c90002 00000007",
    "80c90000",
    "81c90001 00000007",
    "81c80006 00000001 0102030405060708 00000009 0000000a 0000000b",
    "81ca0001 00000001",
    "81ca0002 00000001 01ff6162",
    "82cb0001 00000001",
    "81cd0001 00000001",
    "a1ce0002 00000001 00000009",
    "8fcd0004 00000001 00000002 ffff0004 ffffffff",
    "8fcd0005 00000001 00000002 00000004 ffffffff 20000000",
    "8fcd0005 00000001 00000002 00000004 ffffffff 20040102",
    "80c90001 00000007 80",
]


@pytest.mark.parametrize("text", BAD)
def test_damaged_packets_are_refused(text: str) -> None:
    with pytest.raises(RtpError):
        parse_compound(bytes.fromhex(text))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_any_bytes_give_a_list_or_an_rtp_error(data: bytes) -> None:
    try:
        packets = parse_compound(data)
    except RtpError:
        return
    for packet in packets:
        packet.serialize()


def test_mutations_give_a_list_or_an_rtp_error() -> None:
    rng = random.Random(2)
    for _ in range(4000):
        data = bytearray(serialize_all([rng.choice(PACKETS)[1] for _ in range(rng.randint(1, 3))]))
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        del data[rng.randint(1, len(data)) :]
        try:
            for packet in parse_compound(bytes(data)):
                packet.serialize()
        except RtpError:
            pass


@settings(max_examples=200, deadline=None)
@given(st.sets(st.integers(0, 3000), min_size=1, max_size=100), st.integers(0, 65535))
def test_nack_keeps_every_number(numbers: set[int], base: int) -> None:
    lost = tuple((base + n) & 0xFFFF for n in sorted(numbers))
    assert parse_compound(Nack(1, 2, lost).serialize()) == [Nack(1, 2, lost)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-32768, 32767), st.integers(0, 255)), max_size=300))
def test_transport_feedback_round_trip(deltas: list[int | None]) -> None:
    packet = TransportFeedback(1, 2, 3, 4, 5, tuple(deltas))
    assert parse_compound(packet.serialize()) == [packet]


def told(packets: list[TransportFeedback]) -> dict[int, float | None]:
    """What a sender reads out of feedback: 16-bit number → arrival in seconds or None."""
    seen: dict[int, float | None] = {}
    for packet in packets:
        (packet,) = parse_compound(packet.serialize())
        assert isinstance(packet, TransportFeedback)
        clock = packet.reference_time * 256
        for index, delta in enumerate(packet.deltas):
            if delta is not None:
                clock += delta
            seen[(packet.base_seq + index) & 0xFFFF] = None if delta is None else clock * 0.00025
    return seen


def test_recorder_tells_arrivals_and_losses_over_the_wrap() -> None:
    recorder = TwccRecorder()
    assert recorder.feedback(1, 2) == []
    for index, seq in enumerate((65534, 65535, 1, 2)):
        recorder.add(seq, 100.0 + 0.01 * index)
    first = told(recorder.feedback(1, 2))
    assert first.keys() == {65534, 65535, 0, 1, 2} and first[0] is None
    assert first[1] == pytest.approx(100.02, abs=0.0003)
    assert recorder.feedback(1, 2) == []
    recorder.add(4, 100.05)
    assert told(recorder.feedback(1, 2)) == {3: None, 4: pytest.approx(100.05, abs=0.0003)}


def test_recorder_tells_again_when_a_packet_was_only_late() -> None:
    recorder = TwccRecorder()
    recorder.add(1, 5.0)
    recorder.add(3, 5.01)
    assert told(recorder.feedback(1, 2))[2] is None
    recorder.add(2, 5.03)
    again = told(recorder.feedback(1, 2))
    assert again[2] == pytest.approx(5.03, abs=0.0003) and again[3] == pytest.approx(5.01, abs=0.0003)
    recorder.add(50, 9.0)
    recorder.feedback(1, 2)
    recorder.add(40, 9.1)
    recorder.add(1, 9.1)  # far too late: what came between is forgotten
    assert 1 not in told(recorder.feedback(1, 2))


def test_recorder_starts_anew_after_a_jump_and_is_bounded() -> None:
    recorder = TwccRecorder()
    recorder.add(1, 1.0)
    recorder.add(20000, 1.1)
    assert told(recorder.feedback(1, 2)).keys() == {20000}
    for seq in range(30000, 50000):
        recorder.add(seq & 0xFFFF, 2.0)
    packets = recorder.feedback(1, 2)
    assert all(len(packet.serialize()) < 1200 for packet in packets)
    assert sum(len(packet.deltas) for packet in packets) <= TwccRecorder.MAX_KEPT
    assert [packet.feedback_count for packet in packets] == list(range(1, len(packets) + 1))


def test_recorder_splits_where_the_delta_does_not_fit() -> None:
    recorder = TwccRecorder()
    recorder.add(1, 1.0)
    recorder.add(2, 11.0)
    packets = recorder.feedback(1, 2)
    assert len(packets) == 2
    assert told(packets) == {1: pytest.approx(1.0, abs=0.0003), 2: pytest.approx(11.0, abs=0.0003)}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 65535), st.floats(0, 1e6)), max_size=60))
def test_recorder_takes_anything(arrivals: list[tuple[int, float]]) -> None:
    recorder = TwccRecorder()
    for seq, arrival in arrivals:
        recorder.add(seq, arrival)
        for packet in recorder.feedback(1, 2):
            assert parse_compound(packet.serialize()) == [packet]
