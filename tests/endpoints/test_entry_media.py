"""Both worlds in one room: ffmpeg pushes by RTMP and browsers see it, browsers publish and FLV players get it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gateway.base.config import Address, LiveConfig, RtmpConfig
from gateway.endpoints.http_flv import HttpFlv
from gateway.endpoints.rtmp import RtmpServer
from tests.endpoints.test_signaling_media import Peers
from tests.endpoints.world import APP, Client, World


class Node:
    """A world with its RTMP port; HTTP-FLV hangs on the web application."""

    def __init__(self) -> None:
        self.world = World()

    async def __aenter__(self) -> tuple[World, int]:
        self.rtmp = RtmpServer(
            RtmpConfig(listen=Address("127.0.0.1", 0)), LiveConfig(), self.world.entry, self.world.streams
        )
        await self.rtmp.start()
        self.flv = HttpFlv(LiveConfig(), self.world.entry, self.world.streams)
        self.world.app.add_routes(self.flv.routes())
        await self.world.__aenter__()
        return self.world, self.rtmp.port

    async def __aexit__(self, *_: object) -> None:
        await self.flv.aclose()
        await self.rtmp.aclose()
        await self.world.__aexit__()


@pytest.fixture
async def peers() -> AsyncIterator[Callable[[Client], Peers]]:
    made: list[Peers] = []

    def make(client: Client) -> Peers:
        made.append(Peers(client))
        return made[-1]

    yield make
    await asyncio.gather(*(item.close() for item in made))


async def push(url: str) -> asyncio.subprocess.Process:
    """Start ffmpeg: a picture and a tone in real time, Baseline H.264 and AAC."""
    return await asyncio.create_subprocess_exec(
        *("ffmpeg", "-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=15"),
        *("-f", "lavfi", "-i", "sine=frequency=440", "-c:v", "libx264", "-profile:v", "baseline", "-preset"),
        *("ultrafast", "-g", "15", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "flv", url),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()


def at(url: str, port: int) -> str:
    return url.replace("rtmp://127.0.0.1/", f"rtmp://127.0.0.1:{port}/")


async def test_a_phone_by_rtmp_and_a_browser_in_one_room(peers: Callable[[Client], Peers]) -> None:
    async with Node() as (world, port):
        bob = await world.enter("bob")
        body = {"userID": "phone", "roomID": 1001, "userSig": world.sig("phone")}
        entered = await world.call("get_push_url", {**body, "privateMapKey": world.map_key("phone")})
        assert (await bob.expect(t="member+"))["userId"] == "phone"
        process = await push(at(entered["pushURL"], port))
        try:
            seen = await bob.expect(10, t="stream+", userId="phone")
            assert seen["transport"] == "rtmp"
            assert (await bob.request("subscribe", userId="phone"))["kinds"] == ["audio", "video"]
            viewer = peers(bob)
            await viewer.take_offer()
            await viewer.more_pictures(10)
            # Alive by its push alone, however long it is silent otherwise.
            world.clock.ahead += 60
            world.directory.expire(world.clock())
            assert world.directory.member(APP.sdk_app_id, "phone") is not None
        finally:
            await stop(process)
        assert (await bob.expect(10, t="stream-"))["userId"] == "phone"


async def test_a_browser_is_in_the_phones_list_and_plays_as_flv(peers: Callable[[Client], Peers]) -> None:
    async with Node() as (world, _):
        phone = await world.login("phone")
        assert (await phone.expect(cmd="userlist"))["userlist"] == []
        alice = await world.enter("alice")
        assert (await peers(alice).publish())["ok"]
        assert [item["userid"] for item in (await phone.expect(cmd="userlist"))["userlist"]] == ["alice"]
        flv = alice.entered["urls"]["flv"].replace("http://127.0.0.1:8080", "")
        data = b""
        async with world.client.get(flv) as answer:
            assert answer.status == 200 and answer.headers["X-Content-Type-Options"] == "nosniff"
            async with asyncio.timeout(10):
                while len(data) < 20000:
                    data += await answer.content.readany()
        assert data.startswith(b"FLV\x01")


async def test_an_encoder_takes_a_browsers_stream_and_the_viewer_stays(peers: Callable[[Client], Peers]) -> None:
    async with Node() as (world, port):
        alice, bob = await world.enter("alice"), await world.enter("bob")
        assert (await peers(alice).publish())["ok"]
        await bob.expect(t="stream+")
        assert (await bob.request("subscribe", userId="alice", kinds=["video"]))["ok"]
        viewer = peers(bob)
        await viewer.take_offer()
        await viewer.more_pictures()
        process = await push(at(alice.entered["urls"]["push"], port))
        try:
            taken: dict[str, Any] = await alice.expect(10, t="stream-")
            assert taken == {"t": "stream-", "userId": "alice", "stream": "main"}
            again = await bob.expect(10, t="stream+")
            assert again["transport"] == "rtmp"
            await viewer.more_pictures(10)
            assert not any(message["t"] in ("stream-", "member-") for message in bob.messages)
        finally:
            await stop(process)
