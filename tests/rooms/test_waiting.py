"""rooms/groups: messages that wait for one user, and what is known of users over a restart."""

from __future__ import annotations

import pytest

from gateway.base.config import MessagesConfig
from gateway.base.errors import TooMany
from gateway.rooms.groups import DirectKept, DirectPosted, Groups, GroupSnapshot, LoginRecord, Profile
from gateway.rooms.groups import accounts as accounts_module
from gateway.rooms.groups.waiting import MAX_READERS, OVERHEAD
from gateway.rooms.room import RoomKey
from gateway.wire.chat import Body, read_body

T0 = 1_600_000_000_000
DAY_MS = 86_400_000


def body(text: str) -> Body:
    return read_body([{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}], 12000)


class Post:
    """Groups with a counter for randoms."""

    def __init__(self, **config: int) -> None:
        self.groups = Groups(MessagesConfig(**config))
        self.number = 0

    def send(self, text: str = "x", to: str = "bob", sender: str = "alice", at: int = 0, live: bool = False) -> int:
        self.number += 1
        return self.groups.post_direct(
            1, sender, "", to, self.number, body(text), now=at / 1000, now_ms=T0 + at, live=live, keep=True
        ).seq

    def read(self, seq: int) -> None:
        """Bob fetches the message and says so."""
        assert self.groups.waiting.give(seq, "a login")
        self.groups.waiting.acknowledge(1, "bob", seq)

    def texts(self, user: str = "bob", after: int = 0) -> list[str]:
        found = self.groups.waiting.of(1, user, after)
        return [message.body.elements()[0]["MsgContent"]["Text"] for message in found]


def test_what_is_kept_waits_in_order_until_it_is_acknowledged() -> None:
    p = Post()
    heard: list[object] = []
    p.groups.events.on("event", heard.append)
    one, two = p.send("one"), p.send("two")
    assert heard == [DirectKept(1, "bob")] * 2 and one < two
    assert p.texts() == ["one", "two"] and p.texts(after=one) == ["two"]
    p.groups.waiting.acknowledge(1, "bob", two)
    assert p.texts() == ["one", "two"], "neither has been given to anybody"
    assert p.groups.waiting.give(one, "a login") and p.groups.waiting.give(two, "a login")
    p.groups.waiting.acknowledge(1, "bob", one)
    p.groups.waiting.acknowledge(1, "carol", two)
    p.groups.waiting.acknowledge(1, "bob", two, lambda direct: False)
    assert p.texts() == ["two"] and p.texts("carol") == []
    p.groups.waiting.acknowledge(1, "bob", two)
    assert len(p.groups.waiting) == 0 and p.groups.waiting.bytes == 0


def test_a_connection_takes_all_but_what_another_has_shown() -> None:
    p = Post()
    p.send("seen", live=True)
    p.send("unseen")
    heard: list[object] = []
    p.groups.events.on("event", heard.append)
    p.groups.deliver_waiting(1, "bob")
    (event,) = heard
    assert isinstance(event, DirectPosted) and event.message.body == body("unseen")
    p.groups.deliver_waiting(1, "bob")
    assert len(heard) == 1 and len(p.groups.waiting) == 0


def test_a_resend_is_kept_once() -> None:
    p = Post()
    first = p.send()
    p.number -= 1
    assert p.send() == first and len(p.groups.waiting) == 1


def test_limits_of_one_user_of_age_and_of_all() -> None:
    p = Post(direct_kept=3)
    for number in range(5):
        p.send(str(number))
    assert p.texts() == ["2", "3", "4"]
    p.groups.expire(0, T0 + 8 * DAY_MS)
    assert p.texts() == [] and p.groups.waiting.bytes == 0

    p = Post(direct_total_bytes=4 * (OVERHEAD + 100) * 16)
    for number in range(80):
        p.send(f"{number:02}", to=f"user{number}", sender=f"sender{number}", at=number * 100)
    assert p.groups.waiting.bytes <= 4 * (OVERHEAD + 100) * 16
    assert p.texts("user0") == [] and p.texts("user79") == ["79"]


def test_one_sender_fills_its_share_and_pushes_out_nobody() -> None:
    p = Post(direct_total_bytes=16 * 5 * OVERHEAD)
    p.send("dear", to="carol", sender="dave")
    with pytest.raises(TooMany) as refused:
        for number in range(40):
            p.send(to=f"user{number}", at=number * 1000)
    assert refused.value.retry_after_ms
    assert p.texts("carol") == ["dear"] and len(p.groups.waiting) <= 7
    p.send(sender="erin")


def test_a_message_that_stops_its_reader_again_and_again_goes() -> None:
    p = Post()
    poison, good = p.send("poison"), p.send("good")
    for number in range(MAX_READERS):
        for _ in range(5):  # answers that were lost on their way
            assert p.groups.waiting.give(poison, f"login{number}") and p.texts() == ["poison", "good"]
    assert not p.groups.waiting.give(poison, "another") and p.groups.waiting.give(good, "another")
    assert p.texts() == ["good"]


def test_the_file_hears_of_what_still_waits_and_of_what_it_knows() -> None:
    p = Post()
    one, two = p.send("one"), p.send("two")
    p.read(one)
    changes = p.groups.take_changes()
    assert list(changes.directs) == [two] and not p.groups.take_changes()
    p.read(two)
    assert p.groups.take_changes().directs == {two: None}

    three = p.send("three")
    kept = p.groups.take_changes().directs[three]
    assert kept is not None
    later = Post()
    later.groups.restore(GroupSnapshot(directs=(kept,)), (), 0, T0)
    assert later.texts() == ["three"] and later.send("four") > three and later.texts() == ["three", "four"]


def test_profiles_and_logins_are_written_down_once_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = Groups()
    accounts = groups.accounts
    assert accounts.profile(1, "alice") == Profile(1, "alice") and not accounts.is_known(1, "alice")
    accounts.change(1, "alice", nick="Alice")
    accounts.change(1, "alice", image="http://x/y.png")
    login = LoginRecord("d1", 1, "alice", group=RoomKey(1, "5"), keys=(("k1", 7),))
    accounts.keep_login(login)
    accounts.keep_login(LoginRecord("d2", 1, "bob"))
    accounts.drop_login("d2")
    changes = groups.take_changes()
    alice = Profile(1, "alice", "Alice", "http://x/y.png")
    assert changes.profiles == {(1, "alice"): alice} and changes.logins == {"d1": login, "d2": None}
    accounts.keep_login(login)
    accounts.change(1, "alice", nick="Alice")
    assert not groups.take_changes()

    later = Groups()
    later.restore(GroupSnapshot(profiles=(alice,), logins=(login,)), (), 0, T0)
    assert later.accounts.profile(1, "alice") == alice and list(later.accounts.logins) == [login]
    monkeypatch.setattr(accounts_module, "MAX_PROFILES", 2)
    for user in ("bob", "carol"):
        later.accounts.change(1, user, nick=user)
    assert later.take_changes().profiles[(1, "alice")] is None and not later.accounts.is_known(1, "alice")
