"""The calls that all three kinds have: lists, rooms, pushers. Each handler gets the kind of the path that was asked.

A room of another kind does not exist here, so that no call passes by the tickets that rooms of browsers need.
"""

from __future__ import annotations

import json
from typing import Final

from gateway.base.errors import BadRequest, GatewayError, NameTaken, RoomFull
from gateway.endpoints.entry import Bases, Entry
from gateway.endpoints.room_service.addresses import Addresses
from gateway.endpoints.room_service.book import Book
from gateway.endpoints.room_service.calls import (
    BUSY,
    EXISTS,
    FULL,
    LONG_INFO,
    MISSING,
    NEEDS_SIG,
    NO_GROUP,
    NO_PUSHERS,
    NO_ROOM,
    NOT_OWNER,
    NOT_PERMITTED,
    NOT_PUSHER,
    OK,
    Answer,
    Call,
    Code,
    Refuse,
)
from gateway.endpoints.room_service.notices import PusherNotices
from gateway.endpoints.room_service.sessions import Session, Sessions
from gateway.rooms.directory.directory import MAX_NICK
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import Member, Room, RoomKey

MAX_INFO: Final = 1024
MAX_AVATAR: Final = 1024
MAX_LIST: Final = 200
MAX_AHEAD: Final = 20
"""Rooms of one user that nobody has entered yet: one alone must not fill the server."""


