"""What survives: restarts, kills, damage, two processes."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gateway.base.config import RoomsConfig
from gateway.base.errors import BadTicket, ConfigError, NotPermitted, Overloaded, ShuttingDown
from gateway.rooms import events
from gateway.rooms.directory import Changes, Directory
from gateway.rooms.moderation import FOREVER, Ban, Medium, Mute
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import POLICIES, RoomKey, StreamKind
from gateway.services.store import FILE, Store, allocate_stream_id
from gateway.services.store import file as store_file
from gateway.services.store import store as store_module
from tests.rooms.fakes import APP, OTHER, PAGE, RANDOM32, ROOM, Recorded, Session, hex_source

ROOT = Path(__file__).resolve().parent.parent.parent


class Clock:
    """Wall and monotonic time that jump apart at a restart, as they do."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.unix = 1.6e9

    def advance(self, seconds: float) -> None:
        self.monotonic += seconds
        self.unix += seconds

    def reboot(self, seconds: float) -> None:
        self.unix += seconds
        self.monotonic = 5.0


def opened(tmp_path: Path, clock: Clock) -> Store:
    return Store(tmp_path, wall=lambda: clock.unix, now=lambda: clock.monotonic)


def restart(tmp_path: Path, recorded: Recorded, clock: Clock, store: Store) -> tuple[Recorded, Store]:
    """Close as the server does and start another on the same file."""
    asyncio.run(store.aclose(recorded.directory))
    clock.reboot(3)
    again = Recorded()
    store = opened(tmp_path, clock)
    store.restore(again.directory, POLICIES)
    store.start()
    return again, store


def state(directory: Directory) -> dict[str, object]:
    """What must be the same after a restart (times apart)."""
    return {
        "rooms": [
            (room.key, room.creator, room.info, room.room_type, room.policy) for room in directory.rooms.values()
        ],
        "members": {
            (member.key, member.user_id): (
                member.nick,
                member.privileges,
                member.guest,
                dict(member.urls),
                {
                    kind: (info.stream_id, info.has_audio, info.has_video, info.audio_muted, info.transport)
                    for kind, info in member.streams.items()
                },
            )
            for member in directory.members
        },
        "order": {room.key: list(room.members) for room in directory.rooms.values()},
        "published": {
            room.key: [member.user_id for member, _ in room.published()] for room in directory.rooms.values()
        },
    }


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    recorded = Recorded()
    directory = recorded.directory
    store = opened(tmp_path, clock)
    store.restore(directory, POLICIES)
    store.start()
    text = RoomKey(APP, "комната".encode().hex(), text=True)
    directory.create_room(ROOM, creator="bob", info="{}", room_type="trtc", policy=POLICIES["webrtc"], now=1000)
    bob = recorded.enter("bob", nick="Боб", now=1000)
    alice = recorded.enter("alice", session=Session(), now=1001, privileges=Privilege.AUDIENCE)
    recorded.enter("guest", text, guest=True, now=1002)
    stream = directory.stream_id(ROOM, "bob", StreamKind.MAIN, hex_source())
    aux = directory.stream_id(RoomKey(APP, "a room", True), "x", StreamKind.AUX, hex_source())
    roomless = directory.roomless_stream_id(APP, "bob", hex_source())
    directory.stream_started(stream, transport="rtmp", audio=True, video=True, now=1003)
    directory.stream_updated(stream, audio_muted=True)
    directory.remember_url(alice, f"rtc:{stream}", "rtmp://play?txSecret=1")
    directory.remember_url(bob, f"push:{stream}", "rtmp://push?txSecret=2")
    token = directory.issue_resume_token(alice, RANDOM32)
    directory.kick(OTHER, "eve", ban=True)
    directory.kick(OTHER, "mallory")
    moderation = directory.moderation
    moderation.mute(ROOM, "bob", {Medium.VIDEO: True}, by="alice")
    moderation.mute(ROOM, "alice", {Medium.WORDS: True}, until=clock.monotonic + 60)
    moderation.mute_everybody(ROOM, {Medium.AUDIO: True})
    moderation.decide_rights(ROOM, "alice", Privilege.AUDIENCE | Privilege.SEND_AUDIO)
    moderation.ban(OTHER, "mallory", until=clock.monotonic + 100, by="bob", reason="шум")
    moderation.mute(OTHER, "eve", {Medium.AUDIO: True})
    before = state(directory)

    again, store = restart(tmp_path, recorded, clock, store)
    assert state(again.directory) == before and again.take() == []
    bob_again = again.directory.member(APP, "bob")
    assert bob_again is not None and bob_again.nick == "Боб"
    # He came 3 s of wall time ago; the monotonic clock began anew meanwhile and shows 5.
    assert bob_again.entered_at == pytest.approx(2.0)
    assert bob_again.streams[StreamKind.MAIN].started_at == pytest.approx(5.0)
    assert again.directory.room(ROOM).created_at == pytest.approx(2.0)
    owner = again.directory.lookup_stream(stream)
    assert owner is not None and (owner.room, owner.user_id) == (ROOM, "bob")
    assert again.directory.issued_to(roomless) == (APP, "bob")
    assert again.directory.stream_id(RoomKey(APP, "a room", True), "x", StreamKind.AUX, hex_source()) == aux
    with pytest.raises(NotPermitted):
        again.enter("eve", OTHER)
    assert again.directory.is_blocked(OTHER, "mallory")
    kept = again.directory.moderation
    assert kept.mutes(ROOM, "bob") == {Medium.VIDEO: Mute(FOREVER, "alice")}
    # 60 s were left, of which the restart took 3.
    assert kept.mutes(ROOM, "alice")[Medium.WORDS].until == pytest.approx(clock.monotonic + 57)
    assert set(kept.mutes_of_everybody(ROOM)) == {Medium.AUDIO} and not kept.muted_users(OTHER)
    assert kept.bans(OTHER)["mallory"] == Ban(pytest.approx(clock.monotonic + 97), "bob", "шум")
    alice_again = again.directory.member(APP, "alice")
    assert alice_again is not None and alice_again.granted == Privilege.AUDIENCE
    assert alice_again.privileges == Privilege.AUDIENCE | Privilege.SEND_AUDIO
    assert again.directory.resume(ROOM, "alice", Session(), clock.monotonic + 30, token=token).user_id == "alice"
    assert not again.directory.take_changes().rooms  # restoring is no change
    store.close()
    assert token.encode() not in (tmp_path / FILE).read_bytes()


