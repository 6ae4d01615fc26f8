"""Signaling with media: aiortc clients publish, others subscribe and read back the content that was sent."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from tests.e2e.content import Maker
from tests.e2e.webrtc_client import AiortcMember, ContentTrack
from tests.endpoints.world import APP, Client, World

ALICE = Maker(1, 440)


async def until(what: Callable[[], Any], timeout: float = 15.0) -> None:
    async with asyncio.timeout(timeout):
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def member(world: World, user: str, room: int | str = 1001) -> AiortcMember:
    tickets: dict[str, Any] = {name: value for name, value in world.ticket(user, room).items() if name != "v"}
    return AiortcMember(str(world.client.make_url("")).rstrip("/"), tickets)


async def test_what_one_publishes_another_sees_and_hears() -> None:
    async with World() as world:
        async with member(world, "alice") as alice, member(world, "bob") as bob:
            await alice.send(ALICE)
            await bob.sees("alice", ALICE)
            assert any(m["t"] == "stream+" and m["audio"] and m["video"] for m in bob.messages)
            async with member(world, "carol") as carol:
                assert carol.entered["streams"][0]["userId"] == "alice"
                await carol.sees("alice", ALICE)


class Peers:
    """An aiortc up and down connection for a bare signaling client."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.up = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.down = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pictures = 0
        self._watching: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def publish(self, kinds: tuple[str, ...] = ("audio", "video"), stream: str = "main") -> dict[str, Any]:
        begin = time.monotonic()
        for kind in kinds:
            self.up.addTransceiver(ContentTrack(kind, ALICE, begin), direction="sendonly")
        await self.up.setLocalDescription(await self.up.createOffer())
        streams = {item.mid: stream for item in self.up.getTransceivers()}
        answer = await self.client.request("publish", sdp=self.up.localDescription.sdp, streams=streams)
        if answer.get("ok"):
            await self.up.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        return answer

    async def take_offer(self) -> dict[str, Any]:
        offer = await self.client.expect(t="offer")
        await self.down.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
        await self.down.setLocalDescription(await self.down.createAnswer())
        answer = await self.client.request("answer", n=offer["n"], sdp=self.down.localDescription.sdp)
        assert answer["ok"] and "stale" not in answer
        for slot in offer["map"]:
            if slot["kind"] == "video" and slot["mid"] not in self._watching:
                self._watching.add(slot["mid"])
                track = next(t.receiver.track for t in self.down.getTransceivers() if t.mid == slot["mid"])
                self._tasks.append(asyncio.create_task(self._watch(track)))
        return offer

    async def _watch(self, track: Any) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                self.pictures += 1

    async def more_pictures(self, count: int = 5, timeout: float = 8.0) -> None:
        goal = self.pictures + count
        async with asyncio.timeout(timeout):
            while self.pictures < goal:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self.up.close(), self.down.close(), *self._tasks, return_exceptions=True)


@pytest.fixture
async def peers() -> AsyncIterator[Callable[[Client], Peers]]:
    made: list[Peers] = []

    def make(client: Client) -> Peers:
        made.append(Peers(client))
        return made[-1]

    yield make
    await asyncio.gather(*(item.close() for item in made))


MakePeers = Callable[[Client], Peers]


async def watching(world: World, peers: MakePeers) -> tuple[Client, Peers, Client, Peers]:
    """Alice publishes, Bob sees her."""
    alice, bob = await world.enter("alice"), await world.enter("bob")
    sender, viewer = peers(alice), peers(bob)
    assert (await sender.publish())["ok"]
    await bob.expect(t="stream+")
    assert (await bob.request("subscribe", userId="alice"))["kinds"] == ["audio", "video"]
    await viewer.take_offer()
    await viewer.more_pictures()
    return alice, sender, bob, viewer


async def test_a_lost_socket_loses_no_media_and_resume_keeps_both_connections(peers: MakePeers) -> None:
    async with World() as world:
        alice, _, bob, viewer = await watching(world, peers)
        alice.abort()
        bob.abort()
        for user in ("alice", "bob"):
            for _ in range(100):
                member = world.directory.member(APP.sdk_app_id, user)
                if member is not None and member.resuming:
                    break
                await asyncio.sleep(0.02)
        await viewer.more_pictures()  # while both are away
        back = await world.connect()
        fields = {"v": 1, "userId": "bob", "roomId": 1001, "resume": bob.entered["resume"], "keep": ["up", "down"]}
        entered = await back.request("enter", **fields)
        assert entered["resumed"] and entered["kept"] == ["down"]
        assert [stream["userId"] for stream in entered["streams"]] == ["alice"]
        viewer.client = back
        await viewer.more_pictures()
        assert len(world.rtc.ups) == 1 and len(world.rtc.downs) == 1


