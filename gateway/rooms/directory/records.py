"""What of the directory must survive a restart, as plain values, and what has changed since it was last asked.

Times are monotonic seconds of the directory's clock; the store converts them. A record is a copy: another thread may
keep it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from gateway.rooms.moderation import ModerationRecord
from gateway.rooms.room import RoomKey, StreamKind


@dataclasses.dataclass(frozen=True, slots=True)
class RoomRecord:
    key: RoomKey
    creator: str
    info: str
    room_type: str
    kind: str
    capacity: int
    created_at: float
    serial: int
    custom: Mapping[str, int | str] = dataclasses.field(default_factory=dict)
    creator_is_guest: bool | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class StreamRecord:
    stream_id: str
    kind: StreamKind
    has_audio: bool
    has_video: bool
    audio_muted: bool
    video_muted: bool
    started_at: float
    transport: str


@dataclasses.dataclass(frozen=True, slots=True)
class MemberRecord:
    room: RoomKey
    user_id: str
    nick: str
    privileges: int
    """What the ticket grants in the member's role; what a moderator has decided is kept with the moderation."""
    guest: bool
    entered_at: float
    streams: tuple[StreamRecord, ...]
    urls: Mapping[str, str]
    resume_hash: str
    """SHA-256 of the resume token in hexadecimal, "" without one."""
    avatar: str = ""
    pusher: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class StreamIdRecord:
    stream_id: str
    app: int
    room: RoomKey | None
    """None: issued to the user without a room."""
    user_id: str
    kind: StreamKind


@dataclasses.dataclass(frozen=True, slots=True)
class BlockRecord:
    """URLs issued to this user in this room are blocked."""

    room: RoomKey
    user_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything, for `Directory.restore`; rooms in order of creation, members in order of entry."""

    rooms: tuple[RoomRecord, ...] = ()
    members: tuple[MemberRecord, ...] = ()
    stream_ids: tuple[StreamIdRecord, ...] = ()
    blocks: tuple[BlockRecord, ...] = ()
    moderation: tuple[ModerationRecord, ...] = ()


@dataclasses.dataclass(slots=True)
class Changes:
    """The records that changed, by key; None: gone."""

    rooms: dict[RoomKey, RoomRecord | None] = dataclasses.field(default_factory=dict)
    members: dict[tuple[int, str], MemberRecord | None] = dataclasses.field(default_factory=dict)
    stream_ids: dict[str, StreamIdRecord | None] = dataclasses.field(default_factory=dict)
    blocks: dict[tuple[RoomKey, str], BlockRecord | None] = dataclasses.field(default_factory=dict)
    moderation: dict[RoomKey, ModerationRecord | None] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.rooms or self.members or self.stream_ids or self.blocks or self.moderation)


@dataclasses.dataclass(slots=True)
class Dirty:
    """Keys of records that have changed."""

    rooms: set[RoomKey] = dataclasses.field(default_factory=set)
    members: set[tuple[int, str]] = dataclasses.field(default_factory=set)
    stream_ids: dict[str, None] = dataclasses.field(default_factory=dict)
    """In order: of several ids of one owner the newest counts."""
    blocks: set[tuple[RoomKey, str]] = dataclasses.field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.rooms or self.members or self.stream_ids or self.blocks)
