"""Which NTP time belongs to which RTP timestamp of a publication: the line that our sender reports lie on. Pure.

On the line of the source's last report; before the source has reported, by the packet that was the least late. Never
"now and the last packet": a stall would bend the line, and with it the lip sync of every viewer.
"""

from __future__ import annotations

from typing import Final

from gateway.wire.rtp import ts_diff

_MASK32: Final = 0xFFFFFFFF
_MASK64: Final = 0xFFFFFFFFFFFFFFFF
RESTART_S: Final = 10.0
"""A timestamp this far from the line says that the line was wrong."""


class ClockLine:
    """Timestamps are 32 bit in the publication's numbers, NTP 64 bit, `now` and `arrival` monotonic seconds."""

    __slots__ = ("_fastest", "_report")

    def __init__(self) -> None:
        self._report: tuple[int, int, float] | None = None
        self._fastest: tuple[int, float] | None = None

    def report(self, ntp: int, timestamp: int, now: float) -> None:
        """The source has reported, and it came at `now`."""
        self._report = (ntp & _MASK64, timestamp & _MASK32, now)

    def shift(self, ticks: int) -> None:
        """The publication's timestamps have moved by `ticks` against the source's."""
        self._fastest = None
        if self._report is not None:
            ntp, timestamp, then = self._report
            self._report = (ntp, (timestamp + ticks) & _MASK32, then)

    def arrived(self, timestamp: int, arrival: float, clock_rate: int) -> None:
        """A packet came; matters only before the first report."""
        if self._report is not None:
            return
        if self._fastest is not None:
            stamp, then = self._fastest
            ahead = ts_diff(timestamp, stamp) / clock_rate
            if arrival - then >= ahead and abs(arrival - then - ahead) < RESTART_S:
                return
        self._fastest = (timestamp, arrival)

    def at(self, now: float, ntp_now: int, clock_rate: int) -> tuple[int, int] | None:
        """Return (ntp, timestamp) of `now`, None before the first packet. `ntp_now` is our own clock's NTP time."""
        if self._report is not None:
            ntp, stamp, then = self._report
            elapsed = now - then
            return (ntp + int(elapsed * 4294967296.0)) & _MASK64, (stamp + round(elapsed * clock_rate)) & _MASK32
        if self._fastest is None:
            return None
        stamp, then = self._fastest
        return ntp_now, (stamp + round((now - then) * clock_rate)) & _MASK32
