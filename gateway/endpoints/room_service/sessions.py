"""Who is logged in: one token a user and app, shared by the three kinds; a new login voids the older one.

Tokens are opaque and safe in a query. They last until logout or the next login, over a restart of the server as well,
since clients of 2018 never log in again; only their digests are kept. The table is bounded: who has been silent
longest logs in again.
"""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Container
from typing import Final

from gateway.base.clock import Clock
from gateway.base.errors import TooMany
from gateway.endpoints.room_service.book import Book
from gateway.endpoints.room_service.calls import BAD_AUTH, BUSY, MISSING, Call, Refuse
from gateway.rooms.groups.limits import Bucket
from gateway.rooms.room import RoomKey
from gateway.services.store import TokenRecord

MAX_SESSIONS: Final = 50_000
CALLS_PER_S: Final = 20.0
CALL_BURST: Final = 100.0
"""Of one user; old clients ask for the pushers at every notice, and send a heartbeat each 7 s besides."""
MAX_URLS: Final = 64
"""URLs remembered per session; the oldest go first."""


class Session:
    """One user's login. `guest`: its userSig was given to a guest, so it has proved nothing."""

    __slots__ = ("ahead", "app", "bucket", "digest", "guest", "urls", "user_id")

    def __init__(self, app: int, user_id: str, digest: bytes, guest: bool, now: float) -> None:
        self.app = app
        self.user_id = user_id
        self.digest = digest
        self.guest = guest
        self.bucket = Bucket(CALLS_PER_S, CALL_BURST, now)
        self.urls: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """URLs handed out to one who is no member (yet), by what they are for, and when."""
        self.ahead: list[RoomKey] = []
        """Rooms that it has made and that nobody had entered when it was last looked."""

    def remember(self, purpose: str, url: str, now: float) -> None:
        self.urls[purpose] = (url, now)
        if len(self.urls) > MAX_URLS:
            self.urls.popitem(last=False)


class Sessions:
    """`apps` are the apps of this server: tokens of others, from an earlier configuration, are void."""

    def __init__(
        self, random: Callable[[int], bytes], book: Book, apps: Container[int], clock: Clock, limit: int = MAX_SESSIONS
    ) -> None:
        self._random = random
        self._clock = clock
        self._limit = limit
        self._book = book
        self._by_user: dict[tuple[int, str], Session] = {}
        self._by_digest: OrderedDict[bytes, Session] = OrderedDict()
        for record in book.tokens:
            if record.app in apps:
                self._put(Session(record.app, record.user_id, record.digest, record.guest, clock()))

    def __len__(self) -> int:
        return len(self._by_digest)

    def login(self, app: int, user_id: str, guest: bool) -> str:
        """Return the user's new token."""
        token = base64.urlsafe_b64encode(self._random(24)).decode("ascii")
        record = TokenRecord(app, user_id, _digest(token), guest)
        self._put(Session(app, user_id, record.digest, guest, self._clock()))
        self._book.keep(record)
        return token

    def _put(self, session: Session) -> None:
        old = self._by_user.get((session.app, session.user_id))
        if old is not None:
            del self._by_digest[old.digest]
        self._by_user[(session.app, session.user_id)] = self._by_digest[session.digest] = session
        if len(self._by_digest) > self._limit:
            self.logout(next(iter(self._by_digest.values())))

    def logout(self, session: Session) -> None:
        if self._by_digest.pop(session.digest, None) is session:
            del self._by_user[(session.app, session.user_id)]
            self._book.forget(session.app, session.user_id)

    def holds(self, app: int, user_id: str) -> bool:
        """Whether the user has a token."""
        return (app, user_id) in self._by_user

    def of(self, call: Call) -> Session:
        """Return who calls: `userID` and `token` of the query; a userID in the body must be the same.

        Raises Refuse (2, 7; 4503: too many calls), BadRequest.
        """
        user_id, token, said = call.query("userID"), call.query("token"), call.text("userID")
        if not user_id or not token:
            raise Refuse(MISSING)
        session = self._by_digest.get(_digest(token))
        if session is None or session.user_id != user_id or (said and said != user_id):
            raise Refuse(BAD_AUTH)
        self._by_digest.move_to_end(session.digest)
        wait_s = session.bucket.wait(self._clock())
        if wait_s:
            raise Refuse(
                BUSY, TooMany(f"more than {CALLS_PER_S:.0f} calls a second", retry_after_ms=1 + int(1000 * wait_s))
            )
        session.bucket.take()
        return session


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
