"""The group commands by which a business server, or a group's maker, moderates: their numbers, shapes and effects."""

from __future__ import annotations

from typing import Any

import pytest

from tests.endpoints.im.phone import GROUPS, ROOM, TEXT, Phone, node, phones
from tests.endpoints.world import Client, World

FOREVER = 4294967295


async def run(phone: Phone, command: str, group: str = ROOM, **fields: Any) -> dict[str, Any]:
    return await phone.post(f"{GROUPS}/{command}", {"GroupId": group, **fields})


async def ok(phone: Phone, command: str, group: str = ROOM, **fields: Any) -> dict[str, Any]:
    answer = await run(phone, command, group, **fields)
    assert (answer["ActionStatus"], answer["ErrorCode"], answer["ErrorInfo"]) == ("OK", 0, ""), answer
    return answer


async def made(world: World, *users: str) -> tuple[Phone, list[Phone]]:
    """An administrator, and users in a group that the first of them has made."""
    first = await Phone(world, users[0]).login()
    await first.create()
    others = [await Phone(world, user).login() for user in users[1:]]
    for phone in (first, *others):
        await phone.join()
    for phone in (first, *others):
        await phone.poll()
    return Phone(world, "administrator"), [first, *others]


async def member(world: World, user: str, group: str = ROOM, **fields: Any) -> Client:
    return await world.enter(user, int(group), **fields)


async def test_who_may_not_write_is_told_a_number_and_everybody_a_tip() -> None:
    """Signs of both times: the public name of now and the one of 2018."""
    async with node() as world:
        admin, (alice, bobby) = await made(world, "alice", "bobby")
        await ok(admin, "forbid_send_msg", Members_Account=["bobby", "stranger"], ShutUpTime=60)
        (first, second) = await alice.poll()
        assert first["MsgBody"]["OpType"] == second["MsgBody"]["OpType"] == 7
        assert first["MsgBody"]["MsgMemberInfo"] == [{"User_Account": "bobby", "ShutupTime": 60}]
        assert (await bobby.say())["ErrorCode"] == 10017
        assert (await alice.say())["ActionStatus"] == "OK"
        now = int(world.wall())
        found = (await ok(admin, "get_group_muted_account"))["MutedAccountList"]
        assert [one["Member_Account"] for one in found] == ["bobby", "stranger"]
        assert all(abs(one["MutedUntil"] - now - 60) <= 2 for one in found)
        await ok(alice, "forbid_send_msg", Members_Account=["bobby"], MuteTime=0)
        await ok(alice, "forbid_send_msg", Members_Account=["stranger"], MuteTime=FOREVER)
        assert (await bobby.say(number=2))["ActionStatus"] == "OK"
        old = (await ok(alice, "get_group_shutted_uin"))["ShuttedUinList"]
        assert old == [{"Member_Account": "stranger", "ShuttedUntil": FOREVER}]


async def test_nobody_but_the_maker_writes() -> None:
    async with node() as world:
        admin, (alice, bobby) = await made(world, "alice", "bobby")
        for name in ("MuteAllMember", "ShutUpAllMember"):
            await ok(admin, "modify_group_base_info", **{name: "On"})
            assert (await bobby.poll())[-1]["MsgBody"]["MsgGroupNewInfo"] == {"MuteAllMember": "On"}
            (info,) = (await ok(bobby, "get_group_info", GroupIdList=[ROOM]))["GroupInfo"]
            assert info["MuteAllMember"] == info["ShutUpAllMember"] == "On"
            assert (await bobby.say(number=1))["ErrorCode"] == 10017
            assert (await alice.say(number=len(name)))["ActionStatus"] == "OK"
            await ok(alice, "modify_group_base_info", **{name: "Off"})
            await bobby.poll()
        assert (await bobby.say(number=2))["ActionStatus"] == "OK"


async def test_a_group_says_of_itself_what_it_is_told() -> None:
    async with node() as world:
        _, (alice, bobby) = await made(world, "alice", "bobby")
        said = {"Name": "Tea", "Introduction": "a", "Notification": "b", "FaceUrl": "http://x/y.png"}
        await ok(alice, "modify_group_base_info", **said, MaxMemberNum=7)
        (tip,) = await bobby.poll()
        assert (tip["MsgBody"]["OpType"], tip["MsgBody"]["MsgGroupNewInfo"]["GroupName"]) == (6, "Tea")
        await alice.say()
        asked = (await ok(bobby, "get_group_info", GroupIdList=[ROOM, "none", "x" * 65]))["GroupInfo"]
        group, absent, bad = asked
        assert {name: group[name] for name in said} == said
        assert (group["Owner_Account"], group["MemberNum"], group["NextMsgSeq"]) == ("alice", 2, 2)
        assert (group["Type"], group["ErrorCode"], group["MuteAllMember"]) == ("AVChatRoom", 0, "Off")
        assert (absent["GroupId"], absent["ErrorCode"], bad["ErrorCode"]) == ("none", 10010, 10015)


