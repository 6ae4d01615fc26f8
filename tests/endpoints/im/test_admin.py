"""What the operator's own servers ask of the old IM, by an administrator's userSig with each call."""

from __future__ import annotations

import pytest

from tests.endpoints.im.phone import GROUPS, ROOM, TEXT, Phone, hold, im_of, node, phones, soon

NOTIFY = f"{GROUPS}/send_group_system_notification"
LOGINS = "v4/im_open_login_svc"


async def test_a_server_makes_groups_for_others_tells_them_things_and_ends_them() -> None:
    async with node() as world:
        admin = Phone(world, "administrator")
        assert (await admin.create(Owner_Account="alice", Name="Tea"))["GroupId"] == ROOM
        assert (await admin.create())["ErrorCode"] == 10021
        alice, bobby = await phones(world, "alice", "bobby")
        assert (await alice.create())["ErrorCode"] == 10025, "it was made for her"
        browser = await world.login("carol", None)
        assert (await browser.command("join", groupID=ROOM))["code"] == 0
        await alice.poll()
        assert (await admin.post(NOTIFY, {"GroupId": ROOM, "Content": '{"cmd":"x"}'}))["ActionStatus"] == "OK"
        assert (await admin.say(number=3))["MsgSeq"] == 1
        assert (await admin.say(number=4, From_Account="bobby"))["MsgSeq"] == 2
        notice, first, second = await alice.poll()
        assert (notice["MsgBody"]["ReportType"], notice["MsgBody"]["UserDefinedField"]) == (255, '{"cmd":"x"}')
        assert [first["From_Account"], second["From_Account"]] == ["administrator", "bobby"]
        assert (await browser.expect(code="group_system_notifys"))["detail"]["ReportType"] == 255
        to_one = {"GroupId": ROOM, "Content": "for her", "ToMembers_Account": ["alice", "carol", "nobody"]}
        await bobby.poll()
        assert (await admin.post(NOTIFY, to_one))["ActionStatus"] == "OK"
        assert [entry["MsgBody"]["UserDefinedField"] for entry in await alice.poll()] == ["for her"]
        assert (await browser.expect(code="group_system_notifys"))["detail"]["UserDefinedField"] == "for her"
        assert await bobby.poll() == []
        for body, number in (
            ({"GroupId": "77", "Content": "x"}, 10010),
            ({"GroupId": ROOM}, 10004),
            ({"GroupId": ROOM, "Content": "x", "ToMembers_Account": "alice"}, 10004),
            ({"GroupId": ROOM, "Content": "x" * 9000}, 10004),
        ):
            assert (await admin.post(NOTIFY, body))["ErrorCode"] == number
        assert (await admin.say(group="77"))["ErrorCode"] == 10010
        assert (await admin.post(f"{GROUPS}/destroy_group", {"GroupId": ROOM}))["ActionStatus"] == "OK"
        assert [entry["MsgBody"]["ReportType"] for entry in await alice.poll()] == [5]
        assert (await browser.expect(code="group_system_notifys"))["detail"]["ReportType"] == 5


async def test_a_server_writes_to_users_in_its_own_name_or_another() -> None:
    async with node() as world:
        admin, alice = Phone(world, "admin"), await Phone(world, "alice").login()
        assert (await admin.write("alice", 1, From_Account=""))["ActionStatus"] == "OK"
        assert (await admin.write("alice", 2, From_Account="bobby"))["MsgKey"]
        assert await alice.heard() == [("admin", 1), ("bobby", 2)]
        assert (await admin.write("alice", 3, From_Account="a b"))["ErrorCode"] == 10004
        # Anybody else speaks for itself, whatever its body says.
        await alice.write("dan", 4, From_Account="bobby")
        assert await (await Phone(world, "dan").login()).heard() == [("alice", 4)]


async def test_users_are_imported_asked_about_and_sent_away() -> None:
    async with node() as world:
        admin, alice = Phone(world, "administrator"), await Phone(world, "alice").login()
        await world.enter("bobby", 9)
        await world.login("carol", None)
        user = {"Identifier": "dan", "Nick": "Dan", "FaceUrl": "http://x/d.png"}
        assert (await admin.post(f"{LOGINS}/account_import", user))["ActionStatus"] == "OK"
        several = {"Accounts": ["eve", "a b", "frank"]}
        assert (await admin.post(f"{LOGINS}/multiaccount_import", several))["FailAccounts"] == ["a b"]
        (item,) = (await alice.post("v4/profile/portrait_get", {"To_Account": ["dan"]}))["UserProfileItem"]
        assert {tag["Value"] for tag in item["ProfileItem"]} == {"Dan", "http://x/d.png"}
        asked = {"To_Account": ["alice", "bobby", "carol", "dan", "a b"]}
        answer = await admin.post("v4/openim/querystate", asked)
        states = {item["To_Account"]: item["State"] for item in answer["QueryResult"]}
        assert states == {"alice": "Online", "bobby": "Online", "carol": "Online", "dan": "Offline"}
        assert answer["ErrorList"] == [{"To_Account": "a b", "ErrorCode": 70107}]
        nick = {"From_Account": "dan", "ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": "Daniel"}]}
        assert (await admin.post("v4/profile/portrait_set", nick))["ActionStatus"] == "OK"
        assert world.groups.accounts.profile(alice.world.key().app, "dan").nick == "Daniel"
        (pending,) = await hold(world, alice.ask_own(0))
        assert (await admin.post(f"{LOGINS}/kick", {"Identifier": "alice"}))["ActionStatus"] == "OK"
        assert (await soon(pending))["ErrorCode"] == 91101
        assert (await admin.post(f"{LOGINS}/kick", {"Identifier": "nobody"}))["ActionStatus"] == "OK"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{LOGINS}/account_import", {"Identifier": "dan"}),
        (f"{LOGINS}/multiaccount_import", {"Accounts": ["dan"]}),
        (f"{LOGINS}/kick", {"Identifier": "alice"}),
        ("v4/openim/querystate", {"To_Account": ["alice"]}),
        (NOTIFY, {"GroupId": ROOM, "Content": "x"}),
    ],
)
async def test_nobody_else_may_and_is_told_by_number(path: str, body: dict[str, object]) -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        assert (await alice.post(path, body))["ErrorCode"] == (10007 if path == NOTIFY else 60010)
        assert (await Phone(world, "bobby").post(path, body))["ErrorCode"] == 60010
        # An administrator that has logged in is a user like others.
        logged_in = await Phone(world, "administrator").login()
        assert (await logged_in.post(path, body))["ErrorCode"] in (10007, 60010)
        assert (await alice.say(TEXT))["ActionStatus"] == "OK" and im_of(world).sessions.of(world.key().app, "alice")
        del bobby
