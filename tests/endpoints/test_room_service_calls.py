"""RoomService, call by call: answers, codes, and the rules of each kind."""

from __future__ import annotations

import re

import pytest

from gateway.base.config import HttpConfig
from gateway.rooms.room import RoomKey
from gateway.rooms.tickets import usersig
from gateway.rooms.tickets.keys import AppKeys
from tests.endpoints.room_service_world import KINDS, ServiceWorld, User
from tests.endpoints.world import APP, OTHER_APP
from tests.rooms.auth_vectors import VECTORS

GUESTS = ("127.0.0.0/8",)


# --- login


async def test_login_info_login_and_logout() -> None:
    async with ServiceWorld(guests=GUESTS) as world:
        async with world.client.get(
            "/roomservice//weapp/utils/get_login_info", params={"userIDPrefix": "weixin", "code": "x"}
        ) as answer:
            info = await answer.json()
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert info["code"] == 0 and info["accType"] == "0" and info["sdkAppID"] == APP.sdk_app_id
        assert re.fullmatch(r"user_[0-9a-f]{8}_[0-9a-f]{4}", info["userID"])
        verified = usersig.verify(info["userSig"], APP, info["userID"], world.wall())
        assert abs(verified.expires - world.wall() - 30 * 86400) < 5
        query = {k: str(info[k]) for k in ("sdkAppID", "userID", "userSig")} | {"accountType": "0", "token": "old"}
        first = await world.post("multi_room/login", None, query)
        assert first["code"] == 0 and first["userID"] == info["userID"]
        assert re.fullmatch(r"[A-Za-z0-9_-]+", first["token"])
        second = await world.post("live_room/login", None, query)
        old = User(world, info["userID"], first["token"])
        new = User(world, info["userID"], second["token"])
        assert (await old("multi_room/get_room_list", cnt=1))["code"] == 7
        for kind in KINDS:  # one token for all kinds
            assert (await new(f"{kind}/get_room_list", cnt=1))["code"] == 0
        assert (await new("double_room/logout"))["code"] == 0
        assert (await new("double_room/get_room_list"))["code"] == 7


async def test_login_info_is_for_guests() -> None:
    async with ServiceWorld() as world:
        refused = await world.post("utils/get_login_info", None, {"userID": "alice"})
        assert refused["code"] == 4001 and "userSig" not in refused
        echoed = await world.post("utils/get_login_info", None, {"userID": "alice", "userSig": world.sig("alice")})
        assert echoed["code"] == 0 and echoed["userID"] == "alice"
        assert (await world.post("utils/get_test_pushurl", None, {}))["code"] == 4001


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"userSig": ""}, 4),
        ({"sdkAppID": ""}, 4),
        ({"userID": ""}, 4),
        ({"userSig": "x"}, 4),
        ({"sdkAppID": "one"}, 4),
        ({"userID": "other"}, 7),
        ({"sdkAppID": "1"}, 7),
        ({"sdkAppID": str(OTHER_APP.sdk_app_id)}, 7),
    ],
)
async def test_login_refused(change: dict[str, str], code: int) -> None:
    async with ServiceWorld() as world:
        query = {"sdkAppID": str(APP.sdk_app_id), "accountType": "0", "userID": "alice", "userSig": world.sig("alice")}
        answer = await world.post("double_room/login", None, query | change)
        assert answer["code"] == code and "token" not in answer, answer


async def test_a_token_is_for_its_user_alone() -> None:
    async with ServiceWorld() as world:
        alice, bob = await world.user("alice"), await world.user("bob")
        await alice.push_in("multi_room", "r1")
        thief = User(world, "alice", bob.token)
        assert (await thief("multi_room/delete_pusher", roomID="r1", userID="alice"))["code"] == 7
        # in the query one, in the body another
        for name in ("delete_pusher", "pusher_heartbeat", "destroy_room"):
            assert (await bob(f"multi_room/{name}", roomID="r1", userID="alice"))["code"] == 7
        assert (await User(world, "alice", "")("multi_room/get_pushers", roomID="r1"))["code"] == 2
        assert (await User(world, "", "x")("multi_room/get_pushers", roomID="r1"))["code"] == 2
        assert (await alice("multi_room/get_pushers", roomID="r1"))["pushers"][0]["userID"] == "alice"


# --- rooms and pushers


