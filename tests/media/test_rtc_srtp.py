"""SRTP sessions: both directions agree, forgeries and replays are refused, SSRCs are bounded, keys are used once."""

from __future__ import annotations

import os
import struct

import pytest
from pylibsrtp import Policy

from gateway.media.rtc.srtp import AUTH_FAILED, MAX_SSRCS_IN, REPLAYED, InboundSrtp, OutboundSrtp, ffi

PROFILES = [
    (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
    (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
]


class Receiver:
    """An InboundSrtp with a buffer of its own, as the mux has one."""

    def __init__(self, key: bytes, profile: int) -> None:
        self.srtp = InboundSrtp(key, profile)
        self.buffer = bytearray(2048)
        self.length = ffi.new("int *")

    def unprotect(self, packet: bytes, now: float = 0.0, *, rtcp: bool = False) -> bytes | int:
        self.buffer[: len(packet)] = packet
        self.length[0] = len(packet)
        function = self.srtp.unprotect_rtcp if rtcp else self.srtp.unprotect_rtp
        pointer = ffi.from_buffer("unsigned char[]", self.buffer)
        status = function(pointer, self.length, memoryview(self.buffer), now)
        return status if status else bytes(self.buffer[: self.length[0]])


def rtp(ssrc: int, seq: int, payload: bytes = b"payload") -> bytes:
    return struct.pack("!BBHLL", 0x80, 96, seq, seq * 90, ssrc) + payload


def rtcp(ssrc: int) -> bytes:
    return struct.pack("!BBHLLL", 0x81, 206, 2, ssrc, 5, 0)[:12]


@pytest.mark.parametrize(("profile", "size"), PROFILES)
def test_what_is_protected_is_read_once(profile: int, size: int) -> None:
    key = os.urandom(size)
    out, receiver = OutboundSrtp(), Receiver(key, profile)
    assert not out.ready
    with pytest.raises(ValueError, match="no SRTP keys"):
        out.protect_rtp(rtp(1, 1))
    out.set_keys(key, profile)
    assert out.ready and out.handle != ffi.NULL
    sealed = out.protect_rtp(rtp(7, 1))
    assert sealed[:12] == rtp(7, 1)[:12] and b"payload" not in sealed
    assert receiver.unprotect(sealed) == rtp(7, 1)
    assert receiver.unprotect(sealed) in REPLAYED
    assert out.protect_rtp(rtp(7, 1)) == sealed, "a plain resend is byte-identical, so no nonce has two texts"
    sealed = out.protect_rtcp(rtcp(7))
    assert receiver.unprotect(sealed, rtcp=True) == rtcp(7)
    assert receiver.unprotect(sealed, rtcp=True) in REPLAYED
    bad = bytearray(out.protect_rtp(rtp(7, 2)))
    bad[14] ^= 1
    assert receiver.unprotect(bytes(bad)) == AUTH_FAILED
    assert receiver.unprotect(b"\x80\x60" + bytes(4)) == AUTH_FAILED
    with pytest.raises(ValueError, match="cannot protect"):
        out.protect_rtp(rtp(7, 3, bytes(2000)))


def test_in_place_as_the_forwarder_does_it() -> None:
    profile, size = PROFILES[0]
    key = os.urandom(size)
    out, receiver = OutboundSrtp(), Receiver(key, profile)
    out.set_keys(key, profile)
    buffer, length = ffi.new("unsigned char[2048]"), ffi.new("int *")
    packet = rtp(9, 100, bytes(1000))
    ffi.memmove(buffer, packet, len(packet))
    length[0] = len(packet)
    assert out.protect_in_place(buffer, length) == 0
    assert length[0] == len(packet) + 16
    assert receiver.unprotect(bytes(ffi.buffer(buffer, length[0]))) == packet


def test_sequence_numbers_wrap_under_loss() -> None:
    profile, size = PROFILES[0]
    key = os.urandom(size)
    out, receiver = OutboundSrtp(), Receiver(key, profile)
    out.set_keys(key, profile)
    for number in range(30000, 200000, 37):
        sealed = out.protect_rtp(rtp(9, number & 0xFFFF))
        if number % 5:
            assert receiver.unprotect(sealed) == rtp(9, number & 0xFFFF), number


def test_ssrcs_are_bounded_and_idle_ones_make_room() -> None:
    profile, size = PROFILES[0]
    key = os.urandom(size)
    out, receiver = OutboundSrtp(), Receiver(key, profile)
    out.set_keys(key, profile)
    for ssrc in range(MAX_SSRCS_IN):
        assert receiver.unprotect(out.protect_rtp(rtp(ssrc, 1)), now=10.0) == rtp(ssrc, 1)
    assert receiver.unprotect(out.protect_rtp(rtp(1000, 1)), now=11.0) == -1
    assert receiver.unprotect(out.protect_rtp(rtp(3, 2)), now=11.0) == rtp(3, 2), "the known ones go on"
    assert receiver.unprotect(out.protect_rtp(rtp(1001, 1)), now=16.0) == rtp(1001, 1)
    assert receiver.unprotect(out.protect_rtp(rtp(3, 3)), now=16.0) == rtp(3, 3)
    assert len(receiver.srtp._rtp_ssrcs) == MAX_SSRCS_IN
    # A forged packet makes nobody known.
    assert receiver.unprotect(rtp(77, 1, bytes(40)), now=30.0) == AUTH_FAILED
    assert 77 not in receiver.srtp._rtp_ssrcs
