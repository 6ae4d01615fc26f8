"""The URLs that we hand out: push and play, signed, with their member's grant.

Rules: docs/tickets.md 4. Push URLs are signed with the `push` key and go to the publisher only; low-latency play
URLs with `rtcplay`, ordinary ones with `play`. Play URLs carry no `bizid=`: with it, LiteAV asks a service of its own
cloud first. Host and port come from [public], else from the name in the request's Host header and our ports.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final, Literal

from gateway.base.clock import Clock
from gateway.base.config import PublicConfig, UrlsConfig
from gateway.endpoints.cors import split_host
from gateway.rooms.privileges import Privilege
from gateway.rooms.tickets import urlsig
from gateway.rooms.tickets.keys import AppKeys

PlayForm = Literal["rtc", "rtmp", "flv"]
"""rtc: RTMP for a live-player in mode RTC, from the newest picture; rtmp and flv: ordinary play."""

_KEYS: Final[Mapping[PlayForm, urlsig.KeyName]] = {"rtc": "rtcplay", "rtmp": "play", "flv": "play"}


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """Where we really listen, for URLs made from a Host header. `https` None: not served."""

    http: int
    rtmp: int
    https: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Bases:
    """What stands before the path: `http://gw.example:8080` and `rtmp://gw.example`, without a last slash."""

    http: str
    rtmp: str


class Urls:
    """Makes URLs. Pure but for the wall clock that it is given."""

    def __init__(self, public: PublicConfig, urls: UrlsConfig, ports: Ports, wall: Clock) -> None:
        self._public = public
        self._urls = urls
        self._ports = ports
        self._wall = wall

    def bases(self, host: str | None, *, secure: bool = False) -> Bases:
        """Return the bases for a client that reached us by Host header `host` (None: we were not asked over HTTP)."""
        split = split_host(host) if host else None
        name = split[0] if split else "127.0.0.1"
        if ":" in name:
            name = f"[{name}]"
        secure = secure and self._ports.https is not None
        port = self._ports.https if secure and self._ports.https is not None else self._ports.http
        http = f"https://{name}{_port(port, 443)}" if secure else f"http://{name}{_port(port, 80)}"
        rtmp = f"rtmp://{name}{_port(self._ports.rtmp, 1935)}"
        return Bases(self._public.http.rstrip("/") or http, self._public.rtmp.rstrip("/") or rtmp)

    def push(self, app: AppKeys, stream: str, user_id: str, privileges: Privilege, bases: Bases) -> str:
        """Return the URL by which `user_id` publishes `stream`; "" if the app has no push key."""
        if not app.push_key:
            return ""
        query = urlsig.mint_grant(app, "push", stream, user_id, privileges, self._expires())
        return f"{bases.rtmp}/live/{stream}?{query}"

    def play(self, app: AppKeys, stream: str, viewer: str, privileges: Privilege, form: PlayForm, bases: Bases) -> str:
        """Return a URL by which `viewer` plays `stream`; "" if the app lacks the key and play is not open."""
        path = f"{bases.http}/live/{stream}.flv" if form == "flv" else f"{bases.rtmp}/live/{stream}"
        key = _KEYS[form]
        if not (app.rtcplay_key if key == "rtcplay" else app.play_key):
            return path if self._urls.open_play else ""
        return f"{path}?{urlsig.mint_grant(app, key, stream, viewer, privileges, self._expires())}"

    def _expires(self) -> float:
        return self._wall() + self._urls.lifetime_s


def _port(port: int, default: int) -> str:
    return "" if port == default else f":{port}"
