"""Moderation as signaling has it: what a member asks for, and what everybody in the room is told."""

from __future__ import annotations

from typing import Final, assert_never

from gateway.base.clock import Clock
from gateway.endpoints.entry import Entry
from gateway.endpoints.entry.moderator import ENDLESS_S
from gateway.rooms.moderation import FOREVER, Medium, MemberModerated, ModerationEvent, Mutes, RoomModerated
from gateway.rooms.room import Member, RoomKey
from gateway.wire import signaling as wire

_MEDIA: Final[dict[wire.MediumName, Medium]] = {
    "audio": Medium.AUDIO,
    "video": Medium.VIDEO,
    "words": Medium.WORDS,
}


class ModerationDesk:
    """See the module. The rights to moderate are checked by the moderator."""

    def __init__(self, entry: Entry, clock: Clock) -> None:
        self._moderator = entry.moderator
        self._moderation = entry.directory.moderation
        self._clock = clock

    def handle(self, member: Member, message: wire.Moderate) -> dict[str, object]:
        """Do it and return the answer's fields. Raises NotPermitted, BadRequest, TooMany."""
        moderator, by, room, user_id = self._moderator, member.user_id, member.key, message.user_id
        seconds = ENDLESS_S if message.seconds is None else message.seconds
        match message.act:
            case "kick":
                return {"present": moderator.kick(by, room, user_id)}
            case "ban":
                return {"present": moderator.ban(by, room, user_id, seconds, message.reason)}
            case "unban":
                return {"banned": moderator.unban(by, room, user_id)}
            case "mute":
                wanted = {_MEDIA[name]: muted for name, muted in message.muted.items()}
                if user_id:
                    moderator.mute(by, room, user_id, wanted, seconds)
                else:
                    moderator.mute_everybody(by, room, wanted)
                return {}
            case "dismiss":  # done by `finish`: it ends the connection that is to be answered
                moderator.check(by, room)
                return {}
        assert_never(message.act)

    def finish(self, member: Member, message: wire.Moderate) -> None:
        """Do what must wait until the request has been answered."""
        if message.act == "dismiss":
            self._moderator.dismiss(member.user_id, member.key)

    def told(self, decision: ModerationEvent) -> wire.ModerationChanged | None:
        """Return what a room is told of a decision; rights are told to their member alone."""
        room, by = decision.room, decision.by
        if isinstance(decision, RoomModerated):
            return self._changed("", self._moderation.mutes_of_everybody(room), by)
        if isinstance(decision, MemberModerated):
            return self._changed(decision.user_id, self._moderation.mutes(room, decision.user_id), by)
        return None

    def summary(self, member: Member) -> dict[str, object]:
        """Return what one is told who enters: whether it may moderate, and what is muted."""
        room = member.key
        return {
            "moderator": self._moderator.may_moderate(member.user_id, room),
            "room": self._everybody(room).fields(),
            "members": [
                self._changed(user_id, mutes, next(iter(mutes.values())).by).fields()
                for user_id, mutes in self._moderation.muted_users(room).items()
            ],
        }

    def _everybody(self, room: RoomKey) -> wire.ModerationChanged:
        mutes = self._moderation.mutes_of_everybody(room)
        return self._changed("", mutes, next((mute.by for mute in mutes.values()), ""))

    def _changed(self, user_id: str, mutes: Mutes, by: str) -> wire.ModerationChanged:
        now = self._clock()
        ends: dict[wire.MediumName, int] = {
            name: max(0, round((mutes[medium].until - now) * 1000))
            for name, medium in _MEDIA.items()
            if medium in mutes and mutes[medium].until != FOREVER
        }
        return wire.ModerationChanged(
            user_id, Medium.AUDIO in mutes, Medium.VIDEO in mutes, Medium.WORDS in mutes, ends, by
        )
