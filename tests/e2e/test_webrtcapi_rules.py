"""The library of 2018, row by row: options, calls, events and error codes that a real server is slow to cause.

The server is scripted (fake_gateway.py): its other member is `echo`, who sends back what the page sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route

from tests.e2e.application import User
from tests.e2e.browser import Tab, until
from tests.e2e.fake_gateway import FakeGateway

TICKETS = {"sdkAppId": 1, "userId": "alice", "userSig": "sig", "accountType": 1}

HTML = """<!doctype html><script src="/sdk/webrtcapi.js"></script><script src="/sdk/webrtcroom.js"></script>
<video id="local" muted autoplay></video>"""

PAGE = """() => {
  window.events = [];
  window.plain = (info) => Object.fromEntries(Object.entries(info ?? {}).map(([key, value]) =>
    [key, value instanceof MediaStream ? `stream of ${value.getTracks().length}` : value]));
  window.promised = (call) => new Promise((ok, no) => call(ok, no));
  window.make = (options) => {
    const made = new WebRTCAPI(options, () => undefined, () => undefined);
    made.on('*', (name, info) => events.push([name, plain(info)]));
    return made;
  };
}"""

KEEP_PEERS = """
  window.peers = [];
  window.RTCPeerConnection = class extends window.RTCPeerConnection {
    constructor(...a) { super(...a); peers.push(this); }
  };
