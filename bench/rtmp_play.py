"""RTMP and HTTP-FLV play: CPU time of the server process per player and second, for 1, 10 and 100 players.

One publisher sends H.264-sized pictures (30/s, a key frame each 2 s) and AAC-sized sounds at their own pace; players
read over loopback and throw away. Publisher and players are other processes. "marginal" leaves out what the publisher
alone costs. Loopback makes the sender pay for the kernel's receiving half too.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import selectors
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection

from aiohttp import web

from gateway.base.config import Address, LiveConfig, RtmpConfig
from gateway.endpoints.http_flv import HttpFlv
from gateway.endpoints.rtmp import RtmpServer
from gateway.endpoints.rtmp.ports import Publisher
from gateway.media.live.stream import LiveStream, Start
from gateway.wire.rtmp import amf0
from gateway.wire.rtmp.chunks import write_message

SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Grant:
    stream_id: str
    allow_audio: bool = True
    allow_video: bool = True
    audio: bool = True
    video: bool = True
    start: Start = Start.GOP


class Open:
    """Admits everybody, and keeps the streams."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}

    def admit_push(self, stream: str, query: Mapping[str, str]) -> Grant:
        return Grant(stream)

    admit_room_push = admit_play = admit_push

    def open(self, stream_id: str) -> Stream:
        return self.streams.setdefault(stream_id, Stream(stream_id))


class Stream:
    def __init__(self, name: str) -> None:
        self.live = LiveStream(name)

    def publish_live(self, publisher: Publisher, now: float) -> None:
        self.live.start_source(now)

    def unpublish(self, publisher: Publisher, now: float, reason: str = "") -> None:
        self.live.stop_source(reason)


def serve(pipe: Connection) -> None:
    """The server process: tells its ports, then answers every message with its CPU time, until None comes."""

    async def main() -> None:
        parts = Open()
        rtmp = RtmpServer(RtmpConfig(listen=Address("127.0.0.1", 0)), LiveConfig(), parts, parts)
        await rtmp.start()
        app = web.Application()
        app.add_routes(HttpFlv(LiveConfig(), parts, parts).routes())
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send((rtmp.port, runner.addresses[0][1]))
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def asked() -> None:
            if pipe.recv() is None:
                done.set()
            else:
                pipe.send(time.process_time())

        loop.add_reader(pipe.fileno(), asked)
        await done.wait()
        os._exit(0)

    asyncio.run(main())


def script(what: str) -> bytes:
    """Everything a client says up to publish or play, without waiting for answers."""
    out = b"\x03" + bytes(3072)
    for number, sid, values in (
        (1, 0, ("connect", 1, {"app": "live", "tcUrl": "rtmp://127.0.0.1/live"})),
        (2, 0, ("createStream", 2, None)),
        (3, 1, (what, 3, None, "bench")),
    ):
        out += write_message(3, 20, sid, number, amf0.encode(*values), 128)
    return out


def messages(mbps: float, seconds: float) -> Iterator[tuple[float, bytes]]:
    """(time in s, chunks) of a plausible publish, on chunk size 4096."""
    size = int((mbps * 1e6 - 128e3) / 8 / 30)
    blob = os.urandom(8 * size)
    frame, sound = 0, 0
    while frame / 30 < seconds:
        if sound * 1024 / 48000 <= frame / 30:
            ms = sound * 1024 // 48
            yield sound * 1024 / 48000, write_message(4, 8, 1, ms, b"\xaf\x01" + blob[:340], 4096)
            sound += 1
            continue
        key = frame % 60 == 0
        data = blob[: size * 4 if key else int(size * 0.95)]
        body = (b"\x17" if key else b"\x27") + b"\x01\0\0\0" + (len(data)).to_bytes(4, "big") + data
        yield frame / 30, write_message(6, 9, 1, frame * 1000 // 30, body, 4096)
        frame += 1


def publish(port: int, mbps: float) -> None:
    """The publisher process: paced, until killed."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(script("publish") + write_message(2, 1, 0, 0, (4096).to_bytes(4, "big"), 128))
    time.sleep(0.2)
    start = time.monotonic()
    config = bytes.fromhex("17000000000142e01effe1000867" + "42e01eda0280f6010004" + "68ce3c80")
    sock.sendall(write_message(6, 9, 1, 0, config, 4096) + write_message(4, 8, 1, 0, b"\xaf\x00\x11\x90", 4096))
    for at, data in messages(mbps, 3600):
        delay = start + at - time.monotonic()
        if delay > 0:
            time.sleep(delay)
        sock.sendall(data)


def play(kind: str, port: int, count: int, pipe: Connection) -> None:
    """The players' process: opens `count` connections, reads until killed; says how many bytes when asked."""
    ask = script("play") if kind == "rtmp" else b"GET /live/bench.flv HTTP/1.1\r\nHost: bench\r\n\r\n"
    selector = selectors.DefaultSelector()
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(ask)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ)
    pipe.send(None)
    selector.register(pipe, selectors.EVENT_READ)
    buffer = bytearray(1 << 18)
    total = 0
    while True:
        for key, _ in selector.select():
            if key.fileobj is pipe:
                pipe.recv()
                pipe.send(total)
                continue
            try:
                total += key.fileobj.recv_into(buffer)  # type: ignore[union-attr]
            except BlockingIOError:
                pass


def measure(server: Connection, seconds: float) -> float:
    """Return the server's CPU time per second of time."""
    server.send(1)
    before, started = server.recv(), time.monotonic()
    time.sleep(seconds)
    server.send(1)
    return float((server.recv() - before) / (time.monotonic() - started))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--players", type=int, nargs="*", default=[1, 10, 100])
    parser.add_argument("--kinds", nargs="*", default=["rtmp", "flv"])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--mbps", type=float, default=0.94)


def run(args: argparse.Namespace) -> None:
    here, there = SPAWN.Pipe()
    server = SPAWN.Process(target=serve, args=(there,), daemon=True)
    server.start()
    rtmp_port, http_port = here.recv()
    publisher = SPAWN.Process(target=publish, args=(rtmp_port, args.mbps), daemon=True)
    publisher.start()
    time.sleep(1.5)
    alone = measure(here, args.seconds)
    print(f"publisher alone, {args.mbps:g} Mbit/s: {alone * 100:.2f} % of a core")
    print(f"{'':6}{'players':>8}{'% of core':>11}{'ms per player·s':>17}{'marginal':>10}{'Mbit/s each':>13}")
    for kind in args.kinds:
        for count in args.players:
            near, far = SPAWN.Pipe()
            port = rtmp_port if kind == "rtmp" else http_port
            players = SPAWN.Process(target=play, args=(kind, port, count, far), daemon=True)
            players.start()
            near.recv()
            time.sleep(1.0)
            near.send(None)
            before, started = near.recv(), time.monotonic()
            used = measure(here, args.seconds)
            near.send(None)
            rate = (near.recv() - before) * 8e-6 / count / (time.monotonic() - started)
            each, marginal = used * 1000 / count, (used - alone) * 1000 / count
            print(f"{kind:6}{count:8d}{used * 100:11.2f}{each:17.3f}{marginal:10.3f}{rate:13.2f}", flush=True)
            players.kill()
            players.join()
            time.sleep(0.3)
    publisher.kill()
    publisher.join()
    here.send(None)
    server.join(2)


if __name__ == "__main__":
    own = argparse.ArgumentParser(description=__doc__)
    add_arguments(own)
    run(own.parse_args())
