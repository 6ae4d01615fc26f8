"""The SQLite file in the data directory: store.py writes, file.py opens, rows.py translates; guests.py has a table."""

from gateway.services.store.guests import GuestTickets
from gateway.services.store.store import FILE, FLUSH_S, Store, allocate_stream_id

__all__ = ["FILE", "FLUSH_S", "GuestTickets", "Store", "allocate_stream_id"]
