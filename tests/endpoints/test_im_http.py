"""The old IM over HTTP: what its clients send, as they send it, and the quirks that a server has to mind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.endpoints.im import Im, ImTimes
from gateway.rooms.room import POLICIES
from tests.endpoints.world import APP, World

ROOM = "55"
TEXT = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hello"}}]
LONG = 0.4


class Phone:
    """One client of the IM's SDK, as it talks on the wire."""

    def __init__(self, world: World, user: str) -> None:
        self.world, self.user = world, user
        self.identity = f"identifier={user}&usersig={world.sig(user)}"
        self.key = ""

    async def post(self, path: str, body: object, *, identity: str | None = None) -> dict[str, Any]:
        who = self.identity if identity is None else identity
        url = f"/{path}?websdkappid=537048168&v=1.7.0&{who}&contenttype=json&sdkappid={APP.sdk_app_id}&accounttype=0"
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        async with self.world.client.post(url, data=data, headers=kind) as answer:
            assert answer.status == 200
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            value: dict[str, Any] = json.loads(await answer.text())
            return value

    async def login(self) -> Phone:
        answer = await self.post("v4/openim/login", {"State": "Online"})
        assert answer["ActionStatus"] == "OK", answer
        assert isinstance(answer["A2Key"], str) and answer["TinyId"].isdecimal()
        self.identity = f"tinyid={answer['TinyId']}&a2={answer['A2Key']}"
        return self

    async def join(self, group: object = ROOM) -> Phone:
        answer = await self.post("v4/group_open_http_svc/apply_join_group", {"GroupId": group})
        assert answer["JoinedStatus"] == "JoinedSuccess", answer
        self.key = answer["LongPollingKey"]
        return self

    async def poll(self, key: str = "") -> dict[str, Any]:
        body = {"StartSeq": 0, "HoldTime": 90, "Key": key or self.key}
        answer = await self.post("v1/group_open_long_polling_http_noauth_svc/get_msg", body, identity="")
        assert answer["ActionStatus"] == "OK" and answer["Key"] == body["Key"]
        assert answer["HoldTime"] > LONG and answer["NextSeq"] >= 1
        return answer

    async def listen(self) -> dict[str, Any]:
        return await self.post("v4/openim/longpolling", {"Timeout": 60, "Cookie": {"NotifySeq": 0}})

    async def say(self, body: object = TEXT, number: int = 1) -> dict[str, Any]:
        fields = {"GroupId": ROOM, "Random": number, "MsgPriority": "COMMON", "MsgBody": body}
        return await self.post("v4/group_open_http_svc/send_group_msg", fields)


@contextlib.asynccontextmanager
async def node() -> AsyncIterator[World]:
    world = World()
    world.app.add_routes(Im(world.entry, ImTimes(hold_s=LONG, error_s=0.05), world.clock).routes())
    async with world:
        yield world


async def test_bodies_are_json_whatever_their_type_and_slashes_may_repeat() -> None:
    async with node() as world:
        alice = await Phone(world, "alice").login()
        told = await alice.post("v4//openim//getlongpollingid", {})
        assert LONG < told["Timeout"] and told["LongPollingId"]
        async with world.client.options("/v4/openim/login") as answer:
            assert answer.status == 204 and "Content-Type" in answer.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(("user", "age", "number"), [("bobby", 0, 70013), ("alice", 7200, 70001)])
async def test_a_ticket_that_does_not_hold_has_the_numbers_of_the_im(user: str, age: int, number: int) -> None:
    async with node() as world:
        phone = Phone(world, "alice")
        phone.identity = f"identifier={user}&usersig={world.sig('alice', age=age)}"
        answer = await phone.post("v4/openim/login", {})
        assert (answer["ActionStatus"], answer["ErrorCode"]) == ("FAIL", number)