@pytest.mark.parametrize("kind", KINDS)
async def test_a_room_from_its_making_to_its_end(kind: str) -> None:
    async with ServiceWorld() as world:
        alice, bob = await world.user("alice"), await world.user("bob")
        made = await alice(f"{kind}/create_room", userID="alice", roomInfo="a }} room")
        room = made["roomID"]
        assert made["code"] == 0 and re.fullmatch(r"room_[0-9a-f]{8}_[0-9a-f]{4}", room)
        assert (await alice(f"{kind}/get_room_list", cnt=20, index=0))["rooms"] == []  # not active yet
        again = await bob(f"{kind}/create_room", userID="bob", roomInfo="x", roomID=room)
        assert again["code"] == 11 and again["roomID"] == room
        assert (await alice.add(kind, room, nick="Al", avatar="http://a/a.png"))["code"] == 0
        assert (await bob.add(kind, room))["code"] == 0
        shown = await bob(f"{kind}/get_pushers", roomID=room)
        assert (shown["code"], shown["roomID"], shown["roomInfo"]) == (0, room, "a }} room")
        assert shown["roomCreator"] == "alice"
        first, second = shown["pushers"]
        assert (first["userID"], first["userName"], first["userAvatar"]) == ("alice", "Al", "http://a/a.png")
        assert second["userID"] == "bob" and set(second) == {"userID", "userName", "userAvatar", "accelerateURL"}
        assert first["accelerateURL"].startswith("rtmp://")
        assert first["accelerateURL"].partition("?")[0].rpartition("/")[2] == f"8888_{room}_alice"
        assert shown["mixedPlayURL"].startswith("http://") and f"/live/8888_{room}_alice.flv?" in shown["mixedPlayURL"]
        assert "pushURL" not in str(shown)
        assert await bob(f"{kind}/get_pushers", roomID=room) == shown  # not a byte differs
        listed = (await bob(f"{kind}/get_room_list", cnt=20, index=0))["rooms"]
        assert [entry["roomID"] for entry in listed] == [room] and listed[0]["code"] == 0
        assert len(listed[0]["pushers"]) == 2 and listed[0]["mixedPlayURL"] == shown["mixedPlayURL"]
        assert (await bob(f"{kind}/get_room_list", cnt=20, index=5))["rooms"] == []
        assert (await bob(f"{kind}/pusher_heartbeat", roomID=room, userID="bob"))["code"] == 0
        assert (await bob(f"{kind}/destroy_room", roomID=room, userID="bob"))["code"] == 3
        for other in KINDS:  # a room of another kind is none
            if other != kind:
                assert (await bob(f"{other}/get_pushers", roomID=room))["code"] == 1
                assert (await bob(f"{other}/pusher_heartbeat", roomID=room, userID="bob"))["code"] == 5
                assert (await alice(f"{other}/destroy_room", roomID=room, userID="alice"))["code"] == 3
                assert (await bob(f"{other}/get_room_list", cnt=20))["rooms"] == []
        assert (await alice(f"{kind}/destroy_room", roomID=room, userID="alice"))["code"] == 0
        assert (await bob(f"{kind}/get_pushers", roomID=room))["code"] == 1
        assert (await bob(f"{kind}/delete_pusher", roomID=room, userID="bob"))["code"] == 5


@pytest.mark.parametrize(("kind", "limit"), [("double_room", 2), ("multi_room", 4), ("live_room", 4)])
async def test_one_too_many_is_refused(kind: str, limit: int) -> None:
    async with ServiceWorld() as world:
        for number in range(limit):
            assert (await (await world.user(f"user{number}")).add(kind, "r"))["code"] == 0
        late = await world.user("late")
        refused = await late.add(kind, "r")
        assert refused["code"] == 5001 and refused["message"] == "超出房间人数上限"
        again = await world.user("user1")
        assert (await again.add(kind, "r", nick="N"))["code"] == 0  # who is in does not count
        assert len((await late(f"{kind}/get_pushers", roomID="r"))["pushers"]) == limit


@pytest.mark.parametrize("kind", KINDS)
async def test_the_creator_leaves(kind: str) -> None:
    async with ServiceWorld() as world:
        alice, bob = await world.user("alice"), await world.user("bob")
        await alice.add(kind, "r", info="hello")
        await bob.add(kind, "r")
        assert (await alice(f"{kind}/delete_pusher", roomID="r", userID="alice"))["code"] == 0
        shown = await bob(f"{kind}/get_pushers", roomID="r")
        if kind == "live_room":
            assert shown["code"] == 1
            return
        assert shown["roomCreator"] == "alice" and shown["roomInfo"] == "hello"
        assert [pusher["userID"] for pusher in shown["pushers"]] == ["bob"]
        await alice.add(kind, "r")
        assert (await bob(f"{kind}/get_pushers", roomID="r"))["pushers"][0]["userID"] == "alice"  # first again
        for user in (alice, bob):
            assert (await user(f"{kind}/delete_pusher", roomID="r", userID=user.name))["code"] == 0
        assert (await bob(f"{kind}/get_pushers", roomID="r"))["code"] == 1


