"""/im: login, the list of who can be played, liveness, takeover."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.endpoints.chat import session as chat_session
from gateway.endpoints.entry import socket as shell
from gateway.rooms.room import StreamKind
from tests.endpoints.world import APP, OTHER_APP, World


def publish(world: World, user: str, kind: StreamKind = StreamKind.MAIN, transport: str = "webrtc") -> str:
    stream = world.entry.stream_id(world.key(), user, kind)
    world.directory.stream_started(stream, transport=transport, audio=True, video=True, now=world.clock())
    return stream


async def test_login_then_the_list_of_the_others_at_each_change() -> None:
    async with World() as world:
        await world.enter("alice")
        phone = await world.login("phone")
        assert phone.entered["code"] == 0 and phone.entered["userID"] == "phone"
        assert await phone.expect(cmd="userlist") == {"cmd": "userlist", "userlist": []}
        stream = publish(world, "alice")
        first = await phone.expect(cmd="userlist")
        assert [item["userid"] for item in first["userlist"]] == ["alice"]
        url = first["userlist"][0]["playurl"]
        assert url.startswith(f"rtmp://127.0.0.1/live/{stream}?txSecret=")
        # Complete lists; the URL is the same text for the whole stay; oneself is not in it.
        publish(world, "phone", transport="rtmp")
        await world.enter("bobby")
        publish(world, "bobby")
        second = await phone.expect(cmd="userlist")
        assert [item["userid"] for item in second["userlist"]] == ["alice", "bobby"]
        assert second["userlist"][0]["playurl"] == url
        world.directory.stream_stopped(stream, world.clock())
        third = await phone.expect(cmd="userlist")
        assert [item["userid"] for item in third["userlist"]] == ["bobby"]
        publish(world, "alice")
        fourth = await phone.expect(cmd="userlist")
        assert {item["userid"]: item["playurl"] for item in fourth["userlist"]}["alice"] == url


async def test_screens_and_mutes_send_no_list() -> None:
    async with World() as world:
        await world.enter("alice")
        phone = await world.login("phone")
        await phone.expect(cmd="userlist")
        stream = publish(world, "alice")
        await phone.expect(cmd="userlist")
        phone.messages.clear()
        publish(world, "alice", StreamKind.AUX)
        world.directory.stream_updated(stream, audio_muted=True)
        assert (await phone.command("ping"))["code"] == 0
        await asyncio.sleep(0.05)
        assert phone.messages == []


async def test_a_login_without_a_room_hears_nothing_and_enters_nothing() -> None:
    async with World() as world:
        phone = await world.login("phone", None)
        assert phone.entered["code"] == 0
        assert (await phone.command("ping"))["code"] == 0
        assert not world.directory.rooms
        assert [(message["cmd"], message["tag"]) for message in phone.messages] == [("event", "login_event")]
        for name in ("send", "history", "custom"):
            assert (await phone.command(name))["name"] == "bad_request"


@pytest.mark.parametrize(
    ("change", "name", "code"),
    [
        ({"userSig": ""}, "bad_ticket", 1),
        ({"userID": "other"}, "bad_ticket", 13),
        ({"privateMapKey": ""}, "bad_ticket", 1),
        ({"roomID": 7}, "bad_ticket", 15),
        ({"sdkAppID": 5}, "bad_ticket", 14),
        ({"sdkAppID": OTHER_APP.sdk_app_id}, "bad_ticket", 8),
        ({"userID": "a b"}, "bad_request", 1208),
        ({"lastSeq": "x"}, "bad_request", 1208),
        ({"userSig": {}}, "bad_request", 1208),
    ],
)
async def test_a_refused_login_is_answered_and_closed(change: dict[str, Any], name: str, code: int) -> None:
    async with World() as world:
        phone = await world.login("phone", **change)
        assert (phone.entered["name"], phone.entered["code"]) == (name, code)
        assert await phone.closed() == shell.CLOSE_NEVER_ENTERED
        assert not world.directory.members


@pytest.mark.parametrize(
    "frame", ["", "[]", '{"cmd":"login"}', '{"id":1}', '{"id":true,"cmd":"x"}', '{"id":1,"cmd":5}']
)
async def test_a_frame_that_cannot_be_read_ends_the_connection(frame: str) -> None:
    async with World() as world:
        phone = await world.connect("/im")
        await phone.socket.send_str(frame)
        assert (await phone.answer_to_nothing())["name"] == "signaling_error"
        assert await phone.closed() == shell.CLOSE_NEVER_ENTERED


async def test_login_must_be_first_once_and_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_session, "LOGIN_S", 0.1)
    async with World() as world:
        assert chat_session.LOGIN_S == 0.1
        idle = await world.connect("/im")
        assert await idle.closed() == shell.CLOSE_NEVER_ENTERED
        early = await world.connect("/im")
        assert (await early.command("ping"))["name"] == "bad_request"
        assert await early.closed() == shell.CLOSE_NEVER_ENTERED
        phone = await world.login("phone")
        again = await phone.command("login", userID="phone")
        assert again["name"] == "bad_request"
        unknown = await phone.command("dance")
        assert unknown["name"] == "bad_request" and "dance" in unknown["message"]
        await asyncio.sleep(0.15)
        assert (await phone.command("ping"))["code"] == 0  # still there


async def test_a_newer_session_of_the_same_user_replaces_the_older() -> None:
    async with World() as world:
        first = await world.login("phone")
        second = await world.login("phone")
        assert await first.expect(cmd="kicked") == {"cmd": "kicked", "reason": "replaced"}
        assert await first.closed() == shell.CLOSE_KICKED
        member = world.directory.member(APP.sdk_app_id, "phone")
        assert member is not None and member.session is not None
        # Signaling is a control session as well.
        browser = await world.enter("phone")
        assert (await second.expect(cmd="kicked"))["reason"] == "replaced"
        assert browser.entered["ok"]


async def test_logout_leaves_and_a_lost_socket_waits() -> None:
    async with World() as world:
        alice = await world.enter("alice")
        phone = await world.login("phone")
        assert (await phone.command("logout"))["code"] == 0
        assert await phone.closed() == shell.CLOSE_LEFT
        assert (await alice.expect(t="member-"))["userId"] == "phone"
        phone = await world.login("phone")
        await alice.expect(t="member+", userId="phone")
        phone.abort()
        for _ in range(100):
            member = world.directory.member(APP.sdk_app_id, "phone")
            assert member is not None
            if member.resuming:
                break
            await asyncio.sleep(0.02)
        assert member.resuming
        world.clock.ahead += 16
        world.directory.expire(world.clock())
        assert (await alice.expect(t="member-"))["reason"] == "timeout"


async def test_a_kick_is_told_and_events_have_their_frame() -> None:
    async with World() as world:
        phone = await world.login("phone")
        session = next(iter(world.chat.sessions))
        session.event("error", -10, "words")
        assert await phone.expect(cmd="event", tag="error") == {
            "cmd": "event",
            "tag": "error",
            "code": -10,
            "detail": "words",
        }
        world.directory.kick(world.key(), "phone")
        assert (await phone.expect(cmd="kicked"))["reason"] == "kick"
        assert await phone.closed() == shell.CLOSE_KICKED


async def test_too_many_frames_are_refused_then_closed() -> None:
    async with World() as world:
        phone = await world.login("phone")
        for number in range(400):
            await phone.socket.send_json({"cmd": "ping", "id": f"p{number}"})
        assert await phone.closed() == shell.CLOSE_TOO_MANY


async def test_a_dead_connection_is_noticed_by_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "PING_S", 0.05)
    monkeypatch.setattr(shell, "DEAD_S", 0.3)
    async with World() as world:
        good = await world.login("good")
        dead = await world.connect("/im")
        dead._reader.cancel()  # nobody reads, so nobody answers pings
        ticket = {"userID": "dead1", "userSig": world.sig("dead1"), "roomID": 1001}
        await dead.socket.send_json({"cmd": "login", "id": 1, **ticket, "privateMapKey": world.map_key("dead1")})
        for _ in range(100):
            member = world.directory.member(APP.sdk_app_id, "dead1")
            if member is not None and member.resuming:
                break
            await asyncio.sleep(0.02)
        assert member is not None and member.resuming
        assert (await good.command("ping"))["code"] == 0
