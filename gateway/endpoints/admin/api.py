"""The operator's calls: who is in which room, what moderators have decided there, and everything that they can do.

Bearer is the admin token; the operator stands above every creator and administrator. Answers are for programs of the
operator's own, so pages of other origins get no leave to read them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from gateway.base.clock import Clock, wall
from gateway.base.errors import BadRequest
from gateway.endpoints.admin import requests
from gateway.endpoints.admin.views import Json, Views
from gateway.endpoints.entry import Entry
from gateway.endpoints.entry.fields import json_answer, sound_text
from gateway.rooms.privileges import KNOWN_BITS, from_bits
from gateway.rooms.room import RoomKey, check_user_id

MAX_PAGE: Final = 200
MAX_TEXT: Final = 8192
MAX_INFO: Final = 1024

Handler = Callable[[web.Request], Awaitable[Json]]


class AdminApi:
    """`token` is the operator's; without one nobody is let in."""

    def __init__(self, entry: Entry, token: str, clock: Clock | None = None, wall: Callable[[], float] = wall) -> None:
        self._entry = entry
        self._token = token
        self._moderator = entry.moderator
        self._views = Views(entry, clock or entry.clock, wall)

    def routes(self) -> list[web.RouteDef]:
        rooms, room, user = "/api/v1/rooms", "/api/v1/rooms/{room}", "/api/v1/rooms/{room}/users/{user}"
        return [
            web.get(rooms, self._endpoint(self._list)),
            web.post(rooms, self._endpoint(self._create, status=201)),
            web.get(room, self._endpoint(self._show)),
            web.delete(room, self._endpoint(self._dismiss)),
            web.put(f"{room}/mute", self._endpoint(self._mute_everybody)),
            web.post(f"{room}/notice", self._endpoint(self._notice)),
            web.put(f"{room}/open", self._endpoint(self._open)),
            web.delete(user, self._endpoint(self._kick)),
            web.put(f"{user}/mute", self._endpoint(self._mute)),
            web.put(f"{user}/privileges", self._endpoint(self._decide_rights)),
            web.put(f"{user}/ban", self._endpoint(self._ban)),
            web.delete(f"{user}/ban", self._endpoint(self._unban)),
        ]

    def _endpoint(
        self, handler: Handler, *, status: int = 200
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def endpoint(request: web.Request) -> web.StreamResponse:
            requests.check_token(request, self._token)
            return json_answer(await handler(request), status)

        return endpoint

    def _room(self, request: web.Request) -> RoomKey:
        return requests.room_of(request, self._entry.tickets)

    # --- rooms

    async def _list(self, request: web.Request) -> Json:
        after, count = requests.page_of(request, most=MAX_PAGE)
        directory = self._entry.directory
        found = directory.page_of_rooms(requests.app_of(request, self._entry.tickets), after, count)
        more = len(found) == count and count > 0
        return {"rooms": [self._views.brief(room) for room in found], "next": found[-1].serial if more else None}

    async def _create(self, request: web.Request) -> Json:
        body, entry = await requests.body_of(request), self._entry
        app = requests.app_of(request, entry.tickets)
        name, kind = body.get("room"), requests.text_of(body, "kind", 32) or "lasting"
        key = entry.draw_room(app) if name is None else RoomKey.parse(app, name, body.get("text") is True)
        policy = entry.policies.get(kind)
        if policy is None:
            raise BadRequest(f"kind: one of {', '.join(entry.policies)} is needed")
        creator = requests.text_of(body, "creator", 32)
        room = entry.directory.create_room(
            key,
            creator=check_user_id(creator) if creator else "",
            info=sound_text("info", requests.text_of(body, "info", MAX_INFO)),
            policy=policy,
            creator_is_guest=False if creator else None,
            now=entry.clock(),
        )
        return self._views.full(room)

    async def _show(self, request: web.Request) -> Json:
        return self._views.full(self._entry.directory.room(self._room(request)))

    async def _dismiss(self, request: web.Request) -> Json:
        self._moderator.dismiss(None, self._room(request))
        return {}

    async def _mute_everybody(self, request: web.Request) -> Json:
        room, wanted = self._room(request), requests.media_of(await requests.body_of(request))
        self._moderator.mute_everybody(None, room, wanted)
        return self._views.mutes(self._entry.directory.moderation.mutes_of_everybody(room))

    async def _notice(self, request: web.Request) -> Json:
        body = await requests.body_of(request)
        self._moderator.notice(None, self._room(request), requests.text_of(body, "text", MAX_TEXT))
        return {}

    async def _open(self, request: web.Request) -> Json:
        """Let everybody with a userSig in, or ask for a privateMapKey again; for rooms that are not there yet, too."""
        room, is_open = self._room(request), (await requests.body_of(request)).get("open")
        if not isinstance(is_open, bool):
            raise BadRequest("open: true or false is needed")
        rooms = self._entry.tickets.open_rooms
        if is_open:
            rooms.allow(room)
        else:
            rooms.disallow(room)
        return {"open": rooms.allows(room)}

    # --- users

    async def _kick(self, request: web.Request) -> Json:
        return {"present": self._moderator.kick(None, self._room(request), requests.user_of(request))}

    async def _mute(self, request: web.Request) -> Json:
        room, user_id, body = self._room(request), requests.user_of(request), await requests.body_of(request)
        self._moderator.mute(None, room, user_id, requests.media_of(body), requests.seconds_of(body))
        return self._views.mutes(self._entry.directory.moderation.mutes(room, user_id))

    async def _decide_rights(self, request: web.Request) -> Json:
        body, room, user_id = await requests.body_of(request), self._room(request), requests.user_of(request)
        bits = body.get("privileges", -1)
        if bits is not None and (isinstance(bits, bool) or not isinstance(bits, int) or not 0 <= bits <= KNOWN_BITS):
            raise BadRequest(f"privileges: a number of 0 to {KNOWN_BITS}, or null for the ticket's, is needed")
        self._moderator.decide_rights(None, room, user_id, None if bits is None else from_bits(bits))
        member = self._entry.find_member(room, user_id)
        return {"privileges": None if member is None else int(member.privileges), "decided": bits}

    async def _ban(self, request: web.Request) -> Json:
        body, room, user_id = await requests.body_of(request), self._room(request), requests.user_of(request)
        reason = requests.text_of(body, "reason", MAX_TEXT)
        return {"present": self._moderator.ban(None, room, user_id, requests.seconds_of(body), reason)}

    async def _unban(self, request: web.Request) -> Json:
        return {"banned": self._moderator.unban(None, self._room(request), requests.user_of(request))}
