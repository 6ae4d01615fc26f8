"""An application for the TRTC v5 web library, written from its public documentation alone, makes calls by this gateway.

tests/e2e/trtc_app knows nothing of us but the address in its import map. It comes from an origin of its own, has a
userSig from `gateway sign` and no privateMapKey: its app is configured with `private_map_key = "optional"`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.e2e import application
from tests.e2e.browser import ARGUMENTS, AUTOPLAY, CHROMIUM, PROBE, Tab, until
from tests.e2e.conftest import CAMERA
from tests.e2e.content import write_microphone
from tests.e2e.gateway_process import Gateway

APP = Path(__file__).parent / "trtc_app"
SDK_APP_ID = 1400000077
CONFIG = application.app(SDK_APP_ID, "7777", 'private_map_key = "optional"')
CAMERAS = "--use-fake-device-for-media-stream=device-count=3"
"""The second is a depth camera, which no encoder takes; the third gives JPEG."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    server = Gateway(tmp_path_factory.mktemp("trtc"), config=CONFIG)
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def origin(gateway: Gateway) -> AsyncIterator[str]:
    async with application.served(APP, gateway.http, lines=1) as origin:
        yield origin


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cameras(media: Path) -> AsyncIterator[Browser]:
    """A Chromium with several cameras (its own moving picture) and several microphones (the tests' tone)."""
    microphone = write_microphone(media / "trtc-microphone.wav", CAMERA, 10)
    arguments = [CAMERAS if "fake-device" in argument else argument for argument in ARGUMENTS]
    arguments += [AUTOPLAY, f"--use-file-for-fake-audio-capture={microphone}"]
    async with async_playwright() as driver:
        running = await driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=arguments)
        try:
            yield running
        finally:
            await running.close()


class Person(application.User):
    """Somebody with the application open: sees, clicks, types."""

    @classmethod
    async def open(cls, browser: Browser, origin: str, gateway: Gateway, user: str) -> Person:
        tab = await Tab.open(browser, origin + "/")
        person = cls(tab, user)
        await person.logged("ready")
        await tab.page.evaluate(PROBE)
        signature = await gateway.sign("usersig", user, "--v2")
        for name, value in {"sdkAppId": SDK_APP_ID, "userId": user, "userSig": signature, "roomId": 4711}.items():
            await tab.page.fill(f"#{name}", str(value))
        return person

    async def log(self) -> list[str]:
        return await self.page.locator("#log li").all_inner_texts()

    async def logged(self, pattern: str, timeout: float = 15) -> None:
        """Wait for a line of the application's log."""

        async def there() -> bool:
            return any(re.fullmatch(pattern, line.strip()) for line in await self.log())

        await until(there, timeout, lambda: f"{self.user}: no {pattern!r}; console {self.tab.console[-8:]}")

    async def forget(self) -> None:
        await self.page.evaluate("() => document.getElementById('log').replaceChildren()")

    async def click(self, name: str) -> None:
        await self.page.click(f"#{name}")
        try:
            await self.logged(f"{name}: done")
        except AssertionError as error:
            raise AssertionError(f"{error}\n" + "\n".join(await self.log())) from None

    async def sees(self, view: str, timeout: float = 20) -> dict[str, int]:
        """Wait until the picture in `view` moves; return its size."""
        moving = """async (id) => {
          const video = document.querySelector(`#${id} video`);
          if (!video?.videoWidth) return null;
          const paint = new OffscreenCanvas(64, 48).getContext('2d', { willReadFrequently: true });
          const look = () => (paint.drawImage(video, 0, 0, 64, 48), paint.getImageData(0, 0, 64, 48).data);
          const before = look();
          const frames = video.getVideoPlaybackQuality().totalVideoFrames;
          await new Promise((resolve) => setTimeout(resolve, 1000));
          const after = look();
          const changed = after.filter((value, index) => Math.abs(value - before[index]) > 24).length;
          const bright = after.filter((value, index) => index % 4 !== 3 && value > 60).length;
          const shown = video.getVideoPlaybackQuality().totalVideoFrames - frames;
          return { width: video.videoWidth, height: video.videoHeight, changed, bright, shown };
        }"""
        found: dict[str, int] = {}

        async def moves() -> bool:
            nonlocal found
            found = await self.page.evaluate(moving, view) or {}
            return bool(found) and found["changed"] > 20 and found["bright"] > 100 and found["shown"] >= 5

        await until(moves, timeout, lambda: f"{self.user}: {view} does not move: {found}; {self.tab.console[-8:]}")
        return found

    async def hears(self, user: str) -> None:
        """Wait until what comes from `user` is the tone of the tests' microphone."""
        await self.gets(f"#{user}_sound", CAMERA, picture=False)


def test_the_application_knows_us_by_one_line_only() -> None:
    for path in APP.iterdir():
        ours = re.findall(
            r"gateway|gw\.|signaling|sendTextMessage|getRoom|inspect|privateMapKey", path.read_text("utf-8")
        )
        assert ours == (["gw."] if path.name == "index.html" else []), (path.name, ours)


