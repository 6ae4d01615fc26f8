"""How fast a burst may leave: a token bucket, and the timers that go on with what it held back.

Live media passes in the burst allowance and is never held. A big key frame, the flood after a stall of a TCP publisher
or the replay of a GOP does not fit and leaves at `PACE_BPS` or four times the stream's rate, whichever is more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.base.clock import monotonic

PACE_BPS: Final = 10_000_000
"""First guess of what a viewer's link takes (until its reports say more)."""

PACE_FACTOR: Final = 4
"""Below four times the stream's rate a replay is not live for seconds (measured with Chromium)."""

BURST_BYTES: Final = 48 * 1024
"""What leaves at once: an ordinary key frame does. About 40 packets, which every receiver's socket buffer holds."""

STEP_S: Final = 0.005
"""Between two instalments of a paced burst: five packets at 10 Mbit/s."""

Later = Callable[[float, Callable[[float], None]], None]
"""`later(delay_s, callback)`: call `callback(now)` once after the delay. Tests give their own."""


def later_on_loop(delay_s: float, callback: Callable[[float], None]) -> None:
    """Use the running event loop's timer. Without a running loop nothing is set: the next packet or tick goes on."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    loop.call_later(delay_s, _fire, callback)


def _fire(callback: Callable[[float], None]) -> None:
    callback(monotonic())


class TokenBucket:
    """Bytes that may leave now. `level` may go below zero by one packet: what is sent is sent."""

    __slots__ = ("_updated", "burst_bytes", "level", "rate_bps")

    def __init__(self, rate_bps: float, burst_bytes: float) -> None:
        self.rate_bps = rate_bps
        self.burst_bytes = burst_bytes
        self.level = burst_bytes
        self._updated = float("-inf")

    def refill(self, now: float) -> None:
        """Add what `rate_bps` earned since the last call, up to `burst_bytes`."""
        elapsed = now - self._updated
        if elapsed > 0:
            self.level = min(self.burst_bytes, self.level + elapsed * self.rate_bps / 8)
            self._updated = now

    def take(self, size: int, now: float) -> bool:
        """Take `size` bytes if the level is above zero; say whether they may leave now."""
        self.refill(now)
        if self.level <= 0:
            return False
        self.level -= size
        return True


class RateMeter:
    """Bits per second over the last second or so, and totals. Call `add` once per batch, not per packet."""

    __slots__ = ("_bytes", "_since", "bps", "total")

    def __init__(self) -> None:
        self.bps = 0.0
        self.total = 0
        self._bytes = 0
        self._since: float | None = None

    def add(self, size: int, now: float) -> None:
        self.total += size
        self._bytes += size
        if self._since is None:
            self._since = now
        elapsed = now - self._since
        if elapsed >= 0.5:
            rate = self._bytes * 8 / elapsed
            self.bps = rate if not self.bps or elapsed > 3 else self.bps + (rate - self.bps) * 0.4
            self._bytes = 0
            self._since = now
