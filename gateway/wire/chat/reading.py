"""Reading what clients send: bodies, numbers, ranges. For any input a value, BadRequest or TooLarge.

Texts of people stand in here: nothing of a body goes into an error or a log.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any, Final

from gateway.base.errors import BadRequest, TooLarge
from gateway.wire.chat.values import (
    DEFAULT_HISTORY,
    EVENT_MESSAGE,
    GROUP_BYTES,
    MAX_RANDOM,
    MAX_SEQ,
    Body,
    Message,
    Position,
    Range,
)

MAX_ELEMENTS: Final = 64
MAX_DEPTH: Final = 8
MAX_CUSTOM_BYTES: Final = 1024
MAX_CMD_ID: Final = 10
MAX_HISTORY: Final = 100

_PASSED_THROUGH: Final = frozenset({"TIMImageElem", "TIMSoundElem", "TIMFileElem", "TIMLocationElem"})
_PRIORITIES: Final = frozenset({"COMMON", "REDPACKET", "LOVEMSG"})


def read_body(value: object, limit: int = GROUP_BYTES) -> Body:
    """Return the body that a client sent as `MsgBody`. Raises BadRequest, TooLarge (more than `limit` bytes)."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_ELEMENTS:
        raise BadRequest(f"body: a list of 1 to {MAX_ELEMENTS} elements is needed")
    size = 0
    elements = []
    for element in value:
        content, counted = _content(element)
        size += counted
        if size > limit:
            raise TooLarge(f"the message has more than {limit} bytes")
        elements.append({"MsgType": element["MsgType"], "MsgContent": content})
    if size == 0:
        raise BadRequest("body: the message is empty")
    return Body(dump(elements), size)


def _content(element: object) -> tuple[dict[str, Any], int]:
    """Return an element's content, with nothing in it that is not known, and its size."""
    if not isinstance(element, dict) or not isinstance(element.get("MsgContent"), dict):
        raise BadRequest("body: each element is {MsgType, MsgContent}")
    kind, content = element.get("MsgType"), element["MsgContent"]
    if kind == "TIMTextElem":
        text = _text(content, "Text")
        return {"Text": text}, len(text.encode())
    if kind == "TIMCustomElem":
        custom = {name: _text(content, name, optional=True) for name in ("Data", "Desc", "Ext")}
        return custom, sum(len(text.encode()) for text in custom.values())
    if kind == "TIMFaceElem":
        index = content.get("Index")
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < 1 << 31:
            raise BadRequest("body: Index of TIMFaceElem is a number")
        face = {"Index": index, "Data": _text(content, "Data", optional=True)}
        return face, len(dump(face).encode())
    if isinstance(kind, str) and kind in _PASSED_THROUGH:
        _check_plain(content, MAX_DEPTH)
        return content, len(dump(content).encode())
    raise BadRequest("body: unknown MsgType")


def _text(content: Mapping[str, Any], name: str, *, optional: bool = False) -> str:
    value = content.get(name)
    if value is None and optional:
        return ""
    if not isinstance(value, str) or not is_sound(value):
        raise BadRequest(f"body: {name} is a text")
    return value


def _check_plain(value: object, depth: int) -> None:
    """JSON of Python knows more than JSON: NaN, halves of surrogate pairs; and it may nest as deep as it likes."""
    if isinstance(value, dict | list):
        if depth == 0:
            raise BadRequest(f"body: elements nest at most {MAX_DEPTH} deep")
        if isinstance(value, dict) and not all(is_sound(name) for name in value):
            raise BadRequest("body: a text is not Unicode")
        for item in value.values() if isinstance(value, dict) else value:
            _check_plain(item, depth - 1)
    elif isinstance(value, str) and not is_sound(value):
        raise BadRequest("body: a text is not Unicode")
    elif isinstance(value, float) and not math.isfinite(value):
        raise BadRequest("body: a number is not finite")


def is_sound(text: str) -> bool:
    """Whether UTF-8 can carry it: JSON escapes may hold half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_random(value: object) -> int:
    """Raises BadRequest."""
    return _number("random", value, 0, MAX_RANDOM - 1)


def read_priority(value: object) -> str:
    """Return `MsgPriority`; what is none of the three is COMMON, as in the old IM."""
    return value if isinstance(value, str) and value in _PRIORITIES else "COMMON"


def read_range(fields: Mapping[str, Any]) -> Range:
    """Read `after`, `before` and `count` of a request for history. Raises BadRequest."""
    after, before, count = fields.get("after"), fields.get("before"), fields.get("count")
    return Range(
        None if after is None else _number("after", after, 0, MAX_SEQ),
        None if before is None else _number("before", before, 0, MAX_SEQ),
        DEFAULT_HISTORY if count is None else _number("count", count, 1, MAX_HISTORY),
    )


def read_position(epoch: object, seq: object) -> Position:
    """Raises BadRequest."""
    return Position(_number("epoch", epoch, 0, MAX_SEQ), _number("seq", seq, 0, MAX_SEQ))


def read_custom(fields: Mapping[str, Any]) -> tuple[int, bytes]:
    """Read `cmdId` (1..10) and `data` (base64 of at most 1 KB). Raises BadRequest, TooLarge."""
    cmd_id = _number("cmdId", fields.get("cmdId"), 1, MAX_CMD_ID)
    text = fields.get("data")
    if not isinstance(text, str):
        raise BadRequest("data: a base64 text is needed")
    if len(text) > (MAX_CUSTOM_BYTES + 2) // 3 * 4:
        raise TooLarge(f"data: more than {MAX_CUSTOM_BYTES} bytes")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise BadRequest("data: not base64") from None
    if len(data) > MAX_CUSTOM_BYTES:
        raise TooLarge(f"data: more than {MAX_CUSTOM_BYTES} bytes")
    return cmd_id, data


def _number(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadRequest(f"{name}: a whole number of {low} to {high} is needed")
    return value


def read_entry(entry: object) -> Message:
    """Return the message of a group's entry, as a client of `/im` reads it. Raises BadRequest, TooLarge."""
    if not isinstance(entry, dict):
        raise BadRequest("an entry is an object")
    sender, info = entry.get("From_Account"), entry.get("GroupInfo")
    nick = info.get("From_AccountNick", sender) if isinstance(info, dict) else sender
    if not isinstance(sender, str) or not isinstance(nick, str):
        raise BadRequest("From_Account: a text is needed")
    seconds = _number("MsgTimeStamp", entry.get("MsgTimeStamp"), 0, MAX_SEQ // 1000)
    return Message(
        _number("MsgSeq", entry.get("MsgSeq"), 0, MAX_SEQ),
        _number("MsgTime", entry.get("MsgTime", seconds * 1000), 0, MAX_SEQ),
        sender,
        "" if nick == sender else nick,
        _number("MsgRandom", entry.get("MsgRandom"), 0, MAX_RANDOM),
        read_body(entry.get("MsgBody")),
        _number("Event", entry.get("Event", EVENT_MESSAGE), 0, 255),
        read_priority(entry.get("MsgPriority")),
    )


def dump(value: object) -> str:
    """Return compact JSON; what cannot be JSON (NaN) is a ValueError."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
