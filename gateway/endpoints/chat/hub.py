"""All `/im` connections of this node, and who among them hears what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from aiohttp import hdrs, web

from gateway.base.clock import Clock, monotonic
from gateway.base.errors import NameTaken, TooMany
from gateway.endpoints.chat.session import ImSession
from gateway.endpoints.entry import Entry
from gateway.endpoints.entry.joining import hearers
from gateway.endpoints.entry.socket import CLOSE_GOING_AWAY
from gateway.rooms import events
from gateway.rooms.groups import (
    CustomPosted,
    DirectPosted,
    GroupDissolved,
    GroupEvent,
    GroupNotice,
    GroupTip,
    MemberQuitGroup,
    MessagePosted,
    UserNotice,
)
from gateway.rooms.moderation import ModerationEvent, RightsDecided, RoomModerated
from gateway.rooms.room import RoomKey
from gateway.wire import chat

MAX_SESSIONS: Final = 20000
GRACE_S: Final = 15.0
"""A user whose connection is lost stays in its group for so long, and may come back."""


class Chat:
    """All `/im` connections of this node."""

    def __init__(self, entry: Entry, clock: Clock = monotonic) -> None:
        self.entry = entry
        self.clock = clock
        self.sessions: set[ImSession] = set()
        self._by_room: dict[RoomKey, set[ImSession]] = {}
        self._users: dict[tuple[int, str], ImSession] = {}
        """Connections without a room."""
        self._absent: dict[tuple[RoomKey, str], asyncio.TimerHandle] = {}
        """Users whose connection is lost, and who are still in a group."""
        entry.messages.elsewhere.append(lambda app, user_id: (app, user_id) in self._users)
        entry.directory.events.on("event", self._on_event)
        entry.messages.events.on("event", self._on_message)
        entry.directory.moderation.events.on("event", self._on_decision)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/im", self._handle)]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if len(self.sessions) >= MAX_SESSIONS:
            raise TooMany(f"{MAX_SESSIONS} connections", retry_after_ms=5000)
        session = ImSession(self, self.entry.urls.bases(request.headers.get(hdrs.HOST), secure=request.secure))
        self.sessions.add(session)
        try:
            return await session.run(request)
        finally:
            self.sessions.discard(session)

    async def goodbye(self) -> None:
        """The server stops: tell everybody, so that their handlers end."""
        for session in list(self.sessions):
            session.socket.close(CLOSE_GOING_AWAY, "server_stops")

    async def aclose(self) -> None:
        self.entry.directory.events.remove_listener("event", self._on_event)
        self.entry.messages.events.remove_listener("event", self._on_message)
        self.entry.directory.moderation.events.remove_listener("event", self._on_decision)
        for timer in self._absent.values():
            timer.cancel()

    # --- users without a room

    def check_arrival(self, app: int, user_id: str) -> None:
        """Whether a guest may come by this name. Raises NotPermitted, NameTaken."""
        self.entry.directory.check_guest(app, user_id)
        older = self._users.get((app, user_id))
        if older is not None and not older.guest:
            raise NameTaken(f"{user_id} is present by a ticket")

    def arrived(self, session: ImSession, app: int) -> None:
        older = self._users.get((app, session.user_id))
        self._users[(app, session.user_id)] = session
        if older is not None:
            older.kicked("replaced")

    def is_visitor(self, session: ImSession, app: int) -> bool:
        """Whether it is its user's connection without a room."""
        return self._users.get((app, session.user_id)) is session

    def gone(self, session: ImSession, app: int, group: RoomKey | None) -> None:
        """The connection has ended. Its user stays in `group` for a while, unless a newer connection is there."""
        if self._users.get((app, session.user_id)) is session:
            del self._users[(app, session.user_id)]
        if group is not None:
            absent = (group, session.user_id)
            earlier = self._absent.pop(absent, None)
            if earlier is not None:
                earlier.cancel()
            self._absent[absent] = asyncio.get_running_loop().call_later(GRACE_S, self._stayed_away, absent)

    def _stayed_away(self, absent: tuple[RoomKey, str]) -> None:
        del self._absent[absent]
        group, user_id = absent
        now = self._users.get((group.app, user_id))
        if now is None or now.group != group:
            messages = self.entry.messages
            messages.groups.quit(group, user_id, self.clock(), messages.now_ms())

    # --- who hears what

    def joined(self, session: ImSession, room: RoomKey) -> None:
        self._by_room.setdefault(room, set()).add(session)

    def parted(self, session: ImSession, room: RoomKey) -> None:
        sessions = self._by_room.get(room)
        if sessions is not None:
            sessions.discard(session)
            if not sessions:
                del self._by_room[room]

    def _on_event(self, event: events.RoomEvent) -> None:
        if isinstance(event, events.StreamAdded | events.StreamChanged | events.StreamRemoved | events.MemberUpdated):
            for session in self._by_room.get(event.room, ()):
                session.list_changed()
        elif isinstance(event, events.MemberLeft):
            for session in list(self._by_room.get(event.room, ())):
                session.member_left()

    def _on_decision(self, decision: ModerationEvent) -> None:
        """A moderator has muted somebody, or everybody: those it is about are told."""
        if isinstance(decision, RightsDecided):
            return
        for session in self._by_room.get(decision.room, ()):
            if isinstance(decision, RoomModerated) or session.user_id == decision.user_id:
                session.muted(decision.by)

    def _on_message(self, event: GroupEvent) -> None:
        """Somebody has written: the frame is made once, whoever gets it."""
        match event:
            case MessagePosted(room=room, message=message):
                sessions = self._hearing(room)
                if sessions:
                    entry = chat.entry_json(message, room.id, self.entry.messages.groups.info(room).name)
                    self._tell(sessions, chat.message_frame(event.epoch, [entry]))
            case CustomPosted(room=room, message=custom):
                others = [session for session in self._hearing(room) if session.user_id != custom.sender]
                if others:
                    self._tell(others, chat.custom_frame(custom))
            case GroupNotice(room=room, message=notice):
                self._tell(self._hearing(room), chat.notice_frame(notice, room.id))
            case GroupTip(room=room, message=tip):
                self._tell(self._hearing(room), chat.tip_frame(tip, room.id))
            case UserNotice(room=room, user_id=user_id, message=notice):
                visitor = self._users.get((room.app, user_id))
                if visitor is not None and (visitor.group == room or notice.report != chat.REMOVED):
                    self._tell([visitor], chat.notice_frame(notice, room.id))
            case GroupDissolved(room=room, message=notice):
                told = list(self._by_room.get(room, ()))
                self._tell(told, chat.notice_frame(notice, room.id))
                for session in told:
                    if session.group == room:
                        session.part()
            case MemberQuitGroup(room=room, user_id=user_id):
                visitor = self._users.get((room.app, user_id))
                if visitor is not None and visitor.group == room:
                    visitor.part()
            case DirectPosted(app=app, message=direct):
                member, visitor = self.entry.directory.member(app, direct.to), self._users.get((app, direct.to))
                if member is not None and isinstance(member.session, ImSession):
                    self._tell([member.session], chat.direct_frame(direct))
                if visitor is not None:
                    self._tell([visitor], chat.direct_frame(direct))

    def _hearing(self, room: RoomKey) -> list[ImSession]:
        """Those who hear what is said in the room now: a user without it may be in its group and not be allowed to."""
        sessions = self._by_room.get(room)
        if not sessions:
            return []
        allowed = hearers(self.entry, room)
        return [session for session in sessions if allowed is None or session.user_id in allowed]

    @staticmethod
    def _tell(sessions: Iterable[ImSession], text: str) -> None:
        for session in sessions:
            session.socket.send(text)
