"""An application's keys, and reading them from PEM.

Both curves occur in practice, prime256v1 and secp256k1: the curve always comes from the key. Private keys may be
PKCS#8 or SEC1, the latter often behind an `EC PARAMETERS` block. Whatever key is empty is simply not accepted.
Rules: docs/tickets.md 1, docs/rooms.md 1.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import re
from typing import Final, Literal

import ecdsa
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

_PEM: Final = re.compile(r"-----BEGIN (PUBLIC KEY|PRIVATE KEY|EC PRIVATE KEY)-----([^-]*)-----END \1-----")
_CURVES: Final = {"secp256r1": ecdsa.NIST256p, "secp256k1": ecdsa.SECP256k1}


@dataclasses.dataclass(frozen=True, slots=True)
class AppKeys:
    """One app. PEM texts, the v2 secret as text (its characters are the HMAC key), and the three URL keys."""

    sdk_app_id: int
    bizid: str
    public_key_pem: str = dataclasses.field(default="", repr=False)
    private_key_pem: str = dataclasses.field(default="", repr=False)
    secret: str = dataclasses.field(default="", repr=False)
    push_key: str = dataclasses.field(default="", repr=False)
    rtcplay_key: str = dataclasses.field(default="", repr=False)
    play_key: str = dataclasses.field(default="", repr=False)
    private_map_key: Literal["required", "optional"] = "required"


@functools.lru_cache(maxsize=64)
def public_key(pem: str) -> ec.EllipticCurvePublicKey:
    """Read a PEM public key, or the public half of a private one. Raises ValueError that says what is wrong."""
    kind, der = _pem_block(pem)
    if kind != "PUBLIC KEY":
        return _private_key(der).public_key()
    try:
        key = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the PUBLIC KEY block cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("not an elliptic-curve key")
    _check_curve(key.curve.name)
    return key


@functools.lru_cache(maxsize=64)
def signing_key(pem: str) -> ecdsa.SigningKey:
    """Read a PEM private key (PKCS#8 or SEC1). Raises ValueError that says what is wrong."""
    kind, der = _pem_block(pem)
    if kind == "PUBLIC KEY":
        raise ValueError("this is a public key; a private one is needed to sign")
    key = _private_key(der)
    return ecdsa.SigningKey.from_secret_exponent(key.private_numbers().private_value, _CURVES[key.curve.name])


def public_pem(private_pem: str) -> str:
    """Return the SubjectPublicKeyInfo PEM that belongs to `private_pem`. Raises ValueError."""
    spki = public_key(private_pem).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return spki.decode("ascii")


def _pem_block(pem: str) -> tuple[str, bytes]:
    match = _PEM.search(pem)
    if match is None:
        raise ValueError("no PUBLIC KEY, PRIVATE KEY or EC PRIVATE KEY block in PEM form")
    body = "".join(match.group(2).split())
    try:
        return match.group(1), base64.b64decode(body.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError(f"the {match.group(1)} block is not base64") from None


def _private_key(der: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_der_private_key(der, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the private key block cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic-curve key")
    _check_curve(key.curve.name)
    return key


def _check_curve(name: str) -> None:
    if name not in _CURVES:
        raise ValueError(f"curve {name} is not one of prime256v1 and secp256k1")
