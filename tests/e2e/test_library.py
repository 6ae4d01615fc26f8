"""The browser library in Chromium: a call from its first offer to its end, and how it comes back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from playwright.async_api import Browser, Error

from tests.e2e.browser import Member, Tab, until
from tests.e2e.fake_gateway import FakeGateway
from tests.e2e.gateway_process import Gateway
from tests.e2e.library import ALICE, TICKETS, join, outside
from tests.e2e.pusher import FFMPEG, Pusher

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
