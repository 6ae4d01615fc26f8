"""rooms/groups: one order, resends, limits, what is kept, epochs over restarts."""

from __future__ import annotations

import random

import pytest

from gateway.base.config import MessagesConfig
from gateway.base.errors import Muted, ShuttingDown, TooLarge, TooMany
from gateway.rooms import events
from gateway.rooms.groups import (
    CustomPosted,
    DirectPosted,
    Group,
    GroupEvent,
    GroupRecord,
    Groups,
    GroupSnapshot,
    MessagePosted,
    Receipt,
)
from gateway.rooms.groups.group import SENT_OVERHEAD, cost
from gateway.rooms.groups.limits import MAX_RECENT, Bucket
from gateway.wire.chat import Body, Message, Position, Range, read_body
from tests.rooms.fakes import APP, OTHER, ROOM

T0 = 1_600_000_000_000
BIG = 1 << 30


def body(text: str = "x") -> Body:
    return read_body([{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}])


class Posting:
    """Groups with a clock, and what they announced."""

    def __init__(self, **config: int) -> None:
        self.muted: set[str] = set()
        self.groups = Groups(MessagesConfig(**config), self.may_post)
        self.heard: list[GroupEvent] = []
        self.groups.events.on("event", self.heard.append)
        self.now = 100.0
        self.number = 0

    def may_post(self, room: object, sender: str, now: float) -> None:
        assert now == self.now
        if room == ROOM and sender in self.muted:
            raise Muted("bob may not write")

    @property
    def now_ms(self) -> int:
        return T0 + round(self.now * 1000)

    def post(self, sender: str = "bob", number: int | None = None, text: str = "x", room: object = ROOM) -> Receipt:
        self.number += 1
        number = self.number if number is None else number
        assert room in (ROOM, OTHER)
        key = ROOM if room == ROOM else OTHER
        return self.groups.post(key, sender, "", number, body(text), now=self.now, now_ms=self.now_ms)

    def many(self, count: int, text: str = "x") -> None:
        for _ in range(count):
            self.now += 0.1
            self.post(text=text)

    @property
    def group(self) -> Group:
        return self.groups.group(ROOM, self.now_ms)

    def seqs(self, wanted: Range, max_bytes: int = BIG) -> list[int]:
        return [message.seq for message in self.group.read(wanted, max_bytes).messages]


def test_who_is_muted_posts_nothing_but_is_answered_for_what_it_posted() -> None:
    p = Posting()
    receipt = p.post("bob", 1)
    p.muted.add("bob")
    assert p.post("bob", 1) == receipt
    with pytest.raises(Muted):
        p.post("bob", 2)
    with pytest.raises(Muted):
        p.groups.post_custom(ROOM, "bob", 1, b"x", now=p.now)
    assert p.post("alice", 2).seq == 2
    p.muted.clear()
    assert p.post("bob", 2).seq == 3


def test_messages_get_one_order_and_are_announced_in_it() -> None:
    p = Posting()
    assert p.post("alice", 1, "a") == Receipt(1, p.now_ms)
    assert p.post("bob", 1, "b").seq == 2
    assert p.post("bob", 2, room=OTHER).seq == 1
    posted = [event for event in p.heard if isinstance(event, MessagePosted)]
    assert [(event.room, event.message.seq, event.message.sender) for event in posted] == [
        (ROOM, 1, "alice"),
        (ROOM, 2, "bob"),
        (OTHER, 1, "bob"),
    ]
    assert posted[0].epoch == p.group.epoch != posted[2].epoch


def test_time_never_runs_back() -> None:
    p = Posting()
    first = p.post()
    p.now -= 50
    assert p.post().time_ms == first.time_ms


def test_a_resend_is_answered_as_the_first_time_and_costs_nothing() -> None:
    p = Posting()
    first = p.post("bob", 7, "one")
    for _ in range(100):
        assert p.post("bob", 7, "one again") == first
    assert p.post("alice", 7).seq == 2, "another sender"
    assert p.post("bob", 7, room=OTHER).seq == 1, "another group"
    assert len(p.heard) == 3
    p.now += 599
    assert p.post("bob", 7) == first
    p.now += 2
    assert p.post("bob", 7).seq == 3


def test_twenty_a_second_in_bursts_of_forty() -> None:
    p = Posting()
    for _ in range(40):
        p.post("bob")
    with pytest.raises(TooMany) as caught:
        p.post("bob", 999)
    assert caught.value.retry_after_ms == 50 and caught.value.code == 1210
    assert p.post("alice").seq == 41, "one's flood is nobody else's"
    p.now += 0.05
    assert p.post("bob", 999).seq == 42
    with pytest.raises(TooMany):
        p.post("bob")
    with pytest.raises(TooMany):
        p.groups.post_direct(APP, "bob", "", "alice", 1, body(), now=p.now, now_ms=p.now_ms)
    assert p.groups.posted == 42


