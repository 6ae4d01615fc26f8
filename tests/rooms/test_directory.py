"""Rooms and members, and the room list of the old service."""

from __future__ import annotations

import itertools
import logging
import time

import pytest

from gateway.base.errors import (
    BadRequest,
    BadTicket,
    NameTaken,
    NoSuchMember,
    NoSuchRoom,
    NotPermitted,
    RoomFull,
    TooMany,
)
from gateway.rooms import events
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import POLICIES, RoomKey
from tests.rooms.fakes import APP, OTHER, PAGE, RANDOM32, ROOM, Recorded, Session

# --- rooms


def test_entering_makes_the_room_and_says_so_in_order() -> None:
    recorded = Recorded()
    member = recorded.enter("alice", nick="Alice", now=5)
    assert recorded.take() == [
        events.RoomCreated(ROOM, "alice", "page"),
        events.MemberEntered(ROOM, "alice", "Alice", Privilege.ALL, False),
    ]
    assert recorded.directory.room(ROOM).members == {"alice": member}
    assert (member.key, member.entered_at) == (ROOM, 5)


def test_without_a_policy_or_the_create_bit_no_room_is_made() -> None:
    recorded = Recorded()
    with pytest.raises(NoSuchRoom):
        recorded.enter("alice", create=None)
    with pytest.raises(NotPermitted, match="create"):
        recorded.enter("alice", privileges=Privilege.AUDIENCE)
    recorded.enter("bob")
    recorded.enter("alice", privileges=Privilege.AUDIENCE)  # an existing room needs no CREATE
    with pytest.raises(NotPermitted, match="enter"):
        recorded.enter("carol", privileges=Privilege.ALL & ~Privilege.ENTER)


def test_a_room_goes_with_its_last_member() -> None:
    recorded = Recorded()
    alice, bob = recorded.enter("alice"), recorded.enter("bob")
    recorded.take()
    recorded.directory.leave(alice, "left", 1)
    recorded.directory.leave(alice, "left", 1)  # a stay ends once
    recorded.directory.leave(bob, "left", 1)
    assert recorded.take() == [
        events.MemberLeft(ROOM, "alice", "left"),
        events.MemberLeft(ROOM, "bob", "left"),
        events.RoomClosed(ROOM, "empty"),
    ]
    with pytest.raises(NoSuchRoom):
        recorded.directory.room(ROOM)


def test_a_room_made_ahead_waits_for_its_first_member_only() -> None:
    recorded = Recorded()
    directory = recorded.directory
    directory.create_room(ROOM, creator="alice", info="i", room_type="trtc", policy=POLICIES["webrtc"], now=0)
    with pytest.raises(NameTaken):
        directory.create_room(ROOM, creator="bob", info="", room_type="", policy=PAGE, now=0)
    directory.expire(30)
    assert ROOM in directory.rooms
    directory.expire(30.5)
    assert recorded.take() == [events.RoomCreated(ROOM, "alice", "webrtc"), events.RoomClosed(ROOM, "idle")]
    directory.create_room(ROOM, creator="alice", info="", room_type="", policy=PAGE, now=40)
    recorded.enter("alice", create=None, now=41, session=Session())
    directory.expire(1000)
    assert ROOM in directory.rooms


def test_a_lasting_room_stays_when_empty() -> None:
    recorded = Recorded()
    recorded.directory.create_room(ROOM, creator="", info="", room_type="", policy=POLICIES["lasting"], now=0)
    recorded.directory.leave(recorded.enter("alice", now=1), "left", 2)
    recorded.directory.expire(1e6)
    assert ROOM in recorded.directory.rooms


def test_live_room_ends_when_its_creator_leaves() -> None:
    recorded = Recorded()
    session = Session()
    host = recorded.enter("host", create=POLICIES["live_room"])
    recorded.enter("guest", session=session)
    recorded.take()
    recorded.directory.leave(host, "left", 1)
    assert recorded.take() == [
        events.MemberLeft(ROOM, "host", "left"),
        events.MemberLeft(ROOM, "guest", "disbanded"),
        events.RoomClosed(ROOM, "disbanded"),
    ]
    assert session.told == ["room_disband"]


def test_close_room() -> None:
    recorded = Recorded()
    session = Session()
    recorded.enter("alice", session=session)
    recorded.take()
    recorded.directory.close_room(ROOM)
    assert recorded.names() == ["MemberLeft", "RoomClosed"]
    assert session.told == ["room_disband"]
    with pytest.raises(NoSuchRoom):
        recorded.directory.close_room(ROOM)


