"""The picture transcoders alone: stamps, key frames on demand, sizes, damage, VP8."""

from __future__ import annotations

import random

import pytest

from gateway.media.bridge.picture import H264ToVp8, PictureIn, PictureOut, VideoToH264
from gateway.wire import h264, vp8
from gateway.wire.frame import Codec
from tests.media.bridge_tools import (
    LIBVPX_LIVE,
    X264_B,
    X264_LIVE,
    decode_pictures,
    encode_pictures,
    pictures,
    video_encoder,
)


def coded(codec: str, count: int = 30, size: tuple[int, int] = (160, 96), **options: str) -> list[PictureIn]:
    options = options or (X264_LIVE if codec == "libx264" else LIBVPX_LIVE)
    made = encode_pictures(video_encoder(codec, size, gop=1000, **options), pictures(count / 30, size=size))
    return [PictureIn(p.data, p.pts * 3000, p.keyframe) for p in made]


def read(out: list[PictureOut], codec: str = "h264") -> list[tuple[int, int]]:
    """Return [(pts in frames, counter)]."""
    shown = decode_pictures(codec, [(o.pts / 90000, o.data) for o in out if not o.lost])
    return [(round(s.time * 30), s.counter) for s in shown]


@pytest.mark.parametrize(
    ("codec", "encoder"), [(Codec.VP8, "libvpx"), (Codec.VP9, "libvpx-vp9"), (Codec.H264, "libx264")]
)
def test_one_in_one_out_with_its_stamp(codec: Codec, encoder: str) -> None:
    transcoder = VideoToH264(codec)
    for item in coded(encoder):
        out = transcoder.process([item])
        assert [o.pts for o in out] == [item.pts], "no picture is held back"
        assert out[0].keyframe == (item.pts == 0)
        assert (h264.split_annexb(out[0].data)[0][0] & 31 == 7) == out[0].keyframe, "parameter sets come in band"


def test_b_frames_come_out_in_order_of_display() -> None:
    transcoder = VideoToH264(Codec.H264)
    out = transcoder.process(coded("libx264", 60, **X264_B))
    assert [o.pts for o in out] == [3000 * n for n in range(len(out))] and len(out) >= 56
    assert read(out) == [(n, n) for n in range(len(out))]
    assert all(h264.slice_type(n) is not h264.SliceType.B for o in out for n in h264.split_annexb(o.data))


def test_a_key_frame_when_asked_and_each_interval() -> None:
    transcoder = VideoToH264(Codec.VP8, keyframe_interval_s=1.0)
    items = coded("libvpx", 75)
    items[10] = PictureIn(items[10].data, items[10].pts, False, ask_keyframe=True)
    out = transcoder.process(items)
    assert [o.pts // 3000 for o in out if o.keyframe] == [0, 10, 40, 70]


def test_hidden_pictures_are_decoded_only() -> None:
    transcoder = VideoToH264(Codec.VP8)
    items = [PictureIn(i.data, i.pts, i.keyframe, show=i.pts >= 60000) for i in coded("libvpx")]
    out = transcoder.process(items)
    assert read(out) == [(n, n) for n in range(20, 30)] and out[0].keyframe
    after = VideoToH264(Codec.VP8)
    items = [PictureIn(i.data, i.pts, i.keyframe, after=30000) for i in coded("libvpx")]
    assert read(after.process(items)) == [(n, n) for n in range(11, 30)]


def test_a_new_size_begins_with_a_key_frame() -> None:
    transcoder = VideoToH264(Codec.VP8)
    second = [PictureIn(i.data, i.pts + 90000, i.keyframe) for i in coded("libvpx", size=(320, 192))]
    out = transcoder.process(coded("libvpx") + second)
    assert [o.pts // 3000 for o in out if o.keyframe] == [0, 30]
    sizes = [h264.parse_sps(h264.split_annexb(o.data)[0]) for o in out if o.keyframe]
    assert [(s.width, s.height) for s in sizes] == [(160, 96), (320, 192)]


def test_damage_waits_for_a_key_frame_and_says_so() -> None:
    items = coded("libvpx", 20)
    key = PictureIn(items[0].data, items[15].pts, True)
    items[5] = PictureIn(b"\x00", items[5].pts, False)
    out = VideoToH264(Codec.VP8).process([*items[:15], key])
    lost = [o for o in out if o.lost]
    assert lost and all(o.pts < 75000 for o in lost)
    assert [o.pts // 3000 for o in out if not o.lost] == [0, 1, 2, 3, 4, 15]


def test_it_begins_with_a_key_frame() -> None:
    out = VideoToH264(Codec.VP8).process(coded("libvpx")[3:])
    assert all(o.lost for o in out)


@pytest.mark.parametrize("codec", [Codec.VP8, Codec.VP9, Codec.AV1, Codec.H264, Codec.HEVC])
def test_any_bytes_are_survived(codec: Codec) -> None:
    draw = random.Random(2)
    transcoder = VideoToH264(codec)
    for number in range(60):
        transcoder.process([PictureIn(draw.randbytes(draw.randrange(1, 60)), number * 3000, draw.random() < 0.5)])
    transcoder.close()


def test_stamps_that_do_not_rise_are_moved() -> None:
    items = [PictureIn(i.data, 3000, i.keyframe) for i in coded("libvpx", 5)]
    assert [o.pts for o in VideoToH264(Codec.VP8).process(items)] == [3000, 3001, 3002, 3003, 3004]


def test_h264_to_vp8() -> None:
    out = H264ToVp8(Codec.H264, keyframe_interval_s=0.5).process(coded("libx264"))
    assert [o.pts // 3000 for o in out if o.keyframe] == [0, 15]
    assert vp8.parse_frame_header(out[0].data).width == 160
    assert read(out, "vp8") == [(n, n) for n in range(30)]
