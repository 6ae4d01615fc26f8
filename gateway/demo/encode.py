"""H.264 and AAC as phones send them, made with libavcodec into the tag bodies of FLV and RTMP.

Baseline without B-frames, one thread, no look-ahead: what goes in comes out at once. Not thread-safe: an encoder
belongs to the thread that makes its pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from gateway.demo.presets import Preset, Sound
from gateway.wire import aac, flv, h264
from gateway.wire.frame import Codec, Frame

AAC_FRAME: Final = 1024
"""Samples of one AAC frame."""
_MS: Final = Fraction(1, 1000)


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag body for RTMP. `video`: picture, else sound; `time_ms`: from the start of the source."""

    video: bool
    time_ms: int
    body: bytes
    keyframe: bool = False
    config: bool = False


Sink = Callable[[Tag], None]


def video_config(avcc: bytes) -> Tag:
    return Tag(True, 0, flv.tag_body(Frame(Codec.H264, 0, 0, avcc, config=True)), keyframe=True, config=True)


def audio_config(asc: bytes) -> Tag:
    return Tag(False, 0, flv.tag_body(Frame(Codec.AAC, 0, 0, asc, config=True)), keyframe=True, config=True)


def video_tag(data: bytes, time_ms: int, keyframe: bool, composition_ms: int = 0) -> Tag:
    """`data`: NAL units with 4-byte lengths."""
    frame = Frame(Codec.H264, 0, composition_ms * 90, data, keyframe=keyframe)
    return Tag(True, time_ms, flv.tag_body(frame), keyframe=keyframe)


def audio_tag(data: bytes, time_ms: int) -> Tag:
    return Tag(False, time_ms, flv.tag_body(Frame(Codec.AAC, 0, 0, data)), keyframe=True)


class VideoEncoder:
    """yuv420p frames of the preset's size → tags. `fps` replaces the preset's, for clips."""

    def __init__(self, preset: Preset, sink: Sink, *, width: int = 0, height: int = 0, fps: int = 0) -> None:
        self._sink = sink
        self._interval_ms = preset.keyframe_s * 1000
        self._next_key_ms = 0
        self._told: bytes = b""
        context = av.CodecContext.create("libx264", "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height = width or preset.width, height or preset.height
        context.pix_fmt = "yuv420p"
        context.time_base = _MS
        context.framerate = Fraction(fps or preset.fps)
        context.gop_size = 10 * preset.keyframe_s * (fps or preset.fps)  # key frames come by the time, below
        context.thread_count = 1
        context.bit_rate = (preset.min_bitrate + preset.max_bitrate) // 2
        context.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "profile": "baseline",
            "forced-idr": "1",
            "maxrate": str(preset.max_bitrate),
            "bufsize": str(preset.max_bitrate),
        }
        context.open()
        self._context = context

    def encode(self, frame: av.VideoFrame, time_ms: int, *, want_keyframe: bool) -> None:
        frame.pts, frame.time_base = time_ms, _MS
        key = want_keyframe or time_ms >= self._next_key_ms
        frame.pict_type = PictureType.I if key else PictureType.NONE
        if key:
            self._next_key_ms = time_ms + self._interval_ms
        for packet in self._context.encode(frame):
            nals = h264.split_annexb(bytes(packet))
            sets = h264.ParameterSets()
            rest = []
            for nal in nals:
                kind = h264.nal_type(nal)
                if kind in (h264.NalType.SPS, h264.NalType.PPS):
                    sets.update(nal)
                elif kind in (h264.NalType.SLICE, h264.NalType.IDR):
                    rest.append(nal)
            if sets.complete:
                avcc = h264.build_avcc(sets.sps, sets.pps)
                if avcc != self._told:
                    self._told = avcc
                    self._sink(video_config(avcc))
            self._sink(video_tag(h264.join_avcc(rest), time_ms, h264.has_idr(rest)))


class AudioEncoder:
    """Mono samples → AAC-LC tags. Time is counted in samples."""

    def __init__(self, sound: Sound, sink: Sink) -> None:
        self._sink = sink
        self._rate = sound.rate
        self._first: int | None = None
        context = av.CodecContext.create("aac", "w")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate, context.layout, context.format = sound.rate, "mono", "fltp"
        context.bit_rate = sound.bitrate
        context.time_base = Fraction(1, sound.rate)
        context.open()
        self._context = context
        sink(audio_config(aac.build_asc(sound.rate, 1)))

    def encode(self, samples: npt.NDArray[np.float32], position: int) -> None:
        """Encode AAC_FRAME samples, the first of which is sample `position`."""
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self._rate, position, Fraction(1, self._rate)
        if self._first is None:
            self._first = position
        for packet in self._context.encode(frame):
            # A packet carries the time of what is in it, one frame earlier; the first of all is there to warm up.
            if packet.pts is not None and packet.pts >= self._first:
                self._sink(audio_tag(bytes(packet), packet.pts * 1000 // self._rate))
