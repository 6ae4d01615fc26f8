"""What RoomService's clients hold over a restart: their tokens, as digests, and whose push waits for `add_pusher`.

Clients of 2018 log in once and never again: a call that a restart interrupts could not go on without its token. What
changed is written in one transaction as soon as the writer's thread is free; a newer change replaces one that waits.
"""

from __future__ import annotations

import dataclasses
import logging
import sqlite3
import threading
from collections.abc import Collection, Mapping
from typing import Final

from gateway.base.clock import Clock, wall
from gateway.base.errors import Unavailable
from gateway.rooms.room import RoomKey
from gateway.services.store.store import Store

log = logging.getLogger(__name__)

MAX_AGE_S: Final = 30 * 86400
"""A token is kept over restarts for so long: as long as a userSig that `get_login_info` gives."""
MAX_AWAITED: Final = 20_000


@dataclasses.dataclass(frozen=True, slots=True)
class TokenRecord:
    """`guest`: the login was by a userSig that had been given to a guest."""

    app: int
    user_id: str
    digest: bytes
    guest: bool


class RoomServiceTokens:
    """Made before the store's start, from which it reads; then written at any time, without waiting for the disk.

    Raises ConfigError (a damaged file).
    """

    def __init__(self, store: Store, wall: Clock = wall) -> None:
        self._store = store
        self._wall = wall
        self._lock = threading.Lock()
        self._changed: dict[tuple[int, str], tuple[TokenRecord, float] | None] = {}
        self._newly_awaited: dict[tuple[RoomKey, str], None] = {}
        self._planned = False
        tokens = store.read(
            f"SELECT app, user, digest, guest FROM tokens WHERE since > {self._oldest()} ORDER BY since"
        )
        self.tokens: Final = tuple(
            TokenRecord(app, user, bytes(digest), bool(guest)) for app, user, digest, guest in tokens
        )
        """Those of earlier runs, the oldest first."""
        awaited = store.read("SELECT app, room, text, user FROM awaited ORDER BY serial")
        self.awaited: Final = tuple((RoomKey(app, room, bool(text)), user) for app, room, text, user in awaited)
        """Room and user of pushers of earlier runs, the oldest first."""

    def _oldest(self) -> float:
        return self._wall() - MAX_AGE_S

    def keep(self, record: TokenRecord) -> None:
        """The user's token is this one from now on."""
        with self._lock:
            self._changed[(record.app, record.user_id)] = (record, self._wall())
        self._plan()

    def forget(self, app: int, user_id: str) -> None:
        with self._lock:
            self._changed[(app, user_id)] = None
        self._plan()

    def keep_awaited(self, room: RoomKey, user_id: str) -> None:
        with self._lock:
            self._newly_awaited[(room, user_id)] = None
        self._plan()

    def _plan(self) -> None:
        with self._lock:
            planned, self._planned = self._planned, True
        if planned:
            return
        try:
            self._store.submit(self._write)
        except Unavailable as error:
            log.debug("x tokens are not written down yet: %s", error.message)
            with self._lock:
                self._planned = False

    def _write(self, db: sqlite3.Connection) -> None:
        """On the writer's thread. What a full disk does not take waits for the next change."""
        with self._lock:
            tokens, self._changed = self._changed, {}
            awaited, self._newly_awaited = self._newly_awaited, {}
            self._planned = False
        try:
            _write_tokens(db, tokens, self._oldest())
            _write_awaited(db, awaited)
        except sqlite3.Error:
            with self._lock:
                self._changed = tokens | self._changed
                self._newly_awaited = awaited | self._newly_awaited
            raise


def _write_tokens(
    db: sqlite3.Connection, tokens: Mapping[tuple[int, str], tuple[TokenRecord, float] | None], oldest: float
) -> None:
    db.execute("DELETE FROM tokens WHERE since <= ?", (oldest,))
    for (app, user_id), kept in tokens.items():
        if kept is None:
            db.execute("DELETE FROM tokens WHERE app = ? AND user = ?", (app, user_id))
        else:
            record, since = kept
            row = (app, user_id, record.digest, record.guest, since)
            db.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?, ?)", row)


def _write_awaited(db: sqlite3.Connection, awaited: Collection[tuple[RoomKey, str]]) -> None:
    for room, user_id in awaited:
        row = (room.app, room.id, room.text, user_id)
        db.execute("INSERT OR REPLACE INTO awaited (app, room, text, user) VALUES (?, ?, ?, ?)", row)
    db.execute("DELETE FROM awaited WHERE serial <= (SELECT max(serial) FROM awaited) - ?", (MAX_AWAITED,))
