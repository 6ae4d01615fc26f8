"""The IM's answers: HTTP 200 always, ActionStatus, ErrorCode and ErrorInfo, readable from every page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiohttp import web

from gateway.base.errors import (
    BadRequest,
    BadTicket,
    GatewayError,
    Muted,
    NameTaken,
    NoSuchMember,
    NoSuchRoom,
    NotPermitted,
    TooLarge,
    TooMany,
)

PREFLIGHT: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, X-Requested-With, Authorization",
    "Access-Control-Max-Age": "3600",
}
"""What a page asks before it sends a body that it calls JSON."""
HEADERS: Final = {
    "Content-Type": "application/json; charset=utf-8",
    "Access-Control-Allow-Origin": "*",
    "Cache-Control": "no-store",
}
QUIET: Final = 60008
KICKED: Final = 91101
"""Numbers of a personal poll: nothing new; the login is over. The latter is the only one that ends its loop."""


class GroupTaken(NameTaken):
    """The group id is taken: `code` 10025 by the caller itself, 10021 by another."""


class BadGroup(BadRequest):
    """A GroupId that cannot be one."""


class NotAdmin(NotPermitted):
    """The command is for the operator's own servers, and the userSig is not an administrator's."""


class LoginIsOver(BadTicket):
    """A poll with an A2Key that is not known any more."""


_TICKETS: Final = {1: 70002, 8: 70009, 9: 70001, 13: 70013, 14: 70020}
_ERRORS: Final[tuple[tuple[type[GatewayError], int], ...]] = (
    (BadGroup, 10015),
    (BadRequest, 10004),
    (TooLarge, 80002),
    (TooMany, 10023),
    (Muted, 10017),
    (NotAdmin, 60010),
    (NotPermitted, 10007),
    (NoSuchRoom, 10010),
    (NoSuchMember, 20003),
    (NameTaken, 10021),
)


def error_number(error: GatewayError) -> int:
    """Return the IM's number: 70001-70020 for tickets, 10002 (try again) for what is none of the known."""
    if isinstance(error, GroupTaken):
        return error.code
    if isinstance(error, LoginIsOver):
        return KICKED
    if isinstance(error, BadTicket):
        return _TICKETS.get(error.code, 70003)
    return next((number for kind, number in _ERRORS if isinstance(error, kind)), 10002)


def answer(fields: Mapping[str, object] | None = None) -> web.Response:
    head: dict[str, object] = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}
    return written(json.dumps({**head, **(fields or {})}).encode())


def answer_list(fields: Mapping[str, object], name: str, entries: Iterable[bytes]) -> web.Response:
    """Return an OK answer with a list of what is JSON already: an entry is written once, whoever gets it."""
    head = json.dumps({"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "", **fields})[:-1]
    return written(f'{head},"{name}":['.encode() + b",".join(entries) + b"]}")


def failure(number: int, text: str) -> web.Response:
    return written(json.dumps({"ActionStatus": "FAIL", "ErrorCode": number, "ErrorInfo": text}).encode())


def plain(fields: Mapping[str, object]) -> web.Response:
    """Return these fields and no others."""
    return written(json.dumps(fields).encode())


def written(body: bytes) -> web.Response:
    """Return an answer that is JSON already."""
    return web.Response(body=body, headers=HEADERS)


async def read_json(request: web.Request) -> dict[str, Any]:
    """Read the body as a JSON object, whatever its type says. Raises BadRequest, TooLarge."""
    try:
        data = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge("the body is too large") from None
    if not data.strip():
        return {}
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(value, dict):
        raise BadRequest("the body is not a JSON object")
    return value
