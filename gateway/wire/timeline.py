"""One clock for the sound and the picture of one publisher. Pure: arrival times come as `now` (monotonic seconds).

`Timeline` reads RTP, `FlvTimeline` reads FLV and RTMP stamps, `SampleClock` counts the samples of a coded sound track
against its stamps. The algorithms and their figures were found by simulating hours of bad network; the short form of
that simulation is tests/wire/test_timeline.py, which asserts them.

Invariant of all three: what one track is given never runs back (packets that arrive out of order excepted).
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from typing import Final, Literal

Track = Literal["audio", "video"]

SLEW: Final = 0.020
"""Seconds by which the slaved track is moved per second: a change of speed that nobody sees or hears."""
FAST_SLEW: Final = 0.200
"""The same in the first `SETTLE_S` after the relation's source changed: 60 ms of start error are gone in 0.3 s."""
SETTLE_S: Final = 1.0
STEP_S: Final = 0.300
"""An error above this is removed at once, by moving the track that is behind forward."""
JUMP_S: Final = 0.300
"""A packet this much earlier than the fastest of the window is no luck of the network: its RTP clock jumped."""
REORDER_S: Final = 3.0
"""RTP time further back than this is a reset, not reordering."""
WINDOW_S: Final = 10.0
"""Window of the fastest transit. 5 s gives 23 ms p99 without sender reports, 10 s gives 20."""
REPORTS_KEPT: Final = 7
"""Reports whose median counts. With 10 ms of report noise 5 give 21 ms p99, 7 give 19."""
REPORT_LIFE_S: Final = 45.0
SILENT_S: Final = 1.0
"""Sound that has not come for so long is no master any more."""
ODD_REPORT_S: Final = 0.030
"""A report off by more is believed only if the next one agrees. At 100 ms a step of 50 ms of the sender's wall clock
would hide and poison the median for 20 s."""
LATE_S: Final = 0.200
"""How long lateness has to last, while the other track is punctual, until the clock is taken for stopped."""
FAR_REPORT_S: Final = 15.0
"""A report about an RTP time further from the newest packet is about a clock that is gone."""

_NEVER: Final = -1e9


def _signed32(difference: int) -> int:
    return (difference + 0x80000000 & 0xFFFFFFFF) - 0x80000000


class _RtpTrack:
    """What the Timeline knows of one track. `position` is unwrapped RTP time in seconds, stream time is
    `position + offset`."""

    __slots__ = (
        "alive_since",
        "last_rtp",
        "late",
        "late_since",
        "offset",
        "out",
        "rate",
        "reports",
        "seen",
        "strikes",
        "transits",
        "unwrapped",
    )

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.last_rtp: int | None = None
        self.unwrapped = 0
        self.offset: float | None = None
        self.transits: deque[tuple[float, float]] = deque()
        self.reports: deque[tuple[float, float]] = deque(maxlen=REPORTS_KEPT)
        self.seen = self.out = self.alive_since = _NEVER
        self.strikes = 0
        self.late = self.late_since = 0.0

    def unwrap(self, rtp: int) -> tuple[int, int]:
        """Return (unwrapped time, difference from the newest packet), both in units of the RTP clock."""
        if self.last_rtp is None:
            self.last_rtp = self.unwrapped = rtp
        difference = _signed32(rtp - self.last_rtp)
        return self.unwrapped + difference, difference

    def add_transit(self, now: float, transit: float) -> float:
        """Note one transit (arrival minus position), return the smallest of the last WINDOW_S seconds."""
        queue = self.transits
        while queue and queue[-1][1] >= transit:
            queue.pop()
        queue.append((now, transit))
        while queue[0][0] < now - WINDOW_S:
            queue.popleft()
        return queue[0][1]

    def relation(self, now: float) -> float | None:
        """Return the median of (sender's wall clock minus position) over the recent reports; None without any."""
        reports = self.reports
        while reports and reports[0][0] < now - REPORT_LIFE_S:
            reports.popleft()
        if not reports:
            return None
        values = sorted(value for _, value in reports)
        return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


