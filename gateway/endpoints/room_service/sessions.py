"""Who is logged in: one token a user and app, shared by the three kinds; a new login voids the older one.

Tokens are opaque, safe in a query, and last until logout, the next login, or the end of the server. The table is
bounded: who has been silent longest logs in again.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gateway.endpoints.room_service.calls import BAD_AUTH, MISSING, Call, Refuse

MAX_SESSIONS: Final = 50_000
MAX_URLS: Final = 64
"""URLs remembered per session; the oldest go first."""


class Session:
    """One user's login. `guest`: its userSig was given to a guest, so it has proved nothing."""

    __slots__ = ("app", "guest", "token", "urls", "user_id")

    def __init__(self, app: int, user_id: str, token: str, guest: bool) -> None:
        self.app = app
        self.user_id = user_id
        self.token = token
        self.guest = guest
        self.urls: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """URLs handed out to one who is no member (yet), by what they are for, and when."""

    def remember(self, purpose: str, url: str, now: float) -> None:
        self.urls[purpose] = (url, now)
        if len(self.urls) > MAX_URLS:
            self.urls.popitem(last=False)


class Sessions:
    def __init__(self, random: Callable[[int], bytes], limit: int = MAX_SESSIONS) -> None:
        self._random = random
        self._limit = limit
        self._by_user: dict[tuple[int, str], Session] = {}
        self._by_token: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_token)

    def login(self, app: int, user_id: str, guest: bool) -> Session:
        old = self._by_user.get((app, user_id))
        if old is not None:
            self.logout(old)
        token = base64.urlsafe_b64encode(self._random(24)).decode("ascii")
        session = Session(app, user_id, token, guest)
        self._by_user[(app, user_id)] = self._by_token[token] = session
        if len(self._by_token) > self._limit:
            self.logout(next(iter(self._by_token.values())))
        return session

    def logout(self, session: Session) -> None:
        if self._by_token.pop(session.token, None) is session:
            del self._by_user[(session.app, session.user_id)]

    def of(self, call: Call) -> Session:
        """Return who calls: `userID` and `token` of the query; a userID in the body must be the same.

        Raises Refuse (2, 7), BadRequest.
        """
        user_id, token, said = call.query("userID"), call.query("token"), call.text("userID")
        if not user_id or not token:
            raise Refuse(MISSING)
        session = self._by_token.get(token)
        if session is None or session.user_id != user_id or (said and said != user_id):
            raise Refuse(BAD_AUTH)
        self._by_token.move_to_end(token)
        return session
