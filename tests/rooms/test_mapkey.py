from __future__ import annotations

import base64
import json
import struct

import pytest

from gateway.base.errors import BadTicket
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey
from gateway.rooms.tickets import mapkey, signature, token
from gateway.rooms.tickets.keys import AppKeys
from tests.rooms.auth_vectors import CURVES, NOW, VECTORS, app, pem

C2 = VECTORS["C2"]
C3 = VECTORS["C3"]
APP = 1400000001
ROOM = RoomKey(APP, "12345")
TEXT_ROOM = RoomKey(APP, "room-A1", text=True)
V2_APP = app(sdk_app_id=1400000000, public_key_pem="", private_key_pem="")


def refused(
    text: str, room: RoomKey | None = ROOM, keys: AppKeys | None = None, user: str | None = "alice"
) -> BadTicket:
    with pytest.raises(BadTicket) as caught:
        mapkey.verify(text, keys or app(), user, room, NOW)
    return caught.value


def with_blob(blob: bytes, user: str = "alice") -> str:
    """A rightly signed token around any blob."""
    return signature.mint_v1(app().private_key_pem, APP, user, NOW, 3600, blob, "0", "0", "1", -1)


@pytest.mark.parametrize("curve", CURVES)
def test_c2_verifies_and_reproduces(curve: str) -> None:
    text = C2["tokens"][curve]["token"]
    ticket = mapkey.verify(text, app(curve), "alice", ROOM, NOW + 3600)
    assert ticket == mapkey.RoomTicket("alice", ROOM, Privilege.ALL, NOW + 3600, 1)
    minted = mapkey.mint_v1(app(curve).private_key_pem, APP, "alice", NOW, 3600, ROOM, 255)
    assert token.unpack(minted) == json.loads(C2["tokens"][curve]["json"]) == token.unpack(text)
    with pytest.raises(BadTicket) as caught:
        mapkey.verify(text, app(curve), "alice", ROOM, NOW + 3601)
    assert caught.value.code == 9


def test_blobs() -> None:
    assert mapkey.pack_blob("alice", ROOM, 255, NOW + 3600).hex() == C2["blob"]
    assert base64.b64encode(mapkey.pack_blob("alice", ROOM, 255, NOW + 3600)).decode() == C2["blob_base64"]
    assert mapkey.pack_blob("alice", ROOM, 42, NOW + 3600).hex() == C2["blob_42"]
    assert mapkey.pack_blob("alice", TEXT_ROOM, 255, NOW + 3600).hex() == C2["blob_text_room"]
    assert (
        base64.b64encode(mapkey.pack_blob("alice", TEXT_ROOM, 255, NOW + 3600)).decode() == C2["blob_text_room_base64"]
    )
    assert mapkey.parse_blob(bytes.fromhex(C2["blob_42"])).privileges == Privilege.AUDIENCE
    assert mapkey.parse_blob(bytes.fromhex(C2["blob_text_room"])).room == TEXT_ROOM


def test_c3_v2_number_and_text_room() -> None:
    number, text = RoomKey(1400000000, "10000"), RoomKey(1400000000, "room-A1", text=True)
    for name, room in (("mapkey", number), ("mapkey_text", text)):
        ticket = mapkey.verify(C3[name]["token"], V2_APP, "xiaojun", room, NOW)
        assert (ticket.room, ticket.version, ticket.privileges) == (room, 2, Privilege.ALL)
        blob = mapkey.pack_blob("xiaojun", room, 255, NOW + 15552000)
        assert blob.hex() == C3[name]["blob"]
        minted = mapkey.mint_v2(C3["secret"], 1400000000, "xiaojun", NOW, 15552000, room)
        assert token.unpack(minted) == json.loads(C3[name]["json"])


def test_p6_signature_holds_but_its_blob_is_no_ticket() -> None:
    vector = VECTORS["published"]["P6"]
    keys = AppKeys(vector["sdk_app_id"], "1", public_key_pem=pem(vector["public"]))
    signed = signature.verify(vector["token"], keys, "abc", vector["time"], userbuf=True)
    assert signed.userbuf == b"abc"
    with pytest.raises(BadTicket, match="damaged") as caught:
        mapkey.verify(vector["token"], keys, "abc", None, vector["time"])
    assert caught.value.code == 15


def test_a_ticket_of_another_room_user_app_or_time_is_refused_by_name() -> None:
    text = C2["tokens"]["p256"]["token"]
    other = refused(text, RoomKey(APP, "12346"))
    assert other.code == 15 and "12345" in other.message and "12346" in other.message
    assert refused(text, RoomKey(APP, "12345", text=True)).code == 15  # a text room that looks the same
    assert refused(text, user="bob").code == 13
    assert refused(text, keys=app(sdk_app_id=1400000002)).code == 14
    assert mapkey.verify(text, app(), None, None, NOW).room == ROOM