class Timeline:
    """Maps the RTP times of a publisher's tracks to one stream time, in seconds from the first packet.

    * Sound, while it comes, is the master: its offset does not move, so its stamps are its samples. The other track
      is slewed towards it (`SLEW`).
    * The relation of the two comes from the reports of both (sender reports or abs-capture-time: the sender's wall
      clock at an RTP time), else from arrival: the fastest transit of either in the window. Reports of one track
      alone say nothing about the other and are not used.
    * A large error is stepped, always forward. A track whose RTP clock jumped, stopped or restarted is anchored anew
      by arrival and its reports are forgotten.

    `steps`, `jumps` and `clamps` count what happened.
    """

    def __init__(self, rates: Mapping[Track, int], master: Track = "audio") -> None:
        self._tracks: dict[Track, _RtpTrack] = {name: _RtpTrack(rate) for name, rate in rates.items()}
        self._preferred = self._tracks.get(master)
        self._base: float | None = None
        self._source: str | None = None
        self._source_since = 0.0
        self.steps = self.jumps = self.clamps = 0

    def _other(self, track: _RtpTrack) -> _RtpTrack | None:
        for other in self._tracks.values():
            if other is not track and other.offset is not None:
                return other
        return None

    def report(self, name: Track, ntp_s: float, rtp: int, now: float) -> None:
        """Take the sender's word that its wall clock was `ntp_s` (seconds, any epoch common to its tracks) at `rtp`.

        abs-capture-time comes with a packet: report first, then `packet()`.
        """
        track = self._tracks[name]
        unwrapped, difference = track.unwrap(rtp)
        if abs(difference) > FAR_REPORT_S * track.rate:
            return
        value = ntp_s - unwrapped / track.rate
        median = track.relation(now)
        if median is not None and abs(value - median) > ODD_REPORT_S:
            track.strikes += 1
            if track.strikes < 2:
                return
            # The sender's wall clock or this track's RTP clock was set. Both tracks' reports have to be from one side
            # of that, and what they say then is a new source: it is followed fast.
            self._source = None
            track.reports.clear()
            other = self._other(track)
            if other is not None:
                other.reports.clear()
        track.strikes = 0
        track.reports.append((now, value))

    def packet(self, name: Track, rtp: int, now: float, in_order: bool = True) -> float:
        """Return the stream time of a packet's RTP time, in seconds.

        `in_order`: its sequence number is above all earlier ones of the track. Only then the result is kept from
        running back, and only such a packet moves the unwrapping, even when its RTP time goes back.
        """
        track = self._tracks[name]
        unwrapped, difference = track.unwrap(rtp)
        position = unwrapped / track.rate
        transit = now - position
        other = self._other(track)
        gap = now - track.seen
        if track.offset is not None and track.transits:
            self._check_clock(track, other, transit, difference, gap, now)
        if gap > LATE_S:
            track.alive_since = now
        if track.offset is None or in_order:
            track.unwrapped, track.last_rtp = unwrapped, rtp
        track.seen = now
        fastest = track.add_transit(now, transit)
        if track.offset is None:
            self._anchor(track, other, position, fastest, now)
        elif other is not None and other.transits:
            master = track if track is self._preferred or now - other.seen > SILENT_S else other
            if track is not master:
                self._align(master, track, now, gap)
        assert track.offset is not None
        stamp = position + track.offset
        if stamp < track.out:
            if in_order:
                self.clamps += 1
                stamp = track.out
        else:
            track.out = stamp
        return stamp

    def restart(self, name: Track) -> None:
        """The track has a new source: its RTP clock is another. Stream time goes on where it is."""
        track = self._tracks[name]
        track.last_rtp = track.offset = None
        track.transits.clear()
        track.reports.clear()
        track.strikes = 0
        track.late = 0.0

    def _check_clock(
        self, track: _RtpTrack, other: _RtpTrack | None, transit: float, difference: int, gap: float, now: float
    ) -> None:
        """Forget the track's offset if its RTP clock jumped, stopped or restarted."""
        late = transit - track.transits[0][1]
        # A stall of the network makes both tracks late; a stopped clock only its own.
        other_is_fine = other is not None and now - other.seen < LATE_S and other.late < JUMP_S / 2
        if late < JUMP_S or not other_is_fine:
            track.late_since = now
        lasting = now - track.late_since > LATE_S
        paused = gap > LATE_S and other is not None and other.alive_since < track.seen
        if (
            late < -JUMP_S
            or difference < -REORDER_S * track.rate
            or (other_is_fine and late > JUMP_S and (lasting or paused))
        ):
            self.jumps += 1
            track.transits.clear()
            track.reports.clear()
            track.offset = None
            late = 0.0
        track.late = late

    def _anchor(self, track: _RtpTrack, other: _RtpTrack | None, position: float, fastest: float, now: float) -> None:
        if self._base is None:
            self._base = now
        if other is None or other.offset is None:
            track.offset = max(now - self._base, track.out) - position
            return
        mine, theirs = track.relation(now), other.relation(now)
        if mine is not None and theirs is not None:
            track.offset, self._source = other.offset + mine - theirs, "reports"
        else:
            track.offset, self._source = other.offset + fastest - other.transits[0][1], None

    def _align(self, master: _RtpTrack, slave: _RtpTrack, now: float, elapsed: float) -> None:
        assert master.offset is not None and slave.offset is not None
        of_master, of_slave = master.relation(now), slave.relation(now)
        if of_master is not None and of_slave is not None:
            source, relation = "reports", of_slave - of_master
        else:
            source, relation = "arrival", slave.transits[0][1] - master.transits[0][1]
        if source != self._source:
            self._source, self._source_since = source, now
        settled = now - self._source_since > SETTLE_S
        error = master.offset + relation - slave.offset
        if abs(error) > STEP_S and (source == "reports" or settled):
            self.steps += 1
            if error > 0:
                slave.offset += error
            else:
                master.offset -= error
            return
        limit = (SLEW if settled else FAST_SLEW) * min(elapsed, 1.0)
        slave.offset += max(-limit, min(limit, error))

    def due(self, now: float) -> float | None:
        """Return the stream time, in seconds, of what the fastest path of the network could have brought by `now`.

        By the track that came last; None before the first packet. It goes on while nothing comes at all: by it
        silence is put where sound is missing.
        """
        latest: _RtpTrack | None = None
        for track in self._tracks.values():
            if track.offset is not None and track.transits and (latest is None or track.seen > latest.seen):
                latest = track
        if latest is None or latest.offset is None:
            return None
        return now - latest.transits[0][1] + latest.offset

    def lateness(self, name: Track) -> float:
        """Return how many seconds the track's newest packet came behind the fastest of the window."""
        return max(0.0, self._tracks[name].late)


