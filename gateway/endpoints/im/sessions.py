"""Who is logged in at the old IM. A newer login of the same user ends the older; logins end when long unused."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Final

from gateway.endpoints.im.mailbox import Mailbox
from gateway.rooms.room import RoomKey

MAX_SESSIONS: Final = 20000
MAX_AGE_S: Final = 7200.0
SILENT_S: Final = 180.0
"""Who has not asked for anything so long is not there: it leaves its group."""


class Session:
    """One login. `mailbox` holds C2C entries."""

    def __init__(self, app: int, user_id: str, a2: str, now: float) -> None:
        self.app = app
        self.user_id = user_id
        self.a2 = a2
        self.seen_at = now
        self.kicked = False
        self.mailbox = Mailbox()
        self.group: GroupKey | None = None


class GroupKey:
    """The key by which one login polls one group."""

    def __init__(self, key: str, group: RoomKey, user_id: str) -> None:
        self.key = key
        self.group = group
        self.user_id = user_id
        self.mailbox = Mailbox()
        self.next_seq = 1


class Sessions:
    """See the module. `random_hex()` draws unguessable text."""

    def __init__(self, random_hex: Callable[[], str]) -> None:
        self._random_hex = random_hex
        self._by_a2: collections.OrderedDict[str, Session] = collections.OrderedDict()
        self._by_user: dict[tuple[int, str], Session] = {}

    def __len__(self) -> int:
        return len(self._by_a2)

    def login(self, app: int, user_id: str, now: float) -> Session:
        """Return a new session; the one that the user had is kicked."""
        self.kick(app, user_id)
        session = Session(app, user_id, self._random_hex(), now)
        self._by_a2[session.a2] = self._by_user[(app, user_id)] = session
        if len(self._by_a2) > MAX_SESSIONS:
            self.drop(next(iter(self._by_a2.values())))
        return session

    def kick(self, app: int, user_id: str) -> None:
        session = self._by_user.pop((app, user_id), None)
        if session is not None:
            session.kicked = True
            session.mailbox.close()

    def drop(self, session: Session) -> None:
        self._by_a2.pop(session.a2, None)
        if self._by_user.get((session.app, session.user_id)) is session:
            del self._by_user[(session.app, session.user_id)]
        session.mailbox.close()

    def find(self, a2: str, now: float) -> Session | None:
        session = self._by_a2.get(a2)
        if session is not None:
            session.seen_at = now
            self._by_a2.move_to_end(a2)
        return session

    def of(self, app: int, user_id: str) -> Session | None:
        return self._by_user.get((app, user_id))

    def silent(self, now: float) -> list[Session]:
        """Return the logins whose users are not there any more; those unused for MAX_AGE_S end here."""
        found = []
        for session in list(self._by_a2.values()):
            if now - session.seen_at < SILENT_S:
                break
            if now - session.seen_at >= MAX_AGE_S:
                self.drop(session)
            found.append(session)
        return found
