"""RoomService and whatever should not be sent to it: the old service's code, never a 500, nobody else's data."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from gateway.base.config import RoomsConfig
from gateway.rooms.room import POLICIES
from tests.endpoints.room_service_world import KINDS, ServiceWorld, User
from tests.endpoints.world import OTHER_APP

LIVE = "live_room"
COMMON = (
    "logout",
    "get_push_url",
    "get_room_list",
    "get_pushers",
    "create_room",
    "destroy_room",
    "add_pusher",
    "delete_pusher",
    "pusher_heartbeat",
    "add_anchor",
    "delete_anchor",
    "get_anchors",
    "anchor_heartbeat",
)
LIVE_ONLY = ("merge_stream", "get_custom_info", "set_custom_field", "add_audience", "delete_audience", "get_audiences")
CODES = {0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 5001, 4001, 4003, 4503, 400, 415}
UNKNOWN = {
    "get_pushers": 1,
    "get_anchors": 1,
    "destroy_room": 3,
    "delete_pusher": 5,
    "pusher_heartbeat": 5,
    "anchor_heartbeat": 5,
    **dict.fromkeys(LIVE_ONLY, 3),
}
"""What a room that is not there (or is of another kind) is answered with."""


def paths() -> list[str]:
    return [f"{kind}/{call}" for kind in KINDS for call in (*COMMON, *(LIVE_ONLY if kind == LIVE else ()))]


async def raw(
    world: ServiceWorld, path: str, data: bytes, query: str, kind: str = "application/json"
) -> dict[str, Any]:
    """POST these bytes; whatever comes must be an answer of the service's form."""
    url = f"/roomservice/weapp/{path}?{query}"
    world.clock.ahead += 0.1  # slowly enough for the limit of calls
    async with world.client.post(url, data=data, headers={"Content-Type": kind}) as answer:
        assert answer.status in (200, 400, 415), (path, data[:100], answer.status)
        value: dict[str, Any] = json.loads(await answer.text())
        assert value["code"] in CODES and isinstance(value["message"], str)
        assert (value["code"] in (400, 415)) == (answer.status != 200)
        return value


async def test_any_body_has_an_answer_and_nobody_elses_data() -> None:
    draw = random.Random(11)
    values: list[object] = [
        None, -1, 1.5, True, "", "x", "r", "}}", "\ud800", "é", "x" * 2000, [], {}, [[]], 1 << 70, 7, "room_1",
    ]  # fmt: skip
    names = [
        "roomID", "userID", "pushURL", "roomInfo", "userName", "userAvatar", "cnt", "index", "mergeParams",
        "fieldName", "operation", "value", "userInfo", "surplus",
    ]  # fmt: skip
    async with ServiceWorld() as world:
        alice, mallory = await world.user("alice"), await world.user("mallory")
        await alice.push_in(LIVE, "r")
        secrets = (alice.token, (await alice(f"{LIVE}/get_push_url", roomID="r"))["pushURL"])
        for path in paths():
            query = f"userID=mallory&token={mallory.token}"
            for junk in (b"", b"[", b"\xff", b"[]", b"[" * 5000, b'"a"', b"null", b'{"a":1}{"b":2}', b"\x00"):
                if not path.endswith("/logout"):
                    await raw(world, path, junk, query)
            for _ in range(25):
                body = {name: draw.choice(values) for name in draw.sample(names, 7)}
                answer = await raw(world, path, json.dumps(body).encode(), query)
                assert not any(secret in str(answer) for secret in secrets)
            if path.endswith("/logout"):
                mallory = await world.user("mallory")
        assert await alice.pushers(LIVE, "r") == ["alice"]


async def test_what_is_not_json_is_415() -> None:
    async with ServiceWorld() as world:
        alice = await world.user("alice")
        query = f"userID=alice&token={alice.token}"
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            assert (await raw(world, "multi_room/get_room_list", b"{}", query, kind))["code"] == 415
        for kind in ("application/json", "application/json; charset=utf-8", "application/vnd.x+json"):
            assert (await raw(world, "multi_room/get_room_list", b"{}", query, kind))["code"] == 0
        body = json.dumps({"roomInfo": "x" * 300_000}).encode()
        async with world.client.post(f"/weapp/multi_room/create_room?{query}", data=body) as answer:
            assert answer.status == 413


