"""Stream ids and live streams together: who owns an id, is it present, and what does that make visible."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.base.errors import NotPermitted
from gateway.rooms.directory.live import PUSHING, LiveStreams, Publishing
from gateway.rooms.directory.outbox import Outbox
from gateway.rooms.directory.records import StreamIdRecord
from gateway.rooms.directory.stream_ids import StreamIds
from gateway.rooms.room import Member, RoomKey, StreamInfo, StreamKind


class StreamTable:
    """`present` finds a member by (app, user); `changed` is called with members whose streams may have changed."""

    def __init__(
        self,
        ids: StreamIds,
        outbox: Outbox,
        present: Callable[[int, str], Member | None],
        changed: Callable[[Member], None],
        gap: Callable[[Member, StreamInfo, float], None],
        room_exists: Callable[[RoomKey], bool],
        silenced: Callable[[Member], tuple[bool, bool]],
    ) -> None:
        self.ids = ids
        self.live = LiveStreams(outbox, gap, silenced)
        self._present = present
        self._changed = changed
        self._room_exists = room_exists

    def owner(self, stream_id: str) -> tuple[Member, StreamKind] | None:
        """Return the owner if it is present in the room of the id."""
        record = self.ids.get(stream_id)
        if record is None or record.room is None:
            return None
        member = self._present(record.app, record.user_id)
        return (member, record.kind) if member is not None and member.key == record.room else None

    def allocate(
        self, app: int, room: RoomKey | None, user_id: str, kind: StreamKind, random_hex: Callable[[], str]
    ) -> str:
        stream_id = self.ids.allocate(app, room, user_id, kind, random_hex, self._is_in_use)
        self._adopt(stream_id)
        return stream_id

    def _is_in_use(self, stream_id: str) -> bool:
        record = self.ids.get(stream_id)
        home = record is not None and record.room is not None and self._room_exists(record.room)
        return home or stream_id in self.live.publishing

    def claim(self, stream_id: str, key: RoomKey, user_id: str, kind: StreamKind) -> None:
        owner = self.owner(stream_id)
        if owner is not None and (owner[0].key != key or owner[1] is not kind):
            info = owner[0].streams.get(owner[1])
            if info is not None and info.stream_id == stream_id:
                raise NotPermitted(f"stream {stream_id} is in use elsewhere")
        self.ids.claim(stream_id, key, user_id, kind)
        self._adopt(stream_id)

    def adopt_records(self, allocated: Iterable[StreamIdRecord]) -> None:
        for record in allocated:
            if self.ids.get(record.stream_id) is None:
                self.ids.put(record, stored=True)
                self._adopt(record.stream_id)

    def adopt_all(self, member: Member) -> None:
        """A member has come: its publishers may have come before."""
        for kind in StreamKind:
            stream_id = self.ids.find(member.key, member.user_id, kind)
            if stream_id is not None:
                self.live.adopt(member, kind, stream_id)

    def _adopt(self, stream_id: str) -> None:
        owner = self.owner(stream_id)
        if owner is not None and stream_id in self.live.publishing:
            self.live.adopt(*owner, stream_id)
            self._changed(owner[0])

    def started(self, stream_id: str, transport: str, audio: bool, video: bool, now: float) -> None:
        owner = self.owner(stream_id)
        member, kind = owner if owner else (None, StreamKind.MAIN)
        self.live.started(member, kind, stream_id, Publishing(transport, audio, video, False, False, now))
        if member is not None:
            self._lived(member, transport, now)

    def updated(
        self,
        stream_id: str,
        audio: bool | None,
        video: bool | None,
        audio_muted: bool | None,
        video_muted: bool | None,
    ) -> None:
        owner = self.owner(stream_id)
        member = owner[0] if owner else None
        self.live.updated(member, stream_id, audio, video, audio_muted, video_muted)
        if member is not None:
            self._changed(member)

    def stopped(self, stream_id: str, now: float) -> None:
        publishing = self.live.publishing.get(stream_id)
        if publishing is None:
            return
        owner = self.owner(stream_id)
        member, kind = owner if owner else (None, StreamKind.MAIN)
        self.live.stopped(member, kind, stream_id, now)
        if member is not None:
            self._lived(member, publishing.transport, now)

    def _lived(self, member: Member, transport: str, now: float) -> None:
        """A push that begins or ends is a sign of life: a dropped encoder has time to come back."""
        if transport in PUSHING:
            member.alive_until = max(member.alive_until, now + member.room.policy.heartbeat_s)
        self._changed(member)