@pytest.mark.parametrize(
    ("kind", "capacity"), [("webrtc", 4), ("double_room", 2), ("multi_room", 4), ("live_room", 4), ("page", 10)]
)
def test_rooms_hold_as_many_as_their_kind(kind: str, capacity: int) -> None:
    recorded = Recorded()
    for number in range(capacity):
        recorded.enter(f"u{number}", create=POLICIES[kind])
    with pytest.raises(RoomFull) as caught:
        recorded.enter("late")
    assert caught.value.code == 5001
    recorded.enter("u0")  # whoever is there already does not count against itself
    assert len(recorded.directory.room(ROOM).members) == capacity


def test_a_refused_entry_changes_nothing() -> None:
    recorded = Recorded(max_rooms=2)
    session = Session()
    member = recorded.enter("alice", session=session)
    for number in range(4):
        recorded.enter(f"u{number}", OTHER, create=POLICIES["webrtc"])
    recorded.take()
    for attempt, error in (
        ({"room": OTHER}, RoomFull),
        ({"room": RoomKey(APP, "3")}, TooMany),
        ({"room": RoomKey(APP, "3"), "create": None}, NoSuchRoom),
        ({"nick": "x" * 257}, BadRequest),
        ({"privileges": Privilege(0)}, NotPermitted),
    ):
        with pytest.raises(error):
            recorded.enter("alice", **attempt)
    assert recorded.take() == [] and session.told == []
    assert recorded.directory.member(APP, "alice") is member and member.session is session


def test_maximum_rooms_and_bounds_of_texts() -> None:
    recorded = Recorded(max_rooms=1)
    recorded.directory.create_room(ROOM, creator="a", info="x" * 1024, room_type="", policy=PAGE, now=0)
    with pytest.raises(TooMany):
        recorded.directory.create_room(OTHER, creator="a", info="", room_type="", policy=PAGE, now=0)
    with pytest.raises(BadRequest):
        Recorded().directory.create_room(OTHER, creator="a", info="x" * 4097, room_type="", policy=PAGE, now=0)
    for user in ("", "a b", "x" * 33):
        with pytest.raises(BadRequest):
            recorded.enter(user)


def test_apps_do_not_meet() -> None:
    recorded = Recorded()
    here, there = RoomKey(APP, "1"), RoomKey(APP + 1, "1")
    assert recorded.enter("alice", here) is not recorded.enter("alice", there)
    assert len(recorded.directory.members) == 2 and recorded.directory.member(APP, "alice") is not None
    assert recorded.directory.member(APP + 2, "alice") is None
    text = RoomKey(APP, "1", text=True)
    recorded.enter("bob", text)
    assert recorded.directory.member_in(here, "bob") is None
    assert recorded.directory.member_in(text, "bob") is not None


def test_drawn_room_ids_are_free_and_in_range() -> None:
    recorded = Recorded()
    recorded.enter("alice", RoomKey(APP, "5"))
    draws = iter([0, 2147483648, -3, 5, 2147483647])
    assert recorded.directory.draw_room_id(APP, lambda: next(draws)) == RoomKey(APP, "2147483647")
    with pytest.raises(TooMany):
        recorded.directory.draw_room_id(APP, lambda: 5)


# --- the room list


def test_room_types_and_the_wildcard() -> None:
    recorded = Recorded()
    for number, room_type in enumerate(("trtc", "", "other", "trtc")):
        key = RoomKey(APP, str(number + 1))
        recorded.directory.create_room(key, creator="c", info="", room_type=room_type, policy=POLICIES["webrtc"], now=0)
        recorded.enter(f"u{number}", key)
    listed = recorded.directory.list_rooms
    assert [room.key.id for room in listed(APP, "trtc", 0, 10)] == ["1", "2", "4"]
    assert [room.key.id for room in listed(APP, "other", 0, 10)] == ["2", "3"]
    assert [room.key.id for room in listed(APP, "unknown", 0, 10)] == ["2"]
    for absent in ("", None):
        assert [room.key.id for room in listed(APP, absent, 0, 10)] == ["1", "2", "3", "4"]
    assert [room.key.id for room in listed(APP, "trtc", 1, 1)] == ["2"]
    assert listed(APP, "", 4, 10) == [] == listed(APP, "", 0, 0) == listed(APP, "", -1, -1)
    assert listed(APP + 1, "", 0, 10) == []
    assert listed(APP, "", 0, 10, kinds={"page"}) == []


def test_rooms_without_members_are_not_listed() -> None:
    recorded = Recorded()
    recorded.directory.create_room(ROOM, creator="c", info="", room_type="", policy=PAGE, now=0)
    assert recorded.directory.list_rooms(APP) == []
    recorded.enter("alice")
    assert len(recorded.directory.list_rooms(APP)) == 1


