"""A TCP connection to a target: its name is resolved once, and what is connected to is what was looked at.

A name whose answer changes between look and connection (DNS rebinding) gains nothing so. There is no proxy and nothing
that could send the connection elsewhere.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from gateway.services.relay.failure import PushFailed, Reason
from gateway.services.relay.targets import Target, is_public

MAX_ADDRESSES: Final = 4
"""Addresses of one name that are tried, one after the other."""

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host and port to numeric addresses, the preferred first. Raises OSError."""
_P = TypeVar("_P", bound=asyncio.Protocol)


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


async def dial(target: Target, make: Callable[[], _P], timeout_s: float, resolve: Resolve = resolve) -> _P:
    """Return the protocol of a new connection to `target`. Raises PushFailed (FORBIDDEN, UNREACHABLE)."""
    url = target.url
    where = f"{url.host}:{url.port}"
    try:
        async with asyncio.timeout(timeout_s):
            addresses = await _addresses(target, resolve)
            error: OSError | None = None
            for address in addresses[:MAX_ADDRESSES]:
                try:
                    return (await asyncio.get_running_loop().create_connection(make, address, url.port))[1]
                except OSError as failed:
                    error = failed
    except TimeoutError:
        raise PushFailed(Reason.UNREACHABLE, f"{where} does not answer within {timeout_s:g} s") from None
    words = (error.strerror if error is not None else None) or "no connection"
    raise PushFailed(Reason.UNREACHABLE, f"no connection to {where}: {words.lower()}")


async def _addresses(target: Target, resolve: Resolve) -> list[str]:
    """Return the addresses of the target that may be connected to, never none. Raises PushFailed."""
    host = target.url.host
    if target.listed:
        return [host]
    try:
        found = await resolve(host, target.url.port)
    except (OSError, UnicodeError):
        raise PushFailed(Reason.UNREACHABLE, f"no address is known for {host}") from None
    good = [address for address in found if is_public(ipaddress.ip_address(address.partition("%")[0]))]
    if not good:
        words = f"{host} leads to an address that is not of the open internet" if found else f"{host} has no address"
        raise PushFailed(Reason.FORBIDDEN, words)
    return good
