"""The small parts of the directory."""

from __future__ import annotations

import math
import random

from gateway.rooms.deadlines import Deadlines
from gateway.rooms.directory.blocks import Blocks
from gateway.rooms.room import RoomKey


def test_deadlines_against_a_plain_dict() -> None:
    rng = random.Random(4)
    deadlines: Deadlines[int] = Deadlines()
    plain: dict[int, float] = {}
    now = 0.0
    for _ in range(5000):
        key = rng.randrange(40)
        match rng.randrange(4):
            case 0 | 1:
                when = now + rng.choice((0, 1, 5, 20))
                deadlines.set(key, when)
                plain[key] = when
            case 2:
                deadlines.discard(key) if rng.random() < 0.5 else deadlines.set(key, math.inf)
                plain.pop(key, None)
            case _:
                now += rng.random() * 3
                expected = sorted(key for key, when in plain.items() if when < now)
                assert sorted(deadlines.due(now)) == expected
                for gone in expected:
                    del plain[gone]
        assert len(deadlines) == len(plain)
        next_due = deadlines.next()
        assert (next_due is None) == (not plain)
        assert next_due is None or next_due <= min(plain.values())
        assert len(deadlines._heap) <= 64 + 4 * (len(plain) + 1) + 1


def test_deadlines_moved_away_cost_no_heap_entries() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for now in range(10_000):
        deadlines.set("a", now + 20)
    assert len(deadlines._heap) == 1
    assert list(deadlines.due(9999)) == []
    assert list(deadlines.due(10_020)) == ["a"] and deadlines.next() is None


def test_blocks_are_bounded() -> None:
    changed: set[tuple[RoomKey, str]] = set()
    blocks = Blocks(changed, limit=3)
    room = RoomKey(1, "1")
    for number in range(10):
        blocks.block(room, f"u{number}")
    assert blocks.is_blocked(room, "u9") and not blocks.is_blocked(room, "u0")
    assert (room, "u0") in changed and blocks.record(room, "u0") is None
    blocks.admitted(room, "nobody")
    blocks.admitted(room, "u9")
    assert not blocks.is_blocked(room, "u9")
