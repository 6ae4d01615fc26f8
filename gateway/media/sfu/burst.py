"""A publication's bursts, evened out: what comes faster than the pace waits here, in order, and leaves at the pace.

A phone that was stuck sends seconds of video at once; a viewer's link would drop what does not fit its queues. What is
within the pace passes straight through. One order holds: nothing passes what waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from gateway.media.sfu.forward import MediaPacket
from gateway.media.sfu.pacer import BURST_BYTES, PACE_BPS, STEP_S, Later, TokenBucket

MAX_WAITING_BYTES: Final = 4 * 1024 * 1024
"""A burst beyond this is thrown away."""


class Burst:
    """`emit(packets, now)` gets what may leave, at once or later on the loop; `pace()` is in bits per second."""

    def __init__(
        self, emit: Callable[[list[MediaPacket], float], None], pace: Callable[[], float], later: Later
    ) -> None:
        self.waiting: deque[MediaPacket] = deque()
        self._emit = emit
        self._pace = pace
        self._later = later
        self._bytes = 0
        self._bucket = TokenBucket(PACE_BPS, BURST_BYTES)
        self._draining = False

    def write(self, packets: list[MediaPacket], size: int, now: float) -> bool:
        """Pass packets of `size` payload bytes on. False if too much waits: then all of it, and these, are dropped."""
        bucket = self._bucket
        bucket.refill(now)
        if not self.waiting and size <= bucket.level:
            bucket.level -= size
            self._emit(packets, now)
            return True
        if self._bytes + size > MAX_WAITING_BYTES:
            return False
        self.waiting.extend(packets)
        self._bytes += size
        self._drain(now)
        return True

    def clear(self) -> int:
        """Drop what waits; return how many packets that were."""
        dropped = len(self.waiting)
        self.waiting.clear()
        self._bytes = 0
        return dropped

    def _drain(self, now: float) -> None:
        bucket, waiting = self._bucket, self.waiting
        bucket.refill(now)
        bucket.rate_bps = self._pace()
        batch: list[MediaPacket] = []
        while waiting and bucket.take(len(waiting[0].payload), now):
            packet = waiting.popleft()
            self._bytes -= len(packet.payload)
            batch.append(packet)
        if batch:
            self._emit(batch, now)
        if waiting and not self._draining:
            self._draining = True
            self._later(STEP_S, self._drain_later)

    def _drain_later(self, now: float) -> None:
        self._draining = False
        self._drain(now)
