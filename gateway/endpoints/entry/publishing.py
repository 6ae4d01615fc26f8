"""One publisher's media as the directory knows it, from its first to its last, whatever the transport."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway.base.errors import GatewayError, NoSuchRoom
from gateway.endpoints.entry.grants import PushGrant

if TYPE_CHECKING:
    from gateway.endpoints.entry.admission import Entry
    from gateway.media.streams import Stream

log = logging.getLogger(__name__)

SELF_MADE: Final = frozenset({"page", "webrtc", "lasting"})
"""Kinds of room that a publisher enters by publishing. RoomService's rooms have `add_pusher` for that."""
HANDOVER_S: Final = 2.0
"""A publisher that was replaced stays on show for so long, until the new one's media comes: no leave and join."""


class Publishing:
    """`update()` while kinds of media come and go, `close()` at the end.

    The first medium puts the publisher's user into its room, if that is a room that publishers enter so and the user is
    not there yet. A newer publisher of the same stream takes over: then the end of this one says nothing.
    """

    def __init__(self, entry: Entry, grant: PushGrant, transport: str) -> None:
        self.grant = grant
        self.transport = transport
        self._entry = entry
        self._audio = False
        self._video = False
        self._muted: dict[str, bool] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def _current(self) -> bool:
        return self._entry.publishers.get(self.grant.stream_id) is self

    def update(self, *, audio: bool, video: bool) -> None:
        """Say which kinds flow now. The first kind starts the stream, none stops it."""
        audio, video = audio and self.grant.allow_audio, video and self.grant.allow_video
        if (audio, video) == (self._audio, self._video) and (self._current or not (audio or video)):
            return
        self._audio, self._video = audio, video
        self._stop_timer()
        entry, stream = self._entry, self.grant.stream_id
        if not audio and not video:
            self.close()
        elif self._current:
            entry.directory.stream_updated(stream, audio=audio, video=video)
        else:
            self._enter_room()
            entry.publishers[stream] = self
            now = entry.clock()
            entry.directory.stream_started(stream, transport=self.transport, audio=audio, video=video, now=now)
            if self._muted:
                entry.directory.stream_updated(stream, **self._muted)

    def mute(self, *, audio: bool | None = None, video: bool | None = None) -> None:
        """The publisher has muted or unmuted a kind; None leaves one as it is."""
        if audio is not None:
            self._muted["audio_muted"] = audio
        if video is not None:
            self._muted["video_muted"] = video
        if self._current:
            self._entry.directory.stream_updated(self.grant.stream_id, audio_muted=audio, video_muted=video)

    def superseded(self) -> None:
        """Another publisher takes the stream: leave it on show until that one's media comes, a moment at most."""
        if self._current and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(HANDOVER_S, self.close)

    def close(self) -> None:
        """The media has ended. Idempotent."""
        self._audio = self._video = False
        self._stop_timer()
        if self._current:
            del self._entry.publishers[self.grant.stream_id]
            self._entry.directory.stream_stopped(self.grant.stream_id, self._entry.clock())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _enter_room(self) -> None:
        room, grant, entry = self.grant.room, self.grant, self._entry
        if room is None or entry.find_member(room, grant.user_id) is not None:
            return
        if (room, grant.user_id) in entry.awaited or room in entry.dismissed:
            return
        try:
            kind = entry.directory.room(room).policy.kind
        except NoSuchRoom:
            kind = "page"
        if kind not in SELF_MADE:
            return
        try:
            entry.join(room, grant.user_id, grant.privileges)
        except GatewayError as error:
            # The stream flows all the same, for whoever has a URL of it.
            log.info("[room %s · %s] publishes without being a member: %s", room.id, grant.user_id, error.message)


class LiveWatch:
    """Watches the frame hub of a stream that is pushed by RTMP, and tells the directory what comes."""

    def __init__(self, stream: Stream, publishing: Publishing) -> None:
        self.publishing = publishing
        self._stream = stream
        self._before = stream.live.kinds_changed
        self._pending = False
        stream.live.kinds_changed = self._changed

    def _changed(self) -> None:
        if self._before is not None:
            self._before()
        if not self._pending:
            self._pending = True
            # A change of publisher drops the kinds before it says who comes: look when all is done.
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._pending = False
        stream = self._stream
        if stream.native == "rtp":
            self.publishing.superseded()
        else:
            self.publishing.update(audio=stream.live.has_audio, video=stream.live.has_video)
