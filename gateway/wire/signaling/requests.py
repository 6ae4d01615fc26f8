"""What clients say over signaling: text frames to frozen values.

Reading has two steps, so that a refusal can always name the request it answers: `read()` takes one text frame to an
`Envelope` (raises SignalingError: there is nothing to answer to), `parse()` takes the envelope to a message (raises
BadRequest, which is answered with the envelope's id). Unknown fields are ignored, so that older servers and newer
clients meet; an unknown `t` is refused. For any input: a value, SignalingError, BadRequest or (messages only) TooLarge,
nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

from gateway.base.errors import BadRequest, SignalingError
from gateway.wire import chat
from gateway.wire.signaling.moderation import Moderate, parse_moderate
from gateway.wire.signaling.relay import Relay, Unrelay, parse_relay, parse_unrelay

VERSION: Final = 1
MAX_FRAME: Final = 256 * 1024
"""Characters of one text frame. 50 pairs of sections are 75 kB of SDP (measured with Chromium)."""
MAX_SDP: Final = 200 * 1024
MAX_TICKET: Final = 8192
MAX_NICK: Final = 128
MAX_INFO: Final = 1024
MAX_ROOM_ID: Final = 4294967294
MAX_MIDS: Final = 128

StreamName = Literal["main", "aux"]
MediaKind = Literal["audio", "video"]
RoleName = Literal["anchor", "audience"]
RoomKind = Literal["double_room", "multi_room", "live_room"]
Direction = Literal["up", "down"]
RequestId: TypeAlias = "int | str"

_USER: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_MID: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,32}")


@dataclasses.dataclass(frozen=True, slots=True)
class Envelope:
    """One frame from a client: its request id, its type and the fields that are still unread."""

    id: RequestId
    type: str
    fields: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Enter:
    """Be let into a room: by tickets, or by the resume token of an earlier entry.

    Exactly one of `room_id` (1..4294967294) and `room_text` is set. `sdk_app_id` None means the default app. `keep`
    names the connections that a resuming client still holds.
    """

    room_id: int | None
    room_text: str | None
    user_id: str
    sdk_app_id: int | None
    user_sig: str
    private_map_key: str
    role: RoleName
    nick: str
    resume: str
    keep: frozenset[Direction]
    position: chat.Position | None = None
    """How far a client that comes back has read the messages."""
    kind: RoomKind | None = None
    """A room of RoomService, of this kind: then a userSig is enough."""
    create: bool = True
    """With `kind`: make the room if it is not there."""
    info: str = ""
    """With `kind`, for a new room: what lists show of it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Publish:
    """The offer of the up connection (first or again); `streams` names the stream of each sending section by mid."""

    sdp: str
    streams: Mapping[str, StreamName]


@dataclasses.dataclass(frozen=True, slots=True)
class Unpublish:
    stream: StreamName


@dataclasses.dataclass(frozen=True, slots=True)
class Subscribe:
    user_id: str
    stream: StreamName
    kinds: frozenset[MediaKind]


@dataclasses.dataclass(frozen=True, slots=True)
class Unsubscribe:
    user_id: str
    stream: StreamName
    kinds: frozenset[MediaKind]


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """The client's answer to our offer number `n` of the down connection."""

    n: int
    sdp: str


@dataclasses.dataclass(frozen=True, slots=True)
class Mute:
    stream: StreamName
    kind: MediaKind
    muted: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Role:
    role: RoleName
    private_map_key: str


@dataclasses.dataclass(frozen=True, slots=True)
class Restart:
    """ICE restart: up brings its own new offer in `sdp`; down asks us for one, `fresh` for a whole new connection."""

    direction: Direction
    sdp: str
    fresh: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Leave:
    pass


@dataclasses.dataclass(frozen=True, slots=True)
class Post:
    """Say something to the room, or to one user (`to`; "": the room)."""

    random: int
    body: chat.Body
    to: str


@dataclasses.dataclass(frozen=True, slots=True)
class History:
    range: chat.Range


@dataclasses.dataclass(frozen=True, slots=True)
class Custom:
    """A TRTC custom message: `cmd_id` 1..10, at most 1 KB, to the others who are present."""

    cmd_id: int
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Inspect:
    user_id: str
    stream: StreamName


ChatRequest: TypeAlias = Post | History | Custom | Inspect
"""What may also come over the datachannel."""
Message: TypeAlias = (
    Enter
    | Publish
    | Unpublish
    | Subscribe
    | Unsubscribe
    | Answer
    | Mute
    | Role
    | Restart
    | Leave
    | ChatRequest
    | Relay
    | Unrelay
    | Moderate
)


