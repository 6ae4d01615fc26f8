"""The old IM over HTTP: its routes, who asks, and which module answers. Errors never have another status than 200.

    POST /v4/<service>/<command>    account.py · groups.py · messages.py · moderation.py, each with a table of commands
    POST /v1/…                      the same for whoever has not logged in
    longpolling, get_msg            polls.py
    jsonvideoapp                    video_app.py

What it promises its clients is in docs/protocol.md 7, and for their users in docs/im.md.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from aiohttp import web

from gateway.base.clock import Clock, monotonic, wall
from gateway.base.config import MessagesConfig
from gateway.base.errors import BadRequest, BadTicket, GatewayError
from gateway.endpoints.entry import Entry
from gateway.endpoints.im import account, answers, groups, messages, polls, video_app
from gateway.endpoints.im.delivery import Delivery
from gateway.endpoints.im.moderation import MODERATION, Command
from gateway.endpoints.im.requests import Who, app_number
from gateway.endpoints.im.sessions import KICKED, LOGGED_OUT, MAX_AGE_S, Session, Sessions
from gateway.endpoints.im.waiters import Waiters
from gateway.rooms.moderation import ADMINISTRATORS
from gateway.rooms.room import check_user_id

SWEEP_S: Final = 10.0
_UNREADABLE: Final = 3
"""Code of a ticket that is none of ours."""
_POLLS: Final = frozenset({"longpolling", "get_msg"})
_SILENT_SERVICES: Final = frozenset({"imopenstat", "recentcontact", "sns"})
"""Reports, and lists of friends that nobody keeps here: taken, and empty."""


@dataclasses.dataclass(frozen=True, slots=True)
class ImTimes:
    """Seconds: how long polls are held, what clients are told, and how late an error of a poll comes."""

    hold_s: float = 50.0
    told_s: int = 60
    error_s: float = 1.0


class Im:
    """All users of the old IM on this node.

    `uses_rooms(app, user)`: whether the user has logged in at RoomService, whose clients read messages their own way.
    """

    def __init__(
        self,
        entry: Entry,
        times: ImTimes | None = None,
        clock: Clock = monotonic,
        wall: Callable[[], float] = wall,
        *,
        config: MessagesConfig | None = None,
        administrators: Collection[str] = ADMINISTRATORS,
        uses_rooms: Callable[[int, str], bool] = lambda app, user_id: False,
    ) -> None:
        self.entry = entry
        self.times = times or ImTimes()
        self.groups = entry.messages.groups
        self.clock = clock
        self.uses_rooms = uses_rooms
        self._administrators = frozenset(administrators)
        self.anonymous_groups = frozenset((config or MessagesConfig()).anonymous_groups)
        self.sessions = Sessions(lambda: entry.random(24).hex(), self.groups.accounts)
        self.delivery = Delivery(self)
        self.held = 0
        """Polls that are being held."""
        self.idle = Waiters()
        """Those among them that wait for nothing: of keys that are not known any more."""
        self.stopping = False
        self._wall = wall
        self._swept = clock()
        self._commands: dict[str, Command] = {
            **account.COMMANDS,
            **groups.COMMANDS,
            **messages.COMMANDS,
            **{f"group_open_http_svc/{name}": command for name, command in MODERATION.items()},
        }
        entry.messages.fetches = lambda app, user_id: self.sessions.is_there(app, user_id, self.clock())
        for login in list(self.groups.accounts.logins):
            self.delivery.restore(login)

    def routes(self) -> list[web.RouteDef]:
        paths = ("/v4/{service}/{command}", "/v1/{service}/{command}")
        return [web.route(method, path, self._handle) for path in paths for method in ("POST", "OPTIONS")]

    def now_ms(self) -> int:
        return int(self._wall() * 1000)

    async def run(self) -> None:
        """Look after those who are not there any more, also when nobody asks for anything; until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self._sweep()

    def goodbye(self) -> None:
        """The server stops: held polls end well, with what there is."""
        self.stopping = True
        self.sessions.wake_all()
        self.delivery.keys.wake_all()
        self.idle.wake_all()

    # --- requests

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=answers.PREFLIGHT)
        service, command = request.match_info["service"], request.match_info["command"]
        if command == "jsonvideoapp":
            return await video_app.answer(self, request)
        try:
            body = await answers.read_json(request)
            self._sweep()
            if command == "get_msg":
                return await polls.group_poll(self, request, body)
            who = self._who(request, service, command)
            session = who.session
            if session is not None and session.ended:
                return await polls.ended(self, request, session)
            if command == "longpolling":
                return await polls.personal_poll(self, request, who, body)
            return answers.answer(self._call(service, command, who, body))
        except GatewayError as error:
            number = answers.error_number(error)
            if command not in _POLLS:
                return answers.failure(number, error.message)
            return await self.late(number, error.message)

    async def late(self, number: int, text: str) -> web.Response:
        """Old clients ask again at once after an error: it comes late, so that they do not spin."""
        await asyncio.sleep(self.times.error_s)
        return answers.failure(number, text)

    def _who(self, request: web.Request, service: str, command: str) -> Who:
        """Return who asks: by A2Key, by a userSig in the query, or nobody, where that is enough. Raises BadTicket."""
        query = request.query
        app = self.entry.tickets.app(app_number(query.get("sdkappid", "")))
        a2 = query.get("a2", "")
        if a2 and command != "login":
            session = self.sessions.find(a2, self.clock())
            if session is None:
                if command == "longpolling":
                    # The library does not log in by itself. This number at least stops its loop and tells the page.
                    raise answers.LoginIsOver("the login is over")
                raise BadTicket("a2: not logged in", code=_UNREADABLE)
            if session.app != app.sdk_app_id:
                raise BadTicket("a2: not logged in", code=_UNREADABLE)
            return Who(app.sdk_app_id, session.user_id, session)
        if service == groups.ANONYMOUS and "identifier" not in query:
            return Who(app.sdk_app_id, "")
        user_id = check_user_id(query.get("identifier", ""))
        user_sig = query.get("usersig", "")
        self.entry.tickets.user(app, user_id, user_sig)
        guest = self.entry.tickets.is_guest_ticket(user_sig)
        return Who(app.sdk_app_id, user_id, guest=guest, is_admin=not guest and user_id in self._administrators)

    def _call(self, service: str, command: str, who: Who, body: Mapping[str, Any]) -> Mapping[str, object]:
        handle = self._commands.get(f"{service}/{command}")
        if handle is not None:
            return handle(self, who, body)
        if service in _SILENT_SERVICES:
            return {}
        raise BadRequest(f"{service[:64]}/{command[:64]} is not known here")

    # --- logins end

    def end_session(self, session: Session, how: str) -> None:
        """End a login. Who logs out leaves its group; who logs in again stays in it, and joins anew."""
        self.delivery.forget_keys(session)
        self.sessions.end(session, how)
        if how == LOGGED_OUT and session.group is not None:
            self.groups.quit(session.group, session.user_id, self.clock(), self.now_ms())

    def _sweep(self) -> None:
        """Who is not there any more leaves its group, and much later its login ends."""
        now = self.clock()
        if now - self._swept < SWEEP_S:
            return
        self._swept = now
        for session in self.sessions.silent(now):
            if session.waiters or any(key.waiters for key in session.keys):
                continue
            if now - session.seen_at >= MAX_AGE_S:
                self.end_session(session, KICKED)
            elif session.group is not None:
                self.groups.quit(session.group, session.user_id, now, self.now_ms())
        self.delivery.sweep(now)
