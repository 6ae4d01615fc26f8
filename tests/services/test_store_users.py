"""What of the old IM's users survives in the file: messages that wait, profiles, logins, groups without a room."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from gateway.rooms.groups import GroupInfo, Groups, LoginRecord, Profile
from gateway.rooms.room import POLICIES, RoomKey
from gateway.services.store import FILE, Store
from gateway.wire.chat import read_body
from tests.rooms.fakes import Recorded

BODY = read_body([{"MsgType": "TIMTextElem", "MsgContent": {"Text": "né"}}])
BARE = RoomKey(1, "55")


class Server:
    """The groups of one run of a server, and their file."""

    def __init__(self, path: Path) -> None:
        self.recorded, self.groups = Recorded(), Groups()
        self.recorded.directory.events.on("event", self.groups.on_room_event)
        self.store = Store(path)
        self.store.restore(self.recorded.directory, POLICIES, self.groups)
        self.store.start()

    def send(self, number: int, to: str = "bob", *, live: bool = False) -> int:
        now, now_ms = time.monotonic(), int(time.time() * 1000)
        return self.groups.post_direct(
            1, "alice", "Alice", to, number, BODY, now=now, now_ms=now_ms, sender_seq=4711, live=live, keep=True
        ).seq

    def read(self, seq: int) -> None:
        """Bob fetches the message and says so."""
        assert self.groups.waiting.give(seq, "a login")
        self.groups.waiting.acknowledge(1, "bob", seq)

    def flush(self) -> None:
        self.store.tick(self.recorded.directory, self.groups)
        self.store.submit(lambda _: None).result(5)

    def waiting(self, user: str = "bob") -> list[int]:
        return [direct.seq for direct in self.groups.waiting.of(1, user)]


def rows(path: Path, table: str) -> int:
    db = sqlite3.connect(path / FILE)
    (number,) = db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
    db.close()
    return int(number)


def test_what_waits_for_a_user_survives_a_kill_and_what_was_fetched_does_not(tmp_path: Path) -> None:
    server = Server(tmp_path)
    one, two, three = (server.send(number) for number in (1, 2, 3))
    server.flush()
    server.read(one)
    server.flush()
    server.send(4)
    server.store.close()  # as a killed server: what was not handed over is lost
    server = Server(tmp_path)
    assert server.waiting() == [two, three]
    (direct, _) = server.groups.waiting.of(1, "bob")
    assert (direct.sender, direct.nick, direct.sender_seq, direct.body) == ("alice", "Alice", 4711, BODY)
    assert server.send(5) > three
    server.groups.deliver_waiting(1, "bob")
    server.flush()
    assert rows(tmp_path, "directs") == 0
    server.store.close()


def test_what_is_fetched_within_the_half_second_is_never_written(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.read(server.send(1))
    assert not server.groups.take_changes().directs
    server.store.close()


def test_profiles_logins_and_groups_without_a_room_survive(tmp_path: Path) -> None:
    server = Server(tmp_path)
    groups, login = server.groups, LoginRecord("d1", 1, "alice", True, BARE, (("k1", 3), ("k2", 4)))
    groups.accounts.change(1, "alice", nick="Álice", image="http://x", proven=True)
    groups.accounts.keep_login(login)
    groups.accounts.keep_login(LoginRecord("d2", 1, "bob"))
    groups.create(BARE, "alice", 0, 1000, GroupInfo("Tea", notification="at five"))
    groups.post(BARE, "alice", "", 1, BODY, now=0, now_ms=int(time.time() * 1000), priority="LOVEMSG")
    server.flush()
    groups.accounts.drop_login("d2")
    server.flush()
    server.store.close()
    server = Server(tmp_path)
    groups = server.groups
    assert groups.accounts.profile(1, "alice") == Profile(1, "alice", "Álice", "http://x", True)
    assert list(groups.accounts.logins) == [login]
    assert BARE in groups and groups.owner(BARE) == "alice" and groups.info(BARE).notification == "at five"
    (message,) = groups.group(BARE, 0).missed(None, 50, 500, 1 << 20).messages
    assert message.priority == "LOVEMSG" and groups.group(BARE, 0).restored_seq == 1
    groups.close(BARE)
    server.flush()
    assert rows(tmp_path, "groups") == 0 == rows(tmp_path, "messages")
    server.store.close()


def test_damaged_rows_keep_no_server_down(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.send(1)
    server.groups.accounts.change(1, "alice", nick="x")
    server.groups.accounts.keep_login(LoginRecord("d1", 1, "alice"))
    server.groups.create(BARE, "alice", 0, 1000)
    server.flush()
    server.store.close()
    db = sqlite3.connect(tmp_path / FILE)
    for statement in (
        "UPDATE directs SET body = 'x'",
        "UPDATE profiles SET nick = 7 WHERE 0",
        "UPDATE logins SET keys = '[1]'",
        "UPDATE groups SET info = '[]'",
        "INSERT INTO directs VALUES (9, 1, 'bob', 'then', 'a', '', 1, NULL, '[{}]', 1, 0)",
        "INSERT INTO profiles VALUES (1, 'carol', x'00', '', 0)",
    ):
        db.execute(statement)
    db.commit()
    db.close()
    server = Server(tmp_path)
    assert server.waiting() == [] and BARE not in server.groups and not server.groups.accounts.logins
    assert server.groups.accounts.profile(1, "alice").nick == "x"
    server.store.close()
