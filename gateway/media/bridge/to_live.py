"""From the RTP hub to the frame hub: a browser's packets become frames for RTMP, FLV and whatever reads frames.

    sound    Tap ─▶ Timeline ─▶ reorder, repair ─▶ OpusToAac (pool) ─▶ AAC frames without a hole
    picture  Tap ─▶ Timeline ─▶ Assembler ─▶ H.264 as it is, or VideoToH264 (pool) ─▶ H.264 frames

It runs only while the frame hub has readers. Both tracks are stamped by one Timeline: by the reports of both (sender
reports, and abs-capture-time where packets carry it: the hub hands that on as a report, ahead of the packet), else by
arrival. While it runs, key frames are asked for at the start, for new readers, every two seconds, and after a loss.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from gateway.base.clock import Clock, monotonic
from gateway.base.config import AudioConfig, BridgeConfig
from gateway.base.errors import CodecDataError, Overloaded
from gateway.media.bridge.assemble import Assembler, Picture
from gateway.media.bridge.picture import PictureIn, PictureOut, VideoToH264
from gateway.media.bridge.pool import CodecPool, Line, Lines
from gateway.media.bridge.sound import BROWSER_DELAY, RATE, Coded, OpusIn, OpusToAac
from gateway.media.live.stream import LiveStream
from gateway.media.sfu.publication import Publication
from gateway.wire import aac, h264, opus
from gateway.wire.frame import TICKS, Codec, Frame
from gateway.wire.h264 import NalType
from gateway.wire.rtp import RtpPacket, SeqUnwrapper
from gateway.wire.timeline import Timeline, Track

log = logging.getLogger(__name__)

TICK_S: Final = 0.020
STALL_S: Final = 0.060
"""The event loop stood still so long: packets may be waiting in the socket, so nothing is filled at this tick."""
START_S: Final = 0.1
"""Stream time of the first packet: the codecs' delays lie before it (28 ms), and no stamp may be negative."""
OVERDUE_S: Final = 0.060
"""Sound that is so late, on top of the network's own jitter, is filled with silence."""
MAX_JITTER_S: Final = 0.200
SOUND_REPAIR_S: Final = 0.060
"""How long a hole in the sound waits for a resend; the AAC encoder holds sound for about as long anyway."""
SOUND_QUEUE_MS: Final = 200.0
SOUND_BURST_MS: Final = 5000.0
PICTURE_QUEUE: Final = 8
LOSS_RETRY_S: Final = 0.5
REFUSED_RETRY_S: Final = 5.0

_LEFT_OUT: Final = frozenset(
    {NalType.SPS, NalType.PPS, NalType.AUD, NalType.SEI, NalType.FILLER, NalType.END_OF_SEQUENCE, NalType.END_OF_STREAM}
)


def _ntp_seconds(ntp: int) -> float:
    return ntp / 4294967296.0


class _Tap:
    """One publication's packets on their way to the bridge."""

    def __init__(self, bridge: ToLive, track: Track, publication: Publication) -> None:
        self.publication = publication
        self._bridge = bridge
        self._track: Track = track
        self._unwrapper = SeqUnwrapper()
        self._newest = -1
        self._last_rtp: int | None = None
        self._last_stamp = 0.0

    def on_source(self, codec: Codec | None, now: float) -> None:
        self._unwrapper = SeqUnwrapper()
        self._newest = -1
        self._last_rtp = None
        self._bridge.timeline.restart(self._track)
        if self._track == "audio":
            self._bridge.sound_source(codec)
        else:
            self._bridge.picture_source(codec, now)

    def on_sender_report(self, ntp: int, rtp: int, now: float) -> None:
        self._bridge.timeline.report(self._track, _ntp_seconds(ntp), rtp, now)

    def on_packets(self, packets: Sequence[RtpPacket], now: float) -> None:
        take = self._bridge.sound_packet if self._track == "audio" else self._bridge.picture_packet
        for packet in packets:
            seq = self._unwrapper.unwrap(packet.seq)
            if packet.payload:
                take(packet, seq, self._stamp(packet, seq, now), now)
            elif self._track == "video":
                take(packet, seq, 0.0, now)
            else:
                self._bridge.sound_padding(seq, now)

    def _stamp(self, packet: RtpPacket, seq: int, now: float) -> float:
        """The stream time of the packet; all packets of a picture get that of its first."""
        if packet.timestamp == self._last_rtp:
            return self._last_stamp
        in_order = seq > self._newest
        stamp = self._bridge.timeline.packet(self._track, packet.timestamp, packet.arrival or now, in_order)
        if in_order:
            self._newest = seq
            self._last_rtp, self._last_stamp = packet.timestamp, stamp
        return stamp


