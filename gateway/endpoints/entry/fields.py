"""The JSON of REST calls of 2018: an object comes in, its fields checked when they are asked for, and one goes out.

Surplus fields are ignored and numbers stand for texts, since clients of that time send either. 415 says that a body is
not JSON, 400 that it is but has wrong types; whatever else is wrong is the call's own to say, under HTTP 200.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import hdrs, web

from gateway.base.errors import BadRequest
from gateway.wire.chat import is_sound

READ_TIMEOUT_S: Final = 10.0


class HttpRefusal(Exception):
    """The body cannot be read at all: an HTTP status other than 200."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Fields:
    """The object of a body. Every reader raises BadRequest if the field has another type."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields

    def has(self, name: str) -> bool:
        return self.fields.get(name) is not None

    def text(self, name: str) -> str:
        """Return a text field, "" if it is absent; JSON numbers count as their decimal text."""
        value = self.fields.get(name)
        if value is None:
            return ""
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63:
            return str(value)
        return sound_text(name, value)

    def number(self, name: str, default: int) -> int:
        """Return a number field of 0 to 2^31 - 1, as number or decimal text, `default` if it is absent."""
        value = self.fields.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 9:
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
            raise BadRequest(f"{name}: a whole number is needed")
        return value

    def flag(self, name: str) -> bool:
        value = self.fields.get(name)
        if value is not None and not isinstance(value, bool | int):
            raise BadRequest(f"{name}: true or false is needed")
        return bool(value)


def sound_text(name: str, value: object) -> str:
    """Return `value` if it is a text that UTF-8 can carry. Raises BadRequest."""
    if not isinstance(value, str) or not is_sound(value):
        raise BadRequest(f"{name}: a text is needed")
    return value


async def read_object(request: web.Request, *, may_be_empty: bool = False) -> dict[str, Any]:
    """Return the JSON object of the body. Raises HttpRefusal, HTTPRequestEntityTooLarge, TimeoutError.

    `may_be_empty`: no body is {}, whatever its type says.
    """
    async with asyncio.timeout(READ_TIMEOUT_S):
        body = await request.read()
    empty = not body.strip()
    if empty and may_be_empty:
        return {}
    kind = request.headers.get(hdrs.CONTENT_TYPE)
    if kind is not None and request.content_type != "application/json" and not request.content_type.endswith("+json"):
        raise HttpRefusal(415, "Content-Type must be application/json")
    if empty:
        raise HttpRefusal(400, "the body is empty; send at least {}")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise HttpRefusal(415, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise HttpRefusal(400, "the body is not a JSON object")
    return value


def json_answer(body: Mapping[str, object], status: int = 200) -> web.Response:
    return web.json_response(body, status=status, dumps=_dumps)


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
