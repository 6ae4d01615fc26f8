"""What an application may ask of the browser library, and when; what it is told when it may not."""

from __future__ import annotations

import asyncio
import json

from playwright.async_api import Browser

from tests.e2e.browser import PROBE, Member, Tab, until
from tests.e2e.fake_gateway import FakeGateway
from tests.e2e.library import TICKETS, join, outside, refusal


async def test_parameters_are_checked(browser: Browser, fake: FakeGateway) -> None:
    alice = await outside(browser, fake)
    try:
        good = "{ sdkAppId: 1, userId: 'a', userSig: 's', roomId: 1 }"
        for call, code, extra in [
            ("enterRoom()", 5000, 5001),
            ("enterRoom({ userSig: 's', roomId: 1 })", 5000, 5001),
            ("enterRoom({ userId: 1, userSig: 's', roomId: 1 })", 5000, 5002),
            ("enterRoom({ userId: '', userSig: 's', roomId: 1 })", 5000, 5003),
            ("enterRoom({ userId: 'no spaces', userSig: 's', roomId: 1 })", 5000, 5005),
            ("enterRoom({ userId: 'a', roomId: 1 })", 5000, 5001),
            (f"enterRoom({{ ...{good}, sdkAppId: 'x' }})", 5000, 5002),
            (f"enterRoom({{ ...{good}, privateMapKey: 7 }})", 5000, 5002),
            (f"enterRoom({{ ...{good}, roomId: 4294967295 }})", 5000, 5012),
            (f"enterRoom({{ ...{good}, roomId: '7' }})", 5000, 5016),
            (f"enterRoom({{ ...{good}, roomId: 0, strRoomId: 'x'.repeat(65) }})", 5000, 5013),
            (f"enterRoom({{ ...{good}, roomId: undefined }})", 5000, 5015),
            (f"enterRoom({{ ...{good}, scene: 'film' }})", 5000, 5005),
            (f"enterRoom({{ ...{good}, role: 'king' }})", 5000, 5005),
            ("switchRole('king')", 5000, 5005),
            ("setRemoteAudioVolume('bob', 101)", 5000, 5008),
            ("setRemoteAudioVolume('bob', -1)", 5000, 5006),
            ("startLocalVideo({ option: { profile: '8K' } })", 5000, 5005),
            ("startLocalVideo({ view: 'nowhere' })", 5000, 5009),
            ("startLocalVideo({ view: 7 })", 5000, 5010),
            ("startLocalAudio({ option: { captureVolume: 300 } })", 5000, 5008),
            ("constructor.setLogLevel(9)", 5000, 5005),
            ("constructor.setCurrentSpeaker('nobody')", 5000, 5005),
            # Before a room is entered, and what is not started:
            ("switchRole('anchor')", 5100, 5101),
            ("startRemoteVideo({ userId: 'echo', view: null })", 5100, 5101),
            ("updateRemoteVideo({ userId: 'echo' })", 5100, 5101),
            ("muteRemoteAudio('echo', true)", 5100, 5101),
            ("sendCustomMessage({ cmdId: 1, data: new ArrayBuffer(1) })", 5100, 5101),
            ("sendSEIMessage(new ArrayBuffer(1))", 5100, 5101),
            ("inspect({ userId: 'echo' })", 5100, 5101),
            ("updateLocalAudio({ mute: true })", 5100, 5106),
            ("updateLocalVideo({ mute: true })", 5100, 5105),
            ("updateScreenShare({ publish: false })", 5100, 0),
            ("startPlugin('Beauty', {})", 5200, 0),
            ("updatePlugin('Beauty', {})", 5200, 0),
            ("stopPlugin('Beauty')", 5100, 0),
        ]:
            assert await refusal(alice, call) == [code, extra], call
        # A start that failed leaves nothing behind: the camera can be started, and only once.
        await alice.call("trtc.startLocalVideo({ option: { profile: '180p' } })")
        assert await refusal(alice, "startLocalVideo()") == [5100, 5104]
        assert fake.entries == 0
    finally:
        await alice.close()


async def test_options_that_have_no_effect_are_taken(browser: Browser, fake: FakeGateway) -> None:
    """Those of the cloud, and the origin of the gateway, which the page need not come from."""
    other = FakeGateway()
    url = await other.start()
    tab = await Tab.open(browser, url + "/")
    try:
        await tab.page.evaluate(PROBE)
        more = {"proxy": "wss://x", "userDefineRecordId": "r", "latencyLevel": 1, "enableAutoPlayDialog": False}
        options = {"server": fake.url, "plugins": [], "assetsPath": "/x"}
        join = "([c, o]) => probe.join('me', c, o).then((room) => room.userId)"
        assert await tab.page.evaluate(join, [{**TICKETS, **more, "scene": "rtc"}, options]) == "alice"
        assert fake.entries == 1 and other.entries == 0
        await tab.page.evaluate("() => probe.peers.me.stop()")
    finally:
        await tab.close()
        await other.stop()


