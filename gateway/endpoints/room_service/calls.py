"""One call of RoomService: its query and body as text and numbers, its answers and their codes.

HTTP 200 with `{"code", "message", …}` for everything that was understood. camelCase exists only in this package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from gateway.base.errors import BadRequest, GatewayError
from gateway.endpoints.entry.fields import Fields, HttpRefusal, json_answer, read_object, sound_text

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
NO_LOGS: Final[Code] = (4003, "请求失败，日志不通过HTTP提供")
BUSY: Final[Code] = (4503, "请求失败，服务器繁忙，请稍后重试")


class Refuse(Exception):
    """An answer other than 0; `fields` stand in it besides."""

    def __init__(self, code: Code, cause: GatewayError | None = None, **fields: object) -> None:
        super().__init__(code[1])
        self.code = code
        self.fields: Answer = dict(fields)
        if cause is not None:
            detail: Answer = {"name": cause.name, "code": cause.code, "message": cause.message}
            if cause.retry_after_ms is not None:
                detail["retryAfterMs"] = cause.retry_after_ms
            self.fields["detail"] = detail


class Call(Fields):
    """A request's query and body."""

    def __init__(self, request: web.Request, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self.request = request

    def query(self, name: str) -> str:
        """Return a query parameter, "" if it is absent. Raises BadRequest."""
        return sound_text(name, self.request.query.get(name, ""))

    def needed(self, *names: str) -> tuple[str, ...]:
        """Return text fields that must be there and not empty. Raises BadRequest, Refuse (2)."""
        values = tuple(self.text(name) for name in names)
        if not all(values):
            raise Refuse(MISSING)
        return values


def endpoint(handler: Callable[[Call], Answer], *, body: bool = True, bare: bool = False) -> Any:
    """Return the aiohttp handler of a call. Without `body` it is not looked at; `bare`: no code in a good answer."""

    async def run(request: web.Request) -> web.Response:
        try:
            answer = handler(Call(request, await read_object(request, may_be_empty=True) if body else {}))
        except HttpRefusal as error:
            return json_answer({"code": error.status, "message": error.text}, error.status)
        except BadRequest as error:
            return json_answer({"code": 400, "message": error.message}, 400)
        except Refuse as refusal:
            return json_answer({"code": refusal.code[0], "message": refusal.code[1], **refusal.fields})
        return json_answer(answer if bare else {"code": OK[0], "message": OK[1], **answer})

    return run
