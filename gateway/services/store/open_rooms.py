"""Which rooms were opened to userSigs, or closed again, while the server ran: `OpenRooms.changes`, over restarts."""

from __future__ import annotations

import functools
import logging
import sqlite3

from gateway.base.errors import Unavailable
from gateway.rooms.room import RoomKey
from gateway.services.store.store import Store

log = logging.getLogger(__name__)


class OpenRoomChanges:
    """`load()` before the store's start; `remember()` at any time, without waiting for the disk."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self) -> dict[RoomKey, bool]:
        """Return True for each room that was opened and False for each that was closed. Raises ConfigError."""
        rows = self._store.read("SELECT app, room, text, open FROM open_rooms")
        return {RoomKey(app, room, bool(text)): bool(is_open) for app, room, text, is_open in rows}

    def remember(self, room: RoomKey, is_open: bool) -> None:
        try:
            self._store.submit(functools.partial(_write, room=room, is_open=is_open))
        except Unavailable as error:
            log.warning("! it is not written down that room %s is %s: %s", room, "open" if is_open else "closed", error)


def _write(db: sqlite3.Connection, *, room: RoomKey, is_open: bool) -> None:
    db.execute("INSERT OR REPLACE INTO open_rooms VALUES (?, ?, ?, ?)", (room.app, room.id, room.text, is_open))
