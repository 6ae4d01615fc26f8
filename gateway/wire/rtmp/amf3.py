"""AMF3, read only: Flash-era encoders switch to it inside AMF0 (marker 0x11) and in messages 15 and 17.

Adobe "AMF3 Format Specification", 2013. Values become the same Python types as in amf0; byte arrays, vectors,
dictionaries and references to objects become None. Strings and traits are shared by reference on the wire, so their
total is budgeted: a short message cannot name a long text a thousand times.
"""

from __future__ import annotations

import struct
from typing import Final

from gateway.base.errors import RtmpError

MAX_DEPTH: Final = 16
MAX_VALUES: Final = 4096
TEXT_BUDGET: Final = 1 << 20
"""Characters that one message may give in all, references counted each time."""


class Reader:
    """Reads AMF3 values of one message; the reference tables last as long as it does."""

    __slots__ = ("_budget", "_count", "_data", "_position", "_strings", "_traits")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._count = 0
        self._budget = TEXT_BUDGET
        self._strings: list[str] = []
        self._traits: list[tuple[bool, bool, list[str]]] = []

    def read(self, position: int) -> tuple[object, int]:
        """Return the value at `position` and the position behind it. Raises RtmpError."""
        self._position = position
        return self._value(0), self._position

    def _take(self, size: int) -> bytes:
        start = self._position
        if start + size > len(self._data):
            raise RtmpError(f"AMF3: {size} bytes wanted at {start}, {len(self._data) - start} left")
        self._position = start + size
        return self._data[start : start + size]

    def _u29(self) -> int:
        number = 0
        for _ in range(3):
            byte = self._take(1)[0]
            number = number << 7 | byte & 0x7F
            if byte < 0x80:
                return number
        return number << 8 | self._take(1)[0]

    def _text(self) -> str:
        header = self._u29()
        if header & 1:
            text = self._take(header >> 1).decode("utf-8", "replace")
            if text:
                self._strings.append(text)
        else:
            if header >> 1 >= len(self._strings):
                raise RtmpError(f"AMF3: no string {header >> 1}")
            text = self._strings[header >> 1]
        self._budget -= len(text)
        if self._budget < 0:
            raise RtmpError(f"AMF3: more than {TEXT_BUDGET} characters of text")
        return text

    def _value(self, depth: int) -> object:
        if depth > MAX_DEPTH:
            raise RtmpError(f"AMF3: nested deeper than {MAX_DEPTH}")
        self._count += 1
        if self._count > MAX_VALUES:
            raise RtmpError(f"AMF3: more than {MAX_VALUES} values")
        marker = self._take(1)[0]
        match marker:
            case 0x00 | 0x01:
                return None
            case 0x02:
                return False
            case 0x03:
                return True
            case 0x04:
                number = self._u29()
                return float(number - (1 << 29) if number >= 1 << 28 else number)
            case 0x05:
                return float(struct.unpack(">d", self._take(8))[0])
            case 0x06:
                return self._text()
            case 0x07 | 0x0B | 0x0C:  # XML document, XML, byte array
                header = self._u29()
                if header & 1:
                    self._take(header >> 1)
                return None
            case 0x08:  # date
                if self._u29() & 1:
                    return float(struct.unpack(">d", self._take(8))[0])
                return None
            case 0x09:
                return self._array(depth)
            case 0x0A:
                return self._object(depth)
            case 0x0D | 0x0E | 0x0F:  # vectors of int, uint, double
                header = self._u29()
                if header & 1:
                    self._take(1 + (header >> 1) * (8 if marker == 0x0F else 4))
                return None
            case _:
                raise RtmpError(f"AMF3: marker 0x{marker:02x} is not supported")

    def _pairs(self, into: dict[str, object], depth: int) -> None:
        while name := self._text():
            into[name] = self._value(depth + 1)

    def _array(self, depth: int) -> object:
        header = self._u29()
        if not header & 1:
            return None
        named: dict[str, object] = {}
        self._pairs(named, depth)
        size = header >> 1
        if size > len(self._data) - self._position:
            raise RtmpError(f"AMF3: array of {size} values in {len(self._data)} bytes")
        dense = [self._value(depth + 1) for _ in range(size)]
        if not named:
            return dense
        named.update((str(index), value) for index, value in enumerate(dense))
        return named

    def _object(self, depth: int) -> object:
        header = self._u29()
        if not header & 1:
            return None
        if not header & 2:
            if header >> 2 >= len(self._traits):
                raise RtmpError(f"AMF3: no traits {header >> 2}")
            external, dynamic, names = self._traits[header >> 2]
        else:
            self._text()  # class name
            external, dynamic = bool(header & 4), bool(header & 8)
            size = 0 if external else header >> 4
            if size > len(self._data) - self._position:
                raise RtmpError(f"AMF3: {size} members in {len(self._data)} bytes")
            names = [self._text() for _ in range(size)]
            self._traits.append((external, dynamic, names))
        if external:
            return self._value(depth + 1)  # ArrayCollection and its like wrap one value
        members: dict[str, object] = {}
        for name in names:
            members[name] = self._value(depth + 1)
        if dynamic:
            self._pairs(members, depth)
        return members
