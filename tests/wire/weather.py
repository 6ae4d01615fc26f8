"""Publishers, networks and receivers for the timeline tests: hours of bad weather, in simulated minutes.

`rtp_run` captures sound and picture, stamps them with RTP clocks that may drift, jump or stop, sends them through a
network with delay, loss and stalls, and feeds a Timeline. `flv_run` does the same with FLV stamps, an FlvTimeline, a
SampleClock and a receiver that learns the sender's clock by least squares over 20 reports, as libwebrtc does.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.wire.timeline import FlvTimeline, SampleClock, Timeline, Track

Delay = Callable[[random.Random, float], float]
Span = tuple[float, float]


def uniform(milliseconds: float) -> Delay:
    return lambda draw, _t: draw.random() * milliseconds / 1000


def queueing(base_ms: float, spike_ms: float) -> Delay:
    """One queue that both tracks share: it wanders, and now and then stands up by `spike_ms`."""
    queue, own = [0.0], random.Random(7)

    def delay(draw: random.Random, t: float) -> float:
        while len(queue) <= t * 50 + 1:
            value = max(0.0, queue[-1] * 0.95 + own.gauss(0, base_ms / 1000 * 0.3))
            queue.append(min(value + (spike_ms / 1000 if own.random() < 0.002 else 0), 0.8))
        return queue[int(t * 50)] + draw.random() * 0.003

    return delay


@dataclass(frozen=True)
class Weather:
    """Times in seconds, by the sender's wall clock. `sr` and `sr_first`: (picture, sound)."""

    jitter: Delay = field(default_factory=lambda: uniform(30))
    ppm_sender: float = 0.0
    ppm_audio: float = 0.0
    loss: float = 0.0
    sr: tuple[float, float] = (1.0, 5.0)
    sr_first: tuple[float, float] = (0.5, 2.5)
    sr_noise: float = 0.002
    sr_tracks: tuple[Track, ...] = ("audio", "video")
    mute: tuple[Span, ...] = ()
    freeze: Span | None = None
    jump: tuple[Track, float, float] | None = None
    ntp_step: Span | None = None
    wrap: bool = False
    capture_time: bool = False
    video_delay: float = 0.015
    audio_delay: float = 0.025
    stall: tuple[Span, ...] = ()


@dataclass
class Result:
    """`skews`: (capture time, |sound - picture| in ms), one per picture."""

    skews: list[tuple[float, float]]
    timeline: Timeline

    def percentile(self, share: float, since: float = 0.0, until: float = 1e9) -> float:
        values = sorted(skew for at, skew in self.skews if since <= at < until)
        return values[min(len(values) - 1, int(len(values) * share))]

    def worst(self, since: float = 0.0, until: float = 1e9) -> float:
        return max(skew for at, skew in self.skews if since <= at < until)


Event = tuple[float, int, Track, int, float, int]
REPORT, PACKET = 0, 1


def rtp_run(seconds: float, weather: Weather, seed: int = 1) -> Result:
    draw = random.Random(seed)
    events: list[Event] = []
    first_rtp = {
        "audio": 0xFFFFFFFF - 48000 * 20 if weather.wrap else draw.getrandbits(32),
        "video": 0xFFFFFFFF - 90000 * 30 if weather.wrap else draw.getrandbits(32),
    }
    ntp0 = 3.9e9 + draw.random()
    ours = 1 + weather.ppm_sender * 1e-6

    def network(t: float) -> float:
        delay = 0.02 + weather.jitter(draw, t)
        for begin, end in weather.stall:
            if begin <= t < end:
                delay = max(delay, end - t + 0.02 + (t - begin) * 0.01)
        return delay

    def silent(t: float) -> bool:
        frozen = weather.freeze is not None and weather.freeze[0] <= t < weather.freeze[1]
        return frozen or any(begin <= t < end for begin, end in weather.mute)

    def shift(name: Track, t: float) -> float:
        """How far this track's RTP clock is off because it jumped or stood still."""
        moved = 0.0
        if weather.jump is not None and name == weather.jump[0] and t >= weather.jump[1]:
            moved = weather.jump[2]
        if weather.freeze is not None and name == "audio" and t >= weather.freeze[1]:
            moved = weather.freeze[0] - weather.freeze[1]
        return moved

    tracks: list[tuple[Track, float, int, float, float]] = [
        ("audio", 0.02, 48000, 1 + weather.ppm_audio * 1e-6, weather.audio_delay),
        ("video", 1 / 30, 90000, 1.0, weather.video_delay),
    ]
    for name, period, rate, crystal, delay in tracks:
        number, last_arrival, last_capture_time = 0, 0.0, -9.0
        while (media := number * period) < seconds:
            captured = media / crystal
            number += 1
            if name == "audio" and silent(captured):
                continue
            if name == "video" and draw.random() < 0.02:  # the encoder skips a picture
                continue
            if draw.random() < weather.loss:
                continue
            arrival = captured / ours + delay + network(captured / ours)
            if draw.random() > 0.01:  # else it overtakes
                arrival = max(last_arrival, arrival)
            last_arrival = max(last_arrival, arrival)
            rtp = int(first_rtp[name] + round((media + shift(name, captured)) * rate)) & 0xFFFFFFFF
            if weather.capture_time and captured >= last_capture_time + 1.0:
                last_capture_time = captured
                events.append((arrival, REPORT, name, rtp, ntp0 + captured, number))
            events.append((arrival, PACKET, name, rtp, captured, number))
        if name not in weather.sr_tracks:
            continue
        index = 0 if name == "video" else 1
        t = weather.sr_first[index]
        while t < seconds:
            stepped = weather.ntp_step[1] if weather.ntp_step and t >= weather.ntp_step[0] else 0.0
            if not (name == "audio" and silent(t)) and draw.random() >= weather.loss:
                media = t * crystal + shift(name, t) + draw.gauss(0, weather.sr_noise)
                rtp = int(first_rtp[name] + round(media * rate)) & 0xFFFFFFFF
                events.append((t / ours + network(t / ours), REPORT, name, rtp, ntp0 + t + stepped, 0))
            t += weather.sr[index] * draw.uniform(0.5, 1.5)
    events.sort()

    timeline = Timeline({"audio": 48000, "video": 90000})
    sound: tuple[float, float] | None = None
    newest = {"audio": -1, "video": -1}
    last_out = {"audio": -1e9, "video": -1e9}
    skews: list[tuple[float, float]] = []
    for arrival, kind, name, rtp, truth, number in events:
        if kind == REPORT:
            timeline.report(name, truth, rtp, arrival)
            continue
        in_order = number > newest[name]
        stamp = timeline.packet(name, rtp, arrival, in_order)
        if in_order:
            newest[name] = number
            assert stamp >= last_out[name], "stream time ran back"
            last_out[name] = stamp
        if name == "audio":
            sound = (truth, stamp - truth)
        elif sound is not None and truth - sound[0] < 1.0:
            skews.append((truth, abs(sound[1] - (stamp - truth)) * 1000))
    return Result(skews, timeline)