@pytest.mark.parametrize("path", paths())
async def test_nobody_is_let_in_by_another_token(path: str) -> None:
    async with ServiceWorld() as world:
        alice, bob = await world.user("alice"), await world.user("bob")
        await alice.push_in("multi_room", "r")
        body = {"roomID": "r", "userID": "alice", "roomInfo": "x", "pushURL": "x"}
        for query in ({"userID": "alice", "token": bob.token}, {"userID": "alice", "token": "\x00é"}):
            assert (await world.post(path, body, query))["code"] == 7
        assert (await world.post(path, body, bob.query))["code"] == 7  # one in the query, another in the body
        for query in ({}, {"userID": "alice"}, {"token": alice.token}):
            assert (await world.post(path, body, query))["code"] == 2
        for query in ("userID=alice&userID=bob&token=x", "userID=%ff&token=%00", "token=%ED%A0%80&userID=alice"):
            assert (await raw(world, path, b"{}", query))["code"] in (7, 400)
        assert await alice.pushers("multi_room", "r") == ["alice"]


@pytest.mark.parametrize("path", [path for path in paths() if path.partition("/")[2] in UNKNOWN])
async def test_a_room_that_is_not_there_or_of_another_kind(path: str) -> None:
    kind, _, call = path.partition("/")
    async with ServiceWorld() as world:
        alice = await world.user("alice")
        other = KINDS[(KINDS.index(kind) + 1) % 3]
        await alice.push_in(other, "theirs")
        await world.enter("page", 1001)
        body = {"userID": "alice", "mergeParams": "{}", "fieldName": "likes", "operation": "inc"}
        for room in ("nothing", "theirs", 1001, "1001", "x" * 65, "räume", "\n"):
            assert (await alice(path, roomID=room, **body))["code"] == UNKNOWN[call], room
        assert (await alice(path, **body))["code"] == 2
        assert await alice.pushers(other, "theirs") == ["alice"]
        assert "audience" not in str(world.directory.room(world.key("theirs")).custom)


async def test_a_room_of_another_kind_is_taken() -> None:
    async with ServiceWorld() as world:
        alice, bob = await world.user("alice"), await world.user("bob")
        await alice.push_in("multi_room", "r")
        answer = await bob("live_room/create_room", userID="bob", roomInfo="x", roomID="r")
        assert answer["code"] == 11 and answer["roomID"] == "r"
        assert (await bob("live_room/get_push_url", userID="bob", roomID="r"))["code"] == 3
        url = (await bob("live_room/get_push_url", userID="bob"))["pushURL"]
        assert (await bob("live_room/add_pusher", userID="bob", roomID="r", pushURL=url))["code"] == 11
        assert await alice.pushers("multi_room", "r") == ["alice"]


@pytest.mark.parametrize("room", ["x" * 65, "räume", "\n", "a\x00"])
async def test_an_id_that_no_group_can_have(room: str) -> None:
    async with ServiceWorld() as world:
        alice = await world.user("alice")
        url = (await alice("multi_room/get_push_url"))["pushURL"]
        assert (await alice("multi_room/create_room", userID="alice", roomInfo="", roomID=room))["code"] == 6
        assert (await alice("multi_room/get_push_url", roomID=room))["code"] == 6
        assert (await alice("multi_room/add_pusher", userID="alice", roomID=room, pushURL=url))["code"] == 6


async def test_a_group_of_somebody_else_is_left_alone() -> None:
    async with ServiceWorld(im=True) as world:
        mallory, key = await world.user("mallory"), world.key("hers")
        world.groups.create(key, "alice", world.clock(), int(world.wall() * 1000))
        assert (await mallory.add("multi_room", "hers"))["code"] == 6
        assert (await mallory("multi_room/create_room", userID="mallory", roomInfo="", roomID="hers"))["code"] == 6
        assert world.groups.owner(key) == "alice" and key not in world.directory.rooms


async def test_names_may_hold_anything_that_is_text() -> None:
    name, info = '}} "\\ 好 \u2028 <b>', '{"name":"}}","x":{"y":"}}"}}'
    async with ServiceWorld() as world:
        alice = await world.user("alice")
        await alice.add(LIVE, "r", info=info, nick=name, avatar=name)
        shown = await alice(f"{LIVE}/get_pushers", roomID="r")
        assert shown["roomInfo"] == info
        assert (shown["pushers"][0]["userName"], shown["pushers"][0]["userAvatar"]) == (name, name)
        await alice(f"{LIVE}/add_audience", roomID="r", userID="alice", userInfo=info)
        assert (await alice(f"{LIVE}/get_audiences", roomID="r"))["audiences"][0]["userInfo"] == info
        field = {"fieldName": name, "operation": "set", "value": info}
        assert json.loads((await alice(f"{LIVE}/set_custom_field", roomID="r", **field))["custom"]) == {name: info}


