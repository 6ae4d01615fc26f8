"""Signed stream URLs: `?txSecret=…&txTime=…`, and the grant that member URLs carry besides.

    txTime   = hexadecimal end time, unix seconds
    txSecret = md5(key + stream + txTime), the texts as they stand in the URL      (docs/tickets.md 4)
    t        = base64url(HMAC-SHA256(key, stream, u, p, txTime)), u the viewer, p its rights   (docs/tickets.md 4)

MD5 of a plain concatenation lets characters move between stream and txTime, so both have a fixed form: txTime is
exactly 8 digits. And a grant in extra parameters could be stripped by its holder. So the txTime of a member's URL is
written in mixed case (`6740A1b2`), which no business server does, and txSecret covers that spelling: a mixed-case
txTime without its grant is refused.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from typing import Final, Literal

from gateway.base.errors import BadTicket
from gateway.rooms import privileges as rights
from gateway.rooms.privileges import Privilege
from gateway.rooms.tickets import token
from gateway.rooms.tickets.keys import AppKeys

KeyName = Literal["push", "rtcplay", "play"]
PUBLISH: Final[frozenset[KeyName]] = frozenset({"push"})
PLAY: Final[frozenset[KeyName]] = frozenset({"push", "rtcplay", "play"})

_TX_TIME: Final = re.compile(r"[0-9A-Fa-f]{8}")
_TX_SECRET: Final = re.compile(r"[0-9A-Fa-f]{32}")
_STREAM: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_USER: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_BITS: Final = re.compile(r"[0-9]{1,3}")
_GRANT: Final = re.compile(r"[A-Za-z0-9_-]{43}=?")


_LETTER: Final = re.compile(r"[A-F]")
_MEMBER_SLACK_S: Final = 0xAF
"""At most so far ahead lies the next number with two letters among its hexadecimal digits (..AA at the latest)."""


@dataclasses.dataclass(frozen=True, slots=True)
class UrlGrant:
    """A verified URL. Without `user_id` a business server signed it and it plays (or publishes) everything."""

    key_name: KeyName
    user_id: str | None
    privileges: Privilege | None
    expires: int


def is_stream_name(stream: str) -> bool:
    return _STREAM.fullmatch(stream) is not None


def tx_time(wall: float) -> str:
    """Return `wall` as business servers write it: 8 upper-case hex digits. Raises ValueError outside 1978..2106."""
    text = f"{int(wall):X}"
    if len(text) != 8:
        raise ValueError(f"{wall} cannot be written as a txTime")
    return text


def tx_secret(key: str, stream: str, time_text: str) -> str:
    """Return the lower-case hex MD5 of the concatenation. Raises ValueError for an empty key."""
    if not key:
        raise ValueError("a URL cannot be signed with an empty key")
    return hashlib.md5(f"{key}{stream}{time_text}".encode(), usedforsecurity=False).hexdigest()


def mint(app: AppKeys, key_name: KeyName, stream: str, expires_wall: float) -> str:
    """Return the query `txSecret=…&txTime=…` as a business server makes it. Raises ValueError."""
    _check_stream(stream)
    time_text = tx_time(expires_wall)
    return f"txSecret={tx_secret(_key(app, key_name), stream, time_text)}&txTime={time_text}"


def mint_grant(
    app: AppKeys, key_name: KeyName, stream: str, user_id: str, privileges: Privilege, expires_wall: float
) -> str:
    """Return the whole query of a URL for one member: `txSecret=…&txTime=…&u=…&p=…&t=…`. Raises ValueError.

    Valid until `expires_wall`, or some seconds longer: txTime needs two letters to be of mixed case.
    """
    _check_stream(stream)
    if not _USER.fullmatch(user_id):
        raise ValueError("not a user id")
    key = _key(app, key_name)
    time_text = _member_time(expires_wall)
    bits = str(int(privileges))
    return (
        f"txSecret={tx_secret(key, stream, time_text)}&txTime={time_text}"
        f"&u={user_id}&p={bits}&t={_grant_tag(key, stream, user_id, bits, time_text)}"
    )


def verify(
    app: AppKeys,
    stream: str,
    query: Mapping[str, str],
    now_wall: float,
    accept: Collection[str],
    max_lifetime_s: float,
) -> UrlGrant:
    """Check the query of a URL of `stream` against those keys of `app` that `accept` names.

    `query` holds txSecret (or txSerect, a misspelling in circulation), txTime, and u, p, t if it is a member's; other
    names are ignored. Valid while now <= txTime <= now + max_lifetime_s. Raises BadTicket (7 missing, 8 mismatch,
    9 expired, 10 malformed).
    """
    if not isinstance(stream, str) or not _STREAM.fullmatch(stream):
        raise BadTicket("the stream name must be 1 to 128 letters, digits, '_' or '-'", code=token.BAD_VALUE)
    time_text = _field(query, _TX_TIME, "txTime")
    secret = _field(query, _TX_SECRET, "txSecret", "txSerect").lower()
    key_name, key = _matching_key(app, stream, time_text, secret, accept)
    expires = int(time_text, 16)
    if expires < int(now_wall):
        raise BadTicket(f"the URL expired {int(now_wall) - expires} s ago", code=token.EXPIRED)
    if expires > now_wall + max_lifetime_s + (_MEMBER_SLACK_S if _is_mixed_case(time_text) else 0):
        raise BadTicket("the URL's txTime lies too far ahead", code=token.BAD_VALUE)
    if any(query.get(name) for name in ("u", "p", "t")):
        user_id, bits = _field(query, _USER, "u"), _field(query, _BITS, "p")
        tag = _field(query, _GRANT, "t").rstrip("=")
        if not hmac.compare_digest(tag, _grant_tag(key, stream, user_id, bits, time_text)):
            raise BadTicket("the member's grant (u, p, t) does not belong to this URL", code=token.MISMATCH)
        return UrlGrant(key_name, user_id, rights.from_bits(int(bits)), expires)
    if _is_mixed_case(time_text):
        raise BadTicket("the URL was issued to a member and lacks its grant (u, p, t)", code=token.MISSING)
    return UrlGrant(key_name, None, None, expires)


def _matching_key(
    app: AppKeys, stream: str, time_text: str, secret: str, accept: Collection[str]
) -> tuple[KeyName, str]:
    """Compare with every key, whatever matches first, so that the time taken tells nothing."""
    matches: list[tuple[KeyName, str]] = []
    candidates: tuple[tuple[KeyName, str], ...] = (
        ("push", app.push_key),
        ("rtcplay", app.rtcplay_key),
        ("play", app.play_key),
    )
    for name, key in candidates:
        # An absent key must cost the same and match nothing: anybody can hash with the empty one.
        same = hmac.compare_digest(secret, tx_secret(key or "-", stream, time_text))
        if same and key:
            matches.append((name, key))
    for name, key in matches:
        if name in accept:
            return name, key
    if matches:
        raise BadTicket(
            f"the URL is signed with the {matches[0][0]} key; needed here: {', '.join(sorted(accept))}",
            code=token.MISMATCH,
        )
    raise BadTicket("txSecret does not belong to this stream and txTime", code=token.MISMATCH)


def _field(query: Mapping[str, str], form: re.Pattern[str], *names: str) -> str:
    value = next((query[name] for name in names if query.get(name)), None)
    if value is None:
        raise BadTicket(f"the URL has no {names[0]}", code=token.MISSING)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise BadTicket(f"{names[0]} is malformed", code=token.BAD_VALUE)
    return value


def _grant_tag(key: str, stream: str, user_id: str, bits: str, time_text: str) -> str:
    """None of the parts can hold a line feed, so joining by it is unambiguous."""
    message = "\n".join((stream, user_id, bits, time_text)).encode("ascii")
    digest = hmac.new(key.encode("utf-8"), message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def _member_time(wall: float) -> str:
    """Return the first txTime from `wall` on that has two letters, its last letter in lower case."""
    for seconds in range(int(wall), int(wall) + _MEMBER_SLACK_S + 1):
        text = tx_time(seconds)
        letters = [match.start() for match in _LETTER.finditer(text)]
        if len(letters) > 1:
            return text[: letters[-1]] + text[letters[-1]].lower() + text[letters[-1] + 1 :]
    raise ValueError(f"{wall} cannot be written as a txTime")


def _is_mixed_case(text: str) -> bool:
    return text != text.upper() and text != text.lower()


def _key(app: AppKeys, key_name: KeyName) -> str:
    key = {"push": app.push_key, "rtcplay": app.rtcplay_key, "play": app.play_key}[key_name]
    if not key:
        raise ValueError(f"app {app.sdk_app_id} has no {key_name} key")
    return key


def _check_stream(stream: str) -> None:
    if not _STREAM.fullmatch(stream):
        raise ValueError("not a stream name")
