"""The SQLite file in the data directory: store.py writes, file.py opens, rows.py translates."""

from gateway.services.store.store import FILE, FLUSH_S, Store, allocate_stream_id

__all__ = ["FILE", "FLUSH_S", "Store", "allocate_stream_id"]
