"""Peers that other people wrote, beside Chromium, ffmpeg and aiortc: OBS Studio, GStreamer, Firefox.

The server's UDP port is open on every address here: GStreamer and Firefox send from the addresses of the machine's
interfaces only, and such a packet cannot reach loopback.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e import content, firefox, player, programs
from tests.e2e.browser import Member, until
from tests.e2e.content import Maker
from tests.e2e.firefox import Firefox
from tests.e2e.gateway_process import Gateway
from tests.e2e.programs import gst, gst_film, webrtcbin
from tests.e2e.pusher import Pusher

ALICE = Maker(ident=7, tone=660)
FILM = Maker(ident=61, tone=700)
H264 = (
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=600"
    " ! video/x-h264,profile=baseline ! h264parse ! m."
)
AAC = "voaacenc bitrate=64000 ! aacparse ! m."


def need(*commands: str) -> None:
    lacking = [command for command in commands if not shutil.which(command)]
    if lacking:
        pytest.fail(f"{', '.join(lacking)} is not installed: ./setup.sh test")


@pytest_asyncio.fixture(loop_scope="session")
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    server = Gateway(tmp_path_factory.mktemp("data"))
    server.options = ("--udp", f"0.0.0.0:{server.udp_port}")
    await server.start()
    reached = re.search(r"WebRTC on UDP port \d+, candidates (.*)", server.log)
    yield server
    await server.stop()
    assert reached and not reached[1].startswith("127."), "this machine has loopback only; give it an address"


async def play_url(gateway: Gateway, room: int, user: str) -> str:
    """Wait until `user` is on air; return the URL with which another member plays it."""

    async def listed() -> str | None:
        return (await gateway.push("watcher", room))[1].get(user)

    found: str = await until(listed, 15, f"{user} does not come on air", 0.2)
    return found


def check_film(reading: content.Reading, seconds: float, b_frames: bool = False) -> None:
    """Check what a player recorded of FILM: complete, in order, with its tone."""
    counters = [seen.counter for seen in reading.pictures]
    assert {seen.ident for seen in reading.pictures} == {FILM.ident}
    assert all(b >= a or a - b > 10 * FILM.fps for a, b in pairwise(counters)), counters  # the film may begin again
    assert reading.unreadable <= 3
    assert reading.size == (FILM.width, FILM.height) and (reading.has_b_frames > 0) == b_frames
    assert len(reading.pictures) >= 0.8 * seconds * FILM.fps, len(reading.pictures)
    assert reading.samples.size >= 0.8 * seconds * content.RATE
    assert abs(reading.frequency() - FILM.tone) <= 5


# --- RTMP


async def test_obs_publishes(
    browser: Browser, gateway: Gateway, files: Callable[..., Path], tmp_path: Path, stack: AsyncExitStack
) -> None:
    """OBS as it comes: B-frames, a key frame each eight seconds. A browser that joins between two sees it soon."""
    need("obs", "Xvfb")
    url, _ = await gateway.push("obs", 5001)
    assert re.fullmatch(r"rtmp://127\.0\.0\.1:\d+/live/\w+\?txSecret=\w+&txTime=\w+&.*", url)
    size = (FILM.width, FILM.height)
    obs = await stack.enter_async_context(programs.obs(tmp_path / "obs", url, files(FILM), size))
    try:
        reading = await player.play(await play_url(gateway, 5001, "obs"), 4, tmp_path)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{obs.output[-3000:]}") from None
    check_film(reading, 4, b_frames=True)
    (file,) = (path for path in tmp_path.iterdir() if path.suffix == ".flv")  # noqa: ASYNC240
    with av.open(str(file)) as recording:
        picture, sound = recording.streams.video[0], recording.streams.audio[0]
        assert (picture.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        assert (sound.codec_context.sample_rate, sound.codec_context.channels) == (48000, 2)
        packets = sum(packet.size > 0 for packet in recording.demux(picture))
    assert 3 * 30 <= packets <= 8 * 30, "OBS sends 30 a second"
    alice = await Member.join(browser, gateway.http, await gateway.tickets("alice", 5001))
    stack.push_async_callback(alice.close)
    await alice.watch_all()
    await alice.sees("obs", FILM)
    assert obs.running
    gateway.check_log()


@pytest.mark.parametrize(("sink", "suffix"), [("rtmp2sink", ""), ("rtmpsink", " live=1")])
async def test_gstreamer_publishes_and_plays(
    gateway: Gateway, files: Callable[..., Path], tmp_path: Path, stack: AsyncExitStack, sink: str, suffix: str
) -> None:
    """GStreamer's own RTMP and librtmp's as publisher; its own as player, beside ffmpeg."""
    need("gst-launch-1.0")
    url, _ = await gateway.push(sink, 5002)
    film = gst_film(files(FILM), H264, AAC)
    publisher = gst(f'{film} flvmux streamable=true name=m ! {sink} location="{url}{suffix}"')
    await stack.enter_async_context(publisher)
    try:
        play = await play_url(gateway, 5002, sink)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{publisher.output}") from None
    file = tmp_path / "gst.mkv"
    recorder = gst(
        f'rtmp2src location="{play}" ! flvdemux name=d d.video ! queue ! h264parse ! m. d.audio ! queue ! aacparse ! m.'
        f" matroskamux name=m streamable=true ! filesink location={file}"
    )
    await stack.enter_async_context(recorder)
    check_film(await player.play(play, 4, tmp_path), 4)
    await recorder.stop()
    assert not recorder.output, recorder.output
    recorded = await asyncio.to_thread(content.read_file, file)
    # Its demuxer links late and once lost five pictures of the first second, which ffmpeg beside it had.
    del recorded.pictures[: FILM.fps]
    check_film(recorded, 2)
    assert publisher.running, publisher.output


# --- WebRTC


async def test_gstreamer_by_whip_and_whep(
    gateway: Gateway, files: Callable[..., Path], tmp_path: Path, stack: AsyncExitStack
) -> None:
    """webrtcbin's certificate is RSA, which a DTLS client may have: the server is the gateway, in both directions."""
    need("gst-launch-1.0")
    room, key = 5003, "privateMapKey"
    ticket = (await gateway.tickets("camera", room))[key]
    publisher = webrtcbin("whip", f"{gateway.http}/whip/{room}/camera", ticket, str(files(FILM)))
    await stack.enter_async_context(publisher)
    try:
        flv = await play_url(gateway, room, "camera")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{publisher.output}") from None
    folder = tmp_path / "whep"
    folder.mkdir()
    ticket = (await gateway.tickets("screen", room))[key]
    screen = webrtcbin("whep", f"{gateway.http}/whep/{room}/camera", ticket, str(folder))
    await stack.enter_async_context(screen)
    check_film(await player.play(flv, 4, tmp_path), 4)
    await screen.stop()
    assert "decoding video" in screen.output and "failed" not in screen.output, screen.output
    pictures = np.fromfile(folder / "picture", np.uint8)
    pictures = pictures[: pictures.size // (240 * 320) * 240 * 320].reshape(-1, 240, 320)
    seen = [content.read_picture(picture) for picture in pictures]
    counters = [one.counter for one in seen if one is not None and one.ident == FILM.ident]
    assert len(counters) >= 2 * FILM.fps and len(seen) - len(counters) <= 3, screen.output
    assert all(b - a == 1 for a, b in pairwise(counters)), counters
    samples = np.fromfile(folder / "sound", np.float32)
    assert samples.size >= 2 * content.RATE
    assert abs(content.frequency(samples) - FILM.tone) <= 5
    assert publisher.running and "failed" not in publisher.output, publisher.output
    await publisher.stop()
    await until(lambda: gateway.log.count("ended: deleted") >= 2, 5, "DELETE was not sent")


WATCH = """{
  window.watched = [];
  const look = (video) => {
    const canvas = new OffscreenCanvas(160, 64);
    const paint = canvas.getContext('2d', { willReadFrequently: true });
    const read = () => {
      paint.drawImage(video, 0, 0, 160, 64);
      const pixels = paint.getImageData(0, 0, 160, 64).data;
      const bits = (y) => Array.from({ length: 16 }, (_, bit) => (pixels[(y * 160 + bit * 10 + 5) * 4] > 128) << bit);
      const [counter, code] = [4, 12].map((y) => bits(y).reduce((sum, bit) => sum | bit, 0));
      watched.push((code >> 8) === (~code & 0xff) ? [code & 0xff, counter] : null);
      video.requestVideoFrameCallback(read);
    };
    video.requestVideoFrameCallback(read);
  };
  const find = () => {
    const video = document.querySelector('[data-user=USER] video');
    if (video) look(video);
    else setTimeout(find, 50);
  };
  find();
}"""
"""Notes [ident, counter] of each picture of USER that the page shows, as content.read_picture does."""

HEARD = """trtc.getStats().then(({ down }) => [...(down?.values() ?? [])]
  .filter((r) => r.type === 'inbound-rtp' && r.kind === 'audio' && r.totalAudioEnergy > 0).length)"""
"""How many others are heard."""


async def test_firefox_and_chromium(
    browser: Browser, gateway: Gateway, files: Callable[..., Path], tmp_path: Path, stack: AsyncExitStack
) -> None:
    """Firefox by the page, as a guest; without H.264 it sees VP8, and of H.264 it is told in words."""
    if firefox.missing():
        pytest.fail(str(firefox.missing()))
    fox = await stack.enter_async_context(Firefox(tmp_path / "profile"))
    alice = await Member.join(browser, gateway.http, await gateway.tickets("alice", 1001), codecs=["VP8"])
    stack.push_async_callback(alice.close)
    await alice.watch_all()
    await alice.send(ALICE)
    await fox.goto(f"{gateway.http}/#room=1001&user=firefox")
    await fox.wait("document.body.dataset.state === 'live'")
    await fox.evaluate(f"eval({WATCH.replace('USER', 'alice')!r})")

    # Chromium gets Firefox's fake camera (no content of ours) and its tone; Firefox gets Alice.
    async def chromium_sees() -> bool:
        report = await alice.report("firefox", 2)
        return report.get("unreadable", 0) > 20 and abs(report["tone"] - firefox.TONE) <= 12

    await until(chromium_sees, 15, "Chromium does not see and hear Firefox")
    seen = await fox.wait("watched.filter(Boolean).length > 30 && watched", 15)
    read = [one for one in seen if one is not None]
    assert {ident for ident, _ in read} == {ALICE.ident} and len(seen) - len(read) <= 5
    counters = [counter for _, counter in read]
    assert all(0 < b - a < ALICE.fps for a, b in pairwise(counters)), counters
    await fox.wait(f"{HEARD}.then((count) => count === 1)")
    assert await fox.evaluate("document.getElementById('alerts').innerText") == ""

    # A phone sends H.264 only.
    url, _ = await gateway.push("phone", 1001)
    await stack.enter_async_context(Pusher(url, files(FILM)))
    said = await fox.wait("document.getElementById('alerts').innerText")
    assert "this browser cannot show H264; the video of phone is missing here" in said
    assert await fox.evaluate("document.body.dataset.state") == "live"
    await fox.wait(f"{HEARD}.then((count) => count === 2)")
    before = len(await fox.evaluate("watched"))
    await until(lambda: fox.evaluate(f"watched.length > {before + ALICE.fps}"), 10, "Alice froze")
