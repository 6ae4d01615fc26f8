"""`/exe`: the page in the role of WebEXE, in one room with mini programs, by the old parameters and the old script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page

from tests.e2e.browser import Tab, until
from tests.e2e.conftest import CAMERA
from tests.e2e.content import Maker
from tests.e2e.gateway_process import Gateway, free_port
from tests.e2e.page import PHONE, Visits, says, shown, state, visiting
from tests.e2e.phone import Phone
from tests.e2e.player import plays
from tests.e2e.pusher import Pusher

PUPIL = Maker(ident=45, tone=560)

LOOK = """(selector) => {
  const video = document.querySelector(`${selector} video`);
  if (!video?.videoWidth) return 0;
  const paint = new OffscreenCanvas(160, 64).getContext('2d');
  paint.drawImage(video, 0, 0, 160, 64);
  const pixels = paint.getImageData(0, 0, 160, 64).data;
  let code = 0;
  for (let bit = 0; bit < 16; bit++) if (pixels[(12 * 160 + bit * 10 + 5) * 4 + 1] > 128) code |= 1 << bit;
  return code >> 8 === (~code & 0xff) ? code & 0xff : 0;
}"""
"""Whose picture is in an element: the maker's ident, 0 for none."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A server that may push to itself, and to a port where nobody listens."""
    server = Gateway(tmp_path_factory.mktemp("exe"))
    server.nobody = free_port()  # type: ignore[attr-defined]
    allow = [f"rtmp://127.0.0.1:{port}/live" for port in (server.rtmp_port, server.nobody)]  # type: ignore[attr-defined]
    (server.data / "gateway.toml").write_text(f"[relay]\nallow = {json.dumps(allow)}\nretry_s = 0.1\n")
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def visits(browser: Browser) -> AsyncIterator[Visits]:
    async with visiting(browser) as visits:
        yield visits


async def given(gateway: Gateway, user: str, **more: object) -> dict[str, Any]:
    """Return parameters with this user's ticket."""
    return {"userID": user, "userSig": (await gateway.tickets(user, 1))["userSig"], **more}


async def test_a_call_with_a_phone(
    gateway: Gateway, visits: Visits, files: Callable[..., Path], tmp_path: Path
) -> None:
    """The old link with everything in its query: no ticket stays in the address, the room is in the phone's list, and
    both see each other."""
    query = await given(
        gateway, "clerk", type="RTCRoom", template="1v1", roomAction="createRoom", roomID="desk1", roomName="Desk 1",
        userName="Ms Clerk", serverDomain="https://room.qcloud.com/",
    )  # fmt: skip
    tab = await visits.open(f"{gateway.http}/exe?{urlencode(query)}")
    await state(tab, "live")
    assert "userSig" not in tab.page.url and "?" not in tab.page.url and "roomID=desk1" in tab.page.url
    await says(tab, "room.qcloud.com")
    assert await tab.page.title() == "Desk 1"
    await shown(tab, "[data-user=clerk].pictured")
    async with Phone(gateway, "pupil", "double_room") as phone:
        rooms = (await phone.call("get_room_list", cnt=10, index=0))["rooms"]
        assert [(room["roomID"], room["roomInfo"], room["roomCreator"]) for room in rooms] == [
            ("desk1", "Desk 1", "clerk")
        ]
        url = await phone.push_url("desk1")
        async with Pusher(url, files(PUPIL)):
            await phone.add("desk1", url)
            pushers = dict(await phone.pushers("desk1"))
            assert list(pushers) == ["clerk", "pupil"]
            await asyncio.gather(
                plays(pushers["clerk"], CAMERA, tmp_path, seconds=2),
                until(lambda: looks(tab, "[data-user=pupil]", PUPIL), 20),
                shown(tab, "[data-user=pupil].speaking"),
            )
        await phone.call("delete_pusher", roomID="desk1", userID="pupil")
    await tab.wait("() => !document.querySelector('[data-user=pupil]')")
    assert "userSig" not in gateway.log and "eJ" not in gateway.log


async def looks(tab: Tab, selector: str, maker: Maker) -> bool:
    return bool(await tab.page.evaluate(LOOK, selector) == maker.ident)


