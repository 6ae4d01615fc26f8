"""Moderating a room: the one request, and what everybody in the room is told of it.

{"id": 9, "t": "moderate", "act": "mute", "userId": "bob", "audio": true, "words": true, "seconds": 60}
{"id": 10, "t": "moderate", "act": "mute", "audio": true}                        everybody but moderators
{"id": 11, "t": "moderate", "act": "kick" | "ban" | "unban", "userId": "bob"}    ban: seconds?, reason?
{"id": 12, "t": "moderate", "act": "dismiss"}

{"t": "moderation", "userId": "bob", "audio": true, "video": false, "words": true, "endsMs": {"words": 59000},
 "by": "alice"}
{"t": "moderation", "audio": true, "video": false, "words": false, "by": "alice"}
{"t": "rights", "privileges": 10}
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

from gateway.base.errors import BadRequest

MAX_SECONDS: Final = 0xFFFFFFFF
MAX_REASON: Final = 1000

Act = Literal["kick", "ban", "unban", "mute", "dismiss"]
MediumName = Literal["audio", "video", "words"]
_USER: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclasses.dataclass(frozen=True, slots=True)
class Moderate:
    """`user_id` "" is everybody (`mute`), or the room itself (`dismiss`). `seconds` None: without an end."""

    act: Act
    user_id: str = ""
    muted: Mapping[MediumName, bool] = dataclasses.field(default_factory=dict)
    """With `mute`: what is to be muted (True) or unmuted; what is not in it stays as it is."""
    seconds: int | None = None
    reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class ModerationChanged:
    """What moderators have muted, of one member or (`user_id` "") of everybody. `ends_ms`: how long, where it ends."""

    user_id: str
    audio: bool
    video: bool
    words: bool
    ends_ms: Mapping[MediumName, int]
    by: str
    """Who said so last, "" for the operator."""

    def fields(self) -> dict[str, object]:
        told: dict[str, object] = {"userId": self.user_id} if self.user_id else {}
        told |= {"audio": self.audio, "video": self.video, "words": self.words}
        if self.ends_ms:
            told["endsMs"] = dict(self.ends_ms)
        return {**told, "by": self.by}


@dataclasses.dataclass(frozen=True, slots=True)
class Rights:
    """What this member may do from now on."""

    privileges: int


def parse_moderate(fields: Mapping[str, Any]) -> Moderate:
    """Read a `moderate` request. Raises BadRequest."""
    act: Any = fields.get("act")
    if act not in get_args(Act):
        raise BadRequest(f"act: one of {', '.join(get_args(Act))} is needed")
    user_id = "" if fields.get("userId") is None else fields["userId"]
    if not isinstance(user_id, str) or (user_id and not _USER.fullmatch(user_id)):
        raise BadRequest("userId: 1 to 32 of A-Z a-z 0-9 _ - are needed")
    if not user_id and act in ("kick", "ban", "unban"):
        raise BadRequest(f"userId: {act} needs one")
    muted: dict[MediumName, bool] = {}
    for name in get_args(MediumName):
        value = fields.get(name)
        if value is not None and not isinstance(value, bool):
            raise BadRequest(f"{name}: true or false is needed")
        if value is not None and act == "mute":
            muted[name] = value
    if act == "mute" and not muted:
        raise BadRequest("mute: audio, video or words is needed")
    seconds = fields.get("seconds")
    if seconds is not None and (
        isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= MAX_SECONDS
    ):
        raise BadRequest(f"seconds: a whole number of 1 to {MAX_SECONDS} is needed")
    reason = fields.get("reason", "")
    if not isinstance(reason, str) or len(reason) > MAX_REASON:
        raise BadRequest(f"reason: a text of at most {MAX_REASON} characters is needed")
    return Moderate(act, user_id, muted, seconds, reason)
