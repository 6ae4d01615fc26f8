"""One viewer of one publication: its numbers, its start at a key frame, its resends, its pauses.

    WAITING ──key frame (video), next packet (audio)──▶ LIVE
       │ ▲                                                ▲
       │ └──── resume ──── PAUSED ◀── pause (any state)   │ queue empty
       └── kept pictures ──▶ REPLAYING ───────────────────┘

Live packets never pass through this file: `forward` reads `seq_offset`, `ts_offset`, `layout` and `handle` directly.
Invariant: what one SSRC sends never goes back in sequence and starts below 2^15 (AES-GCM takes its nonce from it).
"""

from __future__ import annotations

import enum
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.media.sfu.forward import Layout, MediaPacket, forward, layout, send_one
from gateway.media.sfu.pacer import STEP_S, TokenBucket
from gateway.media.sfu.resends import Resends
from gateway.wire.frame import Codec
from gateway.wire.rtp import seq_diff

if TYPE_CHECKING:
    from gateway.media.sfu.publication import Publication

KEYFRAME_INTERVAL_S: Final = 2.0
"""One viewer causes at most one upstream key frame request in this time."""

MAX_QUEUE_BYTES: Final = 12 * 1024 * 1024
"""A replay that falls this far behind is given up: the viewer starts again at the next key frame."""

OVERHEAD: Final = 60
"""Bytes of a packet beside its payload: IP, UDP, RTP, extension, SRTP tag."""

REPLAY_REMEMBERED_S: Final = 2.0
"""A replayed packet can be asked for this long after the replay has ended."""


class Route(Protocol):
    """Where a peer is reached: our socket, its address, and the ancillary data that fixes our own address."""

    @property
    def socket(self) -> Any: ...
    @property
    def address(self) -> Any: ...
    @property
    def ancillary(self) -> list[tuple[int, int, bytes]]: ...


class Protector(Protocol):
    """An outbound SRTP session for RTP. `handle` is its raw srtp_t; it lives as long as this object."""

    @property
    def handle(self) -> Any: ...


class RtpSink(Protocol):
    """A connection towards a viewer. Before DTLS is done `srtp` is None or its handle NULL; before ICE has nominated
    an address `route` is None."""

    @property
    def srtp(self) -> Protector | None: ...
    @property
    def route(self) -> Route | None: ...
    def send_rtcp(self, data: bytes) -> None: ...


class State(enum.Enum):
    WAITING = "waiting"
    REPLAYING = "replaying"
    LIVE = "live"
    PAUSED = "paused"


