"""Who is logged in at the old IM. A newer login of the same user ends the older; logins end when long unused.

They survive a restart of the server: its library never logs in again by itself, and with its login it goes on polling.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Final

from gateway.endpoints.im.group_keys import GroupKey, digest_of
from gateway.endpoints.im.waiters import Waiters
from gateway.rooms.groups import Accounts, LoginRecord
from gateway.rooms.room import RoomKey

MAX_SESSIONS: Final = 20000
MAX_ENDED: Final = 5000
"""Logins that have ended and whose polls are still answered as such."""
MAX_AGE_S: Final = 7200.0
SILENT_S: Final = 180.0
"""Who has not asked for anything so long is not there: it leaves its group."""
MAX_NOTICES: Final = 50
KICKED: Final = "kicked"
LOGGED_OUT: Final = "logged out"


class Session:
    """One login. `digest` is that of its secret, the A2Key; `guest`: its userSig proves nothing."""

    def __init__(self, app: int, user_id: str, digest: str, guest: bool, now: float) -> None:
        self.app = app
        self.user_id = user_id
        self.digest = digest
        self.guest = guest
        self.seen_at = now
        self.ended = ""
        """"" while it lasts, then KICKED or LOGGED_OUT."""
        self.waiters = Waiters()
        self.notices: collections.deque[tuple[int, bytes]] = collections.deque(maxlen=MAX_NOTICES)
        """What the system tells this user: (number, entry)."""
        self.given = 0
        """The newest number that a poll has been given."""
        self.repeats = 0
        """Polls in a row that were given nothing but what had been given before."""
        self.group: RoomKey | None = None
        self.keys: list[GroupKey] = []
        """The keys of its group that are known, the newest last; one of them hears."""

    def record(self) -> LoginRecord:
        keys = tuple((key.digest, key.since) for key in self.keys)
        return LoginRecord(self.digest, self.app, self.user_id, self.guest, self.group, keys)


class Sessions:
    """See the module. `random_hex()` draws unguessable text."""

    def __init__(self, random_hex: Callable[[], str], accounts: Accounts) -> None:
        self._random_hex = random_hex
        self._accounts = accounts
        self._by_digest: collections.OrderedDict[str, Session] = collections.OrderedDict()
        self._by_user: dict[tuple[int, str], Session] = {}
        self._ended: collections.OrderedDict[str, Session] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._by_digest)

    def login(self, app: int, user_id: str, guest: bool, now: float) -> tuple[Session, str]:
        """Return a new session and its secret, in the place of the one that the user had."""
        before = self._by_user.get((app, user_id))
        if before is not None:
            self.end(before, KICKED)
        secret = self._random_hex()
        session = Session(app, user_id, digest_of(secret), guest, now)
        self._put(session)
        self.save(session)
        return session, secret

    def restore(self, record: LoginRecord, now: float) -> Session:
        """Return a login of an earlier run of the server, without its keys."""
        session = Session(record.app, record.user_id, record.digest, record.guest, now)
        session.group = record.group
        self._put(session)
        return session

    def _put(self, session: Session) -> None:
        self._by_digest[session.digest] = self._by_user[(session.app, session.user_id)] = session

    def overdue(self) -> Session | None:
        """Return the login that has to end since there are too many."""
        return next(iter(self._by_digest.values())) if len(self._by_digest) > MAX_SESSIONS else None

    def save(self, session: Session) -> None:
        """What must survive a restart has changed."""
        if not session.ended:
            self._accounts.keep_login(session.record())

    def end(self, session: Session, how: str) -> None:
        """End a login: its polls are answered at once. `how`: KICKED or LOGGED_OUT."""
        session.ended = how
        self._by_digest.pop(session.digest, None)
        if self._by_user.get((session.app, session.user_id)) is session:
            del self._by_user[(session.app, session.user_id)]
        self._accounts.drop_login(session.digest)
        self._ended[session.digest] = session
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        session.waiters.wake_all()

    def find(self, secret: str, now: float) -> Session | None:
        """Return the session of an A2Key, perhaps one that has ended."""
        digest = digest_of(secret)
        session = self._by_digest.get(digest)
        if session is None:
            return self._ended.get(digest)
        self.touch(session, now)
        return session

    def touch(self, session: Session, now: float) -> None:
        """The user is there."""
        session.seen_at = now
        self._by_digest.move_to_end(session.digest)

    def of(self, app: int, user_id: str) -> Session | None:
        return self._by_user.get((app, user_id))

    def is_there(self, app: int, user_id: str, now: float) -> bool:
        """Whether the user fetches what waits for it."""
        session = self._by_user.get((app, user_id))
        return session is not None and (now - session.seen_at < SILENT_S or len(session.waiters) > 0)

    def silent(self, now: float) -> list[Session]:
        """Return the logins whose users are not there any more, those that have been silent longest first."""
        found = []
        for session in self._by_digest.values():
            if now - session.seen_at < SILENT_S:
                break
            found.append(session)
        return found

    def wake_all(self) -> None:
        for session in self._by_digest.values():
            session.waiters.wake_all()
