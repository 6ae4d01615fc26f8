"""The seven calls of the old webrtc_room service, field by field, and get_push_url."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.base.config import PublicConfig, RoomsConfig
from gateway.rooms.privileges import Privilege
from gateway.rooms.tickets import mapkey, urlsig, usersig
from gateway.rooms.tickets.keys import AppKeys
from tests.endpoints.world import APP, OTHER_APP, World

GUESTS = ("127.0.0.0/8",)
CALLS = (
    "get_login_info",
    "create_room",
    "enter_room",
    "quit_room",
    "heartbeat",
    "get_room_list",
    "get_room_members",
)
OK = {"code": 0, "message": "请求成功"}
NEEDS_SIG = 4001


def guests(**options: Any) -> World:
    return World(guests=GUESTS, **options)


# --- the calls as a guest of the old kind


async def test_get_login_info_makes_a_name_and_a_valid_user_sig() -> None:
    async with guests() as world:
        answer = await world.call("get_login_info", {})
        assert answer == {
            **OK,
            "userID": answer["userID"],
            "userSig": answer["userSig"],
            "sdkAppID": APP.sdk_app_id,
            "accountType": "0",
        }
        assert re.fullmatch(r"user_[0-9a-f]{8}_[0-9a-f]{4}", answer["userID"])
        verified = usersig.verify(answer["userSig"], APP, answer["userID"], world.wall())
        assert abs(verified.expires - world.wall() - 3600) < 5
        named = await world.call("get_login_info", {"userID": "alice"})
        assert named["code"] == 0 and named["userID"] == "alice"


async def test_a_room_from_creation_to_its_end() -> None:
    async with guests() as world:
        body = {"userID": "alice", "nickName": "Al", "roomInfo": "talk", "roomType": "trtc"}
        made = await world.call("create_room", body)
        assert made == {
            **OK,
            "userID": "alice",
            "roomID": made["roomID"],
            "roomInfo": "talk",
            "privateMapKey": made["privateMapKey"],
        }
        room = made["roomID"]
        assert isinstance(room, str) and 1 <= int(room) <= 2147483647
        ticket = mapkey.verify(made["privateMapKey"], APP, "alice", world.key(int(room)), world.wall())
        assert ticket.privileges == Privilege.ALL and abs(ticket.expires - world.wall() - 3600) < 5

        # roomID may come as a number.
        entered = await world.call("enter_room", {"userID": "bobby", "roomID": int(room)})
        assert entered == {**OK, "userID": "bobby", "roomID": room, "privateMapKey": entered["privateMapKey"]}
        members = await world.call("get_room_members", {"roomID": room})
        expected = [{"userID": "alice", "nickName": "Al"}, {"userID": "bobby", "nickName": ""}]
        assert members == {**OK, "members": expected}
        listed = await world.call("get_room_list", {"index": 0, "count": 20, "roomType": "trtc"})
        assert listed == {**OK, "rooms": [{"roomID": room, "roomInfo": "talk", "roomCreator": "alice"}]}

        assert await world.call("heartbeat", {"userID": "alice", "roomID": room}) == OK
        assert await world.call("heartbeat", {"userID": "nobody", "roomID": room}) == OK
        assert await world.call("quit_room", {"userID": "nobody", "roomID": room}) == OK
        assert await world.call("quit_room", {"userID": "alice", "roomID": room}) == OK
        assert await world.call("quit_room", {"userID": "bobby", "roomID": room}) == OK
        gone = await world.call("enter_room", {"userID": "bobby", "roomID": room})
        assert gone == {"code": 3, "message": "请求失败，房间不存在", "userID": "", "roomID": "", "privateMapKey": ""}


EMPTY_ROOM = {"userID": "", "roomID": "", "roomInfo": "", "privateMapKey": ""}
EMPTY_ENTRY = {"userID": "", "roomID": "", "privateMapKey": ""}
MISSING = (2, "请求失败，缺少参数")
BAD_USER = (7, "请求失败，userID含有非法字符或者不符合规范")
NO_ROOM = (3, "请求失败，房间不存在")
LONG_INFO = (11, "roomInfo 字符串长度不能超过1024字节")


@pytest.mark.parametrize(
    ("call", "body", "answer", "empty"),
    [
        ("create_room", {}, MISSING, EMPTY_ROOM),
        ("create_room", {"userID": "", "roomInfo": "x"}, MISSING, EMPTY_ROOM),
        ("create_room", {"userID": None, "roomInfo": "x"}, MISSING, EMPTY_ROOM),
        ("create_room", {"userID": "alice", "roomInfo": ""}, MISSING, EMPTY_ROOM),
        ("create_room", {"userID": "al", "roomInfo": "x"}, BAD_USER, EMPTY_ROOM),
        # Order: 2 before 7 before 11.
        ("create_room", {"userID": "al", "roomInfo": ""}, MISSING, EMPTY_ROOM),
        ("create_room", {"userID": "al", "roomInfo": "x" * 1025}, BAD_USER, EMPTY_ROOM),
        ("create_room", {"userID": "alice", "roomInfo": "x" * 1025}, LONG_INFO, EMPTY_ROOM),
        ("enter_room", {"userID": "alice"}, MISSING, EMPTY_ENTRY),
        ("enter_room", {"roomID": "1"}, MISSING, EMPTY_ENTRY),
        ("enter_room", {"userID": "1alice", "roomID": "1"}, BAD_USER, EMPTY_ENTRY),
        ("enter_room", {"userID": "a-lice", "roomID": "1"}, BAD_USER, EMPTY_ENTRY),
        ("enter_room", {"userID": "a" * 25, "roomID": "1"}, BAD_USER, EMPTY_ENTRY),
        ("enter_room", {"userID": "alice", "roomID": "1"}, NO_ROOM, EMPTY_ENTRY),
        ("enter_room", {"userID": "alice", "roomID": "no room"}, NO_ROOM, EMPTY_ENTRY),
        ("enter_room", {"userID": "alice", "roomID": 99999999999}, NO_ROOM, EMPTY_ENTRY),
        ("quit_room", {"roomID": "1"}, MISSING, {}),
        ("quit_room", {"userID": "alice", "roomID": "1"}, NO_ROOM, {}),
        ("heartbeat", {"userID": "alice", "roomID": ""}, MISSING, {}),
        ("heartbeat", {"userID": "alice", "roomID": "1"}, NO_ROOM, {}),
        ("get_room_members", {}, MISSING, {"members": []}),
        ("get_room_members", {"roomID": "1"}, NO_ROOM, {"members": []}),
        (
            "get_login_info",
            {"userID": "x y"},
            BAD_USER,
            {"userID": "", "userSig": "", "accountType": "", "sdkAppID": 0},
        ),
    ],
)
async def test_refusals_in_the_old_order_with_empty_fields(
    call: str, body: dict[str, Any], answer: tuple[int, str], empty: dict[str, Any]
) -> None:
    async with guests() as world:
        assert await world.call(call, body) == {"code": answer[0], "message": answer[1], **empty}


async def test_1024_characters_of_room_info_are_allowed() -> None:
    async with guests() as world:
        made = await world.call("create_room", {"userID": "alice", "roomInfo": "好" * 1024})
        assert made["code"] == 0


async def test_a_fifth_member_finds_the_room_full() -> None:
    async with guests() as world:
        made = await world.call("create_room", {"userID": "user1", "roomInfo": "x"})
        room = made["roomID"]
        for name in ("user2", "user3", "user4"):
            assert (await world.call("enter_room", {"userID": name, "roomID": room}))["code"] == 0
        full = await world.call("enter_room", {"userID": "user5", "roomID": room})
        assert full == {"code": 5001, "message": "超出房间人数上限", **EMPTY_ENTRY}
        # Whoever is in does not count against itself.
        assert (await world.call("enter_room", {"userID": "user4", "roomID": room}))["code"] == 0


async def test_without_a_key_to_sign_with_the_ticket_fails_by_its_own_text() -> None:
    app = AppKeys(sdk_app_id=1, bizid="1")
    async with guests(apps=(app,)) as world:
        made = await world.call("create_room", {"userID": "alice", "roomInfo": "x"})
        assert made == {"code": 3, "message": "请求失败，权限位生成失败", **EMPTY_ROOM}
        assert not world.directory.rooms
        assert (await world.call("get_login_info", {}))["code"] == 3


async def test_lists_are_by_type_and_an_absent_type_stands_for_any() -> None:
    async with guests() as world:
        for number, kind in enumerate(["trtc", "other", None]):
            body = {"userID": f"user{number}", "roomInfo": f"room {number}"}
            await world.call("create_room", body if kind is None else body | {"roomType": kind})

        async def names(**query: Any) -> list[str]:
            return [room["roomInfo"] for room in (await world.call("get_room_list", query))["rooms"]]

        assert await names(roomType="trtc") == ["room 0", "room 2"]
        assert await names(roomType="nothing") == ["room 2"]
        assert await names() == ["room 0", "room 1", "room 2"]
        assert await names(index=1, count=1) == ["room 1"]
        assert await names(index="1", count="1") == ["room 1"]
        assert await names(index=9) == []
        assert await names(count=0) == []


async def test_a_silent_member_is_dropped_after_20_seconds_and_a_heartbeat_keeps_it() -> None:
    async with guests() as world:
        room = (await world.call("create_room", {"userID": "alice", "roomInfo": "x"}))["roomID"]
        await world.call("enter_room", {"userID": "bobby", "roomID": room})
        world.clock.ahead = 15
        await world.call("heartbeat", {"userID": "alice", "roomID": room})
        world.clock.ahead = 21
        world.directory.expire(world.clock())
        members = (await world.call("get_room_members", {"roomID": room}))["members"]
        assert [member["userID"] for member in members] == ["alice"]
        # An expired member's heartbeat does not bring it back.
        assert (await world.call("heartbeat", {"userID": "bobby", "roomID": room}))["code"] == 0
        assert len((await world.call("get_room_members", {"roomID": room}))["members"]) == 1


# --- HTTP


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b'{"roomID": "1"}', "application/json", 200),
        (b'{"roomID": "1"}', "application/json; charset=utf-8", 200),
        (b"hello", "application/json", 415),
        (b"\xff\xfe{", "application/json", 415),
        (b"[" * 100000, "application/json", 415),
        (b'{"roomID": "1"}', "text/plain", 415),
        (b"roomID=1", "application/x-www-form-urlencoded", 415),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b'{"roomID": {}}', "application/json", 400),
        (b'{"roomID": true}', "application/json", 400),
        (b'{"roomID": 1.5}', "application/json", 400),
        (b'{"roomID": "\\ud800"}', "application/json", 400),
        (b'{"roomID": "1", "unknown": []}', "application/json", 200),
    ],
)
async def test_415_without_json_400_with_wrong_types(data: bytes, kind: str, status: int) -> None:
    async with guests() as world:
        url = "/weapp/webrtc_room/get_room_members"
        async with world.client.post(url, data=data, headers={"Content-Type": kind}) as answer:
            assert answer.status == status
            body = await answer.json()
            assert body["members"] == [] and body["code"] == (3 if status == 200 else status)
            assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_both_base_addresses_and_repeated_slashes_work() -> None:
    async with guests() as world:
        for base in ("/webrtc/weapp", "/weapp", "/webrtc//weapp", "/webrtc///weapp/"):
            async with world.client.post(f"{base}/webrtc_room/get_room_list", json={}) as answer:
                assert answer.status == 200 and (await answer.json())["rooms"] == []
        async with world.client.get("/weapp/webrtc_room/get_room_list") as answer:
            assert answer.status == 405


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
FIELDS = ("userID", "roomID", "roomInfo", "roomType", "nickName", "index", "count", "userSig", "privateMapKey", "aux")


async def test_nothing_that_is_sent_gives_500() -> None:
    async with guests() as world:
        bodies: list[dict[str, Any]] = []

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(st.dictionaries(st.sampled_from(FIELDS), JSON | st.sampled_from(["alice", "1001", world.sig("alice")])))
        def collect(body: dict[str, Any]) -> None:
            bodies.append(body)

        collect()
        for body in bodies:
            for call in (*CALLS, "get_push_url"):
                async with world.client.post(f"/weapp/webrtc_room/{call}", json=body) as answer:
                    assert answer.status in (200, 400), (call, body, await answer.text())


# --- who may call


async def test_strangers_need_a_user_sig_for_each_call() -> None:
    async with World() as world:
        for call in CALLS:
            answer = await world.call(call, {"userID": "alice", "roomInfo": "x", "roomID": "1"})
            assert answer["code"] == NEEDS_SIG, call
        assert not world.directory.rooms


async def test_a_user_sig_in_body_or_bearer_opens_the_calls_for_its_own_user() -> None:
    async with World() as world:
        sig = world.sig("alice")
        made = await world.call("create_room", {"userID": "alice", "roomInfo": "x", "userSig": sig})
        assert made["code"] == 0
        bearer = {"Authorization": f"Bearer {sig}"}
        room = {"userID": "alice", "roomID": made["roomID"]}
        assert await world.call("heartbeat", room, headers=bearer) == OK
        assert len((await world.call("get_room_list", {}, headers=bearer))["rooms"]) == 1
        assert len((await world.call("get_room_members", room, headers=bearer))["members"]) == 1

        other = await world.call("heartbeat", {**room, "userID": "bobby"}, headers=bearer)
        assert other["code"] == NEEDS_SIG and other["detail"]["code"] == 13
        expired = await world.call("heartbeat", {**room, "userSig": world.sig("alice", age=4000)})
        assert expired["code"] == NEEDS_SIG and expired["detail"]["code"] == 9
        broken = await world.call("heartbeat", {**room, "userSig": "nonsense"})
        assert broken["code"] == NEEDS_SIG and broken["detail"]["name"] == "bad_ticket"


async def test_get_login_info_only_echoes_a_user_sig() -> None:
    async with World() as world:
        sig = world.sig("bobby", OTHER_APP)
        for body in ({"userID": "bobby", "userSig": sig}, {"userSig": sig}):
            answer = await world.call("get_login_info", body)
            assert answer == {
                **OK,
                "userID": "bobby",
                "userSig": sig,
                "sdkAppID": OTHER_APP.sdk_app_id,
                "accountType": "0",
            }


async def test_apps_do_not_see_each_other() -> None:
    async with World() as world:
        made = await world.call("create_room", {"userID": "alice", "roomInfo": "x", "userSig": world.sig("alice")})
        other = {"userSig": world.sig("alice", OTHER_APP)}
        assert (await world.call("get_room_list", other))["rooms"] == []
        entry = await world.call("enter_room", {"userID": "alice", "roomID": made["roomID"], **other})
        assert entry["code"] == 3


@pytest.mark.parametrize("name", ["admin", "administrator", "boss_1"])
async def test_guests_never_get_reserved_names(name: str) -> None:
    async with guests(rooms=RoomsConfig(reserved_users=("boss_1",))) as world:
        assert (await world.call("get_login_info", {"userID": name}))["code"] == NEEDS_SIG
        assert (await world.call("create_room", {"userID": name, "roomInfo": "x"}))["code"] == NEEDS_SIG


async def test_guests_never_get_the_name_of_somebody_present_by_a_ticket() -> None:
    async with guests() as world:
        alice = await world.enter("alice", 1001)
        body = {"userID": "alice", "roomID": "1001", "roomInfo": "x"}
        for call in ("get_login_info", "create_room", "enter_room", "quit_room", "heartbeat"):
            assert (await world.call(call, body))["code"] == NEEDS_SIG, call
        assert alice.close_code is None
        # With her own userSig she may.
        assert (await world.call("heartbeat", {**body, "userSig": world.sig("alice")}))["code"] == 0


async def test_a_guest_who_enters_by_the_ticket_we_gave_stays_a_guest() -> None:
    """The page of 2018 heartbeats without a ticket after it has entered with the userSig of get_login_info."""
    async with guests() as world:
        login = await world.call("get_login_info", {"userID": "alice"})
        made = await world.call("create_room", {"userID": "alice", "roomInfo": "x"})
        room = int(made["roomID"])
        client = await world.connect()
        tickets = {"userSig": login["userSig"], "privateMapKey": made["privateMapKey"]}
        entered = await client.request("enter", v=1, userId="alice", roomId=room, **tickets)
        assert entered["ok"]
        assert await world.call("heartbeat", {"userID": "alice", "roomID": room}) == OK
        assert await world.call("quit_room", {"userID": "alice", "roomID": room}) == OK
        assert (await client.expect(t="kicked"))["reason"] == "left"


async def test_a_guest_who_asked_where_to_push_may_still_log_in_and_quit() -> None:
    """get_push_url made a guest a ticket's holder, to whom the same guest's /im and quit_room were then strangers."""
    async with guests() as world:
        login = await world.call("get_login_info", {"userID": "alice"})
        made = await world.call("create_room", {"userID": "alice", "roomInfo": "x"})
        body = {"userID": "alice", "roomID": made["roomID"]}
        tickets = {"userSig": login["userSig"], "privateMapKey": made["privateMapKey"]}
        assert (await world.call("get_push_url", {**body, **tickets}))["code"] == 0
        assert await world.call("heartbeat", body) == OK
        client = await world.connect()
        entered = await client.request("enter", v=1, userId="alice", roomId=int(made["roomID"]), **tickets)
        assert entered["ok"], entered
        assert await world.call("quit_room", body) == OK


# --- get_push_url


def push_body(world: World, user: str, room: int | str = 1001, rights: int = 255, **more: Any) -> dict[str, Any]:
    tickets = {"userSig": world.sig(user), "privateMapKey": world.map_key(user, room, rights)}
    return {"userID": user, "roomID": room, **tickets, **more}


async def test_get_push_url_enters_and_says_where_to_push() -> None:
    async with World() as world:
        answer = await world.call("get_push_url", push_body(world, "phone"))
        assert set(answer) == {"code", "message", "pushURL", "streamID", "members"}
        assert answer["code"] == 0 and answer["streamID"] == "8888_1001_phone" and answer["members"] == []
        url = urlsplit(answer["pushURL"])
        assert (url.scheme, url.netloc, url.path) == ("rtmp", "127.0.0.1", "/live/8888_1001_phone")
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        grant = urlsig.verify(APP, "8888_1001_phone", query, world.wall(), {"push"}, 400 * 86400)
        assert grant.user_id == "phone" and grant.privileges == Privilege.ALL
        member = world.directory.member(APP.sdk_app_id, "phone")
        assert member is not None and member.key == world.key(1001)
        # The same for the whole stay.
        assert (await world.call("get_push_url", push_body(world, "phone")))["pushURL"] == answer["pushURL"]
        # Alive by heartbeats, gone 20 s after the last.
        world.clock.ahead = 15
        assert await world.call("heartbeat", push_body(world, "phone")) == OK
        world.clock.ahead = 34
        world.directory.expire(world.clock())
        assert world.directory.member(APP.sdk_app_id, "phone") is not None
        world.clock.ahead = 36
        world.directory.expire(world.clock())
        assert world.directory.member(APP.sdk_app_id, "phone") is None


async def test_get_push_url_lists_who_publishes_in_order_of_publishing() -> None:
    async with World() as world:
        for user in ("bob", "carol", "dave"):
            await world.enter(user)
        for user, kind in (("carol", "main"), ("bob", "main"), ("bob", "aux")):
            member = world.directory.member(APP.sdk_app_id, user)
            assert member is not None
            stream = world.entry.stream_id(member.key, user, world.kind(kind))
            world.directory.stream_started(stream, transport="webrtc", audio=True, video=True, now=world.clock())
            world.clock.ahead += 1
        answer = await world.call("get_push_url", push_body(world, "phone"))
        assert [item["userID"] for item in answer["members"]] == ["carol", "bob"]
        assert all(set(item) == {"userID", "accelerateURL"} for item in answer["members"])
        url = answer["members"][0]["accelerateURL"]
        assert url.startswith("rtmp://127.0.0.1/live/8888_1001_carol?txSecret=") and "bizid" not in url
        again = await world.call("get_push_url", push_body(world, "phone", aux=True))
        assert again["members"][:2] == answer["members"]
        assert again["members"][2]["userID"] == "bob" and again["members"][2]["streamtype"] == "aux"
        assert "8888_1001_bob_aux" in again["members"][2]["accelerateURL"]
        for item in again["members"]:
            grant = world.entry.admit_play(*_play(item["accelerateURL"]))
            assert grant.audio and grant.video
            with pytest.raises(Exception, match="push"):
                world.entry.admit_push(*_play(item["accelerateURL"]))


def _play(url: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    return parts.path.rpartition("/")[2], {name: values[0] for name, values in parse_qs(parts.query).items()}


@pytest.mark.parametrize(
    ("change", "code", "detail"),
    [
        ({"userSig": ""}, 4001, 1),
        ({"privateMapKey": ""}, 4001, 1),
        ({"userID": "other"}, 4001, 13),
        ({"roomID": 1002}, 4001, 15),
        ({"userSig": "x"}, 4001, 2),
        ({"userID": ""}, 2, None),
        ({"roomID": ""}, 2, None),
        ({"userID": "a b"}, 7, 1208),
    ],
)
async def test_get_push_url_needs_both_tickets(change: dict[str, Any], code: int, detail: int | None) -> None:
    async with guests() as world:  # not even from a guest's address without them
        answer = await world.call("get_push_url", {**push_body(world, "phone"), **change})
        assert answer["code"] == code and answer["pushURL"] == "" and answer["members"] == []
        assert (answer["detail"]["code"] if "detail" in answer else None) == detail


async def test_get_push_url_with_few_rights() -> None:
    async with World() as world:
        no_entry = await world.call("get_push_url", push_body(world, "phone", rights=255 & ~2))
        assert no_entry["code"] == 4003 and no_entry["detail"]["name"] == "not_permitted"
        no_room = await world.call("get_push_url", push_body(world, "phone", rights=255 & ~1))
        assert no_room["code"] == 4003
        await world.enter("alice")
        viewer = await world.call("get_push_url", push_body(world, "phone", rights=42))
        assert viewer["code"] == 0 and viewer["pushURL"] == ""


async def test_urls_name_the_public_host_or_the_one_that_was_asked() -> None:
    async with World(public=PublicConfig(http="https://gw.example", rtmp="rtmp://media.example:19350")) as world:
        answer = await world.call("get_push_url", push_body(world, "phone"), headers={"Host": "evil.example"})
        assert answer["pushURL"].startswith("rtmp://media.example:19350/live/")
    async with World() as world:
        answer = await world.call("get_push_url", push_body(world, "phone"), headers={"Host": "gw.lan:8080"})
        assert answer["pushURL"].startswith("rtmp://gw.lan/live/")


async def test_optional_private_map_key() -> None:
    async with World() as world:
        body = {"userID": "phone", "roomID": 5, "userSig": world.sig("phone", OTHER_APP)}
        answer = await world.call("get_push_url", body)
        assert answer["code"] == 0 and answer["streamID"] == "9999_5_phone"
