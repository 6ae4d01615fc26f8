"""Every room on this node: who is where, what they publish, and what ends when.

    enter ──▶ attached ── detach ──▶ resuming ── resume, enter ──▶ attached
                 │                      │ after 15 s
                 │                      ▼
                 └── leave, kick ──▶  gone  ◀── without a session: 20 s without heartbeat, /im or push

Rules: docs/rooms.md. All calls are synchronous and cheap. A call first changes all state, then announces
(`events.on("event", listener)`) and tells the replaced sessions, in one order for everybody: a listener sees the state
after the call, and what a listener makes happen is announced after what it hears now.

Invariants: a user of an app is in at most one room; a member has at most one control session; a listed stream has a
member, and a live one without member is loose (live.py); a room without members goes (unless its policy keeps it).

What moderators decide (rooms/moderation) is shown here: a muted stream, rights that differ from the ticket's, a ban.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal

from pyee import EventEmitter

from gateway.base.config import RoomsConfig
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
from gateway.rooms.directory.records import Changes, Snapshot, StreamIdRecord
from gateway.rooms.directory.register import Register
from gateway.rooms.moderation import Moderation, ModerationEvent, RoomModerated
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import (
    POLICIES,
    ControlSession,
    Member,
    Room,
    RoomKey,
    RoomPolicy,
    StreamKind,
    check_user_id,
)

MAX_NICK: Final = 256
MAX_INFO: Final = 4096
MAX_URLS: Final = 256
"""URLs remembered per member; the oldest go first."""
MAX_DRAWN: Final = 2147483647
DRAWS: Final = 1000

Source = Literal["heartbeat", "im", "rtmp", "ws"]
_EXPIRED: Final = 9


@dataclasses.dataclass(frozen=True, slots=True)
class StreamOwner:
    room: RoomKey
    user_id: str
    kind: StreamKind


class Directory:
    """The rooms of all apps. `bizids` gives each app's bizid, for stream ids. Use it from one thread."""

    def __init__(self, config: RoomsConfig, bizids: Mapping[int, str], moderation: Moderation | None = None) -> None:
        self._config = config
        names = ("admin", "administrator", *config.administrators, *config.reserved_users)
        self._reserved = {name.lower() for name in names}
        self.moderation = moderation or Moderation(config.administrators)
        self._register = Register(config.resume_s, bizids, self.moderation)
        self.moderation.creator_of = self.creator_of
        self.moderation.events.on("event", self._on_decision)

    # --- questions

    @property
    def events(self) -> EventEmitter:
        """`events.on("event", listener)`: the listener gets each RoomEvent; it must not raise, block or call back."""
        return self._register.outbox.events

    @property
    def rooms(self) -> Mapping[RoomKey, Room]:
        return self._register.index.rooms

    @property
    def members(self) -> Collection[Member]:
        return self._register.members.values()

    def room(self, key: RoomKey) -> Room:
        """Raises NoSuchRoom."""
        room = self._register.index.rooms.get(key)
        if room is None:
            raise NoSuchRoom(f"there is no room {key.id}")
        return room

    def member(self, app: int, user_id: str) -> Member | None:
        """Return the user's member, in whatever room it is."""
        return self._register.members.get((app, user_id))

    def member_in(self, key: RoomKey, user_id: str) -> Member | None:
        """Return the user's member if it is in that room."""
        member = self._register.members.get((key.app, user_id))
        return member if member is not None and member.key == key else None

    def is_present(self, member: Member) -> bool:
        """Whether this very stay goes on."""
        return self._register.is_present(member)

    def list_rooms(
        self,
        app: int,
        room_type: str | None = None,
        index: int = 0,
        count: int = 10,
        kinds: Collection[str] | None = None,
    ) -> list[Room]:
        """Return rooms with members, oldest first; a missing type (here or at the room) stands for any."""
        return self._register.index.list(app, room_type or "", index, count, kinds)

    def page_of_rooms(self, app: int, after: int, count: int) -> list[Room]:
        """Return rooms in order of creation, also empty ones: those after the room whose `serial` is `after`."""
        return self._register.index.page(app, after, count)

    def check_guest(self, app: int, user_id: str) -> None:
        """Whether somebody without a ticket may use this id. Raises NotPermitted (reserved), NameTaken (present)."""
        if user_id.startswith("@") or user_id.lower() in self._reserved:
            raise NotPermitted(f"the user id {user_id} is reserved")
        present = self._register.members.get((app, user_id))
        if present is not None and not present.guest:
            raise NameTaken(f"{user_id} is present by a ticket")

    def creator_of(self, key: RoomKey) -> str:
        """Return whose word counts in the room as its creator's; "" if nobody's does.

        Nor does that of a guest who bears the name of a creator that had a ticket.
        """
        room = self._register.index.rooms.get(key)
        if room is None:
            return ""
        present = room.members.get(room.creator)
        borrowed = present is not None and present.guest and not room.creator_is_guest
        return "" if borrowed else room.creator

    # --- rooms

    def draw_room_id(self, app: int, draw: Callable[[], int]) -> RoomKey:
        """Return a free number room; `draw` gives random numbers, of which 1..2147483647 count. Raises TooMany."""
        for _ in range(DRAWS):
            number = draw()
            if 1 <= number <= MAX_DRAWN:
                key = RoomKey(app, str(number))
                if key not in self._register.index.rooms:
                    return key
        raise TooMany("no free room number found")

    def create_room(
        self,
        key: RoomKey,
        *,
        creator: str,
        info: str = "",
        room_type: str = "",
        policy: RoomPolicy = POLICIES["page"],
        creator_is_guest: bool | None = None,
        now: float,
    ) -> Room:
        """Make a room without members; it goes after `policy.idle_s` if nobody enters.

        `creator_is_guest` None: whoever enters first under the creator's name settles it.

        Raises NameTaken (it exists), BadRequest (info or type too long), TooMany (rooms).
        """
        if key in self._register.index.rooms:
            raise NameTaken(f"room {key.id} exists")
        if len(info) > MAX_INFO or len(room_type) > MAX_INFO:
            raise BadRequest(f"roomInfo and roomType may have {MAX_INFO} characters")
        self._check_room_limit()
        room = self._register.add_room(key, creator, info, room_type, policy, now)
        room.creator_is_guest = creator_is_guest
        self._register.deadlines.set(room, now + policy.idle_s)
        self._register.outbox.deliver()
        return room

    def close_room(self, key: RoomKey) -> None:
        """End a room: its members leave (`disbanded`), their sessions are told `room_disband`. Raises NoSuchRoom."""
        self._register.disband(self.room(key))
        self._register.outbox.deliver()

    def _check_room_limit(self) -> None:
        if len(self._register.index.rooms) >= self._config.max_rooms:
            raise TooMany(f"there are {len(self._register.index.rooms)} rooms, the limit of this server")

    # --- coming

    def enter(
        self,
        key: RoomKey,
        user_id: str,
        *,
        privileges: Privilege,
        nick: str = "",
        session: ControlSession | None,
        guest: bool = False,
        audience: bool = False,
        create: RoomPolicy | None = None,
        now: float,
    ) -> Member:
        """Admit a user whose ticket has been checked; `create` makes the room if need be. Return its member.

        `privileges` is what the ticket grants in the user's role, `audience` whether that role is to send nothing.

        The user's older control session is told `replaced`; without a session (REST) the attached one stays. A member
        already there keeps its place and its streams, one in another room leaves that first. Nothing changes if this
        raises: BadRequest (id, nick), NotPermitted (no ENTER; no CREATE for a new room; banned; reserved id),
        NameTaken (a guest with a present user's id), NoSuchRoom, RoomFull, TooMany (rooms).
        """
        check_user_id(user_id)
        if len(nick) > MAX_NICK:
            raise BadRequest(f"nickName may have {MAX_NICK} characters")
        if guest:
            self.check_guest(key.app, user_id)
        if self.moderation.is_banned(key, user_id):
            raise NotPermitted(f"{user_id} is banned from room {key.id}")
        if not privileges & Privilege.ENTER:
            raise NotPermitted("the ticket has no right to enter (bit 2)")
        room = self._register.index.rooms.get(key)
        present = self._register.members.get((key.app, user_id))
        if room is None:
            if create is None:
                raise NoSuchRoom(f"there is no room {key.id}")
            if not privileges & Privilege.CREATE:
                raise NotPermitted(f"there is no room {key.id}, and the ticket has no right to create it (bit 1)")
            self._check_room_limit()
        elif not room.has_place(user_id, audience=audience):
            raise RoomFull(f"room {key.id} is full ({room.policy.capacity})")

        if present is not None and present.key != key:
            self._register.drop(present, "moved", "replaced", by=session)
        if room is None and create is not None:
            room = self._register.add_room(key, user_id, "", "", create, now)
        assert room is not None
        self._register.blocks.admitted(key, user_id)
        member = room.members.get(user_id)
        if member is None:
            member = self._register.add_member(room, user_id, nick, privileges, audience, guest, now)
        else:
            member.guest = member.guest and guest
            self._register.change(member, nick or member.nick, privileges, audience)
        if session is None:
            member.last_seen = now
            member.alive_until = max(member.alive_until, now + room.policy.heartbeat_s)
        else:
            self._register.tokens.drop(key.app, user_id)
            self._register.attach(member, session, now)
        self._register.streams.adopt_all(member)
        self._register.changed(member)
        self._register.outbox.deliver()
        return member

    def resume(
        self, key: RoomKey, user_id: str, session: ControlSession, now: float, *, token: str | None = None
    ) -> Member:
        """Give the member of an earlier session to `session`. The token stands in for tickets and is used up.

        Without `token` the caller has checked tickets itself. Raises BadTicket (8 not valid, 9 too late),
        NoSuchMember.
        """
        if token is not None:
            self._register.tokens.check(token, key, user_id)
        member = self.member_in(key, user_id)
        if member is None:
            raise NoSuchMember(f"{user_id} is no longer in room {key.id}")
        if token is not None:
            if member.session is None and (member.resume_until is None or now > member.resume_until):
                raise BadTicket("the resume token has expired", code=_EXPIRED)
            self._register.tokens.drop(key.app, user_id)
        self._register.attach(member, session, now)
        self._register.changed(member)
        self._register.outbox.deliver()
        return member

    def issue_resume_token(self, member: Member, random: bytes) -> str:
        """Return a new token from 32 random bytes; the older one is void. Raises NoSuchMember, ValueError."""
        if not self.is_present(member):
            raise NoSuchMember(f"{member.user_id} is no longer there")
        token = self._register.tokens.issue(member.key, member.user_id, random)
        self._register.changed(member)
        return token

    def update_member(
        self,
        member: Member,
        *,
        nick: str | None = None,
        privileges: Privilege | None = None,
        audience: bool | None = None,
    ) -> None:
        """Change nick, or what the ticket grants in the member's role (as `enter`); None leaves as is.

        Streams lose what may no longer be sent, and get back what may be sent again. Raises RoomFull: no seat is free
        for a viewer who wants to send.
        """
        if not self.is_present(member):
            return
        if audience is False and not member.room.has_place(member.user_id, audience=False):
            raise RoomFull(f"room {member.key.id} is full ({member.room.policy.capacity})")
        if nick is not None and len(nick) > MAX_NICK:
            raise BadRequest(f"nickName may have {MAX_NICK} characters")
        self._register.change(
            member,
            member.nick if nick is None else nick,
            member.granted if privileges is None else privileges,
            member.audience if audience is None else audience,
        )
        self._register.outbox.deliver()

    def show_pusher(self, member: Member, avatar: str) -> None:
        """List the member among its room's pushers, with this picture (an address, "" for none)."""
        if self.is_present(member):
            member.pusher, member.avatar = True, avatar
            self._register.changed(member)

    def set_custom(self, room: Room, name: str, value: int | str) -> None:
        """Set a custom field of the room. The caller bounds their number and size."""
        room.custom[name] = value
        self._register.dirty.rooms.add(room.key)

    # --- going

    def detach(self, member: Member, session: ControlSession, now: float) -> None:
        """The control session has died: the member may be resumed for a while. Nothing if another has its place."""
        if member.session is not session or not self.is_present(member):
            return
        member.session = None
        member.resume_until = now + self._config.resume_s
        member.alive_until = max(member.alive_until, member.resume_until)
        self._register.changed(member)

    def leave(self, member: Member, reason: str, now: float) -> None:
        """End a stay. A session that the member still has is not told by a call: it hears MemberLeft."""
        if self.is_present(member):
            self._register.drop(member, reason, "")
            self._register.outbox.deliver()

    def kick(self, key: RoomKey, user_id: str, *, ban: bool = False) -> bool:
        """Throw a user out; return whether it was there. The URLs issued to it here are blocked until it enters again.

        `ban`: it cannot enter until `unban`. Its session is told `kick`, or `banned` if it is. Works for an absent
        user too.
        """
        if ban:
            self.moderation.ban(key, user_id)
        self._register.blocks.block(key, user_id)
        member = self.member_in(key, user_id)
        if member is not None:
            self._register.drop(member, "kicked", "banned" if self.is_banned(key, user_id) else "kick")
        else:
            self._register.outbox.announce(events.StrangerRemoved(key, user_id))
        self._register.outbox.deliver()
        return member is not None

    def unban(self, key: RoomKey, user_id: str) -> None:
        """Let the user enter again. Its old URLs stay blocked until it does."""
        self.moderation.unban(key, user_id)

    def readmit(self, key: RoomKey, user_id: str) -> None:
        """URLs issued to a kicked user are good again, as by entering. Nothing for one who is banned."""
        if not self.is_banned(key, user_id):
            self._register.blocks.admitted(key, user_id)

    def is_blocked(self, key: RoomKey, user_id: str) -> bool:
        """Whether URLs issued to this user in this room are void (kicked or banned, not admitted since)."""
        return self._register.blocks.is_blocked(key, user_id)

    def is_banned(self, key: RoomKey, user_id: str) -> bool:
        return self.moderation.is_banned(key, user_id)

    def _on_decision(self, decision: ModerationEvent) -> None:
        """Show what a moderator has decided about members who are there."""
        if isinstance(decision, RoomModerated):
            room = self._register.index.rooms.get(decision.room)
            members = list(room.members.values()) if room is not None else []
        else:
            member = self.member_in(decision.room, decision.user_id)
            members = [] if member is None else [member]
        for member in members:
            self._register.change(member, member.nick, member.granted, member.audience)
            self._register.streams.live.refresh(member)
            self._register.changed(member)
        self._register.outbox.deliver()

    def touch(self, member: Member, source: Source, now: float) -> None:
        """The member has shown life. Only heartbeat, im and rtmp keep one without a control session."""
        member.last_seen = now
        if source == "ws":
            return
        member.alive_until = max(member.alive_until, now + member.room.policy.heartbeat_s)
        if self.is_present(member):
            self._register.reschedule(member)

    def expire(self, now: float) -> None:
        """End what is over: silent members, paused streams, rooms that nobody entered. Call it each second."""
        for key in self._register.deadlines.due(now):
            if isinstance(key, Member):
                self._register.drop(key, "timeout", "")
            elif isinstance(key, Room):
                self._register.close(key, "idle")
            else:
                member, info = key
                self._register.streams.live.given_up(member, info)
                self._register.changed(member)
        self._register.outbox.deliver()

    def next_deadline(self) -> float | None:
        """Return a time before which `expire` has nothing to do, None if nothing can expire."""
        return self._register.deadlines.next()

    # --- streams

    def stream_id(self, room: RoomKey, user_id: str, kind: StreamKind, random_hex: Callable[[], str]) -> str:
        """Return the stream id of this user in this room, allocated at the first call, whether it is there or not.

        `random_hex` gives at least 16 new hexadecimal digits. Raises BadRequest (user id), ValueError (no bizid).
        """
        stream_id = self._register.streams.allocate(room.app, room, check_user_id(user_id), kind, random_hex)
        self._register.outbox.deliver()
        return stream_id

    def roomless_stream_id(self, app: int, user_id: str, random_hex: Callable[[], str]) -> str:
        """Return the id issued to this user without a room, for `claim_stream` later. As `stream_id`."""
        return self._register.streams.allocate(app, None, check_user_id(user_id), StreamKind.MAIN, random_hex)

    def find_stream_id(self, room: RoomKey, user_id: str, kind: StreamKind) -> str | None:
        """Return the id if it has been allocated."""
        return self._register.streams.ids.find(room, user_id, kind)

    def lookup_stream(self, stream_id: str) -> StreamOwner | None:
        """Return whose stream it is, present or not; None if it is roomless."""
        record = self._register.streams.ids.get(stream_id)
        return None if record is None or record.room is None else StreamOwner(record.room, record.user_id, record.kind)

    def issued_to(self, stream_id: str) -> tuple[int, str] | None:
        """Return (app, user) to whom the id was given, with or without a room."""
        record = self._register.streams.ids.get(stream_id)
        return None if record is None else (record.app, record.user_id)

    def claim_stream(self, stream_id: str, key: RoomKey, user_id: str, kind: StreamKind = StreamKind.MAIN) -> None:
        """Make a roomless stream, or another one of the user's own, its stream in this room.

        For ids whose push URL has been verified. Raises NotPermitted if the id was issued to somebody else.
        """
        self._register.streams.claim(stream_id, key, user_id, kind)
        self._register.outbox.deliver()

    def adopt_stream_ids(self, allocated: Collection[StreamIdRecord]) -> None:
        """Take over ids that another process (`sign url`) has allocated in the store."""
        self._register.streams.adopt_records(allocated)
        self._register.outbox.deliver()

    def stream_started(
        self, stream_id: str, *, transport: str, audio: bool = False, video: bool = False, now: float
    ) -> None:
        """A publisher of `stream_id` has begun (in the place of an older one, if there is one).

        `transport` is "webrtc", "rtmp" or "whip"; the last two keep the member alive while they last. What the
        member's rights do not cover is not shown. An id that nobody owns, or whose owner is away, is live all the same.
        """
        self._register.streams.started(stream_id, transport, audio, video, now)
        self._register.outbox.deliver()

    def stream_updated(
        self,
        stream_id: str,
        *,
        audio: bool | None = None,
        video: bool | None = None,
        audio_muted: bool | None = None,
        video_muted: bool | None = None,
    ) -> None:
        """What the stream carries, or its mutes, have changed; None leaves as is. Nothing if it is not live."""
        self._register.streams.updated(stream_id, audio, video, audio_muted, video_muted)
        self._register.outbox.deliver()

    def stream_stopped(self, stream_id: str, now: float) -> None:
        """The publisher is gone and nobody has its place. Of a member that may resume the stream is only paused."""
        self._register.streams.stopped(stream_id, now)
        self._register.outbox.deliver()

    def is_live(self, stream_id: str) -> bool:
        """Whether the stream has a publisher now, loose or not."""
        return stream_id in self._register.streams.live.publishing

    # --- URLs

    def remember_url(self, member: Member, purpose: str, url: str) -> None:
        """Keep a URL in `member.urls` for its whole stay: a changed one would restart the player that has it.

        `purpose` names form and stream (`push:<stream>`, `rtc:<stream>`). Look there before making another.
        """
        if not self.is_present(member):
            return
        if len(member.urls) >= MAX_URLS and purpose not in member.urls:
            del member.urls[next(iter(member.urls))]
        member.urls[purpose] = url
        self._register.changed(member)

    # --- lasting

    def take_changes(self) -> Changes:
        """Return the records that changed since the last call, for the store."""
        return self._register.take_changes()

    def restore(self, saved: Snapshot, policies: Mapping[str, RoomPolicy], now: float) -> None:
        """Fill an empty directory from the store. Announces nothing; what does not fit together is left out.

        Members have one heartbeat time to show life, those with a resume token RESTART_RESUME_S to use it.
        """
        self._register.restore(saved, policies, now)
