"""The receiving half of an up connection: which packet is whose, what is missing, what the browser must be told.

`receive` takes the decrypted packets of one wake-up: finds their track by SSRC, MID or payload type, undoes RTX, drops
duplicates, and writes what is left to the tracks' publications. `tick`, each 50 ms, sends transport feedback, requests
for lost packets and, once a second, receiver reports. Pure but for the timer: RTCP leaves by the callable given.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from gateway.base.clock import Clock, ntp64, wall
from gateway.media.sfu.pacer import Later, later_on_loop
from gateway.media.sfu.publication import Publication
from gateway.media.sfu.reception import Reception
from gateway.wire.frame import Codec
from gateway.wire.rtcp import (
    Bye,
    Nack,
    Pli,
    ReceiverReport,
    Rtcp,
    SenderReport,
    TwccRecorder,
    compound_chunks,
)
from gateway.wire.rtp import RtpPacket, unwrap_rtx

if TYPE_CHECKING:
    from gateway.media.rtc.negotiation import InboundTrack

MAX_SSRCS: Final = 32
IDLE_S: Final = 5.0
"""When 32 SSRCs are known, one that was silent this long makes room for a new one."""

RETIRED_S: Final = 1.0
"""A track's earlier SSRC takes it back only after its present one has been silent for this long."""

REPORT_S: Final = 1.0
NACK_S: Final = 0.01
"""While packets are missing they are looked after this often."""

NACK_NUMBERS: Final = 200
"""Numbers per NACK packet."""

ABS_CAPTURE_S: Final = 0.9
"""Browsers stamp the capture time once a second; more often adds nothing."""

CLOCK_RATES: Final = {Codec.OPUS: 48000}


class _Binding:
    """A track and the publication it feeds. `stream` is the SSRC that carries it now."""

    __slots__ = ("batch", "codec", "publication", "replaced", "stream", "track")

    def __init__(self, track: InboundTrack, publication: Publication) -> None:
        self.track = track
        self.publication = publication
        self.stream: _Stream | None = None
        self.codec: Codec | None = None
        self.replaced = False
        self.batch: list[RtpPacket] = []


class _Stream:
    """One SSRC of a track: its media (then it is the publication's source) or its RTX."""

    __slots__ = ("_inbound", "binding", "heard", "reception", "retired", "ssrc", "stamped")

    def __init__(self, inbound: Inbound, binding: _Binding, ssrc: int, reception: Reception | None) -> None:
        self._inbound = inbound
        self.binding = binding
        self.ssrc = ssrc
        self.reception = reception  # None: RTX
        self.heard = 0.0
        self.retired = False  # the track has moved to another SSRC
        self.stamped = float("-inf")

    def request_keyframe(self) -> None:
        self._inbound.send_pli(self.ssrc)


