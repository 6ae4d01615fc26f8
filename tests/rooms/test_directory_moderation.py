"""What moderators decide, as the directory shows it: mutes, rights that come and go, guests with a creator's name."""

from __future__ import annotations

import pytest

from gateway.base.errors import NotPermitted
from gateway.rooms import events
from gateway.rooms.moderation import Authority, Medium
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import POLICIES, StreamKind
from tests.rooms.fakes import ROOM, Recorded, Session, hex_source

MAIN = StreamKind.MAIN
SOUND, PICTURE = Privilege.SEND_AUDIO, Privilege.SEND_VIDEO


def publishing(recorded: Recorded, user: str, transport: str = "rtmp") -> str:
    stream = recorded.directory.stream_id(ROOM, user, MAIN, hex_source())
    recorded.directory.stream_started(stream, transport=transport, audio=True, video=True, now=0)
    return stream


def mutes(recorded: Recorded) -> list[tuple[str, bool, bool]]:
    return [
        (event.user_id, event.audio_muted, event.video_muted)
        for event in recorded.take()
        if isinstance(event, events.StreamAdded | events.StreamChanged)
    ]


def test_a_moderators_mute_is_shown_and_the_publisher_cannot_lift_it() -> None:
    recorded = Recorded()
    directory, moderation = recorded.directory, recorded.directory.moderation
    recorded.enter("alice", session=Session())
    recorded.enter("bob", session=Session())
    stream = publishing(recorded, "bob")
    recorded.take()
    moderation.mute(ROOM, "bob", {Medium.AUDIO: True})
    assert mutes(recorded) == [("bob", True, False)]
    directory.stream_updated(stream, audio_muted=True)
    directory.stream_updated(stream, audio_muted=False)
    assert recorded.take() == []
    moderation.mute(ROOM, "bob", {Medium.AUDIO: False, Medium.WORDS: True})
    assert mutes(recorded) == [("bob", False, False)]
    directory.stream_updated(stream, video_muted=True)
    moderation.mute_everybody(ROOM, {Medium.VIDEO: True})
    assert mutes(recorded) == [("bob", False, True)]
    moderation.mute_everybody(ROOM, {Medium.VIDEO: False})
    assert mutes(recorded) == [], "his own mute stays"


def test_everybodys_mute_spares_the_creator_and_meets_those_who_come() -> None:
    recorded = Recorded()
    moderation = recorded.directory.moderation
    recorded.enter("alice", session=Session())
    publishing(recorded, "alice")
    moderation.mute_everybody(ROOM, {Medium.AUDIO: True, Medium.VIDEO: True})
    recorded.enter("bob", session=Session())
    recorded.take()
    publishing(recorded, "bob")
    assert mutes(recorded) == [("bob", True, True)]


def test_rights_taken_from_a_member_hide_its_stream_and_come_back() -> None:
    recorded = Recorded()
    moderation = recorded.directory.moderation
    recorded.enter("alice", session=Session())
    bob = recorded.enter("bob", now=0)
    publishing(recorded, "bob")
    recorded.take()
    moderation.decide_rights(ROOM, "bob", Privilege.ALL & ~PICTURE)
    assert recorded.names() == ["MemberUpdated", "StreamChanged"]
    assert bob.streams[MAIN].has_audio and not bob.streams[MAIN].has_video
    moderation.decide_rights(ROOM, "bob", Privilege.AUDIENCE)
    assert recorded.names() == ["MemberUpdated", "StreamRemoved"]
    assert not bob.streams and bob.granted == Privilege.ALL and bob.may_claim(SOUND) and not bob.may(SOUND)
    recorded.directory.expire(100)
    assert recorded.directory.is_present(bob), "its push goes on, and shows that it lives"
    moderation.decide_rights(ROOM, "bob", None)
    assert recorded.names() == ["MemberUpdated", "StreamAdded"]
    assert bob.streams[MAIN].has_video and bob.privileges == Privilege.ALL


