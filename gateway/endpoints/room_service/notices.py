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

CHANGED: Final = '{"cmd":"notifyPusherChange","data":""}'


class Notices(Protocol):
    """The groups, as far as these rooms need them."""

    def notice(self, key: RoomKey, text: str, *, now_ms: int) -> object:
        """Tell everybody in the group of that room `text`, as a notice of type 255."""


class PusherNotices:
    """Listens to the directory. `wall` gives unix seconds."""

    def __init__(self, directory: Directory, notices: Notices, wall: Callable[[], float]) -> None:
        self._directory = directory
        self._notices = notices
        self._wall = wall
        self._new: set[RoomKey] = set()
        self._changed: dict[RoomKey, None] = {}
        self._planned = False
        directory.events.on("event", self._heard)

    def changed(self, key: RoomKey) -> None:
        """Tell the room's group soon."""
        self._changed[key] = None
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._tell)

    def made(self, key: RoomKey) -> None:
        """The room has been made just now, with its first pusher: nobody is there to be told."""
        self._new.add(key)

    def _heard(self, event: events.RoomEvent) -> None:
        if isinstance(event, events.MemberEntered | events.MemberLeft | events.StreamAdded | events.StreamRemoved):
            room = self._directory.rooms.get(event.room)
            if room is not None and room.policy.kind in KINDS:
                self.changed(event.room)

    def _tell(self) -> None:
        self._planned = False
        changed, self._changed = self._changed, {}
        new, self._new = self._new, set()
        for key in changed:
            if key in self._directory.rooms and key not in new:
                self._notices.notice(key, CHANGED, now_ms=int(self._wall() * 1000))
