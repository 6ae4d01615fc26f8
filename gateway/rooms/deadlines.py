"""Who has to be looked at when: a heap that is touched only when a deadline comes nearer or falls due.

A heartbeat moves a deadline away, a thousand times for each time it matters; that costs one dict entry here. The heap
holds at most one live entry per key, which says "not before"; the dict holds the truth.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Deadlines(Generic[Key]):
    """Deadlines of keys, in monotonic seconds. A key has one deadline or none."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Key]] = []
        self._due: dict[Key, float] = {}
        self._queued: dict[Key, float] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: Key, when: float) -> None:
        """Give `key` the deadline `when`; math.inf takes it away."""
        if when == math.inf:
            self.discard(key)
            return
        self._due[key] = when
        queued = self._queued.get(key)
        if queued is None or when < queued:
            self._push(key, when)

    def discard(self, key: Key) -> None:
        self._due.pop(key, None)
        # The heap entry is left to fall due and be skipped. Without a bound, keys that come and go within one
        # deadline would pile up.
        if len(self._heap) > 64 + 4 * len(self._due):
            self._rebuild()

    def next(self) -> float | None:
        """Return a time before which nothing is due (it may turn out to be early), None if there is nothing."""
        return self._heap[0][0] if self._due and self._heap else None

    def due(self, now: float) -> Iterator[Key]:
        """Yield keys whose deadline lies before `now` (not at it), earliest first; they have none afterwards."""
        while self._heap and self._heap[0][0] < now:
            when, _, key = heapq.heappop(self._heap)
            if self._queued.get(key) != when:
                continue
            del self._queued[key]
            real = self._due.get(key)
            if real is None:
                continue
            if real < now:
                del self._due[key]
                yield key
            else:
                self._push(key, real)

    def _push(self, key: Key, when: float) -> None:
        self._queued[key] = when
        self._serial += 1
        heapq.heappush(self._heap, (when, self._serial, key))

    def _rebuild(self) -> None:
        self._heap = []
        self._queued = {}
        for key, when in self._due.items():
            self._push(key, when)
