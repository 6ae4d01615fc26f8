"""From H.264 packets to VP8 packets, for viewers that cannot decode H.264, if the operator allows it.

    video ──Tap──▶ Assembler ─▶ H264ToVp8 (pool) ─▶ Vp8Packetizer ──▶ video_vp8

It runs only while somebody watches the second publication. Times are the source's own: the same RTP timestamps and
the same reports, so the sound that belongs to the picture stays the same publication. A viewer that needs a key frame
gets it from our encoder; the source is asked only when our decoder needs one. While the codecs are behind, pictures
are decoded and not encoded: the rate of pictures falls, and nobody waits for a key frame.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from gateway.base.clock import Clock, monotonic
from gateway.base.errors import Overloaded
from gateway.media.bridge.assemble import Assembler, Picture
from gateway.media.bridge.picture import H264ToVp8, PictureIn, PictureOut
from gateway.media.bridge.pool import CodecPool, Line, Lines
from gateway.media.sfu.publication import Publication
from gateway.wire import h264
from gateway.wire.frame import TICKS, Codec
from gateway.wire.payload import Vp8Packetizer
from gateway.wire.rtp import RtpPacket, SeqUnwrapper

log = logging.getLogger(__name__)

TICK_S: Final = 0.050
QUEUE: Final = 8
"""Pictures to encode that may wait."""
BEHIND: Final = 40
"""Pictures to decode only that may wait beside them, more than a second's."""
CATCH_UP: Final = 2500
"""The same for CATCH_UP_S after a source begins: an RTMP publisher's kept group comes as a whole."""
CATCH_UP_S: Final = 5.0
KEYFRAME_INTERVAL_S: Final = 60.0
"""Viewers ask for the key frames that they need; this is only so that there is no stream without one."""
ASK_S: Final = 1.0
"""A source is asked again for the key frame that our decoder needs."""
STILL_S: Final = 0.5
"""A source that has sent no picture for so long is asked for one when a viewer needs a key frame."""
RETRY_S: Final = 1.0
REFUSED_RETRY_S: Final = 5.0
RESTART: Final = 10 * TICKS
"""A timestamp this far behind begins a new count."""

_MASK: Final = 0xFFFFFFFF


