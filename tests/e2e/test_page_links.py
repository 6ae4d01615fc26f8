"""What the page hands on: addresses to copy, codes that a phone reads, technical details."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.content import Maker
from tests.e2e.gateway_process import Gateway
from tests.e2e.page import PHONE, Visits, place, shown, state, visiting
from tests.e2e.pusher import Pusher

PHONE_CONTENT = Maker(ident=42, tone=540)


@pytest_asyncio.fixture(loop_scope="session")
async def visits(browser: Browser) -> AsyncIterator[Visits]:
    async with visiting(browser) as visits:
        yield visits


async def scan(picture: bytes, tmp_path: Path) -> str:
    """Return what a reader of codes sees in a PNG."""
    file = tmp_path / "code.png"
    file.write_bytes(picture)
    process = await asyncio.create_subprocess_exec(
        "zbarimg", "--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", str(file),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    return out.decode().rstrip("\n")


async def test_links_are_copied(gateway: Gateway, visits: Visits) -> None:
    tab = await visits.open(gateway.http + await place(gateway, "walter", 4400))
    await tab.context.grant_permissions(["camera", "microphone", "clipboard-read", "clipboard-write"])
    await state(tab, "live")
    urls = await tab.page.evaluate("() => trtc.getRoom().urls")
    await tab.page.click("#invite")
    for kind in ("push", "rtc", "rtmp", "flv"):
        await tab.page.click(f"[data-of=walter] [data-url={kind}]")
        await tab.wait("(url) => navigator.clipboard.readText().then((text) => text === url)", urls[kind])
    await tab.page.click("[data-kind=invitation] .copy")
    invitation = f"{gateway.http}/#room=4400"
    await tab.wait("(url) => navigator.clipboard.readText().then((text) => text === url)", invitation)
    # Whoever opens it finds the room filled in.
    guest = await visits.open(invitation)
    await state(guest, "ready")
    assert await guest.page.input_value("[name=room]") == "4400"


async def test_the_browser_refuses_to_copy(gateway: Gateway, visits: Visits) -> None:
    refuse = "navigator.clipboard.writeText = () => Promise.reject(new DOMException('', 'NotAllowedError'));"
    tab = await visits.open(gateway.http + await place(gateway, "walter", 4401), script=refuse)
    await state(tab, "live")
    await tab.page.keyboard.press("l")
    await tab.page.click("[data-of=walter] [data-url=push]")
    await shown(tab, "[data-of=walter] [data-kind=push] .wrong")
    selected = "() => { const f = document.activeElement; return f.value.slice(f.selectionStart, f.selectionEnd); }"
    assert await tab.page.evaluate(selected) == await tab.page.evaluate("() => trtc.getRoom().urls.push")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_codes_are_read_off_the_screen(gateway: Gateway, visits: Visits, tmp_path: Path, scheme: str) -> None:
    """Every URL of the longest kind, off a phone's screen: long push URLs too, and in dark colours."""
    assert shutil.which("zbarimg"), "zbar-tools is not installed"
    tab = await visits.open(
        gateway.http + await place(gateway, "walter", 4402), color_scheme=scheme, **PHONE, device_scale_factor=2
    )
    await state(tab, "live")
    await tab.page.click("#invite")
    for where, kind in (("", "invitation"), ("[data-of=walter] ", "push"), ("[data-of=walter] ", "flv")):
        row = f"{where}[data-kind={kind}]"
        await tab.page.click(f"{row} .qr")
        await tab.wait("(s) => document.querySelector(s)?.naturalWidth > 0", f"{row} .code")
        wanted = await tab.page.input_value(f"{row} input")
        assert await scan(await tab.page.locator(f"{row} .code").screenshot(), tmp_path) == wanted
        await tab.page.click(f"{row} .qr")
        await shown(tab, f"{row} .code", False)


async def test_technical_details(gateway: Gateway, visits: Visits, files: Callable[..., Path]) -> None:
    """Codec, size, pictures and rates of each stream, and what the server's bridge does with it."""
    url, _ = await gateway.push("phone", 4403)
    async with Pusher(url, files(PHONE_CONTENT)):
        tab = await visits.open(gateway.http + await place(gateway, "walter", 4403))
        await tab.context.grant_permissions(["camera", "microphone", "clipboard-read", "clipboard-write"])
        await state(tab, "live")
        await tab.page.keyboard.press("i")
        rows = "() => [...document.querySelectorAll('#debugRows tr')].map((row) => row.innerText)"
        await tab.wait(
            f"() => {{ const all = ({rows})(); return all.length === 2 && all.every((row) => /kbit/.test(row)); }}",
            timeout=20,
        )
        await tab.wait(f"() => ({rows})().some((row) => /rtmp/.test(row) && /AAC/.test(row))")
        own, phone = await tab.page.evaluate(rows)
        assert own.startswith("walter (you)") and "320×240" in own and "H264" in own
        assert phone.startswith("phone") and "320×240" in phone and "AAC" in phone and "H264" in phone
        assert "RTT" in await tab.page.inner_text("#debugNetwork")
        await tab.page.click("#debugCopy")
        await tab.wait("() => navigator.clipboard.readText().then((text) => /320×240/.test(text) && /RTT/.test(text))")
        await tab.page.keyboard.press("Escape")
        await shown(tab, "#debugDialog", False)