"""
"""So that a connection can be seen as broken when the test wants it, not when the network gives it up."""


class Page(User):
    """Somebody with a page that has nothing but the library, as `RTC` once it is made."""

    @classmethod
    async def open(cls, browser: Browser, fake: FakeGateway, script: str = "") -> Page:
        tab = await Tab.open(browser, fake.url + "/sdk/names.js", script=script)  # anything of this origin
        await tab.page.set_content(HTML)
        await tab.page.evaluate(PAGE)
        return cls(tab, "alice")

    async def make(self, **options: Any) -> None:
        await self.page.evaluate("(o) => { window.RTC = make(o); }", {**TICKETS, **options})

    async def call(self, expression: str, argument: Any = None) -> Any:
        """Evaluate with `RTC`, `ok`, `no` and `argument` in scope; a failure comes back as {failed}."""
        script = f"""(argument) => promised((ok, no) => {{ {expression}; }})
          .then((result) => result === undefined ? null : plain(result), (failed) => ({{ failed }}))"""
        return await self.page.evaluate(script, argument)

    async def code(self, expression: str, argument: Any = None) -> int:
        """Return the error code that a call ends with, 0 if it succeeds."""
        found = await self.call(expression, argument)
        return int(found["failed"]["errorCode"]) if found and "failed" in found else 0

    async def enter(self, **options: Any) -> Any:
        return await self.call("RTC.createRoom(argument, ok, no)", {"roomid": 1001, "role": "user", **options})

    async def events(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.page.evaluate(
            "(name) => events.filter(([n]) => n === name).map(([, info]) => info)", name
        )
        return found

    async def told(self, name: str, timeout: float = 15, **fields: Any) -> dict[str, Any]:
        async def there() -> dict[str, Any] | None:
            return next((info for info in await self.events(name) if fields.items() <= info.items()), None)

        async def all_of_them() -> list[Any]:
            found: list[Any] = await self.page.evaluate("() => events.slice(-20)")
            return found

        try:
            found: dict[str, Any] = await until(there, timeout, f"no {name} {fields}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{await all_of_them()}\n{self.tab.console[-8:]}") from None
        return found

    async def forget(self) -> None:
        await self.page.evaluate("() => { events.length = 0; }")


@pytest_asyncio.fixture(loop_scope="session")
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, fake: FakeGateway) -> AsyncIterator[Page]:
    page = await Page.open(browser, fake, KEEP_PEERS)
    yield page
    await page.tab.close()


# --- before a room


async def test_what_is_missing_or_cannot_be_has_its_code(page: Page) -> None:
    make = "new WebRTCAPI(argument, ok, no)"
    assert (await page.call(make, TICKETS))["errorCode"] == 0
    for name in ("sdkAppId", "userId", "userSig"):
        assert await page.code(make, {key: value for key, value in TICKETS.items() if key != name}) == 10001, name
    for other in ({"openid": "a", "sdkAppID": 1, "userSig": "s"}, {"userID": "a", "sdkAppId": "1", "userSig": "s"}):
        assert await page.code(make, other) == 0
    await page.make(closeLocalMedia=True)
    await page.told("onInitResult", result=0, errorCode=0)
    assert await page.code("RTC.connect(ok, no)") == 0
    # Not in a room yet.
    assert await page.code("RTC.startRTC(0, ok, no)") == 10032
    assert await page.code("RTC.updateStream({ stream: new MediaStream() }, ok, no)") == 10032
    assert await page.code("RTC.changeSpearRole('anchor', ok, no)") == 10032
    assert await page.code("RTC.getStats({}, ok, no)") == 10032
    await page.told("onStartRTCResult", result=10032)
    for room in ({}, {"roomid": "lesson"}, {"roomid": 1.5}, {"roomid": -1}):
        assert await page.code("RTC.createRoom(argument, ok, no)", room) == 10001, room
    assert await page.code("RTC.updateStream({}, ok, no)") == 10001
    assert await page.code("RTC.changeSpearRole('', ok, no)") == 10001
    nobody = {"deviceId": "nobody's"}
    for call in ("chooseVideoDevice(argument", "chooseAudioDevice(argument", "chooseSpeakerDevice(local, argument"):
        assert await page.code(f"RTC.{call}, ok, no)", {}) == 10001, call
    assert await page.code("RTC.chooseSpeakerDevice(local, argument, ok, no)", nobody) == 10031
    assert await page.code("RTC.getLocalStream({ videoDevice: argument }, ok, no)", nobody) == 10008
    errors = await page.page.evaluate("() => RTC.getErrorCode()")
    assert len(errors) == 23 and errors["TLS_VERIFY_ERROR"] == 70236 and errors["WS_CLOSE"] == 10035
    # What no callback hears comes as an event.
    await page.forget()
    await page.page.evaluate("() => RTC.startRTC(0)")
    assert (await page.told("onErrorNotify", errorCode=10032))["errorMsg"]


async def test_a_browser_that_cannot_and_a_library_that_does_not_come(
    browser: Browser, fake: FakeGateway, stack: AsyncExitStack
) -> None:
    old = await Page.open(browser, fake, "delete window.RTCPeerConnection;")
    stack.push_async_callback(old.tab.close)
    assert await old.code("new WebRTCAPI(argument, ok, no)", TICKETS) == 10002
    assert (await old.call("WebRTCAPI.detectRTC(ok)"))["support"] is False
    cut = await Page.open(browser, fake)
    stack.push_async_callback(cut.tab.close)

    async def refuse(route: Route) -> None:
        await route.abort()

    await cut.page.route("**/webrtcapi/local.js", refuse)
    assert await cut.code("new WebRTCAPI(argument, ok, no)", TICKETS) == 11000


async def test_devices_and_captures(page: Page) -> None:
    await page.make()
    for kind in ("Video", "Audio", "Speaker"):
        assert await page.page.evaluate(f"() => promised((ok) => RTC.get{kind}Devices((d) => ok(d.length)))") >= 1
    choose = "RTC.getSpeakerDevices((d) => RTC.chooseSpeakerDevice(local, d.at(-1), () => ok(local.sinkId), no))"
    assert await page.page.evaluate(f"() => promised((ok, no) => {choose})")
    shape = """(options) => promised((ok, no) => RTC.getLocalStream(options, ({ stream }) => {
      const [video] = stream.getVideoTracks();
      ok([stream.getAudioTracks().length, video?.getSettings().width, video?.getSettings().height]);
    }, no))"""
    assert await page.page.evaluate(shape, {"attributes": {"width": 160, "height": 120, "frameRate": 10}}) == [
        1,
        160,
        120,
    ]
    assert await page.page.evaluate(shape, {"video": False}) == [1, None, None]
    screen = await page.page.evaluate(shape, {"screen": True, "screenSources": "screen", "audio": False})
    assert screen[0] == 0 and screen[1] > 100
    opened = (
        "WebRTCAPI.fn.getUserMedia(argument, (s) => { ok(s.getTracks().length); WebRTCAPI.fn.releaseStream(s); }, no)"
    )
    assert await page.page.evaluate(f"(argument) => promised((ok, no) => {opened})", {"video": False}) == 1
    assert await page.code("RTC.getUserMedia({ audio: { deviceId: { exact: 'none' } } }, ok, no)") == 10008
    assert (await page.call("RTC.getLocalStream(({ stream }) => ok({ stream: (window.mine = stream) }))"))["stream"]
    assert await page.events("onLocalStreamAdd") == [], "nothing is sent yet"
    status = "() => [RTC.getLocalMediaStatus(), RTC.global.localStream, RTC.getLocalMediaStream() === mine]"
    assert await page.page.evaluate(status) == [{"video": False, "audio": False}, None, False]
    meter = """() => promised((ok) => {
      const told = [];
      const meter = new WebRTCAPI.SoundMeter({
        stream: mine,
        onprocess: ({ volume, status, event }) => {
          told.push([status === (volume >= 0.01 ? 'speaking' : 'silent'), event.inputBuffer.length]);
          if (told.length === 3) { meter.stop(); setTimeout(() => ok(told), 300); }
        },
      });
    })"""
    assert await page.page.evaluate(meter) == [[True, 4096]] * 3, "no more after stop()"
    await page.enter(role="anchor")
    assert await page.code("RTC.startRTC(0, ok, no)") == 0
    assert await page.page.evaluate(status) == [{"video": True, "audio": True}, {}, True]
    await page.told("onStreamNotify", event="onadd", isLocal=True, type="video", stream="stream of 2")
    # The user ends the screen by the browser's own button: its tracks end by themselves.
    await page.page.evaluate("() => mine.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    await page.told("onStreamNotify", event="inactive", isLocal=True, type="video", stream="stream of 2")


async def test_handlers_come_and_go_by_name_pattern_and_group(page: Page) -> None:
    await page.make()
    heard = await page.page.evaluate("""() => {
      const heard = [];
      const note = (label) => (...details) => heard.push([label, ...details]);
      const mine = note('mine');
      RTC.on('onMuteAudio', mine).on('onMuteAudio', () => { throw new Error('of the page'); });
      RTC.on('onMute*', note('pattern')).on('onMuteAudio', 'group', note('grouped')).once('onMuteAudio', note('once'));
      RTC.emit('onMuteAudio', 1);
      RTC.off('onMuteAudio', mine).releaseGroup('group');
      RTC.emit('onMuteAudio', 2).emit('onMuteVideo', 3);
      RTC.off('onMute*').off('onMuteAudio').off('never there');
      RTC.emit('onMuteAudio', 4);
      return heard;
    }""")
    first = [["mine", 1], ["grouped", 1], ["once", 1], ["pattern", "onMuteAudio", 1]]
    assert heard == [*first, ["pattern", "onMuteAudio", 2], ["pattern", "onMuteVideo", 3]]
    assert [name for name, _ in await page.page.evaluate("() => events")][-4:] == [
        "onMuteAudio",
        "onMuteAudio",
        "onMuteVideo",
        "onMuteAudio",
    ]


# --- entering


async def test_refused_entries_have_the_old_numbers(page: Page, fake: FakeGateway) -> None:
    await page.make()
    for error, number in (
        ({"code": 5001, "name": "room_full", "message": "full"}, 10006),
        ({"code": 1202, "name": "not_permitted", "message": "banned"}, 10006),
        ({"code": 9, "name": "bad_ticket", "message": "expired"}, 70236),
    ):
        fake.refuse["enter"] = error
        assert await page.code("RTC.enterRoom({ roomID: 7, role: 'user' }, ok, no)") == number
        told = await page.told("onErrorNotify", errorCode=number)
        assert told["extInfo"]["reason"] == error["name"] and told["errorMsg"] == error["message"]
        await page.told("onCreateRoomResult", result=number)
        await page.forget()
    await fake.stop()
    assert await page.code("RTC.createRoom({ roomId: 7, role: 'user' }, ok, no)") == 10005


async def test_the_name_and_the_ticket_may_come_with_the_room(page: Page, fake: FakeGateway) -> None:
    await page.page.evaluate("() => { window.RTC = make({ sdkAppId: 1, preconn: true, closeLocalMedia: true }); }")
    assert await page.code("RTC.createRoom({ roomid: 7, role: 'user' }, ok, no)") == 10001
    entry = {"roomid": "7", "role": "user", "openid": "zoe", "userSig": "sig", "privMapEncrypt": "key"}
    assert (await page.call("RTC.createRoom(argument, ok, no)", entry))["userId"] == "zoe"
    (asked,) = fake.requests("enter")
    assert (asked["userId"], asked["privateMapKey"], asked["roomId"], asked["role"]) == ("zoe", "key", 7, "anchor")
    for event in ("websocket_init", "websocket_init_ok"):
        await page.told("onUserDefinedWebRTCEventNotice", event=event)
    await page.told("onWebSocketNotify", errorCode=0)


async def test_what_is_sent_by_itself_and_what_when_told(page: Page, fake: FakeGateway) -> None:
    """2.x sends on entry what the options name, from the devices that they name; a role of 3.0 waits for startRTC."""
    await page.make(video=False, debug={"log": True})
    second = "RTC.getAudioDevices((d) => RTC.createRoom({ ...argument, constraints: { audio: d.at(-1) } }, ok, no))"
    assert (await page.call(second, {"roomid": 1001, "role": "miniwhite"}))["errorCode"] == 0
    await page.told("onLocalStreamAdd", stream="stream of 1")
    await page.told("onStartRTCResult", result=0)
    chosen = """() => promised((ok) => RTC.getAudioDevices((d) =>
      ok(RTC.getLocalMediaStream().getTracks()[0].getSettings().deviceId === d.at(-1).deviceId)))"""
    assert await page.page.evaluate(chosen)
    assert await page.page.evaluate("() => RTC.getLocalMediaStatus()") == {"video": False, "audio": True}
    await page.told("onRemoteStreamUpdate", userId="echo", stream="stream of 1")
    assert await page.code("RTC.changeSpearRole('wp1280', ok, no)") == 0
    fake.refuse["role"] = {"code": 1202, "name": "not_permitted", "message": "no"}
    assert await page.code("RTC.changeSpearRole('audience', ok, no)") == 10001
    del fake.refuse["role"]
    await page.told("onIceConnectionBuild", result=True, state=0)
    assert await page.code("RTC.quit(ok, no)") == 0
    await page.told("onIceConnectionClose", result=True, state="closed")
    await page.forget()
    assert (await page.enter(role="anchor"))["errorCode"] == 0
    await page.told("onRemoteStreamUpdate", userId="echo", stream=None)
    assert await page.events("onLocalStreamAdd") == []
    fake.refuse["publish"] = {"code": 1202, "name": "not_permitted", "message": "no"}
    assert await page.code("RTC.startRTC(0, ok, no)") == 10033
    del fake.refuse["publish"]
    assert await page.code("RTC.startRTC(0, ok, no)") == 0
    fake.refuse["publish"] = {"code": 1000, "name": "internal_error", "message": "no"}
    assert await page.code("RTC.stopRTC(0, ok, no)") == 0, "nothing is sent any more, whatever the server says"
    await page.told("onErrorNotify", errorCode=10007)


async def test_a_screen_and_the_shapes_that_a_role_names(page: Page) -> None:
    size = """() => promised((ok) => setTimeout(() => {
      const { width, height } = RTC.getLocalMediaStream().getVideoTracks()[0].getSettings();
      ok([width, height]);
    }))"""
    await page.make(screen=True)
    await page.enter(role="ed960")
    await page.told("onStartRTCResult", result=0)
    assert (await page.page.evaluate(size))[0] > 100
    assert await page.code("RTC.quit(ok, no)") == 0
    for role, shape in (("test320", [320, 240]), ("anything", [640, 480])):
        await page.forget()
        await page.make(audio=False)
        await page.enter(role=role)
        await page.told("onStartRTCResult", result=0)
        asked = (
            "() => { const c = RTC.getLocalMediaStream().getTracks()[0].getConstraints(); return [c.width, c.height]; }"
        )
        assert await page.page.evaluate(asked) == shape
        assert await page.code("RTC.startRTC({ screen: true, screenRole: 'wp1280' }, ok, no)") == 0
        assert await page.code("RTC.quit(ok, no)") == 0


async def test_a_page_that_decides_itself_whom_it_receives(page: Page, fake: FakeGateway) -> None:
    await page.page.evaluate(
        """(tickets) => {
          window.asked = [];
          window.RTC = make({ ...tickets, closeLocalMedia: true, peerAddNotify: (peer) => asked.push(peer) });
        }""",
        TICKETS,
    )
    await page.enter()
    peer = await page.told("onPeerConnectionAdd", userId="echo")
    assert peer["tinyid"] == peer["tinyId"] and peer["tinyid"].isdecimal()
    assert await page.page.evaluate("() => asked") == [{**peer, "openId": "echo"}]
    await asyncio.sleep(0.3)
    assert fake.requests("subscribe") == [] and await page.events("onRemoteStreamUpdate") == []
    assert await page.page.evaluate("(id) => RTC.getOpenId(id)", peer["tinyid"]) == "echo"
    assert await page.code("RTC.startRTC({ tinyid: '1' }, ok, no)") == 10031
    assert await page.code("RTC.stopRTC({ userId: 'echo' }, ok, no)") == 10031
    assert await page.code("RTC.startRTC(asked[0], ok, no)") == 0
    update = await page.told("onRemoteStreamUpdate", userId="echo", stream=None)
    asked = lambda: sorted(kind for request in fake.requests("subscribe") for kind in request["kinds"])  # noqa: E731
    await until(lambda: asked() == ["audio", "video"], 10, lambda: str(fake.log))
    assert await page.code("RTC.stopRTC({ tinyid: argument }, ok, no)", peer["tinyid"]) == 0
    await page.told("onRemoteStreamRemove", userId="echo", videoId=update["videoId"])
    await page.told("onPeerConnectionClose", userId="echo")
    await until(lambda: fake.requests("unsubscribe"), 10, "what is not wanted is still sent")


# --- losses


async def entered(page: Page, **options: Any) -> None:
    """Send, and receive what comes back."""
    await page.make(**options)
    await page.enter()
    await page.told("onRemoteStreamUpdate", userId="echo", stream="stream of 2", timeout=20)
    await page.told("onIceConnectionBuild", result=True, state=0)
    await page.forget()


async def check_over(page: Page) -> None:
    """Nothing is left of the stay: the devices are closed, nobody is received."""
    assert await page.page.evaluate("() => RTC.getLocalMediaStream()") is None
    assert await page.page.evaluate("() => RTC.getLocalMediaStatus()") == {"video": False, "audio": False}
    await page.told("onRemoteStreamRemove", userId="echo")
    assert await page.code("RTC.startRTC(0, ok, no)") == 10032


async def test_a_lost_server_is_looked_for_as_long_as_the_page_says(page: Page, fake: FakeGateway) -> None:
    waits = """() => import('/sdk/webrtcapi/connection.js').then(({ patience }) =>
      [patience(), patience(5), patience(2, 100), patience(0), patience(-1, -1), patience(1e9, 1e9)])"""
    assert await page.page.evaluate(waits) == [18_000, 45_000, 300, 0, 0, 2**31 - 1]
    await entered(page, wsRetryMaxTimes=2, wsRetryDist=200)
    await fake.lose()
    await page.told("onWebSocketReconnection", userId="alice")
    assert await page.events("onWebSocketClose") == [] == await page.events("onRemoteStreamRemove")
    await page.forget()
    fake.unanswered.add("enter")
    await fake.lose()
    closed = await page.told("onWebSocketClose", errorCode=10035)
    await page.told("onWebSocketNotify", **closed)
    names = [name for name, _ in await page.page.evaluate("() => events")]
    assert names.index("onUserDefinedWebRTCEventNotice") < names.index("onWebSocketClose")
    assert await page.events("onRelayTimeout") == [] == await page.events("onWebSocketReconnection")
    await check_over(page)


async def test_a_server_that_takes_the_member_no_more(page: Page, fake: FakeGateway) -> None:
    for error, number in (
        ({"code": 1202, "name": "not_permitted", "message": "banned"}, 10036),
        ({"code": 9, "name": "bad_ticket", "message": "expired"}, 70236),
    ):
        fake.refuse.clear()
        await entered(page)
        fake.refuse["enter"] = error
        await fake.lose()
        over = await page.told("onRelayTimeout", errorCode=number)
        assert over["errorMsg"] == error["message"]
        for name in ("onWebSocketError", "onWebSocketNotify", "onErrorNotify"):
            assert over in await page.events(name), name
        assert await page.events("onWebSocketClose") == []
        await check_over(page)
        await page.forget()


async def test_media_that_cannot_be_sent_again_are_told(page: Page, fake: FakeGateway) -> None:
    await entered(page)
    fake.refuse["publish"] = {"code": 1209, "name": "too_large", "message": "no"}
    await fake.lose()
    await page.told("onErrorNotify", errorCode=10007)
    await page.told("onWebSocketReconnection")


SEEM = """(state) => {
  for (const peer of peers.filter((peer) => peer.connectionState !== 'closed')) {
    if (state) Object.defineProperty(peer, 'connectionState', { value: state, configurable: true });
    else delete peer.connectionState;
    peer.dispatchEvent(new Event('connectionstatechange'));
  }
}"""


async def test_lost_media_are_told_apart_from_a_lost_server(page: Page, fake: FakeGateway) -> None:
    await entered(page)
    await page.page.evaluate(SEEM, "disconnected")
    await page.told("onErrorNotify", errorCode=10014)
    await page.told("onUserDefinedWebRTCEventNotice", event="on_ice_state_change", info={"state": "disconnected"})
    await page.page.evaluate(SEEM, "")
    await page.told("onIceConnectionBuild", result=True, state=0)
    await page.told("onUserDefinedWebRTCEventNotice", event="on_ice_state_change", info={"state": "connected"})
    assert await page.events("onWebSocketReconnection") == [] == await page.events("onRelayTimeout")


@pytest.mark.parametrize("receives", [True, False])
async def test_media_that_do_not_get_through_end_the_stay(page: Page, fake: FakeGateway, receives: bool) -> None:
    """Nothing can be sent here; what is received comes through."""
    fake.unreachable = True
    await page.page.clock.install()
    await page.make(peerAddNotify=not receives)
    await page.enter()
    await page.told("onLocalStreamAdd")
    await until(lambda: fake.requests("publish"), 10, "nothing is sent")
    if receives:
        await page.told("onIceConnectionBuild", result=True, state=0)
    await page.page.clock.run_for(15_000)
    over = await page.told("onRelayTimeout", errorCode=10015)
    assert over["extInfo"]["reason"] == "media_blocked"
    assert over in await page.events("onErrorNotify")
    if receives:
        await page.told("onIceConnectionClose", result=False, state="failed")
    else:
        assert await page.events("onIceConnectionBuild") == [{"result": False, "state": 2}]
    assert await page.page.evaluate("() => RTC.getLocalMediaStream()") is None
    await until(lambda: fake.requests("leave"), 10, "the room is not left")


# --- the room service


async def test_heartbeats_are_forgiven_twice_and_no_answer_is_one_after_ten_seconds(
    page: Page, fake: FakeGateway
) -> None:
    answers: list[Callable[[Route], Any]] = []
    sent: list[dict[str, Any]] = []

    async def good(route: Route) -> None:
        await route.fulfill(json={"code": 0, "message": ""})

    async def gone(route: Route) -> None:
        await route.fulfill(json={"code": 3, "message": "请求失败，房间不存在"})

    async def broken(route: Route) -> None:
        await route.fulfill(status=500, body="<html>")

    async def silent(_: Route) -> None:
        return None

    async def answer(route: Route) -> None:
        sent.append(route.request.post_data_json)
        await answers.pop(0)(route)

    await page.page.route("**/webrtc/weapp/webrtc_room/*", answer)
    await page.page.clock.install()
    await page.page.evaluate("""() => {
      window.beats = [];
      const note = (label) => (...details) => beats.push([label, ...details]);
      window.heart = WebRTCRoom.startHeartBeat('alice', '7', note('ok'), note('no'));
    }""")
    expected: list[list[str]] = []
    for kind, told in ((good, "ok"), (gone, ""), (broken, ""), (good, "ok"), (gone, ""), (gone, ""), (gone, "no")):
        answers.append(kind)
        await page.page.clock.run_for(7000)
        await until(lambda: not answers, 5, "no heartbeat")
        expected += [[told, "alice", "7"]] if told else []
        await page.tab.wait("(count) => beats.length === count", len(expected))
    assert await page.page.evaluate("() => beats") == expected
    assert sent == [{"userID": "alice", "roomID": "7"}] * 7
    await page.page.evaluate("() => clearInterval(heart)")
    await page.page.clock.run_for(21_000)
    assert len(sent) == 7

    answers.append(silent)
    await page.page.evaluate(
        "() => { promised((ok, no) => WebRTCRoom.enterRoom('a', 'b', '7', ok, no)).catch((e) => (window.late = e)); }"
    )
    await until(lambda: not answers, 5, "no request")
    await page.page.clock.run_for(1_000)
    assert await page.page.evaluate("() => window.late ?? null") is None
    await page.page.clock.run_for(9_000)
    late = await page.page.wait_for_function("() => window.late")
    assert (await late.json_value())["errCode"] == -1
    for kind, code in ((gone, 3), (broken, -1)):
        answers.append(kind)
        found = await page.page.evaluate("() => promised((ok, no) => WebRTCRoom.getRoomList(0, 20, no, ok))")
        assert found["errCode"] == code and found["errMsg"]
    answers.append(good)
    assert await page.page.evaluate("() => promised((ok, no) => WebRTCRoom.getLoginInfo('', ok, no))") == {
        "status": 200,
        "data": {"code": 0, "message": ""},
    }
