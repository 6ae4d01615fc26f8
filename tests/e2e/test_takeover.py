"""Takeover, restarts and the browser's autoplay rule: nobody becomes a ghost, nobody has to reload."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e import browser as chromium
from tests.e2e import player
from tests.e2e.browser import Member, Tab, until
from tests.e2e.content import Maker
from tests.e2e.gateway_process import Gateway, TcpProxy
from tests.e2e.pusher import Pusher

ALICE = Maker(ident=7, tone=660)
BOB = Maker(ident=11, tone=440)
PHONE = Maker(ident=21, tone=880)


@pytest_asyncio.fixture(loop_scope="session")
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def join(stack: AsyncExitStack, browser: Browser, gateway: Gateway, user: str, room: int) -> Member:
    member = await Member.join(browser, gateway.http, await gateway.tickets(user, room))
    stack.push_async_callback(member.close)
    await member.watch_all()
    return member


async def check_nobody_left(member: Member, user: str) -> None:
    left = [detail for _, detail in await member.events("remote-user-exit") if detail["userId"] == user]
    assert left == []


async def test_the_same_user_in_another_tab(browser: Browser, gateway: Gateway, stack: AsyncExitStack) -> None:
    bob = await join(stack, browser, gateway, "bob", 3001)
    old = await join(stack, browser, gateway, "alice", 3001)
    await old.send(ALICE)
    await bob.sees("alice", ALICE)
    new = await join(stack, browser, gateway, "alice", 3001)
    await until(lambda: old.events("kicked-out"), 5)
    assert (await old.events("kicked-out"))[0][1]["detail"] == "replaced"
    await new.send(PHONE)
    await bob.sees("alice", PHONE)
    await check_nobody_left(bob, "alice")
    await asyncio.sleep(1)
    assert not await new.events("kicked-out"), "the two tabs must not fight"


async def test_a_second_rtmp_publisher(
    browser: Browser, gateway: Gateway, files: Callable[..., Path], tmp_path: Path, stack: AsyncExitStack
) -> None:
    bob = await join(stack, browser, gateway, "bob", 3002)
    url, _ = await gateway.push("phone", 3002)
    old = await stack.enter_async_context(Pusher(url, files(ALICE)))
    await bob.sees("phone", ALICE)
    flv = next(info["urls"]["flv"] for info in (await bob.call("trtc.getRoom()"))["streams"])
    recording = asyncio.create_task(player.play(flv, 8, tmp_path, timeout=20))
    await asyncio.sleep(2.5)
    await stack.enter_async_context(Pusher(url, files(PHONE)))
    await bob.sees("phone", PHONE)
    await old.ended(10)
    await check_nobody_left(bob, "phone")
    reading = await recording
    assert reading.idents() == [ALICE.ident, PHONE.ident], "a player has to see the change and nothing else"
    times = [seen.time for seen in reading.pictures]
    assert times == sorted(times)


async def test_rtmp_publisher_replaces_a_browser_and_back(
    browser: Browser, gateway: Gateway, files: Callable[..., Path], tmp_path: Path, stack: AsyncExitStack
) -> None:
    bob = await join(stack, browser, gateway, "bob", 3003)
    alice = await join(stack, browser, gateway, "alice", 3003)
    await alice.send(ALICE)
    await bob.sees("alice", ALICE)
    room = await alice.call("trtc.getRoom()")
    recording = asyncio.create_task(player.play(room["urls"]["flv"], 10, tmp_path, timeout=25))
    await asyncio.sleep(3)
    async with Pusher(room["urls"]["push"], files(PHONE)):
        await bob.sees("alice", PHONE)
        reading = await recording
        assert reading.idents() == [ALICE.ident, PHONE.ident]
    await check_nobody_left(bob, "alice")
    assert not await alice.events("kicked-out"), "the member is still here; only its stream has another source"


async def test_a_lost_socket_costs_no_picture(browser: Browser, gateway: Gateway, stack: AsyncExitStack) -> None:
    """The media connections live on while the control session resumes; nobody sees anything."""
    proxy = await stack.enter_async_context(TcpProxy(gateway.http_port))
    bob = await join(stack, browser, gateway, "bob", 3006)
    tickets = await gateway.tickets("alice", 3006)
    alice = await Member.join(browser, gateway.http, tickets, url=f"ws://127.0.0.1:{proxy.port}/signaling")
    stack.push_async_callback(alice.close)
    await alice.watch_all()
    await alice.send(ALICE)
    await bob.send(BOB)
    await asyncio.gather(bob.sees("alice", ALICE), alice.sees("bob", BOB))
    await alice.tab.page.evaluate("() => probe.peers.me.clearEvents()")
    proxy.cut()
    await until(lambda: alice.events("connection-state-changed"), 5)
    await asyncio.sleep(4)
    states = [detail["state"] for _, detail in await alice.events("connection-state-changed")]
    assert states[0] == "CONNECTING" and states[-1] == "CONNECTED", states
    for member, user in ((bob, "alice"), (alice, "bob")):
        report = await member.report(user, 4)
        gaps = [after - before for before, after in pairwise(report["counters"])]
        assert max(gaps) <= ALICE.fps, f"{user} was away for {max(gaps)} pictures"
        await check_nobody_left(member, user)
    assert not [event for event in await alice.events() if event[0].startswith("remote-")]


async def test_a_new_network_restarts_ice(browser: Browser, gateway: Gateway, stack: AsyncExitStack) -> None:
    alice = await join(stack, browser, gateway, "alice", 3007)
    bob = await join(stack, browser, gateway, "bob", 3007)
    await asyncio.gather(alice.send(ALICE), bob.send(BOB))
    await asyncio.gather(bob.sees("alice", ALICE), alice.sees("bob", BOB))
    names = """async () => { const stats = await probe.peers.me.trtc.getStats();
      return ['up', 'down'].map((side) =>
        [...stats[side].values()].find((report) => report.type === 'transport').iceLocalUsernameFragment); }"""
    before = await alice.tab.page.evaluate(names)
    await alice.tab.page.evaluate("() => dispatchEvent(new Event('online'))")

    async def renamed() -> bool:
        after = await alice.tab.page.evaluate(names)
        return all(one and one != other for one, other in zip(after, before, strict=True))

    await until(renamed, 5, "no ICE restart")
    await asyncio.sleep(3)
    for member, user in ((bob, "alice"), (alice, "bob")):
        report = await member.report(user, 3)
        gaps = [after - before for before, after in pairwise(report["counters"])]
        assert report["frames"] > 2 * ALICE.fps and max(gaps) <= ALICE.fps, gaps


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
async def test_the_room_survives_a_restart(
    browser: Browser, files: Callable[..., Path], tmp_path: Path, stack: AsyncExitStack, how: str
) -> None:
    server = Gateway(tmp_path / "data")
    await server.start()
    stack.push_async_callback(server.stop)
    alice = await join(stack, browser, server, "alice", 3004)
    await alice.send(ALICE)
    bob = await join(stack, browser, server, "bob", 3004)
    push, _ = await server.push("phone", 3004)
    async with Pusher(push, files(PHONE)):
        await asyncio.gather(bob.sees("alice", ALICE), bob.sees("phone", PHONE))
    flv = (await alice.call("trtc.getRoom()"))["urls"]["flv"]
    await (server.stop() if how == "SIGTERM" else server.kill())
    await until(lambda: alice.events("connection-state-changed"), 10)
    await asyncio.sleep(1)
    await server.start()
    await bob.sees("alice", ALICE, timeout=25)
    await check_nobody_left(bob, "alice")
    assert (await bob.events("connection-state-changed"))[-1][1]["state"] == "CONNECTED"
    async with Pusher(push, files(PHONE)):
        await bob.sees("phone", PHONE)
    await player.plays(flv, ALICE, tmp_path)


REPORT = """setInterval(async () => {
  const hear = document.getElementById('hear');
  if (!hear || !window.trtc) return;
  const reports = [...((await trtc.getStats()).down?.values() ?? [])];
  const sound = reports.find((report) => report.type === 'inbound-rtp' && report.kind === 'audio');
  const { x, y, width, height } = hear.getBoundingClientRect();
  console.log('seen ' + JSON.stringify({
    picture: document.querySelector('[data-user=phone] video')?.videoWidth ?? 0,
    hear: hear.hidden ? '' : hear.textContent,
    at: [x + width / 2, y + height / 2],
    energy: sound?.totalAudioEnergy ?? 0,
  }));
}, 200);"""
"""Runs in the page by itself: whatever a driver evaluates counts as a gesture of the user and would allow the sound."""


async def test_autoplay_blocked_until_a_click(
    gateway: Gateway, files: Callable[..., Path], stack: AsyncExitStack
) -> None:
    """The one run without the flag that the others have: an audience member hears after a click, as people do."""
    browser = await stack.enter_async_context(chromium.launch(autoplay=False))
    url, _ = await gateway.push("phone", 3005)
    await stack.enter_async_context(Pusher(url, files(PHONE)))
    tickets = await gateway.tickets("guest", 3005)
    place = {key: value for key, value in tickets.items() if key not in ("userId", "roomId")}
    fragment = urlencode({"room": 3005, "user": "guest", "role": "audience", **place})
    tab = await Tab.open(browser, f"{gateway.http}/#{fragment}", script=REPORT)
    stack.push_async_callback(tab.close)

    def seen() -> dict[str, Any]:
        said = [line for line in tab.console if line.startswith("log: seen ")]
        return json.loads(said[-1].removeprefix("log: seen ")) if said else {}

    # Muted pictures play by themselves; the sound does not.
    await until(lambda: seen().get("picture") and seen()["hear"], 20, lambda: f"{seen()} {tab.console[-3:]}")
    assert seen()["hear"] == "Tap to hear the others"
    await asyncio.sleep(1)
    assert seen()["energy"] == 0, "the sound plays without a click"
    await tab.page.mouse.click(*seen()["at"])
    await until(lambda: seen()["hear"] == "", 5, "the button stays after the click")
    await until(lambda: seen()["energy"] > 0, 10, lambda: f"the sound does not play after the click: {seen()}")
