"""The call as a person meets it: tiles of one to ten at every size, a stage, devices, keys, small windows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.browser import Member, until
from tests.e2e.content import Maker
from tests.e2e.gateway_process import Gateway
from tests.e2e.page import DESKTOP, PHONE, SIDEWAYS, Visits, focus, place, settled, shown, state, told_page, visiting
from tests.e2e.pusher import Pusher

UPRIGHT = Maker(ident=41, tone=520, width=160, height=288)


@pytest_asyncio.fixture(loop_scope="session")
async def visits(browser: Browser) -> AsyncIterator[Visits]:
    async with visiting(browser) as visits:
        yield visits


MEASURE = """() => {
  const room = document.getElementById('tiles').getBoundingClientRect();
  const boxes = [...document.querySelectorAll('.tile')].map((tile) => tile.getBoundingClientRect());
  const inside = (box) => box.left >= room.left - 1 && box.top >= room.top - 1
    && box.right <= room.right + 1 && box.bottom <= room.bottom + 1;
  const apart = boxes.every((a, i) => boxes.every((b, j) => i >= j
    || a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 1 || b.bottom <= a.top + 1));
  const area = boxes.reduce((sum, box) => sum + box.width * box.height, 0);
  const page = document.documentElement;
  const captions = [...document.querySelectorAll('.tile')].every((tile) => {
    const caption = tile.querySelector('.caption');
    return caption.scrollWidth <= caption.clientWidth + 1;
  });
  return { count: boxes.length, inside: boxes.every(inside), apart, used: area / (room.width * room.height), captions,
    least: Math.min(...boxes.map((box) => Math.min(box.width, box.height))),
    overflow: page.scrollWidth > innerWidth || page.scrollHeight > innerHeight };
}"""


@pytest.mark.parametrize(("size", "least"), [(DESKTOP, 150), (PHONE, 90), (SIDEWAYS, 60)])
async def test_one_to_ten_fit(gateway: Gateway, visits: Visits, size: dict[str, Any], least: int) -> None:
    """No tile leaves the room or covers another, nothing scrolls, and the room is used well."""
    url = gateway.http + await place(gateway, "walter", 4200, nick="Walter with a rather long name")
    tab, tell = await told_page(visits, url, **size)
    await settled(tab)
    for count in range(1, 11):
        if count > 1:
            nick = f"Somebody with the number {count}"
            tell(json.dumps({"t": "member+", "userId": f"user{count}", "nick": nick, "role": "anchor"}))
        await tab.wait("(count) => document.querySelectorAll('.tile').length === count", count)
        found = await tab.page.evaluate(MEASURE)
        assert found["inside"] and found["apart"] and found["captions"] and not found["overflow"], found
        assert found["used"] > 0.5 and found["least"] >= least, found
    # A shared screen takes the stage; then any tile that is pinned.
    stream = {
        "audio": False,
        "video": True,
        "audioMuted": False,
        "videoMuted": False,
        "transport": "webrtc",
        "urls": {},
    }
    tell(json.dumps({"t": "stream+", "userId": "user3", "stream": "aux", **stream}))
    await shown(tab, "[data-user=user3][data-stream=sub].staged")
    found = await tab.page.evaluate(MEASURE)
    assert found["inside"] and found["apart"] and not found["overflow"], found
    await tab.page.locator("[data-user=user5] .pin").press("Enter")
    await shown(tab, "[data-user=user5].staged")
    staged = await tab.page.evaluate(
        "() => document.querySelector('.staged').offsetWidth / document.getElementById('tiles').offsetWidth"
    )
    assert staged > 0.6


async def test_who_comes_and_goes(gateway: Gateway, visits: Visits) -> None:
    tab, tell = await told_page(visits, gateway.http + await place(gateway, "walter", 4201))
    await shown(tab, "#alone")
    tell(json.dumps({"t": "member+", "userId": "bob", "nick": "Bob", "role": "anchor"}))
    await shown(tab, "[data-user=bob] .initial")
    await shown(tab, "#alone", False)
    assert "Bob joined" in await tab.page.inner_text("#announce")
    stream = {"audio": True, "video": True, "audioMuted": False, "videoMuted": False, "urls": {}}
    tell(json.dumps({"t": "stream+", "userId": "bob", "stream": "main", "transport": "rtmp", **stream}))
    await shown(tab, "[data-user=bob] .rtmp")
    await shown(tab, "[data-user=bob] .muted", False)
    tell(json.dumps({"t": "mute", "userId": "bob", "stream": "main", "kind": "audio", "muted": True}))
    await shown(tab, "[data-user=bob] .muted")
    tell(json.dumps({"t": "pause", "userId": "bob", "stream": "main", "kind": "video", "paused": True}))
    await shown(tab, "[data-user=bob] .slow")
    tell(json.dumps({"t": "member-", "userId": "bob", "reason": "left"}))
    await tab.wait("() => !document.querySelector('[data-user=bob]')")
    assert "Bob left" in await tab.page.inner_text("#announce")


async def test_an_upright_picture_keeps_its_head(gateway: Gateway, visits: Visits, files: Callable[..., Path]) -> None:
    """What a phone sends upright is shown whole in a wide tile; what has nearly the tile's shape fills it."""
    url, _ = await gateway.push("phone", 4202)
    async with Pusher(url, files(UPRIGHT)):
        tab = await visits.open(gateway.http + await place(gateway, "walter", 4202))
        await tab.wait("() => document.querySelector('[data-user=phone] video')?.videoHeight === 288", timeout=20)
        await shown(tab, "[data-user=phone].whole")
        fit = "(s) => getComputedStyle(document.querySelector(s)).objectFit"
        assert await tab.page.evaluate(fit, "[data-user=phone] video") == "contain"
        await shown(tab, "[data-user=walter].pictured:not(.whole)")
        assert await tab.page.evaluate(fit, "[data-user=walter] video") == "cover"
        await shown(tab, "[data-user=phone] .bars")
        await shown(tab, "[data-user=phone].speaking")


