"""Signaling over a real WebSocket, without media: entering, rights, takeover, resume, limits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.base.config import RoomsConfig
from gateway.endpoints.entry import socket as shell
from gateway.endpoints.signaling import websocket
from gateway.rooms.room import RoomKey, StreamKind
from gateway.rooms.tickets import mapkey
from gateway.wire import signaling as wire
from tests.endpoints.world import APP, OTHER_APP, World


async def test_two_members_meet_and_part() -> None:
    async with World() as world:
        alice = await world.enter("alice", nick="Al")
        entered = alice.entered
        assert entered["t"] == "entered" and entered["v"] == 1 and entered["roomId"] == 1001
        assert entered["privileges"] == 255 and entered["members"] == [] and entered["streams"] == []
        assert entered["urls"]["push"].startswith("rtmp://127.0.0.1/live/8888_1001_alice?txSecret=")
        assert entered["resumeMs"] == 15000 and not entered["resumed"] and not entered["dev"]
        bob = await world.enter("bob", role="audience")
        assert bob.entered["members"] == [{"userId": "alice", "nick": "Al", "role": "anchor"}]
        assert bob.entered["role"] == "audience" and bob.entered["privileges"] == 255 & ~(4 | 16 | 64)
        assert "push" not in bob.entered["urls"]
        assert await alice.expect(t="member+") == {"t": "member+", "userId": "bob", "nick": "", "role": "audience"}
        assert (await bob.request("leave"))["ok"]
        assert await bob.closed() == 4002
        assert await alice.expect(t="member-") == {"t": "member-", "userId": "bob", "reason": "left"}


# --- entering


@pytest.mark.parametrize(
    ("change", "name", "code"),
    [
        ({"userSig": ""}, "bad_ticket", 1),
        ({"userSig": "x"}, "bad_ticket", 2),
        ({"privateMapKey": ""}, "bad_ticket", 1),
        ({"userId": "other"}, "bad_ticket", 13),
        ({"sdkAppId": 5}, "bad_ticket", 14),
        ({"roomId": 1002}, "bad_ticket", 15),
        ({"v": 2}, "bad_request", 1208),
        ({"resume": "x"}, "bad_ticket", 8),
        ({"resume": "A" * 43}, "bad_ticket", 8),
    ],
)
async def test_a_refused_enter_says_why_and_may_be_tried_again(change: dict[str, Any], name: str, code: int) -> None:
    async with World() as world:
        client = await world.connect()
        answer = await client.request("enter", **{**world.ticket("alice"), **change})
        assert answer["error"]["name"] == name and answer["error"]["code"] == code
        assert not world.directory.members
        assert (await client.request("enter", **world.ticket("alice")))["ok"]


async def test_requests_before_enter_and_a_second_enter_are_refused() -> None:
    async with World() as world:
        client = await world.connect()
        assert (await client.request("leave"))["error"]["name"] == "bad_request"
        assert (await client.request("enter", **world.ticket("alice")))["ok"]
        assert (await client.request("enter", **world.ticket("alice")))["error"]["name"] == "bad_request"
        assert (await client.request("dance"))["error"]["name"] == "bad_request"


async def test_enter_has_a_time_and_a_number_of_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "ENTER_S", 0.1)
    async with World() as world:
        idle = await world.connect()
        assert await idle.closed() == shell.CLOSE_NEVER_ENTERED
        alice = await world.enter("alice")
        await asyncio.sleep(0.15)
        assert (await alice.request("unsubscribe", userId="bob"))["ok"]
    monkeypatch.undo()
    async with World() as world:
        client = await world.connect()
        for _ in range(5):
            await client.request("enter", **{**world.ticket("alice"), "userSig": "x"})
        assert await client.closed() == shell.CLOSE_NEVER_ENTERED


async def test_the_rights_to_enter_and_to_create() -> None:
    async with World() as world:
        client = await world.connect()
        no_entry = await client.request("enter", **world.ticket("alice", rights=255 & ~2))
        assert no_entry["error"]["name"] == "not_permitted"
        no_room = await client.request("enter", **world.ticket("alice", rights=255 & ~1))
        assert no_room["error"]["name"] == "not_permitted"
        assert not world.directory.rooms
        await world.enter("bob")
        assert (await client.request("enter", **world.ticket("alice", rights=255 & ~1)))["ok"]


async def test_number_and_text_rooms_are_different_rooms() -> None:
    async with World() as world:
        number = await world.enter("alice", 123)
        client = await world.connect()
        room = RoomKey(APP.sdk_app_id, "123", True)
        ticket = mapkey.mint(APP, "bob", world.wall(), 60, room)
        tickets = {"userId": "bob", "userSig": world.sig("bob"), "privateMapKey": ticket}
        assert (await client.request("enter", v=1, roomId=123, **tickets))["error"]["code"] == 15
        entered = await client.request("enter", v=1, strRoomId="123", **tickets)
        assert entered["ok"] and entered["strRoomId"] == "123" and "roomId" not in entered
        assert entered["members"] == [] and number.messages == []


async def test_a_page_room_holds_ten_and_optional_apps_need_no_map_key() -> None:
    async with World(rooms=RoomsConfig(max_members=2)) as world:
        await world.enter("u1")
        await world.enter("u2")
        client = await world.connect()
        full = await client.request("enter", **world.ticket("u3"))
        assert full["error"]["code"] == 5001 and full["error"]["name"] == "room_full"
        fields = {"sdkAppId": OTHER_APP.sdk_app_id, "userId": "u4", "userSig": world.sig("u4", OTHER_APP)}
        assert (await client.request("enter", v=1, roomId=1, **fields))["privileges"] == 255


# --- takeover and resume


async def test_the_same_user_again_replaces_and_nobody_sees_a_leave() -> None:
    async with World() as world:
        bob = await world.enter("bob")
        first = await world.enter("alice")
        second = await world.enter("alice", nick="again")
        assert await first.expect(t="kicked") == {"t": "kicked", "reason": "replaced"}
        assert await first.closed() == shell.CLOSE_KICKED
        await bob.expect(t="member+", userId="alice", nick="")
        await bob.expect(t="member+", userId="alice", nick="again")
        assert bob.messages == []
        assert [member["userId"] for member in second.entered["members"]] == ["bob"]


async def test_another_room_leaves_the_first() -> None:
    async with World() as world:
        bob = await world.enter("bob", 1)
        first = await world.enter("alice", 1)
        await world.enter("alice", 2)
        assert (await bob.expect(t="member-"))["reason"] == "moved"
        assert await first.closed() == shell.CLOSE_KICKED


async def test_resume_within_its_time_is_unseen_by_the_others() -> None:
    async with World() as world:
        bob = await world.enter("bob")
        alice = await world.enter("alice")
        await bob.expect(t="member+")
        alice.abort()
        await until_resuming(world, "alice")
        client = await world.connect()
        fields = {"v": 1, "userId": "alice", "roomId": 1001}
        back = await client.request("enter", **fields, resume=alice.entered["resume"], keep=["up", "down"])
        assert back["ok"] and back["resumed"] and back["kept"] == [] and back["privileges"] == 255
        assert back["resume"] != alice.entered["resume"] and back["urls"] == alice.entered["urls"]
        # Single use, bound to user and room; the new one works even while this socket lives.
        other = await world.connect()
        for bad in (
            {"resume": alice.entered["resume"]},
            {"resume": back["resume"], "userId": "bob"},
            {"resume": back["resume"], "roomId": 7},
        ):
            answer = await other.request("enter", **{**fields, **bad})
            assert answer["error"]["name"] == "bad_ticket"
        assert (await other.request("enter", **fields, resume=back["resume"]))["resumed"]
        assert await client.closed() == shell.CLOSE_KICKED
        assert bob.messages == []


async def test_after_15_seconds_the_member_is_gone() -> None:
    async with World() as world:
        bob = await world.enter("bob")
        alice = await world.enter("alice")
        alice.abort()
        await until_resuming(world, "alice")
        world.clock.ahead = 14.5
        world.directory.expire(world.clock())
        assert world.directory.member(APP.sdk_app_id, "alice") is not None
        world.clock.ahead = 15.5
        world.directory.expire(world.clock())
        assert (await bob.expect(t="member-"))["reason"] == "timeout"
        client = await world.connect()
        late = await client.request("enter", v=1, userId="alice", roomId=1001, resume=alice.entered["resume"])
        assert late["error"]["name"] == "bad_ticket"


async def test_kick_ban_and_disband_are_told() -> None:
    async with World() as world:
        alice, bob, carol = [await world.enter(user) for user in ("alice", "bob", "carol")]
        world.directory.kick(world.key(), "alice")
        assert (await alice.expect(t="kicked"))["reason"] == "kick"
        assert (await bob.expect(t="member-"))["reason"] == "kicked"
        # A resume token stands in for tickets, not for a kick.
        client = await world.connect()
        token = alice.entered["resume"]
        assert (await client.request("enter", v=1, userId="alice", roomId=1001, resume=token))["error"]
        world.directory.kick(world.key(), "bob", ban=True)
        assert (await bob.expect(t="kicked"))["reason"] == "banned"
        assert (await client.request("enter", **world.ticket("bob")))["error"]["name"] == "not_permitted"
        world.directory.close_room(world.key())
        assert (await carol.expect(t="kicked"))["reason"] == "room_disband"
        assert await carol.closed() == shell.CLOSE_KICKED


# --- announcements


async def test_streams_mutes_and_kinds_are_told() -> None:
    async with World() as world:
        alice, bob = await world.enter("alice"), await world.enter("bob")
        stream = world.entry.stream_id(world.key(), "alice", StreamKind.MAIN)
        aux = world.entry.stream_id(world.key(), "alice", StreamKind.AUX)
        world.directory.stream_started(stream, transport="rtmp", audio=True, video=False, now=world.clock())
        first = await bob.expect(t="stream+")
        urls = first.pop("urls")
        assert first == {
            "t": "stream+",
            "userId": "alice",
            "stream": "main",
            "audio": True,
            "video": False,
            "audioMuted": False,
            "videoMuted": False,
            "transport": "rtmp",
        }
        assert set(urls) == {"rtc", "rtmp", "flv"}
        world.directory.stream_updated(stream, video=True)
        assert (await bob.expect(t="stream+"))["video"]
        world.directory.stream_updated(stream, audio_muted=True)
        expected = {"t": "mute", "userId": "alice", "stream": "main", "kind": "audio", "muted": True}
        assert await bob.expect(t="mute") == expected
        world.directory.stream_started(aux, transport="webrtc", audio=False, video=True, now=world.clock())
        assert (await bob.expect(t="stream+"))["stream"] == "aux"
        carol = await world.enter("carol")
        assert [(item["stream"], item["audioMuted"]) for item in carol.entered["streams"]] == [
            ("main", True),
            ("aux", False),
        ]
        world.directory.stream_stopped(aux, world.clock())
        assert await bob.expect(t="stream-") == {"t": "stream-", "userId": "alice", "stream": "aux"}
        assert all(message["t"] == "member+" for message in alice.messages)


# --- rights on the way


@pytest.mark.parametrize(
    ("rights", "stream", "kinds", "granted"),
    [
        (255, "main", ["audio", "video"], ["audio", "video"]),
        (3 | 8, "main", ["audio", "video"], ["audio"]),
        (3 | 32, "main", ["audio", "video"], ["video"]),
        (3 | 8, "main", ["video"], None),
        (3 | 32, "main", ["audio"], None),
        (3 | 128, "aux", ["audio", "video"], ["video"]),
        (3 | 8 | 128, "aux", ["audio", "video"], ["audio", "video"]),
        (3 | 8 | 32, "aux", ["audio", "video"], None),
    ],
)
async def test_what_may_be_subscribed(rights: int, stream: str, kinds: list[str], granted: list[str] | None) -> None:
    async with World() as world:
        await world.enter("alice")
        world.entry.stream_id(world.key(), "alice", StreamKind(stream))
        bob = await world.enter("bob", rights=rights)
        answer = await bob.request("subscribe", userId="alice", stream=stream, kinds=kinds)
        if granted is None:
            assert answer["error"]["name"] == "not_permitted"
            return
        assert answer["kinds"] == granted
        offer = await bob.expect(t="offer")
        assert offer["n"] == 1 and [slot["kind"] for slot in offer["map"]] == granted
        assert all(slot["userId"] == "alice" and slot["stream"] == stream for slot in offer["map"])


async def test_subscriptions_need_somebody_with_such_a_stream() -> None:
    async with World() as world:
        await world.enter("alice")
        bob = await world.enter("bob")
        for fields, name in (
            ({"userId": "nobody"}, "no_such_member"),
            ({"userId": "alice", "stream": "aux"}, "no_such_stream"),
            ({"userId": "bob"}, "bad_request"),
        ):
            assert (await bob.request("subscribe", **fields))["error"]["name"] == name
        assert (await bob.request("unsubscribe", userId="nobody"))["ok"]
        assert (await bob.request("answer", n=1, sdp="v=0"))["stale"]
        assert (await bob.request("unpublish", stream="main"))["error"]["name"] == "no_such_stream"
        assert (await bob.request("mute", kind="audio", muted=True))["error"]["name"] == "no_such_stream"


async def test_one_offer_at_a_time_and_wishes_that_come_together_share_it() -> None:
    async with World() as world:
        for user in ("u1", "u2", "u3"):
            await world.enter(user)
        bob = await world.enter("bob")
        for user in ("u1", "u2"):
            assert (await bob.request("subscribe", userId=user, kinds=["audio"]))["ok"]
        offer = await bob.expect(t="offer")
        assert len(offer["map"]) >= 1
        assert (await bob.request("subscribe", userId="u3", kinds=["audio"]))["ok"]
        await asyncio.sleep(0.1)
        assert not any(message["t"] == "offer" for message in bob.messages)
        bad = await bob.request("answer", n=offer["n"], sdp="nonsense")
        assert bad["error"]["name"] == "sdp_error"
        assert (await bob.request("restart", direction="down", fresh=True))["ok"]
        again = await bob.expect(t="offer")
        assert again["n"] == 1 and {slot["userId"] for slot in again["map"]} == {"u1", "u2", "u3"}
        assert (await bob.request("restart", direction="down"))["ok"]
        restarted = await bob.expect(t="offer")
        assert restarted["n"] == 2
        assert ufrag(restarted["sdp"]) != ufrag(again["sdp"])


async def test_a_switch_of_role_changes_the_rights() -> None:
    async with World() as world:
        alice = await world.enter("alice")
        bob = await world.enter("bob", role="audience")
        await alice.expect(t="member+", userId="bob", role="audience")
        assert (await bob.request("role", role="anchor"))["privileges"] == 255
        assert (await alice.expect(t="member+", userId="bob"))["role"] == "anchor"
        fewer = world.map_key("bob", rights=2 | 8 | 32)
        refused = await bob.request("role", role="anchor", privateMapKey=fewer)
        assert refused["error"]["name"] == "not_permitted"
        wrong = await bob.request("role", role="anchor", privateMapKey=world.map_key("alice"))
        assert wrong["error"]["code"] == 13
        no_entry = await bob.request("role", role="audience", privateMapKey=world.map_key("bob", rights=8))
        assert no_entry["error"]["name"] == "not_permitted"
        assert (await bob.request("role", role="audience", privateMapKey=fewer))["privileges"] == 42
        # Without a new ticket the last one counts.
        assert (await bob.request("role", role="anchor"))["error"]["name"] == "not_permitted"


# --- limits


async def test_unreadable_frames_end_the_connection() -> None:
    async with World() as world:
        for frame in ("hello", "[]", '{"t":"leave"}'):
            alice = await world.enter("alice")
            await alice.socket.send_str(frame)
            assert (await alice.answer_to_nothing())["error"]["name"] == "signaling_error"
            assert await alice.closed() == shell.CLOSE_PROTOCOL
        alice = await world.enter("alice")
        await alice.socket.send_bytes(b"\x00")
        assert await alice.closed() == shell.CLOSE_PROTOCOL
        alice = await world.enter("alice")
        await alice.socket.send_str("x" * (3 * 256 * 1024))
        assert await alice.closed() == 1009


async def test_a_flood_of_requests_is_refused_then_closed() -> None:
    async with World() as world:
        alice = await world.enter("alice")
        for number in range(1000):
            await alice.socket.send_json({"id": f"f{number}", "t": "unsubscribe", "userId": "bob"})
        assert await alice.closed() == shell.CLOSE_TOO_MANY
        errors = [answer for answer in alice._answers.values() if "error" in answer]
        assert errors[0]["error"]["name"] == "too_many" and errors[0]["error"]["retryAfterMs"] > 0


async def test_a_client_that_does_not_read_overflows_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "MAX_MESSAGES", 20)
    async with World() as world:
        alice = await world.enter("alice")
        session = next(iter(world.signaling.sessions))
        for number in range(100):
            session.send(wire.Kicked(f"x{number}"))
        assert await alice.closed() == shell.CLOSE_OVERFLOW
        await until_resuming(world, "alice")


async def test_a_socket_without_frames_is_dead_and_one_that_pongs_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "PING_S", 0.05)
    monkeypatch.setattr(shell, "DEAD_S", 0.3)
    async with World() as world:
        good = await world.enter("good")
        dead = await world.enter("dead")
        dead._reader.cancel()
        await until_resuming(world, "dead")
        assert (await good.request("unsubscribe", userId="x"))["ok"]


async def test_the_server_stops_with_a_word() -> None:
    async with World() as world:
        alice = await world.enter("alice")
        phone = await world.login("phone")
        await world.server.close()
        assert await alice.closed() == shell.CLOSE_GOING_AWAY
        assert await phone.closed() == shell.CLOSE_GOING_AWAY


async def test_a_failure_of_ours_is_answered_without_details(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with World() as world:
        alice = await world.enter("alice")
        monkeypatch.setattr(world.entry, "find_member", lambda *_: 1 / 0)
        answer = await alice.request("subscribe", userId="bob")
        assert answer["error"] == {"code": 1000, "name": "internal_error", "message": "the server has failed"}
        assert "ZeroDivisionError" in caplog.text


def ufrag(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("a=ice-ufrag"))


async def until_resuming(world: World, user: str) -> None:
    for _ in range(150):
        member = world.directory.member(APP.sdk_app_id, user)
        assert member is not None
        if member.resuming:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{user} is not resuming")
