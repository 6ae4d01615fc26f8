"""The codec pool: one job in flight, order, bounds, failure, and stopping that never hangs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from gateway.base.errors import Overloaded
from gateway.media.bridge import pool as pool_module
from gateway.media.bridge.pool import CodecPool, Line, Lines


class Doubler:
    """Notes who touches it, and when it is freed."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.busy = 0
        self.worst = 0
        self.closed = 0
        self.gate: threading.Event | None = None

    def process(self, items: list[int]) -> list[int]:
        self.threads.add(threading.get_ident())
        self.busy += 1
        self.worst = max(self.worst, self.busy)
        if self.gate is not None:
            self.gate.wait(5)
        if -1 in items:
            raise RuntimeError("broken")
        self.busy -= 1
        return [2 * item for item in items]

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed += 1


@pytest.fixture
def pool():
    made = CodecPool(2)
    yield made
    made.close()


def line_of(pool: CodecPool, codec: Doubler, limit: float = 8) -> tuple[Line[int, int], list[int], list[BaseException]]:
    out: list[int] = []
    errors: list[BaseException] = []
    return Line(pool, lambda: codec, out.extend, errors.append, limit=limit), out, errors


async def until(reached: Callable[[], bool]) -> None:
    for _ in range(5000):
        if reached():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it does not happen")


async def test_order_one_job_at_a_time_never_on_the_loop(pool: CodecPool) -> None:
    codec = Doubler()
    line, out, _ = line_of(pool, codec, limit=1000)
    for number in range(500):
        assert line.put(number)
        if number % 50 == 0:
            await asyncio.sleep(0.001)
    await until(lambda: len(out) == 500)
    assert out == [2 * n for n in range(500)]
    assert codec.worst == 1
    await line.aclose()
    assert codec.closed == 1
    assert threading.get_ident() not in codec.threads


async def test_what_waits_is_bounded_by_weight(pool: CodecPool) -> None:
    codec = Doubler()
    codec.gate = threading.Event()
    line, out, _ = line_of(pool, codec, limit=3)
    assert line.put(0)  # in flight
    assert [line.put(n) for n in (1, 2, 3, 4)] == [True, True, True, False]
    assert (line.waiting, line.overflows) == (3, 1)
    assert line.clear() == 3
    assert line.put(9, 100.0), "an empty queue takes anything"
    codec.gate.set()
    await until(lambda: len(out) == 2)
    assert out == [0, 18]
    await line.aclose()


async def test_a_burst_is_taken_and_lasting_slowness_is_not(pool: CodecPool, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Doubler()
    codec.gate = threading.Event()
    line: Line[int, int] = Line(pool, lambda: codec, lambda _: None, lambda _: None, limit=2, burst=10)
    assert [line.put(n) for n in range(12)] == [True] * 11 + [False]
    line.clear()
    monkeypatch.setattr(pool_module, "PATIENCE_S", 0.01)
    assert [line.put(n) for n in range(3)] == [True, True, True]
    await asyncio.sleep(0.02)
    assert not line.put(3)
    codec.gate.set()
    await line.aclose()


async def test_a_failing_codec_is_freed_and_told_once(pool: CodecPool) -> None:
    codec = Doubler()
    line, out, errors = line_of(pool, codec)
    line.put(-1)
    await until(lambda: bool(errors))
    assert isinstance(errors[0], RuntimeError) and codec.closed == 1 and not out
    assert not line.put(1)
    await line.aclose()
    assert len(errors) == 1


async def test_a_codec_that_cannot_be_made(pool: CodecPool) -> None:
    errors: list[BaseException] = []

    def make() -> Doubler:
        raise ValueError("no such codec")

    line: Line[int, int] = Line(pool, make, lambda _: None, errors.append, limit=8)
    line.put(1)
    await until(lambda: bool(errors))
    await line.aclose()


async def test_nothing_is_delivered_after_close(pool: CodecPool) -> None:
    codec = Doubler()
    codec.gate = threading.Event()
    line, out, _ = line_of(pool, codec)
    line.put(1)
    line.put(2)
    line.close()
    line.close()
    codec.gate.set()
    await line.aclose()
    assert out == [] and codec.closed == 1


async def test_a_stuck_codec_is_abandoned(pool: CodecPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "STOP_TIMEOUT_S", 0.05)
    codec = Doubler()
    codec.gate = threading.Event()
    line, _, _ = line_of(pool, codec)
    lines = Lines()
    lines.add(line)
    line.put(1)
    begun = time.monotonic()
    await lines.aclose()
    assert time.monotonic() - begun < 1.0 and codec.closed == 0
    codec.gate.set()
    await until(lambda: codec.closed == 1)  # it is freed by its own last job all the same


async def test_a_closed_pool_takes_no_job() -> None:
    pool = CodecPool(1)
    pool.close()
    line, _, _ = line_of(pool, Doubler())
    line.put(1)
    await line.aclose()
    assert not line.put(2)


def test_use_is_measured_and_video_refused_at_80_percent() -> None:
    now = [100.0]
    pool = CodecPool(2, clock=lambda: now[0])
    assert pool.use == 0
    for _ in range(10):
        pool.admit_video()
    assert 0.7 < pool.use < 0.8, "ten that are not measured yet count 0.15 of a core each"
    pool.admit_video()
    with pytest.raises(Overloaded, match="80%"):
        pool.admit_video()
    assert pool.refused == 1
    now[0] += 10
    assert pool.use < 0.05, "what is past is forgotten"
    for _ in range(1000):  # one thread always busy
        now[0] += 0.01
        pool._add_busy(0.01)
    assert pool.use == pytest.approx(0.5, abs=0.05)
    pool.close()
