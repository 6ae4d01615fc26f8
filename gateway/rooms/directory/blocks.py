"""Who was thrown out of which room: the URLs issued to it there are void until it is admitted again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.rooms.directory.records import BlockRecord
from gateway.rooms.room import RoomKey

MAX_BLOCKS: Final = 100_000
"""Per node; beyond it the oldest go."""


class Blocks:
    """`changed` collects the keys whose record is new or gone."""

    def __init__(self, changed: set[tuple[RoomKey, str]], limit: int = MAX_BLOCKS) -> None:
        self._blocked: dict[tuple[RoomKey, str], None] = {}
        self._changed = changed
        self._limit = limit

    def block(self, key: RoomKey, user_id: str) -> None:
        self._blocked.pop((key, user_id), None)
        self._blocked[(key, user_id)] = None
        self._changed.add((key, user_id))
        if len(self._blocked) > self._limit:
            oldest = next(iter(self._blocked))
            del self._blocked[oldest]
            self._changed.add(oldest)

    def admitted(self, key: RoomKey, user_id: str) -> None:
        if (key, user_id) in self._blocked:
            del self._blocked[(key, user_id)]
            self._changed.add((key, user_id))

    def is_blocked(self, key: RoomKey, user_id: str) -> bool:
        return (key, user_id) in self._blocked

    def record(self, key: RoomKey, user_id: str) -> BlockRecord | None:
        return BlockRecord(key, user_id) if (key, user_id) in self._blocked else None

    def restore(self, saved: Iterable[BlockRecord]) -> None:
        for block in saved:
            self._blocked[(block.room, block.user_id)] = None
