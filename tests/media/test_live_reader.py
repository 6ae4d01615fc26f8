"""The slow-reader rule, the bytes that players share, and the publisher's side."""

from __future__ import annotations

import itertools
import random

from gateway.media.live.encode import FlvEncoder, RtmpEncoder, http_chunk, ws_frame
from gateway.media.live.ingest import Ingest
from gateway.media.live.reader import MAX_FRAMES, QueuedReader
from gateway.media.live.stream import LiveStream
from gateway.wire import aac as aac_codec
from gateway.wire import flv
from gateway.wire.frame import Codec, Frame, Metadata
from gateway.wire.rtmp.chunks import ChunkReader
from tests.media.test_live_stream import Collector, aconfig, audio, show, stream, vconfig, video
from tests.wire.rtmp_peer import AAC_CONFIG, AVC_CONFIG, aac, avc


class Plain:
    """An encoder whose bytes name the frame."""

    key = "plain"

    def encode(self, frame: Frame) -> bytes | None:
        if frame.codec is Codec.AV1:
            return None
        return frame.encodings.setdefault(self.key, show(frame).encode() + b" ")

    def metadata(self, metadata: Metadata) -> bytes:
        return b"meta "


class Socket:
    """Takes writes until `room` is used up, as a transport that pauses."""

    def __init__(self, limit_s: float = 1.0, room: int | None = None, **kinds: bool) -> None:
        self.data = b""
        self.writes = 0
        self.room = room
        self.now = 0.0
        self.reader = QueuedReader(Plain(), self.write, limit_s=limit_s, clock=lambda: self.now, **kinds)

    def write(self, data: bytes) -> None:
        self.data += data
        self.writes += 1
        if self.room is not None and len(self.data) > self.room:
            self.reader.pause()

    def open(self) -> None:
        self.room = None
        self.reader.resume()

    @property
    def got(self) -> list[str]:
        return self.data.decode().split()


def test_everything_waits_for_start_and_leaves_in_one_write() -> None:
    socket = Socket()
    first: list[int] = []
    reader = QueuedReader(Plain(), socket.write, limit_s=1.0, on_first=lambda: first.append(1))
    reader.metadata(Metadata({}))
    for frame in (vconfig(), aconfig(), video(0, True), audio(3), video(40)):
        reader.deliver(frame)
    assert (socket.data, first) == (b"", [1])
    reader.start()
    assert socket.got == ["meta", "vc0", "ac0", "vK0", "a3", "v40"]
    assert socket.writes == 2
    reader.deliver(audio(50))
    assert socket.writes == 3, "then each frame at once"
    assert reader.bytes_sent == len(socket.data) - len(b"meta ")


def test_the_group_at_the_start_does_not_count_as_late() -> None:
    socket = Socket(limit_s=1.0)
    for index in range(250):
        socket.reader.deliver(video(40 * index, index == 0))
    socket.reader.start(writable=False)
    assert socket.reader.blocked_since == 0.0
    for index in range(250, 270):
        socket.reader.deliver(video(40 * index))
    socket.open()
    assert len(socket.got) == 270
    assert socket.reader.dropped_video == 0


def slow(limit_s: float = 1.0) -> Socket:
    """A socket that has just stopped taking anything."""
    socket = Socket(limit_s, room=0)
    socket.reader.start()
    socket.reader.deliver(video(0, True))
    assert socket.reader.blocked_since == 0.0
    return socket


def test_a_slow_reader_loses_pictures_up_to_the_newest_key_frame_and_no_sound() -> None:
    socket = slow()
    for index in range(1, 40):
        socket.reader.deliver(video(40 * index, index == 15))
        socket.reader.deliver(audio(40 * index + 1))
    socket.open()
    got = socket.got
    pictures = [item for item in got if item.startswith("v")]
    assert pictures == ["vK0", "vK600"] + [f"v{40 * i}" for i in range(16, 40)]
    assert [item for item in got if item.startswith("a")] == [f"a{40 * i + 1}" for i in range(1, 40)]
    assert socket.reader.dropped_video == 14
    assert socket.reader.blocked_since is None


