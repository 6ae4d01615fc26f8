"""What the hub's tests need around it: time that they turn themselves, sources, and viewers that really decrypt."""

from __future__ import annotations

import heapq
import itertools
import socket
from collections.abc import Callable
from typing import Any, ClassVar

from pylibsrtp import Policy, Session

from gateway.media.sfu.publication import Publication
from gateway.media.sfu.subscription import Subscription
from gateway.wire.frame import Codec
from gateway.wire.rtcp import Rtcp, parse_compound
from gateway.wire.rtp import RtpPacket, parse_rtp

PROFILES = {
    "gcm": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    "cm": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
}


class Time:
    """Hand-turned monotonic time with timers: give `later` to what needs them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()

    def later(self, delay_s: float, callback: Callable[[float], None]) -> None:
        heapq.heappush(self._timers, (self.now + delay_s, next(self._order), callback))

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now

    def pass_(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            when, _, callback = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            callback(self.now)
        self.now = end


class Keys:
    """Outbound SRTP with the attribute that the hub uses, and the session that reads it."""

    def __init__(self, profile: str = "gcm") -> None:
        number, size = PROFILES[profile]
        sessions = []
        for direction in (Policy.SSRC_ANY_OUTBOUND, Policy.SSRC_ANY_INBOUND):
            policy = Policy(key=bytes(range(size)), srtp_profile=number, ssrc_type=direction)
            policy.allow_repeat_tx = True
            policy.window_size = 1024
            sessions.append(Session(policy))
        self._out, self.reader = sessions
        self.handle = self._out._srtp[0]


class Route:
    def __init__(self, sock: Any, address: tuple[Any, ...]) -> None:
        self.socket = sock
        self.address = address
        self.ancillary: list[tuple[int, int, bytes]] = []


class Viewer:
    """A sink whose datagrams arrive at a real socket and are decrypted."""

    _all: ClassVar[list[Viewer]] = []

    @classmethod
    def close_all(cls) -> None:
        for viewer in cls._all:
            viewer.inbox.close()
            viewer.outbox.close()
        cls._all.clear()

    def __init__(self, profile: str = "gcm", *, family: int = socket.AF_INET) -> None:
        host = "127.0.0.1" if family == socket.AF_INET else "::1"
        self.inbox = socket.socket(family, socket.SOCK_DGRAM)
        self.inbox.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.inbox.bind((host, 0))
        self.inbox.setblocking(False)
        self.outbox = socket.socket(family, socket.SOCK_DGRAM)
        self.outbox.setblocking(False)
        self.srtp: Keys | None = Keys(profile)
        self.keys = self.srtp
        self.route: Any = Route(self.outbox, self.inbox.getsockname())
        self.rtcp: list[Rtcp] = []
        self._all.append(self)

    def send_rtcp(self, data: bytes) -> None:
        self.rtcp += parse_compound(data)

    def datagrams(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self.inbox.recv(65536))
            except BlockingIOError:
                return found

    def packets(self) -> list[RtpPacket]:
        """Decrypt all that has come since the last call, in order of arrival."""
        return [parse_rtp(self.keys.reader.unprotect(data), 0.0) for data in self.datagrams()]


class Encoder:
    """A source: makes packets of one picture (or sound) a time, and counts the key frames that it was asked for."""

    def __init__(self, *, seq: int = 100, timestamp: int = 5000, step: int = 3000, ssrc: int = 77) -> None:
        self.seq, self.timestamp, self.step, self.ssrc = seq, timestamp, step, ssrc
        self.asked = 0

    def request_keyframe(self) -> None:
        self.asked += 1

    def picture(self, *, key: bool = False, packets: int = 3, size: int = 200, now: float = 0.0) -> list[RtpPacket]:
        """Fake H.264: single NAL units; the first of a key picture is a parameter set."""
        made = []
        for index in range(packets):
            kind = (0x67 if index == 0 else 0x65) if key else 0x41
            body = bytes([kind]) + self.seq.to_bytes(2, "big") + bytes([index]) * (size - 3)
            made.append(RtpPacket(96, index == packets - 1, self.seq, self.timestamp, self.ssrc, body, None, now))
            self.seq = (self.seq + 1) & 0xFFFF
        self.timestamp = (self.timestamp + self.step) & 0xFFFFFFFF
        return made

    def sound(self, now: float = 0.0) -> list[RtpPacket]:
        packet = RtpPacket(111, False, self.seq, self.timestamp, self.ssrc, b"\x78" + bytes(79), None, now)
        self.seq = (self.seq + 1) & 0xFFFF
        self.timestamp = (self.timestamp + 960) & 0xFFFFFFFF
        return [packet]


def video(time: Time, **options: Any) -> Publication:
    return Publication("video", "test", later=time.later, wall_clock=time.wall, **options)


def audio(time: Time) -> Publication:
    return Publication("audio", "test", later=time.later, wall_clock=time.wall)


def subscription(publication: Publication, sink: Viewer, **options: Any) -> Subscription:
    values: dict[str, Any] = {
        "ssrc": 0x1000,
        "rtx_ssrc": 0x2000,
        "payload_types": {Codec.H264: 100, Codec.VP8: 98, Codec.OPUS: 111},
        "rtx_payload_types": {Codec.H264: 101, Codec.VP8: 99},
    }
    return Subscription(publication, sink, **{**values, **options})
