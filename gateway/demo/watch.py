"""Decodes what a player receives, and sums up what is seen and heard of somebody each second.

`Watcher.feed` runs in a worker thread, one call at a time; `take` is called from the event loop.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Final

import av
import numpy as np

from gateway.base.errors import PeerError
from gateway.demo.picture import Stamp, read_stamp
from gateway.demo.sound import Ear
from gateway.wire import flv
from gateway.wire.frame import Codec, Frame
from gateway.wire.rtmp.session import AudioReceived, VideoReceived

MAX_DELAY_MS: Final = 30_000
_DECODERS: Final = {Codec.H264: "h264", Codec.HEVC: "hevc", Codec.AAC: "aac", Codec.MP3: "mp3"}


@dataclass(slots=True)
class Happened:
    """What one batch brought: for the player's events."""

    key_frame: bool = False
    picture: bool = False
    sound: bool = False
    resized: tuple[int, int] | None = None
    video_failed: str = ""
    audio_failed: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What was seen and heard since the report before. `level_db`, `tone_hz` belong together; None: no sound came."""

    width: int
    height: int
    fps: float
    kbps: float
    level_db: float | None
    tone_hz: int
    delay_ms: int | None

    @property
    def words(self) -> str:
        picture = f"{self.width}x{self.height} {self.fps:.1f} fps" if self.width else "no picture"
        if self.level_db is None:
            sound = "no sound"
        elif not self.tone_hz:
            sound = "silence"
        else:
            sound = f"sound {self.level_db:.0f} dB {self.tone_hz} Hz"
        delay = "" if self.delay_ms is None else f", delay {self.delay_ms} ms"
        return f"{picture} {self.kbps:.0f} kbit/s, {sound}{delay}"


class Watcher:
    """Eyes and ears for one stream."""

    def __init__(self) -> None:
        self._tags = flv.TagReader()
        self._video: Any = None
        self._audio: Any = None
        self._lock = threading.Lock()
        self._ear = Ear()
        self._size = (0, 0)
        self._pictures = 0
        self._sounds = 0
        self._bytes = 0
        self._delay_ms: int | None = None
        self._since = time.monotonic()

    def feed(self, batch: list[AudioReceived | VideoReceived]) -> Happened:
        """Decode the tags of one read, in order. Never raises for what is in them."""
        happened = Happened()
        for item in batch:
            self._bytes += len(item.body)
            video = isinstance(item, VideoReceived)
            try:
                if video:
                    self._see(self._tags.video(item.body, item.timestamp * 90), happened)
                else:
                    self._listen(self._tags.audio(item.body, item.timestamp * 90), happened)
            except (PeerError, av.FFmpegError, ValueError) as error:
                words = str(error)[:200]
                if video:
                    happened.video_failed = words
                else:
                    happened.audio_failed = words
        return happened

    def take(self, now: float) -> Report:
        """Return the report of the time since the last one."""
        elapsed = max(0.001, now - self._since)
        self._since = now
        pictures, self._pictures = self._pictures, 0
        count, self._bytes = self._bytes, 0
        with self._lock:
            heard = self._ear.heard() if self._sounds else None
            self._sounds = 0
        width, height = self._size if pictures else (0, 0)
        level, tone = heard if heard is not None else (None, 0)
        delay, self._delay_ms = self._delay_ms, None
        return Report(width, height, pictures / elapsed, count * 8 / 1000 / elapsed, level, tone, delay)

    # --- in the worker thread

    def _see(self, frame: Frame | None, happened: Happened) -> None:
        if frame is None:
            return
        if frame.config:
            self._video = _decoder(frame)
            return
        if self._video is None:
            return
        happened.key_frame |= frame.keyframe
        packet = av.Packet(frame.data)
        packet.dts, packet.pts = frame.dts, frame.pts
        for picture in self._video.decode(packet):
            self._pictures += 1
            happened.picture = True
            size = (picture.width, picture.height)
            if size != self._size:
                if self._size != (0, 0):
                    happened.resized = size
                self._size = size
            self._delay_ms = _delay(picture)

    def _listen(self, frame: Frame | None, happened: Happened) -> None:
        if frame is None:
            return
        if frame.config or (frame.codec is Codec.MP3 and self._audio is None):
            self._audio = _decoder(frame)
        if frame.config or self._audio is None:
            return
        for sound in self._audio.decode(av.Packet(frame.data)):
            samples = sound.to_ndarray()
            if samples.dtype.kind == "i":
                samples = samples / np.float32(np.iinfo(samples.dtype).max)
            if not sound.format.is_planar:
                samples = samples.reshape(-1, len(sound.layout.channels)).T
            happened.sound = True
            with self._lock:
                self._sounds += 1
                self._ear.hear(samples.mean(axis=0, dtype=np.float32), sound.sample_rate)


def _decoder(frame: Frame) -> Any:
    """Return a decoder for what `frame` configures, or None for a codec that a phone would not play."""
    name = _DECODERS.get(frame.codec)
    if name is None:
        raise ValueError(f"{frame.codec.value} is nothing that a player of phones decodes")
    context = av.CodecContext.create(name, "r")
    if frame.config:
        context.extradata = frame.data
    if frame.is_video:
        context.thread_count = 1
        context.options = {"flags": "low_delay"}
    return context


def _delay(picture: Any) -> int | None:
    """Return how old the picture is by the stamp that it carries, if it carries one."""
    if not picture.format.name.startswith(("yuv", "nv12", "gray")):
        return None
    plane = picture.planes[0]
    luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: picture.height, : picture.width]
    stamp: Stamp | None = read_stamp(luma)
    if stamp is None:
        return None
    delay = stamp.delay_ms(time.time())
    return delay if 0 <= delay <= MAX_DELAY_MS else None
