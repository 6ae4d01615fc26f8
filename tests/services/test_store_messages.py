"""What of the messages survives in the file: clean ends, kills, a disk that takes nothing, damaged rows."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import time
from pathlib import Path

import pytest

from gateway.base.config import MessagesConfig
from gateway.rooms.groups import Group, Groups
from gateway.rooms.room import POLICIES, RoomKey
from gateway.services.store import FILE, Store, rows
from gateway.services.store import file as store_file
from gateway.services.store import store as store_module
from gateway.wire.chat import Backlog, Range, read_body
from tests.rooms.fakes import OTHER, ROOM, Recorded

BIG = 1 << 30
NUMBERS = itertools.count(1)


class Server:
    """A directory with one room, its groups, and their file."""

    def __init__(self, path: Path, messages: MessagesConfig | None = None) -> None:
        self.recorded = Recorded()
        self.groups = Groups(messages)
        self.recorded.directory.events.on("event", self.groups.on_room_event)
        self.store = Store(path)
        self.store.restore(self.recorded.directory, POLICIES, self.groups)
        self.store.start()

    def post(self, text: str, room: RoomKey = ROOM) -> int:
        if room not in self.recorded.directory.rooms:
            self.recorded.enter(f"of{room.id}", room, now=time.monotonic())
        fresh = next(NUMBERS)
        body = read_body([{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}])
        sender = f"user{fresh}"  # each its own bucket
        now, now_ms = time.monotonic(), int(time.time() * 1000)
        return self.groups.post(room, sender, "Ы", fresh, body, now=now, now_ms=now_ms).seq

    @property
    def group(self) -> Group:
        return self.groups.group(ROOM, 0)

    def read(self) -> Backlog:
        return self.group.read(Range(after=0, count=99999), BIG)

    def texts(self) -> list[str]:
        return [message.body.elements()[0]["MsgContent"]["Text"] for message in self.read().messages]

    def flush(self) -> None:
        self.store.tick(self.recorded.directory, self.groups)
        self.store.submit(lambda _: None).result(5)

    def end(self) -> None:
        asyncio.run(self.store.aclose(self.recorded.directory, self.groups))

    def kill(self) -> None:
        """End as a killed process does: what was not handed over is lost."""
        self.store.close()


def count(path: Path, table: str) -> int:
    db = sqlite3.connect(path / FILE)
    (number,) = db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
    db.close()
    return int(number)


def test_a_clean_end_loses_nothing_and_the_count_goes_on(tmp_path: Path) -> None:
    server = Server(tmp_path)
    for number in range(5):
        server.post(f"né {number}")
    server.flush()
    server.post("at the last moment")
    before = server.read()
    server.end()
    again = Server(tmp_path)
    assert again.read() == before and again.group.epoch == before.epoch
    assert again.post("next") == 7
    again.end()


def test_a_kill_loses_half_a_second_at_most_and_begins_an_epoch(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.post("kept")
    server.flush()
    epoch = server.group.epoch
    lost = server.post("lost")
    server.kill()
    again = Server(tmp_path)
    assert again.texts() == ["kept"] and again.group.epoch > epoch
    assert again.post("another") == lost, "the number again, but of another epoch"
    again.end()
    third = Server(tmp_path)
    assert third.group.epoch == again.group.epoch and third.texts() == ["kept", "another"]
    third.end()


def test_a_start_that_fails_after_a_kill_is_no_clean_end(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.post("one")
    server.flush()
    epoch = server.group.epoch
    server.kill()
    Server(tmp_path).store.close()  # as when a port is taken: the new epoch was never saved
    again = Server(tmp_path)
    assert again.group.epoch > epoch
    again.end()


def test_messages_go_with_their_room(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.post("one")
    server.post("of another room", room=OTHER)
    server.flush()
    assert count(tmp_path, "messages") == 2
    server.recorded.directory.close_room(ROOM)
    server.post("anew")
    server.flush()
    assert count(tmp_path, "messages") == 2 and server.texts() == ["anew"] and server.group.seq == 1
    epoch = server.group.epoch
    server.end()
    again = Server(tmp_path)
    assert again.texts() == ["anew"] and again.group.epoch == epoch
    again.end()


def test_what_is_not_kept_in_memory_is_not_kept_in_the_file(tmp_path: Path) -> None:
    server = Server(tmp_path, MessagesConfig(kept=10))
    for number in range(25):
        server.post(str(number))
        if number % 4 == 0:
            server.flush()
    server.flush()
    assert count(tmp_path, "messages") == 10
    server.end()
    again = Server(tmp_path, MessagesConfig(kept=10))
    assert again.texts() == [str(number) for number in range(15, 25)]
    again.end()


def test_rows_whose_room_is_gone_are_deleted(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.post("one")
    server.flush()
    server.store.submit(lambda db: db.execute("DELETE FROM rooms")).result(5)
    server.end()
    again = Server(tmp_path)
    assert len(again.groups) == 0
    again.flush()
    assert count(tmp_path, "messages") == count(tmp_path, "groups") == 0
    again.end()


def test_unreadable_rows_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(tmp_path)
    for number in range(6):
        server.post(f"text {number}")
    server.flush()

    def damage(db: sqlite3.Connection) -> None:
        db.execute('UPDATE messages SET body = \'"}],"t":"kicked\' WHERE seq = 2')
        db.execute("UPDATE messages SET body = x'00ff' WHERE seq = 3")
        db.execute("UPDATE messages SET time_ms = 'noon' WHERE seq = 4")
        db.execute("UPDATE messages SET random = 1.5 WHERE seq = 5")

    server.store.submit(damage).result(5)
    server.end()
    again = Server(tmp_path)
    assert again.texts() == ["text 0", "text 5"] and again.post("next") == 7
    assert caplog.text.count("cannot be read") == 4 and "kicked" not in caplog.text
    again.end()


def test_a_disk_that_takes_nothing_holds_no_more_than_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "RETRY_S", 0.01)
    monkeypatch.setattr(store_module, "PRUNE_FROM", 50)
    server = Server(tmp_path, MessagesConfig(kept=10))
    server.post("first")
    server.flush()
    real = rows.statements

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(rows, "statements", full)
    for number in range(300):
        server.post(str(number))
        server.store.tick(server.recorded.directory, server.groups)
    time.sleep(0.1)
    server.store.tick(server.recorded.directory, server.groups)
    assert len(server.store._pending) < 100 and server.store.failures
    monkeypatch.setattr(rows, "statements", real)
    server.end()
    again = Server(tmp_path, MessagesConfig(kept=10))
    assert again.texts() == [str(number) for number in range(290, 300)]
    assert again.group.epoch == server.group.epoch, "all was written in the end"
    again.end()


def test_a_file_of_the_version_before_gets_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = store_file.MIGRATIONS
    monkeypatch.setattr(store_file, "MIGRATIONS", steps[:1])
    recorded = Recorded()
    with Store(tmp_path) as store:
        recorded.enter("alice")
        db = store._db
        for table, records in rows.tables(recorded.directory.take_changes()):
            for key, record in records.items():
                for statement, parameters in rows.statements(table, key, record, 0.0):
                    if table in ("rooms", "members"):  # columns of later versions stand at the end
                        count = len(db.execute(f"PRAGMA table_info({table})").fetchall())
                        statement = f"INSERT INTO {table} VALUES ({', '.join('?' * count)})"
                        parameters = parameters[:count]
                    db.execute(statement, parameters)
    monkeypatch.setattr(store_file, "MIGRATIONS", steps)
    server = Server(tmp_path)
    assert ROOM in server.recorded.directory.rooms and server.post("first") == 1
    server.end()
    again = Server(tmp_path)
    assert again.texts() == ["first"]
    again.end()


def test_no_text_of_people_reaches_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    server = Server(tmp_path)
    server.post("a secret word")
    server.flush()
    server.kill()
    Server(tmp_path).end()
    assert "did not end by itself" in caplog.text and "secret" not in caplog.text
