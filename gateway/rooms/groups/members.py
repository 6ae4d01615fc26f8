"""Users of the old IM in groups, one group at a time each, and the groups that have no room.

Only `Groups` uses this; it announces what happens.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterator
from typing import Final

from gateway.base.errors import Overloaded, TooMany
from gateway.rooms.room import RoomKey

MAX_IM_MEMBERS: Final = 20000
MAX_BARE: Final = 10000
MAX_OWNED: Final = 200
"""Groups without a room that one user may have made."""
BARE_S: Final = 600.0
"""A group without a room that somebody just joined lives so long after its last member has quit."""


class Members:
    """Who is in which group."""

    def __init__(self) -> None:
        self._of_group: dict[RoomKey, set[str]] = {}
        self._joined: dict[tuple[int, str], RoomKey] = {}

    def joined(self, app: int, user_id: str) -> RoomKey | None:
        return self._joined.get((app, user_id))

    def of(self, key: RoomKey) -> Collection[str]:
        return self._of_group.get(key, ())

    def __contains__(self, key: RoomKey) -> bool:
        """Whether anybody is in the group."""
        return key in self._of_group

    def check_room(self) -> None:
        """Raises Overloaded."""
        if len(self._joined) >= MAX_IM_MEMBERS:
            raise Overloaded(f"{MAX_IM_MEMBERS} users in groups")

    def add(self, key: RoomKey, user_id: str) -> None:
        self._joined[(key.app, user_id)] = key
        self._of_group.setdefault(key, set()).add(user_id)

    def remove(self, key: RoomKey, user_id: str) -> bool:
        """Return whether the user was in."""
        members = self._of_group.get(key)
        if members is None or user_id not in members:
            return False
        members.discard(user_id)
        del self._joined[(key.app, user_id)]
        if not members:
            del self._of_group[key]
        return True

    def clear(self, key: RoomKey) -> None:
        for user_id in self._of_group.pop(key, ()):
            del self._joined[(key.app, user_id)]


class BareGroups:
    """The groups without a room: since when nobody is in them, and who made them.

    One with an owner lives `owned_s` after its last member has quit, one without BARE_S.
    """

    def __init__(self, owned_s: float) -> None:
        self._owned_s = owned_s
        self._idle: dict[RoomKey, float] = {}
        self._owners: dict[RoomKey, str] = {}
        self._owned: collections.Counter[tuple[int, str]] = collections.Counter()

    def __contains__(self, key: RoomKey) -> bool:
        return key in self._idle

    def owner(self, key: RoomKey) -> str:
        return self._owners.get(key, "")

    def check_owner(self, app: int, owner: str) -> None:
        """Raises TooMany."""
        if self._owned[(app, owner)] >= MAX_OWNED:
            raise TooMany(f"{owner} has made {MAX_OWNED} groups")

    def add(self, key: RoomKey, owner: str, now: float) -> None:
        self._idle[key] = now
        if owner:
            self._owners[key] = owner
            self._owned[(key.app, owner)] += 1

    def used(self, key: RoomKey, now: float) -> None:
        """Somebody has quit, or joined."""
        if key in self._idle:
            del self._idle[key]
            self._idle[key] = now  # to the end: the first is the one that was idle longest

    def remove(self, key: RoomKey) -> None:
        self._idle.pop(key, None)
        owner = self._owners.pop(key, "")
        if owner:
            self._owned[(key.app, owner)] -= 1
            if not self._owned[(key.app, owner)]:
                del self._owned[(key.app, owner)]

    def find_room(self, members: Members) -> RoomKey | None:
        """Return the group that has to go for one more, None if there is space. Raises Overloaded."""
        if len(self._idle) < MAX_BARE:
            return None
        for key in self._idle:
            if key not in members and key not in self._owners:
                return key
        raise Overloaded(f"{MAX_BARE} groups without a room")

    def expired(self, members: Members, now: float) -> Iterator[RoomKey]:
        for key, since in list(self._idle.items()):
            limit = self._owned_s if key in self._owners else BARE_S
            if key not in members and now - since >= limit:
                yield key
