"""Logins of the old IM: tickets, a second device, the end, profiles, and what is kept of it over a restart."""

from __future__ import annotations

import asyncio

import pytest

from gateway.endpoints.im import sessions
from tests.endpoints.im.phone import GROUPS, HOLD, ROOM, Phone, hold, im_of, node, phones, soon
from tests.endpoints.world import World

NICK, IMAGE = "Tag_Profile_IM_Nick", "Tag_Profile_IM_Image"


@pytest.mark.quirk(9, 10)
async def test_login_gives_what_the_library_puts_into_urls_whatever_the_account_type() -> None:
    async with node() as world:
        alice = Phone(world, "alice")
        answer = await alice.post("v4/openim/login", {"State": "Online"})
        assert answer["A2Key"].isalnum() and answer["TinyId"].isdecimal() and int(answer["TinyId"]) < 1 << 63
        joined = {"Member_Account": "alice", "Limit": 1000, "Offset": 0, "GroupType": ""}
        alice.identity = f"tinyid={answer['TinyId']}&a2={answer['A2Key']}"
        # In this order, before the application hears of success; each must be well.
        profile = {
            "From_Account": "alice",
            "To_Account": ["alice"],
            "LastStandardSequence": 0,
            "TagList": [NICK, IMAGE],
        }
        (item,) = (await alice.post("v4/profile/portrait_get", profile))["UserProfileItem"]
        assert (item["To_Account"], item["ProfileItem"], item["ResultCode"]) == ("alice", [], 0)
        assert (await alice.post(f"{GROUPS}/get_joined_group_list", joined))["GroupIdList"] == []
        assert (await alice.post("v4/openim/authkey", {}))["AuthKey"] == ""
        assert (await alice.post("v4/openim/getlongpollingid", {}))["ActionStatus"] == "OK"
        assert (await alice.post("v4/imopenstat/web_report", {"EvtItems": []}))["ActionStatus"] == "OK"


@pytest.mark.parametrize(
    ("user", "ticket", "number"),
    [
        ("bobby", {}, 70013),
        ("alice", {"age": 7200}, 70001),
        ("alice", None, 70002),
        ("alice", "x", 70003),
        ("a b", {}, 10004),
    ],
)
async def test_a_ticket_that_does_not_hold_has_the_numbers_of_the_im(user: str, ticket: object, number: int) -> None:
    async with node() as world:
        phone = Phone(world, "alice")
        sig = world.sig("alice", **ticket) if isinstance(ticket, dict) else ticket or ""
        phone.identity = f"identifier={user}&usersig={sig}"
        answer = await phone.post("v4/openim/login", {})
        assert (answer["ActionStatus"], answer["ErrorCode"]) == ("FAIL", number) and answer["ErrorInfo"]


async def test_another_app_is_refused_by_number_and_a_login_is_good_in_its_own_only() -> None:
    async with node() as world:
        alice = await Phone(world, "alice").login()
        for app, number in (("1400000002", 70003), ("7", 70020), ("x", 10004), ("99999999999", 10004)):
            url = f"/v4/openim/authkey?a2={alice.a2}&tinyid=1&sdkappid={app}"
            async with world.client.post(url, data=b"{}") as answer:
                assert (await answer.json())["ErrorCode"] == number


@pytest.mark.quirk(14)
async def test_a_second_login_ends_the_first() -> None:
    async with node() as world:
        first = await Phone(world, "alice").login()
        (pending,) = await hold(world, first.ask_own(0))
        second = await Phone(world, "alice").login()
        assert (await soon(pending))["ErrorCode"] == 91101
        for path in ("v4/openim/longpolling", "v4/openim/authkey", f"{GROUPS}/quit_group"):
            assert (await soon(first.post(path, {"GroupId": ROOM})))["ErrorCode"] == 91101
        assert (await second.post("v4/openim/authkey", {}))["ActionStatus"] == "OK"


@pytest.mark.quirk(8)
async def test_a_second_login_of_one_device_joins_again_and_hears_everything_once() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        old, start = bobby.key, bobby.start
        bobby.identity = Phone(world, "bobby").identity
        await (await bobby.login()).join()
        await alice.say()
        polls = await asyncio.gather(bobby.said(), bobby.ask(old, start))
        assert polls[0] == [("alice", "hello")] and "RspMsgList" not in polls[1]
        assert not [entry for entry in await alice.poll() if entry["Event"] == 4], "nobody came or went"


