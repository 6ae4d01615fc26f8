"""One published sound or picture track as RTP, whoever feeds it, and everybody who watches it.

A publication lives as long as its stream; sources come and go. It gives all packets numbers of its own that continue
over a change of source, keeps the last ones for resends, and hands them on: untouched to taps (the bridge), renumbered
to subscriptions. One order holds everywhere behind `_emit`: history, kept GOP, live viewers, queues of new viewers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

from gateway.base.clock import Clock, ntp64, wall
from gateway.base.config import RtcConfig
from gateway.media.sfu.burst import Burst
from gateway.media.sfu.clockline import ClockLine
from gateway.media.sfu.forward import MAX_PAYLOAD, MediaPacket, forward
from gateway.media.sfu.gop import Gop
from gateway.media.sfu.keyframes import KeyframeRequests
from gateway.media.sfu.numbering import Numbering
from gateway.media.sfu.pacer import PACE_BPS, PACE_FACTOR, STEP_S, Later, RateMeter, later_on_loop
from gateway.media.sfu.subscription import State, Subscription
from gateway.wire.frame import Codec
from gateway.wire.payload import is_keyframe
from gateway.wire.rtp import History, RtpPacket

log = logging.getLogger(__name__)

FRESH_S: Final = 0.3
"""A viewer that comes this soon after a key frame gets it from the history instead of asking for another."""

LEVEL_S: Final = 0.5
"""An audio level older than this says nothing."""


class Source(Protocol):
    """Whoever writes packets: an up connection's track or the bridge."""

    def request_keyframe(self) -> None: ...


class Tap(Protocol):
    """Sees the source's own packets and reports, unchanged. Must not raise, block or call back."""

    def on_packets(self, packets: Sequence[RtpPacket], now: float) -> None: ...
    def on_sender_report(self, ntp: int, rtp: int, now: float) -> None: ...
    def on_source(self, codec: Codec | None, now: float) -> None: ...


