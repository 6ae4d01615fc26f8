"""What every call of `/api/v1` reads: the operator's token, the room and the user of its path, its body."""

from __future__ import annotations

import hmac
from typing import Any

from aiohttp import hdrs, web

from gateway.base.errors import BadRequest
from gateway.endpoints.entry import Tickets
from gateway.endpoints.entry.fields import HttpRefusal, read_object
from gateway.endpoints.entry.moderator import ENDLESS_S
from gateway.rooms.moderation import Medium
from gateway.rooms.room import RoomKey, check_user_id


def check_token(request: web.Request, token: str) -> None:
    """Raises HTTPUnauthorized unless the request bears the operator's token (and there is one)."""
    scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    if not token or scheme.lower() != "bearer" or not right:
        raise web.HTTPUnauthorized(headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="admin"'})


def app_of(request: web.Request, tickets: Tickets) -> int:
    """Return the app of the query, the default one without. Raises BadRequest, BadTicket (14)."""
    return tickets.app(_query_number(request, "app", 0, 0xFFFFFFFF) or None).sdk_app_id


def room_of(request: web.Request, tickets: Tickets) -> RoomKey:
    """Return the room of the path; `?text=1` makes it a text room, whatever it looks like. Raises BadRequest."""
    return RoomKey.parse(app_of(request, tickets), request.match_info["room"], request.query.get("text") == "1")


def user_of(request: web.Request) -> str:
    return check_user_id(request.match_info["user"])


def page_of(request: web.Request, *, most: int) -> tuple[int, int]:
    """Return `after` and `count` of the query. Raises BadRequest."""
    return _query_number(request, "after", 0, 1 << 53), _query_number(request, "count", 50, most)


def _query_number(request: web.Request, name: str, default: int, high: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 16 or int(text) > high:
        raise BadRequest(f"{name}: a whole number of 0 to {high} is needed")
    return int(text)


async def body_of(request: web.Request) -> dict[str, Any]:
    """Return the JSON object of the body, {} without one. Raises BadRequest, HTTPUnsupportedMediaType."""
    try:
        return await read_object(request, may_be_empty=True)
    except HttpRefusal as refusal:
        if refusal.status == 415:
            raise web.HTTPUnsupportedMediaType(reason=refusal.text) from None
        raise BadRequest(refusal.text) from None


def media_of(body: dict[str, Any]) -> dict[Medium, bool]:
    """Return which media are to be muted (True) or unmuted; at least one. Raises BadRequest."""
    wanted = {}
    for medium in Medium:
        value = body.get(medium.value)
        if value is not None and not isinstance(value, bool):
            raise BadRequest(f"{medium.value}: true or false is needed")
        if value is not None:
            wanted[medium] = value
    if not wanted:
        raise BadRequest("audio, video or words: true or false is needed for one of them")
    return wanted


def seconds_of(body: dict[str, Any]) -> int:
    """Return how long something is to last; without `seconds` it has no end. Raises BadRequest."""
    value = body.get("seconds")
    if value is None:
        return ENDLESS_S
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= ENDLESS_S:
        raise BadRequest(f"seconds: a whole number of 1 to {ENDLESS_S} is needed")
    return value


def text_of(body: dict[str, Any], name: str, most: int) -> str:
    """Return a text of at most `most` characters, "" if it is absent. Raises BadRequest."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > most:
        raise BadRequest(f"{name}: a text of at most {most} characters is needed")
    return value
