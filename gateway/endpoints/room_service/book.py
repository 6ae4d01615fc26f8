"""What RoomService writes down for the next start of the server: tokens, and whose push waits for `add_pusher`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.rooms.room import RoomKey
from gateway.services.store import TokenRecord


class Book(Protocol):
    """`services/store/tokens.py` in the server. Writing never waits and never fails."""

    @property
    def tokens(self) -> Sequence[TokenRecord]:
        """Those of earlier runs, the oldest first."""

    @property
    def awaited(self) -> Sequence[tuple[RoomKey, str]]:
        """Room and user of pushers of earlier runs, the oldest first."""

    def keep(self, record: TokenRecord) -> None:
        """The user's token is this one from now on."""

    def forget(self, app: int, user_id: str) -> None:
        """The user has no token any more."""

    def keep_awaited(self, room: RoomKey, user_id: str) -> None:
        """This user's push in this room makes no room of the page's kind, but waits for `add_pusher`."""


class NoBook:
    """For a service that ends with its process."""

    tokens: Sequence[TokenRecord] = ()
    awaited: Sequence[tuple[RoomKey, str]] = ()

    def keep(self, record: TokenRecord) -> None:
        pass

    def forget(self, app: int, user_id: str) -> None:
        pass

    def keep_awaited(self, room: RoomKey, user_id: str) -> None:
        pass