async def test_inside_a_room(browser: Browser, fake: FakeGateway) -> None:
    alice = await join(browser, fake, codecs=["VP8"])
    try:
        for call, code, extra in [
            ("enterRoom({ userId: 'a', userSig: 's', roomId: 1 })", 5100, 5104),
            ("startRemoteVideo({ userId: 'nobody', view: null })", 5100, 5102),
            ("startRemoteVideo({ userId: 'echo', streamType: 'sub', view: null })", 5100, 5103),
            ("startRemoteVideo({ userId: 'echo', view: 'nowhere' })", 5000, 5009),
            ("startRemoteVideo({ userId: 'echo', streamType: 'third' })", 5000, 5005),
            ("muteRemoteAudio('nobody', true)", 5100, 5102),
            ("sendCustomMessage({ cmdId: 11, data: new ArrayBuffer(1) })", 5000, 5005),
            ("sendCustomMessage({ cmdId: 1, data: new ArrayBuffer(0) })", 5000, 5017),
            ("sendCustomMessage({ cmdId: 1, data: new ArrayBuffer(1025) })", 5000, 5018),
            ("sendCustomMessage({ cmdId: 1, data: 'text' })", 5000, 5002),
            ("sendSEIMessage(new ArrayBuffer(1))", 5100, 5108),
        ]:
            assert await refusal(alice, call) == [code, extra], call
        found = await alice.call("trtc.inspect({ userId: 'echo' })")
        assert found["for"] == "echo" and found["video"]["bridge"] == "passes"

        await alice.call("trtc.sendCustomMessage({ cmdId: 3, data: new Uint8Array([1, 2, 255]).buffer })")
        assert fake.requests("custom")[-1] | {"id": 0} == {"id": 0, "t": "custom", "cmdId": 3, "data": "AQL/"}
        told = "new Promise((r) => trtc.on('custom-message', (e) => r({ ...e, data: [...new Uint8Array(e.data)] })))"
        waiting = asyncio.ensure_future(alice.call(told))
        await asyncio.sleep(0.2)
        await fake.tell(t="custom", **{"from": "echo"}, cmdId=4, seq=9, data="AP8=")
        assert await waiting == {"userId": "echo", "cmdId": 4, "seq": 9, "data": [0, 255]}

        # What is received, by which requests.
        await until(lambda: fake.requests("subscribe"), 5)
        assert fake.requests("subscribe")[-1]["kinds"] == ["audio"]
        await alice.call("trtc.muteRemoteAudio('*', true)")
        assert fake.requests("unsubscribe")[-1]["kinds"] == ["audio"]
        await alice.call("trtc.muteRemoteAudio('echo', false)")
        assert fake.requests("subscribe")[-1]["kinds"] == ["audio"]
        await alice.call("trtc.setRemoteAudioVolume('*', 30)")

        # Only while it is in sight.
        await alice.call(
            """(document.body.insertAdjacentHTML('beforeend',
              '<div id="list" style="position:fixed;inset:0;width:300px;height:200px;overflow:auto">' +
              '<div style="height:900px"></div><div id="far" style="height:100px"></div></div>'),
            trtc.startRemoteVideo({ userId: 'echo', view: 'far', option: {
              receiveWhenViewVisible: true, viewRoot: document.getElementById('list') } }))"""
        )
        asked = len(fake.requests("subscribe"))
        await until(lambda: fake.requests("unsubscribe")[-1]["kinds"] == ["video"], 5)
        await alice.tab.page.evaluate("() => document.getElementById('far').scrollIntoView()")
        await until(lambda: len(fake.requests("subscribe")) > asked, 5)
        assert fake.requests("subscribe")[-1]["kinds"] == ["video"]
        await alice.call("trtc.stopRemoteVideo({ userId: '*' })")
        assert fake.requests("unsubscribe")[-1]["kinds"] == ["video"]
    finally:
        await alice.close()


async def test_sound_can_be_left_to_the_application(browser: Browser, fake: FakeGateway) -> None:
    alice = await Member.join(browser, fake.url, {**TICKETS, "autoReceiveAudio": False, "autoReceiveVideo": True})
    try:
        await until(lambda: fake.requests("subscribe"), 5)
        assert [request["kinds"] for request in fake.requests("subscribe")] == [["video"]]
        await alice.call("trtc.muteRemoteAudio('echo', false)")
        assert fake.requests("subscribe")[-1]["kinds"] == ["audio"]
    finally:
        await alice.close()


