"""Pushing one's own stream on to an address elsewhere: the requests, and what the server tells of how it goes.

{"id": 9, "t": "relay", "stream": "main", "url": "rtmp://push.example.com/live/s?key=…"}      begin, or go elsewhere
{"id": 10, "t": "unrelay", "stream": "main"}                                                  end
{"t": "relay", "stream": "main", "url": "rtmp://push.example.com/live/s", "state": "waiting",
 "reason": "refused", "message": "…"}
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Literal

from gateway.base.errors import BadRequest

MAX_URL: Final = 2048

Stream = Literal["main", "aux"]
State = Literal["connecting", "live", "waiting", "ended"]


@dataclasses.dataclass(frozen=True, slots=True)
class Relay:
    """`url` is the whole target, its tickets included: never shown."""

    stream: Stream
    url: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Unrelay:
    stream: Stream


@dataclasses.dataclass(frozen=True, slots=True)
class RelayChanged:
    """`url` without its query. `reason`, and `message` for people, only while waiting and at the end."""

    stream: Stream
    url: str
    state: State
    reason: str
    message: str

    def fields(self) -> dict[str, object]:
        told: dict[str, object] = {"stream": self.stream, "url": self.url, "state": self.state}
        if self.reason:
            told |= {"reason": self.reason, "message": self.message}
        return told


def parse_relay(fields: Mapping[str, Any]) -> Relay:
    """Read a `relay` request. Raises BadRequest."""
    url = fields.get("url")
    if not isinstance(url, str) or not 0 < len(url) <= MAX_URL or not url.isascii():
        raise BadRequest(f"url: rtmp://HOST/APP/STREAM of at most {MAX_URL} characters is needed")
    return Relay(_stream(fields), url)


def parse_unrelay(fields: Mapping[str, Any]) -> Unrelay:
    """Read an `unrelay` request. Raises BadRequest."""
    return Unrelay(_stream(fields))


def _stream(fields: Mapping[str, Any]) -> Stream:
    stream: Any = fields.get("stream", "main")
    if stream == "main":
        return "main"
    if stream == "aux":
        return "aux"
    raise BadRequest("stream: one of main, aux is needed")
