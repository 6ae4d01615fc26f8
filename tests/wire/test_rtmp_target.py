"""Where clients put app, stream and query."""

from __future__ import annotations

import pytest

from gateway.wire.rtmp.target import parse_target

Q = {"txSecret": "ab", "txTime": "5C"}

FORMS = [
    ("query with the name", "live", "rtmp://h/live", "s?txSecret=ab&txTime=5C", "live", "s", Q),
    ("query with app", "live?txSecret=ab&txTime=5C", "rtmp://h/live?txSecret=ab&txTime=5C", "s", "live", "s", Q),
    ("query in tcUrl only", "live", "rtmp://h/live?txSecret=ab&txTime=5C", "s", "live", "s", Q),
    ("app with two parts", "a/b", "rtmp://h/a/b", "s", "a/b", "s", {}),
    ("name with slashes", "a", "rtmp://h/a", "b/s?x=1", "a/b", "s", {"x": "1"}),
    ("definst", "live/_definst_", "", "s", "live", "s", {}),
    ("definst in the name", "live", "", "_definst_/s", "live", "s", {}),
    ("legacy vhost", "live...vhost...x.com", "", "s", "live", "s", {}),
    ("hash", "live", "", "s#txSecret=ab&txTime=5C", "live", "s", Q),
    ("no name", "live/s", "", "", "live", "s", {}),
    ("no name, query with app", "live?txSecret=ab&txTime=5C/s", "", "", "live", "s", Q),
    ("no app", "", "rtmp://h/live", "s", "live", "s", {}),
    ("prefix", "live", "", "flv:s", "live", "s", {}),
    ("spaces and slashes", " /live/ ", "", " /s/ ", "live", "s", {}),
    ("percent", "push", "", "1001?userid=a%2Fb&usersig=x*y-z_", "push", "1001", {"userid": "a/b", "usersig": "x*y-z_"}),
    ("plus stays plus", "live", "", "s?t=a+b", "live", "s", {"t": "a+b"}),
    ("first wins", "live?k=2", "rtmp://h/live?k=3&m=4", "s?k=1", "live", "s", {"k": "1", "m": "4"}),
    ("second question mark", "live", "", "s?a=1?b=2", "live", "s", {"a": "1", "b": "2"}),
    ("nothing", "", "", "", "", "", {}),
]


@pytest.mark.parametrize(
    ("name", "app", "url", "stream", "to_app", "to_stream", "query"), FORMS, ids=[f[0] for f in FORMS]
)
def test_forms(name: str, app: str, url: str, stream: str, to_app: str, to_stream: str, query: dict[str, str]) -> None:
    target = parse_target(app, url, stream)
    assert (target.app, target.stream, target.query) == (to_app, to_stream, query)


def test_a_target_does_not_show_its_tickets() -> None:
    assert "secret" not in repr(parse_target("live", "", "s?txSecret=secret"))


def test_parameters_are_limited() -> None:
    assert len(parse_target("live", "", "s?" + "&".join(f"k{i}=v" for i in range(500))).query) == 64
