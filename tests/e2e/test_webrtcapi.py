"""A page of 2018 holds lessons by this gateway, with nothing changed but the addresses of its scripts and of its chat.

tests/e2e/page2018 is written from what the old libraries' users could read. It comes from an origin of its own and
enters the media room without a privateMapKey, as pages of 2018-07 do: its app has `open_to_members = true`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e import application, player
from tests.e2e.browser import PROBE, Tab, until
from tests.e2e.conftest import CAMERA
from tests.e2e.content import Maker
from tests.e2e.gateway_process import Gateway, free_port
from tests.e2e.pusher import Pusher

PAGE = Path(__file__).parent / "page2018"
SDK_APP_ID = 1400000078
PHONE = Maker(ident=21, tone=660)
PATIENT = {"wsRetryMaxTimes": 20}
"""A busy machine may start a server more slowly than the 18 s that a page waits if it does not say otherwise."""

LIBRARY_SOUND = """() => {
  const elements = [...(window.made ?? []), ...document.querySelectorAll('audio')];
  return elements.filter((element) => element.srcObject && !element.muted && element.volume > 0).length;
}"""
"""How many elements besides the page's own play sound."""
KEEP_AUDIO = """
  window.made = [];
  window.Audio = class extends window.Audio { constructor(...a) { super(...a); window.made.push(this); } };
  const create = document.createElement.bind(document);
  document.createElement = (name, ...more) => {
    const element = create(name, ...more);
    if (name === 'audio') window.made.push(element);
    return element;
  };
"""


class Place:
    """The page's own web server and the gateway that it names."""

    def __init__(self, origin: str, gateway: Gateway) -> None:
        self.origin, self.gateway = origin, gateway

    async def phone(self, user: str, room: str) -> tuple[str, dict[str, str]]:
        """Enter as a mini program does; return (push URL, play URL by user)."""
        login = await self.gateway.call("get_login_info", userID=user)
        entry = await self.gateway.call("enter_room", userID=user, roomID=room)
        tickets = {"userSig": login["userSig"], "privateMapKey": entry["privateMapKey"]}
        answer = await self.gateway.call("get_push_url", userID=user, roomID=room, **tickets)
        assert answer["code"] == 0, answer
        return answer["pushURL"], {member["userID"]: member["accelerateURL"] for member in answer["members"]}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    port = free_port()
    config = application.app(
        SDK_APP_ID, "7878", "open_to_members = true", "[http]", f'origins = ["http://127.0.0.1:{port}"]'
    )
    gateway = Gateway(tmp_path_factory.mktemp("page2018"), config=config)
    await gateway.start()
    async with application.served(PAGE, gateway.http, lines=3, port=port) as origin:
        yield Place(origin, gateway)
    await gateway.stop()


