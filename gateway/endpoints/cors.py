"""Who may read an answer: CORS headers, the Host rule against DNS rebinding, and who counts as a guest.

Rules: docs/rooms.md 2. A *guest* is a caller from one of the networks of [room_api] guests, matched against the TCP
peer (X-Forwarded-For only behind [http] trusted_proxies), who names us by a Host that cannot be a rebound foreign
name, and whose page, if any, is our own or listed in [http] origins. Everybody else needs a ticket in the request;
with one, `Access-Control-Allow-Origin: *` is harmless, since no cookie ever counts here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from aiohttp import web

from gateway.base.config import HttpConfig, PublicConfig, RoomApiConfig

IPAddress: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"

ROOM_API_HEADERS: Final[Mapping[str, str]] = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Max-Age": "3600",
    "Access-Control-Allow-Headers": ("Content-Type, Access-Control-Allow-Headers, Authorization, X-Requested-With"),
}
"""What the old room services sent on every answer."""

WHIP_HEADERS: Final[Mapping[str, str]] = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Max-Age": "3600",
    "Access-Control-Allow-Headers": "Content-Type, Authorization, If-Match",
    "Access-Control-Expose-Headers": "Location, Link, ETag, Accept-Post, Accept-Patch, Retry-After",
}

PLAIN_HEADERS: Final[Mapping[str, str]] = {"Access-Control-Allow-Origin": "*"}

_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::([0-9]{1,5}))?")


def split_host(header: str) -> tuple[str, int | None] | None:
    """Return (name, port) of a Host header, the name in lower case and without brackets; None if it is not one."""
    match = _HOST.fullmatch(header)
    if match is None:
        return None
    port = int(match[3]) if match[3] else None
    if port is not None and port > 65535:
        return None
    return (match[1] or match[2]).lower().rstrip("."), port


def parse_address(text: str) -> IPAddress | None:
    """Read an IP address, IPv4-mapped IPv6 as IPv4, a scope (`%eth0`) left out; None if it is none."""
    try:
        address = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class Access:
    """Answers the three questions about a request: from where, by which name of ours, and from whose page."""

    def __init__(self, http: HttpConfig, public: PublicConfig, room_api: RoomApiConfig) -> None:
        self._guests = [ipaddress.ip_network(text, strict=False) for text in room_api.guests]
        self._proxies = [ipaddress.ip_network(text, strict=False) for text in http.trusted_proxies]
        self._origins = {origin.rstrip("/").lower() for origin in http.origins}
        public_host = urlsplit(public.http).hostname if public.http else None
        # Not 0.0.0.0 or ::, which browsers take for this machine, whoever says it.
        listen = parse_address(http.listen.host)
        own = http.listen.host.lower() if listen is None or not listen.is_unspecified else ""
        self._names = {name for name in (public_host, own) if name} | {"localhost"}

    def client_address(self, request: web.Request) -> IPAddress | None:
        """Return the caller's address: the TCP peer, or behind trusted proxies the nearest one that is none of them."""
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        address = parse_address(peer[0]) if isinstance(peer, tuple) else None
        if address is None or not self._is_proxy(address):
            return address
        for text in reversed(",".join(request.headers.getall("X-Forwarded-For", [])).split(",")):
            hop = parse_address(text)
            if hop is None:
                return address
            address = hop
            if not self._is_proxy(address):
                return address
        return address

    def _is_proxy(self, address: IPAddress) -> bool:
        return any(address in network for network in self._proxies)

    def host_is_ours(self, request: web.Request) -> bool:
        """True if the Host header is loopback, the address this connection came to, or the host of [public] http."""
        split = split_host(request.headers.get("Host", ""))
        if split is None:
            return False
        name = split[0]
        if name in self._names or name.endswith(".localhost"):
            return True
        address = parse_address(name)
        if address is None:
            return False
        own = request.transport.get_extra_info("sockname") if request.transport is not None else None
        return address.is_loopback or (isinstance(own, tuple) and parse_address(own[0]) == address)

    def origin_is_listed(self, request: web.Request) -> bool:
        """True if the request comes from no page, from our own page, or from one that [http] origins lists."""
        origin = request.headers.get("Origin")
        if origin is None:
            return True
        origin = origin.rstrip("/").lower()
        if origin in self._origins:
            return True
        scheme, _, rest = origin.partition("://")
        return scheme in ("http", "https") and rest == request.headers.get("Host", "").lower()

    def is_guest(self, request: web.Request) -> bool:
        """True if the old calls may be answered without a ticket."""
        address = self.client_address(request)
        return (
            address is not None
            and any(address in network for network in self._guests)
            and self.host_is_ours(request)
            and self.origin_is_listed(request)
        )
