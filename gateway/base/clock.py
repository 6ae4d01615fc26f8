"""The two clocks. Cores never call these: `now` is their argument.

`monotonic()` runs deadlines and arrival times (seconds, float). `wall()` is unix time (seconds, float) for tickets,
NTP stamps and the database. A test replaces a component's clock by passing its own callables.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]

monotonic: Clock = time.monotonic
wall: Clock = time.time

NTP_EPOCH_OFFSET = 2208988800
"""Seconds from 1900-01-01 (NTP) to 1970-01-01 (unix)."""


def ntp64(unix_s: float) -> int:
    """Return `unix_s` as a 64-bit NTP timestamp (32.32 fixed point). RFC 3550 section 4."""
    return int((unix_s + NTP_EPOCH_OFFSET) * 4294967296.0) & 0xFFFFFFFFFFFFFFFF
