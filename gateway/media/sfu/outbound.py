"""The sending half of a viewer's connection: its subscriptions' reports both ways, and when its picture must pause.

`handle_rtcp` hands a viewer's words to the subscription they are about; `tick`, each 50 ms, sends sender reports (one a
second, the first at once) and decides on pauses. Under lasting loss the picture of a viewer pauses and its sound goes
on; after a while it is tried again from a key frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.media.sfu.subscription import RtpSink, State, Subscription
from gateway.wire.rtcp import (
    Fir,
    Nack,
    Pli,
    ReceiverReport,
    Remb,
    ReportBlock,
    Rtcp,
    Sdes,
    SenderReport,
    compound_chunks,
)

REPORT_S: Final = 1.0
LOSS_SMOOTHING: Final = 0.3

PAUSE_LOSS: Final = 0.2
"""Smoothed loss that resends cannot mend any more (they may take a fifth of the rate)."""

PAUSE_AFTER_S: Final = 3.0
"""It must last this long: a replayed GOP or a hand-over between networks is no reason."""

RETRY_S: Final = 5.0
"""A paused picture is tried again after this, then after twice as long each time."""

MAX_RETRY_S: Final = 40.0
RETRY_LOSS: Final = 0.05
"""But not while sound still loses more than this."""

GOOD_S: Final = 30.0
"""A picture that has gone well for so long starts again with RETRY_S."""

MAX_REPORTS_KEPT: Final = 64


class _Patience:
    """How a viewer's picture fares: since when it is bad, when it paused, how long to wait."""

    __slots__ = ("bad_since", "paused_at", "resumed_at", "retry_s")

    def __init__(self) -> None:
        self.bad_since: float | None = None
        self.paused_at: float | None = None
        self.resumed_at = float("-inf")
        self.retry_s = RETRY_S


