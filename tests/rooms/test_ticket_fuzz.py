"""Whatever comes in: a ticket or BadTicket."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import BadTicket
from gateway.rooms.tickets import mapkey, token, urlsig, usersig
from tests.rooms.auth_vectors import NOW, VECTORS, app
from tests.rooms.test_usersig import pack_text

APP = app()
TOKENS = [
    VECTORS["C1"]["tokens"]["p256"]["token"],
    VECTORS["C2"]["tokens"]["p256"]["token"],
    VECTORS["C3"]["usersig"]["token"],
    VECTORS["C3"]["mapkey_text"]["token"],
]
JSONS = [VECTORS["C1"]["tokens"]["p256"]["json"], VECTORS["C3"]["mapkey"]["json"]]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def try_all(text: object) -> None:
    for call in (
        lambda: usersig.verify(text, APP, "alice", NOW),
        lambda: usersig.verify(text, APP, None, NOW),
        lambda: mapkey.verify(text, APP, "alice", None, NOW),
        lambda: token.claimed_app(text),
    ):
        with contextlib.suppress(BadTicket):
            call()


@settings(max_examples=150, deadline=None)
@given(st.text() | st.binary().map(lambda data: pack_text(data)))
def test_any_text(text: str) -> None:
    try_all(text)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(JSONS), st.text(max_size=12) | st.sampled_from(["TLS.ver", "TLS.userbuf", "TLS.sig"]), ANY_JSON)
def test_any_field(text: str, name: str, value: Any) -> None:
    fields = json.loads(text)
    for target in (name, *random.Random(len(name)).sample(sorted(fields), 2)):
        try_all(pack_text(json.dumps(fields | {target: value})))


def test_mutated_tokens_never_verify_as_something_else() -> None:
    rng = random.Random(1)
    for _ in range(1500):
        original = rng.choice(TOKENS)
        text = list(original)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(len(text))
            what = rng.randrange(3)
            if what == 0:
                text[at] = chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x10000))))
            elif what == 1:
                del text[at]
            else:
                text.insert(at, rng.choice("AZ*-_ \n"))
        try_all("".join(text))


def test_mutated_json_keeps_signature_or_is_refused() -> None:
    rng = random.Random(2)
    for _ in range(1500):
        data = bytearray(rng.choice(JSONS).encode())
        for _ in range(rng.choice((1, 2, 5))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try_all(pack_text(bytes(data)))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120))
def test_any_blob(blob: bytes) -> None:
    with contextlib.suppress(BadTicket):
        ticket = mapkey.parse_blob(blob)
        again = mapkey.pack_blob(ticket.user_id, ticket.room, int(ticket.privileges), ticket.expires)
        assert mapkey.parse_blob(again) == ticket


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=20) | st.just("8888_1_a"),
    st.dictionaries(st.sampled_from(["txSecret", "txSerect", "txTime", "u", "p", "t"]), st.text(max_size=45)),
)
def test_any_query(stream: str, query: dict[str, str]) -> None:
    for candidate in (query, query | {"txTime": "6740A1B2", "txSecret": "0" * 32}):
        with contextlib.suppress(BadTicket):
            urlsig.verify(APP, stream, candidate, NOW, urlsig.PLAY, 1e9)
