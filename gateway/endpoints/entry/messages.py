"""What members say to each other, for every face: signaling, its datachannel and `/im` do these things and no others.

A face reads a request, calls one method here, and answers with what it returns; what others hear, it hears itself by
listening to `groups.events`. Texts of people stay out of logs and errors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from pyee import EventEmitter

from gateway.base.clock import Clock, monotonic, wall
from gateway.base.errors import NoSuchMember, NoSuchStream, NotPermitted
from gateway.media.streams import Streams
from gateway.media.view import StreamView, view
from gateway.rooms.directory import Directory
from gateway.rooms.events import MemberLeft, RoomEvent, StrangerRemoved
from gateway.rooms.groups import Groups, Receipt
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import Member, RoomKey, StreamKind
from gateway.wire.chat import Backlog, Body, Position, Range

NEWEST: Final = 50
"""Messages that a newcomer gets."""
MOST_MISSED: Final = 500
"""Messages that one who comes back gets at once; it asks for the rest."""
MAX_BYTES: Final = 512 * 1024
"""Of the messages in one answer: with an outbox of 4 MB that alone must never close a socket as too slow."""
SENDING: Final = Privilege.SEND_AUDIO | Privilege.SEND_VIDEO | Privilege.SEND_AUX


class Messages:
    """See the module. All methods are synchronous; they raise what the groups raise, and what they say."""

    def __init__(
        self,
        groups: Groups,
        directory: Directory,
        streams: Streams,
        clock: Clock = monotonic,
        wall: Callable[[], float] = wall,
    ) -> None:
        self.groups = groups
        self._directory = directory
        self._streams = streams
        self._clock = clock
        self._wall = wall
        self.elsewhere: list[Callable[[int, str], bool]] = []
        """Faces that can tell a user (app, id) something without a session in a room: each says whether it can now."""
        self.fetches: Callable[[int, str], bool] = lambda app, user_id: False
        """Whether a user comes for what waits for it by itself, in polls: the old IM says so."""
        directory.events.on("event", self._on_room_event)

    @property
    def events(self) -> EventEmitter:
        """`events.on("event", listener)`: the listener gets each GroupEvent; it must not raise, block or call back."""
        return self.groups.events

    def now_ms(self) -> int:
        return int(self._wall() * 1000)

    def _on_room_event(self, event: RoomEvent) -> None:
        self.groups.on_room_event(event)
        if isinstance(event, StrangerRemoved) or (isinstance(event, MemberLeft) and event.reason == "kicked"):
            self.groups.remove(event.room, event.user_id, self._clock(), self.now_ms())

    def _check_present(self, member: Member) -> None:
        """What a member that has gone says must not bring the list of a closed room back."""
        if not self._directory.is_present(member):
            raise NoSuchMember(f"{member.user_id} has left the room")

    def post(self, member: Member, random: int, body: Body) -> Receipt:
        """Say something to the room. Raises TooMany, TooLarge, ShuttingDown, NoSuchMember (it has left)."""
        self._check_present(member)
        return self.groups.post(
            member.key, member.user_id, member.nick, random, body, now=self._clock(), now_ms=self.now_ms()
        )

    def post_direct(self, member: Member, to: str, random: int, body: Body) -> Receipt:
        """Say something to one user of the app, in whatever room it is; for one who is away it waits. As `post`."""
        self._check_present(member)
        return self.post_direct_as(member.key.app, member.user_id, member.nick, to, random, body)

    def post_direct_as(
        self, app: int, sender: str, nick: str, to: str, random: int, body: Body, sender_seq: int | None = None
    ) -> Receipt:
        """The same for a user whose login has been checked, and who may be in no room."""
        live = self.is_connected(app, to)
        return self.groups.post_direct(
            app,
            sender,
            nick,
            to,
            random,
            body,
            now=self._clock(),
            now_ms=self.now_ms(),
            sender_seq=sender_seq,
            live=live,
            keep=not live or self.fetches(app, to),
        )

    def is_connected(self, app: int, user_id: str) -> bool:
        """Whether a user can be told something now."""
        member = self._directory.member(app, user_id)
        if member is not None and member.session is not None:
            return True
        return any(can_tell(app, user_id) for can_tell in self.elsewhere)

    def arrived(self, app: int, user_id: str, *, guest: bool) -> None:
        """A connection of the user is there: what waits for it comes, when this moment's answers are on their way.

        A guest does not get what was written to somebody who has once come by a ticket.
        """
        if not (guest and self.groups.accounts.profile(app, user_id).proven):
            asyncio.get_running_loop().call_soon(self._deliver_waiting, app, user_id)

    def _deliver_waiting(self, app: int, user_id: str) -> None:
        if self.is_connected(app, user_id) and not self.fetches(app, user_id):
            self.groups.deliver_waiting(app, user_id)

    def post_to_group(self, key: RoomKey, sender: str, nick: str, random: int, body: Body) -> Receipt:
        """Say something to a group that the user has joined without being in its room. Raises as `post`."""
        self._check_joined(key, sender)
        return self.groups.post(key, sender, nick, random, body, now=self._clock(), now_ms=self.now_ms())

    def _check_joined(self, key: RoomKey, user_id: str) -> None:
        if self.groups.joined(key.app, user_id) != key:
            raise NoSuchMember(f"{user_id} is not in the group")

    def post_custom(self, member: Member, cmd_id: int, data: bytes) -> int:
        """Send a custom message to the others; return its number. Raises NotPermitted, TooMany, ShuttingDown."""
        self._check_present(member)
        if not member.privileges & SENDING:
            raise NotPermitted("custom messages need a right to send (bits 4, 16, 64)")
        return self.groups.post_custom(member.key, member.user_id, cmd_id, data, now=self._clock())

    def history(self, member: Member, wanted: Range, max_bytes: int = MAX_BYTES) -> Backlog:
        """Return messages of the member's room, at most `max_bytes` of them (but one at least)."""
        self._check_present(member)
        return self.groups.group(member.key, self.now_ms()).read(wanted, max_bytes)

    def missed(self, member: Member, position: Position | None, *, newest: int = NEWEST) -> Backlog:
        """Return what a member gets that comes: all after `position`, else the `newest`.

        What waits for the user itself follows.
        """
        self._check_present(member)
        self.arrived(member.key.app, member.user_id, guest=member.guest)
        group = self.groups.group(member.key, self.now_ms())
        return group.missed(position, newest, MOST_MISSED, MAX_BYTES)

    def group_history(self, key: RoomKey, user_id: str, wanted: Range, max_bytes: int = MAX_BYTES) -> Backlog:
        """Return messages of a group that the user has joined."""
        self._check_joined(key, user_id)
        return self.groups.group(key, self.now_ms()).read(wanted, max_bytes)

    def missed_in_group(self, key: RoomKey, user_id: str, position: Position | None) -> Backlog:
        """Return what one gets that joins a group: all after `position`, else nothing, as in the old IM."""
        self._check_joined(key, user_id)
        return self.groups.group(key, self.now_ms()).missed(position, 0, MOST_MISSED, MAX_BYTES)

    def inspect(self, member: Member, user_id: str, kind: StreamKind) -> tuple[str | None, StreamView]:
        """Return the transport of somebody's stream in the member's room, and what the server does with it.

        Raises NoSuchMember, NoSuchStream (it never had one).
        """
        self._check_present(member)
        other = self._directory.member_in(member.key, user_id)
        if other is None:
            raise NoSuchMember(f"{user_id} is not in the room")
        stream_id = self._directory.find_stream_id(member.key, user_id, kind)
        if stream_id is None:
            raise NoSuchStream(f"{user_id} has no {kind.value} stream")
        stream = self._streams.get(stream_id)
        info = other.streams.get(kind)
        transport = info.transport if info is not None and info.live else None
        seen = view(stream) if stream is not None else StreamView()
        return transport, seen
