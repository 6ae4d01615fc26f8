"""All WebRTC links of a node: what they are made of, and their common beat."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.base.clock import Clock, monotonic
from gateway.base.tasks import Tasks
from gateway.endpoints.entry.admission import Entry
from gateway.media.rtc.peer import DtlsCertificate
from gateway.media.rtc.udp_mux import UdpMux
from gateway.media.streams import Streams

if TYPE_CHECKING:
    from gateway.endpoints.entry.links.downlink import DownLink
    from gateway.endpoints.entry.links.uplink import UpLink

TICK_S: Final = 0.05


class WebRtc:
    """All WebRTC links of this node: what they are made of, and their common beat of 50 ms."""

    def __init__(
        self, mux: UdpMux, certificate: DtlsCertificate, streams: Streams, entry: Entry, clock: Clock = monotonic
    ) -> None:
        self.mux = mux
        self.certificate = certificate
        self.streams = streams
        self.entry = entry
        self.clock = clock
        self.ups: set[UpLink] = set()
        self.downs: set[DownLink] = set()
        self._tasks = Tasks("webrtc")

    async def start(self) -> None:
        self._tasks.start(self._beat(), "beat")

    async def aclose(self) -> None:
        await self._tasks.aclose()
        for up in list(self.ups):
            up.close()
        for down in list(self.downs):
            down.close()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = self.clock()
            for up in list(self.ups):
                up.inbound.tick(now)
            for down in list(self.downs):
                down.tick(now)
