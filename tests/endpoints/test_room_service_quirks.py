"""What the room code of 2018 does, sent as it sends it; the numbers are those of the quirks that pytest knows."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import Any

import pytest

from gateway.endpoints.room_service.notices import CHANGED
from gateway.rooms.room import StreamKind
from tests.endpoints.im.phone import Phone
from tests.endpoints.room_service_world import KINDS, ServiceWorld, User, notices
from tests.endpoints.test_room_api import _play
from tests.endpoints.world import APP

LIVE = "live_room"
GUESTS = ("127.0.0.0/8",)


@pytest.mark.quirk(17)
@pytest.mark.parametrize("base", ["/roomservice/", "/roomservice", "", "/roomservice//"])
async def test_every_way_of_writing_the_base_address_works(base: str) -> None:
    async with ServiceWorld() as world:
        logged_in = await world.post("double_room/login", {}, world.ticket_query("alice"), base)
        assert logged_in["code"] == 0
        query = {"userID": "alice", "token": logged_in["token"]}
        assert (await world.post("double_room/get_room_list", {"index": 0, "cnt": 20}, query, base))["code"] == 0
        async with world.client.options(f"{base}/weapp/double_room/login") as answer:
            assert answer.status == 204
            assert "Content-Type" in answer.headers["Access-Control-Allow-Headers"]


@pytest.mark.quirk(10, 18)
async def test_only_the_login_info_is_asked_by_get() -> None:
    async with ServiceWorld(guests=GUESTS) as world:
        path, query = "/weapp/utils/get_login_info", {"userIDPrefix": "weixin", "code": "071xQ"}
        async with world.client.get(path, params=query) as answer:
            info = await answer.json()
        assert info["code"] == 0 and info["sdkAppID"] == APP.sdk_app_id
        assert info["accType"] == "0"  # a text: the number 0 is nothing to these clients
        again = await world.post("utils/get_login_info", None, {"userID": info["userID"]})
        assert again["userID"] == info["userID"]
        async with world.client.get("/weapp/multi_room/login", params=world.ticket_query("alice")) as answer:
            assert answer.status == 405


@pytest.mark.quirk(19)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_push_is_admitted_before_anybody_knows_its_user(kind: str) -> None:
    async with ServiceWorld() as world:
        alice = await world.user("alice")
        url = (await alice(f"{kind}/get_push_url", userID="alice"))["pushURL"]
        publishing = world.entry.publishing(world.entry.admit_push(*_play(url)), "rtmp")
        publishing.update(audio=True, video=True)
        assert not world.directory.rooms and not world.directory.members
        room = (await alice(f"{kind}/create_room", userID="alice", roomInfo="x"))["roomID"]
        body = {"roomID": room, "userID": "alice", "userName": "A", "userAvatar": "123", "pushURL": url}
        assert (await alice(f"{kind}/add_pusher", **body))["code"] == 0
        member = world.directory.member_in(world.key(room), "alice")
        assert member is not None and member.streams[StreamKind.MAIN].live  # found at once, not at its next packet
        publishing.close()


@pytest.mark.quirk(20, 21)
@pytest.mark.parametrize("kind", KINDS[1:])
async def test_get_pushers_says_what_clients_overwrite_their_own_with_the_creator_first(kind: str) -> None:
    async with ServiceWorld() as world:
        bob, alice, carl = [await world.user(name) for name in ("bob", "alice", "carl")]
        room = (await bob(f"{kind}/create_room", userID="bob", roomInfo='{"name":"}}"}'))["roomID"]
        for user in (bob, alice, carl):
            await user.push_in(kind, room)
        shown = await carl(f"{kind}/get_pushers", roomID=room)
        assert (shown["roomID"], shown["roomInfo"], shown["roomCreator"]) == (room, '{"name":"}}"}', "bob")
        assert [pusher["userID"] for pusher in shown["pushers"]] == ["bob", "alice", "carl"]
        if kind == "multi_room":
            await bob(f"{kind}/delete_pusher", roomID=room, userID="bob")
            assert await carl.pushers(kind, room) == ["alice", "carl"]
            await bob.push_in(kind, room)
            assert await carl.pushers(kind, room) == ["bob", "alice", "carl"]


@pytest.mark.quirk(22)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_room_that_nobody_made_comes_with_its_group(kind: str) -> None:
    async with ServiceWorld(im=True) as world:
        alice, phone = await world.user("alice"), await Phone(world, "alice").login()
        url = (await alice(f"{kind}/get_push_url", roomID="theirs", userID="alice"))["pushURL"]
        body = {"userName": "A", "userAvatar": "123", "pushURL": url, "roomInfo": "n"}
        assert (await alice(f"{kind}/add_pusher", roomID="theirs", userID="alice", **body))["roomID"] == "theirs"
        await phone.join("theirs")
        await (await world.user("bob")).push_in(kind, "theirs")
        assert (255, CHANGED) in await notices(phone)


@pytest.mark.quirk(23)
async def test_the_host_quits_its_group_first_and_the_others_hear_of_the_end() -> None:
    async with ServiceWorld(im=True) as world:
        host, viewer = await world.user("host"), await world.user("viewer")
        host_im, viewer_im = await Phone(world, "host").login(), await Phone(world, "viewer").login()
        room = (await host(f"{LIVE}/create_room", userID="host", roomInfo="x"))["roomID"]
        await host_im.join(room)
        await host.push_in(LIVE, room)
        await viewer_im.join(room)
        await viewer(f"{LIVE}/add_audience", roomID=room, userID="viewer", userInfo="{}")
        pending = asyncio.create_task(notices(viewer_im))
        quitted, destroyed = await asyncio.gather(
            host_im.quit(room), host(f"{LIVE}/destroy_room", roomID=room, userID="host")
        )
        assert quitted["ActionStatus"] == "OK" and destroyed["code"] == 0
        assert (5, "") in [*await pending, *await notices(viewer_im)]
        assert (await viewer(f"{LIVE}/get_pushers", roomID=room))["code"] == 1
        # the viewer leaves in this order, all of it too late
        assert (await viewer_im.quit(room))["ActionStatus"] == "OK"
        assert (await viewer(f"{LIVE}/delete_pusher", roomID=room, userID="viewer"))["code"] == 5
        assert (await viewer(f"{LIVE}/delete_audience", roomID=room, userID="viewer"))["code"] == 3


def stream_of(url: str) -> str:
    """Return what the clients take for the stream id: the last segment, cut at `?` or the first dot."""
    return re.split(r"[?.]", url.partition("?")[0].rpartition("/")[2])[0]


@pytest.mark.quirk(24)
@pytest.mark.parametrize("room", ["room_1", "a.b", "a/b?c=d", "1.2.3", "x y"])
async def test_a_stream_id_can_be_read_off_every_address(room: str) -> None:
    async with ServiceWorld() as world:
        host, guest = await world.user("host"), await world.user("guest")
        made = await host(f"{LIVE}/create_room", userID="host", roomInfo="x", roomID=room)
        assert made["code"] == 0
        await host.push_in(LIVE, room)
        await guest.push_in(LIVE, room)
        shown = await host(f"{LIVE}/get_pushers", roomID=room)
        for pusher in shown["pushers"]:
            stream = stream_of(pusher["accelerateURL"])
            assert world.directory.issued_to(stream) == (APP.sdk_app_id, pusher["userID"])
        assert stream_of(shown["mixedPlayURL"]) == stream_of(shown["pushers"][0]["accelerateURL"])


def merge_params(shown: dict[str, Any]) -> dict[str, Any]:
    """What a live room's host asks for with its guests: positions on a canvas of 360x640."""
    streams = [stream_of(pusher["accelerateURL"]) for pusher in shown["pushers"]]
    layers: list[dict[str, object]] = [{"input_stream_id": streams[0], "layout_params": {"image_layer": 1}}]
    for number, stream in enumerate(streams[1:]):
        place = {"image_width": 120, "image_height": 180, "location_x": 240, "location_y": 400 - 180 * number}
        layers.append({"input_stream_id": stream, "layout_params": {"image_layer": 2 + number, **place}})
    para = {
        "app_id": str(APP.sdk_app_id),
        "interface": "mix_streamv2.start_mix_stream_advanced",
        "mix_stream_session_id": streams[0],
        "output_stream_id": streams[0],
        "input_stream_list": layers,
    }
    return {
        "timestamp": 1546300800,
        "eventId": 1546300800,
        "interface": {"interfaceName": "Mix_StreamV2", "para": para},
    }


