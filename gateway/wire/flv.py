"""FLV: bodies of audio and video tags into frames and back, and the tags of a file.

Adobe FLV 10.1 annex E; enhanced RTMP v1 and v2 (veovera) for HEVC, AV1, VP9, VP8 and Opus; codec id 12 for HEVC, the
older custom of Chinese encoders and players. RTMP carries the same bodies. Bodies that came from an encoder are kept
in the frame's `encodings` and go out again untouched. Of several tracks only track 0 is read.

Invariant: for any input a reader gives a Frame, None (nothing that we carry), or raises FlvError.
"""

from __future__ import annotations

from typing import Final

from gateway.base.errors import CodecDataError, FlvError
from gateway.wire import h264
from gateway.wire.frame import TICKS, Codec, Frame, Metadata
from gateway.wire.rtmp import amf0

AUDIO: Final = 8
VIDEO: Final = 9
SCRIPT: Final = 18

LEGACY: Final = "flv"
ENHANCED: Final = "flv+"
"""Keys of the two body forms in Frame.encodings; ENHANCED is enhanced RTMP's header."""

_TICKS_PER_MS: Final = TICKS // 1000
_FOUR_CC: Final = {
    Codec.H264: b"avc1",
    Codec.HEVC: b"hvc1",
    Codec.AV1: b"av01",
    Codec.VP9: b"vp09",
    Codec.VP8: b"vp08",
    Codec.AAC: b"mp4a",
    Codec.OPUS: b"Opus",
    Codec.MP3: b".mp3",
}
_VIDEO_CODECS: Final = {name: codec for codec, name in _FOUR_CC.items() if codec.is_video}
_AUDIO_CODECS: Final = {name: codec for codec, name in _FOUR_CC.items() if codec.is_audio}
_LEGACY_VIDEO: Final = {7: Codec.H264, 12: Codec.HEVC}
_LEGACY_VIDEO_ID: Final = {codec: number for number, codec in _LEGACY_VIDEO.items()}
_LENGTH_SIZE_AT: Final = {Codec.H264: 4, Codec.HEVC: 21}
"""Where a configuration record says how long NAL lengths are (low two bits, minus one)."""

_KEY_TYPES: Final = (1, 4)
_COMMAND_TYPE: Final = 5
_SEQUENCE_START, _CODED_FRAMES, _CODED_FRAMES_X, _METADATA, _MULTITRACK, _MODEX = 0, 1, 3, 4, 6, 7
_AUDIO_MULTITRACK: Final = 5
_MAX_TRACKS: Final = 16
_AUDIO_FIELDS: Final = ("audio", "stereo")
_VIDEO_FIELDS: Final = ("video", "width", "height", "framerate", "displayWidth", "displayHeight")


