"""Calls between all kinds of peers: who sends what, and that the very picture and tone arrive, in step.

Content is checked, latency is not: these run on whatever machine there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e import player
from tests.e2e.browser import Member, Tab, until
from tests.e2e.conftest import CAMERA
from tests.e2e.content import Maker
from tests.e2e.gateway_process import Gateway
from tests.e2e.pusher import Pusher
from tests.e2e.webrtc_client import AiortcMember

ALICE = Maker(ident=7, tone=660)
BOB = Maker(ident=11, tone=440)
PHONE = Maker(ident=21, tone=880)
TABLET = Maker(ident=42, tone=1100)
SKEW_MS = 40


@pytest_asyncio.fixture(loop_scope="session")
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def join(
    stack: AsyncExitStack, browser: Browser, gateway: Gateway, user: str, room: int, **options: object
) -> Member:
    member = await Member.join(browser, gateway.http, await gateway.tickets(user, room), **options)
    stack.push_async_callback(member.close)
    await member.watch_all()
    return member


async def push(stack: AsyncExitStack, gateway: Gateway, user: str, room: int, file: Path) -> dict[str, str]:
    """Publish `file` as `user`; return the play URLs of the others."""
    url, others = await gateway.push(user, room)
    await stack.enter_async_context(Pusher(url, file))
    return others


async def test_the_printed_urls(
    browser: Browser, gateway: Gateway, files: Callable[..., Path], tmp_path: Path, stack: AsyncExitStack
) -> None:
    """What `--dev` prints is enough: page in Chromium with its camera, ffmpeg pushes, ffmpeg plays the page by FLV."""
    tab = await Tab.open(browser, gateway.page_url)
    stack.push_async_callback(tab.close)
    await tab.wait("() => document.body.dataset.state === 'live'")
    await stack.enter_async_context(Pusher(gateway.push_url, files(PHONE)))
    await tab.wait("() => document.querySelector('[data-user=phone] video')?.videoWidth === 320", timeout=20)
    assert await tab.page.inner_text("[data-user=phone] .rtmp") == "RTMP"
    assert await tab.page.is_visible("#dev")
    reading = await player.play(gateway.flv_url, 3, tmp_path)
    assert {seen.ident for seen in reading.pictures} == {CAMERA.ident}
    assert not tab.console, tab.console
    assert await tab.page.inner_text("#alerts") == ""


async def test_browser_and_browser(browser: Browser, gateway: Gateway, stack: AsyncExitStack) -> None:
    alice = await join(stack, browser, gateway, "alice", 2001)
    bob = await join(stack, browser, gateway, "bob", 2001)
    await asyncio.gather(alice.send(ALICE), bob.send(BOB))
    await asyncio.gather(alice.sees("bob", BOB), bob.sees("alice", ALICE))
    for member, user in ((alice, "bob"), (bob, "alice")):
        await member.in_step(user, SKEW_MS)
        report = await member.report(user, 4)
        assert report["unreadable"] <= 3
        assert all(a <= b for a, b in pairwise(report["counters"])), "pictures run back"

    # Mute and camera off are seen by the other side, and undone.
    await bob.call("trtc.updateLocalAudio({ mute: true })")
    await until(lambda: alice.events("remote-audio-unavailable"), 5)
    await bob.call("trtc.updateLocalAudio({ mute: false })")
    await bob.call("trtc.updateLocalVideo({ mute: true })")
    await until(lambda: alice.events("remote-video-unavailable"), 5)
    await bob.call("trtc.stopLocalVideo()")
    track = "{ videoTrack: probe.peers.me.source.video.clone() }"
    await bob.call(f"trtc.startLocalVideo({{ option: {track} }})")
    await alice.sees("bob", BOB)


async def test_browser_and_rtmp(
    browser: Browser, gateway: Gateway, files: Callable[..., Path], tmp_path: Path, stack: AsyncExitStack
) -> None:
    alice = await join(stack, browser, gateway, "alice", 2002)
    await alice.send(ALICE)
    others = {}

    async def listed() -> bool:
        nonlocal others
        others = (await gateway.push("phone", 2002))[1]
        return "alice" in others

    await until(listed, 10, "alice is not in the list of get_push_url", 0.5)
    await push(stack, gateway, "phone", 2002, files(PHONE))
    room = await alice.call("trtc.getRoom()")
    _, _, report = await asyncio.gather(
        player.plays(others["alice"], ALICE, tmp_path, seconds=4, skew_ms=SKEW_MS),
        player.plays(room["urls"]["flv"], ALICE, tmp_path, seconds=4, skew_ms=SKEW_MS),
        alice.sees("phone", PHONE),
    )
    assert report["unreadable"] <= 3
    await alice.in_step("phone", SKEW_MS)


async def test_browser_and_aiortc(browser: Browser, gateway: Gateway, stack: AsyncExitStack) -> None:
    alice = await join(stack, browser, gateway, "alice", 2003)
    await alice.send(ALICE)
    robot = await stack.enter_async_context(AiortcMember(gateway.http, await gateway.tickets("robot", 2003)))
    await robot.send(BOB)
    await asyncio.gather(robot.sees("alice", ALICE), alice.sees("robot", BOB))


async def test_twelve_flows(
    browser: Browser, gateway: Gateway, files: Callable[..., Path], tmp_path: Path, stack: AsyncExitStack
) -> None:
    """Two browsers and two RTMP peers in one room: each plays all three others."""
    room = 2004
    alice = await join(stack, browser, gateway, "alice", room)
    bob = await join(stack, browser, gateway, "bob", room)
    await asyncio.gather(alice.send(ALICE), bob.send(BOB))
    await push(stack, gateway, "phone", room, files(PHONE))
    await push(stack, gateway, "tablet", room, files(TABLET))
    makers = {"alice": ALICE, "bob": BOB, "phone": PHONE, "tablet": TABLET}
    urls: dict[str, dict[str, str]] = {}

    async def listed() -> bool:
        for user in ("phone", "tablet"):
            urls[user] = (await gateway.push(user, room))[1]
        return all(len(others) == 3 for others in urls.values())

    await until(
        listed, 10, lambda: f"not all are listed: { {user: list(others) for user, others in urls.items()} }", 0.5
    )
    flows = [
        member.sees(user, makers[user], timeout=30) for member in (alice, bob) for user in makers if user != member.user
    ]
    flows_rtmp = [
        player.plays(url, makers[user], tmp_path, seconds=4, timeout=30, skew_ms=SKEW_MS)
        for others in urls.values()
        for user, url in others.items()
    ]
    assert len(flows) + len(flows_rtmp) == 12
    await asyncio.gather(*flows, *flows_rtmp)


async def test_vp8_only_browser_to_rtmp(
    browser: Browser, gateway: Gateway, files: Callable[..., Path], tmp_path: Path, stack: AsyncExitStack
) -> None:
    alice = await join(stack, browser, gateway, "alice", 2005, codecs=["VP8"])
    await alice.send(ALICE)
    room = await alice.call("trtc.getRoom()")
    await player.plays(room["urls"]["rtmp"], ALICE, tmp_path, seconds=4, skew_ms=SKEW_MS)


async def test_b_frames_to_browser(
    browser: Browser, gateway: Gateway, files: Callable[..., Path], tmp_path: Path, stack: AsyncExitStack
) -> None:
    """x264's defaults have B-frames with references; undropped and untranscoded they freeze a browser."""
    alice = await join(stack, browser, gateway, "alice", 2006)
    await push(stack, gateway, "phone", 2006, files(PHONE, "b-frames"))
    await alice.sees("phone", PHONE, timeout=20)
    await alice.in_step("phone", SKEW_MS)
    report = await alice.report("phone", 3)
    assert report["frames"] >= 2 * PHONE.fps, "B-frames make it stutter"
    assert all(b >= a for a, b in pairwise(report["counters"]))
    url = next(info["urls"]["flv"] for info in (await alice.call("trtc.getRoom()"))["streams"])
    reading = await player.plays(url, PHONE, tmp_path)
    assert reading.has_b_frames > 0, "the original has to reach players unchanged"