def test_restored_members_have_20_seconds_and_resume_tokens_30(tmp_path: Path) -> None:
    for seconds in (20, 30):
        clock = Clock()
        recorded, path = Recorded(), tmp_path / str(seconds)
        store = opened(path, clock)
        store.start()
        recorded.enter("rest", now=1000)
        member = recorded.enter("browser", session=Session(), now=1000)
        token = recorded.directory.issue_resume_token(member, RANDOM32)
        again, store = restart(path, recorded, clock, store)
        start = clock.monotonic
        again.directory.expire(start + 20)
        assert len(again.directory.members) == 2
        again.directory.expire(start + 20.5)
        assert [one.user_id for one in again.directory.members] == ["browser"]
        if seconds == 20:
            again.directory.expire(start + 30.5)
            assert not again.directory.members and not again.directory.rooms
        else:
            again.directory.resume(ROOM, "browser", Session(), start + 30, token=token)
            with pytest.raises(BadTicket):
                again.directory.resume(ROOM, "browser", Session(), start + 30, token=token)
        store.close()


def test_a_restored_publisher_is_a_pause_for_the_others(tmp_path: Path) -> None:
    clock = Clock()
    recorded = Recorded()
    store = opened(tmp_path, clock)
    store.start()
    recorded.enter("phone", now=1000)
    stream = recorded.directory.stream_id(ROOM, "phone", StreamKind.MAIN, hex_source())
    recorded.directory.stream_started(stream, transport="rtmp", audio=True, video=True, now=1000)
    again, store = restart(tmp_path, recorded, clock, store)
    member = again.directory.member(APP, "phone")
    assert member is not None and not member.streams[StreamKind.MAIN].live and len(member.room.published()) == 1
    again.directory.stream_started(stream, transport="rtmp", audio=True, video=True, now=clock.monotonic + 4)
    assert [type(event) for event in again.take()] == [events.StreamChanged]
    again.directory.expire(clock.monotonic + 1000)
    assert again.directory.member(APP, "phone") is member
    store.close()


