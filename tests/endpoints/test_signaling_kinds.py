"""A browser in the rooms of RoomService by signaling alone: it makes them, leads them, watches them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.rooms.privileges import Privilege
from tests.endpoints.im.phone import Phone
from tests.endpoints.room_service_world import ServiceWorld
from tests.endpoints.world import APP, Client

ROOM = "room_0a1b2c3d_4e5f"


def ticket(world: ServiceWorld, user: str, room: str = ROOM, **fields: Any) -> dict[str, Any]:
    """Return the fields of `enter` without a privateMapKey."""
    return {"v": 1, "userId": user, "sdkAppId": APP.sdk_app_id, "userSig": world.sig(user), "strRoomId": room, **fields}


async def enter(world: ServiceWorld, user: str, kind: str, **fields: Any) -> Client:
    client = await world.connect()
    client.entered = await client.request("enter", **ticket(world, user, kind=kind, **fields))
    assert client.entered.get("ok"), client.entered
    return client


async def refusal(world: ServiceWorld, user: str, **fields: Any) -> str:
    client = await world.connect()
    answer = await client.request("enter", **ticket(world, user, **fields))
    return str(answer["error"]["name"])


def publish(world: ServiceWorld, user: str) -> str:
    """Make the user's main stream flow, as far as the directory knows."""
    stream = world.entry.stream_id(world.key(ROOM), user, world.kind("main"))
    world.directory.stream_started(stream, transport="webrtc", audio=True, video=True, now=world.clock())
    return stream


@pytest.mark.quirk(21)
@pytest.mark.parametrize("kind", ["double_room", "multi_room", "live_room"])
async def test_a_browser_makes_a_room_and_leads_it(kind: str) -> None:
    """It is in the list once it publishes, its creator stands first, and a phone enters behind it."""
    async with ServiceWorld() as world:
        host = await enter(world, "host", kind, roomInfo="Class", nick="Mr Host")
        assert (host.entered["kind"], host.entered["creator"], host.entered["roomInfo"]) == (kind, "host", "Class")
        stream = publish(world, "host")
        phone = await world.user("phone")
        rooms = (await phone(f"{kind}/get_room_list", cnt=10, index=0))["rooms"]
        assert [(room["roomID"], room["roomInfo"], room["roomCreator"]) for room in rooms] == [(ROOM, "Class", "host")]
        await phone.push_in(kind, ROOM)
        shown = await phone(f"{kind}/get_pushers", roomID=ROOM)
        assert [(pusher["userID"], pusher["userName"]) for pusher in shown["pushers"]] == [
            ("host", "Mr Host"),
            ("phone", ""),
        ]
        assert f"/live/{stream}?" in shown["pushers"][0]["accelerateURL"]
        assert f"/live/{stream}.flv" in shown["mixedPlayURL"]
        assert (await host.expect(t="member+"))["userId"] == "phone"


async def test_a_browser_enters_the_room_of_a_phone() -> None:
    async with ServiceWorld() as world:
        phone = await world.user("phone")
        await phone.push_in("multi_room", ROOM)
        page = await enter(world, "page", "multi_room", create=False)
        assert page.entered["creator"] == "phone" and page.entered["members"][0]["userId"] == "phone"
        publish(world, "page")
        assert await phone.pushers("multi_room", ROOM) == ["phone", "page"]
        room_full = [await refusal(world, name, kind="double_room", create=False) for name in ("a", "b")]
        assert room_full == ["no_such_room", "no_such_room"], "a room of another kind does not exist"


async def test_what_is_refused() -> None:
    async with ServiceWorld(im=True) as world:
        assert await refusal(world, "host") == "bad_ticket", "without a kind a privateMapKey is needed"
        assert await refusal(world, "host", kind="live_room", userSig=world.sig("other")) == "bad_ticket"
        assert await refusal(world, "host", kind="live_room", create=False) == "no_such_room"
        assert await refusal(world, "fan", kind="live_room", role="audience") == "no_such_room"
        narrow = world.map_key("host", ROOM, Privilege.AUDIENCE)
        assert await refusal(world, "host", kind="live_room", privateMapKey=narrow) == "not_permitted"
        await world.enter("owner", ROOM)
        assert await refusal(world, "host", kind="live_room") == "no_such_room", "this is a room of browsers"
        await enter(world, "host", "live_room", strRoomId="mine")
        assert await refusal(world, "thief", kind="live_room", strRoomId="mine") == "name_taken"
        await (await Phone(world, "maker").login()).create("theirs")
        assert await refusal(world, "host", kind="live_room", strRoomId="theirs") == "name_taken"


async def test_viewers_take_no_seat_of_a_live_room() -> None:
    async with ServiceWorld() as world:
        host = await enter(world, "host", "live_room")
        fans = [await enter(world, f"fan{n}", "live_room", create=False, role="audience") for n in range(6)]
        assert fans[5].entered["role"] == "audience" and fans[5].entered["creator"] == "host"
        publish(world, "host")
        phone = await world.user("phone")
        await phone.push_in("live_room", ROOM)
        assert await phone.pushers("live_room", ROOM) == ["host", "phone"]
        for fan in fans[:2]:
            assert (await fan.request("role", role="anchor"))["ok"]
        full = await fans[2].request("role", role="anchor")
        assert full["error"]["name"] == "room_full", "host, phone and two guests are four"
        late = await world.user("late")
        assert (await late.add("live_room", ROOM))["code"] == 5001
        assert (await fans[0].request("role", role="audience"))["ok"]
        assert (await fans[2].request("role", role="anchor"))["ok"]
        assert (await host.request("leave"))["ok"]
        assert (await fans[5].expect(t="kicked"))["reason"] == "room_disband"


async def test_a_creator_comes_back_to_its_room() -> None:
    async with ServiceWorld() as world:
        await enter(world, "host", "multi_room")
        await enter(world, "guest", "multi_room", create=False)
        again = await enter(world, "host", "multi_room")
        assert again.entered["creator"] == "host" and len(again.entered["members"]) == 1
