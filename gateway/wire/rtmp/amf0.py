"""AMF0, the value format of RTMP commands and metadata (Adobe "AMF0 Format Specification", 2007).

    number float | boolean bool | string, long string, XML str | null, undefined, reference, unsupported None
    object, typed object dict | ECMA array EcmaArray | strict array list | date Date

Invariant: for any input `decode` gives values or raises RtmpError, in time and memory proportional to the input.
References are read as None: no peer that was seen uses them, and following them lets 60 kB name gigabytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from gateway.base.errors import RtmpError
from gateway.wire.rtmp import amf3

MAX_DEPTH: Final = 16
MAX_VALUES: Final = 4096

_double = struct.Struct(">d")
_u16 = struct.Struct(">H")
_u32 = struct.Struct(">I")


class EcmaArray(dict[str, object]):
    """A dict that is written as an ECMA array; FFmpeg wants onMetaData in that form."""


@dataclass(frozen=True, slots=True)
class Date:
    """`ms` since 1970-01-01 UTC; `zone` in minutes, which writers should leave 0."""

    ms: float
    zone: int = 0


def decode(data: bytes, offset: int = 0) -> list[object]:
    """Return all values from `offset` on. Raises RtmpError."""
    reader = _Reader(data, offset)
    values: list[object] = []
    while reader.position < len(data):
        values.append(reader.value(0))
    return values


def encode(*values: object) -> bytes:
    """Return the values one after the other. Raises ValueError for what AMF0 cannot carry."""
    out = bytearray()
    for value in values:
        _write(out, value, 0)
    return bytes(out)


class _Reader:
    __slots__ = ("_amf3", "_count", "_data", "position")

    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self.position = offset
        self._count = 0
        self._amf3: amf3.Reader | None = None

    def _take(self, size: int) -> bytes:
        start = self.position
        end = start + size
        if end > len(self._data):
            raise RtmpError(f"AMF0: {size} bytes wanted at {start}, {len(self._data) - start} left")
        self.position = end
        return self._data[start:end]

    def _text(self, size: int) -> str:
        return self._take(size).decode("utf-8", "replace")

    def _short_text(self) -> str:
        return self._text(int.from_bytes(self._take(2), "big"))

    def _long_text(self) -> str:
        return self._text(int.from_bytes(self._take(4), "big"))

    def value(self, depth: int) -> object:
        if depth > MAX_DEPTH:
            raise RtmpError(f"AMF0: nested deeper than {MAX_DEPTH}")
        self._count += 1
        if self._count > MAX_VALUES:
            raise RtmpError(f"AMF0: more than {MAX_VALUES} values")
        marker = self._take(1)[0]
        match marker:
            case 0x00:
                number: float = _double.unpack(self._take(8))[0]
                return number
            case 0x01:
                return self._take(1)[0] != 0
            case 0x02:
                return self._short_text()
            case 0x03:
                return self._pairs({}, depth)
            case 0x05 | 0x06 | 0x0D:
                return None
            case 0x07:
                self._take(2)
                return None
            case 0x08:
                self._take(4)  # a count that is only a hint, often 0 or wrong
                return self._pairs(EcmaArray(), depth)
            case 0x0A:
                size = int.from_bytes(self._take(4), "big")
                if size > len(self._data) - self.position:
                    raise RtmpError(f"AMF0: strict array of {size} values in {len(self._data)} bytes")
                return [self.value(depth + 1) for _ in range(size)]
            case 0x0B:
                ms, zone = struct.unpack(">dh", self._take(10))
                return Date(ms, zone)
            case 0x0C | 0x0F:
                return self._long_text()
            case 0x10:
                self._short_text()  # the class name says nothing to us
                return self._pairs({}, depth)
            case 0x11:
                if self._amf3 is None:
                    self._amf3 = amf3.Reader(self._data)
                value, self.position = self._amf3.read(self.position)
                return value
            case _:
                raise RtmpError(f"AMF0: unknown marker 0x{marker:02x} at {self.position - 1}")

    def _pairs(self, into: dict[str, object], depth: int) -> dict[str, object]:
        data = self._data
        while True:
            key = self._short_text()
            if not key and self.position < len(data) and data[self.position] == 0x09:
                self.position += 1
                return into
            into[key] = self.value(depth + 1)


def _write(out: bytearray, value: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"AMF0: nested deeper than {MAX_DEPTH}")
    match value:
        case None:
            out.append(0x05)
        case bool():
            out += b"\x01\x01" if value else b"\x01\x00"
        case int() | float():
            out.append(0x00)
            out += _double.pack(value)
        case str():
            data = value.encode("utf-8", "replace")
            if len(data) <= 0xFFFF:
                out.append(0x02)
                out += _u16.pack(len(data))
            else:
                out.append(0x0C)
                out += _u32.pack(len(data))
            out += data
        case EcmaArray():
            out.append(0x08)
            out += _u32.pack(len(value))
            _write_pairs(out, value, depth)
        case dict():
            out.append(0x03)
            _write_pairs(out, value, depth)
        case list() | tuple():
            out.append(0x0A)
            out += _u32.pack(len(value))
            for item in value:
                _write(out, item, depth + 1)
        case Date():
            out.append(0x0B)
            out += struct.pack(">dh", value.ms, value.zone)
        case _:
            raise ValueError(f"AMF0 cannot carry {type(value).__name__}")


def _write_pairs(out: bytearray, pairs: dict[str, object], depth: int) -> None:
    for key, value in pairs.items():
        name = key.encode("utf-8", "replace")[:0xFFFF]
        out += _u16.pack(len(name))
        out += name
        _write(out, value, depth + 1)
    out += b"\x00\x00\x09"
