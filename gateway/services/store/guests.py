"""Which tickets were given to guests: their digests, until they end. They must be known after a restart as well."""

from __future__ import annotations

import functools
import logging
import sqlite3

from gateway.base.errors import Unavailable
from gateway.services.store.store import Store

log = logging.getLogger(__name__)


class GuestTickets:
    """`load()` before the store's start; `remember()` at any time, without waiting for the disk. Times are unix s."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self) -> dict[bytes, float]:
        """Return the digests and the ends of tickets, the soonest to end first. Raises ConfigError."""
        rows = self._store.read("SELECT digest, ends FROM guest_tickets ORDER BY ends")
        return {bytes(digest): float(ends) for digest, ends in rows}

    def remember(self, digest: bytes, end: float, now: float) -> None:
        """Write it down, and forget what has ended."""
        try:
            self._store.submit(functools.partial(_write, digest=digest, end=end, now=now))
        except Unavailable as error:
            log.debug("x a guest's ticket is not written down: %s", error.message)


def _write(db: sqlite3.Connection, *, digest: bytes, end: float, now: float) -> None:
    db.execute("DELETE FROM guest_tickets WHERE ends < ?", (now,))
    db.execute("INSERT OR REPLACE INTO guest_tickets VALUES (?, ?)", (digest, end))
