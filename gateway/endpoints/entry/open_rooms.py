"""Rooms that a userSig alone enters, without a privateMapKey, because the operator says so.

Web pages of 2018-07 throw away the privateMapKey that `create_room` and `enter_room` answer with and enter with their
userSig. Three things in an app's configuration let them in, from wide to narrow: `private_map_key = "optional"` (every
room), `open_rooms` (those listed), and `open_to_members` (whatever room one is a member of already, by one of those two
calls). What `allow` and `disallow` say while the server runs comes before all of them, and is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from gateway.base.config import AppConfig
from gateway.base.errors import TooMany
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import Member, RoomKey
from gateway.rooms.tickets.keys import AppKeys

EVERY: Final = "*"
MAX_CHANGES: Final = 10_000


def _nobody(room: RoomKey, user_id: str) -> Member | None:
    return None


class OpenRooms:
    """See the module. `member` finds who is in a room; `changes` are of earlier runs, `remember` hears of new ones."""

    def __init__(
        self,
        apps: Mapping[int, AppKeys],
        config: Iterable[AppConfig] = (),
        *,
        member: Callable[[RoomKey, str], Member | None] = _nobody,
        changes: Mapping[RoomKey, bool] | None = None,
        remember: Callable[[RoomKey, bool], None] = lambda room, is_open: None,
    ) -> None:
        self._every = {number for number, keys in apps.items() if keys.private_map_key == "optional"}
        self._listed: set[RoomKey] = set()
        self._to_members: set[int] = set()
        for app in config:
            if EVERY in app.open_rooms:
                self._every.add(app.sdk_app_id)
            self._listed |= {RoomKey.parse(app.sdk_app_id, room) for room in app.open_rooms if room != EVERY}
            if app.open_to_members:
                self._to_members.add(app.sdk_app_id)
        self._member = member
        self._changes = dict(changes or {})
        self._tell = remember

    @property
    def changes(self) -> Mapping[RoomKey, bool]:
        """What was said by `allow` (True) and `disallow` (False), whatever the configuration says."""
        return MappingProxyType(self._changes)

    def allows(self, room: RoomKey) -> bool:
        """Whether everybody with a userSig may enter this room."""
        changed = self._changes.get(room)
        return changed if changed is not None else room.app in self._every or room in self._listed

    def rights(self, room: RoomKey, user_id: str) -> Privilege | None:
        """Return what this user's userSig alone grants in `room`; None if a privateMapKey is needed.

        All rights where the room is open to everybody; a member keeps those that it was let in with.
        """
        if self.allows(room):
            return Privilege.ALL
        if room.app in self._to_members and room not in self._changes:
            member = self._member(room, user_id)
            return None if member is None else member.granted
        return None

    def allow(self, room: RoomKey) -> None:
        """Let everybody with a userSig in from now on. Raises TooMany."""
        self._change(room, True)

    def disallow(self, room: RoomKey) -> None:
        """A privateMapKey is needed from now on, by members too; who is in stays. Raises TooMany."""
        self._change(room, False)

    def _change(self, room: RoomKey, is_open: bool) -> None:
        if room not in self._changes and len(self._changes) >= MAX_CHANGES:
            raise TooMany(f"{MAX_CHANGES} rooms have been opened or closed")
        self._changes[room] = is_open
        self._tell(room, is_open)
