"""Before the call: names, rooms, the preview, what is remembered, keyboard, two languages, light and dark."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.gateway_process import Gateway
from tests.e2e.page import PHONE, Visits, focus, place, says, settled, shown, state, visiting

STATIC = Path(__file__).parent.parent.parent / "static"


@pytest_asyncio.fixture(loop_scope="session")
async def visits(browser: Browser) -> AsyncIterator[Visits]:
    async with visiting(browser) as visits:
        yield visits


async def test_a_name_that_no_guest_may_have(gateway: Gateway, visits: Visits) -> None:
    """The old room service takes 4 to 24 characters: a link with another name is told so, and it asks again."""
    tab = await visits.open(f"{gateway.http}/#room=1001&user=fox")
    await says(tab, "A guest’s name has 4 to 24 letters")
    await state(tab, "ready")
    await tab.page.fill("[name=user]", "foxy")
    await tab.page.press("[name=user]", "Enter")
    await state(tab, "live")
    assert (await tab.page.evaluate("() => trtc.getRoom().userId")) == "foxy"
    assert await tab.page.inner_text("#alerts") == ""


async def test_any_name_will_do(gateway: Gateway, visits: Visits) -> None:
    tab = await visits.open(gateway.http + "/", locale="zh-CN")
    await state(tab, "就绪")
    await tab.page.press("[name=room]", "Enter")
    assert "请填写名字" in await tab.page.inner_text("#nameWrong") and await focus(tab) == "user"
    await tab.page.fill("[name=user]", "小明")
    await tab.page.press("[name=user]", "Enter")
    await state(tab, "通话中")
    room = await tab.page.evaluate("() => trtc.getRoom()")
    assert re.fullmatch(r"user_[a-z0-9]{4}", room["userId"])
    assert await tab.page.inner_text(f"[data-user={room['userId']}] .name") == "小明（我）"
    # A reload comes back under the same name.
    await tab.page.reload()
    await state(tab, "通话中")
    assert (await tab.page.evaluate("() => trtc.getRoom().userId")) == room["userId"]


async def test_by_keyboard_alone(gateway: Gateway, visits: Visits) -> None:
    """From the address to the call and back, and every control on the way."""
    tab = await visits.open(gateway.http + "/")
    await state(tab, "ready")
    seen = []
    for _ in range(12):
        await tab.page.keyboard.press("Tab")
        seen.append(await focus(tab))
        if seen[-1] == "user":
            break
    assert ["language", "previewStart", "lobbyMicrophone", "lobbyCamera"] == seen[:4], seen
    await tab.page.keyboard.type("walter")
    await tab.page.keyboard.press("Enter")
    await state(tab, "live")
    assert await tab.page.is_visible("#dev")
    await settled(tab)
    assert await focus(tab) == "microphone"
    await tab.page.keyboard.press("Enter")
    await tab.wait("() => document.querySelector('#microphone').ariaPressed === 'true'")
    await shown(tab, "[data-user=walter] .muted")
    seen = []
    for _ in range(10):
        await tab.page.keyboard.press("Tab")
        seen.append(await focus(tab))
    assert seen == ["camera", "share", "chatOpen", "record", "links", "devices", "fullscreen", "pip", "debug", "leave"]
    await tab.page.keyboard.press("Enter")
    await state(tab, "ready")
    assert "#room=1001" in tab.page.url and "user" not in tab.page.url
    assert await tab.page.input_value("[name=room]") == "1001"
    await tab.page.press("[name=user]", "Enter")
    await state(tab, "live")


async def test_preview_level_and_what_is_remembered(gateway: Gateway, visits: Visits) -> None:
    tab = await visits.open(gateway.http + "/", **PHONE)
    await tab.page.click("#previewStart")
    await tab.wait("() => document.querySelector('#preview video')?.videoWidth > 0")
    await tab.wait("() => document.getElementById('level').value > 5")
    await settled(tab)
    await tab.page.click("#lobbyCamera")
    await tab.wait("() => !document.querySelector('#preview video')")
    assert await tab.page.evaluate("() => trtc.getVideoTrack()") is None, "the camera still runs"
    await tab.page.fill("[name=user]", "walter")
    await tab.page.fill("[name=room]", "1001")
    await tab.page.click("#enter")
    await state(tab, "live")
    await settled(tab)
    assert await tab.page.get_attribute("#camera", "aria-pressed") == "true"
    assert await tab.page.get_attribute("#microphone", "aria-pressed") == "false"
    # At the next visit everything is as it was left, and the microphone that was allowed runs at once.
    await tab.page.goto("about:blank")
    await tab.page.goto(gateway.http + "/")
    await tab.wait("() => document.getElementById('level').value > 5")
    assert await tab.page.input_value("[name=user]") == "walter"
    assert await tab.page.get_attribute("#lobbyCamera", "aria-pressed") == "true"


async def test_rooms_with_people_are_listed(gateway: Gateway, visits: Visits) -> None:
    made = await gateway.call("create_room", userID="owner", roomInfo="Tea at five", nickName="Owner")
    tab = await visits.open(gateway.http + "/")
    await shown(tab, f"[data-room='{made['roomID']}']")
    entry = await tab.page.inner_text(f"[data-room='{made['roomID']}']")
    assert "Tea at five" in entry and "1 in it" in entry
    await tab.page.click(f"[data-room='{made['roomID']}']")
    assert await tab.page.input_value("[name=room]") == made["roomID"]


async def test_where_guests_are_not_let_in_a_link_is_asked_for(gateway: Gateway, visits: Visits) -> None:
    """Under a foreign name of the server nobody is a guest."""
    tab = await visits.open(f"http://insecure.test:{gateway.http_port}/")
    await shown(tab, "[name=link]")
    await shown(tab, "[name=user]", False)
    await tab.page.fill("[name=link]", "nonsense")
    await tab.page.press("[name=link]", "Enter")
    await shown(tab, "#linkWrong")
    await tab.page.fill("[name=link]", gateway.http + await place(gateway, "walter", 4100))
    await tab.page.press("[name=link]", "Enter")
    await state(tab, "live")


async def test_the_language_is_switched_and_remembered(gateway: Gateway, visits: Visits) -> None:
    tab = await visits.open(gateway.http + "/")
    await tab.page.click("#language")
    assert await tab.page.inner_text("#enter") == "加入"
    await tab.page.reload()
    await state(tab, "就绪")
    assert await tab.page.get_attribute("html", "lang") == "zh-CN"


async def test_a_browser_that_forbids_storage(gateway: Gateway, visits: Visits) -> None:
    forbid = """for (const name of ['localStorage', 'sessionStorage']) {
      Object.defineProperty(window, name, { get() { throw new DOMException('', 'SecurityError'); } }); }"""
    tab = await visits.open(gateway.http + "/", script=forbid)
    await tab.page.fill("[name=user]", "walter")
    await tab.page.press("[name=user]", "Enter")
    await state(tab, "live")


async def test_both_languages_have_the_same_words(gateway: Gateway, visits: Visits) -> None:
    """The same keys and the same places to fill in; and every key that the page names is there."""
    tab = await visits.open(gateway.http + "/")
    words = await tab.page.evaluate("() => import('/words.js').then((module) => module.WORDS)")
    english, chinese = words["en"], words["zh-CN"]
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert sorted(re.findall(r"\{\d\}", text)) == sorted(re.findall(r"\{\d\}", chinese[key])), key
        assert text and chinese[key] and (key == "title" or chinese[key] != text), key
    sources = "".join(
        path.read_text(encoding="utf-8")
        for path in [STATIC / "page.js", *(STATIC / "page").glob("*.js"), *(STATIC / "exe").glob("*.js")]
    )
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    named = set(re.findall(r'data-(?:text|label|title|placeholder)="(\w+)"', html))
    named |= set(re.findall(r"(?:key: |say\(|(?:write|entitle|alert)\([^,;]+, )'(\w+)'", sources))
    assert named - english.keys() == set()
    unused = {key for key in english if key not in named and not re.search(rf"['`]{key}['`]", sources)}
    made = r"(quality\d|(link|debug|kind|stop|allow|off|back|medium)_\w+)"
    assert {re.sub(made, "", key) for key in unused} - {""} == set()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str) -> None:
    """WCAG AA: 4.5:1 for text, 3:1 for the outlines of fields and the focus ring."""
    css = (STATIC / "style.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[0]))
    if scheme == "dark":
        colours |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[1]))

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def contrast(one: str, other: str) -> float:
        a, b = sorted((light(colours[one]), light(colours[other])))
        return (b + 0.05) / (a + 0.05)

    for text, back in [
        ("text", "back"), ("text", "card"), ("text", "own"), ("quiet", "back"), ("quiet", "card"),
        ("on-accent", "accent"), ("accent", "card"), ("accent", "back"), ("bad", "bad-back"), ("bad", "card"),
    ]:  # fmt: skip
        assert contrast(text, back) >= 4.5, (text, back, contrast(text, back))
    for line, back in [("field", "card"), ("field", "back"), ("accent", "card"), ("accent", "back")]:
        assert contrast(line, back) >= 3, (line, back, contrast(line, back))
