"""One packet in, N rewritten packets out: the hot path. No task, no queue, no await, no object per subscriber.

Per subscriber and packet: copy the prepared packet into the reused buffer, write its header over it, encrypt in place
with libsrtp, and send all packets of the call in one system call where their sizes allow (UDP_SEGMENT: equal sizes, the
last one may be shorter). Measured figures and how to repeat them: `python -m bench forward`.

Everything here runs on one thread, the event loop's: the buffer is shared, and a libsrtp session belongs to one thread.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pylibsrtp._binding import ffi, lib

from gateway.wire.frame import Codec

if TYPE_CHECKING:
    from gateway.media.sfu.subscription import Subscription

UDP_SEGMENT: Final = 103
MAX_SEGMENTS: Final = 40
MAX_DATAGRAM: Final = 60000
MAX_TRAILER: Final = 144  # libsrtp's own upper bound, 16 for the profiles we offer
MAX_PAYLOAD: Final = 1460

_SIZE: Final = 65536
_buffer: Final = ffi.new(f"unsigned char[{_SIZE}]")
_view: Final = memoryview(ffi.buffer(_buffer)).cast("B")
_length: Final = ffi.new("int *")
_protect: Final = lib.srtp_protect
_HEADER: Final = struct.Struct("!BHII")
_pack_header: Final = _HEADER.pack_into
_REFUSED: Final = frozenset({errno.EIO, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOPROTOOPT, errno.EMSGSIZE})


class MediaPacket:
    """One packet in its publication's numbers: `seq` never wraps and never goes back, `timestamp` is 32 bit."""

    __slots__ = ("codec", "keyframe", "marker", "payload", "seq", "timestamp")

    def __init__(self, codec: Codec, seq: int, timestamp: int, marker: bool, payload: bytes, keyframe: bool) -> None:
        self.codec = codec
        self.seq = seq
        self.timestamp = timestamp
        self.marker = marker
        self.payload = payload
        self.keyframe = keyframe

    def __repr__(self) -> str:
        return f"<{self.codec.value} {self.seq} ts={self.timestamp} {len(self.payload)}B{' key' * self.keyframe}>"


class Layout:
    """What subscribers must share so that one prepared packet serves them all: extension block and SRTP trailer."""

    __slots__ = ("extension", "head", "trailer")

    def __init__(self, extension: bytes, trailer: int) -> None:
        self.extension = extension
        self.trailer = trailer
        self.head = (b"\x90" if extension else b"\x80") + bytes(11) + extension


@lru_cache(maxsize=4096)
def layout(extension: bytes, trailer: int) -> Layout:
    """Return the one Layout of these values."""
    return Layout(extension, trailer)


class Segmentation:
    """Whether the kernel takes UDP_SEGMENT. Some paths refuse (no checksum offload, a small MTU): then sendto."""

    __slots__ = ("enabled", "refusals")

    GIVE_UP: Final = 16

    def __init__(self) -> None:
        self.enabled = True
        self.refusals = 0

    def refused(self) -> None:
        self.refusals += 1
        if self.refusals >= self.GIVE_UP:
            self.enabled = False

    def worked(self) -> None:
        self.refusals = 0


segmentation: Final = Segmentation()

# One run: the packets of one system call.
# (entries, buffers for sendmsg, ancillary for UDP_SEGMENT or None, count, payload octets)
# entry: (prepared packet, its place in the buffer, the same for libsrtp, length, marker bit, seq, timestamp)
_Entry = tuple[bytes, memoryview, Any, int, int, int, int]
_Run = tuple[list[_Entry], list[memoryview], list[tuple[int, int, bytes]] | None, int, int]


def _plan(packets: Sequence[MediaPacket], form: Layout) -> list[_Run]:
    """Cut the packets into runs of one system call each, and lay them out in the buffer."""
    runs: list[_Run] = []
    head, trailer = form.head, form.trailer
    head_size = len(head)
    index, count = 0, len(packets)
    gso = segmentation.enabled
    while index < count:
        entries: list[_Entry] = []
        offset = octets = 0
        first = head_size + len(packets[index].payload)
        while index < count:
            packet = packets[index]
            payload = packet.payload
            size = head_size + len(payload)
            if entries and (size > first or len(entries) >= MAX_SEGMENTS or offset + size + trailer > MAX_DATAGRAM):
                break
            entries.append(
                (
                    head + payload,
                    _view[offset : offset + size],
                    _buffer + offset,
                    size,
                    0x80 if packet.marker else 0,
                    packet.seq,
                    packet.timestamp,
                )
            )
            octets += len(payload)
            offset += size + trailer
            index += 1
            if size < first or not gso:
                break
        segments = None
        if len(entries) > 1:
            segments = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", first + trailer))]
        runs.append((entries, [_view[:offset]], segments, len(entries), octets))
    return runs


