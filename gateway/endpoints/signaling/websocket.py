"""`/signaling`: the WebSocket shell, and who hears what. The conversation is session.py's.

All sessions of this node are known here, by room; so is the place of each member (its media), which may wait without a
session for its client to come back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Final

from aiohttp import hdrs, web

from gateway.base.clock import Clock, monotonic
from gateway.base.config import RelayConfig
from gateway.base.errors import TooMany
from gateway.base.tasks import Tasks
from gateway.endpoints.entry import Entry
from gateway.endpoints.entry.links import WebRtc
from gateway.endpoints.entry.socket import CLOSE_GOING_AWAY, CLOSE_NEVER_ENTERED, Socket
from gateway.endpoints.signaling.moderating import ModerationDesk
from gateway.endpoints.signaling.place import Place, Tell
from gateway.endpoints.signaling.relay import RelayDesk
from gateway.endpoints.signaling.session import Session
from gateway.endpoints.signaling.talk import Talk
from gateway.rooms import events
from gateway.rooms.groups import (
    CustomPosted,
    DirectKept,
    DirectPosted,
    GroupEvent,
    MemberJoinedGroup,
    MemberQuitGroup,
    MessagePosted,
    UserNotice,
)
from gateway.rooms.moderation import ModerationEvent
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import Member, RoomKey, StreamKind
from gateway.services.relay import Relays
from gateway.wire import signaling as wire

log = logging.getLogger(__name__)

ENTER_S: Final = 10.0
MAX_SESSIONS: Final = 20000
SPEAKING_S: Final = 0.5
LISTEN_S: Final = 0.1
"""Levels are looked at this often; the loudest of each SPEAKING_S is told, since speech has gaps."""
SILENCE_DB: Final = 60
"""Sound below -60 dBov is volume 0, 0 dBov is 100."""
HEARD: Final = 10
"""Volume from which on somebody counts as speaking."""


class Signaling:
    """All signaling sessions of this node."""

    def __init__(
        self,
        entry: Entry,
        rtc: WebRtc,
        *,
        relays: Relays | None = None,
        resume_s: float = 15.0,
        clock: Clock = monotonic,
    ) -> None:
        self.entry = entry
        self.rtc = rtc
        relays = Relays(entry.streams, RelayConfig()) if relays is None else relays
        self.relays = RelayDesk(entry.directory, relays, self._tell)
        self.moderation = ModerationDesk(entry, clock)
        self.resume_s = resume_s
        self.clock = clock
        self.sessions: set[Session] = set()
        self.entered = 0
        """Entries so far, resumed ones included."""
        self._places: dict[tuple[int, str], Place] = {}
        self._by_room: dict[RoomKey, set[Session]] = {}
        self._peaks: dict[RoomKey, dict[str, int]] = {}
        self._speaking: set[RoomKey] = set()
        self._tasks = Tasks("signaling")
        entry.directory.events.on("event", self._on_event)
        entry.messages.events.on("event", self._on_message)
        entry.directory.moderation.events.on("event", self._on_decision)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/signaling", self._handle)]

    async def start(self) -> None:
        self._tasks.start(self._listen(), "speaking")

    async def goodbye(self) -> None:
        """The server stops: tell everybody, so that their handlers end."""
        for session in list(self.sessions):
            session.socket.close(CLOSE_GOING_AWAY, "server_stops")

    async def aclose(self) -> None:
        self.entry.directory.events.remove_listener("event", self._on_event)
        self.entry.messages.events.remove_listener("event", self._on_message)
        self.entry.directory.moderation.events.remove_listener("event", self._on_decision)
        self.relays.aclose()
        await self._tasks.aclose()
        for place in list(self._places.values()):
            place.close()
        self._places.clear()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if len(self.sessions) >= MAX_SESSIONS:
            raise TooMany(f"{MAX_SESSIONS} connections", retry_after_ms=5000)
        socket = Socket("signaling", max_frame=2 * wire.MAX_FRAME, clock=self.clock)
        session = Session(self, socket, self.entry.urls.bases(request.headers.get(hdrs.HOST), secure=request.secure))
        self.sessions.add(session)
        deadline = asyncio.get_running_loop().call_later(ENTER_S, self._too_late, session)
        try:
            return await socket.run(request, session.receive)
        finally:
            deadline.cancel()
            self.sessions.discard(session)
            session.gone()

    def _too_late(self, session: Session) -> None:
        if session.member is None:
            session.socket.close(CLOSE_NEVER_ENTERED, "enter_timeout")

    # --- places

    def make_place(self, member: Member, granted: Privilege, tell: Tell) -> Place:
        """Return a new place; the media of whoever had this member's place before ends."""
        self._drop_place(member.key.app, member.user_id)
        talk = Talk(self.entry.messages, member, lambda: self._speaks(member), self.clock)
        place = Place(self.rtc, member, granted, talk, tell)
        self._places[(member.key.app, member.user_id)] = place
        return place

    def take_place(
        self, member: Member, tell: Tell, keep: Collection[wire.Direction]
    ) -> tuple[Place, tuple[wire.Direction, ...]]:
        """Return the place that a resuming client left, and which of its connections go on.

        A down connection that the client does not have any more is closed; an up one stays until it publishes anew.
        """
        place = self._places.get((member.key.app, member.user_id))
        if place is None or place.member is not member:
            return self.make_place(member, member.granted, tell), ()
        place.tell = tell
        kept: list[wire.Direction] = []
        if "up" in keep and place.up is not None and place.up.alive:
            kept.append("up")
        if "down" in keep and place.down is not None and place.down.alive:
            kept.append("down")
        elif place.down is not None:
            place.down.close()
            place.down = None
        return place, tuple(kept)

    def _tell(self, app: int, user_id: str, message: wire.ServerMessage) -> None:
        place = self._places.get((app, user_id))
        if place is not None and place.tell is not None:
            place.tell(message)

    def _drop_place(self, app: int, user_id: str) -> None:
        place = self._places.pop((app, user_id), None)
        if place is not None:
            place.close()

    # --- who hears what

    def joined(self, session: Session, room: RoomKey) -> None:
        self.entered += 1
        self._by_room.setdefault(room, set()).add(session)

    def parted(self, session: Session, room: RoomKey) -> None:
        sessions = self._by_room.get(room)
        if sessions is not None:
            sessions.discard(session)
            if not sessions:
                del self._by_room[room]
                self._speaking.discard(room)

    def _on_decision(self, decision: ModerationEvent) -> None:
        """What moderators have muted is known to everybody in the room."""
        told = self.moderation.told(decision)
        if told is not None:
            for session in list(self._by_room.get(decision.room, ())):
                session.send(told)

    def _on_event(self, event: events.RoomEvent) -> None:
        if isinstance(event, events.MemberUpdated):
            place = self._places.get((event.room.app, event.user_id))
            if place is not None and place.member.key == event.room:
                place.follow_rights()
        for session in list(self._by_room.get(event.room, ())):
            session.on_event(event)
        if isinstance(event, events.MemberLeft):
            place = self._places.get((event.room.app, event.user_id))
            # A member that has entered another room meanwhile has a new place.
            if place is not None and place.member.key == event.room and not self._is_present(place.member):
                self._drop_place(event.room.app, event.user_id)

    def _on_message(self, event: GroupEvent) -> None:
        """Somebody has written: the frame is made once, whoever gets it."""
        if isinstance(event, MemberJoinedGroup | MemberQuitGroup | DirectKept | UserNotice):
            return
        text = wire.serialize(event.message)
        size = len(text.encode())
        match event:
            case MessagePosted(room=room):
                self._announce(room, text, size)
            case CustomPosted(room=room, message=custom):
                self._announce(room, text, size, without=custom.sender)
            case DirectPosted(app=app, message=direct):
                place = self._places.get((app, direct.to))
                if place is not None:
                    place.announce(text, size)
            case _:
                self._announce(event.room, text, size)

    def _announce(self, room: RoomKey, text: str, size: int, without: str = "") -> None:
        found = self.entry.directory.rooms.get(room)
        for user_id in found.members if found is not None else ():
            place = self._places.get((room.app, user_id))
            if place is not None and user_id != without and place.member.key == room:
                place.announce(text, size)

    def _speaks(self, member: Member) -> bool:
        """Whether signaling speaks for the member, or nobody does just now."""
        return self._is_present(member) and (member.session is None or member.session in self.sessions)

    def _is_present(self, member: Member) -> bool:
        return self.entry.directory.is_present(member)

    # --- who is heard

    async def _listen(self) -> None:
        due = self.clock() + SPEAKING_S
        while True:
            await asyncio.sleep(LISTEN_S)
            now = self.clock()
            for room in list(self._by_room):
                self._note_levels(room, now)
            if now >= due:
                due = now + SPEAKING_S
                self._tell_speaking()

    def _note_levels(self, room: RoomKey, now: float) -> None:
        found = self.entry.directory.rooms.get(room)
        for member, info in found.published(StreamKind.MAIN) if found is not None else ():
            stream = self.rtc.streams.get(info.stream_id)
            level = stream.audio.level_at(now) if stream is not None and not info.audio_muted else None
            volume = round(100 * max(0, SILENCE_DB - level) / SILENCE_DB) if level is not None else 0
            if volume >= HEARD:
                peaks = self._peaks.setdefault(room, {})
                peaks[member.user_id] = max(volume, peaks.get(member.user_id, 0))

    def _tell_speaking(self) -> None:
        peaks, self._peaks = self._peaks, {}
        for room in {*peaks, *self._speaking}:
            loud = tuple(sorted(peaks.get(room, {}).items(), key=lambda pair: -pair[1]))
            if loud:
                self._speaking.add(room)
            else:
                self._speaking.discard(room)
            for session in list(self._by_room.get(room, ())):
                session.send(wire.Speaking(loud))
