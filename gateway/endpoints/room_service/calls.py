"""One call of RoomService: its query and body as text and numbers, its answers and their codes.

HTTP 200 with `{"code", "message", …}` for everything that was understood; 415: the body is not JSON; 400: it is, but
has wrong types. Surplus fields are ignored, numbers stand for texts. camelCase exists only in this package.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import hdrs, web

from gateway.base.errors import BadRequest, GatewayError

Answer = dict[str, object]
Code = tuple[int, str]

OK: Final[Code] = (0, "请求成功")
NO_PUSHERS: Final[Code] = (1, "请求失败，房间不存在")
MISSING: Final[Code] = (2, "请求失败，缺少参数")
NO_ROOM: Final[Code] = (3, "请求失败，房间不存在")
NOT_OWNER: Final[Code] = (3, "请求失败，不是房间主人")
LOGIN_MISSING: Final[Code] = (4, "请求失败，登录参数不全或签名无法解析")
NOT_PUSHER: Final[Code] = (5, "请求失败，不是房间成员")
NO_GROUP: Final[Code] = (6, "群组创建失败")
BAD_AUTH: Final[Code] = (7, "请求失败，鉴权失败")
BAD_MERGE: Final[Code] = (10, "mergeParams不是合法的JSON")
LONG_INFO: Final[Code] = (11, "roomInfo 字符串长度不能超过1024字节")
EXISTS: Final[Code] = (11, "房间已经存在")
FULL: Final[Code] = (5001, "超出房间人数上限")
AUDIENCE_FULL: Final[Code] = (5001, "观众列表满了")
NEEDS_SIG: Final[Code] = (4001, "请求失败，需要与userID相符的有效userSig")
NOT_PERMITTED: Final[Code] = (4003, "请求失败，没有权限")
BUSY: Final[Code] = (4503, "请求失败，服务器繁忙，请稍后重试")

READ_TIMEOUT_S: Final = 10.0


class Refuse(Exception):
    """An answer other than 0; `fields` stand in it besides."""

    def __init__(self, code: Code, cause: GatewayError | None = None, **fields: object) -> None:
        super().__init__(code[1])
        self.code = code
        self.fields: Answer = dict(fields)
        if cause is not None:
            self.fields["detail"] = {"name": cause.name, "code": cause.code, "message": cause.message}


class HttpRefusal(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Call:
    """A request's query and body. Fields of the body are checked when they are asked for."""

    def __init__(self, request: web.Request, fields: Mapping[str, Any]) -> None:
        self.request = request
        self.fields = fields

    def query(self, name: str) -> str:
        """Return a query parameter, "" if it is absent."""
        return _clean(name, self.request.query.get(name, ""))

    def has(self, name: str) -> bool:
        return self.fields.get(name) is not None

    def text(self, name: str) -> str:
        """Return a text field, "" if it is absent; JSON numbers count as their decimal text. Raises BadRequest."""
        value = self.fields.get(name)
        if value is None:
            return ""
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63:
            return str(value)
        if not isinstance(value, str):
            raise BadRequest(f"{name}: a text is needed")
        return _clean(name, value)

    def needed(self, *names: str) -> tuple[str, ...]:
        """Return text fields that must be there and not empty. Raises BadRequest, Refuse (2)."""
        values = tuple(self.text(name) for name in names)
        if not all(values):
            raise Refuse(MISSING)
        return values

    def number(self, name: str, default: int) -> int:
        """Return a number field, as number or decimal text, `default` if it is absent. Raises BadRequest."""
        value = self.fields.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 9:
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
            raise BadRequest(f"{name}: a whole number is needed")
        return value


def _clean(name: str, value: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BadRequest(f"{name}: a text is needed")
    return value


async def read_object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object of the body, {} for none. Raises HttpRefusal, HTTPRequestEntityTooLarge."""
    async with asyncio.timeout(READ_TIMEOUT_S):
        body = await request.read()
    if not body.strip():
        return {}
    kind = request.headers.get(hdrs.CONTENT_TYPE)
    if kind is not None and request.content_type != "application/json" and not request.content_type.endswith("+json"):
        raise HttpRefusal(415, "Content-Type must be application/json")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise HttpRefusal(415, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise HttpRefusal(400, "the body is not a JSON object")
    return value


def endpoint(handler: Callable[[Call], Answer], *, body: bool = True, bare: bool = False) -> Any:
    """Return the aiohttp handler of a call. Without `body` it is not looked at; `bare`: no code in a good answer."""

    async def run(request: web.Request) -> web.Response:
        try:
            answer = handler(Call(request, await read_object(request) if body else {}))
        except HttpRefusal as error:
            return _json({"code": error.status, "message": error.text}, error.status)
        except BadRequest as error:
            return _json({"code": 400, "message": error.message}, 400)
        except Refuse as refusal:
            return _json({"code": refusal.code[0], "message": refusal.code[1], **refusal.fields})
        return _json(answer if bare else {"code": OK[0], "message": OK[1], **answer})

    return run


def _json(body: Answer, status: int = 200) -> web.Response:
    return web.json_response(body, status=status, dumps=dumps)


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