def read(text: str) -> Envelope:
    """Take one text frame apart. Raises SignalingError if it is too long or not an object with `id` and `t`."""
    if len(text) > MAX_FRAME:
        raise SignalingError(f"frame of {len(text)} characters, limit {MAX_FRAME}")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise SignalingError("the frame is not JSON") from None
    if not isinstance(fields, dict):
        raise SignalingError("the frame is not a JSON object")
    request = fields.get("id")
    if isinstance(request, bool) or not isinstance(request, int | str):
        raise SignalingError("id: a number or a text is needed")
    if isinstance(request, int) and not 0 <= request < 1 << 53:
        raise SignalingError("id: a number of 0 to 2^53 - 1 is needed")
    if isinstance(request, str) and (not 0 < len(request) <= 64 or not _sound(request)):
        raise SignalingError("id: a text of 1 to 64 characters is needed")
    kind = fields.get("t")
    if not isinstance(kind, str) or not 0 < len(kind) <= 32 or not _sound(kind):
        raise SignalingError("t: the name of the request is needed")
    return Envelope(request, kind, fields)


def parse(envelope: Envelope) -> Message:
    """Return the message in `envelope`. Raises BadRequest that names the field; TooLarge for what people write."""
    parser = _PARSERS.get(envelope.type)
    if parser is None:
        raise BadRequest(f"t: {envelope.type!r} is unknown; known here: {', '.join(_PARSERS)}")
    message: Message = parser(envelope.fields)
    return message


def _enter(f: Mapping[str, Any]) -> Enter:
    version = _number(f, "v", low=0, high=1 << 31)
    if version != VERSION:
        raise BadRequest(f"v: version {version} is not spoken here, only {VERSION}")
    room_id, room_text = f.get("roomId"), f.get("strRoomId")
    if (room_id is None) == (room_text is None):
        raise BadRequest("roomId (number) or strRoomId (text): exactly one is needed")
    if room_id is not None:
        if isinstance(room_id, str) and room_id.isascii() and room_id.isdecimal() and len(room_id) <= 10:
            room_id = int(room_id)
        if isinstance(room_id, bool) or not isinstance(room_id, int) or not 1 <= room_id <= MAX_ROOM_ID:
            raise BadRequest(f"roomId: a number of 1 to {MAX_ROOM_ID} is needed")
    elif not isinstance(room_text, str) or not _sound(room_text) or not 1 <= len(room_text.encode()) <= 64:
        raise BadRequest("strRoomId: a text of 1 to 64 bytes is needed")
    app = _number(f, "sdkAppId", low=0, high=0xFFFFFFFF, default=0)
    keep = f.get("keep") or []
    if not isinstance(keep, list) or len(keep) > 2 or any(item not in ("up", "down") for item in keep):
        raise BadRequest("keep: a list of up and down is needed")
    kind: RoomKind | None = _choice(f, "kind", RoomKind) if f.get("kind") is not None else None
    return Enter(
        room_id=room_id,
        room_text=room_text,
        user_id=_user(f, "userId"),
        sdk_app_id=app or None,
        user_sig=_text(f, "userSig", MAX_TICKET, default=""),
        private_map_key=_text(f, "privateMapKey", MAX_TICKET, default=""),
        role=_choice(f, "role", RoleName, default="anchor"),
        nick=_text(f, "nick", MAX_NICK, default=""),
        resume=_text(f, "resume", 256, default=""),
        keep=frozenset(keep),
        position=_position(f.get("chat")),
        kind=kind,
        create=_flag(f, "create", default=True),
        info=_text(f, "roomInfo", MAX_INFO, default=""),
    )


def _position(value: object) -> chat.Position | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadRequest("chat: {epoch, seq} is needed")
    return chat.read_position(value.get("epoch"), value.get("seq"))


def _publish(f: Mapping[str, Any]) -> Publish:
    streams = f.get("streams")
    if not isinstance(streams, dict) or len(streams) > MAX_MIDS:
        raise BadRequest(f"streams: an object of at most {MAX_MIDS} mids is needed")
    for mid, name in streams.items():
        if not _MID.fullmatch(mid) or name not in get_args(StreamName):
            raise BadRequest("streams: each entry is a mid with main or aux")
    return Publish(_sdp(f), dict(streams))


