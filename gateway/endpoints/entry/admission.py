"""The four moves of every way in: verify ticket → enter room → attach media → leave in `finally`.

`Entry` is what all endpoints share. Tickets are verified by `entry.tickets`; the methods here put members into rooms
and take them out, admit publishers and players by their URLs, and tell the directory what media flows, whatever the
transport. Invariant: media passes only with the bit for it: sound 4 up and 8 down, picture 16 and 32, the auxiliary
stream 64 and 128 (its sound needs the sound bit besides).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final
from weakref import WeakKeyDictionary

from gateway.base.clock import Clock, monotonic, wall
from gateway.base.config import RtcConfig, UrlsConfig
from gateway.base.errors import BadRequest, NoSuchStream, NotPermitted, Refused
from gateway.endpoints.entry.flows import Flows
from gateway.endpoints.entry.grants import PlayGrant, PlayItem, PushGrant, play_grant, push_grant
from gateway.endpoints.entry.ice_servers import IceServers
from gateway.endpoints.entry.messages import Messages
from gateway.endpoints.entry.moderator import Moderator
from gateway.endpoints.entry.publishing import SELF_MADE, LiveWatch, Publishing
from gateway.endpoints.entry.tickets import Tickets
from gateway.endpoints.entry.urls import Bases, PlayForm, Urls
from gateway.media.live.stream import Start
from gateway.media.streams import Stream, Streams
from gateway.rooms import events
from gateway.rooms.directory import Directory
from gateway.rooms.groups import Groups
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import ControlSession, Member, Room, RoomKey, RoomPolicy, StreamKind, check_user_id
from gateway.rooms.tickets import urlsig

MAX_ROOM_NUMBER: Final = 2147483647
MAX_AWAITED: Final = 20_000
MAX_DISMISSED: Final = 10_000


class Entry:
    """See the module. `random(n)` gives n random bytes. Everything runs on the event loop."""

    def __init__(
        self,
        *,
        tickets: Tickets,
        urls: Urls,
        directory: Directory,
        streams: Streams,
        policies: Mapping[str, RoomPolicy],
        url_rules: UrlsConfig,
        random: Callable[[int], bytes],
        clock: Clock = monotonic,
        dev: bool = False,
        ice_servers: IceServers | None = None,
        groups: Groups | None = None,
    ) -> None:
        self.tickets = tickets
        self.urls = urls
        self.directory = directory
        self.streams = streams
        self.policies = policies
        self.dev = dev
        self.ice_servers = ice_servers or IceServers(RtcConfig(), wall)
        self.clock = clock
        self.random = random
        self.messages = Messages(groups if groups is not None else Groups(), directory, streams, clock)
        self.moderator = Moderator(directory, self.messages, clock)
        self._open_play = url_rules.open_play
        self._watches: WeakKeyDictionary[Stream, LiveWatch] = WeakKeyDictionary()
        self.flows = Flows(directory)
        self.publishers: dict[str, Publishing] = {}
        """Whose media the directory shows now, by stream id."""
        self.awaited: OrderedDict[tuple[RoomKey, str], None] = OrderedDict()
        """Who comes in by RoomService's `add_pusher`: publishing alone must make no room of the page's kind."""
        self.dismissed: OrderedDict[RoomKey, None] = OrderedDict()
        """Rooms that were ended for all: an encoder that connects again by itself must not open them again."""
        directory.events.on("event", self._on_event)

    # --- rooms and members

    def enter(
        self,
        room: RoomKey,
        user_id: str,
        privileges: Privilege,
        *,
        nick: str = "",
        session: ControlSession | None = None,
        guest: bool = False,
        audience: bool = False,
        policy: str = "page",
    ) -> Member:
        """Put a ticket's holder into the room; the room is made by `policy` ("": never) if the rights allow it.

        Raises NotPermitted, NoSuchRoom, RoomFull, NameTaken, TooMany.
        """
        if not privileges & Privilege.ENTER:
            raise NotPermitted("the ticket does not grant entry (bit 2)")
        return self.directory.enter(
            room,
            user_id,
            privileges=privileges,
            nick=nick,
            session=session,
            guest=guest,
            audience=audience,
            create=self.policies[policy] if policy else None,
            now=self.clock(),
        )

    def join(self, room: RoomKey, user_id: str, privileges: Privilege, *, nick: str = "") -> Member:
        """Enter without a control session of one's own (get_push_url, WHIP): a session that is there stays."""
        return self.enter(room, user_id, privileges, nick=nick)

    def leave(self, member: Member, reason: str) -> None:
        self.directory.leave(member, reason, self.clock())

    def create_room(self, room: RoomKey, user_id: str, *, nick: str, info: str, room_type: str, guest: bool) -> Member:
        """Make a room of the old service with its creator in it."""
        now = self.clock()
        policy = self.policies["webrtc"]
        self.directory.create_room(room, creator=user_id, info=info, room_type=room_type, policy=policy, now=now)
        return self.directory.enter(
            room, user_id, privileges=Privilege.ALL, nick=nick, session=None, guest=guest, create=None, now=now
        )

    def quit(self, room: RoomKey, user_id: str) -> None:
        """The old service's quit_room: nothing if the user is not there."""
        member = self.directory.room(room).members.get(user_id)
        if member is not None:
            self.leave(member, "left")

    def heartbeat(self, room: RoomKey, user_id: str) -> None:
        member = self.directory.room(room).members.get(user_id)
        if member is not None:
            self.directory.touch(member, "heartbeat", self.clock())

    def draw_room(self, app: int) -> RoomKey:
        """Return a free number room, 1..2147483647 at random."""
        return self.directory.draw_room_id(app, lambda: 1 + int.from_bytes(self.random(4), "big") % MAX_ROOM_NUMBER)

    def draw_user_id(self) -> str:
        """Return a made-up user id in the old form `user_xxxxxxxx_xxxx`."""
        digits = self.random(6).hex()
        return f"user_{digits[:8]}_{digits[8:]}"

    def is_full(self, room: RoomKey, user_id: str) -> bool:
        """True if `user_id` would find no place; whoever is in already does not count against itself."""
        found = self.directory.room(room)
        return user_id not in found.members and len(found.members) >= found.policy.capacity

    def is_protected(self, app: int, user_id: str) -> bool:
        """True if a guest may not take this name: reserved, or in use by somebody who came with a ticket."""
        try:
            self.directory.check_guest(app, user_id)
        except Refused:
            return True
        return False

    def list_rooms(self, app: int, room_type: str, index: int, count: int) -> list[Room]:
        """Return rooms of browsers and mini programs; RoomService has lists of its own."""
        return self.directory.list_rooms(app, room_type, index, count, SELF_MADE)

    def await_pusher(self, room: RoomKey, user_id: str) -> None:
        """This user's publisher in this room waits for `add_pusher`. Bounded: those named longest ago go."""
        self.awaited[(room, user_id)] = None
        self.awaited.move_to_end((room, user_id))
        if len(self.awaited) > MAX_AWAITED:
            self.awaited.popitem(last=False)

    def _on_event(self, event: events.RoomEvent) -> None:
        if isinstance(event, events.RoomCreated):
            self.dismissed.pop(event.room, None)
        elif isinstance(event, events.RoomClosed) and event.reason == "disbanded":
            self.dismissed[event.room] = None
            if len(self.dismissed) > MAX_DISMISSED:
                self.dismissed.popitem(last=False)

    # --- URLs

    def stream_id(self, room: RoomKey, user_id: str, kind: StreamKind) -> str:
        """Return the stream's id, allocated now if it has none."""
        return self.directory.stream_id(room, user_id, kind, lambda: self.random(8).hex())

    def push_url(self, member: Member, kind: StreamKind, bases: Bases) -> str:
        """Return the member's own push URL, the same for its whole stay; "" if it may send nothing of that stream."""
        if not (member.may_send(kind, video=False) or member.may_send(kind, video=True)):
            return ""
        stream = self.stream_id(member.key, member.user_id, kind)
        purpose = f"push:{stream}"
        url = member.urls.get(purpose)
        if url is None:
            app = self.tickets.app(member.key.app)
            url = self.urls.push(app, stream, member.user_id, member.privileges, bases)
            self.directory.remember_url(member, purpose, url)
        return url

    def play_url(self, viewer: Member, stream: str, bases: Bases, form: PlayForm = "rtc") -> str:
        """Return the URL by which `viewer` plays `stream`: byte-identical for its whole stay."""
        purpose = f"{form}:{stream}"
        url = viewer.urls.get(purpose)
        if url is None:
            app = self.tickets.app(viewer.key.app)
            url = self.urls.play(app, stream, viewer.user_id, viewer.privileges, form, bases)
            self.directory.remember_url(viewer, purpose, url)
        return url

    def play_list(self, viewer: Member, bases: Bases, *, aux: bool = False) -> list[PlayItem]:
        """Return what the others publish and `viewer` may receive, by time of publishing; screens only if asked for."""
        items = []
        for kind in (StreamKind.MAIN, StreamKind.AUX) if aux else (StreamKind.MAIN,):
            for member, info in viewer.room.published(kind):
                if member is not viewer and (
                    viewer.may_receive(kind, video=False) or viewer.may_receive(kind, video=True)
                ):
                    url = self.play_url(viewer, info.stream_id, bases)
                    items.append((info.started_at, PlayItem(member.user_id, kind, url)))
        items.sort(key=lambda pair: pair[0])
        return [item for _, item in items]

    # --- publishers and players by URL

    def admit_push(self, stream: str, query: Mapping[str, str]) -> PushGrant:
        """Admit an RTMP publisher of `/live/<stream>`. Raises BadTicket, NotPermitted.

        Needs the push key's signature and nothing else: stock clients publish before their room knows them. An id that
        the directory does not know is a roomless stream.
        """
        app = self.tickets.app_of_stream(stream)
        grant = self.tickets.url(app, stream, query, urlsig.PUBLISH)
        owner, granted = self.directory.lookup_stream(stream), grant.privileges
        if owner is None:
            now = Privilege.ALL if granted is None else granted
            return self._watched(push_grant(stream, StreamKind.MAIN, granted, None, "", now=now))
        if grant.user_id is not None and grant.user_id != owner.user_id:
            raise NotPermitted("the URL was issued to another user")
        if self.directory.is_blocked(owner.room, owner.user_id):
            raise NotPermitted("the URL was withdrawn")
        now = self.flows.rights(owner.room, owner.user_id, granted)
        return self._watched(push_grant(stream, owner.kind, granted, owner.room, owner.user_id, now=now))

    def admit_play(self, stream: str, query: Mapping[str, str]) -> PlayGrant:
        """Admit a player of `/live/<stream>`. Raises BadTicket, NotPermitted.

        Any of the three keys will do. Without a member's grant the URL came from a business server and plays all.
        """
        if not urlsig.is_stream_name(stream):
            raise NoSuchStream("no such stream name")
        owner = self.directory.lookup_stream(stream)
        room, kind = (None, StreamKind.MAIN) if owner is None else (owner.room, owner.kind)
        if self._open_play and not any(query.get(name) for name in ("txSecret", "txSerect", "txTime")):
            return play_grant(stream, kind, None, room, "", now=Privilege.ALL, start=Start.GOP)
        app = self.tickets.app_of_stream(stream)
        grant = self.tickets.url(app, stream, query, urlsig.PLAY)
        start = Start.GOP if grant.key_name == "play" else Start.NEWEST_KEY
        if grant.user_id is None or grant.privileges is None:
            return play_grant(stream, kind, None, room, "", now=Privilege.ALL, start=start)
        user_id, granted = grant.user_id, grant.privileges
        if room is None:
            return play_grant(stream, kind, granted, None, user_id, now=granted, start=start)
        if self.directory.is_blocked(room, user_id):
            raise NotPermitted("the URL was withdrawn")
        now = self.flows.rights(room, user_id, granted)
        return play_grant(stream, kind, granted, room, user_id, now=now, start=start)

    def admit_room_push(self, room: str, query: Mapping[str, str]) -> PushGrant:
        """Admit an RTMP publisher of `/push/<room>?sdkappid=&userid=&usersig=&privatemapkey=`: string rooms.

        Raises BadTicket, BadRequest, NotPermitted.
        """
        names = {name.lower(): value for name, value in query.items()}
        app_id = names.get("sdkappid", "")
        if app_id and not (app_id.isascii() and app_id.isdecimal() and len(app_id) <= 10):
            raise BadRequest("sdkappid: a number is needed")
        app = self.tickets.app(int(app_id) if app_id else None)
        user_id = check_user_id(names.get("userid"))
        key = RoomKey.parse(app.sdk_app_id, room, force_text=True)
        rights = self.tickets.room(app, user_id, key, names.get("usersig", ""), names.get("privatemapkey", ""))
        if not rights & Privilege.ENTER:
            raise NotPermitted("the ticket does not grant entry (bit 2)")
        if self.directory.is_banned(key, user_id):
            raise NotPermitted("the user is banned from this room")
        stream, now = self.stream_id(key, user_id, StreamKind.MAIN), self.flows.rights(key, user_id, rights)
        return self._watched(push_grant(stream, StreamKind.MAIN, rights, key, user_id, now=now))

    def grant_push(self, room: RoomKey, user_id: str, kind: StreamKind, rights: Privilege) -> PushGrant:
        """Return the grant of a publisher whose ticket has been verified otherwise. Raises NotPermitted."""
        return push_grant(self.stream_id(room, user_id, kind), kind, rights, room, user_id, now=rights)

    def find_member(self, room: RoomKey, user_id: str) -> Member | None:
        """Return the member if the user is in that room."""
        return self.directory.member_in(room, user_id)

    # --- media that flows

    def publishing(self, grant: PushGrant, transport: str) -> Publishing:
        """Return what an admitted publisher says its media to; see `Publishing`."""
        return Publishing(self, grant, transport)

    def _watched(self, grant: PushGrant) -> PushGrant:
        """From here on the directory hears of the frames that come for this RTMP publisher."""
        stream = self.streams.open(grant.stream_id)
        watch = self._watches.get(stream)
        if watch is None:
            self._watches[stream] = LiveWatch(stream, self.publishing(grant, "rtmp"))
        else:
            watch.publishing.grant = grant
        return grant
