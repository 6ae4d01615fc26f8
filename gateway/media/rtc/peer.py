"""The two kinds of WebRTC connection: UpPeer, where a client offers what it sends, and DownPeer, where it receives.

WHIP, WHEP and signaling use the same two. Descriptions are negotiation.py's and slots.py's business, the transport is
connection.py's; here they are put together so that a re-offer, an ICE restart and a stale answer do the right thing.
Callbacks are plain functions on the event loop; none is called after `close()` except `on_state` itself.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable

from gateway.base.errors import SdpError
from gateway.media.rtc.connection import Connection, DtlsCertificate, PeerState
from gateway.media.rtc.datachannel import Send
from gateway.media.rtc.ice import Route
from gateway.media.rtc.negotiation import (
    InboundTrack,
    Kind,
    answer_up,
    check_same_sections,
    remote_transport,
)
from gateway.media.rtc.slots import Slot, Slots
from gateway.media.rtc.srtp import OutboundSrtp
from gateway.media.rtc.udp_mux import UdpMux
from gateway.wire import sdp
from gateway.wire.rtcp import Rtcp
from gateway.wire.rtp import RtpPacket

__all__ = ["DownPeer", "DtlsCertificate", "InboundTrack", "Negotiated", "PeerState", "Slot", "UpPeer"]

OnState = Callable[[PeerState], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Negotiated:
    """The answer to an offer, and every track that the client may send after it (those of earlier offers included)."""

    answer: str
    tracks: list[InboundTrack]


def _ignore_state(_: PeerState) -> None:
    pass


class UpPeer:
    """A client that sends: audio and video in any number of sections, and datachannels.

    `on_packets(packets, now)` gets all packets of one wake-up of the socket, decrypted, in order of arrival, of any of
    the tracks; `on_rtcp(packets, now)` one compound packet. Raises Overloaded at `rtc.max_peers`.
    """

    def __init__(
        self,
        mux: UdpMux,
        certificate: DtlsCertificate,
        on_state: OnState | None = None,
        *,
        on_channel: Callable[[str, Send], None] | None = None,
        on_message: Callable[[str, str | bytes], None] | None = None,
    ) -> None:
        self._connection = Connection(mux, certificate, on_state or _ignore_state)
        self._sections: list[sdp.Section] = []
        self._version = 0
        self.on_channel = on_channel
        self.on_message = on_message

    @property
    def state(self) -> PeerState:
        return self._connection.state

    @property
    def reason(self) -> str:
        """Why it ended, in words; "" before."""
        return self._connection.reason

    @property
    def on_packets(self) -> Callable[[list[RtpPacket], float], None] | None:
        return self._connection.on_packets

    @on_packets.setter
    def on_packets(self, callback: Callable[[list[RtpPacket], float], None] | None) -> None:
        self._connection.on_packets = callback

    @property
    def on_rtcp(self) -> Callable[[list[Rtcp], float], None] | None:
        return self._connection.on_rtcp

    @on_rtcp.setter
    def on_rtcp(self, callback: Callable[[list[Rtcp], float], None] | None) -> None:
        self._connection.on_rtcp = callback

    def accept(self, offer: str) -> Negotiated:
        """Answer the first offer or a later one: sections may be added, made inactive, or rejected and used anew.

        A new ufrag in the offer is an ICE restart: the DTLS session, and what flows over it, goes on. Raises SdpError,
        NoCommonCodec; the connection is then as it was before.
        """
        _require_open(self._connection)
        session = sdp.parse(offer)
        check_same_sections(self._sections, session.sections)
        connection = self._connection
        remote = connection.keep_role(remote_transport(session))
        answered = answer_up(
            session,
            connection.local(),
            remote.role,
            version=self._version + 1,
            max_bitrate_kbps=connection.mux.config.max_bitrate_kbps,
        )
        if connection.set_remote(remote):
            connection.renew_credentials()
            local = connection.local()
            for section in answered.answer.sections:
                if section.ice_ufrag:
                    section.ice_ufrag, section.ice_pwd = local.ufrag, local.pwd
        self._version += 1
        self._sections = session.sections
        if answered.data is not None:
            connection.open_data(answered.data, self._channel_opened, self._message_received)
        return Negotiated(answered.answer.serialize(), answered.tracks)

    def _channel_opened(self, label: str, send: Send) -> None:
        if self.on_channel is not None:
            self.on_channel(label, send)

    def _message_received(self, label: str, data: str | bytes) -> None:
        if self.on_message is not None:
            self.on_message(label, data)

    def send_rtcp(self, data: bytes) -> None:
        """Send one plain compound packet; it is encrypted here. Nothing happens unless CONNECTED."""
        self._connection.send_rtcp(data)

    def close(self) -> None:
        """End it with a DTLS close_notify. Idempotent."""
        self._connection.close()


class DownPeer:
    """A client that receives, and the RtpSink of its subscriptions.

    Either we offer (`add`, `remove`, then while `needs_offer`: `offer` and `answer`), or the client does (`accept`).
    Send only on slots that are `ready`, and only while `route` is not None: then `srtp` is there too.
    """

    def __init__(self, mux: UdpMux, certificate: DtlsCertificate, on_state: OnState | None = None) -> None:
        self._connection = Connection(mux, certificate, on_state or _ignore_state)
        self._slots = Slots(lambda: secrets.randbits(32), mux.config.playout_delay_ms)
        self._sections: list[sdp.Section] = []

    @property
    def state(self) -> PeerState:
        return self._connection.state

    @property
    def reason(self) -> str:
        """Why it ended, in words; "" before."""
        return self._connection.reason

    @property
    def srtp(self) -> OutboundSrtp | None:
        """The sessions that encrypt; None until CONNECTED, from then on one and the same object."""
        outbound = self._connection.outbound
        return outbound if outbound.ready else None

    @property
    def route(self) -> Route | None:
        """Where to send; None before CONNECTED and after the end. Ask for each burst: the client may move."""
        return self._connection.route

    @property
    def on_rtcp(self) -> Callable[[list[Rtcp], float], None] | None:
        return self._connection.on_rtcp

    @on_rtcp.setter
    def on_rtcp(self, callback: Callable[[list[Rtcp], float], None] | None) -> None:
        self._connection.on_rtcp = callback

    @property
    def slots(self) -> list[Slot]:
        """The slots in use, in the order of their sections."""
        return self._slots.slots

    def add(self, kind: Kind, stream_label: str) -> Slot:
        """Make a track towards the client; it needs an offer. Slots with one label stay in lip sync.

        Raises TooMany (64 sections). ValueError: the label is no token, or the client offered.
        """
        return self._slots.add(kind, stream_label)

    def remove(self, slot: Slot) -> None:
        """Take a track away; stop sending on it first. It needs an offer. Idempotent."""
        self._slots.remove(slot)

    @property
    def needs_offer(self) -> bool:
        """There is something to offer, and no offer is outstanding."""
        return self._slots.needs_offer and not self.state.final

    def offer(self) -> tuple[int, str]:
        """Return (n, description). Whatever was outstanding is void: only an answer to this n counts."""
        _require_open(self._connection)
        session = self._slots.offer(self._connection.local())
        return session.version, session.serialize()

    def answer(self, n: int, text: str) -> bool:
        """Take the client's answer to offer `n`. False: it is stale and was ignored. Raises SdpError."""
        if n != self._slots.version or not self._slots.outstanding or self.state.final:
            return False
        session = sdp.parse(text)
        remote = remote_transport(session)
        self._slots.answer(session)
        self._connection.set_remote(self._connection.keep_role(remote))
        return True

    def restart(self) -> None:
        """Ask for an ICE restart with the next offer: the client changed networks. The DTLS session goes on."""
        _require_open(self._connection)
        self._connection.renew_credentials()
        self._slots.touch()

    def accept(self, offer: str, stream_label: str = "stream") -> str:
        """Answer a player's offer (WHEP, or ICE restart by it); its slots are in `slots`, ready at once.

        Raises SdpError, NoCommonCodec. ValueError: we are the one who offers here.
        """
        _require_open(self._connection)
        if self._slots.version and not self._sections:
            raise ValueError("this connection is offered by us")
        connection = self._connection
        session = sdp.parse(offer)
        remote = connection.keep_role(remote_transport(session))
        if connection.set_remote(remote):
            connection.renew_credentials()
        answer = self._slots.accept(session, self._sections, connection.local(), remote.role, stream_label)
        self._sections = session.sections
        return answer.serialize()

    def send_rtcp(self, data: bytes) -> None:
        """Send one plain compound packet; it is encrypted here. Nothing happens unless CONNECTED."""
        self._connection.send_rtcp(data)

    def close(self) -> None:
        """End it with a DTLS close_notify. Idempotent."""
        self._connection.close()


def _require_open(connection: Connection) -> None:
    if connection.state.final:
        raise SdpError(f"the connection has ended: {connection.reason}")