def test_the_blob_must_agree_with_its_envelope() -> None:
    assert refused(with_blob(mapkey.pack_blob("mallory", ROOM, 255, NOW + 60))).code == 13
    assert refused(with_blob(mapkey.pack_blob("alice", RoomKey(7, "12345"), 255, NOW + 60))).code == 14
    expired = refused(with_blob(mapkey.pack_blob("alice", ROOM, 255, NOW - 1)))
    assert expired.code == 9 and "room part expired" in expired.message
    assert mapkey.verify(with_blob(mapkey.pack_blob("alice", ROOM, 255, NOW)), app(), "alice", ROOM, NOW).expires == NOW


GOOD_BLOB = bytes.fromhex(C2["blob"])
TEXT_BLOB = bytes.fromhex(C2["blob_text_room"])


@pytest.mark.parametrize(
    ("name", "blob"),
    [
        ("empty", b""),
        ("cVer 2", b"\x02" + GOOD_BLOB[1:]),
        ("one byte short", GOOD_BLOB[:-1]),
        ("one byte long", GOOD_BLOB + b"\x00"),
        ("account length past the end", GOOD_BLOB[:1] + b"\xff\xff" + GOOD_BLOB[3:]),
        ("room 0", mapkey.pack_blob("alice", RoomKey(APP, "0"), 255, NOW + 60)),
        ("room 2^32-1", mapkey.pack_blob("alice", RoomKey(APP, "4294967295"), 255, NOW + 60)),
        ("non-ascii account", GOOD_BLOB.replace(b"alice", b"al\xffce")),
        ("number blob marked as text", b"\x01" + GOOD_BLOB[1:]),
        ("text blob marked as number", b"\x00" + TEXT_BLOB[1:]),
        ("text length past the end", TEXT_BLOB[:-8] + b"\x08" + TEXT_BLOB[-7:]),
        ("empty text room", TEXT_BLOB[:-9] + b"\x00\x00"),
        ("65 characters", TEXT_BLOB[:-9] + struct.pack(">H", 65) + b"r" * 65),
        ("control character", TEXT_BLOB[:-1] + b"\n"),
        ("non-ascii room", TEXT_BLOB[:-1] + b"\xe9"),
    ],
)
def test_malformed_blobs(name: str, blob: bytes) -> None:
    error = refused(with_blob(blob), None)
    assert (error.code, "damaged" in error.message) == (15, True)


def test_cut_blobs_at_every_length() -> None:
    for blob in (GOOD_BLOB, TEXT_BLOB):
        for length in range(len(blob)):
            with pytest.raises(BadTicket):
                mapkey.parse_blob(blob[:length])


def test_cver_0_and_1_with_a_v1_text_room() -> None:
    text = mapkey.mint_v1(app().private_key_pem, APP, "alice", NOW, 60, TEXT_ROOM, 42)
    ticket = mapkey.verify(text, app(), "alice", TEXT_ROOM, NOW)
    assert ticket.room == TEXT_ROOM and ticket.privileges == Privilege.AUDIENCE


def test_appid_at_3rd_is_mandatory_beside_a_userbuf() -> None:
    fields = token.unpack(C2["tokens"]["p256"]["token"])
    del fields["TLS.appid_at_3rd"]
    assert refused(token.pack(fields)).code == 7


def test_a_changed_userbuf_breaks_the_signature() -> None:
    fields = token.unpack(C2["tokens"]["p256"]["token"])
    blob = mapkey.pack_blob("alice", RoomKey(APP, "54321"), 255, NOW + 3600)
    fields["TLS.userbuf"] = base64.b64encode(blob).decode()
    assert refused(token.pack(fields), None).code == 8
    for value, code in ((["x"], 10), ("йй", 15), (5, 8)):
        assert refused(token.pack(fields | {"TLS.userbuf": value}), None).code == code


def test_unknown_privilege_bits_are_dropped() -> None:
    blob = mapkey.pack_blob("alice", ROOM, 0xFFFFFF02, NOW + 60)
    assert mapkey.verify(with_blob(blob), app(), "alice", ROOM, NOW).privileges == Privilege.ENTER


def test_minting_refuses_what_does_not_fit() -> None:
    key = app().private_key_pem
    for user, room, privileges, expire in (
        ("ålice", ROOM, 255, 60),
        ("alice", RoomKey(APP + 1, "1"), 255, 60),
        ("alice", ROOM, 1 << 32, 60),
        ("alice", ROOM, 255, 1 << 32),
    ):
        with pytest.raises(ValueError):
            mapkey.mint_v1(key, APP, user, NOW, expire, room, privileges)
    with pytest.raises(ValueError, match="neither"):
        mapkey.mint(AppKeys(APP, "1"), "alice", NOW, 60, ROOM)
    assert mapkey.verify(mapkey.mint(app(), "alice", NOW, 60, ROOM), app(), "alice", ROOM, NOW).version == 1
    assert (
        mapkey.verify(mapkey.mint(V2_APP, "a", NOW, 60, RoomKey(1400000000, "1")), V2_APP, "a", None, NOW).version == 2
    )
