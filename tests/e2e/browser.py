"""A real Chromium: launched once, driven by playwright, with a member of a room per tab.

`Member` joins through the public library in the gateway's own page and sends or watches the test content by `probe.js`.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.e2e.content import Maker

CHROMIUM = str(Path(__file__).parent.parent / "bin" / "chromium")
PROBE = (Path(__file__).parent / "probe.js").read_text(encoding="utf-8")
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--auto-select-desktop-capture-source=Entire screen",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--host-resolver-rules=MAP insecure.test 127.0.0.1",
]
AUTOPLAY = "--autoplay-policy=no-user-gesture-required"
HEADPHONES = """(() => {
  const devices = navigator.mediaDevices;
  if (!devices) return;
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const capture = devices.getUserMedia.bind(devices);
  devices.getUserMedia = ({ audio, ...others }) =>
    capture({ ...others, ...(audio && { audio: { ...(audio === true ? {} : audio), ...plain } }) });
})();
"""
"""All tabs have one microphone file: its tone that comes back from another tab would be cancelled as an echo."""


def missing() -> str | None:
    """Return what a browser test lacks on this machine, or None."""
    return None if Path("/usr/bin/chromium").exists() else "chromium is not installed"


@asynccontextmanager
async def launch(
    *, camera: Path | None = None, microphone: Path | None = None, autoplay: bool = True
) -> AsyncIterator[Browser]:
    """Run Chromium with these files (content.write_camera, write_microphone) as its devices."""
    arguments = [*ARGUMENTS, *([AUTOPLAY] if autoplay else [])]
    if camera is not None:
        arguments.append(f"--use-file-for-fake-video-capture={camera}")
    if microphone is not None:
        arguments.append(f"--use-file-for-fake-audio-capture={microphone}")
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


class Tab:
    """One page with its own storage; what its console said is kept for the report of a failure."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self.context = context
        self.page = page
        self.console: list[str] = []
        page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.console.append(f"pageerror: {error}"))

    @classmethod
    async def open(cls, browser: Browser, url: str, *, script: str = "", **options: Any) -> Tab:
        """Go to `url`; `script` runs in the page before its own."""
        context = await browser.new_context(permissions=["camera", "microphone"], **options)
        await context.add_init_script(HEADPHONES + script)
        tab = cls(context, await context.new_page())
        await tab.page.goto(url)
        return tab

    async def close(self) -> None:
        await self.context.close()

    async def wait(self, script: str, argument: Any = None, timeout: float = 15.0) -> None:
        """Wait until the JavaScript function `script` returns something true."""
        await until(lambda: self.page.evaluate(script, argument), timeout, f"{script}\n{self.console[-20:]}")


class Member:
    """A member of a room in a tab of its own, by the library. `me` is its label inside the tab."""

    def __init__(self, tab: Tab, user: str, room: dict[str, Any]) -> None:
        self.tab = tab
        self.user = user
        self.room = room

    @classmethod
    async def join(cls, browser: Browser, http: str, tickets: dict[str, Any], **options: Any) -> Member:
        """Enter with `tickets` (fields of enterRoom); `options` go to TRTC.create."""
        tab = await Tab.open(browser, http + "/")
        await tab.page.evaluate(PROBE)
        try:
            room = await tab.page.evaluate("([c, o]) => probe.join('me', c, o)", [tickets, options])
        except Exception:
            await tab.close()
            raise
        return cls(tab, tickets["userId"], room)

    async def send(self, maker: Maker, **what: bool) -> None:
        await self.tab.page.evaluate(
            "([m, w]) => probe.peers.me.send(m, w)",
            [
                {
                    "ident": maker.ident,
                    "tone": maker.tone,
                    "fps": maker.fps,
                    "width": maker.width,
                    "height": maker.height,
                },
                what,
            ],
        )

    async def watch_all(self) -> None:
        await self.tab.page.evaluate("() => probe.peers.me.watchAll()")

    async def report(self, user: str, seconds: float = 2.0, stream: str = "main") -> dict[str, Any]:
        found = await self.tab.page.evaluate("([u, s, t]) => probe.peers.me.report(u, s, t)", [user, seconds, stream])
        return found or {"frames": 0, "idents": [], "counters": [], "tone": 0, "beeps": 0, "skews": [], "last": None}

    async def call(self, expression: str, argument: Any = None) -> Any:
        """Evaluate `expression` with `trtc` and `argument` in scope, awaited."""
        script = f"(argument) => {{ const trtc = probe.peers.me.trtc; return ({expression}); }}"
        return await self.tab.page.evaluate(script, argument)

    async def events(self, name: str = "") -> list[Any]:
        """Return [name, detail] of the events so far (of one kind)."""
        found = await self.tab.page.evaluate("() => probe.peers.me.events.map(([n, d]) => [n, d])")
        return [event for event in found if not name or event[0] == name]

    async def sees(
        self, user: str, maker: Maker, *, sound: bool = True, timeout: float = 15.0, stream: str = "main"
    ) -> dict[str, Any]:
        """Wait until what came from `user` since this call (2 s at most) is the pictures and tone of `maker`."""
        report: dict[str, Any] = {}
        began = time.monotonic()

        async def good() -> bool:
            nonlocal report
            report = await self.report(user, min(2.0, time.monotonic() - began), stream)
            pictures = report["frames"] >= maker.fps and report["last"] == maker.ident
            return pictures and (not sound or abs(report["tone"] - maker.tone) <= 12)

        await until(
            good,
            timeout,
            lambda: f"{self.user} does not get {maker} from {user}: {_short(report)}; console {self.tab.console[-8:]}",
        )
        return report

    async def in_step(self, user: str, limit_ms: float = 40.0, timeout: float = 20.0) -> None:
        """Wait until flash and beep of `user` are within `limit_ms`, by the median of three or more in six seconds.

        Counted by the sender's clock, as the browser estimates it: it needs some reports of both tracks to do so.
        """
        found: list[float] = []

        async def good() -> bool:
            nonlocal found
            found = (await self.report(user, 6))["skews"][-4:]
            return len(found) >= 3 and abs(statistics.median(found)) <= limit_ms

        await until(good, timeout, lambda: f"{self.user}: beep minus flash of {user}: {found} ms", 0.5)

    async def close(self, leave: bool = True) -> None:
        if leave:
            try:
                await asyncio.wait_for(self.tab.page.evaluate("() => probe.peers.me.stop()"), 5)
            except Exception:  # the page may be gone already
                pass
        await self.tab.close()


def _short(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value if key != "counters" else value[-5:] for key, value in report.items()}


async def until(
    check: Callable[[], Any], timeout: float, what: str | Callable[[], str] = "", interval: float = 0.1
) -> Any:
    """Wait until `check()` (awaited if need be) is true and return it. Raises AssertionError with `what`."""
    deadline = time.monotonic() + timeout
    while True:
        found = check()
        if asyncio.iscoroutine(found) or isinstance(found, asyncio.Future):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what}")
        await asyncio.sleep(interval)