async def test_what_is_overtaken_is_given_up(browser: Browser, fake: FakeGateway) -> None:
    alice = await outside(browser, fake)
    try:
        fake.unanswered.add("enter")
        entering = f"enterRoom({json.dumps(TICKETS)})"
        pending = asyncio.ensure_future(refusal(alice, entering))
        await until(lambda: fake.requests("enter"), 5)
        assert await refusal(alice, entering) == [5998, 0]
        fake.unanswered.add("leave")
        await alice.call("trtc.exitRoom()")
        assert await pending == [5998, 0]
        fake.unanswered.clear()
        states = [detail["state"] for _, detail in await alice.events("connection-state-changed")]
        assert states == ["CONNECTING", "DISCONNECTED"]
        await alice.call(f"trtc.{entering}")
        both = "Promise.allSettled([trtc.startLocalVideo(), trtc.stopLocalVideo()])"
        assert (await alice.call(f"{both}.then(([s]) => s.reason?.code)")) == 5998
        assert await alice.call("trtc.getVideoTrack()") is None
        await alice.call("trtc.startLocalVideo()")
    finally:
        await alice.close()


async def test_live_scene_knows_anchors(browser: Browser, fake: FakeGateway) -> None:
    fake.members = [{"userId": "carol", "nick": "Carol", "role": "audience"}]
    alice = await Member.join(browser, fake.url, {**TICKETS, "scene": "live", "role": "audience"})
    try:
        for call in (
            "startLocalAudio()",
            "startLocalVideo()",
            "startScreenShare()",
            "sendCustomMessage({ cmdId: 1, data: new ArrayBuffer(1) })",
            "sendSEIMessage(new ArrayBuffer(1))",
        ):
            assert await refusal(alice, call) == [5100, 5107], call
        await alice.call("trtc.startLocalVideo({ publish: false })")
        await fake.tell(t="member+", userId="dave", nick="", role="audience")
        await fake.tell(t="member+", userId="carol", nick="Carol", role="anchor")
        await fake.tell(t="member+", userId="carol", nick="Carol", role="audience")
        await fake.tell(t="member-", userId="dave", reason="left")
        await until(lambda: alice.events("remote-user-exit"), 5)
        heard = [(name, detail["userId"]) for name, detail in await alice.events() if name.startswith("remote-user")]
        assert heard == [("remote-user-enter", "echo"), ("remote-user-enter", "carol"), ("remote-user-exit", "carol")]
        assert [member["userId"] for member in await alice.call("trtc.getRoom().members")] == ["echo", "carol"]

        await alice.call("trtc.switchRole('anchor', { privateMapKey: 'other' })")
        assert fake.requests("role")[-1] | {"id": 0} == {
            "id": 0,
            "t": "role",
            "role": "anchor",
            "privateMapKey": "other",
        }
        assert (await alice.call("trtc.getRoom()"))["role"] == "anchor"
        await alice.call("trtc.updateLocalVideo({ publish: true })")
        assert list(fake.requests("publish")[-1]["streams"].values()) == ["main"]
        await alice.call("trtc.switchRole('audience')")
        assert fake.requests("publish")[-1]["streams"] == {}
        await alice.call("trtc.switchRole('anchor')")
        assert list(fake.requests("publish")[-1]["streams"].values()) == ["main"]
        states = [(d["mediaType"], d["prevState"], d["state"], d.get("reason")) for _, d in
                  await alice.events("publish-state-changed")]  # fmt: skip
        begun = [("video", "stopped", "starting", None), ("video", "starting", "started", None)]
        assert states == [*begun, ("video", "started", "stopped", "api-call"), *begun]
    finally:
        await alice.close()


async def test_a_refused_publication_is_told(browser: Browser, fake: FakeGateway) -> None:
    alice = await join(browser, fake)
    try:
        await until(lambda: fake.requests("publish"), 5)
        fake.refuse["publish"] = {"code": 1202, "name": "not_permitted", "message": "no right to send pictures"}
        assert await refusal(alice, "startLocalVideo()") == [5400, 1202]
        told = [detail for _, detail in await alice.events("publish-state-changed")]
        assert [(change["state"], change.get("reason")) for change in told] == [
            ("starting", None),
            ("stopped", "error"),
        ]
        assert told[-1]["error"]["reason"] == "not_permitted"
        assert await alice.call("trtc.getVideoTrack()") is None
        fake.refuse.clear()
        await alice.call("trtc.startLocalVideo()")
    finally:
        await alice.close()