def forward(packets: Sequence[MediaPacket], subscriptions: Sequence[Subscription]) -> None:
    """Send `packets` (of one codec, in order) to every subscription, now.

    A subscription must be live: it has SRTP keys, a layout and offsets. Without a route, or where the kernel's buffer
    is full, its packets are lost and counted; its receiver asks for them. Never raises for the network's sake.
    """
    if not packets:
        return
    protect, length, pack_header = _protect, _length, _pack_header
    plans: dict[Layout, list[_Run]] = {}
    for subscription in subscriptions:
        form = subscription.layout
        runs = plans.get(form)
        if runs is None:
            runs = plans[form] = _plan(packets, form)
        route = subscription.sink.route
        if route is None:
            subscription.dropped += len(packets)
            continue
        handle = subscription.handle
        ssrc = subscription.ssrc
        payload_type = subscription.payload_type
        seq_offset = subscription.seq_offset
        ts_offset = subscription.ts_offset
        for entries, buffers, segments, count, octets in runs:
            failed = 0
            for prepared, place, pointer, size, marker, seq, timestamp in entries:
                place[:] = prepared
                pack_header(
                    place,
                    1,
                    marker | payload_type,
                    (seq + seq_offset) & 0xFFFF,
                    (timestamp + ts_offset) & 0xFFFFFFFF,
                    ssrc,
                )
                length[0] = size
                failed |= protect(handle, pointer, length)
            if failed:  # nothing of the buffer may leave: it may hold plain text
                subscription.dropped += count
                continue
            ancillary = route.ancillary
            try:
                if segments is not None:
                    route.socket.sendmsg(buffers, segments + ancillary if ancillary else segments, 0, route.address)
                elif ancillary:
                    route.socket.sendmsg(buffers, ancillary, 0, route.address)
                else:
                    route.socket.sendto(buffers[0], route.address)
            except OSError as error:
                if segments is None or not _send_apart(error, entries, form.trailer, route):
                    subscription.dropped += count
                    continue
            subscription.packets += count
            subscription.octets += octets


def _send_apart(error: OSError, entries: list[_Entry], trailer: int, route: Any) -> bool:
    """The kernel refused a segmented send: send each packet of the run by itself. False if that fails as well."""
    if error.errno not in _REFUSED:
        return False
    segmentation.refused()
    offset = 0
    try:
        for entry in entries:
            end = offset + entry[3] + trailer
            route.socket.sendmsg([_view[offset:end]], route.ancillary, 0, route.address)
            offset = end
    except OSError:
        return False
    return True


def send_one(
    subscription: Subscription,
    packet: MediaPacket,
    *,
    payload_type: int,
    ssrc: int,
    seq: int,
    prefix: bytes = b"",
) -> int:
    """Send one packet to one subscription: a resend, an RTX packet (`prefix` is the original number), a first packet.

    Returns the bytes that the SRTP profile added, or -1 if the packet could not be encrypted or sent. With the same
    arguments the datagram is byte-identical to the one that `forward` sent, as AES-GCM demands of a resend.
    """
    extension = subscription.extension
    prepared = (b"\x90" if extension else b"\x80") + bytes(11) + extension + prefix + packet.payload
    size = len(prepared)
    _view[:size] = prepared
    _pack_header(
        _view,
        1,
        payload_type | (0x80 if packet.marker else 0),
        seq & 0xFFFF,
        (packet.timestamp + subscription.ts_offset) & 0xFFFFFFFF,
        ssrc,
    )
    _length[0] = size
    route = subscription.sink.route
    if route is None or _protect(subscription.handle, _buffer, _length):
        return -1
    try:
        if route.ancillary:
            route.socket.sendmsg([_view[: _length[0]]], route.ancillary, 0, route.address)
        else:
            route.socket.sendto(_view[: _length[0]], route.address)
    except OSError:
        return -1
    return int(_length[0]) - size
