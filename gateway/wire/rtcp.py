"""RTCP: reports (RFC 3550 section 6), feedback (RFC 4585, 5104), REMB and transport-wide feedback.

`parse_compound` reads one decrypted datagram, reduced size (RFC 5506) or compound, and gives the packets it knows in
order; unknown types (APP, XR) are skipped. For any input it gives a list or raises RtpError. Every value serializes to
one RTCP packet; a datagram is their concatenation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from gateway.base.errors import RtpError
from gateway.wire.rtp import SeqUnwrapper

SR: Final = 200
RR: Final = 201
SDES: Final = 202
BYE: Final = 203
RTPFB: Final = 205
PSFB: Final = 206

_BLOCK: Final = struct.Struct("!IIIIII")
_SENDER_INFO: Final = struct.Struct("!IQIII")
_TWO: Final = struct.Struct("!II")
_PAIR: Final = struct.Struct("!HH")
_TWCC: Final = struct.Struct("!IIHHI")


def _packet(count: int, packet_type: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack("!BBH", 0x80 | count, packet_type, len(body) // 4) + body


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver says of one stream. `lost` is signed 24 bit, `highest` the 32-bit extended sequence number,
    `jitter` in the stream's clock, `lsr` and `dlsr` in 1/65536 s."""

    ssrc: int
    fraction_lost: int
    lost: int
    highest: int
    jitter: int
    lsr: int = 0
    dlsr: int = 0

    def pack(self) -> bytes:
        lost = max(-0x800000, min(0x7FFFFF, self.lost)) & 0xFFFFFF
        return _BLOCK.pack(
            self.ssrc, self.fraction_lost << 24 | lost, self.highest, self.jitter & 0xFFFFFFFF, self.lsr, self.dlsr
        )

    @classmethod
    def unpack(cls, data: bytes, offset: int) -> ReportBlock:
        ssrc, loss, highest, jitter, lsr, dlsr = _BLOCK.unpack_from(data, offset)
        lost = loss & 0xFFFFFF
        return cls(ssrc, loss >> 24, lost - 0x1000000 if lost & 0x800000 else lost, highest, jitter, lsr, dlsr)


@dataclass(frozen=True, slots=True)
class SenderReport:
    """`ntp` is 64-bit (32.32 s since 1900) and belongs to `rtp`, a 32-bit timestamp of stream `ssrc`."""

    ssrc: int
    ntp: int
    rtp: int
    packets: int
    octets: int
    reports: tuple[ReportBlock, ...] = ()

    def serialize(self) -> bytes:
        info = _SENDER_INFO.pack(self.ssrc, self.ntp, self.rtp, self.packets & 0xFFFFFFFF, self.octets & 0xFFFFFFFF)
        return _packet(len(self.reports), SR, info + b"".join(block.pack() for block in self.reports))


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    ssrc: int
    reports: tuple[ReportBlock, ...] = ()

    def serialize(self) -> bytes:
        return _packet(
            len(self.reports), RR, self.ssrc.to_bytes(4, "big") + b"".join(block.pack() for block in self.reports)
        )


@dataclass(frozen=True, slots=True)
class Sdes:
    """Canonical names: pairs of (ssrc, CNAME). Other items are not kept."""

    names: tuple[tuple[int, str], ...]

    def serialize(self) -> bytes:
        chunks = []
        for ssrc, name in self.names:
            text = name.encode("utf-8")[:255]
            item = ssrc.to_bytes(4, "big") + bytes([1, len(text)]) + text
            chunks.append(item + bytes(4 - len(item) % 4))  # at least one zero byte ends the list
        return _packet(len(self.names), SDES, b"".join(chunks))


@dataclass(frozen=True, slots=True)
class Bye:
    ssrcs: tuple[int, ...]

    def serialize(self) -> bytes:
        return _packet(len(self.ssrcs), BYE, b"".join(ssrc.to_bytes(4, "big") for ssrc in self.ssrcs))


@dataclass(frozen=True, slots=True)
class Nack:
    """Generic NACK (RFC 4585 section 6.2.1): the 16-bit numbers that are missing from stream `media_ssrc`."""

    sender_ssrc: int
    media_ssrc: int
    lost: tuple[int, ...]

    def serialize(self) -> bytes:
        """Numbers must be in serial order; each 17 of them in a row cost one entry."""
        entries: list[bytes] = []
        index, count = 0, len(self.lost)
        while index < count:
            first = self.lost[index]
            mask = 0
            index += 1
            while index < count:
                distance = (self.lost[index] - first) & 0xFFFF
                if not 1 <= distance <= 16:
                    break
                mask |= 1 << (distance - 1)
                index += 1
            entries.append(_PAIR.pack(first, mask))
        return _packet(1, RTPFB, _TWO.pack(self.sender_ssrc, self.media_ssrc) + b"".join(entries))


