"""WHIP and WHEP: the exchange by its status codes, and media through it with aiortc."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from gateway.rooms.room import StreamKind
from gateway.rooms.tickets import mapkey
from tests.e2e import content
from tests.e2e.content import Maker
from tests.e2e.webrtc_client import ContentTrack
from tests.endpoints.world import APP, World

ALICE = Maker(7, 600)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}


NewPeer = Callable[[], RTCPeerConnection]


@pytest.fixture
async def new_peer() -> AsyncIterator[NewPeer]:
    """Make aiortc connections that are closed at the end, whatever happens."""
    peers: list[RTCPeerConnection] = []

    def make() -> RTCPeerConnection:
        peers.append(RTCPeerConnection(RTCConfiguration(iceServers=[])))
        return peers[-1]

    yield make
    await asyncio.gather(*(peer.close() for peer in peers))


async def sending_offer(peer: RTCPeerConnection, kinds: tuple[str, ...] = ("audio", "video")) -> str:
    begin = time.monotonic()
    for kind in kinds:
        peer.addTransceiver(ContentTrack(kind, ALICE, begin), direction="sendonly")
    await peer.setLocalDescription(await peer.createOffer())
    return str(peer.localDescription.sdp)


async def receiving_offer(peer: RTCPeerConnection) -> str:
    for kind in ("audio", "video"):
        peer.addTransceiver(kind, direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    return str(peer.localDescription.sdp)


async def post(world: World, path: str, headers: dict[str, str], body: str) -> tuple[int, Mapping[str, str], str]:
    async with world.client.post(path, headers=headers, data=body.encode()) as answer:
        return answer.status, answer.headers, await answer.text()


async def until(what: Any, timeout: float = 8.0) -> None:
    async with asyncio.timeout(timeout):
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_whip_publishes_and_whep_plays_it(new_peer: NewPeer) -> None:
    async with World() as world:
        watcher = await world.enter("watcher")
        up, down = new_peer(), new_peer()
        status, headers, answer = await post(
            world, "/whip/1001/alice", bearer(world.map_key("alice")), await sending_offer(up)
        )
        assert status == 201 and headers["Content-Type"].startswith("application/sdp")
        assert headers["Location"].startswith("/whip/s/") and len(headers["Location"]) == len("/whip/s/") + 32
        assert headers["ETag"].startswith('"') and headers["Accept-Patch"] == "application/trickle-ice-sdpfrag"
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert "Location" in headers["Access-Control-Expose-Headers"]
        session = headers["Location"]
        await up.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        assert (await watcher.expect(t="member+"))["userId"] == "alice"
        stream = await watcher.expect(t="stream+")
        assert stream["transport"] == "whip" and stream["audio"] and stream["video"]

        player = bearer(world.map_key("viewer", rights=2 | 8 | 32))
        status, headers, answer = await post(world, "/whep/1001/alice", player, await receiving_offer(down))
        assert status == 201 and headers["Location"].startswith("/whep/s/")
        await down.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        video = next(item.receiver.track for item in down.getTransceivers() if item.kind == "video")

        async def sees() -> int:
            while True:
                frame: Any = await video.recv()
                seen = content.read_picture(frame.to_ndarray(format="gray"))
                if seen is not None:
                    return seen.ident

        assert await asyncio.wait_for(sees(), 10) == ALICE.ident
        # A player is no member.
        assert world.directory.member(APP.sdk_app_id, "viewer") is None

        async with world.client.delete(headers["Location"], headers=player) as gone:
            assert gone.status == 200
        async with world.client.delete(session, headers=bearer(world.map_key("alice", expire=60))) as other:
            assert other.status == 401  # the same user, but not the bearer of the POST
        await asyncio.gather(up.close(), down.close())
        assert (await watcher.expect(t="stream-"))["userId"] == "alice"
        await until(lambda: not world.whip.sessions)
        assert (await watcher.expect(t="member-"))["userId"] == "alice"


async def test_delete_ends_the_stream_and_the_stay(new_peer: NewPeer) -> None:
    async with World() as world:
        watcher = await world.enter("watcher")
        peer = new_peer()
        ticket = bearer(world.map_key("alice"))
        _, headers, answer = await post(world, "/whip/1001/alice", ticket, await sending_offer(peer))
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await watcher.expect(t="stream+")
        async with world.client.delete(headers["Location"], headers=ticket) as gone:
            assert gone.status == 200
        assert (await watcher.expect(t="stream-"))["userId"] == "alice"
        assert (await watcher.expect(t="member-"))["reason"] == "left"
        async with world.client.delete(headers["Location"], headers=ticket) as again:
            assert again.status == 404


@pytest.mark.parametrize(
    ("rights", "kinds", "status"),
    [
        (2 | 4 | 16, ("audio", "video"), 201),
        (1 | 2 | 4, ("audio",), 201),
        (1 | 2 | 16, ("video",), 201),
        (1 | 2 | 4, ("audio", "video"), 403),
        (1 | 2 | 16, ("audio",), 403),
        (4 | 16, ("audio", "video"), 403),
        (1 | 2 | 8 | 32 | 64, ("audio", "video"), 403),
    ],
)
async def test_whip_needs_the_rights_to_enter_and_to_send(
    new_peer: NewPeer, rights: int, kinds: tuple[str, ...], status: int
) -> None:
    async with World() as world:
        await world.enter("watcher")
        peer = new_peer()
        ticket = bearer(world.map_key("alice", rights=rights))
        got, _, text = await post(world, "/whip/1001/alice", ticket, await sending_offer(peer, kinds))
        assert got == status, text
        assert (world.directory.member(APP.sdk_app_id, "alice") is not None) == (status == 201)


@pytest.mark.parametrize(
    ("rights", "kinds"),
    [(2 | 8 | 32, {"audio", "video"}), (2 | 8, {"audio"}), (2 | 32, {"video"}), (8 | 32, None), (2 | 128, None)],
)
async def test_whep_plays_what_the_rights_allow(new_peer: NewPeer, rights: int, kinds: set[str] | None) -> None:
    async with World() as world:
        await world.enter("alice")
        peer = new_peer()
        ticket = bearer(world.map_key("viewer", rights=rights))
        status, _, _ = await post(world, "/whep/1001/alice", ticket, await receiving_offer(peer))
        if kinds is None:
            assert status == 403 and not world.rtc.downs
        else:
            assert status == 201
            stream = world.streams.open("8888_1001_alice")
            assert len(stream.audio.subscriptions) == ("audio" in kinds)
            assert len(stream.video.subscriptions) == ("video" in kinds)


async def test_who_is_let_in_and_what_is_read(new_peer: NewPeer) -> None:
    async with World() as world:
        peer = new_peer()
        offer = await sending_offer(peer)
        good = bearer(world.map_key("alice"))
        old = mapkey.mint(APP, "alice", world.wall() - 4000, 3600, world.key(), 255)

        async def status(path: str, headers: dict[str, str], body: str = offer) -> int:
            return (await post(world, path, headers, body))[0]

        assert await status("/whip/1001/alice", {"Content-Type": "application/sdp"}) == 401
        assert await status("/whip/1001/alice", bearer("nonsense")) == 401
        assert await status("/whip/1001/alice", bearer(old)) == 401
        assert await status("/whip/1001/bob", good) == 401
        assert await status("/whip/1002/alice", good) == 401
        assert await status("/whip/1001/a b", good) == 400
        assert await status("/whip/1001/alice", {**good, "Content-Type": "application/json"}) == 415
        assert await status("/whip/1001/alice", good, "nonsense") == 400
        assert await status("/whip/1001/alice", good, "") == 400
        assert await status("/whip/1001/alice", good, "x" * (200 * 1024)) == 413
        assert await status("/whip/1001/alice", good, offer.replace("sendonly", "inactive")) == 422
        no_codec = offer.replace("opus/48000/2", "speex/16000").replace("VP8", "X1").replace("H264", "X2")
        assert await status("/whip/1001/alice", good, no_codec) == 406
        assert await status("/whep/1001/nobody", good) == 404
        assert not world.directory.members and not world.whip.sessions and not world.rtc.ups
        async with world.client.get("/whip/1001/alice") as answer:
            assert answer.status == 405
        async with world.client.options("/whip/1001/alice") as answer:
            assert answer.status == 204 and answer.headers["Accept-Post"] == "application/sdp"
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
        async with world.client.patch("/whip/s/" + "0" * 32, headers=good) as answer:
            assert answer.status == 404
        async with world.client.delete("/whip/s/" + "0" * 32) as answer:
            assert answer.status == 401


async def test_a_full_room_and_a_refused_duplicate(new_peer: NewPeer) -> None:
    async with World(refuse_duplicates=True) as world:
        peers = [new_peer(), new_peer()]
        ticket = bearer(world.map_key("alice"))
        status, headers, answer = await post(world, "/whip/1001/alice", ticket, await sending_offer(peers[0]))
        assert status == 201 and answer
        again, _, _ = await post(world, "/whip/1001/alice", ticket, await sending_offer(peers[1]))
        assert again == 409 and len(world.rtc.ups) == 1
        async with world.client.delete(headers["Location"], headers=ticket):
            pass


async def test_a_newer_publisher_takes_the_stream_of_an_older(new_peer: NewPeer) -> None:
    async with World() as world:
        peers = [new_peer(), new_peer()]
        ticket = bearer(world.map_key("alice"))
        watcher = await world.enter("watcher")
        for peer in peers:
            _, _, answer = await post(world, "/whip/1001/alice", ticket, await sending_offer(peer))
            await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            await watcher.expect(t="stream+")
        assert len(world.whip.sessions) == 1 and len(world.rtc.ups) == 1
        # Others saw the stream restart, not a leave and a join.
        assert [m["t"] for m in watcher.messages if m["t"] not in ("speaking", "member+")] == []


async def test_a_player_may_come_before_the_publisher_is_on_air(new_peer: NewPeer) -> None:
    async with World() as world:
        await world.enter("alice")
        peer = new_peer()
        status, _, answer = await post(
            world, "/whep/1001/alice", bearer(world.map_key("viewer")), await receiving_offer(peer)
        )
        assert status == 201
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        publisher = new_peer()
        _, _, up = await post(world, "/whip/1001/alice", bearer(world.map_key("alice")), await sending_offer(publisher))
        await publisher.setRemoteDescription(RTCSessionDescription(up, "answer"))
        video = next(item.receiver.track for item in peer.getTransceivers() if item.kind == "video")
        await asyncio.wait_for(video.recv(), 10)
        # WHIP of a user who is there by signaling leaves its control session alone.
        member = world.directory.member(APP.sdk_app_id, "alice")
        assert member is not None and member.session is not None
        await asyncio.gather(peer.close(), publisher.close())
        await until(lambda: StreamKind.MAIN not in member.streams)
        assert world.directory.is_present(member)


async def test_patch_trickles_and_restarts_by_the_rules_of_if_match(new_peer: NewPeer) -> None:
    async with World() as world:
        peer = new_peer()
        ticket = world.map_key("alice")
        offer = await sending_offer(peer)
        _, headers, answer = await post(world, "/whip/1001/alice", bearer(ticket), offer)
        url, etag = headers["Location"], headers["ETag"]
        lines = {line.partition(":")[0]: line.partition(":")[2] for line in offer.splitlines()}
        ufrag, pwd = lines["a=ice-ufrag"], lines["a=ice-pwd"]
        fragment = f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
        fragment += "a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n"
        restart = f"a=ice-ufrag:abcd\r\na=ice-pwd:{'p' * 24}\r\n"
        kind = {"Authorization": f"Bearer {ticket}", "Content-Type": "application/trickle-ice-sdpfrag"}

        async def patch(body: str, **more: str) -> tuple[int, Mapping[str, str], str]:
            names = {name.replace("_", "-"): value for name, value in more.items()}
            async with world.client.patch(url, headers={**kind, **names}, data=body.encode()) as got:
                return got.status, got.headers, await got.text()

        assert (await patch(fragment))[0] == 428
        assert (await patch(fragment, If_Match='"other"'))[0] == 412
        assert (await patch(fragment, If_Match=etag))[0] == 204
        assert (await patch(fragment, If_Match=etag, Content_Type="text/plain"))[0] == 415
        assert (await patch(fragment, If_Match=etag, Authorization="Bearer other"))[0] == 401
        assert (await patch("a=ice-ufrag:abcd\r\n", If_Match="*"))[0] == 400
        status, got, body = await patch(restart, If_Match="*")
        assert status == 200 and got["ETag"] != etag
        assert got["Content-Type"].startswith("application/trickle-ice-sdpfrag")
        first = next(line for line in answer.splitlines() if line.startswith("a=ice-ufrag"))
        assert "a=ice-ufrag:" in body and "a=candidate:" in body and first not in body
        assert (await patch(restart, If_Match=etag))[0] == 412
        assert (await patch(restart, If_Match=got["ETag"]))[0] == 204
        async with world.client.delete(url, headers=kind) as gone:
            assert gone.status == 200