# --- takeover, moving


def test_a_new_session_replaces_the_older_one_and_nobody_sees_a_leave() -> None:
    recorded = Recorded()
    first, second = Session(), Session()
    member = recorded.enter("alice", session=first)
    recorded.take()
    assert recorded.enter("alice", session=second) is member
    assert (first.told, second.told) == (["replaced"], [])
    assert member.session is second and recorded.take() == []
    recorded.directory.detach(member, first, 1)  # too late: the place is taken
    assert member.session is second
    recorded.enter("alice", session=second)
    assert second.told == []


def test_rest_calls_leave_the_attached_session_alone() -> None:
    recorded = Recorded()
    session = Session()
    member = recorded.enter("alice", session=session)
    assert recorded.enter("alice", session=None) is member
    assert member.session is session and session.told == []


def test_entering_another_room_leaves_the_first() -> None:
    recorded = Recorded()
    first, second = Session(), Session()
    old = recorded.enter("alice", session=first)
    recorded.enter("bob")
    recorded.take()
    new = recorded.enter("alice", OTHER, session=second)
    assert new is not old and first.told == ["replaced"]
    assert recorded.take() == [
        events.MemberLeft(ROOM, "alice", "moved"),
        events.RoomCreated(OTHER, "alice", "page"),
        events.MemberEntered(OTHER, "alice", "", Privilege.ALL, False),
    ]
    assert not recorded.directory.is_present(old)
    recorded.enter("alice", ROOM, session=second)  # by the same session: nobody to tell
    assert second.told == [] and OTHER not in recorded.directory.rooms


def test_a_newer_ticket_changes_nick_and_rights() -> None:
    recorded = Recorded()
    member = recorded.enter("alice", nick="A")
    recorded.directory.remember_url(member, "rtc:x", "rtmp://old-rights")
    recorded.take()
    recorded.enter("alice", privileges=Privilege.AUDIENCE)
    assert recorded.take() == [events.MemberUpdated(ROOM, "alice", "A", Privilege.AUDIENCE)]
    assert member.urls == {}  # they carried the old rights
    recorded.directory.update_member(member, nick="B")
    assert recorded.take() == [events.MemberUpdated(ROOM, "alice", "B", Privilege.AUDIENCE)]
    recorded.directory.update_member(member, nick="B", privileges=Privilege.AUDIENCE)
    assert recorded.take() == []
    with pytest.raises(BadRequest):
        recorded.directory.update_member(member, nick="B" * 257)


# --- guests


def test_guests_never_get_reserved_ids() -> None:
    recorded = Recorded(reserved_users=("boss",))
    for user in ("admin", "administrator", "boss", "Admin", "ADMINISTRATOR"):
        with pytest.raises(NotPermitted, match="reserved"):
            recorded.enter(user, guest=True)
        recorded.enter(user)  # with a ticket it is a name like others
    with pytest.raises(NotPermitted):
        recorded.directory.check_guest(APP, "@TIM#SYSTEM")


def test_guests_never_get_the_id_of_a_user_present_by_a_ticket() -> None:
    recorded = Recorded()
    recorded.enter("alice", guest=True)
    recorded.enter("alice", guest=True)
    recorded.enter("alice", OTHER, guest=True)
    member = recorded.enter("alice", OTHER)  # the ticket makes it a real member
    assert not member.guest
    for room in (OTHER, ROOM):
        with pytest.raises(NameTaken):
            recorded.enter("alice", room, guest=True)
    recorded.enter("alice", RoomKey(APP + 1, "1"), guest=True)  # another app, another alice


# --- life and death


def test_silent_for_more_than_20_seconds() -> None:
    recorded = Recorded()
    member = recorded.enter("alice", now=0)
    for source in ("heartbeat", "im", "rtmp"):
        now = member.alive_until
        recorded.directory.expire(now)  # exactly 20 s is not more
        assert recorded.directory.is_present(member)
        recorded.directory.touch(member, source, now)  # type: ignore[arg-type]
    recorded.take()
    recorded.directory.expire(80.5)
    assert recorded.take() == [events.MemberLeft(ROOM, "alice", "timeout"), events.RoomClosed(ROOM, "empty")]
    recorded.directory.touch(member, "heartbeat", 81)  # an expired member is not re-added
    assert recorded.directory.member(APP, "alice") is None


