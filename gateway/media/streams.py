"""The directory of streams: one place that answers "give me stream X as RTP" or "as frames".

A `Stream` has both hubs for its whole life: `live` (frames) and `audio`, `video` (RTP). It is native to the hub that
its publisher feeds; the other hub is fed by a bridge, and only while somebody there listens:

    publisher "live" (RTMP)    live ──▶ ToRtp ──▶ audio, video     while a publication has subscriptions
    publisher "rtp" (WebRTC)   audio, video ──▶ ToLive ──▶ live    while the frame hub has readers
    H.264 from either          video ──▶ ToVp8 ──▶ video_vp8       while viewers without H.264 watch, if configured

Invariant: at most one publisher per stream; a newer one replaces the older at once, whatever the transports, and
viewers on both sides stay attached (the hubs make time and sequence numbers continue).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

from pyee.base import EventEmitter

from gateway.base.clock import Clock, monotonic
from gateway.base.config import AudioConfig, BridgeConfig, LiveConfig, RtcConfig
from gateway.base.errors import GatewayError, NameTaken
from gateway.base.tasks import Tasks
from gateway.media.bridge.pool import CodecPool
from gateway.media.bridge.to_live import ToLive
from gateway.media.bridge.to_rtp import ToRtp
from gateway.media.bridge.to_vp8 import ToVp8
from gateway.media.live.stream import LiveStream
from gateway.media.sfu.publication import Publication
from gateway.media.sfu.subscription import Subscription
from gateway.wire.frame import Codec

log = logging.getLogger(__name__)

FORGET_S = 60.0
"""An idle stream (no publisher, no reader, no subscription) is dropped from memory after this long."""


class Publisher(Protocol):
    """Whoever feeds a stream: an RTMP connection, an up connection of a browser or of WHIP."""

    def replaced(self, reason: str) -> None:
        """A newer publisher has taken the stream; stop sending. Must not call back into the stream."""


Native = Literal["live", "rtp"]


class _Linger:
    """Calls `over` when nobody has wanted something for `seconds`."""

    def __init__(self, seconds: float, over: Callable[[], None]) -> None:
        self._seconds = seconds
        self._over = over
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """It is not wanted now. Nothing happens if that is known."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._due)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        self._over()


