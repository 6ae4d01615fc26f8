"""RTP payload formats: H.264 (RFC 6184), VP8 (RFC 7741), VP9 (RFC 9628), AV1 (AOM RTP specification 1.0).

A packetizer makes the payloads of one picture, a depacketizer joins them again; sequence numbers, time stamps and
the marker bit (on the last payload of a picture) are the caller's. Payloads come from outside: for any input a
depacketizer returns a value or raises CodecDataError, and `is_keyframe` never raises.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from gateway.base.errors import CodecDataError
from gateway.wire import h264, vp8
from gateway.wire.frame import Codec
from gateway.wire.h264 import NalType

MTU: Final = 1200
"""Bytes of one payload, its own fragment headers included. With headers, extensions, SRTP tag, UDP and IP it stays
below 1280, the smallest packet that every IPv6 path carries."""


def is_keyframe(codec: Codec, payload: bytes) -> bool:
    """True if `payload` is the start of a key frame, or of a part of one that decoding may start with. Never raises.

    H.264 says True for parameter sets and again for the first part of the IDR picture: packets of one picture share
    their RTP time stamp, so a caller that counts key frames looks at that too.
    """
    if not payload:
        return False
    if codec is Codec.H264:
        return _h264_keyframe(payload)
    if codec is Codec.VP8:
        try:
            header = parse_vp8_descriptor(payload)
        except CodecDataError:
            return False
        return header.starts_frame and vp8.is_keyframe(payload[header.size : header.size + 1])
    if codec is Codec.VP9:
        try:
            descriptor = parse_vp9_descriptor(payload)
        except CodecDataError:
            return False
        return descriptor.starts_frame and not descriptor.predicted and not descriptor.spatial_id
    if codec is Codec.AV1:
        return bool(payload[0] & 0x08) and not payload[0] & 0x80  # N: new coded video sequence; Z: continues an OBU
    return False


def _h264_keyframe(payload: bytes) -> bool:
    kind = payload[0] & 0x1F
    if kind == NalType.FU_A:
        return len(payload) > 1 and bool(payload[1] & 0x80) and payload[1] & 0x1F in (NalType.IDR, NalType.SPS)
    if kind == NalType.STAP_A:
        position, end = 1, len(payload)
        while position + 2 < end:
            if payload[position + 2] & 0x1F in (NalType.IDR, NalType.SPS):
                return True
            position += 2 + int.from_bytes(payload[position : position + 2], "big")
        return False
    return kind in (NalType.IDR, NalType.SPS)


# ---------------------------------------------------------------- H.264


class H264Packetizer:
    """Makes packetization-mode 1 payloads of at most `mtu` bytes."""

    __slots__ = ("mtu",)

    def __init__(self, mtu: int = MTU) -> None:
        if mtu < 16:
            raise ValueError(f"mtu {mtu}")
        self.mtu = mtu

    def packetize(self, access_unit: Sequence[bytes]) -> list[bytes]:
        """Return the payloads of one access unit's NAL units, in order.

        Parameter sets share a STAP-A of their own; small slices in a row share one too. A longer NAL unit becomes
        FU-A parts of one size, the last a little shorter, so that a UDP segmentation offload can send them at once.
        """
        payloads: list[bytes] = []
        group: list[bytes] = []
        room = self.mtu - 1
        group_of_sets = False
        for nal in access_unit:
            size = len(nal)
            if not size:
                continue
            sets = nal[0] & 0x1F in (NalType.SPS, NalType.PPS)
            if group and (size + 2 > room or sets != group_of_sets):
                payloads.append(_aggregate(group))
                group, room = [], self.mtu - 1
            if size + 2 <= room:
                group.append(nal)
                group_of_sets = sets
                room -= size + 2
            elif size <= self.mtu:
                payloads.append(nal)
            else:
                self._fragment(nal, payloads)
        if group:
            payloads.append(_aggregate(group))
        return payloads

    def _fragment(self, nal: bytes, payloads: list[bytes]) -> None:
        total = len(nal) - 1
        count = -(-total // (self.mtu - 2))
        part = -(-total // count)
        indicator = nal[0] & 0xE0 | NalType.FU_A
        kind = nal[0] & 0x1F
        first, middle = bytes((indicator, 0x80 | kind)), bytes((indicator, kind))
        last = bytes((indicator, 0x40 | kind))
        payloads.append(first + nal[1 : 1 + part])
        position = 1 + part
        while position + part < len(nal):
            payloads.append(middle + nal[position : position + part])
            position += part
        payloads.append(last + nal[position:])


def _aggregate(nals: list[bytes]) -> bytes:
    if len(nals) == 1:
        return nals[0]
    importance = max(nal[0] & 0x60 for nal in nals)
    parts = [bytes((importance | NalType.STAP_A,))]
    for nal in nals:
        parts.append(len(nal).to_bytes(2, "big"))
        parts.append(nal)
    return b"".join(parts)


class H264Depacketizer:
    """Joins the payloads of one access unit (single NAL, STAP-A, FU-A) to its NAL units."""

    __slots__ = ()

    def depacketize(self, payloads: Iterable[bytes]) -> list[bytes]:
        """Return the NAL units, in order; empty payloads are skipped. Raises CodecDataError if a part is missing."""
        nals: list[bytes] = []
        parts: list[bytes] = []
        for payload in payloads:
            if not payload:
                continue
            kind = payload[0] & 0x1F
            if kind == NalType.FU_A:
                if len(payload) < 3:
                    raise CodecDataError("FU-A without data")
                start, end = payload[1] & 0x80, payload[1] & 0x40
                if bool(start) == bool(parts):
                    raise CodecDataError("FU-A starts and ends do not pair")
                if start:
                    parts.append(bytes((payload[0] & 0xE0 | payload[1] & 0x1F,)))
                parts.append(payload[2:])
                if end:
                    nals.append(b"".join(parts))
                    parts = []
                continue
            if parts:
                raise CodecDataError("FU-A starts and ends do not pair")
            if kind == NalType.STAP_A:
                _split_aggregate(payload, nals)
            elif 0 < kind < NalType.STAP_A:
                nals.append(payload)
            else:
                raise CodecDataError(f"H.264 payload of type {kind}")
            if len(nals) > h264.MAX_NALS:
                raise CodecDataError(f"more than {h264.MAX_NALS} NAL units in a frame")
        if parts:
            raise CodecDataError("FU-A starts and ends do not pair")
        return nals


def _split_aggregate(payload: bytes, nals: list[bytes]) -> None:
    position, end = 1, len(payload)
    while position < end:
        size = int.from_bytes(payload[position : position + 2], "big")
        position += 2 + size
        if position > end or not size:
            raise CodecDataError("STAP-A part longer than its packet")
        nals.append(payload[position - size : position])


# ---------------------------------------------------------------- VP8


@dataclasses.dataclass(frozen=True, slots=True)
class Vp8Descriptor:
    """`size`: bytes of the descriptor. `picture_id`: 7 or 15 bits, None if absent."""

    size: int
    starts_frame: bool
    partition: int
    picture_id: int | None


def parse_vp8_descriptor(payload: bytes) -> Vp8Descriptor:
    """Read the VP8 payload descriptor. RFC 7741 section 4.2. Raises CodecDataError."""
    try:
        first = payload[0]
        position = 1
        picture_id = None
        if first & 0x80:
            extension = payload[1]
            position = 2
            if extension & 0x80:
                picture_id = payload[position]
                position += 1
                if picture_id & 0x80:
                    picture_id = (picture_id & 0x7F) << 8 | payload[position]
                    position += 1
            if extension & 0x40:
                position += 1
            if extension & 0x30:
                position += 1
    except IndexError:
        raise CodecDataError("VP8 payload descriptor cut short") from None
    if position >= len(payload):
        raise CodecDataError("VP8 payload without data")
    partition = first & 0x07
    return Vp8Descriptor(position, bool(first & 0x10) and partition == 0, partition, picture_id)


class Vp8Packetizer:
    """Makes payloads of equal size, at most `mtu` bytes, with a 15-bit picture id (RFC 7741)."""

    __slots__ = ("_picture_id", "mtu")

    def __init__(self, mtu: int = MTU, picture_id: int = 0) -> None:
        self.mtu = mtu
        self._picture_id = picture_id & 0x7FFF

    def packetize(self, frame: bytes) -> list[bytes]:
        tail = bytes((0x80, 0x80 | self._picture_id >> 8, self._picture_id & 0xFF))
        self._picture_id = self._picture_id + 1 & 0x7FFF
        count = max(1, -(-len(frame) // (self.mtu - 4)))
        part = -(-len(frame) // count)
        return [
            (b"\x90" if not position else b"\x80") + tail + frame[position : position + part]
            for position in range(0, len(frame), part or 1)
        ]


class Vp8Depacketizer:
    __slots__ = ()

    def depacketize(self, payloads: Iterable[bytes]) -> list[bytes]:
        """Return [frame]; empty payloads are skipped. Raises CodecDataError if the start is missing."""
        parts: list[bytes] = []
        for payload in payloads:
            if not payload:
                continue
            descriptor = parse_vp8_descriptor(payload)
            if descriptor.starts_frame == bool(parts):
                raise CodecDataError("VP8 frame without its start, or with two")
            parts.append(payload[descriptor.size :])
        return [b"".join(parts)] if parts else []


# ---------------------------------------------------------------- VP9


@dataclasses.dataclass(frozen=True, slots=True)
class Vp9Descriptor:
    """`predicted`: the picture refers to earlier ones (P bit)."""

    size: int
    predicted: bool
    starts_frame: bool
    ends_frame: bool
    spatial_id: int


def parse_vp9_descriptor(payload: bytes) -> Vp9Descriptor:
    """Read the VP9 payload descriptor, scalability structure included. RFC 9628 section 4.2. Raises CodecDataError."""
    try:
        first = payload[0]
        position = 1
        if first & 0x80:  # I: picture id
            position += 2 if payload[position] & 0x80 else 1
        spatial_id = 0
        if first & 0x20:  # L: layer indices
            spatial_id = payload[position] >> 1 & 7
            position += 1 if first & 0x10 else 2
        if first & 0x10 and first & 0x40:  # F and P: reference indices, at most three
            for _ in range(3):
                position += 1
                if not payload[position - 1] & 1:
                    break
        if first & 0x02:  # V: scalability structure
            structure = payload[position]
            position += 1
            if structure & 0x10:
                position += 4 * ((structure >> 5) + 1)
            if structure & 0x08:
                count = payload[position]
                position += 1
                for _ in range(count):
                    position += 1 + (payload[position] >> 2 & 3)
    except IndexError:
        raise CodecDataError("VP9 payload descriptor cut short") from None
    if position >= len(payload):
        raise CodecDataError("VP9 payload without data")
    return Vp9Descriptor(position, bool(first & 0x40), bool(first & 0x08), bool(first & 0x04), spatial_id)


class Vp9Depacketizer:
    __slots__ = ()

    def depacketize(self, payloads: Iterable[bytes]) -> list[bytes]:
        """Return one frame per spatial layer, lowest first. Raises CodecDataError if a start or an end is missing."""
        frames: list[bytes] = []
        parts: list[bytes] = []
        for payload in payloads:
            if not payload:
                continue
            descriptor = parse_vp9_descriptor(payload)
            if descriptor.starts_frame == bool(parts):
                raise CodecDataError("VP9 frame without its start, or with two")
            parts.append(payload[descriptor.size :])
            if descriptor.ends_frame:
                frames.append(b"".join(parts))
                parts = []
        if parts:
            raise CodecDataError("VP9 frame without its end")
        return frames


# ---------------------------------------------------------------- AV1


class Av1Depacketizer:
    __slots__ = ()

    def depacketize(self, payloads: Iterable[bytes]) -> list[bytes]:
        """Return [temporal unit], each OBU with its size field, as decoders want it. Raises CodecDataError."""
        obus: list[bytes] = []
        pending = b""
        for payload in payloads:
            if not payload:
                continue
            header = payload[0]
            elements = _av1_elements(payload, header >> 4 & 3)
            if bool(header & 0x80) != bool(pending):
                raise CodecDataError("AV1 fragment without its other part")
            for index, element in enumerate(elements):
                if index == 0 and pending:
                    element = pending + element
                    pending = b""
                if index == len(elements) - 1 and header & 0x40:
                    pending = element
                else:
                    obus.append(element)
        if pending:
            raise CodecDataError("AV1 fragment without its other part")
        unit = b"".join(_sized_obu(obu) for obu in obus if obu)
        return [b"\x12\x00" + unit] if unit else []  # begins with a temporal delimiter


def _av1_elements(payload: bytes, count: int) -> list[bytes]:
    """Split by the aggregation header's W field: 0 is "each has its length", else `count` with the last one bare."""
    elements: list[bytes] = []
    position = 1
    while position < len(payload):
        if count and len(elements) == count - 1:
            elements.append(payload[position:])
            break
        size, position = _leb128(payload, position)
        if position + size > len(payload):
            raise CodecDataError("AV1 element longer than its packet")
        elements.append(payload[position : position + size])
        position += size
        if len(elements) > 64:
            raise CodecDataError("more than 64 AV1 elements in a packet")
    if not elements:
        raise CodecDataError("AV1 payload without data")
    return elements


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(5):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, position
    raise CodecDataError("leb128 number cut short or too long")


