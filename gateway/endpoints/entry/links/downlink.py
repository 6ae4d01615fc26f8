"""What a viewer receives: one down connection, a wish per track, one offer outstanding at a time."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Final

from gateway.endpoints.entry.links.offers import Kind
from gateway.endpoints.entry.links.webrtc import WebRtc
from gateway.endpoints.entry.words import cannot_take
from gateway.media.rtc.peer import DownPeer, PeerState, Slot
from gateway.media.sfu.feedback import Outbound
from gateway.media.sfu.subscription import Subscription
from gateway.media.streams import Stream
from gateway.rooms.room import StreamKind
from gateway.wire.frame import Codec

OFFER_DELAY_S: Final = 0.01
"""Wishes that come together make one offer."""
ANSWER_TIMEOUT_S: Final = 10.0
MAX_REPEATS: Final = 2
"""Offers that go unanswered are repeated so often."""


@dataclasses.dataclass(frozen=True, slots=True)
class TrackKey:
    """One track of another member, as a viewer names it."""

    user_id: str
    stream: StreamKind
    kind: Kind


class _Track:
    """A wish, the section that was made for it, and the subscription once the client has agreed."""

    def __init__(self, key: TrackKey, stream: Stream, slot: Slot) -> None:
        self.key = key
        self.stream = stream
        self.publication = stream.video if key.kind == "video" else stream.audio
        self.slot = slot
        self.subscription: Subscription | None = None


class Viewer:
    """What a down link tells its owner; the owner overrides what it wants to hear."""

    def offer(self, n: int, text: str, tracks: Mapping[str, TrackKey]) -> None:
        """Hand this offer to the client; `tracks` by mid."""

    def paused(self, key: TrackKey, paused: bool) -> None:
        """The picture is held back, or goes on."""

    def unsupported(self, key: TrackKey, text: str) -> None:
        """The client cannot take what is published; `text` says so to people, with the cure."""

    def ended(self, reason: str) -> None:
        """The connection has died by itself."""


class DownLink:
    """One down connection, in which either we offer (signaling) or the client does (WHEP)."""

    def __init__(self, rtc: WebRtc, viewer: Viewer) -> None:
        self._rtc = rtc
        self._viewer = viewer
        self._tracks: dict[TrackKey, _Track] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._answer_due: float | None = None
        self._repeats = 0
        self._used = False
        self._held: set[TrackKey] = set()
        self._closed = False
        self.peer = DownPeer(rtc.mux, rtc.certificate, self._state_changed)
        self.outbound = Outbound(self.peer)
        self.peer.on_rtcp = self.outbound.handle_rtcp
        rtc.downs.add(self)

    @property
    def alive(self) -> bool:
        return not self._closed and not self.peer.state.final

    @property
    def tracks(self) -> dict[TrackKey, str]:
        """The wishes, with the id of the stream of each."""
        return {key: track.stream.id for key, track in self._tracks.items()}

    # --- we offer

    def add(self, key: TrackKey, stream: Stream) -> None:
        """Wish for a track. Nothing happens if it is wished for already. Raises TooMany."""
        old = self._tracks.get(key)
        self._used = True
        if old is not None:
            if old.stream is stream:
                return
            self.remove(key)
        self._tracks[key] = _Track(key, stream, self.peer.add(key.kind, stream.id))
        self._plan_offer()

    def remove(self, key: TrackKey) -> None:
        """Give up a wish; nothing happens if there is none."""
        track = self._tracks.pop(key, None)
        if track is None:
            return
        self._unsubscribe(track)
        self.peer.remove(track.slot)
        self._plan_offer()

    def restart(self) -> None:
        """Restart ICE with the next offer."""
        self.peer.restart()
        self._answer_due = None
        self._plan_offer()

    def answer(self, n: int, text: str) -> bool:
        """Take the client's answer; False: stale, ignored. Raises SdpError."""
        if not self.peer.answer(n, text):
            return False
        self._answer_due = None
        self._agreed()
        self._plan_offer()
        return True

    def _plan_offer(self) -> None:
        if self._timer is None and not self._closed and self._used:
            self._timer = asyncio.get_running_loop().call_later(OFFER_DELAY_S, self._offer)

    def _offer(self) -> None:
        self._timer = None
        if self._closed or not self.peer.needs_offer:
            return
        self._repeats = 0
        self.repeat_offer()

    def repeat_offer(self) -> None:
        """Make an offer of what there is now. One that is outstanding, perhaps never heard, is void."""
        if not self.alive or not self._used:
            return
        n, text = self.peer.offer()
        self._answer_due = self._rtc.clock() + ANSWER_TIMEOUT_S
        self._viewer.offer(n, text, {track.slot.mid: key for key, track in self._tracks.items()})

    # --- the client offers

    def accept(self, offer: str, user_id: str, stream: Stream) -> str:
        """Answer a player's offer with the main stream of `user_id`. Raises SdpError, NoCommonCodec."""
        answer = self.peer.accept(offer, stream.id)
        for slot in self.peer.slots:
            key = TrackKey(user_id, StreamKind.MAIN, slot.kind)
            if key not in self._tracks:
                self._tracks[key] = _Track(key, stream, slot)
        self._agreed()
        return answer

    def hold(self, key: TrackKey, held: bool) -> None:
        """Send nothing of this track, though the client has a section for it; or send it again."""
        if held:
            self._held.add(key)
        else:
            self._held.discard(key)
        if key in self._tracks:
            self._agreed()

    # --- what flows

    def _agreed(self) -> None:
        """Subscribe what the client has agreed to; tell of what it cannot take."""
        now = self._rtc.clock()
        for track in self._tracks.values():
            if track.slot.ready and track.key not in self._held:
                if track.subscription is None:
                    self._subscribe(track, now)
            elif track.subscription is not None:
                self._unsubscribe(track)
            elif not track.slot.payload_types and track.key not in self._held:
                self._unsupported(track, None)
        self.outbound.ready(now)

    def _subscribe(self, track: _Track, now: float) -> None:
        slot, key, viewer = track.slot, track.key, self._viewer
        subscription = Subscription(
            track.publication,
            self.peer,
            ssrc=slot.ssrc,
            rtx_ssrc=slot.rtx_ssrc if slot.rtx_payload_types else None,
            payload_types=slot.payload_types,
            rtx_payload_types=slot.rtx_payload_types,
            extension=slot.extension,
        )
        subscription.on_paused = lambda paused: viewer.paused(key, paused)
        subscription.on_unsupported = lambda codec: self._unsupported(track, codec)
        track.subscription = subscription
        self.outbound.add(subscription, now)

    def _unsupported(self, track: _Track, codec: Codec | None) -> None:
        """Show it in another codec, else say in words that it cannot be shown."""
        key, stream, subscription = track.key, track.stream, track.subscription
        if codec is None or subscription is None or not stream.show_vp8(subscription, codec, self._rtc.clock()):
            self._viewer.unsupported(key, cannot_take(key.user_id, key.kind, codec, makes_vp8=stream.makes_vp8))

    def _unsubscribe(self, track: _Track) -> None:
        if track.subscription is not None:
            self.outbound.remove(track.subscription, self._rtc.clock())
            track.subscription = None

    def tick(self, now: float) -> None:
        self.outbound.tick(now)
        if self._answer_due is not None and now > self._answer_due:
            self._answer_due = None
            self._repeats += 1
            if self._repeats <= MAX_REPEATS:
                self.repeat_offer()

    def _state_changed(self, state: PeerState) -> None:
        if self._closed:
            return
        if state is PeerState.CONNECTED:
            self.outbound.ready(self._rtc.clock())
        elif state.final:
            reason = self.peer.reason or state.value
            self.close()
            self._viewer.ended(reason)

    def close(self) -> None:
        """End it. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._rtc.downs.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self.outbound.close(self._rtc.clock())
        self._tracks.clear()
        self.peer.close()