class Stream:
    """One named stream and its two hubs. `events` announces "notice" (text): what a viewer should be told in words."""

    def __init__(self, stream_id: str, owner: Streams) -> None:
        self.id = stream_id
        self.events = EventEmitter()
        self.publisher: Publisher | None = None
        self.native: Native | None = None
        self.idle_since = owner.clock()
        self._owner = owner
        self._bridge: ToRtp | ToLive | None = None
        self._linger = _Linger(owner.bridge_config.linger_s, self._linger_over)
        self._video_vp8: Publication | None = None
        self._to_vp8: ToVp8 | None = None
        self._vp8_linger = _Linger(owner.bridge_config.linger_s, self._vp8_linger_over)
        self.live = LiveStream(stream_id, owner.live_config)
        self.audio = Publication("audio", stream_id, owner.rtc_config)
        self.video = Publication("video", stream_id, owner.rtc_config)
        self.live.demand = self._demand_changed
        self.audio.demand = self._demand_changed
        self.video.demand = self._demand_changed

    @property
    def bridging(self) -> str | None:
        """ "to_rtp", "to_live" or None: what runs between the hubs now."""
        if self._bridge is None:
            return None
        return "to_rtp" if isinstance(self._bridge, ToRtp) else "to_live"

    @property
    def bridge(self) -> ToRtp | ToLive | None:
        """What runs between the hubs now."""
        return self._bridge

    @property
    def vp8_viewers(self) -> int:
        return 0 if self._video_vp8 is None else len(self._video_vp8.subscriptions)

    def publish_live(self, publisher: Publisher, now: float) -> None:
        """Make `publisher` the one that writes frames into `live`. The older publisher is replaced.

        Raises NameTaken if there is one and rtmp.on_duplicate is "refuse".
        """
        self._take(publisher, "live")
        self.live.start_source(now)
        self._demand_changed(True)

    def publish_rtp(self, publisher: Publisher, now: float) -> None:
        """Make `publisher` the one that feeds `audio` and `video`. The older publisher is replaced.

        Raises NameTaken if there is one and rtmp.on_duplicate is "refuse".
        """
        self._take(publisher, "rtp")
        self._demand_changed(True)

    def unpublish(self, publisher: Publisher, now: float, reason: str = "unpublished") -> None:
        """`publisher` has ended. Nothing happens if a newer one has taken its place."""
        if self.publisher is not publisher:
            return
        native, self.publisher, self.native = self.native, None, None
        log.info("[%s] publisher left: %s", self.id, reason)
        self._stop_bridge(reason)
        if native == "live":
            self.live.stop_source(reason)
        self.idle_since = now

    def interrupt(self, *, video: bool) -> None:
        """Its publisher is held back from now on: newcomers in either hub get nothing of what it sent before."""
        self.live.interrupt(video=video)
        for publication in (self.video, self._video_vp8):
            if publication is not None and video:
                publication.forget_kept()

    def _take(self, publisher: Publisher, native: Native) -> None:
        old = self.publisher
        if old is publisher:
            return
        if old is not None:
            if self._owner.refuse_duplicates:
                raise NameTaken(f"stream {self.id} has a publisher, and rtmp.on_duplicate is refuse")
            log.info("[%s] publisher replaced (%s by %s)", self.id, self.native, native)
        if self.native != native:
            self._stop_bridge("source changed")
            if self.native == "live":
                self.live.stop_source("replaced")
        self.publisher, self.native = publisher, native
        if old is not None:
            old.replaced("replaced")

    # --- the bridge follows demand

    @property
    def _watched(self) -> bool:
        """Somebody watches by WebRTC."""
        vp8 = self._video_vp8
        return bool(self.audio.subscriptions or self.video.subscriptions or (vp8 is not None and vp8.subscriptions))

    def _wanted(self) -> bool:
        if self.native == "live":
            return self._watched
        if self.native == "rtp":
            return bool(self.live.readers)
        return False

    def _demand_changed(self, _more: bool) -> None:
        if self._wanted():
            self._linger.cancel()
            if self._bridge is None:
                self._start_bridge()
        elif self._bridge is not None:
            self._linger.start()

    def _linger_over(self) -> None:
        if not self._wanted():
            self._stop_bridge("nobody listens")

    def _start_bridge(self) -> None:
        owner = self._owner
        bridge: ToRtp | ToLive
        if self.native == "live":
            bridge = ToRtp(self.live, self.audio, self.video, owner.pool, owner.bridge_config, owner.audio_config)
        else:
            bridge = ToLive(self.live, self.audio, self.video, owner.pool, owner.bridge_config, owner.audio_config)
        bridge.notice = self._notice
        self._bridge = bridge  # before it starts: starting changes the demand
        try:
            bridge.start()
        except GatewayError as error:
            self._bridge = None
            self._notice(error.message)
            return
        log.info("[%s] bridge %s started", self.id, self.bridging)

    def _stop_bridge(self, reason: str) -> None:
        self._linger.cancel()
        bridge, self._bridge = self._bridge, None
        if bridge is not None:
            log.info("[%s] bridge stopped: %s", self.id, reason)
            self._owner.tasks.start(bridge.stop(), f"stop bridge of {self.id}")

    # --- VP8 for viewers without H.264

    @property
    def makes_vp8(self) -> bool:
        """The operator lets H.264 be transcoded for viewers that cannot decode it."""
        return self._owner.bridge_config.to_vp8

    @property
    def video_vp8(self) -> Publication:
        """The same picture in VP8 with the same times, while `video` is H.264. Made when it is asked for first."""
        if self._video_vp8 is None:
            self._video_vp8 = Publication("video", self.id, self._owner.rtc_config)
            self._video_vp8.demand = self._vp8_demand_changed
        return self._video_vp8

    @property
    def transcodes_to_vp8(self) -> bool:
        return self._to_vp8 is not None

    def show_vp8(self, subscription: Subscription, codec: Codec, now: float) -> bool:
        """Switch a viewer of `video` that cannot take `codec` to VP8; False: that is no help, or not allowed.

        It comes back by itself when the publisher's codec is no longer H.264.
        """
        if codec is not Codec.H264 or not self.makes_vp8 or Codec.VP8 not in subscription.payload_types:
            return False
        subscription.switch(self.video_vp8, now)
        return True

    def _vp8_demand_changed(self, more: bool) -> None:
        self._demand_changed(more)  # of RTMP the H.264 packets are made only while they are wanted
        if not self.video_vp8.subscriptions:
            self._vp8_linger.start()
            return
        self._vp8_linger.cancel()
        if self._to_vp8 is None:
            self._to_vp8 = ToVp8(self.video, self.video_vp8, self._owner.pool)
            self._to_vp8.notice = self._notice
            self._to_vp8.other_codec = self._leave_vp8
            self._to_vp8.start()
            log.info("[%s] bridge to_vp8 started", self.id)

    def _vp8_linger_over(self) -> None:
        if not self.video_vp8.subscriptions:
            self._stop_vp8("nobody watches")

    def _stop_vp8(self, reason: str) -> None:
        self._vp8_linger.cancel()
        bridge, self._to_vp8 = self._to_vp8, None
        if bridge is not None:
            log.info("[%s] bridge to_vp8 stopped: %s", self.id, reason)
            self._owner.tasks.start(bridge.stop(), f"stop VP8 of {self.id}")

    def _leave_vp8(self) -> None:
        """The publisher sends another codec than H.264: its viewers take that, or are told that they cannot."""
        if self._video_vp8 is not None and self.video.codec is not Codec.H264:
            for subscription in list(self._video_vp8.subscriptions):
                subscription.switch(self.video, self._owner.clock())

    def _notice(self, text: str) -> None:
        log.warning("[%s] %s", self.id, text)
        self.events.emit("notice", text)

    def idle(self) -> bool:
        return self.publisher is None and not (self.live.readers or self._watched)

    def close(self, reason: str) -> None:
        """Let go of everything; readers are told that the stream has ended."""
        publisher, self.publisher, self.native = self.publisher, None, None
        self._stop_bridge(reason)
        self._stop_vp8(reason)
        if publisher is not None:
            publisher.replaced(reason)
        self.live.close(reason)


