"""Every publisher and player that runs now, by its user: what it may pass follows what the user may do, at once.

    admitted ──▶ Flow ── rights change, a moderator mutes ──▶ gate.allow(kinds)
                  └───── its user is thrown out, the room ends ──▶ gate.cut(reason)

A grant says what its URL or ticket allows; a flow passes what of that its user may do in the room now, and of a
publisher only what no moderator has muted. Streams without a room are nobody's to moderate.
"""

from __future__ import annotations

import dataclasses
from typing import Final, Protocol

from gateway.endpoints.entry.grants import PlayGrant, PushGrant
from gateway.rooms import events
from gateway.rooms.directory import Directory
from gateway.rooms.moderation import Medium, ModerationEvent, RoomModerated
from gateway.rooms.privileges import Privilege, grants, to_receive, to_send
from gateway.rooms.room import RoomKey, StreamKind

KICKED: Final = "thrown out of the room"
ENDED: Final = "the room was closed"


@dataclasses.dataclass(frozen=True, slots=True)
class Kinds:
    """Which kinds of media may pass."""

    audio: bool
    video: bool


class Gate(Protocol):
    """Whoever lets the media of one flow pass. It must not raise."""

    def allow(self, kinds: Kinds) -> None:
        """From now on these kinds may pass, and no others."""

    def cut(self, reason: str) -> None:
        """End at once: the user has been thrown out."""


class Flow:
    """One publisher or player from its admission to `close()`. `allowed` is what may pass now."""

    __slots__ = ("_flows", "allowed", "gate", "granted", "kind", "publishes", "room", "user_id")

    def __init__(self, flows: Flows, gate: Gate, grant: PushGrant | PlayGrant) -> None:
        self._flows = flows
        self.gate = gate
        if isinstance(grant, PushGrant):
            self.publishes, self.allowed = True, Kinds(grant.allow_audio, grant.allow_video)
        else:
            self.publishes, self.allowed = False, Kinds(grant.audio, grant.video)
        self.room = grant.room
        self.user_id = grant.user_id
        self.kind = grant.kind
        self.granted = grant.granted
        """The rights in the grant; None: it came from a business server and names none."""

    def close(self) -> None:
        """It has ended by itself. Idempotent."""
        self._flows.forget(self)


class Flows:
    """See the module. It listens to the directory and to the moderation behind it."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._moderation = directory.moderation
        self._by_user: dict[tuple[RoomKey, str], set[Flow]] = {}
        self._by_room: dict[RoomKey, set[Flow]] = {}
        directory.events.on("event", self._on_event)
        self._moderation.events.on("event", self._on_decision)

    def __len__(self) -> int:
        return sum(len(flows) for flows in self._by_room.values())

    def follow(self, grant: PushGrant | PlayGrant, gate: Gate) -> Flow:
        """Follow an admitted publisher or player. `gate` is not called yet: look at `allowed`."""
        flow = Flow(self, gate, grant)
        if flow.room is not None:
            self._by_user.setdefault((flow.room, flow.user_id), set()).add(flow)
            self._by_room.setdefault(flow.room, set()).add(flow)
            flow.allowed = self._allowed(flow, flow.room)
        return flow

    def forget(self, flow: Flow) -> None:
        room = flow.room
        if room is None:
            return
        of_user, of_room = self._of(room, flow.user_id), self._by_room.get(room, set())
        of_user.discard(flow)
        of_room.discard(flow)
        if not of_user:
            self._by_user.pop((room, flow.user_id), None)
        if not of_room:
            self._by_room.pop(room, None)

    # --- what may pass

    def _allowed(self, flow: Flow, room: RoomKey) -> Kinds:
        rights = self.rights(room, flow.user_id, flow.granted)
        needed, aux = to_send if flow.publishes else to_receive, flow.kind is StreamKind.AUX
        audio, video = grants(rights, needed(aux=aux, video=False)), grants(rights, needed(aux=aux, video=True))
        if flow.publishes:
            audio = audio and not self._moderation.is_muted(room, flow.user_id, Medium.AUDIO)
            video = video and not self._moderation.is_muted(room, flow.user_id, Medium.VIDEO)
        return Kinds(audio, video)

    def rights(self, room: RoomKey, user_id: str, granted: Privilege | None) -> Privilege:
        """Return what of `granted` the user may do in the room now.

        None, from a business server's URL, is bound by what a moderator has decided only: old clients push before
        their room knows them.
        """
        decided = self._moderation.decided_rights(room, user_id)
        if granted is None:
            return Privilege.ALL if decided is None else decided
        member = self._directory.member_in(room, user_id)
        if member is not None:
            return granted & member.privileges
        return granted if decided is None else granted & decided

    # --- changes

    def _refresh(self, flows: set[Flow], room: RoomKey) -> None:
        for flow in list(flows):
            allowed = self._allowed(flow, room)
            if allowed != flow.allowed:
                flow.allowed = allowed
                flow.gate.allow(allowed)

    def _cut(self, flows: set[Flow], reason: str) -> None:
        for flow in list(flows):
            self.forget(flow)
            flow.gate.cut(reason)

    def _of(self, room: RoomKey, user_id: str) -> set[Flow]:
        return self._by_user.get((room, user_id), set())

    def _on_event(self, event: events.RoomEvent) -> None:
        match event:
            case events.MemberLeft(reason="kicked" | "disbanded") | events.StrangerRemoved():
                self._cut(self._of(event.room, event.user_id), KICKED)
            case events.RoomClosed(reason="disbanded"):
                self._cut(self._by_room.get(event.room, set()), ENDED)
            case events.MemberEntered() | events.MemberUpdated() | events.MemberLeft():
                self._refresh(self._of(event.room, event.user_id), event.room)
            case _:
                pass

    def _on_decision(self, decision: ModerationEvent) -> None:
        if isinstance(decision, RoomModerated):
            self._refresh(self._by_room.get(decision.room, set()), decision.room)
        else:
            self._refresh(self._of(decision.room, decision.user_id), decision.room)
