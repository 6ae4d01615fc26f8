"""wire/chat.py: bodies of all kinds, how they count, what is refused, and both JSON forms there and back."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.base.errors import BadRequest, TooLarge
from gateway.wire import chat


def text(value: str) -> dict[str, Any]:
    return {"MsgType": "TIMTextElem", "MsgContent": {"Text": value}}


def custom(data: str = "", desc: str = "", ext: str = "") -> dict[str, Any]:
    return {"MsgType": "TIMCustomElem", "MsgContent": {"Data": data, "Desc": desc, "Ext": ext}}


SIZES: list[tuple[list[dict[str, Any]], int]] = [
    ([text("hello")], 5),
    ([text("héllo")], 6),
    ([text("你好")], 6),
    ([text("🙂")], 4),
    ([custom("ab", "cd", "ef")], 6),
    ([custom('{"cmd":"CustomTextMsg","data":{}}'), text("x")], 34),
    ([text(""), text("y")], 1),
    ([{"MsgType": "TIMFaceElem", "MsgContent": {"Index": 3, "Data": "[x]"}}], len('{"Index":3,"Data":"[x]"}')),
    ([{"MsgType": "TIMLocationElem", "MsgContent": {"Longitude": 1.5, "Desc": "é"}}], 29),
]


@pytest.mark.parametrize(("body", "size"), SIZES)
def test_a_body_stays_what_it_is_and_counts_as_the_old_sdk_counts(body: list[dict[str, Any]], size: int) -> None:
    read = chat.read_body(body)
    assert read.size == size and read.elements() == body


def test_absent_texts_of_custom_elements_are_empty_and_unknown_fields_go() -> None:
    content = {"Data": "d", "Ext": None, "Sound": "x"}
    body = chat.read_body([{"MsgType": "TIMCustomElem", "MsgContent": content, "more": 1}])
    assert body.elements() == [custom("d")]


def test_a_body_may_have_so_many_bytes_and_no_more() -> None:
    assert chat.read_body([text("x" * 8898)]).size == 8898
    assert chat.read_body([text("x" * 12000)], chat.DIRECT_BYTES).size == 12000
    for body, limit in (
        ([text("x" * 8899)], chat.GROUP_BYTES),
        ([text("é" * 4450)], chat.GROUP_BYTES),
        ([text("x" * 8000), custom("y" * 500, "z" * 399)], chat.GROUP_BYTES),
        ([text("x" * 12001)], chat.DIRECT_BYTES),
        ([{"MsgType": "TIMFileElem", "MsgContent": {"UUID": "x" * 9000}}], chat.GROUP_BYTES),
    ):
        with pytest.raises(TooLarge) as caught:
            chat.read_body(body, limit)
        assert caught.value.code == 1209 and "xxx" not in caught.value.message


def nested(depth: int) -> Any:
    return [] if depth == 0 else [nested(depth - 1)]


@pytest.mark.parametrize(
    "body",
    [
        None,
        "hello",
        {},
        [],
        [text("x")] * 65,
        [None],
        [{}],
        [{"MsgType": "TIMTextElem"}],
        [{"MsgType": "TIMTextElem", "MsgContent": "x"}],
        [{"MsgType": "TIMTextElem", "MsgContent": {}}],
        [{"MsgType": "TIMTextElem", "MsgContent": {"Text": 5}}],
        [{"MsgType": "TIMCustomElem", "MsgContent": {"Data": []}}],
        [{"MsgType": "TIMFaceElem", "MsgContent": {"Index": "1"}}],
        [{"MsgType": "TIMFaceElem", "MsgContent": {"Index": True}}],
        [{"MsgType": "TIMGroupTipElem", "MsgContent": {}}],
        [{"MsgType": ["TIMTextElem"], "MsgContent": {"Text": "x"}}],
        [text("")],
        [custom()],
        [text("\ud800")],
        [{"MsgType": "TIMImageElem", "MsgContent": {"UUID": "\udfff"}}],
        [{"MsgType": "TIMImageElem", "MsgContent": {"\udfff": 1}}],
        [{"MsgType": "TIMImageElem", "MsgContent": {"Size": float("nan")}}],
        [{"MsgType": "TIMImageElem", "MsgContent": {"Size": float("inf")}}],
        [{"MsgType": "TIMImageElem", "MsgContent": {"deep": nested(9)}}],
    ],
)
def test_what_is_no_body_is_refused(body: object) -> None:
    with pytest.raises(BadRequest):
        chat.read_body(body)


def test_a_deep_element_that_just_parses_is_refused_too() -> None:
    frame = '[{"MsgType":"TIMFileElem","MsgContent":{"x":' + "[" * 900 + "]" * 900 + "}}]"
    with pytest.raises(BadRequest):
        chat.read_body(json.loads(frame))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
KINDS = st.sampled_from(
    ["TIMTextElem", "TIMCustomElem", "TIMFaceElem", "TIMImageElem", "TIMLocationElem", "TIMGroupTipElem"]
)
CONTENT = st.dictionaries(st.sampled_from(["Text", "Data", "Desc", "Ext", "Index", "UUID"]), JSON, max_size=4)
ELEMENTS = st.lists(st.fixed_dictionaries({"MsgType": KINDS | JSON, "MsgContent": CONTENT | JSON}), max_size=4)


@given(JSON | ELEMENTS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_body_is_read_or_refused_and_what_is_read_reads_again(value: object) -> None:
    try:
        body = chat.read_body(value)
    except (BadRequest, TooLarge):
        return
    again = chat.read_body(json.loads(body.json))
    assert again == body and 0 < body.size <= chat.GROUP_BYTES


@given(st.dictionaries(st.sampled_from(["cmdId", "data", "after", "before", "count", "random", "epoch", "seq"]), JSON))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_fields_are_read_or_refused(fields: dict[str, Any]) -> None:
    for read in (
        chat.read_custom,
        chat.read_range,
        lambda f: chat.read_random(f.get("random")),
        lambda f: chat.read_position(f.get("epoch"), f.get("seq")),
        chat.read_entry,
    ):
        try:
            read(fields)
        except (BadRequest, TooLarge):
            pass


def test_custom_messages_are_base64_of_a_kilobyte() -> None:
    data = bytes(range(256)) * 4
    assert chat.read_custom({"cmdId": 10, "data": base64.b64encode(data).decode()}) == (10, data)
    assert chat.read_custom({"cmdId": 1, "data": ""}) == (1, b"")
    for fields in ({"cmdId": 0, "data": ""}, {"cmdId": 11, "data": ""}, {"cmdId": 1}, {"cmdId": 1, "data": "é==="}):
        with pytest.raises(BadRequest):
            chat.read_custom(fields)
    for size in (1025, 1026, 5000):
        with pytest.raises(TooLarge):
            chat.read_custom({"cmdId": 1, "data": base64.b64encode(bytes(size)).decode()})


def test_ranges() -> None:
    assert chat.read_range({}) == chat.Range(None, None, 50)
    assert chat.read_range({"after": 0, "before": 9, "count": 100}) == chat.Range(0, 9, 100)
    for fields in ({"after": -1}, {"before": "9"}, {"count": 0}, {"count": 101}, {"after": True}, {"after": 1 << 60}):
        with pytest.raises(BadRequest):
            chat.read_range(fields)


MESSAGE = chat.Message(17, 1546300800123, "bob", "Bob", 123, chat.read_body([text('he said "hi" \u2028 é')]))


def test_a_message_in_both_forms() -> None:
    body = [text('he said "hi" \u2028 é')]
    assert json.loads(chat.message_json(MESSAGE)) == {
        "t": "message",
        "seq": 17,
        "time": 1546300800123,
        "from": "bob",
        "nick": "Bob",
        "random": 123,
        "body": body,
    }
    entry = json.loads(chat.entry_json(MESSAGE, "1001"))
    assert entry == {
        "Event": 3,
        "From_Account": "bob",
        "ToGroupId": "1001",
        "MsgSeq": 17,
        "MsgRandom": 123,
        "MsgTimeStamp": 1546300800,
        "MsgTime": 1546300800123,
        "MsgPriority": "COMMON",
        "IsPlaceMsg": 0,
        "GroupInfo": {"GroupName": "1001", "From_AccountNick": "Bob", "To_Account": "1001"},
        "MsgBody": body,
    }
    assert chat.read_entry(entry) == MESSAGE
    nameless = chat.Message(1, 1000, "bob", "", 0, chat.read_body(body))
    assert chat.read_entry(json.loads(chat.entry_json(nameless, "1001"))) == nameless


def test_frames_with_several_messages() -> None:
    backlog = chat.Backlog(5, 18, 17, (MESSAGE,))
    told = json.loads(chat.backlog_json(backlog, {"re": 1, "ok": True}))
    assert told == {
        "re": 1,
        "ok": True,
        "epoch": 5,
        "seq": 18,
        "first": 17,
        "messages": [json.loads(chat.message_json(MESSAGE))],
    }
    assert json.loads(chat.entries_json(chat.Backlog(5, 0, 1, ()), "1001", {"re": 1}))["messages"] == []
    frame = json.loads(chat.message_frame(5, [chat.entry_json(MESSAGE, "1001")] * 2))
    assert frame["cmd"] == "message" and frame["epoch"] == 5 and len(frame["messages"]) == 2


def test_direct_and_custom_messages() -> None:
    direct = chat.Direct(9, 1546300800123, "bob", "Bob", "alice", 4, chat.read_body([text("psst")]))
    assert json.loads(chat.direct_json(direct)) == {
        "t": "c2c",
        "seq": 9,
        "time": 1546300800123,
        "from": "bob",
        "nick": "Bob",
        "to": "alice",
        "random": 4,
        "body": [text("psst")],
    }
    assert json.loads(chat.direct_frame(direct)) == {
        "cmd": "c2c",
        "messages": [
            {
                "From_Account": "bob",
                "To_Account": "alice",
                "MsgTimeStamp": 1546300800,
                "MsgSeq": 9,
                "MsgRandom": 4,
                "MsgBody": [text("psst")],
            }
        ],
    }
    assert json.loads(chat.custom_frame(chat.Custom("bob", 1, 4, b"\0\1\2"))) == {
        "cmd": "custom",
        "from": "bob",
        "cmdId": 1,
        "seq": 4,
        "data": "AAEC",
    }
