"""The directory's records ⇄ rows. Times are unix seconds in the file; `shift` converts them."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar, assert_never

from gateway.rooms.directory import (
    BlockRecord,
    Changes,
    MemberRecord,
    RoomRecord,
    Snapshot,
    StreamIdRecord,
    StreamRecord,
)
from gateway.rooms.groups import GroupSnapshot
from gateway.rooms.moderation import ModerationRecord
from gateway.rooms.room import RoomKey, StreamKind
from gateway.services.store import group_rows, moderation

log = logging.getLogger(__name__)

Record = RoomRecord | MemberRecord | StreamIdRecord | BlockRecord | ModerationRecord
AnyRecord = Record | group_rows.Record
Row = tuple[Any, ...]
T = TypeVar("T")

UPSERT: Final[Mapping[str, str]] = {
    "rooms": "INSERT OR REPLACE INTO rooms VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "members": "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    # A claimed id gets a new serial: the newest id of an owner is the one that counts.
    "stream_ids": "INSERT OR REPLACE INTO stream_ids (stream_id, app, room, text, user, kind) "
    "VALUES (?, ?, ?, ?, ?, ?)",
    "blocks": "INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?)",
    "moderation": "INSERT OR REPLACE INTO moderation VALUES (?, ?, ?, ?)",
}
DELETE: Final[Mapping[str, str]] = {
    "rooms": "DELETE FROM rooms WHERE app = ? AND room = ? AND text = ?",
    "members": "DELETE FROM members WHERE app = ? AND user = ?",
    "stream_ids": "DELETE FROM stream_ids WHERE stream_id = ?",
    "blocks": "DELETE FROM blocks WHERE app = ? AND room = ? AND text = ? AND user = ?",
    "moderation": "DELETE FROM moderation WHERE app = ? AND room = ? AND text = ?",
}
COMPLETE: Final = "complete"
"""The mark that says: the last server has written all it had. It stands only between two servers."""


def load(db: sqlite3.Connection, shift: float) -> Snapshot:
    """Return everything; `shift` makes monotonic times of unix times. Raises sqlite3.Error."""
    return Snapshot(
        tuple(_rows(db, "SELECT * FROM rooms ORDER BY serial", lambda row: _room(row, shift))),
        tuple(_rows(db, "SELECT * FROM members ORDER BY entered_at", lambda row: _member(row, shift))),
        tuple(stream_ids(db, 0)),
        tuple(_rows(db, "SELECT * FROM blocks", _block)),
        tuple(_rows(db, "SELECT * FROM moderation", lambda row: moderation.from_columns(row, shift))),
    )


def load_groups(db: sqlite3.Connection) -> GroupSnapshot:
    """Return what the groups, and users without one, have said. Raises sqlite3.Error."""
    return GroupSnapshot(
        tuple(_rows(db, "SELECT * FROM groups ORDER BY id", group_rows.read_group)),
        tuple(_rows(db, "SELECT * FROM messages ORDER BY group_id, seq", group_rows.read_message)),
        db.execute("SELECT 1 FROM marks WHERE name = ?", (COMPLETE,)).fetchone() is not None,
        tuple(_rows(db, "SELECT * FROM directs ORDER BY seq", group_rows.read_direct)),
        tuple(_rows(db, "SELECT * FROM profiles", group_rows.read_profile)),
        tuple(_rows(db, "SELECT * FROM logins", group_rows.read_login)),
    )


def mark_complete(db: sqlite3.Connection, complete: bool) -> None:
    """Put or take away the mark. Raises sqlite3.Error."""
    if complete:
        db.execute("INSERT OR REPLACE INTO marks VALUES (?)", (COMPLETE,))
    else:
        db.execute("DELETE FROM marks WHERE name = ?", (COMPLETE,))


def statements(table: str, key: Any, record: AnyRecord | None, shift: float) -> Iterator[tuple[str, Row]]:
    """Return what makes the row of `key` what `record` says; None: gone."""
    if table in group_rows.UPSERT:
        assert record is None or isinstance(record, group_rows.Record)
        yield from group_rows.statements(table, key, record)
    elif record is None:
        yield DELETE[table], key_columns(table, key)
    else:
        assert isinstance(record, Record)
        yield UPSERT[table], columns(record, shift)


def tables(changes: Changes) -> Iterator[tuple[str, Mapping[Any, Record | None]]]:
    yield "rooms", changes.rooms
    yield "members", changes.members
    yield "stream_ids", changes.stream_ids
    yield "blocks", changes.blocks
    yield "moderation", changes.moderation


def key_columns(table: str, key: Any) -> Row:
    match table:
        case "rooms" | "moderation":
            return _room_columns(key)
        case "blocks":
            return (*_room_columns(key[0]), key[1])
        case "members":
            return (key[0], key[1])
        case _:
            return (key,)


def _room_columns(key: RoomKey) -> Row:
    return (key.app, key.id, int(key.text))


def columns(record: Record, shift: float) -> Row:
    """`shift` is added to monotonic times to make them unix times."""
    match record:
        case RoomRecord():
            return (
                *_room_columns(record.key),
                record.creator,
                record.info,
                record.room_type,
                record.kind,
                record.capacity,
                record.created_at + shift,
                record.serial,
                json.dumps(dict(record.custom)),
                record.creator_is_guest,
            )
        case MemberRecord():
            return (
                record.room.app,
                record.user_id,
                record.room.id,
                int(record.room.text),
                record.nick,
                record.privileges,
                int(record.guest),
                record.entered_at + shift,
                json.dumps([_stream_columns(stream, shift) for stream in record.streams]),
                json.dumps(dict(record.urls)),
                record.resume_hash,
                record.avatar,
                int(record.pusher),
            )
        case StreamIdRecord():
            room = record.room
            return (
                record.stream_id,
                record.app,
                None if room is None else room.id,
                int(room is not None and room.text),
                record.user_id,
                record.kind.value,
            )
        case BlockRecord():
            return (*_room_columns(record.room), record.user_id, 0)
        case ModerationRecord():
            return moderation.to_columns(record, shift)
    assert_never(record)


def _stream_columns(stream: StreamRecord, shift: float) -> list[Any]:
    return [
        stream.stream_id,
        stream.kind.value,
        stream.has_audio,
        stream.has_video,
        stream.audio_muted,
        stream.video_muted,
        stream.started_at + shift,
        stream.transport,
    ]


def _rows(db: sqlite3.Connection, query: str, read: Callable[[Row], T]) -> Iterator[T]:
    """Rows that cannot be read are left out: one damaged row must not keep a server down."""
    for row in db.execute(query):
        try:
            yield read(row)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("! a row of the database cannot be read (%s): %s", query, error)


def _room(row: Row, shift: float) -> RoomRecord:
    app, room, text, creator, info, room_type, kind, capacity, created_at, serial, custom, guest = row
    fields = {name: value for name, value in json.loads(custom).items() if isinstance(value, int | str)}
    return RoomRecord(
        RoomKey(app, room, bool(text)),
        creator,
        info,
        room_type,
        kind,
        capacity,
        created_at + shift,
        serial,
        fields,
        None if guest is None else bool(guest),
    )


def _member(row: Row, shift: float) -> MemberRecord:
    app, user, room, text, nick, privileges, guest, entered_at, streams, urls, resume_hash, avatar, pusher = row
    return MemberRecord(
        RoomKey(app, room, bool(text)),
        user,
        nick,
        privileges,
        bool(guest),
        entered_at + shift,
        tuple(_stream(item, shift) for item in json.loads(streams)),
        {str(purpose): str(url) for purpose, url in json.loads(urls).items()},
        resume_hash,
        str(avatar),
        bool(pusher),
    )


def _stream(item: list[Any], shift: float) -> StreamRecord:
    stream_id, kind, has_audio, has_video, audio_muted, video_muted, started_at, transport = item
    return StreamRecord(
        stream_id,
        StreamKind(kind),
        bool(has_audio),
        bool(has_video),
        bool(audio_muted),
        bool(video_muted),
        started_at + shift,
        transport,
    )


def stream_ids(db: sqlite3.Connection, after: int) -> Iterator[StreamIdRecord]:
    query = f"SELECT stream_id, app, room, text, user, kind FROM stream_ids WHERE serial > {after} ORDER BY serial"
    return _rows(db, query, _stream_id)


def _stream_id(row: Row) -> StreamIdRecord:
    stream_id, app, room, text, user, kind = row
    return StreamIdRecord(
        stream_id, app, None if room is None else RoomKey(app, room, bool(text)), user, StreamKind(kind)
    )


def _block(row: Row) -> BlockRecord:
    app, room, text, user, _ = row
    return BlockRecord(RoomKey(app, room, bool(text)), user)


def last_serial(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT COALESCE(MAX(serial), 0) FROM stream_ids").fetchone()[0])


def data_version(db: sqlite3.Connection) -> int:
    """A number that changes when another connection has written."""
    return int(db.execute("PRAGMA data_version").fetchone()[0])
