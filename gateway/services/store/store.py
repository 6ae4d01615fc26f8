"""The SQLite file: what of the rooms must survive a restart, or a kill.

    event loop   Directory ── take_changes() each half second ──▶ pending rows
    own thread   pending rows ──▶ one transaction each time (WAL)

The loop never waits for the disk: it hands over the rows that changed, by primary key, and a newer row replaces one
that still waits, so that what waits is bounded by what exists. After a kill at most the last second is missing, and
what is there is consistent, since a transaction holds all that changed together.

Other services keep their tables in the same file: they add a step to MIGRATIONS (file.py) and run their statements
with `submit` (on the writer's thread, in order, a transaction each). Invariant: one thread uses the connection.

Times are kept as unix seconds; the directory's are monotonic.

Messages of groups go the same way, each once. The mark `complete` is in the file only while no server runs: it is taken
away, and that synced, before the first message can be told, and put back after the last one was written. Without it
some may be missing, and `Groups.restore` begins new epochs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from gateway.base.clock import Clock, monotonic, wall
from gateway.base.errors import ConfigError, Overloaded, ShuttingDown
from gateway.rooms.directory import Changes, Directory, Snapshot, StreamIdRecord
from gateway.rooms.directory.stream_ids import StreamIds
from gateway.rooms.groups import GroupChanges, GroupRecord, Groups
from gateway.rooms.room import RoomKey, RoomPolicy, StreamKind
from gateway.services.store import group_rows, rows
from gateway.services.store.file import connect, damaged, lock, roll_back
from gateway.services.store.rows import AnyRecord

log = logging.getLogger(__name__)

FILE: Final = "gateway.sqlite3"
FLUSH_S: Final = 0.5
RETRY_S: Final = 1.0
CLOSE_TIMEOUT_S: Final = 5.0
MAX_JOBS: Final = 1000
PRUNE_FROM: Final = 5000
"""More rows than this wait only for a disk that takes none: then messages that are not kept any more need not wait."""

T = TypeVar("T")


class Store:
    """The open file. `restore()`, `start()`, `run()` as a task; and `aclose()` before the endpoints go.

    `exclusive` (the server): nobody else may serve from this data directory. Raises ConfigError.
    """

    def __init__(self, data: Path, *, exclusive: bool = True, wall: Clock = wall, now: Clock = monotonic) -> None:
        self.path = data / FILE
        self._wall = wall
        self._now = now
        self._lock_file = lock(data) if exclusive else None
        try:
            self._db = connect(self.path)
        except ConfigError:
            self._unlock()
            raise
        self._thread: threading.Thread | None = None
        self._wake = threading.Condition()
        self._pending: dict[tuple[str, object], AnyRecord | None] = {}
        self._jobs: deque[tuple[Callable[[sqlite3.Connection], Any], Future[Any]]] = deque()
        self._closing = False
        self._complete = False
        self._poll = False
        self._foreign: list[StreamIdRecord] = []
        self._data_version = rows.data_version(self._db)
        self._last_serial = 0
        self.writes = 0
        self.failures = 0

    # --- reading, before start()

    def load(self) -> Snapshot:
        """Return what was saved, times as monotonic seconds of now's clock. Raises ConfigError."""
        assert self._thread is None
        try:
            self._data_version = rows.data_version(self._db)
            self._last_serial = rows.last_serial(self._db)
            return rows.load(self._db, self._now() - self._wall())
        except sqlite3.Error as error:
            raise damaged(self.path, error) from None

    def restore(self, directory: Directory, policies: Mapping[str, RoomPolicy], groups: Groups | None = None) -> None:
        """Fill an empty directory, and empty groups, from the file. Raises ConfigError."""
        directory.restore(self.load(), policies, self._now())
        if groups is None:
            return
        try:
            saved = rows.load_groups(self._db)
        except sqlite3.Error as error:
            raise damaged(self.path, error) from None
        if not saved.complete and saved.groups:
            log.warning("the last server did not end by itself: messages of its last moment may be missing")
        groups.restore(saved, directory.rooms.keys(), self._now(), int(self._wall() * 1000))

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query of another service's table. Raises ConfigError."""
        assert self._thread is None
        try:
            return self._db.execute(query).fetchall()
        except sqlite3.Error as error:
            raise damaged(self.path, error) from None

    # --- writing

    def start(self) -> None:
        """Start the writer's thread; from now on the connection is its own. Raises ConfigError."""
        assert self._thread is None and not self._closing
        try:
            rows.mark_complete(self._db, False)
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise damaged(self.path, error) from None
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    def save(self, changes: Changes, messages: GroupChanges | None = None) -> None:
        """Hand over changed records; returns at once. After `close` they are dropped."""
        with self._wake:
            if self._closing:
                return
            for table, records in (*rows.tables(changes), *(group_rows.tables(messages) if messages else ())):
                for key, record in records.items():
                    self._pending.pop((table, key), None)  # to the end: the order of stream ids is kept
                    self._pending[(table, key)] = record
            if len(self._pending) > PRUNE_FROM:
                self._prune()
            self._poll = True
            self._wake.notify()

    def _prune(self) -> None:
        """Let go of messages that wait and are not kept any more, so that what waits is bounded by what is kept."""
        first: dict[int, float] = {}
        for (table, key), record in self._pending.items():
            if table == "groups" and isinstance(key, int):
                first[key] = record.first if isinstance(record, GroupRecord) else float("inf")
        for table, key in list(self._pending):
            if table == "messages" and isinstance(key, tuple) and key[1] < first.get(key[0], 0):
                del self._pending[(table, key)]

    def submit(self, job: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Run `job(connection)` on the writer's thread in a transaction of its own; the future has its result.

        Its exception rolls the transaction back. Raises Overloaded (MAX_JOBS wait), ShuttingDown.
        """
        future: Future[T] = Future()
        with self._wake:
            if self._closing or self._thread is None:
                raise ShuttingDown("the store is closed")
            if len(self._jobs) >= MAX_JOBS:
                raise Overloaded(f"{MAX_JOBS} jobs wait for the database")
            self._jobs.append((job, future))
            self._wake.notify()
        return future

    async def run(self, directory: Directory, groups: Groups | None = None) -> None:
        """Save what changes, and take over stream ids that `sign url` allocates, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            self.tick(directory, groups)

    def tick(self, directory: Directory, groups: Groups | None = None) -> None:
        """One round of `run`."""
        self.save(directory.take_changes(), groups.take_changes() if groups is not None else None)
        with self._wake:
            foreign, self._foreign = self._foreign, []
        if foreign:
            directory.adopt_stream_ids(foreign)

    async def aclose(self, directory: Directory, groups: Groups | None = None) -> None:
        """Save the last changes and close the file; groups take no message from now on.

        Before the endpoints say goodbye: their members should be found by the next start, not be seen to leave.
        """
        if groups is not None:
            groups.stop()
        self.save(directory.take_changes(), groups.take_changes() if groups is not None else None)
        self._complete = groups is not None
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Write what waits (for CLOSE_TIMEOUT_S at most) and close. Idempotent."""
        with self._wake:
            if self._closing:
                return
            self._closing = True
            self._wake.notify()
        if self._thread is None:
            self._db.close()
        else:
            self._thread.join(CLOSE_TIMEOUT_S)
            if self._thread.is_alive():
                log.error("! the database did not take the last changes within %.0f s", CLOSE_TIMEOUT_S)
        self._unlock()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _unlock(self) -> None:
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    # --- the writer's thread

    def _work(self) -> None:
        try:
            while self._round():
                pass
        except Exception:
            log.exception("! the store's thread has died; nothing more is saved")
        finally:
            with self._wake:
                self._closing = True
                jobs = list(self._jobs)
                self._jobs.clear()
            for _, future in jobs:
                future.set_exception(ShuttingDown("the store is closed"))
            self._db.close()

    def _round(self) -> bool:
        """Wait for work and do it; return whether to go on."""
        with self._wake:
            self._wake.wait_for(lambda: self._pending or self._jobs or self._poll or self._closing)
            pending, self._pending = self._pending, {}
            jobs = list(self._jobs)
            self._jobs.clear()
            self._poll = False
            closing = self._closing
        written = not pending or self._write(pending)
        for job, future in jobs:
            self._run_job(job, future)
        if closing:
            # What could not be written is lost now; a full disk must not hold the process.
            if written and self._complete:
                self._mark_complete()
            return False
        self._look_for_foreign()
        if not written:
            with self._wake:
                self._pending = {key: row for key, row in pending.items() if key not in self._pending} | self._pending
                self._wake.wait_for(lambda: self._closing, RETRY_S)
        return True

    def _mark_complete(self) -> None:
        try:
            rows.mark_complete(self._db, True)
        except sqlite3.Error as error:
            log.error("! cannot write %s: %s", self.path, error)

    def _write(self, pending: Mapping[tuple[str, object], AnyRecord | None]) -> bool:
        shift = self._wall() - self._now()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for (table, key), record in pending.items():
                for statement, parameters in rows.statements(table, key, record, shift):
                    self._db.execute(statement, parameters)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self.failures += 1
            log.error("! cannot write %s: %s; trying again", self.path, error)
            roll_back(self._db)
            return False
        self.writes += 1
        return True

    def _run_job(self, job: Callable[[sqlite3.Connection], Any], future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            result = job(self._db)
            self._db.execute("COMMIT")
        except Exception as error:
            roll_back(self._db)
            future.set_exception(error)
        else:
            future.set_result(result)

    def _look_for_foreign(self) -> None:
        """Another process may have allocated stream ids (`sign url --room --user`)."""
        try:
            version = rows.data_version(self._db)
            if version == self._data_version:
                return
            found = list(rows.stream_ids(self._db, self._last_serial))
            self._last_serial = rows.last_serial(self._db)
            self._data_version = version
        except sqlite3.Error as error:
            log.warning("! cannot read %s: %s", self.path, error)
            return
        with self._wake:
            self._foreign.extend(found)


def allocate_stream_id(
    data: Path, bizid: str, room: RoomKey, user_id: str, kind: StreamKind, random_hex: Callable[[], str]
) -> str:
    """Return the stream id of that user in that room, allocated in the file if need be, the server running or not.

    For the command line. Raises ConfigError.
    """
    with Store(data, exclusive=False) as store:
        db = store._db
        try:
            db.execute("BEGIN IMMEDIATE")
            changed: dict[str, None] = {}
            ids = StreamIds({room.app: bizid}, changed, limit=sys.maxsize)
            for record in rows.stream_ids(db, 0):
                ids.put(record, stored=True)
            stream_id = ids.allocate(room.app, room, user_id, kind, random_hex, lambda _: False)
            for name in changed:
                allocated = ids.get(name)
                assert allocated is not None
                db.execute(rows.UPSERT["stream_ids"], rows.columns(allocated, 0.0))
            db.execute("COMMIT")
        except sqlite3.Error as error:
            roll_back(db)
            raise ConfigError(f"cannot write {store.path}: {error}") from None
    return stream_id