async def test_messages_come_to_all_the_sender_too_oldest_first_and_once() -> None:
    async with node() as world:
        alice, bobby = await (await Phone(world, "alice").login()).join(55), await Phone(world, "bobby").login()
        await bobby.join()
        pending = asyncio.create_task(bobby.poll())
        twin = asyncio.create_task(bobby.poll())
        await asyncio.sleep(0.05)
        assert (await alice.say())["MsgSeq"] == 1
        both = [*(await pending).get("RspMsgList", []), *(await twin).get("RspMsgList", [])]
        assert [(entry["Event"], entry["From_Account"], entry["MsgBody"]) for entry in both] == [(3, "alice", TEXT)]
        await alice.say(number=2)
        await alice.say(number=3)
        assert [entry["MsgSeq"] for entry in (await alice.poll())["RspMsgList"]] == [1, 2, 3]
        assert "RspMsgList" not in await alice.poll()


async def test_a_repeated_join_gives_a_key_and_nothing_twice() -> None:
    async with node() as world:
        alice = await (await Phone(world, "alice").login()).join()
        old = alice.key
        await alice.join()
        await alice.say()
        polls = await asyncio.gather(alice.poll(), alice.poll(old))
        assert sum(len(answer.get("RspMsgList", [])) for answer in polls) == 1


async def test_quitting_answers_the_poll_at_once_and_the_old_key_stays_empty() -> None:
    async with node() as world:
        alice = await (await Phone(world, "alice").login()).join()
        bobby = await (await Phone(world, "bobby").login()).join()
        pending = asyncio.create_task(alice.poll())
        await asyncio.sleep(0.05)
        start = asyncio.get_running_loop().time()
        await alice.post("v4/group_open_http_svc/quit_group", {"GroupId": ROOM})
        assert "RspMsgList" not in await pending
        assert asyncio.get_running_loop().time() - start < LONG / 2
        await bobby.say()
        start = asyncio.get_running_loop().time()
        assert "RspMsgList" not in await alice.poll()
        assert asyncio.get_running_loop().time() - start >= LONG * 0.9
        assert (await alice.say())["ErrorCode"] == 10007


async def test_dissolving_says_type_5_and_then_polls_are_held() -> None:
    async with node() as world:
        alice, bobby = await Phone(world, "alice").login(), await Phone(world, "bobby").login()
        made = {"Type": "AVChatRoom", "Name": ROOM, "GroupId": ROOM, "Owner_Account": "alice", "MemberList": []}
        create = "v4/group_open_http_svc/create_group"
        assert (await alice.post(create, made))["ActionStatus"] == "OK"
        assert (await alice.post(create, made))["ErrorCode"] == 10025
        assert (await bobby.post(create, made))["ErrorCode"] == 10021
        await bobby.join()
        destroy = "v4/group_open_http_svc/destroy_group"
        assert (await bobby.post(destroy, {"GroupId": ROOM}))["ErrorCode"] == 10007
        assert (await alice.post(destroy, {"GroupId": ROOM}))["ActionStatus"] == "OK"
        (entry,) = (await bobby.poll())["RspMsgList"]
        assert entry["Event"] == 5 and entry["MsgBody"]["ReportType"] == 5
        assert entry["From_Account"] == "@TIM#SYSTEM" and entry["GroupInfo"]
        start = asyncio.get_running_loop().time()
        assert "RspMsgList" not in await bobby.poll()
        assert asyncio.get_running_loop().time() - start >= LONG * 0.9


async def test_one_to_one_keeps_the_numbers_of_the_sender_and_quiet_is_60008() -> None:
    async with node() as world:
        alice, bobby = await Phone(world, "alice").login(), await Phone(world, "bobby").login()
        assert (await bobby.listen())["ErrorCode"] == 60008
        face = await world.login("carol", 9)
        for to in ("bobby", "carol"):
            body = {"To_Account": to, "MsgSeq": 4711, "MsgRandom": 99, "MsgBody": TEXT, "MsgTimeStamp": 1}
            assert (await alice.post("v4/openim/sendmsg", body))["MsgTime"]
        (event,) = (await bobby.listen())["EventArray"]
        (entry,) = event["C2cMsgArray"]
        assert (event["Event"], entry["MsgSeq"], entry["MsgRandom"]) == (9, 4711, 99)
        assert entry["From_Account"] == "alice"
        assert (await face.expect(cmd="c2c"))["messages"][0]["MsgSeq"] == 4711


