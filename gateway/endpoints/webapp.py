"""The HTTP application: every route, and the one place where errors become JSON.

`make_app()` puts the parts that `app.py` has built on one aiohttp application. What holds for every answer is done here
and nowhere else: repeated slashes are accepted, an error of ours is `{"code", "name", "message"}` with its HTTP status,
an unexpected exception is logged with its traceback and answered without details, OPTIONS and HEAD work everywhere,
and no answer can be sniffed as another type. Query strings may hold tickets and never reach a log line.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from gateway.base.config import HttpConfig
from gateway.base.errors import GatewayError, Overloaded, TooLarge
from gateway.endpoints.chat import Chat
from gateway.endpoints.cors import PLAIN_HEADERS, ROOM_API_HEADERS, WHIP_HEADERS
from gateway.endpoints.metrics import Metrics
from gateway.endpoints.page import Page
from gateway.endpoints.qr import Qr
from gateway.endpoints.room_api import RoomApi
from gateway.endpoints.signaling.websocket import Signaling
from gateway.endpoints.whip import Whip

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class WebContext:
    """The parts behind the HTTP port. `ready` returns "" when the server can serve, else what is missing."""

    http: HttpConfig
    room_api: RoomApi
    signaling: Signaling
    chat: Chat
    whip: Whip
    metrics: Metrics
    static: Path
    ready: Callable[[], str] = lambda: ""
    more_routes: Sequence[web.AbstractRouteDef] = ()
    """HTTP-FLV and whatever else brings its own routes."""


_SLASHES: Final = re.compile("//+")

CONTEXT: Final = web.AppKey("context", WebContext)

NAMES: Final[Mapping[int, str]] = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    411: "length_required",
    412: "precondition_failed",
    413: "too_large",
    415: "unsupported_media_type",
    417: "expectation_failed",
    428: "precondition_required",
    503: "unavailable",
}


def make_app(context: WebContext) -> web.Application:
    """Return the application. It owns the live sessions: its cleanup says goodbye to them and closes their media."""
    app = web.Application(middlewares=[_count, _errors, _route], client_max_size=context.http.max_body_bytes)
    app[CONTEXT] = context
    _count_sessions(context)
    app.add_routes([web.get("/healthz", _healthz), web.get("/readyz", _readyz)])
    app.add_routes(context.metrics.routes())
    app.add_routes(context.room_api.routes())
    app.add_routes(context.signaling.routes())
    app.add_routes(context.chat.routes())
    app.add_routes(context.whip.routes())
    app.add_routes(Qr().routes())
    app.add_routes(context.more_routes)
    app.add_routes(Page(context.static).routes())
    app.on_response_prepare.append(_prepare)
    app.on_shutdown.append(_goodbye)
    app.cleanup_ctx.append(_sessions)
    return app


def _count_sessions(context: WebContext) -> None:
    metrics, signaling, chat, whip = context.metrics, context.signaling, context.chat, context.whip
    metrics.gauge("signaling_sessions", "WebSockets at /signaling", lambda: len(signaling.sessions))
    metrics.counter("signaling_entries", "Entries and resumptions by signaling", lambda: signaling.entered)
    metrics.gauge("im_sessions", "WebSockets at /im", lambda: len(chat.sessions))
    metrics.gauge("whip_sessions", "WHIP and WHEP sessions", lambda: len(whip.sessions))
    metrics.counter("whip_opened", "WHIP and WHEP sessions opened", lambda: whip.opened)
    metrics.counter("room_api_refused", "Old room calls without a right to ask", lambda: context.room_api.refused)


async def _sessions(app: web.Application) -> AsyncIterator[None]:
    context = app[CONTEXT]
    await context.signaling.start()
    await context.whip.start()
    yield
    await context.whip.aclose()
    await context.chat.aclose()
    await context.signaling.aclose()


async def _goodbye(app: web.Application) -> None:
    """Before aiohttp waits for open handlers: tell the WebSockets, so that their handlers end."""
    await app[CONTEXT].signaling.goodbye()
    await app[CONTEXT].chat.goodbye()


async def _healthz(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _readyz(request: web.Request) -> web.Response:
    missing = request.app[CONTEXT].ready()
    if missing:
        return web.json_response({"status": "unavailable", "missing": missing}, status=503)
    return web.json_response({"status": "ok"})


def error_response(error: GatewayError, **fields: object) -> web.Response:
    """Return `error` as JSON with its HTTP status; `fields` stand beside."""
    headers = {}
    if error.retry_after_ms is not None:
        headers[hdrs.RETRY_AFTER] = str(max(1, -(-error.retry_after_ms // 1000)))
    if error.http_status == 401:
        headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    body: dict[str, object] = {"code": error.code, "name": error.name, "message": error.message, **fields}
    return web.json_response(body, status=error.http_status, headers=headers)


@web.middleware
async def _count(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    request.app[CONTEXT].metrics.count_request(request.method, response.status)
    return response


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except GatewayError as error:
        return error_response(error)
    except web.HTTPRequestEntityTooLarge:
        return error_response(TooLarge(f"the body is larger than {request.app[CONTEXT].http.max_body_bytes} bytes"))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {name: error.headers[name] for name in (hdrs.ALLOW, hdrs.WWW_AUTHENTICATE) if name in error.headers}
        body = {"code": error.status, "name": NAMES.get(error.status, "error"), "message": error.reason}
        return web.json_response(body, status=error.status, headers=headers)
    except TimeoutError:
        return error_response(Overloaded("the request took too long"))
    except ConnectionResetError:
        raise
    except Exception:
        log.exception("! %s %s failed", request.method, request.path)
        return web.json_response({"code": 500, "name": "internal_error"}, status=500)


@web.middleware
async def _route(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Accept repeated slashes (clients append `/weapp/…` to a base that ends with one), and answer OPTIONS."""
    if "//" in request.rel_url.raw_path:
        url = request.rel_url.with_path(_SLASHES.sub("/", request.rel_url.raw_path), encoded=True, keep_query=True)
        request = request.clone(rel_url=url)
        app = request.app
        match = await app.router.resolve(request)
        match.add_app(app)
        request._match_info = match
        handler = match.handler
    if request.method == hdrs.METH_OPTIONS:
        failed = request.match_info.http_exception
        if isinstance(failed, web.HTTPMethodNotAllowed):
            allowed = ", ".join(sorted(failed.allowed_methods | {hdrs.METH_OPTIONS}))
            return web.Response(status=204, headers={hdrs.ALLOW: allowed})
    return await handler(request)


async def _prepare(request: web.Request, response: web.StreamResponse) -> None:
    """What belongs on every answer, also on streams and WebSockets, just before its headers leave."""
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    for name, value in _cors(_SLASHES.sub("/", request.path)).items():
        response.headers.setdefault(name, value)


def _cors(path: str) -> Mapping[str, str]:
    if path.startswith(("/whip/", "/whep/")):
        return WHIP_HEADERS
    if "/weapp/" in path:
        return ROOM_API_HEADERS
    if path.startswith("/live/"):
        return PLAIN_HEADERS
    return {}