async def test_a_lesson(gateway: Gateway, visits: Visits, tmp_path: Path) -> None:
    """A presenter by `params`: recorded here, pushed to elsewhere; a mini program watches, asks to speak, and chats."""
    target = (await gateway.sign("url", "push", "8888_lesson")).replace("127.0.0.1/", f"127.0.0.1:{gateway.rtmp_port}/")
    copy = (await gateway.sign("url", "play", "8888_lesson")).replace("127.0.0.1/", f"127.0.0.1:{gateway.rtmp_port}/")
    start = {
        "userdata": await given(gateway, "teacher", userName="Mr Teacher"),
        "roomdata": {"type": "LiveRoom", "roomAction": "createRoom", "roomID": "lesson1", "roomName": "Lesson"},
        "custom": {"screenRecord": 3, "cloudRecordUrl": target, "userList": True, "IMList": True},
    }
    tab = await visits.open(f"{gateway.http}/exe#params={quote(json.dumps(start))}")
    await state(tab, "live")
    await shown(tab, "#recordMark")
    await tab.wait("() => document.getElementById('pushingWord').textContent.includes('also go to')")
    async with Phone(gateway, "pupil", "live_room") as phone:
        await phone.join("lesson1")
        room = await phone.call("get_pushers", roomID="lesson1")
        assert room["roomCreator"] == "teacher" and room["pushers"][0]["userName"] == "Mr Teacher"
        await asyncio.gather(
            plays(room["mixedPlayURL"], CAMERA, tmp_path, seconds=2), plays(copy, CAMERA, tmp_path, seconds=2)
        )
        # A message of the page is one that the room code of 2018 can parse.
        said = asyncio.create_task(phone.heard(3))
        await tab.page.evaluate("() => trtc.sendTextMessage('good morning')")
        elements = (await asyncio.wait_for(said, 15))["MsgBody"]
        head = json.loads(elements[0]["MsgContent"]["Data"])
        assert (head["cmd"], head["data"]["nickName"]) == ("CustomTextMsg", "Mr Teacher")
        assert elements[1]["MsgContent"]["Text"] == "good morning"
        # Link-mic, refused and agreed to, and ended again.
        ask = {
            "cmd": "linkmic",
            "data": {"type": "request", "roomID": "lesson1", "userID": "pupil", "userName": "Pupil"},
        }
        for number, (act, result) in enumerate((("linkReject", "reject"), ("linkAccept", "accept"))):
            answer = asyncio.create_task(phone.told())
            await phone.tell("teacher", ask, 100 + number)
            await shown(tab, "#asking")
            if number == 0:
                await tab.page.click("#peopleOpen")
            await tab.page.click(f"[data-user=pupil] [data-act={act}]")
            data = (await asyncio.wait_for(answer, 15))["data"]
            assert (data["type"], data["result"], data["roomID"]) == ("response", result, "lesson1")
        await phone.add("lesson1", await phone.push_url("lesson1"))
        ending = asyncio.create_task(phone.told())
        await tab.page.click("[data-user=pupil] [data-act=linkEnd]")
        assert (await asyncio.wait_for(ending, 15))["data"] == {"type": "kickout", "roomID": "lesson1"}
        # The screen takes the camera's place in the one stream that phones see.
        await tab.page.click("#share")
        await tab.wait("() => trtc.getVideoTrack() === trtc.getVideoTrack({ streamType: 'sub' })")
        assert await tab.page.evaluate("() => trtc.getRoom() && !trtc.getRoom().streams.length")
        await tab.page.click("#stopShare")
        await until(lambda: looks(tab, "[data-user=teacher]", CAMERA), 20)
        # Its end is the room's end, told to everybody, and the file is whole.
        closed = asyncio.create_task(phone.heard(5))
        await tab.page.click("#leave")
        async with tab.page.expect_download() as coming:
            await tab.page.click("#leaveDialog [value=end]")
        assert (await coming.value).suggested_filename.startswith("call_lesson1_")
        while (notice := await asyncio.wait_for(closed, 15))["MsgBody"]["ReportType"] != 5:
            closed = asyncio.create_task(phone.heard(5))
        assert notice["MsgBody"]["ReportType"] == 5
    await shown(tab, "#exeHome")


async def test_a_browser_watches_and_speaks(gateway: Gateway, visits: Visits) -> None:
    """The audience's page on a phone: no tile of its own, asks, is seen, is ended, and hears that the room is over."""
    lesson = {"type": "LiveRoom", "roomID": "lesson2"}
    link = urlencode(await given(gateway, "teacher2", roomAction="createRoom", **lesson))
    host = await visits.open(f"{gateway.http}/exe#{link}")
    await state(host, "live")
    link = urlencode(await given(gateway, "fan2", roomAction="enterRoom", userName="Fan", **lesson))
    fan = await visits.open(f"{gateway.http}/exe#{link}", **PHONE)
    await until(lambda: looks(fan, "[data-user=teacher2]", CAMERA), 20)
    assert not await fan.page.query_selector("[data-user=fan2]") and not await fan.page.is_visible("#camera")
    assert not await host.page.query_selector("[data-user=fan2]")
    await fan.page.click("#linkMic")
    await host.page.click("#peopleOpen")
    await host.page.click("[data-user=fan2] [data-act=linkAccept]")
    await until(lambda: looks(host, ".tile[data-user=fan2]", CAMERA), 20)
    await shown(fan, "[data-user=fan2].pictured")
    await host.page.click("[data-user=fan2] [data-act=linkEnd]")
    await says(fan, "The presenter has ended your part")
    await host.wait("() => !document.querySelector('.tile[data-user=fan2]')")
    await host.page.click("[data-user=fan2] [aria-haspopup=dialog]")
    await host.page.click("#wordsMember")
    await fan.wait("() => document.getElementById('moderated').textContent.includes('chat was closed')")
    await host.page.keyboard.press("Escape")
    await host.page.click("#leave")
    await host.page.click("#leaveDialog [value=end]")
    await says(fan, "The room was closed")
    await shown(fan, "#exeAgain")