@pytest.mark.quirk(25, 26)
async def test_the_merge_has_a_result_with_and_without_guests() -> None:
    async with ServiceWorld() as world:
        host, guests = await world.user("host"), [await world.user(f"guest{number}") for number in range(3)]
        await host.push_in(LIVE, "r")
        for guest in (None, *guests):
            if guest is not None:
                await guest.push_in(LIVE, "r")
            text = json.dumps(merge_params(await host(f"{LIVE}/get_pushers", roomID="r")))
            answer = await host(f"{LIVE}/merge_stream", userID="host", roomID="r", mergeParams=text)
            assert answer["code"] == 0 and answer["result"]["code"] == 0
            assert set(answer["result"]) == {"code", "message", "timestamp"}


@pytest.mark.quirk(27, 28)
async def test_a_viewer_says_too_much_when_it_goes_and_no_room_after_it_was_linked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with ServiceWorld(im=True) as world:
        host, viewer = await world.user("host"), await world.user("viewer")
        await host.push_in(LIVE, "r")
        phone = await (await Phone(world, "viewer").login()).join("r")
        await viewer(f"{LIVE}/add_audience", roomID="r", userID="viewer", userInfo='{"userName":"V"}')
        await viewer.push_in(LIVE, "r")
        assert (await viewer(f"{LIVE}/delete_pusher", roomID="r", userID="viewer"))["code"] == 0
        caplog.clear()
        for call, code in (("delete_pusher", 2), ("delete_audience", 2)):
            assert (await viewer(f"{LIVE}/{call}", roomID="", userID="viewer"))["code"] == code
        assert (await viewer(f"{LIVE}/delete_pusher", roomID="r", userID="viewer"))["code"] == 5
        assert not [record for record in caplog.records if record.name.startswith("gateway")]  # nothing to be logged
        assert (await host(f"{LIVE}/get_audiences", roomID="r"))["audienceCount"] == 1
        await phone.quit("r")
        assert (await host(f"{LIVE}/get_audiences", roomID="r"))["audienceCount"] == 0
        assert await host.pushers(LIVE, "r") == ["host"]