# ---------------------------------------------------------------- FLV in

TICKS_PER_MS: Final = 90

BACK_MS: Final = 500
"""A stamp further back than this is a restart of the publisher's clock, a smaller step back is its jitter."""
AHEAD_MS: Final = 3000
"""A stamp ahead by more than this beyond the time waited is a jump. Bursts and fast pushing are not."""
MATCH_MS: Final = 500
"""The second track joins the first one's new offset if that leaves it continuous within this."""
EPOCH_LIFE_S: Final = 10.0
"""How long the second track may take to jump as well."""
OWN_START_MS: Final = 60_000
"""First stamps below this are kept as they are: the publisher counts from its own start."""
LATE_START_MS: Final = 1000
"""Else the first stamp becomes this, so that the other track's, which may be a little earlier, is not negative."""


@dataclasses.dataclass(slots=True)
class _FlvTrack:
    raw: int
    unwrapped: int
    arrival: float
    offset: int
    out: int


class FlvTimeline:
    """Maps FLV stamps (32-bit milliseconds, both tracks on one clock) to stream time in 90 kHz ticks.

    The stamps are trusted; arrival only tells a restart from a pause. A track whose stamps jump goes on at the
    furthest stream time so far, and the other, jumping within 10 s, adopts the same offset: the relation of sound
    and picture survives a publisher's restart. `jumps` counts them.
    """

    def __init__(self) -> None:
        self._tracks: dict[Track, _FlvTrack] = {}
        self._epoch: tuple[float, int] = (_NEVER, 0)
        self.jumps = 0

    def packet(self, track: Track, timestamp_ms: int, now: float) -> int:
        """Return the decoding time of one tag in 90 kHz ticks, 0 or more.

        Small steps back of the publisher's own stamps are kept from running back: the result repeats.
        """
        state = self._tracks.get(track)
        if state is None:
            return self._first(track, timestamp_ms & 0xFFFFFFFF, now) * TICKS_PER_MS
        difference = _signed32(timestamp_ms - state.raw)
        waited_ms = int((now - state.arrival) * 1000)
        state.raw = timestamp_ms & 0xFFFFFFFF
        state.unwrapped += difference
        state.arrival = now
        if difference < -BACK_MS or difference > waited_ms + AHEAD_MS:
            self._jump(state, waited_ms, now)
        state.out = max(state.out, state.unwrapped + state.offset)
        return state.out * TICKS_PER_MS

    def _first(self, track: Track, raw: int, now: float) -> int:
        other = next(iter(self._tracks.values()), None)
        if other is not None:
            unwrapped = other.unwrapped + _signed32(raw - other.raw)
            offset = other.offset
        else:
            unwrapped = raw
            offset = 0 if raw < OWN_START_MS else LATE_START_MS - raw
        out = max(0, unwrapped + offset)
        self._tracks[track] = _FlvTrack(raw, unwrapped, now, offset, out)
        return out

    def _jump(self, state: _FlvTrack, waited_ms: int, now: float) -> None:
        self.jumps += 1
        at, offset = self._epoch
        continuous = abs(state.unwrapped + offset - state.out) < MATCH_MS + waited_ms
        if now - at < EPOCH_LIFE_S and continuous:
            state.offset = offset
            return
        furthest = max(other.out for other in self._tracks.values())
        state.offset = max(furthest, state.out + min(waited_ms, AHEAD_MS)) - state.unwrapped
        self._epoch = (now, state.offset)


