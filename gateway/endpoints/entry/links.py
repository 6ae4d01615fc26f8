"""WebRTC connections as the endpoints use them: a peer, its RTP feedback, and the streams that it feeds or plays.

`UpLink` is what a browser or an encoder sends: it makes each sending section the source of one kind of one stream, and
tells the directory when media may flow. `DownLink` is what a viewer receives: a wish per track, kept over restarts of
the stream, an offer whenever the sections have to change, one offer outstanding at a time. Signaling, WHIP and WHEP
use the same two. `WebRtc` owns them all and gives them the clock's beat.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from typing import Final, Literal

from gateway.base.clock import Clock, monotonic
from gateway.base.errors import BadRequest, SdpError
from gateway.base.tasks import Tasks
from gateway.endpoints.entry.admission import Entry
from gateway.endpoints.entry.flows import Flows, Kinds
from gateway.endpoints.entry.grants import PushGrant
from gateway.endpoints.entry.publishing import Publishing
from gateway.endpoints.entry.words import cannot_take
from gateway.media.rtc.datachannel import Send
from gateway.media.rtc.peer import DownPeer, DtlsCertificate, InboundTrack, PeerState, Slot, UpPeer
from gateway.media.rtc.udp_mux import UdpMux
from gateway.media.sfu.feedback import Inbound, Outbound
from gateway.media.sfu.subscription import Subscription
from gateway.media.streams import Stream, Streams
from gateway.rooms.room import StreamKind
from gateway.wire import sdp
from gateway.wire.frame import Codec

TICK_S: Final = 0.05
OFFER_DELAY_S: Final = 0.01
"""Wishes that come together make one offer."""
ANSWER_TIMEOUT_S: Final = 10.0
MAX_REPEATS: Final = 2
"""Offers that go unanswered are repeated so often."""

Kind = Literal["audio", "video"]


class WebRtc:
    """All WebRTC links of this node: what they are made of, and their common beat of 50 ms."""

    def __init__(
        self, mux: UdpMux, certificate: DtlsCertificate, streams: Streams, entry: Entry, clock: Clock = monotonic
    ) -> None:
        self.mux = mux
        self.certificate = certificate
        self.streams = streams
        self.entry = entry
        self.clock = clock
        self.ups: set[UpLink] = set()
        self.downs: set[DownLink] = set()
        self._tasks = Tasks("webrtc")

    async def start(self) -> None:
        self._tasks.start(self._beat(), "beat")

    async def aclose(self) -> None:
        await self._tasks.aclose()
        for up in list(self.ups):
            up.close()
        for down in list(self.downs):
            down.close()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = self.clock()
            for up in list(self.ups):
                up.inbound.tick(now)
            for down in list(self.downs):
                down.tick(now)


@dataclasses.dataclass(frozen=True, slots=True)
class Offered:
    """What an up offer says before anything is done with it: its certificate, and the kind of each sending section."""

    fingerprint: str
    ufrag: str
    sending: Mapping[str, Kind]


def read_offer(text: str) -> Offered:
    """Look into an offer. Raises SdpError."""
    session = sdp.parse(text)
    if not session.sections:
        raise SdpError("no m-line")
    sending: dict[str, Kind] = {}
    for section in session.sections:
        if (
            section.kind in ("audio", "video")
            and not section.rejected
            and section.direction in ("sendonly", "sendrecv")
        ):
            sending[section.mid] = "video" if section.kind == "video" else "audio"
    first = session.sections[0]
    return Offered(" ".join(sorted(item.value.upper() for item in first.fingerprints)), first.ice_ufrag, sending)


class _Feed:
    """One stream that an up link publishes: the stream's `Publisher`, and the gate of its flow."""

    def __init__(self, link: UpLink, stream: Stream, publishing: Publishing, flows: Flows) -> None:
        self.link = link
        self.stream = stream
        self.publishing = publishing
        self.tracks: dict[Kind, InboundTrack] = {}
        """What the client sends, whether it may pass now or not."""
        self.flow = flows.follow(publishing.grant, self)

    def passes(self, kind: Kind) -> bool:
        return self.flow.allowed.video if kind == "video" else self.flow.allowed.audio

    def replaced(self, reason: str) -> None:
        self.link.feed_replaced(self, reason)

    def allow(self, kinds: Kinds) -> None:
        self.link.feed_allowed(self)

    def cut(self, reason: str) -> None:
        self.link.feed_cut(self, reason)


