"""The pictures since the last key frame, kept for viewers that come later. Bounded by time, bytes and frames."""

from __future__ import annotations

from typing import Final

from gateway.media.sfu.forward import MediaPacket
from gateway.wire.rtp import ts_diff

MAX_SECONDS: Final = 10.0
MAX_BYTES: Final = 8 * 1024 * 1024
MAX_FRAMES: Final = 2500


class Gop:
    """Packets from a key frame on. Once a bound is passed it is empty until the next key frame begins."""

    __slots__ = ("_bytes", "_frames", "_newest", "_open", "_packets")

    def __init__(self) -> None:
        self._packets: list[MediaPacket] = []
        self._bytes = 0
        self._frames = 0
        self._newest: int | None = None
        self._open = False

    def __len__(self) -> int:
        return len(self._packets)

    def begin(self) -> None:
        """A key frame begins with the next packet."""
        self.clear()
        self._open = True

    def clear(self) -> None:
        self._packets = []
        self._bytes = self._frames = 0
        self._newest = None
        self._open = False

    def add(self, packet: MediaPacket, clock_rate: int) -> None:
        if not self._open:
            return
        self._packets.append(packet)
        self._bytes += len(packet.payload)
        if packet.timestamp != self._newest:
            self._newest = packet.timestamp
            self._frames += 1
        age = ts_diff(packet.timestamp, self._packets[0].timestamp)
        if self._bytes > MAX_BYTES or self._frames > MAX_FRAMES or age > MAX_SECONDS * clock_rate:
            self.clear()

    def packets(self) -> list[MediaPacket]:
        """Return what is kept, in order of number; the first belongs to a key frame."""
        return sorted(self._packets, key=lambda packet: packet.seq)
