"""Messages of the old IM: to groups and users, present or away; what room clients of 2018 can read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.endpoints.im import messages
from gateway.rooms.groups.waiting import MAX_READERS
from gateway.rooms.room import POLICIES
from tests.endpoints.im.phone import GROUPS, ROOM, TEXT, Phone, im_of, node, phones
from tests.endpoints.world import World


def custom(data: str, ext: str = "", desc: str = "") -> dict[str, Any]:
    return {"MsgType": "TIMCustomElem", "MsgContent": {"Data": data, "Desc": desc, "Ext": ext}}


def text(value: str) -> dict[str, Any]:
    return {"MsgType": "TIMTextElem", "MsgContent": {"Text": value}}


HEAD = '{"cmd":"CustomTextMsg","data":{"nickName":"a","headPic":""}}'
ALL_KINDS = [
    text("hi"),
    custom("d", "e", "f"),
    {"MsgType": "TIMFaceElem", "MsgContent": {"Index": 1, "Data": "[smile]"}},
    {
        "MsgType": "TIMImageElem",
        "MsgContent": {"UUID": "u", "ImageFormat": 1, "ImageInfoArray": [{"Type": 1, "URL": ""}]},
    },
    {"MsgType": "TIMSoundElem", "MsgContent": {"UUID": "u", "Second": 3, "Size": 9}},
    {"MsgType": "TIMFileElem", "MsgContent": {"UUID": "u", "FileName": "a.txt", "FileSize": 9}},
    {"MsgType": "TIMLocationElem", "MsgContent": {"Longitude": 1.5, "Latitude": -2.5, "Desc": "here"}},
]


@pytest.mark.quirk(13)
async def test_all_kinds_of_elements_come_as_they_were_sent_in_number_and_order() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        await bobby.poll()
        browser, phone = await world.enter("carol", 9), await world.login("dan", 9)
        assert (await alice.say(ALL_KINDS))["ActionStatus"] == "OK"
        assert (await bobby.poll())[0]["MsgBody"] == ALL_KINDS
        for to in ("bobby", "carol", "dan"):
            assert (await alice.write(to, 7, ALL_KINDS))["ActionStatus"] == "OK"
        (event,) = await bobby.listen()
        assert event["C2cMsgArray"][0]["MsgBody"] == ALL_KINDS
        assert (await browser.expect(t="c2c"))["body"] == ALL_KINDS
        assert (await phone.expect(cmd="c2c"))["messages"][0]["MsgBody"] == ALL_KINDS
        # `[..]` in a text: several elements, faces among them; the marks are written as entities by the page.
        split = [text("a &lt;b&gt; "), ALL_KINDS[2], text("&quot;c&quot;"), ALL_KINDS[2]]
        await alice.say(split, 2)
        assert (await bobby.poll())[0]["MsgBody"] == split


async def test_likes_and_red_packets_keep_their_priority_and_numbers_may_be_texts() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        await bobby.poll()
        for number, priority in enumerate(("LOVEMSG", "REDPACKET", "Low", None)):
            assert (await alice.say(number=str(number), MsgPriority=priority))["ActionStatus"] == "OK"  # type: ignore[arg-type]
        assert [entry["MsgPriority"] for entry in await bobby.poll()] == ["LOVEMSG", "REDPACKET", "COMMON", "COMMON"]
        # Math.round(Math.random() * 4294967296), as old clients draw it.
        assert (await alice.say(number=4294967296))["ActionStatus"] == "OK"
        assert (await alice.say(number=4294967297))["ErrorCode"] == 10004
        assert (await bobby.poll())[0]["MsgRandom"] == 4294967296


async def test_limits_have_the_numbers_of_the_im() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        assert (await alice.say([text("x" * 8899)]))["ErrorCode"] == 80002
        assert (await alice.say([text("é" * 4449)]))["ActionStatus"] == "OK"
        assert (await alice.write("bobby", 1, [text("x" * 12001)]))["ErrorCode"] == 80002
        assert (await alice.write("bobby", 1, [text("x" * 12000)]))["ActionStatus"] == "OK"
        answers = [await alice.say(number=100 + number) for number in range(60)]
        assert {answer["ErrorCode"] for answer in answers} == {0, 10023}
        assert (await bobby.say(number=1))["ActionStatus"] == "OK"
        assert (await bobby.say(number=1))["MsgSeq"] == (await bobby.say(number=1))["MsgSeq"], "a resend"


@pytest.mark.quirk(11, 34)
async def test_one_to_one_keeps_the_numbers_of_the_sender_and_names_it_by_its_id() -> None:
    async with node() as world:
        alice, bobby = await Phone(world, "alice").login(), await Phone(world, "bobby").login()
        await alice.post("v4/profile/portrait_set", {"ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": "Al"}]})
        assert await bobby.listen() == []
        assert (await alice.write("bobby", 99))["MsgTime"]
        (event,) = await bobby.listen()
        (entry,) = event["C2cMsgArray"]
        assert (event["Event"], entry["MsgSeq"], entry["MsgRandom"]) == (9, 4711, 99)
        assert (entry["From_Account"], entry["To_Account"], entry["MsgBody"]) == ("alice", "bobby", TEXT)
        assert entry["NoticeSeq"] == bobby.notice_seq and "From_AccountNick" not in entry


async def test_events_of_the_personal_poll_have_one_entry_each_so_that_the_last_number_is_remembered() -> None:
    async with node() as world:
        alice, bobby = await Phone(world, "alice").login(), await Phone(world, "bobby").login()
        for number in range(5):
            await alice.write("bobby", number)
        events = (await bobby.ask_own(0))["EventArray"]
        assert [len(event["C2cMsgArray"]) for event in events] == [1] * 5
        # A lost answer is given again; what the next poll says it has is gone.
        assert (await bobby.ask_own(0))["EventArray"] == events
        third = events[2]["C2cMsgArray"][0]["NoticeSeq"]
        assert (await bobby.ask_own(third))["EventArray"] == events[3:]
        assert (await bobby.ask_own(0))["EventArray"] == events[3:]
        last = events[4]["C2cMsgArray"][0]["NoticeSeq"]
        assert (await bobby.ask_own(last))["ErrorCode"] == 60008 and len(world.groups.waiting) == 0


async def test_a_message_that_its_reader_never_gets_over_does_not_stop_the_next() -> None:
    async with node() as world:
        alice = await Phone(world, "alice").login()
        await alice.write("bobby", 1)
        for _ in range(MAX_READERS):
            bobby = await Phone(world, "bobby").login()
            assert await bobby.heard() == [("alice", 1)]
        bobby = await Phone(world, "bobby").login()
        await alice.write("bobby", 2)
        assert await bobby.heard() == [("alice", 2)]


async def test_one_to_one_waits_for_who_is_away_and_comes_once_to_whoever_comes_first() -> None:
    async with node() as world:
        alice, browser, phone = (
            await Phone(world, "alice").login(),
            await world.enter("carol", 9),
            await world.login("dan"),
        )
        for to in ("bobby", "eve", "frank", "gus", "never"):
            for number in (1, 2):
                assert (await alice.write(to, number))["ActionStatus"] == "OK"
            assert (await browser.request("message", to=to, random=3, body=TEXT))["ok"]
            assert (await phone.command("send", to=to, random=4, body=TEXT))["code"] == 0
        said = [("alice", 1), ("alice", 2), ("carol", 3), ("dan", 4)]
        bobby = await Phone(world, "bobby").login()
        assert await bobby.heard() == said and await bobby.heard() == []
        eve, frank, gus = await world.enter("eve", 9), await world.login("frank", 9), await world.login("gus", None)
        assert [(m["from"], m["random"]) for m in [await eve.expect(t="c2c") for _ in said]] == said
        for client in (frank, gus):
            entries = [(await client.expect(cmd="c2c"))["messages"][0] for _ in said]
            assert [(entry["From_Account"], entry["MsgRandom"]) for entry in entries] == said
        for user in ("bobby", "eve", "frank", "gus"):
            late = await Phone(world, user).login()
            assert await late.heard() == []
        assert (await alice.write("a b", 1))["ErrorCode"] == 10004


async def test_who_is_there_by_two_ways_hears_it_by_both_and_nobody_later() -> None:
    async with node() as world:
        alice, bobby = await Phone(world, "alice").login(), await Phone(world, "bobby").login()
        browser = await world.enter("bobby", 9)
        await alice.write("bobby", 1)
        assert (await browser.expect(t="c2c"))["random"] == 1
        assert await bobby.heard() == [("alice", 1)]
        # The browser has seen this one, so it does not wait for its next entry when the phone has gone.
        await alice.write("bobby", 2)
        await browser.expect(t="c2c", random=2)
        await browser.close()
        world.clock.ahead += 200
        again = await world.enter("bobby", 9)
        await asyncio.sleep(0.05)
        assert not [m for m in again.messages if m["t"] == "c2c"]


async def test_getmsg_fetches_what_waits_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    async with node() as world:
        alice, bobby = await Phone(world, "alice").login(), await Phone(world, "bobby").login()
        monkeypatch.setattr(messages, "FETCHED", 10)
        for number in range(30):
            assert (await alice.write("bobby", number))["ActionStatus"] == "OK"
        cookie, flag, found = "", 0, []
        for _ in range(9):
            answer = await bobby.post("v4/openim/getmsg", {"Cookie": cookie, "SyncFlag": flag})
            found += [entry["MsgRandom"] for entry in answer["MsgList"]]
            cookie, flag = answer["Cookie"], answer["SyncFlag"]
            if flag == 2:
                break
        assert found == list(range(30)) and flag == 2 and isinstance(cookie, str)
        assert (await bobby.post("v4/openim/getmsg", {"Cookie": cookie, "SyncFlag": 0}))["MsgList"] == []
        assert (await bobby.ask_own(0))["ErrorCode"] == 60008
        assert (await bobby.post("v4/openim/getmsg", {"Cookie": ["x"]}))["ErrorCode"] == 10004


async def test_reading_a_message_is_told_to_nobody() -> None:
    """The mini program's library throws at event 10 unless its page asked for it, and polls no more."""
    async with node() as world:
        alice, bobby = await Phone(world, "alice").login(), await Phone(world, "bobby").login()
        await alice.write("bobby", 1)
        await bobby.heard()
        read = {"C2CMsgReaded": {"Cookie": "", "C2CMsgReadedItem": [{"To_Account": "alice", "LastedMsgTime": 1}]}}
        assert (await bobby.post("v4/openim/msgreaded", read))["ActionStatus"] == "OK"
        assert await alice.listen() == []


