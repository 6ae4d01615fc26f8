"""The sound half of `ToRtp`: AAC (MP3) frames → Opus packets of 20 ms, RTP time counted in samples.

RTP always goes on by what was encoded; where the publisher's stamps drift against its own samples, that is not
corrected in the sound but said in the sender reports (`correction`). Only a hole moves the count.
"""

from __future__ import annotations

import logging
import random
from typing import Final

from gateway.base.clock import Clock
from gateway.base.config import AudioConfig
from gateway.base.errors import CodecDataError
from gateway.media.bridge.pool import CodecPool, Line, Lines
from gateway.media.bridge.sound import RATE, AacToOpus, Coded, SoundIn
from gateway.media.sfu.publication import Publication, Source
from gateway.wire import aac, opus
from gateway.wire.frame import TICKS, Codec, Frame
from gateway.wire.rtp import RtpPacket
from gateway.wire.timeline import SampleClock

log = logging.getLogger(__name__)

QUEUE_MS: Final = 200.0
BURST_MS: Final = 5000.0
"""TCP holds sound back on loss and then brings it all at once."""
RETRY_S: Final = 1.0


class SoundToRtp:
    """Takes sound frames and writes packets into `publication`, whose source is `source`."""

    def __init__(
        self,
        publication: Publication,
        source: Source,
        pool: CodecPool,
        lines: Lines,
        config: AudioConfig,
        clock: Clock,
        name: str,
    ) -> None:
        self.publication = publication
        self.correction = 0.0
        self.overflows = self.failures = 0
        self.running = True
        self._source = source
        self._pool = pool
        self._lines = lines
        self._config = config
        self._clock = clock
        self._name = name
        self._codec: Codec | None = None
        self._asc = b""
        self._rate, self._channels, self._frame_samples = RATE, 2, 1024
        self._samples: SampleClock | None = None
        self._line: Line[SoundIn, Coded] | None = None
        self._new_config = self._place = True
        self._retry_at = 0.0
        self._seq, self._ssrc = random.getrandbits(15), random.getrandbits(32)
        self._base = random.getrandbits(32)

    @property
    def work(self) -> str:
        """What happens to the sound, in a word or two for people."""
        if self._codec is None:
            return "waiting"
        return "passes" if self._codec is Codec.OPUS else f"{self._codec.value}→Opus"

    def rtp_at(self, stream_s: float) -> int:
        """Return the RTP time of what the publisher made at `stream_s`, by its own stamps: for reports."""
        return (self._base + round((stream_s - self.correction) * RATE)) & 0xFFFFFFFF

    def configure(self, frame: Frame) -> None:
        """Take a configuration frame. Raises CodecDataError."""
        if frame.codec is Codec.AAC:
            config = aac.parse_asc(frame.data)
            self._begin(Codec.AAC, config.sample_rate, config.channels, config.frame_samples, frame.data)
        elif frame.codec is Codec.OPUS:
            channels, _ = opus.parse_head(frame.data)
            self._begin(Codec.OPUS, RATE, channels, 960, frame.data)

    def _begin(self, codec: Codec, rate: int, channels: int, samples: int, config: bytes) -> None:
        if self._samples is None or rate != self._rate or codec is not self._codec:
            self._samples = SampleClock(rate)
        if codec is not self._codec and self._line is not None:
            self._line.close()
            self._line = None
        self._codec, self._asc, self._rate, self._channels = codec, config, rate, channels
        self._frame_samples = samples
        self._new_config = self._place = True
        if self.publication.source is not self._source:
            self.publication.start(Codec.OPUS, RATE, self._source, self._clock())

    def take(self, frame: Frame) -> bool:
        """Take one frame; True if the count was moved to its stamp, which is a reason to report. Raises
        CodecDataError."""
        if frame.codec is Codec.MP3 and self._codec is not Codec.MP3:
            self._begin_mp3(frame.data)
        if self._samples is None or frame.codec is not self._codec:
            return False
        passed = frame.codec is Codec.OPUS
        samples = opus.duration(frame.data) if passed else self._frame_samples
        counted = self._samples.frame(frame.pts / TICKS, samples)
        self.correction = counted.correction
        position = round(counted.position * RATE)
        if passed:
            self._write([Coded(position, frame.data)])
        else:
            self._put(frame, samples * RATE / self._rate, position, counted.anchored)
        return counted.anchored

    def _put(self, frame: Frame, duration: float, position: int, anchored: bool) -> None:
        line = self._line
        if line is None:
            if self._clock() < self._retry_at:
                return
            line = self._open(frame.codec)
        item = SoundIn(
            aac.strip_adts(frame.data) if frame.codec is Codec.AAC else frame.data,
            duration,
            anchor=position if anchored or self._place else None,
            config=self._asc if self._new_config else None,
            channels=self._channels,
        )
        if line.put(item, duration / 48):
            self._new_config = self._place = False
        else:
            self.overflows += 1
            self._place = True  # what comes next has to be placed by its position; the hole becomes silence

    def _open(self, codec: Codec) -> Line[SoundIn, Coded]:
        config = self._config
        line: Line[SoundIn, Coded] = Line(
            self._pool,
            lambda: AacToOpus(codec, bitrate=config.opus_bitrate, frame_ms=config.opus_frame_ms),
            self._write,
            self._failed,
            limit=QUEUE_MS,
            burst=BURST_MS,
        )
        self._lines.add(line)
        self._line = line
        self._new_config = self._place = True
        return line

    def _begin_mp3(self, data: bytes) -> None:
        """FLV has no configuration for MP3: rate and channels are in each frame's header. ISO 11172-3, 2.4.1.3."""
        if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
            raise CodecDataError("MP3 frame without its sync word")
        version, index = data[1] >> 3 & 3, data[2] >> 2 & 3
        if version == 1 or index == 3 or data[1] >> 1 & 3 != 1:
            raise CodecDataError("not MPEG audio layer III")
        rate = (44100, 48000, 32000)[index] >> {3: 0, 2: 1, 0: 2}[version]
        channels = 1 if data[3] >> 6 == 3 else 2
        self._begin(Codec.MP3, rate, channels, 1152 if version == 3 else 576, b"")

    def _write(self, packets: list[Coded]) -> None:
        if not self.running:
            return
        now = self._clock()
        out: list[RtpPacket] = []
        for coded in packets:
            self._seq = self._seq + 1 & 0xFFFF
            rtp = (self._base + coded.position) & 0xFFFFFFFF
            out.append(RtpPacket(0, False, self._seq, rtp, self._ssrc, coded.data, None, now))
        self.publication.write(out, now)

    def _failed(self, error: BaseException) -> None:
        self.failures += 1
        log.error("[%s] ! sound transcoder failed", self._name, exc_info=error)
        self._line = None
        self._retry_at = self._clock() + RETRY_S
