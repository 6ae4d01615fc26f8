"""CPU of forwarding one 0.94 Mbit/s 720p30 H.264 + Opus stream to N viewers, at true pace, SRTP AES-GCM.

The viewers are UDP sockets that nobody reads (`--sink lo`: the sender pays the kernel's receive half as well) or a
device that drops (`--sink ifb`: in a network namespace of its own; needs root). Variants run in turn, so that the
machine's moods hit all alike ("gso" is what the server does, "no gso" the same where the kernel refuses segmentation,
"sendto" the baseline); figures are medians, in microseconds of CPU per packet and subscriber. "forward" is the
function alone, "process" everything: the source's timers, numbering, history, sender reports. The yardstick is a fixed
pure-Python loop.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import random
import socket
import statistics
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

from pylibsrtp import Policy, Session
from pylibsrtp._binding import ffi, lib

from gateway.media.sfu import publication as publication_module
from gateway.media.sfu import subscription as subscription_module
from gateway.media.sfu.feedback import Outbound
from gateway.media.sfu.forward import MediaPacket, forward, segmentation
from gateway.media.sfu.publication import Publication
from gateway.media.sfu.subscription import State, Subscription
from gateway.wire.frame import Codec
from gateway.wire.payload import H264Packetizer
from gateway.wire.rtp import RtpPacket, build_extension

CLONE_NEWNET = 0x40000000
IP_PKTINFO = 8
VARIANTS = ("gso", "no gso", "sendto")


class Keys:
    """One outbound SRTP session."""

    def __init__(self, number: int) -> None:
        key = number.to_bytes(4, "big") * 11
        policy = Policy(key=key, srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_256_GCM, ssrc_type=Policy.SSRC_ANY_OUTBOUND)
        policy.allow_repeat_tx = True
        policy.window_size = 1024
        self.session = Session(policy)
        self.handle = self.session._srtp[0]


class Route:
    def __init__(self, sock: socket.socket, address: tuple[str, int], ancillary: list[tuple[int, int, bytes]]) -> None:
        self.socket = sock
        self.address = address
        self.ancillary = ancillary


class Sink:
    """What a peer is to the hub, with a socket that nobody reads behind it."""

    def __init__(self, number: int, route: Route) -> None:
        self.srtp = Keys(number)
        self.route = route
        self.rtcp = 0

    def send_rtcp(self, data: bytes) -> None:
        self.rtcp += len(data)


class Nothing:
    def request_keyframe(self) -> None:
        return


_buffer = ffi.new("unsigned char[2048]")
_view = memoryview(ffi.buffer(_buffer)).cast("B")
_length = ffi.new("int *")
_pack = struct.Struct("!BHII").pack_into


def forward_sendto(packets: Sequence[MediaPacket], subscriptions: Sequence[Subscription]) -> None:
    """The baseline: the same work with one sendto (sendmsg with our own address) for each packet."""
    for packet in packets:
        for s in subscriptions:
            data = s.layout.head + packet.payload
            size = len(data)
            _view[:size] = data
            number, stamp = (packet.seq + s.seq_offset) & 0xFFFF, (packet.timestamp + s.ts_offset) & 0xFFFFFFFF
            _pack(_view, 1, s.payload_type | (0x80 if packet.marker else 0), number, stamp, s.ssrc)
            _length[0] = size
            lib.srtp_protect(s.handle, _buffer, _length)
            route = s.sink.route
            assert route is not None
            if route.ancillary:
                route.socket.sendmsg([_view[: _length[0]]], route.ancillary, 0, route.address)
            else:
                route.socket.sendto(_view[: _length[0]], route.address)


def spin() -> float:
    """Return milliseconds of CPU for 100,000 turns of a plain loop."""
    begin = time.process_time()
    total = 0
    for number in range(100000):
        total += number
    return (time.process_time() - begin) * 1e3


def make_gop(rng: random.Random, frames: int = 60) -> list[list[bytes]]:
    """Return the payloads of `frames` pictures: one of 20 kB, the others so that the mean is 0.94 Mbit/s at 30 fps."""
    packetizer = H264Packetizer()
    mean = (0.94e6 / 8 / 30 * frames - 20000) / (frames - 1)
    pictures = []
    for index in range(frames):
        if index == 0:
            units = [b"\x67\x42\xc0\x1f" + rng.randbytes(12), b"\x68\xce\x3c\x80", b"\x65" + rng.randbytes(20000)]
        else:
            units = [b"\x41" + rng.randbytes(int(mean * rng.uniform(0.5, 1.5)))]
        pictures.append(list(packetizer.packetize(units)))
    return pictures


class Measured:
    """Stands before a forwarding function and counts its CPU."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        self.seconds = 0.0
        self.packets = 0
        self.calls = 0
        begin = time.thread_time()
        for _ in range(20000):
            time.thread_time()
        self.overhead = (time.thread_time() - begin) / 20001

    def __call__(self, packets: Sequence[Any], subscriptions: Sequence[Any]) -> None:
        begin = time.thread_time()
        self.function(packets, subscriptions)
        self.seconds += time.thread_time() - begin - self.overhead
        self.packets += len(packets) * len(subscriptions)
        self.calls += 1


