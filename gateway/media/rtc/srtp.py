"""SRTP through pylibsrtp's libsrtp binding, in place: one session per direction and kind, made from exported DTLS keys.

RFC 3711, 5764 section 4.2 (key order), 7714 (GCM). Two sessions with the same keys would use a GCM nonce twice, so each
of the four here is the only one, belongs to the event loop's thread, and an outgoing SSRC must never go back in its
sequence (a resend is byte-identical or uses its own RTX SSRC). A raw handle lives only as long as its object: keep it.
"""

from __future__ import annotations

import struct
import sys
from typing import Any, Final

from pylibsrtp import Policy
from pylibsrtp._binding import ffi, lib

__all__ = ["InboundSrtp", "OutboundSrtp", "ffi", "lib"]

MAX_SSRCS_IN: Final = 32
"""libsrtp keeps about 2 KB per SSRC and never forgets one by itself."""
SSRC_IDLE_S: Final = 5.0
WINDOW: Final = 1024
"""Replay window in packets; out of order by more is dropped."""
TRAILER: Final = 32
"""Room to leave behind a packet for its tag (16) and index (4) in `protect`."""

OK: Final = 0
AUTH_FAILED: Final = 7
REPLAYED: Final = (9, 10)

_BUFFER_SIZE: Final = 2048
# One for all sessions: everything here runs on the event loop's thread, one call at a time.
_buffer: Final = ffi.new(f"unsigned char[{_BUFFER_SIZE}]")
_view: Final = ffi.buffer(_buffer)
_length: Final = ffi.new("int *")
_unpack_ssrc: Final = struct.Struct("!L").unpack_from


def _session(key: bytes, profile: int, ssrc_type: int) -> Any:
    """Return a `srtp_t *` that frees its session when it goes."""
    policy = Policy(key=key, ssrc_type=ssrc_type, srtp_profile=profile)
    policy.window_size = WINDOW
    policy.allow_repeat_tx = True
    pointer = ffi.new("srtp_t *")
    status = lib.srtp_create(pointer, policy._policy)
    if status != OK:
        raise ValueError(f"srtp_create: status {status}")
    return ffi.gc(pointer, lambda pointer: lib.srtp_dealloc(pointer[0]))


class OutboundSrtp:
    """What one connection sends. Made before the keys are known; `handle` is NULL until `set_keys()`.

    `handle` is the raw `srtp_t` for `lib.srtp_protect(handle, buffer, length_pointer)`, RTP only.
    """

    __slots__ = ("_rtcp", "_rtp", "handle")

    def __init__(self) -> None:
        self.handle: Any = ffi.NULL
        self._rtp: Any = None
        self._rtcp: Any = None

    @property
    def ready(self) -> bool:
        return self._rtp is not None

    def set_keys(self, key: bytes, profile: int) -> None:
        """`key` is the master key and salt; `profile` a libsrtp profile number. Raises ValueError."""
        self._rtp = _session(key, profile, Policy.SSRC_ANY_OUTBOUND)
        self._rtcp = _session(key, profile, Policy.SSRC_ANY_OUTBOUND)
        self.handle = self._rtp[0]

    def protect_rtp(self, packet: bytes) -> bytes:
        """Return the packet encrypted; for rare packets, since it copies twice. Raises ValueError."""
        return self._protect(packet, lib.srtp_protect, self.handle)

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Return the compound packet encrypted. Raises ValueError: too long, or no keys yet."""
        return self._protect(packet, lib.srtp_protect_rtcp, ffi.NULL if self._rtcp is None else self._rtcp[0])

    def _protect(self, packet: bytes, function: Any, handle: Any) -> bytes:
        size = len(packet)
        if handle == ffi.NULL or size > _BUFFER_SIZE - 2 * TRAILER:
            raise ValueError(f"cannot protect {size} bytes" if handle != ffi.NULL else "no SRTP keys yet")
        _view[0:size] = packet
        _length[0] = size
        status = function(handle, _buffer, _length)
        if status != OK:
            raise ValueError(f"libsrtp status {status}")
        return bytes(_view[0 : _length[0]])

    def protect_in_place(self, buffer: Any, length: Any) -> int:
        """Encrypt the RTP packet in cffi `buffer` (`length`: `int *`, updated). Returns libsrtp's status, 0 is good."""
        status: int = lib.srtp_protect(self.handle, buffer, length)
        return status


class InboundSrtp:
    """What one connection receives. Decrypts in the caller's buffer, so nothing is copied before the header is read."""

    __slots__ = ("_rtcp", "_rtcp_ssrcs", "_rtp", "_rtp_ssrcs")

    def __init__(self, key: bytes, profile: int) -> None:
        self._rtp = _session(key, profile, Policy.SSRC_ANY_INBOUND)
        self._rtcp = _session(key, profile, Policy.SSRC_ANY_INBOUND)
        self._rtp_ssrcs: dict[int, float] = {}
        self._rtcp_ssrcs: dict[int, float] = {}

    def unprotect_rtp(self, buffer: Any, length: Any, data: memoryview, now: float) -> int:
        """Decrypt the packet that `buffer` (cffi) and `data` (the same bytes) hold; `length` (`int *`) is updated.

        Returns libsrtp's status: 0 good, 7 forged, 9 or 10 a replay; -1 if a 33rd SSRC came while 32 are in use.
        """
        if length[0] < 12:
            return AUTH_FAILED
        (ssrc,) = _unpack_ssrc(data, 8)
        seen = self._rtp_ssrcs
        if ssrc not in seen and len(seen) >= MAX_SSRCS_IN and not _forget_idle(seen, self._rtp, now):
            return -1
        status: int = lib.srtp_unprotect(self._rtp[0], buffer, length)
        if status == OK:
            seen[ssrc] = now
        return status

    def unprotect_rtcp(self, buffer: Any, length: Any, data: memoryview, now: float) -> int:
        """As `unprotect_rtp`, for a compound RTCP packet."""
        if length[0] < 12:
            return AUTH_FAILED
        (ssrc,) = _unpack_ssrc(data, 4)
        seen = self._rtcp_ssrcs
        if ssrc not in seen and len(seen) >= MAX_SSRCS_IN and not _forget_idle(seen, self._rtcp, now):
            return -1
        status: int = lib.srtp_unprotect_rtcp(self._rtcp[0], buffer, length)
        if status == OK:
            seen[ssrc] = now
        return status


def _forget_idle(seen: dict[int, float], session: Any, now: float) -> bool:
    """Make room for one SSRC by forgetting the one that was silent for longest, if that is `SSRC_IDLE_S` or more."""
    oldest = min(seen, key=seen.__getitem__)
    if now - seen[oldest] < SSRC_IDLE_S:
        return False
    # libsrtp wants the SSRC as it is on the wire.
    lib.srtp_remove_stream(session[0], int.from_bytes(oldest.to_bytes(4, "big"), sys.byteorder))
    del seen[oldest]
    return True