def test_a_session_keeps_its_member_without_heartbeats() -> None:
    recorded = Recorded()
    member = recorded.enter("alice", session=Session(), now=0)
    recorded.directory.expire(1e6)
    assert recorded.directory.is_present(member) and recorded.directory.next_deadline() is None


def test_a_dead_session_has_15_seconds_to_be_resumed() -> None:
    recorded = Recorded()
    session, other = Session(), Session()
    member = recorded.enter("alice", session=session, now=0)
    token = recorded.directory.issue_resume_token(member, RANDOM32)
    recorded.directory.touch(member, "ws", 99)
    recorded.take()
    recorded.directory.detach(member, session, 100)
    assert member.resuming and recorded.take() == []
    recorded.directory.expire(115)
    assert recorded.directory.resume(ROOM, "alice", other, 115, token=token) is member
    assert member.session is other and not member.resuming and recorded.take() == []
    recorded.directory.expire(1e6)
    assert recorded.directory.is_present(member)
    assert session.told == [] == other.told


def test_after_15_seconds_it_has_left() -> None:
    recorded = Recorded()
    session = Session()
    member = recorded.enter("alice", session=session, now=0)
    token = recorded.directory.issue_resume_token(member, RANDOM32)
    recorded.directory.detach(member, session, 100)
    with pytest.raises(BadTicket) as caught:  # even before anybody looked
        recorded.directory.resume(ROOM, "alice", Session(), 115.1, token=token)
    assert caught.value.code == 9
    recorded.take()
    recorded.directory.expire(115.1)
    assert recorded.names() == ["MemberLeft", "RoomClosed"]
    with pytest.raises(BadTicket) as caught:
        recorded.directory.resume(ROOM, "alice", Session(), 116, token=token)
    assert caught.value.code == 8
    with pytest.raises(NoSuchMember):
        recorded.directory.resume(ROOM, "alice", Session(), 116)


def test_resume_tokens_are_single_use_and_bound() -> None:
    recorded = Recorded()
    directory = recorded.directory
    first, second = Session(), Session()
    member = recorded.enter("alice", session=first)
    recorded.enter("bob", session=Session())
    token = directory.issue_resume_token(member, RANDOM32)
    for key, user, text in (
        (OTHER, "alice", token),
        (RoomKey(APP, "1", text=True), "alice", token),
        (RoomKey(APP + 1, "1"), "alice", token),
        (ROOM, "bob", token),
        (ROOM, "alice", "A" * 43),
        (ROOM, "alice", token + "A"),
        (ROOM, "alice", "ü" * 43),
        (ROOM, "alice", ""),
    ):
        with pytest.raises(BadTicket):
            directory.resume(key, user, second, 1, token=text)
    assert directory.resume(ROOM, "alice", second, 1, token=token) is member  # valid while connected, too
    assert first.told == ["replaced"]
    with pytest.raises(BadTicket):
        directory.resume(ROOM, "alice", Session(), 1, token=token)


def test_a_newer_token_or_entry_ends_the_older() -> None:
    recorded = Recorded()
    member = recorded.enter("alice", session=Session())
    old = recorded.directory.issue_resume_token(member, RANDOM32)
    new = recorded.directory.issue_resume_token(member, RANDOM32[::-1])
    with pytest.raises(BadTicket):
        recorded.directory.resume(ROOM, "alice", Session(), 1, token=old)
    recorded.enter("alice", session=Session())  # takeover: the replaced session cannot fight back
    with pytest.raises(BadTicket):
        recorded.directory.resume(ROOM, "alice", Session(), 1, token=new)
    with pytest.raises(ValueError):
        recorded.directory.issue_resume_token(member, b"short")
    recorded.directory.leave(member, "left", 2)
    with pytest.raises(NoSuchMember):
        recorded.directory.issue_resume_token(member, RANDOM32)


def test_a_token_of_a_member_alive_by_heartbeats_is_over_after_15_seconds() -> None:
    recorded = Recorded()
    session = Session()
    member = recorded.enter("alice", session=session, now=0)
    token = recorded.directory.issue_resume_token(member, RANDOM32)
    recorded.directory.detach(member, session, 100)
    for now in range(100, 130, 5):
        recorded.directory.touch(member, "heartbeat", now)
        recorded.directory.expire(now)
    assert recorded.directory.is_present(member)
    with pytest.raises(BadTicket):
        recorded.directory.resume(ROOM, "alice", Session(), 130, token=token)


