"""The signature host: checks the tickets of a room, and says what they allow.

The service of 2018 exchanged a userSig and a privateMapKey for the signature by which `live-pusher` entered a room of
its own protocol. That protocol is not spoken here, so there is no such signature; what is left is to say whether the
tickets hold and for what. RspHead is in every answer: old components read it without a look.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.base.errors import GatewayError, NotPermitted
from gateway.endpoints.im import answers
from gateway.endpoints.im.requests import app_number
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey, check_user_id

if TYPE_CHECKING:
    from gateway.endpoints.im.server import Im


async def answer(im: Im, request: web.Request) -> web.Response:
    """`ReqHead.GroupId` is the room, `ReqBody.PrivMapEncrypt` its ticket; user and userSig are in the query."""
    head: dict[str, object] = {"ErrorCode": 0, "ErrorInfo": ""}
    granted: dict[str, object] = {}
    try:
        granted = _check(im, request.query, await answers.read_json(request))
    except GatewayError as error:
        head = {"ErrorCode": answers.error_number(error), "ErrorInfo": error.message}
    return answers.plain({"RspHead": head, "RspBody": granted})


def _check(im: Im, query: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, object]:
    head, inner = body.get("ReqHead"), body.get("ReqBody")
    tickets, directory = im.entry.tickets, im.entry.directory
    app = tickets.app(app_number(query.get("sdkappid", "")))
    user_id = check_user_id(query.get("identifier", ""))
    group = head.get("GroupId") if isinstance(head, dict) else None
    room = RoomKey.parse(app.sdk_app_id, group if isinstance(group, int | str) else "")
    ticket = inner.get("PrivMapEncrypt") if isinstance(inner, dict) else None
    rights = tickets.room(app, user_id, room, query.get("usersig", ""), ticket if isinstance(ticket, str) else "")
    if not rights & Privilege.ENTER:
        raise NotPermitted("the ticket has no right to enter (bit 2)")
    if directory.is_banned(room, user_id):
        raise NotPermitted(f"{user_id} is banned from this room")
    rights = directory.moderation.rights(room, user_id, rights)
    return {
        "SdkAppId": app.sdk_app_id,
        "Identifier": user_id,
        "GroupId": room.id,
        "Privileges": int(rights),
        "MaySendAudio": bool(rights & Privilege.SEND_AUDIO),
        "MaySendVideo": bool(rights & Privilege.SEND_VIDEO),
        "RoomExists": room in directory.rooms,
    }