class UpLink:
    """One up connection.

    `on_end(reason)` is called once, if it dies by itself; `on_taken(grant)` when another publisher takes a stream;
    `on_cut(reason)` when the user is thrown out (its streams end in any case); `on_channel(label, send)` and
    `on_message(label, data)` for datachannels that the client opens.
    """

    def __init__(
        self,
        rtc: WebRtc,
        transport: str,
        *,
        on_end: Callable[[str], None],
        on_taken: Callable[[PushGrant], None],
        on_cut: Callable[[str], None] | None = None,
        on_channel: Callable[[str, Send], None] | None = None,
        on_message: Callable[[str, str | bytes], None] | None = None,
    ) -> None:
        self._rtc = rtc
        self._transport = transport
        self._on_end = on_end
        self._on_taken = on_taken
        self._on_cut = on_cut
        self._feeds: dict[str, _Feed] = {}
        self._closed = False
        self.fingerprint = ""
        self.peer = UpPeer(rtc.mux, rtc.certificate, self._state_changed, on_channel=on_channel, on_message=on_message)
        self.inbound = Inbound(self.peer.send_rtcp)
        self.peer.on_packets = self.inbound.receive
        self.peer.on_rtcp = self.inbound.handle_rtcp
        rtc.ups.add(self)

    @property
    def alive(self) -> bool:
        return not self._closed and not self.peer.state.final

    @property
    def streams(self) -> list[PushGrant]:
        return [feed.publishing.grant for feed in self._feeds.values()]

    def accept(self, offer: str, plan: Mapping[str, PushGrant]) -> str:
        """Answer the first or a later offer; `plan` names the stream of each sending section by its mid.

        Streams that no section sends any more are given up. Raises SdpError, NoCommonCodec, NameTaken, BadRequest (two
        sections of one kind for one stream); then everything is as it was.
        """
        offered = read_offer(offer)
        wanted: dict[tuple[str, Kind], str] = {}
        for mid, kind in offered.sending.items():
            key = (plan[mid].stream_id, kind)
            if key in wanted:
                raise BadRequest(f"streams: mids {wanted[key]} and {mid} are both {kind} of one stream")
            wanted[key] = mid
        grants = {plan[mid].stream_id: plan[mid] for mid in offered.sending}
        new: list[_Feed] = []
        try:
            for stream_id, grant in grants.items():
                if stream_id not in self._feeds:
                    new.append(self._start(grant))
            negotiated = self.peer.accept(offer)
        except BaseException:
            for feed in new:
                self._stop(feed, "offer refused")
            raise
        self.fingerprint = offered.fingerprint
        self._bind({track.mid: track for track in negotiated.tracks if track.direction == "sendonly"}, plan)
        return negotiated.answer

    def _bind(self, tracks: Mapping[str, InboundTrack], plan: Mapping[str, PushGrant]) -> None:
        now = self._rtc.clock()
        for feed in list(self._feeds.values()):
            old, feed.tracks = feed.tracks, {}
            for mid, grant in plan.items():
                track = tracks.get(mid)
                if track is not None and grant.stream_id == feed.stream.id:
                    feed.tracks[track.kind] = track
            self._let_pass(feed, now)
            kept = {track.mid for track in feed.tracks.values()}
            for track in old.values():
                if track.mid not in kept and track.mid not in tracks:
                    self.inbound.unbind(track.mid, now)
            if not feed.tracks:
                self._stop(feed, "unpublished")
            else:
                self._announce(feed)

    def _let_pass(self, feed: _Feed, now: float) -> None:
        """Make the tracks that may pass the sources of their publications, and no others."""
        for kind, track in feed.tracks.items():
            if feed.passes(kind):
                self.inbound.bind(track, feed.stream.video if kind == "video" else feed.stream.audio)
            else:
                self.inbound.unbind(track.mid, now)

    def _start(self, grant: PushGrant) -> _Feed:
        stream, entry = self._rtc.streams.open(grant.stream_id), self._rtc.entry
        feed = _Feed(self, stream, entry.publishing(grant, self._transport), entry.flows)
        try:
            stream.publish_rtp(feed, self._rtc.clock())
        except BaseException:
            feed.flow.close()
            raise
        self._feeds[stream.id] = feed
        return feed

    def _announce(self, feed: _Feed) -> None:
        if self.peer.state is PeerState.CONNECTED:
            feed.publishing.update(audio="audio" in feed.tracks, video="video" in feed.tracks)

    def stop(self, stream_id: str) -> bool:
        """Give up one stream; False if it is not published here."""
        feed = self._feeds.get(stream_id)
        if feed is None:
            return False
        self._stop(feed, "unpublished")
        return True

    def publishing(self, stream_id: str) -> Publishing | None:
        """Return what the directory is told of that stream, if it is published here."""
        feed = self._feeds.get(stream_id)
        return None if feed is None else feed.publishing

    def feed_allowed(self, feed: _Feed) -> None:
        """Other kinds of a stream may pass than before. The client sends on as it likes."""
        self._let_pass(feed, self._rtc.clock())
        if not (feed.passes("audio") and feed.passes("video")):
            feed.stream.interrupt(video=not feed.passes("video"))

    def feed_cut(self, feed: _Feed, reason: str) -> None:
        """The user has been thrown out."""
        if self._on_cut is not None:
            self._on_cut(reason)
        if feed.stream.id in self._feeds:
            self._stop(feed, reason)

    def _stop(self, feed: _Feed, reason: str) -> None:
        now = self._rtc.clock()
        self._feeds.pop(feed.stream.id, None)
        feed.flow.close()
        for track in feed.tracks.values():
            self.inbound.unbind(track.mid, now)
        feed.stream.unpublish(feed, now, reason)
        feed.publishing.close()

    def feed_replaced(self, feed: _Feed, reason: str) -> None:
        """Another publisher has taken the stream: its media counts from now on, whatever we still receive."""
        if self._feeds.pop(feed.stream.id, None) is None:
            return
        now = self._rtc.clock()
        feed.flow.close()
        for track in feed.tracks.values():
            self.inbound.unbind(track.mid, now)
        feed.publishing.superseded()
        self._on_taken(feed.publishing.grant)

    def _state_changed(self, state: PeerState) -> None:
        if self._closed:
            return
        if state is PeerState.CONNECTED:
            for feed in list(self._feeds.values()):
                self._announce(feed)
        elif state.final:
            reason = self.peer.reason or state.value
            self.close()
            self._on_end(reason)

    def close(self) -> None:
        """End it and everything that it publishes. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._rtc.ups.discard(self)
        for feed in list(self._feeds.values()):
            self._stop(feed, "closed")
        self.inbound.close(self._rtc.clock())
        self.peer.close()


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
