"""What the RTMP port needs from others, and how an error of ours is said in status codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.base.errors import (
    BadRequest,
    BadTicket,
    GatewayError,
    NameTaken,
    NoSuchRoom,
    NoSuchStream,
    NotPermitted,
)
from gateway.endpoints.entry import Flows, PlayGrant, PushGrant
from gateway.media.live.stream import LiveStream


class Entry(Protocol):
    """Tickets into grants. Each raises a GatewayError to refuse. `flows` follows whoever was admitted."""

    @property
    def flows(self) -> Flows: ...
    def admit_push(self, stream: str, query: Mapping[str, str], /) -> PushGrant: ...
    def admit_room_push(self, room: str, query: Mapping[str, str], /) -> PushGrant: ...
    def admit_play(self, stream: str, query: Mapping[str, str], /) -> PlayGrant: ...


class Publisher(Protocol):
    def replaced(self, reason: str) -> None: ...


class Stream(Protocol):
    @property
    def live(self) -> LiveStream: ...

    def publish_live(self, publisher: Publisher, now: float) -> None: ...
    def unpublish(self, publisher: Publisher, now: float, reason: str = ...) -> None: ...
    def interrupt(self, *, video: bool) -> None: ...


class Streams(Protocol):
    def open(self, stream_id: str, /) -> Stream: ...


def publish_code(error: GatewayError) -> str:
    """Return the status code by which a refused publisher learns of `error`."""
    match error:
        case BadTicket():
            return "NetStream.Publish.BadAuth"
        case NameTaken() | BadRequest():
            return "NetStream.Publish.BadName"
        case NotPermitted():
            return "NetStream.Publish.Denied"
        case _:
            return "NetStream.Publish.Rejected"


def play_code(error: GatewayError) -> str:
    """Return the status code by which a refused player learns of `error`."""
    match error:
        case BadTicket():
            return "NetStream.Play.BadAuth"
        case NoSuchStream() | NoSuchRoom() | BadRequest():
            return "NetStream.Play.StreamNotFound"
        case _:
            return "NetStream.Play.Failed"