async def test_a_page_that_is_loaded_anew_gets_new_connections(peers: MakePeers) -> None:
    async with World() as world:
        alice, sender, bob, viewer = await watching(world, peers)
        old_up = next(iter(world.rtc.ups))
        alice.abort()
        await asyncio.sleep(0.05)
        back = await world.connect()
        fields = {"v": 1, "userId": "alice", "roomId": 1001, "resume": alice.entered["resume"]}
        entered = await back.request("enter", **fields)
        assert entered["resumed"] and entered["kept"] == []
        fresh = peers(back)
        bob.messages.clear()
        assert (await fresh.publish())["ok"]  # another certificate: another connection takes the stream over
        await sender.close()
        assert (await bob.expect(t="stream+"))["userId"] == "alice"
        await viewer.more_pictures(10)
        assert not any(message["t"] in ("stream-", "member-") for message in bob.messages)
        assert old_up not in world.rtc.ups and len(world.rtc.ups) == 1


async def test_unpublish_mute_and_publish_again(peers: MakePeers) -> None:
    async with World() as world:
        alice, sender, bob, viewer = await watching(world, peers)
        assert (await alice.request("mute", kind="video", muted=True))["ok"]
        muted = await bob.expect(t="mute")
        assert (muted["kind"], muted["muted"]) == ("video", True)
        assert (await alice.request("unpublish", stream="main"))["ok"]
        assert (await bob.expect(t="stream-"))["userId"] == "alice"
        await asyncio.sleep(0.2)
        before = viewer.pictures
        # The same connection publishes again, and the old subscription goes on.
        await sender.up.setLocalDescription(await sender.up.createOffer())
        streams = {item.mid: "main" for item in sender.up.getTransceivers()}
        answer = await alice.request("publish", sdp=sender.up.localDescription.sdp, streams=streams)
        await sender.up.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await bob.expect(t="stream+")
        await viewer.more_pictures(5)
        assert viewer.pictures > before and len(world.rtc.ups) == 1


async def test_unsubscribing_frees_the_section_and_it_is_used_again(peers: MakePeers) -> None:
    async with World() as world:
        _, _, bob, viewer = await watching(world, peers)
        stream = world.streams.open("8888_1001_alice")
        assert len(stream.video.subscriptions) == 1
        assert (await bob.request("unsubscribe", userId="alice"))["ok"]
        assert (await viewer.take_offer())["map"] == []
        assert not stream.video.subscriptions and not stream.audio.subscriptions
        assert (await bob.request("subscribe", userId="alice", kinds=["video"]))["ok"]
        again = await viewer.take_offer()
        assert [slot["kind"] for slot in again["map"]] == ["video"] and again["sdp"].count("m=video") == 1
        await viewer.more_pictures()


@pytest.mark.parametrize(
    ("rights", "kinds", "stream", "allowed"),
    [
        (3 | 4, ("audio",), "main", True),
        (3 | 4, ("audio", "video"), "main", False),
        (3 | 16, ("video",), "main", True),
        (3 | 16, ("audio",), "main", False),
        (3 | 64, ("video",), "aux", True),
        (3 | 64, ("audio", "video"), "aux", False),
        (3 | 4 | 64, ("audio", "video"), "aux", True),
        (3 | 4 | 16, ("video",), "aux", False),
    ],
)
async def test_what_may_be_published(
    peers: MakePeers, rights: int, kinds: tuple[str, ...], stream: str, allowed: bool
) -> None:
    async with World() as world:
        bob = await world.enter("bob")
        alice = await world.enter("alice", rights=rights)
        answer = await peers(alice).publish(kinds, stream)
        if allowed:
            seen = await bob.expect(t="stream+")
            assert (seen["stream"], seen["audio"], seen["video"]) == (stream, "audio" in kinds, "video" in kinds)
        else:
            assert answer["error"]["name"] == "not_permitted" and not world.rtc.ups


