"""What a room and a member are: names, kinds of room as data, and who may do what.

A room is (app, number) or (app, text). Number and text rooms never meet, even if they look alike: a cVer 1 ticket and
`strRoomId` always mean the text room, everything else that is a canonical decimal in range means the number room.

Objects here hold state and answer questions about it; only the directory changes them.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import re
from collections.abc import Mapping
from typing import Final, Protocol

from gateway.base.config import RoomsConfig
from gateway.base.errors import BadRequest
from gateway.rooms.privileges import Privilege, grants, to_receive, to_send

MAX_ROOM_NUMBER: Final = 4294967294
MAX_APP: Final = 4294967295

_ROOM_NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}")
_ROOM_TEXT: Final = re.compile(r"[\x20-\x7e]{1,64}")  # what IM allows in a group id, ASCII: 1 character is 1 byte
_USER: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclasses.dataclass(frozen=True, slots=True)
class RoomKey:
    """A room's name. `id` is a canonical decimal 1..4294967294 (text=False) or 1-64 printable ASCII (text=True)."""

    app: int
    id: str
    text: bool = False

    @classmethod
    def parse(cls, app: int, value: int | str, force_text: bool = False) -> RoomKey:
        """Read a room id as clients send it: a JSON number or a text. Raises BadRequest.

        Canonical decimals in range are number rooms unless `force_text` (strRoomId); any other text is a text room.
        """
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise BadRequest("roomID must be a number or a text")
        if isinstance(value, int):
            if not 1 <= value <= MAX_ROOM_NUMBER:
                raise BadRequest(f"roomID must be 1 to {MAX_ROOM_NUMBER}")
            return cls(app, str(value), force_text)
        if not force_text and _ROOM_NUMBER.fullmatch(value) and int(value) <= MAX_ROOM_NUMBER:
            return cls(app, value, False)
        if not _ROOM_TEXT.fullmatch(value):
            raise BadRequest("roomID must be a number or 1 to 64 printable ASCII characters")
        return cls(app, value, True)

    def __str__(self) -> str:
        return f"{self.app}/'{self.id}'" if self.text else f"{self.app}/{self.id}"


def check_user_id(user_id: object) -> str:
    """Return `user_id` if it is 1-32 of letters, digits, `_`, `-`. Raises BadRequest."""
    if not isinstance(user_id, str) or not _USER.fullmatch(user_id):
        raise BadRequest("userID must be 1 to 32 letters, digits, '_' or '-'")
    return user_id


class StreamKind(enum.Enum):
    MAIN = "main"
    AUX = "aux"


class ControlSession(Protocol):
    """The one connection through which a member is told things. The directory tells it only this:"""

    def kicked(self, reason: str) -> None:
        """You have lost your member (`replaced`, `moved`, `kicked`, ...). Said once, when the directory has let go."""


@dataclasses.dataclass(frozen=True, slots=True)
class RoomPolicy:
    """How a kind of room behaves. Kinds differ by these values and by nothing else."""

    kind: str
    capacity: int
    heartbeat_s: float = 20.0
    """A member without a control session is dropped when silent for longer."""
    idle_s: float = 30.0
    """A room made ahead is removed if nobody enters for so long (math.inf: never)."""
    keep_empty: bool = False
    """The room outlives its last member."""
    closes_with_creator: bool = False
    """The room ends when its creator leaves for good."""
    first_is_creator: bool = False
    """A room made ahead has no creator and is in no list until its first member, who becomes its creator."""
    viewers: int = 0
    """So many members who only watch may be in beyond `capacity`; 0: they count as everybody does."""


POLICIES: Final[Mapping[str, RoomPolicy]] = {
    "page": RoomPolicy("page", 10),
    "webrtc": RoomPolicy("webrtc", 4),
    "double_room": RoomPolicy("double_room", 2, first_is_creator=True),
    "multi_room": RoomPolicy("multi_room", 4, first_is_creator=True),
    "live_room": RoomPolicy("live_room", 4, closes_with_creator=True, first_is_creator=True, viewers=500),
    "lasting": RoomPolicy("lasting", 10, idle_s=math.inf, keep_empty=True),
}
"""`page`: made by our page or signaling; `webrtc`: by the seven webrtc_room calls; `lasting`: by the operator."""


def policies(config: RoomsConfig) -> dict[str, RoomPolicy]:
    """Return POLICIES with the operator's numbers in them."""
    return {
        kind: dataclasses.replace(
            policy,
            heartbeat_s=config.heartbeat_s,
            capacity=config.max_members if kind in ("page", "lasting") else policy.capacity,
        )
        for kind, policy in POLICIES.items()
    }


@dataclasses.dataclass(slots=True, eq=False)
class StreamInfo:
    """One published stream of a member. `live` is False only while its member is away and may come back."""

    stream_id: str
    kind: StreamKind
    live: bool
    has_audio: bool
    has_video: bool
    audio_muted: bool
    video_muted: bool
    started_at: float
    """Monotonic seconds of the first start in this stay: a replaced or resumed publisher keeps its place in lists."""
    transport: str
    """`webrtc`, `rtmp` or `whip`."""