@pytest.mark.quirk(29)
async def test_heartbeats_of_no_room_and_of_two_chains_do_no_harm() -> None:
    async with ServiceWorld() as world:
        alice = await world.user("alice")
        await alice.push_in("multi_room", "r")
        beat = "multi_room/pusher_heartbeat"
        assert (await alice(beat, roomID="", userID="alice"))["code"] == 2
        for ahead in (7.0, 14.0, 21.0):
            world.clock.ahead = ahead
            both = await asyncio.gather(*(alice(beat, roomID="r", userID="alice") for _ in range(2)))
            assert [answer["code"] for answer in both] == [0, 0]
            world.directory.expire(world.clock())
        assert await alice.pushers("multi_room", "r") == ["alice"]


@pytest.mark.quirk(9, 30)
async def test_a_login_again_carries_the_old_token() -> None:
    async with ServiceWorld() as world:
        first = await world.user("alice")
        assert re.fullmatch(r"[A-Za-z0-9_-]+", first.token)  # put into URLs as it is
        for token in (first.token, "nonsense"):
            again = await world.post("multi_room/login", {}, world.ticket_query("alice") | {"token": token})
            assert again["code"] == 0 and again["token"] != first.token
            assert (await User(world, "alice", again["token"])("multi_room/get_room_list"))["code"] == 0
        assert (await first("multi_room/get_room_list"))["code"] == 7


