"""What the server does with a stream now, for a debug panel: codecs, the bridge, who watches. Changes nothing."""

from __future__ import annotations

import dataclasses

from gateway.media.live.stream import LiveStream
from gateway.media.streams import Stream
from gateway.wire.frame import Codec


@dataclasses.dataclass(frozen=True, slots=True)
class TrackView:
    """`codec` as published; `bridge` what becomes of it on the other side ("passes", "AAC→Opus"), None: no bridge."""

    codec: str
    bridge: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class StreamView:
    """`viewers` by WebRTC, `players` by RTMP and FLV. A kind that is not published is None."""

    audio: TrackView | None = None
    video: TrackView | None = None
    viewers: int = 0
    players: int = 0


def view(stream: Stream) -> StreamView:
    """Look at a stream."""
    sound, picture = (None, None) if stream.bridge is None else stream.bridge.work
    if stream.transcodes_to_vp8:
        picture = "H264→VP8" if picture is None else f"{picture}, H264→VP8"
    audio: Codec | None = None
    video: Codec | None = None
    if stream.native == "live":
        audio, video = _codec(stream.live, audio=True), _codec(stream.live, audio=False)
    elif stream.native == "rtp":
        audio = stream.audio.codec if stream.audio.live else None
        video = stream.video.codec if stream.video.live else None
    return StreamView(
        _track(audio, sound),
        _track(video, picture),
        viewers=max(len(stream.audio.subscriptions), len(stream.video.subscriptions) + stream.vp8_viewers),
        players=sum(reader is not stream.bridge for reader in stream.live.readers),
    )


def _track(codec: Codec | None, work: str | None) -> TrackView | None:
    if codec is None:
        return None
    return TrackView("Opus" if codec is Codec.OPUS else codec.value, work)


def _codec(live: LiveStream, *, audio: bool) -> Codec | None:
    """Return the codec of one kind of frames, None if there are none. MP3 and VP8 have no configuration."""
    if not (live.has_audio if audio else live.has_video):
        return None
    config = live.configs.get("audio" if audio else "video")
    if config is not None:
        return config.codec
    return next((frame.codec for frame in reversed(live.gop) if frame.is_audio is audio), None)
