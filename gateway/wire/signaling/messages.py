"""What the server says over signaling: frozen values to text frames."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from gateway.base.errors import GatewayError
from gateway.wire import chat
from gateway.wire.signaling.moderation import ModerationChanged, Rights
from gateway.wire.signaling.relay import RelayChanged
from gateway.wire.signaling.requests import VERSION, Direction, MediaKind, RequestId, RoleName, StreamName


@dataclasses.dataclass(frozen=True, slots=True)
class StreamView:
    """One live stream as others see it. `urls`: play URLs for this viewer, by "rtc", "rtmp", "flv"."""

    user_id: str
    stream: StreamName
    audio: bool
    video: bool
    audio_muted: bool
    video_muted: bool
    transport: str
    urls: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class MemberView:
    user_id: str
    nick: str
    role: RoleName


@dataclasses.dataclass(frozen=True, slots=True)
class Entered:
    """The answer to `enter`. `members` are the others; `urls`: this member's own push and play URLs."""

    request: RequestId
    sdk_app_id: int
    room_id: int | None
    room_text: str | None
    user_id: str
    role: RoleName
    privileges: int
    resume: str
    resume_ms: int
    resumed: bool
    kept: tuple[Direction, ...]
    time_ms: int
    dev: bool
    members: tuple[MemberView, ...]
    streams: tuple[StreamView, ...]
    urls: Mapping[str, str]
    ice_servers: tuple[Mapping[str, object], ...] = ()
    backlog: chat.Backlog = chat.NOTHING
    """The newest messages of the room, or all that a client that comes back has missed."""
    kind: str = "page"
    creator: str = ""
    info: str = ""
    moderation: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """Whether this member may moderate, and what moderators have muted, in wire spelling."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """A request was done; `fields` stand beside `ok` (sdp, kinds, …), in wire spelling."""

    request: RequestId
    fields: Mapping[str, object] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """The answer to `history`."""

    request: RequestId
    backlog: chat.Backlog


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """A frame that is written already: what goes to a whole room is written once."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """A request was refused; `request` None answers a frame that had no readable id."""

    request: RequestId | None
    code: int
    name: str
    message: str
    retry_after_ms: int | None = None

    @classmethod
    def of(cls, request: RequestId | None, error: GatewayError) -> Failure:
        return cls(request, error.code, error.name, error.message, error.retry_after_ms)


@dataclasses.dataclass(frozen=True, slots=True)
class MemberJoined:
    """Also sent again when the nick or the role of a member has changed."""

    member: MemberView


@dataclasses.dataclass(frozen=True, slots=True)
class MemberGone:
    user_id: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class StreamOn:
    """A stream has begun, or has other media kinds than before."""

    view: StreamView


@dataclasses.dataclass(frozen=True, slots=True)
class StreamOff:
    user_id: str
    stream: StreamName


@dataclasses.dataclass(frozen=True, slots=True)
class Muted:
    user_id: str
    stream: StreamName
    kind: MediaKind
    muted: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Speaking:
    """Who is heard now: user id and level 0..100, loudest first."""

    users: tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Slot:
    mid: str
    user_id: str
    stream: StreamName
    kind: MediaKind


@dataclasses.dataclass(frozen=True, slots=True)
class Offer:
    n: int
    sdp: str
    slots: tuple[Slot, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Paused:
    """Our side holds video back from this viewer (its link is too slow), or lets it go again."""

    user_id: str
    stream: StreamName
    kind: MediaKind
    paused: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """What a viewer of a stream should read in words, for example that its codec cannot be shown here."""

    user_id: str
    stream: StreamName
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class PeerClosed:
    """A connection has died (no check for 15 s, or DTLS ended): publish again, or restart down with fresh."""

    direction: Direction
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Kicked:
    reason: str


_Plain: TypeAlias = (
    Reply
    | Failure
    | MemberJoined
    | MemberGone
    | StreamOn
    | StreamOff
    | Muted
    | Speaking
    | Offer
    | Paused
    | Notice
    | PeerClosed
    | Kicked
    | RelayChanged
    | ModerationChanged
    | Rights
)
_Said: TypeAlias = chat.Message | chat.Direct | chat.Custom | chat.Notice | chat.Tip
ServerMessage: TypeAlias = _Plain | Entered | Told | Text | _Said


def serialize(message: ServerMessage) -> str:
    """Return the text frame of `message`."""
    match message:
        case Text():
            return message.text
        case Entered():
            backlog = chat.backlog_json(message.backlog, {})
            return f'{_dump(_entered(message))[:-1]},"chat":{backlog}}}'
        case Told():
            return chat.backlog_json(message.backlog, {"re": message.request, "ok": True})
        case chat.Message():
            return chat.message_json(message)
        case chat.Direct():
            return chat.direct_json(message)
        case chat.Custom():
            return _dump({"t": "custom", **chat.custom_fields(message)})
        case chat.Notice():
            return chat.notice_json(message)
        case chat.Tip():
            return chat.tip_json(message)
        case _:
            return _dump(_fields(message))


def _dump(fields: Mapping[str, object]) -> str:
    return json.dumps(fields, separators=(",", ":"))


def _fields(message: _Plain) -> dict[str, object]:
    match message:
        case Reply():
            return {"re": message.request, "ok": True, **message.fields}
        case Failure():
            error: dict[str, object] = {"code": message.code, "name": message.name, "message": message.message}
            if message.retry_after_ms is not None:
                error["retryAfterMs"] = message.retry_after_ms
            return {"re": message.request, "error": error}
        case MemberJoined():
            return {"t": "member+", **_member(message.member)}
        case MemberGone():
            return {"t": "member-", "userId": message.user_id, "reason": message.reason}
        case StreamOn():
            return {"t": "stream+", **_stream(message.view)}
        case StreamOff():
            return {"t": "stream-", "userId": message.user_id, "stream": message.stream}
        case Muted():
            return {"t": "mute", **_track(message), "muted": message.muted}
        case Speaking():
            return {"t": "speaking", "users": [{"userId": user, "level": level} for user, level in message.users]}
        case Offer():
            return {"t": "offer", "n": message.n, "sdp": message.sdp, "map": _map(message.slots)}
        case Paused():
            return {"t": "pause", **_track(message), "paused": message.paused}
        case Notice():
            return {"t": "notice", "userId": message.user_id, "stream": message.stream, "message": message.text}
        case PeerClosed():
            return {"t": "closed", "direction": message.direction, "reason": message.reason}
        case Kicked():
            return {"t": "kicked", "reason": message.reason}
        case RelayChanged():
            return {"t": "relay", **message.fields()}
        case ModerationChanged():
            return {"t": "moderation", **message.fields()}
        case Rights():
            return {"t": "rights", "privileges": message.privileges}


def _entered(m: Entered) -> dict[str, object]:
    room: dict[str, object] = {"roomId": m.room_id} if m.room_id is not None else {"strRoomId": m.room_text}
    return {
        "re": m.request,
        "ok": True,
        "t": "entered",
        "v": VERSION,
        "sdkAppId": m.sdk_app_id,
        **room,
        "kind": m.kind,
        "creator": m.creator,
        "roomInfo": m.info,
        "userId": m.user_id,
        "role": m.role,
        "privileges": m.privileges,
        "resume": m.resume,
        "resumeMs": m.resume_ms,
        "resumed": m.resumed,
        "kept": list(m.kept),
        "time": m.time_ms,
        "dev": m.dev,
        "members": [_member(view) for view in m.members],
        "streams": [_stream(view) for view in m.streams],
        "urls": dict(m.urls),
        "iceServers": [dict(server) for server in m.ice_servers],
        "moderation": dict(m.moderation),
    }


def _member(view: MemberView) -> dict[str, object]:
    return {"userId": view.user_id, "nick": view.nick, "role": view.role}


def _stream(view: StreamView) -> dict[str, object]:
    return {
        "userId": view.user_id,
        "stream": view.stream,
        "audio": view.audio,
        "video": view.video,
        "audioMuted": view.audio_muted,
        "videoMuted": view.video_muted,
        "transport": view.transport,
        "urls": dict(view.urls),
    }


def _track(message: Muted | Paused) -> dict[str, object]:
    return {"userId": message.user_id, "stream": message.stream, "kind": message.kind}


def _map(slots: Iterable[Slot]) -> list[dict[str, object]]:
    return [{"mid": s.mid, "userId": s.user_id, "stream": s.stream, "kind": s.kind} for s in slots]
