"""Who was thrown out of which room: its URLs are void until it is admitted again; banned, it is not admitted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.rooms.directory.records import BlockRecord
from gateway.rooms.room import RoomKey

MAX_BLOCKS: Final = 100_000
"""Per node; beyond it the oldest go, bans last."""


class Blocks:
    """`changed` collects the keys whose record is new, other or gone."""

    def __init__(self, changed: set[tuple[RoomKey, str]], limit: int = MAX_BLOCKS) -> None:
        self._banned: dict[tuple[RoomKey, str], bool] = {}
        self._changed = changed
        self._limit = limit

    def block(self, key: RoomKey, user_id: str, *, ban: bool) -> None:
        self._banned[(key, user_id)] = self._banned.pop((key, user_id), False) or ban
        self._changed.add((key, user_id))
        if len(self._banned) > self._limit:
            oldest = next((one for one, banned in self._banned.items() if not banned), next(iter(self._banned)))
            del self._banned[oldest]
            self._changed.add(oldest)

    def unban(self, key: RoomKey, user_id: str) -> None:
        if (key, user_id) in self._banned:
            self._banned[(key, user_id)] = False
            self._changed.add((key, user_id))

    def admitted(self, key: RoomKey, user_id: str) -> None:
        if self._banned.pop((key, user_id), None) is not None:
            self._changed.add((key, user_id))

    def is_blocked(self, key: RoomKey, user_id: str) -> bool:
        return (key, user_id) in self._banned

    def is_banned(self, key: RoomKey, user_id: str) -> bool:
        return self._banned.get((key, user_id), False)

    def record(self, key: RoomKey, user_id: str) -> BlockRecord | None:
        banned = self._banned.get((key, user_id))
        return None if banned is None else BlockRecord(key, user_id, banned)

    def restore(self, saved: Iterable[BlockRecord]) -> None:
        for block in saved:
            self._banned[(block.room, block.user_id)] = block.banned
