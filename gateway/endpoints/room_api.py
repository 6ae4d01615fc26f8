"""The seven calls of the old webrtc_room service, as its clients know them, and `get_push_url`.

POST a JSON object to `/webrtc/weapp/webrtc_room/<call>` (or without `/webrtc`); the answer is HTTP 200 and
`{"code": 0, "message": "请求成功", …}`; other codes are refusals, in which the other fields stand empty. HTTP 415: the
body is not JSON; 400: it is, but has wrong types. Texts, codes and the order of checks are those of the old service;
who may call without a ticket is decided by `Access.is_guest`; everybody else gets 4001. camelCase exists only here.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import hdrs, web

from gateway.base.errors import BadRequest, BadTicket, GatewayError, NoSuchRoom, NotPermitted, RoomFull
from gateway.endpoints.cors import Access
from gateway.endpoints.entry import Entry
from gateway.endpoints.entry.fields import Fields, HttpRefusal, json_answer, read_object
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey, StreamKind, check_user_id
from gateway.rooms.tickets.keys import AppKeys

log = logging.getLogger(__name__)

OK: Final = (0, "请求成功")
MISSING: Final = (2, "请求失败，缺少参数")
NO_ROOM: Final = (3, "请求失败，房间不存在")
NO_TICKET: Final = (3, "请求失败，权限位生成失败")
BAD_USER: Final = (7, "请求失败，userID含有非法字符或者不符合规范")
BAD_ID: Final = (7, "请求失败，userID或roomID含有非法字符或者不符合规范")
LONG_INFO: Final = (11, "roomInfo 字符串长度不能超过1024字节")
FULL: Final = (5001, "超出房间人数上限")
NEEDS_SIG: Final = (4001, "请求失败，需要与userID相符的有效userSig")
NOT_PERMITTED: Final = (4003, "请求失败，没有权限")
BUSY: Final = (4503, "请求失败，服务器繁忙，请稍后重试")

SIG_SECONDS: Final = 3600
"""Lifetime of a userSig and of a privateMapKey that these calls give out."""
MAX_INFO: Final = 1024
MAX_LIST: Final = 1000

_USER: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{3,23}")


class _Refuse(Exception):
    """An answer other than 0. `detail` says why in the terms of the other faces (name and code)."""

    def __init__(self, answer: tuple[int, str], cause: GatewayError | None = None) -> None:
        super().__init__(answer[1])
        self.answer = answer
        self.detail: dict[str, object] | None = None
        if cause is not None:
            self.detail = {"name": cause.name, "code": cause.code, "message": cause.message}


@dataclasses.dataclass(frozen=True, slots=True)
class _Caller:
    """Who asks: the app, whether a ticket stands behind, and the user that it names."""

    app: AppKeys
    guest: bool
    """Comes without a ticket, or with one that was given to a guest."""
    user_id: str
    user_sig: str


class _Call(Fields):
    """One request and the fields of its body."""

    def __init__(self, request: web.Request, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self.request = request


Answer = dict[str, object]
Handler = Callable[[_Call], Answer]


class RoomApi:
    """The calls. Answers are made synchronously: nothing can come between two checks of one call."""

    def __init__(self, entry: Entry, access: Access) -> None:
        self._entry = entry
        self._access = access
        self.refused = 0
        """Answers 4001 so far."""

    def routes(self) -> list[web.RouteDef]:
        calls: dict[str, tuple[Handler, Answer]] = {
            "get_login_info": (self._get_login_info, _empty("userID", "userSig", "accountType") | {"sdkAppID": 0}),
            "create_room": (self._create_room, _empty("userID", "roomID", "roomInfo", "privateMapKey")),
            "enter_room": (self._enter_room, _empty("userID", "roomID", "privateMapKey")),
            "quit_room": (self._quit_room, {}),
            "heartbeat": (self._heartbeat, {}),
            "get_room_list": (self._get_room_list, {"rooms": []}),
            "get_room_members": (self._get_room_members, {"members": []}),
            "get_push_url": (self._get_push_url, _empty("pushURL", "streamID") | {"members": []}),
        }
        return [
            web.post(f"{base}/weapp/webrtc_room/{name}", self._endpoint(handler, empty))
            for base in ("/webrtc", "")
            for name, (handler, empty) in calls.items()
        ]

    def _endpoint(self, handler: Handler, empty: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def endpoint(request: web.Request) -> web.Response:
            try:
                call = _Call(request, await read_object(request))
                answer = handler(call)
            except HttpRefusal as error:
                return json_answer({"code": error.status, "message": error.text, **empty}, error.status)
            except BadRequest as error:
                return json_answer({"code": 400, "message": error.message, **empty}, 400)
            except _Refuse as refusal:
                self.refused += refusal.answer[0] == NEEDS_SIG[0]
                more = {} if refusal.detail is None else {"detail": refusal.detail}
                return json_answer({"code": refusal.answer[0], "message": refusal.answer[1], **empty, **more})
            return json_answer({"code": OK[0], "message": OK[1], **answer})

        return endpoint

    # --- who asks

    def _caller(self, call: _Call, user_id: str) -> _Caller:
        """The gate of the seven calls: a userSig that belongs to `user_id` ("": to anybody), or a guest."""
        user_sig = call.text("userSig") or _bearer(call.request)
        tickets = self._entry.tickets
        if user_sig:
            try:
                app = tickets.app_of(user_sig)
                user_id = tickets.user(app, user_id or None, user_sig)
                return _Caller(app, tickets.is_guest_ticket(user_sig), user_id, user_sig)
            except BadTicket as error:
                raise _Refuse(NEEDS_SIG, error) from None
        if not self._access.is_guest(call.request):
            raise _Refuse(NEEDS_SIG)
        return _Caller(tickets.default, True, user_id, "")

    def _claim(self, caller: _Caller) -> None:
        """A guest's name must be free to take. The old form of user ids is checked before."""
        if not caller.user_sig and self._entry.is_protected(caller.app.sdk_app_id, caller.user_id):
            raise _Refuse(NEEDS_SIG)

    def _room(self, caller: _Caller, room_id: str) -> RoomKey:
        """Return the existing room. The old service knew number rooms only, and any other text was unknown."""
        try:
            key = RoomKey.parse(caller.app.sdk_app_id, room_id)
            self._entry.directory.room(key)
        except (BadRequest, NoSuchRoom):
            raise _Refuse(NO_ROOM) from None
        return key

    def _ticket(self, caller: _Caller, room: RoomKey) -> str:
        try:
            return self._entry.tickets.mint_room(caller.app, caller.user_id, room, SIG_SECONDS, guest=caller.guest)
        except ValueError as error:
            log.warning("! no privateMapKey for app %d: %s", caller.app.sdk_app_id, error)
            raise _Refuse(NO_TICKET) from None

    # --- the calls

    def _get_login_info(self, call: _Call) -> Answer:
        user_id = call.text("userID")
        caller = self._caller(call, user_id)
        answer: Answer = {"userID": caller.user_id, "userSig": caller.user_sig}
        if not caller.user_sig:
            user_id = user_id or self._entry.draw_user_id()
            _check_user(user_id)
            caller = dataclasses.replace(caller, user_id=user_id)
            self._claim(caller)
            try:
                user_sig = self._entry.tickets.mint_user(caller.app, user_id, SIG_SECONDS)
            except ValueError as error:
                log.warning("! no userSig for app %d: %s", caller.app.sdk_app_id, error)
                raise _Refuse(NO_TICKET) from None
            answer = {"userID": user_id, "userSig": user_sig}
        return {"sdkAppID": caller.app.sdk_app_id, "accountType": "0", **answer}

    def _create_room(self, call: _Call) -> Answer:
        user_id, info = call.text("userID"), call.text("roomInfo")
        nick, room_type = call.text("nickName"), call.text("roomType")
        caller = self._caller(call, user_id)
        if not user_id or not info:
            raise _Refuse(MISSING)
        _check_user(user_id)
        self._claim(caller)
        if len(info) > MAX_INFO:
            raise _Refuse(LONG_INFO)
        if len(room_type) > MAX_INFO:
            raise BadRequest("roomType: at most 1024 characters")
        room = self._entry.draw_room(caller.app.sdk_app_id)
        ticket = self._ticket(caller, room)
        try:
            self._entry.create_room(room, user_id, nick=nick, info=info, room_type=room_type, guest=caller.guest)
        except GatewayError as error:
            raise _Refuse(BUSY, error) from None
        return {"userID": user_id, "roomID": room.id, "roomInfo": info, "privateMapKey": ticket}

    def _enter_room(self, call: _Call) -> Answer:
        user_id, room_id, nick = call.text("userID"), call.text("roomID"), call.text("nickName")
        caller = self._caller(call, user_id)
        if not user_id or not room_id:
            raise _Refuse(MISSING)
        _check_user(user_id)
        self._claim(caller)
        room = self._room(caller, room_id)
        if self._entry.is_full(room, user_id):
            raise _Refuse(FULL)
        ticket = self._ticket(caller, room)
        try:
            self._entry.enter(room, user_id, Privilege.ALL, nick=nick, guest=caller.guest, policy="")
        except RoomFull:
            raise _Refuse(FULL) from None
        except NoSuchRoom:
            raise _Refuse(NO_ROOM) from None
        except GatewayError as error:
            raise _Refuse(BUSY, error) from None
        return {"userID": user_id, "roomID": room.id, "privateMapKey": ticket}

    def _quit_room(self, call: _Call) -> Answer:
        caller, room = self._present(call)
        self._entry.quit(room, caller.user_id)
        return {}

    def _heartbeat(self, call: _Call) -> Answer:
        caller, room = self._present(call)
        self._entry.heartbeat(room, caller.user_id)
        return {}

    def _present(self, call: _Call) -> tuple[_Caller, RoomKey]:
        """What quit_room and heartbeat share. Not being a member is no error."""
        user_id, room_id = call.text("userID"), call.text("roomID")
        caller = self._caller(call, user_id)
        if not user_id or not room_id:
            raise _Refuse(MISSING)
        self._claim(caller)
        return caller, self._room(caller, room_id)

    def _get_room_list(self, call: _Call) -> Answer:
        index, count = call.number("index", 0), call.number("count", 10)
        caller = self._caller(call, call.text("userID"))
        rooms = self._entry.list_rooms(caller.app.sdk_app_id, call.text("roomType"), index, min(count, MAX_LIST))
        return {
            "rooms": [{"roomID": room.key.id, "roomInfo": room.info, "roomCreator": room.creator} for room in rooms]
        }

    def _get_room_members(self, call: _Call) -> Answer:
        room_id = call.text("roomID")
        caller = self._caller(call, call.text("userID"))
        if not room_id:
            raise _Refuse(MISSING)
        room = self._entry.directory.room(self._room(caller, room_id))
        return {"members": [{"userID": member.user_id, "nickName": member.nick} for member in room.members.values()]}

    def _get_push_url(self, call: _Call) -> Answer:
        """Tickets in, addresses out: how a mini program enters a room of browsers."""
        user_id, room_id = call.text("userID"), call.text("roomID")
        user_sig = call.text("userSig") or _bearer(call.request)
        map_key, aux, nick = call.text("privateMapKey"), call.flag("aux"), call.text("nickName")
        if not user_id or not room_id:
            raise _Refuse(MISSING)
        tickets = self._entry.tickets
        try:
            check_user_id(user_id)
            app = tickets.app_of(user_sig)
            key = RoomKey.parse(app.sdk_app_id, room_id)
            privileges = tickets.room(app, user_id, key, user_sig, map_key)
        except BadRequest as error:
            raise _Refuse(BAD_ID, error) from None
        except BadTicket as error:
            raise _Refuse(NEEDS_SIG, error) from None
        try:
            guest = tickets.is_guest_ticket(user_sig)  # whose /im comes with the same ticket and must be let in
            member = self._entry.enter(key, user_id, privileges, nick=nick, guest=guest)
        except RoomFull:
            raise _Refuse(FULL) from None
        except NoSuchRoom:
            raise _Refuse(NO_ROOM) from None
        except NotPermitted as error:
            raise _Refuse(NOT_PERMITTED, error) from None
        except GatewayError as error:
            raise _Refuse(BUSY, error) from None
        bases = self._entry.urls.bases(call.request.headers.get(hdrs.HOST), secure=call.request.secure)
        entries = self._entry.play_list(member, bases, aux=aux)
        return {
            "pushURL": self._entry.push_url(member, StreamKind.MAIN, bases),
            "streamID": self._entry.stream_id(key, user_id, StreamKind.MAIN),
            "members": [
                {"userID": item.user_id, "accelerateURL": item.url}
                | ({"streamtype": "aux"} if item.kind is StreamKind.AUX else {})
                for item in entries
            ],
        }


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _check_user(user_id: str) -> None:
    if not _USER.fullmatch(user_id):
        raise _Refuse(BAD_USER)


def _empty(*names: str) -> Answer:
    return dict.fromkeys(names, "")
