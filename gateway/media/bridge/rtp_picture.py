"""The picture half of `ToRtp`: H.264 frames → packets as they are; with B-frames, or in another codec, transcoded.

    WAITING ──config──▶ PASS ◀────────▶ TRANSCODE        decided anew at each configuration; in PASS the first B
                          └──▶ DROP ──▶ REFUSED          decides, before it is sent

No B slice ever reaches a browser: its decoder would stop until the next key frame. Decided by the parameter set
(Baseline, picture order count type 2 or max_num_reorder_frames 0: nothing is reordered), where that says nothing by
the composition times of the kept group, and by looking at each slice.
"""

from __future__ import annotations

import enum
import logging
import random
from collections.abc import Callable
from typing import Final

from gateway.base.clock import Clock
from gateway.base.config import BridgeConfig
from gateway.base.errors import CodecDataError, Overloaded
from gateway.media.bridge.picture import DECODERS, PictureIn, PictureOut, VideoToH264
from gateway.media.bridge.pool import CodecPool, Line, Lines
from gateway.media.live.stream import LiveStream
from gateway.media.sfu.publication import Publication, Source
from gateway.wire import h264
from gateway.wire.frame import TICKS, Codec, Frame
from gateway.wire.h264 import AvcConfig, NalType, SliceType
from gateway.wire.payload import H264Packetizer
from gateway.wire.rtp import RtpPacket

log = logging.getLogger(__name__)

QUEUE: Final = 8
"""Pictures that may wait for the transcoder."""
CATCH_UP: Final = 2500
"""The same while the kept group is decoded for the first time."""
CATCH_UP_S: Final = 5.0
RETRY_S: Final = 5.0
MAX_SETS: Final = 64

_LEFT_OUT: Final = frozenset({NalType.AUD, NalType.SEI, NalType.FILLER, NalType.END_OF_SEQUENCE, NalType.END_OF_STREAM})
_SETS: Final = frozenset({NalType.SPS, NalType.PPS})


class Mode(enum.Enum):
    WAITING = "waiting"  # for a configuration
    PASS = "pass"
    TRANSCODE = "transcode"
    DROP = "drop"  # B slices that nothing refers to are left out
    REFUSED = "refused"


class _Unit:
    """An access unit, sorted: what is sent, its parameter sets, and what its slices are."""

    __slots__ = ("body", "has_b", "has_reference_b", "idr", "sets")

    def __init__(self, nals: list[bytes]) -> None:
        self.body: list[bytes] = []
        self.sets: list[bytes] = []
        self.idr = self.has_b = self.has_reference_b = False
        for nal in nals:
            kind = nal[0] & 0x1F
            if kind in _SETS:
                self.sets.append(nal)
            elif kind not in _LEFT_OUT:
                self.body.append(nal)
                if kind == NalType.IDR:
                    self.idr = True
                elif h264.slice_type(nal) is SliceType.B:
                    self.has_b = True
                    self.has_reference_b |= h264.is_reference(nal)