def test_a_restored_room_made_ahead_goes_if_nobody_comes(tmp_path: Path) -> None:
    clock = Clock()
    recorded = Recorded()
    store = opened(tmp_path, clock)
    store.start()
    recorded.directory.create_room(ROOM, creator="a", info="", room_type="", policy=PAGE, now=1000)
    recorded.directory.create_room(OTHER, creator="a", info="", room_type="", policy=POLICIES["lasting"], now=1000)
    again, store = restart(tmp_path, recorded, clock, store)
    assert len(again.directory.rooms) == 2
    again.directory.expire(clock.monotonic + 60)
    assert list(again.directory.rooms) == [OTHER]
    store.close()


def test_the_order_of_rooms_survives_several_restarts(tmp_path: Path) -> None:
    clock = Clock()
    recorded = Recorded()
    store = opened(tmp_path, clock)
    store.start()
    keys = [RoomKey(APP, str(number)) for number in range(9, 0, -1)]
    for number, key in enumerate(keys):
        recorded.enter(f"u{number}", key, now=1000)
        if number == 4:
            recorded.directory.close_room(keys[0])
        if number % 3 == 2:
            recorded, store = restart(tmp_path, recorded, clock, store)
    recorded, store = restart(tmp_path, recorded, clock, store)
    assert list(recorded.directory.rooms) == keys[1:] == [room.key for room in recorded.directory.list_rooms(APP)]
    store.close()


def test_what_is_gone_is_gone_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    recorded = Recorded()
    store = opened(tmp_path, clock)
    store.start()
    alice = recorded.enter("alice", now=1000)
    recorded.enter("bob", OTHER, now=1000)
    recorded.directory.kick(ROOM, "carol")
    store.tick(recorded.directory)
    _settle(store)
    recorded.directory.leave(alice, "left", 1001)
    recorded.enter("carol", OTHER, now=1001)
    recorded.enter("carol", ROOM, now=1001)
    again, store = restart(tmp_path, recorded, clock, store)
    assert {(member.user_id, member.key) for member in again.directory.members} == {("bob", OTHER), ("carol", ROOM)}
    assert not again.directory.is_blocked(ROOM, "carol")
    store.close()


def test_claimed_ids_come_back_with_their_newest_owner(tmp_path: Path) -> None:
    clock = Clock()
    recorded = Recorded()
    directory = recorded.directory
    store = opened(tmp_path, clock)
    store.start()
    roomless = directory.roomless_stream_id(APP, "alice", hex_source())
    store.tick(directory)
    _settle(store)
    recorded.enter("alice", now=1000)
    own = directory.stream_id(ROOM, "alice", StreamKind.MAIN, hex_source())
    store.tick(directory)
    _settle(store)
    directory.claim_stream(roomless, ROOM, "alice")
    again, store = restart(tmp_path, recorded, clock, store)
    assert own != roomless == again.directory.find_stream_id(ROOM, "alice", StreamKind.MAIN)
    store.close()


def test_ids_that_wait_are_written_in_the_order_of_their_last_change(tmp_path: Path) -> None:
    recorded = Recorded()
    directory = recorded.directory
    with Store(tmp_path) as store:
        store.start()
        release = threading.Event()
        store.submit(lambda db: release.wait(20))
        own = directory.stream_id(ROOM, "alice", StreamKind.MAIN, hex_source())
        roomless = directory.roomless_stream_id(APP, "alice", hex_source())
        directory.claim_stream(roomless, ROOM, "alice")
        store.tick(directory)
        directory.claim_stream(own, OTHER, "alice")
        directory.claim_stream(own, ROOM, "alice")
        store.tick(directory)
        release.set()
    with Store(tmp_path) as store:
        assert [record.stream_id for record in store.load().stream_ids] == [roomless, own]


def _settle(store: Store) -> None:
    """Wait until what was handed over is on disk."""
    store.submit(lambda db: None).result(5)


# --- kills

