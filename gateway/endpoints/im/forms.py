"""What the room clients of 2018 can read: a message that they cannot parse stops their poll for ever.

They join the contents of all elements and parse what stands before the first `}}`. So to groups of RoomService rooms
only the form of two elements goes: custom JSON that ends in `}}`, then the text.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

from gateway.base.errors import GatewayError
from gateway.wire.chat import Body, Message, read_body

ROOM_SERVICE: Final = frozenset({"double_room", "multi_room", "live_room"})


def for_room_service(message: Message) -> Message | None:
    """Return the message in the form of two elements; None if it cannot be told in it.

    The room code takes the nick beside the message for the sender's id, and shows the one inside.
    """
    elements = message.body.elements()
    if _has_two_parts(elements):
        return dataclasses.replace(message, nick=message.sender)
    text = _text_of(elements)
    if text is None:
        return None
    nick = (message.nick or message.sender).replace("}", ")")
    head = json.dumps({"cmd": "CustomTextMsg", "data": {"nickName": nick, "headPic": ""}}, separators=(",", ":"))
    parts = [
        {"MsgType": "TIMCustomElem", "MsgContent": {"Data": head, "Desc": "", "Ext": ""}},
        {"MsgType": "TIMTextElem", "MsgContent": {"Text": text}},
    ]
    try:
        body = read_body(parts, 2 * message.body.size + 4096)
    except GatewayError:
        return None
    return dataclasses.replace(message, nick=message.sender, body=body)


def _has_two_parts(elements: list[dict[str, Any]]) -> bool:
    if len(elements) < 2 or elements[0]["MsgType"] != "TIMCustomElem":
        return False
    if any(element["MsgType"] not in ("TIMTextElem", "TIMFaceElem") for element in elements[1:]):
        return False
    data = elements[0]["MsgContent"]["Data"]
    value = _json(data)
    return data.find("}}") == len(data) - 2 and isinstance(value, dict) and isinstance(value.get("data"), dict)


def _text_of(elements: list[dict[str, Any]]) -> str | None:
    text = ""
    for element in elements:
        content = element["MsgContent"]
        if element["MsgType"] == "TIMTextElem":
            text += content["Text"]
        elif element["MsgType"] == "TIMFaceElem":
            text += content["Data"]
        elif element["MsgType"] == "TIMCustomElem" and content["Ext"] == "TEXT":
            text += content["Data"]
        else:
            return None
    return text or None


def is_one_json(body: Body) -> bool:
    """Whether a live room's client can read a message to one user: its elements joined are one JSON object."""
    joined = ""
    for element in body.elements():
        content = element["MsgContent"]
        joined += str(content.get("Data") or content.get("Text") or "")
    return isinstance(_json(joined), dict)


def is_json_object(text: str) -> bool:
    return isinstance(_json(text), dict)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
