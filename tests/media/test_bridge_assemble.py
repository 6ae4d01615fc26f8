"""From packets in any order to whole pictures in order."""

from __future__ import annotations

import random

import pytest

from gateway.media.bridge.assemble import MAX_PACKETS, REPAIR_S, Assembler, Picture
from gateway.wire.frame import Codec
from gateway.wire.payload import H264Packetizer
from gateway.wire.rtp import RtpPacket

SPS, PPS = b"\x67\x42\xc0\x1f" + b"s" * 10, b"\x68" + b"p" * 4


def film(count: int, gop: int = 10, first_seq: int = 65500, size: int = 3000) -> list[list[RtpPacket]]:
    """Packets by picture: parameter sets and an IDR each `gop`, slices of about `size` bytes that say their number."""
    draw = random.Random(1)
    seq = first_seq
    out = []
    for number in range(count):
        key = number % gop == 0
        body = bytes((0x65 if key else 0x41,)) + number.to_bytes(4, "big") + draw.randbytes(draw.randrange(10, size))
        payloads = H264Packetizer().packetize([SPS, PPS, body] if key else [body])
        packets = []
        for index, data in enumerate(payloads):
            packets.append(RtpPacket(96, index == len(payloads) - 1, seq & 0xFFFF, number * 3000, 1, data))
            seq += 1
        out.append(packets)
    return out


def numbers(pictures: list[Picture]) -> list[int]:
    return [int.from_bytes(picture.units[-1][1:5], "big") for picture in pictures]


def feed(assembler: Assembler, packets: list[RtpPacket], now: float = 0.0) -> list[Picture]:
    out: list[Picture] = []
    for packet in packets:
        packet.arrival = now
        out += assembler.add(packet, packet.timestamp / 90000, now)
    return out


def flat(pictures: list[list[RtpPacket]]) -> list[RtpPacket]:
    return [packet for picture in pictures for packet in picture]


def test_pictures_come_out_as_soon_as_they_are_whole() -> None:
    assembler = Assembler(Codec.H264)
    for number, packets in enumerate(film(25)):
        assert not feed(assembler, packets[:-1])
        done = feed(assembler, packets[-1:])
        assert numbers(done) == [number]
        assert done[0].keyframe == (number % 10 == 0)
        assert done[0].stamp == number * 3000 / 90000
    assert assembler.next_deadline() is None


def test_without_markers_the_next_timestamp_ends_a_picture() -> None:
    packets = flat(film(5))
    for packet in packets:
        packet.marker = False
    assert numbers(feed(Assembler(Codec.H264), packets)) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(20))
def test_any_order_within_the_repair_time(seed: int) -> None:
    draw = random.Random(seed)
    packets = flat(film(40))
    keyed = [(index + draw.random() * 12, packet) for index, packet in enumerate(packets)]
    head = packets[:2]  # where it begins has to be known
    shuffled = head + [p for _, p in sorted(keyed, key=lambda k: k[0]) if p not in head]
    shuffled += draw.sample(shuffled, 10)  # and some twice
    got = numbers(feed(Assembler(Codec.H264), shuffled))
    # A key frame that is whole before its predecessors ends the waiting for them; nothing is ever out of order.
    assert got == sorted(set(got)) and len(got) >= 30


def test_empty_packets_take_numbers_only() -> None:
    pictures = film(6)
    seq = pictures[0][0].seq
    packets = []
    for index, packet in enumerate(flat(pictures)):
        packet.seq = (seq + 2 * index) & 0xFFFF
        packets += [packet, RtpPacket(96, False, packet.seq + 1 & 0xFFFF, packet.timestamp, 1, b"")]
    assert numbers(feed(Assembler(Codec.H264), packets)) == list(range(6))


def test_a_hole_is_waited_for_then_given_up_to_the_next_key_frame() -> None:
    pictures = film(21)
    assembler = Assembler(Codec.H264)
    lost = pictures[3].pop(0)
    got = feed(assembler, flat(pictures[:6]), 1.0)
    assert numbers(got) == [0, 1, 2]
    assert assembler.next_deadline() == pytest.approx(1.0 + REPAIR_S)
    assert not assembler.expire(1.0 + REPAIR_S / 2) and not assembler.waiting
    late = feed(Assembler(Codec.H264), [])  # nothing
    assert late == []
    assert not assembler.expire(1.2)
    assert assembler.waiting and assembler.losses == 1
    assert numbers(feed(assembler, [lost], 1.3)) == [], "too late"
    assert numbers(feed(assembler, flat(pictures[6:]), 1.3)) == list(range(10, 21))
    assert not assembler.waiting


def test_a_repair_in_time_loses_nothing() -> None:
    pictures = film(8)
    lost = pictures[3].pop(0)
    assembler = Assembler(Codec.H264)
    assert numbers(feed(assembler, flat(pictures), 1.0)) == [0, 1, 2]
    assert numbers(feed(assembler, [lost], 1.1)) == [3, 4, 5, 6, 7]
    assert assembler.losses == 0


def test_a_whole_key_frame_behind_the_hole_is_not_kept_waiting() -> None:
    pictures = film(15)
    pictures[7].pop(0)
    assembler = Assembler(Codec.H264)
    assert numbers(feed(assembler, flat(pictures), 1.0)) == [0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14]
    assert assembler.losses == 1


def test_a_key_frame_without_its_parameter_sets_is_no_start() -> None:
    pictures = film(25)
    pictures[10].pop(0)
    pictures[9].pop(-1)
    assembler = Assembler(Codec.H264)
    got = feed(assembler, flat(pictures[:20]), 1.0)
    got += assembler.expire(2.0)
    assert numbers(got) == list(range(9))
    assert numbers(feed(assembler, flat(pictures[20:]), 2.0)) == list(range(20, 25))


def test_it_begins_with_a_key_frame() -> None:
    assert numbers(feed(Assembler(Codec.H264), flat(film(25)[3:]))) == list(range(10, 25))


def test_a_new_stream_of_numbers() -> None:
    assembler = Assembler(Codec.H264)
    feed(assembler, flat(film(5)))
    assert numbers(feed(assembler, flat(film(5, first_seq=20000)))) == list(range(5))


def test_memory_is_bounded() -> None:
    assembler = Assembler(Codec.H264)
    packets = flat(film(3000, gop=4000, size=500))
    feed(assembler, packets[:3])
    feed(assembler, packets[4:])
    assert len(assembler._held) <= MAX_PACKETS
    assert assembler._bytes == sum(len(p.payload) for p, _ in assembler._held.values())


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8, Codec.VP9, Codec.AV1])
def test_anything_is_survived(codec: Codec) -> None:
    draw = random.Random(3)
    assembler = Assembler(codec)
    for number in range(5000):
        seq = (number + draw.choice((0, 0, 0, 1, -2, 40, draw.getrandbits(16)))) & 0xFFFF
        payload = draw.randbytes(draw.choice((0, 1, 2, 30)))
        packet = RtpPacket(96, draw.random() < 0.3, seq, draw.choice((number // 3, 7)), 1, payload)
        assembler.add(packet, 0.0, number * 0.001)
        if number % 100 == 0:
            assembler.expire(number * 0.001)
    assert len(assembler._held) <= MAX_PACKETS