CHILD = """
import random, sys, time
from pathlib import Path
from gateway.rooms.directory import Directory
from gateway.rooms.moderation import FOREVER, Ban, Medium, Mute
from gateway.rooms.privileges import Privilege
from gateway.base.config import RoomsConfig
from gateway.rooms.room import POLICIES, RoomKey, StreamKind
from gateway.services.store import Store

rng = random.Random(int(sys.argv[2]))
directory = Directory(RoomsConfig(), {1: "8888"})
store = Store(Path(sys.argv[1]))
store.restore(directory, POLICIES)
store.start()
for count in range(10**9):
    now = time.monotonic()
    user, key = f"u{rng.randrange(200)}", RoomKey(1, str(rng.randrange(1, 60)))
    member = directory.member(1, user)
    if member is not None and rng.random() < 0.4:
        directory.leave(member, "left", now)
    elif len(getattr(directory.rooms.get(key), "members", ())) < 10:
        member = directory.enter(
            key, user, privileges=Privilege.ALL, session=None, create=POLICIES["page"], now=now
        )
        stream = directory.stream_id(key, user, StreamKind.MAIN, lambda: f"{rng.getrandbits(64):016x}")
        directory.remember_url(member, "push:" + stream, f"rtmp://x/{stream}?{rng.random()}")
        directory.issue_resume_token(member, rng.randbytes(32))
        if rng.random() < 0.3:
            directory.stream_started(stream, transport="rtmp", audio=True, now=now)
    if rng.random() < 0.02:
        directory.kick(key, user)
    if count % 20 == 0:
        store.tick(directory)
        print(count, store.writes, flush=True)
        time.sleep(0.001)
"""


def test_a_killed_server_comes_back_consistent(tmp_path: Path) -> None:
    rng = random.Random(7)
    for turn in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(turn)], stdout=subprocess.PIPE, cwd=ROOT, text=True
        )
        try:
            assert process.stdout is not None
            deadline = time.monotonic() + 20
            while int((process.stdout.readline() or "0 99").split()[1]) < 15:
                assert time.monotonic() < deadline
            time.sleep(rng.random() / 10)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(5)
            if process.stdout is not None:
                process.stdout.close()

        with Store(tmp_path) as store:  # the dead one's lock is gone with it
            saved = store.load()
            directory = Directory(RoomsConfig(), {1: "8888"})
            directory.restore(saved, POLICIES, 0)
        assert len(saved.members) > 20
        # Each transaction held all that belonged together: nothing had to be left out.
        assert len(directory.members) == len(saved.members)
        assert {record.room for record in saved.members} == {room.key for room in saved.rooms}
        ids = {record.stream_id: record for record in saved.stream_ids}
        for member in saved.members:
            assert member.resume_hash and member.urls
            for purpose in member.urls:
                assert ids[purpose.removeprefix("push:")].user_id == member.user_id
            for stream in member.streams:
                assert ids[stream.stream_id].room == member.room
        directory.expire(31)
        assert not directory.members and not directory.rooms


def test_at_most_a_second_is_lost(tmp_path: Path) -> None:
    """What run() has had a second to save is in the file without any goodbye."""

    async def serve() -> None:
        recorded = Recorded()
        store = Store(tmp_path)
        store.start()
        task = asyncio.get_running_loop().create_task(store.run(recorded.directory))
        recorded.enter("alice", now=1)
        await asyncio.sleep(1.0)
        db = sqlite3.connect(tmp_path / FILE)
        found = db.execute("SELECT user FROM members").fetchall()
        db.close()
        task.cancel()
        store.close()
        assert found == [("alice",)]

    asyncio.run(serve())


# --- two processes


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(ConfigError, match="another gateway"):
        Store(tmp_path)
    Store(tmp_path).close()


def test_sign_url_allocates_beside_a_running_server(tmp_path: Path) -> None:
    recorded = Recorded()
    with Store(tmp_path) as store:
        store.restore(recorded.directory, POLICIES)
        store.start()
        known = recorded.directory.stream_id(RoomKey(APP, "a room", True), "known", StreamKind.MAIN, hex_source())
        store.tick(recorded.directory)
        _settle(store)

        def sign(room: RoomKey, user: str) -> str:
            return allocate_stream_id(tmp_path, "8888", room, user, StreamKind.MAIN, lambda: "e" * 16)

        assert sign(RoomKey(APP, "a room", True), "known") == known
        assert sign(ROOM, "new") == "8888_1_new" == sign(ROOM, "new")
        assert sign(RoomKey(APP, "b room", True), "new") == "8888_s" + "e" * 16
        recorded.directory.stream_started("8888_s" + "e" * 16, transport="rtmp", audio=True, now=0)
        for _ in range(2):
            store.tick(recorded.directory)
            _settle(store)
        store.tick(recorded.directory)
        owner = recorded.directory.lookup_stream("8888_s" + "e" * 16)
        assert owner is not None and (owner.room.id, owner.user_id) == ("b room", "new")
        assert recorded.directory.issued_to("8888_1_new") == (APP, "new")


