"""Web applications of somebody else, written for another library: each a folder that knows us by a line or two.

They come from an origin of their own (`served`), with the gateway's address in place of https://gw.example.com. `User`
is somebody who has one open in a tab, and can tell what an element of it shows and sounds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.e2e.browser import Tab, until
from tests.e2e.content import Maker

ADDRESS = "https://gw.example.com"

ATTEND = """(selector) => {
  window.attended ??= {};
  attended[selector]?.ears?.stop();
  const watch = (attended[selector] = { frames: [], unreadable: 0, element: null, track: null, ears: null });
  const look = () => {
    if (attended[selector] !== watch) return;
    const element = document.querySelector(selector);
    const [track] = element?.srcObject?.getAudioTracks() ?? [];
    if (element instanceof HTMLVideoElement && watch.element !== element) eyes((watch.element = element), watch);
    if (track && track !== watch.track) {
      watch.ears?.stop();
      watch.track = track;
      watch.ears = ears(track);
    }
    setTimeout(look, 100);
  };
  look();
}"""
"""Begins to note what plays in the first element of `selector`, whichever that is at the time. Needs browser.PROBE."""

NOTED = """(selector) => {
  const { frames, ears } = attended[selector];
  return { frames: frames.length, ident: frames.at(-1)?.ident ?? null, tone: ears?.tone() ?? 0 };
}"""


def app(sdk_app_id: int, bizid: str, *settings: str) -> str:
    """Return an [[app]] of the configuration, which signs by a secret of ours; `settings` are more lines of it."""
    keys = ('secret = "a secret of our own"', 'push_key = "p"', 'rtcplay_key = "r"', 'play_key = "y"')
    return "\n".join(("", "[[app]]", f"sdk_app_id = {sdk_app_id}", f'bizid = "{bizid}"', *keys, *settings, ""))


@asynccontextmanager
async def served(folder: Path, gateway: str, *, lines: int, port: int = 0) -> AsyncIterator[str]:
    """Serve `folder` on `port` and yield its origin. `gateway` is our address, named `lines` times in index.html."""
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.count(ADDRESS) == lines

    async def index(_: web.Request) -> web.Response:
        return web.Response(text=page.replace(ADDRESS, gateway), content_type="text/html")

    application = web.Application()
    application.router.add_get("/", index)
    application.router.add_static("/", folder)
    runner = web.AppRunner(application, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class User:
    """Somebody who has the application open."""

    def __init__(self, tab: Tab, user: str) -> None:
        self.tab, self.page, self.user = tab, tab.page, user

    async def gets(self, selector: str, maker: Maker, *, picture: bool = True, timeout: float = 25.0) -> None:
        """Wait until the element of `selector` plays the tone, and shows the picture, of `maker` from now on."""
        found: dict[str, Any] = {}
        await self.page.evaluate(ATTEND, selector)

        async def right() -> bool:
            nonlocal found
            found = await self.page.evaluate(NOTED, selector)
            seen = not picture or (found["frames"] > 10 and found["ident"] == maker.ident)
            return seen and abs(found["tone"] - maker.tone) <= 12

        await until(
            right, timeout, lambda: f"{self.user}: {selector} is {found}, not {maker}; console {self.tab.console[-8:]}"
        )