async def test_another_device_in_the_middle_of_the_call(gateway: Gateway, visits: Visits) -> None:
    tab = await visits.open(gateway.http + await place(gateway, "walter", 4203))
    await state(tab, "live")
    await settled(tab)
    await tab.page.keyboard.press("d")
    await shown(tab, "#devicesDialog .microphone select")
    options = "(s) => [...document.querySelectorAll(`#devicesDialog ${s} option`)].map((option) => option.value)"
    current = "() => trtc.getAudioTrack().getSettings().deviceId"
    await tab.wait("() => document.querySelectorAll('#devicesDialog .microphone option').length > 2")
    microphones = await tab.page.evaluate(options, ".microphone")
    used = await tab.page.evaluate(current)
    other = next((one for one in microphones if one not in ("", "default", used)), None)
    assert other is not None, f"{used} is used of {microphones}"
    await tab.page.select_option("#devicesDialog .microphone select", other)
    await tab.wait(f"(id) => ({current})() === id", other)
    camera = (await tab.page.evaluate(options, ".camera"))[-1]
    await tab.page.select_option("#devicesDialog .camera select", camera)
    await settled(tab)
    assert not await tab.page.is_visible("#devicesWrong")
    await tab.wait("() => document.querySelector('[data-user=walter] video')?.videoWidth > 0")
    await tab.page.keyboard.press("Escape")
    await shown(tab, "#devicesDialog", False)
    assert await tab.page.inner_text("#alerts") == ""
    # The choice holds for the next visit.
    await tab.page.reload()
    await state(tab, "live")
    await tab.wait(f"(id) => trtc.getAudioTrack() && ({current})() === id", other)


