"""STUN as an ICE-lite agent needs it: read a binding request, prove who sent it, write the answer.

RFC 8489 (message layout, MESSAGE-INTEGRITY, FINGERPRINT), RFC 8445 section 7.3 (what a connectivity check carries).
One invariant: `parse()` reads at most one datagram and never believes it; only `Message.verify()` with the password
that belongs to the username makes a message count.
"""

from __future__ import annotations

import dataclasses
import hmac
import ipaddress
import struct
import zlib
from typing import Final

from gateway.base.errors import StunError

MAGIC_COOKIE: Final = 0x2112A442
MAX_BYTES: Final = 1500
MAX_ATTRIBUTES: Final = 32
MAX_USERNAME: Final = 513
"""Bytes of a USERNAME. RFC 8489 section 14.3 allows less than 509 bytes of name; ICE joins two and a colon."""

BINDING_REQUEST: Final = 0x0001
BINDING_INDICATION: Final = 0x0011
BINDING_RESPONSE: Final = 0x0101
BINDING_ERROR: Final = 0x0111

USERNAME: Final = 0x0006
MESSAGE_INTEGRITY: Final = 0x0008
XOR_MAPPED_ADDRESS: Final = 0x0020
PRIORITY: Final = 0x0024
USE_CANDIDATE: Final = 0x0025
FINGERPRINT: Final = 0x8028
ICE_CONTROLLED: Final = 0x8029
ICE_CONTROLLING: Final = 0x802A

