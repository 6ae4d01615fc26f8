"""Who asks, and which group a request is about: what every command of the old IM reads first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from gateway.base.errors import BadRequest
from gateway.endpoints.im.sessions import Session
from gateway.rooms.room import RoomKey

ADMINS: Final = frozenset({"administrator", "admin"})
"""Users whose userSig, sent with each call instead of a login's `a2`, speaks for the operator's own servers."""


@dataclasses.dataclass(frozen=True, slots=True)
class Who:
    """The user whose a2 or userSig has been verified; `session` is its login, None with a userSig."""

    app: int
    user_id: str
    session: Session | None = None

    @property
    def is_admin(self) -> bool:
        return self.session is None and self.user_id in ADMINS


def app_number(text: str) -> int | None:
    """Read `sdkappid` of the query; None for "". Raises BadRequest."""
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 10:
        raise BadRequest("sdkappid: a number is needed")
    return int(text)


def group_key(who: Who, body: Mapping[str, Any]) -> RoomKey:
    """Return the group that `GroupId` names (a text, or a number as some pages send it). Raises BadRequest."""
    value = body.get("GroupId")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadRequest("GroupId: a text is needed")
    return RoomKey.parse(who.app, value)
