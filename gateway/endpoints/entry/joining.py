"""Who may hear a group without being a member of its room: one rule for every face."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

from gateway.base.errors import NotPermitted
from gateway.endpoints.entry.publishing import SELF_MADE
from gateway.rooms.room import RoomKey

if TYPE_CHECKING:
    from gateway.endpoints.entry.admission import Entry


def check_may_join(entry: Entry, key: RoomKey, user_id: str) -> None:
    """Raises NotPermitted. What is said in a room that needs a privateMapKey is for those who are in it.

    Whoever was thrown out of a room enters it first, and of a group without one just joins again, unless it is banned.
    """
    directory = entry.directory
    if directory.is_banned(key, user_id) or (key in directory.rooms and directory.is_blocked(key, user_id)):
        raise NotPermitted("not allowed into this group")
    if not may_hear(entry, key, user_id):
        raise NotPermitted("the room must be entered first")


def hearers(entry: Entry, key: RoomKey) -> Container[str] | None:
    """Return who may have what is said in the group now; None: whoever is in it.

    Somebody may have joined it before there was a room, or have left the room since.
    """
    room = entry.directory.rooms.get(key)
    if room is None or room.policy.kind not in SELF_MADE or entry.tickets.open_rooms.allows(key):
        return None
    return room.members


def may_hear(entry: Entry, key: RoomKey, user_id: str) -> bool:
    allowed = hearers(entry, key)
    return allowed is None or user_id in allowed