def test_leaving_and_entering_again_refills_nothing() -> None:
    p = Posting()
    for _ in range(40):
        p.post("bob")
    p.groups.on_room_event(events.RoomClosed(ROOM, "empty"))
    with pytest.raises(TooMany):
        p.post("bob")


def test_recent_messages_are_bounded() -> None:
    p = Posting()
    for _ in range(MAX_RECENT + 500):
        p.now += 0.0501
        p.post("bob")
    sender = p.groups._senders[(APP, "bob")]
    assert len(sender._recent) <= MAX_RECENT
    p.now += 700
    p.groups.expire(p.now, p.now_ms)
    assert not p.groups._senders


def test_direct_messages_have_growing_numbers_and_are_not_kept() -> None:
    p = Posting()

    def direct(number: int, to: str = "alice") -> Receipt:
        return p.groups.post_direct(APP, "bob", "B", to, number, body(), now=p.now, now_ms=p.now_ms)

    first, second, again = direct(1), direct(2), direct(1)
    assert again == first and second.seq > first.seq and direct(1, "carol").seq > second.seq
    assert [event.message.to for event in p.heard if isinstance(event, DirectPosted)] == ["alice", "alice", "carol"]
    assert not p.groups.take_changes()
    big = read_body([{"MsgType": "TIMTextElem", "MsgContent": {"Text": "x" * 9000}}], 12000)
    p.groups.post_direct(APP, "bob", "", "alice", 9, big, now=p.now, now_ms=p.now_ms)
    with pytest.raises(TooLarge):
        p.groups.post(ROOM, "bob", "", 9, big, now=p.now, now_ms=p.now_ms)


def test_custom_messages_have_limits_of_their_own() -> None:
    p = Posting()
    for number in range(30):
        assert p.groups.post_custom(ROOM, "bob", 1, b"x", now=p.now) == number + 1
    with pytest.raises(TooMany) as caught:
        p.groups.post_custom(ROOM, "bob", 1, b"x", now=p.now)
    assert caught.value.retry_after_ms == 34
    for _ in range(8):
        p.groups.post_custom(ROOM, "alice", 2, bytes(1024), now=p.now)
    with pytest.raises(TooMany) as caught:
        p.groups.post_custom(ROOM, "alice", 2, b"x" * 512, now=p.now)
    assert caught.value.retry_after_ms == 63  # 512 bytes at 8 KB a second
    assert p.post("bob").seq == 1
    assert len([event for event in p.heard if isinstance(event, CustomPosted)]) == 38
    assert len(p.group) == 1


def test_a_failing_listener_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    p = Posting()

    def fail(event: GroupEvent) -> None:
        raise RuntimeError("a broken hearer")

    p.groups.events.on("event", fail)
    assert p.post().seq == 1 and p.post().seq == 2
    assert len(p.heard) == 2 and "a broken hearer" in caplog.text


# --- reading


def test_history() -> None:
    p = Posting()
    assert p.seqs(Range()) == [] and p.group.first == 1
    p.many(10)
    assert p.seqs(Range(count=3)) == [8, 9, 10]
    assert p.seqs(Range(before=8, count=3)) == [5, 6, 7]
    assert p.seqs(Range(before=1)) == [] and p.seqs(Range(before=1 << 50, count=1)) == [10]
    assert p.seqs(Range(after=3, count=2)) == [4, 5]
    assert p.seqs(Range(after=9)) == [10] and p.seqs(Range(after=10)) == [] and p.seqs(Range(after=1 << 50)) == []
    assert p.seqs(Range(after=3, before=6)) == [4, 5]
    backlog = p.group.read(Range(count=1), BIG)
    assert (backlog.epoch, backlog.seq, backlog.first) == (p.group.epoch, 10, 1)


def test_an_answer_is_bounded_in_bytes_but_has_one_at_least() -> None:
    p = Posting()
    p.many(10, "y" * 1000)
    one = SENT_OVERHEAD + len(body("y" * 1000).json)
    assert p.seqs(Range(after=0), 3 * one) == [1, 2, 3]
    assert p.seqs(Range(), 3 * one) == [8, 9, 10]
    assert p.seqs(Range(after=4), 1) == [5] and p.seqs(Range(before=4), 1) == [3]


