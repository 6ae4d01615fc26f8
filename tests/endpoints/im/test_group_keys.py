"""One group key: what waits for it, numbers over takeovers and restarts. No network."""

from __future__ import annotations

import itertools

from gateway.endpoints.im.group_keys import SHIFT, GroupKey, GroupKeys
from gateway.rooms.room import RoomKey

GROUP = RoomKey(1, "55")
NAMES = map(str, itertools.count())


def key(since: int = 0) -> GroupKey:
    return GroupKey(next(NAMES), GROUP, None, since, 0.0)


def texts(found: tuple[list[bytes], int]) -> list[str]:
    return [entry.decode() for entry in found[0]]


def test_numbers_carry_the_groups_own_and_grow_with_what_has_none() -> None:
    one = key(since=7)
    entries, first = one.give(again=True)
    assert entries == [] and one.read_up_to(first) == 7
    one.put(b"m8", 8)
    one.put(b"tip")
    assert texts(one.give(again=True)) == ["m8", "tip"]
    _, second = one.give(again=True)
    assert second > first and one.read_up_to(second) == 8
    one.put(b"m9", 9)
    assert texts(one.give(again=False)) == ["m9"]
    assert texts(one.give(again=True)) == ["m8", "tip", "m9"] and one.repeats == 1
    one.acknowledge(second)
    assert texts(one.give(again=True)) == ["m9"] and one.repeats == 2
    one.acknowledge((1 << 53) - 1)
    assert texts(one.give(again=True)) == []


def test_many_without_a_number_of_their_own_hide_no_message() -> None:
    one = key()
    for _ in range(3):
        one.put(b"tip")
    one._last = (1 << SHIFT) + 5  # as after a million of them
    one.put(b"m1", 1)
    assert texts(one.give(again=True)) == ["tip"] * 3 + ["m1"]


def test_a_newer_key_takes_over_what_the_older_has_not_given() -> None:
    keys, old, new = GroupKeys(), key(), key()
    keys.add(old, hears=True)
    keys.add(new, hears=False)
    old.put(b"m1", 1)
    old.give(again=True)
    old.put(b"m2", 2)
    keys.take_over(new, old)
    assert not keys.hears(old) and keys.hears(new) and list(keys.hearing(GROUP)) == [new]
    assert texts(new.give(again=True)) == ["m2"]
    # Its own lost answer is given again to the older loop, which still runs in the same client.
    assert texts(old.give(again=True)) == ["m1"]
    keys.remove(new)
    assert not keys.is_heard(GROUP) and keys.get(new.digest) is None and len(keys) == 1


def test_a_key_of_an_earlier_run_goes_on_from_its_polls_number() -> None:
    one = key()
    for seq in range(1, 4):
        one.put(b"m%d" % seq, seq)
    _, start = one.give(again=True)
    later = key(since=0)
    later.stale = True
    later.put(b"m6", 6)  # said since the restart, before the first poll
    assert later.read_up_to(start) == 3 and later.read_up_to(0) == 0
    later.begin(start, [(b"m4", 4), (b"m5", 5)])
    found, after = later.give(again=True)
    assert [entry.decode() for entry in found] == ["m4", "m5", "m6"] and after > start
    later.acknowledge(after)
    assert texts(later.give(again=True)) == []
