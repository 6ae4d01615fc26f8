"""A small echo SFU over the real transport, for the tests of it: what an up connection sends comes down again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from gateway.base.config import Address, RtcConfig
from gateway.media.rtc.negotiation import InboundTrack
from gateway.media.rtc.peer import DownPeer, DtlsCertificate, Slot, UpPeer
from gateway.media.rtc.udp_mux import UdpMux
from gateway.wire.rtcp import Fir, Pli, Rtcp, TwccRecorder, serialize_all
from gateway.wire.rtp import RtpPacket, serialize_rtp

CERTIFICATE = DtlsCertificate.generate()


async def make_mux(host: str = "127.0.0.1", **settings: object) -> UdpMux:
    mux = UdpMux(RtcConfig(listen=Address(host, 0), **settings))  # type: ignore[arg-type]
    await mux.start()
    return mux


async def until(condition: Callable[[], object], timeout: float = 8.0) -> None:
    """Wait until `condition()` is true; the assertion fails after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "not within the time"
        await asyncio.sleep(0.01)


class Echo:
    """Forwards the packets of one UpPeer to slots of any number of DownPeers, one by one: for tests."""

    def __init__(self, mux: UdpMux, up: UpPeer) -> None:
        self.mux = mux
        self.up = up
        self.tracks: list[InboundTrack] = []
        self.sinks: list[tuple[DownPeer, Slot]] = []
        self.packets: list[RtpPacket] = []
        self.received: dict[int, int] = {}
        self.rtcp: list[Rtcp] = []
        self._next_seq: dict[int, int] = {}
        self._twcc = TwccRecorder()
        self._media_ssrcs: dict[str, int] = {}
        up.on_packets = self.on_packets
        up.on_rtcp = lambda packets, now: self.rtcp.extend(packets)

    def publish(self, offer: str) -> str:
        negotiated = self.up.accept(offer)
        self.tracks = negotiated.tracks
        return negotiated.answer

    def play(self, down: DownPeer, *slots: Slot) -> None:
        self.sinks += [(down, slot) for slot in slots]
        down.on_rtcp = self.on_feedback

    def on_packets(self, packets: list[RtpPacket], now: float) -> None:
        for packet in packets:
            self.received[packet.payload_type] = self.received.get(packet.payload_type, 0) + 1
            self.packets.append(packet)
            track = next(
                (t for t in self.tracks if packet.payload_type in t.payload_types or packet.payload_type in t.rtx), None
            )
            if track is None:
                continue
            if packet.extensions and track.extensions.twcc in packet.extensions:
                self._twcc.add(int.from_bytes(packet.extensions[track.extensions.twcc], "big"), packet.arrival)
            if packet.payload_type in track.rtx or not packet.payload:
                continue
            self._media_ssrcs[track.kind] = packet.ssrc
            for down, slot in self.sinks:
                if slot.kind == track.kind and slot.ready and down.route is not None:
                    self.send(down, slot, packet, track)

    def send(self, down: DownPeer, slot: Slot, packet: RtpPacket, track: InboundTrack) -> None:
        codec = track.payload_types[packet.payload_type]
        seq = self._next_seq.setdefault(slot.ssrc, 100)
        self._next_seq[slot.ssrc] = seq + 1 & 0xFFFF
        out = RtpPacket(slot.payload_types[codec], packet.marker, seq, packet.timestamp, slot.ssrc, packet.payload)
        assert down.srtp is not None and down.route is not None
        self.mux.send(down.route, down.srtp.protect_rtp(serialize_rtp(out, slot.extension)))

    def on_feedback(self, packets: list[Rtcp], now: float) -> None:
        self.rtcp += packets
        if any(isinstance(packet, Pli | Fir) for packet in packets):
            self.request_keyframe()

    def request_keyframe(self) -> None:
        if "video" in self._media_ssrcs:
            self.up.send_rtcp(Pli(1, self._media_ssrcs["video"]).serialize())

    def feed_back(self) -> None:
        """Send transport feedback; call each 50 ms, or a browser falls to 30 kbps."""
        if self._media_ssrcs:
            packets = self._twcc.feedback(1, next(iter(self._media_ssrcs.values())))
            if packets:
                self.up.send_rtcp(serialize_all(packets))

    async def keep_feeding_back(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.feed_back()
            await asyncio.sleep(0.05)