def _sized_obu(obu: bytes) -> bytes:
    if obu[0] >> 3 & 0x0F == 2:  # a temporal delimiter has no place in RTP
        return b""
    if obu[0] & 0x02:
        return obu
    head = 2 if obu[0] & 0x04 else 1
    body = obu[head:]
    size, sized = len(body), bytearray()
    while True:
        sized.append(size & 0x7F | (0x80 if size > 0x7F else 0))
        size >>= 7
        if not size:
            break
    return bytes((obu[0] | 0x02,)) + obu[1:head] + bytes(sized) + body


# ---------------------------------------------------------------- by codec


class Depacketizer(Protocol):
    """H.264 gives the NAL units of one access unit, the others the coded frames of one picture."""

    def depacketize(self, payloads: Iterable[bytes]) -> list[bytes]: ...


def depacketizer(codec: Codec) -> Depacketizer:
    """Return the depacketizer of a video codec. Raises ValueError for a codec that has no RTP format here."""
    match codec:
        case Codec.H264:
            return H264Depacketizer()
        case Codec.VP8:
            return Vp8Depacketizer()
        case Codec.VP9:
            return Vp9Depacketizer()
        case Codec.AV1:
            return Av1Depacketizer()
        case _:
            raise ValueError(f"no RTP payload format for {codec}")


def starts_decodable(codec: Codec, payload: bytes) -> bool:
    """True if a decoder that knows nothing may start at this payload even if the one before it was lost.

    For H.264 that is parameter sets; an IDR picture alone may lack the ones it needs.
    """
    if codec is not Codec.H264:
        return is_keyframe(codec, payload)
    if not payload:
        return False
    kind = payload[0] & 0x1F
    if kind == NalType.STAP_A:
        return len(payload) > 3 and payload[3] & 0x1F == NalType.SPS
    return kind == NalType.SPS
