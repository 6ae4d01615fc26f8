"""The two long polls of the old IM: what they hold, what they give, once and again."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.endpoints.im import group_keys
from tests.endpoints.im.phone import GROUPS, HOLD, POLL, ROOM, TEXT, Phone, hold, im_of, node, phones, soon
from tests.endpoints.test_messages import until


async def elapsed(what: asyncio.Task[object]) -> float:
    start = asyncio.get_running_loop().time()
    await what
    return asyncio.get_running_loop().time() - start


@pytest.mark.quirk(2, 17)
async def test_bodies_are_json_whatever_their_type_and_slashes_may_repeat() -> None:
    async with node() as world:
        alice = await Phone(world, "alice").login()
        told = await alice.post("v4//openim//getlongpollingid", {})
        assert HOLD < told["Timeout"] and told["LongPollingId"]
        async with world.client.options("/v4/openim/login") as answer:
            assert answer.status == 204 and "Content-Type" in answer.headers["Access-Control-Allow-Headers"]
        # WebRTCRoom.js and the mini program say application/json; nobody needs a type at all.
        for kind in ({"Content-Type": "application/json"}, {"Content-Type": "text/plain"}, {}):
            url = f"/v4/openim/getlongpollingid?{alice.identity}&sdkappid=1400000001"
            async with world.client.post(url, data=b"{}", headers=kind) as answer:
                assert (await answer.json(content_type=None))["ActionStatus"] == "OK"


@pytest.mark.quirk(12)
async def test_messages_come_to_all_the_sender_too_oldest_first() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        await bobby.poll()
        (pending,) = await hold(world, bobby.poll())
        assert (await alice.say())["MsgSeq"] == 1
        (entry,) = await soon(pending)
        assert (entry["Event"], entry["From_Account"], entry["MsgBody"]) == (3, "alice", TEXT)
        assert (entry["ToGroupId"], entry["MsgRandom"], entry["GroupInfo"]["GroupName"]) == (ROOM, 1, ROOM)
        # What is said while nobody polls waits.
        await alice.say(number=2)
        await alice.say(number=3)
        assert [entry["MsgSeq"] for entry in await alice.poll()] == [1, 2, 3]
        assert await alice.poll() == []


@pytest.mark.quirk(3, 4, 5)
async def test_quiet_polls_are_held_end_before_what_clients_were_told_and_carry_all_three_values() -> None:
    async with node() as world:
        (alice,) = await phones(world, "alice")
        times = im_of(world).times
        assert type(times)().hold_s < 60 * 0.9 and type(times)().told_s == 60
        quiet = asyncio.create_task(alice.ask(alice.key, 0))
        assert await elapsed(quiet) >= HOLD * 0.9
        assert set(quiet.result()) >= {"Key", "NextSeq", "HoldTime"} and "RspMsgList" not in quiet.result()
        # The first poll asks for 60, and after a lost getlongpollingid for null.
        for timeout in (60, None, "60", -1, True):
            own = asyncio.create_task(alice.ask_own(0, Timeout=timeout))
            assert await elapsed(own) >= HOLD * 0.9 and own.result()["ErrorCode"] == 60008
        (own,) = await hold(world, alice.ask_own(0, Timeout=1))
        assert (await soon(own))["ErrorCode"] == 60008, "who asks for a second waits no longer"


@pytest.mark.quirk(8, 14)
async def test_a_repeated_join_gives_a_fresh_key_and_nothing_twice_or_never() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        (loop,) = await hold(world, bobby.ask(bobby.key, bobby.start))
        old, start = bobby.key, bobby.start
        await bobby.join()
        assert bobby.key != old
        # Until the new key is used the old one goes on: the answer to the join may never arrive.
        await alice.say(number=1)
        answer = await soon(loop)
        assert [entry["MsgSeq"] for entry in answer["RspMsgList"]] == [1]
        await alice.say(number=2)
        # Now both loops run. What the old one has not got comes by the new one, and the old one holds.
        polls = await asyncio.gather(bobby.poll(), bobby.ask(old, answer["NextSeq"]))
        assert [entry["MsgSeq"] for entry in polls[0]] == [2] and "RspMsgList" not in polls[1]
        for number in (3, 4):
            await alice.say(number=number)
            polls = await asyncio.gather(bobby.poll(), bobby.ask(old, polls[1]["NextSeq"]))
            assert [entry["MsgSeq"] for entry in polls[0]] == [number] and "RspMsgList" not in polls[1]
        assert start < bobby.start


async def test_what_a_lost_answer_held_is_given_again_until_the_client_says_it_has_it() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        await bobby.poll()
        await alice.say(number=1)
        await alice.say(number=2)
        first = await bobby.ask(bobby.key, bobby.start)
        again = await bobby.ask(bobby.key, bobby.start)
        assert first == again and [entry["MsgSeq"] for entry in first["RspMsgList"]] == [1, 2]
        await alice.say(number=3)
        assert [e["MsgSeq"] for e in (await bobby.ask(bobby.key, bobby.start))["RspMsgList"]] == [1, 2, 3]
        assert [e["MsgSeq"] for e in (await bobby.ask(bobby.key, first["NextSeq"]))["RspMsgList"]] == [3]
        # The first poll after a join asks for 0, and so does its repetition.
        carol = (await phones(world, "carol"))[0]
        await alice.say(number=4)
        for _ in range(2):
            assert [e["MsgSeq"] for e in (await carol.ask(carol.key, 0))["RspMsgList"]] == [4]


async def test_two_polls_at_once_get_each_message_once_the_newer_first() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        await bobby.poll()
        older, newer = await hold(world, *(bobby.ask(bobby.key, bobby.start) for _ in range(2)))
        await alice.say()
        # The older one's client may be gone without a word: it takes nothing from the newer.
        answer = await soon(newer)
        assert [entry["MsgSeq"] for entry in answer["RspMsgList"]] == [1] and not older.done()
        # More than three are held shortly only.
        polls = await hold(world, *(bobby.ask(bobby.key, answer["NextSeq"]) for _ in range(5)))
        done, held = await asyncio.wait(polls, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert all("RspMsgList" not in poll.result() for poll in done) and len(held) >= 3
        await bobby.quit()
        assert not any("RspMsgList" in answer for answer in await soon(asyncio.gather(older, *held)))


@pytest.mark.quirk(6)
async def test_quitting_answers_the_poll_at_once_and_the_old_key_stays_empty() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        (pending,) = await hold(world, alice.poll())
        await alice.quit()
        assert await soon(pending) == []
        await bobby.say()
        quiet = asyncio.create_task(alice.ask(alice.key, alice.start))
        assert await elapsed(quiet) >= HOLD * 0.9 and "RspMsgList" not in quiet.result()
        assert (await alice.say())["ErrorCode"] == 10007
        old = alice.key
        await alice.join("56")
        assert (await alice.say(group="56", number=2))["ActionStatus"] == "OK"
        polls = await asyncio.gather(alice.said(), alice.ask(old, 1))
        assert polls[0] == [("alice", "hello")] and "RspMsgList" not in polls[1]


@pytest.mark.quirk(7)
async def test_after_a_group_has_ended_its_polls_are_held_and_empty() -> None:
    async with node() as world:
        alice, bobby = await Phone(world, "alice").login(), await Phone(world, "bobby").login()
        await alice.create()
        await bobby.join()
        (pending,) = await hold(world, bobby.poll())
        assert (await alice.post(f"{GROUPS}/destroy_group", {"GroupId": ROOM}))["ActionStatus"] == "OK"
        (entry,) = await soon(pending)
        assert entry["Event"] == 5 and entry["MsgBody"]["ReportType"] == 5
        assert entry["From_Account"] == "@TIM#SYSTEM" and entry["GroupInfo"] and entry["ToGroupId"] == ROOM
        for _ in range(2):
            quiet = asyncio.create_task(bobby.poll())
            assert await elapsed(quiet) >= HOLD * 0.9 and quiet.result() == []


@pytest.mark.quirk(16)
async def test_a_device_holds_its_two_polls_and_asks_for_other_things_meanwhile() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        await bobby.poll()
        own, group = await hold(world, bobby.listen(), bobby.poll())
        assert (await bobby.post("v4/openim/authkey", {}))["IpList"] == []
        await alice.write("bobby", 7)
        await alice.say()
        assert [event["Event"] for event in await soon(own)] == [9]
        assert [entry["Event"] for entry in await soon(group)] == [3]


async def test_a_poll_whose_client_is_gone_takes_nothing() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        await bobby.poll()
        reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
        body = json.dumps({"StartSeq": bobby.start, "HoldTime": 90, "Key": bobby.key}).encode()
        head = f"POST /{POLL}?sdkappid=1400000001 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await until(lambda: im_of(world).held == 1)
        (pending,) = await hold(world, bobby.ask(bobby.key, bobby.start))
        writer.transport.abort()
        await alice.say()
        assert [entry["MsgSeq"] for entry in (await soon(pending))["RspMsgList"]] == [1]
        del reader


async def test_more_than_a_batch_comes_in_several_and_what_nobody_fetches_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_keys, "BATCH", 4)
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        await bobby.poll()
        for number in range(10):
            assert (await alice.say(number=number))["ActionStatus"] == "OK"
        got = [[entry["MsgSeq"] for entry in await bobby.poll()] for _ in range(3)]
        assert got == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
        key = im_of(world).delivery.keys.find(bobby.key)
        assert key is not None
        for _ in range(group_keys.QUEUE + 50):
            key.put(b"{}")
        assert len(key._entries) == group_keys.QUEUE


async def test_held_polls_end_well_when_the_server_stops() -> None:
    async with node() as world:
        (alice,) = await phones(world, "alice")
        asked = ({"StartSeq": 0, "HoldTime": 90, "Key": key} for key in (alice.key, "unknown"))
        polls = await hold(world, *(alice.post(POLL, body, identity="") for body in asked))
        (own,) = await hold(world, alice.ask_own(0))
        im_of(world).goodbye()
        for answer in await soon(asyncio.gather(*polls)):
            assert answer["ActionStatus"] == "OK" and answer["Key"] and "RspMsgList" not in answer
        assert (await soon(own))["ErrorCode"] == 60008
        # Old clients poll again at once: what still comes is not held long either.
        late = await soon(alice.ask(alice.key, 0))
        assert "RspMsgList" not in late
