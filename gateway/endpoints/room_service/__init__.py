"""RoomService: rooms of RTMP pushers in three kinds, as the clients of 2018 know them (docs/protocol.md)."""

from gateway.endpoints.room_service.kinds import room_service_policies
from gateway.endpoints.room_service.notices import Notices
from gateway.endpoints.room_service.service import RoomService

__all__ = ["Notices", "RoomService", "room_service_policies"]
