"""AMF0 and AMF3: tables read both ways, tolerance, limits, and noise."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import RtmpError
from gateway.wire.rtmp import amf0, amf3

BOTH_WAYS = [
    ("number", "00 3ff0000000000000", [1.0]),
    ("boolean", "01 01 01 00", [True, False]),
    ("string", "02 0004 6c697665", ["live"]),
    ("empty string", "02 0000", [""]),
    ("null", "05", [None]),
    ("object", "03 0003 617070 02 0004 6c697665 0000 09", [{"app": "live"}]),
    ("ecma array", "08 00000001 0001 61 01 01 0000 09", [amf0.EcmaArray(a=True)]),
    ("strict array", "0a 00000002 05 02 0001 78", [[None, "x"]]),
    ("date", "0b 4270000000000000 0000", [amf0.Date(2.0**40)]),
    ("nested", "03 0001 61 03 0001 62 05 0000 09 0000 09", [{"a": {"b": None}}]),
]

ONE_WAY = [
    ("undefined", "06", [None]),
    ("unsupported", "0d", [None]),
    ("reference", "07 0001", [None]),
    ("long string", "0c 00000002 6869", ["hi"]),
    ("xml", "0f 00000003 3c612f", ["<a/"]),
    ("typed object", "10 0001 43 0001 61 05 0000 09", [{"a": None}]),
    ("ecma array whose count lies", "08 0000ffff 0001 61 05 0000 09", [{"a": None}]),
    ("empty key inside", "03 0000 05 0000 09", [{"": None}]),
    ("bad utf-8", "02 0001 ff", ["\ufffd"]),
    ("amf3 inside", "11 06 07 616263 05", ["abc", None]),
]


@pytest.mark.parametrize(("name", "text", "values"), BOTH_WAYS, ids=[row[0] for row in BOTH_WAYS])
def test_read_and_write(name: str, text: str, values: list[object]) -> None:
    data = bytes.fromhex(text)
    read = amf0.decode(data)
    assert read == values
    assert [type(value) for value in read] == [type(value) for value in values]
    assert amf0.encode(*values) == data


@pytest.mark.parametrize(("name", "text", "values"), ONE_WAY, ids=[row[0] for row in ONE_WAY])
def test_read_only(name: str, text: str, values: list[object]) -> None:
    assert amf0.decode(bytes.fromhex(text)) == values


def test_long_text_takes_the_long_form() -> None:
    text = "x" * 70000
    data = amf0.encode(text)
    assert data[0] == 0x0C
    assert amf0.decode(data) == [text]


def test_what_cannot_be_carried_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="bytes"):
        amf0.encode(b"raw")


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x3f",
        b"\x02\x00\x05ab",
        b"\x03\x00\x01a",
        b"\x0a\xff\xff\xff\xff",
        b"\x42",
        b"\x11",
        b"\x03\x00\x01a" * 40,
        b"\x0a\x00\x00\x00\x01" * 40 + b"\x05",
        b"\x05" * 5000,
        b"\x11\x12",
    ],
)
def test_damage_is_an_rtmp_error(data: bytes) -> None:
    with pytest.raises(RtmpError):
        amf0.decode(data)


AMF3 = [
    ("integer", "04 83 00", 384.0),
    ("negative integer", "04 ffffffff", -1.0),
    ("largest", "04 bfffffff", float(2**28 - 1)),
    ("double", "05 3ff8000000000000", 1.5),
    ("string", "06 05 6162", "ab"),
    ("true", "03", True),
    ("array", "09 05 01 06 05 6162 06 00", ["ab", "ab"]),
    ("array with names", "09 03 03 6b 03 01 02", {"k": True, "0": False}),
    ("object", "0a 0b 01 03 61 04 07 01", {"a": 7.0}),
    ("sealed object", "0a 13 03 43 03 78 04 05", {"x": 5.0}),
    ("byte array", "0c 05 6162", None),
    ("date", "08 01 4270000000000000", 2.0**40),
]


@pytest.mark.parametrize(("name", "text", "value"), AMF3, ids=[row[0] for row in AMF3])
def test_amf3(name: str, text: str, value: object) -> None:
    data = bytes.fromhex(text)
    assert amf3.Reader(data).read(0) == (value, len(data))


def test_amf3_text_by_reference_has_a_budget() -> None:
    text = b"\x06\x83\x41" + b"x" * 224  # 224 bytes, then as often as the message allows by reference
    data = text + b"\x06\x00" * 10
    reader = amf3.Reader(data)
    position = 0
    values = []
    while position < len(data):
        value, position = reader.read(position)
        values.append(value)
    assert values == ["x" * 224] * 11
    big = b"\x06" + _u29(60000 << 1 | 1) + b"y" * 60000 + b"\x06\x00" * 30
    reader, position = amf3.Reader(big), 0
    with pytest.raises(RtmpError, match="characters"):
        while position < len(big):
            _, position = reader.read(position)


def _u29(value: int) -> bytes:
    if value < 1 << 7:
        return bytes((value,))
    if value < 1 << 14:
        return bytes((value >> 7 | 0x80, value & 0x7F))
    if value < 1 << 21:
        return bytes((value >> 14 | 0x80, value >> 7 & 0x7F | 0x80, value & 0x7F))
    return bytes((value >> 22 | 0x80, value >> 15 & 0x7F | 0x80, value >> 8 & 0x7F | 0x80, value & 0xFF))


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, max_size=4))
def test_what_is_written_is_read(values: list[object]) -> None:
    assert amf0.decode(amf0.encode(*values)) == values


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_noise_gives_a_value_or_an_rtmp_error(data: bytes) -> None:
    for start in (b"", b"\x03\x00\x01a", b"\x11\x0a", b"\x11\x09"):
        try:
            values = amf0.decode(start + data)
        except RtmpError:
            continue
        again = amf0.encode(*values)  # what parses serializes again
        assert amf0.encode(*amf0.decode(again)) == again


def test_mutated_commands_give_a_value_or_an_rtmp_error() -> None:
    rng = random.Random(1)
    good = amf0.encode("connect", 1, {"app": "live", "caps": [1, 2, {"x": None}], "e": amf0.EcmaArray(a=1.0)}, "x")
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            amf0.decode(bytes(data[: rng.randint(0, len(data))]))
        except RtmpError:
            pass


def test_numbers_are_doubles() -> None:
    assert amf0.encode(3) == b"\0" + struct.pack(">d", 3.0)
