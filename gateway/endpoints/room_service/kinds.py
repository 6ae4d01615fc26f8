"""The three kinds of room, which differ by their policy only (rooms/room.py) and by what the operator says of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

from gateway.base.config import RoomServiceConfig
from gateway.rooms.room import RoomPolicy

KINDS: Final = ("double_room", "multi_room", "live_room")


def room_service_policies(policies: Mapping[str, RoomPolicy], config: RoomServiceConfig) -> dict[str, RoomPolicy]:
    """Return `policies` with the operator's rules for these kinds in them."""
    return {
        kind: dataclasses.replace(policy, closes_with_creator=policy.closes_with_creator or config.creator_ends_room)
        if kind in KINDS
        else policy
        for kind, policy in policies.items()
    }
