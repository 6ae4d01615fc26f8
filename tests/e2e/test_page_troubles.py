"""Every failure in words with a way out: tickets, devices, origins, networks, servers, other windows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from gateway.app import Signer
from gateway.base.config import Config
from tests.e2e.gateway_process import Gateway
from tests.e2e.page import Visits, place, says, settled, shown, state, visiting


@pytest_asyncio.fixture(loop_scope="session")
async def visits(browser: Browser) -> AsyncIterator[Visits]:
    async with visiting(browser) as visits:
        yield visits


def expired(gateway: Gateway) -> str:
    signer = Signer(Config(data=str(gateway.data)), 0, time.time() - 7200)
    key = signer.map_key("walter", "4000", 255, 3600, v2=False, text_room=False)
    tickets = {"userSig": signer.user_sig("walter", 3600, v2=False), "privateMapKey": key}
    return "#" + urlencode({"room": 4000, "user": "walter", **tickets})


async def test_tickets_that_do_not_hold(gateway: Gateway, visits: Visits) -> None:
    """Back in the lobby, with the words above it; the next link that works takes them away."""
    forged = "#room=1001&user=mallory&userSig=eJxNjl1P&privateMapKey=x&sdkAppId=1"
    tab = await visits.open(f"{gateway.http}/{forged}")
    await says(tab, "The ticket was refused")
    await state(tab, "closed")
    await shown(tab, "#lobby")
    await tab.page.evaluate("(fragment) => (location.hash = fragment)", expired(gateway))
    await says(tab, "expired")
    assert "Ask for a new link" in await tab.page.inner_text("#alerts")
    await tab.page.evaluate("(url) => (location.href = url)", await place(gateway, "walter", 4000))
    await state(tab, "live")
    assert await tab.page.inner_text("#alerts") == ""


async def test_a_room_that_does_not_exist_is_opened(gateway: Gateway, visits: Visits) -> None:
    tab = await visits.open(f"{gateway.http}/#room=4242&user=walter")
    await says(tab, "Room 4242 does not exist")
    await tab.page.click("[data-way=openRoom]")
    await state(tab, "live")
    assert (await tab.page.evaluate("() => trtc.getRoom().userId")) == "walter"


async def test_a_full_room(gateway: Gateway, visits: Visits) -> None:
    """A room of the old service holds four; a place that gets free is taken by another try."""
    room = (await gateway.call("create_room", userID="user1", roomInfo="four"))["roomID"]
    for number in (2, 3, 4):
        await gateway.call("enter_room", userID=f"user{number}", roomID=room)
    tab = await visits.open(f"{gateway.http}/#room={room}&user=walter")
    await says(tab, "The room is full")
    await gateway.call("quit_room", userID="user2", roomID=room)
    await tab.page.click("[data-way=tryAgain]")
    await state(tab, "live")


async def test_no_guests(gateway: Gateway, visits: Visits) -> None:
    tab = await visits.open(f"http://insecure.test:{gateway.http_port}/#room=1001&user=walter")
    await says(tab, "lets nobody in without a ticket")


@pytest.mark.parametrize(
    ("device", "name", "text"),
    [
        ("camera", "NotFoundError", "No camera was found"),
        ("camera", "NotAllowedError", "The camera is not allowed"),
        ("camera", "NotReadableError", "The camera is in use by another program"),
        ("microphone", "NotAllowedError", "The microphone is not allowed"),
    ],
)
async def test_a_device_that_does_not_start(
    gateway: Gateway, visits: Visits, device: str, name: str, text: str
) -> None:
    """The call goes on without it, and another try starts it when the cause is gone."""
    kind = "video" if device == "camera" else "audio"
    script = f"""const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      window.broken = true;
      navigator.mediaDevices.getUserMedia = (wish) =>
        broken && wish.{kind} ? Promise.reject(new DOMException('', '{name}')) : ask(wish);"""
    tab = await visits.open(gateway.http + await place(gateway, "walter", 4001), script=script)
    await says(tab, text)
    await state(tab, "live")
    await settled(tab)
    assert await tab.page.get_attribute(f"#{device}", "aria-pressed") == "true"
    await tab.page.evaluate("() => (broken = false)")
    await tab.page.click("[data-way=tryAgain]")
    await tab.wait(f"() => document.getElementById('{device}').ariaPressed === 'false'")
    assert await tab.page.inner_text("#alerts") == ""


async def test_a_device_that_is_taken_away(gateway: Gateway, visits: Visits) -> None:
    tab = await visits.open(gateway.http + await place(gateway, "walter", 4001))
    await tab.wait("() => document.getElementById('camera').ariaPressed === 'false'")
    await settled(tab)
    script = """() => {
      const track = trtc.getVideoTrack();
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotFoundError'));
      track.stop();
      track.dispatchEvent(new Event('ended')); }"""
    await tab.page.evaluate(script)
    await says(tab, "The camera was unplugged")
    assert await tab.page.get_attribute("#camera", "aria-pressed") == "true"


async def test_an_insecure_origin_is_named_before_a_camera_is_asked_for(gateway: Gateway, visits: Visits) -> None:
    url = f"http://insecure.test:{gateway.http_port}" + await place(gateway, "walter", 4002)
    tab = await visits.open(url)
    await says(tab, "This origin is insecure")
    await state(tab, "live")
    for name in ("microphone", "camera", "share", "devices"):
        assert not await tab.page.is_visible(f"#{name}")
    await tab.page.click("#leave")
    await shown(tab, "#previewWord")
    assert "https://" in await tab.page.inner_text("#previewWord")


async def test_replaced_in_another_window_and_taken_back(gateway: Gateway, visits: Visits) -> None:
    url = gateway.http + await place(gateway, "walter", 4003)
    first = await visits.open(url)
    await state(first, "live")
    second = await visits.open(url, locale="zh-CN")
    await says(first, "in another window")
    await state(first, "closed")
    await state(second, "通话中")
    await first.page.click("[data-way=takeBack]")
    await state(first, "live")
    await says(second, "你在另一个窗口进入了此房间")


async def test_a_browser_without_webrtc(gateway: Gateway, visits: Visits) -> None:
    tab = await visits.open(
        gateway.http + await place(gateway, "walter", 4005), script="delete window.RTCPeerConnection;"
    )
    await says(tab, "This browser has no WebRTC")


async def test_what_the_browser_cannot_do_is_not_offered(gateway: Gateway, visits: Visits) -> None:
    script = """delete MediaDevices.prototype.getDisplayMedia;
      for (const name of ['fullscreenEnabled', 'pictureInPictureEnabled'])
        Object.defineProperty(Document.prototype, name, { get: () => false });"""
    tab = await visits.open(gateway.http + await place(gateway, "walter", 4005), script=script)
    await state(tab, "live")
    for name in ("share", "fullscreen", "pip"):
        assert not await tab.page.is_visible(f"#{name}"), name


async def test_sharing_cancelled_and_failed(gateway: Gateway, visits: Visits) -> None:
    script = """window.why = 'NotAllowedError';
      navigator.mediaDevices.getDisplayMedia = () => Promise.reject(new DOMException('', why));"""
    tab = await visits.open(gateway.http + await place(gateway, "walter", 4006), script=script)
    await state(tab, "live")
    await settled(tab)
    await tab.page.click("#share")
    await settled(tab)
    assert await tab.page.inner_text("#alerts") == "" and not await tab.page.is_visible("#sharing")
    await tab.page.evaluate("() => (why = 'NotReadableError')")
    await tab.page.click("#share")
    await says(tab, "The screen could not be shared")


async def test_no_way_for_media(gateway: Gateway, visits: Visits) -> None:
    """Signaling works and UDP does not, as behind many a firewall: candidates that lead nowhere."""
    script = """const set = RTCPeerConnection.prototype.setRemoteDescription;
      RTCPeerConnection.prototype.setRemoteDescription = function (description) {
        const sdp = description.sdp.replace(/^(a=candidate:(?:\\S+ ){5})\\d+/gm, '$19');
        return set.call(this, { type: description.type, sdp });
      };"""
    tab = await visits.open("about:blank", script=script)
    await tab.page.clock.install()
    await tab.page.goto(gateway.http + await place(gateway, "walter", 4007))
    await state(tab, "live")
    await tab.wait("() => document.getElementById('camera').ariaPressed === 'false'")
    assert await tab.page.inner_text("#alerts") == ""
    for _ in range(6):  # the library waits 12 s
        await tab.page.clock.fast_forward(3000)
        await asyncio.sleep(0.2)
    await says(tab, "UDP is blocked", 20)
    assert await tab.page.is_visible("#controls"), "the chat and the leaving still work"


async def test_the_server_goes_and_comes_back(visits: Visits, tmp_path: Path) -> None:
    """During the call and before it: the page comes back by itself."""
    server = Gateway(tmp_path / "data")
    await server.start()
    try:
        tab = await visits.open(server.page_url, noisy=True)
        await state(tab, "live")
        await server.kill()
        await state(tab, "reconnecting")
        await shown(tab, "#reconnecting")
        await server.start()
        await state(tab, "live", 20)
        await shown(tab, "#reconnecting", False)
        assert await tab.page.inner_text("#alerts") == ""
        await tab.page.click("#leave")
        await state(tab, "ready")
        await server.kill()
        await tab.page.click("#enter")
        await says(tab, "The server cannot be reached")
        await server.start()
        await state(tab, "live", 20)
        assert await tab.page.inner_text("#alerts") == ""
    finally:
        await server.stop()
