"""What the room code of 2018 gets over, form by form. No network."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from gateway.endpoints.im import forms
from gateway.wire.chat import Message, read_body

pytestmark = pytest.mark.quirk(1)

HEAD = '{"cmd":"CustomTextMsg","data":{"nickName":"a","headPic":""}}'


def custom(data: str, ext: str = "") -> dict[str, Any]:
    return {"MsgType": "TIMCustomElem", "MsgContent": {"Data": data, "Desc": "", "Ext": ext}}


def text(words: str) -> dict[str, Any]:
    return {"MsgType": "TIMTextElem", "MsgContent": {"Text": words}}


def message(*elements: dict[str, Any], nick: str = "Al") -> Message:
    return Message(1, 1, "alice", nick, 1, read_body(list(elements), 12000))


def shown(found: Message) -> str:
    """What the code of rooms makes of a message: the contents of all elements, texts escaped."""
    words = ""
    for element in found.body.elements():
        content = element["MsgContent"]
        said = content.get("Text")
        escaped = said.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;") if said is not None else None
        words += escaped if escaped is not None else content["Data"]
    return words.replace("&nbsp;", " ").replace("<br/>", "\n")


@pytest.mark.parametrize(
    "name", ["Al", 'A"l', "A}}l", "<br/>", "&nbsp;", "\\", "{}", "Ál \U0001f600", "a" * 400, "}}" * 100, "\u2028"]
)
def test_whatever_a_sender_is_called_its_words_are_read(name: str) -> None:
    for kind in sorted(forms.ROOM_SERVICE):
        for words in ("hi", 'say "}}" <b>', "}}", "{", "\n", "<br/>&nbsp;", "x" * 8000):
            told = forms.for_room_service(message(text(words), nick=name), kind)
            assert told is not None and told.nick == "alice"
            head, _, rest = shown(told).partition("}}")
            parsed = json.loads(head + "}}")
            assert parsed["cmd"] == "CustomTextMsg" and isinstance(parsed["data"]["nickName"], str)
            assert rest or words


def test_everything_that_is_told_is_read_whatever_it_is_made_of() -> None:
    draw = random.Random(3)
    pieces = ['{"cmd":"CustomTextMsg"', '"data":', *'{}",:1x', chr(92), "}}", "<br/>", "&nbsp;", "NaN"]
    kinds = ["TIMTextElem", "TIMCustomElem", "TIMFaceElem", "TIMImageElem"]
    told = 0
    for _ in range(4000):
        elements = []
        for _ in range(draw.randint(1, 3)):
            words, kind = "".join(draw.choices(pieces, k=draw.randint(1, 6))), draw.choice(kinds)
            if kind == "TIMTextElem":
                elements.append(text(words))
            elif kind == "TIMCustomElem":
                elements.append(custom(words, draw.choice(["", "TEXT", forms.WHITEBOARD])))
            else:
                elements.append({"MsgType": kind, "MsgContent": {"Index": 1, "Data": words}})
        found = forms.for_room_service(message(*elements), draw.choice(sorted(forms.ROOM_SERVICE)))
        if found is None:
            continue
        told += 1
        words = shown(found)
        if words:
            value = json.loads(words.split("}}")[0] + "}}", parse_constant=lambda name: pytest.fail(name))
            assert isinstance(value, dict)
            assert value.get("cmd") not in ("CustomTextMsg", "CustomCmdMsg") or isinstance(value["data"], dict)
    assert told > 500


@pytest.mark.parametrize(
    ("elements", "readable"),
    [
        ([custom('{"cmd":"linkmic","data":{"type":"request"}}')], True),
        ([custom('{"cmd":"linkmic"}')], False),
        ([custom('{"cmd":"linkmic","data":null}')], False),
        ([custom('{"cmd":"sketchpad","data":{}}')], True),
        ([custom('{"a":1}'), custom(" ")], True),
        ([custom('{"a":1}'), text("x")], False),
        ([text("5")], True),
        ([text('{"a":1}')], False),
        ([custom('{"a":"<br/>"}')], False),
        ([custom("null")], False),
        ([custom('{"a":Infinity}')], False),
        ([custom("[" * 100_000)], False),
        ([{"MsgType": "TIMImageElem", "MsgContent": {"Data": "{}"}}], False),
    ],
)
def test_messages_to_one_user_that_a_live_room_reads(elements: list[dict[str, Any]], readable: bool) -> None:
    assert forms.is_one_json(read_body(elements, 200_000)) is readable


def test_notices_that_rooms_read() -> None:
    assert [forms.is_json(said) for said in ("{}", "null", "5", "", "x", "NaN")] == [True] * 3 + [False] * 3


def test_what_people_call_themselves_inside_their_own_form_is_left_to_them() -> None:
    pair = message(custom(HEAD), text("hi"))
    told = forms.for_room_service(pair, "live_room")
    assert told is not None and told.body == pair.body and told.nick == "alice"
