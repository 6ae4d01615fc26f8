"""The port: strangers change nothing, a signed check opens one address, replies leave by the address that was asked."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.base.config import Address, RtcConfig
from gateway.base.errors import ConfigError, Overloaded
from gateway.media.rtc.connection import Connection
from gateway.media.rtc.ice import MAX_ADDRESSES
from gateway.media.rtc.peer import DownPeer, PeerState, UpPeer
from gateway.media.rtc.udp_mux import UdpMux
from gateway.wire import stun
from tests.media.rtc_tools import CERTIFICATE, make_mux

TIDS = itertools.count(1)
CLIENT_HELLO = bytes.fromhex("16fefd000000000000000000") + bytes(60)


@pytest_asyncio.fixture
async def mux() -> AsyncIterator[UdpMux]:
    mux = await make_mux()
    yield mux
    await mux.aclose()


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with make_client() as sock:
        yield sock


def make_client(host: str = "127.0.0.1", family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


def peer_on(mux: UdpMux) -> Connection:
    return Connection(mux, CERTIFICATE, lambda state: None)


def check(connection: Connection, *, nominate: bool = False, pwd: str | None = None, ufrag: str | None = None) -> bytes:
    return stun.binding_request(
        next(TIDS).to_bytes(12, "big"),
        f"{ufrag or connection.ice.ufrag}:them",
        pwd or connection.ice.pwd,
        nominate=nominate,
    )


async def exchange(sock: socket.socket, mux: UdpMux, *datagrams: bytes, host: str = "127.0.0.1") -> list[bytes]:
    """Send, give the loop time, return what came back."""
    for data in datagrams:
        sock.sendto(data, (host, mux.port))
    await asyncio.sleep(0.02)
    answers = []
    while True:
        try:
            answers.append(sock.recv(2048))
        except BlockingIOError:
            return answers


async def test_strangers_change_nothing(mux: UdpMux, client: socket.socket) -> None:
    connection = peer_on(mux)
    forged = check(connection, pwd="x" * 24, nominate=True)
    unsigned = stun.serialize(stun.BINDING_REQUEST, bytes(12), [(stun.USERNAME, connection.ice.ufrag.encode())])
    unknown = check(connection, ufrag="abcdefgh")
    indication = stun.serialize(stun.BINDING_INDICATION, bytes(12), [])
    garbage = [bytes([first]) + os.urandom(40) for first in range(0, 256, 5)]
    datagrams = [b"", b"\x80", b"\0", bytes(1501), bytes(9000), forged, unsigned, unknown, indication, CLIENT_HELLO]
    datagrams += [b"\x80\xc8" + bytes(30), b"\x80\x60" + bytes(30), *garbage]
    assert await exchange(client, mux, *datagrams) == []
    counters = mux.counters
    assert counters.datagrams_in == len(datagrams) and counters.datagrams_out == 0 and counters.checks == 0
    assert counters.dropped_length == 3 and counters.dropped_stun_forged == 2
    assert counters.dropped_stun_unknown == 2 and counters.dropped_stranger > 3 and counters.dropped_first_byte > 3
    assert connection.state is PeerState.NEW and connection.ice.route is None and not connection.ice.routes


async def test_a_signed_check_opens_the_address(mux: UdpMux, client: socket.socket) -> None:
    connection = peer_on(mux)
    (answer,) = await exchange(client, mux, check(connection))
    message = stun.parse(answer)
    assert message.type == stun.BINDING_RESPONSE and message.verify(connection.ice.pwd)
    assert message.mapped_address() == client.getsockname()
    assert connection.ice.route is not None and connection.ice.route.address == client.getsockname()
    # From here on its datagrams are taken; a DTLS record waits for the description.
    await exchange(client, mux, CLIENT_HELLO)
    assert mux.counters.dropped_stranger == 0
    assert connection.route is None, "nothing is sent before there are keys"


async def test_the_nominated_address_is_sent_to_and_eight_are_kept(mux: UdpMux) -> None:
    connection = peer_on(mux)
    clients = [make_client() for _ in range(MAX_ADDRESSES + 3)]
    await exchange(clients[0], mux, check(connection))
    await exchange(clients[1], mux, check(connection))
    assert connection.ice.route is not None and connection.ice.route.address == clients[0].getsockname()
    await exchange(clients[1], mux, check(connection, nominate=True))
    for sock in clients[2:]:
        assert len(await exchange(sock, mux, check(connection))) == 1
    assert connection.ice.route.address == clients[1].getsockname(), "stays although it is the oldest"
    assert len(connection.ice.routes) == MAX_ADDRESSES and len(mux._by_key) == MAX_ADDRESSES
    before = mux.counters.dropped_stranger
    await exchange(clients[0], mux, CLIENT_HELLO)
    assert mux.counters.dropped_stranger == before + 1, "pushed out"
    connection.close()
    assert not mux._by_key and not mux._by_ufrag and len(mux) == 0
    for sock in clients:
        sock.close()


async def test_a_recorded_check_from_elsewhere_is_not_believed(mux: UdpMux, client: socket.socket) -> None:
    connection = peer_on(mux)
    recorded = check(connection, nominate=True)
    assert len(await exchange(client, mux, recorded)) == 1
    assert len(await exchange(client, mux, recorded)) == 1, "a retransmission from the same address is"
    with make_client() as thief:
        assert await exchange(thief, mux, recorded) == []
    assert connection.ice.route is not None and connection.ice.route.address == client.getsockname()


async def test_old_credentials_live_until_the_new_are_used(mux: UdpMux, client: socket.socket) -> None:
    connection = peer_on(mux)
    first = (connection.ice.ufrag, connection.ice.pwd)
    await exchange(client, mux, check(connection))
    for _ in range(5):  # a client that restarts again and again without ever using what it got
        connection.renew_credentials()
    assert len(await exchange(client, mux, check(connection, ufrag=first[0], pwd=first[1]))) == 1
    assert len(connection.ice.credentials) <= 4 and len(mux._by_ufrag) == len(connection.ice.credentials)
    assert len(await exchange(client, mux, check(connection))) == 1
    assert list(connection.ice.credentials) == [connection.ice.ufrag] == list(mux._by_ufrag)
    assert await exchange(client, mux, check(connection, ufrag=first[0], pwd=first[1])) == []


async def test_a_port_that_the_client_gives_to_a_new_connection(mux: UdpMux, client: socket.socket) -> None:
    old, new = peer_on(mux), peer_on(mux)
    await exchange(client, mux, check(old, nominate=True))
    await exchange(client, mux, check(new, nominate=True))
    assert old.ice.route is None and not old.ice.routes and new.ice.route is not None
    old.close()
    await exchange(client, mux, CLIENT_HELLO)
    assert mux.counters.dropped_stranger == 0, "closing the old one leaves the address to the new"


async def test_consent_and_first_check_time_out(mux: UdpMux, client: socket.socket) -> None:
    now = mux.clock()
    silent, gone, idle = peer_on(mux), peer_on(mux), peer_on(mux)
    silent.local()
    await exchange(client, mux, check(gone))
    for connection in (silent, gone, idle):
        connection.tick(now + 14)
        assert connection.state is PeerState.NEW
    gone.tick(now + 17)
    assert gone.state is PeerState.FAILED and "15 s" in gone.reason
    silent.tick(now + 31)
    assert silent.state is PeerState.FAILED
    idle.tick(now + 1000)
    assert idle.state is PeerState.NEW, "nobody was told to come yet"
    gone.close()
    assert gone.state is PeerState.FAILED


async def test_replies_leave_by_the_address_that_was_asked() -> None:
    mux = await make_mux("0.0.0.0")
    connection = peer_on(mux)
    with make_client() as sock:
        sock.connect(("127.0.0.2", mux.port))  # now the kernel lets in nothing from 127.0.0.1
        sock.send(check(connection))
        await asyncio.sleep(0.02)
        assert stun.parse(sock.recv(2048)).type == stun.BINDING_RESPONSE
        route = connection.ice.route
        assert route is not None and route.ancillary
        mux.send(route, b"plain")
        segments = [*route.ancillary, (socket.IPPROTO_UDP, 103, struct.pack("=H", 4))]
        route.socket.sendmsg([b"onetwothr"], segments, 0, route.address)
        await asyncio.sleep(0.02)
        assert [sock.recv(2048) for _ in range(4)] == [b"plain", b"onet", b"woth", b"r"]
        # The same client by the other address of ours is another pair.
        sock.connect(("127.0.0.1", mux.port))
        sock.send(CLIENT_HELLO)
        await asyncio.sleep(0.02)
        assert mux.counters.dropped_stranger == 1
    await mux.aclose()


async def test_both_families_on_one_port() -> None:
    mux = await make_mux("")
    assert [sock.family for sock in mux._sockets] == [socket.AF_INET, socket.AF_INET6]
    assert len({sock.getsockname()[1] for sock in mux._sockets}) == 1
    connection = peer_on(mux)
    with make_client("::1", socket.AF_INET6) as sock:
        (answer,) = await exchange(sock, mux, check(connection), host="::1")
    assert stun.parse(answer).mapped_address() is not None
    assert connection.ice.route is not None and connection.ice.route.address[0] == "::1"
    assert connection.ice.route.ancillary[0][:2] == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
    await mux.aclose()


NAMESPACE = """
import asyncio, socket
from tests.media.test_rtc_udp_mux import check, make_client, peer_on
from tests.media.rtc_tools import make_mux
from gateway.wire import stun
async def main():
    mux = await make_mux("")
    assert sorted(mux.candidates()) == [("fd00::5", mux.port), ("fd00::6", mux.port)], mux.candidates()
    connection = peer_on(mux)
    for ours in ("fd00::5", "fd00::6"):
        with make_client("fd00::5", socket.AF_INET6) as sock:
            sock.connect((ours, mux.port))
            sock.send(check(connection, nominate=True))
            await asyncio.sleep(0.05)
            assert stun.parse(sock.recv(2048)).mapped_address() == sock.getsockname()[:2]
            mux.send(connection.ice.route, b"media")
            await asyncio.sleep(0.05)
            assert sock.recv(2048) == b"media"
    await mux.aclose()
    print("replied by both")
