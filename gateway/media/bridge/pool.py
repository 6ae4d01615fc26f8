"""Codecs off the event loop: a small thread pool, and one `Line` per transcoder.

A Line keeps order with at most one job in flight; the transcoder is made in its first job, touched in its jobs only
and freed in its last. What waits is bounded by the weight its owner gives (milliseconds of sound, pictures): `put`
says no when it is full, and the owner conceals or drops.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Generic, Protocol, TypeVar

from gateway.base.clock import Clock, monotonic
from gateway.base.errors import Overloaded

log = logging.getLogger(__name__)

BUSY_LIMIT: Final = 0.8
"""Measured use of the pool from which a new video transcode is refused."""
ASSUMED_VIDEO_CORES: Final = 0.15
"""What a new video transcode counts until its own jobs are measured (720p30: 0.13 of a core)."""
AVERAGED_S: Final = 3.0
"""Time constant of the measurement."""
STOP_TIMEOUT_S: Final = 1.0
PATIENCE_S: Final = 0.2
"""A line that takes bursts is full only when something has waited so long: then it is the CPU that is short."""

In = TypeVar("In")
Out = TypeVar("Out")


class Transcoder(Protocol[In, Out]):
    """A codec or a pair of them. Used by one job at a time, in any thread of the pool."""

    def process(self, items: list[In]) -> list[Out]: ...

    def close(self) -> None: ...


class CodecPool:
    """`threads` worker threads, and how busy they are."""

    def __init__(self, threads: int, clock: Clock = monotonic) -> None:
        self.threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="codec")
        self._clock = clock
        self._lock = threading.Lock()
        self._busy = 0.0  # busy seconds of the past, decaying with AVERAGED_S
        self._at = clock()
        self.jobs = 0
        self.refused = 0

    def _add_busy(self, seconds: float) -> float:
        with self._lock:
            now = self._clock()
            self._busy *= math.exp(-max(0.0, now - self._at) / AVERAGED_S)
            self._at = now
            self._busy += seconds
            return self._busy

    @property
    def use(self) -> float:
        """Share of the threads' time that jobs took lately, 0..1 (a little more when threads wait for a core)."""
        return self._add_busy(0.0) / AVERAGED_S / self.threads

    def admit_video(self) -> None:
        """Ask for one more video transcode. Raises Overloaded at 80 % use; sound is always admitted."""
        use = self.use
        if use >= BUSY_LIMIT:
            self.refused += 1
            raise Overloaded(f"codecs are busy: {use:.0%} of {self.threads} threads, limit {BUSY_LIMIT:.0%}")
        self._add_busy(ASSUMED_VIDEO_CORES * AVERAGED_S)

    def submit(self, job: Callable[[], None]) -> None:
        """Run `job` in a thread. It must not raise. Raises RuntimeError after `close()`."""
        self._executor.submit(self._run, job)

    def _run(self, job: Callable[[], None]) -> None:
        begun = time.perf_counter()
        try:
            job()
        except Exception:
            log.exception("! codec job failed")
        finally:
            self.jobs += 1
            self._add_busy(time.perf_counter() - begun)

    def close(self) -> None:
        """Take no more jobs and forget those that wait. Does not wait for the one that runs."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class Line(Generic[In, Out]):
    """One transcoder's place in the pool. Belongs to the event loop it is made in.

    `limit` is the weight that may wait. `burst`, if more, may wait for up to PATIENCE_S: what a network held back
    comes all at once and is no reason to drop anything. `deliver(outputs)` is called on the loop, in order.
    `failed(error)` is called once if a job raises; the line then takes nothing more and has freed its transcoder.
    """

    def __init__(
        self,
        pool: CodecPool,
        make: Callable[[], Transcoder[In, Out]],
        deliver: Callable[[list[Out]], None],
        failed: Callable[[BaseException], None],
        *,
        limit: float,
        burst: float = 0.0,
        batch: int = 8,
    ) -> None:
        self._pool = pool
        self._make = make
        self._deliver = deliver
        self._failed = failed
        self._limit = limit
        self._burst = burst
        self._batch = batch
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[In, float, float]] = deque()  # item, weight, since
        self._weight = 0.0
        self._in_flight = False
        self._transcoder: Transcoder[In, Out] | None = None  # touched in jobs only
        self._closing = False
        self._closed = asyncio.Event()
        self.overflows = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def put(self, item: In, weight: float = 1.0) -> bool:
        """Queue one item. False, and counted, if that much is waiting already (an empty queue takes anything)."""
        if self._closing:
            return False
        now = self._loop.time()
        if self._waiting and self._weight + weight > self._limit:
            patient = self._weight + weight <= self._burst and now - self._waiting[0][2] < PATIENCE_S
            if not patient:
                self.overflows += 1
                return False
        self._waiting.append((item, weight, now))
        self._weight += weight
        if not self._in_flight:
            self._next()
        return True

    def clear(self) -> int:
        """Drop what waits; return how many items that were."""
        count = len(self._waiting)
        self._waiting.clear()
        self._weight = 0.0
        return count

    def _next(self) -> None:
        items: list[In] = []
        while self._waiting and len(items) < self._batch:
            item, weight, _ = self._waiting.popleft()
            self._weight -= weight
            items.append(item)
        if not self._waiting:
            self._weight = 0.0
        self._submit(lambda: self._work(items))

    def _submit(self, job: Callable[[], None]) -> None:
        self._in_flight = True
        try:
            self._pool.submit(job)
        except RuntimeError:  # the pool is closed: the process is stopping
            self._closing = True
            self._closed.set()

    # --- in a thread

    def _work(self, items: list[In]) -> None:
        outputs: list[Out] = []
        error: BaseException | None = None
        try:
            if self._transcoder is None:
                self._transcoder = self._make()
            outputs = self._transcoder.process(items)
        except Exception as caught:
            error = caught
            self._free()
        self._back(lambda: self._done(outputs, error))

    def _last(self) -> None:
        self._free()
        self._back(self._closed.set)

    def _free(self) -> None:
        transcoder, self._transcoder = self._transcoder, None
        if transcoder is not None:
            transcoder.close()

    def _back(self, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    # --- on the loop again

    def _done(self, outputs: list[Out], error: BaseException | None) -> None:
        self._in_flight = False
        if self._closing:
            self._submit(self._last)
            return
        if error is not None:
            self._closing = True
            self.clear()
            self._closed.set()
            self._failed(error)
            return
        if self._waiting:
            self._next()
        if outputs:
            self._deliver(outputs)

    def close(self) -> None:
        """Take and deliver nothing more; the transcoder is freed in a last job. Idempotent."""
        if self._closing:
            return
        self._closing = True
        self.clear()
        if not self._in_flight:
            self._submit(self._last)

    async def aclose(self) -> None:
        """`close()`, and wait up to STOP_TIMEOUT_S for the last job; then abandon it."""
        self.close()
        try:
            await asyncio.wait_for(self._closed.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            log.warning("! a codec did not stop within %.0f s; abandoned", STOP_TIMEOUT_S)


class Lines:
    """The lines of one bridge: those that work and those that are ending, so that `aclose` can wait for all."""

    def __init__(self) -> None:
        self._lines: list[Line[Any, Any]] = []

    def add(self, line: Line[Any, Any]) -> None:
        # Ended ones are kept until the bridge stops, but not without bound.
        self._lines = [*self._lines[-16:], line]

    def close(self) -> None:
        for line in self._lines:
            line.close()

    async def aclose(self) -> None:
        """Wait until all codecs are freed, at most about STOP_TIMEOUT_S. Idempotent."""
        lines, self._lines = self._lines, []
        if lines:
            await asyncio.gather(*(line.aclose() for line in lines))