@pytest.mark.parametrize("kind", ["double_room", "multi_room"])
async def test_an_operator_may_end_rooms_with_their_creator(kind: str) -> None:
    async with ServiceWorld(creator_ends_room=True) as world:
        alice, bob = await world.user("alice"), await world.user("bob")
        await alice.push_in(kind, "r")
        await bob.push_in(kind, "r")
        await bob(f"{kind}/delete_pusher", roomID="r", userID="bob")
        assert await alice.pushers(kind, "r") == ["alice"]
        await bob.push_in(kind, "r")
        assert (await alice(f"{kind}/delete_pusher", roomID="r", userID="alice"))["code"] == 0
        assert (await bob(f"{kind}/get_pushers", roomID="r"))["code"] == 1
        assert not world.directory.members


@pytest.mark.parametrize("kind", KINDS)
async def test_later_clients_say_anchor_for_pusher(kind: str) -> None:
    async with ServiceWorld() as world:
        alice, bob = await world.user("alice"), await world.user("bob")
        url = (await alice(f"{kind}/get_push_url", userID="alice"))["pushURL"]
        body = {"roomID": "r", "userID": "alice", "userName": "A", "userAvatar": ""}
        assert (await alice(f"{kind}/add_anchor", **body, pushURL=url))["roomID"] == "r"
        await bob.push_in(kind, "r")
        shown = await alice(f"{kind}/get_pushers", roomID="r")
        assert await alice(f"{kind}/get_anchors", roomID="r") == shown
        beat = await alice(f"{kind}/anchor_heartbeat", roomID="r", userID="alice", roomStatusCode=0)
        assert beat == shown and [pusher["userID"] for pusher in beat["pushers"]] == ["alice", "bob"]
        assert (await bob(f"{kind}/delete_anchor", roomID="r", userID="bob"))["code"] == 0
        assert (await bob(f"{kind}/anchor_heartbeat", roomID="r", userID="bob"))["code"] == 5


async def test_room_info_of_1025() -> None:
    async with ServiceWorld() as world:
        alice = await world.user("alice")
        assert (await alice("multi_room/create_room", userID="alice", roomInfo="间" * 1024))["code"] == 0
        assert (await alice("multi_room/create_room", userID="alice", roomInfo="间" * 1025))["code"] == 11
        assert (await alice.add("multi_room", "r", info="x" * 1025))["code"] == 11
        assert RoomKey(APP.sdk_app_id, "r", True) not in world.directory.rooms


async def test_push_urls() -> None:
    async with ServiceWorld() as world:
        alice, bob = await world.user("alice"), await world.user("bob")
        url = (await alice("live_room/get_push_url", userID="alice"))["pushURL"]
        assert re.match(r"rtmp://[^/]+/live/8888_alice\?", url)
        assert (await alice("live_room/get_push_url"))["pushURL"] == url  # the old server took no body
        body = {"roomID": "r", "userID": "bob", "userName": "", "userAvatar": ""}
        stolen = await bob("live_room/add_pusher", **body, pushURL=url)
        assert stolen["code"] == 7
        own = (await bob("live_room/get_push_url", userID="bob", roomID="r"))["pushURL"]
        play = url.replace("/live/8888_alice", "/live/8888_bob")
        for bad in (own.partition("?")[0], own[:-1] + "x", play, "rtmp://x/live/?a", "x", own.replace("bob?", "eve?")):
            assert (await bob("live_room/add_pusher", **body, pushURL=bad))["code"] == 7, bad
        assert (await bob("live_room/add_pusher", **body))["code"] == 2
        assert (await bob("live_room/add_pusher", **body, pushURL=own.replace("127.0.0.1", "elsewhere")))["code"] == 0
        # no URL but the own push URL is signed for pushing
        shown = await alice("live_room/get_pushers", roomID="r")
        assert (await bob("live_room/add_pusher", **body, pushURL=shown["pushers"][0]["accelerateURL"]))["code"] == 7
        # a stream without a room becomes the room's
        body |= {"userID": "alice"}
        assert (await alice("live_room/add_pusher", **body, pushURL=url))["code"] == 0
        shown = await alice("live_room/get_pushers", roomID="r")
        assert "/live/8888_alice?" in shown["pushers"][1]["accelerateURL"]


