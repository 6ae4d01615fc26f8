"""Both halves of the RTMP handshake: the server's simple or with digests (two layouts), the client's simple.

Adobe RTMP 1.0 section 5.2; the digests are not in the specification, but in every open server. Flash, FFmpeg and
their kin send a digest; OBS's librtmp does not.

    C0 C1 (1537 bytes) ──▶   ◀── S0 S1 S2 (3073 bytes, at once)   C2 (1536 bytes) ──▶   done

C2 is never checked: old FFmpeg versions send a wrong one, and nothing depends on it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from gateway.base.errors import RtmpError

VERSION: Final = 3
PACKET_SIZE: Final = 1536

_TAIL: Final = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
PLAYER_KEY: Final = b"Genuine Adobe Flash Player 001" + _TAIL
SERVER_KEY: Final = b"Genuine Adobe Flash Media Server 001" + _TAIL
PLAYER_TEXT: Final = 30
SERVER_TEXT: Final = 36

_SERVER_VERSION: Final = bytes((4, 5, 0, 1))
_DIGEST_BLOCK: Final = {0: 8 + 764, 1: 8}
"""Where the digest block begins, by schema."""


def digest_position(packet: bytes, schema: int) -> int:
    """Return where the 32-byte digest of a C1 or S1 lies. `schema` 0: key block first; 1: digest block first."""
    block = _DIGEST_BLOCK[schema]
    return block + 4 + sum(packet[block : block + 4]) % 728


def digest(packet: bytes, position: int, key: bytes) -> bytes:
    """Return the HMAC-SHA256 over `packet` without the 32 bytes at `position`."""
    return hmac.digest(key, packet[:position] + packet[position + 32 :], hashlib.sha256)


def find_digest(packet: bytes, key: bytes) -> tuple[int, bytes] | None:
    """Return (schema, digest) if `packet` carries a valid digest under `key`, else None."""
    for schema in (0, 1):
        position = digest_position(packet, schema)
        wanted = digest(packet, position, key)
        if hmac.compare_digest(wanted, packet[position : position + 32]):
            return schema, wanted
    return None


class ServerHandshake:
    """Feed it bytes until `done`; what follows the handshake stays in `rest`."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._buffer = bytearray()
        self._answered = False
        self.done = False
        self.schema: int | None = None

    @property
    def rest(self) -> bytes:
        """Bytes that came after C2."""
        return bytes(self._buffer) if self.done else b""

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the client; return what to send now. Raises RtmpError for another protocol or version."""
        self._buffer += data
        out = b""
        if self._buffer and not self._answered and self._buffer[0] != VERSION:
            raise RtmpError(f"handshake version {self._buffer[0]}, only {VERSION} is spoken here")
        if not self._answered and len(self._buffer) >= 1 + PACKET_SIZE:
            out = self._answer(bytes(self._buffer[1 : 1 + PACKET_SIZE]))
            del self._buffer[: 1 + PACKET_SIZE]
            self._answered = True
        if self._answered and not self.done and len(self._buffer) >= PACKET_SIZE:
            del self._buffer[:PACKET_SIZE]
            self.done = True
        return out

    def _answer(self, c1: bytes) -> bytes:
        # FFmpeg as a player looks for a digest when byte 4 of S1 is 3 or more: a plain answer has zeros there.
        found = find_digest(c1, PLAYER_KEY[:PLAYER_TEXT]) if c1[4:8] != b"\0\0\0\0" else None
        if found is None:
            return bytes((VERSION,)) + bytes(8) + self._random(PACKET_SIZE - 8) + c1[:4] + bytes(4) + c1[8:]
        self.schema, c1_digest = found
        s1 = bytes(4) + _SERVER_VERSION + self._random(PACKET_SIZE - 8)
        position = digest_position(s1, self.schema)
        s1 = s1[:position] + digest(s1, position, SERVER_KEY[:SERVER_TEXT]) + s1[position + 32 :]
        key = hmac.digest(SERVER_KEY, c1_digest, hashlib.sha256)
        body = self._random(PACKET_SIZE - 32)
        return bytes((VERSION,)) + s1 + body + hmac.digest(key, body, hashlib.sha256)


class ClientHandshake:
    """Say `hello`, then feed it bytes until `done`; what follows the handshake stays in `rest`. The simple form."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self.hello = bytes((VERSION,)) + bytes(8) + random(PACKET_SIZE - 8)
        """C0 and C1, to be sent first."""
        self._buffer = bytearray()
        self._answered = False
        self.done = False

    @property
    def rest(self) -> bytes:
        """Bytes that came after S2."""
        return bytes(self._buffer) if self.done else b""

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the server; return what to send now. Raises RtmpError for another protocol or version.

        S2 may come late: C2, and what the client says behind it, need not wait for it.
        """
        self._buffer += data
        if self._buffer and not self._answered and self._buffer[0] != VERSION:
            raise RtmpError(f"handshake version {self._buffer[0]}, only {VERSION} is spoken here")
        out = b""
        if not self._answered and len(self._buffer) >= 1 + PACKET_SIZE:
            self._answered = True
            out = bytes(self._buffer[1 : 1 + PACKET_SIZE])  # C2 is S1
            del self._buffer[: 1 + PACKET_SIZE]
        if self._answered and not self.done and len(self._buffer) >= PACKET_SIZE:
            del self._buffer[:PACKET_SIZE]
            self.done = True
        return out
