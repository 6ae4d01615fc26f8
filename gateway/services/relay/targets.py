"""Which addresses a stream may be pushed to: only those that the operator has listed, compared part by part.

An entry is `rtmp://HOST[:PORT][/PATH]`. A target matches if scheme, host and port are the same and its path begins with
the entry's, whole segments only: `rtmp://h/live` allows `rtmp://h/live/x` and not `rtmp://h/live2/x`. What could be
read in two ways (a user before an @, `..`, percent signs in the path, backslashes, blanks) is refused.

A private or loopback address is good only if an entry names that very address: names are resolved by others.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gateway.base.errors import BadRequest, NotPermitted, RtmpError
from gateway.wire.rtmp.client import DEFAULT_PORT, RtmpUrl

MAX_URL: Final = 2048
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Target:
    """An allowed target. `listed`: its host is an address that the operator has listed as such."""

    url: RtmpUrl
    listed: bool


@dataclass(frozen=True, slots=True)
class _Entry:
    host: str
    port: int
    path: tuple[str, ...]


class AllowList:
    """The operator's list; empty, it allows nothing."""

    def __init__(self, entries: Sequence[str]) -> None:
        """Raises ValueError that names the entry."""
        self._entries = tuple(_entry(text) for text in entries)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def check(self, text: str) -> Target:
        """Return what `text` means if it is allowed. Raises BadRequest (no such URL), NotPermitted."""
        if not self._entries:
            raise NotPermitted("this server pushes streams nowhere: its operator has allowed no address")
        if len(text) > MAX_URL or not _PRINTABLE.fullmatch(text) or "#" in text or "\\" in text:
            raise BadRequest(f"url: rtmp://HOST/APP/STREAM of at most {MAX_URL} plain characters is needed")
        try:
            url = RtmpUrl.parse(text)
            host, port, path = _parts(text)
        except RtmpError as error:
            raise BadRequest(f"url: {error.message}") from None
        except ValueError as error:
            raise BadRequest(f"url: {error}") from None
        for entry in self._entries:
            if (entry.host, entry.port) == (host, port) and entry.path == path[: len(entry.path)]:
                return Target(url, _address(host) is not None)
        raise NotPermitted(f"the operator of this server does not allow {url.tc_url}")


def _entry(text: str) -> _Entry:
    try:
        if not _PRINTABLE.fullmatch(text) or "?" in text or "#" in text or "\\" in text:
            raise ValueError("plain characters, no query")
        return _Entry(*_parts(text.rstrip("/")))
    except ValueError as error:
        raise ValueError(f"{text!r} is not rtmp://HOST[:PORT][/PATH]: {error}") from None


def _parts(text: str) -> tuple[str, int, tuple[str, ...]]:
    """Return host, port and path segments in a form that can be compared. Raises ValueError."""
    parts = urlsplit(text)
    if parts.scheme.lower() != "rtmp" or not parts.hostname:
        raise ValueError("it must begin with rtmp://HOST")
    if "@" in parts.netloc or "%" in parts.netloc:
        raise ValueError("no user, password or zone belongs in it")
    segments = tuple(parts.path.removeprefix("/").split("/")) if parts.path.strip("/") else ()
    for segment in segments:
        if segment in (".", "..") or not _SEGMENT.fullmatch(segment):
            raise ValueError("its path has a part that could be read in two ways")
    address = _address(parts.hostname)
    port = parts.port if parts.port is not None else DEFAULT_PORT
    if port == 0:
        raise ValueError("port 0 leads nowhere")
    return str(address) if address is not None else parts.hostname.lower(), port, segments


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether it is an address of the open internet, also when it is an IPv4 address in IPv6's clothes."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast
