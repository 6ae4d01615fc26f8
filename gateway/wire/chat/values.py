"""What people and the system say, as values: frozen, safe to keep and to queue, without a trace of how they came."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final

GROUP_BYTES: Final = 8898
DIRECT_BYTES: Final = 12000
"""Limits of the old SDK for a message to a group and to one user (C2C)."""
MAX_RANDOM: Final = 1 << 32
"""Inclusive: old clients round a random fraction of 2^32."""
MAX_SEQ: Final = (1 << 53) - 1
DEFAULT_HISTORY: Final = 50
EVENT_MESSAGE: Final = 3
"""The IM's number for what people write."""
EVENT_TIP: Final = 4
EVENT_SYSTEM: Final = 5
SYSTEM: Final = "@TIM#SYSTEM"

REMOVED: Final = 4
DISSOLVED: Final = 5
CREATED: Final = 6
LEFT: Final = 8
ADMIN_SET: Final = 9
ADMIN_CANCELLED: Final = 10
CUSTOM_NOTICE: Final = 255
"""ReportType of a notice: you were removed; the group is gone; you made it; you left it; you are (no longer) one of its
administrators; whatever the server has to say (`text`)."""

TIP_JOINED: Final = 1
TIP_QUIT: Final = 2
TIP_KICKED: Final = 3
TIP_ADMIN_SET: Final = 4
TIP_ADMIN_CANCELLED: Final = 5
TIP_GROUP_CHANGED: Final = 6
TIP_MEMBER_CHANGED: Final = 7
"""OpType of a tip."""


@dataclasses.dataclass(frozen=True, slots=True)
class Body:
    """A checked `MsgBody`: `json` is its compact JSON text, `size` its bytes as the old SDK counts."""

    json: str
    size: int

    def elements(self) -> list[dict[str, Any]]:
        elements: list[dict[str, Any]] = json.loads(self.json)
        return elements


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """A message of a group. `seq` counts 1, 2, 3 … in the group; `random` is the sender's number for it."""

    seq: int
    time_ms: int
    sender: str
    nick: str
    random: int
    body: Body
    event: int = EVENT_MESSAGE
    priority: str = "COMMON"
    """`COMMON`, `REDPACKET` or `LOVEMSG`: old clients show them differently."""


@dataclasses.dataclass(frozen=True, slots=True)
class Direct:
    """A message to one user (C2C). `seq` grows with each of them."""

    seq: int
    time_ms: int
    sender: str
    nick: str
    to: str
    random: int
    body: Body
    sender_seq: int | None = None
    """The sender's own number (MsgSeq), if its face has one: old receivers tell resends by it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Custom:
    """A TRTC custom message: to those present, never kept. `seq` counts the sender's own."""

    sender: str
    cmd_id: int
    seq: int
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """What the system says to a group, or to one user about it. It stands in no list and has no seq.

    `report` is the ReportType. `number` grows with each of them, so that old clients can tell two apart.
    """

    report: int
    number: int
    time_ms: int
    text: str = ""
    operator: str = SYSTEM


@dataclasses.dataclass(frozen=True, slots=True)
class Tip:
    """What has happened to a group or its members, for all who are in it: `op` is the OpType, `operator` who did it.

    It stands in no list and has no seq. `members` is their number afterwards (join and quit). `changed` are the group's
    new data by the IM's names, as in {"GroupName": "…"}; `shut_up_s` for how long `users` may not write (0: they may).
    """

    op: int
    number: int
    time_ms: int
    operator: str
    users: tuple[str, ...] = ()
    members: int = 0
    changed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    shut_up_s: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """How far a client has read: `seq` in the group that is named by `epoch`."""

    epoch: int
    seq: int


@dataclasses.dataclass(frozen=True, slots=True)
class Backlog:
    """Messages of a group, oldest first; `seq` is the newest given, `first` the oldest kept (seq + 1: none)."""

    epoch: int
    seq: int
    first: int
    messages: tuple[Message, ...]


NOTHING: Final = Backlog(0, 0, 1, ())


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """Which messages are asked for: seq > `after`, oldest first; else the newest with seq < `before`."""

    after: int | None = None
    before: int | None = None
    count: int = DEFAULT_HISTORY
