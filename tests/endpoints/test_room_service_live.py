"""Live rooms' own calls, notices, time, browsers in these rooms, and a real encoder whose addresses play."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import av
import pytest

from gateway.app import Gateway
from gateway.base.config import Address, Config, HttpConfig, RoomApiConfig, RtcConfig, RtmpConfig
from gateway.endpoints.room_service.book import NoBook
from gateway.endpoints.room_service.notices import CHANGED, PusherNotices
from gateway.endpoints.room_service.sessions import Sessions
from gateway.rooms.groups import GroupDissolved, GroupNotice
from gateway.rooms.room import StreamKind
from tests.endpoints.room_service_world import ServiceWorld
from tests.endpoints.test_room_api import _play
from tests.endpoints.test_rtmp_real import publish

LIVE = "live_room"


async def test_viewers_with_real_counts() -> None:
    async with ServiceWorld() as world:
        host = await world.user("host")
        await host.push_in(LIVE, "r")
        for number in range(30):
            name = f"viewer{number}"
            viewer = await world.user(name)
            info = json.dumps({"userName": name})
            assert (await viewer(f"{LIVE}/add_audience", roomID="r", userID=name, userInfo=info))["code"] == 0
        late = await world.user("late")
        assert (await late(f"{LIVE}/add_audience", roomID="r", userID="late", userInfo=""))["code"] == 5001
        assert (await viewer(f"{LIVE}/add_audience", roomID="r", userID=name, userInfo="new"))["code"] == 0
        shown = await host(f"{LIVE}/get_audiences", roomID="r")
        assert shown["audienceCount"] == 30 and len(shown["audiences"]) == 30
        assert shown["audiences"][-1] == {"userID": name, "userInfo": "new"}
        assert (await viewer(f"{LIVE}/delete_audience", roomID="r", userID=name))["code"] == 0
        assert (await viewer(f"{LIVE}/delete_audience", roomID="", userID=name))["code"] == 2
        assert (await viewer(f"{LIVE}/delete_audience", roomID="none", userID=name))["code"] == 3
        assert (await host(f"{LIVE}/get_room_list", cnt=1))["rooms"][0]["audienceCount"] == 29


async def test_a_browser_that_watches_is_a_viewer_and_no_news() -> None:
    async with ServiceWorld() as world:
        host = await world.user("host")
        await host.push_in(LIVE, "r")
        await host(f"{LIVE}/add_audience", roomID="r", userID="host", userInfo="{}")
        told = len(world.notices.told)
        page = await world.enter("page", "r", role="audience", nick="P")
        for number in range(3):
            await (await world.user(f"guest{number}")).push_in(LIVE, "r")  # it has taken none of the four seats
        assert len(world.notices.told) == told + 3
        shown = await host(f"{LIVE}/get_audiences", roomID="r")
        assert shown["audienceCount"] == 2
        assert shown["audiences"][1] == {"userID": "page", "userInfo": '{"userName": "P", "userAvatar": ""}'}
        assert (await host(f"{LIVE}/get_pushers", roomID="r"))["audienceCount"] == 2
        await page.close()


async def test_the_group_and_the_room_are_one() -> None:
    async with ServiceWorld() as world:
        host, viewer = await world.user("host"), await world.user("viewer")
        groups, now = world.groups, world.clock()
        groups.create(world.key("hers"), "viewer", now, int(world.wall() * 1000))
        assert (await host.add(LIVE, "hers"))["code"] == 6
        assert (await host(f"{LIVE}/create_room", userID="host", roomInfo="", roomID="hers"))["code"] == 6
        await host.push_in(LIVE, "r")
        groups.join(world.key("r"), "viewer", now, int(world.wall() * 1000))
        await viewer(f"{LIVE}/add_audience", roomID="r", userID="viewer", userInfo="")
        groups.quit(world.key("r"), "viewer", now)
        assert (await host(f"{LIVE}/get_audiences", roomID="r"))["audienceCount"] == 0
        groups.join(world.key("r"), "viewer", now, int(world.wall() * 1000))
        heard: list[object] = []
        groups.events.on("event", heard.append)
        groups.quit(world.key("r"), "host", now)  # the old client says this first
        assert (await host(f"{LIVE}/destroy_room", roomID="r", userID="host"))["code"] == 0
        assert any(isinstance(event, GroupDissolved) and event.room == world.key("r") for event in heard)


async def test_the_real_groups_are_told() -> None:
    async with ServiceWorld() as world:
        PusherNotices(world.directory, world.groups, world.wall)
        heard: list[object] = []
        world.groups.events.on("event", heard.append)
        await (await world.user("alice")).push_in("multi_room", "r")
        await (await world.user("bob")).push_in("multi_room", "r")
        notices = [event for event in heard if isinstance(event, GroupNotice)]
        assert notices and all(event.room == world.key("r") for event in notices)
        assert notices[-1].message.report == 255 and notices[-1].message.text == CHANGED


async def test_custom_fields() -> None:
    async with ServiceWorld() as world:
        host = await world.user("host")
        await host.push_in(LIVE, "r")
        field = f"{LIVE}/set_custom_field"
        assert json.loads((await host(field, roomID="r", fieldName="likes", operation="inc"))["customInfo"]) == {
            "likes": 1
        }
        await host(field, roomID="r", fieldName="down", operation="dec")
        assert (await host(field, roomID="r", fieldName="t", operation="set"))["code"] == 2
        await host(field, roomID="r", fieldName="t", operation="set", value="}}")
        got = await host(f"{LIVE}/get_custom_info", roomID="r")
        assert got["custom"] == got["customInfo"]
        assert json.loads(got["custom"]) == {"likes": 1, "down": -1, "t": "}}"}
        assert (await host(f"{LIVE}/get_custom_info", roomID="none"))["code"] == 3


async def test_merge_stream_is_the_hosts() -> None:
    async with ServiceWorld() as world:
        host, guest = await world.user("host"), await world.user("guest")
        await host.push_in(LIVE, "r")
        call = f"{LIVE}/merge_stream"
        for params in ({"interface": {}}, "{}"):
            answer = await host(call, roomID="r", userID="host", mergeParams=params)
            assert answer["code"] == 0 and answer["result"]["code"] == 0
            assert set(answer["result"]) == {"code", "message", "timestamp"}
        assert (await host(call, roomID="r", userID="host", mergeParams="{"))["code"] == 10
        assert (await host(call, roomID="r", userID="host"))["code"] == 2
        assert (await guest(call, roomID="r", userID="guest", mergeParams="{}"))["code"] == 3
        async with world.client.post("/weapp/multi_room/merge_stream", params=host.query, json={}) as answer:
            assert answer.status == 404


async def test_every_change_of_pushers_is_told_once() -> None:
    async with ServiceWorld() as world:
        alice, bob = await world.user("alice"), await world.user("bob")
        told = world.notices.told
        await alice.push_in("multi_room", "r")
        assert told == []  # a room made so has nobody to be told
        await bob.push_in("multi_room", "r")
        assert told == [("r", CHANGED)]
        await bob.push_in("multi_room", "r")
        assert len(told) == 2
        await alice("multi_room/pusher_heartbeat", roomID="r", userID="alice")
        assert len(told) == 2
        await bob("multi_room/delete_pusher", roomID="r", userID="bob")
        assert len(told) == 3
        await bob.push_in("multi_room", "r")
        assert len(told) == 4
        page = await world.enter("page", "r")
        assert len(told) == 4  # it sends nothing yet
        stream = world.entry.stream_id(world.key("r"), "page", StreamKind.MAIN)
        world.directory.stream_started(stream, transport="webrtc", audio=True, video=True, now=world.clock())
        await asyncio.sleep(0)
        assert len(told) == 5
        shown = await alice("multi_room/get_pushers", roomID="r")
        assert [pusher["userID"] for pusher in shown["pushers"]] == ["alice", "bob", "page"]
        grant = world.entry.admit_play(*_play(shown["pushers"][2]["accelerateURL"]))
        assert grant.stream_id == stream and grant.audio and grant.video
        assert {member["userId"] for member in page.entered["members"]} == {"alice", "bob"}
        await (await world.user("dora")).push_in("multi_room", "r")
        assert (await (await world.user("eve")).add("multi_room", "r"))["code"] == 5001  # the page counts
        world.clock.ahead = 21.0  # nobody but the page has shown life
        world.directory.expire(world.clock())
        await asyncio.sleep(0)
        assert len(told) == 7
        shown = await alice("multi_room/get_pushers", roomID="r")
        assert [pusher["userID"] for pusher in shown["pushers"]] == ["page"] and shown["roomCreator"] == "alice"


async def test_many_changes_are_told_once_in_a_while_and_the_last_one_in_any_case() -> None:
    async with ServiceWorld(notice_gap_s=0.2) as world:
        alice, bob = await world.user("alice"), await world.user("bob")
        told = world.notices.told
        await alice.push_in("multi_room", "r")
        await bob.push_in("multi_room", "r")
        assert told == [("r", CHANGED)]  # at once
        now = asyncio.get_running_loop().time
        began = now()
        for _ in range(5):
            await bob("multi_room/delete_pusher", roomID="r", userID="bob")
            await bob.push_in("multi_room", "r")
        assert len(told) <= 2 + (now() - began) / 0.2
        world.notices.news.clear()
        await bob("multi_room/delete_pusher", roomID="r", userID="bob")
        await asyncio.wait_for(world.notices.news.wait(), 15)
        # A room of that name made anew is told at once again.
        await alice("multi_room/destroy_room", roomID="r", userID="alice")
        told.clear()
        await alice.push_in("multi_room", "r")
        await bob.push_in("multi_room", "r")
        assert told == [("r", CHANGED)]


async def test_a_silent_pusher_stays_while_its_stream_is_live() -> None:
    async with ServiceWorld() as world:
        alice = await world.user("alice")
        url = (await alice("multi_room/get_push_url", userID="alice", roomID="r"))["pushURL"]
        grant = world.entry.admit_push(*_play(url))
        publishing = world.entry.publishing(grant, "rtmp")
        publishing.update(audio=True, video=True)
        assert world.key("r") not in world.directory.rooms  # pushing alone makes no room
        body = {"roomID": "r", "userID": "alice", "userName": "", "userAvatar": "", "pushURL": url}
        assert (await alice("multi_room/add_pusher", **body))["code"] == 0
        world.clock.ahead = 60.0
        world.directory.expire(world.clock())
        assert (await alice("multi_room/get_pushers", roomID="r"))["code"] == 0
        publishing.close()
        world.clock.ahead = 75.0
        world.directory.expire(world.clock())
        assert (await alice("multi_room/pusher_heartbeat", roomID="r", userID="alice"))["code"] == 0
        world.clock.ahead = 96.0
        world.directory.expire(world.clock())
        assert (await alice("multi_room/pusher_heartbeat", roomID="r", userID="alice"))["code"] == 5


@pytest.mark.parametrize("kind", ["double_room", "multi_room", "live_room"])
async def test_a_room_made_ahead_gets_its_creator_with_its_first_member(kind: str) -> None:
    async with ServiceWorld() as world:
        alice, bob = await world.user("alice"), await world.user("bob")
        room = (await alice(f"{kind}/create_room", userID="alice", roomInfo="x"))["roomID"]
        assert (await alice(f"{kind}/get_pushers", roomID=room))["pushers"] == []
        assert (await alice(f"{kind}/destroy_room", roomID=room, userID="alice"))["code"] == 3
        await bob.push_in(kind, room)
        assert (await alice(f"{kind}/get_pushers", roomID=room))["roomCreator"] == "bob"
        lost = (await alice(f"{kind}/create_room", userID="alice", roomInfo="x"))["roomID"]
        world.clock.ahead = 31.0
        world.directory.expire(world.clock())
        assert (await alice(f"{kind}/get_pushers", roomID=lost))["code"] == 1


def test_sessions_are_bounded() -> None:
    numbers = iter(range(1000))
    sessions = Sessions(lambda size: next(numbers).to_bytes(size, "big"), NoBook(), {1}, lambda: 0.0, limit=3)
    for number in range(5):
        sessions.login(1, f"u{number}", False)
    assert len(sessions) == 3


async def test_a_real_encoder_whose_addresses_play(tmp_path: Path) -> None:
    """The whole way over real ports: guest's login, room, ffmpeg pushing before its room knows it, two players."""
    loopback = Address("127.0.0.1", 0)
    config = Config(
        data=str(tmp_path),
        http=HttpConfig(listen=loopback),
        rtmp=RtmpConfig(listen=loopback),
        rtc=RtcConfig(listen=loopback),
        room_api=RoomApiConfig(guests=("127.0.0.0/8",)),
    )
    gateway = Gateway(config)
    await gateway.start()
    try:
        async with aiohttp.ClientSession(gateway.own_url()) as http:
            query: dict[str, str] = {}

            async def call(name: str, **body: object) -> dict[str, Any]:
                async with http.post(f"/weapp/{name}", params=query, json=body) as answer:
                    assert answer.status == 200
                    value: dict[str, Any] = await answer.json()
                    return value

            query = {"userID": "alice"}
            info = await call("utils/get_login_info")
            query = {"userID": "alice", "userSig": info["userSig"], "sdkAppID": str(info["sdkAppID"])}
            query = {"userID": "alice", "token": (await call("live_room/login"))["token"]}
            url = (await call("live_room/get_push_url", userID="alice"))["pushURL"]
            pusher = await publish(url, seconds=15)
            try:
                stream = url.partition("?")[0].rpartition("/")[2]
                assert await gateway.streams.open(stream).live.wait_alive(10)
                room = (await call("live_room/create_room", userID="alice", roomInfo="real"))["roomID"]
                added = await call("live_room/add_pusher", roomID=room, userID="alice", pushURL=url)
                assert added["code"] == 0
                shown = await call("live_room/get_pushers", roomID=room)
                both = (shown["pushers"][0]["accelerateURL"], shown["mixedPlayURL"])
                assert await asyncio.gather(*(asyncio.to_thread(pictures, url) for url in both)) == [10, 10]
                assert (await call("live_room/destroy_room", roomID=room, userID="alice"))["code"] == 0
                assert not gateway.directory.rooms
            finally:
                pusher.kill()
                await pusher.wait()
            tests = await call("utils/get_test_pushurl")
            pusher = await publish(tests["url_push"], seconds=15)
            try:
                stream = tests["url_push"].partition("?")[0].rpartition("/")[2]
                assert await gateway.streams.open(stream).live.wait_alive(10)
                forms = ("flv", "rtmp", "acc")
                played = await asyncio.gather(
                    *(asyncio.to_thread(pictures, tests[f"url_play_{form}"]) for form in forms)
                )
                assert played == [10, 10, 10]
                assert not gateway.directory.rooms  # the stream is nobody's
            finally:
                pusher.kill()
                await pusher.wait()
    finally:
        await gateway.aclose()


def pictures(url: str) -> int:
    count = 0
    options = {"rtmp_live": "live"} if url.startswith("rtmp") else {}
    with av.open(url, options=options, timeout=(10, 10)) as container:
        assert {stream.type for stream in container.streams} == {"audio", "video"}
        for _ in container.decode(video=0):
            count += 1
            if count == 10:
                break
    return count
