"""A control session that notes what it is told, and a directory whose announcements are recorded."""

from __future__ import annotations

import itertools
from typing import Any

from gateway.base.config import RoomsConfig
from gateway.rooms.directory import Directory
from gateway.rooms.events import RoomEvent
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import POLICIES, Member, RoomKey

APP = 1400000001
ROOM = RoomKey(APP, "1")
OTHER = RoomKey(APP, "2")
PAGE = POLICIES["page"]
RANDOM32 = bytes(range(32))


class Session:
    def __init__(self) -> None:
        self.told: list[str] = []

    def kicked(self, reason: str) -> None:
        self.told.append(reason)


class Recorded:
    """A directory and the list of its events."""

    def __init__(self, **config: Any) -> None:
        self.directory = Directory(RoomsConfig(**config), {APP: "8888", APP + 1: "9999"})
        self.events: list[RoomEvent] = []
        self.directory.events.on("event", self.events.append)

    def take(self) -> list[RoomEvent]:
        taken = list(self.events)
        self.events.clear()
        return taken

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.take()]

    def enter(
        self, user: str, room: RoomKey = ROOM, *, session: Session | None = None, now: float = 0.0, **more: Any
    ) -> Member:
        more.setdefault("privileges", Privilege.ALL)
        more.setdefault("create", PAGE)
        return self.directory.enter(room, user, session=session, now=now, **more)


def hex_source() -> Any:
    counter = itertools.count(1)
    return lambda: f"{next(counter):016x}"
