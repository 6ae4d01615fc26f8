"""The one UDP port of all WebRTC connections: sockets, who a datagram belongs to, and the answers to checks.

RFC 7983 tells STUN, DTLS and SRTP apart by the first byte. STUN finds its connection by ufrag and counts only if signed
with that connection's password; everything else is taken only from an address that passed such a check, so a stranger
can neither reach a connection nor make us send more than nothing. A reply leaves by the address that was asked
(IP_PKTINFO), or multi-homed hosts would answer from an address that the client never checked.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import ipaddress
import logging
import secrets
import socket
import sys
from typing import Final, Protocol

import ifaddr

from gateway.base.clock import Clock, monotonic
from gateway.base.config import RtcConfig
from gateway.base.errors import ConfigError, Overloaded, StunError
from gateway.base.tasks import Tasks
from gateway.media.rtc.ice import IceLite, Key, Route
from gateway.media.rtc.srtp import ffi
from gateway.wire import stun

log = logging.getLogger(__name__)

MAX_DATAGRAM: Final = 1500
DATAGRAMS_PER_WAKE: Final = 64
"""So that one flooded port leaves the loop to others; what is left wakes it again."""
SOCKET_BUFFER: Final = 4 * 1024 * 1024
TICK_S: Final = 0.5
MAX_CANDIDATES: Final = 16

# Python has names for these from 3.12 on only (IPv4), or lacks them on systems that lack them.
_IP_PKTINFO: Final = getattr(socket, "IP_PKTINFO", 8 if sys.platform == "linux" else None)
_IPV6_RECVPKTINFO: Final = getattr(socket, "IPV6_RECVPKTINFO", None)
_IPV6_PKTINFO: Final = getattr(socket, "IPV6_PKTINFO", None)
_ANCILLARY_SIZE: Final = socket.CMSG_SPACE(20)


@dataclasses.dataclass(slots=True)
class Counters:
    """What came and went, and why datagrams were dropped. Plain counts since the start."""

    datagrams_in: int = 0
    bytes_in: int = 0
    datagrams_out: int = 0
    checks: int = 0
    dropped_length: int = 0
    dropped_first_byte: int = 0
    dropped_stun: int = 0
    dropped_stun_unknown: int = 0
    dropped_stun_forged: int = 0
    dropped_stranger: int = 0
    dropped_early: int = 0
    dropped_dtls_queue: int = 0
    dropped_srtp_forged: int = 0
    dropped_srtp_replayed: int = 0
    dropped_ssrc_limit: int = 0
    dropped_malformed: int = 0
    receive_errors: int = 0
    send_blocked: int = 0
    send_errors: int = 0


class Endpoint(Protocol):
    """What the mux needs of a connection. `buffer` and `view` are the receive buffer, valid during the call only."""

    ice: IceLite

    def on_checked(self, now: float) -> None:
        """A check was valid; the route may be new."""

    def receive_dtls(self, data: bytes) -> None: ...
    def receive_rtp(self, buffer: object, view: memoryview, size: int, now: float) -> bool:
        """Returns True if `flush()` is to be called once the datagrams of this wake are read."""

    def receive_rtcp(self, buffer: object, view: memoryview, size: int, now: float) -> None: ...
    def flush(self, now: float) -> None: ...
    def tick(self, now: float) -> None: ...
    def on_mux_closed(self) -> None: ...


class UdpMux:
    """Owns the sockets. `start()`, then connections add themselves; `close()` ends those that are left."""

    def __init__(self, config: RtcConfig, clock: Clock = monotonic) -> None:
        self.config = config
        self.clock = clock
        self.counters = Counters()
        self.port = 0
        self._sockets: list[socket.socket] = []
        self._by_ufrag: dict[str, Endpoint] = {}
        self._by_key: dict[Key, Endpoint] = {}
        self._endpoints: dict[Endpoint, None] = {}
        self._ready: list[Endpoint] = []
        self._buffer = bytearray(2048)
        self._view = memoryview(self._buffer)
        self._pointer = ffi.from_buffer("unsigned char[]", self._buffer)
        self._ticking: asyncio.TimerHandle | None = None
        self.tasks = Tasks("WebRTC")

    def __len__(self) -> int:
        return len(self._endpoints)

    # -- sockets ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind the port in both families ("" as host), or where the host says. Raises ConfigError."""
        loop = asyncio.get_running_loop()
        host, port = self.config.listen.host, self.config.listen.port
        hosts: list[tuple[int, str]] = [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")]
        if host:
            try:
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            except OSError as error:
                raise ConfigError(f"rtc.listen: cannot resolve {host!r}: {error}") from None
            hosts = [(family, str(address[0])) for family, _, _, _, address in found]
        for attempt in range(8):
            try:
                self._sockets = _bind_all(hosts, port, optional_v6=not host)
                break
            except OSError as error:
                if port == 0 and error.errno == errno.EADDRINUSE and attempt < 7:
                    continue  # the port that IPv4 drew is taken in IPv6
                raise ConfigError(f"rtc.listen {self.config.listen}: {error.strerror}; choose another --udp") from None
        self.port = self._sockets[0].getsockname()[1]
        for sock in self._sockets:
            wildcard = ipaddress.ip_address(sock.getsockname()[0].partition("%")[0]).is_unspecified
            if wildcard and _ask_for_pktinfo(sock):
                loop.add_reader(sock.fileno(), self._read_with_local_address, sock)
            else:
                loop.add_reader(sock.fileno(), self._read, sock)
        self._ticking = loop.call_later(TICK_S, self._tick)
        where = ", ".join(address for address, _ in self.candidates())
        log.info("WebRTC on UDP port %d, candidates %s", self.port, where)

    def close(self) -> None:
        """End every connection, with a DTLS close_notify, and close the sockets. Idempotent."""
        for endpoint in list(self._endpoints):
            endpoint.on_mux_closed()
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()

    async def aclose(self) -> None:
        """`close()`, and wait until the handshakes under way have ended."""
        self.close()
        await self.tasks.aclose()

    def candidates(self) -> list[tuple[str, int]]:
        """Return the (address, port) pairs that clients are told, best first.

        --public-address if given, else the address bound to, else every global or private address of the interfaces,
        else loopback. Never link-local: browsers cannot use them without a scope.
        """
        if self.config.public_addresses:
            return [(address, self.port) for address in self.config.public_addresses]
        families: set[int] = set()
        found: list[str] = []
        for sock in self._sockets:
            address = ipaddress.ip_address(sock.getsockname()[0].partition("%")[0])
            if address.is_unspecified:
                families.add(address.version)
            else:
                found.append(str(address))
        if families:
            found += _interface_addresses(families)
        return [(address, self.port) for address in found[:MAX_CANDIDATES]]

    def send(self, route: Route, data: bytes) -> None:
        """Send one datagram now or count why not; a full socket buffer drops it, as the network would."""
        try:
            if route.ancillary:
                route.socket.sendmsg([data], route.ancillary, 0, route.address)
            else:
                route.socket.sendto(data, route.address)
            self.counters.datagrams_out += 1
        except BlockingIOError:
            self.counters.send_blocked += 1
        except OSError:
            self.counters.send_errors += 1

    # -- connections ------------------------------------------------------------------------------------------------

    def add(self, endpoint: Endpoint) -> None:
        """Admit a connection. Raises Overloaded at `rtc.max_peers`."""
        if len(self._endpoints) >= self.config.max_peers:
            raise Overloaded(f"{self.config.max_peers} WebRTC connections")
        self._endpoints[endpoint] = None

    def new_credentials(self, endpoint: Endpoint) -> None:
        """Draw a ufrag (48 bits) and a password (144 bits) for an added connection; its older ones still work."""
        while (ufrag := _ice_chars(6)) in self._by_ufrag:
            pass
        self._by_ufrag[ufrag] = endpoint
        for dead in endpoint.ice.renew(ufrag, _ice_chars(18)):
            del self._by_ufrag[dead]

    def remove(self, endpoint: Endpoint) -> None:
        """Forget a connection, its credentials and its addresses. Idempotent."""
        self._endpoints.pop(endpoint, None)
        for ufrag in endpoint.ice.credentials:
            self._by_ufrag.pop(ufrag, None)
        for key in endpoint.ice.routes:
            if self._by_key.get(key) is endpoint:
                del self._by_key[key]

    # -- datagrams --------------------------------------------------------------------------------------------------

    def _read(self, sock: socket.socket) -> None:
        receive, view, clock = sock.recvfrom_into, self._view, self.clock
        for _ in range(DATAGRAMS_PER_WAKE):
            try:
                size, address = receive(view)
            except BlockingIOError:
                break
            except OSError:
                self.counters.receive_errors += 1
                break
            self._datagram(sock, size, (b"", address), clock())
        self._flush()

    def _read_with_local_address(self, sock: socket.socket) -> None:
        receive, buffers, clock = sock.recvmsg_into, [self._view], self.clock
        for _ in range(DATAGRAMS_PER_WAKE):
            try:
                size, ancillary, _flags, address = receive(buffers, _ANCILLARY_SIZE)
            except BlockingIOError:
                break
            except OSError:
                self.counters.receive_errors += 1
                break
            # in_pktinfo: interface, our address, destination; in6_pktinfo: our address, interface.
            info = ancillary[0][2] if ancillary else b""
            self._datagram(sock, size, (info[4:8] if len(info) == 12 else info[:16], address), clock())
        self._flush()

    def _datagram(self, sock: socket.socket, size: int, key: Key, now: float) -> None:
        counters = self.counters
        counters.datagrams_in += 1
        counters.bytes_in += size
        if not 1 <= size <= MAX_DATAGRAM:
            counters.dropped_length += 1
            return
        first = self._buffer[0]
        if first < 4:
            self._check(sock, size, key, now)
        elif 128 <= first < 192 or 20 <= first < 64:
            endpoint = self._by_key.get(key)
            if endpoint is None:
                counters.dropped_stranger += 1
            elif first < 64:
                endpoint.receive_dtls(bytes(self._view[:size]))
            elif size > 1 and 192 <= self._buffer[1] <= 223:
                endpoint.receive_rtcp(self._pointer, self._view, size, now)
            elif endpoint.receive_rtp(self._pointer, self._view, size, now):
                self._ready.append(endpoint)
        else:
            counters.dropped_first_byte += 1

    def _flush(self) -> None:
        """Hand the packets of this wake to their connections, one list each."""
        if not self._ready:
            return
        ready, self._ready = self._ready, []
        now = self.clock()
        for endpoint in ready:
            endpoint.flush(now)

    def _check(self, sock: socket.socket, size: int, key: Key, now: float) -> None:
        try:
            message = stun.parse(self._view[:size])
        except StunError:
            self.counters.dropped_stun += 1
            return
        ufrag = message.username[0]
        endpoint = self._by_ufrag.get(ufrag)
        if message.type != stun.BINDING_REQUEST or endpoint is None:
            # Silence: an error to an unknown sender would make us a reflector.
            self.counters.dropped_stun_unknown += 1
            return
        pwd = endpoint.ice.credentials[ufrag]
        route = Route(sock, key, key[1], _reply_ancillary(key[0]))
        judged = endpoint.ice.check(message, ufrag, route, now)
        if judged is None:
            self.counters.dropped_stun_forged += 1
            return
        self.counters.checks += 1
        obsolete, pushed_out = judged
        for old in obsolete:
            self._by_ufrag.pop(old, None)
        for old_key in pushed_out:
            if self._by_key.get(old_key) is endpoint:
                del self._by_key[old_key]
        before = self._by_key.get(key)
        if before is not endpoint:
            if before is not None:
                before.ice.forget(key)  # the client's system gave the port to a new connection
            self._by_key[key] = endpoint
        self.send(route, stun.binding_response(message.transaction_id, str(key[1][0]), _port(key), pwd))
        endpoint.on_checked(now)

    def _tick(self) -> None:
        now = self.clock()
        for endpoint in list(self._endpoints):
            endpoint.tick(now)
        if self._sockets:
            self._ticking = asyncio.get_running_loop().call_later(TICK_S, self._tick)


def _port(key: Key) -> int:
    port = key[1][1]
    assert isinstance(port, int)
    return port


def _ice_chars(size: int) -> str:
    """Return `size` random bytes as ice-chars (RFC 8839 section 5.4: letters, digits, + and /)."""
    return secrets.token_urlsafe(size).replace("-", "+").replace("_", "/")


def _reply_ancillary(local: bytes) -> list[tuple[int, int, bytes]]:
    """Return the control message that makes a packet leave by our address `local`; by any interface that can."""
    if len(local) == 4:
        assert _IP_PKTINFO is not None
        return [(socket.IPPROTO_IP, _IP_PKTINFO, bytes(4) + local + bytes(4))]
    if len(local) == 16:
        assert _IPV6_PKTINFO is not None
        return [(socket.IPPROTO_IPV6, _IPV6_PKTINFO, local + bytes(4))]
    return []


def _ask_for_pktinfo(sock: socket.socket) -> bool:
    try:
        if sock.family == socket.AF_INET and _IP_PKTINFO is not None:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            return True
        if sock.family == socket.AF_INET6 and _IPV6_RECVPKTINFO is not None and _IPV6_PKTINFO is not None:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
            return True
    except OSError as error:
        log.warning("! no packet information for %s: %s", sock.family.name, error.strerror)
    return False


def _bind_all(hosts: list[tuple[int, str]], port: int, *, optional_v6: bool) -> list[socket.socket]:
    """Bind one non-blocking socket per host, all on one port. Raises OSError with none left open."""
    sockets: list[socket.socket] = []
    try:
        for family, host in hosts:
            try:
                sock = socket.socket(family, socket.SOCK_DGRAM)
            except OSError:
                if optional_v6 and sockets:
                    continue
                raise
            sockets.append(sock)
            sock.setblocking(False)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
            try:
                sock.bind((host, port))
            except OSError as error:
                if optional_v6 and len(sockets) > 1 and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    sockets.pop().close()
                    continue
                raise
            port = sock.getsockname()[1]
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _interface_addresses(versions: set[int]) -> list[str]:
    """Return every global or private address of this host, IPv4 first; loopback if there is none."""
    found: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = []
    for adapter in ifaddr.get_adapters():
        for item in adapter.ips:
            address = ipaddress.ip_address(item.ip if isinstance(item.ip, str) else item.ip[0])
            useless = address.is_link_local or address.is_loopback or address.is_multicast or address.is_unspecified
            if address.version in versions and not useless and address not in found:
                found.append(address)
    if not found:
        return [text for version, text in ((4, "127.0.0.1"), (6, "::1")) if version in versions]
    return [str(address) for address in sorted(found, key=lambda address: address.version)]
