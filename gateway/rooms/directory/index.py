"""The rooms by key, and by type for lists.

`roomType` of the old service: rooms of another type are not listed; an absent type, in the request or at the room,
stands for any (mini programs send `trtc`, browsers nothing, and both should see each other).
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from itertools import islice

from gateway.rooms.room import Room, RoomKey


class RoomIndex:
    """Rooms in order of creation."""

    def __init__(self) -> None:
        self.rooms: dict[RoomKey, Room] = {}
        self._by_app: dict[int, dict[RoomKey, Room]] = {}
        self._by_type: dict[tuple[int, str], dict[RoomKey, Room]] = {}

    def add(self, room: Room) -> None:
        self.rooms[room.key] = room
        self._by_app.setdefault(room.key.app, {})[room.key] = room
        self._by_type.setdefault((room.key.app, room.room_type), {})[room.key] = room

    def remove(self, room: Room) -> None:
        del self.rooms[room.key]
        del self._by_app[room.key.app][room.key]
        bucket = self._by_type[(room.key.app, room.room_type)]
        del bucket[room.key]
        if not bucket:
            del self._by_type[(room.key.app, room.room_type)]

    def page(self, app: int, after: int, count: int) -> list[Room]:
        """Return `count` rooms, with members or not, of those made after the one with the serial `after`."""
        rooms = self._by_app.get(app, {}).values()
        return list(islice((room for room in rooms if room.serial > after), count))

    def list(self, app: int, room_type: str, index: int, count: int, kinds: Collection[str] | None) -> list[Room]:
        """Return `count` rooms with members after skipping `index`, oldest first; costs index + count."""
        found: Iterable[Room]
        if room_type:
            typed = self._by_type.get((app, room_type), {}).values()
            untyped = self._by_type.get((app, ""), {}).values()
            found = heapq.merge(typed, untyped, key=lambda room: room.serial)
        else:
            found = self._by_app.get(app, {}).values()
        listed = (room for room in found if room.members and (kinds is None or room.policy.kind in kinds))
        return list(islice(listed, max(0, index), max(0, index) + max(0, count)))
