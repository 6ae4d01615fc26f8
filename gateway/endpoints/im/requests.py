"""Who asks, and what a request says: what every command of the old IM reads first. All raise BadRequest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from gateway.base.errors import BadRequest
from gateway.endpoints.im.sessions import Session
from gateway.rooms.room import RoomKey
from gateway.wire import chat


@dataclasses.dataclass(frozen=True, slots=True)
class Who:
    """The user whose a2 or userSig has been verified; `session` is its login, None with a userSig.

    `user_id` "" is whoever has not logged in at all.
    """

    app: int
    user_id: str
    session: Session | None = None
    guest: bool = False
    """The userSig of this request was given to a guest."""
    is_admin: bool = False
    """An administrator's userSig came with the call, in the place of a login's `a2`: the operator's own server asks."""

    @property
    def is_guest(self) -> bool:
        """Whether what proves the name was given to a guest: this userSig, or the one that has logged in."""
        return self.guest if self.session is None else self.session.guest


def app_number(text: str) -> int | None:
    """Read `sdkappid` of the query; None for ""."""
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 10:
        raise BadRequest("sdkappid: a number is needed")
    return int(text)


def group_key(who: Who, body: Mapping[str, Any]) -> RoomKey:
    """Return the group that `GroupId` names (a text, or a number as some pages send it)."""
    value = body.get("GroupId")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadRequest("GroupId: a text is needed")
    return RoomKey.parse(who.app, value)


def number(body: Mapping[str, Any], name: str, high: int, default: int | None = None) -> int:
    """Return a whole number of 0 to `high`, which may be written as a text; `default` if there is none."""
    value = body.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= high:
        raise BadRequest(f"{name}: a whole number of 0 to {high} is needed")
    return value


def text(body: Mapping[str, Any], name: str, limit: int) -> str:
    """Return a text of at most `limit` bytes, "" if there is none."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not chat.is_sound(value) or len(value.encode()) > limit:
        raise BadRequest(f"{name}: a text of at most {limit} bytes is needed")
    return value


def texts(body: Mapping[str, Any], name: str, limit: int) -> list[str]:
    """Return a list of at most `limit` texts."""
    value = body.get(name)
    if not isinstance(value, list) or len(value) > limit or not all(isinstance(item, str) for item in value):
        raise BadRequest(f"{name}: a list of at most {limit} texts is needed")
    return value
