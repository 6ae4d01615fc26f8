"""Glass to glass: from the moment a picture is made to the moment it is shown, by the frame counter in it.

Chromium sends to Chromium, to an RTMP player and back from an RTMP publisher, through a real server of its own on
loopback. `direct` rows are the same two ends without the gateway; `added` is the difference of the medians. Picture
sources make 15 to 30 pictures a second, so up to one picture's time of waiting for the screen is in every figure. The
RTMP publisher's muxer holds a picture until the sound of its time is encoded (some 90 ms, also in its `direct` row);
the browser holds a picture until the sound of its time is due, which on a busy machine is the larger part.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from tests.e2e import browser as chromium
from tests.e2e import content
from tests.e2e.browser import PROBE, Member, Tab
from tests.e2e.content import Maker
from tests.e2e.gateway_process import Gateway, free_port

SETTLE_S = 4.0

Stamps = dict[int, float]
"""Frame counter → unix time in ms."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=8, help="measured time of each way (after 4 s to settle)")
    parser.add_argument("--size", default="640x480", metavar="WxH")
    parser.add_argument("--fps", type=int, default=30)


def run(args: argparse.Namespace) -> None:
    width, height = map(int, args.size.split("x"))
    maker = Maker(ident=7, tone=660, width=width, height=height, fps=args.fps)
    rows = asyncio.run(_measure(maker, args.seconds))
    print(f"{args.size} at {args.fps}, {args.seconds:.0f} s each; ms from made to shown")
    print(f"{'way':34} {'frames':>6} {'p50':>7} {'p95':>7} {'added p50':>10}")
    for name, latencies, base in rows:
        if not latencies:
            print(f"{name:34} {0:6d} {'no picture':>15}")
            continue
        p50, p95 = statistics.median(latencies), sorted(latencies)[int(len(latencies) * 0.95)]
        added = f"{p50 - statistics.median(base):10.1f}" if base else ""
        print(f"{name:34} {len(latencies):6d} {p50:7.1f} {p95:7.1f} {added}")


Row = tuple[str, list[float], list[float]]


async def _measure(maker: Maker, seconds: float) -> list[Row]:
    fields = {name: getattr(maker, name) for name in ("ident", "tone", "fps", "width", "height")}
    whole = SETTLE_S + seconds
    with tempfile.TemporaryDirectory() as folder:
        server = Gateway(Path(folder) / "data")
        await server.start()
        try:
            async with chromium.launch() as browser:
                tab = await Tab.open(browser, server.http + "/")
                await tab.page.evaluate(PROBE)
                found = await tab.page.evaluate("([m, s]) => probe.direct(m, s)", [fields, whole])
                await tab.close()
                rtc = _latencies(dict(found["made"]), found["seen"])
                rows: list[Row] = [("Chromium → Chromium, direct", rtc, [])]

                alice = await Member.join(browser, server.http, await server.tickets("alice", 1))
                bob = await Member.join(browser, server.http, await server.tickets("bob", 1))
                await bob.watch_all()
                await alice.send(maker)
                await asyncio.sleep(whole)
                made = await alice.tab.page.evaluate("() => probe.peers.me.made()")
                seen = await bob.tab.page.evaluate("() => probe.peers.me.seen('alice')")
                rows.append(("Chromium → gateway → Chromium", _latencies(dict(made), seen), rtc))

                url = (await alice.call("trtc.getRoom()"))["urls"]["rtc"]
                seen = await asyncio.to_thread(_watch, url, whole)
                made = await alice.tab.page.evaluate("() => probe.peers.me.made()")
                rows.append(("Chromium → gateway → RTMP player", _latencies(dict(made), seen), rtc))
                await alice.close()

                local = f"tcp://127.0.0.1:{free_port()}"
                direct = await _rtmp(local, maker, whole, lambda: _watch(local + "?listen=1", whole))
                rows.append(("FLV over TCP, direct", direct, []))
                push, _ = await server.push("phone", 1)
                stream = push.split("/live/")[1].split("?")[0]
                play = await server.sign("url", "play", stream)
                play = play.replace(play.split("/live/")[0], push.split("/live/")[0])
                rows.append(
                    ("RTMP → gateway → RTMP", await _rtmp(push, maker, whole, lambda: _watch(play, whole)), direct)
                )
                stamps = await _push_for(push, maker, whole)
                seen = await bob.tab.page.evaluate("() => probe.peers.me.seen('phone')")
                rows.append(("RTMP → gateway → Chromium", _latencies(stamps, seen), direct))
                await bob.close()
        finally:
            await server.stop()
    return rows


