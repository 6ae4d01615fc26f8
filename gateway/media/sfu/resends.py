"""What a viewer asks for again: which packets, how often, within which budget."""

from __future__ import annotations

from typing import Final

from gateway.media.sfu.pacer import TokenBucket

RTX_SHARE: Final = 0.2
"""At most this part of the rate goes out as resends."""

FLOOR_BYTES: Final = 6000
"""Resends that a quiet stream may always make within a second: five full packets."""

FIRST_WAIT_S: Final = 0.01
"""A packet is not sent again within this time while the round trip is not known."""

MAX_REMEMBERED: Final = 2048


class Resends:
    """The judge of one subscription's requests. Pure."""

    __slots__ = ("_bucket", "_times")

    def __init__(self) -> None:
        self._bucket = TokenBucket(FLOOR_BYTES * 8, FLOOR_BYTES)
        self._times: dict[int, float] = {}

    def forget(self) -> None:
        """The numbers mean other packets from now on."""
        self._times.clear()

    def allow(self, number: int, size: int, rate_bps: float, rtt_s: float | None, now: float) -> bool:
        """Say whether packet `number` of `size` bytes may be sent again now; then it counts as sent.

        Not twice within half a round trip, and all resends together at most RTX_SHARE of `rate_bps`.
        """
        wait = FIRST_WAIT_S if rtt_s is None else rtt_s / 2
        if now - self._times.get(number, float("-inf")) < wait:
            return False
        bucket = self._bucket
        bucket.refill(now)
        bucket.rate_bps = max(RTX_SHARE * rate_bps, FLOOR_BYTES * 8)
        bucket.burst_bytes = bucket.rate_bps / 8
        if not bucket.take(size, now):
            return False
        if len(self._times) >= MAX_REMEMBERED:
            self._times.clear()
        self._times[number] = now
        return True
