"""Viewers without H.264: aiortc clients that take VP8 only, by signaling and by WHEP, watch what is published in H.264.

With `[bridge] to_vp8` they see it, otherwise they are told in words what is missing and the cure.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from gateway.base.config import BridgeConfig
from gateway.media.streams import Stream
from gateway.wire.frame import Codec
from tests.e2e import content
from tests.e2e.content import Maker
from tests.e2e.webrtc_client import ContentTrack
from tests.endpoints.test_entry_media import Node, at, stop
from tests.endpoints.test_rtmp_real import publish
from tests.endpoints.test_signaling_media import Peers
from tests.endpoints.world import Client, World

LINGER_S = 0.3
ALICE, AGAIN = Maker(3, 500), Maker(5, 500)


def only(codec: str, sdp: str) -> str:
    """Take everything but `codec` (and its RTX) out of the video sections: as if the client knew nothing else."""
    sections = re.split(r"(?=^m=)", sdp, flags=re.MULTILINE)
    for index, section in enumerate(sections):
        if not section.startswith("m=video"):
            continue
        kept = re.findall(rf"^a=rtpmap:(\d+) {codec}/", section, re.MULTILINE)
        kept += [rtx for rtx, apt in re.findall(r"^a=fmtp:(\d+) apt=(\d+)", section, re.MULTILINE) if apt in kept]
        lines = []
        for line in section.splitlines(keepends=True):
            about = re.match(r"a=(?:rtpmap|fmtp|rtcp-fb):(\d+) ", line)
            if line.startswith("m="):
                line = " ".join([*line.split()[:3], *kept]) + "\r\n"
            if about is None or about[1] in kept:
                lines.append(line)
        sections[index] = "".join(lines)
    return "".join(sections)


class Vp8Peers(Peers):
    """Decodes VP8 only. `seen`: what each picture shows, read by `read`."""

    def __init__(self, client: Client, read: Callable[[Any], int | None]) -> None:
        super().__init__(client)
        self.read = read
        self.seen: list[int] = []
        take = self.down.setRemoteDescription

        async def without_others(description: RTCSessionDescription) -> None:
            await take(RTCSessionDescription(only("VP8", description.sdp), description.type))

        self.down.setRemoteDescription = without_others

    async def publish_as(self, codec: str, maker: Maker) -> None:
        begin = time.monotonic()
        codecs = [c for c in RTCRtpSender.getCapabilities("video").codecs if c.mimeType == f"video/{codec}"]
        section = self.up.addTransceiver(ContentTrack("video", maker, begin), direction="sendonly")
        section.setCodecPreferences(codecs)
        await self.up.setLocalDescription(await self.up.createOffer())
        streams = {section.mid: "main"}
        answer = await self.client.request("publish", sdp=self.up.localDescription.sdp, streams=streams)
        await self.up.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))

    async def _watch(self, track: Any) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                value = self.read((await track.recv()).to_ndarray(format="gray"))
                if value is not None:
                    self.seen.append(value)


def counter(gray: Any) -> int:
    """Read the picture that `publish` makes ffmpeg send."""
    return sum(int(gray[16][20 * bit + 10] > 128) << bit for bit in range(16))


def ident(gray: Any) -> int | None:
    seen = content.read_picture(gray)
    return None if seen is None else int(seen.ident)


@pytest.fixture
async def peers() -> AsyncIterator[Callable[..., Vp8Peers]]:
    made: list[Vp8Peers] = []

    def make(client: Client, read: Callable[[Any], int | None] = counter) -> Vp8Peers:
        made.append(Vp8Peers(client, read))
        return made[-1]

    yield make
    await asyncio.gather(*(item.close() for item in made))


async def until(what: Callable[[], object], timeout: float = 10.0) -> None:
    async with asyncio.timeout(timeout):
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def allow(world: World, to_vp8: bool) -> None:
    world.streams.bridge_config = BridgeConfig(to_vp8=to_vp8, linger_s=LINGER_S)


@contextlib.asynccontextmanager
async def phone(to_vp8: bool) -> AsyncIterator[tuple[World, Stream]]:
    """A node on which the member `phone` publishes H.264 and AAC by RTMP."""
    if shutil.which("ffmpeg") is None:
        pytest.fail("ffmpeg is not installed: ./setup.sh test")
    async with Node() as (world, port):
        allow(world, to_vp8)
        body = {"userID": "phone", "roomID": 1001, "userSig": world.sig("phone")}
        entered = await world.call("get_push_url", {**body, "privateMapKey": world.map_key("phone")})
        process = await publish(at(entered["pushURL"], port), seconds=60)
        try:
            stream = world.streams.open("8888_1001_phone")
            await until(lambda: stream.live.has_video and stream.live.gop)
            yield world, stream
        finally:
            await stop(process)


async def test_a_browser_without_h264_sees_a_phone(peers: Callable[..., Vp8Peers]) -> None:
    async with phone(True) as (world, stream):
        bob, able = await world.enter("bob"), await world.enter("able")
        viewer = peers(bob)
        assert (await bob.request("subscribe", userId="phone"))["kinds"] == ["audio", "video"]
        await viewer.take_offer()
        await until(lambda: len(viewer.seen) >= 30)
        assert all(0 < b - a <= 25 for a, b in itertools.pairwise(viewer.seen)), viewer.seen
        assert not stream.video.subscriptions and len(stream.video_vp8.subscriptions) == 1
        assert not any(message["t"] == "notice" for message in bob.messages)
        subscription = stream.video_vp8.subscriptions[0]
        assert subscription.publication.codec is Codec.VP8 and subscription.payload_type == 96
        # Whoever can takes the original at the same time.
        both = Peers(able)
        try:
            await able.request("subscribe", userId="phone", kinds=["video"])
            await both.take_offer()
            await both.more_pictures(10)
            assert len(stream.video.subscriptions) == 1 and len(stream.video_vp8.subscriptions) == 1
        finally:
            await both.close()
        assert (await bob.request("unsubscribe", userId="phone"))["ok"]
        assert (await able.request("unsubscribe", userId="phone"))["ok"]
        await until(lambda: not stream.transcodes_to_vp8 and stream.bridging is None)


async def test_it_is_told_in_words_where_the_operator_does_not_allow_it(peers: Callable[..., Vp8Peers]) -> None:
    async with phone(False) as (world, stream):
        bob = await world.enter("bob")
        viewer = peers(bob)
        await bob.request("subscribe", userId="phone")
        await viewer.take_offer()
        notice = await bob.expect(10, t="notice")
        assert (notice["userId"], notice["stream"]) == ("phone", "main")
        assert "this browser cannot show H264; the video of phone is missing here" in notice["message"]
        assert "to_vp8" in notice["message"] and "A browser with H264 can" in notice["message"]
        await until(lambda: stream.audio.subscriptions and stream.audio.subscriptions[0].packets > 10)
        assert viewer.seen == [] and not stream.transcodes_to_vp8


async def test_the_publisher_may_change_to_what_the_viewer_can_take(peers: Callable[..., Vp8Peers]) -> None:
    async with World() as world:
        allow(world, True)
        alice, bob = await world.enter("alice"), await world.enter("bob")
        viewer = peers(bob, ident)
        await peers(alice).publish_as("H264", ALICE)
        await bob.expect(t="stream+")
        await bob.request("subscribe", userId="alice", kinds=["video"])
        await viewer.take_offer()
        await until(lambda: viewer.seen.count(ALICE.ident) >= 10)
        stream = world.streams.open("8888_1001_alice")
        assert stream.transcodes_to_vp8
        await peers(alice).publish_as("VP8", AGAIN)
        await until(lambda: viewer.seen.count(AGAIN.ident) >= 10)
        assert not stream.video_vp8.subscriptions and len(stream.video.subscriptions) == 1
        await until(lambda: not stream.transcodes_to_vp8)


@pytest.mark.parametrize("to_vp8", [True, False])
async def test_whep_plays_it_or_says_why_not(to_vp8: bool) -> None:
    async with phone(to_vp8) as (world, stream):
        player = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        try:
            for kind in ("audio", "video"):
                player.addTransceiver(kind, direction="recvonly")
            await player.setLocalDescription(await player.createOffer())
            offer = only("VP8", player.localDescription.sdp)
            headers = {"Authorization": f"Bearer {world.map_key('viewer')}", "Content-Type": "application/sdp"}
            async with world.client.post("/whep/1001/phone", headers=headers, data=offer.encode()) as answer:
                status, text = answer.status, await answer.text()
            if to_vp8:
                assert status == 201
                await player.setRemoteDescription(RTCSessionDescription(text, "answer"))
                track = next(item.receiver.track for item in player.getTransceivers() if item.kind == "video")
                async with asyncio.timeout(10):
                    seen = [counter((await track.recv()).to_ndarray(format="gray")) for _ in range(20)]
                assert all(0 < b - a <= 25 for a, b in itertools.pairwise(seen)), seen
            else:
                assert status == 406 and "cannot show H264" in text and "no_common_codec" in text
                assert not world.whip.sessions and not world.rtc.downs
                assert not stream.video.subscriptions and not stream.audio.subscriptions
                # Whoever may have the sound only is not refused for the picture.
                headers["Authorization"] = f"Bearer {world.map_key('viewer', rights=2 | 8)}"
                async with world.client.post("/whep/1001/phone", headers=headers, data=offer.encode()) as answer:
                    assert answer.status == 201
        finally:
            await player.close()
