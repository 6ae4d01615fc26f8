from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.rooms.tickets import keys, usersig
from gateway.rooms.tickets.keys import AppKeys
from tests.rooms.auth_vectors import CURVES, NOW, VECTORS, app, pem

EC_PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


@pytest.mark.parametrize("name", list(VECTORS["key_pairs"]))
def test_published_private_and_public_halves_belong_together(name: str) -> None:
    pair = VECTORS["key_pairs"][name]
    private = pem(pair["private"], pair["label"])
    public = keys.public_pem(private)
    if pair["public"] is not None:
        assert "".join(public.splitlines()[1:-1]) == pair["public"]
    minted = usersig.mint_v1(private, 1, "alice", NOW, 60)
    assert usersig.verify(minted, AppKeys(1, "1", public_key_pem=public), "alice", NOW).user_id == "alice"


@pytest.mark.parametrize("name", ["sig-cpp SEC1 secp256k1", "sig-go SEC1 P-256"])
def test_sec1_key_behind_ec_parameters_and_with_crlf(name: str) -> None:
    pair = VECTORS["key_pairs"][name]
    plain = pem(pair["private"], pair["label"])
    dressed = (EC_PARAMETERS + plain).replace("\n", "\r\n")
    assert keys.public_pem(dressed) == keys.public_pem(plain)
    assert keys.signing_key(dressed).to_string() == keys.signing_key(plain).to_string()


@pytest.mark.parametrize("curve", CURVES)
def test_the_curve_comes_from_the_key(curve: str) -> None:
    assert keys.public_key(VECTORS["keys"][curve]["public"]).curve.name == {"p256": "secp256r1"}.get(curve, curve)
    assert keys.public_pem(VECTORS["keys"][curve]["private"]) == VECTORS["keys"][curve]["public"]


P384_PUBLIC = (
    "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEqofKIr6LBTeOscce8yCtdG4dO2KLp5uYWfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3"
    "NhfeSpYmLG9dnpi/kpLcKfj0Hb0omhR86doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f"
)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "block"),
        ("garbage", "block"),
        (pem("AAAA"), "cannot be read"),
        (pem("AAAA", "PRIVATE KEY"), "cannot be read"),
        (pem("A$AA"), "base64"),
        (pem("AAA"), "base64"),
        (pem(P384_PUBLIC), "curve"),
    ],
)
def test_damaged_keys_say_what_is_wrong(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        keys.public_key(text)


def test_an_rsa_key_is_named() -> None:
    private = rsa.generate_private_key(65537, 1024)
    texts = (
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )
    for text in texts:
        with pytest.raises(ValueError, match="elliptic"):
            keys.public_key(text.decode())


def test_a_public_key_cannot_sign() -> None:
    with pytest.raises(ValueError, match="private one is needed"):
        keys.signing_key(VECTORS["keys"]["p256"]["public"])


def test_keys_do_not_show_in_repr() -> None:
    shown = repr(app())
    for field in dataclasses.fields(AppKeys):
        if field.name not in ("sdk_app_id", "bizid", "private_map_key"):
            assert getattr(app(), field.name) not in shown
