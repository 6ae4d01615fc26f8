"""Messages between two pages: order, groups, unread, links, long and fast ones, what is lost and sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.browser import Tab
from tests.e2e.gateway_process import Gateway
from tests.e2e.page import PHONE, Visits, focus, place, settled, shown, state, visiting


@pytest_asyncio.fixture(loop_scope="session")
async def visits(browser: Browser) -> AsyncIterator[Visits]:
    async with visiting(browser) as visits:
        yield visits


async def enter(visits: Visits, gateway: Gateway, user: str, room: int, role: str = "audience", **options: Any) -> Tab:
    """As audience without devices: a chat needs none."""
    url = gateway.http + await place(gateway, user, room, role=role, nick=user.title())
    tab = await visits.open(url, **options)
    await state(tab, "live")
    return tab


async def write(tab: Tab, text: str) -> None:
    await tab.page.fill("#text", text)
    await tab.page.press("#text", "Enter")


LINES = """() => [...document.querySelectorAll('#messageList .message:not(.sending)')].map((line) =>
  [line.classList.contains('own') ? 'own' : line.querySelector('b').textContent,
   line.querySelector('.words').textContent, line.classList.contains('next')])"""


async def lines(tab: Tab, wanted: list[list[Any]]) -> None:
    await tab.wait(f"(wanted) => JSON.stringify(({LINES})()) === JSON.stringify(wanted)", wanted)


async def test_a_conversation(gateway: Gateway, visits: Visits) -> None:
    alice = await enter(visits, gateway, "alice", 4300)
    bob = await enter(visits, gateway, "bob", 4300, **PHONE)
    await alice.page.keyboard.press("c")
    await write(alice, "Hello")
    await write(alice, "See https://example.com/a?b=1. Not javascript:alert(1) or <b>this</b>")
    # Bob's panel is closed: it counts, and says the last one in passing.
    await bob.wait("() => document.getElementById('unread').textContent === '2'")
    await shown(bob, "#unread")
    assert "Alice: See https" in await bob.page.inner_text("#toasts")
    assert "Alice: Hello" in await bob.page.inner_text("#announce")
    await bob.page.click("#chatOpen")
    await shown(bob, "#unread", False)
    second = "See https://example.com/a?b=1. Not javascript:alert(1) or <b>this</b>"
    await lines(bob, [["Alice", "Hello", False], ["Alice", second, True]])
    links = "() => [...document.querySelectorAll('#messageList a')].map((a) => [a.href, a.rel, a.target])"
    assert await bob.page.evaluate(links) == [["https://example.com/a?b=1", "noopener noreferrer", "_blank"]]
    await bob.page.fill("#text", "one")
    await bob.page.press("#text", "Shift+Enter")
    await bob.page.type("#text", "two")
    await bob.page.click("#say button")
    assert await focus(bob) == "text"
    await lines(alice, [["own", "Hello", False], ["own", second, True], ["Bob", "one\ntwo", False]])
    await lines(bob, [["Alice", "Hello", False], ["Alice", second, True], ["own", "one\ntwo", False]])
    # Who comes later, or again, reads what was said.
    carol = await enter(visits, gateway, "carol", 4300, "anchor")
    await carol.page.keyboard.press("c")
    await lines(carol, [["Alice", "Hello", False], ["Alice", second, True], ["Bob", "one\ntwo", False]])
    await alice.wait("() => [...document.querySelectorAll('.system')].at(-1)?.textContent === 'Carol joined'")
    await bob.page.reload()
    await state(bob, "live")
    await bob.page.click("#chatOpen")
    await lines(bob, [["Alice", "Hello", False], ["Alice", second, True], ["own", "one\ntwo", False]])
    assert not await bob.page.is_visible("#unread")


async def test_the_old_demos_text(gateway: Gateway, visits: Visits) -> None:
    """A custom element with Ext TEXT is chat, as mini programs of 2018 send it; other custom ones are for programs."""
    alice = await enter(visits, gateway, "alice", 4301)
    bob = await enter(visits, gateway, "bob", 4301)
    custom = """(Ext) => trtc.sendGroupMessage(
      [{ MsgType: 'TIMCustomElem', MsgContent: { Data: 'from afar', Desc: '', Ext } }])"""
    await alice.page.evaluate(custom, "COMMAND")
    await alice.page.evaluate(custom, "TEXT")
    await bob.wait("() => document.getElementById('unread').textContent === '1'")
    await bob.page.keyboard.press("c")
    await lines(bob, [["Alice", "from afar", False]])


async def test_too_long_and_too_fast(gateway: Gateway, visits: Visits) -> None:
    tab = await enter(visits, gateway, "alice", 4302)
    await tab.page.keyboard.press("c")
    await write(tab, "x" * 9000)
    await tab.wait("() => document.querySelector('.failed')?.textContent.includes('too long for one message')")
    await tab.page.click("[data-way=edit]")
    assert len(await tab.page.input_value("#text")) == 9000
    await write(tab, "shorter")
    await lines(tab, [["own", "shorter", False]])
    refuse = """() => { window.send = trtc.sendTextMessage; trtc.sendTextMessage = () => Promise.reject(
      Object.assign(new Error('slow down'), { reason: 'too_many', retryAfterMs: 500 })); }"""
    await tab.page.evaluate(refuse)
    await write(tab, "again and again")
    await tab.wait("() => document.querySelector('.failed')?.textContent.includes('Too many in a short time')")
    await tab.page.evaluate("() => (trtc.sendTextMessage = send)")
    await tab.page.click("[data-way=again]")
    await lines(tab, [["own", "shorter", False], ["own", "again and again", True]])
    assert not await tab.page.is_visible(".sending")


async def test_written_while_the_network_is_away(gateway: Gateway, visits: Visits) -> None:
    tab = await enter(visits, gateway, "alice", 4303)
    await tab.page.keyboard.press("c")
    refuse = """() => { window.send = trtc.sendTextMessage; trtc.sendTextMessage = () => Promise.reject(
      Object.assign(new Error(''), { reason: 'timeout' })); }"""
    await tab.page.evaluate(refuse)
    await write(tab, "hello?")
    await tab.wait("() => document.querySelector('.failed')?.textContent.includes('the connection was lost')")
    await tab.page.click("[data-way=discard]")
    await shown(tab, "#noMessages")


async def test_earlier_messages(gateway: Gateway, visits: Visits) -> None:
    alice = await enter(visits, gateway, "alice", 4304)
    await alice.page.evaluate(
        "async () => { for (let n = 1; n <= 60; n++) { await trtc.sendTextMessage(`number ${n}`); "
        "await new Promise((done) => setTimeout(done, n > 30 ? 60 : 0)); } }"
    )
    bob = await enter(visits, gateway, "bob", 4304)
    await bob.page.keyboard.press("c")
    count = "() => document.querySelectorAll('#messageList .message').length"
    await bob.wait(f"() => ({count})() === 50")
    await bob.page.click("#older")
    await bob.wait(f"() => ({count})() === 60")
    first = await bob.page.inner_text("#messageList .message:first-child .words")
    assert first == "number 1" and not await bob.page.is_visible("#older")


async def test_another_room_has_another_chat(gateway: Gateway, visits: Visits) -> None:
    tab = await enter(visits, gateway, "alice", 4305)
    await tab.page.keyboard.press("c")
    await write(tab, "only here")
    await lines(tab, [["own", "only here", False]])
    await tab.page.evaluate("(url) => (location.href = url)", await place(gateway, "alice", 4306, role="audience"))
    await tab.wait("() => document.body.dataset.state === 'live' && trtc.getRoom()?.roomId === 4306")
    await settled(tab)
    assert await tab.page.evaluate(LINES) == []
    assert await tab.page.inner_text("#alerts") == ""
