"""rooms/moderation: who may, what is muted until when, rights, bans, what ends with a room and what lasts."""

from __future__ import annotations

import pytest

from gateway.base.errors import Muted, NotPermitted, TooMany
from gateway.rooms.moderation import (
    FOREVER,
    Authority,
    Ban,
    Medium,
    MemberModerated,
    Moderation,
    ModerationEvent,
    ModerationRecord,
    Mute,
    RightsDecided,
    RoomModerated,
    moderation,
)
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey
from tests.rooms.fakes import OTHER, ROOM

AUDIO, VIDEO, WORDS = Medium.AUDIO, Medium.VIDEO, Medium.WORDS


class Judge(Moderation):
    """Rooms are alice's; what is announced is noted."""

    def __init__(self) -> None:
        super().__init__(("admin", "root"))
        self.creator_of = lambda room: "alice"
        self.heard: list[ModerationEvent] = []
        self.events.on("event", self.heard.append)

    def take(self) -> list[ModerationEvent]:
        heard, self.heard[:] = list(self.heard), []
        return heard


# --- who may


def test_the_order_of_authority() -> None:
    judge = Judge()
    ranks = [judge.authority(ROOM, user) for user in ("bob", "alice", "root", None)]
    assert ranks == [Authority.MEMBER, Authority.CREATOR, Authority.ADMINISTRATOR, Authority.OPERATOR]
    assert ranks == sorted(ranks)
    judge.creator_of = lambda room: ""
    assert judge.authority(ROOM, "") is Authority.MEMBER, "nobody's room is no one's who has no name"


@pytest.mark.parametrize(
    ("by", "target", "may"),
    [
        ("bob", "", False),
        ("bob", "carol", False),
        ("alice", "", True),
        ("alice", "bob", True),
        ("alice", "alice", False),
        ("alice", "root", False),
        ("admin", "alice", True),
        ("admin", "root", False),
        (None, "root", True),
        (None, "", True),
    ],
)
def test_one_moderates_those_below(by: str | None, target: str, may: bool) -> None:
    judge = Judge()
    if may:
        judge.check(ROOM, by, target)
    else:
        with pytest.raises(NotPermitted):
            judge.check(ROOM, by, target)


# --- mutes


def test_a_member_is_muted_by_medium_and_unmuted() -> None:
    judge = Judge()
    judge.mute(ROOM, "bob", {AUDIO: True, WORDS: True}, by="alice")
    assert judge.take() == [MemberModerated(ROOM, "bob", "alice")]
    assert [judge.is_muted(ROOM, "bob", medium) for medium in Medium] == [True, False, True]
    assert not judge.is_muted(OTHER, "bob", AUDIO) and not judge.is_muted(ROOM, "carol", AUDIO)
    judge.mute(ROOM, "bob", {VIDEO: True, AUDIO: False})
    assert set(judge.mutes(ROOM, "bob")) == {VIDEO, WORDS} and judge.mutes(ROOM, "bob")[WORDS].by == "alice"
    judge.mute(ROOM, "bob", {VIDEO: False, WORDS: False})
    assert judge.mutes(ROOM, "bob") == {} and judge.muted_users(ROOM) == {}
    judge.take()
    judge.mute(ROOM, "bob", {VIDEO: False})
    judge.mute(ROOM, "nobody", {})
    assert judge.take() == [], "nothing has changed"


def test_mutes_end_by_time() -> None:
    judge = Judge()
    judge.mute(ROOM, "bob", {WORDS: True}, until=60)
    judge.mute(ROOM, "bob", {AUDIO: True}, until=100)
    judge.take()
    judge.expire(60)
    assert judge.take() == []
    judge.expire(60.1)
    assert judge.take() == [MemberModerated(ROOM, "bob", "")]
    assert set(judge.mutes(ROOM, "bob")) == {AUDIO}
    judge.mute(ROOM, "bob", {AUDIO: True}, until=200)  # said again: the later end counts
    judge.expire(150)
    assert judge.is_muted(ROOM, "bob", AUDIO)
    judge.mute(ROOM, "bob", {AUDIO: True})
    judge.expire(1e9)
    assert judge.mutes(ROOM, "bob") == {AUDIO: Mute(FOREVER, "")}