class Outbound:
    """See the module. One per connection towards a viewer."""

    def __init__(self, sink: RtpSink, *, cname: str = "gateway") -> None:
        self.sink = sink
        self.cname = cname
        self.subscriptions: list[Subscription] = []
        self.remb_bps = 0
        """The viewer's own estimate, if it sends one."""
        self._by_ssrc: dict[int, Subscription] = {}
        self._reported: dict[int, float] = {}  # subscription's SSRC: when its last sender report left
        self._sent: dict[int, float] = {}  # middle bits of a report's NTP time: when it left
        self._patience: dict[int, _Patience] = {}
        self._due = 0.0  # nothing to do before; 0 while somebody waits or has never reported

    def add(self, subscription: Subscription, now: float) -> None:
        """Own a subscription of this connection and start it."""
        self.subscriptions.append(subscription)
        self._by_ssrc[subscription.ssrc] = subscription
        self._patience[subscription.ssrc] = _Patience()
        self._due = 0.0
        subscription.publication.subscribe(subscription, now)

    def remove(self, subscription: Subscription, now: float) -> None:
        """Stop and forget a subscription; nothing happens if it is not ours."""
        if subscription not in self.subscriptions:
            return
        self.subscriptions.remove(subscription)
        if self._by_ssrc.get(subscription.ssrc) is subscription:
            del self._by_ssrc[subscription.ssrc], self._patience[subscription.ssrc]
            self._reported.pop(subscription.ssrc, None)
        subscription.publication.unsubscribe(subscription, now)

    def close(self, now: float) -> None:
        """The connection has ended."""
        for subscription in list(self.subscriptions):
            self.remove(subscription, now)

    def ready(self, now: float) -> None:
        """The connection can be sent to now (or a section was agreed to): start what waits. `tick` does it as well."""
        for subscription in self.subscriptions:
            if subscription.state is State.WAITING:
                subscription.publication.begin(subscription, now)

    # --- what the viewer says

    def handle_rtcp(self, packets: Iterable[Rtcp], now: float) -> None:
        """Take the viewer's RTCP; what is about an SSRC that is not ours is ignored."""
        for packet in packets:
            if isinstance(packet, Nack):
                subscription = self._by_ssrc.get(packet.media_ssrc)
                if subscription is not None:
                    subscription.handle_nack(packet.lost, now)
            elif isinstance(packet, Pli):
                subscription = self._by_ssrc.get(packet.media_ssrc)
                if subscription is not None:
                    subscription.request_keyframe(now)
            elif isinstance(packet, Fir):
                for ssrc, _ in packet.requests:
                    if (subscription := self._by_ssrc.get(ssrc)) is not None:
                        subscription.request_keyframe(now)
            elif isinstance(packet, ReceiverReport | SenderReport):
                for block in packet.reports:
                    if (subscription := self._by_ssrc.get(block.ssrc)) is not None:
                        self._take_block(subscription, block, now)
            elif isinstance(packet, Remb):
                self.remb_bps = packet.bitrate_bps

    def _take_block(self, subscription: Subscription, block: ReportBlock, now: float) -> None:
        subscription.lost = block.lost
        subscription.fraction_lost = block.fraction_lost / 256
        subscription.loss += (subscription.fraction_lost - subscription.loss) * LOSS_SMOOTHING
        subscription.jitter_ms = block.jitter * 1000 / subscription.publication.clock_rate
        sent = self._sent.get(block.lsr) if block.lsr else None
        if sent is not None:
            sample = max(0.0, now - sent - block.dlsr / 65536)
            rtt = subscription.rtt_s
            subscription.rtt_s = sample if rtt is None else rtt + (sample - rtt) / 8
        if subscription.fraction_lost > PAUSE_LOSS / 2:
            subscription.slow_down()
        patience = self._patience[subscription.ssrc]
        if subscription.loss <= PAUSE_LOSS:
            patience.bad_since = None
        elif patience.bad_since is None:
            patience.bad_since = now

    # --- once in a while

    def tick(self, now: float) -> None:
        """Call each 50 ms. Does something once a second, or at once while a subscription waits to start."""
        if now < self._due:
            return
        self._due = now + REPORT_S
        reports: list[SenderReport] = []
        for subscription in self.subscriptions:
            if subscription.state is State.WAITING:
                subscription.publication.begin(subscription, now)
                self._due = 0.0
            if not subscription.packets:
                self._due = 0.0
            elif now >= self._reported.get(subscription.ssrc, float("-inf")) + REPORT_S - 0.01:
                subscription.tick(now)
                report = self._sender_report(subscription, now)
                if report is not None and subscription.state is not State.PAUSED:
                    reports.append(report)
            if subscription.publication.kind == "video":
                self._judge(subscription, now)
        if reports:
            names = Sdes(tuple((report.ssrc, self.cname) for report in reports[:31]))
            for datagram in compound_chunks([*reports, names]):
                self.sink.send_rtcp(datagram)

    def _sender_report(self, subscription: Subscription, now: float) -> SenderReport | None:
        clock = subscription.publication.clock(now)
        if clock is None:
            return None
        ntp, timestamp = clock
        self._reported[subscription.ssrc] = now
        if len(self._sent) >= MAX_REPORTS_KEPT:
            del self._sent[next(iter(self._sent))]
        self._sent[ntp >> 16 & 0xFFFFFFFF] = now
        return SenderReport(
            subscription.ssrc,
            ntp,
            (timestamp + subscription.ts_offset) & 0xFFFFFFFF,
            subscription.packets,
            subscription.octets,
        )

    def _judge(self, subscription: Subscription, now: float) -> None:
        """Pause the picture under lasting loss, try again later."""
        patience = self._patience[subscription.ssrc]
        if patience.paused_at is None:
            if patience.bad_since is None or now - patience.bad_since < PAUSE_AFTER_S:
                return
            if now - patience.resumed_at > GOOD_S:
                patience.retry_s = RETRY_S
            patience.paused_at = now
            patience.bad_since = None
            subscription.loss = 0.0
            subscription.pause(now, slow=True)
        elif now - patience.paused_at >= patience.retry_s and self._sound_loss() <= RETRY_LOSS:
            patience.paused_at = None
            patience.resumed_at = now
            patience.retry_s = min(MAX_RETRY_S, patience.retry_s * 2)
            subscription.resume(now, slow=True)

    def _sound_loss(self) -> float:
        losses = [s.loss for s in self.subscriptions if s.publication.kind == "audio" and s.state is State.LIVE]
        return max(losses, default=0.0)
