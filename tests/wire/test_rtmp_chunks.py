"""The chunk stream: every header form, both habits with the extended timestamp, limits, any cut, and noise."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import RtmpError
from gateway.wire.rtmp.chunks import ChunkReader, Message, write_message


def messages(data: bytes, step: int = 1 << 30, **limits: int) -> list[Message]:
    reader = ChunkReader(**limits)
    out = []
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
        while (message := reader.next_message()) is not None:
            out.append(message)
    return out


def basic(fmt: int, csid: int) -> bytes:
    if csid < 64:
        return bytes((fmt << 6 | csid,))
    if csid < 320:
        return bytes((fmt << 6, csid - 64))
    return bytes((fmt << 6 | 1, csid - 64 & 255, csid - 64 >> 8))


def full(csid: int, time: int, length: int, kind: int = 9, sid: int = 1) -> bytes:
    """A header of type 0."""
    return (
        basic(0, csid)
        + min(time, 0xFFFFFF).to_bytes(3, "big")
        + length.to_bytes(3, "big")
        + bytes((kind,))
        + struct.pack("<I", sid)
        + (struct.pack(">I", time) if time >= 0xFFFFFF else b"")
    )


def same_stream(csid: int, delta: int, length: int, kind: int = 9) -> bytes:
    """A header of type 1."""
    extra = struct.pack(">I", delta) if delta >= 0xFFFFFF else b""
    return basic(1, csid) + min(delta, 0xFFFFFF).to_bytes(3, "big") + length.to_bytes(3, "big") + bytes((kind,)) + extra


BODY = bytes(range(256)) * 2
STEPS = [1, 2, 3, 5, 127, 128, 129, 1 << 20]


@pytest.mark.parametrize("csid", [3, 63, 64, 319, 320, 65599])
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_chunk_stream_ids_of_all_three_sizes(csid: int, step: int) -> None:
    data = full(csid, 10, 300) + BODY[:128] + basic(3, csid) + BODY[128:256] + basic(3, csid) + BODY[256:300]
    assert messages(data, step) == [Message(9, 10, 1, BODY[:300])]


@pytest.mark.parametrize("step", STEPS)
def test_all_header_types(step: int) -> None:
    data = full(6, 1000, 3, sid=5) + b"abc"
    data += same_stream(6, 40, 4, kind=8) + b"defg"
    data += basic(2, 6) + (33).to_bytes(3, "big") + b"hijk"
    data += basic(3, 6) + b"lmno"
    assert messages(data, step) == [
        Message(9, 1000, 5, b"abc"),
        Message(8, 1040, 5, b"defg"),
        Message(8, 1073, 5, b"hijk"),
        Message(8, 1106, 5, b"lmno"),
    ]


def test_type_3_after_type_0_adds_its_timestamp_field() -> None:
    # FMLE, FFmpeg and librtmp write exactly this when the delta happens to equal the first timestamp.
    data = full(4, 40, 1, kind=8) + b"a" + basic(3, 4) + b"b" + basic(3, 4) + b"c"
    assert [m.timestamp for m in messages(data)] == [40, 80, 120]


def test_type_1_may_open_a_chunk_stream() -> None:
    assert messages(same_stream(4, 77, 1) + b"a")[0].timestamp == 77


@pytest.mark.parametrize("fmt", [2, 3])
def test_types_2_and_3_may_not(fmt: int) -> None:
    with pytest.raises(RtmpError, match="begins"):
        messages(basic(fmt, 4) + bytes(20))


@pytest.mark.parametrize("step", STEPS)
def test_audio_interleaved_inside_a_picture(step: int) -> None:
    data = full(6, 5, 300) + BODY[:128]
    data += full(4, 6, 4, kind=8) + b"song"
    data += basic(3, 6) + BODY[128:256] + same_stream(4, 21, 4, kind=8) + b"more" + basic(3, 6) + BODY[256:300]
    assert messages(data, step) == [Message(8, 6, 1, b"song"), Message(8, 27, 1, b"more"), Message(9, 5, 1, BODY[:300])]


@pytest.mark.parametrize("repeated", [True, False])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("time", [0xFFFFFF, 0x1000000, 0x80000005, 0xFFFFFFFF])
def test_extended_timestamp_repeated_or_not(repeated: bool, step: int, time: int) -> None:
    again = basic(3, 6) + (struct.pack(">I", time) if repeated else b"")
    data = full(6, time, 300) + BODY[:128] + again + BODY[128:256] + again + BODY[256:300]
    data += full(4, 0, 1, kind=8) + b"x" + b"\x03"  # what follows decides a continuation of less than 4 bytes
    found = messages(data, step)
    assert found[0] == Message(9, time, 1, BODY[:300])
    assert found[1] == Message(8, 0, 1, b"x")


@pytest.mark.parametrize("repeated", [True, False])
def test_extended_delta_repeated_or_not(repeated: bool) -> None:
    delta = 0x1000001
    again = basic(3, 6) + (struct.pack(">I", delta) if repeated else b"")
    data = full(6, 100, 1) + b"a" + same_stream(6, delta, 200) + BODY[:128] + again + BODY[128:200]
    assert messages(data + bytes(4))[1] == Message(9, 100 + delta, 1, BODY[:200])


def test_timestamps_wrap_at_32_bits() -> None:
    data = full(6, 0xFFFFFFF0, 1) + b"a" + same_stream(6, 0x20, 1) + b"b"
    assert [m.timestamp for m in messages(data)] == [0xFFFFFFF0, 0x10]


@pytest.mark.parametrize("size", [128, 129, 4096, 60000, 0x7FFFFFFF])
@pytest.mark.parametrize("step", [1, 1448, 1 << 20])
def test_set_chunk_size_counts_from_the_next_chunk(size: int, step: int) -> None:
    body = random.Random(1).randbytes(5000)
    data = full(2, 0, 4, kind=1, sid=0) + struct.pack(">I", size)
    data += write_message(6, 9, 1, 40, body, min(size, 1 << 24)) * 2
    assert messages(data, step) == [Message(1, 0, 0, struct.pack(">I", size)), *[Message(9, 40, 1, body)] * 2]


@pytest.mark.parametrize("size", [0, 1, 127, 0x80000000])
def test_tiny_chunk_sizes_are_refused(size: int) -> None:
    with pytest.raises(RtmpError, match="chunk size"):
        messages(full(2, 0, 4, kind=1, sid=0) + struct.pack(">I", size))


def test_abort_drops_the_partial_message_and_keeps_the_header() -> None:
    data = full(6, 5, 300) + BODY[:128]
    data += full(2, 0, 4, kind=2, sid=0) + struct.pack(">I", 6)
    data += (
        basic(2, 6) + (7).to_bytes(3, "big") + BODY[:128] + basic(3, 6) + BODY[128:256] + basic(3, 6) + BODY[256:300]
    )
    assert messages(data)[1:] == [Message(9, 12, 1, BODY[:300])]


def test_empty_messages_are_messages() -> None:
    assert messages(full(4, 9, 0, kind=8) + full(4, 10, 1, kind=8) + b"a") == [
        Message(8, 9, 1, b""),
        Message(8, 10, 1, b"a"),
    ]


def test_a_header_inside_a_message_is_refused() -> None:
    with pytest.raises(RtmpError, match="inside a message"):
        messages(full(6, 5, 300) + BODY[:128] + full(6, 5, 300))


def test_message_size_is_limited() -> None:
    with pytest.raises(RtmpError, match="limit 1000"):
        messages(full(6, 5, 1001), max_message=1000)


def test_chunk_streams_are_limited() -> None:
    data = b"".join(full(csid, 0, 0) for csid in range(3, 67))
    assert len(messages(data)) == 64
    with pytest.raises(RtmpError, match="chunk streams"):
        messages(data + full(67, 0, 0))


def test_partial_messages_together_are_limited() -> None:
    reader = ChunkReader(max_message=100000, max_partial=1000)
    with pytest.raises(RtmpError, match="unfinished"):
        for csid in range(3, 60):
            reader.feed(full(csid, 0, 90000) + bytes(128))
            assert reader.next_message() is None
    assert reader.buffered < 1000 + 256


def test_memory_is_given_back() -> None:
    reader = ChunkReader()
    for _ in range(50):
        reader.feed(write_message(6, 9, 1, 0, bytes(3000), 128))
        assert reader.next_message() is not None
        assert reader.next_message() is None
        assert reader.buffered == 0


@pytest.mark.parametrize("time", [0, 5, 0xFFFFFE, 0xFFFFFF, 0xFFFFFFFF, 1 << 32])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 256, 1000])
def test_what_is_written_is_read(time: int, size: int) -> None:
    body = random.Random(size).randbytes(size)
    data = write_message(6, 9, 1, time, body, 128)
    assert messages(data, 1) == messages(data) == [Message(9, time & 0xFFFFFFFF, 1, body)]


def test_a_whole_message_is_one_chunk_when_it_fits() -> None:
    assert write_message(4, 8, 1, 21, b"sound", 60000) == full(4, 21, 5, kind=8) + b"sound"


@st.composite
def chunk_traffic(draw: st.DrawFn) -> tuple[bytes, list[Message]]:
    """Several messages, their chunks interleaved at random."""
    rng = random.Random(draw(st.integers(0, 1 << 30)))
    wire: list[list[bytes]] = []
    count = draw(st.integers(1, 8))
    for index in range(count):
        csid = 3 + index
        body = rng.randbytes(draw(st.integers(0, 700)))
        time = draw(st.sampled_from([0, 40, 0xFFFFFF, 0x2000000]))
        extra = struct.pack(">I", time) if time >= 0xFFFFFF else b""
        pieces = [body[at : at + 128] for at in range(0, len(body), 128)] or [b""]
        chunks = [full(csid, time, len(body)) + pieces[0]]
        chunks += [basic(3, csid) + extra + piece for piece in pieces[1:]]
        wire.append(chunks)
    data = b""
    while any(wire):
        queue = rng.choice([queue for queue in wire if queue])
        for _ in range(rng.randint(1, 3)):
            if queue:
                data += queue.pop(0)
    return data, messages(data)


@settings(max_examples=100, deadline=None)
@given(chunk_traffic(), st.lists(st.integers(1, 200), min_size=1, max_size=20))
def test_any_cut_gives_the_same_messages(traffic: tuple[bytes, list[Message]], cuts: list[int]) -> None:
    data, wanted = traffic
    reader = ChunkReader()
    found = []
    position = 0
    while position < len(data):
        size = cuts[position % len(cuts)]
        reader.feed(data[position : position + size])
        position += size
        while (message := reader.next_message()) is not None:
            found.append(message)
    assert found == wanted
    assert messages(data, 1) == wanted


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600), st.integers(1, 64))
def test_noise_gives_messages_or_an_rtmp_error(data: bytes, step: int) -> None:
    def outcome(step: int) -> tuple[list[Message], bool]:
        reader = ChunkReader(max_message=2000)
        found = []
        try:
            for at in range(0, len(data), step):
                reader.feed(data[at : at + step])
                while (message := reader.next_message()) is not None:
                    found.append(message)
        except RtmpError:
            return found, True
        assert reader.buffered <= 4000 + len(data)
        return found, False

    assert outcome(step) == outcome(1 << 20)


def test_mutated_traffic_gives_messages_or_an_rtmp_error() -> None:
    rng = random.Random(3)
    good = b"".join(write_message(3 + i, 9, 1, i * 40, rng.randbytes(300), 128) for i in range(5))
    for _ in range(2000):
        data = bytearray(good)
        for _ in range(rng.randint(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            messages(bytes(data), rng.choice([1 << 20, 100]), max_message=5000)
        except RtmpError:
            pass