async def test_sections_need_names_and_one_of_each_kind(peers: MakePeers) -> None:
    async with World() as world:
        alice = await world.enter("alice")
        twice = await peers(alice).publish(("video", "video"))
        assert twice["error"]["name"] == "bad_request" and not world.rtc.ups
        assert "8888_1001_alice" not in world.entry.publishers
        peer = peers(alice)
        peer.up.addTransceiver(ContentTrack("audio", ALICE, time.monotonic()), direction="sendonly")
        await peer.up.setLocalDescription(await peer.up.createOffer())
        for sdp, streams, name in (
            (peer.up.localDescription.sdp, {}, "bad_request"),
            ("nonsense", {"0": "main"}, "sdp_error"),
            (re.sub(r"m=audio \d+", "m=audio 0", peer.up.localDescription.sdp), {"0": "main"}, "sdp_error"),
            (peer.up.localDescription.sdp.replace("opus", "speex").replace("PCM", "X"), {"0": "main"}, None),
        ):
            answer = await alice.request("publish", sdp=sdp, streams=streams)
            assert name is None or answer["error"]["name"] == name
            assert "error" in answer
        assert not world.rtc.ups


async def test_losing_the_right_to_send_stops_the_stream_and_to_receive_the_picture(peers: MakePeers) -> None:
    async with World() as world:
        alice, _, bob, viewer = await watching(world, peers)
        stream = world.streams.open("8888_1001_alice")
        sound_only = world.map_key("bob", rights=2 | 8)
        assert (await bob.request("role", role="audience", privateMapKey=sound_only))["privileges"] == 10
        offer = await viewer.take_offer()
        assert [slot["kind"] for slot in offer["map"]] == ["audio"] and not stream.video.subscriptions
        assert (await alice.request("role", role="audience"))["ok"]
        assert (await bob.expect(t="stream-"))["userId"] == "alice"
        assert not stream.audio.live and not stream.video.live
        # Both come back with the rights: neither side has to offer or ask again.
        assert (await alice.request("role", role="anchor"))["privileges"] == 255
        assert (await bob.expect(t="stream+"))["video"]
        await until(lambda: stream.audio.live and stream.video.live, 10)
        assert (await bob.request("role", role="audience", privateMapKey=world.map_key("bob")))["ok"]
        offer = await viewer.take_offer()
        assert {slot["kind"] for slot in offer["map"]} == {"audio", "video"} and stream.video.subscriptions


async def test_a_connection_that_dies_is_told(peers: MakePeers) -> None:
    async with World() as world:
        alice, sender, bob, viewer = await watching(world, peers)
        await sender.up.close()
        assert (await alice.expect(t="closed"))["direction"] == "up"
        assert (await bob.expect(t="stream-"))["userId"] == "alice"
        await viewer.down.close()
        assert (await bob.expect(t="closed"))["direction"] == "down"
        assert not world.rtc.ups and not world.rtc.downs


async def test_leaving_and_being_kicked_end_all_media(peers: MakePeers) -> None:
    async with World() as world:
        alice, _, bob, _ = await watching(world, peers)
        assert (await alice.request("leave"))["ok"]
        assert (await bob.expect(t="stream-"))["userId"] == "alice"
        assert (await bob.expect(t="member-"))["userId"] == "alice"
        assert not world.rtc.ups
        world.directory.kick(world.key(), "bob")
        await bob.expect(t="kicked")
        assert not world.rtc.downs


async def test_who_speaks_is_told(peers: MakePeers) -> None:
    async with World() as world:
        alice, _, bob, _ = await watching(world, peers)
        heard = await bob.expect(t="speaking")  # a tone in the first fifth of each second
        assert heard["users"][0]["userId"] == "alice" and 50 <= heard["users"][0]["level"] <= 100
        assert (await alice.request("mute", kind="audio", muted=True))["ok"]
        await bob.expect(t="mute")
        await bob.expect(t="speaking", users=[])
        bob.messages.clear()
        await asyncio.sleep(1.2)
        assert bob.messages == []


async def test_pauses_and_notices_reach_the_viewer(peers: MakePeers) -> None:
    async with World() as world:
        _, _, bob, viewer = await watching(world, peers)
        stream = world.streams.open("8888_1001_alice")
        subscription = stream.video.subscriptions[0]
        subscription.pause(world.clock(), slow=True)
        expected = {"t": "pause", "userId": "alice", "stream": "main", "kind": "video", "paused": True}
        assert await bob.expect(t="pause") == expected
        subscription.resume(world.clock(), slow=True)
        assert not (await bob.expect(t="pause"))["paused"]
        stream.events.emit("notice", "words")
        notice = {"t": "notice", "userId": "alice", "stream": "main", "message": "words"}
        assert await bob.expect(t="notice") == notice
        assert (await bob.request("unsubscribe", userId="alice"))["ok"]
        await viewer.take_offer()
        stream.events.emit("notice", "more words")
        assert (await bob.request("unsubscribe", userId="alice"))["ok"]
        assert bob.messages == []
