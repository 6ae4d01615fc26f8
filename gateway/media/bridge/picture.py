"""Picture transcoders, run in jobs of the codec pool: anything FFmpeg decodes → H.264 (x264) or VP8 (libvpx).

Towards H.264 it is for two cases only: a browser that sends VP8, VP9 or AV1 while somebody watches by RTMP or FLV,
and an RTMP publisher with B-frames while somebody watches by WebRTC. What comes out has no B-frames and no delay.
Stamps are the decoder's and the encoder's own, 90 kHz ticks of stream time.
"""

from __future__ import annotations

import dataclasses
import fractions
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from gateway.wire.frame import TICKS, Codec

DECODERS: Final = {
    Codec.H264: "h264",
    Codec.HEVC: "hevc",
    Codec.VP8: "vp8",
    Codec.VP9: "vp9",
    Codec.AV1: "libdav1d",
}
TIME_BASE: Final = fractions.Fraction(1, TICKS)
MIN_BITRATE: Final = 300_000
MAX_BITRATE: Final = 4_000_000
BITS_PER_PIXEL_SECOND: Final = 2.2
"""Ceiling of the rate by picture size: 500 kbit/s at 640x360, 2 Mbit/s at 1280x720."""


@dataclasses.dataclass(frozen=True, slots=True)
class PictureIn:
    """One coded picture. `pts` in ticks. `show`: encode it; else it only keeps the decoder going. `after`: from now on
    nothing is encoded whose pts is not above this (viewers have been shown that much already).

    `data`: an access unit in Annex B for H.264, else the codec's own frame. `config`: decoder configuration where it
    is new (hvcC, av1C), else None.
    """

    data: bytes
    pts: int
    keyframe: bool
    show: bool = True
    ask_keyframe: bool = False
    config: bytes | None = None
    after: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class PictureOut:
    """`data`: an access unit in Annex B (H.264) or one frame (VP8). `lost`: nothing came out, the decoder needs a key
    frame; data is b"" then."""

    data: bytes
    pts: int
    keyframe: bool
    lost: bool = False