def milliseconds(ticks: int) -> int:
    """Return stream time in the milliseconds of FLV and RTMP, rounded to nearest."""
    return (ticks + _TICKS_PER_MS // 2) // _TICKS_PER_MS


def form_for(codec: Codec, four_ccs: frozenset[str]) -> str | None:
    """Return LEGACY or ENHANCED, the body that a player takes, or None if it cannot take `codec`.

    `four_ccs` is what the player listed in connect. HEVC goes as codec id 12 to those who listed nothing; for the
    others that have no classic number there is no such way out.
    """
    if codec in (Codec.H264, Codec.AAC, Codec.MP3):
        return LEGACY
    if "*" in four_ccs or _FOUR_CC[codec].decode() in four_ccs:
        return ENHANCED
    return LEGACY if codec is Codec.HEVC else None


class TagReader:
    """Reads the tag bodies of one source; it remembers how long the source's NAL lengths are."""

    __slots__ = ("_length_size",)

    def __init__(self) -> None:
        self._length_size = 4

    def video(self, body: bytes, dts: int) -> Frame | None:
        """Return the picture or configuration in a video body; `dts` in ticks. Raises FlvError."""
        frame = parse_video_tag(body, dts, self._length_size)
        if frame is not None and frame.config and frame.codec in _LENGTH_SIZE_AT:
            self._length_size, frame = _four_byte_config(frame)
        return frame

    def audio(self, body: bytes, dts: int) -> Frame | None:
        """Return the sound or configuration in an audio body; `dts` in ticks. Raises FlvError."""
        return parse_audio_tag(body, dts)


def is_config(type: int, body: bytes) -> bool:
    """True for a sequence header; encoders stamp those with any time. Never fails."""
    if len(body) < 2:
        return False
    first = body[0]
    if type == AUDIO:
        return (first >> 4 == 10 and body[1] == 0) or first == 0x90
    if first & 0x80:
        return first & 0x0F == _SEQUENCE_START
    return first & 0x0F in _LEGACY_VIDEO and body[1] == 0


def parse_video_tag(body: bytes, dts: int, length_size: int = 4) -> Frame | None:
    """Return the picture or configuration in a video body, or None for commands, ends and codecs we do not carry.

    `dts` in ticks; pts = dts + composition time. `length_size`: bytes of a NAL length in it; a Frame always has four.
    Raises FlvError.
    """
    if not body:
        return None
    first = body[0]
    if first & 0x80:
        return _enhanced_video(body, dts, length_size)
    codec = _LEGACY_VIDEO.get(first & 0x0F)
    if codec is None or first >> 4 == _COMMAND_TYPE:
        return None
    if len(body) < 5:
        raise FlvError(f"video body of {len(body)} bytes")
    packet_type = body[1]
    data = body[5:]
    if packet_type == 0:
        return _keep(_config(codec, dts, data), data, LEGACY, body)
    if packet_type == 1 and data:
        frame = _picture(codec, dts, _si24(body, 2), data, first >> 4 in _KEY_TYPES, length_size)
        return _keep(frame, data, LEGACY, body)
    return None


def _keep(frame: Frame | None, data: bytes, form: str, body: bytes) -> Frame | None:
    """Let `frame` go out again as `body`, unless what it carries had to be rewritten."""
    if frame is not None and frame.data is data:
        frame.encodings[form] = body
    return frame


def _enhanced_video(body: bytes, dts: int, length_size: int) -> Frame | None:
    frame_type = body[0] >> 4 & 7
    packet_type = body[0] & 0x0F
    packet_type, position = _skip_modex(body, packet_type, _MODEX)
    plain = position == 1
    if packet_type == _METADATA or frame_type == _COMMAND_TYPE:
        return None
    if packet_type == _MULTITRACK:
        plain = False
        packet_type, name, data = _first_track(body, position)
    else:
        name, data = body[position : position + 4], body[position + 4 :]
    codec = _VIDEO_CODECS.get(name)
    if codec is None:
        if len(name) < 4:
            raise FlvError("enhanced video body without a FourCC")
        return None
    frame: Frame | None
    if packet_type == _SEQUENCE_START:
        frame = _config(codec, dts, data)
    elif packet_type in (_CODED_FRAMES, _CODED_FRAMES_X):
        composition = 0
        if packet_type == _CODED_FRAMES and codec in (Codec.H264, Codec.HEVC):
            if len(data) < 3:
                raise FlvError("enhanced video body without composition time")
            composition, data = _si24(data, 0), data[3:]
        if not data:
            return None
        frame = _picture(codec, dts, composition, data, frame_type in _KEY_TYPES, length_size)
    else:
        return None
    return _keep(frame, data, ENHANCED, body) if plain and codec is not Codec.H264 else frame


def _skip_modex(body: bytes, packet_type: int, modex: int) -> tuple[int, int]:
    """Return (packet type, position behind the ModEx prefixes). The only one defined refines pts by nanoseconds."""
    position = 1
    while packet_type == modex:
        if len(body) < position + 1:
            raise FlvError("ModEx is cut off")
        size = body[position] + 1
        position += 1
        if size == 256:
            size = int.from_bytes(body[position : position + 2], "big") + 1
            position += 2
        position += size
        if len(body) < position + 1:
            raise FlvError("ModEx is cut off")
        packet_type = body[position] & 0x0F
        position += 1
    return packet_type, position


def _first_track(body: bytes, position: int) -> tuple[int, bytes, bytes]:
    """Return (packet type, FourCC, data) of track 0, the FourCC b"none" if there is no such track."""
    if len(body) < position + 1:
        raise FlvError("multitrack header is cut off")
    kind, packet_type = body[position] >> 4, body[position] & 0x0F
    position += 1
    name = b""
    if kind != 2:
        name = body[position : position + 4]
        position += 4
    for _ in range(_MAX_TRACKS):
        if kind == 2:
            name = body[position : position + 4]
            position += 4
        if len(body) < position + 1:
            break
        track = body[position]
        position += 1
        if kind == 0:
            return packet_type, name if track == 0 else b"none", body[position:]
        size = int.from_bytes(body[position : position + 3], "big")
        position += 3
        if size > len(body) - position:
            raise FlvError(f"track of {size} bytes, {len(body) - position} left")
        if track == 0:
            return packet_type, name, body[position : position + size]
        position += size
    return packet_type, b"none", b""


def _si24(data: bytes, at: int) -> int:
    value = int.from_bytes(data[at : at + 3], "big")
    return value - (1 << 24) if value >= 1 << 23 else value


def _config(codec: Codec, dts: int, data: bytes) -> Frame | None:
    if not data:
        return None
    at = _LENGTH_SIZE_AT.get(codec)
    if at is not None and len(data) <= at:
        raise FlvError(f"{codec.value} configuration of {len(data)} bytes")
    return Frame(codec, dts, dts, data, config=True)


def _four_byte_config(frame: Frame) -> tuple[int, Frame]:
    """Return (length size of the source, the configuration as it holds for our frames)."""
    at = _LENGTH_SIZE_AT[frame.codec]
    size = (frame.data[at] & 3) + 1
    if size == 4:
        return 4, frame
    data = frame.data[:at] + bytes((frame.data[at] | 3,)) + frame.data[at + 1 :]
    return size, Frame(frame.codec, frame.dts, frame.pts, data, config=True)


def _picture(codec: Codec, dts: int, composition_ms: int, data: bytes, key: bool, length_size: int) -> Frame | None:
    if codec in _LENGTH_SIZE_AT and (length_size != 4 or data.startswith((b"\0\0\0\1", b"\0\0\1"))):
        joined = _rejoin(codec, data, length_size)
        data = data if joined == data else joined
    if not data:
        return None
    return Frame(codec, dts, dts + composition_ms * _TICKS_PER_MS, data, keyframe=key)


def _rejoin(codec: Codec, data: bytes, length_size: int) -> bytes:
    """Give `data` 4-byte lengths: it has others, or start codes, although FLV knows none. Raises FlvError."""
    try:
        if codec is Codec.H264:
            return h264.join_avcc(h264.split_access_unit(data, length_size))
        try:
            return h264.join_avcc(h264.split_avcc(data, length_size))
        except CodecDataError:
            return h264.join_avcc(h264.split_annexb(data))
    except CodecDataError as error:
        raise FlvError(str(error)) from None


def parse_audio_tag(body: bytes, dts: int) -> Frame | None:
    """Return the sound or configuration in an audio body, or None for what we do not carry. Raises FlvError."""
    if not body:
        return None
    sound_format = body[0] >> 4
    if sound_format == 10:
        if len(body) < 2:
            raise FlvError("AAC body of 1 byte")
        if len(body) == 2 or body[1] > 1:
            return None
        frame = Frame(Codec.AAC, dts, dts, body[2:], config=body[1] == 0)
        frame.encodings[LEGACY] = body
        return frame
    if sound_format == 2:
        if len(body) == 1:
            return None
        frame = Frame(Codec.MP3, dts, dts, body[1:])
        frame.encodings[LEGACY] = body
        return frame
    if sound_format != 9:
        return None
    packet_type, position = _skip_modex(body, body[0] & 0x0F, _MODEX)
    plain = position == 1
    if packet_type == _AUDIO_MULTITRACK:
        plain = False
        packet_type, name, data = _first_track(body, position)
    else:
        name, data = body[position : position + 4], body[position + 4 :]
    codec = _AUDIO_CODECS.get(name)
    if codec is None:
        if len(name) < 4:
            raise FlvError("enhanced audio body without a FourCC")
        return None
    if packet_type not in (_SEQUENCE_START, _CODED_FRAMES) or not data:
        return None
    frame = Frame(codec, dts, dts, data, config=packet_type == _SEQUENCE_START)
    if plain and codec is Codec.OPUS:
        frame.encodings[ENHANCED] = body
    return frame


def tag_body(frame: Frame, *, enhanced: bool = False) -> bytes:
    """Return the body of the tag that carries `frame`, made once and kept in its `encodings`.

    `enhanced` chooses for HEVC between enhanced RTMP's header and codec id 12. H.264, AAC and MP3 are always in the
    classic form; AV1, VP9, VP8 and Opus have no other than the enhanced one.
    """
    codec = frame.codec
    if codec in _LEGACY_VIDEO_ID and not (enhanced and codec is Codec.HEVC):
        body = frame.encodings.get(LEGACY)
        if body is None:
            first = (0x10 if frame.keyframe or frame.config else 0x20) | _LEGACY_VIDEO_ID[codec]
            packet_type = 0 if frame.config else 1
            body = bytes((first, packet_type)) + _composition(frame) + frame.data
            frame.encodings[LEGACY] = body
        return body
    if codec is Codec.AAC or codec is Codec.MP3:
        body = frame.encodings.get(LEGACY)
        if body is None:
            # AAC is always marked 44 kHz, 16 bit, stereo; the AudioSpecificConfig says what it really is.
            head = (b"\xaf\x00" if frame.config else b"\xaf\x01") if codec is Codec.AAC else b"\x2f"
            body = frame.encodings[LEGACY] = head + frame.data
        return body
    body = frame.encodings.get(ENHANCED)
    if body is None:
        packet_type = _SEQUENCE_START if frame.config else _CODED_FRAMES
        if codec is Codec.OPUS:
            head = bytes((0x90 | packet_type,)) + _FOUR_CC[codec]
        else:
            head = bytes(((0x90 if frame.keyframe or frame.config else 0xA0) | packet_type,)) + _FOUR_CC[codec]
            if codec is Codec.HEVC and not frame.config:
                head += _composition(frame)
        body = frame.encodings[ENHANCED] = head + frame.data
    return body


def _composition(frame: Frame) -> bytes:
    ms = milliseconds(frame.pts - frame.dts)
    return (max(-(1 << 23), min(ms, (1 << 23) - 1)) & 0xFFFFFF).to_bytes(3, "big")


def metadata_body(metadata: Metadata, *, audio: bool = True, video: bool = True) -> bytes:
    """Return the body of the onMetaData tag, as an ECMA array; fields of a kind that is left out are left out."""
    key = f"flv {audio} {video}"
    body = metadata.encodings.get(key)
    if body is None:
        unwanted = (() if audio else _AUDIO_FIELDS) + (() if video else _VIDEO_FIELDS)
        values = {name: value for name, value in metadata.values.items() if not name.startswith(unwanted)}
        body = metadata.encodings[key] = amf0.encode("onMetaData", amf0.EcmaArray(values))
    return body


def file_header(audio: bool, video: bool) -> bytes:
    """Return the header of an FLV file, with the zero size of the tag before the first."""
    return b"FLV\x01" + bytes((4 * audio | video,)) + b"\0\0\0\x09\0\0\0\0"


def tag(type: int, timestamp_ms: int, body: bytes) -> bytes:
    """Return one tag with the size that stands behind it. `timestamp_ms` is taken modulo 2^32."""
    size = len(body)
    time = timestamp_ms & 0xFFFFFFFF
    head = type << 80 | size << 56 | (time & 0xFFFFFF) << 32 | (time >> 24) << 24
    return head.to_bytes(11, "big") + body + (size + 11).to_bytes(4, "big")