def test_who_comes_back_gets_what_it_missed() -> None:
    p = Posting()
    p.many(60)
    epoch = p.group.epoch

    def missed(position: Position | None, newest: int = 50) -> list[int]:
        return [message.seq for message in p.group.missed(position, newest, 500, BIG).messages]

    assert missed(None) == list(range(11, 61)) and missed(None, 0) == []
    assert missed(Position(epoch, 57)) == [58, 59, 60]
    assert missed(Position(epoch, 60), 0) == missed(Position(epoch, 99)) == []
    assert missed(Position(epoch - 1, 57)) == list(range(11, 61)), "another epoch"
    p.many(600)
    assert missed(Position(epoch, 60)) == list(range(61, 561)), "500 at most, the oldest first"


# --- what is kept


def test_kept_by_number() -> None:
    p = Posting(kept=100)
    p.many(250)
    assert len(p.group) == 100 and p.group.first == 151 and p.group.seq == 250
    assert p.seqs(Range(after=0, count=2)) == [151, 152]
    assert p.seqs(Range(before=151)) == []


def test_kept_by_bytes() -> None:
    p = Posting(kept_bytes=70_000)
    p.many(50, "y" * 5000)
    assert p.group.bytes <= 70_000 and len(p.group) == 12 and p.groups.kept_bytes == p.group.bytes


def test_kept_by_age() -> None:
    p = Posting(max_age_s=60)
    p.post()
    p.now += 30
    p.post()
    p.now += 31
    p.groups.expire(p.now, p.now_ms)
    assert p.seqs(Range()) == [2]
    p.now += 100
    p.post()
    assert p.seqs(Range()) == [3]
    p.now += 100
    p.groups.expire(p.now, p.now_ms)
    assert p.seqs(Range()) == [] and p.group.first == 4 and p.groups.kept_bytes == 0


def test_kept_in_all_rooms_together() -> None:
    p = Posting(total_bytes=100_000)
    for _ in range(20):
        p.now += 0.2
        p.post(text="y" * 5000)
        p.post(text="y" * 5000, room=OTHER)
    other = p.groups.group(OTHER, p.now_ms)
    assert p.groups.kept_bytes <= 100_000 and p.groups.kept_bytes == p.group.bytes + other.bytes
    assert abs(len(p.group) - len(other)) <= 1, "the oldest of all go first"
    assert len(p.groups._shelf.oldest) == len(p.group) + len(other)


def test_a_room_that_opens_again_has_a_new_group() -> None:
    p = Posting()
    p.many(3)
    epoch = p.group.epoch
    p.groups.on_room_event(events.RoomClosed(ROOM, "empty"))
    assert len(p.groups) == 0 and p.groups.kept_bytes == 0 and not p.groups._shelf.oldest
    assert p.seqs(Range()) == [] and p.group.epoch > epoch
    assert p.post(number=1).seq == 1, "no resend: another group"


# --- lasting


class Saved:
    """What a store would have, written from changes."""

    def __init__(self) -> None:
        self.groups: dict[int, GroupRecord] = {}
        self.messages: dict[tuple[int, int], Message] = {}

    def save(self, groups: Groups) -> None:
        changes = groups.take_changes()
        self.messages |= changes.messages
        for number, record in changes.groups.items():
            first = 1 << 60
            if record is None:
                self.groups.pop(number, None)
            else:
                self.groups[number], first = record, record.first
            self.messages = {key: m for key, m in self.messages.items() if key[0] != number or key[1] >= first}

    def snapshot(self, *, complete: bool = True) -> GroupSnapshot:
        messages = tuple((key[0], message) for key, message in sorted(self.messages.items()))
        return GroupSnapshot(tuple(self.groups.values()), messages, complete)


def restarted(saved: Saved, p: Posting, *, complete: bool = True, **config: int) -> Posting:
    again = Posting(**config)
    again.now, again.number = p.now + 3, p.number + 1000
    again.groups.restore(saved.snapshot(complete=complete), {ROOM, OTHER}, again.now, again.now_ms)
    return again


def test_a_restart_changes_nothing() -> None:
    p, saved = Posting(), Saved()
    p.many(5)
    first = p.post("bob", 4711, "the last")
    saved.save(p.groups)
    again = restarted(saved, p)
    assert (again.group.epoch, again.group.seq, again.group.first) == (p.group.epoch, 6, 1)
    assert again.group.read(Range(), BIG) == p.group.read(Range(), BIG)
    assert again.post("bob", 4711) == first, "a resend over the restart"
    assert again.post("bob").seq == 7 and again.heard[0].message.seq == 7
    assert len(again.heard) == 1, "restoring announces nothing"


