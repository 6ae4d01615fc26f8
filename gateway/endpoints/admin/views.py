"""Rooms, members and what moderators have decided, as the operator sees them: JSON objects. Times are unix ms."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from gateway.base.clock import Clock
from gateway.endpoints.entry import Entry
from gateway.rooms.moderation import FOREVER, Medium, Mutes
from gateway.rooms.room import Member, Room, StreamInfo

Json = dict[str, object]


@dataclasses.dataclass(frozen=True, slots=True)
class Views:
    """`clock` is the rooms' own, `wall` gives unix seconds."""

    entry: Entry
    clock: Clock
    wall: Callable[[], float]

    def _unix_ms(self, at: float) -> int:
        return round((self.wall() - self.clock() + at) * 1000)

    def brief(self, room: Room) -> Json:
        """What a list shows of a room."""
        key = room.key
        return {
            "app": key.app,
            "room": key.id if key.text else int(key.id),
            "kind": room.policy.kind,
            "creator": room.creator,
            "info": room.info,
            "createdAt": self._unix_ms(room.created_at),
            "capacity": room.policy.capacity,
            "memberCount": len(room.members),
        }

    def full(self, room: Room) -> Json:
        """The whole room."""
        moderation = self.entry.directory.moderation
        return {
            **self.brief(room),
            "open": self.entry.tickets.open_rooms.allows(room.key),
            "members": [self._member(member) for member in room.members.values()],
            "muted": self.mutes(moderation.mutes_of_everybody(room.key)),
            "mutes": [
                {"userId": user_id, **self.mutes(mutes)} for user_id, mutes in moderation.muted_users(room.key).items()
            ],
            "bans": [
                {"userId": user_id, "until": self._until(ban.until), "by": ban.by, "reason": ban.reason}
                for user_id, ban in moderation.bans(room.key).items()
            ],
        }

    def _member(self, member: Member) -> Json:
        decided = self.entry.directory.moderation.decided_rights(member.key, member.user_id)
        return {
            "userId": member.user_id,
            "nick": member.nick,
            "guest": member.guest,
            "audience": member.audience,
            "enteredAt": self._unix_ms(member.entered_at),
            "connected": member.session is not None,
            "privileges": int(member.privileges),
            "ticket": int(member.granted),
            "decided": None if decided is None else int(decided),
            "streams": [_stream(info) for info in member.streams.values()],
        }

    def mutes(self, mutes: Mutes) -> Json:
        """By medium, whether it is muted; `until` and `by` of those that are."""
        return {
            **{medium.value: medium in mutes for medium in Medium},
            "until": {medium.value: self._until(mute.until) for medium, mute in mutes.items()},
            "by": {medium.value: mute.by for medium, mute in mutes.items()},
        }

    def _until(self, until: float) -> int | None:
        return None if until == FOREVER else self._unix_ms(until)


def _stream(info: StreamInfo) -> Json:
    return {
        "stream": info.kind.value,
        "streamId": info.stream_id,
        "live": info.live,
        "audio": info.has_audio,
        "video": info.has_video,
        "audioMuted": info.audio_muted,
        "videoMuted": info.video_muted,
        "transport": info.transport,
    }