class Publication:
    """See the module. All methods run on the event loop's thread; `now` is monotonic seconds."""

    def __init__(
        self,
        kind: Literal["audio", "video"],
        name: str,
        config: RtcConfig | None = None,
        *,
        later: Later = later_on_loop,
        wall_clock: Clock = wall,
    ) -> None:
        self.kind = kind
        self.name = name
        self.codec: Codec | None = None
        self.live = False
        self.source: Source | None = None
        self.subscriptions: list[Subscription] = []
        self.history: History[MediaPacket] = History((config or RtcConfig()).history_s)
        self.demand: Callable[[bool], None] | None = None
        self.keep_gop = False
        self.ntp_offset = 0
        """Distance of the source's clock to ours (64-bit NTP), as its last report gave it."""
        self.emitted = -1
        """Newest of our numbers that was given to subscriptions."""
        self.given = (0, 0)
        """Packets and payload bytes given to live subscriptions so far."""

        # Counters. `lost`, `jitter_ms`, `rtt_s` and `nacks` are about the way from the source, set by its connection.
        self.packets = 0
        self.octets = 0
        self.dropped = 0
        self.keyframes = 0
        self.nacks = 0
        self.rtx = 0
        self.lost = 0
        self.jitter_ms = 0.0
        self.rtt_s: float | None = None
        self.rate = RateMeter()

        self._later = later
        self._wall = wall_clock
        self._taps: list[Tap] = []
        self._live: list[Subscription] = []  # those that `forward` serves
        self._numbering = Numbering(90000 if kind == "video" else 48000)
        self._clock = ClockLine()
        self._raw_report: tuple[int, int, float] | None = None
        self._key: tuple[int, float] | None = None  # number and time of the newest key frame's first packet
        self._key_timestamp: int | None = None
        self._gop = Gop()
        self._requests = KeyframeRequests()
        self._request_timer = False
        self._level: tuple[int, float] | None = None
        self._burst = Burst(self._emit, lambda: self.pace_bps, later)
        self._replay_timer = False

    # --- sources

    def start(self, codec: Codec, clock_rate: int, source: Source, now: float) -> None:
        """`source` feeds us from now on, instead of any before; or its codec has changed.

        What subscribers see continues: sequence numbers without a gap, the timestamp by the time that has passed. Video
        is shown again from the source's first key frame.
        """
        if source is self.source and codec is self.codec and clock_rate == self.clock_rate:
            return
        changed = codec is not self.codec
        self._numbering.set_clock_rate(clock_rate, now)
        if self.source is not source:
            self._numbering.new_source()
            self._clock = ClockLine()
            self._raw_report = None
        self._numbering.interrupt()
        self.source, self.codec, self.live = source, codec, True
        self._gop.clear()
        self._key = self._key_timestamp = None
        for tap in self._taps:
            tap.on_source(codec, now)
        if changed:
            for subscription in list(self.subscriptions):
                subscription.codec_changed(codec)
                self.moved(subscription)
        if self.kind == "video" and self.subscriptions:
            self.request_keyframe(now)
        for subscription in list(self.subscriptions):
            if subscription.state is State.WAITING:
                self.begin(subscription, now)

    def stop(self, source: Source, now: float) -> None:
        """`source` has ended. Nothing happens if another has taken its place."""
        if source is not self.source:
            return
        self.source, self.live = None, False
        self._gop.clear()
        self._key = None
        self._requests.arrived()
        for tap in self._taps:
            tap.on_source(None, now)

    def forget_kept(self) -> None:
        """Newcomers get none of the pictures so far: they begin with the next key frame."""
        self._gop.clear()
        self._key = None

    def write(self, packets: Sequence[RtpPacket], now: float) -> None:
        """Take the current source's packets, of its codec, as they came (any order; lost ones may follow later)."""
        if self.source is None or not packets:
            return
        for tap in self._taps:
            tap.on_packets(packets, now)
        placed: list[MediaPacket] = []
        size = 0
        for packet in packets:
            item = self._place(packet, now)
            if item is not None:
                placed.append(item)
                size += len(item.payload)
        if not placed:
            return
        self.packets += len(placed)
        self.octets += size
        self.rate.add(size, now)
        if self.kind == "audio":
            self._emit(placed, now)
            return
        if not self._burst.write(placed, size, now):
            self.dropped += self._burst.clear() + len(placed)
            self._numbering.interrupt(self.emitted)
            self.request_keyframe(now)

    def _place(self, packet: RtpPacket, now: float) -> MediaPacket | None:
        """Give a packet its number and timestamp; None if subscribers do not get it."""
        codec, payload, numbering = self.codec, packet.payload, self._numbering
        assert codec is not None
        seq = numbering.unwrap(packet.seq)
        keyframe = self.kind == "video" and is_keyframe(codec, payload)
        if not numbering.begun:
            if not payload or (self.kind == "video" and not keyframe):
                self.dropped += 1
                return None
            self._clock.shift(numbering.begin(seq, packet.timestamp, now))
        elif not payload and numbering.drop(seq):
            return None  # padding only: nobody shall miss it
        placed = numbering.place(seq, packet.timestamp, now)
        if placed is None or placed[0] in self.history or len(payload) > MAX_PAYLOAD:
            self.dropped += 1
            return None
        number, timestamp, newest = placed
        if newest:
            self._clock.arrived(timestamp, packet.arrival or now, self.clock_rate)
        return MediaPacket(codec, number, timestamp, packet.marker, payload, keyframe)

    @property
    def clock_rate(self) -> int:
        """Ticks of the RTP timestamp per second."""
        return self._numbering.clock_rate

    def timestamp_at(self, now: float) -> int | None:
        """Return the timestamp, in our numbers, that media made at `now` would have; None before the first packet."""
        return self._numbering.timestamp_at(now)

    # --- giving out

    @property
    def pace_bps(self) -> float:
        """How fast a burst may leave towards one viewer."""
        return max(PACE_BPS, PACE_FACTOR * self.rate.bps)

    def _emit(self, packets: list[MediaPacket], now: float) -> None:
        """Give packets to the history, the kept GOP and all subscriptions."""
        newest = self.emitted
        in_order = True
        codec = packets[0].codec
        uniform = True
        size = 0
        for packet in packets:
            number = packet.seq
            size += len(packet.payload)
            self.history.add(number, packet, now)
            if packet.keyframe and packet.timestamp != self._key_timestamp:
                self._key = (number, now)
                self._key_timestamp = packet.timestamp
                self.keyframes += 1
                self._requests.arrived()
                if self.keep_gop:
                    self._gop.begin()
            if self.keep_gop:
                self._gop.add(packet, self.clock_rate)
            if number > newest:
                newest = number
            else:
                in_order = False
            if packet.codec is not codec:
                uniform = False
        before, self.emitted = self.emitted, newest
        live = self._live
        if live:
            self.given = (self.given[0] + len(packets), self.given[1] + size)
            if in_order and uniform:
                forward(packets, live)
            else:
                self._forward_apart(packets, live)
        if len(live) != len(self.subscriptions):
            self._emit_others(packets, before, now)

    def _forward_apart(self, packets: list[MediaPacket], live: list[Subscription]) -> None:
        """Repaired packets (or two codecs) in one batch: each goes only to those who started before it."""
        for packet in packets:
            wanted = []
            for subscription in live:
                if subscription.start_seq <= packet.seq and packet.codec in subscription.payload_types:
                    wanted.append(subscription)
                else:
                    subscription.missed((packet,))
            if packet.codec is self.codec:
                forward((packet,), wanted)
                continue
            for subscription in wanted:
                current = subscription.payload_type
                subscription.payload_type = subscription.payload_types[packet.codec]
                forward((packet,), (subscription,))
                subscription.payload_type = current

    def _emit_others(self, packets: list[MediaPacket], before: int, now: float) -> None:
        """Queues of replaying subscriptions, and the start of those that wait."""
        first: MediaPacket | None = None
        if self.kind == "video":
            first = next((packet for packet in packets if packet.keyframe), None)
        elif before < packets[0].seq:
            first = packets[0]
        for subscription in self.subscriptions:
            if subscription.state is State.REPLAYING:
                subscription.enqueue([p for p in packets if p.seq >= subscription.start_seq], now)
            elif subscription.state is State.WAITING and first is not None and self._can_start(subscription):
                subscription.start(self._from(first), now)
                self.moved(subscription)
        self._drain_replays(now)

    def _from(self, first: MediaPacket) -> list[MediaPacket]:
        """Return the packets to start with: the whole picture of `first` and all that has been given out since."""
        number = first.seq
        while (earlier := self.history.get(number - 1)) is not None and earlier.timestamp == first.timestamp:
            number -= 1
        found = (self.history.get(n) for n in range(number, self.emitted + 1))
        return [packet for packet in found if packet is not None]

    # --- subscriptions

    def subscribe(self, subscription: Subscription, now: float) -> None:
        """Add a viewer. Its media starts at once from kept pictures, else at the next key frame, which is asked for."""
        if subscription in self.subscriptions:
            return
        self.subscriptions.append(subscription)
        subscription.codec_changed(self.codec)
        if len(self.subscriptions) == 1 and self.demand is not None:
            self.demand(True)
        if subscription in self.subscriptions:  # not if it has switched over, because it cannot take our codec
            self.begin(subscription, now)

    def unsubscribe(self, subscription: Subscription, now: float) -> None:
        """Remove a viewer; nothing happens if it is not one."""
        if subscription not in self.subscriptions:
            return
        subscription.halt()
        self.subscriptions.remove(subscription)
        self.moved(subscription)
        if not self.subscriptions and self.demand is not None:
            self.demand(False)

    def moved(self, subscription: Subscription) -> None:
        """A subscription's state has changed: keep the list that `forward` serves right."""
        wanted = (
            subscription.state is State.LIVE and not subscription.unsupported and subscription in self.subscriptions
        )
        if wanted and subscription not in self._live:
            self._live = [*self._live, subscription]
            subscription.share_counts(True)
        elif not wanted and subscription in self._live:
            self._live = [other for other in self._live if other is not subscription]
            subscription.share_counts(False)

    def _can_start(self, subscription: Subscription) -> bool:
        return self.live and not subscription.unsupported and not subscription.paused and subscription.ready()

    def begin(self, subscription: Subscription, now: float) -> None:
        """Start a waiting subscription if it can be: by the kept GOP, a fresh key frame, or by asking for one.

        Call it again when the subscription may have become able to start.
        """
        if self.kind == "audio" or subscription.state is not State.WAITING or not self._can_start(subscription):
            return
        packets: list[MediaPacket] = []
        if subscription.kept:
            packets = self._gop.packets() if self.keep_gop else self._fresh(now)
        if packets:
            subscription.replay(packets, self.pace_bps, now)
            self.moved(subscription)
            self._drain_replays(now)
        elif not subscription.asked:
            subscription.asked = True
            self.request_keyframe(now)

    def _fresh(self, now: float) -> list[MediaPacket]:
        """Return everything since a key frame of the last FRESH_S, if none of it is missing."""
        if self._key is None or now - self._key[1] > FRESH_S:
            return []
        packet = self.history.get(self._key[0])
        if packet is None:
            return []
        packets = self._from(packet)
        return packets if packets[-1].seq - packets[0].seq + 1 == len(packets) else []

    def _drain_replays(self, now: float) -> None:
        more = False
        for subscription in self.subscriptions:
            if subscription.state is State.REPLAYING:
                if subscription.drain(now):
                    more = True
                else:
                    self.moved(subscription)
        if more and not self._replay_timer:
            self._replay_timer = True
            self._later(STEP_S, self._replay_later)

    def _replay_later(self, now: float) -> None:
        self._replay_timer = False
        self._drain_replays(now)

    def waiting(self) -> int:
        """Return how many viewers wait for a key frame and could start with one."""
        return sum(1 for s in self.subscriptions if s.state is State.WAITING and self._can_start(s))

    # --- key frames

    @property
    def plis(self) -> int:
        """How often the source was asked for a key frame."""
        return self._requests.sent

    def request_keyframe(self, now: float, *, urgent: bool = False) -> None:
        """Ask the source for a key frame, now or as soon as the throttle allows (500 ms between two requests).

        While viewers wait the source is asked again each second (a request can be lost), if `urgent` twice a second.
        """
        source = self.source
        if source is None or self.kind != "video":
            return
        if self._requests.request(now, urgent):
            source.request_keyframe()
        self._time_request(now)

    def _time_request(self, now: float) -> None:
        when = self._requests.next_due(self.waiting() > 0)
        if when is not None and not self._request_timer:
            self._request_timer = True
            self._later(max(0.0, when - now), self._request_due)

    def _request_due(self, now: float) -> None:
        self._request_timer = False
        if self.source is not None and self._requests.due(now, self.waiting() > 0):
            self.source.request_keyframe()
        self._time_request(now)

    # --- taps

    def add_tap(self, tap: Tap, now: float, *, kept: bool = False) -> None:
        """Let `tap` see everything from now on. It is told the current source and its last report at once.

        `kept`: then it gets the kept pictures too, in one call and as the source sent them.
        """
        self._taps = [*self._taps, tap]
        if self.live and self.codec is not None:
            tap.on_source(self.codec, now)
            if self._raw_report is not None:
                ntp, rtp, then = self._raw_report
                tap.on_sender_report(ntp, rtp, then)
            if kept and (packets := self._kept(now)):
                tap.on_packets(packets, now)

    def _kept(self, now: float) -> list[RtpPacket]:
        """Return the kept pictures, and what of a burst still waits, in the numbers and times of the source."""
        numbering = self._numbering
        return [
            RtpPacket(
                0,
                packet.marker,
                numbering.source_seq(packet.seq),
                (packet.timestamp - numbering.ts_delta) & 0xFFFFFFFF,
                0,
                packet.payload,
                None,
                now,
            )
            for packet in [*self._gop.packets(), *self._burst.waiting]
        ]

    def remove_tap(self, tap: Tap, now: float) -> None:
        self._taps = [other for other in self._taps if other is not tap]

    @property
    def taps(self) -> int:
        return len(self._taps)

    # --- clock

    def sender_report(self, ntp: int, rtp: int, now: float, *, ntp_offset: int = 0) -> None:
        """The source says that its timestamp `rtp` belongs to `ntp` (64 bit).

        Taps hear the source's own words. Towards subscribers `ntp_offset` is added: an up connection gives the
        distance of the publisher's clock to ours, one for all its tracks, so that both stay on one line.
        """
        self._raw_report = (ntp, rtp, now)
        self.ntp_offset = ntp_offset
        self._clock.report(ntp + ntp_offset, rtp + self._numbering.ts_delta, now)
        for tap in self._taps:
            tap.on_sender_report(ntp, rtp, now)

    def clock(self, now: float) -> tuple[int, int] | None:
        """Return what time it is in this publication, as (64-bit NTP, our timestamp); None before the first packet."""
        return self._clock.at(now, ntp64(self._wall()), self.clock_rate)

    # --- sound level

    def set_audio_level(self, level: int, now: float) -> None:
        """Note how loud the source is: 0 (loudest) to 127 (silence), minus dBov (RFC 6464)."""
        self._level = (level, now)

    @property
    def audio_level(self) -> int | None:
        """The last level heard of, None before the first."""
        return None if self._level is None else self._level[0]

    def level_at(self, now: float) -> int | None:
        """Return the level if it is of the last half second, else None."""
        return None if self._level is None or now - self._level[1] > LEVEL_S else self._level[0]

    def stats(self) -> dict[str, int | float | str]:
        """Return the counters for a debug panel, in plain numbers."""
        return {
            "kind": self.kind,
            "codec": self.codec.value if self.codec else "",
            "live": self.live,
            "subscriptions": len(self.subscriptions),
            "packets": self.packets,
            "bytes": self.octets,
            "bitrate_bps": round(self.rate.bps),
            "dropped": self.dropped,
            "lost": self.lost,
            "jitter_ms": round(self.jitter_ms, 1),
            "rtt_ms": round((self.rtt_s or 0.0) * 1000, 1),
            "nacks": self.nacks,
            "rtx": self.rtx,
            "plis": self.plis,
            "keyframes": self.keyframes,
        }