async def test_two_of_it_call_each_other(cameras: Browser, origin: str, gateway: Gateway) -> None:
    alice = await Person.open(cameras, origin, gateway, "alice")
    bob = await Person.open(cameras, origin, gateway, "bob")
    people = (alice, bob)
    try:
        # Alice starts before she enters, bob after: both ways are in the documentation.
        await alice.click("camera-on")
        await alice.click("microphone-on")
        await alice.sees("local")
        for person in people:
            await person.click("enter")
            assert await person.page.inner_text("#state") == "CONNECTED"
        await bob.click("camera-on")
        await bob.click("microphone-on")

        await alice.logged("bob entered")
        assert (await alice.sees("bob_main"))["width"] == 640
        assert (await bob.sees("alice_main"))["height"] == 480
        await alice.hears("bob")
        await bob.hears("alice")
        await alice.logged("publish: video starting -> started.*")
        await bob.logged("video of alice main: PLAYING.*")
        await bob.logged("audio of alice: PLAYING.*")

        await numbers(alice, "bob")
        await messages(alice, bob)
        await muting(alice, bob)
        await devices(alice, bob)
        await screen(alice, bob)
        await leaving(alice, bob)
        for person in people:
            assert not [line for line in await person.log() if "error:" in line or "failed" in line]
            assert not [line for line in person.tab.console if line.startswith(("error", "pageerror"))]
    finally:
        for person in people:
            await person.tab.close()


async def numbers(alice: Person, user: str) -> None:
    async def shown() -> bool:
        text = await alice.page.inner_text("#statistics")
        if not text:
            return False
        statistics = json.loads(text)
        received = [entry for entry in statistics["received"] if entry["userId"] == user]
        sent = [video for video in statistics["sent"] if video["width"] == 640 and video["frameRate"] >= 5]
        return bool(sent) and bool(received) and received[0]["audio"] > 0 and received[0]["video"][0] > 0

    await until(shown, 15, "statistics are not shown")
    quality = await alice.page.inner_text("#network")
    found = re.fullmatch(r"up (\d) \(([\d.]+) ms, ([\d.]+) %\), down (\d) \(([\d.]+) ms, ([\d.]+) %\)", quality)
    assert found is not None and 1 <= int(found[1]) <= 5 and 1 <= int(found[4]) <= 5, quality
    await alice.tab.wait(f"() => Number(document.getElementById('{user}_main').dataset.loudest) > 20")
    await alice.tab.wait("() => document.getElementById('my-volume').value > 0")


async def messages(alice: Person, bob: Person) -> None:
    for sender, receiver, words in ((alice, bob, "are you there?"), (bob, alice, "我在")):
        await sender.page.fill("#words", words)
        await sender.click("send")
        await receiver.page.wait_for_selector(
            f"#messages li:text-is('{sender.user} 1 number: {words}')", timeout=10_000
        )


async def muting(alice: Person, bob: Person) -> None:
    await alice.page.check("#mute-video")
    await alice.page.check("#mute-audio")
    await bob.logged("alice main video unavailable")
    await bob.logged("alice audio unavailable")
    assert await bob.page.locator("#alice_main").count() == 0
    await bob.forget()
    await alice.page.uncheck("#mute-video")
    await alice.page.uncheck("#mute-audio")
    await bob.logged("alice audio available")
    await bob.sees("alice_main")
    await bob.hears("alice")


async def devices(alice: Person, bob: Person) -> None:
    for kind, shown in (("cameras", "camera"), ("microphones", "microphone")):
        labels = await alice.page.locator(f"#{kind} option").all_inner_texts()
        assert len(labels) >= 2, labels
        await alice.page.select_option(f"#{kind}", index=len(labels) - 1)
        await alice.logged(f"{shown}: true")
        await alice.tab.wait(
            "([kind, label]) => document.getElementById('device-changes').textContent === `${kind} active ${label}`",
            [shown, labels[-1]],
        )
    await alice.sees("local")
    await bob.sees("alice_main")
    await bob.hears("alice")


async def screen(alice: Person, bob: Person) -> None:
    await alice.click("share-on")
    await bob.logged("alice sub video available")
    await bob.tab.wait("() => document.querySelector('#alice_sub video')?.videoWidth > 100")
    await bob.sees("alice_main")  # the camera goes on beside it
    await alice.click("share-off")
    await bob.logged("alice sub video unavailable")
    await alice.logged("publish: screen .* -> stopped.*")


async def leaving(alice: Person, bob: Person) -> None:
    await alice.click("exit")
    assert await alice.page.inner_text("#state") == "DISCONNECTED"
    await bob.logged("alice left")
    assert await bob.page.locator("#remote figure").count() == 0
    # And in again, with everything.
    await bob.forget()
    await alice.forget()
    await alice.click("enter")
    await alice.click("camera-on")
    await alice.click("microphone-on")
    await bob.logged("alice entered")
    await bob.sees("alice_main")
    await bob.hears("alice")
    await alice.click("exit")
    await bob.click("exit")


async def test_the_same_user_twice_ends_the_first(cameras: Browser, origin: str, gateway: Gateway) -> None:
    first = await Person.open(cameras, origin, gateway, "carol")
    second = await Person.open(cameras, origin, gateway, "carol")
    try:
        await first.click("enter")
        await second.click("enter")
        await first.logged("kicked out: kick")
        assert await first.page.inner_text("#state") == "DISCONNECTED"
        await asyncio.sleep(1)
        assert await second.page.inner_text("#state") == "CONNECTED"
    finally:
        await first.tab.close()
        await second.tab.close()


async def test_a_wrong_signature_is_told_as_the_documentation_says(
    cameras: Browser, origin: str, gateway: Gateway
) -> None:
    dave = await Person.open(cameras, origin, gateway, "dave")
    try:
        await dave.page.fill("#userSig", "nonsense")
        await dave.page.click("#enter")
        await dave.logged(r"enter: failed RtcError 5400 \d+ .+")
        await dave.page.fill("#userId", "no spaces please")
        await dave.page.click("#enter")
        await dave.logged(r"enter: failed RtcError 5000 \d+ .+")
    finally:
        await dave.tab.close()
