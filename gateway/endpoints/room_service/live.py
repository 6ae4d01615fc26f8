"""What only live rooms have: viewers, custom fields, and the mixed picture's request."""

from __future__ import annotations

import itertools
import json
from typing import Final

from gateway.base.clock import wall
from gateway.base.errors import BadRequest
from gateway.endpoints.room_service.calls import (
    AUDIENCE_FULL,
    BAD_MERGE,
    MISSING,
    NOT_OWNER,
    Answer,
    Call,
    Refuse,
)
from gateway.endpoints.room_service.pushers import PusherCalls, viewers
from gateway.endpoints.room_service.sessions import Session, Sessions
from gateway.rooms.directory import Directory
from gateway.rooms.groups import GroupEvent, MemberQuitGroup
from gateway.rooms.room import Room

MAX_AUDIENCE: Final = 30
MAX_USER_INFO: Final = 2048
MAX_FIELDS: Final = 64
MAX_NAME: Final = 64
MAX_VALUE: Final = 1024
MAX_NUMBER: Final = 2**53 - 1


class LiveCalls:
    def __init__(self, directory: Directory, sessions: Sessions, rooms: PusherCalls) -> None:
        self._directory = directory
        self._sessions = sessions
        self._rooms = rooms

    def _asked(self, kind: str, call: Call) -> tuple[Session, Room]:
        """Return who asks about which room. Raises Refuse (2, 3, 7), BadRequest."""
        session = self._sessions.of(call)
        (room_id,) = call.needed("roomID")
        return session, self._rooms.room(session, kind, room_id)

    def _room(self, kind: str, call: Call) -> Room:
        return self._asked(kind, call)[1]

    # --- viewers

    def on_group_event(self, event: GroupEvent) -> None:
        """Who quits the group views no more: after link-mic the old client no longer says which room it leaves."""
        if isinstance(event, MemberQuitGroup):
            room = self._directory.rooms.get(event.room)
            if room is not None:
                room.audience.pop(event.user_id, None)

    def add_audience(self, kind: str, call: Call) -> Answer:
        room = self._room(kind, call)
        (user_id,) = call.needed("userID")
        info = call.text("userInfo")
        if len(info) > MAX_USER_INFO:
            raise BadRequest(f"userInfo: at most {MAX_USER_INFO} characters")
        if user_id not in room.audience and len(room.audience) >= MAX_AUDIENCE:
            raise Refuse(AUDIENCE_FULL)
        room.audience[user_id] = info
        return {}

    def delete_audience(self, kind: str, call: Call) -> Answer:
        room = self._room(kind, call)
        (user_id,) = call.needed("userID")
        room.audience.pop(user_id, None)
        return {}

    def get_audiences(self, kind: str, call: Call) -> Answer:
        room = self._room(kind, call)
        found = viewers(room)
        named = itertools.islice(found.items(), MAX_AUDIENCE)
        return {
            "audienceCount": len(found),
            "audiences": [{"userID": user_id, "userInfo": info} for user_id, info in named],
        }

    # --- custom fields

    def get_custom_info(self, kind: str, call: Call) -> Answer:
        return _custom(self._room(kind, call))

    def set_custom_field(self, kind: str, call: Call) -> Answer:
        """`inc` and `dec` count from 0; `set` takes a text or a whole number."""
        room = self._room(kind, call)
        name, operation = call.needed("fieldName", "operation")
        if len(name) > MAX_NAME:
            raise BadRequest(f"fieldName: at most {MAX_NAME} characters")
        if name not in room.custom and len(room.custom) >= MAX_FIELDS:
            raise BadRequest(f"at most {MAX_FIELDS} fields")
        value: int | str
        if operation == "set":
            if not call.has("value"):
                raise Refuse(MISSING)
            text, given = call.text("value"), call.fields["value"]
            value = given if isinstance(given, int) else text
        elif operation in ("inc", "dec"):
            old = room.custom.get(name, 0)
            if not isinstance(old, int):
                raise BadRequest(f"{name} is not a number")
            value = old + (1 if operation == "inc" else -1)
        else:
            raise BadRequest("operation: inc, dec or set")
        if abs(value) > MAX_NUMBER if isinstance(value, int) else len(value) > MAX_VALUE:
            raise BadRequest("value: too large")
        self._directory.set_custom(room, name, value)
        return _custom(room)

    # --- the mixed picture

    def merge_stream(self, kind: str, call: Call) -> Answer:
        """The request is checked and answered; until there is a mixer, mixedPlayURL is the host's own stream."""
        session, room = self._asked(kind, call)
        call.needed("userID")
        if not call.has("mergeParams"):
            raise Refuse(MISSING)
        params = call.fields["mergeParams"]
        if isinstance(params, str):
            try:
                params = json.loads(params)
            except (ValueError, RecursionError):
                raise Refuse(BAD_MERGE) from None
        if not isinstance(params, dict):
            raise Refuse(BAD_MERGE)
        if not self._rooms.owns(session, room):
            raise Refuse(NOT_OWNER)
        return {"result": {"code": 0, "message": "", "timestamp": int(wall())}}


def _custom(room: Room) -> Answer:
    text = json.dumps(room.custom, ensure_ascii=False)
    return {"customInfo": text, "custom": text}