def test_without_a_key_frame_in_the_queue_pictures_stop_until_the_next_one() -> None:
    socket = slow()
    for index in range(1, 40):
        socket.reader.deliver(video(40 * index))
        socket.reader.deliver(audio(40 * index + 1))
    socket.open()
    assert [item for item in socket.got if item.startswith("v")] == ["vK0"]
    socket.reader.deliver(video(1600))
    socket.reader.deliver(audio(1601))
    socket.reader.deliver(video(1640, True))
    socket.reader.deliver(video(1680))
    assert socket.got[-3:] == ["a1601", "vK1640", "v1680"]
    assert socket.reader.dropped_video == 40


def test_sound_that_waits_too_long_means_a_jump_to_the_live_edge() -> None:
    socket = slow()
    for index in range(1, 120):
        socket.reader.deliver(audio(40 * index))
    assert socket.reader.jumps >= 1
    socket.open()
    audio_got = [item for item in socket.got if item.startswith("a")]
    assert audio_got[-1] == "a4760"
    assert len(audio_got) < 60


def test_configurations_survive_every_drop() -> None:
    socket = slow()
    socket.reader.deliver(vconfig(b"new"))
    socket.reader.deliver(aconfig(b"new"))
    for index in range(1, 200):
        socket.reader.deliver(video(40 * index, index == 150))
        socket.reader.deliver(audio(40 * index + 1))
    socket.open()
    got = socket.got
    assert "vc0" in got
    assert "ac0" in got
    pictures = [item for item in got[1:] if item.startswith("v")]
    assert pictures[0].startswith("vc")
    assert len(pictures) == 1 or pictures[1].startswith("vK"), "after a drop the picture begins with a key frame"


def test_the_queue_is_bounded_when_time_stands_still() -> None:
    socket = slow()
    for _ in range(3 * MAX_FRAMES):
        socket.reader.deliver(video(0))
    assert socket.reader.queued <= MAX_FRAMES


def test_decodable_whatever_happens() -> None:
    """At random pauses and key frames: a picture follows its predecessor or is a key frame; sound is in order."""
    rng = random.Random(6)
    for _ in range(40):
        socket = Socket(limit_s=0.5, room=rng.choice([None, 50]))
        socket.reader.start()
        for index in range(400):
            socket.reader.deliver(video(40 * index, rng.random() < 0.05 or index == 0))
            socket.reader.deliver(audio(40 * index))
            if rng.random() < 0.03:
                socket.room = len(socket.data)
            if rng.random() < 0.03:
                socket.open()
        socket.open()
        previous = None
        for item in (item for item in socket.got if item.startswith("v")):
            time = int(item.lstrip("vK"))
            assert item.startswith("vK") or previous == time - 40, f"{item} after {previous}"
            previous = time
        sounds = [int(item[1:]) for item in socket.got if item.startswith("a")]
        assert sounds == sorted(sounds)


def test_codecs_that_the_peer_cannot_take_are_counted() -> None:
    socket = Socket()
    socket.reader.start()
    for _ in range(3):
        socket.reader.deliver(Frame(Codec.AV1, 0, 0, b"x"))
    assert (socket.reader.unsupported, socket.data) == (3, b"")


# --- encoders


def rtmp_messages(data: bytes) -> list[tuple[int, int, bytes]]:
    reader = ChunkReader()
    reader.chunk_size = 60000
    reader.feed(data)
    found = []
    while (message := reader.next_message()) is not None:
        assert message.stream_id == 1
        found.append((message.type, message.timestamp, message.body))
    assert reader.buffered == 0
    return found


def test_rtmp_players_of_one_hour_share_the_bytes_object() -> None:
    hour = 3600_000
    frames = [video(5 * hour + 90_000, True), video(5 * hour + 90_040)]
    one, two, early = RtmpEncoder(1), RtmpEncoder(1), RtmpEncoder(1)
    early.encode(video(2 * hour))
    for frame in frames:
        assert one.encode(frame) is two.encode(frame)
        assert early.encode(frame) is not one.encode(frame)
    data = b"".join(one.encode(frame) or b"" for frame in frames)
    assert [(kind, time) for kind, time, _ in rtmp_messages(data)] == [(9, 90_000), (9, 90_040)]
    assert rtmp_messages(early.encode(frames[0]) or b"")[0][1] == 3 * hour + 90_000