class _Decoder:
    """Decodes one codec; after damage it waits for a key frame."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._context: VideoCodecContext | None = None
        self._waiting = True
        self._hidden: set[int] = set()
        self._after: int | None = None
        self.errors = 0

    def decode(self, item: PictureIn) -> tuple[list[VideoFrame], bool]:
        """Return (pictures to show, in order of display; whether a key frame is needed)."""
        if item.config is not None or self._context is None:
            self._open(item.config)
        if self._waiting and not item.keyframe:
            return [], True
        assert self._context is not None
        packet = av.Packet(item.data)
        packet.pts = packet.dts = item.pts
        packet.time_base = TIME_BASE
        if not item.show:
            self._hidden.add(item.pts)
        try:
            frames = self._context.decode(packet)
        except av.error.FFmpegError:
            self.errors += 1
            self._waiting = True
            return [], True
        self._waiting = False
        if item.after is not None:
            self._after = item.after
        if not self._hidden and self._after is None:
            return frames, False
        after = -1 if self._after is None else self._after
        shown = [f for f in frames if f.pts not in self._hidden and (f.pts is None or f.pts > after)]
        self._hidden.difference_update(frame.pts for frame in frames if frame.pts is not None)
        if len(self._hidden) > 64:  # pictures that the decoder never gave
            self._hidden.clear()
        return shown, False

    def _open(self, config: bytes | None) -> None:
        context = av.CodecContext.create(DECODERS[self._codec], "r")
        assert isinstance(context, VideoCodecContext)
        context.thread_count = 1  # a frame thread would hold one picture back
        if config:
            context.extradata = config
        self._context = context
        self._waiting = True
        self._hidden.clear()

    def close(self) -> None:
        self._context = None


class _Encoder:
    """Encodes pictures of any size; makes a new encoder, and so a key frame, when the size changes."""

    def __init__(self, name: str, keyframe_interval_s: float) -> None:
        self._name = name
        self._interval = round(keyframe_interval_s * TICKS)
        self._context: VideoCodecContext | None = None
        self._size = (0, 0)
        self._last_key: int | None = None
        self._last_pts: int | None = None

    def encode(self, frame: VideoFrame, pts: int, want_keyframe: bool) -> list[PictureOut]:
        frame = _plain(frame)
        if self._context is None or (frame.width, frame.height) != self._size:
            self._open(frame)
            self._last_key = None
        assert self._context is not None
        if self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1  # x264 refuses what does not rise
        self._last_pts = pts
        key = want_keyframe or self._last_key is None or pts - self._last_key >= self._interval
        frame.pts = pts
        frame.time_base = TIME_BASE
        frame.pict_type = PictureType.I if key else PictureType.NONE
        out: list[PictureOut] = []
        for packet in self._context.encode(frame):
            assert packet.pts is not None
            if packet.is_keyframe:
                self._last_key = packet.pts
            out.append(PictureOut(bytes(packet), packet.pts, packet.is_keyframe))
        return out

    def _open(self, frame: VideoFrame) -> None:
        width, height = frame.width, frame.height
        rate = int(min(MAX_BITRATE, max(MIN_BITRATE, BITS_PER_PIXEL_SECOND * width * height)))
        context = av.CodecContext.create(self._name, "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = TIME_BASE
        context.framerate = fractions.Fraction(30)
        context.gop_size = 3000  # key frames come by our clock
        context.thread_count = 1
        if self._name == "libx264":
            context.options = {
                "preset": "ultrafast",
                "tune": "zerolatency",
                "profile": "baseline",
                "forced-idr": "1",
                "crf": "23",
                "maxrate": str(rate),
                "bufsize": str(rate // 2),
            }
        else:
            context.bit_rate = rate
            context.options = {
                "deadline": "realtime",
                "cpu-used": "8",
                "lag-in-frames": "0",
                "auto-alt-ref": "0",
                "error-resilient": "default",
                "maxrate": str(rate),
                "bufsize": str(rate // 2),
            }
        context.open()
        self._context = context
        self._size = (width, height)

    def close(self) -> None:
        self._context = None


def _plain(frame: VideoFrame) -> VideoFrame:
    """Return the picture as 8-bit 4:2:0 of even size; an odd last column or row is cut, nothing is scaled."""
    if frame.format.name != "yuv420p":
        frame = frame.reformat(format="yuv420p")
    width, height = frame.width & ~1, frame.height & ~1
    if (width, height) == (frame.width, frame.height):
        return frame
    even = VideoFrame(width, height, "yuv420p")
    for index, (source, target) in enumerate(zip(frame.planes, even.planes, strict=True)):
        columns, rows = (width, height) if index == 0 else (width // 2, height // 2)
        _rows(target)[:rows, :columns] = _rows(source)[:rows, :columns]
    return even


def _rows(plane: Any) -> npt.NDArray[np.uint8]:
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)


class VideoToH264:
    """VP8, VP9, AV1, HEVC, or H.264 with B-frames → H.264 Constrained Baseline."""

    encoder = "libx264"

    def __init__(self, codec: Codec, *, keyframe_interval_s: float = 2.0) -> None:
        self._decoder = _Decoder(codec)
        self._encoder = _Encoder(self.encoder, keyframe_interval_s)
        self._want_keyframe = False

    def process(self, items: list[PictureIn]) -> list[PictureOut]:
        out: list[PictureOut] = []
        for item in items:
            self._want_keyframe |= item.ask_keyframe
            frames, lost = self._decoder.decode(item)
            if lost:
                out.append(PictureOut(b"", item.pts, False, lost=True))
            for frame in frames:
                pts = frame.pts if frame.pts is not None else item.pts
                coded = self._encoder.encode(frame, pts, self._want_keyframe)
                if coded:
                    self._want_keyframe = False
                out += coded
        return out

    def close(self) -> None:
        self._decoder.close()
        self._encoder.close()


class H264ToVp8(VideoToH264):
    """H.264 → VP8, for viewers that cannot decode H.264, if the operator allows it."""

    encoder = "libvpx"
