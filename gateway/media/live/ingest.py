"""From RTMP message bodies to the frames of a LiveStream: the publisher's clock, its grant, and what is counted."""

from __future__ import annotations

from gateway.media.live.stream import LiveStream
from gateway.wire import flv
from gateway.wire.frame import Metadata
from gateway.wire.timeline import FlvTimeline


class Ingest:
    """One publisher. `audio`, `video`: the kinds that its grant allows; others are dropped and counted."""

    def __init__(self, live: LiveStream, *, audio: bool, video: bool, now: float) -> None:
        self.last_media = now
        self.messages = 0
        self.bytes = 0
        self.not_allowed = 0
        self.unsupported = 0
        self._live = live
        self._audio = audio
        self._video = video
        self._tags = flv.TagReader()
        self._timeline = FlvTimeline()

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
        else:
            self._live.write(frame)

    def metadata(self, values: dict[str, object]) -> None:
        self._live.write_metadata(Metadata(values))
