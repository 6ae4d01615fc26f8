"""userSig against known vectors and quirks; the codes are those of its table."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from typing import Any

import pytest

from gateway.base.errors import BadTicket
from gateway.rooms.tickets import mapkey, signature, token, usersig
from gateway.rooms.tickets.keys import AppKeys
from tests.rooms.auth_vectors import CURVES, NOW, VECTORS, app, pem

C1 = VECTORS["C1"]
C3 = VECTORS["C3"]
V2_APP = app(sdk_app_id=1400000000, public_key_pem="", private_key_pem="")


def code_of(text: object, keys: AppKeys, user: str | None = "alice", now: float = NOW) -> int:
    with pytest.raises(BadTicket) as caught:
        usersig.verify(text, keys, user, now)
    assert isinstance(text, str) and (len(text) < 8 or text not in caught.value.message)
    return caught.value.code


def repack(text: str, level: int = -1, indent: int | None = None, **changes: Any) -> str:
    """Unpack a token, change fields (None removes; `TLS_x` stands for TLS.x), pack it again."""
    fields = token.unpack(text)
    for name, value in changes.items():
        name = name.replace("TLS_", "TLS.")
        if value is None:
            fields.pop(name)
        else:
            fields[name] = value
    return pack_text(json.dumps(fields, indent=indent), level)


def pack_text(text: str | bytes, level: int = -1) -> str:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return base64.b64encode(zlib.compress(data, level)).decode().translate(str.maketrans("+/=", "*-_"))


# --- vectors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", CURVES)
def test_c1_verifies_until_its_boundary_second(curve: str) -> None:
    text = C1["tokens"][curve]["token"]
    for now in (NOW, NOW + 3600, NOW + 3600.9):
        assert usersig.verify(text, app(curve), "alice", now) == usersig.UserSig(
            "alice", 1400000001, NOW, NOW + 3600, 1
        )
    assert code_of(text, app(curve), now=NOW + 3601) == 9


@pytest.mark.parametrize("curve", CURVES)
def test_c1_refusals_have_the_references_codes(curve: str) -> None:
    text = C1["tokens"][curve]["token"]
    other = CURVES[1 - CURVES.index(curve)]
    assert code_of(text, app(other)) == 8
    assert code_of(text, app(curve), user="bob") == 13
    assert code_of(text, app(curve, sdk_app_id=1400000002)) == 14


@pytest.mark.parametrize("curve", CURVES)
def test_c1_sign_string_and_minting_reproduce(curve: str) -> None:
    fields = json.loads(C1["tokens"][curve]["json"])
    lines = ("TLS.appid_at_3rd", "TLS.account_type", "TLS.identifier", "TLS.sdk_appid", "TLS.time", "TLS.expire_after")
    assert hashlib.sha256(signature.sign_string(fields, lines)).hexdigest() == C1["sha256"]
    minted = usersig.mint_v1(app(curve).private_key_pem, 1400000001, "alice", NOW, 3600)
    assert token.unpack(minted) == fields
    assert token.unpack(C1["tokens"][curve]["token"]) == fields
    assert base64.b64decode(fields["TLS.sig"]).hex() == C1["tokens"][curve]["der"]


def test_c3_v2_verifies_and_reproduces() -> None:
    text = C3["usersig"]["token"]
    for now in (NOW, NOW + 15552000):
        assert usersig.verify(text, V2_APP, "xiaojun", now).version == 2
    assert code_of(text, V2_APP, "xiaojun", NOW + 15552001) == 9
    minted = usersig.mint_v2(C3["secret"], 1400000000, "xiaojun", NOW, 15552000)
    assert token.unpack(minted) == json.loads(C3["usersig"]["json"]) == token.unpack(text)


@pytest.mark.parametrize("name", ["P1", "P2", "P3", "P4", "P5"])
def test_published_tokens(name: str) -> None:
    vector = VECTORS["published"][name]
    keys = AppKeys(vector["sdk_app_id"], "1", public_key_pem=pem(vector["public"]))
    last = vector["time"] + vector["expire"]
    sig = usersig.verify(vector["token"], keys, vector["user_id"], last)
    assert (sig.issued, sig.expires, sig.version) == (vector["time"], last, 1)
    assert code_of(vector["token"], keys, vector["user_id"], last + 1) == 9
    assert code_of(vector["token"], keys, "somebody", vector["time"]) == 13
    assert code_of(vector["token"], app(), vector["user_id"], vector["time"]) == 8
    assert token.claimed_app(vector["token"]) == vector["sdk_app_id"]


# --- quirks of producers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", range(-1, 10))
def test_any_zlib_level_is_read(level: int) -> None:
    text = usersig.mint_v1(app().private_key_pem, 1400000001, "alice", NOW, 3600, level=level)
    assert usersig.verify(text, app(), "alice", NOW).user_id == "alice"


def test_level_1_and_default_tokens_start_as_the_reference_says() -> None:
    key = app().private_key_pem
    assert usersig.mint_v1(key, 1, "alice", NOW, 60, level=1).startswith("eA")
    assert usersig.mint_v1(key, 1, "alice", NOW, 60).startswith("eJ")


def test_free_text_version_line_breaks_and_pretty_printing() -> None:
    text = C1["tokens"]["p256"]["token"]
    sig = json.loads(C1["tokens"]["p256"]["json"])["TLS.sig"]
    broken = repack(text, indent=4, TLS_version=" 201512300000", TLS_sig=f" {sig[:64]}\r\n{sig[64:]}\r\n")
    assert usersig.verify(broken, app(), "alice", NOW).user_id == "alice"
    without = repack(text, TLS_version=None)
    assert usersig.verify(f"  {without[:80]}\r\n{without[80:]}\n", app(), "alice", NOW).user_id == "alice"


def test_missing_appid_at_3rd_leaves_its_line_out() -> None:
    vector = VECTORS["published"]["P2"]
    assert "TLS.appid_at_3rd" not in token.unpack(vector["token"])
    # But it is signed when it is there: it can be neither removed nor changed.
    text = C1["tokens"]["p256"]["token"]
    assert code_of(repack(text, TLS_appid_at_3rd=None), app()) == 8
    assert code_of(repack(text, TLS_appid_at_3rd="1"), app()) == 8


def test_other_appid_at_3rd_and_account_type_are_not_compared() -> None:
    text = usersig.mint_v1(
        app().private_key_pem, 1400000001, "alice", NOW, 60, appid_at_3rd="1400000001", account_type="116"
    )
    assert usersig.verify(text, app(), "alice", NOW).user_id == "alice"


def test_numbers_as_json_numbers_are_read() -> None:
    text = repack(C1["tokens"]["p256"]["token"], TLS_time=NOW, TLS_expire_after=3600, TLS_sdk_appid=1400000001)
    assert usersig.verify(text, app(), "alice", NOW).expires == NOW + 3600
    quoted = repack(C3["usersig"]["token"], TLS_time=str(NOW), TLS_sdkappid="1400000000")
    assert usersig.verify(quoted, V2_APP, "xiaojun", NOW).version == 2


def test_unknown_fields_are_ignored() -> None:
    text = repack(C1["tokens"]["p256"]["token"], extra={"a": [1.5, None, True]}, TLS_more="x")
    assert usersig.verify(text, app(), "alice", NOW).user_id == "alice"


def test_whoever_the_ticket_names() -> None:
    assert usersig.verify(C1["tokens"]["p256"]["token"], app(), None, NOW).user_id == "alice"


# --- refusals ----------------------------------------------------------------------------------------------------

GOOD = C1["tokens"]["p256"]["token"]
GOOD_JSON = C1["tokens"]["p256"]["json"]


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("empty", "", 1),
        ("blank", " \r\n", 1),
        ("standard base64", GOOD.replace("*", "+").replace("-", "/") + "=", 2),
        ("foreign characters", "eJ!!", 2),
        ("non-ascii", "eJя", 2),
        ("cut at one character", GOOD[:41], 2),
        ("too much padding", GOOD + "___", 2),
        ("too long", "A" * 8193, 2),
        ("base64 of no zlib", "AAAA", 3),
        ("raw json in base64", base64.b64encode(GOOD_JSON.encode()).decode().translate(str.maketrans("+/=", "*-_")), 3),
        ("cut inside zlib", GOOD[:40], 3),
        ("zlib bomb", pack_text(b"0" * 3_000_000, 9), 3),
        ("not utf-8", pack_text(b'{"a":"\xff"}'), 4),
        ("no json", pack_text("TLS"), 4),
        ("half a json", pack_text(GOOD_JSON[:-1]), 4),
        ("json and more", pack_text(GOOD_JSON + "{}"), 4),
        ("duplicate keys", pack_text('{"TLS.identifier":"bob",' + GOOD_JSON[1:]), 4),
        ("NaN", pack_text('{"TLS.time":NaN}'), 4),
        ("Infinity", pack_text('{"TLS.time":-Infinity}'), 4),
        ("endless number", pack_text('{"TLS.time":' + "9" * 5000 + "}"), 4),
        ("deep arrays", pack_text("[" * 16000), 4),
        ("deep objects", pack_text('{"a":' * 2500 + "1" + "}" * 2500), 4),
        ("a list", pack_text("[]"), 5),
        ("a text", pack_text('"TLS"'), 5),
        ("null", pack_text("null"), 5),
        ("sig no base64", repack(GOOD, TLS_sig="$$$$"), 6),
        ("sig non-ascii", repack(GOOD, TLS_sig="йййй"), 6),
        ("sig is a list", repack(GOOD, TLS_sig=["a"]), 10),
        ("no sig", repack(GOOD, TLS_sig=None), 7),
        ("no identifier", repack(GOOD, TLS_identifier=None), 7),
        ("no time", repack(GOOD, TLS_time=None), 7),
        ("no expire", repack(GOOD, TLS_expire_after=None), 7),
        ("no account type", repack(GOOD, TLS_account_type=None), 7),
        ("empty object", pack_text("{}"), 7),
        ("empty sig", repack(GOOD, TLS_sig=""), 8),
        ("sig of garbage", repack(GOOD, TLS_sig="AAAA"), 8),
        ("longer life", repack(GOOD, TLS_expire_after="36000"), 8),
        ("other user inside", repack(GOOD, TLS_identifier="bob"), 8),
        ("identifier with a line feed", repack(GOOD, TLS_identifier="a\nTLS.sdk_appid:1"), 10),
        ("identifier is a list", repack(GOOD, TLS_identifier=["alice"]), 10),
        ("identifier is true", repack(GOOD, TLS_identifier=True), 10),
        ("lone surrogate", pack_text(GOOD_JSON.replace("alice", "\\ud800")), 10),
        ("time is a float", repack(GOOD, TLS_time=1.5), 10),
    ],
)
def test_bad_tokens(name: str, text: str, code: int) -> None:
    assert code_of(text, app()) == code


def test_a_signed_time_that_is_no_number_is_10() -> None:
    for time in ("soon", "-1", "1e9", "", "٣", "9" * 30, "9223372036854775808"):
        fields = json.loads(GOOD_JSON) | {"TLS.time": time}
        fields.pop("TLS.sig")
        fields["TLS.sig"] = signature.sign_v1(app().private_key_pem, fields)
        assert code_of(token.pack(fields), app()) == 10


def test_other_types_than_text_are_bad_tickets() -> None:
    for value in (None, 5, 1.5, b"eJ", [], {}, True):
        with pytest.raises(BadTicket):
            usersig.verify(value, app(), "alice", NOW)


def test_the_versions_cannot_be_exchanged() -> None:
    with pytest.raises(BadTicket, match="fields are those of a v1 ticket") as caught:
        usersig.verify(repack(GOOD, **{"TLS_ver": "2.0"}), app(), "alice", NOW)
    assert caught.value.code == 7
    with pytest.raises(BadTicket, match="fields are those of a v2 ticket") as caught:
        usersig.verify(repack(C3["usersig"]["token"], TLS_ver=None), V2_APP, "xiaojun", NOW)
    assert caught.value.code == 7
    # With all names of both present the signature still tells them apart.
    both = json.loads(GOOD_JSON) | {"TLS.ver": "2.0", "TLS.sdkappid": 1400000001, "TLS.expire": 3600}
    assert code_of(token.pack(both), app()) == 8


def test_a_privatemapkey_is_no_usersig() -> None:
    for text, keys, user in (
        (VECTORS["C2"]["tokens"]["p256"]["token"], app(), "alice"),
        (C3["mapkey"]["token"], V2_APP, "xiaojun"),
    ):
        with pytest.raises(BadTicket, match="this is a privateMapKey") as caught:
            usersig.verify(text, keys, user, NOW)
        assert caught.value.code == 8
        # Nor with its userbuf taken away.
        assert code_of(repack(text, **{"TLS_userbuf": None}), keys, user) == 8


def test_absent_keys_accept_nothing() -> None:
    assert code_of(GOOD, AppKeys(1400000001, "1", secret="s")) == 8
    assert code_of(C3["usersig"]["token"], AppKeys(1400000000, "1"), "xiaojun") == 8
    empty = usersig.verify  # a token signed with the empty secret must not pass for an app without one
    forged = signature.token.pack(
        {
            "TLS.ver": "2.0",
            "TLS.identifier": "alice",
            "TLS.sdkappid": 1,
            "TLS.time": NOW,
            "TLS.expire": 60,
            "TLS.sig": base64.b64encode(signature._hmac("", b"")).decode(),
        }
    )
    with pytest.raises(BadTicket, match="takes no v2 tickets"):
        empty(forged, AppKeys(1, "1"), "alice", NOW)
    with pytest.raises(ValueError, match="secret"):
        usersig.mint_v2("", 1, "alice", NOW, 60)


def test_a_private_key_alone_verifies_too() -> None:
    assert usersig.verify(GOOD, app(public_key_pem=""), "alice", NOW).user_id == "alice"


def test_mint_by_whichever_key_there_is() -> None:
    assert usersig.verify(usersig.mint(app(), "alice", NOW, 60), app(), "alice", NOW).version == 1
    assert usersig.verify(usersig.mint(V2_APP, "alice", NOW, 60), V2_APP, "alice", NOW).version == 2
    with pytest.raises(ValueError, match="neither"):
        usersig.mint(AppKeys(1, "1"), "alice", NOW, 60)
    with pytest.raises(ValueError, match="user id"):
        usersig.mint(app(), "a\nb", NOW, 60)


def test_claimed_app_of_all_kinds() -> None:
    assert token.claimed_app(GOOD) == 1400000001
    assert token.claimed_app(C3["mapkey"]["token"]) == 1400000000
    with pytest.raises(BadTicket) as caught:
        token.claimed_app(pack_text("{}"))
    assert caught.value.code == 7


def test_a_usersig_is_no_privatemapkey() -> None:
    for text, keys, user in ((GOOD, app(), "alice"), (C3["usersig"]["token"], V2_APP, "xiaojun")):
        with pytest.raises(BadTicket, match="this is a userSig") as caught:
            mapkey.verify(text, keys, user, None, NOW)
        assert caught.value.code == 8