@pytest.mark.quirk(31)
async def test_leaving_a_room_and_quitting_its_group_may_come_in_any_order() -> None:
    async with ServiceWorld(im=True) as world:
        for number in range(4):
            alice, phone = await world.user("alice"), await Phone(world, "alice").login()
            await alice.push_in("double_room", "r")  # who is alone there: leaving dissolves the group
            await phone.join("r")
            left, quitted = (
                alice("double_room/delete_pusher", roomID="r", userID="alice"),
                phone.quit("r"),
            )
            answers = await asyncio.gather(*((left, quitted) if number % 2 else (quitted, left)))
            assert sorted(str(answer.get("code", answer.get("ActionStatus"))) for answer in answers) == ["0", "OK"]
            assert not world.directory.rooms


@pytest.mark.quirk(32)
async def test_the_list_is_asked_for_while_the_group_is_joined() -> None:
    async with ServiceWorld(im=True) as world:
        alice, phone = await world.user("alice"), await Phone(world, "alice").login()
        await alice.push_in("multi_room", "r")
        shown, _ = await asyncio.gather(alice("multi_room/get_pushers", roomID="r"), phone.join("r"))
        assert shown["code"] == 0 and shown["pushers"][0]["userID"] == "alice"
        stranger = await world.user("stranger")
        assert await stranger.pushers("multi_room", "r") == ["alice"]


@pytest.mark.quirk(33)
@pytest.mark.parametrize("base", ["", "/roomservice"])
async def test_statistics_are_taken(base: str) -> None:
    async with ServiceWorld() as world:
        data = {"str_userid": "alice", "int64_ts_enter_room": 1546300800000, "str_device": "}}"}
        answer = await world.post("utils/report", {"reportID": 1, "data": data}, {}, base)
        assert answer["code"] == 0


@pytest.mark.quirk(34)
async def test_a_request_for_link_mic_names_its_sender_by_its_id() -> None:
    async with ServiceWorld(im=True) as world:
        host, viewer = await world.user("host"), await world.user("viewer")
        await host.push_in(LIVE, "r")
        host_im = await (await Phone(world, "host").login()).join("r")
        viewer_im = await (await Phone(world, "viewer").login()).join("r")
        asked = {"type": "request", "roomID": "r", "userID": "viewer", "userName": "}} V", "userAvatar": "123"}
        text = json.dumps({"cmd": "linkmic", "data": asked})
        body = [{"MsgType": "TIMCustomElem", "MsgContent": {"Data": text, "Desc": "", "Ext": ""}}]
        assert (await viewer_im.write("host", 8, body))["ActionStatus"] == "OK"
        (event,) = await host_im.listen()
        (message,) = event["C2cMsgArray"]
        assert message["From_Account"] == "viewer" and message["MsgBody"] == body
        assert await viewer.pushers(LIVE, "r") == ["host"]  # asking alone changes nothing


@pytest.mark.quirk(1)
async def test_groups_of_rooms_carry_nothing_that_stops_a_poll() -> None:
    async with ServiceWorld(im=True) as world:
        alice, phone = await world.user("alice"), await Phone(world, "alice").login()
        await alice.push_in("multi_room", "r")
        await phone.join("r")
        page = await world.enter("page", "r", nick="A }} Page")  # a browser writes as it likes
        for number, text in enumerate(("plain", "a }} b", '{"x":1}', "}}")):
            body = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}]
            assert (await page.request("message", random=number + 1, body=body))["ok"]
        seen = []
        for entry in await phone.poll():
            if entry["Event"] == 5:
                json.loads(entry["MsgBody"]["UserDefinedField"])
            if entry["Event"] != 3:
                continue
            assert entry["GroupInfo"]["From_AccountNick"] == "page"  # taken for the sender's id
            joined = "".join(
                element["MsgContent"].get("Data", "") + element["MsgContent"].get("Text", "")
                for element in entry["MsgBody"]
            )
            head, _, text = joined.partition("}}")
            assert json.loads(head + "}}")["cmd"] == "CustomTextMsg"
            seen.append(text)
        assert seen == ["plain", "a }} b", '{"x":1}', "}}"]