# --- rooms of RoomService


async def room_of(world: World, kind: str) -> tuple[Phone, Phone]:
    world.directory.create_room(world.key(55), creator="alice", policy=POLICIES[kind], now=world.clock())
    alice, bobby = await phones(world, "alice", "bobby")
    await bobby.poll()
    return alice, bobby


@pytest.mark.quirk(1, 13)
@pytest.mark.parametrize("kind", ["double_room", "multi_room", "live_room"])
async def test_groups_of_room_service_carry_the_form_of_two_elements_only(kind: str) -> None:
    async with node() as world:
        alice, bobby = await room_of(world, kind)
        face = ALL_KINDS[2]
        pair = [custom(HEAD), text("hello }} there")]
        bodies = [
            pair,
            [custom(HEAD), text("a "), face, text(" b")],
            [text("plain "), face],
            [custom("from the page", "TEXT", '{"nickName":"Al"}')],
            [custom("not JSON")],
            [custom('{"cmd":"CustomTextMsg","data":null}}'), text("x")],
            [custom('{"cmd":"CustomTextMsg","data":{"nickName":"a<br/>b","headPic":["x"]}}'), text("x")],
            [custom('{"a":{"b":NaN}}'), text("x")],
            [text(HEAD), text("x")],
            [custom(HEAD), ALL_KINDS[3]],
            [ALL_KINDS[3]],
        ]
        for number, body in enumerate(bodies):
            assert (await alice.say(body, number))["ActionStatus"] == "OK"
        got = [entry["MsgBody"] for entry in await bobby.poll() if entry["Event"] == 3]
        assert got[:2] == bodies[:2]
        for body, said in zip(got[2:], ("plain [smile]", "from the page", HEAD + "x"), strict=True):
            first, second = body
            data = first["MsgContent"]["Data"]
            assert json.loads(data)["data"]["nickName"] == "alice" and data.find("}}") == len(data) - 2
            assert second["MsgContent"]["Text"] == said


