"""Messages of a room: bodies checked and measured, and the JSON in which the two faces show them.

A body is the IM's own `MsgBody`, a list of `{"MsgType", "MsgContent"}`. It is checked and written once, when it comes
in, and from then on is a piece of JSON text that every face puts into its frames as it is. Sizes are counted as the old
SDK counts them: UTF-8 bytes of a text, or of a custom element's Data, Desc and Ext; of other elements their JSON.

Texts of people stand in here: nothing of a body goes into an error or a log. For any input a value, BadRequest or
TooLarge. docs/protocol.md shows the frames.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.base.errors import BadRequest, TooLarge

GROUP_BYTES: Final = 8898
DIRECT_BYTES: Final = 12000
"""Limits of the old SDK for a message to a group and to one user (C2C)."""
MAX_ELEMENTS: Final = 64
MAX_DEPTH: Final = 8
MAX_RANDOM: Final = 0xFFFFFFFF
MAX_SEQ: Final = (1 << 53) - 1
MAX_CUSTOM_BYTES: Final = 1024
MAX_CMD_ID: Final = 10
MAX_HISTORY: Final = 100
DEFAULT_HISTORY: Final = 50
EVENT_MESSAGE: Final = 3
"""The IM's number for what people write; tips are 4 and 6, notices of the system 5."""
EVENT_SYSTEM: Final = 5
SYSTEM: Final = "@TIM#SYSTEM"
DISSOLVED: Final = 5
REMOVED: Final = 4
CUSTOM_NOTICE: Final = 255
"""ReportType of a notice: the group is gone; you were removed; whatever the server has to say (`text`)."""

_PASSED_THROUGH: Final = frozenset({"TIMImageElem", "TIMSoundElem", "TIMFileElem", "TIMLocationElem"})


@dataclasses.dataclass(frozen=True, slots=True)
class Body:
    """A checked `MsgBody`: `json` is its compact JSON text, `size` its bytes as the old SDK counts."""

    json: str
    size: int

    def elements(self) -> list[dict[str, Any]]:
        elements: list[dict[str, Any]] = json.loads(self.json)
        return elements


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """A message of a group. `seq` counts 1, 2, 3 … in the group; `random` is the sender's number for it."""

    seq: int
    time_ms: int
    sender: str
    nick: str
    random: int
    body: Body
    event: int = EVENT_MESSAGE


@dataclasses.dataclass(frozen=True, slots=True)
class Direct:
    """A message to one user (C2C). `seq` grows with each of them."""

    seq: int
    time_ms: int
    sender: str
    nick: str
    to: str
    random: int
    body: Body
    sender_seq: int | None = None
    """The sender's own number (MsgSeq), if its face has one: old receivers tell resends by it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Custom:
    """A TRTC custom message: to those present, never kept. `seq` counts the sender's own."""

    sender: str
    cmd_id: int
    seq: int
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """What the system says to a group: `report` 5 (dissolved) or 255 (`text`). It stands in no list and has no seq.

    `number` grows with each of them, so that old clients can tell two apart.
    """

    report: int
    number: int
    time_ms: int
    text: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """How far a client has read: `seq` in the group that is named by `epoch`."""

    epoch: int
    seq: int


@dataclasses.dataclass(frozen=True, slots=True)
class Backlog:
    """Messages of a group, oldest first; `seq` is the newest given, `first` the oldest kept (seq + 1: none)."""

    epoch: int
    seq: int
    first: int
    messages: tuple[Message, ...]


NOTHING: Final = Backlog(0, 0, 1, ())


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """Which messages are asked for: seq > `after`, oldest first; else the newest with seq < `before`."""

    after: int | None = None
    before: int | None = None
    count: int = DEFAULT_HISTORY


# --- reading what clients send


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
    return Body(_dump(elements), size)


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
        return face, len(_dump(face).encode())
    if isinstance(kind, str) and kind in _PASSED_THROUGH:
        _check_plain(content, MAX_DEPTH)
        return content, len(_dump(content).encode())
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
    return _number("random", value, 0, MAX_RANDOM)


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


# --- writing: JSON texts, for signaling and the datachannel


def message_json(message: Message) -> str:
    """Return the announcement of a group's message, which is also its form in history."""
    head = {
        "t": "message",
        "seq": message.seq,
        "time": message.time_ms,
        "from": message.sender,
        "nick": message.nick,
        "random": message.random,
    }
    return _with_body(head, "body", message.body)


def direct_json(message: Direct) -> str:
    head = {
        "t": "c2c",
        "seq": message.seq,
        "time": message.time_ms,
        "from": message.sender,
        "nick": message.nick,
        "to": message.to,
        "random": message.random,
    }
    return _with_body(head, "body", message.body)


