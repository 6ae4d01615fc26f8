"""What the groups of these rooms are told: that the pushers have changed.

The notice says nothing more: clients then ask for `get_pushers` and compare. All that happens in one go (a stream ends,
its member leaves) is one notice, made when the go is over.
"""

from __future__ import annotations

import asyncio
import math
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
    make everybody in the room ask without end. Who only watches is no pusher, and its coming is told to nobody.
    """

    def __init__(self, directory: Directory, notices: Notices, wall: Callable[[], float], gap_s: float = GAP_S) -> None:
        self._directory = directory
        self._notices = notices
        self._wall = wall
        self._gap_s = gap_s
        self._rooms: dict[RoomKey, _Told] = {}
        directory.events.on("event", self._heard)

    def changed(self, key: RoomKey) -> None:
        """Something of a pusher has changed: tell the room's group soon, whoever is in the list."""
        told = self._rooms.setdefault(key, _Told())
        told.pushers = None
        self._plan(key, told)

    def made(self, key: RoomKey) -> None:
        """The room has been made just now, with its first pusher: nobody is there to be told."""
        self._rooms.setdefault(key, _Told()).new = True

    def _heard(self, event: events.RoomEvent) -> None:
        match event:
            case events.MemberEntered() | events.MemberLeft() | events.StreamAdded() | events.StreamRemoved():
                room = self._directory.rooms.get(event.room)
                if room is not None and room.policy.kind in KINDS:
                    self._plan(event.room, self._rooms.setdefault(event.room, _Told()))
            case events.RoomClosed():
                # A room that is made anew under this name has nothing of it.
                told = self._rooms.pop(event.room, None)
                if told is not None and told.planned is not None:
                    told.planned.cancel()

    def _plan(self, key: RoomKey, told: _Told) -> None:
        if told.planned is None:
            loop = asyncio.get_running_loop()
            wait_s = told.at + self._gap_s - loop.time()
            # Never within the call: all that happens in one go is one notice.
            told.planned = loop.call_later(wait_s, self._tell, key) if wait_s > 0 else loop.call_soon(self._tell, key)

    def _tell(self, key: RoomKey) -> None:
        told, room = self._rooms[key], self._directory.rooms[key]
        told.planned = None
        pushers = tuple(member.user_id for member in room.pushers())
        known, told.pushers = told.pushers, pushers
        new, told.new = told.new, False
        if pushers != known and not new:
            told.at = asyncio.get_running_loop().time()
            self._notices.notice(key, CHANGED, now_ms=int(self._wall() * 1000))


class _Told:
    """What one room's group was told: which pushers (None: tell them in any case), and when."""

    __slots__ = ("at", "new", "planned", "pushers")

    def __init__(self) -> None:
        self.pushers: tuple[str, ...] | None = ()
        self.at = -math.inf
        self.new = False
        self.planned: asyncio.Handle | None = None
