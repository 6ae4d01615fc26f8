"""The envelope that userSig and privateMapKey share: JSON, zlib, base64 with three characters replaced.

Sources: docs/tickets.md 1 and 3. Invariant: `unpack` gives a dict or raises BadTicket, whatever
the input, within fixed bounds of memory; nothing here has checked a signature yet.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Mapping
from typing import Final

from gateway.base.errors import BadTicket

# sig-cpp numbers; 11 (appid_at_3rd) and 12 (account_type) exist there and are never used.
EMPTY, BAD_BASE64, BAD_ZLIB, BAD_JSON, NOT_AN_OBJECT, BAD_INNER_BASE64 = 1, 2, 3, 4, 5, 6
MISSING, MISMATCH, EXPIRED, BAD_VALUE, WRONG_USER, WRONG_APP, BAD_USERBUF, INTERNAL = 7, 8, 9, 10, 13, 14, 15, 16

MAX_TOKEN: Final = 8192
"""Characters. Real tokens have 300 to 700."""
MAX_JSON: Final = 16384
"""Bytes after inflating; more is a zlib bomb."""
MAX_NUMBER: Final = (1 << 63) - 1

_TO_URL: Final = str.maketrans("+/=", "*-_")
_FROM_URL: Final = str.maketrans("*-_", "+/=")
_ALPHABET: Final = re.compile(r"[A-Za-z0-9*-]+_{0,2}")
_DECIMAL: Final = re.compile(r"[0-9]{1,19}")


def pack(fields: Mapping[str, object], level: int = -1) -> str:
    """Return the token of `fields`. `level` is zlib's, 0 (stored) to 9, -1 its default."""
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(zlib.compress(text.encode("utf-8"), level)).decode("ascii").translate(_TO_URL)


def unpack(token: object) -> dict[str, object]:
    """Return the JSON object inside `token`. Raises BadTicket (codes 1-5).

    White space in the token is ignored (line breaks of copied text). Any zlib level is accepted. Duplicate keys, NaN
    and numbers of more than 19 digits are refused: two readers might not read them alike.
    """
    if token is None or token == "":
        raise BadTicket("the ticket is empty", code=EMPTY)
    if not isinstance(token, str):
        raise BadTicket("the ticket is not a text", code=BAD_BASE64)
    if len(token) > MAX_TOKEN:
        raise BadTicket(f"the ticket has {len(token)} characters, limit {MAX_TOKEN}", code=BAD_BASE64)
    compact = strip_space(token)
    if not compact:
        raise BadTicket("the ticket is empty", code=EMPTY)
    if not _ALPHABET.fullmatch(compact):
        raise BadTicket("the ticket has characters that do not belong in one", code=BAD_BASE64)
    try:
        packed = base64.b64decode(compact.translate(_FROM_URL), validate=True)
    except binascii.Error:
        raise BadTicket("the ticket is not base64 (cut off?)", code=BAD_BASE64) from None
    return _parse(_inflate(packed))


def _inflate(packed: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(packed, MAX_JSON + 1)
    except zlib.error:
        raise BadTicket("the ticket does not inflate", code=BAD_ZLIB) from None
    if len(data) > MAX_JSON:
        raise BadTicket(f"the ticket inflates to more than {MAX_JSON} bytes", code=BAD_ZLIB)
    if not inflater.eof:
        raise BadTicket("the ticket is cut off inside its zlib data", code=BAD_ZLIB)
    return data


def _parse(data: bytes) -> dict[str, object]:
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise BadTicket("the ticket's JSON cannot be read", code=BAD_JSON) from None
    if not isinstance(value, dict):
        raise BadTicket("the ticket's JSON is not an object", code=NOT_AN_OBJECT)
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("duplicate key")
    return fields


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError("number too long")
    return int(text)


def _no_constant(name: str) -> object:
    raise ValueError(name)


def strip_space(text: str) -> str:
    """Return `text` without any white space (base64 may be broken into lines)."""
    return "".join(text.split())


def text_of(fields: Mapping[str, object], name: str) -> str:
    """Return a field as it stands in the JSON; JSON integers count as their decimal text.

    Raises BadTicket (7 absent, 10 neither text nor integer).
    """
    value = fields.get(name)
    if value is None:
        raise BadTicket(f"the ticket has no {name}", code=MISSING)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise BadTicket(f"{name} is not a text", code=BAD_VALUE)
    return value


def text_field(fields: Mapping[str, object], name: str) -> str:
    """As `text_of`, for a line of the sign string. Raises BadTicket (7, 10).

    Line breaks and other control characters are refused: they would make the sign string readable in two ways.
    """
    value = text_of(fields, name)
    if not value.isprintable():
        raise BadTicket(f"{name} has control characters", code=BAD_VALUE)
    return value


def number(text: str, name: str) -> int:
    """Return the decimal number in `text` (spaces around it allowed), 0..2^63-1. Raises BadTicket (10)."""
    digits = text.strip(" ")
    if not _DECIMAL.fullmatch(digits) or int(digits) > MAX_NUMBER:
        raise BadTicket(f"{name} is not a number", code=BAD_VALUE)
    return int(digits)


def base64_field(text: str, name: str, code: int) -> bytes:
    """Return the bytes of standard base64 `text`; white space inside is ignored. Raises BadTicket with `code`."""
    try:
        return base64.b64decode(strip_space(text).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise BadTicket(f"{name} is not base64", code=code) from None


def claimed_app(token: object) -> int:
    """Return the sdkAppID that `token` (either kind, either version) names, unverified. Raises BadTicket.

    Only good for choosing the keys to verify with.
    """
    fields = unpack(token)
    name = "TLS.sdkappid" if fields.get("TLS.ver") == "2.0" else "TLS.sdk_appid"
    return number(text_field(fields, name), name)
