"""The page as tests visit it: each visit ends with a clean console and no breach of its Content-Security-Policy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from playwright.async_api import Browser, WebSocketRoute

from tests.e2e.browser import Tab
from tests.e2e.gateway_process import Gateway

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SIDEWAYS: dict[str, Any] = {"viewport": {"width": 844, "height": 390}, "has_touch": True, "is_mobile": True}

WATCH_POLICY = """addEventListener('securitypolicyviolation', (event) =>
  console.error(`policy: ${event.effectiveDirective} ${event.blockedURI}`));"""


async def place(gateway: Gateway, user: str, room: int, **more: object) -> str:
    """Return the path and fragment of a page URL with tickets."""
    tickets = await gateway.tickets(user, room)
    return "/#" + urlencode({"room": room, "user": user} | {k: tickets[k] for k in ("userSig", "privateMapKey")} | more)


class Visits:
    """Opens pages; at its end all are closed, and what their consoles said must be nothing (`noisy` ones excepted)."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._tabs: list[tuple[Tab, bool]] = []

    async def open(self, url: str, *, script: str = "", noisy: bool = False, **options: Any) -> Tab:
        tab = await Tab.open(self._browser, url, script=WATCH_POLICY + script, **(DESKTOP | options))
        self._tabs.append((tab, noisy))
        return tab

    async def close(self) -> None:
        said = [tab.console for tab, noisy in self._tabs if not noisy and tab.console]
        for tab, _ in self._tabs:
            await tab.close()
        assert not said, said


@asynccontextmanager
async def visiting(browser: Browser) -> AsyncIterator[Visits]:
    visits = Visits(browser)
    try:
        yield visits
    except BaseException:
        for tab, _ in visits._tabs:
            await tab.close()
        raise
    await visits.close()


async def says(tab: Tab, text: str, timeout: float = 10.0) -> None:
    await tab.wait("(text) => document.getElementById('alerts').textContent.includes(text)", text, timeout)


async def state(tab: Tab, word: str, timeout: float = 10.0) -> None:
    try:
        await tab.wait("(word) => document.getElementById('state').textContent === word", word, timeout)
    except AssertionError as error:
        shown = "['state', 'alerts'].map((id) => document.getElementById(id).textContent)"
        raise AssertionError(f"{await tab.page.evaluate(f'() => {shown}')} is shown: {error}") from None


async def settled(tab: Tab) -> None:
    """Nothing is being started or stopped."""
    await tab.wait("() => !document.querySelector('[aria-busy]')")


async def shown(tab: Tab, selector: str, visible: bool = True) -> None:
    script = "(s) => { const e = document.querySelector(s); return !!e && e.checkVisibility(); }"
    await tab.wait(f"(s) => ({script})(s) === {str(visible).lower()}", selector)


async def focus(tab: Tab) -> str:
    return str(await tab.page.evaluate("() => document.activeElement.id || document.activeElement.name"))


class Telling:
    """Between a page and the server: passes everything on, and can say what only a server may say."""

    def __init__(self) -> None:
        self._routes: list[WebSocketRoute] = []

    async def between(self, tab: Tab) -> None:
        """Stand in the way of every signaling connection that `tab` makes from now on."""
        await tab.page.route_web_socket(lambda url: url.endswith("/signaling"), self._opened)

    def _opened(self, route: WebSocketRoute) -> None:
        route.connect_to_server()
        self._routes.append(route)

    def say(self, text: str) -> None:
        self._routes[-1].send(text)


async def told_page(visits: Visits, url: str, **options: Any) -> tuple[Tab, Callable[[str], None]]:
    """Open `url` and return (tab, say): `say` sends a frame to the page as if the server had."""
    tab = await visits.open("about:blank", **options)
    telling = Telling()
    await telling.between(tab)
    await tab.page.goto(url)
    await tab.wait("() => document.body.dataset.state === 'live'")
    return tab, telling.say