def test_sign_url_before_the_first_start(tmp_path: Path) -> None:
    made = allocate_stream_id(tmp_path / "new", "8888", ROOM, "alice", StreamKind.AUX, hex_source())
    assert made == "8888_1_alice_aux"
    with Store(tmp_path / "new") as store:
        assert [record.stream_id for record in store.load().stream_ids] == [made]


# --- the file


def test_the_file_is_private(tmp_path: Path) -> None:
    recorded = Recorded()
    with Store(tmp_path) as store:
        store.start()
        recorded.enter("alice")
        store.tick(recorded.directory)
        _settle(store)
        for path in tmp_path.iterdir():
            assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be read as one" * 40, b"SQLite format 3\x00" + b"x" * 2000]
)
def test_a_file_that_is_no_database_is_named_with_the_cure(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ConfigError, match="move it away") as caught:
        Store(tmp_path)
    assert str(tmp_path / FILE) in caught.value.message
    (tmp_path / FILE).unlink()
    Store(tmp_path).close()  # and the lock was let go


def test_a_damaged_page_is_found_at_the_start(tmp_path: Path) -> None:
    recorded = Recorded()
    with Store(tmp_path) as store:
        store.start()
        for number in range(300):
            recorded.enter(f"u{number}", RoomKey(APP, str(number + 1)), nick="n" * 200)
        store.tick(recorded.directory)
    path = tmp_path / FILE
    data = bytearray(path.read_bytes())
    data[8192:40000] = os.urandom(40000 - 8192)
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="cannot use"):
        Store(tmp_path).load()


def test_an_unusable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--data"):
        Store(tmp_path / "file")
    (tmp_path / FILE).mkdir()
    with pytest.raises(ConfigError, match="cannot open"):
        Store(tmp_path)


def test_bans_of_before_they_could_end_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = store_file.MIGRATIONS
    before = next(number for number, step in enumerate(steps) if "CREATE TABLE moderation" in step)
    monkeypatch.setattr(store_file, "MIGRATIONS", steps[:before])
    db = store_file.connect(tmp_path / FILE)
    db.execute("INSERT INTO rooms VALUES (?, '2', 0, 'alice', '', '', 'page', 10, 0, 1, '{}')", (APP,))
    for user, banned in (("eve", 1), ("mallory", 1), ("bob", 0)):
        db.execute("INSERT INTO blocks VALUES (?, '2', 0, ?, ?)", (APP, user, banned))
    db.close()
    monkeypatch.setattr(store_file, "MIGRATIONS", steps)
    recorded = Recorded()
    with Store(tmp_path) as store:
        store.restore(recorded.directory, POLICIES)
    assert recorded.directory.moderation.bans(OTHER) == {"eve": Ban(), "mallory": Ban()}
    assert all(recorded.directory.is_blocked(OTHER, user) for user in ("eve", "mallory", "bob"))
    assert recorded.directory.room(OTHER).creator_is_guest is False


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    Store(tmp_path).close()
    db = sqlite3.connect(tmp_path / FILE)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(ConfigError, match="schema 99"):
        Store(tmp_path)


def test_a_migration_adds_a_table_and_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded()
    with Store(tmp_path) as store:
        store.start()
        recorded.enter("alice")
        store.tick(recorded.directory)
    step = "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT NOT NULL); CREATE INDEX m ON notes (body)"
    monkeypatch.setattr(store_file, "MIGRATIONS", (*store_file.MIGRATIONS, step))
    with Store(tmp_path) as store:
        assert [member.user_id for member in store.load().members] == ["alice"]
        store.start()
        store.submit(lambda db: db.execute("INSERT INTO notes (body) VALUES ('hello')")).result(5)
        read = store.submit(lambda db: db.execute("SELECT body FROM notes").fetchall())
        assert read.result(5) == [("hello",)]
    monkeypatch.setattr(store_file, "MIGRATIONS", (*store_file.MIGRATIONS, "CREATE TABLE notes (id)"))
    with pytest.raises(ConfigError):  # a step that fails leaves the file as it was
        Store(tmp_path)
    db = sqlite3.connect(tmp_path / FILE)
    assert db.execute("PRAGMA user_version").fetchone() == (len(store_file.MIGRATIONS) - 1,)
    db.close()