def test_after_a_kill_no_number_is_given_twice_under_one_epoch() -> None:
    p, saved = Posting(), Saved()
    p.many(5)
    saved.save(p.groups)
    seen = {(p.group.epoch, p.post(text="lost").seq) for _ in range(3)}
    again = restarted(saved, p, complete=False)
    assert again.group.epoch > p.group.epoch and again.seqs(Range()) == [1, 2, 3, 4, 5]
    assert not seen & {(again.group.epoch, again.post().seq) for _ in range(3)}
    assert again.seqs(Range()) == list(range(1, 9)), "no holes"
    twice = restarted(saved, again, complete=False)
    assert twice.group.epoch > again.group.epoch, "killed again before it could save"


def test_what_went_before_it_was_saved_is_not_saved() -> None:
    p, saved = Posting(kept=5), Saved()
    p.many(20)
    p.post(room=OTHER)
    p.groups.close(OTHER)
    changes = p.groups.take_changes()
    assert sorted(seq for _, seq in changes.messages) == [16, 17, 18, 19, 20]
    assert sum(record is None for record in changes.groups.values()) == 1
    assert not p.groups.take_changes()
    p.many(2)
    saved.save(p.groups)
    assert next(iter(saved.groups.values())).first == 18


def test_the_number_survives_when_nothing_is_kept() -> None:
    p, saved = Posting(max_age_s=60), Saved()
    p.many(5)
    p.now += 100
    p.groups.expire(p.now, p.now_ms)
    saved.save(p.groups)
    assert not saved.messages
    again = restarted(saved, p)
    assert again.group.seq == 5 and again.group.first == 6 and again.post().seq == 6


def test_groups_of_rooms_that_are_gone_and_odd_rows_are_left_out() -> None:
    groups = Groups()
    snapshot = GroupSnapshot(
        (
            GroupRecord(1, ROOM, 1, 3, 1),
            GroupRecord(2, OTHER, 2, 1, 1),
            GroupRecord(3, ROOM, 3, 9, 6),
        ),
        tuple(
            (group, Message(seq, T0, "bob", "", seq, body()))
            for group, seq in [(1, 1), (2, 1), (3, -4), (3, 5), (3, 6), (3, 8), (3, 8), (7, 1)]
        ),
    )
    groups.restore(snapshot, {ROOM}, 5.0, T0 + 1)
    group = groups.group(ROOM, T0)
    assert (group.id, group.seq, group.first) == (3, 9, 6)
    assert [message.seq for message in group.read(Range(after=0), BIG).messages] == [6, 8]
    assert groups.take_changes().groups == {1: None, 2: None}
    while group.drop_oldest():
        pass
    assert group.first == 10 and group.bytes == 0


def test_a_smaller_limit_after_a_restart_counts_at_once() -> None:
    p, saved = Posting(), Saved()
    p.many(20)
    saved.save(p.groups)
    again = restarted(saved, p, kept=4)
    assert again.seqs(Range()) == [17, 18, 19, 20]
    saved.save(again.groups)
    assert len(saved.messages) == 4


def test_a_stopped_server_takes_nothing_it_could_not_keep() -> None:
    p = Posting()
    p.groups.stop()
    with pytest.raises(ShuttingDown) as caught:
        p.post()
    assert caught.value.retry_after_ms
    with pytest.raises(ShuttingDown):
        p.groups.post_custom(ROOM, "bob", 1, b"x", now=p.now)


def test_a_storm_of_everything_keeps_the_books() -> None:
    draw = random.Random(1)
    p, saved = Posting(kept=30, kept_bytes=65536, total_bytes=100_000, max_age_s=20), Saved()
    for step in range(3000):
        p.now += draw.random() * 0.2
        what = draw.random()
        room = draw.choice((ROOM, OTHER))
        if what < 0.9:
            try:
                p.post(draw.choice("abc"), draw.randrange(2000), "z" * draw.randrange(1, 8000), room)
            except TooMany:
                pass
        elif what < 0.95:
            saved.save(p.groups)
        elif what < 0.96:
            p.groups.close(room)
        else:
            p.groups.expire(p.now, p.now_ms)
        if step % 300 == 299:
            p.groups.expire(p.now, p.now_ms)
            saved.save(p.groups)
            kept = {(g.id, m.seq): m for g in p.groups.groups for m in g.read(Range(after=0, count=999), BIG).messages}
            assert saved.messages == kept
            assert p.groups.kept_bytes == sum(cost(message) for message in kept.values()) <= 100_000
            assert {g.id: g.record() for g in p.groups.groups} == saved.groups


def test_a_bucket() -> None:
    bucket = Bucket(10.0, 2.0, 0.0)
    assert bucket.wait(0.0) == 0
    bucket.take()
    bucket.take()
    assert bucket.wait(0.0) == pytest.approx(0.1) and bucket.wait(-5.0) == pytest.approx(0.1)
    assert bucket.wait(100.0, 2.0) == 0 and bucket.wait(100.0, 3.0) == pytest.approx(0.1)
