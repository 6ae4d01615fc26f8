"""What moderators do, for every face: signaling, the old IM's commands and `/api/v1` do these things and no others.

Each act checks who may (rooms/moderation says), then decides or throws out; what follows from it follows by itself: the
directory and the groups announce, flows open and close. `by` is a user whose ticket or login the face has verified, or
None for the operator. A room here may also be a group of the old IM without a room: then only words can be muted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from gateway.base.clock import Clock
from gateway.base.errors import BadRequest, NoSuchRoom
from gateway.endpoints.entry.messages import Messages
from gateway.rooms.directory import Directory
from gateway.rooms.moderation import FOREVER, Medium
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey, check_user_id
from gateway.wire import chat

log = logging.getLogger(__name__)

ENDLESS_S: Final = 0xFFFFFFFF
"""As many seconds as the old IM's numbers hold stand for no end."""
MAX_REASON: Final = 1000
"""Bytes."""


class Moderator:
    """See the module. Every method raises NoSuchRoom and NotPermitted, those with a user BadRequest, TooMany."""

    def __init__(self, directory: Directory, messages: Messages, clock: Clock) -> None:
        self._directory = directory
        self._messages = messages
        self._moderation = directory.moderation
        self._clock = clock
        groups = messages.groups
        self._moderation.creator_of = lambda key: (
            directory.creator_of(key) if key in directory.rooms else groups.owner(key)
        )

    def check(self, by: str | None, room: RoomKey, target: str = "") -> None:
        """Refuse unless `by` may do something to `target` ("": to the room) there."""
        if room not in self._messages.groups:
            raise NoSuchRoom(f"there is no room {room.id}")
        if target:
            check_user_id(target)
        self._moderation.check(room, by, target)

    def may_moderate(self, user_id: str, room: RoomKey) -> bool:
        return bool(self._moderation.authority(room, user_id))

    # --- members

    def kick(self, by: str | None, room: RoomKey, user_id: str, *, silent: bool = False) -> bool:
        """Throw a user out, with all that it plays, pushes and reads there; return whether it was a member.

        `silent`: the group has no tip of it.
        """
        self.check(by, room, user_id)
        groups, now_ms = self._messages.groups, self._messages.now_ms()
        groups.remove(room, user_id, self._clock(), now_ms, by or chat.SYSTEM, silent=silent)
        present = self._directory.kick(room, user_id)
        log.info("[room %s] %s was thrown out by %s", room.id, user_id, by or "the operator")
        return present

    def ban(self, by: str | None, room: RoomKey, user_id: str, seconds: float = ENDLESS_S, reason: str = "") -> bool:
        """Throw a user out and let it not come back for so long; return whether it was a member."""
        self.check(by, room, user_id)
        if len(reason.encode("utf-8", "replace")) > MAX_REASON or not chat.is_sound(reason):
            raise BadRequest(f"reason: at most {MAX_REASON} bytes")
        self._moderation.ban(room, user_id, until=self._until(seconds), by=by or "", reason=reason)
        return self.kick(by, room, user_id)

    def unban(self, by: str | None, room: RoomKey, user_id: str) -> bool:
        """Let a user come back; return whether it was banned."""
        self.check(by, room)
        return self._moderation.unban(room, check_user_id(user_id))

    def mute(
        self,
        by: str | None,
        room: RoomKey,
        user_id: str,
        wanted: Mapping[Medium, bool],
        seconds: float = ENDLESS_S,
    ) -> None:
        """Mute (True) or unmute (False) media of one user for so long; what is left out stays as it is."""
        self.check(by, room, user_id)
        self._moderation.mute(room, user_id, wanted, until=self._until(seconds), by=by or "")
        if Medium.WORDS in wanted:
            lasts_s = int(min(seconds, ENDLESS_S)) if wanted[Medium.WORDS] else 0
            self._tip(room, by, chat.TIP_MEMBER_CHANGED, user_id, shut_up_s=lasts_s)

    def decide_rights(self, by: str | None, room: RoomKey, user_id: str, rights: Privilege | None) -> None:
        """Let a user have these rights here whatever its ticket says; None: what the ticket says."""
        self.check(by, room, user_id)
        self._moderation.decide_rights(room, user_id, rights, by=by or "")

    # --- the room

    def mute_everybody(self, by: str | None, room: RoomKey, wanted: Mapping[Medium, bool]) -> None:
        """Mute or unmute media of everybody but moderators, those who come later too."""
        self.check(by, room)
        self._moderation.mute_everybody(room, wanted, by=by or "")
        if Medium.WORDS in wanted:
            changed = {"MuteAllMember": "On" if wanted[Medium.WORDS] else "Off"}
            self._tip(room, by, chat.TIP_GROUP_CHANGED, changed=changed)

    def dismiss(self, by: str | None, room: RoomKey) -> None:
        """End the room for all, and everything that is played and pushed in it."""
        self.check(by, room)
        log.info("[room %s] dismissed by %s", room.id, by or "the operator")
        if room in self._directory.rooms:
            self._directory.close_room(room)
        else:
            self._messages.groups.dissolve(room, self._messages.now_ms())

    def notice(self, by: str | None, room: RoomKey, text: str) -> None:
        """Say something to everybody in the room as the system does: it is not kept. Raises BadRequest."""
        self.check(by, room)
        if not text or not chat.is_sound(text) or len(text.encode()) > chat.GROUP_BYTES:
            raise BadRequest(f"text: 1 to {chat.GROUP_BYTES} bytes are needed")
        self._messages.groups.notice(room, text, now_ms=self._messages.now_ms())

    def _tip(
        self,
        room: RoomKey,
        by: str | None,
        op: int,
        *users: str,
        changed: Mapping[str, str] | None = None,
        shut_up_s: int | None = None,
    ) -> None:
        """Tell users of the old IM, who have no other word of it."""
        messages = self._messages
        messages.groups.tip(
            room, op, by or chat.SYSTEM, users, now_ms=messages.now_ms(), changed=changed, shut_up_s=shut_up_s
        )

    def _until(self, seconds: float) -> float:
        return FOREVER if seconds >= ENDLESS_S else self._clock() + seconds
