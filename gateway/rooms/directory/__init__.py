"""The directory of rooms: directory.py says who may do what, register.py holds the state, the rest are its parts."""

from gateway.rooms.directory.directory import Directory, StreamOwner
from gateway.rooms.directory.records import (
    BlockRecord,
    Changes,
    MemberRecord,
    RoomRecord,
    Snapshot,
    StreamIdRecord,
    StreamRecord,
)
from gateway.rooms.directory.register import RESTART_RESUME_S

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
