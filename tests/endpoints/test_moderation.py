"""Moderation by signaling: who may, what everybody is told, and that it acts on every face of the member."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, get_args

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from gateway.rooms.moderation import Medium
from gateway.rooms.privileges import Privilege
from gateway.wire import signaling as wire
from tests.endpoints.rtmp_fakes import Client as RtmpClient
from tests.endpoints.test_entry_media import Node
from tests.endpoints.test_signaling_media import Peers, until
from tests.endpoints.test_whip import bearer, post, receiving_offer, sending_offer
from tests.endpoints.world import APP, Client, World
from tests.wire.rtmp_peer import AAC_CONFIG, AVC_CONFIG, aac, avc

TEXT = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hello"}}]


async def moderate(client: Client, act: str, user: str | None = None, **fields: Any) -> Any:
    """Return the answer: its fields, or the name of its error."""
    answer = await client.request("moderate", act=act, **({"userId": user} if user else {}), **fields)
    return answer["error"]["name"] if "error" in answer else answer


Rtmp = Callable[..., Awaitable[RtmpClient]]


@pytest.fixture
async def rtmp() -> AsyncIterator[Rtmp]:
    """Connect to a port; with `push` publish, and send a first picture and sound."""

    async def connect(port: int, push: str = "") -> RtmpClient:
        client = RtmpClient(*await asyncio.open_connection("127.0.0.1", port))
        if push:
            await client.publish(push)
            for kind, item in ((9, AVC_CONFIG), (8, AAC_CONFIG), (9, avc(True)), (8, aac())):
                client.media(kind, 0, item)
        return client

    yield connect
    while RtmpClient.opened:
        await RtmpClient.opened.pop().close()


# --- who may


async def test_only_the_creator_and_administrators_moderate() -> None:
    async with World() as world:
        alice, bob = await world.enter("alice"), await world.enter("bob")
        root = await world.enter("administrator")
        assert [client.entered["moderation"]["moderator"] for client in (alice, bob, root)] == [True, False, True]
        for act, fields in (
            ("kick", {"user": "alice"}),
            ("ban", {"user": "nobody"}),
            ("unban", {"user": "nobody"}),
            ("mute", {"user": "alice", "audio": True}),
            ("mute", {"words": True}),
            ("dismiss", {}),
        ):
            assert await moderate(bob, act, **fields) == "not_permitted", act
        assert await moderate(alice, "kick", "administrator") == "not_permitted"
        assert await moderate(alice, "mute", "alice", audio=True) == "not_permitted"
        assert (await moderate(root, "mute", "alice", audio=True))["ok"]
        assert (await moderate(root, "kick", "alice"))["present"]
        assert (await alice.expect(t="kicked"))["reason"] == "kick"


async def test_a_guest_cannot_borrow_the_creators_word() -> None:
    async with World(guests=("127.0.0.0/8",)) as world:
        alice, bob = await world.enter("alice"), await world.enter("bob")
        assert (await alice.request("leave"))["ok"]
        await bob.expect(t="member-")
        login = await world.call("get_login_info", {"userID": "alice"})
        ticket = await world.call("enter_room", {"userID": "alice", "roomID": "1001"})
        guest = await world.connect()
        fields = {**world.ticket("alice"), "userSig": login["userSig"], "privateMapKey": ticket["privateMapKey"]}
        entered = await guest.request("enter", **fields)
        assert entered["ok"] and not entered["moderation"]["moderator"]
        assert await moderate(guest, "kick", "bob") == "not_permitted"


# --- mutes


async def test_mutes_are_told_to_everybody_and_to_who_comes() -> None:
    async with World() as world:
        alice, bob = await world.enter("alice"), await world.enter("bob")
        assert bob.entered["moderation"] == {
            "moderator": False,
            "room": {"audio": False, "video": False, "words": False, "by": ""},
            "members": [],
        }
        assert (await moderate(alice, "mute", "bob", audio=True, words=True, seconds=60))["ok"]
        for client in (alice, bob):
            told = await client.expect(t="moderation")
            assert told["userId"] == "bob" and told["by"] == "alice"
            assert (told["audio"], told["video"], told["words"]) == (True, False, True)
            assert 58000 < told["endsMs"]["audio"] == told["endsMs"]["words"] <= 60000
        assert (await moderate(alice, "mute", "bob", audio=False))["ok"]
        told = await bob.expect(t="moderation")
        assert not told["audio"] and told["words"] and list(told["endsMs"]) == ["words"]
        assert (await moderate(alice, "mute", video=True))["ok"]
        everybody = {"t": "moderation", "audio": False, "video": True, "words": False, "by": "alice"}
        assert await bob.expect(t="moderation") == everybody
        carol = await world.enter("carol")
        known = carol.entered["moderation"]
        assert known["room"]["video"] and [one["userId"] for one in known["members"]] == ["bob"]
        world.clock.ahead += 61
        world.directory.moderation.expire(world.clock())
        told = await bob.expect(t="moderation")
        assert not told["words"] and "endsMs" not in told and told["by"] == ""


async def test_who_is_muted_writes_nothing_by_any_face_until_it_ends() -> None:
    async with World() as world:
        alice, bob, phone = await world.enter("alice"), await world.enter("bob"), await world.login("phone")
        assert (await moderate(alice, "mute", "bob", words=True, seconds=60))["ok"]
        refused = await bob.request("message", random=1, body=TEXT)
        assert refused["error"]["name"] == "muted" and 50000 < refused["error"]["retryAfterMs"] <= 60000
        assert (await bob.request("custom", cmdId=1, data="AAEC"))["error"]["code"] == 1212
        assert (await alice.request("message", random=1, body=TEXT))["seq"] == 1
        assert (await phone.command("send", random=1, body=TEXT))["code"] == 0
        assert (await moderate(alice, "mute", words=True))["ok"]
        assert (await phone.command("send", random=2, body=TEXT))["name"] == "muted"
        assert (await alice.request("message", random=2, body=TEXT))["ok"], "the creator is spared"
        assert (await moderate(alice, "mute", words=False))["ok"]
        world.clock.ahead += 61
        assert (await bob.request("message", random=1, body=TEXT))["ok"]


async def test_a_mini_program_is_told_what_of_it_is_muted() -> None:
    async with World() as world:
        alice, phone = await world.enter("alice"), await world.login("phone")
        assert (await moderate(alice, "mute", "phone", audio=True))["ok"]
        told = await phone.expect(cmd="muted")
        assert told == {"cmd": "muted", "audio": True, "video": False, "words": False, "by": "alice"}
        assert (await moderate(alice, "mute", words=True))["ok"]
        assert (await phone.expect(cmd="muted"))["words"]
        again = await world.login("phone")
        assert (await again.expect(cmd="muted"))["by"] == ""
        world.entry.moderator.mute_everybody(None, world.key(), {Medium.WORDS: False, Medium.VIDEO: False})
        assert (await again.expect(cmd="muted"))["words"] is False
        world.entry.moderator.mute(None, world.key(), "bob", {Medium.AUDIO: True})
        world.entry.moderator.mute(None, world.key(), "phone", {Medium.AUDIO: True})
        assert not [frame for frame in again.messages if frame.get("cmd") == "muted"]


async def test_muted_media_stop_on_their_way_and_the_member_cannot_lift_it(
    peers: Callable[[Client], Peers],
) -> None:
    async with World() as world:
        alice, bob, carol = await world.enter("alice"), await world.enter("bob"), await world.enter("carol")
        assert (await peers(bob).publish())["ok"]
        await carol.expect(t="stream+")
        stream = world.streams.open("8888_1001_bob")
        await until(lambda: stream.audio.live and stream.video.live)
        assert (await moderate(alice, "mute", "bob", audio=True))["ok"]
        assert await carol.expect(t="mute") == {
            "t": "mute",
            "userId": "bob",
            "stream": "main",
            "kind": "audio",
            "muted": True,
        }
        assert not stream.audio.live and stream.video.live
        assert (await bob.request("mute", kind="audio", muted=False))["ok"]
        sounds = stream.audio.packets
        assert (await moderate(alice, "mute", "bob", audio=False, video=True))["ok"]
        assert (await carol.expect(t="mute", kind="audio"))["muted"] is False
        assert (await carol.expect(t="mute", kind="video"))["muted"] is True
        await until(lambda: stream.audio.packets > sounds and not stream.video.live)
        assert (await moderate(alice, "mute", video=True, audio=True))["ok"]
        assert (await moderate(alice, "mute", "bob", video=False))["ok"]
        assert not stream.audio.live and not stream.video.live, "everybody's mute is left"
        assert (await moderate(alice, "mute", video=False, audio=False))["ok"]
        await until(lambda: stream.audio.live and stream.video.live)
        assert not any(message["t"] in ("stream-", "stream+", "member-") for message in carol.messages)


@pytest.fixture
async def peers() -> AsyncIterator[Callable[[Client], Peers]]:
    made: list[Peers] = []

    def make(client: Client) -> Peers:
        made.append(Peers(client))
        return made[-1]

    yield make
    for item in made:
        await item.close()


# --- rights


async def test_rights_decided_by_a_moderator_are_told_and_act(peers: Callable[[Client], Peers]) -> None:
    async with World() as world:
        bob, carol = await world.enter("bob"), await world.enter("carol", rights=Privilege.AUDIENCE)
        assert (await peers(bob).publish())["ok"]
        await carol.expect(t="stream+")
        stream = world.streams.open("8888_1001_bob")
        await until(lambda: stream.audio.live and stream.video.live)
        moderation = world.directory.moderation
        moderation.decide_rights(world.key(), "bob", Privilege.AUDIENCE)
        assert await bob.expect(t="rights") == {"t": "rights", "privileges": int(Privilege.AUDIENCE)}
        assert (await carol.expect(t="stream-"))["userId"] == "bob"
        assert (await carol.expect(t="member+", userId="bob"))["role"] == "audience"
        assert not stream.audio.live and not stream.video.live
        # An offer with what may not pass now is answered: what was taken away may be given back.
        assert (await bob.request("role", role="anchor"))["privileges"] == int(Privilege.AUDIENCE)
        assert (await bob.request("custom", cmdId=1, data="AAEC"))["error"]["name"] == "not_permitted"
        moderation.decide_rights(world.key(), "bob", None)
        assert (await bob.expect(t="rights", privileges=255))["t"] == "rights"
        assert (await carol.expect(t="stream+"))["video"]
        await until(lambda: stream.audio.live and stream.video.live)
        # More than the ticket says, and then by its role.
        assert (await peers(carol).publish(("audio",)))["error"]["name"] == "not_permitted"
        moderation.decide_rights(world.key(), "carol", Privilege.ALL)
        await carol.expect(t="rights", privileges=255)
        assert (await peers(carol).publish(("audio",)))["ok"]
        assert (await carol.request("role", role="audience"))["privileges"] == 255 & ~(4 | 16 | 64)
        assert (await carol.request("role", role="anchor"))["privileges"] == 255


async def test_a_right_to_receive_comes_back_to_one_who_lost_its_socket(peers: Callable[[Client], Peers]) -> None:
    """Rights change while the member is resuming: its media follow, whoever is told."""
    async with World() as world:
        alice, bob = await world.enter("alice"), await world.enter("bob")
        assert (await peers(alice).publish())["ok"]
        await bob.expect(t="stream+")
        assert (await bob.request("subscribe", userId="alice"))["ok"]
        viewer = peers(bob)
        await viewer.take_offer()
        stream = world.streams.open("8888_1001_alice")
        await until(lambda: stream.video.subscriptions)
        bob.abort()
        member = world.directory.member(APP.sdk_app_id, "bob")
        assert member is not None
        await until(lambda: member.session is None)
        world.directory.moderation.decide_rights(world.key(), "bob", Privilege.ENTER | Privilege.RECEIVE_AUDIO)
        await until(lambda: not stream.video.subscriptions and stream.audio.subscriptions)


# --- thrown out


async def test_a_kick_ends_all_that_its_user_pushes_and_plays(rtmp: Rtmp) -> None:
    async with Node() as (world, port):
        alice, carol = await world.enter("alice"), await world.enter("carol")
        phone = await world.login("phone")
        body = {"userID": "phone", "roomID": 1001, "userSig": world.sig("phone")}
        entered = await world.call("get_push_url", {**body, "privateMapKey": world.map_key("phone")})
        push, flv = entered["pushURL"].rpartition("/")[2], _play_url(world, "phone")
        publisher, player = await rtmp(port, push), await rtmp(port)
        await alice.expect(t="stream+", userId="phone")
        await player.play(flv.rpartition("/")[2].replace(".flv", ""))
        async with world.client.get(flv) as answer:
            assert answer.status == 200
            assert (await moderate(alice, "kick", "phone"))["present"]
            await answer.content.read()  # the response ends
        await publisher.read_until("NetStream.Publish.Denied")
        await publisher.read_until(None)
        await player.read_until(None)
        assert (await phone.expect(cmd="kicked"))["reason"] == "kick"
        for client in (alice, carol):
            assert (await client.expect(t="stream-"))["userId"] == "phone"
            assert (await client.expect(t="member-"))["reason"] == "kicked"
        again = await rtmp(port)
        again.send(again.peer.publish(push))
        await again.read_until("NetStream.Publish.Denied")
        async with world.client.get(flv) as answer:
            assert answer.status == 403
        assert (await world.enter("phone")).entered["ok"], "a kick is no ban"


async def test_a_ban_lasts_its_time_and_meets_one_who_only_watches(world_peers: Any) -> None:
    world, new_peer = world_peers
    async with world:
        alice = await world.enter("alice")
        down, up = new_peer(), new_peer()
        status, _, _ = await post(world, "/whep/1001/alice", bearer(world.map_key("eve")), await receiving_offer(down))
        assert status == 201
        status, _, _ = await post(world, "/whip/1001/eve", bearer(world.map_key("eve")), await sending_offer(up))
        assert status == 201 and len(world.whip.sessions) == 2
        assert (await alice.expect(t="member+"))["userId"] == "eve"
        assert (await moderate(alice, "ban", "eve", seconds=30, reason="noise"))["present"]
        assert not world.whip.sessions and not world.rtc.ups and not world.rtc.downs
        offer = str(up.localDescription.sdp)
        for path in ("/whip/1001/eve", "/whep/1001/alice"):
            assert (await post(world, path, bearer(world.map_key("eve")), offer))[0] == 403
        client = await world.connect()
        refused = await client.request("enter", **world.ticket("eve"))
        assert refused["error"]["name"] == "not_permitted" and "banned" in refused["error"]["message"]
        assert await world.login("eve")
        world.clock.ahead += 31
        world.directory.moderation.expire(world.clock())
        assert (await client.request("enter", **world.ticket("eve")))["ok"]
        assert (await moderate(alice, "ban", "eve"))["present"]
        assert (await client.expect(t="kicked"))["reason"] == "banned"
        assert (await moderate(alice, "unban", "eve"))["banned"]
        assert not (await moderate(alice, "unban", "eve"))["banned"]


@pytest.fixture
async def world_peers() -> AsyncIterator[Any]:
    made: list[RTCPeerConnection] = []

    def make() -> RTCPeerConnection:
        made.append(RTCPeerConnection(RTCConfiguration(iceServers=[])))
        return made[-1]

    yield World(), make
    for peer in made:
        await peer.close()


async def test_a_dismissed_room_is_over_for_all_and_is_not_made_again_by_a_push(rtmp: Rtmp) -> None:
    async with Node() as (world, port):
        alice, bob = await world.enter("alice"), await world.enter("bob")
        body = {"userID": "phone", "roomID": 1001, "userSig": world.sig("phone")}
        entered = await world.call("get_push_url", {**body, "privateMapKey": world.map_key("phone")})
        push = entered["pushURL"].rpartition("/")[2]
        publisher = await rtmp(port, push)
        await alice.expect(t="stream+", userId="phone")
        assert (await moderate(alice, "dismiss"))["ok"]
        for client in (alice, bob):
            assert (await client.expect(t="kicked"))["reason"] == "room_disband"
        await publisher.read_until(None)
        assert world.key() not in world.directory.rooms
        await rtmp(port, push)
        await until(lambda: world.directory.is_live("8888_1001_phone"))
        assert world.key() not in world.directory.rooms, "an encoder that comes back by itself opens no room"
        assert (await world.enter("bob")).entered["ok"]


def _play_url(world: World, user: str) -> str:
    member = world.directory.member(APP.sdk_app_id, user)
    assert member is not None
    stream = world.entry.stream_id(member.key, user, world.kind("main"))
    return world.entry.play_url(member, stream, world.entry.urls.bases(None), "flv").replace(
        "http://127.0.0.1:8080", ""
    )


def test_media_have_the_same_names_on_the_wire_and_in_the_rules() -> None:
    assert set(get_args(wire.MediumName)) == {medium.value for medium in Medium}
