"""From RTMP message bodies to the frames of a LiveStream: the publisher's clock, its grant, and what is counted."""

from __future__ import annotations

from gateway.base.errors import CodecDataError
from gateway.media.live.stream import LiveStream
from gateway.wire import aac, flv
from gateway.wire.frame import Codec, Frame, Metadata
from gateway.wire.timeline import FlvTimeline


class Ingest:
    """One publisher. `audio`, `video`: the kinds that its grant allows; others are dropped and counted.

    Kinds that are held back for a while are counted so too, but for their configurations: the stream keeps what makes
    it readable. Instead of AAC goes silence, since players that have sound wait for it with the picture.
    """

    def __init__(self, live: LiveStream, *, audio: bool, video: bool, now: float) -> None:
        self.last_media = now
        self.messages = 0
        self.bytes = 0
        self.not_allowed = 0
        self.unsupported = 0
        self._live = live
        self._audio = audio
        self._video = video
        self._held_audio = False
        self._held_video = False
        self._silence: bytes | None = None
        self._tags = flv.TagReader()
        self._timeline = FlvTimeline()

    def hold(self, *, audio: bool, video: bool) -> None:
        """Hold these kinds back from now on, and let the others pass. The caller interrupts the stream."""
        self._held_audio, self._held_video = audio, video

    def media(self, type: int, timestamp_ms: int, body: bytes, now: float) -> None:
        """Take one audio or video body (`type` flv.AUDIO or flv.VIDEO). Raises FlvError."""
        self.last_media = now
        self.messages += 1
        self.bytes += len(body)
        audio = type == flv.AUDIO
        if not (self._audio if audio else self._video):
            self.not_allowed += 1
            return
        # Sequence headers carry any time, often 0: the clock must not hear of it.
        if flv.is_config(type, body):
            dts = 0
        else:
            dts = self._timeline.packet("audio" if audio else "video", timestamp_ms, now)
        frame = self._tags.audio(body, dts) if audio else self._tags.video(body, dts)
        if frame is None:
            self.unsupported += 1
            return
        if frame.config:
            if frame.codec is Codec.AAC:
                self._silence = _silence(frame.data)
        elif self._held_audio if audio else self._held_video:
            self.not_allowed += 1
            if frame.codec is not Codec.AAC or self._silence is None:
                return
            frame = Frame(Codec.AAC, frame.dts, frame.pts, self._silence)
        self._live.write(frame)

    def metadata(self, values: dict[str, object]) -> None:
        self._live.write_metadata(Metadata(values))


def _silence(config: bytes) -> bytes | None:
    try:
        return aac.silent_frame(aac.parse_asc(config))
    except CodecDataError:
        return None
