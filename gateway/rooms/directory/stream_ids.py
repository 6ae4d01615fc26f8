"""Stream ids: given out once per (app, room, user, kind) and remembered (docs/tickets.md 5).

    <bizid>_<room>_<user>, aux: …_aux, without a room: <bizid>_<user>
    <bizid>_s<16 hex> if that text is taken or not clean

The text is for people. `8888_1_2_3` may be user 3 of room 1_2 or user 2_3 of room 1: whoever comes first has it, and
only this table says who.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from gateway.base.errors import NotPermitted
from gateway.rooms.directory.records import StreamIdRecord
from gateway.rooms.room import RoomKey, StreamKind

MAX_IDS: Final = 200_000
"""Per node, about 100 MB. Beyond it the longest unused ids are forgotten."""

_CLEAN: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_HEX: Final = re.compile(r"[0-9a-f]{16,}")

Owner = tuple[int, RoomKey | None, str, StreamKind]


class StreamIds:
    """Both directions of the table. `changed` collects, in order, ids whose record is new, other or gone.

    An owner may have several ids (claimed ones); the one that it got last counts.
    """

    def __init__(self, bizids: Mapping[int, str], changed: dict[str, None], limit: int = MAX_IDS) -> None:
        self._bizids = bizids
        self._changed = changed
        self._limit = limit
        self._records: dict[str, StreamIdRecord] = {}
        self._by_owner: dict[Owner, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._records)

    def get(self, stream_id: str) -> StreamIdRecord | None:
        return self._records.get(stream_id)

    def find(self, room: RoomKey, user_id: str, kind: StreamKind) -> str | None:
        """Return the owner's id if one has been allocated."""
        return self._newest((room.app, room, user_id, kind))

    def _newest(self, owner: Owner) -> str | None:
        ids = self._by_owner.get(owner)
        return next(reversed(ids)) if ids else None

    def allocate(
        self,
        app: int,
        room: RoomKey | None,
        user_id: str,
        kind: StreamKind,
        random_hex: Callable[[], str],
        in_use: Callable[[str], bool],
    ) -> str:
        """Return the owner's id, making it at the first call. Raises ValueError for an app without a bizid.

        `random_hex` gives at least 16 hexadecimal digits, new ones at each call; `in_use` names ids that must not be
        drawn or forgotten.
        """
        known = self._newest((app, room, user_id, kind))
        if known is not None:
            return known
        bizid = self._bizids.get(app, "")
        if not bizid:
            raise ValueError(f"app {app} has no bizid to make stream ids with")
        parts = [bizid, *([room.id] if room else []), user_id, *(["aux"] if kind is StreamKind.AUX else [])]
        stream_id = "_".join(parts)
        if room is None and self._is_of(stream_id, app, user_id):
            return stream_id  # issued without a room before, and claimed for one since
        clean = _CLEAN.fullmatch(stream_id) is not None and bizid.isdecimal()
        while not clean or stream_id in self._records:
            digits = random_hex().lower()
            if not _HEX.fullmatch(digits):
                raise ValueError("random_hex must give 16 hexadecimal digits")
            stream_id = f"{bizid}_s{digits[:16]}"
            clean = not in_use(stream_id)
        self._forget_old(in_use)
        self.put(StreamIdRecord(stream_id, app, room, user_id, kind))
        return stream_id

    def claim(self, stream_id: str, room: RoomKey, user_id: str, kind: StreamKind) -> None:
        """Make `stream_id` the id of this owner, whether it was issued to the user (in any room) or to nobody.

        Raises NotPermitted if it was issued to somebody else.
        """
        record = self._records.get(stream_id)
        if record is not None:
            if record.app != room.app or record.user_id != user_id:
                raise NotPermitted(f"stream {stream_id} was issued to another user")
            if record.room == room and record.kind is kind:
                return
            self._unlink(record)
        self.put(StreamIdRecord(stream_id, room.app, room, user_id, kind))

    def put(self, record: StreamIdRecord, *, stored: bool = False) -> None:
        """Enter a record; `stored`: it comes from the store."""
        self._records[record.stream_id] = record
        self._by_owner.setdefault(_owner(record), {})[record.stream_id] = None
        if not stored:
            self._mark(record.stream_id)

    def _mark(self, stream_id: str) -> None:
        self._changed.pop(stream_id, None)
        self._changed[stream_id] = None

    def _forget_old(self, in_use: Callable[[str], bool]) -> None:
        """Make room for one id: look at the 8 oldest, forget one out of use, put the others behind."""
        for _ in range(8):
            if len(self._records) < self._limit:
                return
            stream_id, record = next(iter(self._records.items()))
            del self._records[stream_id]
            if in_use(stream_id):
                self._records[stream_id] = record
                continue
            self._unlink(record)
            self._mark(stream_id)

    def _unlink(self, record: StreamIdRecord) -> None:
        ids = self._by_owner[_owner(record)]
        del ids[record.stream_id]
        if not ids:
            del self._by_owner[_owner(record)]

    def _is_of(self, stream_id: str, app: int, user_id: str) -> bool:
        record = self._records.get(stream_id)
        return record is not None and record.app == app and record.user_id == user_id


def _owner(record: StreamIdRecord) -> Owner:
    return (record.app, record.room, record.user_id, record.kind)
