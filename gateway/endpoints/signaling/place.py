"""What a member's control session holds besides its socket: its two connections, its talk, its ticket's rights.

A place outlives the socket by the resume time, and a later socket of the same client takes it over. What happens
meanwhile on the connections is told to whoever sits here, or to nobody.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping

from gateway.base.errors import GatewayError
from gateway.endpoints.entry import PushGrant
from gateway.endpoints.entry.links import DownLink, TrackKey, UpLink, Viewer, WebRtc
from gateway.endpoints.signaling.talk import CHANNEL, Talk
from gateway.media.rtc.datachannel import Send
from gateway.media.streams import Stream
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import Member, StreamKind
from gateway.wire import signaling as wire

Tell = Callable[[wire.ServerMessage], None]


class Place(Viewer):
    """The media side of one member. `tell` is the socket's outbox, or None while the member is resuming."""

    def __init__(self, rtc: WebRtc, member: Member, granted: Privilege, talk: Talk, tell: Tell) -> None:
        self.rtc = rtc
        self.talk = talk
        self.member = member
        self.granted = granted
        """What the ticket says; the member's own rights may be fewer, by its role."""
        self.tell: Tell | None = tell
        self.up: UpLink | None = None
        self.up_streams: Mapping[str, wire.StreamName] = {}
        self.down: DownLink | None = None
        self._withheld: dict[TrackKey, str] = {}
        """What the client has, or would have, been sent if its rights had not been taken away: stream ids."""
        self._closed = False
        self._listening: dict[str, tuple[Stream, Callable[[str], None]]] = {}

    # --- up

    def publish(self, offer: str, fingerprint: str, plan: Mapping[str, PushGrant]) -> str:
        """Answer an up offer: on the connection that is there, or on a new one if the client has made one."""
        up = self.up
        if up is not None and up.alive and up.fingerprint == fingerprint:
            return up.accept(offer, plan)
        up = self._new_up()
        try:
            answer = up.accept(offer, plan)
        except BaseException:
            up.close()
            raise
        old, self.up = self.up, up
        self.talk.dropped()
        if old is not None:
            old.close()
        return answer

    def _new_up(self) -> UpLink:
        def ended(reason: str) -> None:
            if self.up is link:
                self.up = None
                self.talk.dropped()
                self._say(wire.PeerClosed("up", reason))

        def taken(grant: PushGrant) -> None:
            if self.up is link:
                self._say(wire.StreamOff(self.member.user_id, _name(grant.kind)))

        def channel(label: str, send: Send) -> None:
            if self.up is link and label == CHANNEL:
                self.talk.opened(send)

        def message(label: str, data: str | bytes) -> None:
            if self.up is link and label == CHANNEL and not self._closed:
                self.talk.receive(data)

        link = UpLink(self.rtc, "webrtc", on_end=ended, on_taken=taken, on_channel=channel, on_message=message)
        return link

    # --- down

    def wish(self, key: TrackKey, stream_id: str) -> None:
        """Ask for a track. Raises TooMany, Overloaded."""
        if self.down is None or not self.down.alive:
            self.fresh_down()
        assert self.down is not None
        stream = self.rtc.streams.open(stream_id)
        self.down.add(key, stream)
        self._withheld.pop(key, None)
        self._listen(key, stream)

    def unwish(self, key: TrackKey) -> None:
        """Give up a track; nothing happens if it was not asked for."""
        self._withheld.pop(key, None)
        if self.down is not None:
            self.down.remove(key)
            self._stop_listening(set(self.down.tracks.values()))

    def _listen(self, key: TrackKey, stream: Stream) -> None:
        """Hear what a viewer of the stream should be told in words."""
        known = self._listening.get(stream.id)
        if known is not None and known[0] is stream:
            return

        def heard(text: str) -> None:
            self._say(wire.Notice(key.user_id, _name(key.stream), text))

        self._listening[stream.id] = (stream, heard)
        stream.events.on("notice", heard)

    def _stop_listening(self, wanted: Collection[str]) -> None:
        for stream_id, (stream, heard) in list(self._listening.items()):
            if stream_id not in wanted:
                del self._listening[stream_id]
                stream.events.remove_listener("notice", heard)

    def fresh_down(self) -> None:
        """Make a new down connection with the wishes of the old one. Raises Overloaded."""
        down, old = DownLink(self.rtc, self), self.down
        self.down = down
        if old is not None:
            wishes = old.tracks
            old.close()
            for key, stream_id in wishes.items():
                down.add(key, self.rtc.streams.open(stream_id))

    def forget(self, user_id: str) -> None:
        """That member has left: nothing of it is wished for any more."""
        wished = [*self.down.tracks, *self._withheld] if self.down is not None else [*self._withheld]
        for key in wished:
            if key.user_id == user_id:
                self.unwish(key)

    def follow_rights(self) -> None:
        """What the member may receive has changed: take away what that does not cover, give back what it does."""
        for key, stream_id in self.down.tracks.items() if self.down is not None else ():
            if not self._may_receive(key):
                self.unwish(key)
                self._withheld[key] = stream_id
        for key, stream_id in list(self._withheld.items()):
            if self._may_receive(key):
                with contextlib.suppress(GatewayError):  # too many tracks: the client may ask again
                    self.wish(key, stream_id)

    def _may_receive(self, key: TrackKey) -> bool:
        return self.member.may_receive(key.stream, video=key.kind == "video")

    # --- what the connections say

    def offer(self, n: int, text: str, tracks: Mapping[str, TrackKey]) -> None:
        slots = tuple(wire.Slot(mid, key.user_id, _name(key.stream), key.kind) for mid, key in tracks.items())
        self._say(wire.Offer(n, text, slots))

    def paused(self, key: TrackKey, paused: bool) -> None:
        self._say(wire.Paused(key.user_id, _name(key.stream), key.kind, paused))

    def unsupported(self, key: TrackKey, text: str) -> None:
        self._say(wire.Notice(key.user_id, _name(key.stream), text))

    def ended(self, reason: str) -> None:
        self._say(wire.PeerClosed("down", reason))

    # --- messages

    def announce(self, text: str, size: int) -> None:
        """Hand on a frame of `size` bytes about messages, over the datachannel if that can take it."""
        if not self._closed and not self.talk.tell(text, size):
            self._say(wire.Text(text))

    def _say(self, message: wire.ServerMessage) -> None:
        if self.tell is not None and not self._closed:
            self.tell(message)

    def close(self) -> None:
        """The member has gone, or another client has its place. Idempotent."""
        self._closed = True
        self.tell = None
        self.talk.dropped()
        self._stop_listening(())
        up, self.up = self.up, None
        down, self.down = self.down, None
        if up is not None:
            up.close()
        if down is not None:
            down.close()


def _name(kind: StreamKind) -> wire.StreamName:
    return "aux" if kind is StreamKind.AUX else "main"
