"""Groups of the old IM: made, joined, quit, ended; what their members are told; and who may read them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.rooms.room import POLICIES
from tests.endpoints.im.phone import GROUPS, ROOM, TEXT, Phone, im_of, node, phones
from tests.endpoints.world import OTHER_APP, World

DESTROY = f"{GROUPS}/destroy_group"
JOIN = f"{GROUPS}/apply_join_group"
NO_LOGIN = "v1/group_open_http_noauth_svc"


def reports(events: list[dict[str, Any]]) -> list[int]:
    return [tip["MsgBody"]["ReportType"] for event in events for tip in event["GroupTips"]]


async def test_who_comes_first_makes_the_group_and_the_others_are_told_it_is_there() -> None:
    async with node() as world:
        alice, bobby = await Phone(world, "alice").login(), await Phone(world, "bobby").login()
        assert (await alice.create())["GroupId"] == ROOM
        assert (await alice.create())["ErrorCode"] == 10025
        assert (await bobby.create())["ErrorCode"] == 10021
        (event,) = await alice.listen()
        (tip,) = event["GroupTips"]
        assert (event["Event"], tip["Event"], tip["MsgBody"]["ReportType"], tip["ToGroupId"]) == (5, 5, 6, ROOM)
        assert tip["GroupInfo"]["GroupName"] and tip["From_Account"] and tip["NoticeSeq"] > 0
        await alice.join()
        listed = await alice.post(f"{GROUPS}/get_joined_group_list", {"Member_Account": "alice", "Limit": 1000})
        (group,) = listed["GroupIdList"]
        assert (group["GroupId"], group["Type"], group["NextMsgSeq"], group["MemberNum"]) == (ROOM, "AVChatRoom", 1, 1)
        for fields in ({"Offset": 1}, {"Limit": 0}, {"GroupType": "Public"}):
            assert not (await alice.post(f"{GROUPS}/get_joined_group_list", fields))["GroupIdList"]
        other = await bobby.post(f"{GROUPS}/get_joined_group_list", {"Member_Account": "alice"})
        assert other["ErrorCode"] == 10007
        drawn = (await bobby.create(""))["GroupId"]
        assert drawn and drawn != ROOM and (await bobby.join(drawn)).key
        assert (await bobby.create("77", Type="Public"))["ErrorCode"] == 10004
        assert (await bobby.create("x" * 65))["ErrorCode"] == 10004


@pytest.mark.quirk(15)
async def test_a_group_id_may_be_a_number() -> None:
    async with node() as world:
        alice, bobby = await Phone(world, "alice").login(), await Phone(world, "bobby").login()
        await alice.join(55)
        await bobby.join("55")
        await alice.say(group="55")
        assert await bobby.said() == [("alice", "hello")]


async def test_tips_say_who_comes_and_goes_and_the_leaver_hears_that_it_left() -> None:
    async with node() as world:
        (alice,) = await phones(world, "alice")
        bobby = await Phone(world, "bobby").login()
        await bobby.join()
        await bobby.quit()
        joined, left = await alice.poll()
        for tip, op, members in ((joined, 1, 2), (left, 2, 1)):
            body = tip["MsgBody"]
            assert (tip["Event"], tip["From_Account"]) == (4, "@TIM#SYSTEM")
            assert "From_AccountNick" not in tip["GroupInfo"] and tip["GroupInfo"]["GroupName"] == ROOM
            assert (body["OpType"], body["Operator_Account"], body["List_Account"]) == (op, "bobby", ["bobby"])
            assert body["MemberNum"] == members
        assert reports(await bobby.listen()) == [8]
        assert (await bobby.quit())["ActionStatus"] == "OK", "quirk 31: the group may just have ended"
        world.groups.modify(world.key(55), {"name": "Tea"}, operator="alice", now_ms=1)
        (changed,) = await alice.poll()
        assert changed["MsgBody"]["OpType"] == 6 and changed["MsgBody"]["MsgGroupNewInfo"] == {"GroupName": "Tea"}
        world.groups.tip(world.key(55), 7, "alice", ["bobby"], now_ms=1, shut_up_s=60)
        (muted,) = await alice.poll()
        assert muted["MsgBody"]["MsgMemberInfo"] == [{"User_Account": "bobby", "ShutupTime": 60}]
        await alice.say()
        assert (await alice.poll())[0]["GroupInfo"]["GroupName"] == "Tea"


async def test_only_its_maker_or_the_administrator_ends_a_group() -> None:
    async with node() as world:
        alice, bobby = await Phone(world, "alice").login(), await Phone(world, "bobby").login()
        await alice.create()
        assert (await bobby.post(DESTROY, {"GroupId": ROOM}))["ErrorCode"] == 10007
        assert (await alice.post(DESTROY, {"GroupId": ROOM}))["ActionStatus"] == "OK"
        assert (await alice.post(DESTROY, {"GroupId": ROOM}))["ErrorCode"] == 10010
        await bobby.join("77")  # nobody made it
        assert (await bobby.post(DESTROY, {"GroupId": "77"}))["ErrorCode"] == 10007
        assert (await Phone(world, "admin").post(DESTROY, {"GroupId": "77"}))["ActionStatus"] == "OK"
        assert [entry["MsgBody"]["ReportType"] for entry in await bobby.poll()] == [5]


async def test_ending_the_group_of_a_room_ends_the_room() -> None:
    async with node() as world:
        alice, bobby = await world.enter("alice", 55), await world.enter("bobby", 55)
        phone = await (await Phone(world, "bobby").login()).join()
        assert (await phone.post(DESTROY, {"GroupId": ROOM}))["ErrorCode"] == 10007
        assert (await Phone(world, "administrator").post(DESTROY, {"GroupId": ROOM}))["ActionStatus"] == "OK"
        assert world.key(55) not in world.directory.rooms
        assert [entry["MsgBody"]["ReportType"] for entry in await phone.poll()] == [5]
        for client in (alice, bobby):
            assert (await client.expect(t="kicked"))["reason"] == "room_disband"


async def test_joining_another_group_quits_the_first() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        old, start = bobby.key, bobby.start
        await bobby.join("56")
        await alice.say()
        polls = await asyncio.gather(bobby.said(), bobby.ask(old, start))
        assert polls[0] == [] and "RspMsgList" not in polls[1]
        assert world.groups.joined(world.key().app, "bobby") == world.key(56)


async def test_a_room_that_needs_a_private_map_key_is_read_by_those_who_are_in_it() -> None:
    async with node() as world:
        alice = await Phone(world, "alice").login()
        bobby = await world.enter("bobby", 55)
        assert (await alice.post(JOIN, {"GroupId": ROOM}))["ErrorCode"] == 10007
        phone = await world.login("alice", 55)
        await alice.join()
        await alice.say()
        assert (await bobby.expect(t="message"))["from"] == "alice"
        assert await alice.said() == [("alice", "hello")]
        # Who has left the room hears no more, though its client goes on polling.
        await phone.command("logout")
        await bobby.request("message", random=3, body=TEXT)
        assert await alice.said() == []
        assert (await alice.say(number=9))["ErrorCode"] == 10007


async def test_members_of_a_group_without_a_room_do_not_read_the_room_that_opens_under_its_name() -> None:
    async with node() as world:
        eve, carol, alice = await phones(world, "eve", "carol", "alice")
        visitor = await world.login("dan", None)
        assert (await visitor.command("join", groupID=ROOM))["code"] == 0
        await alice.say()
        assert await eve.said() == await carol.said() == [("alice", "hello")]
        await visitor.expect(cmd="message")
        # Alice has a ticket of the room; so has Carol, a little later.
        browser = await world.enter("alice", 55)
        await browser.request("message", random=2, body=TEXT)
        assert await alice.said() == [("alice", "hello")] * 2
        assert await eve.said() == [] == await carol.said()
        assert (await eve.say(number=8))["ErrorCode"] == 10007
        for command in ("history", "send"):
            refused = await visitor.command(command, random=5, body=TEXT)
            assert refused["name"] == "not_permitted"
        await world.enter("carol", 55)
        await browser.request("message", random=3, body=TEXT)
        assert await carol.said() == [("alice", "hello")] and await eve.said() == []
        assert not [m for m in visitor.messages if m["cmd"] == "message"]
        # Joining again is refused as well.
        assert (await eve.post(JOIN, {"GroupId": ROOM}))["ErrorCode"] == 10007


async def test_rooms_without_a_private_map_key_are_open_to_whoever_is_logged_in() -> None:
    async with node() as world:
        key = world.key(55, OTHER_APP)
        world.directory.create_room(key, creator="x", policy=POLICIES["page"], now=world.clock())
        ticket = f"identifier=alice&usersig={world.sig('alice', OTHER_APP)}&sdkappid={OTHER_APP.sdk_app_id}"
        async with world.client.post(f"/v4/openim/login?{ticket}", data=b"{}") as answer:
            a2 = (await answer.json())["A2Key"]
        url = f"/{JOIN}?tinyid=1&a2={a2}&sdkappid={OTHER_APP.sdk_app_id}"
        async with world.client.post(url, json={"GroupId": ROOM}) as answer:
            assert (await answer.json())["JoinedStatus"] == "JoinedSuccess"


async def test_who_is_thrown_out_is_told_type_4_and_who_loses_the_room_type_5() -> None:
    async with node() as world:
        found = []
        for user in ("alice", "bobby"):
            await world.enter(user, 55)
            found.append(await (await Phone(world, user).login()).join())
        alice, bobby = found
        await alice.poll()
        world.directory.kick(world.key(55), "alice")
        (entry,) = await alice.poll()
        assert entry["MsgBody"]["ReportType"] == 4
        await bobby.say()
        assert await alice.poll() == []
        assert (await alice.say())["ErrorCode"] == 10007
        assert (await alice.post(JOIN, {"GroupId": ROOM}))["ErrorCode"] == 10007
        tip, *_ = await bobby.poll()
        assert (tip["MsgBody"]["OpType"], tip["MsgBody"]["List_Account"]) == (3, ["alice"])
        world.directory.close_room(world.key(55))
        (told,) = await bobby.poll()
        assert told["Event"] == 5 and told["MsgBody"]["ReportType"] == 5 and told["MsgTimeStamp"] > 1e9


async def test_a_viewer_who_is_no_member_is_thrown_out_as_well() -> None:
    async with node() as world:
        world.directory.create_room(world.key(55), creator="alice", policy=POLICIES["live_room"], now=world.clock())
        alice, bobby = await phones(world, "alice", "bobby")
        world.directory.kick(world.key(55), "bobby", ban=True)
        (entry,) = await bobby.poll()
        assert entry["MsgBody"]["ReportType"] == 4
        assert (await bobby.post(JOIN, {"GroupId": ROOM}))["ErrorCode"] == 10007
        assert world.groups.members(world.key(55)) == ("alice",)
        assert [entry["MsgBody"]["OpType"] for entry in await alice.poll()] == [3]


async def test_whoever_has_not_logged_in_reads_what_the_operator_has_opened_and_nothing_else() -> None:
    async with node() as world:
        await phones(world, "alice")
        refused = await Phone(world, "x").post(f"{NO_LOGIN}/apply_join_group", {"GroupId": ROOM}, identity="")
        assert refused["ErrorCode"] == 10007 and "log in" in refused["ErrorInfo"]
    async with node(anonymous_groups=("55", "66")) as world:
        (alice,) = await phones(world, "alice")
        anonymous = Phone(world, "nobody")
        anonymous.identity = ""
        told = await anonymous.post(f"{NO_LOGIN}/apply_join_group", {"GroupId": ROOM})
        anonymous.key = told["LongPollingKey"]
        await alice.say()
        assert await anonymous.said() == [("alice", "hello")]
        assert await alice.poll(), "its own message; nobody was seen to come"
        assert world.groups.members(world.key(55)) == ("alice",)
        for group, number in (("66", 10010), ("77", 10007), (None, 10004)):
            assert (await anonymous.post(f"{NO_LOGIN}/apply_join_group", {"GroupId": group}))["ErrorCode"] == number
        assert (await anonymous.post(f"{NO_LOGIN}/quit_group", {"GroupId": ROOM}))["ActionStatus"] == "OK"
        for path in (JOIN, f"{GROUPS}/send_group_msg", "v4/openim/longpolling"):
            assert (await anonymous.post(path, {"GroupId": ROOM}))["ErrorCode"] != 0
        world.clock.ahead += 200
        await alice.poll()
        assert im_of(world).delivery.keys.find(anonymous.key) is None


async def test_everything_open_to_all_is_still_not_what_needs_a_private_map_key() -> None:
    async with node(World(), anonymous_groups=("*",)) as world:
        await world.enter("alice", 55)
        await phones(world, "bobby", group="56")
        anonymous = Phone(world, "nobody")
        for group, number in ((ROOM, 10007), ("56", 0)):
            answer = await anonymous.post(f"{NO_LOGIN}/apply_join_group", {"GroupId": group}, identity="")
            assert answer["ErrorCode"] == number