@dataclass(frozen=True, slots=True)
class Pli:
    sender_ssrc: int
    media_ssrc: int

    def serialize(self) -> bytes:
        return _packet(1, PSFB, _TWO.pack(self.sender_ssrc, self.media_ssrc))


@dataclass(frozen=True, slots=True)
class Fir:
    """Full intra request (RFC 5104 section 4.3.1): pairs of (ssrc, command number 0..255)."""

    sender_ssrc: int
    requests: tuple[tuple[int, int], ...]

    def serialize(self) -> bytes:
        body = b"".join(_TWO.pack(ssrc, (number & 0xFF) << 24) for ssrc, number in self.requests)
        return _packet(4, PSFB, _TWO.pack(self.sender_ssrc, 0) + body)


@dataclass(frozen=True, slots=True)
class Remb:
    """Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb), bits per second."""

    sender_ssrc: int
    bitrate_bps: int
    ssrcs: tuple[int, ...] = ()

    def serialize(self) -> bytes:
        exponent = max(0, min(63, self.bitrate_bps.bit_length() - 18))
        word = len(self.ssrcs) << 24 | exponent << 18 | min(0x3FFFF, self.bitrate_bps >> exponent)
        body = b"REMB" + word.to_bytes(4, "big") + b"".join(ssrc.to_bytes(4, "big") for ssrc in self.ssrcs)
        return _packet(15, PSFB, _TWO.pack(self.sender_ssrc, 0) + body)


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).

    `deltas` has one entry per transport-wide number from `base_seq` on: None if the packet did not come, else the time
    since the one before that did, in 250 us ticks (-32768..32767); the first counts from `reference_time`, which is in
    64 ms ticks, signed 24 bit. `media_ssrc` must be one that the browser sends, or it ignores the whole feedback.
    """

    TICK_S: ClassVar[float] = 0.00025
    REFERENCE_S: ClassVar[float] = 0.064
    TICKS_PER_REFERENCE: ClassVar[int] = 256

    sender_ssrc: int
    media_ssrc: int
    base_seq: int
    reference_time: int
    feedback_count: int
    deltas: tuple[int | None, ...] = field(default=())

    def serialize(self) -> bytes:
        body = _TWCC.pack(
            self.sender_ssrc,
            self.media_ssrc,
            self.base_seq & 0xFFFF,
            len(self.deltas),
            (self.reference_time & 0xFFFFFF) << 8 | (self.feedback_count & 0xFF),
        )
        symbols = bytes(0 if d is None else 1 if 0 <= d <= 255 else 2 for d in self.deltas)
        times = b"".join(
            bytes([d]) if 0 <= d <= 255 else d.to_bytes(2, "big", signed=True) for d in self.deltas if d is not None
        )
        return _packet(15, RTPFB, body + _status_chunks(symbols) + times)


def _status_chunks(symbols: bytes) -> bytes:
    """Encode status symbols (0, 1, 2): runs of 7 and more as lengths, the rest as vectors of 14 or (with a 2) of 7."""
    chunks = []
    position, count = 0, len(symbols)
    while position < count:
        symbol = symbols[position]
        run = 1
        while position + run < count and run < 8191 and symbols[position + run] == symbol:
            run += 1
        if run >= 7:
            chunks.append(symbol << 13 | run)
            position += run
        elif max(window := symbols[position : position + 14]) < 2:
            bits = 0x8000
            for index, value in enumerate(window):
                bits |= value << (13 - index)
            chunks.append(bits)
            position += 14
        else:
            bits = 0xC000
            for index, value in enumerate(symbols[position : position + 7]):
                bits |= value << (12 - 2 * index)
            chunks.append(bits)
            position += 7
    return struct.pack(f"!{len(chunks)}H", *chunks)


Rtcp = SenderReport | ReceiverReport | Sdes | Bye | Nack | Pli | Fir | Remb | TransportFeedback


def parse_compound(data: bytes) -> list[Rtcp]:
    """Read every RTCP packet of one datagram. Raises RtpError for a wrong version or length, or an empty datagram."""
    size = len(data)
    if size < 4:
        raise RtpError(f"RTCP datagram of {size} bytes, at least 4 needed")
    found: list[Rtcp] = []
    offset = 0
    while offset < size:
        if offset + 4 > size:
            raise RtpError("RTCP header beyond the datagram")
        first, packet_type = data[offset], data[offset + 1]
        if first & 0xC0 != 0x80:
            raise RtpError(f"RTCP version {first >> 6}, must be 2")
        end = offset + 4 + 4 * (data[offset + 2] << 8 | data[offset + 3])
        if end > size:
            raise RtpError(f"RTCP packet of type {packet_type} ends {end - size} bytes beyond the datagram")
        body = bytes(data[offset + 4 : end])
        if first & 0x20:
            if not body or not 1 <= body[-1] <= len(body):
                raise RtpError(f"RTCP packet of type {packet_type} with impossible padding")
            body = body[: -body[-1]]
        try:
            packet = _parse_one(first & 0x1F, packet_type, body)
        except (struct.error, IndexError):
            raise RtpError(f"RTCP packet of type {packet_type} with {len(body)} bytes is too short") from None
        if packet is not None:
            found.append(packet)
        offset = end
    return found


def _parse_one(count: int, packet_type: int, body: bytes) -> Rtcp | None:
    if packet_type == SR:
        ssrc, ntp, rtp, packets, octets = _SENDER_INFO.unpack_from(body)
        return SenderReport(ssrc, ntp, rtp, packets, octets, _blocks(body, 24, count))
    if packet_type == RR:
        return ReceiverReport(_ssrc(body, 0), _blocks(body, 4, count))
    if packet_type == SDES:
        return _parse_sdes(count, body)
    if packet_type == BYE:
        return Bye(tuple(_ssrc(body, 4 * index) for index in range(count)))
    if packet_type == RTPFB:
        sender, media = _TWO.unpack_from(body)
        if count == 1:
            return Nack(sender, media, _nack_numbers(body))
        if count == 15:
            return _parse_transport_feedback(body)
    elif packet_type == PSFB:
        sender, media = _TWO.unpack_from(body)
        if count == 1:
            return Pli(sender, media)
        if count == 4:
            pairs = (_TWO.unpack_from(body, offset) for offset in range(8, len(body) - 7, 8))
            return Fir(sender, tuple((ssrc, word >> 24) for ssrc, word in pairs))
        if count == 15 and body[8:12] == b"REMB":
            word = _ssrc(body, 12)
            ssrcs = tuple(_ssrc(body, 16 + 4 * index) for index in range(word >> 24))
            return Remb(sender, (word & 0x3FFFF) << (word >> 18 & 0x3F), ssrcs)
    return None


def _ssrc(body: bytes, offset: int) -> int:
    if offset + 4 > len(body):
        raise IndexError(offset)
    return int.from_bytes(body[offset : offset + 4], "big")


def _blocks(body: bytes, offset: int, count: int) -> tuple[ReportBlock, ...]:
    return tuple(ReportBlock.unpack(body, offset + 24 * index) for index in range(count))


def _parse_sdes(count: int, body: bytes) -> Sdes:
    names: list[tuple[int, str]] = []
    offset = 0
    for _ in range(count):
        ssrc = _ssrc(body, offset)
        offset += 4
        while body[offset]:
            item, length = body[offset], body[offset + 1]
            text = body[offset + 2 : offset + 2 + length]
            if len(text) < length:
                raise IndexError(offset)
            if item == 1:
                names.append((ssrc, text.decode("utf-8", "replace")))
            offset += 2 + length
        offset += 4 - offset % 4
    return Sdes(tuple(names))


def _nack_numbers(body: bytes) -> tuple[int, ...]:
    numbers: list[int] = []
    for offset in range(8, len(body) - 3, 4):
        first, mask = _PAIR.unpack_from(body, offset)
        numbers.append(first)
        bit = 1
        while mask:
            if mask & 1:
                numbers.append((first + bit) & 0xFFFF)
            mask >>= 1
            bit += 1
    return tuple(numbers)


def _parse_transport_feedback(body: bytes) -> TransportFeedback:
    sender, media, base, count, word = _TWCC.unpack_from(body)
    offset = 16
    symbols: list[int] = []
    while len(symbols) < count:
        (chunk,) = struct.unpack_from("!H", body, offset)
        offset += 2
        if not chunk & 0x8000:
            symbols += [chunk >> 13 & 3] * min(chunk & 0x1FFF, count - len(symbols))
            if not chunk & 0x1FFF:
                raise RtpError("transport feedback with a run of no packets")
        elif chunk & 0x4000:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    deltas: list[int | None] = []
    for symbol in symbols[:count]:
        if symbol == 1:
            deltas.append(body[offset])
            offset += 1
        elif symbol == 2:
            deltas.append(struct.unpack_from("!h", body, offset)[0])
            offset += 2
        else:
            deltas.append(None)
    reference = word >> 8
    if reference & 0x800000:
        reference -= 0x1000000
    return TransportFeedback(sender, media, base, reference, word & 0xFF, tuple(deltas))


class TwccRecorder:
    """Arrival times by transport-wide number, and the feedback to send about them.

    A packet that comes after its number was already told as missing makes the next feedback start there again, within
    `BACK_S`: so browsers take reordering for what it is. Bounded: `MAX_KEPT` packets; a jump of the numbers by more
    than `MAX_JUMP` starts anew.
    """

    BACK_S: Final = 0.5
    MAX_KEPT: Final = 4000
    MAX_JUMP: Final = 4000
    MAX_STATUS: Final = 400
    """Packets per feedback: with two-byte deltas this still fits one datagram."""

    __slots__ = ("_arrivals", "_count", "_floor", "_latest", "_next", "_unwrapper")

    def __init__(self) -> None:
        self._unwrapper = SeqUnwrapper()
        self._arrivals: dict[int, float] = {}
        self._latest = float("-inf")
        self._next: int | None = None  # first number of the next feedback
        self._floor = float("-inf")  # below it nothing is kept, so nothing may be told again
        self._count = 0

    def add(self, seq: int, arrival: float) -> None:
        """Note that transport-wide number `seq` (16 bit) came at `arrival` (monotonic seconds)."""
        newest = self._unwrapper.newest
        number = self._unwrapper.unwrap(seq)
        if newest is not None and abs(number - newest) > self.MAX_JUMP:
            self._arrivals.clear()
            self._unwrapper = SeqUnwrapper()
            self._next = number = self._unwrapper.unwrap(seq)
            self._floor = float("-inf")
        elif number in self._arrivals or number < self._floor or len(self._arrivals) >= self.MAX_KEPT:
            return
        elif self._next is None or number < self._next:
            self._next = number
        self._arrivals[number] = arrival
        if arrival > self._latest:
            self._latest = arrival

    def feedback(self, sender_ssrc: int, media_ssrc: int) -> list[TransportFeedback]:
        """Return what has come since the last call, as feedback packets in order; none if nothing has."""
        packets: list[TransportFeedback] = []
        newest, start = self._unwrapper.newest, self._next
        if newest is None or start is None or not self._arrivals:
            return packets
        while start <= newest:
            deltas, reference = self._status(start, newest)
            if not deltas:
                break
            packets.append(
                TransportFeedback(sender_ssrc, media_ssrc, start & 0xFFFF, _signed24(reference), self._count, deltas)
            )
            self._count = (self._count + 1) & 0xFF
            start += len(deltas)
        self._next = newest + 1
        horizon = self._latest - self.BACK_S
        for number in [number for number, arrival in self._arrivals.items() if arrival < horizon]:
            del self._arrivals[number]
            self._floor = max(self._floor, number + 1)
        return packets

    def _status(self, start: int, newest: int) -> tuple[tuple[int | None, ...], int]:
        """Return the deltas from `start` on, ending with a packet that came, and the reference time."""
        arrivals = self._arrivals
        first = next((number for number in range(start, newest + 1) if number in arrivals), None)
        if first is None:
            return (), 0
        last = max(first, start + self.MAX_STATUS - 1)
        reference = int(arrivals[first] / TransportFeedback.REFERENCE_S)
        clock = reference * TransportFeedback.TICKS_PER_REFERENCE
        deltas: list[int | None] = []
        for number in range(start, min(newest, last) + 1):
            arrival = arrivals.get(number)
            if arrival is None:
                deltas.append(None)
                continue
            tick = int(arrival / TransportFeedback.TICK_S)
            if not -32768 <= tick - clock <= 32767:
                break
            deltas.append(tick - clock)
            clock = tick
        while deltas and deltas[-1] is None:
            deltas.pop()
        return tuple(deltas), reference


def _signed24(number: int) -> int:
    number &= 0xFFFFFF
    return number - 0x1000000 if number & 0x800000 else number


def serialize_all(packets: Iterable[Rtcp]) -> bytes:
    """Return the packets as one datagram."""
    return b"".join(packet.serialize() for packet in packets)


def compound_chunks(packets: Sequence[Rtcp], max_size: int = 1200) -> list[bytes]:
    """Return the packets as datagrams of at most `max_size` bytes each (a larger packet stands alone)."""
    datagrams: list[bytes] = []
    current = b""
    for packet in packets:
        data = packet.serialize()
        if current and len(current) + len(data) > max_size:
            datagrams.append(current)
            current = b""
        current += data
    if current:
        datagrams.append(current)
    return datagrams
