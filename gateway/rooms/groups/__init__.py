"""The messages of rooms: who wrote what in which order, what is kept, how much one may write. docs/rooms.md 6."""

from gateway.rooms.groups.group import Group
from gateway.rooms.groups.groups import Groups
from gateway.rooms.groups.values import (
    CustomPosted,
    DirectPosted,
    GroupChanges,
    GroupDissolved,
    GroupEvent,
    GroupNotice,
    GroupRecord,
    GroupSnapshot,
    MemberJoinedGroup,
    MemberQuitGroup,
    MessagePosted,
    Receipt,
)

__all__ = [
    "CustomPosted",
    "DirectPosted",
    "Group",
    "GroupChanges",
    "GroupDissolved",
    "GroupEvent",
    "GroupNotice",
    "GroupRecord",
    "GroupSnapshot",
    "Groups",
    "MemberJoinedGroup",
    "MemberQuitGroup",
    "MessagePosted",
    "Receipt",
]
