"""Signed URLs, rule by rule."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from gateway.base.errors import BadTicket
from gateway.rooms.privileges import Privilege
from gateway.rooms.tickets import urlsig
from gateway.rooms.tickets.keys import AppKeys
from tests.rooms.auth_vectors import VECTORS, app

NOW = 0x6740A1B2 - 3600
LIFE = 400 * 86400
APP = app()


def verify(
    stream: str, query: dict[str, str], *, now: float = NOW, accept: object = urlsig.PLAY, keys: AppKeys = APP
) -> urlsig.UrlGrant:
    return urlsig.verify(keys, stream, query, now, accept, LIFE)  # type: ignore[arg-type]


def refused(stream: str, query: dict[str, str], **options: object) -> BadTicket:
    with pytest.raises(BadTicket) as caught:
        verify(stream, query, **options)  # type: ignore[arg-type]
    return caught.value


def signed(stream: str, key: str, time_text: str) -> dict[str, str]:
    return {"txSecret": urlsig.tx_secret(key, stream, time_text), "txTime": time_text}


def member_query(key_name: urlsig.KeyName = "rtcplay", privileges: Privilege = Privilege.AUDIENCE) -> dict[str, str]:
    return dict(parse_qsl(urlsig.mint_grant(APP, key_name, "8888_1_bob", "alice", privileges, NOW + 600)))


@pytest.mark.parametrize("vector", VECTORS["url"], ids=lambda v: v["id"])
def test_vectors(vector: dict[str, str | int]) -> None:
    key, stream, end = str(vector["key"]), str(vector["stream"]), int(vector["end"])
    assert urlsig.tx_time(end) == vector["tx_time"]
    assert urlsig.tx_secret(key, stream, str(vector["tx_time"])) == vector["tx_secret"]
    keys = AppKeys(1, "8888", push_key=key)
    query = {"txSecret": str(vector["tx_secret"]), "txTime": str(vector["tx_time"]), "bizid": "8888"}
    assert verify(stream, query, now=end, keys=keys) == urlsig.UrlGrant("push", None, None, end)
    assert refused(stream, query, now=end + 1, keys=keys).code == 9


@pytest.mark.parametrize("key_name", ["push", "rtcplay", "play"])
def test_publish_accepts_push_only_and_play_all_three(key_name: urlsig.KeyName) -> None:
    query = dict(parse_qsl(urlsig.mint(APP, key_name, "8888_1_bob", NOW + 60)))
    assert verify("8888_1_bob", query).key_name == key_name
    if key_name == "push":
        assert verify("8888_1_bob", query, accept=urlsig.PUBLISH).key_name == "push"
    else:
        error = refused("8888_1_bob", query, accept=urlsig.PUBLISH)
        assert error.code == 8 and key_name in error.message


def test_the_same_key_configured_twice_counts_for_both() -> None:
    keys = app(rtcplay_key="p" * 32)
    query = dict(parse_qsl(urlsig.mint(keys, "rtcplay", "s", NOW + 60)))
    assert verify("s", query, accept={"rtcplay"}, keys=keys).key_name == "rtcplay"


def test_an_absent_key_accepts_nothing() -> None:
    import hashlib

    keys = AppKeys(1, "8888")
    for key in ("", "-"):
        secret = hashlib.md5(f"{key}s6740A1B2".encode()).hexdigest()
        assert refused("s", {"txSecret": secret, "txTime": "6740A1B2"}, keys=keys).code == 8
    with pytest.raises(ValueError):
        urlsig.tx_secret("", "s", "6740A1B2")
    with pytest.raises(ValueError):
        urlsig.mint(keys, "push", "s", NOW)


def test_a_shifted_pair_is_refused() -> None:
    """A URL of ...alice1 + 6740A1B2 hashes like one of ...alice + 16740A1B2."""
    query = signed("8888_1_alice1", APP.push_key, "6740A1B2")
    assert verify("8888_1_alice1", query).key_name == "push"
    error = refused("8888_1_alice", query | {"txTime": "16740A1B2"})
    assert error.code == 10
    # And the other way round: digits of txTime moved into the name.
    assert refused("8888_1_alice16", query | {"txTime": "740A1B2"}).code == 10


def test_tx_time_lies_between_now_and_max_lifetime() -> None:
    for seconds, code in ((0, None), (-1, 9), (LIFE, None), (LIFE + 1, 10)):
        time_text = urlsig.tx_time(NOW + seconds)
        query = signed("s", APP.push_key, time_text)
        if code is None:
            assert verify("s", query).expires == NOW + seconds
        else:
            assert refused("s", query).code == code
    assert verify("s", signed("s", APP.push_key, urlsig.tx_time(NOW)), now=NOW + 0.9).expires == NOW


@pytest.mark.parametrize(
    "time_text", ["", "6740A1B", "6740A1B2 ", "6740A1B2\n", "0x40A1B2", "6740A1BG", "٦٧٤٠A1B2", "-740A1B2", "6740_1B2"]
)
def test_malformed_tx_time(time_text: str) -> None:
    error = refused("s", signed("s", APP.push_key, time_text))
    assert error.code == (10 if time_text else 7)


def test_lower_case_hex_is_read_as_it_stands() -> None:
    assert verify("s", signed("s", APP.push_key, "6740a1b2")).user_id is None
    lower_hash_upper_time = signed("s", APP.push_key, "6740a1b2") | {"txTime": "6740A1B2"}
    assert refused("s", lower_hash_upper_time).code == 8
    query = signed("s", APP.push_key, "6740A1B2")
    assert verify("s", query | {"txSecret": query["txSecret"].upper()}).key_name == "push"


@pytest.mark.parametrize("stream", ["", "a" * 129, "a b", "a.flv", "a/b", "ä", "a\n", "a%20"])
def test_stream_names(stream: str) -> None:
    assert refused(stream, signed(stream, APP.push_key, "6740A1B2")).code == 10
    assert not urlsig.is_stream_name(stream)
    with pytest.raises(ValueError):
        urlsig.mint(APP, "push", stream, NOW)


def test_the_longest_name_and_the_misspelling() -> None:
    stream = "a" * 128
    query = signed(stream, APP.push_key, "6740A1B2")
    assert verify(stream, query).key_name == "push"
    assert verify(stream, {"txSerect": query["txSecret"], "txTime": "6740A1B2"}).key_name == "push"


@pytest.mark.parametrize("secret", ["", "0" * 31, "0" * 33, "g" * 32, "é" * 32, "0" * 32 + "\n"])
def test_malformed_secret(secret: str) -> None:
    assert refused("s", {"txSecret": secret, "txTime": "6740A1B2"}).code == (10 if secret else 7)


def test_another_stream_app_or_secret_is_8() -> None:
    query = signed("s", APP.push_key, "6740A1B2")
    assert refused("s2", query).code == 8
    assert refused("s", query, keys=app(push_key="x", rtcplay_key="", play_key="")).code == 8
    assert refused("s", query | {"txSecret": "0" * 32}).code == 8
    assert refused("s", {}).code == 7


# --- the grant of a member ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("key_name", ["push", "rtcplay", "play"])
def test_a_members_grant(key_name: urlsig.KeyName) -> None:
    query = member_query(key_name, Privilege.AUDIENCE)
    grant = verify("8888_1_bob", query)
    assert (grant.key_name, grant.user_id, grant.privileges) == (key_name, "alice", Privilege.AUDIENCE)
    assert NOW + 600 <= grant.expires <= NOW + 600 + 175
    if key_name != "push":
        assert refused("8888_1_bob", query, accept=urlsig.PUBLISH).code == 8


def test_a_grant_must_verify_when_present() -> None:
    query = member_query()
    for changed in (
        {"u": "bob"},
        {"p": "255"},
        {"p": "042"},
        {"t": "A" * 43},
        {"t": member_query("play")["t"]},
    ):
        assert refused("8888_1_bob", query | changed).code == 8, changed
    for malformed in ({"u": "a b"}, {"p": "-1"}, {"p": "1000"}, {"p": "٤٢"}, {"t": "A"}, {"t": "é" * 43}):
        assert refused("8888_1_bob", query | malformed).code == 10, malformed
    for name in ("u", "p", "t"):
        assert refused("8888_1_bob", {key: value for key, value in query.items() if key != name}).code == 7


def test_a_grant_cannot_be_stripped() -> None:
    """Without its grant a member's URL would play everything, and outlive a kick."""
    for key_name in ("push", "rtcplay", "play"):
        query = member_query(key_name)  # type: ignore[arg-type]
        bare = {"txSecret": query["txSecret"], "txTime": query["txTime"]}
        assert refused("8888_1_bob", bare).code == 7
        for spelling in (query["txTime"].upper(), query["txTime"].lower()):
            assert refused("8888_1_bob", bare | {"txTime": spelling}).code == 8