class Person(application.User):
    """Somebody with the page open."""

    @classmethod
    async def open(cls, browser: Browser, place: Place, user: str) -> Person:
        tab = await Tab.open(browser, place.origin + "/", script=KEEP_AUDIO)
        await tab.page.evaluate(PROBE)
        return cls(tab, user)

    async def start(self, room: str = "", options: Any = None, entry: Any = None) -> str:
        """Go the page's way into a room; return its id."""
        return str(
            await self.page.evaluate(
                "([u, r, o, e]) => start(u, r, o, e)", [self.user, room, options or {}, entry or {}]
            )
        )

    async def reload(self, room: str) -> None:
        """Come back as the page does that finds its room in its browser."""
        await self.page.reload()
        await self.page.evaluate(PROBE)
        await self.page.evaluate("([u, r]) => again(u, r)", [self.user, room])

    async def sees(self, user: str, maker: Maker = CAMERA) -> None:
        """Wait until the page's element for `user` shows and sounds `maker` (the tests' camera and microphone)."""
        await self.gets(f"[data-user={user}]", maker)

    async def events(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.page.evaluate(
            "(name) => events.filter((event) => event.name === name).map((event) => event.info)", name
        )
        return found

    async def forget(self) -> None:
        await self.page.evaluate("() => { events.length = 0; }")

    async def told(self, name: str, timeout: float = 15, **fields: Any) -> dict[str, Any]:
        """Wait for an event with these fields; return its payload."""

        async def there() -> dict[str, Any] | None:
            for info in await self.events(name):
                if all(info.get(key) == value for key, value in fields.items()):
                    return info or {"": ""}
            return None

        async def names() -> list[Any]:
            found: list[Any] = await self.page.evaluate("() => events.slice(-25)")
            return found

        try:
            found: dict[str, Any] = await until(there, timeout, f"{self.user}: no {name} {fields}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{await names()}\n{self.tab.console[-8:]}") from None
        return found

    async def call(self, expression: str, argument: Any = None) -> Any:
        """Evaluate with `RTC`, `argument`, and `promised` in scope; a failure comes back as {failed}."""
        script = f"(argument) => Promise.resolve({expression}).catch((failed) => ({{ failed }}))"
        return await self.page.evaluate(script, argument)


@pytest_asyncio.fixture(loop_scope="session")
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def opened(stack: AsyncExitStack, browser: Browser, place: Place, user: str) -> Person:
    person = await Person.open(browser, place, user)
    stack.push_async_callback(person.tab.close)
    return person


@pytest.mark.quirk(15, 36, 37, 38)
async def test_a_lesson_of_two_pages_and_a_phone(
    browser: Browser, place: Place, files: Callable[..., Path], tmp_path: Path, stack: AsyncExitStack
) -> None:
    alice = await opened(stack, browser, place, "alice")
    bobby = await opened(stack, browser, place, "bobby")
    room = await alice.start()
    assert room.isdecimal()
    await alice.told("onCreateRoomResult", result=0, errorCode=0, roomid=int(room))
    assert (await alice.told("onLocalStreamAdd"))["stream"] == "stream of 2"
    assert await bobby.start(room) == room
    await asyncio.gather(alice.sees("bobby"), bobby.sees("alice"))
    await remote_events(alice)
    push, plays = await place.phone("phone", room)
    async with Pusher(push, files(PHONE)):
        await asyncio.gather(
            alice.sees("phone", PHONE), bobby.sees("phone", PHONE), player.plays(plays["bobby"], CAMERA, tmp_path)
        )
        await chatting(alice, bobby)
        await alice.told("heartbeat", user="alice", room=room)
        await alice.reload(room)
        await asyncio.gather(bobby.sees("alice"), alice.sees("phone", PHONE))
        members = await bobby.call("promised((ok, no) => WebRTCRoom.get_room_members(room.roomID, ok, no))")
        assert {"userID": "alice", "nickName": "alice"} in members["data"]["members"]
    await muting(alice, bobby)
    await devices_and_numbers(alice, bobby)
    await stopping(alice, bobby)


async def chatting(alice: Person, bobby: Person) -> None:
    """Both join the group of their room, by its number; each message comes once, to its sender as well."""
    for person in (alice, bobby):
        joined = await person.page.evaluate("(nick) => chat(nick)", person.user.title())
        assert joined["JoinedStatus"] == "JoinedSuccess", joined
    said = [(alice, "大家好"), (bobby, "are you <there>?"), (alice, "👋")]
    for number, (person, words) in enumerate(said, start=1):
        await person.call("promised((ok, no) => IM.sendRoomTextMsg(argument, ok, no))", words)
        for reader in (alice, bobby):
            await reader.tab.wait("(number) => messages.length >= number", number)
    for reader in (alice, bobby):
        got = await reader.page.evaluate("() => messages")
        expected = [(p.user.title(), p.user, words, p is reader) for p, words in said]
        assert [(m["who"], m["from"], m["text"], m["isSend"]) for m in got] == expected, got


async def remote_events(alice: Person) -> None:
    updates = await alice.events("onRemoteStreamUpdate")
    assert updates[0]["stream"] is None and updates[-1]["stream"] == "stream of 2", updates
    for update in updates:
        assert update["userId"] == update["openId"] == "bobby"
        assert update["videoId"] == updates[0]["videoId"] and update["videoId"].split("_")[0].isdecimal()
        assert update["videoType"] in (1, 2)
    assert updates[-1]["videoType"] == 2
    tiny = updates[0]["videoId"].split("_")[0]
    await alice.told("onPeerConnectionAdd", userId="bobby", tinyId=tiny)
    await alice.told("onStreamNotify", event="onadd", isLocal=False, userId="bobby", videoId=updates[0]["videoId"])
    await alice.told("onStreamNotify", event="onadd", isLocal=True, userId="alice")
    await alice.told("onIceConnectionBuild", result=True, state=0)
    await alice.told("onInitResult", result=0)
    await alice.told("onStartRTCResult", result=0)
    assert await alice.call("[RTC.getUserId(), RTC.getUserId(argument), RTC.getOpenId('1')]", tiny) == [
        "alice",
        "bobby",
        None,
    ]


async def muting(alice: Person, bobby: Person) -> None:
    assert await bobby.call("RTC.getLocalMediaStatus()") == {"video": True, "audio": True}
    await bobby.call("[RTC.closeVideo(), RTC.closeAudio()]")
    assert await bobby.call("RTC.getLocalMediaStatus()") == {"video": False, "audio": False}
    assert await alice.told("onMuteVideo") == {"userId": "bobby"}
    assert await alice.told("onMuteAudio") == {"userId": "bobby"}
    await bobby.call("[RTC.openVideo(), RTC.openAudio()]")
    assert await alice.told("onUnmuteVideo") == {"userId": "bobby"}
    assert await alice.told("onUnmuteAudio") == {"userId": "bobby"}
    await alice.sees("bobby")


async def devices_and_numbers(alice: Person, bobby: Person) -> None:
    for kind in ("Video", "Audio"):
        devices = await alice.call(f"new Promise((r) => RTC.get{kind}Devices((d) => r(d.length)))")
        assert devices >= 1
        chosen = (
            f"promised((ok, no) => RTC.get{kind}Devices((d) => RTC.choose{kind}Device(d.at(-1), () => ok('ok'), no)))"
        )
        assert await alice.call(chosen) == "ok"
    await bobby.sees("alice")
    first = (
        "promised((ok, no) => RTC.getStats(argument, (r) => { r.nomore(); ok(JSON.parse(JSON.stringify(r))); }, no))"
    )
    sent = await alice.call(first, {"interval": 200})
    assert sent["video"]["codec"] == "H264" and sent["video"]["packetsSent"] > 0 and sent["video"]["width"] > 0, sent
    assert sent["audio"]["codec"] == "opus" and sent["audio"]["ssrc"] > 0, sent
    got = await alice.call(first, {"userId": "bobby"})
    assert got["video"]["packetsReceived"] > 0 and got["audio"]["packetsReceived"] > 0, got
    assert (await alice.call(first, {"userId": "nobody"}))["failed"]["errorCode"] == 10039
    assert await alice.call("[RTC.getUserId(), RTC.getOpenId()]") == ["alice", "alice"]
    assert (await alice.call("promised((ok) => WebRTCAPI.fn.detectRTC({}, ok))"))["support"] is True
    loud = """new Promise((resolve) => {
      const meter = WebRTCAPI.SoundMeter({
        stream: document.getElementById('local').srcObject,
        onprocess: ({ volume, status }) => status === 'speaking' && (meter.stop(), resolve(volume)),
      });
    })"""
    assert 0.01 <= await alice.call(loud) <= 1


async def stopping(alice: Person, bobby: Person) -> None:
    updates = await alice.events("onRemoteStreamUpdate")
    video_id = next(update["videoId"] for update in updates if update["userId"] == "bobby")
    assert await bobby.call("promised((ok, no) => RTC.stopRTC({}, () => ok('ok'), no))") == "ok"
    await alice.told("onRemoteStreamRemove", userId="bobby", openId="bobby", videoId=video_id)
    await alice.told("onStreamNotify", event="ended", userId="bobby")
    await alice.forget()
    assert await bobby.call("promised((ok, no) => RTC.startRTC(0, () => ok('ok'), no))") == "ok"
    await alice.sees("bobby")
    await alice.forget()
    assert await bobby.call("promised((ok, no) => RTC.quit(() => ok('ok'), no))") == "ok"
    await alice.told("onRemoteStreamRemove", userId="bobby")
    await alice.told("onPeerConnectionClose", userId="bobby")
    tracks = "document.getElementById('local').srcObject.getTracks().map((track) => track.readyState)"
    assert set(await bobby.call(tracks)) == {"ended"}
    await alice.forget()
    again = """promised((ok, no) => WebRTCRoom.enterRoom(RTC.getUserId(), 'Bob', room.roomID,
      () => RTC.createRoom({ roomid: Number(room.roomID), role: 'user' }, () => ok('ok'), no), no))"""
    assert await bobby.call(again) == "ok"
    await alice.sees("bobby")
    await bobby.sees("alice")
    assert await alice.page.evaluate("() => made.length") > 0
    assert await alice.page.evaluate(LIBRARY_SOUND) == 0, "the sound would be heard twice"
    await alice.call("promised((ok, no) => RTC.quit(() => ok('ok'), no))")


async def test_the_same_user_elsewhere_ends_the_first(browser: Browser, place: Place) -> None:
    first = await Person.open(browser, place, "carol")
    second = await Person.open(browser, place, "carol")
    try:
        room = await first.start(options={"closeLocalMedia": True})
        await second.start(room, options={"closeLocalMedia": True})
        assert (await first.told("onKickout"))["userId"] == "carol"
        await asyncio.sleep(0.5)
        assert await second.events("onKickout") == [] and await first.events("onLocalStreamAdd") == []
    finally:
        await first.tab.close()
        await second.tab.close()


async def test_roles_of_the_third_version_send_when_told(browser: Browser, place: Place) -> None:
    """With `anchor` and `audience` nothing is sent by itself; another stream takes the place of the first."""
    anchor = await Person.open(browser, place, "frank")
    viewer = await Person.open(browser, place, "grace")
    try:
        room = await anchor.start(entry={"role": "anchor", "appScene": "Live"})
        await viewer.start(room, entry={"role": "audience", "appScene": "Live"})
        refused = await viewer.call("promised((ok, no) => RTC.startRTC(0, ok, no))")
        assert refused["failed"]["errorCode"] == 10033, refused
        assert (await viewer.told("onStartRTCResult"))["result"] == 10033
        assert await anchor.events("onLocalStreamAdd") == []
        share = """promised((ok, no) => RTC.getLocalStream(
            argument, (r) => RTC.startRTC({ stream: r.stream }, () => ok('ok'), no), no))"""
        assert await anchor.call(share, {"audio": True, "video": False}) == "ok"
        assert (await viewer.told("onRemoteStreamUpdate", stream="stream of 1"))["videoType"] == 1
        update = share.replace("startRTC", "updateStream")
        assert await anchor.call(update, {"audio": True, "video": True}) == "ok"
        assert (await viewer.told("onRemoteStreamUpdate", stream="stream of 2"))["videoType"] == 2
        await viewer.sees("frank")
        assert await viewer.call("promised((ok, no) => RTC.changeSpearRole('anchor', () => ok('ok'), no))") == "ok"
        assert await viewer.call("promised((ok, no) => RTC.startRTC(0, () => ok('ok'), no))") == "ok"
        await anchor.sees("grace")
    finally:
        await anchor.tab.close()
        await viewer.tab.close()


async def test_a_second_stream_and_who_is_muted_already(browser: Browser, place: Place) -> None:
    """A member by the new library shares a screen beside its muted camera; the old page gets both."""
    henry = await Person.open(browser, place, "henry")
    irene = await Person.open(browser, place, "irene")
    try:
        room = await irene.start(options={"closeLocalMedia": True})
        begin = """([server, user, roomId]) => new Promise((ok, no) => WebRTCRoom.getLoginInfo(user, ok, no))
          .then(async ({ data: { sdkAppID: sdkAppId, userSig } }) => {
            await new Promise((ok, no) => WebRTCRoom.enterRoom(user, user, String(roomId), ok, no));
            const { default: TRTC } = await import(server + '/sdk/trtc.js');
            window.trtc = TRTC.create();
            await trtc.enterRoom({ sdkAppId, userId: user, userSig, roomId });
            await trtc.startLocalVideo({ mute: true });
            await trtc.startScreenShare();
          })"""
        await henry.page.evaluate(begin, [place.gateway.http, "henry", int(room)])
        screen = await irene.told("onRemoteStreamUpdate", videoType=7, stream="stream of 1")
        camera = await irene.told("onRemoteStreamUpdate", videoType=2, stream="stream of 1")
        assert screen["userId"] == camera["userId"] == "henry" and screen["videoId"] != camera["videoId"]
        assert screen["videoId"].split("_")[0] == camera["videoId"].split("_")[0]
        assert await irene.told("onMuteVideo") == {"userId": "henry"}
        await henry.page.evaluate("() => trtc.stopScreenShare()")
        await irene.told("onRemoteStreamRemove", userId="henry", videoId=screen["videoId"])
        assert len(await irene.events("onRemoteStreamRemove")) == 1
        await henry.page.evaluate("() => trtc.exitRoom()")
        await irene.told("onRemoteStreamRemove", userId="henry", videoId=camera["videoId"])
        await irene.told("onQualityReport")
    finally:
        await henry.tab.close()
        await irene.tab.close()


async def test_wrong_tickets_and_parameters_have_the_old_numbers(browser: Browser, place: Place) -> None:
    dave = await Person.open(browser, place, "davey")
    try:
        await dave.start(options={"closeLocalMedia": True})
        enter = "const api = new WebRTCAPI(argument, () => api.createRoom({ roomid: 7 }, ok, no), no);"
        wrong = f"promised((ok, no) => {{ {enter} }})"
        found = await dave.call(wrong, {"sdkAppId": 1400000078, "userId": "davey", "userSig": "nonsense"})
        assert found["failed"]["errorCode"] == 70236 and found["failed"]["errorMsg"], found
        found = await dave.call(wrong, {"sdkAppId": 1400000078, "userId": "davey"})
        assert found["failed"]["errorCode"] == 10001, found
        # Who was let into one room is not let into another without its ticket.
        signed = await dave.page.evaluate(
            "() => ({ sdkAppId: login.sdkAppID, userId: 'davey', userSig: login.userSig })"
        )
        found = await dave.call(wrong, signed)
        assert found["failed"]["errorCode"] == 70236 and found["failed"]["extInfo"]["extraCode"] == 1, found
        found = await dave.call("promised((ok, no) => RTC.createRoom({}, ok, no))")
        assert found["failed"]["errorCode"] == 10001, found
        found = await dave.call("promised((ok, no) => WebRTCRoom.enterRoom('davey', 'd', '99', ok, no))")
        assert found["failed"]["errCode"] == 3 and found["failed"]["errMsg"], found
        found = await dave.call("promised((ok, no) => WebRTCRoom.getRoomList(0, 20, ok, no))")
        assert [entry["roomInfo"] for entry in found["data"]["rooms"]].count("lesson") >= 1, found
        members = "promised((ok, no) => WebRTCRoom.get_room_members(room.roomID, ok, no))"
        assert (await dave.call(members))["data"]["members"] == [{"userID": "davey", "nickName": "davey"}]
        nowhere = "promised((ok, no) => (WebRTCRoom.setServer(argument), WebRTCRoom.getRoomList(0, 20, ok, no)))"
        found = await dave.call(nowhere, "http://127.0.0.1:9")
        assert found["failed"]["errCode"] == -1 and "get_room_list" in found["failed"]["errMsg"], found
        signed = "promised((ok, no) => (WebRTCRoom.setUserSig('wrong'), WebRTCRoom.getLoginInfo('davey', ok, no)))"
        await dave.call("WebRTCRoom.setServer(argument)", place.gateway.http)
        assert (await dave.call(signed))["failed"]["errCode"] == 4001
    finally:
        await dave.tab.close()


async def test_the_server_goes_and_comes_back(browser: Browser, place: Place, stack: AsyncExitStack) -> None:
    """After the others, since it stops the server of this module. The call goes on; a page without patience leaves."""
    erika, erwin, felix = [await opened(stack, browser, place, user) for user in ("erika", "erwin", "felix")]
    room = await erika.start(options=PATIENT)
    await erwin.start(room, options=PATIENT)
    await felix.start(room, options={"wsRetryMaxTimes": 0, "video": False})
    await felix.told("onLocalStreamAdd", stream="stream of 1")
    await asyncio.gather(erika.sees("erwin"), erwin.sees("erika"))
    for person in (erika, erwin, felix):
        await person.forget()
    await place.gateway.stop()
    closed = await felix.told("onWebSocketClose")
    assert closed["errorCode"] == 10035 and closed["errorMsg"], closed
    await felix.told("onWebSocketNotify", errorCode=10035)
    await felix.told("onRemoteStreamRemove", userId="erika")
    tracks = "document.getElementById('local').srcObject.getTracks().map((track) => track.readyState)"
    assert await felix.call(tracks) == ["ended"]
    await erika.told("onUserDefinedWebRTCEventNotice", event="on_websocket_close_by_network_broken")
    await place.gateway.start()
    for person in (erika, erwin):
        await person.told("onWebSocketReconnection", timeout=30, userId=person.user)
        await person.told("onWebSocketNotify", errorCode=0)
    await asyncio.gather(erika.sees("erwin"), erwin.sees("erika"))
    for person in (erika, erwin):
        assert await person.events("onWebSocketClose") == [], "pages leave at that"
    assert await felix.events("onWebSocketReconnection") == []


async def test_a_ticket_that_is_good_no_more_ends_the_stay(browser: Browser, place: Place) -> None:
    """The server comes back with another secret and knows nobody: the page is told to enter again."""
    fiona = await Person.open(browser, place, "fiona")
    try:
        await fiona.start(options={"closeLocalMedia": True, **PATIENT})
        await place.gateway.stop()
        await fiona.told("onUserDefinedWebRTCEventNotice", event="on_websocket_close_by_network_broken")
        settings = place.gateway.data / "gateway.toml"
        settings.write_text(settings.read_text().replace("a secret of our own", "another secret"), encoding="utf-8")
        for kept in place.gateway.data.glob("*.sqlite*"):
            kept.unlink()
        await place.gateway.start()
        over = await fiona.told("onRelayTimeout", timeout=30)
        assert over["errorCode"] == 70236 and over["errorMsg"], over
        assert await fiona.events("onWebSocketError") == [over]
        await fiona.told("onErrorNotify", errorCode=70236)
        await fiona.told("onWebSocketNotify", errorCode=70236)
    finally:
        await fiona.tab.close()
