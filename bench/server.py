"""The whole server at work: one RTMP publisher (0.94 Mbit/s, 720p30 H.264 + AAC) played by N WebRTC viewers.

Prints, for N = 1, 10, 100, medians over `--rounds`: CPU of the whole server process per packet and viewer, the same
without what publishing alone costs ("marginal"), CPU of a join (ticket, HTTP, ICE, DTLS, first packet) and memory per
viewer. The server is a process of its own; viewers join by WHEP with real ICE and DTLS and leave their media unread,
but for one that counts. The yardstick is a fixed pure-Python loop in this process, to tell a slow machine.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import aiohttp
from aiortc import RTCCertificate

from bench._server import Server
from bench._viewers import Viewer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--viewers", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)


def run(args: argparse.Namespace) -> None:
    asyncio.run(_run(args))


def _make_clip(folder: str) -> Path:
    clip = Path(folder) / "clip.flv"
    picture = "testsrc2=size=1280x720:rate=30"
    subprocess.run(
        [
            *("ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", picture),
            *("-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000", "-t", "20"),
            *("-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-profile:v", "baseline", "-g", "60"),
            *("-b:v", "880k", "-maxrate", "880k", "-bufsize", "440k", "-pix_fmt", "yuv420p"),
            *("-c:a", "aac", "-b:a", "64k", str(clip)),
        ],
        check=True,
    )
    return clip


def _yardstick_ms() -> float:
    times = []
    for _ in range(5):
        started = time.process_time()
        total = 0
        for i in range(100000):
            total += i
        times.append((time.process_time() - started) * 1000)
    return statistics.median(times)


async def _run(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        clip = _make_clip(folder)
        with Server() as server:
            token = server.sign("mapkey", "viewer", "1001", "--privileges", "255")
            push = ["ffmpeg", "-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy"]
            pusher = await asyncio.create_subprocess_exec(*push, "-f", "flv", server.url("push"))
            try:
                await asyncio.sleep(3)
                await _table(args, server, token)
            finally:
                pusher.terminate()
                await pusher.wait()


async def _table(args: argparse.Namespace, server: Server, token: str) -> None:
    certificate = RTCCertificate.generateCertificate()
    idle = statistics.median([await _cpu_share(server, args.seconds / 2) for _ in range(args.rounds)])
    print(f"publishing alone: {idle * 100:.2f} % of a core; yardstick {_yardstick_ms():.2f} ms")
    print(f"{'viewers':>8} {'us/packet·viewer':>17} {'marginal':>9} {'% of core':>10} {'join ms':>8} {'KB/viewer':>10}")
    async with aiohttp.ClientSession() as http:
        for count in args.viewers:
            rows = []
            for _ in range(args.rounds):
                rows.append(await _measure(args, server, http, token, certificate, count, idle))
                await asyncio.sleep(6)  # the bridge lingers 5 s
            whole, marginal, share, join, memory = (statistics.median(column) for column in zip(*rows, strict=True))
            print(f"{count:>8} {whole:>17.2f} {marginal:>9.2f} {share * 100:>10.2f} {join:>8.2f} {memory:>10.0f}")


async def _cpu_share(server: Server, seconds: float) -> float:
    cpu, started = server.cpu_s(), time.monotonic()
    await asyncio.sleep(seconds)
    return (server.cpu_s() - cpu) / (time.monotonic() - started)


async def _measure(
    args: argparse.Namespace,
    server: Server,
    http: aiohttp.ClientSession,
    token: str,
    certificate: RTCCertificate,
    count: int,
    idle: float,
) -> tuple[float, float, float, float, float]:
    viewers = [Viewer(certificate, reads=index == 0) for index in range(count)]
    url = f"{server.http}/whep/1001/phone"
    try:
        await viewers[0].join(http, url, token)
        await asyncio.sleep(1.5)
        memory, cpu, started = server.rss_kb(), server.cpu_s(), time.monotonic()
        for index in range(1, count, 5):
            await asyncio.gather(*(viewer.join(http, url, token) for viewer in viewers[index : index + 5]))
        spent, took = server.cpu_s() - cpu, time.monotonic() - started
        await asyncio.sleep(1.5)
        grown = server.rss_kb() - memory
        packets, cpu, started = viewers[0].packets, server.cpu_s(), time.monotonic()
        await asyncio.sleep(args.seconds)
        elapsed, used = time.monotonic() - started, server.cpu_s() - cpu
        sent = (viewers[0].packets - packets) * count
        # Joins also paid for the media of those already there: half of the final share, on average.
        share = used / elapsed
        others = max(1, count - 1)
        join = max(0.0, spent - took * share / 2) / others * 1000 if count > 1 else float("nan")
        kb = grown / others if count > 1 else float("nan")
        return used / sent * 1e6, (used - idle * elapsed) / sent * 1e6, share, join, kb
    finally:
        for viewer in viewers:
            viewer.close()