async def test_a_guest_gets_no_address_of_a_ticket_holder() -> None:
    async with ServiceWorld(guests=GUESTS) as world:
        info = await world.post("utils/get_login_info", None, {"userID": "alice"})
        query = {"sdkAppID": str(APP.sdk_app_id), "userID": "alice", "userSig": info["userSig"]}
        guest = User(world, "alice", (await world.post("multi_room/login", None, query))["token"])
        assert (await guest("multi_room/get_push_url", userID="alice", roomID="r"))["code"] == 0
        page = await world.enter("alice")
        assert (await guest("multi_room/get_push_url", userID="alice", roomID="r"))["code"] == 4001
        await page.close()


async def test_a_guest_of_the_creators_name_is_not_the_creator() -> None:
    async with ServiceWorld(guests=GUESTS) as world:

        async def guest(name: str) -> User:
            info = await world.post("utils/get_login_info", None, {"userID": name})
            query = {"sdkAppID": str(APP.sdk_app_id), "userID": name, "userSig": info["userSig"]}
            return User(world, name, (await world.post("multi_room/login", None, query))["token"])

        alice, bob = await world.user("alice"), await world.user("bob")
        await alice.push_in("multi_room", "r")
        await bob.push_in("multi_room", "r")
        await alice("multi_room/delete_pusher", roomID="r", userID="alice")
        thief = await guest("alice")
        await thief.push_in("multi_room", "r")
        assert (await thief("multi_room/destroy_room", roomID="r", userID="alice"))["code"] == 3
        assert (await (await world.user("alice"))("multi_room/destroy_room", roomID="r", userID="alice"))["code"] == 0
        carl = await guest("carl")  # a guest's own room is its own
        await carl.push_in("multi_room", "r")
        assert (await carl("multi_room/destroy_room", roomID="r", userID="carl"))["code"] == 0


async def test_rooms_of_browsers_are_out_of_reach() -> None:
    async with ServiceWorld() as world:
        page = await world.enter("page")
        alice = await world.user("alice")
        assert (await alice("multi_room/get_pushers", roomID=1001))["code"] == 1
        assert (await alice("multi_room/get_push_url", userID="alice", roomID=1001))["code"] == 3
        url = (await alice("multi_room/get_push_url", userID="alice"))["pushURL"]
        body = {"roomID": "1001", "userID": "alice", "pushURL": url}
        assert (await alice("multi_room/add_pusher", **body))["code"] == 11
        assert (await alice("multi_room/destroy_room", roomID="1001", userID="alice"))["code"] == 3
        await page.close()


# --- utils


async def test_utils() -> None:
    async with ServiceWorld(guests=GUESTS, http=HttpConfig()) as world:
        urls = await world.post("utils/get_test_pushurl", None, {})
        assert set(urls) == {"url_push", "url_play_flv", "url_play_rtmp", "url_play_hls", "url_play_acc"}
        assert ".m3u8?" in urls["url_play_hls"] and ".flv?" in urls["url_play_flv"]
        test = await world.post("utils/get_test_rtmpaccurl", None, {})
        assert set(test) == {"url_rtmpacc"} and "/live/8888_testclock_rtmpacc?" in test["url_rtmpacc"]
        report = await world.post("utils/report", {"reportID": 1, "data": {"str_userid": "a"}}, {})
        assert report == {"code": 0, "message": "请求成功"}


async def test_the_configuration_is_checked_and_no_log_is_shown() -> None:
    keys = VECTORS["keys"]
    bad = AppKeys(7, "", public_key_pem=keys["p256"]["public"], private_key_pem=keys["secp256k1"]["private"])
    for apps, result in (((APP,), "检查正确"), ((bad,), "检查失败")):
        async with ServiceWorld(guests=GUESTS, apps=apps) as world:
            answer = await world.post("utils/check_config", None, {})
            assert answer["code"] == 0 and answer["result"] == result
            if apps == (bad,):
                assert set(answer["live"]) == {"bizid", "push_key", "rtcplay_key", "play_key"}
                assert set(answer["im"]) == {"private_key"}  # the pair's halves do not belong together
            assert "PRIVATE" not in str(answer) and APP.secret not in str(answer)
    async with ServiceWorld() as world:
        assert (await world.post("utils/check_config", None, {}))["code"] == 4001
        for name in ("logfilelist", "getlogfile"):
            refused = await world.post(f"utils/{name}", None, {"file": "../../etc/passwd"})
            assert refused["code"] == 4003 and "root" not in str(refused)
