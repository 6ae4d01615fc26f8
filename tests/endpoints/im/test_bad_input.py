"""Whatever comes: an answer of the IM with its numbers, never a 500, and never somebody else's data."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from tests.endpoints.im.phone import GROUPS, HOLD, POLL, ROOM, TEXT, Phone, im_of, node, phones, soon

COMMANDS = [
    "v4/openim/login",
    "v4/openim/sendmsg",
    "v4/openim/getmsg",
    "v4/openim/msgreaded",
    "v4/openim/querystate",
    "v4/openim/getlongpollingid",
    "v4/openim/jsonvideoapp",
    "v4/profile/portrait_get",
    "v4/profile/portrait_set",
    "v4/im_open_login_svc/account_import",
    *(f"{GROUPS}/{name}_group" for name in ("create", "apply_join", "quit", "destroy")),
    f"{GROUPS}/send_group_msg",
    f"{GROUPS}/send_group_system_notification",
    f"{GROUPS}/get_joined_group_list",
    "v1/group_open_http_noauth_svc/apply_join_group",
    "v4/openpic/pic_up",
    "v4/unknown/thing",
    "v1/openim/unknown",
]
FIELDS = [
    *("GroupId", "To_Account", "From_Account", "MsgBody", "Random", "MsgRandom", "MsgSeq", "ProfileItem", "Content"),
    *("ReqHead", "ReqBody", "Type", "Name", "Owner_Account", "Cookie", "Limit", "Offset", "Member_Account", "TagList"),
    *("Identifier", "Nick", "ToMembers_Account", "MsgPriority", "Timeout", "StartSeq", "HoldTime", "Key", "Surplus"),
]
VALUES: list[object] = [
    *(None, -1, 0, 1.5, True, "", "x", "\ud800", [], {}, [[]], "55", 55, 1 << 70, "9" * 5000, TEXT, [None], {"a": []}),
    *([{"Tag": "Tag_Profile_IM_Nick", "Value": 7}], {"NoticeSeq": []}, {"NoticeSeq": "1"}, {"GroupId": "55"}),
]
JUNK = (b"", b"[", b"\xff", b"[]", b"[" * 5000, b'"a"', b"null", b"\x00" * 100, b'{"a":NaN}', b"\xef\xbb\xbf{}")


@pytest.mark.parametrize("who", ["alice", "administrator", ""])
async def test_any_body_of_any_command_has_an_answer_of_the_im(who: str) -> None:
    draw = random.Random(7)
    async with node() as world:
        phone = Phone(world, who or "x")
        if who == "alice":
            await phone.login()
        elif not who:
            phone.identity = ""
        for path in COMMANDS:
            for junk in JUNK:
                assert "ErrorInfo" in json.dumps(await phone.post(path, junk))
            for _ in range(25):
                body = {name: draw.choice(VALUES) for name in draw.sample(FIELDS, 6)}
                answer = await phone.post(path, body)
                assert answer.get("RspHead") or answer["ActionStatus"] in ("OK", "FAIL")
            if path == "v4/openim/login" and who == "alice":
                phone.identity = Phone(world, who).identity
                await phone.login()


async def test_polls_with_any_body_end_as_polls_do() -> None:
    draw = random.Random(8)
    async with node() as world:
        im_of(world).times = type(im_of(world).times)(hold_s=0.02, error_s=0.01)
        (alice,) = await phones(world, "alice")
        for _ in range(60):
            body = {name: draw.choice(VALUES) for name in draw.sample(FIELDS, 6)}
            for path in ("v4/openim/longpolling", POLL):
                fields = {**body, "Key": alice.key} if draw.random() < 0.5 else body
                answer = await alice.post(path, fields)
                assert answer["ActionStatus"] == "OK" or answer["ErrorCode"] in (60008, 10004)
        for junk in JUNK:
            for path in ("v4/openim/longpolling", POLL):
                assert (await alice.post(path, junk))["ErrorCode"] in (60008, 10004)


async def test_a_huge_body_is_too_large_and_a_huge_query_is_no_login() -> None:
    async with node() as world:
        alice = await Phone(world, "alice").login()
        assert (await alice.post("v4/openim/sendmsg", b'{"a":"' + b"x" * 300_000 + b'"}'))["ErrorCode"] == 80002
        assert (await alice.post("v4/openim/authkey", {}, identity="a2=" + "f" * 6000))["ErrorCode"] == 70003
        assert (await alice.post("v4/openim/authkey", {}, identity="a2=\u00e9&tinyid=%00"))["ErrorCode"] == 70003


async def test_the_same_name_twice_or_a_command_of_another_service_is_no_way_in() -> None:
    async with node() as world:
        alice, bobby = await Phone(world, "alice").login(), await Phone(world, "bobby").login()
        # A login's secret decides who somebody is, not what stands beside it.
        mixed = f"a2={alice.a2}&tinyid=1&identifier=bobby&usersig={world.sig('alice')}&a2={bobby.a2}"
        await alice.write("carol", 1)
        await alice.post("v4/openim/sendmsg", {"To_Account": "carol", "MsgRandom": 2, "MsgBody": TEXT}, identity=mixed)
        carol = await Phone(world, "carol").login()
        assert {sender for sender, _ in await carol.heard()} == {"alice"}
        for path in (f"{GROUPS}/login", "v4/profile/sendmsg", "v4/openim/create_group"):
            assert (await alice.post(path, {}))["ErrorCode"] == 10004


async def test_a_foreign_key_reads_its_own_group_only_and_guesses_read_nothing() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        carol = (await phones(world, "carol", group="56"))[0]
        await alice.say()
        assert await carol.said() == []
        for key in ("0" * 32, alice.key[:-1], alice.key.upper(), "x" * 128):
            answer = await carol.ask(key, 0)
            assert "RspMsgList" not in answer
        for key in ("", "x" * 129, "\u00e9", 7, None):
            answer = await carol.post(POLL, {"StartSeq": 0, "Key": key}, identity="")
            assert (answer["ActionStatus"], answer["ErrorCode"]) == ("FAIL", 10004)
        # Who is in another group neither writes into this one nor quits it for somebody.
        assert (await carol.say())["ErrorCode"] == 10007
        await carol.quit()
        assert set(world.groups.members(world.key(55))) == {"alice", "bobby"}
        assert await bobby.said() == [("alice", "hello")]


async def test_one_who_polls_wildly_costs_the_others_nothing() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        await bobby.poll()
        # The same numbers again and again: given a few times at once, then as late as errors are.
        await alice.say(number=1)
        for _ in range(6):
            assert [e["MsgSeq"] for e in (await bobby.ask(bobby.key, bobby.start))["RspMsgList"]] == [1]
        key = im_of(world).delivery.keys.find(bobby.key)
        assert key is not None and key.repeats == 5
        await alice.write("bobby", 1)
        for _ in range(6):
            assert (await bobby.ask_own(0))["EventArray"]
        session = im_of(world).sessions.of(world.key().app, "bobby")
        assert session is not None and session.repeats == 5
        # Numbers from nowhere acknowledge what was given, and no more than that.
        key.put(b"{}")
        far = await bobby.post(POLL, {"StartSeq": (1 << 53) - 2, "Key": bobby.key}, identity="")
        assert far["RspMsgList"] == [{}]
        polls = [asyncio.create_task(alice.ask(alice.key, alice.start)) for _ in range(20)]
        await alice.say(number=2)
        assert sum(len(poll.get("RspMsgList", ())) for poll in await soon(asyncio.gather(*polls))) >= 1
        assert HOLD > 0 and (await alice.say(number=3))["ActionStatus"] == "OK"


async def test_many_groups_of_one_user_end_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.rooms.groups import members

    monkeypatch.setattr(members, "MAX_OWNED", 3)
    async with node() as world:
        alice = await Phone(world, "alice").login()
        answers = [(await alice.create(str(number)))["ErrorCode"] for number in range(100, 106)]
        assert answers == [0, 0, 0, 10023, 10023, 10023]
        for number in range(200, 260):
            await alice.join(str(number))
        assert len(world.groups) <= 5 and ROOM