async def play(video: Publication, audio: Publication, pictures: list[list[bytes]], seconds: float) -> None:
    """Write the stream at its true pace for `seconds`."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    sequence = {"video": 0, "audio": 0}
    sound = b"\x78" + bytes(159)

    def packet(kind: str, payload_type: int, payload: bytes, timestamp: int, marker: bool, now: float) -> RtpPacket:
        sequence[kind] += 1
        return RtpPacket(payload_type, marker, sequence[kind] & 0xFFFF, timestamp, 1, payload, None, now)

    async def pictures_out() -> None:
        for index in range(int(seconds * 30)):
            await asyncio.sleep(max(0.0, begin + index / 30 - loop.time()))
            now = loop.time()
            payloads = pictures[index % len(pictures)]
            last = len(payloads) - 1
            video.write([packet("video", 96, p, index * 3000, n == last, now) for n, p in enumerate(payloads)], now)

    async def sound_out() -> None:
        for index in range(int(seconds * 50)):
            await asyncio.sleep(max(0.0, begin + index / 50 + 0.003 - loop.time()))
            now = loop.time()
            audio.write([packet("audio", 111, sound, index * 960, False, now)], now)

    await asyncio.gather(pictures_out(), sound_out())


async def measure(
    viewers: int, variant: str, seconds: float, sinks: list[Sink], pictures: list[list[bytes]]
) -> list[float]:
    """Return forward us, process us, packets per call and share of a core for one run."""
    segmentation.enabled, segmentation.refusals = variant == "gso", 0
    video, audio = Publication("video", "bench"), Publication("audio", "bench")
    outbounds = []
    now = asyncio.get_running_loop().time()
    video.start(Codec.H264, 90000, Nothing(), now)
    audio.start(Codec.OPUS, 48000, Nothing(), now)
    extension = build_extension({4: b"1", 5: bytes(3)})
    for index in range(viewers):
        outbound = Outbound(sinks[index])
        for number, publication in enumerate((audio, video)):
            outbound.add(
                Subscription(
                    publication,
                    sinks[index],
                    ssrc=random.getrandbits(32),
                    rtx_ssrc=None,
                    payload_types={Codec.H264: 96, Codec.OPUS: 111},
                    rtx_payload_types={},
                    extension=extension if number else build_extension({4: b"0"}),
                ),
                now,
            )
        outbounds.append(outbound)
    await play(video, audio, pictures, 0.3)  # everybody has started
    measured = Measured(forward_sendto if variant == "sendto" else forward)
    publication_module.forward = measured  # type: ignore[assignment]
    subscription_module.forward = measured  # type: ignore[assignment]
    stop = asyncio.Event()

    async def ticks() -> None:
        while not stop.is_set():
            await asyncio.sleep(0.05)
            moment = asyncio.get_running_loop().time()
            for one in outbounds:
                one.tick(moment)

    ticking = asyncio.ensure_future(ticks())
    gc.collect()
    sent = sum(s.packets for o in outbounds for s in o.subscriptions)
    cpu = time.process_time()
    await play(video, audio, pictures, seconds)
    cpu = time.process_time() - cpu
    stop.set()
    await ticking
    publication_module.forward = forward
    subscription_module.forward = forward
    every = [s for o in outbounds for s in o.subscriptions]
    sent = sum(s.packets for s in every) - sent
    assert all(s.state is State.LIVE and not s.dropped for s in every), [s.stats() for s in every[:3]]
    for one in outbounds:
        one.close(0.0)
    return [
        measured.seconds / measured.packets * 1e6,
        cpu / sent * 1e6,
        measured.packets / measured.calls / viewers,
        cpu / seconds * 100,
    ]


def make_sinks(where: str, count: int, pktinfo: bool) -> tuple[list[Sink], list[socket.socket]]:
    keep = []
    ancillary = []
    if where == "ifb":
        ctypes.CDLL(None).unshare(CLONE_NEWNET)
        for command in (
            "link add ifb0 type ifb",
            "addr add 10.99.0.1/24 dev ifb0",
            "link set ifb0 up",
            "link set lo up",
        ):
            subprocess.run(["ip", *command.split()], check=True)
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    out.setblocking(False)
    out.bind(("0.0.0.0", 0))
    keep.append(out)
    if pktinfo:
        own = "127.0.0.1" if where == "lo" else "10.99.0.1"
        data = (0).to_bytes(4, "little") + socket.inet_aton(own) + bytes(4)
        ancillary = [(socket.IPPROTO_IP, IP_PKTINFO, data)]
    sinks = []
    for index in range(count):
        if where == "lo":
            unread = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            unread.bind(("127.0.0.1", 0))
            keep.append(unread)
            address = unread.getsockname()
        else:
            address = (f"10.99.0.{2 + index % 200}", 20000 + index)
        sinks.append(Sink(index + 1, Route(out, address, ancillary)))
    return sinks, keep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--viewers", default="1,10,100", help="comma separated (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run (default %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each variant (default %(default)s)")
    parser.add_argument("--sink", choices=("lo", "ifb"), default="lo")
    parser.add_argument("--no-pktinfo", action="store_true", help="do not fix our own address in each send")


def run(args: argparse.Namespace) -> None:
    counts = [int(text) for text in args.viewers.split(",")]
    sinks, keep = make_sinks(args.sink, max(counts), not args.no_pktinfo)
    pictures = make_gop(random.Random(1))
    mean = statistics.mean(len(payloads) for payloads in pictures)
    print(f"one 720p30 stream, {mean:.1f} packets a picture, 50 Opus packets a second; sink {args.sink}")
    print(f"{'viewers':>7} {'variant':>8} {'forward us':>11} {'process us':>11} {'% of core':>10}  packets a call")
    yardstick: list[float] = []
    for viewers in counts:
        results: dict[str, list[list[float]]] = {name: [] for name in VARIANTS}
        for _ in range(args.repeat):
            for name in VARIANTS:
                yardstick.append(spin())
                results[name].append(asyncio.run(measure(viewers, name, args.seconds, sinks, pictures)))
        medians = {
            name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in results.items()
        }
        for name, (alone, process, per_call, core) in medians.items():
            print(f"{viewers:7} {name:>8} {alone:11.2f} {process:11.2f} {core:10.2f}  {per_call:.1f}")
        ratio = medians["gso"][0] / medians["sendto"][0]
        whole = medians["gso"][1] / medians["sendto"][1]
        print(f"{viewers:7} {'ratio':>8} {ratio:11.2f} {whole:11.2f}")
    print(
        f"yardstick: {statistics.median(yardstick):.2f} ms for 100,000 turns (min {min(yardstick):.2f},"
        f" max {max(yardstick):.2f}); segmented sends refused: {segmentation.refusals}"
    )
    for sock in keep:
        sock.close()