def test_one_unreadable_row_does_not_keep_the_server_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorded = Recorded()
    with Store(tmp_path) as store:
        store.start()
        recorded.enter("alice")
        recorded.enter("bob")
        store.tick(recorded.directory)
        _settle(store)
        store.submit(lambda db: db.execute("UPDATE members SET streams = '[[1' WHERE user = 'alice'")).result(5)
    again = Recorded()
    with Store(tmp_path) as store:
        store.restore(again.directory, POLICIES)
    assert [member.user_id for member in again.directory.members] == ["bob"] and "cannot be read" in caplog.text


# --- the thread


def test_jobs_roll_back_are_bounded_and_end_with_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    with pytest.raises(ShuttingDown):
        store.submit(lambda db: None)
    store.start()

    def half(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO blocks VALUES (1, '1', 0, 'u', 0)")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.submit(half).result(5)
    assert store.submit(lambda db: db.execute("SELECT COUNT(*) FROM blocks").fetchone()).result(5) == (0,)
    monkeypatch.setattr(store_module, "MAX_JOBS", 0)
    with pytest.raises(Overloaded):
        store.submit(lambda db: None)
    store.close()
    store.close()
    store.save(Changes())
    with pytest.raises(ShuttingDown):
        store.submit(lambda db: None)


def test_a_write_that_fails_is_tried_again_with_the_newest_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "RETRY_S", 0.05)
    recorded = Recorded()
    with Store(tmp_path) as store:
        store.start()
        store.submit(lambda db: db.execute("ALTER TABLE members RENAME TO away")).result(5)
        member = recorded.enter("alice", nick="old")
        store.tick(recorded.directory)
        _until(lambda: store.failures > 0)
        recorded.directory.update_member(member, nick="new")
        store.tick(recorded.directory)
        store.submit(lambda db: db.execute("ALTER TABLE away RENAME TO members")).result(5)
        _until(lambda: store.writes > 0)
        rows = store.submit(lambda db: db.execute("SELECT nick FROM members").fetchall()).result(5)
        assert rows == [("new",)]
        # And whatever fails at the end does not hold the process.
        store.submit(lambda db: db.execute("DROP TABLE rooms")).result(5)
        recorded.enter("bob", OTHER)
        store.tick(recorded.directory)
        started = time.monotonic()
    assert time.monotonic() - started < 3 and "cannot write" in caplog.text


def test_rows_that_could_not_be_written_do_not_replace_newer_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "RETRY_S", 0.05)
    recorded = Recorded()
    with Store(tmp_path) as store:
        store.start()
        store.submit(lambda db: db.execute("ALTER TABLE members RENAME TO away")).result(5)
        store.submit(lambda db: time.sleep(0.1))
        time.sleep(0.03)
        member = recorded.enter("alice", nick="old")  # all this gathers while the thread is busy
        store.tick(recorded.directory)
        back = store.submit(lambda db: time.sleep(0.2) or db.execute("ALTER TABLE away RENAME TO members"))
        _until(lambda: store.failures > 0)  # the old row has failed, the thread is busy again
        recorded.directory.update_member(member, nick="new")
        store.tick(recorded.directory)
        back.result(5)
        _until(lambda: store.writes > 0)
        assert store.submit(lambda db: db.execute("SELECT nick FROM members").fetchall()).result(5) == [("new",)]


def _until(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_handing_over_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    recorded = Recorded()
    for number in range(2000):
        recorded.enter(f"u{number}", RoomKey(APP, str(number + 1)))
    with Store(tmp_path) as store:
        store.start()
        release = threading.Event()
        blocker = store.submit(lambda db: release.wait(20))
        store.tick(recorded.directory)
        assert not blocker.done()
        release.set()
        _settle(store)
        assert store.submit(lambda db: db.execute("SELECT COUNT(*) FROM members").fetchone()).result(5) == (2000,)
