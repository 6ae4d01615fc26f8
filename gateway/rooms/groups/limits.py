"""How much one user may write, and what it has written lately: resends are answered, not posted again.

The state is the user's, not its stay's: leaving and entering again refills nothing.
"""

from __future__ import annotations

import collections
import math
from typing import Final

from gateway.base.errors import TooMany
from gateway.rooms.groups.values import Receipt

MESSAGES_PER_S: Final = 20.0
MESSAGE_BURST: Final = 40.0
CUSTOM_PER_S: Final = 30.0
CUSTOM_BYTES_PER_S: Final = 8192.0
TIPS_PER_S: Final = 0.5
TIP_BURST: Final = 6.0
"""How often others are told that one user comes and goes."""
RESEND_S: Final = 600.0
"""The same random within this time is a resend."""
MAX_RECENT: Final = int(MESSAGES_PER_S * RESEND_S + MESSAGE_BURST)
"""More cannot be written in that time."""

Scope = int | str
"""Where a random counts: the group's id, or the addressee of direct messages."""


class Bucket:
    """Tokens: `rate` a second, at most `burst`."""

    __slots__ = ("_burst", "_rate", "_then", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._then = now

    def wait(self, now: float, amount: float = 1.0) -> float:
        """Return the seconds until `amount` may be taken, 0 if it may be now."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._then) * self._rate)
        self._then = now
        missing = amount - self._tokens
        # Who waited exactly as long as it was told must not fail by a rounding.
        return missing / self._rate if missing > 1e-6 else 0.0

    def take(self, amount: float = 1.0) -> None:
        self._tokens -= amount


class Sender:
    """What is known of one user who writes. `seen_at` is when it last did."""

    __slots__ = ("_custom", "_custom_bytes", "_custom_seq", "_messages", "_recent", "_tips", "seen_at")

    def __init__(self, now: float) -> None:
        self.seen_at = now
        self._messages = Bucket(MESSAGES_PER_S, MESSAGE_BURST, now)
        self._custom = Bucket(CUSTOM_PER_S, CUSTOM_PER_S, now)
        self._custom_bytes = Bucket(CUSTOM_BYTES_PER_S, CUSTOM_BYTES_PER_S, now)
        self._custom_seq = 0
        self._tips = Bucket(TIPS_PER_S, TIP_BURST, now)
        self._recent: collections.OrderedDict[tuple[Scope, int], tuple[Receipt, float]] = collections.OrderedDict()

    def receipt(self, scope: Scope, random: int, now: float) -> Receipt | None:
        """Return what a resend is answered with, None if this is none."""
        self._forget(now)
        known = self._recent.get((scope, random))
        return None if known is None else known[0]

    def remember(self, scope: Scope, random: int, receipt: Receipt, at: float) -> None:
        self._recent[(scope, random)] = (receipt, at)
        if len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)

    def take_message(self, now: float) -> None:
        """Raises TooMany with the time to wait."""
        wait = self._messages.wait(now)
        if wait > 0:
            raise TooMany(f"more than {MESSAGES_PER_S:.0f} messages a second", retry_after_ms=math.ceil(wait * 1000))
        self._messages.take()

    def take_custom(self, size: int, now: float) -> int:
        """Return the number of a custom message of `size` bytes. Raises TooMany."""
        wait = max(self._custom.wait(now), self._custom_bytes.wait(now, size))
        if wait > 0:
            raise TooMany("more than 30 custom messages or 8 KB a second", retry_after_ms=math.ceil(wait * 1000))
        self._custom.take()
        self._custom_bytes.take(size)
        self._custom_seq += 1
        return self._custom_seq

    def take_tip(self, now: float) -> bool:
        """Whether others are told that this user has come or gone; if not, they just are not."""
        if self._tips.wait(now) > 0:
            return False
        self._tips.take()
        return True

    def _forget(self, now: float) -> None:
        while self._recent:
            oldest = next(iter(self._recent))
            if now - self._recent[oldest][1] < RESEND_S:
                return
            del self._recent[oldest]
