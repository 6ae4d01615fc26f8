"""Entry: who is admitted to push and play by URL, which media pass, and what the directory hears."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.base.config import PublicConfig, UrlsConfig
from gateway.base.errors import BadRequest, BadTicket, GatewayError, NoSuchStream, NotPermitted
from gateway.endpoints.entry import Start
from gateway.endpoints.entry.urls import Bases
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import StreamKind
from gateway.rooms.tickets import urlsig
from gateway.rooms.tickets.keys import AppKeys
from gateway.wire.frame import Codec, Frame
from tests.endpoints.world import APP, OTHER_APP, World

BASES = Bases("http://gw:8080", "rtmp://gw")


def split(url: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    name = parts.path.rpartition("/")[2].removesuffix(".flv")
    return name, {key: values[0] for key, values in parse_qs(parts.query).items()}


def signed(key: Any, stream: str, world: World, seconds: float = 3600, app: AppKeys = APP) -> dict[str, str]:
    query = urlsig.mint(app, key, stream, world.wall() + seconds)
    return {name: values[0] for name, values in parse_qs(query).items()}


async def join(world: World, user: str, rights: int = 255, room: int = 1001) -> Any:
    return world.entry.join(world.key(room), user, Privilege(rights))


async def test_a_member_publishes_by_its_url_with_the_media_of_its_rights() -> None:
    async with World() as world:
        for rights, audio, video in ((255, True, True), (3 | 4, True, False), (3 | 16, False, True)):
            member = await join(world, f"user{rights}", rights)
            url = world.entry.push_url(member, StreamKind.MAIN, BASES)
            assert url.startswith(f"rtmp://gw/live/8888_1001_user{rights}?")
            grant = world.entry.admit_push(*split(url))
            assert (grant.allow_audio, grant.allow_video) == (audio, video)
            assert (grant.room, grant.user_id) == (world.key(), f"user{rights}")
            assert world.entry.push_url(member, StreamKind.MAIN, BASES) == url
        viewer = await join(world, "viewer", 42 | 1)
        assert world.entry.push_url(viewer, StreamKind.MAIN, BASES) == ""


@pytest.mark.parametrize(
    ("rights", "kind", "audio", "video"),
    [
        (255, StreamKind.AUX, True, True),
        (3 | 64, StreamKind.AUX, False, True),
        (3 | 64 | 4, StreamKind.AUX, True, True),
        (3 | 4 | 16, StreamKind.AUX, None, None),
        (3, StreamKind.MAIN, None, None),
        (3 | 64, StreamKind.MAIN, None, None),
    ],
)
async def test_the_sending_bits(rights: int, kind: StreamKind, audio: bool | None, video: bool | None) -> None:
    async with World() as world:
        if audio is None:
            with pytest.raises(NotPermitted):
                world.entry.grant_push(world.key(), "alice", kind, Privilege(rights))
            return
        grant = world.entry.grant_push(world.key(), "alice", kind, Privilege(rights))
        assert (grant.allow_audio, grant.allow_video) == (audio, video)


@pytest.mark.parametrize(
    ("rights", "kind", "audio", "video"),
    [
        (2 | 8 | 32, StreamKind.MAIN, True, True),
        (2 | 8, StreamKind.MAIN, True, False),
        (2 | 32, StreamKind.MAIN, False, True),
        (2 | 4 | 16 | 64 | 128, StreamKind.MAIN, None, None),
        (2 | 128, StreamKind.AUX, False, True),
        (2 | 8 | 128, StreamKind.AUX, True, True),
        (2 | 8 | 32, StreamKind.AUX, None, None),
    ],
)
async def test_the_receiving_bits(rights: int, kind: StreamKind, audio: bool | None, video: bool | None) -> None:
    async with World() as world:
        await join(world, "alice")
        viewer = await join(world, "viewer", rights)
        stream = world.entry.stream_id(world.key(), "alice", kind)
        name, query = split(world.entry.play_url(viewer, stream, BASES))
        if audio is None:
            with pytest.raises(NotPermitted):
                world.entry.admit_play(name, query)
            return
        grant = world.entry.admit_play(name, query)
        assert (grant.audio, grant.video, grant.issued) == (audio, video, True)


async def test_a_url_never_gives_more_than_its_user_has_now() -> None:
    async with World() as world:
        await join(world, "alice")
        viewer = await join(world, "viewer")
        stream = world.entry.stream_id(world.key(), "alice", StreamKind.MAIN)
        name, query = split(world.entry.play_url(viewer, stream, BASES))
        world.directory.update_member(viewer, privileges=Privilege.ENTER | Privilege.RECEIVE_AUDIO)
        grant = world.entry.admit_play(name, query)
        assert grant.audio and not grant.video


async def test_only_the_push_key_publishes_and_all_three_play() -> None:
    async with World() as world:
        for key in ("push", "rtcplay", "play"):
            query = signed(key, "8888_free", world)
            grant = world.entry.admit_play("8888_free", query)
            assert grant.audio and grant.video and not grant.issued
            assert grant.start is (Start.GOP if key == "play" else Start.NEWEST_KEY)
            if key == "push":
                push = world.entry.admit_push("8888_free", query)
                assert push.room is None and push.allow_audio and push.allow_video
            else:
                with pytest.raises(BadTicket):
                    world.entry.admit_push("8888_free", query)


async def test_no_url_that_others_get_is_signed_with_the_push_key() -> None:
    async with World() as world:
        await join(world, "alice")
        viewer = await join(world, "viewer")
        stream = world.entry.stream_id(world.key(), "alice", StreamKind.MAIN)
        forms: tuple[Any, ...] = ("rtc", "rtmp", "flv")
        for form in forms:
            url = world.entry.play_url(viewer, stream, BASES, form)
            assert "bizid" not in url
            name, query = split(url)
            world.entry.admit_play(name, query)
            with pytest.raises(BadTicket):
                world.entry.admit_push(name, query)
            # Nor without its grant.
            for missing in ({"u", "p", "t"}, {"t"}):
                bare = {key: value for key, value in query.items() if key not in missing}
                with pytest.raises(BadTicket):
                    world.entry.admit_play(name, bare)
        assert world.entry.play_url(viewer, stream, BASES, "flv").startswith(f"http://gw:8080/live/{stream}.flv?")


@pytest.mark.parametrize(
    ("stream", "seconds", "code"),
    [("8888_x", -10, 9), ("8888_x", 401 * 86400, 10), ("8888_" + "x" * 130, 60, None), ("a.b", 60, None)],
)
async def test_urls_have_their_time_and_form(stream: str, seconds: float, code: int | None) -> None:
    async with World() as world:
        query = signed("push", "8888_x", world, seconds)
        with pytest.raises(BadTicket) as caught:
            world.entry.admit_push(stream, query)
        assert code is None or caught.value.code == code


async def test_the_shifted_pair_of_name_and_time_is_refused() -> None:
    async with World() as world:
        query = signed("push", "8888_1_alice1", world)
        moved = {**query, "txTime": "1" + query["txTime"]}
        with pytest.raises(BadTicket):
            world.entry.admit_push("8888_1_alice", moved)


async def test_the_bizid_says_which_app() -> None:
    async with World() as world:
        app = AppKeys(OTHER_APP.sdk_app_id, "9999", push_key="other")
        with pytest.raises(BadTicket):
            world.entry.admit_push("9999_x", signed("push", "9999_x", world))
        assert world.tickets.app_of_stream("9999_x") is OTHER_APP
        assert world.tickets.app_of_stream("x") is APP and app.bizid == "9999"


async def test_a_kick_withdraws_the_urls_until_the_next_entry() -> None:
    async with World() as world:
        alice, viewer = await join(world, "alice"), await join(world, "viewer")
        stream = world.entry.stream_id(world.key(), "alice", StreamKind.MAIN)
        play = split(world.entry.play_url(viewer, stream, BASES))
        push = split(world.entry.push_url(alice, StreamKind.MAIN, BASES))
        world.directory.kick(world.key(), "viewer")
        world.directory.kick(world.key(), "alice")
        with pytest.raises(NotPermitted):
            world.entry.admit_play(*play)
        with pytest.raises(NotPermitted):
            world.entry.admit_push(*push)
        await join(world, "viewer")
        assert world.entry.admit_play(*play).video


async def test_open_play_needs_no_signature_but_a_wrong_one_is_wrong() -> None:
    async with World(urls=UrlsConfig(open_play=True)) as world:
        assert world.entry.admit_play("8888_x", {}).start is Start.GOP
        with pytest.raises(BadTicket):
            world.entry.admit_play("8888_x", {"txSecret": "0" * 32, "txTime": "7FFFFFFF"})
        with pytest.raises(NoSuchStream):
            world.entry.admit_play("a/b", {})
    async with World() as world:
        with pytest.raises(BadTicket):
            world.entry.admit_play("8888_x", {})


async def test_push_into_a_text_room_by_tickets() -> None:
    async with World() as world:
        from gateway.rooms.room import RoomKey
        from gateway.rooms.tickets import mapkey

        room = RoomKey(APP.sdk_app_id, "123", True)

        def query(rights: int = 255, user: str = "obs") -> dict[str, str]:
            ticket = mapkey.mint(APP, "obs", world.wall(), 60, room, rights)
            return {
                "sdkappid": str(APP.sdk_app_id),
                "userid": user,
                "usersig": world.sig("obs"),
                "privatemapkey": ticket,
            }

        grant = world.entry.admit_room_push("123", query())
        assert grant.room == room and grant.user_id == "obs" and grant.stream_id == "8888_123_obs"
        audio_only = world.entry.admit_room_push("123", query(2 | 4))
        assert audio_only.allow_audio and not audio_only.allow_video
        for bad, error in (
            (query(4), NotPermitted),
            (query(2), NotPermitted),
            (query(user="other"), BadTicket),
            ({**query(), "privatemapkey": ""}, BadTicket),
            ({**query(), "usersig": ""}, BadTicket),
            ({**query(), "sdkappid": "x"}, BadRequest),
            ({**query(), "sdkappid": "5"}, BadTicket),
            ({}, GatewayError),
        ):
            with pytest.raises(error):
                world.entry.admit_room_push("123", bad)
        optional = {"sdkappid": str(OTHER_APP.sdk_app_id), "userid": "obs", "usersig": world.sig("obs", OTHER_APP)}
        assert world.entry.admit_room_push("r", optional).allow_video


class Publisher:
    def replaced(self, reason: str) -> None:
        pass


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def key_frame(dts: int = 0) -> Frame:
    return Frame(Codec.VP8, dts, dts, b"\x10\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00", keyframe=True)


async def test_what_an_rtmp_publisher_sends_makes_it_a_member_with_a_stream() -> None:
    async with World() as world:
        alice = await world.enter("alice")
        stream_id = world.entry.stream_id(world.key(), "phone", StreamKind.MAIN)
        grant = world.entry.admit_push(stream_id, signed("push", stream_id, world))
        stream, publisher = world.streams.open(grant.stream_id), Publisher()
        stream.publish_live(publisher, world.clock())
        await settle()
        assert world.directory.member(APP.sdk_app_id, "phone") is None  # not before media comes
        stream.live.write(key_frame())
        stream.live.write(Frame(Codec.OPUS, 0, 0, b"\xf8"))
        await settle()
        assert (await alice.expect(t="member+"))["userId"] == "phone"
        seen = await alice.expect(t="stream+", userId="phone")
        assert seen["video"] and seen["transport"] == "rtmp"
        stream.unpublish(publisher, world.clock())
        await settle()
        assert (await alice.expect(t="stream-"))["userId"] == "phone"


async def test_another_room_kind_waits_for_add_pusher() -> None:
    async with World() as world:
        policy = world.entry.policies["double_room"]
        world.directory.create_room(world.key("r1"), creator="host", policy=policy, now=world.clock())
        stream_id = world.entry.stream_id(world.key("r1"), "phone", StreamKind.MAIN)
        world.entry.admit_push(stream_id, signed("push", stream_id, world))
        stream = world.streams.open(stream_id)
        stream.publish_live(Publisher(), world.clock())
        stream.live.write(key_frame())
        await settle()
        assert world.directory.is_live(stream_id)
        assert world.directory.member(APP.sdk_app_id, "phone") is None


@pytest.mark.parametrize(
    ("public", "host", "secure", "http", "rtmp"),
    [
        (PublicConfig(), None, False, "http://127.0.0.1:8080", "rtmp://127.0.0.1"),
        (PublicConfig(), "gw.lan:9", False, "http://gw.lan:8080", "rtmp://gw.lan"),
        (PublicConfig(), "[fe80::1]:9", False, "http://[fe80::1]:8080", "rtmp://[fe80::1]"),
        (PublicConfig(), "a b", False, "http://127.0.0.1:8080", "rtmp://127.0.0.1"),
        (PublicConfig(), "gw", True, "http://gw:8080", "rtmp://gw"),
        (PublicConfig("https://p/", "rtmp://q:1/"), "gw", False, "https://p", "rtmp://q:1"),
    ],
)
async def test_bases(public: PublicConfig, host: str | None, secure: bool, http: str, rtmp: str) -> None:
    async with World(public=public) as world:
        assert world.entry.urls.bases(host, secure=secure) == Bases(http, rtmp)
