"""/im without a room: messages to the user, and the groups of RoomService's rooms, whose viewers are no members."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.endpoints.chat import hub
from gateway.rooms.groups import GroupEvent, MemberQuitGroup
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import POLICIES, RoomKey
from tests.endpoints.world import APP, Client, World

ROOM = "room_1234_ab"


def text(words: str) -> list[dict[str, Any]]:
    return [{"MsgType": "TIMTextElem", "MsgContent": {"Text": words}}]


def live_room(world: World) -> RoomKey:
    key = world.key(ROOM)
    world.directory.create_room(key, creator="host", policy=POLICIES["live_room"], now=world.clock())
    return key


async def visitor(world: World, user: str, group: str = ROOM, **fields: Any) -> Client:
    client = await world.login(user, None, **fields)
    assert client.entered["code"] == 0, client.entered
    if group:
        answer = await client.command("join", groupID=group)
        assert (answer["code"], answer["JoinedStatus"]) == (0, "JoinedSuccess"), answer
    return client


async def notice(client: Client) -> tuple[int, str]:
    event = await client.expect(cmd="event", tag="error")
    assert event["code"] == "group_system_notifys"
    return event["detail"]["ReportType"], event["detail"]["UserDefinedField"]


async def test_a_viewer_hears_writes_and_takes_no_place() -> None:
    async with World() as world:
        key = live_room(world)
        viewers = [await visitor(world, f"viewer_{number}", nickName=f"V{number}") for number in range(6)]
        assert not world.directory.members
        sent = await viewers[0].command("send", random=7, body=text("hello"))
        assert (sent["code"], sent["seq"]) == (0, 1)
        for viewer in viewers:
            (entry,) = (await viewer.expect(cmd="message"))["messages"]
            assert entry["From_Account"] == "viewer_0" and entry["GroupInfo"]["From_AccountNick"] == "V0"
        world.groups.notice(key, '{"cmd":"notifyPusherChange","data":""}', now_ms=1)
        assert await notice(viewers[5]) == (255, '{"cmd":"notifyPusherChange","data":""}')
        assert (await viewers[1].command("quit", groupID=ROOM))["code"] == 0
        assert (await viewers[1].command("quit", groupID=ROOM))["code"] == 0
        assert (await viewers[1].command("send", random=8, body=text("x")))["name"] == "bad_request"


async def test_a_joiner_gets_what_is_new_and_one_that_comes_back_what_it_missed() -> None:
    async with World() as world:
        live_room(world)
        bob = await visitor(world, "bob")
        for number in range(3):
            await bob.command("send", random=number, body=text(f"m{number}"))
        carol = await visitor(world, "carol", "")
        joined = await carol.command("join", groupID=ROOM)
        assert (joined["seq"], joined["first"]) == (3, 1)
        await bob.command("send", random=3, body=text("m3"))
        frame = await carol.expect(cmd="message")
        assert [entry["MsgSeq"] for entry in frame["messages"]] == [4]
        again = await visitor(world, "carol", "")
        await again.command("join", groupID=ROOM, epoch=joined["epoch"], lastSeq=2)
        frame = await again.expect(cmd="message")
        assert [entry["MsgSeq"] for entry in frame["messages"]] == [3, 4]
        older = await again.command("history", before=3, count=1)
        assert [entry["MsgSeq"] for entry in older["messages"]] == [2]


async def test_messages_to_a_user_without_a_room() -> None:
    async with World() as world:
        live_room(world)
        host, viewer = await visitor(world, "host"), await visitor(world, "viewer", "")
        member = await world.login("phone")
        for client, to in ((viewer, "host"), (member, "host"), (host, "viewer"), (host, "phone")):
            answer = await client.command("send", to=to, random=1, body=text("psst"))
            assert answer["code"] == 0, answer
        assert {(await host.expect(cmd="c2c"))["messages"][0]["From_Account"] for _ in range(2)} == {"viewer", "phone"}
        for client in (viewer, member):
            assert (await client.expect(cmd="c2c"))["messages"][0]["From_Account"] == "host"


async def test_a_newer_login_of_the_user_replaces_the_older() -> None:
    async with World() as world:
        key = live_room(world)
        old = await visitor(world, "bob")
        new = await visitor(world, "bob")
        assert (await old.expect(cmd="kicked"))["reason"] == "replaced"
        await old.closed()
        world.groups.notice(key, "{}", now_ms=1)
        assert await notice(new) == (255, "{}")
        assert world.groups.joined(APP.sdk_app_id, "bob") == key


async def test_the_end_of_the_room_is_type_5_and_a_kick_type_4() -> None:
    async with World() as world:
        key = live_room(world)
        host, guest = await visitor(world, "host"), await visitor(world, "guest")
        for user in ("host", "guest"):
            world.entry.enter(key, user, Privilege.ALL, policy="")
        world.directory.kick(key, "guest")
        assert await notice(guest) == (4, "")
        assert (await guest.command("join", groupID=ROOM))["name"] == "not_permitted"
        world.directory.close_room(key)
        assert await notice(host) == (5, "")
        assert (await host.command("send", random=1, body=text("x")))["name"] == "bad_request"
        assert (await host.command("join", groupID=ROOM))["name"] == "no_such_room"


async def test_a_lost_connection_stays_in_the_group_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "GRACE_S", 0.3)
    async with World() as world:
        key = live_room(world)
        left: list[str] = []
        gone = asyncio.Event()

        def hear(event: GroupEvent) -> None:
            if isinstance(event, MemberQuitGroup):
                left.append(event.user_id)
                gone.set()

        world.groups.events.on("event", hear)
        bob, carol = await visitor(world, "bob"), await visitor(world, "carol")
        bob.abort()
        carol.abort()
        again = await visitor(world, "bob")
        await asyncio.wait_for(gone.wait(), 15)
        assert left == ["carol"]
        assert world.groups.joined(APP.sdk_app_id, "bob") == key
        await again.command("logout")
        assert left == ["carol", "bob"]


@pytest.mark.parametrize("group", ["", None, [], 0, "x" * 65, "none", "1001"])
async def test_groups_that_cannot_be_joined(group: object) -> None:
    """1001 is a room of browsers: what is said there is for those who are in it."""
    async with World() as world:
        await world.enter("alice")
        phone = await visitor(world, "phone", "")
        answer = await phone.command("join", groupID=group)
        assert answer["name"] in ("bad_request", "no_such_room", "not_permitted") and answer["code"] != 0
        assert (await phone.command("ping"))["code"] == 0


async def test_a_connection_with_a_room_joins_no_other_group() -> None:
    async with World() as world:
        live_room(world)
        phone = await world.login("phone")
        assert (await phone.command("join", groupID=ROOM))["name"] == "bad_request"
        assert (await phone.command("quit"))["code"] == 0
        assert (await phone.command("send", random=1, body=text("still here")))["code"] == 0


async def test_a_guest_takes_nobodys_name() -> None:
    async with World() as world:
        sig = world.tickets.mint_user(APP, "bob", 3600)
        assert world.tickets.is_guest_ticket(sig)
        guest = await visitor(world, "bob", "", userSig=sig)
        await visitor(world, "bob", "", userSig=world.sig("bob", age=5))
        assert (await guest.expect(cmd="kicked"))["reason"] == "replaced"
        late = await world.login("bob", None, userSig=sig)
        assert late.entered["name"] == "name_taken"