async def test_one_to_one_waits_for_who_is_away_and_comes_from_a_room_too() -> None:
    async with node() as world:
        alice, browser = await Phone(world, "alice").login(), await world.enter("carol", 9)
        for number in (1, 2):
            body = {"To_Account": "bobby", "MsgSeq": number, "MsgRandom": number, "MsgBody": TEXT}
            assert (await alice.post("v4/openim/sendmsg", body))["ActionStatus"] == "OK"
        bobby = await Phone(world, "bobby").login()
        (event,) = (await bobby.listen())["EventArray"]
        assert [entry["MsgSeq"] for entry in event["C2cMsgArray"]] == [1, 2]
        assert (await browser.request("message", to="bobby", random=5, body=TEXT))["ok"]
        (event,) = (await bobby.listen())["EventArray"]
        assert [(entry["From_Account"], entry["MsgRandom"]) for entry in event["C2cMsgArray"]] == [("carol", 5)]
        assert not (await browser.request("message", to="nobody", random=6, body=TEXT)).get("ok")


async def test_a_second_login_ends_the_first() -> None:
    async with node() as world:
        first = await Phone(world, "alice").login()
        pending = asyncio.create_task(first.listen())
        await asyncio.sleep(0.05)
        second = await Phone(world, "alice").login()
        assert (await pending)["ErrorCode"] == 91101
        assert (await first.listen())["ErrorCode"] == 91101
        assert (await second.listen())["ErrorCode"] == 60008


async def test_notices_of_the_administrator_reach_every_face() -> None:
    async with node() as world:
        alice = await (await Phone(world, "alice").login()).join("9")
        browser, phone = await world.enter("bobby", 9), await world.login("carol", 9)
        path, body = "v4/group_open_http_svc/send_group_system_notification", {"GroupId": "9", "Content": '{"cmd":"x"}'}
        assert (await alice.post(path, body))["ErrorCode"] == 10007
        assert (await Phone(world, "administrator").post(path, body))["ActionStatus"] == "OK"
        (entry,) = (await alice.poll())["RspMsgList"]
        assert (entry["MsgBody"]["ReportType"], entry["MsgBody"]["UserDefinedField"]) == (255, '{"cmd":"x"}')
        assert (await browser.expect(t="notice-group"))["text"] == '{"cmd":"x"}'
        assert (await phone.expect(code="group_system_notifys"))["detail"]["ReportType"] == 255


async def test_a_room_that_needs_a_private_map_key_is_read_by_those_who_are_in_it() -> None:
    async with node() as world:
        alice = await Phone(world, "alice").login()
        bobby = await world.enter("bobby", 55)
        join = "v4/group_open_http_svc/apply_join_group"
        assert (await alice.post(join, {"GroupId": ROOM}))["ErrorCode"] == 10007
        await world.login("alice", 55)
        await alice.join()
        await alice.say()
        assert (await bobby.expect(t="message"))["from"] == "alice"


async def test_groups_of_room_services_carry_the_form_of_two_elements_only() -> None:
    async with node() as world:
        world.directory.create_room(
            world.key(55), creator="alice", info="", policy=POLICIES["multi_room"], now=world.clock()
        )
        alice = await (await Phone(world, "alice").login()).join()
        head = {"Data": '{"cmd":"CustomTextMsg","data":{"nickName":"a","headPic":""}}', "Desc": "", "Ext": ""}
        pair = [{"MsgType": "TIMCustomElem", "MsgContent": head}, *TEXT]
        board = [{"MsgType": "TIMCustomElem", "MsgContent": {"Data": "x", "Desc": "", "Ext": "TXWhiteBoardExt"}}]
        for number, body in enumerate((TEXT, board, pair)):
            assert (await alice.say(body, number))["ActionStatus"] == "OK"
        entries = (await alice.poll())["RspMsgList"]
        assert len(entries) == 2 and entries[1]["MsgBody"] == pair
        custom, text = entries[0]["MsgBody"]
        assert json.loads(custom["MsgContent"]["Data"])["data"]["nickName"] == "alice"
        assert custom["MsgContent"]["Data"].find("}}") == len(custom["MsgContent"]["Data"]) - 2
        assert text == TEXT[0]


