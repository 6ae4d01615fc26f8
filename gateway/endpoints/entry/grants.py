"""What an admitted publisher or player may do, as values."""

from __future__ import annotations

import dataclasses

from gateway.base.errors import NotPermitted
from gateway.media.live.stream import Start
from gateway.rooms.privileges import Privilege, grants, to_receive, to_send
from gateway.rooms.room import RoomKey, StreamKind


@dataclasses.dataclass(frozen=True, slots=True)
class PushGrant:
    """An admitted publisher. `room` None: a roomless stream. `user_id` is the owner's, "" without a room."""

    stream_id: str
    allow_audio: bool
    allow_video: bool
    """What the URL or ticket itself allows; what may pass now is the flow's to say."""
    room: RoomKey | None = None
    user_id: str = ""
    kind: StreamKind = StreamKind.MAIN
    granted: Privilege | None = None
    """The rights in the URL or ticket; None: a business server signed and named none."""

    @property
    def privileges(self) -> Privilege:
        """With which its user becomes a member, if its publishing makes it one."""
        return Privilege.ALL if self.granted is None else self.granted


@dataclasses.dataclass(frozen=True, slots=True)
class PlayGrant:
    """An admitted player: which kinds it may get now, and where it starts.

    `issued`: the directory knows the stream's id. `room` is the stream's and `user_id` the player's, "" if its URL
    names nobody; `granted` as of a publisher.
    """

    stream_id: str
    audio: bool
    video: bool
    start: Start
    issued: bool
    room: RoomKey | None = None
    user_id: str = ""
    kind: StreamKind = StreamKind.MAIN
    granted: Privilege | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class PlayItem:
    """One entry of a list of what a member can play."""

    user_id: str
    kind: StreamKind
    url: str


def push_grant(
    stream: str,
    kind: StreamKind,
    granted: Privilege | None,
    room: RoomKey | None,
    user_id: str,
    *,
    now: Privilege,
) -> PushGrant:
    """Return what `granted` lets a publisher of `stream` send. `now`: what of that its user may do at the moment.

    Raises NotPermitted if that is nothing.
    """
    aux = kind is StreamKind.AUX
    sound, picture = to_send(aux=aux, video=False), to_send(aux=aux, video=True)
    if not grants(now, sound) and not grants(now, picture):
        raise NotPermitted("the ticket grants neither sound nor picture of this stream")
    static = Privilege.ALL if granted is None else granted
    return PushGrant(stream, grants(static, sound), grants(static, picture), room, user_id, kind, granted)


def play_grant(
    stream: str,
    kind: StreamKind,
    granted: Privilege | None,
    room: RoomKey | None,
    user_id: str,
    *,
    now: Privilege,
    start: Start,
) -> PlayGrant:
    """Return what a player of a stream that the directory knows may receive. Raises NotPermitted if that is nothing."""
    aux = kind is StreamKind.AUX
    audio, video = grants(now, to_receive(aux=aux, video=False)), grants(now, to_receive(aux=aux, video=True))
    if not audio and not video:
        raise NotPermitted("the ticket grants neither sound nor picture of this stream")
    return PlayGrant(stream, audio, video, start, room is not None, room, user_id, kind, granted)
