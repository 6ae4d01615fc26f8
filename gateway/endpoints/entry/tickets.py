"""The first move of every way in: which app, and does the ticket hold.

The app of a request is the one that its ticket names, for `/live/` the one whose bizid begins the stream name, and
otherwise the default app. What a way in needs is said in docs/protocol.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Final

from gateway.base.clock import Clock
from gateway.base.errors import BadTicket
from gateway.endpoints.entry.open_rooms import OpenRooms
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey
from gateway.rooms.tickets import mapkey, token, urlsig, usersig
from gateway.rooms.tickets.keys import AppKeys

MAX_GUEST_TICKETS: Final = 50_000


class Tickets:
    """Verifies tickets against the keys of the apps on this server. `apps` is by sdkAppID and holds `default_app`.

    Which tickets guests hold must outlast a restart, or a guest who comes back would be a ticket's holder: `guests` are
    those of earlier runs (digest → unix time of their end), `remember(digest, end)` is told of new ones.
    """

    def __init__(
        self,
        apps: Mapping[int, AppKeys],
        default_app: int,
        max_url_lifetime_s: float,
        wall: Clock,
        *,
        guests: Mapping[bytes, float] | None = None,
        remember: Callable[[bytes, float], None] = lambda digest, end: None,
        open_rooms: OpenRooms | None = None,
    ) -> None:
        self.apps = apps
        self.open_rooms = OpenRooms(apps) if open_rooms is None else open_rooms
        self.default = apps[default_app]
        self._by_bizid = {app.bizid: app for app in apps.values() if app.bizid}
        self._max_url_lifetime_s = max_url_lifetime_s
        self._wall = wall
        self._guests = dict(guests or {})
        self._tell = remember

    def app(self, sdk_app_id: int | None) -> AppKeys:
        """Return the app of that number, the default one for None. Raises BadTicket (14)."""
        if sdk_app_id is None:
            return self.default
        app = self.apps.get(sdk_app_id)
        if app is None:
            raise BadTicket(f"no app {sdk_app_id} here", code=token.WRONG_APP)
        return app

    def app_of(self, ticket: str) -> AppKeys:
        """Return the app that a userSig or privateMapKey names, not yet verified. Raises BadTicket."""
        return self.app(token.claimed_app(ticket))

    def app_of_stream(self, stream: str) -> AppKeys:
        """Return the app whose bizid begins the stream name, else the default app."""
        return self._by_bizid.get(stream.partition("_")[0], self.default)

    def user(self, app: AppKeys, user_id: str | None, user_sig: str) -> str:
        """Verify a userSig for `user_id` (None: whomever it names) and return the user. Raises BadTicket."""
        return usersig.verify(user_sig, app, user_id, self._wall()).user_id

    def room(self, app: AppKeys, user_id: str, room: RoomKey, user_sig: str, private_map_key: str) -> Privilege:
        """Verify what signaling, `/im` and /push need to enter `room`; return the rights. Raises BadTicket."""
        self.user(app, user_id, user_sig)
        open_to = None if private_map_key else self.open_rooms.rights(room, user_id)
        return self.map_key(app, user_id, room, private_map_key) if open_to is None else open_to

    def map_key(self, app: AppKeys, user_id: str, room: RoomKey, private_map_key: str) -> Privilege:
        """Verify a privateMapKey that comes alone (WHIP, WHEP), or after its userSig. Raises BadTicket."""
        if not private_map_key:
            raise BadTicket("a privateMapKey is needed", code=token.EMPTY)
        return mapkey.verify(private_map_key, app, user_id, room, self._wall()).privileges

    def bearer(self, private_map_key: str) -> tuple[AppKeys, mapkey.RoomTicket]:
        """Verify a privateMapKey by what it says itself; the caller compares user and room. Raises BadTicket."""
        app = self.app_of(private_map_key)
        return app, mapkey.verify(private_map_key, app, None, None, self._wall())

    def url(self, app: AppKeys, stream: str, query: Mapping[str, str], accept: Collection[str]) -> urlsig.UrlGrant:
        """Verify a signed URL of `stream` against the keys named by `accept`. Raises BadTicket."""
        return urlsig.verify(app, stream, query, self._wall(), accept, self._max_url_lifetime_s)

    def is_guest_ticket(self, ticket: str) -> bool:
        """True if we gave this ticket to a guest: its holder has proved nothing."""
        return _digest(ticket) in self._guests

    def mint_user(self, app: AppKeys, user_id: str, expire_s: int) -> str:
        """Return a new userSig for a guest. Raises ValueError if the app's keys can sign none."""
        return self._remember(usersig.mint(app, user_id, self._wall(), expire_s), expire_s)

    def mint_room(self, app: AppKeys, user_id: str, room: RoomKey, expire_s: int, *, guest: bool) -> str:
        """Return a new privateMapKey with all rights. Raises ValueError if the app's keys can sign none."""
        ticket = mapkey.mint(app, user_id, self._wall(), expire_s, room, Privilege.ALL)
        return self._remember(ticket, expire_s) if guest else ticket

    def _remember(self, ticket: str, expire_s: int) -> str:
        """Note that a guest holds this ticket. The table is bounded: the oldest, soonest useless, go first."""
        now = self._wall()
        while self._guests and (len(self._guests) >= MAX_GUEST_TICKETS or next(iter(self._guests.values())) < now):
            del self._guests[next(iter(self._guests))]
        digest = _digest(ticket)
        self._guests[digest] = now + expire_s
        self._tell(digest, now + expire_s)
        return ticket


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "replace")).digest()[:16]
