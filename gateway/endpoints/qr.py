"""Draws a QR code of a text for the page: `POST /qr` with JSON `{"text": …}` answers an SVG.

Only POST: the texts are push and play URLs, which must not stand in an address, a history or a log. Only JSON, and no
CORS header: a foreign page cannot ask. A code of 1 KiB costs about 50 ms of one core, so codes are drawn outside the
event loop, one at a time, and few may wait.
"""

from __future__ import annotations

import asyncio
import io
import json
from typing import Final

import segno
from aiohttp import hdrs, web

from gateway.base.errors import BadRequest, Overloaded, TooLarge

MAX_TEXT: Final = 1024
"""Bytes of UTF-8 that one code may hold: version 23 at the lowest correction, which phones read off a screen."""
MAX_WAITING: Final = 8
QUIET_ZONE: Final = 4
"""Modules of white around the code, as ISO/IEC 18004 asks for."""


class Qr:
    """The endpoint."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/qr", self.draw)]

    async def draw(self, request: web.Request) -> web.Response:
        """Answer the code. Raises BadRequest, TooLarge, Overloaded, HTTPUnsupportedMediaType."""
        text = await _read_text(request)
        if self._waiting >= MAX_WAITING:
            raise Overloaded("too many codes at once, try again in a moment")
        self._waiting += 1
        try:
            async with self._turn:
                svg = await asyncio.to_thread(draw_svg, text)
        finally:
            self._waiting -= 1
        return web.Response(body=svg, content_type="image/svg+xml", headers={hdrs.CACHE_CONTROL: "no-store"})


def draw_svg(text: str) -> bytes:
    """Return an SVG of the code of `text`, black on white whatever the page's colours; it scales to any size."""
    code = segno.make_qr(text, error="l", boost_error=True)
    out = io.BytesIO()
    code.save(out, kind="svg", border=QUIET_ZONE, light="#fff", dark="#000", omitsize=True, xmldecl=False, nl=False)
    return out.getvalue()


async def _read_text(request: web.Request) -> str:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(reason="the body must be JSON")
    # Escapes make a text of 1 KiB up to six times as long.
    if (request.content_length or 0) > 8 * MAX_TEXT:
        raise TooLarge(f"text: at most {MAX_TEXT} bytes")
    try:
        body = json.loads(await request.text())
    except (ValueError, RecursionError, LookupError):
        raise BadRequest("the body is not JSON") from None
    text = body.get("text") if isinstance(body, dict) else None
    if not isinstance(text, str) or not text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise BadRequest("text: a text is needed")
    if len(text.encode()) > MAX_TEXT:
        raise TooLarge(f"text: at most {MAX_TEXT} bytes")
    return text