def _latencies(made: Stamps, seen: Iterable[Any]) -> list[float]:
    """Join by counter; the first SETTLE_S seconds of what was seen are left out."""
    pairs = [(float(at), float(at) - made[int(counter)]) for counter, at in seen if int(counter) in made]
    if not pairs:
        return []
    start = pairs[0][0] + SETTLE_S * 1000
    return [latency for at, latency in pairs if at >= start and latency < 20_000]


async def _rtmp(push: str, maker: Maker, seconds: float, watch: Callable[[], list[Any]]) -> list[float]:
    watching = asyncio.create_task(asyncio.to_thread(watch))
    await asyncio.sleep(0.5)
    stamps = await _push_for(push, maker, seconds + 2)
    return _latencies(stamps, await watching)


async def _push_for(url: str, maker: Maker, seconds: float) -> Stamps:
    return await asyncio.to_thread(_push, url, maker, seconds)


def _push(url: str, maker: Maker, seconds: float) -> Stamps:
    """Encode and send pictures and sound in real time; return when each picture was made."""
    stamps: Stamps = {}
    options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "g": str(2 * maker.fps)}
    with (
        contextlib.suppress(OSError, av.FFmpegError),
        av.open(url, "w", format="flv", options={"flvflags": "no_duration_filesize", "flush_packets": "1"}) as output,
    ):
        video = output.add_stream("libx264", rate=maker.fps, options=options)
        video.width, video.height, video.pix_fmt, video.bit_rate = maker.width, maker.height, "yuv420p", 800_000
        audio = output.add_stream("aac", rate=content.RATE, layout="mono")
        begin, position = time.monotonic(), 0
        for number in range(int(seconds * maker.fps)):
            time.sleep(max(0.0, begin + number / maker.fps - time.monotonic()))
            while position * maker.fps < number * content.RATE:
                samples = content.sound(maker, position, 960)
                sound = av.AudioFrame.from_ndarray(samples[None, :], format="fltp", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = content.RATE, position, Fraction(1, content.RATE)
                output.mux(audio.encode(sound))
                position += 960
            picture = content.frame_of(content.picture(maker, number))
            picture.pts, picture.time_base = number, Fraction(1, maker.fps)
            stamps[number & 0xFFFF] = time.time() * 1000
            output.mux(video.encode(picture))
    return stamps


def _watch(url: str, seconds: float) -> list[tuple[int, float]]:
    """Play and note [counter, unix ms] of each picture as soon as it is decoded."""
    options = {"fflags": "nobuffer", "probesize": "32", "analyzeduration": "0"}
    if url.startswith("rtmp"):
        options["rtmp_live"] = "live"
    seen: list[tuple[int, float]] = []
    end = time.monotonic() + seconds + 3
    with (
        contextlib.suppress(OSError, av.FFmpegError),
        av.open(url, format="flv" if url.startswith("tcp") else None, options=options, timeout=10) as source,
    ):
        source.streams.video[0].codec_context.thread_count = 1
        for frame in source.decode(video=0):
            picture = content.read_picture(frame.to_ndarray(format="gray"))
            if picture is not None:
                seen.append((picture.counter, time.time() * 1000))
            if time.monotonic() > end:
                break
    return seen