class Inbound:
    """See the module. One per up connection; `bind` each accepted track before its packets come."""

    def __init__(
        self,
        send_rtcp: Callable[[bytes], None],
        *,
        ssrc: int | None = None,
        wall_clock: Clock = wall,
        later: Later = later_on_loop,
    ) -> None:
        self.ssrc = secrets.randbits(32) | 1 if ssrc is None else ssrc
        self.unknown = 0
        """Packets that belong to no track."""
        self._send = send_rtcp
        self._wall = wall_clock
        self._later = later
        self._bindings: dict[str, _Binding] = {}
        self._streams: dict[int, _Stream] = {}
        self._declared: dict[int, _Binding] = {}
        self._twcc = TwccRecorder()
        self._twcc_id = 0  # 0: none
        self._mid_id = 0
        self._heard_ssrc: int | None = None
        self._ntp_offset: int | None = None
        self._report_at: float | None = None
        self._timer = False
        self._closed = False

    # --- tracks

    def bind(self, track: InboundTrack, publication: Publication) -> None:
        """Let `track` feed `publication`, from its first packet on. A track of the same mid before is replaced."""
        old = self._bindings.get(track.mid)
        if old is not None and old.publication is publication:
            old.track = track
        else:
            if old is not None:
                self.unbind(track.mid, 0.0)
            old = self._bindings[track.mid] = _Binding(track, publication)
        self._declared = {s: b for s, b in self._declared.items() if b is not old}
        for ssrc in (*track.ssrcs, *track.rtx_ssrcs):
            self._declared[ssrc] = old
        self._twcc_id = track.extensions.twcc or self._twcc_id
        self._mid_id = track.extensions.mid or self._mid_id

    def unbind(self, mid: str, now: float) -> None:
        """The track has ended; its publication loses its source, if it still is this one."""
        binding = self._bindings.pop(mid, None)
        if binding is None:
            return
        self._streams = {ssrc: s for ssrc, s in self._streams.items() if s.binding is not binding}
        self._declared = {ssrc: b for ssrc, b in self._declared.items() if b is not binding}
        if binding.stream is not None:
            binding.publication.stop(binding.stream, now)

    def close(self, now: float) -> None:
        """The connection has ended."""
        self._closed = True
        for mid in list(self._bindings):
            self.unbind(mid, now)

    # --- packets

    def receive(self, packets: Iterable[RtpPacket], now: float) -> None:
        """Take the decrypted packets of one wake-up, in order of arrival."""
        touched: list[_Binding] = []
        twcc_id = self._twcc_id
        streams = self._streams
        for packet in packets:
            extensions = packet.extensions
            self._heard_ssrc = packet.ssrc
            if extensions is not None:
                number = extensions.get(twcc_id)
                if number is not None and len(number) == 2:
                    self._twcc.add(number[0] << 8 | number[1], packet.arrival)
            stream = streams.get(packet.ssrc)
            if stream is None:
                stream = self._learn(packet, now)
                streams = self._streams
                if stream is None:
                    self.unknown += 1
                    continue
            stream.heard = now
            repaired = stream.reception is None
            if repaired:
                unwrapped = self._unwrap(stream, packet)
                if unwrapped is None:
                    continue
                packet, stream = unwrapped
            reception = stream.reception
            if reception is None or not reception.accept(packet, now, repaired=repaired):
                continue
            binding = stream.binding
            if repaired:
                binding.publication.rtx += 1
            if self._take(binding, stream, packet, now) and binding not in touched:
                touched.append(binding)
        for binding in touched:
            self._flush(binding, now)
        self._look_after_losses(now)

    def _learn(self, packet: RtpPacket, now: float) -> _Stream | None:
        """Find the track of a new SSRC: by the MID in the packet, as declared, or by a payload type only one has."""
        binding = self._declared.get(packet.ssrc)
        mid = packet.extensions.get(self._mid_id) if packet.extensions else None
        if mid is not None:
            binding = self._bindings.get(mid.decode("utf-8", "replace"))
        elif binding is None:
            kind = packet.payload_type
            fitting = [b for b in self._bindings.values() if kind in b.track.payload_types or kind in b.track.rtx]
            binding = fitting[0] if len(fitting) == 1 else None
        if binding is None or not self._room(now):
            return None
        if packet.payload_type in binding.track.rtx or packet.ssrc in binding.track.rtx_ssrcs:
            reception = None
        elif packet.payload_type in binding.track.payload_types:
            codec = binding.track.payload_types[packet.payload_type]
            reception = Reception(packet.ssrc, CLOCK_RATES.get(codec, 90000), video=codec.is_video)
        else:
            return None
        stream = _Stream(self, binding, packet.ssrc, reception)
        self._streams[packet.ssrc] = stream
        return stream

    def _room(self, now: float) -> bool:
        if len(self._streams) < MAX_SSRCS:
            return True
        oldest = min(self._streams.values(), key=lambda stream: stream.heard)
        if now - oldest.heard < IDLE_S:
            return False
        del self._streams[oldest.ssrc]
        return True

    def _unwrap(self, stream: _Stream, packet: RtpPacket) -> tuple[RtpPacket, _Stream] | None:
        """Return the packet that an RTX packet repairs, and the stream it belongs to."""
        binding = stream.binding
        track = binding.track
        original_type = track.rtx.get(packet.payload_type)
        declared = track.rtx_ssrcs.get(packet.ssrc)
        original = binding.stream if declared is None else self._streams.get(declared)
        if original_type is None or original is None:
            return None  # a probe before the first media
        unwrapped = unwrap_rtx(packet, original_type, original.ssrc)
        return None if unwrapped is None else (unwrapped, original)

    def _take(self, binding: _Binding, stream: _Stream, packet: RtpPacket, now: float) -> bool:
        """Put the packet into its track's batch. False: the track's publication has another source by now."""
        codec = binding.track.payload_types.get(packet.payload_type)
        if codec is None:  # comfort noise, telephone events, FEC: nobody shall miss it
            packet.payload = b""
        elif codec is not binding.codec or stream is not binding.stream:
            if not packet.payload and binding.stream is None:
                return False
            self._flush(binding, now)
            self._start(binding, stream, codec, now)
        publication = binding.publication
        if publication.source is not stream:
            binding.replaced = binding.stream is stream
            return False
        binding.batch.append(packet)
        extensions = packet.extensions
        if extensions:
            ids = binding.track.extensions
            if level := extensions.get(ids.audio_level):
                publication.set_audio_level(level[0] & 0x7F, now)
            stamp = extensions.get(ids.abs_capture_time)
            if stamp is not None and len(stamp) >= 8 and now - stream.stamped > ABS_CAPTURE_S:
                stream.stamped = now
                self._clock(publication, int.from_bytes(stamp[:8], "big"), packet.timestamp, now)
        return True

    def _start(self, binding: _Binding, stream: _Stream, codec: Codec, now: float) -> None:
        """The track's first packet, a new SSRC for it, or a new codec. Not if another source has replaced us."""
        publication, old = binding.publication, binding.stream
        if old is not None and publication.source is not old and publication.source is not None:
            return
        if old is not None and old is not stream:
            if stream.retired and now - old.heard < RETIRED_S:
                return  # a late packet of the SSRC before
            old.retired = True
        stream.retired = False
        binding.stream, binding.codec = stream, codec
        publication.start(codec, CLOCK_RATES.get(codec, 90000), stream, now)

    def _flush(self, binding: _Binding, now: float) -> None:
        batch, binding.batch = binding.batch, []
        if batch and binding.publication.source is binding.stream:
            binding.publication.write(batch, now)

    # --- losses

    def _look_after_losses(self, now: float) -> None:
        """Ask for what is missing; where it is past repair, ask for a key frame."""
        missing = False
        for stream in self._streams.values():
            reception = stream.reception
            if reception is None:
                continue
            nacks = reception.nacks
            publication = stream.binding.publication
            if nacks:
                numbers = nacks.due(now)
                for start in range(0, len(numbers), NACK_NUMBERS):
                    part = tuple(number & 0xFFFF for number in numbers[start : start + NACK_NUMBERS])
                    self._send(Nack(self.ssrc, stream.ssrc, part).serialize())
                publication.nacks += len(numbers)
                missing = missing or len(nacks) > 0
                publication.rtt_s = nacks.rtt_s
            if nacks.lost and nacks.take_lost() and publication.source is stream:
                publication.request_keyframe(now)
        if missing and not self._timer and not self._closed:
            self._timer = True
            self._later(NACK_S, self._losses_later)

    def _losses_later(self, now: float) -> None:
        self._timer = False
        if not self._closed:
            self._look_after_losses(now)

    def send_pli(self, ssrc: int) -> None:
        if not self._closed:
            self._send(Pli(self.ssrc, ssrc).serialize())

    # --- RTCP

    def handle_rtcp(self, packets: Iterable[Rtcp], now: float) -> None:
        """Take what the browser says: the clocks of its streams, and which have ended."""
        for packet in packets:
            if isinstance(packet, SenderReport):
                stream = self._streams.get(packet.ssrc)
                if stream is not None and stream.reception is not None:
                    stream.reception.sender_report(packet.ntp, now)
                    if stream.binding.publication.source is stream:
                        self._clock(stream.binding.publication, packet.ntp, packet.rtp, now)
            elif isinstance(packet, Bye):
                for ssrc in packet.ssrcs:
                    self._ended(ssrc, now)

    def _clock(self, publication: Publication, ntp: int, timestamp: int, now: float) -> None:
        if self._ntp_offset is None:  # one for all tracks, for good: their relation is what matters
            self._ntp_offset = ntp64(self._wall()) - ntp
        publication.sender_report(ntp, timestamp, now, ntp_offset=self._ntp_offset)

    def _ended(self, ssrc: int, now: float) -> None:
        stream = self._streams.pop(ssrc, None)
        if stream is None or stream.reception is None:
            return
        binding = stream.binding
        if binding.stream is stream:
            binding.publication.stop(stream, now)
            if not binding.replaced:
                binding.stream = None
                binding.codec = None

    def tick(self, now: float) -> None:
        """Call each 50 ms: Chromium drops to 30 kbit/s if transport feedback stays out."""
        if self._heard_ssrc is not None:
            for feedback in self._twcc.feedback(self.ssrc, self._heard_ssrc):
                self._send(feedback.serialize())
        self._look_after_losses(now)
        if self._report_at is None:
            self._report_at = now + REPORT_S
        elif now >= self._report_at:
            self._report_at = now + REPORT_S
            self._report(now)

    def _report(self, now: float) -> None:
        """Send a receiver report about every media stream (all those known have their mid)."""
        blocks = []
        for stream in self._streams.values():
            reception = stream.reception
            block = reception.report(now) if reception is not None else None
            if reception is not None and block is not None and now - stream.heard < IDLE_S:
                blocks.append(block)
                if stream.binding.stream is stream:
                    stream.binding.publication.lost = reception.lost
                    stream.binding.publication.jitter_ms = reception.jitter_ms
        reports = [ReceiverReport(self.ssrc, tuple(blocks[start : start + 31])) for start in range(0, len(blocks), 31)]
        for datagram in compound_chunks(reports):
            self._send(datagram)