def test_a_hidden_stream_ends_like_others() -> None:
    for how in ("stopped", "left", "kicked"):
        recorded = Recorded()
        directory = recorded.directory
        recorded.enter("alice", session=Session())
        bob = recorded.enter("bob", session=Session())
        stream = publishing(recorded, "bob", "webrtc")
        directory.moderation.decide_rights(ROOM, "bob", Privilege.AUDIENCE)
        recorded.take()
        if how == "stopped":
            directory.stream_stopped(stream, 1)
            assert recorded.take() == []
        elif how == "left":
            directory.leave(bob, "left", 1)
            assert recorded.names() == ["MemberLeft"]
        else:
            directory.kick(ROOM, "bob")
            assert recorded.names() == ["MemberLeft"]
        assert not directory.is_live(stream)
        directory.moderation.decide_rights(ROOM, "bob", None)
        assert "StreamAdded" not in recorded.names()


def test_rights_given_beyond_the_ticket_and_a_role_that_sends_nothing() -> None:
    recorded = Recorded()
    moderation = recorded.directory.moderation
    recorded.enter("alice", session=Session())
    watcher = recorded.enter("bob", privileges=Privilege.AUDIENCE, session=Session())
    moderation.decide_rights(ROOM, "bob", Privilege.ALL)
    assert watcher.privileges == Privilege.ALL
    recorded.directory.update_member(watcher, privileges=Privilege.AUDIENCE, audience=True)
    assert watcher.privileges == Privilege.ALL & ~Privilege.SENDING
    recorded.directory.update_member(watcher, privileges=Privilege.AUDIENCE, audience=False)
    assert watcher.privileges == Privilege.ALL
    recorded.directory.leave(watcher, "left", 1)
    assert recorded.enter("bob", privileges=Privilege.AUDIENCE).privileges == Privilege.ALL, "it counts at each entry"


def test_decisions_end_with_the_room() -> None:
    recorded = Recorded()
    moderation = recorded.directory.moderation
    recorded.enter("alice", session=Session())
    moderation.mute(ROOM, "bob", {Medium.WORDS: True})
    moderation.decide_rights(ROOM, "bob", Privilege.AUDIENCE)
    recorded.directory.close_room(ROOM)
    recorded.enter("alice", session=Session())
    assert not moderation.mutes(ROOM, "bob") and moderation.decided_rights(ROOM, "bob") is None


def test_who_is_thrown_out_without_being_a_member_is_announced() -> None:
    recorded = Recorded()
    recorded.enter("alice", session=Session())
    recorded.take()
    assert not recorded.directory.kick(ROOM, "viewer")
    assert recorded.take() == [events.StrangerRemoved(ROOM, "viewer")]


def test_a_ban_with_an_end() -> None:
    recorded = Recorded()
    directory, session = recorded.directory, Session()
    recorded.enter("alice", session=Session())
    recorded.enter("bob", session=session)
    directory.moderation.ban(ROOM, "bob", until=10)
    directory.kick(ROOM, "bob")
    assert session.told == ["banned"] and directory.is_banned(ROOM, "bob")
    directory.moderation.expire(10.5)
    assert directory.is_blocked(ROOM, "bob")
    recorded.enter("bob")
    assert not directory.is_blocked(ROOM, "bob")


def test_a_guest_who_bears_the_creators_name_moderates_nothing() -> None:
    recorded = Recorded()
    moderation = recorded.directory.moderation
    alice = recorded.enter("alice", session=Session())
    recorded.enter("bob", session=Session())
    recorded.directory.leave(alice, "left", 1)
    assert moderation.authority(ROOM, "alice") is Authority.CREATOR
    guest = recorded.enter("alice", guest=True, session=Session())
    assert moderation.authority(ROOM, "alice") is Authority.MEMBER
    recorded.directory.leave(guest, "left", 1)
    recorded.enter("alice", session=Session())
    assert moderation.authority(ROOM, "alice") is Authority.CREATOR


def test_a_guest_moderates_the_room_that_it_made() -> None:
    recorded = Recorded()
    recorded.enter("carol", guest=True, create=POLICIES["multi_room"], session=Session())
    assert recorded.directory.moderation.authority(ROOM, "carol") is Authority.CREATOR


def test_administrators_are_names_that_guests_never_get() -> None:
    recorded = Recorded(administrators=("Root",))
    recorded.enter("alice")
    assert recorded.directory.moderation.authority(ROOM, "Root") is Authority.ADMINISTRATOR
    for name in ("Root", "root", "admin"):
        with pytest.raises(NotPermitted):
            recorded.enter(name, guest=True)
