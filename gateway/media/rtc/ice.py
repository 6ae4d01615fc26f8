"""ICE-lite (RFC 8445 section 2.5): who may send to a connection, and where it sends.

The client checks, we answer. An address counts once it has sent a check signed with our password; media is taken from
every such address, since a browser that restarts ICE sends from its new port before it nominates it (60 ms, seen), and
sent to the one that was nominated last. No socket and no clock in here.
"""

from __future__ import annotations

import socket
from collections import OrderedDict, deque
from typing import Final

from gateway.wire import stun

MAX_ADDRESSES: Final = 8
MAX_CREDENTIALS: Final = 4
REMEMBERED_CHECKS: Final = 64
"""Transaction ids kept, so that a recorded check does not work again from somewhere else."""

Key = tuple[bytes, tuple[object, ...]]
"""(our address as the packet information gives it, b"" if there is only one; the peer's socket address with scope)."""


class Route:
    """Where to send: `socket.sendmsg([data], ancillary, 0, address)`, or `sendto(data, address)` if ancillary is empty.

    `ancillary` makes the packet leave by the address that the client sent to; UDP_SEGMENT may be added to it.
    """

    __slots__ = ("address", "ancillary", "key", "socket")

    def __init__(
        self,
        sock: socket.socket,
        key: Key,
        address: tuple[object, ...],
        ancillary: list[tuple[int, int, bytes]],
    ) -> None:
        self.socket = sock
        self.key = key
        self.address = address
        self.ancillary = ancillary

    def __str__(self) -> str:
        return f"{self.address[0]}:{self.address[1]}"


class IceLite:
    """The agent of one connection: credentials, validated addresses, the nominated route, time of the last check."""

    __slots__ = ("_checks", "_used", "credentials", "last_check", "pwd", "route", "routes", "ufrag")

    def __init__(self) -> None:
        self.ufrag = ""
        self.pwd = ""
        self._used = ""
        self.credentials: dict[str, str] = {}
        self.routes: OrderedDict[Key, Route] = OrderedDict()
        self.route: Route | None = None
        self.last_check: float | None = None
        self._checks: deque[tuple[bytes, Key]] = deque(maxlen=REMEMBERED_CHECKS)

    def renew(self, ufrag: str, pwd: str) -> list[str]:
        """Take new credentials; older ones live on until these are used. Returns the ufrags that became too many.

        A client may restart again before it used the last ones, so the ones in use are never among the dead.
        """
        self.ufrag, self.pwd = ufrag, pwd
        self.credentials[ufrag] = pwd
        dead = [old for old in self.credentials if old not in (ufrag, self._used)][: -(MAX_CREDENTIALS - 2)]
        for old in dead:
            del self.credentials[old]
        return dead

    def check(self, message: stun.Message, ufrag: str, route: Route, now: float) -> tuple[list[str], list[Key]] | None:
        """Judge a binding request that names `ufrag`. None: not signed by who knows our password, or a recording.

        Else the ufrags that this check made obsolete and the addresses that it pushed out; the route may have moved.
        """
        pwd = self.credentials.get(ufrag)
        if pwd is None or not message.verify(pwd):
            return None
        for transaction_id, key in self._checks:
            if transaction_id == message.transaction_id and key != route.key:
                return None
        self._checks.append((message.transaction_id, route.key))
        self.last_check = now
        self._used = ufrag
        obsolete = [] if ufrag != self.ufrag else [old for old in self.credentials if old != ufrag]
        for old in obsolete:
            del self.credentials[old]
        known = self.routes.get(route.key)
        if known is None:
            self.routes[route.key] = known = route
        self.routes.move_to_end(route.key)
        if self.route is None or message.use_candidate:
            self.route = known
        pushed_out: list[Key] = []
        while len(self.routes) > MAX_ADDRESSES:
            oldest = next(key for key in self.routes if self.route is None or key != self.route.key)
            del self.routes[oldest]
            pushed_out.append(oldest)
        return obsolete, pushed_out

    def forget(self, key: Key) -> None:
        """Drop one address; if it was the nominated one, nothing can be sent until the next check."""
        self.routes.pop(key, None)
        if self.route is not None and self.route.key == key:
            self.route = None
