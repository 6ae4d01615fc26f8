"""What moderators can take away, for how long, what is announced of it, and what of it must survive a restart."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from typing import Final

from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey

FOREVER: Final = math.inf


class Medium(enum.Enum):
    """What of a member can be muted: its sound and its picture in all its streams, or what it writes."""

    AUDIO = "audio"
    VIDEO = "video"
    WORDS = "words"


class Authority(enum.IntEnum):
    """Who is above whom in a room. One may moderate those who are below."""

    MEMBER = 0
    CREATOR = 1
    ADMINISTRATOR = 2
    OPERATOR = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Mute:
    """`until` in monotonic seconds, FOREVER without an end; `by` the user who said so, "" for the operator."""

    until: float = FOREVER
    by: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Ban:
    until: float = FOREVER
    by: str = ""
    reason: str = ""


Mutes = Mapping[Medium, Mute]


@dataclasses.dataclass(frozen=True, slots=True)
class MemberModerated:
    """The mutes of this user have changed, or have come to their end; it need not be there."""

    room: RoomKey
    user_id: str
    by: str


@dataclasses.dataclass(frozen=True, slots=True)
class RoomModerated:
    """What is muted for everybody in the room has changed."""

    room: RoomKey
    by: str


@dataclasses.dataclass(frozen=True, slots=True)
class RightsDecided:
    """A moderator has decided what this user may do in the room, or leaves that to its ticket again."""

    room: RoomKey
    user_id: str
    by: str


ModerationEvent = MemberModerated | RoomModerated | RightsDecided


@dataclasses.dataclass(frozen=True, slots=True)
class ModerationRecord:
    """Everything that is decided about one room: a copy, which another thread may keep."""

    room: RoomKey
    everybody: Mutes = dataclasses.field(default_factory=dict)
    members: Mapping[str, Mutes] = dataclasses.field(default_factory=dict)
    rights: Mapping[str, Privilege] = dataclasses.field(default_factory=dict)
    bans: Mapping[str, Ban] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.everybody or self.members or self.rights or self.bans)
