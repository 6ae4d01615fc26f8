"""The groups' records ⇄ rows: groups, their messages, messages that wait for users, profiles, logins of the old IM."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias, assert_never

from gateway.rooms.groups import GroupChanges, GroupInfo, GroupRecord, KeptDirect, LoginRecord, Profile
from gateway.rooms.room import RoomKey
from gateway.wire.chat import Body, Direct, Message

Record: TypeAlias = GroupRecord | Message | KeptDirect | Profile | LoginRecord
Row: TypeAlias = tuple[Any, ...]

UPSERT: Final[Mapping[str, str]] = {
    "groups": "INSERT OR REPLACE INTO groups VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "messages": "INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "directs": "INSERT OR REPLACE INTO directs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "profiles": "INSERT OR REPLACE INTO profiles VALUES (?, ?, ?, ?, ?)",
    "logins": "INSERT OR REPLACE INTO logins VALUES (?, ?, ?, ?, ?, ?)",
}
DELETE: Final[Mapping[str, str]] = {
    "groups": "DELETE FROM groups WHERE id = ?",
    "directs": "DELETE FROM directs WHERE seq = ?",
    "profiles": "DELETE FROM profiles WHERE app = ? AND user = ?",
    "logins": "DELETE FROM logins WHERE digest = ?",
}
_DROP_OLD: Final = "DELETE FROM messages WHERE group_id = ? AND seq < ?"
_DROP_ALL: Final = "DELETE FROM messages WHERE group_id = ?"


def tables(changes: GroupChanges) -> Iterator[tuple[str, Mapping[Any, Record | None]]]:
    yield "messages", changes.messages
    yield "groups", changes.groups  # after its messages, of which it deletes what is not kept
    yield "directs", changes.directs
    yield "profiles", changes.profiles
    yield "logins", changes.logins


def statements(table: str, key: Any, record: Record | None) -> Iterator[tuple[str, Row]]:
    """Return what makes the row of `key` what `record` says; None: gone."""
    if record is None:
        yield DELETE[table], key if isinstance(key, tuple) else (key,)
        if table == "groups":
            yield _DROP_ALL, (key,)
    elif isinstance(record, Message):
        yield UPSERT[table], (key[0], *columns(record))
    else:
        yield UPSERT[table], columns(record)
        if isinstance(record, GroupRecord):
            yield _DROP_OLD, (record.id, record.first)


def columns(record: Record) -> Row:
    """Return a record's row, a message's without its group."""
    match record:
        case GroupRecord(room=room):
            info = json.dumps({name: text for name, text in dataclasses.asdict(record.info).items() if text})
            where = (record.id, room.app, room.id, int(room.text))
            return (*where, record.epoch, record.seq, record.first, int(record.bare), record.owner, info)
        case Message(body=body):
            said = (record.seq, record.time_ms, record.sender, record.nick, record.random, record.event)
            return (*said, body.json, body.size, record.priority)
        case KeptDirect(message=direct):
            head = (direct.seq, record.app, direct.to, direct.time_ms, direct.sender, direct.nick, direct.random)
            return (*head, direct.sender_seq, direct.body.json, direct.body.size, int(record.shown))
        case Profile():
            return (record.app, record.user_id, record.nick, record.image, int(record.proven))
        case LoginRecord(group=group):
            name = None if group is None else json.dumps([group.id, group.text])
            return (record.digest, record.app, record.user_id, int(record.guest), name, json.dumps(record.keys))
    assert_never(record)


# --- reading: each raises ValueError, TypeError or KeyError for a row that is none


def read_group(row: Row) -> GroupRecord:
    number, app, room, text, epoch, seq, first, bare, owner, info = row
    _check(row, "iisiiiiiss")
    fields = GroupInfo(**{str(name): str(value) for name, value in json.loads(info).items()})
    return GroupRecord(number, RoomKey(app, room, bool(text)), epoch, seq, first, bool(bare), owner, fields)


def read_message(row: Row) -> tuple[int, Message]:
    group_id, seq, time_ms, sender, nick, random, event, body, size, priority = row
    _check(row, "iiissiisis")
    return group_id, Message(seq, time_ms, sender, nick, random, _body(body, size), event, priority)


def read_direct(row: Row) -> KeptDirect:
    seq, app, to, time_ms, sender, nick, random, sender_seq, body, size, shown = row
    _check(row, "iisissi?sii")
    if sender_seq is not None and not isinstance(sender_seq, int):
        raise TypeError("a column is of the wrong type")
    direct = Direct(seq, time_ms, sender, nick, to, random, _body(body, size), sender_seq)
    return KeptDirect(app, direct, bool(shown))


def read_profile(row: Row) -> Profile:
    app, user_id, nick, image, proven = row
    _check(row, "isssi")
    return Profile(app, user_id, nick, image, bool(proven))


def read_login(row: Row) -> LoginRecord:
    digest, app, user_id, guest, group, keys = row
    _check(row, "sisi?s")
    room = None
    if group is not None:
        name, text = json.loads(group)
        room = RoomKey(app, str(name), bool(text))
    read = tuple((str(key), int(since)) for key, since in json.loads(keys))
    return LoginRecord(digest, app, user_id, bool(guest), room, read)


def _check(row: Row, kinds: str) -> None:
    """SQLite lets any value stand in any column. `kinds`: i number, s text, ? whatever."""
    for value, kind in zip(row, kinds, strict=True):
        if (kind == "i" and not isinstance(value, int)) or (kind == "s" and not isinstance(value, str)):
            raise TypeError("a column is of the wrong type")


def _body(text: str, size: int) -> Body:
    if not text.startswith("[{") or not text.endswith("}]"):
        raise ValueError("not a body")  # it goes into frames as it is
    return Body(text, size)
