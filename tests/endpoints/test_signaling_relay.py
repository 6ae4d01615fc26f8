"""A member asks for its stream to be pushed on: by real WebRTC, to a real RTMP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.base.config import RelayConfig
from gateway.rooms.privileges import Privilege
from gateway.wire import h264
from gateway.wire.rtmp import session as s
from tests.demo.rtmp_server import Server, serving
from tests.endpoints.test_signaling_media import Peers
from tests.endpoints.world import Client, World


@asynccontextmanager
async def two_servers(**config: Any) -> AsyncIterator[tuple[World, Server, str]]:
    async with serving() as server:
        allow = f"rtmp://127.0.0.1:{server.url.port}/live"
        async with World(relay=RelayConfig(allow=(allow,), **({"retry_s": 0.1} | config))) as world:
            yield world, server, f"{allow}/s?key=hidden"


@asynccontextmanager
async def publishing(world: World, user: str = "alice") -> AsyncIterator[tuple[Client, Peers]]:
    client = await world.enter(user)
    peers = Peers(client)
    try:
        assert (await peers.publish())["ok"]
        member = world.directory.member_in(world.key(), user)
        await until(lambda: member is not None and member.streams)
        yield client, peers
    finally:
        await peers.close()


async def until(check: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def bodies(server: Server, kind: type) -> list[bytes]:
    return [event.body for event in server.got if isinstance(event, kind)]


def was_told_the_end(server: Server) -> bool:
    return any(isinstance(event, s.PublishStopped) for event in server.got)


async def test_a_members_stream_is_pushed_on() -> None:
    """H.264 as the member sends it, its Opus as AAC; told connecting, live, ended."""
    async with two_servers() as (world, server, url), publishing(world) as (alice, _):
        answer = await alice.request("relay", url=url)
        assert answer.get("ok"), answer
        assert answer["state"] == "connecting" and answer["url"] == url.partition("?")[0]
        await alice.expect(t="relay", state="live", timeout=10)
        await until(lambda: len(bodies(server, s.VideoReceived)) > 10 and len(bodies(server, s.AudioReceived)) > 10)
        pictures, sounds = bodies(server, s.VideoReceived), bodies(server, s.AudioReceived)
        assert pictures[0][:2] == b"\x17\x00" and sounds[0][:2] == b"\xaf\x00"
        assert h264.parse_avcc(pictures[0][5:]).sps
        assert pictures[1][:2] == b"\x17\x01"
        assert (await alice.request("unrelay"))["ok"]
        assert (await alice.expect(t="relay", state="ended"))["reason"] == "stopped"
        await until(lambda: was_told_the_end(server))
        assert (await alice.request("unrelay"))["error"]["name"] == "no_such_stream"


async def leave(world: World, alice: Client, peers: Peers) -> None:
    await alice.request("leave")


async def unpublish(world: World, alice: Client, peers: Peers) -> None:
    await alice.request("unpublish", stream="main")


async def is_kicked(world: World, alice: Client, peers: Peers) -> None:
    assert world.directory.kick(world.key(), "alice")


async def moves(world: World, alice: Client, peers: Peers) -> None:
    await world.enter("alice", 1002)


async def room_closes(world: World, alice: Client, peers: Peers) -> None:
    world.directory.close_room(world.key())


@pytest.mark.parametrize("how", [leave, unpublish, is_kicked, moves, room_closes])
async def test_it_ends_with_the_stream(how: Callable[[World, Client, Peers], Any]) -> None:
    async with two_servers() as (world, server, url), publishing(world) as (alice, peers):
        await alice.request("relay", url=url)
        await alice.expect(t="relay", state="live", timeout=10)
        await how(world, alice, peers)
        await until(lambda: was_told_the_end(server) and not len(world.relays))


async def test_it_outlives_a_lost_socket() -> None:
    """Whoever comes back is told how it stands."""
    async with two_servers() as (world, server, url), publishing(world) as (alice, _):
        await alice.request("relay", url=url)
        await alice.expect(t="relay", state="live", timeout=10)
        alice.abort()
        again = await world.connect()
        place = {"v": 1, "userId": "alice", "roomId": 1001, "sdkAppId": 1400000001}
        entered = await again.request("enter", **place, resume=alice.entered["resume"], keep=["up"])
        assert entered["kept"] == ["up"]
        assert (await again.expect(t="relay"))["state"] == "live"
        assert server.connections == 1 and not was_told_the_end(server)


async def test_what_is_refused() -> None:
    async with two_servers(max_relays=1) as (world, _, url), publishing(world) as (alice, _):
        elsewhere = url.replace("/live/", "/other/")
        assert (await alice.request("relay", url=elsewhere))["error"]["name"] == "not_permitted"
        assert (await alice.request("relay", url="http://127.0.0.1/live/s"))["error"]["name"] == "bad_request"
        assert (await alice.request("relay", url=url, stream="aux"))["error"]["name"] == "no_such_stream"
        silent = await world.enter("bob")
        assert (await silent.request("relay", url=url))["error"]["name"] == "no_such_stream"
        viewer = await world.enter("carol", rights=Privilege.AUDIENCE)
        assert (await viewer.request("relay", url=url))["error"]["name"] == "no_such_stream"
        assert (await alice.request("relay", url=url))["ok"]
        async with publishing(world, "dora") as (dora, _):
            refusal = (await dora.request("relay", url=url))["error"]
            assert refusal["name"] == "too_many" and refusal["retryAfterMs"]


async def test_what_another_program_publishes_is_not_relayed() -> None:
    async with two_servers() as (world, _, url):
        alice = await world.enter("alice")
        stream = world.entry.stream_id(world.key(), "alice", world.kind("main"))
        world.directory.stream_started(stream, transport="rtmp", audio=True, video=True, now=world.clock())
        assert (await alice.request("relay", url=url))["error"]["name"] == "not_permitted"


async def test_failures_are_told_in_words() -> None:
    async with two_servers(retries=1) as (world, server, url), publishing(world) as (alice, _):
        server.refuse = "NetStream.Publish.BadName"
        await alice.request("relay", url=url)
        waiting = await alice.expect(t="relay", state="waiting")
        assert waiting["reason"] == "refused" and "not you" in waiting["message"] and "hidden" not in str(waiting)
        assert (await alice.expect(t="relay", state="ended"))["reason"] == "refused"


async def test_by_default_nothing_is_pushed_on() -> None:
    async with World() as world, publishing(world) as (alice, _):
        refusal = (await alice.request("relay", url="rtmp://127.0.0.1/live/s"))["error"]
        assert refusal["name"] == "not_permitted" and "operator" in refusal["message"]
