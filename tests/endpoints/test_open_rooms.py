"""Entering without a privateMapKey: which rooms the operator has opened, and to whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.base.config import AppConfig
from gateway.base.errors import TooMany
from gateway.endpoints.entry import open_rooms
from gateway.endpoints.entry.open_rooms import OpenRooms
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey
from gateway.services.store import OpenRoomChanges, Store
from tests.endpoints.world import APP, OTHER_APP, Client, World

NO_TICKET = {"code": 1, "name": "bad_ticket"}
APPS = {APP.sdk_app_id: APP, OTHER_APP.sdk_app_id: OTHER_APP}


def opened(world: World, *rooms: str, members: bool = False) -> OpenRooms:
    """Give the world's first app this configuration."""
    config = AppConfig(sdk_app_id=APP.sdk_app_id, bizid=APP.bizid, open_rooms=rooms, open_to_members=members)
    world.tickets.open_rooms = OpenRooms(APPS, [config], member=world.directory.member_in)
    return world.tickets.open_rooms


async def tries(world: World, user: str, room: int | str, **fields: Any) -> tuple[Client, dict[str, Any]]:
    """Enter as a page of 2018-07 does: with a userSig and nothing else."""
    client = await world.connect()
    ticket = {**world.ticket(user, room), "privateMapKey": "", **fields}
    return client, await client.request("enter", **ticket)


def refusal(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer["error"][name] for name in ("code", "name")}


@pytest.mark.quirk(36)
async def test_a_listed_room_opens_by_a_user_sig_and_no_other_does() -> None:
    async with World() as world:
        opened(world, "1234", "lesson")
        client, answer = await tries(world, "alice", 1234)
        assert answer["ok"] and answer["privileges"] == Privilege.ALL
        assert await client.request("leave")
        for room in (1235, 12345, "1234", "lesson 2"):  # the text room "1234" is another room than the number
            _, answer = await tries(world, "alice", room)
            assert refusal(answer) == NO_TICKET, room
        _, answer = await tries(world, "alice", "lesson")
        assert answer["ok"] and answer["strRoomId"] == "lesson"


@pytest.mark.quirk(36)
async def test_an_open_room_opens_in_its_own_app_and_to_valid_tickets_only() -> None:
    async with World() as world:
        opened(world, "1234")
        _, answer = await tries(world, "alice", 1234, userSig=world.sig("bobby"))
        assert refusal(answer) == {"code": 13, "name": "bad_ticket"}
        _, answer = await tries(world, "alice", 1234, userSig=world.sig("alice", age=4000))
        assert refusal(answer) == {"code": 9, "name": "bad_ticket"}
        # Who sends a privateMapKey is held to it.
        _, answer = await tries(world, "alice", 1234, privateMapKey=world.map_key("alice", 1235))
        assert refusal(answer) == {"code": 15, "name": "bad_ticket"}
        _, answer = await tries(world, "alice", 1234, privateMapKey=world.map_key("alice", 1234, rights=43))
        assert answer["ok"] and answer["privileges"] == 43
        assert not world.tickets.open_rooms.allows(RoomKey(9, "1234"))


@pytest.mark.quirk(36)
async def test_a_star_opens_every_room_as_optional_does() -> None:
    async with World() as world:
        rooms = opened(world, "*")
        for room in (world.key(7), world.key("lesson"), world.key(7, OTHER_APP)):
            assert rooms.rights(room, "alice") == Privilege.ALL
        _, answer = await tries(world, "alice", 77)
        assert answer["ok"]


@pytest.mark.quirk(36, 37)
@pytest.mark.parametrize("creator", [True, False])
async def test_a_member_by_the_old_calls_enters_without_the_ticket_that_it_threw_away(creator: bool) -> None:
    """The page of 2018-07: create_room or enter_room, then the media room with a userSig alone; and heartbeats."""
    async with World(guests=("127.0.0.0/8",)) as world:
        opened(world, members=True)
        login = await world.call("get_login_info", {"userID": "alice"})
        made = await world.call("create_room", {"userID": "alice", "nickName": "Al", "roomInfo": "lesson"})
        user, user_sig = "alice", login["userSig"]
        if not creator:
            user, user_sig = "bobby", (await world.call("get_login_info", {"userID": "bobby"}))["userSig"]
            _, answer = await tries(world, user, int(made["roomID"]), userSig=user_sig)
            assert refusal(answer) == NO_TICKET, "nobody has let this user in yet"
            made = await world.call("enter_room", {"userID": user, "nickName": "Bo", "roomID": made["roomID"]})
        # The page goes on with the roomID of this answer, and takes the code for a number.
        assert made["code"] == 0 and isinstance(made["code"], int) and isinstance(made["roomID"], str)
        _, answer = await tries(world, user, int(made["roomID"]), userSig=user_sig)
        assert answer["ok"] and answer["privileges"] == Privilege.ALL
        assert await world.call("heartbeat", {"userID": user, "roomID": made["roomID"]}) == {
            "code": 0,
            "message": "请求成功",
        }
        members = (await world.call("get_room_members", {"roomID": made["roomID"]}))["members"]
        assert {"userID": user, "nickName": "Al" if creator else "Bo"} in members
        _, answer = await tries(world, user, 4711, userSig=user_sig)
        assert refusal(answer) == NO_TICKET, "membership counts in its own room only"