class PusherCalls:
    """See the module. Answers are made synchronously: nothing can come between two checks of one call."""

    def __init__(
        self, entry: Entry, sessions: Sessions, addresses: Addresses, notices: PusherNotices, book: Book
    ) -> None:
        self._entry = entry
        self._sessions = sessions
        self._addresses = addresses
        self._notices = notices
        self._book = book

    # --- questions

    def room(self, session: Session, kind: str, room_id: str, code: Code = NO_ROOM) -> Room:
        """Return the room of that kind. Raises Refuse (`code`)."""
        try:
            room = self._entry.directory.rooms.get(RoomKey.parse(session.app, room_id))
        except BadRequest:
            room = None
        if room is None or room.policy.kind != kind:
            raise Refuse(code)
        return room

    def get_push_url(self, kind: str, call: Call) -> Answer:
        session, room_id = self._sessions.of(call), call.text("roomID")
        if not self._may_speak(session):
            raise Refuse(NEEDS_SIG)
        key = self._key(session, room_id) if room_id else None
        room = None if key is None else self._entry.directory.rooms.get(key)
        if room is not None and room.policy.kind != kind:
            raise Refuse(NO_ROOM)
        if room is None:
            # The stream gets its room by add_pusher: until then a room of any kind may come by that name.
            key = None
        if key is not None:
            if self._entry.directory.is_banned(key, session.user_id):
                raise Refuse(NOT_PERMITTED)
            self._entry.directory.readmit(key, session.user_id)
            self._await(key, session.user_id)
        try:
            url = self._addresses.push(session, key, self._addresses.bases(call))
        except ValueError:  # an app without bizid
            url = ""
        if not url:
            raise Refuse(BUSY)
        return {"pushURL": url}

    def get_room_list(self, kind: str, call: Call) -> Answer:
        session = self._sessions.of(call)
        count, index = min(call.number("cnt", 10), MAX_LIST), call.number("index", 0)
        bases = self._addresses.bases(call)
        rooms = self._entry.directory.list_rooms(session.app, None, index, count, (kind,))
        return {
            "rooms": [
                {"code": OK[0], "message": OK[1], **self._shown(session, room, bases, keep=False)} for room in rooms
            ]
        }

    def get_pushers(self, kind: str, call: Call) -> Answer:
        session = self._sessions.of(call)
        (room_id,) = call.needed("roomID")
        room = self.room(session, kind, room_id, NO_PUSHERS)
        return self._shown(session, room, self._addresses.bases(call), keep=True)

    def _shown(self, session: Session, room: Room, bases: Bases, *, keep: bool) -> Answer:
        pushers = room.pushers()
        streams = [self._addresses.stream_of(member) for member in pushers]
        mixed = streams[0] if streams else ""
        shown: Answer = {
            "roomID": room.key.id,
            "roomInfo": room.info,
            "roomCreator": room.creator,
            "mixedPlayURL": self._addresses.play(session, room, mixed, "flv", bases, keep=keep),
            "pushers": [
                {
                    "userID": member.user_id,
                    "userName": member.nick,
                    "userAvatar": member.avatar,
                    "accelerateURL": self._addresses.play(session, room, stream, "rtc", bases, keep=keep),
                }
                for member, stream in zip(pushers, streams, strict=True)
            ],
            "custom": json.dumps(room.custom, ensure_ascii=False),
        }
        if room.policy.kind == "live_room":
            shown["audienceCount"] = len(viewers(room))
        return shown

    # --- rooms

    def create_room(self, kind: str, call: Call) -> Answer:
        session, room_id = self._sessions.of(call), call.text("roomID")
        call.needed("userID")
        if not call.has("roomInfo"):
            raise Refuse(MISSING)
        info = _info(call)
        key = self._key(session, room_id) if room_id else self._draw(session.app)
        rooms = self._entry.directory.rooms
        session.ahead = [made for made in session.ahead if made in rooms and not rooms[made].members]
        if len(session.ahead) >= MAX_AHEAD:
            raise Refuse(BUSY)
        self._make(session, key, kind, "", info)
        session.ahead.append(key)
        return {"roomID": key.id}

    def destroy_room(self, kind: str, call: Call) -> Answer:
        session = self._sessions.of(call)
        room_id, _ = call.needed("roomID", "userID")
        room = self.room(session, kind, room_id)
        if not self.owns(session, room):
            raise Refuse(NOT_OWNER)
        self._entry.directory.close_room(room.key)
        return {}

    def owns(self, session: Session, room: Room) -> bool:
        """Whether the session is its room's creator, and no guest who bears the name of one that had a ticket."""
        borrowed = session.guest and not room.creator_is_guest
        return room.creator == session.user_id and not borrowed and self._may_speak(session)

    def _may_speak(self, session: Session) -> bool:
        """A guest's session is void as soon as somebody with a ticket has its name."""
        return not (session.guest and self._entry.is_protected(session.app, session.user_id))

    def _key(self, session: Session, room_id: str) -> RoomKey:
        try:
            return RoomKey.parse(session.app, room_id)
        except BadRequest as error:
            raise Refuse(NO_GROUP, error) from None

    def _draw(self, app: int) -> RoomKey:
        while True:
            digits = self._entry.random(6).hex()
            key = RoomKey(app, f"room_{digits[:8]}_{digits[8:]}", True)
            if key not in self._entry.directory.rooms:
                return key

    def _make(self, session: Session, key: RoomKey, kind: str, creator: str, info: str) -> None:
        if self._entry.messages.groups.owner(key) not in ("", session.user_id):
            raise Refuse(NO_GROUP)  # somebody has made a group of that name
        policy = self._entry.policies[kind]
        try:
            self._entry.directory.create_room(key, creator=creator, info=info, policy=policy, now=self._entry.clock())
        except NameTaken:
            raise Refuse(EXISTS, roomID=key.id) from None
        except GatewayError as error:
            raise Refuse(BUSY, error) from None

    # --- pushers

    def add_pusher(self, kind: str, call: Call) -> Answer:
        session = self._sessions.of(call)
        room_id, user_id, push_url = call.needed("roomID", "userID", "pushURL")
        info, nick, avatar = _info(call), call.text("userName")[:MAX_NICK], call.text("userAvatar")
        if len(avatar) > MAX_AVATAR:
            raise BadRequest(f"userAvatar: at most {MAX_AVATAR} characters")
        stream = self._addresses.claimed(session, push_url)
        key, directory = self._key(session, room_id), self._entry.directory
        room = directory.rooms.get(key)
        if room is not None and room.policy.kind != kind:
            raise Refuse(EXISTS)
        if room is None and directory.is_banned(key, user_id):
            raise Refuse(NOT_PERMITTED)
        if not self._may_speak(session):
            raise Refuse(NEEDS_SIG)
        self._await(key, user_id)
        if room is None:
            self._make(session, key, kind, user_id, info)
            self._notices.made(key)
        member = self._enter(session, key, nick)
        directory.claim_stream(stream, key, user_id)
        directory.show_pusher(member, avatar)
        self._notices.changed(key)
        return {"roomID": key.id}

    def _await(self, key: RoomKey, user_id: str) -> None:
        if (key, user_id) not in self._entry.awaited:
            self._book.keep_awaited(key, user_id)
        self._entry.await_pusher(key, user_id)

    def _enter(self, session: Session, key: RoomKey, nick: str) -> Member:
        try:
            present = self._entry.find_member(key, session.user_id)
            rights = Privilege.ALL if present is None or present.pusher else present.granted
            return self._entry.enter(key, session.user_id, rights, nick=nick, guest=session.guest, policy="")
        except RoomFull:
            raise Refuse(FULL) from None
        except NameTaken as error:
            raise Refuse(NEEDS_SIG, error) from None
        except GatewayError as error:
            raise Refuse(NOT_PERMITTED, error) from None

    def delete_pusher(self, kind: str, call: Call) -> Answer:
        self._entry.leave(self._pusher(kind, call), "left")
        return {}

    def pusher_heartbeat(self, kind: str, call: Call) -> Answer:
        self._entry.directory.touch(self._pusher(kind, call), "heartbeat", self._entry.clock())
        return {}

    def anchor_heartbeat(self, kind: str, call: Call) -> Answer:
        """The later clients' heartbeat: its answer has the pushers, so that they need no notice."""
        self.pusher_heartbeat(kind, call)
        return self.get_pushers(kind, call)

    def _pusher(self, kind: str, call: Call) -> Member:
        """Return the caller's member in that room. Raises Refuse (5; also for a room that is not there)."""
        session = self._sessions.of(call)
        room_id, user_id = call.needed("roomID", "userID")
        member = self.room(session, kind, room_id, NOT_PUSHER).members.get(user_id)
        if member is None or not self._may_speak(session):
            raise Refuse(NOT_PUSHER)
        return member


def viewers(room: Room) -> dict[str, str]:
    """Return who watches a live room, with what each says of itself: by RoomService's calls, or as a browser."""
    browsers = {
        member.user_id: json.dumps({"userName": member.nick, "userAvatar": member.avatar}, ensure_ascii=False)
        for member in room.members.values()
        if member.audience
    }
    return room.audience | browsers


def _info(call: Call) -> str:
    info = call.text("roomInfo")
    if len(info) > MAX_INFO:
        raise Refuse(LONG_INFO)
    return info