def test_who_may_not_write_is_told_how_long() -> None:
    judge = Judge()
    judge.check_words(ROOM, "bob", 0)
    judge.mute(ROOM, "bob", {WORDS: True}, until=60)
    with pytest.raises(Muted) as refused:
        judge.check_words(ROOM, "bob", 1.5)
    assert refused.value.retry_after_ms == 58500 and refused.value.code == 1212
    judge.check_words(ROOM, "bob", 60)  # to the moment, whenever the sweep comes
    judge.mute(ROOM, "bob", {WORDS: True})
    with pytest.raises(Muted) as refused:
        judge.check_words(ROOM, "bob", 61)
    assert refused.value.retry_after_ms is None
    judge.check_words(ROOM, "carol", 61)


def test_everybody_is_muted_but_those_with_authority() -> None:
    judge = Judge()
    judge.mute_everybody(ROOM, {AUDIO: True, WORDS: True}, by="alice")
    assert judge.take() == [RoomModerated(ROOM, "alice")]
    for user, muted in (("bob", True), ("newcomer", True), ("alice", False), ("root", False)):
        assert judge.is_muted(ROOM, user, AUDIO) is muted
        assert not judge.is_muted(ROOM, user, VIDEO)
    judge.check_words(ROOM, "alice", 0)
    with pytest.raises(Muted):
        judge.check_words(ROOM, "bob", 0)
    assert judge.mutes(ROOM, "bob") == {} and set(judge.mutes_of_everybody(ROOM)) == {AUDIO, WORDS}
    judge.mute(ROOM, "bob", {AUDIO: False})
    assert judge.is_muted(ROOM, "bob", AUDIO), "the mute of everybody is not his own"
    judge.mute(ROOM, "alice", {AUDIO: True}, by="root")
    assert judge.is_muted(ROOM, "alice", AUDIO), "an administrator can mute the creator"
    judge.take()
    judge.mute_everybody(ROOM, {AUDIO: True}, by="root")
    assert judge.take() == [] and judge.mutes_of_everybody(ROOM)[AUDIO].by == "alice"
    judge.mute_everybody(ROOM, {AUDIO: False, WORDS: False})
    assert judge.take() == [RoomModerated(ROOM, "")] and not judge.is_muted(ROOM, "bob", AUDIO)


# --- rights


def test_what_a_moderator_decides_counts_instead_of_the_ticket() -> None:
    judge = Judge()
    assert judge.rights(ROOM, "bob", Privilege.ALL) == Privilege.ALL
    judge.decide_rights(ROOM, "bob", Privilege.AUDIENCE, by="alice")
    assert judge.take() == [RightsDecided(ROOM, "bob", "alice")]
    assert judge.rights(ROOM, "bob", Privilege.ALL) == Privilege.AUDIENCE
    judge.decide_rights(ROOM, "bob", Privilege.ALL)
    assert judge.rights(ROOM, "bob", Privilege.AUDIENCE) == Privilege.ALL
    assert judge.rights(ROOM, "bob", Privilege.ALL, audience=True) == Privilege.ALL & ~Privilege.SENDING
    judge.take()
    judge.decide_rights(ROOM, "bob", Privilege.ALL)
    assert judge.take() == []
    judge.decide_rights(ROOM, "bob", None)
    judge.decide_rights(ROOM, "bob", None)
    assert len(judge.take()) == 1 and judge.decided_rights(ROOM, "bob") is None
    with pytest.raises(NotPermitted, match="kick or a ban"):
        judge.decide_rights(ROOM, "bob", Privilege.SEND_AUDIO)


# --- bans


