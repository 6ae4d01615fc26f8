"""The handshake against a client written from the other side of the description."""

from __future__ import annotations

import hashlib
import hmac
import random

import pytest

from gateway.base.errors import RtmpError
from gateway.wire.rtmp.handshake import PLAYER_KEY, SERVER_KEY, ServerHandshake

RANDOM = random.Random(7)


def digest_c1(schema: int) -> bytes:
    """A C1 as Flash makes it, digest and key block by schema."""
    packet = bytearray(bytes(4) + b"\x80\x00\x07\x02" + RANDOM.randbytes(1528))
    block = 772 if schema == 0 else 8
    at = block + 4 + (packet[block] + packet[block + 1] + packet[block + 2] + packet[block + 3]) % 728
    rest = bytes(packet[:at] + packet[at + 32 :])
    packet[at : at + 32] = hmac.new(PLAYER_KEY[:30], rest, hashlib.sha256).digest()
    return bytes(packet)


def c1_digest(packet: bytes, schema: int) -> bytes:
    block = 772 if schema == 0 else 8
    at = block + 4 + sum(packet[block : block + 4]) % 728
    return packet[at : at + 32]


def run(c1: bytes, step: int) -> tuple[ServerHandshake, bytes]:
    server = ServerHandshake(random.Random(5).randbytes)
    data = b"\x03" + c1 + RANDOM.randbytes(1536) + b"first chunk"
    out = b""
    for at in range(0, len(data), step):
        out += server.receive(data[at : at + step])
    return server, out


def test_the_constants_are_the_published_ones() -> None:
    assert len(PLAYER_KEY) == 62
    assert len(SERVER_KEY) == 68


@pytest.mark.parametrize("step", [1, 700, 100000])
def test_simple(step: int) -> None:
    c1 = b"\0\0\0\x05" + bytes(4) + RANDOM.randbytes(1528)
    server, out = run(c1, step)
    assert server.done
    assert server.schema is None
    assert len(out) == 3073
    assert out[0] == 3
    assert out[5:9] == bytes(4), "FFmpeg would look for a digest"
    assert out[1537:1541] == c1[:4]
    assert out[1545:] == c1[8:]
    assert server.rest == b"first chunk"


def test_a_version_without_a_digest_is_answered_simply() -> None:
    c1 = bytes(4) + b"\x09\x00\x7c\x02" + RANDOM.randbytes(1528)
    server, out = run(c1, 4096)
    assert server.schema is None
    assert out[5:9] == bytes(4), "the client's version must not be echoed there"


@pytest.mark.parametrize("schema", [0, 1])
@pytest.mark.parametrize("step", [1, 100000])
def test_digests_of_both_schemas(schema: int, step: int) -> None:
    c1 = digest_c1(schema)
    server, out = run(c1, step)
    assert server.schema == schema
    s1, s2 = out[1:1537], out[1537:]
    assert s1[4] >= 3
    block = 772 if schema == 0 else 8
    at = block + 4 + sum(s1[block : block + 4]) % 728
    wanted = hmac.new(SERVER_KEY[:36], s1[:at] + s1[at + 32 :], hashlib.sha256).digest()
    assert s1[at : at + 32] == wanted
    key = hmac.new(SERVER_KEY, c1_digest(c1, schema), hashlib.sha256).digest()
    assert s2[1504:] == hmac.new(key, s2[:1504], hashlib.sha256).digest()


def test_another_version_is_refused() -> None:
    with pytest.raises(RtmpError, match="version 6"):
        ServerHandshake(random.Random(1).randbytes).receive(b"\x06")


def test_http_is_refused_at_once() -> None:
    with pytest.raises(RtmpError):
        ServerHandshake(random.Random(1).randbytes).receive(b"GET / HTTP/1.1\r\n")


def test_nothing_is_answered_before_all_of_c1() -> None:
    server = ServerHandshake(random.Random(1).randbytes)
    assert server.receive(b"\x03" + bytes(1535)) == b""
    assert len(server.receive(b"\0")) == 3073
    assert not server.done
