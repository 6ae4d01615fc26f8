"""Messages of rooms and users: who wrote what in which order, what is kept, how much one may write. docs/rooms.md 6."""

from gateway.rooms.groups.accounts import Accounts
from gateway.rooms.groups.group import Group
from gateway.rooms.groups.groups import Groups
from gateway.rooms.groups.values import (
    CustomPosted,
    DirectKept,
    DirectPosted,
    GroupChanges,
    GroupDissolved,
    GroupEvent,
    GroupInfo,
    GroupNotice,
    GroupRecord,
    GroupSnapshot,
    GroupTip,
    KeptDirect,
    LoginRecord,
    MemberJoinedGroup,
    MemberQuitGroup,
    MessagePosted,
    Profile,
    Receipt,
    UserNotice,
)
from gateway.rooms.groups.waiting import Waiting

__all__ = [
    "Accounts",
    "CustomPosted",
    "DirectKept",
    "DirectPosted",
    "Group",
    "GroupChanges",
    "GroupDissolved",
    "GroupEvent",
    "GroupInfo",
    "GroupNotice",
    "GroupRecord",
    "GroupSnapshot",
    "GroupTip",
    "Groups",
    "KeptDirect",
    "LoginRecord",
    "MemberJoinedGroup",
    "MemberQuitGroup",
    "MessagePosted",
    "Profile",
    "Receipt",
    "UserNotice",
    "Waiting",
]
