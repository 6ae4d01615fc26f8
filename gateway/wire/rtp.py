"""RTP packets (RFC 3550 section 5.1), header extensions (RFC 8285), RTX (RFC 4588) and arithmetic of their numbers.

Pure: bytes in, values out, `now` and arrival times are arguments in seconds. For any input `parse_rtp` gives a packet
or raises RtpError. The small classes hold what several places need to keep about sequence numbers; all but SeqUnwrapper
take *unwrapped* numbers: plain ints that do not wrap, so that they can be compared, subtracted and used as keys.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import deque
from typing import Final, Generic, TypeVar

from gateway.base.errors import RtpError

HEADER_SIZE: Final = 12
ONE_BYTE_PROFILE: Final = 0xBEDE
TWO_BYTE_PROFILE: Final = 0x1000

_HEADER: Final = struct.Struct("!BBHII")
_EXTENSION: Final = struct.Struct("!HH")
_unpack_header = _HEADER.unpack_from
_unpack_extension = _EXTENSION.unpack_from

T = TypeVar("T")


class RtpPacket:
    """One RTP packet. `payload` has no padding: a padding-only packet has b"". `arrival` is monotonic seconds.

    `extensions` maps extension ids (1..14 or 1..255) to their bytes; None if the packet has no extension block.
    """

    __slots__ = ("arrival", "extensions", "marker", "payload", "payload_type", "seq", "ssrc", "timestamp")

    def __init__(
        self,
        payload_type: int,
        marker: bool,
        seq: int,
        timestamp: int,
        ssrc: int,
        payload: bytes,
        extensions: dict[int, bytes] | None = None,
        arrival: float = 0.0,
    ) -> None:
        self.payload_type = payload_type
        self.marker = marker
        self.seq = seq
        self.timestamp = timestamp
        self.ssrc = ssrc
        self.payload = payload
        self.extensions = extensions
        self.arrival = arrival

    def __repr__(self) -> str:
        what = f"pt={self.payload_type} seq={self.seq} ts={self.timestamp} {len(self.payload)}B"
        return f"<RTP {self.ssrc:08x} {what}{' M' if self.marker else ''}>"


def parse_rtp(data: bytes | memoryview, arrival: float) -> RtpPacket:
    """Read one decrypted datagram. Raises RtpError if its version, lengths or padding are wrong.

    A damaged element inside a well-sized extension block ends the reading of that block only (RFC 8285 section 4.2
    wants receivers to ignore what they do not understand); CSRCs are skipped.
    """
    size = len(data)
    if size < 12:
        raise RtpError(f"RTP packet of {size} bytes, at least 12 needed")
    first, second, seq, timestamp, ssrc = _unpack_header(data)
    if first & 0xC0 != 0x80:
        raise RtpError(f"RTP version {first >> 6}, must be 2")
    offset = 12 + ((first & 0x0F) << 2)
    extensions = None
    if first & 0x10:
        if offset + 4 > size:
            raise RtpError("RTP extension header beyond the packet")
        profile, words = _unpack_extension(data, offset)
        start = offset + 4
        offset = start + (words << 2)
        if offset > size:
            raise RtpError(f"RTP extension block of {words} words beyond a packet of {size} bytes")
        if profile == ONE_BYTE_PROFILE:
            extensions = _one_byte_extensions(bytes(data[start:offset]))
        elif profile & 0xFFF0 == TWO_BYTE_PROFILE:
            extensions = _two_byte_extensions(bytes(data[start:offset]))
    if first & 0x20:
        padding = data[size - 1]
        size -= padding
        if not padding:
            raise RtpError("RTP padding of length 0")
    if offset > size:
        raise RtpError("RTP header or padding beyond the packet")
    return RtpPacket(second & 0x7F, second > 127, seq, timestamp, ssrc, bytes(data[offset:size]), extensions, arrival)


def _one_byte_extensions(block: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position, end = 0, len(block)
    while position < end:
        head = block[position]
        position += 1
        if head == 0:
            continue
        if head >= 0xF0:  # id 15: "processing of the entire extension MUST terminate at that point"
            break
        after = position + (head & 0x0F) + 1
        if after > end:
            break
        found[head >> 4] = block[position:after]
        position = after
    return found


def _two_byte_extensions(block: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position, end = 0, len(block)
    while position < end:
        head = block[position]
        if head == 0:
            position += 1
            continue
        if position + 2 > end:
            break
        after = position + 2 + block[position + 1]
        if after > end:
            break
        found[head] = block[position + 2 : after]
        position = after
    return found


def build_extension(extensions: dict[int, bytes]) -> bytes:
    """Return the whole extension block (profile, length, elements, zero padding), or b"" for none.

    One-byte form if every id is 1..14 and every value 1..16 bytes, else two-byte form. Raises ValueError for what
    neither form can carry.
    """
    if not extensions:
        return b""
    one_byte = all(1 <= key <= 14 and 1 <= len(value) <= 16 for key, value in extensions.items())
    parts = []
    for key, value in extensions.items():
        if not 1 <= key <= 255 or len(value) > 255:
            raise ValueError(f"header extension {key} of {len(value)} bytes")
        parts.append(bytes([key << 4 | (len(value) - 1)]) if one_byte else bytes([key, len(value)]))
        parts.append(value)
    body = b"".join(parts)
    body += bytes(-len(body) % 4)
    return _EXTENSION.pack(ONE_BYTE_PROFILE if one_byte else TWO_BYTE_PROFILE, len(body) // 4) + body


def serialize_rtp(packet: RtpPacket, extension: bytes = b"") -> bytes:
    """Return the packet's bytes. `extension` is a whole extension block (`build_extension`), or b"" for none.

    `packet.extensions` is not written: an extension has its own number on every connection.
    """
    return (
        _HEADER.pack(
            0x90 if extension else 0x80,
            packet.payload_type | (0x80 if packet.marker else 0),
            packet.seq,
            packet.timestamp,
            packet.ssrc,
        )
        + extension
        + packet.payload
    )


def unwrap_rtx(packet: RtpPacket, payload_type: int, ssrc: int) -> RtpPacket | None:
    """Return the original packet that an RTX packet carries (RFC 4588 section 4), None if it carries nothing.

    Browsers probe the path with RTX packets of padding only; those are neither losses nor media.
    """
    payload = packet.payload
    if len(payload) < 2:
        return None
    return RtpPacket(
        payload_type,
        packet.marker,
        payload[0] << 8 | payload[1],
        packet.timestamp,
        ssrc,
        payload[2:],
        packet.extensions,
        packet.arrival,
    )


def seq_diff(a: int, b: int) -> int:
    """Return a - b of two 16-bit sequence numbers, -32768..32767."""
    return ((a - b + 0x8000) & 0xFFFF) - 0x8000


def seq_newer(a: int, b: int) -> bool:
    """Say whether 16-bit sequence number `a` comes after `b`."""
    return 0 < ((a - b) & 0xFFFF) < 0x8000


def ts_diff(a: int, b: int) -> int:
    """Return a - b of two 32-bit timestamps, -2^31..2^31-1."""
    return ((a - b + 0x80000000) & 0xFFFFFFFF) - 0x80000000


class SeqUnwrapper:
    """16-bit sequence numbers to plain ints that never wrap; the first one keeps its value.

    Each number is taken as the nearest to the newest so far, so late ones come out smaller, before the first one even
    negative. `bits` is 32 for timestamps.
    """

    __slots__ = ("_half", "_mask", "newest")

    def __init__(self, bits: int = 16) -> None:
        self._half = 1 << (bits - 1)
        self._mask = (1 << bits) - 1
        self.newest: int | None = None

    def unwrap(self, number: int) -> int:
        newest = self.newest
        if newest is None:
            self.newest = number
            return number
        delta = ((number - newest + self._half) & self._mask) - self._half
        if delta > 0:
            self.newest = newest + delta
        return newest + delta


class SequenceMap:
    """Numbers of a source to numbers without the packets that we leave out, gaps by loss kept.

    `drop` closes the place of a packet that nobody shall miss (padding only, a payload type that we do not carry);
    a packet that was lost keeps its place, and when it comes at last it gets the number that belongs there.
    """

    __slots__ = ("_deltas", "_newest", "_starts", "oldest")

    MAX_PIECES: Final = 256
    MAX_BEHIND: Final = 8192

    def __init__(self, first: int, first_out: int) -> None:
        """Map source number `first` to `first_out`; whatever is older than `first` has no number."""
        self._starts = [first]
        self._deltas = [first_out - first]
        self._newest = first - 1
        self.oldest = first

    def rewrite(self, seq: int) -> int | None:
        """Return the number for source number `seq`; None if it is older than what this map covers or was dropped."""
        starts = self._starts
        if seq > self._newest:
            self._newest = seq
        if seq >= starts[-1]:
            return seq + self._deltas[-1]
        if seq < self.oldest or seq < self._newest - self.MAX_BEHIND:
            return None
        index = bisect_right(starts, seq) - 1
        out = seq + self._deltas[index]
        if out >= starts[index + 1] + self._deltas[index + 1]:
            return None  # the dropped packet itself, again
        return out

    def drop(self, seq: int) -> bool:
        """Leave `seq` out, if it is newer than all before. False: too late, its place is already told; fill it."""
        if seq <= self._newest:
            return False
        self._newest = seq
        self._starts.append(seq + 1)
        self._deltas.append(self._deltas[-1] - 1)
        if len(self._starts) > self.MAX_PIECES:
            del self._starts[0], self._deltas[0]
            self.oldest = self._starts[0]
        return True


class History(Generic[T]):
    """The packets of the last seconds by number, for answering requests. Bounded by age and by count."""

    __slots__ = ("_items", "_order", "keep_s", "max_items")

    def __init__(self, keep_s: float = 1.5, max_items: int = 4096) -> None:
        self.keep_s = keep_s
        self.max_items = max_items
        self._items: dict[int, T] = {}
        self._order: deque[tuple[float, int]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, number: int) -> bool:
        return number in self._items

    def add(self, number: int, item: T, now: float) -> None:
        items, order = self._items, self._order
        if number not in items:
            order.append((now, number))
        items[number] = item
        horizon = now - self.keep_s
        while order[0][0] < horizon or len(order) > self.max_items:
            del items[order.popleft()[1]]

    def get(self, number: int) -> T | None:
        return self._items.get(number)

    def clear(self) -> None:
        self._items.clear()
        self._order.clear()


class NackList:
    """What is missing from a stream of numbers, when to ask for it again, and when to give it up.

    A gap is asked for once it has stood for `reorder_s` or three newer packets; then again each time the answer is
    overdue (RTT and a half, at least 20 ms), at most `max_tries` times and `give_up_s` long. A gap wider than
    `max_missing` cannot be repaired: it is lost at once.
    """

    __slots__ = (
        "_arrivals",
        "_missing",
        "give_up_s",
        "lost",
        "max_missing",
        "max_tries",
        "newest",
        "reorder_s",
        "rtt_s",
    )

    def __init__(
        self, *, give_up_s: float = 1.0, reorder_s: float = 0.005, max_tries: int = 10, max_missing: int = 512
    ) -> None:
        self.give_up_s = give_up_s
        self.reorder_s = reorder_s
        self.max_tries = max_tries
        self.max_missing = max_missing
        self.newest: int | None = None
        self.rtt_s: float | None = None
        """Smoothed time from request to answer, of packets asked for once; None until one was answered."""
        self.lost = 0
        """How many packets were given up since the last `take_lost`."""
        self._arrivals = 0
        # number: [noticed, next request, tries, last request, arrivals at which it is no reordering any more]
        self._missing: dict[int, list[float]] = {}

    def __len__(self) -> int:
        return len(self._missing)

    def received(self, number: int, now: float) -> None:
        """Note an arrival, in any order, duplicates too."""
        self._arrivals += 1
        newest = self.newest
        if newest is None:
            self.newest = number
        elif number > newest:
            if number > newest + 1:
                self._gap(newest + 1, number, now)
            self.newest = number
        elif self._missing:
            entry = self._missing.pop(number, None)
            if entry is not None and entry[2] == 1:
                sample = now - entry[3]
                self.rtt_s = sample if self.rtt_s is None else self.rtt_s + (sample - self.rtt_s) / 8

    def _gap(self, first: int, after: int, now: float) -> None:
        if after - first + len(self._missing) > self.max_missing:
            self.lost += after - first + len(self._missing)
            self._missing.clear()
            return
        due = now + self.reorder_s
        for number in range(first, after):
            self._missing[number] = [now, due, 0, 0.0, self._arrivals + 2]

    def due(self, now: float) -> list[int]:
        """Return the numbers to ask for now, ascending, and count them as asked; drops what is to be given up."""
        missing = self._missing
        if not missing:
            return []
        wait = max(0.02, 1.5 * (self.rtt_s if self.rtt_s is not None else 0.05))
        arrivals = self._arrivals
        horizon = now - self.give_up_s
        ask, given_up = [], []
        for number, entry in missing.items():
            if entry[0] <= horizon or (entry[2] >= self.max_tries and entry[1] <= now):
                given_up.append(number)
            elif entry[1] <= now or (not entry[2] and arrivals >= entry[4]):
                entry[1] = now + wait
                entry[2] += 1
                entry[3] = now
                ask.append(number)
        for number in given_up:
            del missing[number]
        self.lost += len(given_up)
        ask.sort()
        return ask

    def next_due(self) -> float | None:
        """Return when `due` has something to say next, None if nothing is missing."""
        if not self._missing:
            return None
        return min(min(entry[1], entry[0] + self.give_up_s) for entry in self._missing.values())

    def take_lost(self) -> int:
        """Return how many were given up since the last call."""
        lost, self.lost = self.lost, 0
        return lost

    def forget_before(self, number: int) -> None:
        """Stop asking for what is older than `number` (a key frame made it useless); it does not count as lost."""
        if self._missing:
            for old in [missing for missing in self._missing if missing < number]:
                del self._missing[old]