class PictureToRtp:
    """Takes picture frames and writes packets into `publication`, whose source is `source`."""

    def __init__(
        self,
        live: LiveStream,
        publication: Publication,
        source: Source,
        pool: CodecPool,
        lines: Lines,
        config: BridgeConfig,
        clock: Clock,
        tell: Callable[[str], None],
    ) -> None:
        self.publication = publication
        self.mode = Mode.WAITING
        self.running = True
        self.b_dropped = self.overflows = self.failures = 0
        self._live = live
        self._source = source
        self._pool = pool
        self._lines = lines
        self._config = config
        self._clock = clock
        self._tell = tell
        self._codec: Codec | None = None
        self._config_data = b""
        self._config_sent = False
        self._avc = AvcConfig((), (), 4)
        self._sets: list[bytes] = []
        self._line: Line[PictureIn, PictureOut] | None = None
        self._catching_up = False
        self._catch_up_until = 0.0
        self._wait_key = True
        self._ask_encoder = False
        self._retry_at = 0.0
        self._last_pts: int | None = None  # of what was passed
        self._packetizer = H264Packetizer()
        self._seq, self._ssrc = random.getrandbits(15), random.getrandbits(32)
        self._base = random.getrandbits(32)

    @property
    def work(self) -> str:
        """What happens to the picture, in a word or two for people."""
        if self.mode is Mode.PASS:
            return "passes"
        if self.mode is Mode.DROP:
            return "passes without B-frames"
        if self.mode is Mode.TRANSCODE and self._codec is not None:
            return f"{self._codec.value}→H264"
        return str(self.mode.value)

    def rtp_at(self, ticks: int) -> int:
        return (self._base + ticks) & 0xFFFFFFFF

    def request_keyframe(self) -> None:
        """Only our own encoder can make one; an RTMP publisher cannot be asked."""
        self._ask_encoder = True

    # --- what to do with the pictures

    def configure(self, frame: Frame) -> None:
        """Take a configuration frame and decide."""
        if frame.codec is not self._codec:
            self._close_line()
        self._codec = frame.codec
        self._config_data, self._config_sent = frame.data, False
        self._wait_key = True
        self._last_pts = None
        self._sets = []
        if frame.codec is Codec.H264:
            self._avc = AvcConfig((), (), 4)
            reorders: bool | None = None
            try:
                self._avc = h264.parse_avcc(frame.data)
                self._sets = [*self._avc.sps, *self._avc.pps]
                if self._avc.sps:
                    reorders = h264.parse_sps(self._avc.sps[0]).may_reorder
            except CodecDataError as error:  # what is in the stream itself may do
                log.debug("[%s] x configuration: %s", self._live.name, error)
            if reorders is None:
                reorders = any(kept.is_video and not kept.config and kept.pts != kept.dts for kept in self._live.gop)
            if reorders:
                self._reordering()
            else:
                self._set_mode(Mode.PASS)
        elif frame.codec in DECODERS:
            self._transcode_or(Mode.REFUSED, f"the publisher sends {frame.codec.value}")
        else:
            self._set_mode(Mode.REFUSED)
            self._tell(f"{frame.codec.value} pictures cannot be shown in a browser")
        if self.mode is not Mode.REFUSED and self.publication.source is not self._source:
            self.publication.start(Codec.H264, TICKS, self._source, self._clock())

    @property
    def _may_transcode(self) -> bool:
        return self._config.video_transcode and self._config.b_frames == "transcode"

    def _reordering(self) -> None:
        if self._may_transcode:
            self._transcode_or(Mode.DROP, "the publisher sends B-frames")
        else:
            self._set_mode(Mode.DROP)

    def _transcode_or(self, otherwise: Mode, why: str) -> None:
        """TRANSCODE if that is allowed and there is CPU for it, else `otherwise`."""
        if self.mode is Mode.TRANSCODE and self._line is not None:
            return  # admitted before
        reason = ""
        if not self._config.video_transcode:
            reason = "transcoding is switched off"
        else:
            try:
                self._pool.admit_video()
            except Overloaded as error:
                reason = error.message
        if not reason:
            self._set_mode(Mode.TRANSCODE)
            return
        self._retry_at = self._clock() + RETRY_S
        self._set_mode(otherwise)
        if otherwise is Mode.REFUSED:
            self._tell(f"the picture cannot be shown in browsers: {why}, and {reason}")

    def _set_mode(self, mode: Mode) -> None:
        if mode is self.mode:
            return
        log.debug("[%s] = picture %s → %s", self._live.name, self.mode.value, mode.value)
        if self.mode is Mode.TRANSCODE:
            self._close_line()
        self.mode = mode

    def _close_line(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    # --- frame by frame

    def take(self, frame: Frame, *, show: bool = True, replay: bool = False) -> None:
        """Take one picture. Raises CodecDataError.

        `show` is False where newer ones follow at once: a transcoder need not encode it. `replay`: it is one of the
        kept group.
        """
        if frame.codec is not self._codec or self.mode is Mode.WAITING:
            return
        if self._wait_key and not frame.keyframe:
            return
        if frame.codec is not Codec.H264:
            if self.mode is Mode.TRANSCODE:
                self._transcode(frame.data, frame.pts, frame.keyframe, show=show, replay=replay)
            elif frame.keyframe:
                self._try_again()
            return
        unit = _Unit(h264.split_access_unit(frame.data, self._avc.length_size))
        if unit.sets:
            self._take_sets(unit.sets)
        if not unit.body or not self._sets or (self._wait_key and not unit.idr):
            return
        if self.mode is Mode.PASS and (unit.has_b or (self._last_pts is not None and frame.pts < self._last_pts)):
            self._first_b()
        nals = [*self._sets, *unit.body] if unit.idr else unit.body
        match self.mode:
            case Mode.TRANSCODE:
                self._transcode(h264.join_annexb(nals), frame.pts, unit.idr, show=show, replay=replay)
            case Mode.DROP if unit.has_reference_b:
                self._refuse()
            case Mode.DROP if unit.has_b:
                self.b_dropped += 1
            case Mode.PASS | Mode.DROP:
                self._wait_key = False
                self._last_pts = frame.pts
                self._write(nals, frame.pts)
            case Mode.REFUSED if unit.idr:
                self._try_again()
            case _:
                return

    def _take_sets(self, in_band: list[bytes]) -> None:
        """Parameter sets in the stream are newer than the configuration's; of each id only the newest is sent."""
        newest: dict[tuple[int, int], bytes] = {}
        for nal in [*self._sets, *in_band]:
            newest[nal[0] & 0x1F, h264.parameter_set_id(nal)] = nal
        self._sets = sorted(newest.values(), key=lambda nal: nal[0] & 0x1F)[:MAX_SETS]

    def _first_b(self) -> None:
        """Reordering that nothing announced. This frame has not been sent: decide before it is."""
        self._reordering()
        if self.mode is not Mode.TRANSCODE:
            return
        # The decoder gets what browsers have seen of this group already; nothing of it is shown again.
        self.catch_up()
        kept = [frame for frame in self._live.gop if frame.is_video and not frame.config]
        for frame in kept[:-1]:  # the last one is being taken now
            unit = _Unit(h264.split_access_unit(frame.data, self._avc.length_size))
            nals = [*self._sets, *unit.body] if unit.idr else unit.body
            self._transcode(h264.join_annexb(nals), frame.pts, unit.idr, show=False, replay=True)

    def _refuse(self) -> None:
        """DROP met a B slice that others refer to: there is no way without decoding."""
        self._set_mode(Mode.REFUSED)
        self._wait_key = True
        why = "finds no free CPU" if self._may_transcode else "is switched off"
        self._tell(
            "the picture cannot be shown in browsers: the publisher sends B-frames that others refer to, and "
            f"transcoding {why}; publish without B-frames (OBS: tune zerolatency)"
        )

    def _try_again(self) -> None:
        """REFUSED for want of CPU: ask again at a key frame, every few seconds."""
        if self._may_transcode and self._clock() >= self._retry_at:
            self._transcode_or(Mode.REFUSED, "the publisher sends what browsers cannot decode")
            self._wait_key = True

    # --- transcoding

    def _transcode(self, data: bytes, pts: int, keyframe: bool, *, show: bool, replay: bool) -> None:
        line = self._line or self._open()
        if line is None:
            return
        self._wait_key = False
        new_config = self._codec is not Codec.H264 and not self._config_sent
        catching_up = self._catching_up and self._clock() < self._catch_up_until
        # Behind a backlog live pictures are decoded only: then the viewer is live as soon as there is a picture.
        hidden = catching_up and not replay and line.waiting > QUEUE
        item = PictureIn(
            data,
            pts,
            keyframe,
            show=show and not hidden,
            ask_keyframe=self._ask_encoder,
            config=self._config_data if new_config else None,
            after=self._last_pts,
        )
        if line.put(item, QUEUE / CATCH_UP if catching_up else 1.0):
            self._ask_encoder = False
            self._config_sent = True
            if not replay and line.waiting <= QUEUE // 2:
                self._catching_up = False
        else:
            self.overflows += 1 + line.clear()
            self._wait_key = True
            self._config_sent = False

    def catch_up(self) -> None:
        """The kept group follows: it may wait in the queue as a whole."""
        self._catching_up = True
        self._catch_up_until = self._clock() + CATCH_UP_S

    def _open(self) -> Line[PictureIn, PictureOut] | None:
        if self._clock() < self._retry_at or self._codec is None:
            return None
        codec, interval = self._codec, self._config.keyframe_interval_s
        line: Line[PictureIn, PictureOut] = Line(
            self._pool,
            lambda: VideoToH264(codec, keyframe_interval_s=interval),
            self._write_transcoded,
            self._failed,
            limit=QUEUE,
        )
        self._lines.add(line)
        self._line = line
        self._config_sent = False
        return line

    def _failed(self, error: BaseException) -> None:
        self.failures += 1
        log.error("[%s] ! picture transcoder failed", self._live.name, exc_info=error)
        self._line = None
        self._wait_key = True
        self._retry_at = self._clock() + 1.0

    def _write_transcoded(self, pictures: list[PictureOut]) -> None:
        for picture in pictures:
            if picture.lost:
                self._wait_key = True
            elif self.mode is Mode.TRANSCODE:
                nals = h264.split_annexb(picture.data)
                self._write([nal for nal in nals if nal[0] & 0x1F not in _LEFT_OUT], picture.pts)

    # --- out

    def _write(self, nals: list[bytes], pts: int) -> None:
        if not self.running:
            return
        now = self._clock()
        if self.publication.source is not self._source:
            self.publication.start(Codec.H264, TICKS, self._source, now)
        rtp = (self._base + pts) & 0xFFFFFFFF
        seq, ssrc = self._seq, self._ssrc
        packets: list[RtpPacket] = []
        for data in self._packetizer.packetize(nals):
            seq = seq + 1 & 0xFFFF
            packets.append(RtpPacket(0, False, seq, rtp, ssrc, data, None, now))
        if packets:
            packets[-1].marker = True
            self._seq = seq
            self.publication.write(packets, now)
