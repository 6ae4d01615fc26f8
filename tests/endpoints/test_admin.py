"""`/api/v1`: who is let in, what rooms look like, every call, bad input. What the calls do is in test_moderation."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.endpoints.admin import AdminApi
from gateway.rooms.room import RoomKey
from tests.endpoints.world import ADMIN, APP, OTHER_APP, World

BEARER = {"Authorization": f"Bearer {ADMIN}"}


@contextlib.asynccontextmanager
async def node(token: str = ADMIN) -> AsyncIterator[World]:
    world = World()
    world.app.add_routes(AdminApi(world.entry, token, wall=lambda: 1_600_000_000.0).routes())
    async with world:
        yield world


async def call(world: World, method: str, path: str, body: object = None, status: int = 200) -> Any:
    async with world.client.request(method, f"/api/v1/rooms{path}", json=body, headers=BEARER) as answer:
        assert answer.status == status, await answer.text()
        assert "Access-Control-Allow-Origin" not in answer.headers
        return await answer.json()


CALLS = [
    ("GET", ""),
    ("POST", ""),
    ("GET", "/1001"),
    ("DELETE", "/1001"),
    ("PUT", "/1001/mute"),
    ("POST", "/1001/notice"),
    ("PUT", "/1001/open"),
    ("DELETE", "/1001/users/bob"),
    ("PUT", "/1001/users/bob/mute"),
    ("PUT", "/1001/users/bob/privileges"),
    ("PUT", "/1001/users/bob/ban"),
    ("DELETE", "/1001/users/bob/ban"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_only_the_operator_is_let_in(method: str, path: str) -> None:
    async with node() as world:
        await world.enter("alice")
        bob = await world.enter("bob")
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {ADMIN}"}):
            async with world.client.request(method, f"/api/v1/rooms{path}", json={}, headers=header) as answer:
                assert answer.status == 401 and (await answer.json())["name"] == "unauthorized"
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert world.key() in world.directory.rooms and not bob.messages
    async with node("") as world:  # no token is configured: then nobody is the operator
        async with world.client.request(method, f"/api/v1/rooms{path}", headers={"Authorization": "Bearer "}) as answer:
            assert answer.status == 401


async def test_rooms_are_listed_by_pages_and_apps() -> None:
    async with node() as world:
        for number in range(1, 6):
            await world.enter(f"user{number}", number)
        await call(world, "POST", f"?app={OTHER_APP.sdk_app_id}", {"room": "7"}, 201)
        first = await call(world, "GET", "?count=2")
        assert [room["room"] for room in first["rooms"]] == [1, 2]
        second = await call(world, "GET", f"?count=3&after={first['next']}")
        assert [room["room"] for room in second["rooms"]] == [3, 4, 5]
        assert (await call(world, "GET", f"?count=3&after={second['next']}"))["rooms"] == []
        assert (await call(world, "GET", "?after=9999"))["next"] is None
        other = await call(world, "GET", f"?app={OTHER_APP.sdk_app_id}")
        assert [(room["room"], room["memberCount"]) for room in other["rooms"]] == [(7, 0)]
        for query in ("count=201", "count=-1", "after=x", "app=99999999999"):
            assert (await call(world, "GET", f"?{query}", status=400))["name"] == "bad_request"
        assert (await call(world, "GET", "?app=5", status=401))["name"] == "bad_ticket"


async def test_one_room_with_all_that_is_in_it() -> None:
    async with node() as world:
        await world.enter("alice", nick="Al")
        await world.enter("bob", role="audience")
        world.directory.stream_started(
            world.entry.stream_id(world.key(), "alice", world.kind("main")),
            transport="rtmp",
            audio=True,
            video=True,
            now=world.clock(),
        )
        await call(world, "PUT", "/1001/users/alice/mute", {"video": True, "seconds": 60})
        await call(world, "PUT", "/1001/mute", {"words": True})
        await call(world, "PUT", "/1001/users/eve/ban", {"reason": "noise"})
        await call(world, "PUT", "/1001/users/bob/privileges", {"privileges": 10})
        room = await call(world, "GET", "/1001")
        assert (room["app"], room["room"], room["kind"], room["creator"]) == (APP.sdk_app_id, 1001, "page", "alice")
        assert abs(room["createdAt"] - 1_600_000_000_000) < 20_000 and room["capacity"] == 10 and not room["open"]
        alice, bob = room["members"]
        assert (alice["userId"], alice["nick"], alice["connected"], alice["guest"]) == ("alice", "Al", True, False)
        assert (bob["audience"], bob["privileges"], bob["ticket"], bob["decided"]) == (True, 10, 171, 10)
        assert alice["streams"] == [
            {
                "stream": "main",
                "streamId": "8888_1001_alice",
                "live": True,
                "audio": True,
                "video": True,
                "audioMuted": False,
                "videoMuted": True,
                "transport": "rtmp",
            }
        ]
        assert room["muted"]["words"] and room["muted"]["until"] == {"words": None}
        assert [mute["userId"] for mute in room["mutes"]] == ["alice"]
        assert abs(room["mutes"][0]["until"]["video"] - 1_600_000_060_000) < 20_000
        assert room["bans"] == [{"userId": "eve", "until": None, "by": "", "reason": "noise"}]


async def test_text_rooms_are_named_as_such() -> None:
    async with node() as world:
        await call(world, "POST", "", {"room": "123", "text": True}, 201)
        await call(world, "POST", "", {"room": "a/b c"}, 201)
        assert (await call(world, "GET", "/123?text=1"))["room"] == "123"
        assert (await call(world, "GET", "/123", status=404))["name"] == "no_such_room"
        assert (await call(world, "GET", "/a%2Fb%20c"))["room"] == "a/b c"


async def test_rooms_are_made_ahead() -> None:
    async with node() as world:
        made = await call(world, "POST", "", {"room": 5, "creator": "alice", "info": "lesson"}, 201)
        assert (made["room"], made["kind"], made["creator"], made["info"]) == (5, "lasting", "alice", "lesson")
        drawn = await call(world, "POST", "", {"kind": "page"}, 201)
        assert 1 <= drawn["room"] <= 2147483647 and drawn["kind"] == "page"
        assert (await call(world, "POST", "", {"room": 5}, 409))["name"] == "name_taken"
        bob, alice = await world.enter("bob", 5), await world.enter("alice", 5)
        assert alice.entered["moderation"]["moderator"] and not bob.entered["moderation"]["moderator"]
        world.directory.expire(world.clock() + 1000)
        assert RoomKey(APP.sdk_app_id, "5") in world.directory.rooms


async def test_the_operator_stands_above_all() -> None:
    async with node() as world:
        alice, root = await world.enter("alice"), await world.enter("admin")
        assert (await call(world, "DELETE", "/1001/users/admin"))["present"]
        assert (await root.expect(t="kicked"))["reason"] == "kick"
        await call(world, "PUT", "/1001/users/alice/mute", {"audio": True})
        assert (await alice.expect(t="moderation"))["by"] == ""
        await call(world, "POST", "/1001/notice", {"text": "soon"})
        assert (await alice.expect(t="notice-group"))["text"] == "soon"
        await call(world, "DELETE", "/1001")
        assert (await alice.expect(t="kicked"))["reason"] == "room_disband"


async def test_a_room_is_opened_to_usersigs_and_closed_again() -> None:
    async with node() as world:
        client = await world.connect()
        ticket = {**world.ticket("alice"), "privateMapKey": ""}
        assert (await client.request("enter", **ticket))["error"]["name"] == "bad_ticket"
        assert (await call(world, "PUT", "/1001/open", {"open": True}))["open"]
        assert (await client.request("enter", **ticket))["ok"]
        assert (await call(world, "GET", "/1001"))["open"]
        assert not (await call(world, "PUT", "/1001/open", {"open": False}))["open"]
        other = await world.connect()
        refused = await other.request("enter", **{**ticket, "userId": "bob", "userSig": world.sig("bob")})
        assert refused["error"]["name"] == "bad_ticket"


BAD: list[tuple[str, str, object]] = [
    ("POST", "", {"room": 0}),
    ("POST", "", {"room": True}),
    ("POST", "", {"room": ["x"]}),
    ("POST", "", {"room": "x" * 65}),
    ("POST", "", {"kind": "palace"}),
    ("POST", "", {"creator": "a b"}),
    ("POST", "", {"info": "x" * 1025}),
    ("POST", "", {"info": "\ud800"}),
    ("POST", "", [1]),
    ("GET", "/4294967295000000000000000000000000000000000000000000000000000000000", None),
    ("PUT", "/1001/mute", {}),
    ("PUT", "/1001/mute", {"audio": 1}),
    ("PUT", "/1001/users/bob/mute", {"words": "yes"}),
    ("PUT", "/1001/users/bob/mute", {"words": True, "seconds": 0}),
    ("PUT", "/1001/users/bob/mute", {"words": True, "seconds": 1.5}),
    ("PUT", "/1001/users/b%20b/mute", {"words": True}),
    ("PUT", "/1001/users/bob/privileges", {}),
    ("PUT", "/1001/users/bob/privileges", {"privileges": 256}),
    ("PUT", "/1001/users/bob/privileges", {"privileges": True}),
    ("PUT", "/1001/users/bob/ban", {"seconds": -1}),
    ("PUT", "/1001/users/bob/ban", {"reason": 5}),
    ("PUT", "/1001/users/bob/ban", {"reason": "\u00e9" * 501}),
    ("PUT", "/1001/users/bob/ban", {"reason": "\ud800"}),
    ("POST", "/1001/notice", {}),
    ("POST", "/1001/notice", {"text": ""}),
    ("POST", "/1001/notice", {"text": "\ud800"}),
    ("POST", "/1001/notice", {"text": "x" * 8193}),
    ("PUT", "/1001/open", {}),
    ("PUT", "/1001/open", {"open": 1}),
    ("DELETE", "/1001/users/%C3%A9", None),
]


async def test_bad_input_is_refused_by_name() -> None:
    async with node() as world:
        await world.enter("alice")
        await world.enter("bob")
        for method, path, body in BAD:
            assert (await call(world, method, path, body, 400))["name"] == "bad_request", (method, path, body)
        assert (await call(world, "PUT", "/1001/users/bob/privileges", {"privileges": 4}, 403))[
            "name"
        ] == "not_permitted"
        for data, status in ((b"{", 415), (b"\xff", 415), (b"[" * 5000, 415)):
            async with world.client.put("/api/v1/rooms/1001/mute", data=data, headers=BEARER) as answer:
                assert answer.status == status
        for method, path in CALLS[3:]:
            if "open" not in path:
                body = {"audio": True, "text": "x", "privileges": 255}
                missing = await call(world, method, path.replace("1001", "4040"), body, 404)
                assert missing["name"] == "no_such_room"
        assert len(world.directory.members) == 2
