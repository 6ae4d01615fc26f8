"""A publication's own numbers: they go on whatever its sources do. Pure.

Sequence numbers become plain ints that never go back or repeat and have gaps only where packets were lost; timestamps
advance by the time that has passed when the source changes. Subscriptions only add an offset to both.
"""

from __future__ import annotations

from typing import Final

from gateway.wire.rtp import SequenceMap, SeqUnwrapper

MAX_GAP: Final = 3000
"""A source that jumps further in its numbers has started anew."""

_MASK: Final = 0xFFFFFFFF


class Numbering:
    """Maps the current source's numbers to ours. `ts_delta`: our timestamps minus the source's."""

    __slots__ = ("_assigned", "_map", "_newest", "_stamp", "_stamped_at", "_unwrapper", "clock_rate", "ts_delta")

    def __init__(self, clock_rate: int) -> None:
        self.clock_rate = clock_rate
        self.ts_delta = 0
        self._unwrapper = SeqUnwrapper()
        self._map: SequenceMap | None = None  # None: the source has not begun
        self._newest = 0  # of the source's unwrapped numbers
        self._assigned = -1  # newest of ours
        self._stamp: int | None = None  # newest of our timestamps, and when it came
        self._stamped_at = 0.0

    @property
    def begun(self) -> bool:
        """The source's numbers have a place in ours."""
        return self._map is not None

    def new_source(self) -> None:
        """Another source, with numbers of its own, follows."""
        self._unwrapper = SeqUnwrapper()
        self._map = None

    def interrupt(self, assigned: int | None = None) -> None:
        """The source's packets have no place until it begins again; `assigned`: our newest number that still counts."""
        self._map = None
        if assigned is not None:
            self._assigned = assigned

    def set_clock_rate(self, clock_rate: int, now: float) -> None:
        """Timestamps run at another rate from now on."""
        if clock_rate != self.clock_rate:
            self._stamp, self._stamped_at = self.timestamp_at(now), now
            self.clock_rate = clock_rate

    def unwrap(self, seq: int) -> int:
        """Return the source's 16-bit number as a plain int; a jump beyond MAX_GAP ends what has begun."""
        number = self._unwrapper.unwrap(seq)
        if self._map is not None and abs(number - self._newest) > MAX_GAP:
            self._map = None
        return number

    def begin(self, number: int, timestamp: int, now: float) -> int:
        """Let the source begin with this packet. Returns by how much `ts_delta` has changed."""
        first = self._assigned + 1 if self._assigned >= 0 else number & 0x7FFF
        self._map = SequenceMap(number, first)
        self._newest = number
        before = self.ts_delta
        # A new picture has a new timestamp, even if no time has passed.
        stamp = self.timestamp_at(max(now, self._stamped_at + 0.001))
        if stamp is not None:
            self.ts_delta = (stamp - timestamp) & _MASK
        return self.ts_delta - before

    def drop(self, number: int) -> bool:
        """Leave out a packet that nobody shall miss. False: too late, its place must be filled."""
        if self._map is None or not self._map.drop(number):
            return False
        self._newest = max(self._newest, number)
        return True

    def place(self, number: int, timestamp: int, now: float) -> tuple[int, int, bool] | None:
        """Return our number, our timestamp and whether it is the newest; None for a packet that has no place."""
        ours = None if self._map is None else self._map.rewrite(number)
        if ours is None:
            return None
        stamp = (timestamp + self.ts_delta) & _MASK
        if ours > self._assigned:
            self._assigned = ours
        if number < self._newest:
            return ours, stamp, False
        self._newest = number
        self._stamp, self._stamped_at = stamp, now
        return ours, stamp, True

    def source_seq(self, number: int) -> int:
        """Return the source's 16-bit number of a recent packet of ours. What was left out since then moves it."""
        return (self._newest - (self._assigned - number)) & 0xFFFF

    def timestamp_at(self, now: float) -> int | None:
        """Return the timestamp, in our numbers, that media made at `now` would have; None before the first packet."""
        if self._stamp is None:
            return None
        return (self._stamp + int(max(0.0, now - self._stamped_at) * self.clock_rate)) & _MASK
