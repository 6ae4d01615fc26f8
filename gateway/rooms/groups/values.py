"""What groups announce, and what of them must survive a restart. Frozen values: safe to keep and to queue."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from gateway.rooms.room import RoomKey
from gateway.wire.chat import Custom, Direct, Message, Notice


@dataclasses.dataclass(frozen=True, slots=True)
class Receipt:
    """What the sender is told: the number and the time (unix ms) of its message."""

    seq: int
    time_ms: int


@dataclasses.dataclass(frozen=True, slots=True)
class MessagePosted:
    """For everybody in the room, the sender too."""

    room: RoomKey
    epoch: int
    message: Message


@dataclasses.dataclass(frozen=True, slots=True)
class DirectPosted:
    """For `message.to` only, in whatever room of the app it is."""

    app: int
    message: Direct


@dataclasses.dataclass(frozen=True, slots=True)
class CustomPosted:
    """For everybody in the room but the sender; it is not kept."""

    room: RoomKey
    message: Custom


@dataclasses.dataclass(frozen=True, slots=True)
class GroupNotice:
    """The system says something to everybody in the group; it is not kept and has no seq."""

    room: RoomKey
    message: Notice


@dataclasses.dataclass(frozen=True, slots=True)
class GroupDissolved:
    """The group is gone, and nothing more comes from it."""

    room: RoomKey
    message: Notice


@dataclasses.dataclass(frozen=True, slots=True)
class MemberJoinedGroup:
    """A user of the old IM has joined the group."""

    room: RoomKey
    user_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class MemberQuitGroup:
    """A user of the old IM has quit the group, or has joined another."""

    room: RoomKey
    user_id: str


GroupEvent = (
    MessagePosted | DirectPosted | CustomPosted | GroupNotice | GroupDissolved | MemberJoinedGroup | MemberQuitGroup
)


@dataclasses.dataclass(frozen=True, slots=True)
class GroupRecord:
    """A group without its messages. `id` never changes; messages below `first` are not kept any more."""

    id: int
    room: RoomKey
    epoch: int
    seq: int
    first: int


@dataclasses.dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """Everything, for `Groups.restore`; messages by group id and seq, in that order.

    `complete`: the last server has written all that it had told. If not (it was killed), the newest may be missing.
    """

    groups: tuple[GroupRecord, ...] = ()
    messages: tuple[tuple[int, Message], ...] = ()
    complete: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class GroupChanges:
    """What changed: groups by id (None: gone, with its messages), new messages by group id and seq."""

    groups: Mapping[int, GroupRecord | None] = dataclasses.field(default_factory=dict)
    messages: Mapping[tuple[int, int], Message] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.groups or self.messages)