@pytest.mark.quirk(1)
@pytest.mark.parametrize("name", ["a }} b", "}}", "{{}}", "a<br/>b", "&nbsp;", "<b>"])
async def test_any_name_is_told_so_that_the_code_of_rooms_reads_it(name: str) -> None:
    data = {"nickName": name, "headPic": "http://a/?b=1&c=}}"}
    said = [custom(json.dumps({"cmd": "CustomTextMsg", "data": data})), text("hello }} there")]
    async with node() as world:
        alice, bobby = await room_of(world, "multi_room")
        await alice.say(said)
        ((head, words),) = (entry["MsgBody"] for entry in await bobby.poll() if entry["Event"] == 3)
        joined = (head["MsgContent"]["Data"] + words["MsgContent"]["Text"]).replace("<br/>", "\n")
        first, *rest = joined.split("}}")
        assert json.loads(first + "}}") == {"cmd": "CustomTextMsg", "data": data}
        assert "}}".join(rest) == "hello }} there"


@pytest.mark.quirk(1)
async def test_a_whiteboard_goes_to_live_rooms_in_a_form_that_their_code_gets_over() -> None:
    parsed = custom('{"op":{"a":1}}', "TXWhiteBoardExt")
    raw = custom('[1,{"a":{"b":2}},3]', "TXWhiteBoardExt", '{"nickName":"a"}')
    async with node() as world:
        alice, bobby = await room_of(world, "live_room")
        await alice.say([parsed], 1)
        await alice.say([raw], 2)
        as_it_is, behind_a_head = (entry["MsgBody"] for entry in await bobby.poll())
        assert as_it_is == [parsed]
        head, board = behind_a_head
        assert board == raw and json.loads(head["MsgContent"]["Data"]) == {"cmd": "sketchpad", "data": {}}
        assert head["MsgContent"]["Ext"] == ""
    async with node() as world:
        alice, bobby = await room_of(world, "multi_room")
        await alice.say([raw])
        assert await bobby.poll() == [], "its code would show the board as what somebody said"
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        await bobby.poll()
        await alice.say([raw])
        assert (await bobby.poll())[0]["MsgBody"] == [raw], "the page of webrtc rooms reads it as it is"


