"""wire/signaling.py: what is read, what is refused and by which name, and what the server's messages look like."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.base.errors import BadRequest, NoSuchStream, Overloaded, SignalingError, TooLarge
from gateway.wire import chat
from gateway.wire import signaling as s


def parse(**fields: Any) -> s.Message:
    return s.parse(s.read(json.dumps({"id": 1, **fields})))


ENTER = {"t": "enter", "v": 1, "userId": "alice", "userSig": "sig", "privateMapKey": "key", "roomId": 1001}

TEXT = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hello"}}]
BODY = chat.read_body(TEXT)

GOOD: list[tuple[dict[str, Any], s.Message]] = [
    (
        ENTER,
        s.Enter(1001, None, "alice", None, "sig", "key", "anchor", "", "", frozenset()),
    ),
    (
        {
            "t": "enter",
            "v": 1,
            "sdkAppId": 1400000001,
            "userId": 12345,
            "strRoomId": "room-A1",
            "role": "audience",
            "nick": "Al",
            "resume": "tok",
            "keep": ["down"],
            "unknown": 1,
        },
        s.Enter(None, "room-A1", "12345", 1400000001, "", "", "audience", "Al", "tok", frozenset({"down"})),
    ),
    (
        {**ENTER, "kind": "live_room", "create": False, "roomInfo": "Class"},
        s.Enter(
            1001,
            None,
            "alice",
            None,
            "sig",
            "key",
            "anchor",
            "",
            "",
            frozenset(),
            kind="live_room",
            create=False,
            info="Class",
        ),
    ),
    (
        {"t": "publish", "sdp": "v=0", "streams": {"0": "main", "a1": "aux"}},
        s.Publish("v=0", {"0": "main", "a1": "aux"}),
    ),
    ({"t": "unpublish", "stream": "aux"}, s.Unpublish("aux")),
    ({"t": "relay", "url": "rtmp://h/live/s?k=v"}, s.Relay("main", "rtmp://h/live/s?k=v")),
    ({"t": "relay", "url": "rtmp://h/live/s", "stream": "aux"}, s.Relay("aux", "rtmp://h/live/s")),
    ({"t": "unrelay"}, s.Unrelay("main")),
    ({"t": "moderate", "act": "kick", "userId": "bob"}, s.Moderate("kick", "bob")),
    (
        {"t": "moderate", "act": "ban", "userId": "bob", "seconds": 60, "reason": "noise", "audio": True},
        s.Moderate("ban", "bob", {}, 60, "noise"),
    ),
    ({"t": "moderate", "act": "unban", "userId": "bob"}, s.Moderate("unban", "bob")),
    (
        {"t": "moderate", "act": "mute", "userId": "bob", "audio": True, "words": False, "seconds": 4294967295},
        s.Moderate("mute", "bob", {"audio": True, "words": False}, 4294967295),
    ),
    ({"t": "moderate", "act": "mute", "video": True}, s.Moderate("mute", "", {"video": True})),
    ({"t": "moderate", "act": "dismiss"}, s.Moderate("dismiss")),
    (
        {"t": "subscribe", "userId": "bob", "stream": "main", "kinds": ["audio"]},
        s.Subscribe("bob", "main", frozenset({"audio"})),
    ),
    ({"t": "subscribe", "userId": "bob"}, s.Subscribe("bob", "main", frozenset({"audio", "video"}))),
    (
        {"t": "unsubscribe", "userId": "bob", "kinds": ["video"]},
        s.Unsubscribe("bob", "main", frozenset({"video"})),
    ),
    ({"t": "answer", "n": 3, "sdp": "v=0"}, s.Answer(3, "v=0")),
    ({"t": "mute", "kind": "audio", "muted": True}, s.Mute("main", "audio", True)),
    ({"t": "role", "role": "audience"}, s.Role("audience", "")),
    ({"t": "restart", "direction": "up", "sdp": "v=0"}, s.Restart("up", "v=0", False)),
    ({"t": "restart", "direction": "down", "fresh": True}, s.Restart("down", "", True)),
    ({"t": "leave"}, s.Leave()),
    (
        {**ENTER, "chat": {"epoch": 5, "seq": 17}},
        s.Enter(1001, None, "alice", None, "sig", "key", "anchor", "", "", frozenset(), chat.Position(5, 17)),
    ),
    ({"t": "message", "random": 4294967295, "body": TEXT}, s.Post(4294967295, BODY, "")),
    ({"t": "message", "random": 0, "body": TEXT, "to": "bob"}, s.Post(0, BODY, "bob")),
    ({"t": "history"}, s.History(chat.Range(None, None, 50))),
    ({"t": "history", "after": 1, "before": 9, "count": 2}, s.History(chat.Range(1, 9, 2))),
    ({"t": "custom", "cmdId": 10, "data": "AAEC"}, s.Custom(10, b"\0\1\2")),
    ({"t": "inspect", "userId": "bob"}, s.Inspect("bob", "main")),
]


@pytest.mark.parametrize(("fields", "message"), GOOD, ids=lambda v: v["t"] if isinstance(v, dict) else "")
def test_each_request_is_read(fields: dict[str, Any], message: s.Message) -> None:
    assert parse(**fields) == message


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "null",
        "[]",
        '"enter"',
        "{",
        "[" * 100000,
        '{"t":"leave"}',
        '{"id":null,"t":"leave"}',
        '{"id":true,"t":"leave"}',
        '{"id":-1,"t":"leave"}',
        '{"id":1e400,"t":"leave"}',
        '{"id":"","t":"leave"}',
        '{"id":"\\ud800","t":"leave"}',
        '{"id":1}',
        '{"id":1,"t":5}',
        '{"id":' + "9" * 5000 + ',"t":"leave"}',
        '{"id":1,"t":"leave","x":"' + "x" * s.MAX_FRAME + '"}',
    ],
)
def test_a_frame_without_a_readable_request_is_a_signaling_error(frame: str) -> None:
    with pytest.raises(SignalingError):
        s.read(frame)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"t": "dance"}, "t:"),
    ({**ENTER, "v": 2}, "v:"),
    ({**ENTER, "v": None}, "v:"),
    ({**ENTER, "roomId": 0}, "roomId"),
    ({**ENTER, "roomId": 4294967295}, "roomId"),
    ({**ENTER, "roomId": True}, "roomId"),
    ({**ENTER, "strRoomId": "both"}, "exactly one"),
    ({**ENTER, "roomId": None}, "exactly one"),
    ({**ENTER, "roomId": None, "strRoomId": "x" * 65}, "strRoomId"),
    ({**ENTER, "roomId": None, "strRoomId": ""}, "strRoomId"),
    ({**ENTER, "userId": "a b"}, "userId"),
    ({**ENTER, "userId": "x" * 33}, "userId"),
    ({**ENTER, "userId": None}, "userId"),
    ({**ENTER, "userSig": 5}, "userSig"),
    ({**ENTER, "privateMapKey": "k" * (s.MAX_TICKET + 1)}, "privateMapKey"),
    ({**ENTER, "role": "king"}, "role"),
    ({**ENTER, "keep": ["sideways"]}, "keep"),
    ({**ENTER, "keep": [["up"]]}, "keep"),
    ({**ENTER, "sdkAppId": -1}, "sdkAppId"),
    ({**ENTER, "nick": "\ud800"}, "nick"),
    ({**ENTER, "kind": "page"}, "kind"),
    ({**ENTER, "kind": ["live_room"]}, "kind"),
    ({**ENTER, "kind": "live_room", "create": 1}, "create"),
    ({**ENTER, "kind": "live_room", "roomInfo": "x" * 1025}, "roomInfo"),
    ({**ENTER, "chat": 5}, "chat"),
    ({**ENTER, "chat": {"epoch": 5}}, "seq"),
    ({"t": "message", "body": TEXT}, "random"),
    ({"t": "message", "random": 4294967296, "body": TEXT}, "random"),
    ({"t": "message", "random": 1, "body": "hello"}, "body"),
    ({"t": "message", "random": 1, "body": TEXT, "to": "a b"}, "to"),
    ({"t": "message", "random": 1, "body": TEXT, "to": []}, "to"),
    ({"t": "history", "count": 101}, "count"),
    ({"t": "custom", "cmdId": 0, "data": ""}, "cmdId"),
    ({"t": "custom", "cmdId": 1}, "data"),
    ({"t": "inspect"}, "userId"),
    ({"t": "publish", "streams": {}}, "sdp"),
    ({"t": "publish", "sdp": "", "streams": {}}, "sdp"),
    ({"t": "publish", "sdp": "v=0"}, "streams"),
    ({"t": "publish", "sdp": "v=0", "streams": {"0": "side"}}, "streams"),
    ({"t": "publish", "sdp": "v=0", "streams": {"0": ["main"]}}, "streams"),
    ({"t": "publish", "sdp": "v=0", "streams": {"a b": "main"}}, "streams"),
    ({"t": "publish", "sdp": "v=0", "streams": {str(n): "main" for n in range(200)}}, "streams"),
    ({"t": "subscribe", "userId": "bob", "kinds": []}, "kinds"),
    ({"t": "subscribe", "userId": "bob", "kinds": ["smell"]}, "kinds"),
    ({"t": "subscribe", "userId": "bob", "kinds": [{}]}, "kinds"),
    ({"t": "subscribe", "userId": "bob", "stream": "x"}, "stream"),
    ({"t": "answer", "sdp": "v=0"}, "n:"),
    ({"t": "answer", "n": 1.5, "sdp": "v=0"}, "n:"),
    ({"t": "mute", "kind": "audio", "muted": 1}, "muted"),
    ({"t": "mute", "muted": True}, "kind"),
    ({"t": "role"}, "role"),
    ({"t": "restart"}, "direction"),
    ({"t": "restart", "direction": "up"}, "sdp"),
    ({"t": "relay"}, "url"),
    ({"t": "relay", "url": ""}, "url"),
    ({"t": "relay", "url": ["rtmp://h/live/s"]}, "url"),
    ({"t": "relay", "url": "rtmp://h/live/" + "s" * 2048}, "url"),
    ({"t": "relay", "url": "rtmp://h/live/\u00e9"}, "url"),
    ({"t": "relay", "url": "rtmp://h/live/s", "stream": ["main"]}, "stream"),
    ({"t": "unrelay", "stream": "side"}, "stream"),
    ({"t": "moderate"}, "act"),
    ({"t": "moderate", "act": ["kick"]}, "act"),
    ({"t": "moderate", "act": "shout"}, "act"),
    ({"t": "moderate", "act": "kick"}, "userId"),
    ({"t": "moderate", "act": "ban", "userId": ""}, "userId"),
    ({"t": "moderate", "act": "ban", "userId": "b ob"}, "userId"),
    ({"t": "moderate", "act": "mute", "userId": 5}, "userId"),
    ({"t": "moderate", "act": "mute", "userId": "bob"}, "audio, video or words"),
    ({"t": "moderate", "act": "mute", "audio": 1}, "audio"),
    ({"t": "moderate", "act": "mute", "words": "yes"}, "words"),
    ({"t": "moderate", "act": "mute", "audio": True, "seconds": 0}, "seconds"),
    ({"t": "moderate", "act": "mute", "audio": True, "seconds": 1.5}, "seconds"),
    ({"t": "moderate", "act": "mute", "audio": True, "seconds": True}, "seconds"),
    ({"t": "moderate", "act": "ban", "userId": "bob", "seconds": 4294967296}, "seconds"),
    ({"t": "moderate", "act": "ban", "userId": "bob", "reason": 5}, "reason"),
    ({"t": "moderate", "act": "ban", "userId": "bob", "reason": "x" * 1001}, "reason"),
]


@pytest.mark.parametrize(("fields", "names"), BAD)
def test_a_bad_field_is_refused_by_its_name(fields: dict[str, Any], names: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**fields)
    assert names in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


FIELDS = [
    "v",
    "sdp",
    "n",
    "kinds",
    "streams",
    "keep",
    "chat",
    "body",
    "random",
    "to",
    "after",
    "count",
    "cmdId",
    "data",
    "url",
    "stream",
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(GOOD), st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_mutated_requests_give_a_message_or_bad_request(
    good: tuple[dict[str, Any], Any], wrong: dict[str, Any]
) -> None:
    try:
        parse(**{**good[0], **wrong})
    except (BadRequest, SignalingError, TooLarge):
        pass


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200) | JSON.map(json.dumps))
def test_any_text_gives_an_envelope_or_a_signaling_error(text: str) -> None:
    try:
        s.parse(s.read(text))
    except (BadRequest, SignalingError):
        pass


STREAM = s.StreamView("bob", "main", True, True, False, True, "webrtc", {"flv": "http://x/live/s.flv"})
STREAM_JSON = {
    "userId": "bob",
    "stream": "main",
    "audio": True,
    "video": True,
    "audioMuted": False,
    "videoMuted": True,
    "transport": "webrtc",
    "urls": {"flv": "http://x/live/s.flv"},
}
BOB = s.MemberView("bob", "Bob", "anchor")

MESSAGE = chat.Message(17, 1000, "bob", "Bob", 1, BODY)
MESSAGE_JSON = {"t": "message", "seq": 17, "time": 1000, "from": "bob", "nick": "Bob", "random": 1, "body": TEXT}

SENT: list[tuple[s.ServerMessage, dict[str, Any]]] = [
    (s.Reply(7, {"sdp": "v=0"}), {"re": 7, "ok": True, "sdp": "v=0"}),
    (
        s.Failure.of("a", NoSuchStream("no stream")),
        {"re": "a", "error": {"code": 1204, "name": "no_such_stream", "message": "no stream"}},
    ),
    (
        s.Failure.of(None, Overloaded("busy")),
        {"re": None, "error": {"code": 1301, "name": "overloaded", "message": "busy", "retryAfterMs": 2000}},
    ),
    (s.MemberJoined(BOB), {"t": "member+", "userId": "bob", "nick": "Bob", "role": "anchor"}),
    (s.MemberGone("bob", "left"), {"t": "member-", "userId": "bob", "reason": "left"}),
    (s.StreamOn(STREAM), {"t": "stream+", **STREAM_JSON}),
    (s.StreamOff("bob", "aux"), {"t": "stream-", "userId": "bob", "stream": "aux"}),
    (
        s.Muted("bob", "main", "audio", True),
        {"t": "mute", "userId": "bob", "stream": "main", "kind": "audio", "muted": True},
    ),
    (s.Speaking((("bob", 73),)), {"t": "speaking", "users": [{"userId": "bob", "level": 73}]}),
    (
        s.Offer(3, "v=0", (s.Slot("1", "bob", "main", "video"),)),
        {
            "t": "offer",
            "n": 3,
            "sdp": "v=0",
            "map": [{"mid": "1", "userId": "bob", "stream": "main", "kind": "video"}],
        },
    ),
    (
        s.Paused("bob", "main", "video", True),
        {"t": "pause", "userId": "bob", "stream": "main", "kind": "video", "paused": True},
    ),
    (s.Notice("bob", "main", "words"), {"t": "notice", "userId": "bob", "stream": "main", "message": "words"}),
    (s.PeerClosed("down", "consent"), {"t": "closed", "direction": "down", "reason": "consent"}),
    (s.Kicked("replaced"), {"t": "kicked", "reason": "replaced"}),
    (
        s.RelayChanged("main", "rtmp://h/live/s", "live", "", ""),
        {"t": "relay", "stream": "main", "url": "rtmp://h/live/s", "state": "live"},
    ),
    (
        s.RelayChanged("aux", "rtmp://h/live/s", "ended", "refused", "no"),
        {
            "t": "relay",
            "stream": "aux",
            "url": "rtmp://h/live/s",
            "state": "ended",
            "reason": "refused",
            "message": "no",
        },
    ),
    (
        s.ModerationChanged("bob", True, False, True, {"words": 59000}, "alice"),
        {
            "t": "moderation",
            "userId": "bob",
            "audio": True,
            "video": False,
            "words": True,
            "endsMs": {"words": 59000},
            "by": "alice",
        },
    ),
    (
        s.ModerationChanged("", False, True, False, {}, ""),
        {"t": "moderation", "audio": False, "video": True, "words": False, "by": ""},
    ),
    (s.Rights(10), {"t": "rights", "privileges": 10}),
    (s.Text('{"t":"custom"}'), {"t": "custom"}),
    (
        s.Told(22, chat.Backlog(5, 17, 3, (MESSAGE,))),
        {"re": 22, "ok": True, "epoch": 5, "seq": 17, "first": 3, "messages": [MESSAGE_JSON]},
    ),
    (MESSAGE, MESSAGE_JSON),
    (
        chat.Direct(9, 1000, "bob", "", "alice", 1, BODY),
        {"t": "c2c", "seq": 9, "time": 1000, "from": "bob", "nick": "", "to": "alice", "random": 1, "body": TEXT},
    ),
    (
        chat.Custom("bob", 1, 4, b"\0\1\2"),
        {"t": "custom", "from": "bob", "cmdId": 1, "seq": 4, "data": "AAEC"},
    ),
    (
        s.Entered(
            request=1,
            sdk_app_id=1400000001,
            room_id=1001,
            room_text=None,
            user_id="alice",
            role="anchor",
            privileges=255,
            resume="tok",
            resume_ms=15000,
            resumed=False,
            kept=(),
            time_ms=5,
            dev=True,
            members=(BOB,),
            streams=(STREAM,),
            urls={"push": "rtmp://x"},
            ice_servers=({"urls": ["stun:s.example.com"]},),
            moderation={"moderator": True},
        ),
        {
            "re": 1,
            "ok": True,
            "t": "entered",
            "v": 1,
            "sdkAppId": 1400000001,
            "roomId": 1001,
            "kind": "page",
            "creator": "",
            "roomInfo": "",
            "userId": "alice",
            "role": "anchor",
            "privileges": 255,
            "resume": "tok",
            "resumeMs": 15000,
            "resumed": False,
            "kept": [],
            "time": 5,
            "dev": True,
            "members": [{"userId": "bob", "nick": "Bob", "role": "anchor"}],
            "streams": [STREAM_JSON],
            "urls": {"push": "rtmp://x"},
            "iceServers": [{"urls": ["stun:s.example.com"]}],
            "moderation": {"moderator": True},
            "chat": {"epoch": 0, "seq": 0, "first": 1, "messages": []},
        },
    ),
]


@pytest.mark.parametrize(("message", "fields"), SENT, ids=lambda v: type(v).__name__)
def test_each_server_message_has_its_json(message: s.ServerMessage, fields: dict[str, Any]) -> None:
    assert json.loads(s.serialize(message)) == fields
