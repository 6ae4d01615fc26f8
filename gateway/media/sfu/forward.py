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
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from pylibsrtp._binding import ffi, lib

from gateway.wire.frame import Codec
from gateway.wire.rtp import HEADER_SIZE

if TYPE_CHECKING:
    from gateway.media.sfu.subscription import Subscription

UDP_SEGMENT: Final = 103
MAX_SEGMENTS: Final = 40
MAX_MESSAGE: Final = 60000
MAX_PAYLOAD: Final = 1460
MAX_EXTENSION: Final = 256

_SIZE: Final = 65536
_buffer: Final = ffi.new(f"unsigned char[{_SIZE}]")
_view: Final = memoryview(ffi.buffer(_buffer)).cast("B")
_lengths: Final = ffi.new(f"int[{MAX_SEGMENTS}]")
_lengths_view: Final = memoryview(ffi.buffer(_lengths)).cast("B")
_length_at: Final = [_lengths + index for index in range(MAX_SEGMENTS)]
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
        if len(extension) > MAX_EXTENSION:
            raise ValueError(f"header extension block of {len(extension)} bytes, at most {MAX_EXTENSION}")
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


class _Run:
    """The packets of one message, laid out in the buffer as they will lie there, for all subscribers of one layout."""

    __slots__ = ("count", "entries", "message", "octets", "offsets", "place", "prepared", "segments", "sizes")

    def __init__(self, packets: Sequence[MediaPacket], form: Layout) -> None:
        head, gap = form.head, bytes(form.trailer)
        parts: list[bytes] = []
        sizes: list[int] = []
        self.entries: list[tuple[memoryview, Any, Any, int, int, int]] = []
        self.offsets = [0]
        offset = 0
        for index, packet in enumerate(packets):
            size = len(head) + len(packet.payload)
            parts += (head, packet.payload, gap)
            sizes.append(size)
            marker = 0x80 if packet.marker else 0
            place = _view[offset : offset + HEADER_SIZE]
            entry = (place, _buffer + offset, _length_at[index], marker, packet.seq, packet.timestamp)
            self.entries.append(entry)
            offset += size + form.trailer
            self.offsets.append(offset)
        self.count = len(sizes)
        self.octets = sum(len(packet.payload) for packet in packets)
        self.prepared = b"".join(parts)
        self.place = _view[:offset]
        self.message = [self.place]
        self.sizes = struct.pack(f"={self.count}i", *sizes)
        self.segments: list[tuple[int, int, bytes]] = []
        if self.count > 1:
            self.segments = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", sizes[0] + form.trailer))]


def _plan(packets: Sequence[MediaPacket], form: Layout) -> list[_Run]:
    """Cut the packets into runs of one system call each: equal sizes, the last one may be shorter."""
    runs: list[_Run] = []
    index, count = 0, len(packets)
    while index < count:
        start = index
        first = len(packets[start].payload)
        limit = min(count, start + min(MAX_SEGMENTS, MAX_MESSAGE // (first + len(form.head) + form.trailer)))
        index += 1
        while segmentation.enabled and index < limit:
            size = len(packets[index].payload)
            if size > first:
                break
            index += 1
            if size < first:
                break
        runs.append(_Run(packets[start:index], form))
    return runs


def forward(packets: Sequence[MediaPacket], subscriptions: Sequence[Subscription]) -> None:
    """Send `packets` (of one codec, in order) to every subscription, now.

    A subscription must be live: it has SRTP keys, a layout and offsets. What could not be sent (no route, the kernel's
    buffer full) is told to `subscription.missed`; its receiver will ask for it. Never raises for the network's sake.
    """
    if not packets:
        return
    protect, pack_header, lengths = _protect, _pack_header, _lengths_view
    plans: dict[Layout, list[_Run]] = {}
    plan_of = plans.get
    sock = None
    sendmsg: Any = None
    for subscription in subscriptions:
        form = subscription.layout
        runs = plan_of(form)
        if runs is None:
            runs = plans[form] = _plan(packets, form)
        route = subscription.sink.route
        if route is None:
            subscription.missed(packets)
            continue
        if route.socket is not sock:
            sock = route.socket
            sendmsg = sock.sendmsg
        handle = subscription.handle
        ssrc = subscription.ssrc
        payload_type = subscription.payload_type
        seq_offset = subscription.seq_offset
        ts_offset = subscription.ts_offset
        for run in runs:
            run.place[:] = run.prepared
            sizes = run.sizes
            lengths[: len(sizes)] = sizes
            failed = 0
            for place, pointer, length, marker, seq, timestamp in run.entries:
                pack_header(
                    place,
                    1,
                    marker | payload_type,
                    (seq + seq_offset) & 0xFFFF,
                    (timestamp + ts_offset) & 0xFFFFFFFF,
                    ssrc,
                )
                failed |= protect(handle, pointer, length)
            if failed:  # nothing of the buffer may leave: it may hold plain text
                subscription.missed(packets)
                break
            try:
                sendmsg(run.message, run.segments + route.ancillary, 0, route.address)
            except OSError as error:
                if not _send_apart(error, run, route):
                    subscription.missed(packets)
                    break


def _send_apart(error: OSError, run: _Run, route: Any) -> bool:
    """The kernel refused a segmented send: send each packet of the run by itself. False if that fails as well."""
    if not run.segments or error.errno not in _REFUSED:
        return False
    segmentation.refused()
    try:
        for start, end in pairwise(run.offsets):
            route.socket.sendmsg([_view[start:end]], route.ancillary, 0, route.address)
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
    length = _length_at[0]
    length[0] = size
    route = subscription.sink.route
    if route is None or _protect(subscription.handle, _buffer, length):
        return -1
    try:
        if route.ancillary:
            route.socket.sendmsg([_view[: length[0]]], route.ancillary, 0, route.address)
        else:
            route.socket.sendto(_view[: length[0]], route.address)
    except OSError:
        return -1
    return int(length[0]) - size