def test_a_grant_cannot_be_put_on_another_url() -> None:
    grant = {name: value for name, value in member_query().items() if name in "upt"}
    plain = signed("8888_1_bob", APP.rtcplay_key, "6740A1B2")
    assert refused("8888_1_bob", plain | grant).code == 8
    # A business server that knows the scheme may write its own, in plain upper case.
    tag = urlsig._grant_tag(APP.rtcplay_key, "8888_1_bob", "carol", "8", "6740A1B2")
    own = verify("8888_1_bob", plain | {"u": "carol", "p": "8", "t": tag + "="})
    assert (own.user_id, own.privileges) == ("carol", Privilege.RECEIVE_AUDIO)


def test_a_grant_of_the_longest_life_is_accepted() -> None:
    for second in range(0x69999900, 0x69999C00, 7):
        query = dict(parse_qsl(urlsig.mint_grant(APP, "rtcplay", "s", "u", Privilege.ALL, second)))
        assert verify("s", query, now=second - LIFE).user_id == "u"
        assert int(query["txTime"], 16) >= second


def test_minting_refuses_bad_names() -> None:
    with pytest.raises(ValueError):
        urlsig.mint_grant(APP, "play", "s", "a&b", Privilege.ALL, NOW)
    with pytest.raises(ValueError):
        urlsig.mint_grant(APP, "play", "s s", "a", Privilege.ALL, NOW)
    for wall in (0, 1 << 32):
        with pytest.raises(ValueError):
            urlsig.tx_time(wall)


def test_odd_values_are_bad_tickets() -> None:
    for odd in (None, 5, b"x", ["x"]):
        refused("s", {"txSecret": odd, "txTime": "6740A1B2"})  # type: ignore[dict-item]
        refused(odd, signed("s", APP.push_key, "6740A1B2"))  # type: ignore[arg-type]
