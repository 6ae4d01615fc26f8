"""A call as people have it: Ann at a laptop, Ben with a phone (in Chinese), and the demo peer that is already there.

The server is another host and prints its HTTPS address, since cameras need that. Ann's cable is pulled in the middle.
With SCREENSHOTS=folder every state is kept as a picture, to be looked at.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import browser as chromium
from tests.e2e import content
from tests.e2e.browser import Tab, launch
from tests.e2e.conftest import CAMERA
from tests.e2e.network import IPV4, FarGateway, Network
from tests.e2e.page import DESKTOP, PHONE, Visits, settled, shown, visiting

LOOK = os.environ.get("SCREENSHOTS", "")
ANN: dict[str, Any] = DESKTOP
BEN: dict[str, Any] = PHONE | {"locale": "zh-CN", "color_scheme": "dark"}
OUTAGE_S = 6

MOVES = """(user) => {
  const video = document.querySelector(`[data-user=${user}][data-stream=main] video`);
  const frames = video?.getVideoPlaybackQuality().totalVideoFrames ?? 0;
  const before = (window.framesOf ??= {})[user] ?? frames;
  if (frames < before) window.framesOf[user] = frames; // another element
  window.framesOf[user] ??= frames;
  return video?.videoWidth > 0 && frames >= before + 10;
}"""


class Person:
    """Somebody before a page."""

    def __init__(self, name: str, tab: Tab) -> None:
        self.name, self.tab, self.page = name, tab, tab.page
        self._looks = 0

    async def look(self, what: str) -> None:
        if LOOK:
            self._looks += 1
            await asyncio.sleep(0.4)  # what slides in has arrived
            path = Path(LOOK) / f"{self.name}-{self._looks:02}-{what}.png"
            await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
            await self.page.screenshot(path=path)

    async def sees(self, *users: str) -> None:
        for user in users:
            await self.page.evaluate("(user) => delete (window.framesOf ??= {})[user]", user)
            await self.tab.wait(MOVES, user, 20)

    async def state(self, word: str, timeout: float = 15) -> None:
        await self.tab.wait("(word) => document.body.dataset.state === word", word, timeout)

    async def reads(self, text: str) -> None:
        await self.tab.wait(
            "(text) => document.getElementById('messageList').textContent.includes(text)", text, timeout=10
        )

    async def writes(self, text: str) -> None:
        await self.page.fill("#text", text)
        await self.page.press("#text", "Enter")


async def open_page(visits: Visits, name: str, url: str, **options: Any) -> Person:
    # The browser itself says on Ann's console that its cable is out.
    return Person(name, await visits.open(url, ignore_https_errors=True, noisy=name == "ann", **options))


@pytest.mark.timeout(240)
async def test_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:
        network = stack.enter_context(Network())
        network.readdress(IPV4)
        address = IPV4["server"]
        gateway = FarGateway(tmp_path / "data", network, options=("--dev", "--demo", "--host", address))
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        lobby = gateway.page_url.partition("#")[0]
        assert lobby == f"https://{address}:8443/"
        camera = content.write_camera(tmp_path / "camera.y4m", CAMERA, 10)
        microphone = content.write_microphone(tmp_path / "microphone.wav", CAMERA, 10)
        plain, everybody = chromium.CHROMIUM, []
        for host, name, options in (("client", "ann", ANN), ("server", "ben", BEN)):
            (folder := tmp_path / name).mkdir()
            monkeypatch.setattr(chromium, "CHROMIUM", network.wrapper(host, plain, folder))
            browser = await stack.enter_async_context(launch(camera=camera, microphone=microphone))
            visits = await stack.enter_async_context(visiting(browser))
            everybody.append(await open_page(visits, name, lobby, **options))
        ann, ben = everybody
        await the_lobby(ann)
        await ann.sees("demo")
        await ann.look("call-with-demo")
        await the_lobby(ben)
        await asyncio.gather(ann.sees("ben_phone", "demo"), ben.sees("ann_laptop", "demo"))
        await shown(ann.tab, "[data-user=demo] .rtmp")
        await shown(ann.tab, "[data-user=demo].speaking")
        await shown(ben.tab, "[data-user=ann_laptop].speaking")
        await ann.look("call")
        await ben.look("call")
        await they_talk(ann, ben)
        await ann_shows_her_screen(ann, ben)
        await ann_is_quiet(ann, ben)
        await the_panels(ann, ben)
        await the_cable(network, ann, ben)
        await ann.page.click("#leave")
        await ann.state("ready")
        await shown(ann.tab, "#lobby")
        await ann.look("after-leaving")
        await ben.tab.wait("() => !document.querySelector('.tile[data-user=ann_laptop]')")
        await ben.sees("demo")
        await ben.look("ann-left")
        assert all("net::ERR_" in line for line in ann.tab.console), ann.tab.console


async def the_lobby(person: Person) -> None:
    await shown(person.tab, "#lobby")
    await person.look("lobby-first")
    await person.page.click("#previewStart")  # nobody is asked for a camera before they want it
    await person.tab.wait("() => document.querySelector('#preview video')?.videoWidth > 0")
    await person.tab.wait("() => document.getElementById('level').value > 0")
    await person.page.fill("[name=user]", {"ann": "ann_laptop", "ben": "ben_phone"}[person.name])
    assert await person.page.input_value("[name=room]") == "1001"
    await person.tab.wait("() => document.getElementById('roomList').textContent.includes('1001')")
    await person.look("lobby")
    wide = "() => [...document.querySelectorAll('.lobby *')].filter((one) => one.scrollWidth > one.clientWidth + 1)"
    visible = ".filter((one) => getComputedStyle(one).overflowX === 'auto').map((one) => one.id || one.className)"
    assert await person.page.evaluate(wide + visible) == []
    await person.page.click("#enter")
    await person.state("live")
    await settled(person.tab)


async def they_talk(ann: Person, ben: Person) -> None:
    await ann.page.click("#chatOpen")
    await ann.writes("Hello Ben, do you hear the beep?")
    await ben.tab.wait("() => Number(document.getElementById('unread').textContent) >= 1")
    await ben.look("unread")
    await ben.page.click("#chatOpen")
    await shown(ben.tab, "#toasts .toast", False)
    await ben.reads("do you hear the beep?")
    await ben.writes("听得很清楚 👍")
    await ann.reads("听得很清楚 👍")
    demo = "() => [...document.querySelectorAll('#messageList li')].some((line) => line.textContent.includes('demo'))"
    await ann.tab.wait(demo)
    await ann.look("chat")
    await ben.look("chat")
    for person in (ann, ben):
        await person.page.click("#chatClose")
        await shown(person.tab, "#chat", False)


async def ann_shows_her_screen(ann: Person, ben: Person) -> None:
    await ann.page.click("#share")
    screen = "[data-user=ann_laptop][data-stream=sub]"
    await ben.tab.wait("(s) => document.querySelector(`${s} video`)?.videoWidth > 0", screen, 20)
    await shown(ben.tab, f"{screen}.staged")
    await ann.look("sharing")
    await ben.look("a-screen")
    await ann.page.click("#stopShare")
    await ben.tab.wait("(s) => !document.querySelector(s)", screen)


async def ann_is_quiet(ann: Person, ben: Person) -> None:
    await ann.page.click("#microphone")
    await ann.page.click("#camera")
    await shown(ben.tab, "[data-user=ann_laptop] .muted")
    await shown(ben.tab, "[data-user=ann_laptop] .initial")
    await settled(ann.tab)
    await ann.look("muted")
    await ben.look("ann-muted")
    await ann.page.click("#microphone")
    await ann.page.click("#camera")
    await shown(ben.tab, "[data-user=ann_laptop] .muted", False)
    await ben.sees("ann_laptop")


async def the_panels(ann: Person, ben: Person) -> None:
    await ann.page.click("#devices")
    await shown(ann.tab, "#devicesDialog .microphone select")
    await ann.tab.wait("() => document.querySelectorAll('#devicesDialog .microphone option').length > 2")
    options = "() => [...document.querySelectorAll('#devicesDialog .microphone option')].map((one) => one.value)"
    used = await ann.page.evaluate("() => trtc.getAudioTrack().getSettings().deviceId")
    other = next(one for one in await ann.page.evaluate(options) if one not in ("", "default", used))
    await ann.page.select_option("#devicesDialog .microphone select", other)
    await ann.tab.wait("(id) => trtc.getAudioTrack().getSettings().deviceId === id", other)
    await ann.look("devices")
    await ann.page.keyboard.press("Escape")
    await shown(ben.tab, "[data-user=ann_laptop].speaking")
    for person in (ann, ben):
        if person is ben:
            await ben.page.click("#more")
        await person.page.click("#links")
        await shown(person.tab, "#linksDialog .link")
        await person.page.locator("#linksDialog .qr").nth(1).click()
        await person.tab.wait("() => document.querySelector('#linksDialog .code:not([hidden])')?.naturalWidth > 0")
        await person.look("links")
        await person.page.keyboard.press("Escape")
        if person is ben:
            await ben.page.click("#more")
        await person.page.click("#debug")
        await person.tab.wait(
            "() => /AAC/.test(document.getElementById('debugRows').textContent)", timeout=10
        )  # the bridge of the demo peer's sound, as the server tells it
        await person.look("debug")
        await person.page.keyboard.press("Escape")


async def the_cable(network: Network, ann: Person, ben: Person) -> None:
    network.plug(False)
    await ann.state("reconnecting")
    await ann.look("reconnecting")
    await asyncio.sleep(OUTAGE_S - 1)
    await ben.tab.wait("() => document.querySelector('.tile[data-user=ann_laptop] .bars')?.dataset.lit === '0'")
    await ben.look("ann-is-away")
    network.plug(True)
    await ann.state("live", 20)
    await asyncio.gather(ann.sees("ben_phone", "demo"), ben.sees("ann_laptop", "demo"))
    await ann.look("back")
    left = await ben.page.evaluate("() => [...document.querySelectorAll('.system')].map((one) => one.textContent)")
    assert not any("ann_laptop" in line and "离开" in line for line in left), left
    assert await ann.page.inner_text("#alerts") == ""
