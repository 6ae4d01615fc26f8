"""The gateway across a network: another host, IPv6, loss, address translation, a cable that is pulled.

Server and browser are in two network namespaces (network.py). Content is checked, and where packets went; no latency.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e import browser as chromium
from tests.e2e import content, player, pusher
from tests.e2e.browser import Member, Tab, until
from tests.e2e.conftest import CAMERA
from tests.e2e.content import Maker
from tests.e2e.gateway_process import Gateway
from tests.e2e.network import IPV4, IPV6, FarGateway, Network
from tests.e2e.pusher import Pusher

ALICE = Maker(ident=7, tone=660)
BOB = Maker(ident=11, tone=440)
PHONE = Maker(ident=21, tone=880)
PUBLIC = "203.0.113.7"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Both hosts. The programs of these tests (Chromium, ffmpeg) run in the client."""
    folder = tmp_path_factory.mktemp("programs")
    with Network() as network, pytest.MonkeyPatch.context() as patch:
        patch.setattr(chromium, "CHROMIUM", network.wrapper("client", chromium.CHROMIUM, folder))
        ffmpeg = network.wrapper("client", pusher.FFMPEG, folder)
        patch.setattr(pusher, "FFMPEG", ffmpeg)
        patch.setattr(player, "FFMPEG", ffmpeg)
        yield network


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def far_browser(network: Network, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    if chromium.missing():
        pytest.fail(str(chromium.missing()))
    folder = tmp_path_factory.mktemp("devices")
    camera = content.write_camera(folder / "camera.y4m", CAMERA, 10)
    microphone = content.write_microphone(folder / "microphone.wav", CAMERA, 10)
    async with chromium.launch(camera=camera, microphone=microphone) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def serve(stack: AsyncExitStack, gateway: FarGateway) -> FarGateway:
    await gateway.start()
    stack.push_async_callback(gateway.stop)
    return gateway


async def join(stack: AsyncExitStack, browser: Browser, gateway: Gateway, user: str, maker: Maker) -> Member:
    member = await Member.join(browser, gateway.http, await gateway.tickets(user, 6001))
    stack.push_async_callback(member.close)
    await member.watch_all()
    await member.send(maker)
    return member


async def call(stack: AsyncExitStack, browser: Browser, gateway: Gateway) -> tuple[Member, Member]:
    """Let Alice and Bob see and hear each other: all four ways of media go over the cable."""
    alice = await join(stack, browser, gateway, "alice", ALICE)
    bob = await join(stack, browser, gateway, "bob", BOB)
    await asyncio.gather(alice.sees("bob", BOB), bob.sees("alice", ALICE))
    return alice, bob


async def addresses(member: Member) -> set[tuple[str, str]]:
    """Return (client's address, server's address) of the paths that the connections of `member` use."""
    script = """(stats => [stats.up, stats.down].map(all => {
      const transport = [...all.values()].find(entry => entry.type === 'transport');
      const pair = all.get(transport.selectedCandidatePairId);
      return [all.get(pair.localCandidateId).address, all.get(pair.remoteCandidateId).address];
    }))(await trtc.getStats())"""
    found = await member.tab.page.evaluate(f"async () => {{ const trtc = probe.peers.me.trtc; return {script}; }}")
    return {(local, remote) for local, remote in found}


async def freeze(watcher: Member, user: str, sender: Member, seconds: float) -> float:
    """Watch for some seconds; return the longest standstill of the picture in s, less that of its maker."""
    await asyncio.sleep(seconds)
    report = await watcher.report(user, seconds)
    assert report["unreadable"] <= 3
    # A busy maker's canvas is captured twice now and then: the same number again is no fault, an older one is.
    assert all(b >= a for a, b in pairwise(report["counters"])), report["counters"]
    seen = dict(await watcher.tab.page.evaluate("(user) => probe.peers.me.seen(user)", user))
    made = dict(await sender.tab.page.evaluate("() => probe.peers.me.made()"))
    first, last = report["counters"][0], report["counters"][-1]
    assert last - first >= 0.5 * seconds * ALICE.fps, f"only {first} to {last} in {seconds} s"

    def longest(times: dict[int, float]) -> float:
        inside = sorted(time for number, time in times.items() if first <= number <= last)
        return max(after - before for before, after in pairwise(inside)) / 1000

    return longest(seen) - longest(made)


# --- addresses


async def test_another_host(network: Network, far_browser: Browser, tmp_path: Path, stack: AsyncExitStack) -> None:
    network.readdress(IPV4)
    gateway = await serve(stack, FarGateway(tmp_path / "data", network))
    assert gateway.candidates == [IPV4["server"]]
    alice, bob = await call(stack, far_browser, gateway)
    for member in (alice, bob):
        assert await addresses(member) == {(IPV4["client"], IPV4["server"])}
    urls = (await alice.call("trtc.getRoom()"))["urls"]
    assert urls["flv"].startswith(f"{gateway.http}/live/")
    await player.plays(urls["flv"], ALICE, tmp_path)


async def test_ipv6_only(
    network: Network, far_browser: Browser, files: Callable[..., Path], tmp_path: Path, stack: AsyncExitStack
) -> None:
    network.readdress(IPV6)
    gateway = await serve(stack, FarGateway(tmp_path / "data", network, IPV6["server"]))
    assert gateway.candidates == [IPV6["server"]]
    alice, bob = await call(stack, far_browser, gateway)
    for member in (alice, bob):
        assert await addresses(member) == {(IPV6["client"], IPV6["server"])}
    # RTMP both ways over IPv6, by the URLs that the service gives to who came by IPv6.
    tickets = await gateway.tickets("phone", 6001)
    body = {"userID": "phone", "roomID": "6001"} | {name: tickets[name] for name in ("userSig", "privateMapKey")}
    fetch = """body => fetch('/webrtc/weapp/webrtc_room/get_push_url', { method: 'POST', body: JSON.stringify(body),
      headers: { 'Content-Type': 'application/json' } }).then(answer => answer.json())"""
    answer: dict[str, Any] = await alice.tab.page.evaluate(fetch, body)
    assert answer["code"] == 0, answer
    assert answer["pushURL"].startswith(f"rtmp://[{IPV6['server']}]:{gateway.rtmp_port}/live/")
    await stack.enter_async_context(Pusher(answer["pushURL"], files(PHONE)))
    play = {member["userID"]: member["accelerateURL"] for member in answer["members"]}["bob"]
    await asyncio.gather(alice.sees("phone", PHONE), player.plays(play, BOB, tmp_path))


async def test_behind_a_public_address(
    network: Network, far_browser: Browser, tmp_path: Path, stack: AsyncExitStack
) -> None:
    """The server's router translates: the server has no such address, browsers know no other."""
    network.readdress(IPV4)
    gateway = FarGateway(tmp_path / "data", network, options=("--public-address", PUBLIC))
    own, port = IPV4["server"], gateway.udp_port
    network.nft(
        "server",
        f"""table inet router {{
          chain way_in {{
            type nat hook prerouting priority dstnat;
            ip daddr {PUBLIC} udp dport {port} counter dnat ip to {own}:{port}
          }}
          chain firewall {{
            type filter hook input priority filter;
            udp dport {port} ct status dnat accept
            udp dport {port} drop
          }}
        }}""",
    )
    await serve(stack, gateway)
    assert gateway.candidates == [PUBLIC]
    alice, _ = await call(stack, far_browser, gateway)
    assert await addresses(alice) == {(IPV4["client"], PUBLIC)}
    assert network.counted("server", "router") >= 4, "one for each connection"


# --- trouble on the way


async def test_five_percent_loss(network: Network, far_browser: Browser, tmp_path: Path, stack: AsyncExitStack) -> None:
    """Lost on the way up and again on the way down: everything is repaired, nothing stands still for long."""
    network.readdress(IPV4)
    gateway = await serve(stack, FarGateway(tmp_path / "data", network))
    alice, bob = await call(stack, far_browser, gateway)
    for host in ("server", "client"):
        network.nft(
            host,
            """table inet loss {
              chain way_in {
                type filter hook input priority filter;
                meta l4proto udp numgen random mod 100 < 5 counter drop
              }
            }""",
        )
    standstill = await asyncio.gather(freeze(bob, "alice", alice, 8), freeze(alice, "bob", bob, 8))
    assert max(standstill) <= 2.0, standstill
    dropped = {host: network.counted(host, "loss") for host in ("server", "client")}
    assert min(dropped.values()) >= 20, dropped
    repaired = await bob.call(
        """trtc.getStats().then(({ up, down }) => ({
          up: [...up.values()].find((r) => r.type === 'outbound-rtp' && r.kind === 'video').retransmittedPacketsSent,
          down: [...down.values()].find((r) => r.type === 'inbound-rtp' && r.kind === 'video')
            .retransmittedPacketsReceived }))"""
    )
    assert repaired["up"] > 0 and repaired["down"] > 0, repaired
    await asyncio.gather(alice.sees("bob", BOB), bob.sees("alice", ALICE))


async def test_nat_rebinding(network: Network, far_browser: Browser, tmp_path: Path, stack: AsyncExitStack) -> None:
    """The client's router forgets its table and gives every flow another port: media goes on by itself."""
    network.readdress(IPV4)
    gateway = await serve(stack, FarGateway(tmp_path / "data", network))
    network.nft(
        "client",
        f"""table inet router {{
          chain way_out {{
            type nat hook postrouting priority srcnat;
            udp dport {gateway.udp_port} masquerade to :40000-49999 fully-random
          }}
        }}""",
    )
    alice, bob = await call(stack, far_browser, gateway)

    def ports() -> set[str]:
        """The ports at which the server sees the client."""
        flows = network.run("client", "conntrack", "-L", "-p", "udp", "--reply-port-src", str(gateway.udp_port))
        return {found[1] for found in re.finditer(rf"sport={gateway.udp_port} dport=(4\d{{4}}) ", flows)}

    before = ports()
    assert len(before) == 4, before
    for member in (alice, bob):
        await member.tab.page.evaluate("() => probe.peers.me.clearEvents()")
    network.run("client", "conntrack", "-D", "-p", "udp")
    await until(lambda: len(ports() - before) == 4, 10, lambda: f"{before} became {ports()}")
    await asyncio.sleep(2)
    await asyncio.gather(alice.sees("bob", BOB), bob.sees("alice", ALICE))
    for member in (alice, bob):
        assert not await member.events("connection-state-changed"), "no new connection was needed"
        assert not await member.events("remote-user-exit")


async def test_a_pulled_cable(network: Network, far_browser: Browser, tmp_path: Path, stack: AsyncExitStack) -> None:
    network.readdress(IPV4)
    gateway = await serve(stack, FarGateway(tmp_path / "data", network))
    alice, bob = await call(stack, far_browser, gateway)
    for member in (alice, bob):
        await member.tab.page.evaluate("() => probe.peers.me.clearEvents()")
    network.plug(False)
    await asyncio.sleep(5)
    assert (await bob.report("alice", 2))["frames"] == 0, "the cable was not pulled"
    network.plug(True)
    await asyncio.gather(alice.sees("bob", BOB), bob.sees("alice", ALICE))
    for member in (alice, bob):
        assert not await member.events("remote-user-exit")
        assert not await member.events("kicked-out")


# --- a development server for the whole house


async def test_dev_for_other_hosts(
    network: Network, far_browser: Browser, tmp_path: Path, stack: AsyncExitStack
) -> None:
    """The page over the self-signed HTTPS gives the camera; over plain HTTP it says why not, and watches."""
    network.readdress(IPV4)
    address = IPV4["server"]
    gateway = await serve(stack, FarGateway(tmp_path / "data", network, options=("--dev", "--host", address)))
    assert re.fullmatch(rf"https://{address}:8443/#room=1001&user=chrome", gateway.page_url), gateway.printed
    camera = await Tab.open(far_browser, gateway.page_url, ignore_https_errors=True)
    stack.push_async_callback(camera.close)
    await camera.wait("() => document.body.dataset.state === 'live'")
    await camera.wait("() => document.querySelector('[data-user=chrome] video')?.videoWidth > 0")
    assert await camera.page.inner_text("#alerts") == ""

    plain = await Tab.open(far_browser, f"{gateway.http}/#room=1001&user=visitor")
    stack.push_async_callback(plain.close)
    await plain.wait("() => document.body.dataset.state === 'live'")
    assert "This origin is insecure: the browser gives no camera here. Open the page by https://" in (
        await plain.page.inner_text("#alerts")
    )
    assert not await plain.page.is_visible("#camera")
    await plain.wait("() => document.querySelector('[data-user=chrome] video')?.videoWidth > 0")
    reading = await player.play(gateway.flv_url, 3, tmp_path)
    assert {seen.ident for seen in reading.pictures} == {CAMERA.ident}