@pytest.mark.quirk(36, 38)
async def test_after_a_reload_a_member_is_let_in_as_long_as_its_heartbeat_has_not_lapsed() -> None:
    """The page says neither create_room nor enter_room again: it enters the media room, and heartbeats after 7 s."""
    async with World(guests=("127.0.0.0/8",)) as world:
        opened(world, members=True)
        user_sig = (await world.call("get_login_info", {"userID": "alice"}))["userSig"]
        made = await world.call("create_room", {"userID": "alice", "nickName": "Al", "roomInfo": "lesson"})
        beat = {"userID": "alice", "roomID": made["roomID"]}
        room = int(made["roomID"])

        def later(seconds: float) -> None:
            world.clock.ahead += seconds
            world.directory.expire(world.clock())

        first, answer = await tries(world, "alice", room, userSig=user_sig)
        assert answer["ok"]
        first.abort()
        later(18)  # longer than a dead socket is waited for, shorter than a heartbeat
        second, answer = await tries(world, "alice", room, userSig=user_sig)
        assert answer["ok"], "still a member"
        for _ in range(6):
            later(7)
            assert (await world.call("heartbeat", beat))["code"] == 0
        second.abort()
        members = (await world.call("get_room_members", {"roomID": made["roomID"]}))["members"]
        assert members == [{"userID": "alice", "nickName": "Al"}]
        # Somebody else keeps the room; alice is away for too long. Her late heartbeat is answered, and does nothing.
        await world.call("enter_room", {"userID": "bobby", "roomID": made["roomID"]})
        for _ in range(3):
            later(15)
            await world.call("heartbeat", {"userID": "bobby", "roomID": made["roomID"]})
        assert (await world.call("heartbeat", beat))["code"] == 0
        _, answer = await tries(world, "alice", room, userSig=user_sig)
        assert refusal(answer) == NO_TICKET
        members = (await world.call("get_room_members", {"roomID": made["roomID"]}))["members"]
        assert [member["userID"] for member in members] == ["bobby"]


async def test_a_member_gets_no_more_by_its_user_sig_than_it_has() -> None:
    async with World() as world:
        opened(world, members=True)
        await world.enter("alice", 1001, rights=43)
        _, answer = await tries(world, "alice", 1001)
        assert answer["ok"] and answer["privileges"] == 43


async def test_the_other_ways_in_follow_the_same_rule() -> None:
    async with World() as world:
        opened(world, "1234", "lesson")
        phone = {"userID": "phone", "userSig": world.sig("phone")}
        assert (await world.call("get_push_url", {**phone, "roomID": "1234"}))["code"] == 0
        assert (await world.call("get_push_url", {**phone, "roomID": "1235"}))["code"] == 4001
        socket = await world.connect("/im")
        login = {"sdkAppID": APP.sdk_app_id, "userID": "phone", "userSig": world.sig("phone")}
        assert (await socket.command("login", **login, roomID="1234"))["code"] == 0
        query = {"userid": "coder", "usersig": world.sig("coder"), "sdkappid": str(APP.sdk_app_id)}
        assert world.entry.admit_room_push("lesson", query).room == world.key("lesson")


async def test_rooms_are_opened_and_closed_while_the_server_runs() -> None:
    async with World() as world:
        rooms = opened(world, "1234", members=True)
        rooms.allow(world.key(55))
        _, answer = await tries(world, "alice", 55)
        assert answer["ok"]
        rooms.disallow(world.key(55))
        rooms.disallow(world.key(1234))
        for room in (1234, 55):  # of which one is closed to its members as well
            _, answer = await tries(world, "alice", room)
            assert refusal(answer) == NO_TICKET
        assert world.directory.member_in(world.key(55), "alice") is not None, "who is in stays"
        assert rooms.changes == {world.key(55): False, world.key(1234): False}


def test_what_was_opened_is_open_after_a_restart(tmp_path: Path) -> None:
    number, text = RoomKey(5, "1234"), RoomKey(5, "1234", text=True)
    with Store(tmp_path) as store:
        kept = OpenRoomChanges(store)
        rooms = OpenRooms({}, changes=kept.load(), remember=kept.remember)
        store.start()
        rooms.allow(number)
        rooms.allow(text)
        rooms.disallow(text)
    with Store(tmp_path) as store:
        rooms = OpenRooms({}, changes=OpenRoomChanges(store).load())
        assert rooms.changes == {number: True, text: False}
        assert rooms.allows(number) and not rooms.allows(text)


def test_changes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_rooms, "MAX_CHANGES", 2)
    rooms = OpenRooms({})
    rooms.allow(RoomKey(5, "1"))
    rooms.allow(RoomKey(5, "2"))
    rooms.disallow(RoomKey(5, "2"))
    with pytest.raises(TooMany):
        rooms.allow(RoomKey(5, "3"))
