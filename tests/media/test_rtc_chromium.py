"""The transport against headless Chromium with a fake camera, both ways: what counts is frames that it decoded."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, async_playwright

from gateway.base.errors import SdpError
from gateway.media.rtc.peer import DownPeer, PeerState, UpPeer
from gateway.media.rtc.udp_mux import UdpMux
from gateway.wire.frame import Codec
from tests.media.rtc_tools import CERTIFICATE, Echo, make_mux, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHROMIUM = str(Path(__file__).parent.parent / "bin" / "chromium")
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream=fps=20",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]
PAGE = (Path(__file__).parent / "rtc_page.html").read_text()
LIMIT = 20.0


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context()
    page = await context.new_page()

    async def serve(route: Route) -> None:
        await route.fulfill(body=PAGE, content_type="text/html")

    await page.route("http://localhost/**", serve)
    await page.goto("http://localhost/")
    yield page
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def mux() -> AsyncIterator[UdpMux]:
    mux = await make_mux("")  # every address of both families, as the server does by default
    yield mux
    await mux.aclose()
    await asyncio.sleep(0)
    assert len(mux) == 0 and len(mux.tasks) == 0


@contextlib.asynccontextmanager
async def published(mux: UdpMux, page: Page, *, feedback: bool = True, **options: Any) -> AsyncIterator[Echo]:
    """A page that publishes as `up` to an Echo that keeps sending it transport feedback, if `feedback`."""
    echo = Echo(mux, UpPeer(mux, CERTIFICATE))
    answer = echo.publish(await page.evaluate("options => publish('up', options)", options))
    await page.evaluate("sdp => setAnswer('up', sdp)", answer)
    feeding = asyncio.ensure_future(echo.keep_feeding_back(120 if feedback else 0))
    try:
        await until(lambda: echo.up.state is PeerState.CONNECTED)
        yield echo
    finally:
        feeding.cancel()
        echo.up.close()


async def negotiate(down: DownPeer, page: Page, name: str = "down") -> None:
    while down.needs_offer:
        n, offer = down.offer()
        assert down.answer(n, await page.evaluate("([name, sdp]) => takeOffer(name, sdp)", [name, offer]))


async def decoded(page: Page, name: str, mid: str, frames: int = 1) -> dict[str, Any]:
    """Wait until the section `mid` has decoded `frames` more pictures (or got as many sound packets)."""
    first: int | None = None
    for _ in range(int(LIMIT / 0.1)):
        stats = (await page.evaluate("name => received(name)", name)).get(mid)
        if stats is not None:
            count = stats["frames"] if stats["kind"] == "video" else stats["packets"]
            first = count if first is None else first
            if count - first >= frames:
                return dict(stats)
        await asyncio.sleep(0.1)
    raise AssertionError(f"section {mid}: {await page.evaluate('name => received(name)', name)}")


async def test_up_and_down_decode_and_reuse_sections(mux: UdpMux, page: Page) -> None:
    async with published(mux, page, channel="chat") as echo:
        audio, video = (track for track in echo.tracks)
        assert list(audio.payload_types.values()) == [Codec.OPUS]
        assert list(video.payload_types.values()) == [Codec.H264], "H.264 although VP8 stands first by default"
        assert video.extensions.twcc and video.extensions.mid and audio.extensions.audio_level
        down = DownPeer(mux, CERTIFICATE)
        slots = [down.add("audio", "alice"), down.add("video", "alice")]
        await negotiate(down, page)
        assert set(slots[1].payload_types) == {Codec.H264, Codec.VP8, Codec.VP9, Codec.AV1}
        assert set(slots[1].rtx_payload_types) == set(slots[1].payload_types)
        assert slots[1].extension
        echo.play(down, *slots)
        await until(lambda: down.route is not None)
        echo.request_keyframe()
        assert (await decoded(page, "down", slots[1].mid, 20))["codec"] == "video/H264"
        assert (await decoded(page, "down", slots[0].mid, 50))["codec"] == "audio/opus"
        await page.wait_for_function("received('down').then(stats => stats['1'].energy > 0)")  # the microphone beeps
        assert await page.evaluate("peers.down.tracks") == [["1", "audio", "alice"], ["2", "video", "alice"]]

        # A second stream behind, then the first away: its sections serve the third, with the same mids and new SSRCs.
        second = down.add("video", "bob")
        await negotiate(down, page)
        echo.play(down, second)
        echo.request_keyframe()
        await decoded(page, "down", second.mid, 5)
        echo.sinks.clear()
        for slot in slots:
            down.remove(slot)
        await negotiate(down, page)
        third = [down.add("audio", "carol"), down.add("video", "carol")]
        assert [slot.mid for slot in third] == [slot.mid for slot in slots]
        assert {slot.ssrc for slot in third}.isdisjoint({slot.ssrc for slot in slots})
        await negotiate(down, page)
        echo.play(down, *third, second)
        echo.request_keyframe()
        await decoded(page, "down", third[1].mid, 10)
        await decoded(page, "down", third[0].mid, 20)
        await decoded(page, "down", second.mid, 5)
        assert (await page.evaluate("peers.down.states")) == ["connecting", "connected"]

        await page.evaluate("peers.down.pc.close()")
        await until(lambda: down.state is PeerState.CLOSED)
        counters = mux.counters
        assert counters.dropped_srtp_forged == counters.dropped_malformed == counters.dropped_stranger == 0
        assert counters.send_errors == 0


@pytest.mark.parametrize("codec", ["vp8", "vp9", "av1"])
async def test_another_codec_if_the_page_prefers_it(mux: UdpMux, page: Page, codec: str) -> None:
    # VP8 first with others behind is every browser's default; VP8 alone, or another first, is a wish.
    wishes = ["vp8"] if codec == "vp8" else [codec, "h264", "vp8"]
    async with published(mux, page, codecs=wishes) as echo:
        down = DownPeer(mux, CERTIFICATE)
        slot = down.add("video", "alice")
        await negotiate(down, page)
        echo.play(down, slot)
        await until(lambda: down.route is not None)
        echo.request_keyframe()
        assert (await decoded(page, "down", slot.mid, 10))["codec"].lower() == f"video/{codec}"
        down.close()


@pytest.mark.parametrize("fed", [True, False])
async def test_the_bitrate_rises_with_transport_feedback_only(mux: UdpMux, page: Page, fed: bool) -> None:
    # Our answer starts it at 1 Mbps. Seen over 10 s: 1.9 to 2.5 Mbps with feedback; without, never above the start and
    # 0.64 Mbps after 5 s. So a value soon after the start says nothing, and only the rise tells the two apart.
    async with published(mux, page, feedback=fed):
        if fed:
            risen = "sent('up').then(stats => stats['1'].available > 1_500_000)"
            await page.wait_for_function(risen, timeout=LIMIT * 1000)
            return
        highest = last = 0.0
        for _ in range(12):
            await asyncio.sleep(0.5)
            last = (await page.evaluate("sent('up')"))["1"]["available"] or last  # 0: not in this report
            highest = max(highest, last)
        assert highest <= 1_000_000 and 0 < last < 800_000, (highest, last)


async def test_datachannel_both_ways(mux: UdpMux, page: Page) -> None:
    echo = Echo(mux, UpPeer(mux, CERTIFICATE))
    got: list[tuple[str, str | bytes]] = []
    sends: dict[str, Any] = {}

    def reply(label: str, data: str | bytes) -> None:
        got.append((label, data))
        sends[label](data)

    echo.up.on_channel = sends.__setitem__
    echo.up.on_message = reply
    answer = echo.publish(await page.evaluate("publish('up', {channel: 'chat'})"))
    await page.evaluate("sdp => setAnswer('up', sdp)", answer)
    await page.wait_for_function("peers.up.channel.readyState === 'open'")
    await page.evaluate("for (let i = 0; i < 300; i++) peers.up.channel.send('message ' + i)")
    await page.evaluate("peers.up.channel.send('é'.repeat(4000))")
    await page.wait_for_function("peers.up.messages.length === 301")
    assert [data for _, data in got[:300]] == [f"message {number}" for number in range(300)]
    assert got[300] == ("chat", "é" * 4000)
    assert await page.evaluate("peers.up.messages[299]") == "message 299"
    with pytest.raises(Exception, match="max-message-size"):
        await page.evaluate("peers.up.channel.send('x'.repeat(16385))")
    await page.evaluate("peers.up.pc.close()")
    await until(lambda: echo.up.state is PeerState.CLOSED)


async def test_ice_restart_by_the_client_keeps_the_session(mux: UdpMux, page: Page) -> None:
    async with published(mux, page) as echo:
        await until(lambda: len(echo.packets) > 30)
        answer = echo.publish(await page.evaluate("offer('up', {iceRestart: true})"))
        ufrags = {line for line in answer.splitlines() if line.startswith("a=ice-ufrag")}
        assert len(ufrags) == 1
        await page.evaluate("sdp => setAnswer('up', sdp)", answer)
        # The route may move earlier: Chromium nominates its new port with the old credentials until it has our answer.
        ice = echo.up._connection.ice
        await until(lambda: list(ice.credentials) == [ice.ufrag])
        await asyncio.sleep(1)
        audio = [packet for packet in echo.packets if packet.payload_type in echo.tracks[0].payload_types]
        assert audio[-1].seq - audio[0].seq & 0xFFFF == len(audio) - 1, "nothing lost over the restart"
        assert audio[-1].arrival > asyncio.get_running_loop().time() - 0.5
        assert await page.evaluate("peers.up.states") == ["connecting", "connected"]
        assert mux.counters.dropped_stranger == 0


async def test_ice_restart_by_us(mux: UdpMux, page: Page) -> None:
    async with published(mux, page) as echo:
        down = DownPeer(mux, CERTIFICATE)
        slot = down.add("video", "alice")
        await negotiate(down, page)
        echo.play(down, slot)
        await until(lambda: down.route is not None)
        before = down.route
        echo.request_keyframe()
        await decoded(page, "down", slot.mid, 3)
        down.restart()
        assert down.needs_offer
        await negotiate(down, page)
        await until(lambda: down.route is not before)
        await decoded(page, "down", slot.mid, 5)
        assert down.state is PeerState.CONNECTED
        down.close()
        await page.wait_for_function("peers.down.pc.getReceivers()[0].transport.state === 'closed'")  # close_notify


async def test_screen_added_and_stopped_in_later_offers(mux: UdpMux, page: Page) -> None:
    async with published(mux, page, channel="chat") as echo:
        answer = echo.publish(await page.evaluate("addScreen('up')"))
        await page.evaluate("sdp => setAnswer('up', sdp)", answer)
        mids = [track.mid for track in echo.tracks]
        assert [track.kind for track in echo.tracks] == ["audio", "video", "video"] and len(set(mids)) == 3
        screen = echo.tracks[2]
        await until(lambda: any(packet.ssrc in screen.ssrcs for packet in echo.packets))
        assert all(track.direction == "sendonly" for track in echo.tracks)
        await page.evaluate("peers.up.screen.direction = 'inactive'")
        answer = echo.publish(await page.evaluate("offer('up')"))
        await page.evaluate("sdp => setAnswer('up', sdp)", answer)
        assert [track.direction for track in echo.tracks] == ["sendonly", "sendonly", "inactive"]
        assert [track.mid for track in echo.tracks] == mids
        broken = re.sub(r"m=audio \d+", "m=audio 0", await page.evaluate("offer('up')"), count=1)
        with pytest.raises(SdpError, match="port 0"):
            echo.up.accept(broken)
        assert echo.up.state is PeerState.CONNECTED


async def test_a_player_that_offers(mux: UdpMux, page: Page) -> None:
    async with published(mux, page) as echo:
        down = DownPeer(mux, CERTIFICATE)
        answer = down.accept(await page.evaluate("watch('down')"), "alice")
        await page.evaluate("sdp => setAnswer('down', sdp)", answer)
        echo.play(down, *down.slots)
        await until(lambda: down.route is not None)
        echo.request_keyframe()
        audio, video = down.slots
        assert (await decoded(page, "down", video.mid, 10))["codec"] == "video/H264"
        await decoded(page, "down", audio.mid, 20)
        assert video.extension, "the browser offered playout-delay"
        # An ICE restart by the player keeps its slots.
        answer = down.accept(await page.evaluate("offer('down', {iceRestart: true})"), "alice")
        before = down.route
        await page.evaluate("sdp => setAnswer('down', sdp)", answer)
        assert down.slots == [audio, video]
        await until(lambda: down.route is not before)
        await decoded(page, "down", video.mid, 5)
        down.close()


async def test_ipv6(page: Page) -> None:
    mux = await make_mux("::1")
    async with published(mux, page) as echo:
        await until(lambda: len(echo.packets) > 20)
        route = echo.up._connection.route
        assert route is not None and ":" in str(route.address[0])
    await mux.aclose()


async def test_a_closed_tab_is_noticed(page: Page) -> None:
    mux = await make_mux(consent_timeout_s=3.5)
    async with published(mux, page) as echo:
        await until(lambda: len(echo.packets) > 10)
        await asyncio.sleep(4)
        assert echo.up.state is PeerState.CONNECTED, "checks come each 2.7 s"
        await page.context.close()
        await until(lambda: echo.up.state.final, 6)
    await mux.aclose()
