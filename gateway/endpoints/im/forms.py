"""What the room clients of 2018 can read: a message that they cannot parse stops their poll for ever.

They join the contents of a message's elements and parse, without a guard, what stands before the first `}}` (of a
message to one user: all of it). So to groups of RoomService rooms only the form of two elements goes: custom JSON that
ends in `}}`, then the text. What else they do with a message is repeated here step by step, to know the result.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

from gateway.base.errors import GatewayError
from gateway.wire.chat import Body, Message, read_body

ROOM_SERVICE: Final = frozenset({"double_room", "multi_room", "live_room"})
LIVE: Final = "live_room"
WHITEBOARD: Final = "TXWhiteBoardExt"
_BOARD_HEAD: Final = {
    "MsgType": "TIMCustomElem",
    "MsgContent": {"Data": '{"cmd":"sketchpad","data":{}}', "Desc": "", "Ext": ""},
}
"""Goes before a whiteboard's data that cannot be parsed: live rooms' code then finds the board behind it."""
_ESCAPES: Final = str.maketrans({"<": "&lt;", ">": "&gt;", '"': "&quot;"})
"""What the library does to texts when it reads them."""
_JSON_ESCAPES: Final = str.maketrans({letter: f"\\u{ord(letter):04x}" for letter in "{}<>&"})
_SAID: Final = frozenset({"TIMTextElem", "TIMFaceElem"})
_PLAIN: Final = str.maketrans({"}": ")", "{": "(", "<": "(", ">": ")", "&": "+"})

Elements = list[dict[str, Any]]


def for_room_service(message: Message, kind: str) -> Message | None:
    """Return the message in a form that the code of that kind of room reads; None if it cannot be told in one.

    It takes the nick beside the message for the sender's id, and shows the one inside.
    """
    elements, nick = message.body.elements(), message.nick or message.sender
    message = dataclasses.replace(message, nick=message.sender)
    if any(_is_board(element) for element in elements):
        # Only live rooms' code knows boards. The other shows them as what somebody said.
        if kind != LIVE:
            return None
        return message if _is_readable(elements) else _with(message, [_BOARD_HEAD, *elements])
    if _has_two_parts(elements):
        return message
    mended = _mended(elements)
    if mended is not None:
        return _with(message, mended)
    text = _text_of(elements)
    if text is None:
        return None
    data = {"nickName": nick.translate(_PLAIN), "headPic": ""}
    head = json.dumps({"cmd": "CustomTextMsg", "data": data}, ensure_ascii=False, separators=(",", ":"))
    return _with(
        message,
        [
            {"MsgType": "TIMCustomElem", "MsgContent": {"Data": head, "Desc": "", "Ext": ""}},
            {"MsgType": "TIMTextElem", "MsgContent": {"Text": text}},
        ],
    )


def _with(message: Message, elements: Elements) -> Message | None:
    try:
        changed = dataclasses.replace(message, body=read_body(elements, 2 * message.body.size + 4096))
    except GatewayError:
        return None
    return changed if _is_readable(elements) else None


def _is_board(element: dict[str, Any]) -> bool:
    return bool(element["MsgType"] == "TIMCustomElem" and element["MsgContent"]["Ext"] == WHITEBOARD)


def _has_two_parts(elements: Elements) -> bool:
    if elements[0]["MsgType"] != "TIMCustomElem":
        return False
    if any(element["MsgType"] not in _SAID for element in elements[1:]):
        return False
    data: str = elements[0]["MsgContent"]["Data"]
    return data.find("}}") == len(data) - 2 and _is_readable(elements)


def _mended(elements: Elements) -> Elements | None:
    """Return two parts whose command no code reads wrong, None if they are no two parts.

    The code of rooms puts the name of its user between quotes as it is: `}}` or `<br/>` in it are written as escapes.
    """
    head = elements[0]
    if (
        head["MsgType"] != "TIMCustomElem"
        or {element["MsgType"] for element in elements[1:]} - _SAID
        or not elements[1:]
    ):
        return None
    value = _json(head["MsgContent"]["Data"])
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(value, dict) or set(value) != {"cmd", "data"} or not isinstance(data, dict):
        return None
    if not isinstance(value["cmd"], str) or not all(isinstance(one, str | int | None) for one in data.values()):
        return None
    fields = ",".join(f"{_escaped(name)}:{_escaped(one)}" for name, one in data.items())
    told = {**head["MsgContent"], "Data": f'{{"cmd":{_escaped(value["cmd"])},"data":{{{fields}}}}}'}
    return [{**head, "MsgContent": told}, *elements[1:]]


def _escaped(value: str | int | None) -> str:
    """Return the value as JSON without a brace, or anything that is read as HTML."""
    return json.dumps(value, ensure_ascii=False).translate(_JSON_ESCAPES)


def _is_readable(elements: Elements) -> bool:
    """Whether the code of rooms gets over this message of a group."""
    joined = _joined(elements)
    if not joined:
        return joined is not None  # it looks no further at nothing
    value = _json(joined.split("}}")[0] + "}}")
    if not isinstance(value, dict):
        return False
    return value.get("cmd") not in ("CustomTextMsg", "CustomCmdMsg") or isinstance(value.get("data"), dict)


def _joined(elements: Elements) -> str | None:
    """Return what room clients make of a message; None if an element is one that they do not show as a text."""
    joined = ""
    for element in elements:
        content = element["MsgContent"]
        if element["MsgType"] == "TIMTextElem":
            joined += content["Text"].translate(_ESCAPES)
        elif element["MsgType"] in ("TIMCustomElem", "TIMFaceElem"):
            joined += content["Data"]
        else:
            return None
    return joined.replace("&nbsp;", " ").replace("<br/>", "\n")


def _text_of(elements: Elements) -> str | None:
    """Return what people wrote; None if there is anything else in it."""
    text = ""
    for element in elements:
        kind, content = element["MsgType"], element["MsgContent"]
        if kind == "TIMTextElem":
            text += content["Text"]
        elif kind == "TIMFaceElem" or (kind == "TIMCustomElem" and content["Ext"] == "TEXT"):
            text += content["Data"]
        else:
            return None
    return text or None


def is_one_json(body: Body) -> bool:
    """Whether a live room's code gets over this message to one user: its elements joined are one JSON text."""
    joined = _joined(body.elements())
    value = None if joined is None else _json(joined)
    if value is None or (isinstance(value, dict) and value.get("cmd") == "linkmic"):
        return isinstance(value, dict) and isinstance(value.get("data"), dict)
    return True


def is_json(text: str) -> bool:
    return text == "null" or _json(text) is not None


def _json(text: str) -> object:
    """Return what the text is as JSON; None if it is none, or null."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(name: str) -> object:
    """Python reads NaN and Infinity, JavaScript does not."""
    raise ValueError(name)
