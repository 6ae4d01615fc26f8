"""From RTP packets in any order to whole pictures in order. Pure: `now` is an argument.

A picture is complete when every packet from its first to the marker (or to the next timestamp) is there and its
fragments pair. A hole is given `REPAIR_S` for the resend that the feedback has asked for; then everything up to the
next key frame is dropped, because what depends on a lost picture must not be shown. A key frame that becomes complete
behind a hole ends the waiting at once. Packets without payload (a browser's probing) take numbers and are no losses.
"""

from __future__ import annotations

from typing import Final

from gateway.base.errors import CodecDataError
from gateway.wire import h264, payload
from gateway.wire.frame import Codec
from gateway.wire.rtp import RtpPacket, SeqUnwrapper

REPAIR_S: Final = 0.150
"""A resend takes about one and a half round trips; later than this a key frame is quicker."""
MAX_PACKETS: Final = 2048
MAX_BYTES: Final = 8 * 1024 * 1024
MAX_JUMP: Final = 3000
"""A sequence number further from the next expected one is a new stream's."""


class Picture:
    """`units`: NAL units (H.264) or coded frames of one picture. `stamp`: as `add` got it with the first packet."""

    __slots__ = ("keyframe", "stamp", "units")

    def __init__(self, units: list[bytes], keyframe: bool, stamp: float) -> None:
        self.units = units
        self.keyframe = keyframe
        self.stamp = stamp


class Assembler:
    """One source of one codec. `waiting`: a key frame is needed before anything is given out (so it begins)."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.waiting = True
        self.losses = 0
        self.dropped = 0
        self._depacketizer = payload.depacketizer(codec)
        self._unwrapper = SeqUnwrapper()
        self._held: dict[int, tuple[RtpPacket, float]] = {}
        self._bytes = 0
        self._next: int | None = None  # first packet of the picture that is being gathered
        self._scan = 0  # everything from _next to before _scan is there
        self._timestamp: int | None = None
        self._headless = True  # what came before _next was lost, or is not known
        self._key_start: int | None = None  # newest packet at which a decoder could start
        self._hole_since: float | None = None
        self._hole_at = -1

    def add(self, packet: RtpPacket, stamp: float, now: float) -> list[Picture]:
        """Take one packet with the stream time of its timestamp; return the pictures that are complete by it."""
        seq = self._unwrapper.unwrap(packet.seq)
        if self._next is None or abs(seq - self._next) > MAX_JUMP:
            self._restart(packet.seq)
            seq = packet.seq
        assert self._next is not None
        if seq < self._next or seq in self._held:
            return []
        self._held[seq] = (packet, stamp)
        self._bytes += len(packet.payload)
        if payload.starts_decodable(self.codec, packet.payload):
            self._key_start = seq if self._key_start is None else max(self._key_start, seq)
        pictures: list[Picture] = []
        self._gather(pictures)
        if self._held and len(self._held) > self._scan - self._next:
            self._jump_to_key(pictures)
        if len(self._held) > MAX_PACKETS or self._bytes > MAX_BYTES:
            self._give_up()
            self._gather(pictures)
        self._note_hole(now)
        return pictures

    def expire(self, now: float) -> list[Picture]:
        """Give up holes older than REPAIR_S; return what is complete behind them."""
        pictures: list[Picture] = []
        while self._hole_since is not None and now - self._hole_since >= REPAIR_S:
            self._give_up()
            self._gather(pictures)
            self._note_hole(now)
        return pictures

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do."""
        return None if self._hole_since is None else self._hole_since + REPAIR_S

    # ---

    def _restart(self, seq: int) -> None:
        if self._next is not None:
            self.losses += 1
        self._unwrapper = SeqUnwrapper()
        self._unwrapper.unwrap(seq)
        self._held.clear()
        self._bytes = 0
        self._next = self._scan = seq
        self._timestamp = self._key_start = self._hole_since = None
        self._headless = self.waiting = True

    def _gather(self, pictures: list[Picture]) -> None:
        """Finish every picture whose packets are all there."""
        held = self._held
        while (entry := held.get(self._scan)) is not None:
            packet = entry[0]
            if packet.payload:
                if self._timestamp is None:
                    self._timestamp = packet.timestamp
                elif packet.timestamp != self._timestamp:
                    self._finish(pictures)
                    continue
                if packet.marker:
                    self._scan += 1
                    self._finish(pictures)
                    continue
            self._scan += 1

    def _finish(self, pictures: list[Picture]) -> None:
        """Make a picture of the packets before _scan."""
        assert self._next is not None
        payloads: list[bytes] = []
        stamp = 0.0
        for seq in range(self._next, self._scan):
            packet, its_stamp = self._held.pop(seq)
            self._bytes -= len(packet.payload)
            if packet.payload:
                if not payloads:
                    stamp = its_stamp
                payloads.append(packet.payload)
        self._next = self._scan
        self._timestamp = None
        headless, self._headless = self._headless, False
        try:
            units = self._depacketizer.depacketize(payloads)
        except CodecDataError:
            if not self.waiting:
                self.losses += 1
            self.waiting = True
            self.dropped += 1
            return
        if not units:
            return
        if self.codec is Codec.H264:
            keyframe = h264.has_idr(units)
        else:
            keyframe = any(payload.is_keyframe(self.codec, part) for part in payloads)
        if self.waiting:
            if not keyframe or (headless and not payload.starts_decodable(self.codec, payloads[0])):
                self.dropped += 1
                return
            self.waiting = False
        pictures.append(Picture(units, keyframe, stamp))

    def _note_hole(self, now: float) -> None:
        assert self._next is not None
        if len(self._held) <= self._scan - self._next:
            self._hole_since = None
        elif self._hole_since is None or self._hole_at != self._scan:
            self._hole_at = self._scan
            beyond = min(seq for seq in self._held if seq > self._scan)
            self._hole_since = min(now, self._held[beyond][0].arrival or now)

    def _give_up(self) -> None:
        """The hole at _scan will not be filled: go on behind it, and wait for a key frame."""
        assert self._next is not None
        beyond = [seq for seq in self._held if seq > self._scan]
        self._skip_to(min(beyond) if beyond else self._scan + 1)
        self.losses += 1
        self.waiting = True

    def _skip_to(self, seq: int) -> None:
        for old in [held for held in self._held if held < seq]:
            self._bytes -= len(self._held.pop(old)[0].payload)
            self.dropped += 1
        self._next = self._scan = seq
        self._timestamp = None
        self._headless = True
        self._hole_since = None

    def _jump_to_key(self, pictures: list[Picture]) -> None:
        """Behind a hole: if the newest key frame is complete, nothing before it is needed."""
        start = self._key_start
        if start is None or start <= self._scan or start not in self._held:
            return
        timestamp = self._held[start][0].timestamp
        # A picture may have several packets that a decoder could start at: go back to its first.
        while (before := self._held.get(start - 1)) is not None and before[0].timestamp == timestamp:
            start -= 1
        seq = start
        while (entry := self._held.get(seq)) is not None:
            packet = entry[0]
            if packet.payload and (packet.marker or packet.timestamp != timestamp):
                if not self.waiting:
                    self.losses += 1
                self.waiting = True
                self._skip_to(start)
                self._gather(pictures)
                return
            seq += 1
