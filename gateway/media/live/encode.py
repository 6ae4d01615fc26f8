"""Frames into what RTMP, HTTP-FLV and WS-FLV players get. Made once per frame, shared by all players of a kind.

Players of one kind share bytes only if their time stamps agree, so the stamps count from a base that is a whole hour
of stream time: there are few bases at a time, and a player's stamps stay below 0xFFFFFF ms (where RTMP's extended
timestamp begins, which old players read wrongly) for at least 3.6 hours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.wire import flv
from gateway.wire.frame import Codec, Frame, Metadata
from gateway.wire.rtmp import messages
from gateway.wire.rtmp.chunks import write_message
from gateway.wire.rtmp.session import OUT_CHUNK_SIZE

TIME_BASE_MS: Final = 3_600_000
_CHOICES: Final = (Codec.HEVC, Codec.AV1, Codec.VP9, Codec.VP8, Codec.OPUS)
ANY: Final = frozenset({"*"})


class _Stamps:
    """Milliseconds since a base that the first frame settles."""

    def __init__(self) -> None:
        self.base: int | None = None

    def of(self, ticks: int) -> int:
        ms = flv.milliseconds(ticks)
        if self.base is None:
            self.base = ms - ms % TIME_BASE_MS
        return max(0, ms - self.base)


def _forms(four_ccs: frozenset[str]) -> tuple[dict[Codec, str | None], str]:
    """Return the body form of each codec for a player, and a short name for that choice."""
    forms = {codec: flv.form_for(codec, four_ccs) for codec in Codec}
    return forms, "".join({None: "-", flv.LEGACY: "l", flv.ENHANCED: "e"}[forms[codec]] for codec in _CHOICES)


class RtmpEncoder:
    """Chunks for RTMP players on message stream `stream_id`; `four_ccs` is what the player listed in connect."""

    def __init__(
        self, stream_id: int, four_ccs: frozenset[str] = frozenset(), *, audio: bool = True, video: bool = True
    ) -> None:
        self._stream_id = stream_id
        self._forms, self._choice = _forms(four_ccs)
        self._kinds = (audio, video)
        self._stamps = _Stamps()
        self.key: object = None

    def encode(self, frame: Frame) -> bytes | None:
        form = self._forms[frame.codec]
        if form is None:
            return None
        time = self._stamps.of(frame.dts)
        if self.key is None:
            self.key = f"rtmp {self._stream_id} {self._stamps.base} {self._choice}"
        data = frame.encodings.get(self.key)
        if data is None:
            body = flv.tag_body(frame, enhanced=form == flv.ENHANCED)
            if frame.codec.is_audio:
                csid, kind = messages.AUDIO_CSID, messages.AUDIO
            else:
                csid, kind = messages.VIDEO_CSID, messages.VIDEO
            data = write_message(csid, kind, self._stream_id, time, body, OUT_CHUNK_SIZE)
            frame.encodings[self.key] = data
        return data

    def metadata(self, metadata: Metadata) -> bytes:
        audio, video = self._kinds
        body = flv.metadata_body(metadata, audio=audio, video=video)
        return write_message(messages.STATUS_CSID, messages.DATA, self._stream_id, 0, body, OUT_CHUNK_SIZE)


class FlvEncoder:
    """FLV tags for HTTP and WebSocket players, framed for the transport.

    There is nothing to negotiate: HEVC goes out in the form in which it came in (enhanced or codec id 12).
    `framing`: "http" for chunked transfer coding, "ws" for one unmasked binary WebSocket frame per tag, "" for none.
    """

    def __init__(self, framing: str, *, audio: bool = True, video: bool = True) -> None:
        self._wrap = _FRAMINGS[framing]
        self._framing = framing
        self._kinds = (audio, video)
        self._stamps = _Stamps()
        self.key: object = None

    def encode(self, frame: Frame) -> bytes | None:
        time = self._stamps.of(frame.dts)
        if self.key is None:
            self.key = f"flv{self._framing} {self._stamps.base}"
        data = frame.encodings.get(self.key)
        if data is None:
            body = flv.tag_body(frame, enhanced=flv.ENHANCED in frame.encodings)
            kind = flv.AUDIO if frame.codec.is_audio else flv.VIDEO
            data = frame.encodings[self.key] = self._wrap(flv.tag(kind, time, body))
        return data

    def metadata(self, metadata: Metadata) -> bytes:
        audio, video = self._kinds
        return self._wrap(flv.tag(flv.SCRIPT, 0, flv.metadata_body(metadata, audio=audio, video=video)))

    def header(self, audio: bool, video: bool) -> bytes:
        """Return what stands before the first tag."""
        return self._wrap(flv.file_header(audio, video))


def http_chunk(data: bytes) -> bytes:
    """Return one chunk of HTTP/1.1 chunked transfer coding (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def ws_frame(data: bytes) -> bytes:
    """Return one final, unmasked, binary WebSocket frame (RFC 6455 section 5.2)."""
    size = len(data)
    if size < 126:
        return bytes((0x82, size)) + data
    if size < 65536:
        return b"\x82\x7e" + size.to_bytes(2, "big") + data
    return b"\x82\x7f" + size.to_bytes(8, "big") + data


_FRAMINGS: Final[dict[str, Callable[[bytes], bytes]]] = {"http": http_chunk, "ws": ws_frame, "": bytes}