class Streams:
    """All streams of this process, by stream id. Everything here runs on the event loop."""

    def __init__(
        self,
        pool: CodecPool,
        *,
        bridge: BridgeConfig,
        audio: AudioConfig,
        live: LiveConfig,
        rtc: RtcConfig,
        refuse_duplicates: bool = False,
        clock: Clock = monotonic,
    ) -> None:
        self.pool = pool
        self.bridge_config = bridge
        self.audio_config = audio
        self.live_config = live
        self.rtc_config = rtc
        self.refuse_duplicates = refuse_duplicates
        self.clock = clock
        self.tasks = Tasks("streams")
        self._streams: dict[str, Stream] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[Stream]:
        return iter(list(self._streams.values()))

    def get(self, stream_id: str) -> Stream | None:
        return self._streams.get(stream_id)

    def open(self, stream_id: str) -> Stream:
        """Return the stream of that id, made now if there is none."""
        stream = self._streams.get(stream_id)
        if stream is None:
            stream = self._streams[stream_id] = Stream(stream_id, self)
        return stream

    def sweep(self, now: float) -> None:
        """Forget streams that have been idle for FORGET_S. Call every few seconds."""
        for stream_id, stream in list(self._streams.items()):
            if not stream.idle():
                stream.idle_since = now
            elif now - stream.idle_since > FORGET_S:
                stream.close("idle")
                del self._streams[stream_id]

    async def aclose(self) -> None:
        for stream in self:
            stream.close("server stops")
        self._streams.clear()
        await self.tasks.join(2.0)
        await self.tasks.aclose()
