"""Who may hear a group without being a member of its room: one rule for every face."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.base.errors import NotPermitted
from gateway.endpoints.entry.publishing import SELF_MADE
from gateway.rooms.room import RoomKey

if TYPE_CHECKING:
    from gateway.endpoints.entry.admission import Entry


def check_may_join(entry: Entry, key: RoomKey, user_id: str) -> None:
    """Raises NotPermitted. What is said in a room that needs a privateMapKey is for those who are in it."""
    if entry.directory.is_blocked(key, user_id):
        raise NotPermitted("not allowed into this group")
    room = entry.directory.rooms.get(key)
    if room is None or room.policy.kind not in SELF_MADE:
        return
    strict = entry.tickets.app(key.app).private_map_key == "required"
    if strict and entry.directory.member_in(key, user_id) is None:
        raise NotPermitted("the room must be entered first")