class Subscription:
    """A publication on its way to one sink. Make it, then `publication.subscribe(subscription, now)`.

    `payload_types` maps each codec the viewer can take to its payload type; `rtx_payload_types` likewise for RTX, used
    with `rtx_ssrc`. Without them a lost packet is sent again as it was. `extension` is a whole header extension block
    that every packet carries, fixed for the subscription's life. `first_seq` (below 2^15) is drawn if not given.
    """

    __slots__ = (
        "_client_paused",
        "_keyframe_asked",
        "_last_sent",
        "_next_out",
        "_next_rtx",
        "_octets",
        "_pacer",
        "_packets",
        "_queue",
        "_queue_bytes",
        "_rate_mark",
        "_rate_time",
        "_replay",
        "_replay_ended",
        "_resends",
        "_shared_from",
        "_shown_paused",
        "_slow_paused",
        "_srtp",
        "_ts_target",
        "asked",
        "bitrate_bps",
        "dropped",
        "extension",
        "fraction_lost",
        "handle",
        "jitter_ms",
        "kept",
        "layout",
        "loss",
        "lost",
        "nacks",
        "on_paused",
        "on_unsupported",
        "payload_type",
        "payload_types",
        "plis",
        "publication",
        "resent_packets",
        "rtt_s",
        "rtx_packets",
        "rtx_payload_types",
        "rtx_ssrc",
        "seq_offset",
        "sink",
        "ssrc",
        "start_seq",
        "state",
        "ts_offset",
        "unanswered",
        "unsupported",
    )

    def __init__(
        self,
        publication: Publication,
        sink: RtpSink,
        *,
        ssrc: int,
        rtx_ssrc: int | None,
        payload_types: Mapping[Codec, int],
        rtx_payload_types: Mapping[Codec, int],
        extension: bytes = b"",
        first_seq: int | None = None,
    ) -> None:
        self.publication = publication
        self.sink = sink
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc
        self.payload_types = payload_types  # not copied: they shrink to what the viewer's answer accepts
        self.rtx_payload_types = rtx_payload_types
        self.extension = extension
        self.state = State.WAITING
        self.on_paused: Callable[[bool], None] | None = None
        """Told True when video pauses (by us or by the client), False when it goes on."""
        self.on_unsupported: Callable[[Codec], None] | None = None
        """Told the codec that the publication has now and this viewer cannot take."""
        self.unsupported = False
        self.asked = False
        """A key frame was asked for since we wait."""
        self.kept = True
        """Kept pictures may be replayed at the next start; not to a viewer whose link has just failed."""

        # What `forward` reads.
        self.layout: Layout = layout(extension, 16)
        self.handle: Any = None
        self.payload_type = 0
        self.seq_offset = 0
        self.ts_offset = 0
        self.start_seq = 0  # first number of the publication that belongs to the current seq_offset

        # Counters, readable at any time. `lost`, `fraction_lost` (0..1), `jitter_ms` and `rtt_s` are the viewer's own
        # words; `loss` is smoothed. `unanswered`: asked for, but no longer (or never) in the history.
        self.dropped = 0
        self.nacks = 0
        self.plis = 0
        self.rtx_packets = 0
        self.resent_packets = 0
        self.unanswered = 0
        self.lost = 0
        self.fraction_lost = 0.0
        self.loss = 0.0
        self.jitter_ms = 0.0
        self.rtt_s: float | None = None
        self.bitrate_bps = 0.0

        self._packets = 0
        self._octets = 0
        self._shared_from: tuple[int, int] | None = None  # the publication's counts when we joined its live ones
        self._srtp: Protector | None = None  # keeps the handle alive
        self._next_out = secrets.randbelow(1 << 15) if first_seq is None else first_seq
        self._next_rtx = secrets.randbelow(1 << 15)
        self._last_sent = 0  # newest number of the publication sent by a replay
        self._queue: deque[MediaPacket] = deque()
        self._queue_bytes = 0
        self._pacer: TokenBucket | None = None
        self._replay: dict[int, MediaPacket] = {}
        self._replay_ended = 0.0
        self._resends = Resends()
        self._keyframe_asked = float("-inf")
        self._client_paused = self._slow_paused = self._shown_paused = False
        self._ts_target: tuple[int, float] | None = None
        self._rate_mark = 0
        self._rate_time: float | None = None

    # --- start

    def ready(self) -> bool:
        """Say whether the sink can be sent to, and take its keys if they are new."""
        srtp = self.sink.srtp
        if srtp is None or self.sink.route is None:
            return False
        handle = srtp.handle
        if not handle:  # NULL: no keys yet
            return False
        self._srtp = srtp
        self.handle = handle
        return True

    def codec_changed(self, codec: Codec | None) -> None:
        """The publication has another codec now: take our payload type for it, or tell that we cannot have it."""
        if codec is None:
            return
        payload_type = self.payload_types.get(codec)
        self.unsupported = payload_type is None
        if payload_type is not None:
            self.payload_type = payload_type
            return
        self.halt()
        if self.on_unsupported is not None:
            self.on_unsupported(codec)

    def start(self, packets: Sequence[MediaPacket], now: float) -> None:
        """Go live with `packets` (the key frame and all after it, in order; audio: what comes next), sent now."""
        self._anchor(packets[0], now)
        rest = packets
        if self._srtp is not None:
            sent = send_one(
                self, packets[0], payload_type=self.payload_type, ssrc=self.ssrc, seq=packets[0].seq + self.seq_offset
            )
            if sent >= 0:
                self.layout = layout(self.extension, sent)  # now we know what the SRTP profile adds
            rest = packets[1:]
            self._count(packets[:1])
            if sent < 0:
                self.missed(packets[:1])
        self.state = State.LIVE
        self.kept = True
        self._count(rest)
        forward(rest, (self,))

    # --- counts: live viewers share the publication's, so that the hot path has none to keep

    @property
    def packets(self) -> int:
        """Media packets sent, resends not counted."""
        shared = self.publication.given[0] - self._shared_from[0] if self._shared_from is not None else 0
        return self._packets + shared

    @property
    def octets(self) -> int:
        """Payload bytes of these packets."""
        shared = self.publication.given[1] - self._shared_from[1] if self._shared_from is not None else 0
        return self._octets + shared

    def share_counts(self, live: bool) -> None:
        """We are now (or are no longer) among those to whom the publication gives all its packets."""
        if live:
            self._shared_from = self.publication.given
        elif self._shared_from is not None:
            packets, octets = self.packets, self.octets
            self._packets, self._octets, self._shared_from = packets, octets, None

    def _count(self, packets: Sequence[MediaPacket]) -> None:
        self._packets += len(packets)
        self._octets += sum(len(packet.payload) for packet in packets)

    def missed(self, packets: Sequence[MediaPacket]) -> None:
        """These could not be sent, although they are counted."""
        self.dropped += len(packets)
        self._packets -= len(packets)
        self._octets -= sum(len(packet.payload) for packet in packets)

    def _anchor(self, first: MediaPacket, now: float) -> None:
        self.seq_offset = self._next_out - first.seq
        self.start_seq = first.seq
        if self._ts_target is not None:
            stamp, then = self._ts_target
            elapsed = int((now - then) * self.publication.clock_rate)
            self.ts_offset = (stamp + elapsed - first.timestamp) & 0xFFFFFFFF
            self._ts_target = None
        self._resends.forget()

    # --- replay of kept pictures

    def replay(self, packets: Iterable[MediaPacket], rate_bps: float, now: float) -> None:
        """Send kept packets with their true timestamps as fast as `rate_bps` allows; live ones queue behind."""
        kept = list(packets)
        self.start(kept[:1], now)
        self.state = State.REPLAYING
        self._last_sent = kept[0].seq
        self._replay = {packet.seq: packet for packet in kept}
        self._queue.clear()
        self._queue_bytes = 0
        self._pacer = TokenBucket(rate_bps, rate_bps / 8 * 2 * STEP_S)
        self.enqueue(kept[1:], now)
        self.drain(now)

    def enqueue(self, packets: Sequence[MediaPacket], now: float) -> None:
        """Queue live packets behind the replay. Bounded: beyond MAX_QUEUE_BYTES the viewer waits for a key frame."""
        self._queue.extend(packets)
        self._queue_bytes += sum(len(packet.payload) for packet in packets)
        if self._queue_bytes > MAX_QUEUE_BYTES:
            self.dropped += len(self._queue)
            self.halt()
            self.publication.request_keyframe(now)

    def drain(self, now: float) -> bool:
        """Send what the pacer allows; True if something is left for later. With an empty queue we are live."""
        pacer, queue = self._pacer, self._queue
        if self.state is not State.REPLAYING or pacer is None:
            return False
        batch: list[MediaPacket] = []
        while queue and pacer.take(len(queue[0].payload) + OVERHEAD, now):
            packet = queue.popleft()
            self._queue_bytes -= len(packet.payload)
            if batch and packet.codec is not batch[0].codec:
                self._send_queued(batch)
                batch = []
            batch.append(packet)
        if batch:
            self._send_queued(batch)
        if queue:
            return True
        self.state = State.LIVE
        self._pacer = None
        self._replay_ended = now
        return False

    def _send_queued(self, batch: list[MediaPacket]) -> None:
        for packet in batch:
            if packet.seq > self._last_sent:
                self._last_sent = packet.seq
        payload_type = self.payload_types.get(batch[0].codec)
        if payload_type is None or not self.ready():
            self.dropped += len(batch)
            return
        self._count(batch)
        current, self.payload_type = self.payload_type, payload_type
        forward(batch, (self,))
        self.payload_type = current

    def slow_down(self) -> None:
        """The viewer loses packets: replay at half the pace, down to a little above the stream's rate."""
        if self._pacer is not None:
            self._pacer.rate_bps = max(self._pacer.rate_bps / 2, 1.5 * self.publication.rate.bps, 500_000)

    # --- pause

    @property
    def paused(self) -> bool:
        """Not sending: the client asked for it, or its link does not carry the picture."""
        return self._client_paused or self._slow_paused

    @property
    def paused_for_loss(self) -> bool:
        return self._slow_paused

    def pause(self, now: float, *, slow: bool = False) -> None:
        """Stop sending, by the client's wish or (`slow`) ours. The publication keeps us."""
        if slow:
            self._slow_paused = True
        else:
            self._client_paused = True
        if self.state is not State.PAUSED:
            self.halt()
            self.state = State.PAUSED
            self.publication.moved(self)
        self._tell_paused()

    def resume(self, now: float, *, slow: bool = False) -> None:
        """Take back one of the two reasons to pause; without any left, start again at a key frame."""
        if slow:
            self._slow_paused = False
        else:
            self._client_paused = False
        if self.state is State.PAUSED and not self.paused:
            self.state = State.WAITING
            self.kept = not slow
            self.publication.begin(self, now)
        self._tell_paused()

    def _tell_paused(self) -> None:
        if self.paused != self._shown_paused:
            self._shown_paused = self.paused
            if self.on_paused is not None:
                self.on_paused(self.paused)

    def halt(self) -> None:
        """Stop sending and remember where our numbers continue; the next start is at a key frame."""
        if self.state is State.LIVE or self.state is State.REPLAYING:
            newest = self.publication.emitted if self.state is State.LIVE else self._last_sent
            self._next_out = max(newest + 1, self.start_seq) + self.seq_offset
        self._queue.clear()
        self._queue_bytes = 0
        self._pacer = None
        self._replay = {}
        self.asked = False
        if self.state is not State.PAUSED:
            self.state = State.WAITING

    def switch(self, publication: Publication, now: float) -> None:
        """Show another publication on the same SSRC: sequence goes on, the timestamp advances by the time passed."""
        old = self.publication
        stamp = old.timestamp_at(now)
        old.unsubscribe(self, now)
        if stamp is not None:
            self._ts_target = ((stamp + self.ts_offset) & 0xFFFFFFFF, now)
        self.publication = publication
        publication.subscribe(self, now)

    # --- feedback

    def handle_nack(self, numbers: Iterable[int], now: float) -> None:
        """Send again what is asked for (16-bit numbers of ours), within the budget and not twice within RTT/2."""
        if self.state is not State.LIVE and self.state is not State.REPLAYING:
            return
        newest = self.publication.emitted if self.state is State.LIVE else self._last_sent
        newest_out = newest + self.seq_offset
        rate_bps = self.publication.pace_bps if self._replay else self.publication.rate.bps
        for number in numbers:
            self.nacks += 1
            seq = newest + seq_diff(number, newest_out & 0xFFFF)
            if seq > newest or seq < self.start_seq:
                continue
            packet = self.publication.history.get(seq) or self._replay.get(seq)
            if packet is None:
                self.unanswered += 1
            elif self._resends.allow(seq, len(packet.payload) + OVERHEAD, rate_bps, self.rtt_s, now):
                self._resend(packet)

    def _resend(self, packet: MediaPacket) -> None:
        payload_type = self.payload_types.get(packet.codec)
        if payload_type is None or not self.ready():
            return
        out = (packet.seq + self.seq_offset) & 0xFFFF
        rtx_type = self.rtx_payload_types.get(packet.codec)
        if self.rtx_ssrc is not None and rtx_type is not None:
            number = self._next_rtx
            self._next_rtx += 1
            sent = send_one(
                self, packet, payload_type=rtx_type, ssrc=self.rtx_ssrc, seq=number, prefix=out.to_bytes(2, "big")
            )
            self.rtx_packets += sent >= 0
        else:
            sent = send_one(self, packet, payload_type=payload_type, ssrc=self.ssrc, seq=out)
            self.resent_packets += sent >= 0

    def request_keyframe(self, now: float) -> None:
        """The viewer asks for a key frame (PLI, FIR)."""
        self.plis += 1
        if now - self._keyframe_asked >= KEYFRAME_INTERVAL_S:
            self._keyframe_asked = now
            self.publication.request_keyframe(now)

    # --- once in a while

    def tick(self, now: float) -> None:
        """Measure our rate, forget the replay when nobody can ask for it any more."""
        if self._rate_time is None:
            self._rate_time, self._rate_mark = now, self.octets
        elif now - self._rate_time >= 1.0:
            self.bitrate_bps = (self.octets - self._rate_mark) * 8 / (now - self._rate_time)
            self._rate_time, self._rate_mark = now, self.octets
        if self._replay and self.state is State.LIVE and now - self._replay_ended > REPLAY_REMEMBERED_S:
            self._replay = {}

    def stats(self) -> dict[str, int | float | str]:
        """Return the counters for a debug panel, in plain numbers."""
        return {
            "state": self.state.value,
            "ssrc": self.ssrc,
            "packets": self.packets,
            "bytes": self.octets,
            "bitrate_bps": round(self.bitrate_bps),
            "dropped": self.dropped,
            "lost": self.lost,
            "fraction_lost": round(self.fraction_lost, 3),
            "jitter_ms": round(self.jitter_ms, 1),
            "rtt_ms": round((self.rtt_s or 0.0) * 1000, 1),
            "nacks": self.nacks,
            "unanswered": self.unanswered,
            "plis": self.plis,
            "rtx": self.rtx_packets,
            "resent": self.resent_packets,
        }
