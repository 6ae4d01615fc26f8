"""A file as camera and microphone, over and over: passed through where a phone could have sent it, else transcoded.

H.264 without B-frames (of at most 4:2:0, 8 bit) and AAC-LC pass through untouched; anything else that libavcodec reads
is decoded and encoded as the preset says, scaled down to fit in its size, its aspect kept. `open_clip` looks at the
file once and refuses in words what cannot be played.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt

from gateway.base.errors import CodecDataError, ConfigError
from gateway.demo.encode import (
    AAC_FRAME,
    AudioEncoder,
    Sink,
    VideoEncoder,
    audio_config,
    audio_tag,
    video_config,
    video_tag,
)
from gateway.demo.presets import Preset, Sound
from gateway.demo.source import Thread, metadata_of
from gateway.wire import aac, h264

LOOK_AT: Final = 5000
"""Packets that are read to find B-frames and the distance of pictures."""
MAX_FPS: Final = 30
LATE_S: Final = 1.0
_FPS_DEFAULT: Final = 25.0


@dataclass(frozen=True, slots=True)
class Clip:
    """What `open_clip` found. `avcc`, `asc`: the configuration of what passes through, else None."""

    path: Path
    video: int | None
    audio: int | None
    avcc: bytes | None
    asc: bytes | None
    width: int
    height: int
    fps: float

    @property
    def words(self) -> str:
        def kind(index: int | None, config: bytes | None) -> str:
            return "none" if index is None else "passed through" if config else "transcoded"

        return f"{self.path.name}: picture {kind(self.video, self.avcc)}, sound {kind(self.audio, self.asc)}"


def open_clip(path: Path) -> Clip:
    """Look at a file. Raises ConfigError: it cannot be read, or holds neither picture nor sound."""
    try:
        with av.open(str(path)) as container:
            return _look(path, container)
    except (OSError, av.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"--file {path}: {reason}; give a video file such as an MP4") from None


def _look(path: Path, container: Any) -> Clip:
    video = container.streams.video[0] if container.streams.video else None
    audio = container.streams.audio[0] if container.streams.audio else None
    if video is None and audio is None:
        raise ConfigError(f"--file {path}: it has neither picture nor sound; give a video file such as an MP4")
    avcc = asc = None
    width = height = 0
    fps = 0.0
    if video is not None:
        width, height = video.codec_context.width, video.codec_context.height
        fps = float(video.average_rate or _FPS_DEFAULT)
        avcc = _passes_video(container, video)
    if audio is not None:
        asc = _passes_audio(audio)
    return Clip(
        path,
        None if video is None else video.index,
        None if audio is None else audio.index,
        avcc,
        asc,
        width,
        height,
        fps,
    )


def _passes_video(container: Any, stream: Any) -> bytes | None:
    """Return the avcC record if the picture can go out as it is."""
    if stream.codec_context.name != "h264" or stream.codec_context.pix_fmt not in ("yuv420p", "yuvj420p"):
        return None
    extradata = bytes(stream.codec_context.extradata or b"")
    try:
        if extradata[:1] == b"\x01":
            config = h264.parse_avcc(extradata)
            sps, pps = list(config.sps), list(config.pps)
        else:
            sets = h264.ParameterSets()
            for nal in h264.split_annexb(extradata):
                if h264.nal_type(nal) in (h264.NalType.SPS, h264.NalType.PPS):
                    sets.update(nal)
            sps, pps = sets.sps, sets.pps
        avcc = h264.build_avcc(sps, pps)
    except CodecDataError:
        return None
    last = None
    for number, packet in enumerate(container.demux(stream)):
        if packet.pts is None or number >= LOOK_AT:
            break
        if last is not None and packet.pts <= last:  # shown before one that was sent earlier: a B-frame
            return None
        last = packet.pts
    return avcc if last is not None else None


def _passes_audio(stream: Any) -> bytes | None:
    """Return the AudioSpecificConfig if the sound can go out as it is."""
    if stream.codec_context.name != "aac":
        return None
    extradata = bytes(stream.codec_context.extradata or b"")
    try:
        if not extradata:  # ADTS, as in MPEG-TS
            return aac.build_asc(stream.codec_context.sample_rate, stream.codec_context.channels)
        config = aac.parse_asc(extradata)
    except (CodecDataError, ValueError):
        return None
    return extradata if config.object_type == aac.OBJECT_LC and not config.sbr and config.channels <= 2 else None


def fit(width: int, height: int, preset: Preset) -> tuple[int, int]:
    """Return the even size of a `width` × `height` picture within the preset's (turned for landscape), never larger."""
    bound = (preset.width, preset.height) if width <= height else (preset.height, preset.width)
    factor = min(1.0, bound[0] / width, bound[1] / height)
    return max(2, int(width * factor) // 2 * 2), max(2, int(height * factor) // 2 * 2)


class ClipSource:
    """Plays a clip in real time, from the start again at its end."""

    def __init__(self, clip: Clip, preset: Preset, sound: Sound) -> None:
        width, height = (clip.width, clip.height) if clip.avcc else (0, 0)
        if clip.video is not None and not clip.avcc:
            width, height = fit(clip.width, clip.height, preset)
        rate = sound.rate if clip.audio is not None else 0
        self.metadata = metadata_of(width, height, clip.fps, rate, preset.max_bitrate)
        self._clip, self._preset, self._sound = clip, preset, sound
        self._size = (width, height)
        self._thread = Thread("demo clip")

    @property
    def error(self) -> Exception | None:
        return self._thread.error

    def start(self, sink: Sink) -> None:
        self._thread.start(lambda: self._run(sink))

    def want_keyframe(self) -> None:
        """A clip has its key frames where it has them."""

    def stop(self) -> None:
        self._thread.stop()

    def _run(self, sink: Sink) -> None:
        player = _Player(self._clip, self._preset, self._sound, self._size, sink)
        began, base = time.monotonic(), 0
        while not self._thread.stopped.is_set():
            end = base
            with av.open(str(self._clip.path)) as container:
                for packet, at_ms, start in _packets(container, self._clip):
                    due = (base + at_ms) / 1000 - (time.monotonic() - began)
                    if due < -LATE_S:
                        began -= due  # the machine was asleep, or is too slow: go on from here
                    elif due > 0 and self._thread.stopped.wait(min(due, 10.0)):
                        return
                    end = max(end, base + at_ms + player.play(packet, base + at_ms, base - start))
            player.rewind()
            if end == base:
                raise ConfigError(f"--file {self._clip.path}: nothing in it can be played")
            base = end


def _packets(container: Any, clip: Clip) -> Iterator[tuple[Any, int, int]]:
    """Give (packet, time in ms from the clip's start, that start in its own time) in order of decoding."""
    start: Fraction | None = None
    streams = [container.streams[index] for index in (clip.video, clip.audio) if index is not None]
    for packet in container.demux(*streams):
        if packet.dts is None or not packet.size:
            continue
        at = packet.dts * packet.time_base
        if start is None:
            start = at
        yield packet, max(0, round((at - start) * 1000)), round(start * 1000)


class _Player:
    """Turns packets into tags, each stream passed through or by way of decoder and encoder."""

    def __init__(self, clip: Clip, preset: Preset, sound: Sound, size: tuple[int, int], sink: Sink) -> None:
        self._clip, self._preset, self._sound, self._size, self._sink = clip, preset, sound, size, sink
        self._video = self._audio = None
        self._resampler: Any = None
        self._next_ms = 0.0
        self._waiting: list[npt.NDArray[np.float32]] = []
        self._position: int | None = None
        if clip.avcc:
            sink(video_config(clip.avcc))
        elif clip.video is not None:
            self._fps = min(MAX_FPS, max(1, round(clip.fps)))
            self._video = VideoEncoder(preset, sink, width=size[0], height=size[1], fps=self._fps)
        if clip.asc:
            sink(audio_config(clip.asc))
        elif clip.audio is not None:
            self._audio = AudioEncoder(sound, sink)

    def rewind(self) -> None:
        """The clip begins again: what a resampler remembers is over."""
        self._resampler = None

    def play(self, packet: Any, at_ms: int, shift_ms: int) -> int:
        """Send what is in `packet`, which is due at `at_ms`; return its duration in ms.

        `shift_ms` is what must be added to the file's times.
        """
        duration = int((packet.duration or 0) * packet.time_base * 1000)
        if packet.stream.index == self._clip.video:
            if self._video is None:
                self._pass_picture(packet, at_ms)
            else:
                self._transcode_picture(self._video, packet, shift_ms)
            return duration or round(1000 / (self._clip.fps or _FPS_DEFAULT))
        if self._audio is None:
            data = aac.strip_adts(bytes(packet))
            self._sink(audio_tag(data, at_ms))
        else:
            self._transcode_sound(self._audio, packet, at_ms)
        return duration

    def _pass_picture(self, packet: Any, at_ms: int) -> None:
        try:
            nals = h264.split_access_unit(bytes(packet))
        except CodecDataError:
            return
        unwanted = (h264.NalType.SPS, h264.NalType.PPS, h264.NalType.AUD, h264.NalType.FILLER, h264.NalType.SEI)
        nals = [nal for nal in nals if nal and nal[0] & 0x1F not in unwanted]
        if nals:
            self._sink(video_tag(h264.join_avcc(nals), at_ms, h264.has_idr(nals)))

    def _transcode_picture(self, encoder: VideoEncoder, packet: Any, shift_ms: int) -> None:
        for frame in _decode(packet):
            if frame.pts is None:
                continue
            when = round(frame.pts * frame.time_base * 1000) + shift_ms
            if when < self._next_ms:
                continue  # more pictures a second than we send
            self._next_ms = when + 900 / self._fps
            scaled = frame.reformat(width=self._size[0], height=self._size[1], format="yuv420p")
            encoder.encode(scaled, max(0, when), want_keyframe=False)

    def _transcode_sound(self, encoder: AudioEncoder, packet: Any, at_ms: int) -> None:
        rate = self._sound.rate
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate)
            self._waiting.clear()
            started = at_ms * rate // 1000
            self._position = started if self._position is None else max(self._position, started)
        assert self._position is not None
        for frame in _decode(packet):
            frame.pts = None
            for part in self._resampler.resample(frame):
                self._waiting.append(part.to_ndarray()[0].astype(np.float32))
        while sum(part.size for part in self._waiting) >= AAC_FRAME:
            joined = np.concatenate(self._waiting)
            encoder.encode(joined[:AAC_FRAME], self._position)
            self._position += AAC_FRAME
            self._waiting = [joined[AAC_FRAME:]]


def _decode(packet: Any) -> list[Any]:
    try:
        return list(packet.decode())
    except av.FFmpegError:
        return []  # a damaged packet: the next ones will do
