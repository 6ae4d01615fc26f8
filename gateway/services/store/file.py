"""Opening the SQLite file: its schema, its lock, and what is said when it cannot be used."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

from gateway.base.errors import ConfigError

LOCK: Final = "gateway.lock"
BUSY_TIMEOUT_S: Final = 5.0

MIGRATIONS: Final[tuple[str, ...]] = (
    # 1: rooms, members, stream ids, blocks
    """
    CREATE TABLE rooms (
        app INTEGER NOT NULL, room TEXT NOT NULL, text INTEGER NOT NULL,
        creator TEXT NOT NULL, info TEXT NOT NULL, room_type TEXT NOT NULL,
        kind TEXT NOT NULL, capacity INTEGER NOT NULL, created_at REAL NOT NULL, serial INTEGER NOT NULL,
        PRIMARY KEY (app, room, text)
    ) WITHOUT ROWID;
    CREATE TABLE members (
        app INTEGER NOT NULL, user TEXT NOT NULL,
        room TEXT NOT NULL, text INTEGER NOT NULL,
        nick TEXT NOT NULL, privileges INTEGER NOT NULL, guest INTEGER NOT NULL, entered_at REAL NOT NULL,
        streams TEXT NOT NULL, urls TEXT NOT NULL, resume_hash TEXT NOT NULL,
        PRIMARY KEY (app, user)
    ) WITHOUT ROWID;
    CREATE TABLE stream_ids (
        serial INTEGER PRIMARY KEY AUTOINCREMENT,
        stream_id TEXT NOT NULL UNIQUE, app INTEGER NOT NULL,
        room TEXT, text INTEGER NOT NULL, user TEXT NOT NULL, kind TEXT NOT NULL
    );
    CREATE INDEX stream_ids_by_owner ON stream_ids (app, user);
    CREATE TABLE blocks (
        app INTEGER NOT NULL, room TEXT NOT NULL, text INTEGER NOT NULL, user TEXT NOT NULL,
        banned INTEGER NOT NULL,
        PRIMARY KEY (app, room, text, user)
    ) WITHOUT ROWID;
    """,
    # 2: groups and their messages; marks
    """
    CREATE TABLE groups (
        id INTEGER PRIMARY KEY,
        app INTEGER NOT NULL, room TEXT NOT NULL, text INTEGER NOT NULL,
        epoch INTEGER NOT NULL, seq INTEGER NOT NULL, first INTEGER NOT NULL
    );
    CREATE TABLE messages (
        group_id INTEGER NOT NULL, seq INTEGER NOT NULL,
        time_ms INTEGER NOT NULL, sender TEXT NOT NULL, nick TEXT NOT NULL, random INTEGER NOT NULL,
        event INTEGER NOT NULL, body TEXT NOT NULL, size INTEGER NOT NULL,
        PRIMARY KEY (group_id, seq)
    ) WITHOUT ROWID;
    CREATE TABLE marks (name TEXT PRIMARY KEY) WITHOUT ROWID;
    """,
    # 3: tickets that were given to guests, until they end
    """
    CREATE TABLE guest_tickets (digest BLOB PRIMARY KEY, ends REAL NOT NULL) WITHOUT ROWID;
    """,
    # rooms of RoomService: their custom fields, and what its pushers say of themselves
    """
    ALTER TABLE rooms ADD COLUMN custom TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE members ADD COLUMN avatar TEXT NOT NULL DEFAULT '';
    ALTER TABLE members ADD COLUMN pusher INTEGER NOT NULL DEFAULT 0;
    """,
    # rooms that were opened to userSigs, or closed again, while a server ran
    """
    CREATE TABLE open_rooms (
        app INTEGER NOT NULL, room TEXT NOT NULL, text INTEGER NOT NULL, open INTEGER NOT NULL,
        PRIMARY KEY (app, room, text)
    ) WITHOUT ROWID;
    """,
    # RoomService: digests of its clients' tokens, and whose push waits for add_pusher
    """
    CREATE TABLE tokens (
        app INTEGER NOT NULL, user TEXT NOT NULL, digest BLOB NOT NULL, guest INTEGER NOT NULL, since REAL NOT NULL,
        PRIMARY KEY (app, user)
    ) WITHOUT ROWID;
    CREATE TABLE awaited (
        serial INTEGER PRIMARY KEY AUTOINCREMENT,
        app INTEGER NOT NULL, room TEXT NOT NULL, text INTEGER NOT NULL, user TEXT NOT NULL,
        UNIQUE (app, room, text, user)
    );
    """,
    # what moderators have decided, a row a room; bans of before (blocks.banned, not used any more) are kept
    """
    ALTER TABLE rooms ADD COLUMN creator_is_guest INTEGER DEFAULT 0;
    CREATE TABLE moderation (
        app INTEGER NOT NULL, room TEXT NOT NULL, text INTEGER NOT NULL, decided TEXT NOT NULL,
        PRIMARY KEY (app, room, text)
    ) WITHOUT ROWID;
    INSERT INTO moderation SELECT app, room, text, json_object('bans', json_group_object(user, json('[null,"",""]')))
        FROM blocks WHERE banned = 1 GROUP BY app, room, text;
    UPDATE blocks SET banned = 0;
    """,
    # the old IM: groups without a room, messages that wait for users, profiles, logins (digests of their secrets)
    """
    ALTER TABLE groups ADD COLUMN bare INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE groups ADD COLUMN owner TEXT NOT NULL DEFAULT '';
    ALTER TABLE groups ADD COLUMN info TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE messages ADD COLUMN priority TEXT NOT NULL DEFAULT 'COMMON';
    CREATE TABLE directs (
        seq INTEGER PRIMARY KEY,
        app INTEGER NOT NULL, user TEXT NOT NULL,
        time_ms INTEGER NOT NULL, sender TEXT NOT NULL, nick TEXT NOT NULL, random INTEGER NOT NULL,
        sender_seq INTEGER, body TEXT NOT NULL, size INTEGER NOT NULL, shown INTEGER NOT NULL
    );
    CREATE TABLE profiles (
        app INTEGER NOT NULL, user TEXT NOT NULL,
        nick TEXT NOT NULL, image TEXT NOT NULL, proven INTEGER NOT NULL,
        PRIMARY KEY (app, user)
    ) WITHOUT ROWID;
    CREATE TABLE logins (
        digest TEXT PRIMARY KEY, app INTEGER NOT NULL, user TEXT NOT NULL, guest INTEGER NOT NULL,
        room TEXT, keys TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
)
"""Step n leads from schema n to n+1 and is never changed once released. Append; each runs in one transaction."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, made if need be (0600), checked and brought to the newest schema. Raises ConfigError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise ConfigError(f"cannot open {path}: {error.strerror}; check --data and its permissions") from None
    db: sqlite3.Connection | None = None
    try:
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        problem = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise sqlite3.DatabaseError(problem)
        _migrate(db, path)
    except (sqlite3.Error, ConfigError) as error:
        if db is not None:
            db.close()
        if isinstance(error, ConfigError):
            raise
        raise damaged(path, error) from None
    return db


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise ConfigError(
            f"{path} has schema {version}, this version knows {len(MIGRATIONS)}: use a newer version or another --data"
        )
    for number in range(version, len(MIGRATIONS)):
        try:
            db.execute("BEGIN IMMEDIATE")
            (now_there,) = db.execute("PRAGMA user_version").fetchone()
            if now_there == number:  # else another process was quicker
                for statement in MIGRATIONS[number].split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number + 1}")
            db.execute("COMMIT")
        except sqlite3.Error:
            roll_back(db)
            raise


def roll_back(db: sqlite3.Connection) -> None:
    if db.in_transaction:
        db.execute("ROLLBACK")


def lock(data: Path) -> int:
    """Hold the data directory; the kernel lets go of it when the process ends, however that is."""
    path = data / LOCK
    try:
        data.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot open {path}: {error.strerror}; check --data and its permissions") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise ConfigError(f"another gateway serves from {data}; stop it, or give this one another --data") from None
    return handle


def damaged(path: Path, error: sqlite3.Error) -> ConfigError:
    return ConfigError(f"cannot use {path}: {error}; restore it from a backup, or move it away: rooms start empty then")