async def test_a_list_of_10000_rooms() -> None:
    async with ServiceWorld(rooms=RoomsConfig(max_rooms=10_000)) as world:
        alice, kinds = await world.user("alice"), world.entry.policies
        for number in range(10_000):
            key, kind = world.key(f"room_{number}"), KINDS[number % 2]
            world.directory.create_room(key, creator="", info="x", policy=kinds[kind], now=world.clock())
            world.directory.enter(key, f"u{number}", privileges=world.all, session=None, now=world.clock())
        calls = "multi_room/get_room_list"

        async def ids(**page: object) -> list[str]:
            return [room["roomID"] for room in (await alice(calls, **page))["rooms"]]

        assert await ids() == [f"room_{2 * number + 1}" for number in range(10)]
        assert await ids(index=4_995, cnt=20) == [f"room_{2 * number + 1}" for number in range(4_995, 5_000)]
        for page in ({"index": 5_000}, {"index": 2**31 - 1}, {"index": "999999999", "cnt": 20}, {"cnt": 0}):
            assert await ids(**page) == []
        assert len(await ids(cnt=2**31 - 1)) == 200
        full = await alice("multi_room/create_room", userID="alice", roomInfo="x")
        assert full["code"] == 4503 and full["detail"]["name"] == "too_many"
        assert (await alice.add("multi_room", "one_more"))["code"] == 4503


async def test_one_user_makes_no_more_than_so_many_rooms_that_nobody_enters() -> None:
    async with ServiceWorld() as world:
        alice = await world.user("alice")
        answers = [await alice("multi_room/create_room", userID="alice", roomInfo="x") for _ in range(21)]
        assert [answer["code"] for answer in answers] == [0] * 20 + [4503]
        await alice.push_in("multi_room", answers[0]["roomID"])
        assert (await alice("multi_room/create_room", userID="alice", roomInfo="x"))["code"] == 0
        assert (await alice("multi_room/create_room", userID="alice", roomInfo="x"))["code"] == 4503
        world.clock.ahead = 31.0
        world.directory.expire(world.clock())
        assert (await alice("multi_room/create_room", userID="alice", roomInfo="x"))["code"] == 0


async def test_an_app_sees_its_own_rooms_only() -> None:
    async with ServiceWorld() as world:
        alice = await world.user("alice")
        await alice.push_in("multi_room", "r")
        other = world.key("r", app=OTHER_APP)
        world.directory.create_room(other, creator="", info="secret", policy=POLICIES["multi_room"], now=world.clock())
        world.directory.enter(other, "bob", privileges=world.all, session=None, now=world.clock())
        rooms = (await alice("multi_room/get_room_list"))["rooms"]
        assert len(rooms) == 1 and await alice.pushers("multi_room", "r") == ["alice"]
        assert "secret" not in str(rooms)


async def test_a_token_of_one_user_says_nothing_of_an_address_of_another() -> None:
    async with ServiceWorld() as world:
        alice, bob = await world.user("alice"), await world.user("bob")
        await alice.push_in("multi_room", "r")
        await bob.push_in("multi_room", "r")
        shown = [await user("multi_room/get_pushers", roomID="r") for user in (alice, bob)]
        urls = [{pusher["userID"]: pusher["accelerateURL"] for pusher in answer["pushers"]} for answer in shown]
        assert urls[0]["bob"] != urls[1]["bob"] and "u=alice" in urls[0]["bob"] and "u=bob" in urls[1]["bob"]
        for answer in (await bob("multi_room/get_pushers", roomID="r"), await bob("multi_room/get_room_list")):
            assert "pushURL" not in str(answer) and alice.token not in str(answer)


async def test_users_of_other_apps_have_sessions_of_their_own() -> None:
    async with ServiceWorld() as world:
        query = world.ticket_query("alice") | {"sdkAppID": str(OTHER_APP.sdk_app_id)}
        query["userSig"] = world.sig("alice", OTHER_APP)
        other = User(world, "alice", (await world.post("multi_room/login", None, query))["token"])
        alice = await world.user("alice")
        await alice.push_in("multi_room", "r")
        assert (await other("multi_room/get_pushers", roomID="r"))["code"] == 1
        assert (await other("multi_room/delete_pusher", roomID="r", userID="alice"))["code"] == 5
        # an app that has no key to sign addresses with
        assert (await other("multi_room/get_push_url", userID="alice"))["code"] == 4503
        async with world.client.get("/weapp/utils/get_test_pushurl", params=other.query) as answer:
            assert "8888" not in await answer.text()


async def test_one_user_asks_so_often_and_others_do_not_suffer() -> None:
    async with ServiceWorld() as world:
        alice, bob = await world.user("alice"), await world.user("bob")
        codes = [(await alice("multi_room/get_room_list"))["code"] for _ in range(150)]
        assert 4503 in codes[100:] and not any(codes[:100])
        refused = await alice("multi_room/get_room_list")
        if refused["code"]:
            assert refused["detail"]["name"] == "too_many" and 0 < refused["detail"]["retryAfterMs"] <= 51
        assert (await bob("multi_room/get_room_list"))["code"] == 0
        world.clock.ahead += 5.0
        assert (await alice("multi_room/get_room_list"))["code"] == 0