def test_the_extended_timestamp_is_hours_away() -> None:
    encoder = RtmpEncoder(1)
    encoder.encode(video(3600_000 * 7 - 1))
    last = encoder.encode(video(3600_000 * 7 - 1 + int(3.6 * 3600_000)))
    assert last is not None
    assert last[1:4] != b"\xff\xff\xff"


def test_rtmp_bytes_by_codec_and_player() -> None:
    hevc = Frame(Codec.HEVC, 0, 0, b"\0\0\0\x01\x26")
    av1 = Frame(Codec.AV1, 0, 0, b"\x12\x00")
    plain, modern = RtmpEncoder(1), RtmpEncoder(1, frozenset({"hvc1", "av01"}))
    assert rtmp_messages(plain.encode(hevc) or b"")[0][2][:1] == b"\x1c"
    assert rtmp_messages(modern.encode(hevc) or b"")[0][2][:5] == b"\x91hvc1"
    assert plain.encode(av1) is None
    assert rtmp_messages(modern.encode(av1) or b"")[0][2][:5] == b"\x91av01"


def test_the_bodies_are_built_from_what_the_bridge_writes() -> None:
    encoder = RtmpEncoder(1)
    frames = [vconfig(AVC_CONFIG[5:]), aconfig(AAC_CONFIG[2:]), video(0, True, cts=40), audio(21)]
    found = rtmp_messages(b"".join(encoder.encode(frame) or b"" for frame in frames))
    assert found[0][2] == AVC_CONFIG
    assert found[1][2] == AAC_CONFIG
    assert found[2][2][:5] == b"\x17\x01\x00\x00\x28"
    assert found[3][2] == b"\xaf\x01a"


def test_flv_framings_carry_the_same_tags() -> None:
    frame = video(100, True)
    bare, http, ws = FlvEncoder(""), FlvEncoder("http"), FlvEncoder("ws")
    tag = bare.encode(frame)
    assert tag is not None
    assert http.encode(frame) == b"%x\r\n" % len(tag) + tag + b"\r\n"
    assert ws.encode(frame) == b"\x82" + bytes((len(tag),)) + tag
    assert FlvEncoder("ws").encode(frame) is ws.encode(frame)
    assert bare.header(True, False) == flv.file_header(True, False)
    assert http_chunk(b"abc") == b"3\r\nabc\r\n"
    assert ws_frame(bytes(126))[:4] == b"\x82\x7e\x00\x7e"
    assert ws_frame(bytes(65536))[:10] == b"\x82\x7f" + (65536).to_bytes(8, "big")


def test_hevc_leaves_over_http_in_the_form_in_which_it_came() -> None:
    nal = b"\0\0\0\x01\x26"
    for body in (b"\x1c\x01\0\0\0" + nal, b"\x91hvc1\0\0\0" + nal):
        frame = flv.parse_video_tag(body, 0)
        assert frame is not None
        assert FlvEncoder("").encode(frame) == flv.tag(9, 0, body)


# --- publishers


def ingest(live: LiveStream, **kinds: bool) -> Ingest:
    return Ingest(live, audio=kinds.get("audio", True), video=kinds.get("video", True), now=0.0)


def test_bodies_become_frames_on_stream_time() -> None:
    live = stream()
    reader = Collector()
    live.add_reader(reader)
    source = ingest(live)
    now = 0.0
    script = [(9, 0, AVC_CONFIG), (8, 0, AAC_CONFIG), (9, 4000, avc(True)), (8, 4010, aac()), (9, 4040, avc(False))]
    for kind, time, body in script:
        source.media(kind, time, body, now)
    shown = reader.shown
    assert shown[:2] == ["vc0", "ac0"]
    base = int(shown[2][2:])
    assert shown[2:] == [f"vK{base}", f"a{base + 10}", f"v{base + 40}"], "a header's stamp of 0 is no time"
    assert (source.messages, source.unsupported, source.not_allowed) == (5, 0, 0)
    source.metadata({"width": 1.0})
    assert reader.told[0].values == {"width": 1.0}