class ToLive:
    """See the module. Make it, `start()` it, and run what `stop()` returns. All on one event loop.

    `notice(text)`: something a viewer should be told in words. Counters are plain ints.
    """

    def __init__(
        self,
        live: LiveStream,
        audio: Publication,
        video: Publication,
        pool: CodecPool,
        config: BridgeConfig,
        audio_config: AudioConfig | None = None,
        clock: Clock = monotonic,
    ) -> None:
        self.notice: Callable[[str], None] | None = None
        self.timeline = Timeline({"audio": RATE, "video": TICKS})
        self.sound_overflows = self.picture_overflows = 0
        self.losses = 0
        self.failures = 0
        self._live = live
        self._audio = audio
        self._video = video
        self._pool = pool
        self._config = config
        self._audio_config = audio_config or AudioConfig()
        self._clock = clock
        self._taps = (_Tap(self, "audio", audio), _Tap(self, "video", video))
        self._timer: asyncio.TimerHandle | None = None
        self._lines = Lines()
        self._running = False
        self._ticked = 0.0
        self._told: set[str] = set()
        # sound
        self._sound: Line[OpusIn, Coded] | None = None
        self._sound_codec: Codec | None = None
        self._sound_held: dict[int, tuple[RtpPacket, float, float]] = {}
        self._sound_next: int | None = None
        self._sound_end = 0
        self._sound_channels = 1
        self._sound_configured = False
        self._sound_last_dts = -1
        self._sound_retry_at = 0.0
        self._jitter = 0.0
        # picture
        self._assembler: Assembler | None = None
        self._picture: Line[PictureIn, PictureOut] | None = None
        self._picture_wait_key = False
        self._encoder_key = False
        self._avcc = b""
        self._sets = h264.ParameterSets()
        self._picture_last_dts = -1
        self._ask_at = 0.0
        self._retry_at = 0.0

    @property
    def work(self) -> tuple[str, str]:
        """What happens to the sound and to the picture, in a word or two for people."""
        codec = self._video.codec
        if codec is None:
            picture = "waiting"
        elif self._assembler is None:
            picture = "refused"
        else:
            picture = "passes" if codec is Codec.H264 else f"{codec.value}→H264"
        return "Opus→AAC" if self._sound_codec is Codec.OPUS else "waiting", picture

    # --- life

    def start(self) -> None:
        """Become the source of `live` and begin to listen."""
        now = self._clock()
        self._running = True
        self._ticked = now
        self._live.start_source(now)
        self._live.request_keyframe = self._ask_for_reader
        for tap in self._taps:
            tap.publication.add_tap(tap, now)
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        self._ask(now, urgent=True)

    def stop(self, reason: str = "unpublished") -> Coroutine[Any, Any, None]:
        """Detach at once; the returned coroutine waits (at most about a second) until the codecs are freed."""
        if self._running:
            self._running = False
            now = self._clock()
            for tap in self._taps:
                tap.publication.remove_tap(tap, now)
            if self._timer is not None:
                self._timer.cancel()
            if self._live.request_keyframe == self._ask_for_reader:
                self._live.request_keyframe = None
            self._live.stop_source(reason)
            self._lines.close()
        return self._lines.aclose()

    def _tick(self) -> None:
        if self._running:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
            self.tick(self._clock())

    def tick(self, now: float) -> None:
        """What is due by time: repairs given up, silence, key frame requests. Runs by itself each TICK_S."""
        stalled = now - self._ticked > STALL_S
        self._ticked = now
        self._release_sound(now)
        if not stalled:
            self._fill_sound(now)
        assembler = self._assembler
        if assembler is not None:
            for picture in assembler.expire(now):
                self._take_picture(picture, now)
            waiting = assembler.waiting or self._picture_wait_key
            self.losses = assembler.losses
            if now >= self._ask_at or (waiting and now >= self._ask_at - self._ask_interval + LOSS_RETRY_S):
                self._ask(now, urgent=waiting)

    @property
    def _ask_interval(self) -> float:
        """Where we encode ourselves key frames are our own, and the browser's only needed after a loss."""
        ours = self._assembler is not None and self._assembler.codec is not Codec.H264
        return 3600.0 if ours else self._config.keyframe_interval_s

    def _ask(self, now: float, *, urgent: bool) -> None:
        self._ask_at = now + self._ask_interval
        self._video.request_keyframe(now, urgent=urgent)

    def _ask_for_reader(self) -> None:
        self._encoder_key = True
        if self._picture is None:  # else our own encoder makes it
            self._ask(self._clock(), urgent=True)

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            if self.notice is not None:
                self.notice(text)
            else:
                log.warning("[%s] %s", self._live.name, text)

    # --- sound

    def sound_source(self, codec: Codec | None) -> None:
        self._sound_codec = codec
        self._sound_held.clear()
        self._sound_next = None

    def sound_padding(self, seq: int, now: float) -> None:
        """A packet without payload: its number is no loss."""
        if self._sound_next is not None and seq >= self._sound_next and len(self._sound_held) < 64:
            self._sound_held[seq] = (RtpPacket(0, False, seq & 0xFFFF, 0, 0, b""), 0.0, now)
            self._release_sound(now)

    def sound_packet(self, packet: RtpPacket, seq: int, stamp: float, now: float) -> None:
        if self._sound_codec is not Codec.OPUS:
            return
        self._jitter = max(self._jitter * 0.999, min(self.timeline.lateness("audio"), MAX_JITTER_S))
        if self._sound_next is None or abs(seq - self._sound_next) > 1000:
            self._sound_held.clear()
            self._sound_next = seq
        if seq == self._sound_next and not self._sound_held:  # nearly always
            self._sound_next = seq + 1
            self._put_sound(packet, stamp)
            return
        if seq >= self._sound_next and len(self._sound_held) < 64:
            self._sound_held[seq] = (packet, stamp, packet.arrival or now)
        self._release_sound(now)

    def _release_sound(self, now: float) -> None:
        """Give on what is in order; a hole that has waited SOUND_REPAIR_S is left to concealment."""
        held = self._sound_held
        while held and self._sound_next is not None:
            entry = held.pop(self._sound_next, None)
            if entry is not None:
                self._sound_next += 1
                if entry[0].payload:
                    self._put_sound(entry[0], entry[1])
                continue
            first = min(held)
            if now - held[first][2] < SOUND_REPAIR_S and len(held) < 64:
                return
            self._sound_next = first

    def _put_sound(self, packet: RtpPacket, stamp: float) -> None:
        data = packet.payload
        try:
            samples = opus.duration(data)
        except CodecDataError:
            return
        position = round((stamp + START_S) * RATE) - BROWSER_DELAY
        line = self._sound
        if line is None:
            if self._clock() < self._sound_retry_at:
                return
            line = self._open_sound(opus.is_stereo(data))
        self._sound_end = max(self._sound_end, position + samples)
        if not line.put(OpusIn(position, data), samples / 48):
            self.sound_overflows += 1

    def _open_sound(self, stereo: bool) -> Line[OpusIn, Coded]:
        self._sound_channels = channels = 2 if stereo else 1
        config = self._audio_config
        bitrate = config.aac_bitrate * (3 if stereo else 2) // 2 if stereo else config.aac_bitrate
        line: Line[OpusIn, Coded] = Line(
            self._pool,
            lambda: OpusToAac(channels, rate=config.aac_rate, bitrate=bitrate),
            self._write_sound,
            self._sound_failed,
            limit=SOUND_QUEUE_MS,
            burst=SOUND_BURST_MS,
        )
        self._sound = line
        self._lines.add(line)
        return line

    def _fill_sound(self, now: float) -> None:
        """Where no sound has come although it is due, put silence, so that the AAC clock has no hole."""
        line = self._sound
        if line is None or self._sound_held or not (self._audio.live or self._video.live):
            return  # what is held is released soon, and recovers better than silence
        due = self.timeline.due(now)
        if due is None:
            return
        until = round((due + START_S - OVERDUE_S - self._jitter) * RATE) - BROWSER_DELAY
        missing = until - self._sound_end
        if missing > 0 and line.put(OpusIn(until, b""), min(missing / 48, SOUND_QUEUE_MS / 2)):
            self._sound_end = until

    def _write_sound(self, frames: list[Coded]) -> None:
        if not self._running:
            return
        rate = self._audio_config.aac_rate
        for coded in frames:
            dts = max(coded.position * TICKS // rate, self._sound_last_dts + 1)
            if not self._sound_configured:
                self._sound_configured = True
                config = aac.build_asc(rate, self._sound_channels)
                self._live.write(Frame(Codec.AAC, dts, dts, config, config=True))
            self._sound_last_dts = dts
            self._live.write(Frame(Codec.AAC, dts, dts, coded.data))

    def _sound_failed(self, error: BaseException) -> None:
        self.failures += 1
        log.error("[%s] ! sound transcoder failed", self._live.name, exc_info=error)
        self._sound = None  # a later packet opens another
        self._sound_retry_at = self._clock() + 1.0

    # --- picture

    def picture_source(self, codec: Codec | None, now: float) -> None:
        """A new source or codec: what was gathered is void."""
        self._assembler = None
        if self._picture is not None:
            self._picture.close()
            self._picture = None
        self._sets.clear()
        self._retry_at = 0.0
        if codec in (Codec.H264, Codec.VP8, Codec.VP9, Codec.AV1):
            self._assembler = Assembler(codec)
            if codec is not Codec.H264 and not self._config.video_transcode:
                self._tell(f"the picture is {codec.value}, and the operator has switched off transcoding to H.264")
                self._assembler = None
        self._ask_at = 0.0

    def picture_packet(self, packet: RtpPacket, seq: int, stamp: float, now: float) -> None:
        if self._assembler is not None:
            for picture in self._assembler.add(packet, stamp, now):
                self._take_picture(picture, now)

    def _take_picture(self, picture: Picture, now: float) -> None:
        assert self._assembler is not None
        pts = round((picture.stamp + START_S) * TICKS)
        if self._assembler.codec is Codec.H264:
            self._write_picture(picture.units, pts)
            return
        line = self._picture or self._open_picture(self._assembler.codec, now)
        if line is None or (self._picture_wait_key and not picture.keyframe):
            return
        self._picture_wait_key = False
        for unit in picture.units:
            item = PictureIn(unit, pts, picture.keyframe, ask_keyframe=self._encoder_key)
            self._encoder_key = False
            if not line.put(item):
                self.picture_overflows += 1 + line.clear()
                self._picture_wait_key = True
                return

    def _open_picture(self, codec: Codec, now: float) -> Line[PictureIn, PictureOut] | None:
        if now < self._retry_at:
            return None
        try:
            self._pool.admit_video()
        except Overloaded as error:
            self._retry_at = now + REFUSED_RETRY_S
            self._tell(f"the {codec.value} picture is left out for now: {error.message}")
            return None
        interval = self._config.keyframe_interval_s
        line: Line[PictureIn, PictureOut] = Line(
            self._pool,
            lambda: VideoToH264(codec, keyframe_interval_s=interval),
            self._write_transcoded,
            self._picture_failed,
            limit=PICTURE_QUEUE,
        )
        self._picture = line
        self._lines.add(line)
        return line

    def _picture_failed(self, error: BaseException) -> None:
        self.failures += 1
        log.error("[%s] ! picture transcoder failed", self._live.name, exc_info=error)
        self._picture = None
        self._picture_wait_key = True
        self._retry_at = self._clock() + 1.0

    def _write_transcoded(self, pictures: list[PictureOut]) -> None:
        for picture in pictures:
            if picture.lost:
                self._picture_wait_key = True
            else:
                self._write_picture(h264.split_annexb(picture.data), picture.pts)

    def _write_picture(self, units: list[bytes], pts: int) -> None:
        """Write one access unit; a configuration goes first where the parameter sets are new."""
        if not self._running:
            return
        body: list[bytes] = []
        keyframe = False
        sets: list[bytes] = []
        for nal in units:
            kind = nal[0] & 0x1F
            if kind in (NalType.SPS, NalType.PPS):
                sets.append(nal)
            elif kind not in _LEFT_OUT:
                body.append(nal)
                keyframe |= kind == NalType.IDR
        dts = max(pts, self._picture_last_dts + 1)
        if sets and not self._configure(sets, dts):
            return
        if not body or not self._avcc:
            return
        self._picture_last_dts = dts
        self._live.write(Frame(Codec.H264, dts, dts, h264.join_avcc(body), keyframe=keyframe))

    def _configure(self, sets: list[bytes], dts: int) -> bool:
        """Take in-band parameter sets; False if they cannot be read."""
        try:
            if {nal[0] & 0x1F for nal in sets} == {NalType.SPS, NalType.PPS}:
                self._sets.clear()  # a complete new set: ids of before are over
            for nal in sets:
                self._sets.update(nal)
            avcc = h264.build_avcc(self._sets.sps, self._sets.pps) if self._sets.complete else b""
        except CodecDataError as error:
            log.debug("[%s] x parameter sets: %s", self._live.name, error)
            return False
        if avcc and avcc != self._avcc:
            self._avcc = avcc
            self._live.write(Frame(Codec.H264, dts, dts, avcc, config=True))
        return True
