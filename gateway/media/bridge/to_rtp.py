"""From the frame hub to the RTP hub: an RTMP publisher's frames become packets for browsers.

    sound    AAC ─▶ SampleClock ─▶ AacToOpus (pool) ─▶ one packet each 20 ms, RTP time counted in samples
    picture  H.264 ─▶ as it is ─▶ packets, RTP time = presentation time
                    └─ with B-frames, or another codec ─▶ VideoToH264 (pool) ─▶ packets

It runs only while somebody watches by WebRTC. At the start the kept group of pictures goes out with its true times,
so that the first viewer has a picture at once; sound begins live. Reports of both tracks lie on one line of NTP and
stream time: each second, the first at once, never bent by a stall.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from gateway.base.clock import Clock, monotonic, ntp64, wall
from gateway.base.config import AudioConfig, BridgeConfig
from gateway.base.errors import CodecDataError
from gateway.media.bridge.pool import CodecPool, Lines
from gateway.media.bridge.rtp_picture import QUEUE, Mode, PictureToRtp
from gateway.media.bridge.rtp_sound import SoundToRtp
from gateway.media.live.stream import LiveStream, Start
from gateway.media.sfu.publication import Publication
from gateway.wire.frame import TICKS, Frame, Metadata

log = logging.getLogger(__name__)

REPORT_S: Final = 1.0
SLICE_S: Final = 0.004
"""Longest time that a replay keeps the event loop; then others have their turn."""
SHOWN: Final = 6
"""Of a kept group that has to be transcoded only so many pictures are encoded: more than a decoder holds back."""


class ToRtp:
    """See the module. Make it, `start()` it, and run what `stop()` returns. All on one event loop.

    It is a Reader of `live` and the Source of both publications. `notice(text)`: something a viewer should be told in
    words.
    """

    audio = True
    video = True
    wants_keyframes = False

    def __init__(
        self,
        live: LiveStream,
        audio: Publication,
        video: Publication,
        pool: CodecPool,
        config: BridgeConfig,
        audio_config: AudioConfig | None = None,
        clock: Clock = monotonic,
        wall_clock: Clock = wall,
    ) -> None:
        self.notice: Callable[[str], None] | None = None
        self.damaged = 0
        self._live = live
        self._clock = clock
        self._wall = wall_clock
        self._running = self._starting = False
        self._told: set[str] = set()
        self._lines = Lines()
        self._pending: deque[Frame] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._unix_zero: float | None = None  # unix time of stream time 0
        self._newest = 0  # stream time reached, in ticks
        self.sound = SoundToRtp(audio, self, pool, self._lines, audio_config or AudioConfig(), clock, live.name)
        self.picture = PictureToRtp(live, video, self, pool, self._lines, config, clock, self._tell)

    @property
    def mode(self) -> Mode:
        """How the picture goes."""
        return self.picture.mode

    @property
    def work(self) -> tuple[str, str]:
        """What happens to the sound and to the picture, in a word or two for people."""
        return self.sound.work, self.picture.work

    def start(self) -> None:
        """Become the source of both publications, with the kept group first."""
        self._running = self._starting = True
        self.picture.publication.keep_gop = True
        self._live.add_reader(self, Start.GOP)
        self._starting = False
        if len(self._pending) > QUEUE:
            self.picture.catch_up()
        self._drain()
        self._timer = asyncio.get_running_loop().call_later(REPORT_S, self._tick)

    def stop(self, reason: str = "nobody watches") -> Coroutine[Any, Any, None]:
        """Detach at once; the returned coroutine waits (at most about a second) until the codecs are freed."""
        if self._running:
            self._running = self.sound.running = self.picture.running = False
            now = self._clock()
            self._live.remove_reader(self)
            self._pending.clear()
            if self._timer is not None:
                self._timer.cancel()
            self.sound.publication.stop(self, now)
            self.picture.publication.stop(self, now)
            self.picture.publication.keep_gop = False
            self._lines.close()
        return self._lines.aclose()

    def request_keyframe(self) -> None:
        """As the source of a publication: a viewer needs a key frame."""
        self.picture.request_keyframe()

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            if self.notice is not None:
                self.notice(text)
            else:
                log.warning("[%s] %s", self._live.name, text)

    # --- as a reader of the frame hub

    def deliver(self, frame: Frame) -> None:
        if not self._running:
            return
        if self._starting and frame.is_audio and not frame.config:
            return  # sound begins live
        if self._starting or self._pending:
            self._pending.append(frame)
        else:
            self._take(frame)

    def metadata(self, metadata: Metadata) -> None:
        return

    def stopped(self, reason: str) -> None:
        """The stream has ended and we are no reader any more; whoever started us stops us."""
        self._pending.clear()

    def _drain(self) -> None:
        """Work through the kept group, in slices: a long one must not hold up the event loop."""
        pending = self._pending
        until = time.perf_counter() + SLICE_S
        while pending and self._running:
            # It stays queued while it is worked on, so that nothing overtakes it.
            self._take(pending[0], newest=len(pending) <= SHOWN, replay=True)
            if pending:
                pending.popleft()
            if pending and time.perf_counter() > until:
                asyncio.get_running_loop().call_soon(self._drain)
                return

    def _take(self, frame: Frame, *, newest: bool = True, replay: bool = False) -> None:
        now = self._clock()
        try:
            if frame.config:
                if frame.is_audio:
                    self.sound.configure(frame)
                else:
                    self.picture.configure(frame)
                self._report(now)
                return
            self._reached(frame.dts)
            if not frame.is_audio:
                self.picture.take(frame, show=newest, replay=replay)
            elif self.sound.take(frame):
                self._report(now)
        except CodecDataError as error:
            self.damaged += 1
            log.debug("[%s] x %r: %s", self._live.name, frame, error)

    # --- reports: both tracks on one line

    def _reached(self, ticks: int) -> None:
        """Note how far the stream is. The first time, tie stream time to the wall clock, and report."""
        self._newest = max(self._newest, ticks)
        if self._unix_zero is None:
            self._newest = max(self._newest, self._live.position)
            self._unix_zero = self._wall() - self._newest / TICKS
            self._report(self._clock())

    def _tick(self) -> None:
        if self._running:
            self._timer = asyncio.get_running_loop().call_later(REPORT_S, self._tick)
            self._report(self._clock())

    def _report(self, now: float) -> None:
        """Say which RTP times belong to the stream time reached. The line is stream time's, not that of `now`."""
        if self._unix_zero is None:
            return
        stream_s = self._newest / TICKS
        ntp = ntp64(self._unix_zero + stream_s)
        if self.sound.publication.source is self:
            self.sound.publication.sender_report(ntp, self.sound.rtp_at(stream_s), now)
        if self.picture.publication.source is self:
            self.picture.publication.sender_report(ntp, self.picture.rtp_at(self._newest), now)
