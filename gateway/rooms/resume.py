"""Resume tokens: 32 random bytes that stand in for the tickets of a member who comes back (docs/rooms.md 4).

Only their SHA-256 is kept. A token is bound to room and user, works once, and a newer one of the same user ends the
older. How long it is valid is the directory's business: it drops the token with the member.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from typing import Final

from gateway.base.errors import BadTicket
from gateway.rooms.room import RoomKey

TOKEN_BYTES: Final = 32
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_BAD: Final = 8
"""The code of a signature that does not hold (docs/tickets.md 3)."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Holder:
    room: RoomKey
    user_id: str


class ResumeTokens:
    """At most one live token per user of an app."""

    def __init__(self) -> None:
        self._holders: dict[str, _Holder] = {}
        self._hashes: dict[tuple[int, str], str] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def issue(self, room: RoomKey, user_id: str, random: bytes) -> str:
        """Return a new token of 43 base64url characters; an older one is void. Raises ValueError unless 32 bytes."""
        if len(random) != TOKEN_BYTES:
            raise ValueError(f"a resume token needs {TOKEN_BYTES} random bytes")
        text = base64.urlsafe_b64encode(random).decode("ascii").rstrip("=")
        self.restore(room, user_id, _hash(text))
        return text

    def check(self, token: object, room: RoomKey, user_id: str) -> None:
        """Raise BadTicket unless `token` is this user's of this room. It stays good until `drop`."""
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise BadTicket("the resume token is malformed", code=_BAD)
        if self._holders.get(_hash(token)) != _Holder(room, user_id):
            raise BadTicket("the resume token is not (or no longer) valid for this user and room", code=_BAD)

    def drop(self, app: int, user_id: str) -> None:
        """Void the user's token, if there is one."""
        old = self._hashes.pop((app, user_id), None)
        if old is not None:
            del self._holders[old]

    def hash_of(self, app: int, user_id: str) -> str:
        """Return the hexadecimal hash to store, "" if the user has no token."""
        return self._hashes.get((app, user_id), "")

    def restore(self, room: RoomKey, user_id: str, token_hash: str) -> None:
        """Take back what `hash_of` gave."""
        self.drop(room.app, user_id)
        other = self._holders.get(token_hash)
        if other is not None:  # only a damaged store says so
            self.drop(other.room.app, other.user_id)
        self._holders[token_hash] = _Holder(room, user_id)
        self._hashes[(room.app, user_id)] = token_hash


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("ascii")).hexdigest()
