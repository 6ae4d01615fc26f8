"""The book of one incoming SSRC: duplicates, losses, jitter, what to ask for again, the report block about it.

RFC 3550 appendix A.3 and A.8, sections 6.4.1; pure.
"""

from __future__ import annotations

from typing import Final

from gateway.wire.rtcp import ReportBlock
from gateway.wire.rtp import NackList, RtpPacket, SeqUnwrapper

SEEN: Final = 2048
"""How many numbers back a duplicate is recognised."""

VIDEO_GIVE_UP_S: Final = 1.0
AUDIO_GIVE_UP_S: Final = 0.3
"""A sound packet later than this is concealed anyway."""


class Reception:
    """One media SSRC. `lost` and `jitter_ms` are current at the last `report`."""

    __slots__ = (
        "_base",
        "_clock_rate",
        "_jitter",
        "_last_report",
        "_prior_expected",
        "_prior_received",
        "_restart",
        "_seen",
        "_transit",
        "_unwrapper",
        "duplicates",
        "lost",
        "nacks",
        "received",
        "ssrc",
    )

    def __init__(self, ssrc: int, clock_rate: int, *, video: bool) -> None:
        self.ssrc = ssrc
        self.received = 0
        self.duplicates = 0
        self.lost = 0
        self.nacks = NackList(give_up_s=VIDEO_GIVE_UP_S if video else AUDIO_GIVE_UP_S)
        self._clock_rate = clock_rate
        self._transit: float | None = None
        self._jitter = 0.0
        self._begin()
        self._last_report: tuple[int, float] | None = None

    def _begin(self) -> None:
        self._unwrapper = SeqUnwrapper()
        self._seen: list[int | None] = [None] * SEEN
        self._base: int | None = None
        self._restart: int | None = None  # the number that would prove that the sender has started anew
        self._prior_expected = 0
        self._prior_received = 0
        self.received = 0
        self.nacks = NackList(give_up_s=self.nacks.give_up_s)

    def accept(self, packet: RtpPacket, now: float, *, repaired: bool = False) -> bool:
        """Note a packet; False if it has been here before. `repaired`: it came by RTX, so its delay says nothing."""
        seq = self._unwrapper.unwrap(packet.seq)
        slot = seq % SEEN
        newest = self._unwrapper.newest
        if newest is not None and seq <= newest - SEEN:
            if packet.seq != self._restart:
                self._restart = (packet.seq + 1) & 0xFFFF
                self.duplicates += 1
                return False
            self._begin()  # two in a row from far behind (RFC 3550 A.1)
            newest = seq = self._unwrapper.unwrap(packet.seq)
            slot = seq % SEEN
        elif self._seen[slot] == seq:
            self.duplicates += 1
            return False
        self._seen[slot] = seq
        if self._base is None:
            self._base = seq
        self.received += 1
        if seq == newest and not repaired:
            self._note_transit(packet)
        self.nacks.received(seq, now)
        return True

    def _note_transit(self, packet: RtpPacket) -> None:
        transit = packet.arrival * self._clock_rate - packet.timestamp
        if self._transit is not None:
            change = abs(transit - self._transit)
            if change < 10 * self._clock_rate:  # beyond: the timestamp has wrapped or jumped
                self._jitter += (change - self._jitter) / 16
        self._transit = transit

    @property
    def jitter_ms(self) -> float:
        return self._jitter * 1000 / self._clock_rate

    def sender_report(self, ntp: int, now: float) -> None:
        """A sender report with this 64-bit NTP time came."""
        self._last_report = (ntp >> 16 & 0xFFFFFFFF, now)

    def report(self, now: float) -> ReportBlock | None:
        """Return the block for our next receiver report, None before the first packet."""
        newest = self._unwrapper.newest
        if self._base is None or newest is None:
            return None
        expected = newest - self._base + 1
        self.lost = expected - self.received
        expected_since = expected - self._prior_expected
        lost_since = expected_since - (self.received - self._prior_received)
        self._prior_expected, self._prior_received = expected, self.received
        fraction = 0 if expected_since <= 0 or lost_since <= 0 else min(255, lost_since * 256 // expected_since)
        lsr = dlsr = 0
        if self._last_report is not None:
            lsr, then = self._last_report
            dlsr = min(0xFFFFFFFF, int((now - then) * 65536))
        return ReportBlock(self.ssrc, fraction, self.lost, newest & 0xFFFFFFFF, int(self._jitter), lsr, dlsr)