# ---------------------------------------------------------------- FLV in, RTP out


class LeastSquares:
    """RTP position to NTP seconds, by the last 20 reports."""

    def __init__(self) -> None:
        self._pairs: deque[tuple[float, float]] = deque(maxlen=20)
        self._slope, self._offset = 1.0, 0.0

    def __bool__(self) -> bool:
        return bool(self._pairs)

    def report(self, ntp: float, position: float) -> None:
        self._pairs.append((position, ntp))
        count = len(self._pairs)
        mean_x = sum(x for x, _ in self._pairs) / count
        mean_y = sum(y for _, y in self._pairs) / count
        spread = sum((x - mean_x) ** 2 for x, _ in self._pairs)
        if count > 1 and spread > 0:
            self._slope = sum((x - mean_x) * (y - mean_y) for x, y in self._pairs) / spread
        self._offset = mean_y - self._slope * mean_x

    def ntp(self, position: float) -> float:
        return self._slope * position + self._offset


@dataclass(frozen=True)
class Pusher:
    """An RTMP publisher. `wall_ms`: None: stamps count samples; else stamps are its wall clock, that noisy."""

    rate: int = 48000
    ppm_publisher: float = 0.0
    ppm_audio: float = 0.0
    wall_ms: float | None = None
    stall: tuple[Span, ...] = ()
    restart: Span | None = None
    hole: Span | None = None
    wrap: bool = False
    speed: float = 1.0
    early: float = 0.0


@dataclass
class FlvResult:
    skews: list[float]
    jumps: int
    anchors: int
    ran_back: int

    def percentile(self, share: float) -> float:
        values = sorted(self.skews)
        return values[min(len(values) - 1, int(len(values) * share))]


def flv_run(seconds: float, pusher: Pusher, seed: int = 1) -> FlvResult:
    draw = random.Random(seed)
    clock = 1 + pusher.ppm_publisher * 1e-6
    first = 0xFFFFFFFF - 20000 if pusher.wrap else 0
    events: list[tuple[float, Track, int, float]] = []

    def put(name: Track, sent: float, stamp: float, key: float, truth: float) -> None:
        moved = pusher.restart[1] if pusher.restart and key >= pusher.restart[0] else 0.0
        raw = (int((stamp + moved) * 1000) + first) & 0xFFFFFFFF
        events.append((sent / clock / pusher.speed, name, raw, truth))

    number = 0
    while (captured := number * 1024 / pusher.rate / (1 + pusher.ppm_audio * 1e-6)) < seconds:
        counted = number * 1024 / pusher.rate
        number += 1
        if pusher.hole and pusher.hole[0] <= captured < pusher.hole[1]:
            continue
        if pusher.wall_ms is None:
            put("audio", captured + 0.022, counted, captured, counted)
        else:
            noise = draw.uniform(-pusher.wall_ms, pusher.wall_ms) / 1000
            put("audio", captured + 0.022, max(0.0, captured + noise), captured, captured)
    for index in range(int(seconds * 30)):
        t = index / 30
        put("video", t + 0.005, t + pusher.early, t, t + pusher.early)
    events.sort()

    timeline, sample_clock = FlvTimeline(), SampleClock(pusher.rate)
    of_sound, of_picture = LeastSquares(), LeastSquares()
    skews: list[float] = []
    sound: tuple[float, float] | None = None
    now, next_report, last_video, ran_back = 0.0, 0.0, -1.0, 0
    for sent, name, raw, truth in events:
        delay = draw.random() * 0.02
        for begin, end in pusher.stall:
            if begin <= sent < end:
                delay = end - sent
        now = max(now, sent + delay)  # TCP keeps the order
        stamp = timeline.packet(name, raw, now) / 90000
        if name == "audio":
            counted = sample_clock.frame(stamp, 1024)
            if sound is None or now >= next_report:
                of_sound.report(counted.position + counted.correction, counted.position)
            sound = (truth, of_sound.ntp(counted.position) - truth)
            continue
        ran_back += stamp < last_video
        last_video = stamp
        if not of_picture or now >= next_report:
            of_picture.report(stamp, stamp)
        if sound is not None and truth - sound[0] < 1.0:
            skews.append(abs(sound[1] - (of_picture.ntp(stamp) - truth)) * 1000)
        if now >= next_report:
            next_report = now + 1.0
    return FlvResult(skews, timeline.jumps, sample_clock.anchors, ran_back)
