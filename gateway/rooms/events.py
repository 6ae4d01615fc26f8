"""What the directory announces, in the one order in which it happened. Frozen values: safe to keep and to queue."""

from __future__ import annotations

import dataclasses

from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey, StreamKind


@dataclasses.dataclass(frozen=True, slots=True)
class RoomCreated:
    room: RoomKey
    creator: str
    kind: str
    """The kind of its policy: `page`, `webrtc`, ..."""


@dataclasses.dataclass(frozen=True, slots=True)
class RoomClosed:
    """The room is gone; MemberLeft of its last members came before. Reasons: `empty`, `idle`, `disbanded`."""

    room: RoomKey
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class MemberEntered:
    room: RoomKey
    user_id: str
    nick: str
    privileges: Privilege
    guest: bool


@dataclasses.dataclass(frozen=True, slots=True)
class MemberLeft:
    """StreamRemoved of its streams came before. Reasons: `left`, `timeout`, `moved`, `kicked`, `disbanded`."""

    room: RoomKey
    user_id: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class StrangerRemoved:
    """Somebody who is no member of the room was thrown out: what it plays, pushes and reads there ends."""

    room: RoomKey
    user_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class MemberUpdated:
    """Nick or rights have changed; also said when a newer control session entered with other rights."""

    room: RoomKey
    user_id: str
    nick: str
    privileges: Privilege


@dataclasses.dataclass(frozen=True, slots=True)
class StreamAdded:
    room: RoomKey
    user_id: str
    kind: StreamKind
    stream_id: str
    has_audio: bool
    has_video: bool
    audio_muted: bool
    video_muted: bool
    transport: str


@dataclasses.dataclass(frozen=True, slots=True)
class StreamChanged:
    """The stream as it is now: media kinds, mutes, or a new publisher in its place (`restarted`)."""

    room: RoomKey
    user_id: str
    kind: StreamKind
    stream_id: str
    has_audio: bool
    has_video: bool
    audio_muted: bool
    video_muted: bool
    transport: str
    restarted: bool


@dataclasses.dataclass(frozen=True, slots=True)
class StreamRemoved:
    room: RoomKey
    user_id: str
    kind: StreamKind
    stream_id: str


RoomEvent = (
    RoomCreated
    | RoomClosed
    | MemberEntered
    | MemberLeft
    | StrangerRemoved
    | MemberUpdated
    | StreamAdded
    | StreamChanged
    | StreamRemoved
)
