"""What moderators have decided about a room ⇄ one row: its times as unix seconds, null for what has no end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.rooms.moderation import FOREVER, Ban, Medium, ModerationRecord, Mute, Mutes
from gateway.rooms.privileges import from_bits
from gateway.rooms.room import RoomKey


def to_columns(record: ModerationRecord, shift: float) -> tuple[int, str, int, str]:
    """Return the row; `shift` is added to monotonic times to make them unix times."""
    decided = {
        "everybody": _mutes(record.everybody, shift),
        "members": {user: _mutes(mutes, shift) for user, mutes in record.members.items()},
        "rights": {user: int(rights) for user, rights in record.rights.items()},
        "bans": {user: [_unix(ban.until, shift), ban.by, ban.reason] for user, ban in record.bans.items()},
    }
    room = record.room
    return room.app, room.id, int(room.text), json.dumps({name: part for name, part in decided.items() if part})


def from_columns(row: tuple[Any, ...], shift: float) -> ModerationRecord:
    """Return what `to_columns` gave. Raises ValueError, TypeError, KeyError, AttributeError for a damaged row."""
    app, room, text, decided = row
    parts = json.loads(decided)
    return ModerationRecord(
        RoomKey(app, room, bool(text)),
        _read_mutes(parts.get("everybody", {}), shift),
        {user: _read_mutes(mutes, shift) for user, mutes in parts.get("members", {}).items()},
        {user: from_bits(bits) for user, bits in parts.get("rights", {}).items()},
        {
            user: Ban(_monotonic(until, shift), str(by), str(reason))
            for user, (until, by, reason) in parts.get("bans", {}).items()
        },
    )


def _mutes(mutes: Mutes, shift: float) -> dict[str, Any]:
    return {medium.value: [_unix(mute.until, shift), mute.by] for medium, mute in mutes.items()}


def _read_mutes(mutes: Mapping[str, Any], shift: float) -> dict[Medium, Mute]:
    return {Medium(name): Mute(_monotonic(until, shift), str(by)) for name, (until, by) in mutes.items()}


def _unix(until: float, shift: float) -> float | None:
    return None if until == FOREVER else until + shift


def _monotonic(until: float | None, shift: float) -> float:
    return FOREVER if until is None else float(until) + shift