async def test_who_is_removed_may_come_back_and_who_is_banned_may_not() -> None:
    async with node() as world:
        admin, (alice, bobby, carol) = await made(world, "alice", "bobby", "carol")
        await ok(admin, "delete_group_member", MemberToDel_Account=["bobby", "nobody"], Silence=0, Reason="x")
        removed = (await bobby.poll())[-1]["MsgBody"]
        assert (removed["ReportType"], removed["Operator_Account"]) == (4, "administrator")
        tip = (await alice.poll())[-1]["MsgBody"]
        assert (tip["OpType"], tip["Operator_Account"], tip["List_Account"]) == (3, "administrator", ["bobby"])
        assert (await bobby.say())["ErrorCode"] == 10007
        await bobby.join()
        await carol.poll()
        await ok(alice, "delete_group_member", MemberToDel_Account=["bobby"], Silence=1)
        assert 3 not in [entry["MsgBody"].get("OpType") for entry in await carol.poll()]
        await bobby.join()
        await ok(alice, "ban_group_member", Members_Account=["bobby"], Duration=60, Description="noise")
        assert (await run(bobby, "apply_join_group"))["ErrorCode"] == 10007
        await ok(admin, "ban_group_member", Members_Account=["dan", "eve"], Duration=FOREVER)
        page = await ok(admin, "get_group_ban_member", Limit=2, Offset=0)
        first, second = page["BannedAccountList"]
        assert (first["Member_Account"], first["Description"], page["NextOffset"]) == ("bobby", "noise", 2)
        assert abs(first["BannedUntil"] - world.wall() - 60) <= 2 and second["BannedUntil"] == FOREVER
        page = await ok(admin, "get_group_ban_member", Limit=2, Offset=2)
        assert ([one["Member_Account"] for one in page["BannedAccountList"]], page["NextOffset"]) == (["eve"], 0)
        await ok(alice, "unban_group_member", Members_Account=["bobby", "dan", "eve"])
        assert (await ok(alice, "get_group_ban_member"))["BannedAccountList"] == []
        await bobby.join()


async def test_a_room_is_moderated_by_the_same_commands() -> None:
    """By the userSig of an administrator, and by its creator's login at the IM."""
    async with node() as world:
        alice, bob = await member(world, "alice"), await member(world, "bob")
        admin, creator = Phone(world, "admin"), await Phone(world, "alice").login()
        await ok(admin, "forbid_send_msg", Members_Account=["bob"], MuteTime=60)
        told = await bob.expect(t="moderation", userId="bob")
        assert (told["words"], told["by"], told["endsMs"]["words"]) == (True, "admin", 60000)
        refused = (await bob.request("message", random=1, body=TEXT))["error"]
        assert (refused["name"], refused["retryAfterMs"]) == ("muted", pytest.approx(60000, abs=2000))
        await ok(creator, "modify_group_base_info", MuteAllMember="On")
        assert (await bob.expect(t="moderation", by="alice"))["words"]
        listed = await ok(creator, "get_group_member_info", Limit=10, Offset=0)
        assert listed["MemberNum"] == 2
        first, second = listed["MemberList"]
        assert (first["Member_Account"], first["Role"], first["MuteUntil"]) == ("alice", "Owner", 0)
        assert (second["Role"], abs(second["MuteUntil"] - world.wall() - 60) <= 2) == ("Member", True)
        assert abs(second["JoinTime"] - world.wall()) <= 2
        assert len((await ok(admin, "get_group_member_info", Limit=1, Offset=1))["MemberList"]) == 1
        await ok(creator, "ban_group_member", Members_Account=["bob"], Duration=60)
        assert (await bob.expect(t="kicked"))["reason"] == "banned"
        assert (await alice.expect(t="member-"))["userId"] == "bob"
        (info,) = (await ok(creator, "get_group_info", GroupIdList=[ROOM]))["GroupInfo"]
        assert (info["Owner_Account"], info["MemberNum"]) == ("alice", 1)


