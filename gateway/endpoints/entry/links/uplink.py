"""What a browser or an encoder sends: one up connection, in which only the client offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.base.errors import BadRequest
from gateway.endpoints.entry.flows import Flows, Kinds
from gateway.endpoints.entry.grants import PushGrant
from gateway.endpoints.entry.links.offers import Kind, read_offer
from gateway.endpoints.entry.links.webrtc import WebRtc
from gateway.endpoints.entry.publishing import Publishing
from gateway.media.rtc.datachannel import Send
from gateway.media.rtc.peer import InboundTrack, PeerState, UpPeer
from gateway.media.sfu.feedback import Inbound
from gateway.media.streams import Stream


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
