"""What the groups of these rooms are told: that the pushers have changed.

The notice says nothing more: clients then ask for `get_pushers` and compare. All that happens in one go (a stream ends,
its member leaves) is one notice, made when the go is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from gateway.endpoints.room_service.kinds import KINDS
from gateway.rooms import events
from gateway.rooms.directory import Directory
from gateway.rooms.room import RoomKey

GAP_S: Final = 0.2
CHANGED: Final = '{"cmd":"notifyPusherChange","data":""}'


class Notices(Protocol):
    """The groups, as far as these rooms need them."""

    def notice(self, key: RoomKey, text: str, *, now_ms: int) -> object:
        """Tell everybody in the group of that room `text`, as a notice of type 255."""


class PusherNotices:
    """Listens to the directory. `wall` gives unix seconds; a room is told at most once in `gap_s` seconds.

    A change comes at once after a quiet time, and the last of many in any case: who comes and goes on purpose must not
    make everybody in the room ask without end.
    """

    def __init__(self, directory: Directory, notices: Notices, wall: Callable[[], float], gap_s: float = GAP_S) -> None:
        self._directory = directory
        self._notices = notices
        self._wall = wall
        self._gap_s = gap_s
        self._new: set[RoomKey] = set()
        self._planned: dict[RoomKey, asyncio.Handle] = {}
        self._told: dict[RoomKey, float] = {}
        directory.events.on("event", self._heard)

    def changed(self, key: RoomKey) -> None:
        """Tell the room's group soon."""
        if key not in self._planned:
            loop = asyncio.get_running_loop()
            wait_s = self._told.get(key, -self._gap_s) + self._gap_s - loop.time()
            if wait_s > 0:
                self._planned[key] = loop.call_later(wait_s, self._tell, key)
            else:
                self._planned[key] = loop.call_soon(self._tell, key)

    def made(self, key: RoomKey) -> None:
        """The room has been made just now, with its first pusher: nobody is there to be told."""
        self._new.add(key)

    def _heard(self, event: events.RoomEvent) -> None:
        match event:
            case events.MemberEntered() | events.MemberLeft() | events.StreamAdded() | events.StreamRemoved():
                room = self._directory.rooms.get(event.room)
                if room is not None and room.policy.kind in KINDS:
                    self.changed(event.room)
            case events.RoomClosed():
                # A room that is made anew under this name has nothing of it.
                self._told.pop(event.room, None)
                self._new.discard(event.room)
                planned = self._planned.pop(event.room, None)
                if planned is not None:
                    planned.cancel()

    def _tell(self, key: RoomKey) -> None:
        del self._planned[key]
        new = key in self._new
        self._new.discard(key)
        if key in self._directory.rooms and not new:
            self._told[key] = asyncio.get_running_loop().time()
            self._notices.notice(key, CHANGED, now_ms=int(self._wall() * 1000))
