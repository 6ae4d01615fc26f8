"""Relays as signaling has them: a member's own stream, for as long as this member publishes it.

The member must publish the stream from its browser. The relay outlives a lost WebSocket and a new connection, as the
stream does; it ends with the stream, however that ends: unpublished, left, kicked, taken over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.base.errors import NoSuchStream, NotPermitted
from gateway.rooms import events
from gateway.rooms.directory import Directory
from gateway.rooms.room import Member, StreamInfo, StreamKind
from gateway.services.relay import Reason, Relay, Relays
from gateway.wire import signaling as wire

Announce = Callable[[int, str, wire.RelayChanged], None]
"""Tell the member (app, user) wherever it is connected just now, or nobody."""

_WORDS: Final = {
    Reason.STOPPED: "the relay was stopped",
    Reason.REPLACED: "the stream is relayed to another address now",
    Reason.UNPUBLISHED: "the stream has ended",
    Reason.SERVER_STOPS: "the server stops",
}


class RelayDesk:
    """What members ask about relays. Nothing is relayed of what a member may not send."""

    def __init__(self, directory: Directory, relays: Relays, announce: Announce) -> None:
        self._directory = directory
        self._relays = relays
        self._announce = announce
        directory.events.on("event", self._on_event)

    def aclose(self) -> None:
        self._directory.events.remove_listener("event", self._on_event)

    def handle(self, member: Member, message: wire.Relay | wire.Unrelay) -> dict[str, object]:
        """Do it and return the answer's fields. Raises NoSuchStream, NotPermitted, BadRequest, TooMany."""
        kind = StreamKind(message.stream)
        if isinstance(message, wire.Unrelay):
            info = member.streams.get(kind)
            if info is None or not self._relays.stop(info.stream_id, Reason.STOPPED):
                raise NoSuchStream(f"the {kind.value} stream is not relayed")
            return {}
        stream_id = _published(member, kind).stream_id
        app, user_id = member.key.app, member.user_id

        def changed(relay: Relay) -> None:
            self._announce(app, user_id, _told(message.stream, relay))

        return _told(message.stream, self._relays.start(stream_id, message.url, changed)).fields()

    def known(self, member: Member) -> list[wire.RelayChanged]:
        """Return how the member's relays stand: what one who comes back may have missed."""
        found = [(kind, self._relays.of(info.stream_id)) for kind, info in member.streams.items()]
        return [_told(_name(kind), relay) for kind, relay in found if relay is not None]

    def _on_event(self, event: events.RoomEvent) -> None:
        if isinstance(event, events.StreamRemoved):
            self._relays.stop(event.stream_id, Reason.UNPUBLISHED)


def _published(member: Member, kind: StreamKind) -> StreamInfo:
    """Return the member's own stream of that kind. Raises NoSuchStream, NotPermitted."""
    info = member.streams.get(kind)
    if info is None or not info.live:
        raise NoSuchStream(f"the {kind.value} stream is not published")
    if info.transport != "webrtc":
        raise NotPermitted("another program publishes this stream; it can push to two places itself")
    return info


def _told(stream: wire.StreamName, relay: Relay) -> wire.RelayChanged:
    reason = relay.reason
    words = relay.words or (_WORDS.get(reason, "") if reason is not None else "")
    return wire.RelayChanged(
        stream, relay.url.shown, relay.state.value, reason.value if reason is not None else "", words
    )


def _name(kind: StreamKind) -> wire.StreamName:
    return "aux" if kind is StreamKind.AUX else "main"