@pytest.mark.quirk(1)
async def test_notices_in_groups_of_room_service_are_json_and_tips_are_the_systems() -> None:
    async with node() as world:
        alice, bobby = await room_of(world, "live_room")
        admin, path = Phone(world, "administrator"), f"{GROUPS}/send_group_system_notification"
        for content in ("plain", "{", '{"cmd":"notifyPusherChange","data":""}', "NaN", "null"):
            assert (await admin.post(path, {"GroupId": ROOM, "Content": content}))["ActionStatus"] == "OK"
        entries = await bobby.poll()
        assert [entry["MsgBody"]["UserDefinedField"] for entry in entries] == [
            '{"cmd":"notifyPusherChange","data":""}',
            "null",
        ]
        assert all(entry["GroupInfo"] and entry["From_Account"] for entry in entries)
        await alice.quit()
        (tip,) = await bobby.poll()
        assert tip["Event"] == 4 and tip["From_Account"] == "@TIM#SYSTEM" and "From_AccountNick" not in tip["GroupInfo"]


@pytest.mark.quirk(1)
async def test_a_live_rooms_user_gets_json_only_and_another_client_of_it_the_rest() -> None:
    linkmic = '{"cmd":"linkmic","data":{"type":"request","roomID":"55"}}'
    sketchpad = '{"cmd":"sketchpad","data":{"userID":"a","msg":"{\\"action\\":\\"currentPPT\\"}"}}'
    bad = [[text("hi")], [text(linkmic)], [custom('{"cmd":"linkmic"}')], [custom(linkmic), text("x")], [ALL_KINDS[3]]]
    async with node() as world:
        alice, bobby = await room_of(world, "live_room")
        await alice.write("bobby", 1, [custom(linkmic)])
        for number, body in enumerate(bad):
            assert (await alice.write("bobby", 10 + number, body))["ActionStatus"] == "OK"
        await alice.write("bobby", 2, [custom(sketchpad)])
        assert await bobby.heard() == [("alice", 1), ("alice", 2)]
        assert await bobby.heard() == []
        await bobby.quit()
        plain = await Phone(world, "bobby").login()
        assert [number for _, number in await plain.heard()] == [10, 11, 12, 13, 14]


@pytest.mark.quirk(1, 34)
async def test_room_code_is_known_by_its_first_steps_before_it_has_joined_a_room() -> None:
    async with node() as world:
        im_of(world).uses_rooms = lambda app, user: user == "bobby"
        alice = await Phone(world, "alice").login()
        await alice.write("bobby", 1, [text("hi")])
        await alice.write("bobby", 2, [custom("{}")])
        bobby = await Phone(world, "bobby").login()
        # This comes between its login and its first poll.
        await bobby.post("v4/profile/portrait_set", {"ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": "bobby"}]})
        assert await bobby.heard() == [("alice", 2)]
        await bobby.post("v4/profile/portrait_set", {"ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": "Bob"}]})
        assert await bobby.heard() == [("alice", 1)]
