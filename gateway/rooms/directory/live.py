"""Which streams are live, and whose they are.

A publisher may come before its member (stock clients push before `add_pusher`), stay after it, or have none at all (a
business server signed for a name of its own): such a stream is *loose* until a member who owns its id appears. A stream
whose member is away but may resume stays listed as not live, so that others see a pause and no leave. A live stream of
which its member may send nothing any more is *hidden*: in no list, until the right comes back.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Final

from gateway.rooms import events
from gateway.rooms.directory.outbox import Outbox
from gateway.rooms.room import Member, StreamInfo, StreamKind

PUSHING: Final = frozenset({"rtmp", "whip"})
"""Transports whose live stream keeps a member without a control session."""


@dataclasses.dataclass(slots=True)
class Publishing:
    """What the publisher brings, whatever its member may send."""

    transport: str
    audio: bool
    video: bool
    audio_muted: bool
    video_muted: bool
    started_at: float


class LiveStreams:
    """Start, change and end of streams. `gap(member, info, until)` hears when to give a paused one up (inf: never).

    `silenced(member)` says of its sound and of its picture whether a moderator has muted them.
    """

    def __init__(
        self,
        outbox: Outbox,
        gap: Callable[[Member, StreamInfo, float], None],
        silenced: Callable[[Member], tuple[bool, bool]],
    ) -> None:
        self._outbox = outbox
        self._gap = gap
        self._silenced = silenced
        self.publishing: dict[str, Publishing] = {}
        """Every stream that is live now, by stream id."""
        self._hidden: dict[str, tuple[Member, StreamKind]] = {}

    def started(self, member: Member | None, kind: StreamKind, stream_id: str, publishing: Publishing) -> None:
        """A publisher of `stream_id` has begun, perhaps in the place of another; `member` None: loose."""
        self.publishing[stream_id] = publishing
        if member is not None:
            self._show(member, kind, stream_id, publishing)

    def adopt(self, member: Member, kind: StreamKind, stream_id: str) -> None:
        """Give `member` the stream if it is live."""
        publishing = self.publishing.get(stream_id)
        shown = member.streams.get(kind)
        if publishing is not None and (shown is None or shown.stream_id != stream_id or not shown.live):
            self._show(member, kind, stream_id, publishing)

    def _show(self, member: Member, kind: StreamKind, stream_id: str, publishing: Publishing) -> None:
        info = member.streams.get(kind)
        if info is not None and info.stream_id != stream_id:
            self._remove(member, info)
            info = None
        if not _may_send_any(member, kind):
            if info is not None:
                self._remove(member, info)
            self._hidden[stream_id] = (member, kind)
            return
        self._hidden.pop(stream_id, None)
        restarted = info is not None
        if info is None:
            info = StreamInfo(
                stream_id, kind, True, False, False, False, False, publishing.started_at, publishing.transport
            )
            member.streams[kind] = info
        self._gap(member, info, math.inf)
        info.live = True
        info.transport = publishing.transport
        self._fill(member, info, publishing)
        if restarted:
            self._outbox.announce(_changed(member, info, restarted=True))
        else:
            self._outbox.announce(
                events.StreamAdded(
                    member.key,
                    member.user_id,
                    kind,
                    stream_id,
                    info.has_audio,
                    info.has_video,
                    info.audio_muted,
                    info.video_muted,
                    info.transport,
                )
            )

    def updated(
        self,
        member: Member | None,
        stream_id: str,
        audio: bool | None,
        video: bool | None,
        audio_muted: bool | None,
        video_muted: bool | None,
    ) -> None:
        publishing = self.publishing.get(stream_id)
        if publishing is None:
            return
        publishing.audio = publishing.audio if audio is None else audio
        publishing.video = publishing.video if video is None else video
        publishing.audio_muted = publishing.audio_muted if audio_muted is None else audio_muted
        publishing.video_muted = publishing.video_muted if video_muted is None else video_muted
        if member is not None:
            self.refresh(member)

    def refresh(self, member: Member) -> None:
        """Announce whatever differs after the publisher, the member's rights or its mutes have changed."""
        for stream_id, (owner, kind) in list(self._hidden.items()):
            if owner is member and _may_send_any(member, kind):
                self._show(member, kind, stream_id, self.publishing[stream_id])
        for info in list(member.streams.values()):
            publishing = self.publishing.get(info.stream_id) if info.live else _as_it_was(info)
            if publishing is None:
                continue
            if not _may_send_any(member, info.kind):
                self._remove(member, info)
                if info.live:
                    self._hidden[info.stream_id] = (member, info.kind)
            elif self._fill(member, info, publishing):
                self._outbox.announce(_changed(member, info, restarted=False))

    def stopped(self, member: Member | None, kind: StreamKind, stream_id: str, now: float) -> None:
        """The publisher is gone. While its member may still resume, the stream is only paused."""
        self.publishing.pop(stream_id, None)
        self._hidden.pop(stream_id, None)
        info = member.streams.get(kind) if member is not None else None
        if member is None or info is None or info.stream_id != stream_id or not info.live:
            return
        if member.resuming and member.resume_until is not None and now <= member.resume_until:
            info.live = False
            self._gap(member, info, member.resume_until)
        else:
            self._remove(member, info)

    def given_up(self, member: Member, info: StreamInfo) -> None:
        """The time of a paused stream is over."""
        if member.streams.get(info.kind) is info and not info.live:
            self._remove(member, info)

    def left(self, member: Member) -> None:
        """The member goes. What it pushes by RTMP goes on, loose; all else ends with its session."""
        hidden = [stream_id for stream_id, (owner, _) in self._hidden.items() if owner is member]
        for stream_id in hidden:
            del self._hidden[stream_id]
        live = [info.stream_id for info in member.streams.values() if info.live]
        for stream_id in hidden + live:
            if self.publishing[stream_id].transport != "rtmp":
                del self.publishing[stream_id]
        for info in list(member.streams.values()):
            self._remove(member, info)

    def _remove(self, member: Member, info: StreamInfo) -> None:
        del member.streams[info.kind]
        self._gap(member, info, math.inf)
        self._outbox.announce(events.StreamRemoved(member.key, member.user_id, info.kind, info.stream_id))

    def is_pushing(self, member: Member) -> bool:
        shown = any(info.live and info.transport in PUSHING for info in member.streams.values())
        return shown or any(
            owner is member and self.publishing[stream_id].transport in PUSHING
            for stream_id, (owner, _) in self._hidden.items()
        )

    def _fill(self, member: Member, info: StreamInfo, publishing: Publishing) -> bool:
        """Write into `info` what of the published reaches others; return whether anything changed."""
        before = (info.has_audio, info.has_video, info.audio_muted, info.video_muted)
        no_sound, no_picture = self._silenced(member)
        info.has_audio = publishing.audio and member.may_send(info.kind, video=False)
        info.has_video = publishing.video and member.may_send(info.kind, video=True)
        info.audio_muted = publishing.audio_muted or no_sound
        info.video_muted = publishing.video_muted or no_picture
        return before != (info.has_audio, info.has_video, info.audio_muted, info.video_muted)


def _as_it_was(info: StreamInfo) -> Publishing:
    """A paused stream shows what it had, as far as it may still be sent."""
    return Publishing(
        info.transport, info.has_audio, info.has_video, info.audio_muted, info.video_muted, info.started_at
    )


def _may_send_any(member: Member, kind: StreamKind) -> bool:
    return member.may_send(kind, video=False) or member.may_send(kind, video=True)


def _changed(member: Member, info: StreamInfo, *, restarted: bool) -> events.StreamChanged:
    return events.StreamChanged(
        member.key,
        member.user_id,
        info.kind,
        info.stream_id,
        info.has_audio,
        info.has_video,
        info.audio_muted,
        info.video_muted,
        info.transport,
        restarted,
    )
