"""The browser library in Chromium against a scripted server: what it sends, how it comes back, what it tells."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error

from tests.e2e.browser import PROBE, Member, Tab, until
from tests.e2e.content import Maker
from tests.e2e.fake_gateway import FakeGateway
from tests.e2e.gateway_process import Gateway
from tests.e2e.pusher import FFMPEG, Pusher

ALICE = Maker(ident=7, tone=660)
TICKETS = {"userId": "alice", "userSig": "sig", "privateMapKey": "key", "roomId": 1001, "sdkAppId": 1}

TWO_EARS = """async () => {
  const track = probe.peers.me.trtc.getAudioTrack({ userId: 'phone' });
  const context = new AudioContext();
  const split = context.createChannelSplitter(2);
  context.createMediaStreamSource(new MediaStream([track])).connect(split);
  const ears = [0, 1].map((channel) => {
    const ear = new AnalyserNode(context, { fftSize: 8192 });
    split.connect(ear, channel);
    return ear;
  });
  await new Promise((resolve) => setTimeout(resolve, 600));
  const loudest = ears.map((ear) => {
    const bins = new Float32Array(ear.frequencyBinCount);
    ear.getFloatFrequencyData(bins);
    const best = bins.indexOf(Math.max(...bins));
    return bins[best] > -60 ? (best * context.sampleRate) / ear.fftSize : 0;
  });
  await context.close();
  return loudest[0] && loudest[1] ? loudest : null;
}"""
"""The loudest tone (Hz) in the left and in the right channel of what comes from `phone`."""

PEAKS = """() => Promise.all(((trtc) => TRACKS)(probe.peers.me.trtc).map(async (track) => {
  const context = new AudioContext();
  const ear = new AnalyserNode(context, { fftSize: 2048 });
  context.createMediaStreamSource(new MediaStream([track])).connect(ear);
  const samples = new Float32Array(2048);
  let peak = 0;
  for (let i = 0; i < 60; i++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    ear.getFloatTimeDomainData(samples);
    peak = Math.max(peak, ...samples);
  }
  await context.close();
  return peak;
}))"""
"""The loudest sample of each of the tracks within a second and a half."""


@pytest_asyncio.fixture(loop_scope="session")
async def fake() -> AsyncIterator[FakeGateway]:
    gateway = FakeGateway()
    await gateway.start()
    yield gateway
    await gateway.stop()


async def join(browser: Browser, fake: FakeGateway, **options: Any) -> Member:
    return await Member.join(browser, fake.url, TICKETS, **options)


async def outside(browser: Browser, fake: FakeGateway, **options: Any) -> Member:
    """Somebody who has the library and is in no room."""
    tab = await Tab.open(browser, fake.url + "/")
    await tab.page.evaluate(PROBE)
    await tab.page.evaluate("(options) => probe.create('me', options).then(() => 0)", options)
    return Member(tab, "alice", {})


async def refusal(member: Member, call: str) -> list[int]:
    """Return code and extraCode of the error that a call of the library ends with."""
    tried = f"(async () => trtc.{call})().then(() => [0, 0], (error) => [error.code, error.extraCode])"
    found: list[int] = await member.call(tried)
    return found


def has(events: list[Any], **fields: Any) -> bool:
    return any(fields.items() <= (detail or {}).items() for _, detail in events)


async def has_events(member: Member, name: str, **fields: Any) -> bool:
    return has(await member.events(name), **fields)


async def test_call_with_an_echo(browser: Browser, fake: FakeGateway) -> None:
    """VP8, since aiortc encodes it fastest; the order of H.264 and VP8 in an offer is checked below."""
    alice = await join(browser, fake, codecs=["VP8"])
    try:
        assert alice.room["members"] == [{"userId": "echo", "nick": "Echo", "role": "anchor"}]
        enter = fake.requests("enter")[0]
        assert {"v": 1, "userSig": "sig", "privateMapKey": "key", "roomId": 1001}.items() <= enter.items()
        await until(lambda: fake.requests("publish"), 5)
        first = fake.requests("publish")[0]
        assert first["sdp"].count("m=") == 1 and "m=application" in first["sdp"] and first["streams"] == {}
        await alice.send(ALICE)
        await alice.watch_all()
        report = await alice.sees("echo", ALICE)
        assert report["unreadable"] <= 2 and report["beeps"] >= 1
        last = fake.requests("publish")[-1]
        assert sorted(last["streams"].values()) == ["main", "main"]
        sections = last["sdp"].split("\nm=")[1:]
        assert [section.split()[0] for section in sections] == ["application", "audio", "video"]
        assert all("a=sendonly" in section for section in sections[1:])
        # Each was offered with it once; the fake's answers did not take it.
        offered = [offer["sdp"].split("\nm=")[1:] for offer in fake.requests("publish")]
        assert "abs-capture-time" in offered[1][1] and "abs-capture-time" in offered[2][2]
        assert "VP8" in sections[2] and "H264" not in sections[2]
        await alice.call("trtc.updateLocalAudio({ mute: true })")
        await alice.call("trtc.updateLocalVideo({ mute: true })")
        assert [(mute["kind"], mute["muted"]) for mute in fake.requests("mute")] == [("audio", True), ("video", True)]
        await alice.call("trtc.stopLocalVideo()")
        stopped = fake.requests("publish")[-1]
        assert list(stopped["streams"].values()) == ["main"] and stopped["sdp"].count("m=") == 3
        names = [name for name, _ in await alice.events()]
        assert {"remote-user-enter", "remote-video-available", "remote-audio-available", "track"} <= set(names)
    finally:
        await alice.close()
    assert fake.requests("leave")


async def test_h264_is_preferred(browser: Browser, fake: FakeGateway) -> None:
    alice = await join(browser, fake)
    try:
        await alice.send(ALICE, audio=False)
        video = fake.requests("publish")[-1]["sdp"].split("m=video ")[1]
        types = video.split()[2:]
        rtpmap = {line.split()[0].split(":")[1]: line for line in video.splitlines() if line.startswith("a=rtpmap")}
        fmtp = {line.split()[0].split(":")[1]: line for line in video.splitlines() if line.startswith("a=fmtp")}
        assert "H264" in rtpmap[types[0]]
        assert "42e01f" in fmtp[types[0]] and "packetization-mode=1" in fmtp[types[0]]
        assert "VP9" not in video and "AV1" not in video and "VP8" in video
    finally:
        await alice.close()


async def test_resume_after_a_lost_socket(browser: Browser, fake: FakeGateway) -> None:
    alice = await join(browser, fake, codecs=["VP8"])
    try:
        await alice.send(ALICE)
        await alice.watch_all()
        await alice.sees("echo", ALICE)
        await alice.tab.page.evaluate("() => probe.peers.me.clearEvents()")
        await fake.lose()
        await until(lambda: fake.entries == 2, 5)
        again = fake.requests("enter")[-1]
        assert again["resume"] == "token1" and "userSig" not in again and sorted(again["keep"]) == ["down", "up"]
        await alice.sees("echo", ALICE)
        states = [detail["state"] for _, detail in await alice.events("connection-state-changed")]
        assert states[0] == "CONNECTING" and states[-1] == "CONNECTED"
        assert await alice.call("[trtc.getAudioTrack().readyState, trtc.getVideoTrack().readyState]") == [
            "live",
            "live",
        ]
        names = {name for name, _ in await alice.events()}
        assert not names & {"remote-user-exit", "remote-user-enter", "kicked-out", "error"}

        # The token is spent and its time over: the tickets are used.
        fake.refuse["enter"] = {"code": 1205, "name": "no_such_member", "message": "the resume time is over"}
        await fake.lose()
        await until(lambda: fake.entries == 3, 5)
        assert fake.requests("enter")[-1]["userSig"] == "sig" and "resume" not in fake.requests("enter")[-1]
    finally:
        await alice.close()


async def test_refusals_and_kicks_are_told_in_words(browser: Browser, fake: FakeGateway) -> None:
    fake.refuse["enter"] = {"code": 9, "name": "bad_ticket", "message": "the userSig has expired"}
    with pytest.raises(Error, match="the userSig has expired"):
        await join(browser, fake)
    fake.refuse.clear()
    alice = await join(browser, fake)
    try:
        await fake.tell(t="kicked", reason="replaced")
        await until(lambda: alice.events("kicked-out"), 5)
        assert (await alice.events("kicked-out"))[0][1] == {"reason": "kick", "detail": "replaced"}
        assert (await alice.events("connection-state-changed"))[-1][1]["state"] == "DISCONNECTED"
        assert await alice.call("trtc.getRoom()") is None
        assert fake.entries == 1
        with pytest.raises(Error, match="userId"):
            await alice.call("trtc.enterRoom({ userId: 'no spaces please', roomId: 1 })")
    finally:
        await alice.close()


async def test_members_come_and_go(browser: Browser, fake: FakeGateway) -> None:
    alice = await join(browser, fake)
    try:
        await fake.tell(t="member+", userId="bob", nick="Bob", role="anchor")
        stream = {
            "userId": "bob",
            "stream": "aux",
            "audio": False,
            "video": True,
            "audioMuted": False,
            "videoMuted": False,
        }
        await fake.tell(t="stream+", **stream, transport="webrtc", urls={})
        await fake.tell(t="mute", userId="bob", stream="aux", kind="video", muted=True)
        await fake.tell(t="something new", userId="bob")
        await fake.tell(t="stream-", userId="bob", stream="aux")
        await fake.tell(t="member-", userId="bob", reason="left")
        await until(lambda: alice.events("remote-user-exit"), 5)
        told = [(name, detail) for name, detail in await alice.events() if (detail or {}).get("userId") == "bob"]
        assert told == [
            ("remote-user-enter", {"userId": "bob", "nick": "Bob", "role": "anchor"}),
            ("remote-video-available", {"userId": "bob", "streamType": "sub"}),
            ("remote-video-unavailable", {"userId": "bob", "streamType": "sub"}),
            ("remote-user-exit", {"userId": "bob", "reason": "left"}),
        ]
    finally:
        await alice.close()


# --- what callers may ask, and when


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


# --- the own devices


async def test_own_devices(browser: Browser, fake: FakeGateway) -> None:
    alice = await outside(browser, fake, codecs=["VP8"])
    try:
        lists = "Promise.all(['Camera', 'Microphone', 'Speaker'].map((k) => trtc.constructor[`get${k}List`]()))"
        cameras, microphones, speakers = await alice.call(
            f"{lists}.then((all) => all.map((l) => l.map((d) => d.toJSON())))"
        )
        assert {device["kind"] for device in cameras} == {"videoinput"} and cameras[0]["label"]
        assert {device["kind"] for device in microphones} == {"audioinput"}
        detail = (await alice.call("trtc.constructor.isSupported()"))["detail"]
        assert detail["isWebRTCSupported"] and detail["isVp8DecodeSupported"] and not detail["isSmallStreamSupported"]
        await alice.call("trtc.constructor.setCurrentSpeaker(argument)", speakers[0]["deviceId"])
        await until(lambda: has_events(alice, "device-changed", type="speaker", action="active", device=speakers[0]), 5)

        await alice.call("document.body.insertAdjacentHTML('beforeend', '<div id=me></div>')")
        await alice.call("trtc.startLocalVideo({ view: 'me', option: { profile: '180p' } })")
        await alice.call("trtc.startLocalAudio({ option: { profile: 'standard-stereo' } })")
        for kind in ("camera", "microphone"):
            await until(lambda kind=kind: has_events(alice, "device-changed", type=kind, action="active"), 5)
        await until(lambda: has_events(alice, "first-video-frame"), 5)
        assert (await alice.events("first-video-frame"))[0][1] == {
            "userId": "", "streamType": "main", "width": 320, "height": 180
        }  # fmt: skip
        playing = {"userId": "", "streamType": "main", "state": "PLAYING", "reason": "playing"}
        assert [detail for _, detail in await alice.events("video-play-state-changed")] == [playing]
        assert [d["userId"] for _, d in await alice.events("track")] == ["", ""]
        snapshot = await alice.call("trtc.getVideoSnapshot()")
        assert snapshot.startswith("data:image/png;base64,") and len(snapshot) > 500
        assert await alice.call("trtc.getVideoSnapshot({ streamType: 'sub' })") == ""

        # The look of the preview, and another size while it runs.
        style = "(({ objectFit, transform }) => [objectFit, transform])(document.querySelector('#me video').style)"
        assert await alice.call(style) == ["cover", "scaleX(-1)"]
        await alice.call("trtc.updateLocalVideo({ option: { fillMode: 'contain', mirror: false } })")
        assert await alice.call(style) == ["contain", ""]
        await alice.call("trtc.updateLocalVideo({ option: { profile: '120p', qosPreference: 'clear' } })")
        settings = "(({ width, height }) => [width, height])(trtc.getVideoTrack().getSettings())"
        assert await alice.call(settings) == [160, 120]
        assert await alice.call("trtc.getVideoTrack().contentHint") == "detail"
        await until(lambda: has_events(alice, "video-size-changed", newHeight=120), 5)
        await alice.call("document.querySelector('#me video').remove()")
        await until(lambda: has_events(alice, "video-play-state-changed", state="PAUSED", reason="pause"), 5)
        await alice.call("trtc.stopLocalVideo()")
        await until(lambda: has_events(alice, "video-play-state-changed", state="STOPPED", reason="ended"), 5)

        await alice.tab.page.evaluate("() => probe.peers.me.clearEvents()")
        await alice.call("trtc.updateLocalAudio({ option: { microphoneId: argument } })", microphones[-1]["deviceId"])
        await until(lambda: has_events(alice, "device-changed", action="active", device=microphones[-1]), 5)

        # A tenth as loud is another track, made from the same microphone.
        assert await alice.call("trtc.getAudioTrack() === trtc.getAudioTrack({ processed: true })")
        await alice.call("trtc.updateLocalAudio({ option: { captureVolume: 10, earMonitorVolume: 5 } })")
        assert await alice.call("trtc.getAudioTrack() !== trtc.getAudioTrack({ processed: true })")
        assert await alice.call("trtc.getAudioTrack().readyState") == "live"
        tracks = "[trtc.getAudioTrack(), trtc.getAudioTrack({ processed: true })]"
        loud, quiet = await alice.tab.page.evaluate(PEAKS.replace("TRACKS", tracks))
        assert loud > 0.2 and 0.05 < quiet / loud < 0.2, (loud, quiet)
    finally:
        await alice.close()


async def test_devices_come_and_go(browser: Browser, fake: FakeGateway) -> None:
    alice = await join(browser, fake, codecs=["VP8"])
    try:
        await alice.call("trtc.startLocalAudio()")
        await alice.call("trtc.startLocalVideo()")
        before = fake.requests("publish")[-1]["streams"]
        change = """async (extra) => {
          const real = (window.real ??= navigator.mediaDevices.enumerateDevices.bind(navigator.mediaDevices));
          navigator.mediaDevices.enumerateDevices = async () => [...(await real()), ...extra];
          navigator.mediaDevices.dispatchEvent(new Event('devicechange'));
        }"""
        headset = {"kind": "audiooutput", "deviceId": "h1", "label": "Headset", "groupId": "g"}
        await alice.tab.page.evaluate(change, [headset])
        await until(lambda: has_events(alice, "device-changed", type="speaker", action="add", device=headset), 5)
        await alice.tab.page.evaluate(change, [])
        await until(lambda: has_events(alice, "device-changed", type="speaker", action="remove", device=headset), 5)

        # The microphone is unplugged: the next one takes its place, and nothing is published anew.
        await alice.call("window.old = trtc.getAudioTrack()")
        await alice.call("old.stop() ?? old.dispatchEvent(new Event('ended'))")
        await until(lambda: alice.call("trtc.getAudioTrack() !== old && trtc.getAudioTrack().readyState === 'live'"), 5)
        assert fake.requests("publish")[-1]["streams"] == before
        # The camera, and there is no other.
        await alice.call(
            """(navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotFoundError'); },
            trtc.getVideoTrack().dispatchEvent(new Event('ended')))"""
        )
        await until(lambda: has_events(alice, "error", code=5300, reason="NotFoundError"), 5)
        assert await alice.call("trtc.getVideoTrack()") is None
        assert await refusal(alice, "startLocalVideo()") == [5300, 5301]
    finally:
        await alice.close()


async def test_screen_share(browser: Browser, fake: FakeGateway) -> None:
    alice = await join(browser, fake, codecs=["VP8"])
    try:
        await alice.call("document.body.insertAdjacentHTML('beforeend', '<div id=screen></div>')")
        await alice.call("trtc.startScreenShare({ view: 'screen', option: { profile: '720p' } })")
        assert list(fake.requests("publish")[-1]["streams"].values()) == ["aux"]
        await until(lambda: has_events(alice, "first-video-frame", userId="", streamType="sub"), 5)
        assert (await alice.call("trtc.getVideoSnapshot({ streamType: 'sub' })")).startswith("data:image/png")
        fit = "document.querySelector('#screen video').style.objectFit"
        assert await alice.call(fit) == "contain"
        await alice.call("trtc.updateScreenShare({ option: { fillMode: 'cover' }, publish: false })")
        assert await alice.call(fit) == "cover" and fake.requests("publish")[-1]["streams"] == {}
        await alice.call("trtc.updateScreenShare({ publish: true })")
        assert list(fake.requests("publish")[-1]["streams"].values()) == ["aux"]
        # The browser's own button.
        await alice.call("trtc.getVideoTrack({ streamType: 'sub' }).dispatchEvent(new Event('ended'))")
        await until(lambda: has_events(alice, "screen-share-stopped"), 5)
        await until(lambda: fake.requests("publish")[-1]["streams"] == {}, 5)
        states = [(d["mediaType"], d["state"]) for _, d in await alice.events("publish-state-changed")]
        assert states == 2 * [("screen", "starting"), ("screen", "started"), ("screen", "stopped")]
    finally:
        await alice.close()


# --- what is told while a call goes on


async def test_what_a_call_tells(browser: Browser, fake: FakeGateway) -> None:
    """Volumes, statistics, quality, the states of playing: with an echo that sends back what comes."""
    alice = await join(browser, fake, codecs=["VP8"])
    try:
        await alice.call("trtc.enableAudioVolumeEvaluation(20)")
        await alice.send(ALICE)
        await alice.watch_all()
        await alice.sees("echo", ALICE)
        await until(lambda: has_events(alice, "statistics"), 5)
        await alice.tab.page.evaluate("() => probe.peers.me.clearEvents()")
        await asyncio.sleep(4.2)
        events = await alice.events()

        volumes = [detail["result"] for name, detail in events if name == "audio-volume"]
        assert 15 <= len(volumes) <= 43, "20 ms was asked for; 100 ms is the least"
        assert all({one["userId"] for one in result} == {"", "echo"} for result in volumes)
        assert all(a["volume"] >= b["volume"] for a, b in volumes)
        for user in ("", "echo"):
            heard = [one for result in volumes for one in result if one["userId"] == user]
            assert max(one["volume"] for one in heard) > 60 and min(one["volume"] for one in heard) < 40, user
            assert all(0 <= one["floatVolume"] <= 1 for one in heard)

        statistics = [detail for name, detail in events if name == "statistics"]
        qualities = [detail for name, detail in events if name == "network-quality"]
        assert len(statistics) == len(qualities) == 2
        last = statistics[-1]
        assert set(last) == {"rtt", "upLoss", "downLoss", "bytesSent", "bytesReceived", "localStatistics",
                             "remoteStatistics"}  # fmt: skip
        assert last["bytesSent"] > statistics[0]["bytesSent"] > 0 and last["bytesReceived"] > 0
        local, (remote,) = last["localStatistics"], last["remoteStatistics"]
        assert remote["userId"] == "echo"
        for side in (local, remote):
            (video,) = side["video"]
            assert [video[key] for key in ("width", "height", "videoType", "codec")] == [320, 240, "big", "VP8"]
            assert 8 <= video["frameRate"] <= 20 and 20 < video["bitrate"] < 2000
            assert side["audio"]["codec"] == "opus" and side["audio"]["bitrate"] > 1
            assert 0 <= side["audio"]["audioLevel"] <= 1
        assert remote["audio"]["loss"] == 0 and remote["video"][0]["jitter"] >= 0
        assert set(qualities[-1]) == {"uplinkNetworkQuality", "downlinkNetworkQuality", "uplinkRTT", "uplinkLoss",
                                      "downlinkRTT", "downlinkLoss"}  # fmt: skip
        assert qualities[-1]["uplinkNetworkQuality"] in (1, 2) and qualities[-1]["downlinkNetworkQuality"] in (1, 2)
        assert await alice.call("trtc.getNetwork()") == {"statistics": last, "quality": qualities[-1]}
        await alice.call("trtc.enableAudioVolumeEvaluation(-1)")

        # What plays, pauses and stops.
        snapshot = await alice.call("trtc.getVideoSnapshot({ userId: 'echo' })")
        assert snapshot.startswith("data:image/png;base64,")
        await fake.tell(t="pause", userId="echo", stream="main", kind="video", paused=True)
        await fake.tell(t="pause", userId="echo", stream="main", kind="video", paused=False)
        await fake.tell(t="stream-", userId="echo", stream="main")
        await until(lambda: has_events(alice, "video-play-state-changed", state="STOPPED"), 5)
        who = {"userId": "echo", "streamType": "main"}
        seen = [detail for name, detail in await alice.events("video-play-state-changed") if detail["userId"]]
        assert seen == [
            {**who, "state": "PAUSED", "reason": "network"},
            {**who, "state": "PLAYING", "reason": "network"},
            {**who, "state": "STOPPED", "reason": "ended"},
        ]
        await alice.tab.page.evaluate("() => probe.peers.me.clearEvents()")
        await alice.call("trtc.enableAudioVolumeEvaluation(100)")
        await asyncio.sleep(0.5)
        volumes = [detail["result"] for _, detail in await alice.events("audio-volume")]
        assert volumes and all({one["userId"] for one in result} == {""} for result in volumes)
    finally:
        await alice.close()


async def test_states_of_what_begins_to_play(browser: Browser, fake: FakeGateway) -> None:
    alice = await join(browser, fake, codecs=["VP8"])
    try:
        await alice.send(ALICE)
        await alice.watch_all()
        await until(lambda: has_events(alice, "first-video-frame", userId="echo"), 10)
        who = {"userId": "echo", "streamType": "main"}
        assert has(await alice.events("first-video-frame"), **who, width=320, height=240)
        assert has(await alice.events("video-play-state-changed"), **who, state="PLAYING", reason="playing")
        await until(lambda: has_events(alice, "audio-play-state-changed", **who, state="PLAYING", reason="playing"), 5)
        tracks = [detail for _, detail in await alice.events("track") if detail["userId"] == "echo"]
        assert tracks == [who, who]
        await alice.call("trtc.muteRemoteAudio('echo', true)")
        await until(lambda: has_events(alice, "audio-play-state-changed", **who, state="STOPPED", reason="ended"), 5)
        await alice.call("trtc.stopRemoteVideo({ userId: 'echo', streamType: 'main' })")
        await until(lambda: has_events(alice, "video-play-state-changed", **who, state="STOPPED", reason="ended"), 5)
    finally:
        await alice.close()


async def test_sound_that_the_browser_holds_back(browser: Browser, fake: FakeGateway) -> None:
    """The rule itself is tested with the page (test_takeover); here play() refuses as it would."""
    alice = await outside(browser, fake, codecs=["VP8"])
    try:
        await alice.tab.page.evaluate(
            """() => { const play = HTMLMediaElement.prototype.play;
              HTMLMediaElement.prototype.play = function () {
                if (window.allowed || this.muted) return play.call(this);
                return Promise.reject(new DOMException('no gesture', 'NotAllowedError'));
              }; }"""
        )
        await alice.call(f"trtc.enterRoom({json.dumps({**TICKETS, 'enableAutoPlayDialog': True})})")
        await alice.send(ALICE)
        await until(lambda: has_events(alice, "autoplay-failed", userId="echo", mediaType="audio"), 10)
        assert await alice.tab.page.get_by_role("alertdialog").inner_text() == "The browser holds back the sound.Play"
        assert await alice.call("trtc.resumeRemoteAudio()") is False
        await alice.call("window.allowed = true")
        await alice.tab.page.get_by_role("button", name="Play").click()
        await until(lambda: has_events(alice, "audio-play-state-changed", userId="echo", state="PLAYING"), 5)
        assert await alice.tab.page.get_by_role("alertdialog").count() == 0
    finally:
        await alice.close()


# --- when the network does not


async def test_media_that_does_not_get_through(browser: Browser, fake: FakeGateway) -> None:
    fake.unreachable = True
    alice = await outside(browser, fake)
    try:
        await alice.tab.page.clock.install()
        await alice.call(f"trtc.enterRoom({json.dumps(TICKETS)})")
        await alice.call("trtc.startLocalAudio()")
        await until(lambda: len(fake.requests("publish")) == 2, 5)
        await alice.tab.page.clock.run_for(8_000)
        assert not await alice.events("error")
        await alice.tab.page.clock.run_for(6_000)
        (error,) = [detail for _, detail in await alice.events("error")]
        assert error["code"] == 5500 and error["reason"] == "media_blocked" and "UDP" in error["message"]
        stopped = [detail for _, detail in await alice.events("publish-state-changed")][-1]
        assert (stopped["mediaType"], stopped["state"], stopped["reason"]) == ("audio", "stopped", "timeout")
        await alice.tab.page.clock.run_for(30_000)
        assert len(await alice.events("error")) == 1, "told once"
        assert await alice.call("trtc.getAudioTrack().readyState") == "live"
    finally:
        await alice.close(leave=False)


async def test_a_tab_that_slept_looks_after_its_connection(browser: Browser, fake: FakeGateway) -> None:
    alice = await outside(browser, fake)
    try:
        await alice.tab.page.clock.install()
        await alice.call(f"trtc.enterRoom({json.dumps(TICKETS)})")
        await asyncio.sleep(0.3)
        before = len(fake.requests("history"))
        await alice.tab.page.clock.fast_forward(60_000)
        await until(lambda: len(fake.requests("history")) > before, 5)
        # Shown again: it asks at once; and when nobody answers, it comes back by another connection.
        fake.unanswered.add("history")
        await alice.call("document.dispatchEvent(new Event('visibilitychange'))")
        await until(lambda: len(fake.requests("history")) > before + 1, 5)
        await alice.tab.page.clock.run_for(4_000)
        await until(lambda: fake.entries == 2, 10)
        assert fake.requests("enter")[-1]["resume"] == "token1"
    finally:
        await alice.close(leave=False)


# --- with the real server


async def test_sei_messages_travel_in_the_picture(browser: Browser, gateway: Gateway) -> None:
    alice = await Member.join(browser, gateway.http, await gateway.tickets("alice", 3101), enableSEI=True)
    bob = await Member.join(browser, gateway.http, await gateway.tickets("bob", 3101), enableSEI=True)
    try:
        await alice.send(ALICE, audio=False)
        await bob.watch_all()
        await bob.sees("alice", ALICE, sound=False)
        script = (
            "trtc.on('sei-message', (e) => (window.sei ??= []).push({ ...e, data: [...new Uint8Array(e.data)] })) && 0"
        )
        await bob.call(script)
        # Zeros and small bytes would be start codes if they went in as they are.
        sent = [[0, 0, 1, 0, 0, 0, 3, 255], list(range(256)) * 4, [7] * 300]
        for payload in sent:
            await alice.call("trtc.sendSEIMessage(new Uint8Array(argument).buffer)", payload)
        await alice.call("trtc.sendSEIMessage(new Uint8Array(20).buffer, { seiPayloadType: 5 })")
        await until(lambda: bob.tab.page.evaluate("() => window.sei?.length === 4"), 10)
        got = await bob.tab.page.evaluate("() => window.sei")
        assert [one["data"] for one in got] == [*sent, [0] * 20]
        assert [one["seiPayloadType"] for one in got] == [243, 243, 243, 5]
        assert {(one["userId"], one["streamType"]) for one in got} == {("alice", "main")}
        await bob.sees("alice", ALICE, sound=False)
        for wrong, words in (("new ArrayBuffer(1025)", "1024"), ("new ArrayBuffer(0)", "empty")):
            with pytest.raises(Error, match=words):
                await alice.call(f"trtc.sendSEIMessage({wrong})")
        with pytest.raises(Error, match="a second"):
            await alice.call("[...Array(40)].map(() => trtc.sendSEIMessage(new ArrayBuffer(8)))")
        with pytest.raises(Error, match="send a picture first"):
            await bob.call("trtc.sendSEIMessage(new ArrayBuffer(8))")
    finally:
        await alice.close()
        await bob.close()


async def test_stereo_from_an_encoder_stays_stereo(browser: Browser, gateway: Gateway, media: Path) -> None:
    """Chromium decodes Opus to one channel unless its answer asks for two."""
    file = media / "stereo.mp4"
    tones = "sine=440:r=48000:d=20[l];sine=1320:r=48000:d=20[r];[l][r]join=inputs=2:channel_layout=stereo[a]"
    make = await asyncio.create_subprocess_exec(
        FFMPEG, "-hide_banner", "-loglevel", "error", "-y", "-filter_complex", tones, "-map", "[a]",
        "-c:a", "aac", "-b:a", "128k", str(file),
    )  # fmt: skip
    assert await make.wait() == 0
    alice = await Member.join(browser, gateway.http, await gateway.tickets("alice", 3102))
    url, _ = await gateway.push("phone", 3102)
    try:
        async with Pusher(url, file):
            await until(lambda: alice.call("!!trtc.getAudioTrack({ userId: 'phone' })"), 15)
            heard = await until(lambda: alice.tab.page.evaluate(TWO_EARS), 15)
        assert [abs(heard[0] - 440) < 15, abs(heard[1] - 1320) < 15] == [True, True], heard
    finally:
        await alice.close()


async def test_imported_from_another_origin(browser: Browser, gateway: Gateway, fake: FakeGateway) -> None:
    """A page of somebody else's site: the library talks to where it came from, its worker included."""
    tab = await Tab.open(browser, fake.url + "/")
    script = """async ([gateway, tickets]) => {
      const { default: TRTC } = await import(gateway + '/sdk/trtc.js');
      const trtc = (window.trtc = TRTC.create({ enableSEI: true }));
      await trtc.enterRoom(tickets);
      await trtc.startLocalVideo();
      return trtc.getRoom().userId;
    }"""
    try:
        tickets = await gateway.tickets("alice", 3103)
        assert await tab.page.evaluate(script, [gateway.http, tickets]) == "alice"
        codecs = (
            "() => trtc.getNetwork()?.statistics.localStatistics.video.map((video) => [video.codec, video.videoType])"
        )
        await until(lambda: tab.page.evaluate(codecs), 10)
        assert await tab.page.evaluate(codecs) == [["H264", "big"]]
        await tab.page.evaluate("() => trtc.sendSEIMessage(new ArrayBuffer(8))")
        await until(lambda: len(tab.page.workers) == 1, 5)
        await tab.page.evaluate("() => trtc.destroy()")
    finally:
        await tab.close()
