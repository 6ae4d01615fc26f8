"""FLV bodies and tags: tables both ways, enhanced headers, odd encoders, noise."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import FlvError
from gateway.wire import flv
from gateway.wire.frame import Codec, Frame, Metadata
from gateway.wire.rtmp import amf0
from tests.wire.rtmp_peer import AAC_CONFIG, AVC_CONFIG, aac, avc

HVCC = bytes(21) + b"\x0f" + bytes(10)  # lengthSizeMinusOne 3 at byte 21
NAL = b"\0\0\0\x03\x26\x01\xaf"
AV1C = b"\x81\x05\x0c\x00"

# (name, body, codec, config, key, cts in ms, data, form)
VIDEO = [
    ("avc config", AVC_CONFIG, Codec.H264, True, True, 0, AVC_CONFIG[5:], flv.LEGACY),
    ("avc key", avc(True), Codec.H264, False, True, 0, avc(True)[5:], flv.LEGACY),
    ("avc inter", avc(False, 9, 67), Codec.H264, False, False, 67, avc(False, 9)[5:], flv.LEGACY),
    ("avc negative cts", avc(False, 9, -40), Codec.H264, False, False, -40, avc(False, 9)[5:], flv.LEGACY),
    ("hevc 12 config", b"\x1c\x00\0\0\0" + HVCC, Codec.HEVC, True, True, 0, HVCC, flv.LEGACY),
    ("hevc 12 inter", b"\x2c\x01\0\0\x21" + NAL, Codec.HEVC, False, False, 33, NAL, flv.LEGACY),
    ("hvc1 start", b"\x90hvc1" + HVCC, Codec.HEVC, True, True, 0, HVCC, flv.ENHANCED),
    ("hvc1 key", b"\x91hvc1\0\0\x21" + NAL, Codec.HEVC, False, True, 33, NAL, flv.ENHANCED),
    ("hvc1 inter, no cts", b"\xa3hvc1" + NAL, Codec.HEVC, False, False, 0, NAL, flv.ENHANCED),
    ("av01 start", b"\x90av01" + AV1C, Codec.AV1, True, True, 0, AV1C, flv.ENHANCED),
    ("av01 key", b"\x91av01\x12\x00\x0a", Codec.AV1, False, True, 0, b"\x12\x00\x0a", flv.ENHANCED),
    ("vp09 inter", b"\xa1vp09zz", Codec.VP9, False, False, 0, b"zz", flv.ENHANCED),
    ("vp08 key", b"\x91vp08zz", Codec.VP8, False, True, 0, b"zz", flv.ENHANCED),
    ("avc1 enhanced", b"\x91avc1\0\0\x05" + NAL, Codec.H264, False, True, 5, NAL, None),
    ("modex", b"\x97\x02\0\0\x01\x01hvc1\0\0\0" + NAL, Codec.HEVC, False, True, 0, NAL, None),
    ("modex, long", b"\x97\xff\x00\xff" + bytes(256) + b"\x03hvc1" + NAL, Codec.HEVC, False, True, 0, NAL, None),
    ("one track", b"\x96\x03hvc1\x00" + NAL, Codec.HEVC, False, True, 0, NAL, None),
    (
        "many tracks",
        b"\x96\x13hvc1\x01\0\0\x02zz\x00\0\0\x07" + NAL,
        Codec.HEVC,
        False,
        True,
        0,
        NAL,
        None,
    ),
    ("many codecs", b"\x96\x21av01\x00\0\0\x02zzhvc1\x01\0\0\x01a", Codec.AV1, False, True, 0, b"zz", None),
]


@pytest.mark.parametrize(
    ("name", "body", "codec", "config", "key", "cts", "data", "form"), VIDEO, ids=[v[0] for v in VIDEO]
)
def test_video_bodies(
    name: str, body: bytes, codec: Codec, config: bool, key: bool, cts: int, data: bytes, form: str | None
) -> None:
    frame = flv.parse_video_tag(body, 900)
    assert frame is not None
    assert (frame.codec, frame.config, frame.keyframe, frame.data) == (codec, config, key, data)
    assert (frame.dts, frame.pts) == (900, 900 + cts * 90)
    assert list(frame.encodings) == ([form] if form else [])
    assert flv.is_config(flv.VIDEO, body) is config
    # Made anew from the values, the tag says the same.
    again = Frame(codec, 900, frame.pts, data, keyframe=key, config=config)
    made = flv.tag_body(again, enhanced=body[0] >= 0x80)
    reread = flv.parse_video_tag(made, 900)
    assert reread is not None
    assert (reread.codec, reread.config, reread.keyframe, reread.data, reread.pts) == (
        codec,
        config,
        key,
        data,
        frame.pts,
    )
    if form is not None and name != "hvc1 inter, no cts":
        assert made == body


@pytest.mark.parametrize(
    ("body", "codec", "config", "data"),
    [
        (AAC_CONFIG, Codec.AAC, True, AAC_CONFIG[2:]),
        (aac(5), Codec.AAC, False, aac(5)[2:]),
        (b"\x2fmp3", Codec.MP3, False, b"mp3"),
        (b"\x90OpusOpusHead", Codec.OPUS, True, b"OpusHead"),
        (b"\x91Opus\xfc\x01", Codec.OPUS, False, b"\xfc\x01"),
        (b"\x91mp4a\x21", Codec.AAC, False, b"\x21"),
        (b"\x95\x01Opus\x00zz", Codec.OPUS, False, b"zz"),
    ],
)
def test_audio_bodies(body: bytes, codec: Codec, config: bool, data: bytes) -> None:
    frame = flv.parse_audio_tag(body, 90)
    assert frame is not None
    assert (frame.codec, frame.config, frame.data, frame.dts) == (codec, config, data, 90)
    again = flv.parse_audio_tag(flv.tag_body(Frame(codec, 90, 90, data, config=config)), 90)
    assert again is not None
    assert (again.codec, again.config, again.data) == (codec, config, data)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (9, b""),
        (9, b"\x57\x00"),  # command frame
        (9, b"\x17\x02\0\0\0"),  # end of sequence
        (9, b"\x17\x01\0\0\0"),  # no data
        (9, b"\x12zz"),  # Sorenson
        (9, b"\x94\x02"),  # enhanced metadata
        (9, b"\xd1hvc1\x00"),  # enhanced command
        (9, b"\x92hvc1"),  # enhanced end
        (9, b"\x90vvc1x"),  # a codec that we do not carry
        (9, b"\x96\x03hvc1\x05zz"),  # only track 5
        (8, b""),
        (8, b"\xaf\x01"),
        (8, b"\xb2speex"),
        (8, b"\x90Opus"),
        (8, b"\x94Opus\x01"),
        (8, b"\x91fLaCx"),
    ],
)
def test_bodies_that_carry_nothing_for_us(kind: int, body: bytes) -> None:
    assert (flv.parse_video_tag if kind == 9 else flv.parse_audio_tag)(body, 0) is None


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (9, b"\x17"),
        (9, b"\x17\x00\0\0\0\x01"),
        (9, b"\x91hv"),
        (9, b"\x91hvc1\0\0"),
        (9, b"\x97"),
        (9, b"\x97\xff"),
        (9, b"\x96"),
        (9, b"\x96\x13hvc1\x01\0\x10\x00zz"),
        (8, b"\xaf"),
        (8, b"\x91Op"),
    ],
)
def test_damaged_bodies(kind: int, body: bytes) -> None:
    with pytest.raises(FlvError):
        (flv.parse_video_tag if kind == 9 else flv.parse_audio_tag)(body, 0)


def test_bodies_from_the_encoder_go_out_untouched() -> None:
    body = avc(True, 50, 80)
    frame = flv.parse_video_tag(body, 0)
    assert frame is not None
    assert flv.tag_body(frame) is body


def test_hevc_in_either_form() -> None:
    frame = flv.parse_video_tag(b"\x91hvc1\0\0\x21" + NAL, 0)
    assert frame is not None
    assert flv.tag_body(frame, enhanced=False) == b"\x1c\x01\0\0\x21" + NAL
    assert flv.tag_body(frame, enhanced=True) == b"\x91hvc1\0\0\x21" + NAL


def test_which_form_a_player_takes() -> None:
    nothing, hevc, everything = frozenset[str](), frozenset({"hvc1"}), frozenset({"*"})
    assert [flv.form_for(Codec.H264, f) for f in (nothing, hevc, everything)] == [flv.LEGACY] * 3
    assert [flv.form_for(Codec.HEVC, f) for f in (nothing, hevc)] == [flv.LEGACY, flv.ENHANCED]
    assert [flv.form_for(Codec.AV1, f) for f in (nothing, hevc, everything)] == [None, None, flv.ENHANCED]
    assert flv.form_for(Codec.OPUS, frozenset({"Opus"})) == flv.ENHANCED


@pytest.mark.parametrize("size", [1, 2])
def test_short_nal_lengths_become_four_bytes(size: int) -> None:
    tags = flv.TagReader()
    config = AVC_CONFIG[:9] + bytes((0xFC | size - 1,)) + AVC_CONFIG[10:]
    frame = tags.video(config, 0)
    assert frame is not None
    assert frame.data == AVC_CONFIG[5:]
    nal = b"\x65\x88\x84"
    frame = tags.video(b"\x17\x01\0\0\0" + len(nal).to_bytes(size, "big") + nal, 0)
    assert frame is not None
    assert frame.data == b"\0\0\0\x03" + nal
    assert flv.tag_body(frame)[5:] == frame.data


def test_start_codes_become_lengths() -> None:
    frame = flv.parse_video_tag(b"\x17\x01\0\0\0" + b"\0\0\0\1\x67\x42\0\0\1\x65\x88", 0)
    assert frame is not None
    assert frame.data == b"\0\0\0\x02\x67\x42" + b"\0\0\0\x02\x65\x88"


def test_a_length_that_looks_like_a_start_code_stays() -> None:
    nal = b"\x41" + b"\x9a" * 299  # 300 = 00 00 01 2c
    body = b"\x27\x01\0\0\0" + struct.pack(">I", 300) + nal
    frame = flv.parse_video_tag(body, 0)
    assert frame is not None
    assert flv.tag_body(frame) is body
    hevc = b"\x2c\x01\0\0\0" + struct.pack(">I", 300) + b"\x02" * 300
    frame = flv.parse_video_tag(hevc, 0)
    assert frame is not None
    assert flv.tag_body(frame) is hevc


@pytest.mark.parametrize(("ticks", "ms"), [(0, 0), (44, 0), (45, 1), (90, 1), (134, 1), (90000, 1000)])
def test_milliseconds_round_to_nearest(ticks: int, ms: int) -> None:
    assert flv.milliseconds(ticks) == ms


@pytest.mark.parametrize(("audio", "video", "flags"), [(True, True, 5), (True, False, 4), (False, True, 1)])
def test_file_header(audio: bool, video: bool, flags: int) -> None:
    assert flv.file_header(audio, video) == b"FLV\x01" + bytes((flags,)) + b"\0\0\0\x09" + bytes(4)


def test_tags() -> None:
    assert flv.tag(9, 0x01020304, b"abc") == bytes.fromhex("09 000003 020304 01 000000 616263 0000000e")
    assert flv.tag(8, 1 << 32, b"")[4:8] == bytes(4)


def test_metadata_is_an_ecma_array_and_made_once() -> None:
    metadata = Metadata({"width": 640.0, "audiocodecid": 10.0, "stereo": True, "encoder": "x"})
    body = flv.metadata_body(metadata)
    assert amf0.decode(body) == ["onMetaData", metadata.values]
    assert isinstance(amf0.decode(body)[1], amf0.EcmaArray)
    assert flv.metadata_body(metadata) is body
    assert amf0.decode(flv.metadata_body(metadata, audio=False))[1] == {"width": 640.0, "encoder": "x"}
    assert amf0.decode(flv.metadata_body(metadata, video=False))[1] == {
        "audiocodecid": 10.0,
        "stereo": True,
        "encoder": "x",
    }


HEADS = [
    b"",
    b"\x17\x01",
    b"\x17\x00",
    b"\x91hvc1",
    b"\x97\x01",
    b"\x96\x13",
    b"\x96\x21av01",
    b"\xaf\x01",
    b"\x95\x21",
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(HEADS), st.binary(max_size=80), st.integers(1, 4))
def test_noise_gives_a_frame_or_nothing_or_an_flv_error(head: bytes, data: bytes, length_size: int) -> None:
    for parse in (lambda b: flv.parse_video_tag(b, 0, length_size), lambda b: flv.parse_audio_tag(b, 0)):
        try:
            frame = parse(head + data)
        except FlvError:
            continue
        if frame is not None:
            assert frame.data
            for enhanced in (False, True):
                body = flv.tag_body(frame, enhanced=enhanced)
                assert (flv.parse_audio_tag if frame.is_audio else flv.parse_video_tag)(body, 0) is not None


def test_noise_through_one_reader() -> None:
    rng = random.Random(4)
    tags = flv.TagReader()
    for _ in range(3000):
        body = bytearray(rng.choice([AVC_CONFIG, avc(True), aac(), b"\x90hvc1" + HVCC, b"\x91hvc1\0\0\0" + NAL]))
        body[rng.randrange(len(body))] = rng.randrange(256)
        for parse in (tags.video, tags.audio):
            try:
                parse(bytes(body), 0)
            except FlvError:
                pass
            flv.is_config(9, bytes(body))
