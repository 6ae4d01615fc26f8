"""The SQLite file of the data directory: store.py writes, file.py opens, rows.py translates; others have one table."""

from gateway.services.store.guests import GuestTickets
from gateway.services.store.open_rooms import OpenRoomChanges
from gateway.services.store.store import FILE, FLUSH_S, Store, allocate_stream_id
from gateway.services.store.tokens import RoomServiceTokens, TokenRecord

__all__ = [
    "FILE",
    "FLUSH_S",
    "GuestTickets",
    "OpenRoomChanges",
    "RoomServiceTokens",
    "Store",
    "TokenRecord",
    "allocate_stream_id",
]
