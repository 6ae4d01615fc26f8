"""The page as a person meets it: errors in words, one state word, keyboard, links, sharing, two languages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.browser import Member, Tab, until
from tests.e2e.gateway_process import Gateway


@pytest_asyncio.fixture(loop_scope="session")
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def place(gateway: Gateway, user: str, room: int, **more: object) -> str:
    """Return the fragment of a page URL with tickets."""
    tickets = await gateway.tickets(user, room)
    return "/#" + urlencode({"room": room, "user": user} | {k: tickets[k] for k in ("userSig", "privateMapKey")} | more)


async def visit(stack: AsyncExitStack, browser: Browser, url: str, **options: Any) -> Tab:
    tab = await Tab.open(browser, url, **options)
    stack.push_async_callback(tab.close)
    return tab


async def says(tab: Tab, text: str, timeout: float = 10.0) -> None:
    await tab.wait("(text) => document.getElementById('alerts').textContent.includes(text)", text, timeout)


async def state(tab: Tab, word: str, timeout: float = 10.0) -> None:
    await tab.wait("(word) => document.getElementById('state').textContent === word", word, timeout)


async def test_a_name_that_no_guest_may_have(browser: Browser, gateway: Gateway, stack: AsyncExitStack) -> None:
    """The old room service takes 4 to 24 characters: the page says so in its own language and asks again."""
    tab = await visit(stack, browser, f"{gateway.http}/#room=1001&user=fox")
    await says(tab, "A guest’s name has 4 to 24 letters")
    await state(tab, "ready")
    await tab.page.fill("[name=user]", "foxy")
    await tab.page.press("[name=user]", "Enter")
    await state(tab, "live")
    assert (await tab.page.evaluate("() => trtc.getRoom().userId")) == "foxy"
    assert await tab.page.inner_text("#alerts") == ""


async def test_without_a_place_it_asks(browser: Browser, gateway: Gateway, stack: AsyncExitStack) -> None:
    tab = await visit(stack, browser, gateway.http + "/")
    await state(tab, "ready")
    await tab.page.fill("[name=user]", "walter")
    await tab.page.press("[name=user]", "Enter")
    await state(tab, "live")
    assert (await tab.page.evaluate("() => trtc.getRoom().userId")) == "walter"
    assert await tab.page.is_visible("#dev")
    # The keyboard reaches every control.
    await tab.wait("() => ![...document.querySelectorAll('#controls button')].some((button) => button.disabled)")
    await tab.page.focus("#microphone")
    await tab.page.keyboard.press("Enter")
    await tab.wait("() => document.querySelector('#microphone').getAttribute('aria-pressed') === 'true'")
    assert await tab.page.is_visible("[data-user=walter] .muted")
    await tab.page.keyboard.press("Tab")
    assert await tab.page.evaluate("() => document.activeElement.id") == "camera"
    await tab.page.click("#leave")
    await state(tab, "closed")
    await tab.page.click("#alerts button")
    await state(tab, "live")


@pytest.mark.parametrize(
    ("fragment", "text"),
    [
        ("#room=1001&user=mallory&userSig=eJxNjl1P&privateMapKey=x&sdkAppId=1", "The ticket was refused"),
        ("#room=4242&user=walter", "Room 4242 does not exist"),
    ],
)
async def test_refusals(browser: Browser, gateway: Gateway, stack: AsyncExitStack, fragment: str, text: str) -> None:
    tab = await visit(stack, browser, gateway.http + "/" + fragment)
    await says(tab, text)
    await state(tab, "closed")


@pytest.mark.parametrize(
    ("name", "text"), [("NotFoundError", "No camera was found"), ("NotAllowedError", "The camera is not allowed")]
)
async def test_no_camera(browser: Browser, gateway: Gateway, stack: AsyncExitStack, name: str, text: str) -> None:
    script = f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', '{name}'));"
    tab = await visit(stack, browser, gateway.http + await place(gateway, "walter", 4001), script=script)
    await says(tab, text)
    await state(tab, "live")


async def test_an_insecure_origin_is_named_before_a_camera_is_asked_for(
    browser: Browser, gateway: Gateway, stack: AsyncExitStack
) -> None:
    url = f"http://insecure.test:{gateway.http_port}" + await place(gateway, "walter", 4002)
    tab = await visit(stack, browser, url)
    await says(tab, "This origin is insecure")
    await state(tab, "live")
    assert not await tab.page.is_visible("#camera")


async def test_replaced_in_another_window(browser: Browser, gateway: Gateway, stack: AsyncExitStack) -> None:
    url = gateway.http + await place(gateway, "walter", 4003)
    first = await visit(stack, browser, url)
    await state(first, "live")
    second = await visit(stack, browser, url, locale="zh-CN")
    await says(first, "in another window")
    await state(first, "closed")
    await state(second, "通话中")


async def test_links_sharing_and_going_away(browser: Browser, gateway: Gateway, stack: AsyncExitStack) -> None:
    tab = await visit(stack, browser, gateway.http + await place(gateway, "walter", 4004))
    await tab.context.grant_permissions(["camera", "microphone", "clipboard-read", "clipboard-write"])
    await state(tab, "live")
    urls = await tab.page.evaluate("() => trtc.getRoom().urls")
    await tab.page.click("[data-user=walter] summary")
    for kind in ("push", "rtc", "rtmp", "flv"):
        await tab.page.click(f"[data-user=walter] [data-url={kind}]")
        await tab.wait("(url) => navigator.clipboard.readText().then((text) => text === url)", urls[kind])

    bob = await Member.join(browser, gateway.http, await gateway.tickets("bob", 4004))
    stack.push_async_callback(bob.close)
    await bob.watch_all()
    await tab.page.click("#share")
    await until(lambda: bob.call("trtc.getRoom().streams.find((s) => s.stream === 'aux' && s.video)"), 10, "no screen")
    shown = "document.querySelectorAll('div > video')[1]?.videoWidth > 0 || null"
    await until(lambda: bob.tab.page.evaluate(f"() => {shown}"), 15, "the screen is not seen")
    await tab.page.click("#share")
    await until(lambda: bob.call("trtc.getRoom().streams.every((s) => s.stream === 'main')"), 10, "the screen stays")
    # Whoever closes the page is gone at once, not after a time-out.
    await tab.page.goto("about:blank")
    await until(lambda: bob.events("remote-user-exit"), 3, "a closed page leaves a ghost")


async def test_the_server_goes_and_comes_back(browser: Browser, tmp_path: Path, stack: AsyncExitStack) -> None:
    server = Gateway(tmp_path / "data")
    await server.start()
    stack.push_async_callback(server.stop)
    tab = await visit(stack, browser, server.page_url)
    await state(tab, "live")
    await server.kill()
    await state(tab, "reconnecting")
    await server.start()
    await state(tab, "live", 20)
    assert await tab.page.inner_text("#alerts") == ""