@pytest.mark.parametrize("command", ["logout", "longpollinglogout"])
async def test_logging_out_ends_the_polls_at_once_and_the_stay_in_the_group(command: str) -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        (own,), (group,) = await hold(world, bobby.ask_own(0)), await hold(world, bobby.poll())
        assert (await bobby.post(f"v4/openim/{command}", {"LongPollingId": None}))["ActionStatus"] == "OK"
        assert (await soon(own))["ErrorCode"] == 60008 and await soon(group) == []
        # Its page may poll once more before it hears of its success: that must not look like being kicked.
        assert (await bobby.ask_own(0))["ErrorCode"] == 60008
        assert (await bobby.say())["ErrorCode"] == 70003
        assert world.groups.members(world.key(55)) == ("alice",)
        assert [entry["MsgBody"]["OpType"] for entry in await alice.poll()] == [2]
        assert (await bobby.post("v4/openim/logout", {}))["ErrorCode"] == 70003


async def test_a_login_that_nobody_knows_stops_its_poll_and_is_refused_otherwise() -> None:
    async with node() as world:
        alice = Phone(world, "alice")
        alice.identity = "tinyid=144115188000000001&a2=0123456789abcdef"
        # The library never logs in again by itself: this number alone ends its loop and tells the page.
        assert (await alice.ask_own(0))["ErrorCode"] == 91101
        assert (await alice.post("v4/openim/authkey", {}))["ErrorCode"] == 70003


async def test_who_is_silent_leaves_its_group_and_much_later_its_login_ends() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        world.clock.ahead += sessions.SILENT_S - 10
        await alice.say()
        world.clock.ahead += 20
        await alice.poll()
        assert world.groups.members(world.key(55)) == ("alice",)
        assert (await bobby.say())["ErrorCode"] == 10007
        world.clock.ahead += sessions.MAX_AGE_S
        await alice.ask_own(0)
        assert (await bobby.ask_own(0))["ErrorCode"] == 91101
        assert len(im_of(world).sessions) == 0


async def test_a_poll_that_is_held_long_is_no_silence() -> None:
    async with node() as world:
        alice, _ = await phones(world, "alice", "bobby")
        (pending,) = await hold(world, alice.ask_own(0))
        world.clock.ahead += sessions.SILENT_S + 20
        await Phone(world, "carol").login()
        assert "alice" in world.groups.members(world.key(55))
        im_of(world).goodbye()
        await soon(pending)


async def test_profiles_are_set_by_oneself_and_read_by_all() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        items = [
            {"Tag": NICK, "Value": "Álice"},
            {"Tag": IMAGE, "Value": "http://x/a.png"},
            {"Tag": "Tag_X", "Value": 3},
        ]
        body = {"From_Account": "bobby", "ProfileItem": items}
        assert (await alice.post("v4/profile/portrait_set", body))["ActionStatus"] == "OK"
        asked = {"From_Account": "bobby", "To_Account": ["alice", "bobby"], "TagList": [NICK, IMAGE]}
        mine, his = (await bobby.post("v4/profile/portrait_get", asked))["UserProfileItem"]
        assert {item["Tag"]: item["Value"] for item in mine["ProfileItem"]} == {NICK: "Álice", IMAGE: "http://x/a.png"}
        assert his["ProfileItem"] == []
        (mine,) = (await bobby.post("v4/profile/portrait_get", {**asked, "To_Account": ["alice"], "TagList": [NICK]}))[
            "UserProfileItem"
        ]
        assert [item["Tag"] for item in mine["ProfileItem"]] == [NICK]
        await alice.say()
        (entry,) = (entry for entry in await bobby.poll() if entry["Event"] == 3)
        assert entry["GroupInfo"]["From_AccountNick"] == "Álice"
        long = {"ProfileItem": [{"Tag": NICK, "Value": "x" * 501}]}
        assert (await alice.post("v4/profile/portrait_set", long))["ErrorCode"] == 10004


async def test_a_guest_takes_nobodys_name_who_is_there_by_a_ticket_nor_what_waits_for_it() -> None:
    async with node(World(guests=("127.0.0.0/8",))) as world:
        sig = (await world.call("get_login_info", {"userID": "bobby"}))["userSig"]
        guest, holder = Phone(world, "bobby", sig=sig), Phone(world, "bobby", sig=world.sig("bobby", age=9))
        bobby, alice = await holder.login(), await Phone(world, "alice").login()
        assert (await guest.post("v4/openim/login", {}))["ErrorCode"] == 70013
        await bobby.post("v4/openim/logout", {})
        assert (await alice.write("bobby", 1))["ActionStatus"] == "OK"
        await guest.login()
        assert await guest.heard() == []
        holder = await Phone(world, "bobby", sig=world.sig("bobby", age=9)).login()
        assert await holder.heard() == [("alice", 1)]
        assert (await guest.ask_own(0))["ErrorCode"] == 91101


async def test_the_oldest_login_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 2)
    async with node() as world:
        alice, bobby = await Phone(world, "alice").login(), await Phone(world, "bobby").login()
        await Phone(world, "carol").login()
        assert (await alice.ask_own(0))["ErrorCode"] == 91101
        assert (await bobby.ask_own(0))["ErrorCode"] == 60008
        assert HOLD < im_of(world).times.told_s