def _unpublish(f: Mapping[str, Any]) -> Unpublish:
    return Unpublish(_choice(f, "stream", StreamName))


def _subscribe(f: Mapping[str, Any]) -> Subscribe:
    return Subscribe(_user(f, "userId"), _choice(f, "stream", StreamName, default="main"), _kinds(f))


def _unsubscribe(f: Mapping[str, Any]) -> Unsubscribe:
    return Unsubscribe(_user(f, "userId"), _choice(f, "stream", StreamName, default="main"), _kinds(f))


def _answer(f: Mapping[str, Any]) -> Answer:
    return Answer(_number(f, "n", low=0, high=1 << 31), _sdp(f))


def _mute(f: Mapping[str, Any]) -> Mute:
    stream = _choice(f, "stream", StreamName, default="main")
    return Mute(stream, _choice(f, "kind", MediaKind), _flag(f, "muted"))


def _role(f: Mapping[str, Any]) -> Role:
    return Role(_choice(f, "role", RoleName), _text(f, "privateMapKey", MAX_TICKET, default=""))


def _restart(f: Mapping[str, Any]) -> Restart:
    direction: Direction = _choice(f, "direction", Direction)
    return Restart(direction, _sdp(f) if direction == "up" else "", _flag(f, "fresh", default=False))


def _leave(_: Mapping[str, Any]) -> Leave:
    return Leave()


def _post(f: Mapping[str, Any]) -> Post:
    to = _user(f, "to") if f.get("to") not in (None, "") else ""
    limit = chat.DIRECT_BYTES if to else chat.GROUP_BYTES
    return Post(chat.read_random(f.get("random")), chat.read_body(f.get("body"), limit), to)


def _history(f: Mapping[str, Any]) -> History:
    return History(chat.read_range(f))


def _custom(f: Mapping[str, Any]) -> Custom:
    return Custom(*chat.read_custom(f))


def _inspect(f: Mapping[str, Any]) -> Inspect:
    return Inspect(_user(f, "userId"), _choice(f, "stream", StreamName, default="main"))


_PARSERS: Final[Mapping[str, Any]] = {
    "enter": _enter,
    "publish": _publish,
    "unpublish": _unpublish,
    "subscribe": _subscribe,
    "unsubscribe": _unsubscribe,
    "answer": _answer,
    "mute": _mute,
    "role": _role,
    "restart": _restart,
    "leave": _leave,
    "message": _post,
    "history": _history,
    "custom": _custom,
    "inspect": _inspect,
    "relay": parse_relay,
    "unrelay": parse_unrelay,
    "moderate": parse_moderate,
}


def _sound(text: str) -> bool:
    """JSON can carry half a surrogate pair, which no encoder takes later."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(f: Mapping[str, Any], name: str, limit: int, default: str | None = None) -> str:
    value = f.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or len(value) > limit or not _sound(value):
        raise BadRequest(f"{name}: a text of at most {limit} characters is needed")
    return value


def _user(f: Mapping[str, Any], name: str) -> str:
    value = f.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63:
        value = str(value)
    if not isinstance(value, str) or not _USER.fullmatch(value):
        raise BadRequest(f"{name}: 1 to 32 of A-Z a-z 0-9 _ - are needed")
    return value


def _number(f: Mapping[str, Any], name: str, *, low: int, high: int, default: int | None = None) -> int:
    value = f.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadRequest(f"{name}: a whole number of {low} to {high} is needed")
    return value


def _flag(f: Mapping[str, Any], name: str, default: bool | None = None) -> bool:
    value = f.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, bool):
        raise BadRequest(f"{name}: true or false is needed")
    return value


def _choice(f: Mapping[str, Any], name: str, kind: Any, default: str | None = None) -> Any:
    value = f.get(name, default)
    if not isinstance(value, str) or value not in get_args(kind):
        raise BadRequest(f"{name}: one of {', '.join(get_args(kind))} is needed")
    return value


def _kinds(f: Mapping[str, Any]) -> frozenset[MediaKind]:
    value = f.get("kinds")
    if value is None:
        return frozenset(get_args(MediaKind))
    if not isinstance(value, list) or not 1 <= len(value) <= 2 or any(item not in ("audio", "video") for item in value):
        raise BadRequest("kinds: a list of audio and video is needed")
    return frozenset(value)


def _sdp(f: Mapping[str, Any]) -> str:
    value = _text(f, "sdp", MAX_SDP)
    if not value:
        raise BadRequest("sdp: a description is needed")
    return value