def test_bans_end_by_time_or_by_word() -> None:
    judge = Judge()
    judge.ban(ROOM, "eve", until=10, by="alice", reason="noise")
    judge.ban(ROOM, "mallory")
    assert judge.bans(ROOM) == {"eve": Ban(10, "alice", "noise"), "mallory": Ban()}
    judge.expire(10.5)
    assert not judge.is_banned(ROOM, "eve") and judge.is_banned(ROOM, "mallory")
    judge.ban(ROOM, "mallory", until=20)
    judge.ban(ROOM, "mallory")
    judge.expire(30)
    assert judge.is_banned(ROOM, "mallory")
    assert judge.unban(ROOM, "mallory") and not judge.unban(ROOM, "mallory")
    assert judge.bans(ROOM) == {}


# --- ends, and what lasts


def test_mutes_and_rights_end_with_the_room_bans_do_not() -> None:
    judge = Judge()
    judge.mute(ROOM, "bob", {WORDS: True}, until=50)
    judge.mute_everybody(ROOM, {AUDIO: True})
    judge.decide_rights(ROOM, "bob", Privilege.AUDIENCE)
    judge.ban(ROOM, "eve")
    judge.take()
    judge.close(ROOM)
    assert judge.take() == []
    assert not judge.muted_users(ROOM) and not judge.mutes_of_everybody(ROOM)
    assert judge.decided_rights(ROOM, "bob") is None and judge.is_banned(ROOM, "eve")
    judge.expire(100)
    assert judge.take() == [], "the end of a mute that went with its room is no news"
    judge.mute(OTHER, "bob", {AUDIO: True})
    judge.prune({ROOM}.__contains__)
    assert not judge.muted_users(OTHER)
    judge.unban(ROOM, "eve")
    assert judge._users == 0 and not judge._rooms


def test_changes_are_whole_records_and_come_back() -> None:
    judge = Judge()
    judge.mute(ROOM, "bob", {WORDS: True}, until=50, by="alice")
    judge.mute_everybody(ROOM, {VIDEO: True}, by="alice")
    judge.decide_rights(ROOM, "bob", Privilege.AUDIENCE)
    judge.ban(ROOM, "eve", until=70)
    judge.ban(OTHER, "eve")
    judge.mute(OTHER, "eve", {AUDIO: True})
    saved = judge.take_changes()
    assert judge.take_changes() == {}
    again = Judge()
    again.restore([record for record in saved.values() if record], {ROOM})
    assert again.take_changes() == {OTHER: ModerationRecord(OTHER, bans={"eve": Ban()})}, "a room that is gone"
    assert again.muted_users(ROOM) == judge.muted_users(ROOM) and again.take() == []
    assert again.mutes_of_everybody(ROOM) == judge.mutes_of_everybody(ROOM)
    assert again.decided_rights(ROOM, "bob") == Privilege.AUDIENCE
    again.expire(60)
    assert not again.mutes(ROOM, "bob") and again.is_banned(ROOM, "eve")
    again.expire(71)
    assert not again.is_banned(ROOM, "eve")
    judge.unban(OTHER, "eve")
    judge.mute(OTHER, "eve", {AUDIO: False})
    assert judge.take_changes() == {OTHER: None}


def test_a_room_and_a_node_decide_about_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moderation, "MAX_IN_ROOM", 3)
    monkeypatch.setattr(moderation, "MAX_USERS", 5)
    judge = Judge()
    for number in range(3):
        judge.ban(ROOM, f"u{number}")
    with pytest.raises(TooMany):
        judge.mute(ROOM, "u3", {AUDIO: True})
    judge.ban(ROOM, "u0", until=5)  # known already
    judge.mute(OTHER, "u0", {AUDIO: True})
    judge.decide_rights(OTHER, "u0", Privilege.ALL)
    third = RoomKey(ROOM.app, "3")
    with pytest.raises(TooMany):
        judge.ban(third, "u1")
    judge.unban(ROOM, "u0")
    judge.ban(third, "u1")
