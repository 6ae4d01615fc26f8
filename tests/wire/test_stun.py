"""Connectivity checks: the frame, the signature, and that no datagram makes the reader fail in another way."""

from __future__ import annotations

import random
import struct

import pytest
from aioice import stun as aioice_stun
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import StunError
from gateway.wire import stun

TID = bytes(range(12))
PASSWORD = "p" * 24


def check(**options: object) -> bytes:
    return stun.binding_request(TID, "ours:theirs", PASSWORD, **options)  # type: ignore[arg-type]


def test_a_check_is_read_back() -> None:
    message = stun.parse(check(nominate=True, priority=7))
    assert message.type == stun.BINDING_REQUEST and message.transaction_id == TID
    assert message.username == ("ours", "theirs") and message.use_candidate
    assert message.attributes[stun.PRIORITY] == struct.pack("!L", 7)
    assert message.verify(PASSWORD) and not message.verify("q" * 24)


def test_without_signature_nothing_verifies() -> None:
    message = stun.parse(stun.serialize(stun.BINDING_REQUEST, TID, [(stun.USERNAME, b"ours:theirs")]))
    assert not message.verify(PASSWORD) and not message.verify("")


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7", "fe80::1%2"])
def test_an_answer_carries_the_address_it_came_from(host: str) -> None:
    answer = stun.binding_response(TID, host, 40000, PASSWORD)
    assert len(answer) == (76 if ":" in host else 64)
    message = stun.parse(answer)
    assert message.type == stun.BINDING_RESPONSE and message.verify(PASSWORD)
    assert message.mapped_address() == (host.partition("%")[0], 40000)
    assert stun.FINGERPRINT in message.attributes


def test_another_implementation_agrees() -> None:
    theirs = aioice_stun.parse_message(stun.binding_response(TID, "192.0.2.7", 40000, PASSWORD))
    assert theirs.check_message_integrity(PASSWORD.encode())
    assert theirs.attributes["XOR-MAPPED-ADDRESS"] == ("192.0.2.7", 40000)
    request = aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.REQUEST, transaction_id=TID)
    request.attributes["USERNAME"] = "ours:theirs"
    request.attributes["PRIORITY"] = 1
    request.attributes["USE-CANDIDATE"] = None
    request.add_message_integrity(PASSWORD.encode())
    message = stun.parse(bytes(request))
    assert message.verify(PASSWORD) and message.use_candidate


def test_every_flipped_bit_is_noticed() -> None:
    good = check()
    for position in range(len(good) - 8):  # all but the FINGERPRINT, which nobody signs
        bad = bytearray(good)
        bad[position] ^= 0x10
        try:
            message = stun.parse(bytes(bad))
        except StunError:
            continue
        assert not message.verify(PASSWORD), position


def test_attributes_after_the_signature_are_not_believed() -> None:
    unsigned_tail = struct.pack("!HH", stun.USE_CANDIDATE, 0)
    good = check()
    body = good[20:-8] + unsigned_tail
    message = stun.parse(good[:2] + struct.pack("!H", len(body)) + good[4:20] + body)
    assert message.verify(PASSWORD) and not message.use_candidate


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 19,
        b"\0" * 20,
        check() + b"\0",
        check()[:-4],
        check() + b"\0" * 1500,
        stun.serialize(stun.BINDING_REQUEST, TID, [(stun.USERNAME, b"a" * 600)]),
        stun.serialize(stun.BINDING_REQUEST, TID, [(0x4000 + i, b"") for i in range(40)]),
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(StunError):
        stun.parse(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_a_stun_error(data: bytes) -> None:
    head = struct.pack("!HHL12s", 1, len(data) & ~3, stun.MAGIC_COOKIE, TID)
    for candidate in (data, head + data[: len(data) & ~3]):
        try:
            message = stun.parse(candidate)
            message.username, message.verify(PASSWORD), message.mapped_address()
        except StunError:
            pass


def test_mutated_checks_give_a_message_or_a_stun_error() -> None:
    rng = random.Random(1)
    for _ in range(3000):
        data = bytearray(check(nominate=True))
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            stun.parse(bytes(data[: rng.randrange(len(data) + 1)])).mapped_address()
            stun.parse(bytes(data)).mapped_address()
        except StunError:
            pass
