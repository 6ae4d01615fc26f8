"""Which stream an RTMP client means: app, stream name and query out of the three places where clients put them.

    rtmp://h/live/s?k=v     the query comes with the stream name (FFmpeg, OBS, LiteAV)
    rtmp://h/live?k=v/s     with app and tcUrl
    rtmp://h/a/b/s          FFmpeg: app is "a" or "a/b", the rest is the name
    rtmp://h/live/_definst_/s, rtmp://h/live...vhost...x/s, s#k=v     older habits

Stream name first, then app, then tcUrl: the first to name a parameter wins. The values are tickets: never log them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

MAX_LENGTH: Final = 8192
"""Characters of a name, an app or a tcUrl that are looked at."""
MAX_PARAMETERS: Final = 64

_PREFIXES: Final = ("mp4:", "flv:", "mp3:", "raw:")


@dataclass(frozen=True, slots=True)
class Target:
    """`app` may contain slashes; `stream` is the last path part; `query` is percent-decoded and never shown."""

    app: str
    stream: str
    query: dict[str, str] = field(repr=False)


def parse_target(app: str, tc_url: str, name: str) -> Target:
    """Put together what connect (`app`, `tc_url`) and publish or play (`name`) said. Never fails."""
    app, app_query = _cut(app[:MAX_LENGTH])
    name, name_query = _cut(name[:MAX_LENGTH])
    url, url_query = _cut(tc_url[:MAX_LENGTH])
    if not app:
        app = url.partition("://")[2].partition("/")[2]
    name = _tidy(name)
    if not name and "/" in app_query:  # rtmp://h/live?k=v/s, taken whole as the app
        app_query, _, name = app_query.rpartition("/")
    parts = [part for part in f"{_tidy(app)}/{_tidy(name)}".split("/") if part and part != "_definst_"]
    stream = parts.pop() if parts else ""
    for prefix in _PREFIXES:
        stream = stream.removeprefix(prefix)
    query: dict[str, str] = {}
    for text in (name_query, app_query, url_query):
        for key, value in _pairs(text):
            query.setdefault(key, value)
    return Target("/".join(parts), stream, query)


def _cut(text: str) -> tuple[str, str]:
    """Return (path, query); a `#` counts as `?`, as other servers have it."""
    at = min((index for index in (text.find("?"), text.find("#")) if index >= 0), default=-1)
    return (text, "") if at < 0 else (text[:at], text[at + 1 :])


def _tidy(path: str) -> str:
    return path.partition("...")[0].strip().strip("/")


def _pairs(query: str) -> list[tuple[str, str]]:
    pairs = []
    for part in query.replace("?", "&").replace("#", "&").split("&", MAX_PARAMETERS)[:MAX_PARAMETERS]:
        key, equals, value = part.partition("=")
        if key and equals:
            pairs.append((unquote(key), unquote(value)))
    return pairs