# ---------------------------------------------------------------- counted sound

AVERAGED_FRAMES: Final = 100
"""Frames (about 2 s) over which the difference of stamp and count is averaged."""
HOLE_S: Final = 0.120
"""One stamp off the average by more is a hole or an overlap in the sound."""
DRIFTED_S: Final = 0.060
"""So is an average that has moved from what the reports say by more."""


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """`position`: stream time of the frame's first sample, in seconds, by count. `correction`: seconds that a sender
    report adds to `position` to get the publisher's own time. `anchored`: the count was moved to the stamp (also by
    the first frame)."""

    position: float
    correction: float
    anchored: bool


class SampleClock:
    """Counts a coded sound track in samples and learns how its stamps differ.

    Samples follow the count, so that they are exact; the drift of the publisher's stamps against it, smoothed and
    slewed, goes into sender reports. Only a hole moves the count: what is downstream skips or inserts silence there.
    """

    def __init__(self, rate: int) -> None:
        if rate <= 0:
            raise ValueError(f"sample rate {rate}")
        self._rate = rate
        self._anchor: float | None = None
        self._samples = 0
        self._seen = 0
        self._average = 0.0
        self._correction = 0.0
        self.anchors = 0

    def frame(self, stamp: float, samples: int) -> Counted:
        """Count one frame of `samples` samples that the publisher stamped `stamp` (stream seconds)."""
        anchored = False
        if self._anchor is None:
            self._anchor, anchored = stamp, True
        error = stamp - (self._anchor + self._samples / self._rate)
        self._seen += 1
        self._average += (error - self._average) / min(AVERAGED_FRAMES, self._seen)
        hole = abs(error) > HOLE_S and abs(error - self._average) > HOLE_S
        if hole or abs(self._average - self._correction) > DRIFTED_S:
            self.anchors += 1
            self._anchor, self._samples, self._seen = stamp, 0, 1
            self._average = self._correction = 0.0
            anchored = True
        duration = samples / self._rate
        limit = SLEW * duration
        self._correction += max(-limit, min(limit, self._average - self._correction))
        position = self._anchor + self._samples / self._rate
        self._samples += samples
        return Counted(position, self._correction, anchored)