def custom_fields(message: Custom) -> dict[str, object]:
    """Return what both faces say of a custom message, beside its type."""
    data = base64.b64encode(message.data).decode()
    return {"from": message.sender, "cmdId": message.cmd_id, "seq": message.seq, "data": data}


def backlog_json(backlog: Backlog, head: Mapping[str, object]) -> str:
    """Return `head` with epoch, seq, first and messages, as an object for signaling."""
    return _with_backlog(head, backlog, (message_json(message) for message in backlog.messages))


# --- writing: the IM's entries, for `/im`


def entry_json(message: Message, group_id: str) -> str:
    """Return the entry of a group's message, in the shape in which the IM's own poll gives it."""
    head = {
        "Event": message.event,
        "From_Account": message.sender,
        "ToGroupId": group_id,
        "MsgSeq": message.seq,
        "MsgRandom": message.random,
        "MsgTimeStamp": message.time_ms // 1000,
        "MsgTime": message.time_ms,
        "MsgPriority": "COMMON",
        "IsPlaceMsg": 0,
        "GroupInfo": {
            "GroupName": group_id,
            "From_AccountNick": message.nick or message.sender,
            "To_Account": group_id,
        },
    }
    return _with_body(head, "MsgBody", message.body)


def direct_entry_json(message: Direct) -> str:
    head = {
        "From_Account": message.sender,
        "To_Account": message.to,
        "MsgTimeStamp": message.time_ms // 1000,
        "MsgSeq": message.seq if message.sender_seq is None else message.sender_seq,
        "MsgRandom": message.random,
    }
    return _with_body(head, "MsgBody", message.body)


def entries_json(backlog: Backlog, group_id: str, head: Mapping[str, object]) -> str:
    """Return `head` with epoch, seq, first and messages, as an object for `/im`: the answer to history."""
    return _with_backlog(head, backlog, (entry_json(message, group_id) for message in backlog.messages))


def message_frame(epoch: int, entries: Iterable[str]) -> str:
    """Return the frame by which `/im` brings messages of its group, oldest first; entries by `entry_json`."""
    return f'{{"cmd":"message","epoch":{epoch},"messages":[{",".join(entries)}]}}'


def direct_frame(message: Direct) -> str:
    return f'{{"cmd":"c2c","messages":[{direct_entry_json(message)}]}}'


def custom_frame(message: Custom) -> str:
    return _dump({"cmd": "custom", **custom_fields(message)})


def notice_detail(notice: Notice, group_id: str) -> dict[str, object]:
    """Return the body of a notice, in the IM's names."""
    return {
        "ReportType": notice.report,
        "GroupId": group_id,
        "Operator_Account": SYSTEM,
        "UserDefinedField": notice.text,
        "RemarkInfo": "",
        "MsgKey": 0,
        "Authentication": "",
    }


def notice_entry_json(notice: Notice, group_id: str) -> str:
    """Return the entry of a notice in the IM's poll. Old clients throw where GroupInfo or From_Account is missing."""
    return _dump(
        {
            "Event": EVENT_SYSTEM,
            "From_Account": SYSTEM,
            "ToGroupId": group_id,
            "MsgSeq": notice.number,
            "MsgRandom": notice.number & MAX_RANDOM,
            "MsgTimeStamp": notice.time_ms // 1000,
            "MsgTime": notice.time_ms,
            "MsgPriority": "COMMON",
            "IsPlaceMsg": 0,
            "GroupInfo": {"GroupName": group_id, "To_Account": group_id},
            "MsgBody": notice_detail(notice, group_id),
        }
    )


def notice_json(notice: Notice) -> str:
    """Return the announcement of a notice in signaling."""
    return _dump({"t": "notice-group", "report": notice.report, "time": notice.time_ms, "text": notice.text})


def notice_frame(notice: Notice, group_id: str) -> str:
    """Return the frame by which `/im` tells a notice: the event that the component raises."""
    detail = notice_detail(notice, group_id)
    return _dump({"cmd": "event", "tag": "error", "code": "group_system_notifys", "detail": detail})


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
    )


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _with_body(head: Mapping[str, object], name: str, body: Body) -> str:
    return f'{_dump(head)[:-1]},"{name}":{body.json}}}'


def _with_backlog(head: Mapping[str, object], backlog: Backlog, messages: Iterable[str]) -> str:
    fields = {**head, "epoch": backlog.epoch, "seq": backlog.seq, "first": backlog.first}
    return f'{_dump(fields)[:-1]},"messages":[{",".join(messages)}]}}'
