"""The small pure parts of the hub: bucket, meter, kept pictures, throttle of key frame requests, clock."""

from __future__ import annotations

import asyncio

import pytest

from gateway.media.sfu import gop as gop_module
from gateway.media.sfu.clockline import ClockLine
from gateway.media.sfu.forward import MediaPacket
from gateway.media.sfu.gop import Gop
from gateway.media.sfu.keyframes import KeyframeRequests
from gateway.media.sfu.pacer import RateMeter, TokenBucket, later_on_loop
from gateway.wire.frame import Codec


def test_bucket_lets_a_burst_pass_and_then_the_rate() -> None:
    bucket = TokenBucket(8000, 1000)  # 1000 bytes a second
    sent = sum(100 for _ in range(50) if bucket.take(100, 1.0))
    assert sent == 1000
    assert not bucket.take(1, 1.0) and bucket.take(100, 1.001)
    sent = 0
    for step in range(1000):
        sent += 100 if bucket.take(100, 1.001 + step / 100) else 0
    assert sent == pytest.approx(10000, abs=200)


def test_meter_follows_the_rate() -> None:
    meter = RateMeter()
    for step in range(200):
        meter.add(1250, step / 100)
    assert meter.bps == pytest.approx(1e6, rel=0.05) and meter.total == 250000
    for step in range(300):
        meter.add(125, 2 + step / 100)
    assert meter.bps < 2e5


async def test_timer_on_the_loop_and_without_one() -> None:
    fired: list[float] = []
    later_on_loop(0.001, fired.append)
    await asyncio.sleep(0.05)
    assert len(fired) == 1
    await asyncio.to_thread(later_on_loop, 0.001, fired.append)  # no loop in that thread: nothing happens
    await asyncio.sleep(0.02)
    assert len(fired) == 1


def packet(seq: int, timestamp: int, size: int = 10, key: bool = False) -> MediaPacket:
    return MediaPacket(Codec.H264, seq, timestamp, True, bytes(size), key)


def test_gop_is_kept_from_a_key_frame_on_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    gop = Gop()
    gop.add(packet(1, 0), 90000)
    assert len(gop) == 0
    gop.begin()
    for seq in (2, 4, 3):
        gop.add(packet(seq, 2**32 - 3000 + 3000 * seq & 0xFFFFFFFF), 90000)
    assert [p.seq for p in gop.packets()] == [2, 3, 4]
    gop.add(packet(5, 11 * 90000), 90000)  # more than 10 s: nothing until the next key frame
    gop.add(packet(6, 11 * 90000), 90000)
    assert len(gop) == 0
    monkeypatch.setattr(gop_module, "MAX_FRAMES", 3)
    gop.begin()
    for seq in range(4):
        gop.add(packet(seq, seq * 3000), 90000)
    assert len(gop) == 0
    monkeypatch.setattr(gop_module, "MAX_BYTES", 100)
    gop.begin()
    gop.add(packet(1, 0, 60), 90000)
    assert len(gop) == 1
    gop.add(packet(2, 0, 60), 90000)
    assert len(gop) == 0


def test_key_frame_requests_are_throttled_put_off_and_repeated() -> None:
    requests = KeyframeRequests()
    assert requests.request(10.0)
    assert not requests.request(10.1) and requests.next_due(False) == 10.5
    assert not requests.due(10.4, False) and requests.due(10.5, False)
    assert requests.next_due(False) is None and requests.next_due(True) == 11.5
    assert not requests.due(11.6, False) and requests.due(11.6, True)
    requests.arrived()
    assert requests.next_due(True) is None and not requests.due(20.0, True)
    assert requests.request(20.0, urgent=True) and requests.due(20.5, True)
    assert not requests.request(20.6)
    requests.arrived()
    assert not requests.due(30.0, True) and requests.sent == 5


def test_clock_before_and_after_the_first_report() -> None:
    line = ClockLine()
    assert line.at(5.0, 7 << 32, 90000) is None
    line.arrived(1000, 5.0, 90000)
    line.arrived(1000 + 9000, 5.3, 90000)  # 200 ms late: not the one to go by
    assert line.at(5.5, 7 << 32, 90000) == (7 << 32, 1000 + 45000)
    line.arrived(1000 + 45000, 5.4, 90000)  # 100 ms earlier than thought
    assert line.at(5.5, 7 << 32, 90000) == (7 << 32, 1000 + 54000)
    line.report(100 << 32, 2**32 - 90, 6.0)
    line.arrived(5, 6.0, 90000)
    assert line.at(6.5, 0, 90000) == ((100 << 32) + (1 << 31), 45000 - 90)
    line.shift(1000)
    assert line.at(6.5, 0, 90000) == ((100 << 32) + (1 << 31), 45000 - 90 + 1000)
