"""RoomService after a restart of the server: rooms and pushers as they were, and clients whose tokens still hold."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.base.config import RoomsConfig
from gateway.rooms.directory import Directory
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey, policies
from gateway.services.store import RoomServiceTokens, Store, TokenRecord, tokens
from tests.endpoints.room_service_world import ServiceWorld, User
from tests.endpoints.test_room_api import _play
from tests.endpoints.world import APP

ROOM = RoomKey(1, "room_0", True)


def test_rooms_are_as_they_were(tmp_path: Path) -> None:
    kinds, now = policies(RoomsConfig()), time.monotonic()
    before = Directory(RoomsConfig(), {1: "8888"})
    with Store(tmp_path) as store:
        store.start()
        room = before.create_room(ROOM, creator="", info="i", policy=kinds["live_room"], now=now)
        for name in ("host", "guest"):
            member = before.enter(ROOM, name, privileges=Privilege.ALL, session=None, now=now)
            before.show_pusher(member, f"http://a/{name}.png")
        before.set_custom(room, "likes", 3)
        before.set_custom(room, "title", "}} 好")
        store.tick(before)
    after = Directory(RoomsConfig(), {1: "8888"})
    with Store(tmp_path) as store:
        store.restore(after, kinds)
    found = after.room(ROOM)
    assert (found.policy.kind, found.creator, found.info) == ("live_room", "host", "i")
    assert found.custom == {"likes": 3, "title": "}} 好"}
    assert [(one.user_id, one.avatar) for one in found.pushers()] == [
        ("host", "http://a/host.png"),
        ("guest", "http://a/guest.png"),
    ]
    after.expire(now + 60)  # nobody has shown life
    assert not after.rooms


@contextlib.asynccontextmanager
async def served(data: Path, **options: Any) -> AsyncIterator[ServiceWorld]:
    """A world on the same file as the one before."""
    with Store(data) as store:
        world = ServiceWorld(book=RoomServiceTokens(store), **options)
        store.restore(world.directory, world.entry.policies)
        store.start()
        async with world:
            yield world
            store.tick(world.directory)


def written(data: Path) -> bytes:
    return b"".join(file.read_bytes() for file in data.iterdir() if file.is_file())


async def test_a_call_goes_on_with_its_tokens(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        alice, bob, gone = [await world.user(name) for name in ("alice", "bob", "gone")]
        old = await world.user("carl")
        new = await world.user("carl")
        await gone("multi_room/logout")
        await alice.push_in("multi_room", "r")
        await bob.push_in("multi_room", "r")
        before = await alice("multi_room/get_pushers", roomID="r")
    assert alice.token.encode() not in written(tmp_path)
    async with served(tmp_path) as world:
        alice, bob, gone, old, new = [User(world, user.name, user.token) for user in (alice, bob, gone, old, new)]
        assert await alice("multi_room/get_pushers", roomID="r") == before
        assert (await alice("multi_room/pusher_heartbeat", roomID="r", userID="alice"))["code"] == 0
        assert (await bob("multi_room/delete_pusher", roomID="r", userID="bob"))["code"] == 0
        for user, code in ((gone, 7), (old, 7), (new, 0)):
            assert (await user("multi_room/get_room_list"))["code"] == code
        assert (await User(world, "bob", alice.token)("multi_room/get_room_list"))["code"] == 7


async def test_a_guests_token_is_a_guests_afterwards(tmp_path: Path) -> None:
    guests = ("127.0.0.0/8",)
    async with served(tmp_path, guests=guests) as world:
        info = await world.post("utils/get_login_info", None, {"userID": "alice"})
        query = {"sdkAppID": str(APP.sdk_app_id), "userID": "alice", "userSig": info["userSig"]}
        guest = User(world, "alice", (await world.post("multi_room/login", None, query))["token"])
    async with served(tmp_path, guests=guests) as world:
        guest = User(world, "alice", guest.token)
        assert (await guest("multi_room/get_push_url", userID="alice"))["code"] == 0
        await world.enter("alice")  # who has a ticket
        assert (await guest("multi_room/get_push_url", userID="alice"))["code"] == 4001


async def test_a_push_that_goes_on_makes_no_room_of_another_kind(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        alice = await world.user("alice")
        await alice.push_in("multi_room", "r")
        url = (await alice("multi_room/get_push_url", userID="alice", roomID="r"))["pushURL"]
        await alice("multi_room/destroy_room", userID="alice", roomID="r")
    async with served(tmp_path) as world:
        publishing = world.entry.publishing(world.entry.admit_push(*_play(url)), "rtmp")
        publishing.update(audio=True, video=True)  # the phone has found the server again
        assert not world.directory.rooms
        alice = User(world, "alice", alice.token)
        body = {"roomID": "r", "userID": "alice", "userName": "", "userAvatar": "", "pushURL": url}
        assert (await alice("multi_room/add_pusher", **body))["code"] == 0
        publishing.close()


def test_tokens_and_awaited_pushers_are_bounded_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_AWAITED", 3)
    now = 1_000_000.0
    with Store(tmp_path) as store:
        book = RoomServiceTokens(store, lambda: now)
        store.start()
        for number in range(5):
            book.keep(TokenRecord(1, f"u{number}", bytes([number]) * 32, number == 4))
            book.keep_awaited(ROOM, f"u{number}")
            store.submit(lambda db: None).result(10)
            now += 86400
        book.keep(TokenRecord(1, "u1", b"n" * 32, False))
        book.forget(1, "u2")
    with Store(tmp_path) as store:
        book = RoomServiceTokens(store, lambda: now)
        assert [(token.user_id, token.guest) for token in book.tokens] == [
            ("u0", False),
            ("u3", False),
            ("u4", True),
            ("u1", False),
        ]
        assert book.awaited == ((ROOM, "u2"), (ROOM, "u3"), (ROOM, "u4"))
        now = 1_000_000.0 + tokens.MAX_AGE_S + 3.5 * 86400
        assert [token.user_id for token in RoomServiceTokens(store, lambda: now).tokens] == ["u4", "u1"]