def test_stamps_wrap_and_the_stream_goes_on() -> None:
    live = stream()
    reader = Collector()
    live.add_reader(reader)
    source = ingest(live)
    for index in range(6):
        source.media(9, (0xFFFFFFFF - 100 + 40 * index) & 0xFFFFFFFF, avc(True), index * 0.04)
    times = [frame.dts // 90 for frame in reader.frames]
    assert [b - a for a, b in itertools.pairwise(times)] == [40] * 5


def test_kinds_that_the_grant_lacks_are_dropped_and_counted() -> None:
    live = stream()
    reader = Collector()
    live.add_reader(reader)
    source = ingest(live, video=False)
    for kind, body in ((9, AVC_CONFIG), (9, avc(True)), (8, AAC_CONFIG), (8, aac()), (9, b"\x17\x02\0\0\0")):
        source.media(kind, 0, body, 0.0)
    assert reader.shown == ["ac0", "a0"]
    assert source.not_allowed == 3


# --- kinds that are held back for a while


AAC_CONFIG_MONO = b"\xaf\x00" + aac_codec.build_asc(48000, 1)


def kinds_of(reader: Collector) -> list[str]:
    """What came, without its times: `vc` and `ac` configurations, `vK` key frames, `v`, `a`."""
    return [name.rstrip("0123456789") for name in reader.shown]


def test_sound_that_is_held_back_becomes_silence_on_the_same_clock() -> None:
    live = stream()
    reader = Collector()
    live.add_reader(reader)
    source = ingest(live)
    source.media(8, 0, AAC_CONFIG_MONO, 0.0)
    source.media(8, 0, aac(), 0.0)
    source.hold(audio=True, video=False)
    source.media(8, 20, b"\xaf\x01loud", 0.02)
    source.hold(audio=False, video=False)
    source.media(8, 40, b"\xaf\x01loud", 0.04)
    sounds = [frame for frame in reader.frames if not frame.config]
    silence = aac_codec.silent_frame(aac_codec.parse_asc(aac_codec.build_asc(48000, 1)))
    assert [frame.data for frame in sounds[1:]] == [silence, b"loud"]
    assert [(b.dts - a.dts) // 90 for a, b in itertools.pairwise(sounds)] == [20, 20]
    assert source.not_allowed == 1


def test_a_picture_that_is_held_back_goes_on_with_a_key_frame() -> None:
    live = stream()
    reader = Collector()
    live.add_reader(reader)
    source = ingest(live)
    source.media(9, 0, AVC_CONFIG, 0.0)
    for index, key in enumerate((True, False)):
        source.media(9, 40 * index, avc(key), 0.04 * index)
    source.hold(audio=False, video=True)
    live.interrupt(video=True)
    late = Collector()
    live.add_reader(late)
    source.media(9, 80, avc(True), 0.08)
    assert kinds_of(late) == ["vc"], "a newcomer gets nothing of before"
    source.media(9, 120, b"\x17\x00\x00\x00\x00" + AVC_CONFIG[5:-1] + b"\x00", 0.12)  # configurations pass
    source.hold(audio=False, video=False)
    for index, key in enumerate((False, False, True, False), start=4):
        source.media(9, 40 * index, avc(key), 0.04 * index)
    assert kinds_of(reader) == ["vc", "vK", "v", "vc", "vK", "v"]
    assert kinds_of(late) == ["vc", "vc", "vK", "v"]


def test_a_kind_that_is_switched_on_begins_with_its_configuration() -> None:
    live = stream()
    reader = Collector()
    reader.audio = reader.video = False
    live.add_reader(reader)
    source = ingest(live)
    for kind, body in ((9, AVC_CONFIG), (8, AAC_CONFIG), (9, avc(True)), (8, aac())):
        source.media(kind, 0, body, 0.0)
    assert reader.shown == []
    reader.audio = reader.video = True
    live.refresh(reader)
    live.refresh(reader)
    for index, key in enumerate((False, True), start=1):
        source.media(9, 40 * index, avc(key), 0.04 * index)
        source.media(8, 40 * index, aac(), 0.04 * index)
    assert kinds_of(reader) == ["vc", "ac", "a", "vK", "a"]