_FINGERPRINT_XOR: Final = 0x5354554E
_HEADER: Final = struct.Struct("!HHL12s")
_ATTRIBUTE: Final = struct.Struct("!HH")


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One STUN message. `attributes` maps type to value, the first of each type only, as RFC 8489 section 14 wants."""

    type: int
    transaction_id: bytes
    attributes: dict[int, bytes]
    signed: bytes = b""
    """What MESSAGE-INTEGRITY covers, with the length field that it was computed over; empty if there is none."""

    @property
    def username(self) -> tuple[str, str]:
        """The USERNAME of a check as (ufrag of the receiver, ufrag of the sender), each "" if it is not there."""
        local, _, remote = self.attributes.get(USERNAME, b"").decode("utf-8", "replace").partition(":")
        return local, remote

    @property
    def use_candidate(self) -> bool:
        return USE_CANDIDATE in self.attributes

    def verify(self, password: str) -> bool:
        """Tell whether MESSAGE-INTEGRITY holds for the short-term `password`. Constant time."""
        mac = self.attributes.get(MESSAGE_INTEGRITY)
        if not self.signed or mac is None:
            return False
        return hmac.compare_digest(mac, hmac.digest(password.encode(), self.signed, "sha1"))

    def mapped_address(self) -> tuple[str, int] | None:
        """The XOR-MAPPED-ADDRESS as (host, port), None if there is none. Raises StunError."""
        value = self.attributes.get(XOR_MAPPED_ADDRESS)
        if value is None:
            return None
        if len(value) not in (8, 20) or value[1] != (1 if len(value) == 8 else 2):
            raise StunError(f"XOR-MAPPED-ADDRESS of {len(value)} bytes")
        port = int.from_bytes(value[2:4], "big") ^ MAGIC_COOKIE >> 16
        return str(ipaddress.ip_address(_mask(value[4:], self.transaction_id))), port


def parse(data: bytes | memoryview) -> Message:
    """Read one datagram. Checks the frame, the FINGERPRINT if there is one, and nothing else. Raises StunError."""
    data = bytes(data)
    if not 20 <= len(data) <= MAX_BYTES:
        raise StunError(f"{len(data)} bytes, must be 20 to {MAX_BYTES}")
    kind, length, cookie, transaction_id = _HEADER.unpack_from(data)
    if kind & 0xC000 or cookie != MAGIC_COOKIE:
        raise StunError("not a STUN message")
    if length != len(data) - 20 or length % 4:
        raise StunError(f"length field {length} in {len(data)} bytes")
    attributes: dict[int, bytes] = {}
    signed = b""
    count, position = 0, 20
    while position < len(data):
        count += 1
        if count > MAX_ATTRIBUTES:
            raise StunError(f"more than {MAX_ATTRIBUTES} attributes")
        name, size = _ATTRIBUTE.unpack_from(data, position)
        end = position + 4 + size
        if end > len(data):
            raise StunError(f"attribute {name:#06x} of {size} bytes ends outside")
        value = data[position + 4 : end]
        if name == FINGERPRINT:
            if size != 4 or end != len(data):
                raise StunError("FINGERPRINT must be four bytes at the end")
            if int.from_bytes(value, "big") != _checksum(data[:position]):
                raise StunError("FINGERPRINT does not match")
        elif signed:
            # What comes after MESSAGE-INTEGRITY is not covered by it and must be ignored.
            position = end + -size % 4
            continue
        elif name == MESSAGE_INTEGRITY:
            if size != 20:
                raise StunError(f"MESSAGE-INTEGRITY of {size} bytes")
            signed = data[:2] + struct.pack("!H", end - 20) + data[4:position]
        elif name == USERNAME and size > MAX_USERNAME:
            raise StunError(f"USERNAME of {size} bytes, limit {MAX_USERNAME}")
        attributes.setdefault(name, value)
        position = end + -size % 4
    return Message(kind, transaction_id, attributes, signed)


def serialize(
    kind: int, transaction_id: bytes, attributes: list[tuple[int, bytes]], password: str | None = None
) -> bytes:
    """Write a message; with `password` it is signed. A FINGERPRINT always ends it: Chromium ignores answers without."""
    body = b"".join(_pack(name, value) for name, value in attributes)
    if password is not None:
        head = _HEADER.pack(kind, len(body) + 24, MAGIC_COOKIE, transaction_id)
        body += _pack(MESSAGE_INTEGRITY, hmac.digest(password.encode(), head + body, "sha1"))
    head = _HEADER.pack(kind, len(body) + 8, MAGIC_COOKIE, transaction_id)
    return head + body + _pack(FINGERPRINT, struct.pack("!L", _checksum(head + body)))


def binding_response(transaction_id: bytes, host: str, port: int, password: str) -> bytes:
    """Answer a check that came from `host` and `port`. 64 bytes for IPv4, 76 for IPv6."""
    packed = ipaddress.ip_address(host.partition("%")[0]).packed
    value = struct.pack("!BBH", 0, 1 if len(packed) == 4 else 2, port ^ MAGIC_COOKIE >> 16)
    value += _mask(packed, transaction_id)
    return serialize(BINDING_RESPONSE, transaction_id, [(XOR_MAPPED_ADDRESS, value)], password)


def binding_request(
    transaction_id: bytes, username: str, password: str, *, priority: int = 1, nominate: bool = False, tie: int = 0
) -> bytes:
    """Make the check that a controlling agent sends. `username` is "theirs:ours", `password` theirs."""
    attributes = [
        (USERNAME, username.encode()),
        (PRIORITY, struct.pack("!L", priority)),
        (ICE_CONTROLLING, struct.pack("!Q", tie)),
    ]
    if nominate:
        attributes.append((USE_CANDIDATE, b""))
    return serialize(BINDING_REQUEST, transaction_id, attributes, password)


def _pack(name: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(name, len(value)) + value + b"\0" * (-len(value) % 4)


def _checksum(data: bytes) -> int:
    return zlib.crc32(data) ^ _FINGERPRINT_XOR


def _mask(address: bytes, transaction_id: bytes) -> bytes:
    mask = MAGIC_COOKIE.to_bytes(4, "big") + transaction_id
    return bytes(left ^ right for left, right in zip(address, mask, strict=False))