async def test_what_goes_wrong_is_said(gateway: Gateway, visits: Visits) -> None:
    """A target that nobody listens at, rooms that are not there or somebody else's, bad parameters, no ticket."""
    nobody = f"rtmp://127.0.0.1:{gateway.nobody}/live/s"  # type: ignore[attr-defined]
    wish = await given(gateway, "owner", roomAction="createRoom", roomID="mine", screenRecord=1, cloudRecordUrl=nobody)
    owner = await visits.open(f"{gateway.http}/exe#{urlencode(wish)}")
    await says(owner, f"{nobody} cannot be reached")
    await owner.page.click("[data-way=tryAgain]")
    await says(owner, f"{nobody} cannot be reached")
    other = await given(gateway, "other", roomAction="createRoom", roomID="mine")
    tab = await visits.open(f"{gateway.http}/exe#{urlencode(other)}")
    await says(tab, "it belongs to owner")
    await shown(tab, "#exeHome")
    for change, words in (
        ({"roomAction": "enterRoom", "roomID": "nowhere"}, "no such room"),
        ({"userID": "a b"}, "cannot be a user"),
        ({"userSig": "eJbad"}, "ticket"),
    ):
        await tab.page.goto("about:blank")
        await tab.page.goto(f"{gateway.http}/exe#{urlencode(other | change)}")
        await says(tab, words)
    # A guest opens a room by the form, and finds it in the list after leaving.
    await tab.page.goto("about:blank")
    await tab.page.goto(f"{gateway.http}/exe")
    await tab.page.fill("#exeForm [name=user]", "Guest")
    await tab.page.fill("#exeForm [name=name]", "Tea")
    await tab.page.select_option("#exeForm [name=kind]", "multi_room")
    await tab.page.click("#exeCreate")
    await state(tab, "live")
    assert await tab.page.title() == "Tea"
    assert await tab.page.evaluate("() => trtc.getRoom().kind") == "multi_room"


HOST_PAGE = """<!doctype html><meta charset="utf-8"><button id="start">start</button>
<script src="{server}/sdk/exestarter.js"></script>
<script>
  const heard = [];
  const note = (name) => (...values) => heard.push([name, ...values]);
  EXEStarter.setListener({{
    onRoomClose: note('close'), onMemberChange: note('members'), onRecvRoomIMMsg: note('message'),
  }});
  document.getElementById('start').onclick = () => EXEStarter.createExeAsRoom({{
    ...{start}, success: note('success'), fail: note('fail'),
  }});
</script>"""


async def test_the_old_script(gateway: Gateway, browser: Browser) -> None:
    """A business page of another origin starts the room in a window, hears what goes on, and closes it."""
    start = {
        "userdata": await given(gateway, "agent", userName="Agent", sdkAppID=1, accType="1"),
        "roomdata": {"serverDomain": gateway.http, "roomAction": "createRoom", "roomID": "r9", "type": "RTCRoom"},
        "custom": {"IMList": False},
    }
    start["userdata"]["sdkAppID"] = (await gateway.call("get_login_info", userID="someone"))["sdkAppID"]
    html = HOST_PAGE.format(server=gateway.http, start=json.dumps(start))

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    site = web.Application()
    site.router.add_get("/", serve)
    shop = await Tab.open(browser, "about:blank")
    page = shop.page
    server = TestServer(site)
    await server.start_server()
    try:
        await page.goto(str(server.make_url("/")))
        async with page.expect_popup() as coming:
            await page.click("#start")
        window = await coming.value
        await until(lambda: names(page, "success"), 20)
        assert "eJ" not in window.url
        assert not await window.is_visible("#chatOpen")
        await page.click("#start")
        assert (await names(page, "fail"))[0]["errCode"] == -2, "one runs already"
        await window.evaluate("() => trtc.sendTextMessage('hello')")
        await until(lambda: names(page, "message"), 10)
        assert (await names(page, "message"))[0]["message"] == "hello"
        assert (await names(page, "members"))[0][0] | {"userAvatar": ""} == {
            "userID": "agent", "userName": "Agent", "userAvatar": "", "role": "creator",
        }  # fmt: skip
        # Whoever else says something to either window is not heard.
        await window.evaluate("() => postMessage({ exe: 'stop' }, '*')")
        await page.evaluate("() => postMessage({ exe: 'closed', code: 5, msg: 'forged' }, '*')")
        await page.evaluate("() => EXEStarter.stopEXE({ data: { roomID: 'r9' } })")
        await until(window.is_closed, 10)
        assert not await names(page, "close"), "closed by this page itself"
    finally:
        await shop.close()
        await server.close()


async def names(page: Page, name: str) -> list[Any]:
    """Return the first values of the callbacks of that name so far."""
    found: list[Any] = await page.evaluate(
        "(name) => heard.filter(([n]) => n === name).map(([, value]) => value)", name
    )
    return found
