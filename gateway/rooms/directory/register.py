"""The state of the directory and the moves in it, without the question who may make them.

Invariants kept here: a user of an app is in at most one room; each member without control session and push has a
deadline; whatever must survive a restart is marked as changed; whatever others see is announced.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from gateway.rooms import events
from gateway.rooms.deadlines import Deadlines
from gateway.rooms.directory import snapshot
from gateway.rooms.directory.blocks import Blocks
from gateway.rooms.directory.index import RoomIndex
from gateway.rooms.directory.outbox import Outbox
from gateway.rooms.directory.records import Changes, Dirty, Snapshot
from gateway.rooms.directory.stream_ids import StreamIds
from gateway.rooms.directory.streams import StreamTable
from gateway.rooms.moderation import Medium, Moderation
from gateway.rooms.privileges import Privilege
from gateway.rooms.resume import ResumeTokens
from gateway.rooms.room import ControlSession, Member, Room, RoomKey, RoomPolicy, StreamInfo

RESTART_RESUME_S: Final = 30.0
"""After a restart of the server resume tokens are valid for so long."""

Timed = Member | Room | tuple[Member, StreamInfo]
"""What has a deadline: a silent member, a room that nobody entered, a paused stream."""


class Register:
    """`resume_s`: how long a member whose session died, and its paused streams, are kept."""

    def __init__(self, resume_s: float, bizids: Mapping[int, str], moderation: Moderation) -> None:
        self._resume_s = resume_s
        self._moderation = moderation
        self._serial = 0
        self.index = RoomIndex()
        self.members: dict[tuple[int, str], Member] = {}
        self.deadlines: Deadlines[Timed] = Deadlines()
        self.dirty = Dirty()
        self.blocks = Blocks(self.dirty.blocks)
        self.tokens = ResumeTokens()
        self.outbox = Outbox()
        self.streams = StreamTable(
            StreamIds(bizids, self.dirty.stream_ids),
            self.outbox,
            self.member,
            self.changed,
            self._set_gap,
            self.index.rooms.__contains__,
            self._silenced,
        )

    def member(self, app: int, user_id: str) -> Member | None:
        return self.members.get((app, user_id))

    def is_present(self, member: Member) -> bool:
        return self.members.get((member.key.app, member.user_id)) is member

    def add_room(self, key: RoomKey, creator: str, info: str, room_type: str, policy: RoomPolicy, now: float) -> Room:
        self._serial += 1
        room = Room(
            key,
            creator=creator,
            info=info,
            room_type=room_type,
            policy=policy,
            created_at=now,
            serial=self._serial,
        )
        self.index.add(room)
        self.dirty.rooms.add(key)
        self.outbox.announce(events.RoomCreated(key, creator, policy.kind))
        return room

    def close(self, room: Room, reason: str) -> None:
        self.index.remove(room)
        self.deadlines.discard(room)
        self.dirty.rooms.add(room.key)
        self._moderation.close(room.key)
        self.outbox.announce(events.RoomClosed(room.key, reason))

    def disband(self, room: Room) -> None:
        for member in list(room.members.values()):
            self._take_out(member, "disbanded", "room_disband")
        self.close(room, "disbanded")

    def add_member(
        self, room: Room, user_id: str, nick: str, granted: Privilege, audience: bool, guest: bool, now: float
    ) -> Member:
        member = Member(room, user_id, nick=nick, privileges=granted, guest=guest, entered_at=now)
        member.audience = audience
        member.privileges = self._rights(member)
        room.members[user_id] = member
        self.members[(room.key.app, user_id)] = member
        self.deadlines.discard(room)
        if room.policy.first_is_creator and not room.creator and not audience:
            room.creator = user_id
            self.dirty.rooms.add(room.key)
        if room.creator == user_id and room.creator_is_guest is None:
            room.creator_is_guest = guest
            self.dirty.rooms.add(room.key)
        self.outbox.announce(events.MemberEntered(room.key, user_id, nick, member.privileges, guest))
        return member

    def _rights(self, member: Member) -> Privilege:
        return self._moderation.rights(member.key, member.user_id, member.granted, audience=member.audience)

    def _silenced(self, member: Member) -> tuple[bool, bool]:
        key, user_id = member.key, member.user_id
        return (
            self._moderation.is_muted(key, user_id, Medium.AUDIO),
            self._moderation.is_muted(key, user_id, Medium.VIDEO),
        )

    def attach(self, member: Member, session: ControlSession, now: float) -> None:
        if member.session is not None and member.session is not session:
            self.outbox.tell(member.session, "replaced")
        member.session = session
        member.resume_until = None
        member.last_seen = now
        for info in member.streams.values():
            if not info.live:
                self._set_gap(member, info, now + self._resume_s)

    def change(self, member: Member, nick: str, granted: Privilege, audience: bool) -> None:
        """Give the member this nick, and the rights that its ticket grants in its role, unless a moderator differs."""
        before = (member.granted, member.audience)
        member.granted, member.audience = granted, audience
        privileges = self._rights(member)
        if (nick, privileges) == (member.nick, member.privileges):
            if before != (granted, audience):
                self.changed(member)
            return
        if privileges != member.privileges:
            member.urls.clear()  # they carry the old rights
        member.nick = nick
        member.privileges = privileges
        self.outbox.announce(events.MemberUpdated(member.key, member.user_id, nick, privileges))
        self.streams.live.refresh(member)
        self.changed(member)

    def drop(self, member: Member, reason: str, told: str, by: ControlSession | None = None) -> None:
        """Take `member` out, and end its room if that was all it lived for."""
        room = member.room
        self._take_out(member, reason, told, by)
        if room.policy.closes_with_creator and member.user_id == room.creator:
            self.disband(room)
        elif not room.members and not room.policy.keep_empty:
            self.close(room, "empty")

    def _take_out(self, member: Member, reason: str, told: str, by: ControlSession | None = None) -> None:
        """Take `member` out of its room; tell its session `told` unless that is "" or the session is `by`."""
        key, user_id = member.key, member.user_id
        self.streams.live.left(member)
        del member.room.members[user_id]
        del self.members[(key.app, user_id)]
        self.tokens.drop(key.app, user_id)
        self.deadlines.discard(member)
        self.dirty.members.add((key.app, user_id))
        session, member.session = member.session, None
        member.resume_until = None
        member.urls = {}
        self.outbox.announce(events.MemberLeft(key, user_id, reason))
        if session is not None and session is not by and told:
            self.outbox.tell(session, told)

    def changed(self, member: Member) -> None:
        self.dirty.members.add((member.key.app, member.user_id))
        if self.is_present(member):
            self.reschedule(member)

    def reschedule(self, member: Member) -> None:
        kept = member.session is not None or self.streams.live.is_pushing(member)
        self.deadlines.set(member, math.inf if kept else member.alive_until)

    def _set_gap(self, member: Member, info: StreamInfo, until: float) -> None:
        self.deadlines.set((member, info), until)

    # --- lasting

    def take_changes(self) -> Changes:
        """Return the records that changed since the last call, for the store."""
        dirty, changes = self.dirty, Changes()
        for key in dirty.rooms:
            room = self.index.rooms.get(key)
            changes.rooms[key] = None if room is None else snapshot.room_record(room)
        for user in dirty.members:
            member = self.members.get(user)
            changes.members[user] = (
                None if member is None else snapshot.member_record(member, self.tokens.hash_of(*user))
            )
        for stream_id in dirty.stream_ids:
            changes.stream_ids[stream_id] = self.streams.ids.get(stream_id)
        for block in dirty.blocks:
            changes.blocks[block] = self.blocks.record(*block)
        changes.moderation.update(self._moderation.take_changes())
        for part in (dirty.rooms, dirty.members, dirty.blocks):
            part.clear()
        dirty.stream_ids.clear()
        return changes

    def restore(self, saved: Snapshot, policies: Mapping[str, RoomPolicy], now: float) -> None:
        """Fill an empty directory from the store. Announces nothing; what does not fit together is left out.

        Members have one heartbeat time to show life, those with a resume token RESTART_RESUME_S to use it.
        """
        assert not self.index.rooms and not self.members
        for record in saved.stream_ids:
            self.streams.ids.put(record, stored=True)
        self.blocks.restore(saved.blocks)
        for room_record in saved.rooms:
            self._serial = max(self._serial, room_record.serial)
            room = snapshot.restored_room(room_record, policies)
            self.index.add(room)
            self.deadlines.set(room, now + room.policy.idle_s)
        self._moderation.restore(saved.moderation, self.index.rooms)
        for member_record in saved.members:
            home = self.index.rooms.get(member_record.room)
            user = (member_record.room.app, member_record.user_id)
            if home is None or user in self.members:
                self.dirty.members.add(user)
                continue
            self._restore_member(snapshot.restored_member(member_record, home), member_record.resume_hash, now)
        for room in self.index.rooms.values():
            if not room.members and not room.policy.keep_empty:
                self.deadlines.set(room, min(now + room.policy.idle_s, now + room.policy.heartbeat_s))

    def _restore_member(self, member: Member, resume_hash: str, now: float) -> None:
        member.privileges = self._rights(member)
        member.room.members[member.user_id] = member
        self.members[(member.key.app, member.user_id)] = member
        member.last_seen = now
        member.alive_until = now + member.room.policy.heartbeat_s
        self.deadlines.discard(member.room)
        if resume_hash:
            self.tokens.restore(member.key, member.user_id, resume_hash)
            member.resume_until = now + RESTART_RESUME_S
            member.alive_until = max(member.alive_until, member.resume_until)
        for kind, info in list(member.streams.items()):
            record = self.streams.ids.get(info.stream_id)
            if record is None or record.room != member.key or record.user_id != member.user_id:
                del member.streams[kind]
            else:
                self._set_gap(member, info, member.alive_until)
        self.reschedule(member)