async def test_who_is_thrown_out_is_told_type_4_and_who_loses_the_room_type_5() -> None:
    async with node() as world:
        phones = []
        for user in ("alice", "bobby"):
            await world.enter(user, 55)
            phones.append(await (await Phone(world, user).login()).join())
        world.directory.kick(world.key(55), "alice")
        (entry,) = (await phones[0].poll())["RspMsgList"]
        assert entry["MsgBody"]["ReportType"] == 4
        await phones[1].say()
        assert "RspMsgList" not in await phones[0].poll()
        world.directory.close_room(world.key(55))
        told = (await phones[1].poll())["RspMsgList"]
        assert [entry["Event"] for entry in told] == [3, 5] and told[1]["MsgBody"]["ReportType"] == 5
        assert told[1]["MsgTimeStamp"] > 1e9


async def test_the_signature_host_answers_with_a_head_always() -> None:
    async with node() as world:
        phone = Phone(world, "alice")
        body = {"ReqHead": {"GroupId": 1001}, "ReqBody": {"PrivMapEncrypt": world.map_key("alice")}}
        assert (await phone.post("v4/openim/jsonvideoapp", body))["RspHead"]["ErrorCode"] == 0
        for bad in ({}, {"ReqHead": 1}, {"ReqHead": {"GroupId": 7}, "ReqBody": body["ReqBody"]}):
            assert (await phone.post("v4/openim/jsonvideoapp", bad))["RspHead"]["ErrorCode"] != 0


async def test_any_body_has_an_answer_of_the_im() -> None:
    draw = random.Random(7)
    values: list[object] = [None, -1, 1.5, True, "", "x", "\ud800", [], {}, [[]], "55", 55, 1 << 70, TEXT]
    fields = ["GroupId", "To_Account", "MsgBody", "Random", "MsgRandom", "MsgSeq", "ProfileItem", "Content", "ReqHead"]
    commands = [
        "v4/openim/sendmsg",
        "v4/openim/jsonvideoapp",
        "v4/profile/portrait_get",
        "v4/profile/portrait_set",
        *(f"v4/group_open_http_svc/{name}_group" for name in ("create", "apply_join", "quit", "destroy")),
        "v4/group_open_http_svc/send_group_msg",
        "v4/unknown/thing",
    ]
    async with node() as world:
        alice = await Phone(world, "alice").login()
        for path in commands:
            for junk in (b"", b"[", b"\xff", b"[]", b"[" * 5000, b'"a"'):
                assert "ErrorInfo" in json.dumps(await alice.post(path, junk))
            for _ in range(15):
                body = {name: draw.choice(values) for name in draw.sample(fields, 5)}
                assert "ErrorInfo" in json.dumps(await alice.post(path, body))


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.endpoints.im import server

    monkeypatch.setattr(server, "KEPT", 3)
    monkeypatch.setattr(server, "KEPT_USERS", 2)
    async with node() as world:
        im = Im(world.entry)
        for user in ("a1", "b1", "c1"):
            for number in range(5):
                im._keep(1, user, f"{number}")
        assert list(im._waiting) == [(1, "b1"), (1, "c1")] and im._waiting_size == 6
        assert [entry for _, entry in im._fetch_kept((1, "c1"))] == ["2", "3", "4"]
        monkeypatch.setattr(server, "KEPT_SIZE", 2)
        im._keep(1, "d1", "12")
        assert list(im._waiting) == [(1, "d1")]
