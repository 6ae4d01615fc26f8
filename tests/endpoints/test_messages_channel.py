"""Messages over the datachannel "chat", with a real aiortc client; and `inspect` while media flow."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from gateway.endpoints.signaling import talk
from gateway.media.rtc import datachannel
from tests.endpoints.test_entry_media import Node, at, push, stop
from tests.endpoints.test_messages import messages, resuming, say, text, until
from tests.endpoints.test_signaling_media import Peers
from tests.endpoints.world import APP, Client, World


class Channel:
    """The datachannel of one member, opened with an up connection that sends nothing else."""

    def __init__(self, client: Client, label: str = "chat") -> None:
        self.client = client
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channel = self.pc.createDataChannel(label)
        self.messages: list[dict[str, Any]] = []
        self._answers: dict[Any, dict[str, Any]] = {}
        self._ids = itertools.count(1)
        self.channel.on("message", self._received)

    def _received(self, data: str) -> None:
        frame = json.loads(data)
        if "re" in frame:
            self._answers[frame["re"]] = frame
        else:
            self.messages.append(frame)

    async def open(self) -> Channel:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        answer = await self.client.request("publish", sdp=self.pc.localDescription.sdp, streams={})
        assert answer.get("ok"), answer
        await self.pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await until(lambda: self.channel.readyState == "open", 10)
        return self

    async def request(self, kind: str, **fields: Any) -> dict[str, Any]:
        number = f"c{next(self._ids)}"
        self.channel.send(json.dumps({"id": number, "t": kind, **fields}))
        return await self.answer_to(number)

    async def answer_to(self, number: Any) -> dict[str, Any]:
        await until(lambda: number in self._answers)
        return self._answers.pop(number)

    async def heard(self, kind: str) -> dict[str, Any]:
        await until(lambda: any(m["t"] == kind for m in self.messages))
        message = next(m for m in self.messages if m["t"] == kind)
        self.messages.remove(message)
        return message

    def seqs(self) -> list[int]:
        return [m["seq"] for m in self.messages if m["t"] == "message"]


@pytest.fixture
async def channels() -> AsyncIterator[Callable[[Client], Channel]]:
    made: list[Channel] = []

    def make(client: Client, label: str = "chat") -> Channel:
        made.append(Channel(client, label))
        return made[-1]

    yield make
    await asyncio.gather(*(item.pc.close() for item in made))


MakeChannel = Callable[[Client], Channel]


async def test_messages_both_ways_and_all_requests(channels: MakeChannel) -> None:
    async with World() as world:
        alice, bob, phone = await world.enter("alice", nick="Al"), await world.enter("bob"), await world.login("phone")
        channel = await channels(alice).open()
        await until(lambda: world.signaling._places[(APP.sdk_app_id, "alice")].talk._send is not None)
        answer = await channel.request("message", random=1, body=text("hello"))
        assert answer["ok"] and answer["seq"] == 1
        echo = await channel.heard("message")
        assert (echo["seq"], echo["from"], echo["nick"], echo["body"]) == (1, "alice", "Al", text("hello"))
        assert (await bob.expect(t="message"))["seq"] == 1
        assert (await say(bob, "hello yourself", 1))["seq"] == 2
        assert (await channel.heard("message"))["from"] == "bob"
        assert (await channel.request("message", random=1, body=text("hello")))["seq"] == 1, "a resend"
        assert (await say(alice, "over the WebSocket", 2))["seq"] == 3
        assert (await channel.heard("message"))["seq"] == 3
        assert not messages(alice), "the datachannel has them all"

        history = await channel.request("history", after=1)
        assert [m["seq"] for m in history["messages"]] == [2, 3] and history["seq"] == 3
        assert (await channel.request("custom", cmdId=1, data="AAEC"))["seq"] == 1
        assert (await phone.expect(cmd="custom"))["data"] == "AAEC"
        assert (await bob.request("custom", cmdId=2, data=""))["seq"] == 1
        assert (await channel.heard("custom"))["cmdId"] == 2
        assert (await channel.request("message", to="bob", random=5, body=text("psst")))["ok"]
        assert (await bob.expect(t="c2c"))["from"] == "alice"
        assert (await say(bob, "psst", 6, to="alice"))["ok"]
        assert (await channel.heard("c2c"))["body"] == text("psst")
        assert (await channel.request("inspect", userId="bob"))["source"] is None


async def test_what_is_large_goes_over_the_websocket(channels: MakeChannel) -> None:
    async with World() as world:
        alice, bob = await world.enter("alice"), await world.enter("bob")
        channel = await channels(alice).open()
        await say(bob, "x" * 8898, 1)
        assert len((await channel.heard("message"))["body"][0]["MsgContent"]["Text"]) == 8898
        await say(bob, "\x01" * 8000, 2)  # 48 KB of JSON
        assert (await alice.expect(t="message"))["seq"] == 2
        # Answers over the channel have what fits; one that does not fit is refused there and given here.
        answer = await channel.request("history", after=0)
        assert [m["seq"] for m in answer["messages"]] == [1] and answer["seq"] == 2
        assert (await channel.request("history", after=1))["error"]["name"] == "too_large"
        assert len((await alice.request("history", after=1))["messages"]) == 1


async def test_a_channel_that_takes_nothing_gives_way_to_the_websocket(
    channels: MakeChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with World() as world:
        alice, bob = await world.enter("alice"), await world.enter("bob")
        channel = await channels(alice).open()
        await say(bob, "one", 1)
        assert (await channel.heard("message"))["seq"] == 1
        # The path breaks: nothing that the client would send comes through.
        sctp = channel.pc.sctp
        assert sctp is not None
        monkeypatch.setattr(sctp.transport, "_send_data", lambda _: asyncio.sleep(0))
        await say(bob, "two", 2)
        up = next(iter(world.rtc.ups))
        data = up.peer._connection.data
        assert data is not None
        await until(lambda: data._stalled, 8)
        await say(bob, "three", 3)
        assert (await alice.expect(t="message"))["seq"] == 3
        missed = await alice.request("history", after=1)
        assert [m["seq"] for m in missed["messages"]] == [2, 3]


async def test_a_full_channel_says_so(channels: MakeChannel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datachannel, "MAX_BUFFERED", 0)
    async with World() as world:
        alice, bob = await world.enter("alice"), await world.enter("bob")
        await channels(alice).open()
        await say(bob, "one", 1)
        assert (await alice.expect(t="message"))["seq"] == 1


async def test_the_channel_works_on_while_the_websocket_is_made_anew(channels: MakeChannel) -> None:
    async with World() as world:
        alice, bob = await world.enter("alice"), await world.enter("bob")
        channel = await channels(alice).open()
        alice.abort()
        await resuming(world, "alice")
        await say(bob, "are you there", 1)
        assert (await channel.heard("message"))["seq"] == 1
        assert (await channel.request("message", random=1, body=text("yes")))["seq"] == 2
        assert (await bob.expect(t="message", **{"from": "alice"}))["seq"] == 2
        back = await world.connect()
        entered = await back.request(
            "enter",
            v=1,
            userId="alice",
            roomId=1001,
            resume=alice.entered["resume"],
            keep=["up"],
            chat={"epoch": alice.entered["chat"]["epoch"], "seq": 0},
        )
        assert entered["kept"] == ["up"] and [m["seq"] for m in entered["chat"]["messages"]] == [1, 2]
        await channel.heard("message")
        await say(bob, "welcome back", 2)
        assert (await channel.heard("message"))["seq"] == 3
        # The connection goes: from now on over the WebSocket.
        await channel.pc.close()
        await back.expect(t="closed")
        await say(bob, "and now", 3)
        assert (await back.expect(t="message"))["seq"] == 4


async def test_another_face_of_the_user_silences_the_channel(channels: MakeChannel) -> None:
    async with World() as world:
        alice, bob = await world.enter("alice"), await world.enter("bob")
        channel = await channels(alice).open()
        phone = await world.login("alice")
        await say(bob, "who are you", 1)
        assert (await phone.expect(cmd="message"))["messages"][0]["MsgSeq"] == 1
        answer = await channel.request("message", random=1, body=text("still me"))
        assert answer["error"]["name"] == "not_permitted" and channel.messages == []


async def test_other_channels_and_other_frames_are_refused_or_left_alone(
    channels: Callable[..., Channel], caplog: pytest.LogCaptureFixture
) -> None:
    async with World() as world:
        alice = await world.enter("alice")
        channel = await channels(alice).open()
        for frame in ("", "[]", "x", b"\0\1", '{"id":1}', '{"t":"message"}', "[" * 15000):
            channel.channel.send(frame)
            assert (await channel.answer_to(None))["error"]["name"] == "signaling_error"
        for kind in ("enter", "publish", "leave", "dance"):
            assert (await channel.request(kind))["error"]["name"] == "bad_request"
        assert (await channel.request("message", random=1, body="x"))["error"]["name"] == "bad_request"
        assert (await channel.request("message", random=1, body=text("hello")))["ok"]
        bob = await world.enter("bob")
        other = await channels(bob, "other").open()
        other.channel.send(json.dumps({"id": 1, "t": "message", "random": 1, "body": text("x")}))
        await say(alice, "two", 2)
        assert (await bob.expect(t="message"))["seq"] == 2 and other.messages == []
    assert "Traceback" not in caplog.text


async def test_requests_over_the_channel_are_counted(channels: MakeChannel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datachannel, "CHUNKS_PER_S", 1e6)
    async with World() as world:
        alice = await world.enter("alice")
        channel = await channels(alice).open()
        for number in range(300):
            channel.channel.send(json.dumps({"id": number, "t": "history", "count": 1}))
        last = await channel.answer_to(299)
        assert last["error"]["name"] == "too_many" and last["error"]["retryAfterMs"]


async def test_a_failing_answer_is_answered(
    channels: MakeChannel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with World() as world:
        alice = await world.enter("alice")
        channel = await channels(alice).open()

        def fail(*_: object) -> None:
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr(talk.Talk, "answer", fail)
        answer = await channel.request("message", random=1, body=text("a secret"))
        assert answer["error"]["name"] == "internal_error" and "a fault of ours" in caplog.text
        assert "a secret" not in caplog.text


async def test_inspect_shows_what_the_bridge_does() -> None:
    async with Node() as (world, port):
        alice = await world.enter("alice")
        viewer, sender = Peers(alice), Peers(alice)
        body = {"userID": "phone", "roomID": 1001, "userSig": world.sig("phone")}
        entered = await world.call("get_push_url", {**body, "privateMapKey": world.map_key("phone")})
        process = await push(at(entered["pushURL"], port))
        try:
            await alice.expect(10, t="stream+", userId="phone")
            seen = await alice.request("inspect", userId="phone")
            assert (seen["source"], seen["viewers"], seen["players"]) == ("rtmp", 0, 0)
            assert seen["audio"] == {"codec": "AAC", "bridge": None}
            assert seen["video"] == {"codec": "H264", "bridge": None}
            await alice.request("subscribe", userId="phone")
            await viewer.take_offer()
            await viewer.more_pictures()
            seen = await alice.request("inspect", userId="phone")
            assert seen["audio"]["bridge"] == "AAC→Opus" and seen["video"]["bridge"] == "passes"
            assert (seen["viewers"], seen["players"]) == (1, 0)

            assert (await sender.publish())["ok"]
            own = world.streams.open("8888_1001_alice")
            await until(lambda: own.audio.live and own.video.live, 20)
            seen = await alice.request("inspect", userId="alice")
            assert (seen["source"], seen["audio"]) == ("webrtc", {"codec": "Opus", "bridge": None})
            codec = seen["video"]["codec"]
            flv = alice.entered["urls"]["flv"].replace("http://127.0.0.1:8080", "")
            async with world.client.get(flv) as answer, asyncio.timeout(15):
                await answer.content.readexactly(2000)
                seen = await alice.request("inspect", userId="alice")
            assert seen["audio"]["bridge"] == "Opus→AAC" and seen["players"] == 1
            assert seen["video"]["bridge"] == ("passes" if codec == "H264" else f"{codec}→H264")
        finally:
            await stop(process)
            await asyncio.gather(viewer.close(), sender.close())
