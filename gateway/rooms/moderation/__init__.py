"""What moderators of rooms may do and have done: mutes, rights, bans. docs/moderation.md."""

from gateway.rooms.moderation.moderation import ADMINISTRATORS, Moderation
from gateway.rooms.moderation.values import (
    FOREVER,
    Authority,
    Ban,
    Medium,
    MemberModerated,
    ModerationEvent,
    ModerationRecord,
    Mute,
    Mutes,
    RightsDecided,
    RoomModerated,
)

__all__ = [
    "ADMINISTRATORS",
    "FOREVER",
    "Authority",
    "Ban",
    "Medium",
    "MemberModerated",
    "Moderation",
    "ModerationEvent",
    "ModerationRecord",
    "Mute",
    "Mutes",
    "RightsDecided",
    "RoomModerated",
]