def test_a_token_does_not_stand_in_for_a_kick() -> None:
    for ban in (False, True):
        recorded = Recorded()
        session = Session()
        member = recorded.enter("alice", session=session)
        token = recorded.directory.issue_resume_token(member, RANDOM32)
        recorded.take()
        assert recorded.directory.kick(ROOM, "alice", ban=ban)
        assert session.told == ["banned" if ban else "kick"]
        assert recorded.take()[0] == events.MemberLeft(ROOM, "alice", "kicked")
        with pytest.raises(BadTicket):
            recorded.directory.resume(ROOM, "alice", Session(), 1, token=token)


def test_kick_and_ban_block_urls_until_the_next_admitted_entry() -> None:
    recorded = Recorded()
    directory = recorded.directory
    recorded.enter("alice")
    assert not directory.is_blocked(ROOM, "alice")
    directory.kick(ROOM, "alice")
    assert directory.is_blocked(ROOM, "alice") and not directory.is_banned(ROOM, "alice")
    assert not directory.is_blocked(OTHER, "alice")
    recorded.enter("alice")
    assert not directory.is_blocked(ROOM, "alice")

    directory.kick(ROOM, "alice", ban=True)
    with pytest.raises(NotPermitted, match="banned"):
        recorded.enter("alice")
    recorded.enter("alice", OTHER)
    directory.kick(ROOM, "alice")  # a later kick does not lift the ban
    assert directory.is_banned(ROOM, "alice")
    directory.unban(ROOM, "alice")
    assert directory.is_blocked(ROOM, "alice") and not directory.is_banned(ROOM, "alice")
    recorded.enter("alice")
    assert not directory.is_blocked(ROOM, "alice")
    assert directory.kick(ROOM, "nobody") is False and directory.is_blocked(ROOM, "nobody")


def test_a_member_may_come_by_rest_first_and_fall_back_to_heartbeats() -> None:
    recorded = Recorded()
    session = Session()
    member = recorded.enter("alice", now=0)
    recorded.enter("alice", session=session, now=1)
    recorded.directory.touch(member, "heartbeat", 50)
    recorded.directory.detach(member, session, 51)
    recorded.directory.expire(69)
    assert recorded.directory.is_present(member)  # the heartbeat of 50 counts until 70
    recorded.directory.expire(70.1)
    assert not recorded.directory.is_present(member)


# --- one order


def test_what_a_listener_causes_is_announced_after_what_it_hears() -> None:
    recorded = Recorded()
    seen: list[str] = []

    def quarrel(event: object) -> None:
        if isinstance(event, events.MemberEntered) and event.user_id == "bob":
            recorded.directory.kick(ROOM, "bob")

    recorded.directory.events.on("event", quarrel)
    recorded.directory.events.on("event", lambda event: seen.append(type(event).__name__))
    recorded.enter("alice")
    recorded.enter("bob")
    assert seen == ["RoomCreated", "MemberEntered", "MemberEntered", "MemberLeft"] == recorded.names()


def test_sessions_are_told_after_the_directory_has_let_go() -> None:
    recorded = Recorded()
    found: list[object] = []

    class Nosy(Session):
        def kicked(self, reason: str) -> None:
            member = recorded.directory.member(APP, "alice")
            found.append(member.session if member else None)
            if member:
                recorded.directory.detach(member, self, 1)

    newer = Session()
    recorded.enter("alice", session=Nosy())
    recorded.enter("alice", session=newer)
    assert found == [newer] and newer.told == []


def test_a_broken_listener_is_logged_and_silences_nobody(caplog: pytest.LogCaptureFixture) -> None:
    recorded = Recorded()

    class Broken(Session):
        def kicked(self, reason: str) -> None:
            raise RuntimeError("broken")

    recorded.enter("alice", session=Broken())
    with caplog.at_level(logging.ERROR):
        recorded.enter("alice", OTHER, session=Session())
    assert "failed" in caplog.text
    assert recorded.names()[-1] == "MemberEntered"


# --- size


def test_ten_thousand_rooms_cost_little() -> None:
    """A guard against scans, not a benchmark: a scan of 10,000 per call would take minutes."""
    recorded = Recorded()
    directory = recorded.directory
    started = time.process_time()
    for number in range(10_000):
        recorded.enter(f"u{number}", RoomKey(APP, str(number + 1)), now=number / 10_000)
    for second, number in itertools.product(range(10, 14), range(0, 10_000, 2)):
        member = directory.member(APP, f"u{number}")
        assert member is not None
        directory.touch(member, "heartbeat", second)
    for second in range(10, 30):
        directory.expire(second)
        directory.list_rooms(APP, "trtc", 0, 10)
    assert len(directory.rooms) == 5000
    for second in range(30, 40):
        directory.expire(second)
    assert len(directory.rooms) == 0 == len(directory.members)
    assert time.process_time() - started < 10
