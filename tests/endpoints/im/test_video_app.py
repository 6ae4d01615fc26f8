"""The signature host of the old mini programs: what tickets are good for, and what is wrong with those that are not."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.rooms.privileges import Privilege
from gateway.rooms.tickets import mapkey
from tests.endpoints.im.phone import Phone, node
from tests.endpoints.world import APP, OTHER_APP, World

PATH = "/v4/openim/jsonvideoapp"


async def ask(world: World, room: object = 1001, key: object = "", user: str = "alice", **query: str) -> dict[str, Any]:
    """Ask as the component does."""
    fields = {"sdkappid": str(APP.sdk_app_id), "identifier": user, "usersig": world.sig("alice"), **query}
    params = {**fields, "random": "9999", "contenttype": "json"}
    head = {"Cmd": 1, "SeqNo": 1, "BusType": 7, "GroupId": room}
    inner = {"PrivMapEncrypt": key, "TerminalType": 1, "FromType": 3, "SdkVersion": 26280566}
    async with world.client.post(PATH, params=params, json={"ReqHead": head, "ReqBody": inner}) as answer:
        assert answer.status == 200 and answer.headers["Access-Control-Allow-Origin"] == "*"
        value: dict[str, Any] = await answer.json()
    assert isinstance(value["RspHead"]["ErrorCode"], int) and isinstance(value["RspHead"]["ErrorInfo"], str)
    assert (value["RspHead"]["ErrorCode"] == 0) == bool(value["RspBody"])
    return value


async def test_good_tickets_are_answered_with_what_they_allow() -> None:
    async with node() as world:
        answer = await ask(world, key=world.map_key("alice"))
        assert answer["RspBody"] == {
            "SdkAppId": APP.sdk_app_id,
            "Identifier": "alice",
            "GroupId": "1001",
            "Privileges": 255,
            "MaySendAudio": True,
            "MaySendVideo": True,
            "RoomExists": False,
        }
        await world.enter("bobby")
        hear_only = Privilege.ENTER | Privilege.RECEIVE_AUDIO | Privilege.SEND_AUDIO
        body = (await ask(world, "1001", world.map_key("alice", rights=hear_only)))["RspBody"]
        assert (body["Privileges"], body["MaySendAudio"], body["MaySendVideo"]) == (int(hear_only), True, False)
        assert body["RoomExists"] is True
        text = await ask(world, "class", world.map_key("alice", "class"))
        assert text["RspBody"]["GroupId"] == "class"


@pytest.mark.quirk(39)
async def test_the_head_is_in_every_answer_and_names_what_is_wrong() -> None:
    async with node() as world:
        good = world.map_key("alice")
        expired = mapkey.mint(APP, "alice", world.wall() - 7200, 3600, world.key(), Privilege.ALL)
        wrong: list[tuple[dict[str, Any], int]] = [
            ({"key": ""}, 70002),
            ({"key": None}, 70002),
            ({"key": "x"}, 70003),
            ({"key": expired}, 70001),
            ({"key": good, "room": 1002}, 70003),
            ({"key": world.map_key("bobby")}, 70013),
            ({"key": good, "user": "bobby"}, 70013),
            ({"key": good, "usersig": ""}, 70002),
            ({"key": good, "usersig": world.sig("alice", age=7200)}, 70001),
            ({"key": good, "usersig": world.sig("alice", OTHER_APP)}, 70009),
            ({"key": good, "sdkappid": "7"}, 70020),
            ({"key": good, "sdkappid": "x"}, 10004),
            ({"key": good, "user": "a b"}, 10004),
            ({"key": good, "room": None}, 10004),
            ({"key": good, "room": {"id": 1}}, 10004),
            ({"key": world.map_key("alice", rights=Privilege.SEND_AUDIO)}, 10007),
        ]
        for fields, number in wrong:
            answer = await ask(world, **fields)
            assert answer["RspHead"]["ErrorCode"] == number, (fields, answer)
        world.directory.kick(world.key(), "alice", ban=True)
        assert (await ask(world, key=good))["RspHead"]["ErrorCode"] == 10007
        phone = Phone(world, "alice")
        for junk in (b"", b"[]", b"{", {"ReqHead": 1, "ReqBody": []}, {}):
            assert (await phone.post(PATH[1:], junk))["RspHead"]["ErrorCode"] != 0


async def test_rooms_that_a_user_sig_alone_enters_need_no_more_here() -> None:
    async with node() as world:
        answer = await ask(world, sdkappid=str(OTHER_APP.sdk_app_id), usersig=world.sig("alice", OTHER_APP))
        assert answer["RspBody"]["Privileges"] == 255