async def test_keys(gateway: Gateway, visits: Visits) -> None:
    """One letter each, said in the title; never while a text is written or a dialog is open."""
    tab = await visits.open(gateway.http + await place(gateway, "walter", 4204))
    await state(tab, "live")
    await settled(tab)
    assert await tab.page.get_attribute("#microphone", "title") == "Mute (M)"
    await tab.page.keyboard.press("m")
    await tab.wait("() => document.getElementById('microphone').ariaPressed === 'true'")
    await tab.page.keyboard.press("v")
    await tab.wait("() => document.getElementById('camera').ariaPressed === 'true'")
    await shown(tab, "[data-user=walter] .initial")
    await settled(tab)
    await tab.page.keyboard.press("c")
    assert await focus(tab) == "text"
    await tab.page.keyboard.type("mv")
    assert await tab.page.get_attribute("#microphone", "aria-pressed") == "true"
    await tab.page.keyboard.press("Escape")
    await shown(tab, "#chat", False)
    assert await focus(tab) == "chatOpen"
    await tab.page.keyboard.press("l")
    await shown(tab, "#linksDialog")
    # The focus stays inside: the browser's own bar comes between the last and the first.
    places = set()
    for _ in range(40):
        await tab.page.keyboard.press("Tab")
        inside = "() => document.activeElement === document.body || !!document.activeElement.closest('#linksDialog')"
        places.add(await tab.page.evaluate(inside))
    assert places == {True}
    await tab.page.keyboard.press("m")
    assert await tab.page.get_attribute("#microphone", "aria-pressed") == "true"
    await tab.page.keyboard.press("Escape")
    await shown(tab, "#linksDialog", False)


async def test_fingers_hit_everything(gateway: Gateway, visits: Visits) -> None:
    """On a phone every button and field is 44 px or more, in the lobby, the call, its menu and its chat."""
    script = """() => [...document.querySelectorAll('button, input, select, textarea')]
      .filter((one) => one.checkVisibility({ opacityProperty: true }))
      .map((one) => [one.id || one.className, one.getBoundingClientRect()])
      .filter(([, box]) => box.width && (box.width < 44 || box.height < 44))
      .map(([name, box]) => `${name} ${box.width}×${box.height}`)"""
    tab = await visits.open(gateway.http + "/", **PHONE)
    await state(tab, "ready")
    assert await tab.page.evaluate(script) == []
    await tab.page.fill("[name=user]", "walter")
    await tab.page.click("#enter")
    await state(tab, "live")
    await settled(tab)
    await tab.page.click("#more")
    await shown(tab, "#links")
    assert await tab.page.evaluate(script) == []
    await tab.page.click("#chatOpen")
    assert await tab.page.evaluate(script) == []


async def test_sharing_and_going_away(browser: Browser, gateway: Gateway, visits: Visits) -> None:
    tab = await visits.open(gateway.http + await place(gateway, "walter", 4205))
    await state(tab, "live")
    async with AsyncExitStack() as stack:
        bob = await Member.join(browser, gateway.http, await gateway.tickets("bob", 4205))
        stack.push_async_callback(bob.close)
        await bob.watch_all()
        await settled(tab)
        await tab.page.click("#share")
        await until(
            lambda: bob.call("trtc.getRoom().streams.find((s) => s.stream === 'aux' && s.video)"), 10, "no screen"
        )
        video = "probe.peers.me.watched.get('walter/sub')?.place.querySelector('video')?.videoWidth > 0 || null"
        await until(lambda: bob.tab.page.evaluate(f"() => {video}"), 15, "the screen is not seen")
        await tab.page.click("#stopShare")
        await until(
            lambda: bob.call("trtc.getRoom().streams.every((s) => s.stream === 'main')"), 10, "the screen stays"
        )
        # Whoever closes the page is gone at once, not after a time-out.
        await tab.page.goto("about:blank")
        await until(lambda: bob.events("remote-user-exit"), 3, "a closed page leaves a ghost")