async def test_only_who_may_moderates_and_only_those_below() -> None:
    async with node() as world:
        admin, (alice, bobby) = await made(world, "alice", "bobby")
        commands: list[tuple[str, dict[str, object]]] = [
            ("forbid_send_msg", {"Members_Account": ["carol"], "MuteTime": 60}),
            ("get_group_muted_account", {}),
            ("get_group_shutted_uin", {}),
            ("delete_group_member", {"MemberToDel_Account": ["carol"]}),
            ("ban_group_member", {"Members_Account": ["carol"], "Duration": 60}),
            ("unban_group_member", {"Members_Account": ["carol"]}),
            ("get_group_ban_member", {}),
            ("modify_group_base_info", {"MuteAllMember": "On"}),
        ]
        for command, fields in commands:
            assert (await run(bobby, command, **fields))["ErrorCode"] == 10007, command
            assert (await run(Phone(world, "bobby"), command, **fields))["ErrorCode"] == 10007, command
            assert (await run(admin, command, "none", **fields))["ErrorCode"] == 10010, command
            assert (await run(admin, command, "x" * 65, **fields))["ErrorCode"] == 10015, command
            assert (await run(Phone(world, "administrator", sig="x"), command, **fields))["ErrorCode"] == 70003
        for target in ("alice", "admin"):
            above = {"Members_Account": [target, "bobby"], "MuteTime": 60}
            assert (await run(alice, "forbid_send_msg", **above))["ErrorCode"] == 10007
        assert (await ok(admin, "get_group_muted_account"))["MutedAccountList"] == [], "nothing is done by halves"
        await member(world, "dan", "4321")
        assert (await run(bobby, "get_group_member_info", "4321"))["ErrorCode"] == 10007
        (hidden,) = (await ok(bobby, "get_group_info", GroupIdList=["4321"]))["GroupInfo"]
        assert hidden["ErrorCode"] == 10007 and "MemberNum" not in hidden


async def test_a_guest_moderates_what_a_guest_has_made_and_nothing_by_a_borrowed_name() -> None:
    async with node(World(guests=("127.0.0.0/8",))) as world:

        async def guest(user: str) -> Phone:
            sig = (await world.call("get_login_info", {"userID": user}))["userSig"]
            return await Phone(world, user, sig=sig).login()

        bobby = await guest("bobby")
        await bobby.create("77")
        await ok(bobby, "modify_group_base_info", "77", MuteAllMember="On")
        holder = await Phone(world, "alice").login()
        await holder.create()
        carol = await member(world, "carol", "88")
        await member(world, "dan", "88")
        await carol.request("leave")
        await holder.post("v4/openim/logout", {})
        for user, group in (("alice", ROOM), ("carol", "88")):
            borrowed = await guest(user)
            for command in ("modify_group_base_info", "destroy_group"):
                assert (await run(borrowed, command, group, MuteAllMember="On"))["ErrorCode"] == 10007


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        ("forbid_send_msg", {}),
        ("forbid_send_msg", {"Members_Account": ["bobby"]}),
        ("forbid_send_msg", {"Members_Account": "bobby", "MuteTime": 1}),
        ("forbid_send_msg", {"Members_Account": ["b b"], "MuteTime": 1}),
        ("forbid_send_msg", {"Members_Account": ["bobby"], "MuteTime": -1}),
        ("forbid_send_msg", {"Members_Account": ["bobby"], "MuteTime": FOREVER + 1}),
        ("forbid_send_msg", {"Members_Account": ["bobby"] * 501, "MuteTime": 1}),
        ("delete_group_member", {"MemberToDel_Account": ["bobby"] * 101}),
        ("delete_group_member", {"MemberToDel_Account": ["bobby"], "Silence": 2}),
        ("ban_group_member", {"Members_Account": ["bobby"]}),
        ("ban_group_member", {"Members_Account": ["bobby"], "Duration": 0}),
        ("ban_group_member", {"Members_Account": ["bobby"], "Duration": 1, "Description": "x" * 1001}),
        ("ban_group_member", {"Members_Account": ["bobby"] * 21, "Duration": 1}),
        ("unban_group_member", {"Members_Account": [7]}),
        ("get_group_ban_member", {"Limit": 101}),
        ("get_group_ban_member", {"Offset": "x"}),
        ("modify_group_base_info", {"MuteAllMember": True}),
        ("modify_group_base_info", {"Name": "x" * 501}),
        ("get_group_info", {"GroupIdList": ROOM}),
        ("get_group_info", {"GroupIdList": [ROOM] * 51}),
        ("get_group_member_info", {"Limit": 6001}),
    ],
)
async def test_wrong_fields(command: str, fields: dict[str, object]) -> None:
    async with node() as world:
        admin = Phone(world, "administrator")
        await phones(world, "bobby")
        assert (await run(admin, command, **fields))["ErrorCode"] == 10004