asyncio.run(main())
"""


def test_ipv6_with_two_addresses_in_a_namespace() -> None:
    setup = " && ".join(
        f"ip {command} dev lo" for command in ("link set up", "addr add fd00::5/128", "addr add fd00::6/128")
    )
    # Root needs no user namespace, and may not make one inside a chroot.
    command = [
        "unshare",
        "-n" if os.geteuid() == 0 else "-rn",
        "sh",
        "-c",
        f'{setup} && exec "{sys.executable}" -c "$0"',
    ]
    if shutil.which("unshare") is None or subprocess.run([*command[:4], setup], capture_output=True).returncode:
        pytest.fail("needs the right to make a network namespace (unshare -n, iproute2)")
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([*command, NAMESPACE], cwd=root, capture_output=True, text=True, timeout=30)
    assert done.stdout == "replied by both\n", done.stderr


@pytest.mark.parametrize(
    ("host", "public", "expected"),
    [
        ("127.0.0.1", (), ["127.0.0.1"]),
        ("::1", (), ["::1"]),
        ("127.0.0.1", ("192.0.2.9", "2001:db8::9"), ["192.0.2.9", "2001:db8::9"]),
    ],
)
async def test_candidates(host: str, public: tuple[str, ...], expected: list[str]) -> None:
    mux = await make_mux(host, public_addresses=public)
    assert mux.candidates() == [(address, mux.port) for address in expected]
    await mux.aclose()


async def test_no_candidate_is_link_local() -> None:
    mux = await make_mux("")
    assert mux.candidates()
    assert not any(address.startswith(("fe80", "169.254")) for address, _ in mux.candidates())
    await mux.aclose()


async def test_a_taken_port_is_named_with_the_cure(mux: UdpMux) -> None:
    second = UdpMux(RtcConfig(listen=Address("127.0.0.1", mux.port)))
    with pytest.raises(ConfigError, match="another --udp"):
        await second.start()
    with pytest.raises(ConfigError, match="cannot resolve"):
        await UdpMux(RtcConfig(listen=Address("no.such.host.invalid", 0))).start()


async def test_no_more_than_max_peers() -> None:
    mux = await make_mux(max_peers=2)
    peers = [UpPeer(mux, CERTIFICATE), DownPeer(mux, CERTIFICATE)]
    with pytest.raises(Overloaded):
        UpPeer(mux, CERTIFICATE)
    peers[0].close()
    UpPeer(mux, CERTIFICATE).close()
    await mux.aclose()
    assert peers[1].state is PeerState.CLOSED
