"""Who may moderate a room, and what moderators have decided: mutes, rights, bans. Pure: times are arguments.

    operator (admin token) > administrators of the app > the room's creator > everybody else

One may moderate those who are below oneself; whoever stands above the members is spared by mutes of the whole room.
Mutes and rights end with the room, bans stay until they are lifted or over. What is decided here acts elsewhere: the
directory shows it, groups ask before they take a message, the endpoints open and close the ways of media.

What changes is announced by `events.on("event", listener)` after the change; a listener must not raise, block or
decide anything itself. Times are monotonic seconds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from typing import Final, TypeVar

from pyee import EventEmitter

from gateway.base.errors import Muted, NotPermitted, TooMany
from gateway.rooms.deadlines import Deadlines
from gateway.rooms.moderation.values import (
    FOREVER,
    Authority,
    Ban,
    Medium,
    MemberModerated,
    ModerationEvent,
    ModerationRecord,
    Mute,
    Mutes,
    RightsDecided,
    RoomModerated,
)
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey

ADMINISTRATORS: Final = ("administrator", "admin")
MAX_IN_ROOM: Final = 5000
"""Users of one room about whom something is decided."""
MAX_USERS: Final = 200_000
"""Of all rooms together."""
_NOTHING: Final[Mutes] = {}
T = TypeVar("T")


class _Decisions:
    """What is decided about one room."""

    __slots__ = ("bans", "everybody", "members", "rights")

    def __init__(self) -> None:
        self.everybody: dict[Medium, Mute] = {}
        self.members: dict[str, dict[Medium, Mute]] = {}
        self.rights: dict[str, Privilege] = {}
        self.bans: dict[str, Ban] = {}

    def __len__(self) -> int:
        return len(self.members) + len(self.rights) + len(self.bans)

    def __bool__(self) -> bool:
        return bool(self.everybody or len(self))


class Moderation:
    """See the module. `by` is the user who decides, None for the operator. Use it from one thread."""

    def __init__(self, administrators: Collection[str] = ADMINISTRATORS) -> None:
        self.events = EventEmitter()
        self.creator_of: Callable[[RoomKey], str] = lambda room: ""
        """Who made the room or group and may moderate it; "" for nobody. Whoever knows the rooms says so."""
        self._administrators = frozenset(administrators)
        self._rooms: dict[RoomKey, _Decisions] = {}
        self._users = 0
        self._deadlines: Deadlines[tuple[RoomKey, str, Medium | None]] = Deadlines()
        """Mutes that end, and bans (no medium). Those of everybody have no end."""
        self._changed: set[RoomKey] = set()

    # --- who may

    def authority(self, room: RoomKey, user_id: str | None) -> Authority:
        if user_id is None:
            return Authority.OPERATOR
        if self.is_administrator(user_id):
            return Authority.ADMINISTRATOR
        return Authority.CREATOR if user_id and user_id == self.creator_of(room) else Authority.MEMBER

    def is_administrator(self, user_id: str) -> bool:
        return user_id in self._administrators

    def check(self, room: RoomKey, by: str | None, target: str = "") -> None:
        """Raise NotPermitted unless `by` may moderate the room, and in it `target` ("": the room itself)."""
        rank = self.authority(room, by)
        if rank is Authority.MEMBER:
            raise NotPermitted("only the room's creator and the administrators moderate it")
        if target and self.authority(room, target) >= rank:
            raise NotPermitted(f"{target} cannot be moderated by {by}")

    # --- what is muted

    def is_muted(self, room: RoomKey, user_id: str, medium: Medium) -> bool:
        """Whether the user may not be heard, seen or read: by a mute of its own or one of everybody."""
        decisions = self._rooms.get(room)
        if decisions is None:
            return False
        if medium in decisions.members.get(user_id, _NOTHING):
            return True
        return medium in decisions.everybody and self.authority(room, user_id) is Authority.MEMBER

    def mutes(self, room: RoomKey, user_id: str) -> Mutes:
        """Return the user's own mutes, those of everybody left aside."""
        decisions = self._rooms.get(room)
        return _NOTHING if decisions is None else dict(decisions.members.get(user_id, _NOTHING))

    def mutes_of_everybody(self, room: RoomKey) -> Mutes:
        decisions = self._rooms.get(room)
        return _NOTHING if decisions is None else dict(decisions.everybody)

    def muted_users(self, room: RoomKey) -> Mapping[str, Mutes]:
        """Return the own mutes of all who have some, in order of their first one."""
        decisions = self._rooms.get(room)
        return {} if decisions is None else {user: dict(mutes) for user, mutes in decisions.members.items()}

    def check_words(self, room: RoomKey, user_id: str, now: float) -> None:
        """Raise Muted, with the time that it lasts if it ends, if the user may not write: what groups ask."""
        decisions = self._rooms.get(room)
        if decisions is None:
            return
        mute = decisions.members.get(user_id, _NOTHING).get(Medium.WORDS)
        if mute is not None and now < mute.until:
            left = None if mute.until == FOREVER else math.ceil((mute.until - now) * 1000)
            raise Muted("a moderator has taken your right to write", retry_after_ms=left)
        if Medium.WORDS in decisions.everybody and self.authority(room, user_id) is Authority.MEMBER:
            raise Muted("nobody but moderators may write in this room now")

    def mute(
        self, room: RoomKey, user_id: str, wanted: Mapping[Medium, bool], *, until: float = FOREVER, by: str = ""
    ) -> None:
        """Mute (True) or unmute (False) media of one user, there or not; others stay as they are. Raises TooMany."""
        decisions = self._get(room)
        before = decisions.members.get(user_id, _NOTHING)
        after = {medium: mute for medium, mute in before.items() if wanted.get(medium) is not False}
        after |= {medium: Mute(until, by) for medium, muted in wanted.items() if muted}
        if after == before:
            return
        if after:
            self._put(room, decisions, decisions.members, user_id, after)
        else:
            self._pop(room, decisions, decisions.members, user_id)
        for medium in wanted:
            self._deadlines.set((room, user_id, medium), after[medium].until if medium in after else FOREVER)
        self._announce(MemberModerated(room, user_id, by))

    def mute_everybody(self, room: RoomKey, wanted: Mapping[Medium, bool], *, by: str = "") -> None:
        """Mute or unmute media of all who have no authority, those who come later too."""
        decisions = self._get(room)
        before = dict(decisions.everybody)
        for medium, muted in wanted.items():
            if not muted:
                decisions.everybody.pop(medium, None)
            elif medium not in decisions.everybody:
                decisions.everybody[medium] = Mute(FOREVER, by)
        if decisions.everybody != before:
            self._note(room, decisions)
            self._announce(RoomModerated(room, by))

    # --- rights

    def rights(self, room: RoomKey, user_id: str, granted: Privilege, *, audience: bool = False) -> Privilege:
        """Return what a user may do whose ticket grants `granted`: what a moderator has decided counts instead.

        `audience`: the user has laid down its rights to send itself, and takes them up again by a switch of its role.
        """
        decided = self.decided_rights(room, user_id)
        if decided is None:
            return granted
        return decided & ~Privilege.SENDING if audience else decided

    def decided_rights(self, room: RoomKey, user_id: str) -> Privilege | None:
        decisions = self._rooms.get(room)
        return None if decisions is None else decisions.rights.get(user_id)

    def decide_rights(self, room: RoomKey, user_id: str, rights: Privilege | None, *, by: str = "") -> None:
        """Let this user, there or not, have these rights whatever its ticket says; None: what the ticket says.

        Raises NotPermitted without the right to enter (that is what kicks and bans are for), TooMany.
        """
        if rights is not None and not rights & Privilege.ENTER:
            raise NotPermitted("the right to enter (bit 2) is taken by a kick or a ban")
        decisions = self._get(room)
        if decisions.rights.get(user_id) == rights:
            return
        if rights is None:
            self._pop(room, decisions, decisions.rights, user_id)
        else:
            self._put(room, decisions, decisions.rights, user_id, rights)
        self._announce(RightsDecided(room, user_id, by))

    # --- bans

    def is_banned(self, room: RoomKey, user_id: str) -> bool:
        decisions = self._rooms.get(room)
        return decisions is not None and user_id in decisions.bans

    def bans(self, room: RoomKey) -> Mapping[str, Ban]:
        """Return who may not enter, in order."""
        decisions = self._rooms.get(room)
        return {} if decisions is None else dict(decisions.bans)

    def ban(self, room: RoomKey, user_id: str, *, until: float = FOREVER, by: str = "", reason: str = "") -> None:
        """Let the user enter no more. Throwing out one who is there is the directory's. Raises TooMany."""
        decisions = self._get(room)
        self._put(room, decisions, decisions.bans, user_id, Ban(until, by, reason))
        self._deadlines.set((room, user_id, None), until)

    def unban(self, room: RoomKey, user_id: str) -> bool:
        """Let the user enter again; return whether it was banned."""
        decisions = self._get(room)
        if user_id not in decisions.bans:
            return False
        self._pop(room, decisions, decisions.bans, user_id)
        self._deadlines.discard((room, user_id, None))
        return True

    # --- ends

    def expire(self, now: float) -> None:
        """End mutes and bans whose time is over. Call it each second."""
        for room, user_id, medium in self._deadlines.due(now):
            if medium is None:
                self.unban(room, user_id)
            else:
                self.mute(room, user_id, {medium: False})

    def close(self, room: RoomKey) -> None:
        """The room or group is gone, and with it what was decided about its members; bans stay. Announces nothing."""
        decisions = self._rooms.get(room)
        if decisions is None or not (decisions.everybody or decisions.members or decisions.rights):
            return
        for user_id, mutes in decisions.members.items():
            for medium in mutes:
                self._deadlines.discard((room, user_id, medium))
        self._users -= len(decisions.members) + len(decisions.rights)
        for part in (decisions.everybody, decisions.members, decisions.rights):
            part.clear()
        self._note(room, decisions)

    def prune(self, exists: Callable[[RoomKey], bool]) -> None:
        """Close what is not there any more: groups without a room may end without a word. Call it each minute."""
        for room in [room for room in self._rooms if not exists(room)]:
            self.close(room)

    # --- lasting

    def take_changes(self) -> dict[RoomKey, ModerationRecord | None]:
        """Return the records that changed since the last call, for the store; None: nothing is decided any more."""
        changed, self._changed = self._changed, set()
        return {room: self._record(room) for room in changed}

    def _record(self, room: RoomKey) -> ModerationRecord | None:
        decisions = self._rooms.get(room)
        if decisions is None:
            return None
        return ModerationRecord(
            room,
            dict(decisions.everybody),
            {user: dict(mutes) for user, mutes in decisions.members.items()},
            dict(decisions.rights),
            dict(decisions.bans),
        )

    def restore(self, saved: Iterable[ModerationRecord], rooms: Container[RoomKey]) -> None:
        """Take back what was saved. Of rooms that are not there only bans are left. Announces nothing."""
        assert not self._rooms
        for record in saved:
            if record.room not in rooms:
                self._changed.add(record.room)
                record = dataclasses.replace(record, everybody={}, members={}, rights={})
            if not record:
                continue
            decisions = self._rooms[record.room] = _Decisions()
            decisions.everybody = dict(record.everybody)
            decisions.members = {user: dict(mutes) for user, mutes in record.members.items()}
            decisions.rights, decisions.bans = dict(record.rights), dict(record.bans)
            self._users += len(decisions)
            for user_id, mutes in decisions.members.items():
                for medium, mute in mutes.items():
                    self._deadlines.set((record.room, user_id, medium), mute.until)
            for user_id, ban in decisions.bans.items():
                self._deadlines.set((record.room, user_id, None), ban.until)

    # --- bookkeeping

    def _get(self, room: RoomKey) -> _Decisions:
        """Return what is decided about the room, empty if that is nothing: `_note` keeps what was put into it."""
        return self._rooms.get(room) or _Decisions()

    def _put(self, room: RoomKey, decisions: _Decisions, part: dict[str, T], user_id: str, value: T) -> None:
        if user_id not in part:
            if len(decisions) >= MAX_IN_ROOM or self._users >= MAX_USERS:
                raise TooMany(f"{len(decisions)} users of this room are muted, banned or otherwise decided about")
            self._users += 1
        part[user_id] = value
        self._note(room, decisions)

    def _pop(self, room: RoomKey, decisions: _Decisions, part: dict[str, T], user_id: str) -> None:
        del part[user_id]
        self._users -= 1
        self._note(room, decisions)

    def _note(self, room: RoomKey, decisions: _Decisions) -> None:
        self._changed.add(room)
        if decisions:
            self._rooms[room] = decisions
        else:
            self._rooms.pop(room, None)

    def _announce(self, event: ModerationEvent) -> None:
        self.events.emit("event", event)