class ToVp8:
    """See the module. Make it, `start()` it, and run what `stop()` returns. All on one event loop.

    It is a Tap of `video` and the Source of `vp8`. `notice(text)`: something a viewer should be told in words.
    `other_codec()`: the source sends something else than H.264 now; called from the event loop, not from the tap.
    """

    def __init__(self, video: Publication, vp8: Publication, pool: CodecPool, clock: Clock = monotonic) -> None:
        self.notice: Callable[[str], None] | None = None
        self.other_codec: Callable[[], None] | None = None
        self.overflows = self.failures = self.hidden = 0
        self._video = video
        self._vp8 = vp8
        self._pool = pool
        self._clock = clock
        self._lines = Lines()
        self._timer: asyncio.TimerHandle | None = None
        self._running = self._starting = self._told = False
        self._assembler: Assembler | None = None
        self._line: Line[PictureIn, PictureOut] | None = None
        self._wait_key = False  # our decoder needs a key frame
        self._ask_encoder = self._ask_source = False
        self._ask_at = self._retry_at = self._catch_up_until = self._picture_at = 0.0
        self._unwrapper = SeqUnwrapper(bits=32)  # of timestamps
        self._last_pts = 0
        self._arrivals: dict[int, float] = {}  # of pictures in the codecs, by pts
        self._packetizer = Vp8Packetizer(picture_id=random.getrandbits(15))
        self._seq, self._ssrc = random.getrandbits(15), random.getrandbits(32)

    def start(self) -> None:
        """Begin to listen, with the kept pictures first; be the source of the VP8 publication while H.264 comes."""
        self._running = self._starting = True
        self._video.add_tap(self, self._clock(), kept=True)
        self._starting = False
        self.tick(self._clock())
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def stop(self) -> Coroutine[Any, Any, None]:
        """Detach at once; the returned coroutine waits (at most about a second) until the codecs are freed."""
        if self._running:
            self._running = False
            now = self._clock()
            self._video.remove_tap(self, now)
            if self._timer is not None:
                self._timer.cancel()
            self._vp8.stop(self, now)
            self._lines.close()
        return self._lines.aclose()

    def _tick(self) -> None:
        if self._running:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
            self.tick(self._clock())

    def tick(self, now: float) -> None:
        """What is due by time: repairs given up, key frames asked for. Runs by itself each TICK_S."""
        if self._assembler is not None:
            for picture in self._assembler.expire(now):
                self._take(picture, now)
            if now >= self._retry_at and (self._ask_source or (self._needs_key and now >= self._ask_at)):
                self._ask(now)

    # --- as the source of the VP8 publication

    def request_keyframe(self) -> None:
        """A viewer needs a key frame: the next picture becomes one."""
        self._ask_encoder = True
        self._ask_source |= self._needs_key or self._clock() - self._picture_at > STILL_S  # soon: no taps call back

    @property
    def _needs_key(self) -> bool:
        """Nothing goes on without a key frame of the source."""
        return self._line is None or self._wait_key or (self._assembler is not None and self._assembler.waiting)

    def _ask(self, now: float) -> None:
        self._ask_source = False
        self._ask_at = now + ASK_S
        self._video.request_keyframe(now, urgent=True)

    # --- as a tap of the H.264 publication

    def on_source(self, codec: Codec | None, now: float) -> None:
        """What was gathered is void, and ours begins anew as the source does."""
        self._assembler = None
        self._close_line()
        self._unwrapper = SeqUnwrapper(bits=32)
        self._told = False
        self._retry_at = 0.0
        self._vp8.stop(self, now)
        if codec is Codec.H264:
            self._assembler = Assembler(codec)
            self._ask_at = now
            self._catch_up_until = now + CATCH_UP_S
            self._vp8.start(Codec.VP8, TICKS, self, now)
        elif codec is not None and self.other_codec is not None:
            asyncio.get_running_loop().call_soon(self.other_codec)

    def on_sender_report(self, ntp: int, rtp: int, now: float) -> None:
        if self._assembler is not None:
            self._vp8.sender_report(ntp, rtp, now, ntp_offset=self._video.ntp_offset)

    def on_packets(self, packets: Sequence[RtpPacket], now: float) -> None:
        assembler = self._assembler
        if assembler is None:
            return
        pictures: list[Picture] = []
        for packet in packets:
            # As stamps, never negative; a float holds them exactly.
            stamp = float((1 << 32) + self._unwrapper.unwrap(packet.timestamp)) if packet.payload else 0.0
            pictures += assembler.add(packet, stamp, now)
        for picture in pictures:
            # Of the kept pictures only the newest is shown: it is the one that is live.
            self._take(picture, now, show=not self._starting or picture is pictures[-1])

    # --- through the codecs

    def _take(self, picture: Picture, now: float, *, show: bool = True) -> None:
        pts = int(picture.stamp)
        self._picture_at = now
        if self._line is not None and self._last_pts - pts > RESTART:
            self._close_line()  # the encoder's stamps must rise
        if (self._line is None or self._wait_key) and not picture.keyframe:
            return
        line = self._line or self._open(now)
        if line is None:
            return
        self._wait_key = False
        self._last_pts = pts
        if line.waiting >= QUEUE and not self._starting:
            show = False
        self.hidden += not show
        behind = CATCH_UP if now < self._catch_up_until else BEHIND
        data = h264.join_annexb(picture.units)
        item = PictureIn(data, pts, picture.keyframe, show=show, ask_keyframe=self._ask_encoder)
        if not line.put(item, 1.0 if show else QUEUE / behind):
            self.overflows += 1 + line.clear()
            self._arrivals.clear()
            self._wait_key = True
            return
        self._ask_encoder = False
        self._ask_at = now  # what is needed next is asked for at once
        if show:
            if len(self._arrivals) >= 2 * QUEUE:  # some that the codecs never gave
                self._arrivals.clear()
            self._arrivals[pts] = now

    def _open(self, now: float) -> Line[PictureIn, PictureOut] | None:
        if now < self._retry_at:
            return None
        try:
            self._pool.admit_video()
        except Overloaded as error:
            self._retry_at = now + REFUSED_RETRY_S
            if not self._told and self.notice is not None:
                self._told = True
                self.notice(f"browsers that cannot show H264 get no picture for now: {error.message}")
            return None
        line: Line[PictureIn, PictureOut] = Line(
            self._pool,
            lambda: H264ToVp8(Codec.H264, keyframe_interval_s=KEYFRAME_INTERVAL_S),
            self._write,
            self._failed,
            limit=2 * QUEUE,
        )
        self._told = False
        self._lines.add(line)
        self._line = line
        return line

    def _close_line(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        self._arrivals.clear()

    def _failed(self, error: BaseException) -> None:
        self.failures += 1
        log.error("[%s] ! VP8 transcoder failed", self._video.name, exc_info=error)
        self._line = None
        self._retry_at = self._clock() + RETRY_S

    def _write(self, pictures: list[PictureOut]) -> None:
        if not self._running:
            return
        now = self._clock()
        for picture in pictures:
            arrival = self._arrivals.pop(picture.pts, now)
            if picture.lost:
                self._wait_key = True
                continue
            rtp, ssrc = picture.pts & _MASK, self._ssrc
            packets: list[RtpPacket] = []
            for payload in self._packetizer.packetize(picture.data):
                self._seq = self._seq + 1 & 0xFFFF
                packets.append(RtpPacket(0, False, self._seq, rtp, ssrc, payload, None, arrival))
            packets[-1].marker = True
            self._vp8.write(packets, now)