class Member:
    """A user in a room, through however many connections. Compared by identity: a later stay is another member."""

    __slots__ = (
        "alive_until",
        "audience",
        "avatar",
        "entered_at",
        "granted",
        "guest",
        "last_seen",
        "nick",
        "privileges",
        "pusher",
        "resume_until",
        "room",
        "session",
        "streams",
        "urls",
        "user_id",
    )

    def __init__(
        self, room: Room, user_id: str, *, nick: str, privileges: Privilege, guest: bool, entered_at: float
    ) -> None:
        self.room = room
        self.user_id = user_id
        self.nick = nick
        self.privileges = privileges
        """What it may do now."""
        self.granted = privileges
        """What its ticket lets it do in its role: the same, unless a moderator has decided otherwise."""
        self.audience = False
        """It has chosen to send nothing, whatever its ticket says."""
        self.guest = guest
        self.entered_at = entered_at
        self.last_seen = entered_at
        self.avatar = ""
        """The address of its picture, as RoomService's clients tell it."""
        self.pusher = False
        """It came by RoomService's `add_pusher`, and so is listed before its stream is seen."""
        self.session: ControlSession | None = None
        self.streams: dict[StreamKind, StreamInfo] = {}
        self.urls: dict[str, str] = {}
        """URLs handed out in this stay, by what they are for (`push:<stream>`, `rtmp:<stream>`, ...)."""
        self.alive_until = entered_at
        """Without a session and without a pushing stream the member is dropped after this."""
        self.resume_until: float | None = None
        """Set while the control session is dead but may be resumed."""

    @property
    def key(self) -> RoomKey:
        return self.room.key

    @property
    def resuming(self) -> bool:
        return self.resume_until is not None and self.session is None

    def may(self, privilege: Privilege) -> bool:
        """Whether the member has every bit of `privilege` now."""
        return grants(self.privileges, privilege)

    def may_claim(self, privilege: Privilege) -> bool:
        """Whether the member has every bit now, or would have if a moderator had not taken it away."""
        return grants(self.privileges | self.granted, privilege)

    def may_send(self, kind: StreamKind, *, video: bool) -> bool:
        return self.may(to_send(aux=kind is StreamKind.AUX, video=video))

    def may_receive(self, kind: StreamKind, *, video: bool) -> bool:
        return self.may(to_receive(aux=kind is StreamKind.AUX, video=video))

    def __repr__(self) -> str:
        return f"<Member {self.user_id} of {self.room.key}>"


class Room:
    """A room that exists. `members` is in order of entry."""

    __slots__ = (
        "audience",
        "created_at",
        "creator",
        "creator_is_guest",
        "custom",
        "info",
        "key",
        "members",
        "policy",
        "room_type",
        "serial",
    )

    def __init__(
        self,
        key: RoomKey,
        *,
        creator: str,
        info: str,
        room_type: str,
        policy: RoomPolicy,
        created_at: float,
        serial: int,
    ) -> None:
        self.key = key
        self.creator = creator
        self.info = info
        self.room_type = room_type
        self.policy = policy
        self.created_at = created_at
        self.serial = serial
        """Order of creation on this node."""
        self.creator_is_guest: bool | None = None
        """Whether the creator came without a ticket when it came first; None: it has not come yet."""
        self.members: dict[str, Member] = {}
        self.custom: dict[str, int | str] = {}
        """RoomService's custom fields."""
        self.audience: dict[str, str] = {}
        """RoomService's viewers, who are no members, with what each says of itself."""

    def has_place(self, user_id: str, *, audience: bool) -> bool:
        """Whether the user, in the room already or not, finds a place as one who only watches, or as one who sends."""
        viewers, others = self.policy.viewers, [member for key, member in self.members.items() if key != user_id]
        if not viewers:
            return user_id in self.members or len(others) < self.policy.capacity
        watching = sum(member.audience for member in others)
        return watching < viewers if audience else len(others) - watching < self.policy.capacity

    def published(self, kind: StreamKind = StreamKind.MAIN) -> list[tuple[Member, StreamInfo]]:
        """Members with a live or resuming stream of `kind`, by time of publishing."""
        found = [(member, member.streams[kind]) for member in self.members.values() if kind in member.streams]
        found.sort(key=lambda pair: pair[1].started_at)
        return found

    def pushers(self) -> list[Member]:
        """Members by `add_pusher` and whoever else publishes: the creator first, then by entry."""
        found = [member for member in self.members.values() if member.pusher or StreamKind.MAIN in member.streams]
        found.sort(key=lambda member: member.user_id != self.creator)
        return found

    def __repr__(self) -> str:
        return f"<Room {self.key} {self.policy.kind} {len(self.members)}/{self.policy.capacity}>"
