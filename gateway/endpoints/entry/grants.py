"""What an admitted publisher or player may do, as values."""

from __future__ import annotations

import dataclasses

from gateway.base.errors import NotPermitted
from gateway.media.live.stream import Start
from gateway.rooms.privileges import Privilege, grants, to_send
from gateway.rooms.room import RoomKey, StreamKind


@dataclasses.dataclass(frozen=True, slots=True)
class PushGrant:
    """An admitted publisher. `room` None: a roomless stream. `user_id` is the owner's, "" without a room."""

    stream_id: str
    allow_audio: bool
    allow_video: bool
    room: RoomKey | None = None
    user_id: str = ""
    kind: StreamKind = StreamKind.MAIN
    privileges: Privilege = Privilege.ALL


@dataclasses.dataclass(frozen=True, slots=True)
class PlayGrant:
    """An admitted player: which kinds it gets, and where it starts. `issued`: the directory knows the stream's id."""

    stream_id: str
    audio: bool
    video: bool
    start: Start
    issued: bool


@dataclasses.dataclass(frozen=True, slots=True)
class PlayItem:
    """One entry of a list of what a member can play."""

    user_id: str
    kind: StreamKind
    url: str


def push_grant(stream: str, kind: StreamKind, rights: Privilege, room: RoomKey | None, user_id: str) -> PushGrant:
    """Return what `rights` let a publisher of `stream` send. Raises NotPermitted if that is nothing."""
    aux = kind is StreamKind.AUX
    audio, video = grants(rights, to_send(aux=aux, video=False)), grants(rights, to_send(aux=aux, video=True))
    if not audio and not video:
        raise NotPermitted("the ticket grants neither sound nor picture of this stream")
    return PushGrant(stream, audio, video, room, user_id, kind, rights)
