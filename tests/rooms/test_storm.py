"""Random storms of everything that can happen, and what must hold after each call.

Three witnesses: the directory itself, a listener that knows only the announcements, and a store that knows only the
changes. They have to agree at any time.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from gateway.base.errors import Refused
from gateway.rooms import events
from gateway.rooms.directory import Changes, Snapshot
from gateway.rooms.moderation import FOREVER, Medium
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import POLICIES, RoomKey, StreamKind
from tests.rooms.fakes import APP, Recorded, Session

USERS = [f"u{number}" for number in range(8)]
ROOMS = [RoomKey(APP, str(number)) for number in range(1, 5)] + [RoomKey(APP, "1", True), RoomKey(APP + 1, "1")]
KINDS = ["page", "webrtc", "double_room", "live_room", "lasting"]
RIGHTS = [Privilege.ALL, Privilege.ALL, Privilege.AUDIENCE | Privilege.CREATE, Privilege.AUDIENCE, Privilege(0)]


class Witness:
    """The world as a listener knows it."""

    def __init__(self) -> None:
        self.rooms: set[RoomKey] = set()
        self.members: dict[tuple[RoomKey, str], tuple[str, Privilege]] = {}
        self.streams: dict[tuple[RoomKey, str, StreamKind], tuple[Any, ...]] = {}

    def hear(self, event: events.RoomEvent) -> None:
        match event:
            case events.RoomCreated():
                assert event.room not in self.rooms
                self.rooms.add(event.room)
            case events.RoomClosed():
                assert not [one for one in self.members if one[0] == event.room]
                self.rooms.remove(event.room)
            case events.MemberEntered():
                assert event.room in self.rooms and (event.room, event.user_id) not in self.members
                self.members[(event.room, event.user_id)] = (event.nick, event.privileges)
            case events.MemberUpdated():
                assert self.members[(event.room, event.user_id)] != (event.nick, event.privileges)
                self.members[(event.room, event.user_id)] = (event.nick, event.privileges)
            case events.MemberLeft():
                assert not [one for one in self.streams if one[:2] == (event.room, event.user_id)]
                del self.members[(event.room, event.user_id)]
            case events.StreamAdded():
                assert (event.room, event.user_id) in self.members
                assert (event.room, event.user_id, event.kind) not in self.streams
                self.streams[(event.room, event.user_id, event.kind)] = _seen(event)
            case events.StreamChanged():
                key = (event.room, event.user_id, event.kind)
                assert event.restarted or self.streams[key] != _seen(event)
                assert self.streams[key][0] == event.stream_id
                self.streams[key] = _seen(event)
            case events.StreamRemoved():
                assert self.streams.pop((event.room, event.user_id, event.kind))[0] == event.stream_id


def _seen(event: Any) -> tuple[Any, ...]:
    return (
        event.stream_id,
        event.has_audio,
        event.has_video,
        event.audio_muted,
        event.video_muted,
        event.transport,
    )


class Saved:
    """The world as the store knows it."""

    def __init__(self) -> None:
        self.changes = Changes()

    def take(self, changes: Changes) -> None:
        for name in ("rooms", "members", "stream_ids", "blocks", "moderation"):
            kept = getattr(self.changes, name)
            for key, record in getattr(changes, name).items():
                kept.pop(key, None)
                if record is not None:
                    kept[key] = record

    def snapshot(self) -> Snapshot:
        parts: list[Any] = [
            sorted(self.changes.rooms.values(), key=lambda record: record.serial),  # type: ignore[union-attr]
            sorted(self.changes.members.values(), key=lambda record: record.entered_at),  # type: ignore[union-attr]
            list(self.changes.stream_ids.values()),
            list(self.changes.blocks.values()),
            list(self.changes.moderation.values()),
        ]
        return Snapshot(*(tuple(part) for part in parts))


class Storm:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.recorded = Recorded(max_rooms=5)
        self.directory = self.recorded.directory
        self.witness = Witness()
        self.directory.events.on("event", self.witness.hear)
        self.saved = Saved()
        self.sessions: list[Session] = []
        self.tokens: list[tuple[RoomKey, str, str]] = []
        self.urls: dict[tuple[int, str], dict[str, str]] = {}

    def session(self, user: str) -> Session:
        """A new one, or the one that the user has."""
        member = self.directory.member(APP, user)
        if member is not None and isinstance(member.session, Session) and self.rng.random() < 0.2:
            return member.session
        self.sessions.append(Session())
        return self.sessions[-1]

    def step(self) -> None:
        rng, directory = self.rng, self.directory
        key, user = rng.choice(ROOMS), rng.choice(USERS)
        member = directory.member(key.app, user)
        if member is not None and rng.random() < 0.5:
            key = member.key
        self.now += rng.choice((0, 0, 0.1, 0.5, 2))
        match rng.randrange(20):
            case 0 | 1 | 2 | 3:
                directory.enter(
                    key,
                    user,
                    privileges=rng.choice(RIGHTS),
                    nick=rng.choice(("", "n", "m")),
                    session=rng.choice((None, self.session(user) if key.app == APP else Session())),
                    guest=rng.random() < 0.2,
                    create=rng.choice((None, POLICIES[rng.choice(KINDS)], POLICIES["page"])),
                    now=self.now,
                )
            case 4:
                directory.create_room(
                    key,
                    creator=user,
                    room_type=rng.choice(("", "trtc")),
                    policy=POLICIES[rng.choice(KINDS)],
                    now=self.now,
                )
            case 5 if member:
                directory.leave(member, "left", self.now)
            case 6 if member and member.session:
                directory.detach(member, member.session, self.now)
            case 7 if self.tokens:
                room, name, token = rng.choice(self.tokens)
                directory.resume(room, name, Session(), self.now, token=token)
            case 8 if member:
                self.tokens.append((member.key, user, directory.issue_resume_token(member, rng.randbytes(32))))
            case 9:
                directory.kick(key, user, ban=rng.random() < 0.2)
                if rng.random() < 0.5:
                    directory.unban(key, user)
            case 10 if member:
                directory.touch(member, rng.choice(("heartbeat", "im", "rtmp", "ws")), self.now)
            case 11 | 12:
                stream = self.stream(key, user)
                transport = rng.choice(("webrtc", "rtmp", "whip"))
                directory.stream_started(
                    stream, transport=transport, audio=rng.random() < 0.7, video=rng.random() < 0.7, now=self.now
                )
            case 13:
                directory.stream_updated(
                    self.stream(key, user),
                    audio=rng.choice((None, True, False)),
                    video_muted=rng.choice((None, True, False)),
                )
            case 14:
                directory.stream_stopped(self.stream(key, user), self.now)
            case 15 if member:
                directory.update_member(member, privileges=rng.choice(RIGHTS), nick=rng.choice((None, "x")))
            case 16 if member:
                directory.remember_url(member, f"rtc:{rng.randrange(5)}", str(rng.random()))
            case 17:
                if rng.random() < 0.1:
                    directory.close_room(key)
                else:
                    named = self.stream(key, rng.choice(USERS)), f"8888_loose{rng.randrange(4)}"
                    directory.claim_stream(rng.choice(named), key, user)
            case 18 if key in directory.rooms:
                rights = rng.choice((None, *RIGHTS[:-1]))
                directory.moderation.decide_rights(key, user, rights)
            case 19 if key in directory.rooms:
                wanted = {medium: rng.random() < 0.5 for medium in Medium if rng.random() < 0.5}
                if rng.random() < 0.2:
                    directory.moderation.mute_everybody(key, wanted)
                else:
                    directory.moderation.mute(key, user, wanted, until=self.now + rng.choice((1.0, 5.0, FOREVER)))
        if rng.random() < 0.3:
            directory.expire(self.now)
            directory.moderation.expire(self.now)

    def stream(self, key: RoomKey, user: str) -> str:
        if self.rng.random() < 0.1:
            return f"8888_loose{self.rng.randrange(4)}"
        away = [info for member in self.directory.members if member.resuming for info in member.streams.values()]
        if away and self.rng.random() < 0.5:
            return self.rng.choice(away).stream_id
        kind = self.rng.choice((StreamKind.MAIN, StreamKind.MAIN, StreamKind.AUX))
        return self.directory.stream_id(key, user, kind, lambda: f"{self.rng.getrandbits(64):016x}")

    # --- what must hold

    def check(self) -> None:
        directory = self.directory
        listed = {
            (room.key, user): member for room in directory.rooms.values() for user, member in room.members.items()
        }
        assert len(listed) == len(directory.members)
        assert len({(key.app, user) for key, user in listed}) == len(listed), "a user in two rooms"
        attached = []
        for (key, user), member in listed.items():
            assert directory.member(key.app, user) is member and member.key == key and member.user_id == user
            if member.session is not None:
                attached.append(member.session)
                assert member.resume_until is None
            live = directory._register.streams.live
            mine = {info.stream_id for info in member.streams.values() if info.live}
            mine |= {stream for stream, (owner, _) in live._hidden.items() if owner is member}
            pushing = any(live.publishing[stream].transport != "webrtc" for stream in mine)
            has_deadline = member in directory._register.deadlines._due
            assert has_deadline == (member.session is None and not pushing), "a member that never or wrongly expires"
        assert len({id(session) for session in attached}) == len(attached), "one session of two members"
        assert not any(session.told for session in attached), "told, and still there"
        for room in directory.rooms.values():
            assert len(room.members) <= room.policy.capacity
            assert room.members or room.policy.keep_empty or room in directory._register.deadlines._due, (
                "an empty room stays"
            )
        index = directory._register.index
        assert {key for app in index._by_app.values() for key in app} == set(directory.rooms)
        assert {key for rooms in index._by_type.values() for key in rooms} == set(directory.rooms)
        self.check_streams(listed)
        assert len(directory._register.tokens) <= len(listed)
        # The listener agrees.
        assert self.witness.rooms == set(directory.rooms)
        assert self.witness.members == {key: (member.nick, member.privileges) for key, member in listed.items()}

    def check_streams(self, listed: dict[tuple[RoomKey, str], Any]) -> None:
        directory = self.directory
        shown: dict[tuple[RoomKey, str, StreamKind], tuple[Any, ...]] = {}
        live = set()
        for (key, user), member in listed.items():
            for kind, info in member.streams.items():
                owner = directory.lookup_stream(info.stream_id)
                assert owner is not None and (owner.room, owner.user_id, owner.kind) == (key, user, kind)
                assert info.live == directory.is_live(info.stream_id)
                assert info.live != ((member, info) in directory._register.deadlines._due), (
                    "a pause without end, or an end of none"
                )
                live.add(info.stream_id)
                shown[(key, user, kind)] = (
                    info.stream_id,
                    info.has_audio,
                    info.has_video,
                    info.audio_muted,
                    info.video_muted,
                    info.transport,
                )
                assert not info.has_audio or member.may_send(kind, video=False)
                assert not info.has_video or member.may_send(kind, video=True)
                assert member.may_send(kind, video=False) or member.may_send(kind, video=True), "nothing to be shown"
                moderation = directory.moderation
                assert info.audio_muted or not moderation.is_muted(key, user, Medium.AUDIO)
                assert info.video_muted or not moderation.is_muted(key, user, Medium.VIDEO)
        assert self.witness.streams == shown

    def check_store(self) -> None:
        directory = self.directory
        self.saved.take(directory.take_changes())
        again = Recorded(max_rooms=5).directory
        again.restore(self.saved.snapshot(), POLICIES, 0)
        assert list(again.rooms) == list(directory.rooms)
        for room in directory.rooms.values():
            other = again.room(room.key)
            assert (other.creator, other.room_type, other.policy) == (room.creator, room.room_type, room.policy)
            assert set(other.members) == set(room.members)
            for user, member in room.members.items():
                twin = other.members[user]
                assert (twin.nick, twin.privileges, twin.guest) == (member.nick, member.privileges, member.guest)
                assert twin.urls == member.urls and set(twin.streams) == set(member.streams)
                assert again._register.tokens.hash_of(room.key.app, user) == directory._register.tokens.hash_of(
                    room.key.app, user
                )
                assert twin in again._register.deadlines._due
        for key in ROOMS:
            for user in USERS:
                assert again.is_banned(key, user) == directory.is_banned(key, user)
                assert again.moderation.mutes(key, user) == directory.moderation.mutes(key, user)
                decided = again.moderation.decided_rights(key, user)
                assert decided == directory.moderation.decided_rights(key, user)
                assert again.is_blocked(key, user) == directory.is_blocked(key, user)
                for kind in StreamKind:
                    assert again.find_stream_id(key, user, kind) == directory.find_stream_id(key, user, kind)
        again.expire(31)
        assert not again.members


@pytest.mark.parametrize("seed", range(6))
def test_storm(seed: int) -> None:
    storm = Storm(seed)
    refused = 0
    for count in range(1500):
        before = len(storm.recorded.events)
        try:
            storm.step()
        except Refused:
            refused += 1
            assert storm.recorded.events[before:] == [], "a refused call announced something"
        storm.check()
        if count % 50 == 0:
            storm.check_store()
    assert refused > 50 and len(storm.recorded.events) > 500
    assert all(len(session.told) <= 1 for session in storm.sessions)
    # In the end all goes away by itself, but for rooms that last.
    for member in list(storm.directory.members):
        if member.session is not None:
            storm.directory.detach(member, member.session, storm.now)
    for stream in list(storm.directory._register.streams.live.publishing):
        storm.directory.stream_stopped(stream, storm.now)
    storm.directory.expire(storm.now + 61)
    storm.check()
    assert not storm.directory.members
    assert all(room.policy.keep_empty for room in storm.directory.rooms.values())
    assert not storm.directory._register.deadlines._due


def test_each_replaced_session_is_told_once() -> None:
    rng = random.Random(3)
    recorded = Recorded()
    sessions = [Session() for _ in range(300)]
    newest: dict[str, Session] = {}
    for number, session in enumerate(sessions):
        user = rng.choice(USERS[:4])
        member = recorded.enter(user, rng.choice(ROOMS[:3]), session=session, now=number)
        assert member.session is session
        newest[user] = session
        if rng.random() < 0.3:
            recorded.directory.detach(member, session, number)
            recorded.directory.resume(member.key, user, session, number)
    told = [session for session in sessions if session.told]
    assert all(session.told == ["replaced"] for session in told)
    assert [session for session in sessions if not session.told] == sorted(newest.values(), key=sessions.index)
