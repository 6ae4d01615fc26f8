"""What groups announce, and what of them must survive a restart. Frozen values: safe to keep and to queue."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from gateway.rooms.room import RoomKey
from gateway.wire.chat import Custom, Direct, Message, Notice, Tip


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
    """For `message.to` only, in whatever room of the app it is: for its connections."""

    app: int
    message: Direct


@dataclasses.dataclass(frozen=True, slots=True)
class DirectKept:
    """A message to `user_id` now waits (`Groups.waiting`): for whoever fetches those."""

    app: int
    user_id: str


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
class GroupTip:
    """Something has happened to the group or its members; it is not kept and has no seq."""

    room: RoomKey
    message: Tip


@dataclasses.dataclass(frozen=True, slots=True)
class UserNotice:
    """The system tells one user something about a group; it is not kept."""

    room: RoomKey
    user_id: str
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
    MessagePosted
    | DirectPosted
    | DirectKept
    | CustomPosted
    | GroupNotice
    | GroupTip
    | UserNotice
    | GroupDissolved
    | MemberJoinedGroup
    | MemberQuitGroup
)


@dataclasses.dataclass(frozen=True, slots=True)
class GroupInfo:
    """What a group says of itself; "" where nothing is said."""

    name: str = ""
    introduction: str = ""
    notification: str = ""
    face_url: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class GroupRecord:
    """A group without its messages. `id` never changes; messages below `first` are not kept any more.

    `bare`: it has no room, `owner` made it ("": somebody joined it).
    """

    id: int
    room: RoomKey
    epoch: int
    seq: int
    first: int
    bare: bool = False
    owner: str = ""
    info: GroupInfo = GroupInfo()


@dataclasses.dataclass(frozen=True, slots=True)
class KeptDirect:
    """A message that waits for its receiver. `shown`: a connection of the receiver has had it already."""

    app: int
    message: Direct
    shown: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """What a user of the old IM says of itself. `proven`: it has once logged in by a ticket that was not a guest's."""

    app: int
    user_id: str
    nick: str = ""
    image: str = ""
    proven: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class LoginRecord:
    """A login of the old IM: `digest` of its secret, and the keys by which it polls its group, newest last.

    A key is (digest, the group's seq when it was given).
    """

    digest: str
    app: int
    user_id: str
    guest: bool = False
    group: RoomKey | None = None
    keys: tuple[tuple[str, int], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """Everything, for `Groups.restore`; messages by group id and seq, in that order.

    `complete`: the last server has written all that it had told. If not (it was killed), the newest may be missing.
    """

    groups: tuple[GroupRecord, ...] = ()
    messages: tuple[tuple[int, Message], ...] = ()
    complete: bool = True
    directs: tuple[KeptDirect, ...] = ()
    profiles: tuple[Profile, ...] = ()
    logins: tuple[LoginRecord, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class GroupChanges:
    """What changed, by key (None: gone). Groups by id, with their messages; messages by group id and seq; waiting ones
    by seq; profiles by app and user; logins by digest."""

    groups: Mapping[int, GroupRecord | None] = dataclasses.field(default_factory=dict)
    messages: Mapping[tuple[int, int], Message] = dataclasses.field(default_factory=dict)
    directs: Mapping[int, KeptDirect | None] = dataclasses.field(default_factory=dict)
    profiles: Mapping[tuple[int, str], Profile | None] = dataclasses.field(default_factory=dict)
    logins: Mapping[str, LoginRecord | None] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.groups or self.messages or self.directs or self.profiles or self.logins)
