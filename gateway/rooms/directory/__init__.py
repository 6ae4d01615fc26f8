"""The directory of rooms: directory.py has the rules, the other files its parts."""

from gateway.rooms.directory.directory import RESTART_RESUME_S, Directory, StreamOwner
from gateway.rooms.directory.records import (
    BlockRecord,
    Changes,
    MemberRecord,
    RoomRecord,
    Snapshot,
    StreamIdRecord,
    StreamRecord,
)

__all__ = [
    "RESTART_RESUME_S",
    "BlockRecord",
    "Changes",
    "Directory",
    "MemberRecord",
    "RoomRecord",
    "Snapshot",
    "StreamIdRecord",
    "StreamOwner",
    "StreamRecord",
]
