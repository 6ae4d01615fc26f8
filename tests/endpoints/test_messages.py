"""Messages over the two WebSocket faces: one order for all, echoes, resends, gaps, coming back, limits, abuse."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from pathlib import Path
from typing import Any

import pytest

from gateway.base.config import MessagesConfig
from gateway.base.errors import NoSuchMember
from gateway.endpoints.entry import socket as shell
from gateway.rooms.room import POLICIES
from gateway.services.store import Store
from gateway.wire.chat import Range
from tests.endpoints.world import APP, Client, World


def text(value: str) -> list[dict[str, Any]]:
    return [{"MsgType": "TIMTextElem", "MsgContent": {"Text": value}}]


async def say(client: Client, value: str, number: int, **fields: Any) -> dict[str, Any]:
    return await client.request("message", random=number, body=text(value), **fields)


async def send(phone: Client, value: str, number: int, **fields: Any) -> dict[str, Any]:
    return await phone.command("send", random=number, body=text(value), **fields)


def messages(client: Client) -> list[dict[str, Any]]:
    return [message for message in client.messages if message.get("t") == "message"]


def entries(client: Client) -> list[dict[str, Any]]:
    return [entry for frame in client.messages if frame.get("cmd") == "message" for entry in frame["messages"]]


def seqs(client: Client) -> list[int]:
    return [message["seq"] for message in messages(client)] or [entry["MsgSeq"] for entry in entries(client)]


async def until(condition: Any, timeout: float = 5.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def resuming(world: World, user: str) -> None:
    member = world.directory.member(APP.sdk_app_id, user)
    assert member is not None
    await until(lambda: member.resuming)


async def test_everybody_sees_the_same_in_one_order() -> None:
    async with World() as world:
        alice, bob = await world.enter("alice", nick="Al"), await world.enter("bob")
        phone, tablet = await world.login("phone"), await world.login("tablet", nickName="Tab")
        assert alice.entered["chat"]["messages"] == [] and phone.entered["seq"] == 0

        async def talk(who: Client, speak: Any) -> None:
            for number in range(25):
                answer = await speak(who, f"{number}", number)
                assert answer.get("ok") or answer["code"] == 0, answer

        await asyncio.gather(talk(alice, say), talk(bob, say), talk(phone, send), talk(tablet, send))
        everybody = (alice, bob, phone, tablet)
        await until(lambda: all(len(seqs(client)) == 100 for client in everybody))
        assert all(seqs(client) == list(range(1, 101)) for client in everybody)
        said = [(m["from"], m["random"], m["body"]) for m in messages(alice)]
        assert said == [(m["from"], m["random"], m["body"]) for m in messages(bob)]
        for client in (phone, tablet):
            assert said == [(e["From_Account"], e["MsgRandom"], e["MsgBody"]) for e in entries(client)]
        assert {m["nick"] for m in messages(bob)} == {"Al", "", "Tab"}
        first = entries(phone)[0]
        assert (
            first["ToGroupId"] == "1001" and first["Event"] == 3 and first["MsgTime"] // 1000 == first["MsgTimeStamp"]
        )
        history = await bob.request("history", after=0, count=100)
        assert history["messages"] == messages(alice)
        assert (await phone.command("history", after=0, count=100))["messages"] == entries(tablet)


async def test_the_answer_has_number_and_time_and_a_resend_is_shown_once() -> None:
    async with World() as world:
        alice, phone = await world.enter("alice"), await world.login("phone")
        first = await say(alice, "one", 7)
        assert first["seq"] == 1 and abs(first["time"] / 1000 - world.wall()) < 5
        again = await say(alice, "one", 7)
        assert (again["seq"], again["time"]) == (1, first["time"])
        sent = await send(phone, "two", 7)
        assert (sent["seq"], (await send(phone, "two", 7))["time"]) == (2, sent["time"])
        await asyncio.sleep(0.05)
        assert seqs(alice) == seqs(phone) == [1, 2]


async def test_a_newcomer_gets_the_last_fifty() -> None:
    async with World() as world:
        alice, bob = await world.enter("alice"), await world.enter("bob")
        for number in range(30):
            await say(alice, f"{number}", number)
            await say(bob, f"{number}", number)
        carol, phone = await world.enter("carol"), await world.login("phone")
        chat = carol.entered["chat"]
        assert (chat["seq"], chat["first"]) == (60, 1) and chat["epoch"] == phone.entered["epoch"]
        assert [message["seq"] for message in chat["messages"]] == list(range(11, 61))
        await until(lambda: len(entries(phone)) == 50)
        assert [entry["MsgSeq"] for entry in entries(phone)] == list(range(11, 61))
        events = [message["tag"] for message in phone.messages if message["cmd"] == "event"]
        assert events == ["login_event", "join_group_event"]
        order = [message["cmd"] for message in phone.messages]
        assert order[:4] == ["event", "event", "userlist", "message"]


async def test_the_events_of_the_component_have_its_shapes() -> None:
    async with World() as world:
        phone = await world.login("phone", nickName="Ph")
        login = await phone.expect(cmd="event", tag="login_event")
        assert login["code"] == 0 and login["detail"] == {
            "ActionStatus": "OK",
            "ErrorCode": 0,
            "ErrorInfo": "login success",
            "identifierNick": "Ph",
            "headurl": "",
        }
        joined = (await phone.expect(cmd="event", tag="join_group_event"))["detail"]
        assert len(joined.pop("LongPollingKey")) == 32
        assert joined == {
            "ActionStatus": "OK",
            "ErrorCode": 0,
            "ErrorInfo": "",
            "JoinedStatus": "JoinedSuccess",
            "GroupId": "1001",
        }


async def test_who_comes_back_gets_what_it_missed() -> None:
    async with World() as world:
        alice, bob = await world.enter("alice"), await world.enter("bob")
        phone = await world.login("phone")
        await say(alice, "before", 1)
        await bob.expect(t="message")
        bob.abort()
        phone.abort()
        await resuming(world, "bob")
        await resuming(world, "phone")
        for number in range(2, 5):
            await say(alice, "meanwhile", number)
        epoch = bob.entered["chat"]["epoch"]

        back = await world.connect()
        fields = {"v": 1, "userId": "bob", "roomId": 1001, "resume": bob.entered["resume"]}
        entered = await back.request("enter", **fields, chat={"epoch": epoch, "seq": 1})
        assert entered["resumed"] and [m["seq"] for m in entered["chat"]["messages"]] == [2, 3, 4]
        phone = await world.login("phone", lastSeq=2, epoch=epoch)
        await until(lambda: len(entries(phone)) == 2)
        assert seqs(phone) == [3, 4] and phone.entered["seq"] == 4
        await say(alice, "after", 9)
        assert (await back.expect(t="message"))["seq"] == 5
        # Without a position a resuming client gets none; one of another epoch is none.
        back.abort()
        await resuming(world, "bob")
        third = await world.connect()
        entered = await third.request("enter", **{**fields, "resume": entered["resume"]})
        assert entered["chat"]["messages"] == [] and entered["chat"]["seq"] == 5
        third.abort()
        await resuming(world, "bob")
        fourth = await world.connect()
        entered = await fourth.request(
            "enter", **{**fields, "resume": entered["resume"]}, chat={"epoch": epoch - 1, "seq": 3}
        )
        assert len(entered["chat"]["messages"]) == 5
        with_tickets = await world.enter("carol", chat={"epoch": epoch, "seq": 4})
        assert [m["seq"] for m in with_tickets.entered["chat"]["messages"]] == [5]


class Steady:
    """A client as it should be: it sends again what was not answered, comes back, and orders by seq."""

    def __init__(self, world: World, user: str, im: bool) -> None:
        self.world, self.user, self.im = world, user, im
        self.seen: dict[int, tuple[str, str]] = {}
        self.epoch: int | None = None
        self.client: Client

    async def connect(self) -> None:
        last = max((seq for seq in range(len(self.seen) + 1) if set(range(1, seq + 1)) <= self.seen.keys()), default=0)
        if self.im:
            position = {} if self.epoch is None else {"lastSeq": last, "epoch": self.epoch}
            self.client = await self.world.login(self.user, **position)
            self.epoch = self.client.entered["epoch"]
            return
        chat = {} if self.epoch is None else {"chat": {"epoch": self.epoch, "seq": last}}
        self.client = await self.world.enter(self.user, **chat)
        self.epoch = self.client.entered["chat"]["epoch"]
        self.client.messages += self.client.entered["chat"]["messages"]

    def take(self) -> None:
        for m in messages(self.client):
            self.seen[m["seq"]] = (m["from"], m["body"][0]["MsgContent"]["Text"])
        for e in entries(self.client):
            self.seen[e["MsgSeq"]] = (e["From_Account"], e["MsgBody"][0]["MsgContent"]["Text"])
        self.client.messages.clear()

    async def talk(self, count: int, lost_at: tuple[int, ...]) -> None:
        for number in range(count):
            lose = number in lost_at
            while True:
                request = (send if self.im else say)(self.client, f"{number}", number, timeout=0.5)
                asked = asyncio.ensure_future(request)
                if lose:
                    lose = False
                    await asyncio.sleep(0)  # the request is under way, its answer perhaps too
                    self.take()
                    self.client.abort()
                try:
                    answer = await asked
                except (TimeoutError, ConnectionError):
                    self.take()
                    await self.connect()
                    continue
                if answer.get("ok") or answer.get("code") == 0:
                    break
                assert (answer.get("error") or answer)["name"] == "too_many"
                self.world.clock.ahead += 0.05
            self.take()


async def test_who_loses_its_connection_again_and_again_ends_with_the_same_as_all() -> None:
    count = 250
    async with World() as world:
        people = [Steady(world, "alice", False), Steady(world, "bob", False)]
        people += [Steady(world, "phone", True), Steady(world, "tablet", True)]
        for one in people:
            await one.connect()
        lost = ((40, 41, 120, 200), (), (80, 160), ())
        await asyncio.gather(*(one.talk(count, at) for one, at in zip(people, lost, strict=True)))

        def all_there() -> bool:
            for one in people:
                one.take()
            return all(len(one.seen) == 4 * count for one in people)

        await until(all_there)
        first = people[0].seen
        assert sorted(first) == list(range(1, 4 * count + 1)) and len(set(first.values())) == 4 * count
        assert all(one.seen == first for one in people)


async def test_much_that_was_missed_comes_in_bounded_pieces() -> None:
    async with World() as world:
        alice = await world.enter("alice")
        for number in range(150):
            world.clock.ahead += 0.1
            assert (await say(alice, "y" * 8000, number))["ok"]
        alice.messages.clear()
        epoch = alice.entered["chat"]["epoch"]
        bob = await world.enter("bob", chat={"epoch": epoch, "seq": 0})
        got = [m["seq"] for m in bob.entered["chat"]["messages"]]
        assert bob.entered["chat"]["seq"] == 150 and 50 < len(got) < 100 and got == list(range(1, len(got) + 1))
        while len(got) < 150:
            more = await bob.request("history", after=got[-1], count=100)
            got += [m["seq"] for m in more["messages"]]
        assert got == list(range(1, 151))
        phone = await world.login("phone", lastSeq=0, epoch=epoch)
        await until(lambda: len(entries(phone)) > 50)
        assert seqs(phone) == list(range(1, len(entries(phone)) + 1))
        frames = [json.dumps(m) for m in phone.messages if m["cmd"] == "message"]
        assert max(len(frame) for frame in frames) < 64 * 1024


async def test_gaps_are_filled_by_history_in_both_directions() -> None:
    async with World(messages=MessagesConfig(kept=20)) as world:
        alice, phone = await world.enter("alice"), await world.login("phone")
        for number in range(30):
            await say(alice, f"{number}", number)
        answer = await alice.request("history", after=12, before=15)
        assert [m["seq"] for m in answer["messages"]] == [13, 14]
        assert (answer["seq"], answer["first"]) == (30, 11)
        older = await phone.command("history", before=13, count=50)
        assert [entry["MsgSeq"] for entry in older["messages"]] == [11, 12]
        assert (older["seq"], older["first"], older["code"]) == (30, 11, 0)
        for fields in ({"count": 0}, {"count": 101}, {"after": "1"}, {"before": -1}):
            assert (await alice.request("history", **fields))["error"]["name"] == "bad_request"
            assert (await phone.command("history", **fields))["name"] == "bad_request"


async def test_a_room_that_was_closed_and_opened_again_has_a_new_epoch() -> None:
    async with World() as world:
        alice = await world.enter("alice")
        await say(alice, "one", 1)
        await alice.request("leave")
        assert not world.directory.rooms and len(world.groups) == 0
        again = await world.enter("alice", chat={"epoch": alice.entered["chat"]["epoch"], "seq": 1})
        assert again.entered["chat"]["epoch"] > alice.entered["chat"]["epoch"]
        assert again.entered["chat"]["messages"] == [] and again.entered["chat"]["seq"] == 0
        assert (await say(again, "one", 1))["seq"] == 1


async def test_what_is_too_large_or_too_much_is_refused_by_name() -> None:
    async with World() as world:
        alice, phone, bob = await world.enter("alice"), await world.login("phone"), await world.enter("bob")
        error = (await say(alice, "x" * 8899, 1))["error"]
        assert (error["name"], error["code"]) == ("too_large", 1209)
        answer = await send(phone, "x" * 8899, 1)
        assert (answer["name"], answer["code"]) == ("too_large", 1209)
        assert (await say(alice, "x" * 12000, 2, to="bob"))["ok"]
        assert (await say(alice, "x" * 12001, 3, to="bob"))["error"]["name"] == "too_large"
        await bob.expect(t="c2c")
        refused = None
        for number in range(10, 100):
            answer = await say(alice, "flood", number)
            if "error" in answer:
                refused = answer["error"]
                break
        assert refused is not None and refused["name"] == "too_many" and 1 <= refused["retryAfterMs"] <= 50
        assert (await say(bob, "heard all the same", 1))["ok"]
        await asyncio.sleep(refused["retryAfterMs"] / 1000)
        assert (await say(alice, "again", number))["ok"]
        answers = [await send(phone, "flood", number) for number in range(60)]
        late = next(answer for answer in answers if answer["code"])
        assert late["name"] == "too_many" and late["code"] == 1210 and late["retryAfterMs"] >= 1
        shown = len(messages(bob))
        posted = world.groups.posted
        assert shown == posted - 1 or shown == posted  # c2c is no group message


async def test_messages_to_one_user() -> None:
    async with World() as world:
        alice, bob = await world.enter("alice", nick="Al"), await world.enter("bob", 2002)
        phone, carol = await world.login("phone", 2002), await world.enter("carol")
        answer = await say(alice, "psst", 1, to="bob")
        heard = await bob.expect(t="c2c")
        assert heard == {
            "t": "c2c",
            "seq": answer["seq"],
            "time": answer["time"],
            "from": "alice",
            "nick": "Al",
            "to": "bob",
            "random": 1,
            "body": text("psst"),
        }
        assert (await say(alice, "psst", 1, to="bob"))["seq"] == answer["seq"]
        answer = await say(alice, "hello phone", 1, to="phone")
        entry = (await phone.expect(cmd="c2c"))["messages"][0]
        assert (entry["From_Account"], entry["To_Account"], entry["MsgSeq"]) == ("alice", "phone", answer["seq"])
        assert (await send(phone, "hello", 1, to="alice"))["code"] == 0
        assert (await alice.expect(t="c2c"))["from"] == "phone"
        await asyncio.sleep(0.05)
        assert not [m for c in (alice, bob, carol, phone) for m in c.messages if m.get("t", m.get("cmd")) == "c2c"]
        assert (await say(alice, "psst", 9, to="a b"))["error"]["name"] == "bad_request"
        assert (await send(phone, "psst", 9, to="a b"))["name"] == "bad_request"


async def test_custom_messages_reach_the_others_who_are_there() -> None:
    async with World() as world:
        alice, bob, phone = await world.enter("alice"), await world.enter("bob"), await world.login("phone")
        listener = await world.enter("listener", role="audience")
        assert (await alice.request("custom", cmdId=1, data="AAEC"))["seq"] == 1
        heard = {"from": "alice", "cmdId": 1, "seq": 1, "data": "AAEC"}
        assert await bob.expect(t="custom") == {"t": "custom", **heard}
        assert await phone.expect(cmd="custom") == {"cmd": "custom", **heard}
        assert await listener.expect(t="custom")
        assert (await phone.command("custom", cmdId=2, data="AA=="))["seq"] == 1
        assert (await alice.expect(t="custom"))["from"] == "phone"
        assert (await listener.request("custom", cmdId=1, data=""))["error"]["name"] == "not_permitted"
        big = base64.b64encode(bytes(1025)).decode()
        assert (await alice.request("custom", cmdId=1, data=big))["error"]["name"] == "too_large"
        assert (await alice.request("custom", cmdId=1, data="%"))["error"]["name"] == "bad_request"
        answers = [await alice.request("custom", cmdId=1, data="AAEC") for _ in range(60)]
        refused = [answer["error"] for answer in answers if "error" in answer]
        assert refused and refused[0]["name"] == "too_many" and refused[0]["retryAfterMs"] >= 1
        assert (await bob.request("history"))["messages"] == [] and not messages(alice)


async def test_a_listener_may_write() -> None:
    async with World() as world:
        listener = await world.enter("listener", role="audience")
        assert (await say(listener, "hello", 1))["ok"]


async def test_messages_survive_a_restart_of_the_server(tmp_path: Path) -> None:
    store = Store(tmp_path)
    async with World() as world:
        store.restore(world.directory, POLICIES, world.groups)
        store.start()
        alice, phone = await world.enter("alice"), await world.login("phone")
        for number in range(3):
            await say(alice, f"né {number}", number)
        first = messages(alice)
        epoch = alice.entered["chat"]["epoch"]
        await store.aclose(world.directory, world.groups)
        late = (await say(alice, "too late to be kept", 77))["error"]
        assert late["name"] == "shutting_down" and late["retryAfterMs"] > 0
        assert (await send(phone, "too late to be kept", 77))["code"] == 1302
    store = Store(tmp_path)
    async with World() as world:
        store.restore(world.directory, POLICIES, world.groups)
        store.start()
        alice = await world.enter("alice", chat={"epoch": epoch, "seq": 1})
        assert alice.entered["chat"]["epoch"] == epoch
        assert alice.entered["chat"]["messages"] == first[1:]
        assert (await say(alice, "né 2", 2))["seq"] == 3, "a resend"
        assert (await say(alice, "too late to be kept", 77))["seq"] == 4
        phone = await world.login("phone", lastSeq=3, epoch=epoch)
        await until(lambda: seqs(phone) == [4])
        await store.aclose(world.directory, world.groups)


async def test_who_reads_too_slowly_is_closed_and_recovers_by_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "MAX_QUEUED", 100_000)
    async with World() as world:
        alice, bob = await world.enter("alice"), await world.enter("bob")
        session = next(item for item in world.signaling.sessions if item.member and item.member.user_id == "bob")
        monkeypatch.setattr(session.socket._ws, "send_str", lambda _: asyncio.sleep(3600))
        for number in range(20):
            await say(alice, "y" * 8000, number)
        await until(lambda: session.socket.closing)
        assert session.socket.close_reason == "outbox_overflow"
        await until(lambda: len(messages(alice)) == 20)
        session.socket._transport.abort()  # type: ignore[union-attr]
        await bob.closed()
        monkeypatch.setattr(shell, "MAX_QUEUED", 4 << 20)
        back = await world.enter("bob", chat={"epoch": alice.entered["chat"]["epoch"], "seq": 0})
        got = [m["seq"] for m in back.entered["chat"]["messages"]]
        assert got == list(range(1, 21))


async def test_a_frame_is_written_once_for_a_whole_room(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.wire import chat

    written: list[str] = []
    real_message, real_entry = chat.message_json, chat.entry_json
    monkeypatch.setattr(chat, "message_json", lambda m: written.append("signaling") or real_message(m))
    monkeypatch.setattr(chat, "entry_json", lambda m, *group: written.append("im") or real_entry(m, *group))
    async with World() as world:
        members = [await world.enter(f"user{n}") for n in range(4)] + [await world.login(f"phone{n}") for n in range(4)]
        await say(members[0], "hello", 1)
        await until(lambda: all(seqs(member) == [1] for member in members))
        assert sorted(written) == ["im", "signaling"]


async def test_a_message_waits_for_one_who_is_away_and_comes_once() -> None:
    async with World() as world:
        alice, bob = await world.enter("alice"), await world.enter("bob", 2002)
        resume = bob.entered["resume"]
        bob.abort()
        await resuming(world, "bob")
        for name in ("eve", "bob", "phone", "dan"):
            assert (await say(alice, "psst", 9, to=name))["ok"]
            assert (await say(alice, "again", 10, to=name))["ok"]
        bob = await world.connect()
        entered = await bob.request(
            "enter", v=1, sdkAppId=APP.sdk_app_id, userId="bob", roomId=2002, resume=resume, keep=[]
        )
        assert entered["ok"]
        eve, phone, dan = await world.enter("eve", 3003), await world.login("phone", 4), await world.login("dan", None)
        for client in (bob, eve):
            assert [(await client.expect(t="c2c"))["random"] for _ in range(2)] == [9, 10]
        for client in (phone, dan):
            assert [(await client.expect(cmd="c2c"))["messages"][0]["MsgRandom"] for _ in range(2)] == [9, 10]
        again = await world.enter("eve", 3003)
        await asyncio.sleep(0.05)
        assert not [m for c in (bob, phone, dan, again) for m in c.messages if m.get("t", m.get("cmd")) == "c2c"]
        assert len(world.groups.waiting) == 0


async def test_a_guest_does_not_get_what_waits_for_a_tickets_holder() -> None:
    async with World(guests=("127.0.0.0/8",)) as world:
        alice = await world.enter("alice")
        for user in ("bobby", "carol"):
            assert (await say(alice, "psst", 1, to=user))["ok"]
        world.groups.accounts.change(APP.sdk_app_id, "bobby", proven=True)
        for user, waits in (("bobby", True), ("carol", False)):
            login = await world.call("get_login_info", {"userID": user})
            client = await world.connect("/im")
            ticket = {"sdkAppID": APP.sdk_app_id, "userID": user, "userSig": login["userSig"]}
            assert (await client.command("login", **ticket))["code"] == 0
            if not waits:
                assert (await client.expect(cmd="c2c"))["messages"][0]["From_Account"] == "alice"
            assert bool(world.groups.waiting.of(APP.sdk_app_id, user)) == waits


async def test_takeover_by_the_other_face_moves_the_messages_there() -> None:
    async with World() as world:
        alice, bob = await world.enter("alice"), await world.enter("bob")
        phone = await world.login("bob")
        assert await bob.closed() == shell.CLOSE_KICKED
        await say(alice, "hello", 1)
        await say(alice, "psst", 2, to="bob")
        assert (await phone.expect(cmd="message"))["messages"][0]["MsgSeq"] == 1
        assert (await phone.expect(cmd="c2c"))["messages"][0]["MsgRandom"] == 2
        back = await world.enter("bob")
        await say(alice, "hello again", 3)
        assert (await back.expect(t="message"))["seq"] == 2
        assert await phone.closed() == shell.CLOSE_KICKED


async def test_who_has_left_by_another_way_neither_hears_nor_writes() -> None:
    async with World() as world:
        alice, phone = await world.enter("alice"), await world.login("phone")
        world.entry.quit(world.key(), "phone")
        await say(alice, "he is gone", 1)
        assert (await send(phone, "am I", 1))["name"] == "bad_request"
        assert (await phone.command("history"))["name"] == "bad_request"
        assert (await phone.command("ping"))["code"] == 0 and not entries(phone)
        member = world.directory.member(APP.sdk_app_id, "alice")
        assert member is not None
        await alice.request("leave")
        assert not world.directory.rooms
        for call in (
            lambda: world.entry.messages.history(member, Range()),
            lambda: world.entry.messages.post_custom(member, 1, b""),
            lambda: world.entry.messages.missed(member, None),
        ):
            with pytest.raises(NoSuchMember):
                call()
        assert len(world.groups) == 0, "nobody brings a closed room's list back"


async def test_inspect_says_that_nothing_is_published() -> None:
    async with World() as world:
        alice = await world.enter("alice")
        await world.enter("bob")
        nothing = {"source": None, "audio": None, "video": None, "viewers": 0, "players": 0}
        answer = await alice.request("inspect", userId="bob")
        assert {name: answer[name] for name in nothing} == nothing
        assert (await alice.request("inspect", userId="eve"))["error"]["name"] == "no_such_member"
        assert (await alice.request("inspect", userId="bob", stream="aux"))["error"]["name"] == "no_such_stream"
        assert (await alice.request("inspect", userId="bob", stream="x"))["error"]["name"] == "bad_request"
        await world.enter("carol", 2002)
        assert (await alice.request("inspect", userId="carol"))["error"]["name"] == "no_such_member"


async def test_broken_requests_are_refused_by_name_and_harm_nobody() -> None:
    draw = random.Random(5)
    good = [
        {"t": "message", "random": 1, "body": text("x")},
        {"t": "message", "to": "alice", "random": 1, "body": text("x")},
        {"t": "history", "after": 0, "count": 5},
        {"t": "custom", "cmdId": 1, "data": "AAEC"},
        {"t": "inspect", "userId": "alice", "stream": "main"},
        {"cmd": "send", "random": 1, "MsgBody": text("x"), "to": ""},
        {"cmd": "history", "before": 5},
        {"cmd": "custom", "cmdId": 1, "data": "AAEC"},
    ]
    junk = [None, True, -1, 1 << 70, 1.5, "", "é" * 50, [], {}, [[]], {"a": []}, "\ud800", text("y"), [{}]]
    async with World() as world:
        alice, phone = await world.enter("alice"), await world.login("phone")
        for _ in range(400):
            fields = dict(draw.choice(good))
            name = draw.choice(list(fields))
            if name not in ("t", "cmd"):
                if draw.random() < 0.3:
                    del fields[name]
                else:
                    fields[name] = draw.choice(junk)
            face = alice if "t" in fields else phone
            world.clock.ahead += 1
            if "t" in fields:
                answer = await face.request(fields.pop("t"), **fields)
                assert answer.get("ok") or answer["error"]["name"] != "internal_error", fields
            else:
                answer = await face.command(fields.pop("cmd"), **fields)
                assert answer["code"] == 0 or answer["name"], fields
        assert (await say(alice, "still here", 1 << 31))["ok"]
        assert (await send(phone, "still here", 1 << 31))["code"] == 0


async def test_no_text_of_people_reaches_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="gateway")
    secret = "correct horse battery staple"
    data = base64.b64encode(secret.encode()).decode()
    async with World() as world:
        alice, bob, phone = await world.enter("alice"), await world.enter("bob"), await world.login("phone")
        await say(alice, secret, 1)
        await say(alice, secret, 2, to="bob")
        await say(alice, secret, 3, to="eve")
        await say(alice, secret * 400, 4)
        await alice.request("message", random=secret, body=text(secret))
        await alice.request("message", random=5, body=[{"MsgType": secret, "MsgContent": {"Text": secret}}])
        await alice.request("message", random=5, body=[{"MsgType": "TIMTextElem", "MsgContent": {"Text": [secret]}}])
        await alice.request("custom", cmdId=1, data=data)
        await alice.request("custom", cmdId=1, data=secret)
        await alice.request("history")
        await send(phone, secret, 1)
        await send(phone, secret, 2, to="bob")
        await send(phone, secret * 400, 3)
        await phone.command("send", random=secret, body=secret)
        await phone.command("custom", cmdId=secret, data=data)
        await phone.command("history", after=secret)
        for number in range(60):
            await say(bob, secret, number)
    assert "entered" in caplog.text and "horse" not in caplog.text and data not in caplog.text
