"""One DTLS connection on the shared port: ICE-lite, aiortc's DTLS, our SRTP, datachannels; its life and death.

Of aiortc's transport stack only RTCDtlsTransport and RTCSctpTransport are used, over a pipe that the mux fills. The
underscored names that this takes stand in tests/media/test_aiortc_privates.py.

    NEW ──description──▶ CONNECTING ──DTLS keys──▶ CONNECTED
     │                       │                        │     no check for 15 s, handshake fails or takes 10 s: FAILED
     └───────────────────────┴────────────────────────┴──▶  close(), client closed: CLOSED         (both are final)
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from aiortc import RTCCertificate, RTCDtlsTransport
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters, SRTPProtectionProfile, State
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from gateway.base.errors import RtpError, SdpError
from gateway.media.rtc.datachannel import DataChannels, Send, run_now
from gateway.media.rtc.ice import IceLite, Route
from gateway.media.rtc.negotiation import DataSection, LocalTransport, RemoteTransport
from gateway.media.rtc.srtp import REPLAYED, InboundSrtp, OutboundSrtp, ffi
from gateway.media.rtc.udp_mux import UdpMux
from gateway.wire.rtcp import Rtcp, parse_compound
from gateway.wire.rtp import RtpPacket, parse_rtp

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 30.0
"""From our description to the client's first check."""
DTLS_QUEUE: Final = 128
"""Datagrams that wait for the DTLS task; the newest is dropped, DTLS and SCTP send it again."""
CERTIFICATE_DAYS: Final = 365


class PeerState(enum.Enum):
    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    FAILED = "failed"
    CLOSED = "closed"

    @property
    def final(self) -> bool:
        return self in (PeerState.FAILED, PeerState.CLOSED)


class DtlsCertificate(RTCCertificate):
    """The process's certificate: ECDSA P-256 (an RSA one does not shake hands with aiortc), one SSL context for all.

    A context per connection would cost 60 KB and 1 ms each.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey, cert: x509.Certificate) -> None:
        super().__init__(key, cert)
        self._context: SSL.Context | None = None

    @classmethod
    def generate(cls) -> DtlsCertificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
        now = datetime.datetime.now(tz=datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=CERTIFICATE_DAYS))
        return cls(key, builder.sign(key, hashes.SHA256()))

    @property
    def fingerprint(self) -> str:
        """sha-256, colon separated upper case hex."""
        return next(item.value for item in self.getFingerprints() if item.algorithm == "sha-256")

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        if self._context is None:
            self._context = super()._create_ssl_context(srtp_profiles)
            # Browsers do not resume DTLS; a shared context would keep every session.
            self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
            self._context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        return self._context


class _Pipe:
    """What RTCDtlsTransport needs of an ICE transport. `_recv` loses nothing when cancelled, which aiortc does."""

    role = "controlled"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._queue: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._write = send
        self.closed = False

    def put(self, data: bytes) -> bool:
        """Add a datagram; False if the queue is full."""
        if len(self._queue) >= DTLS_QUEUE:
            return False
        self._queue.append(data)
        self._wake()
        return True

    def close(self) -> None:
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _recv(self) -> bytes:
        while not self._queue:
            if self.closed:
                raise ConnectionError
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._queue.popleft()

    async def _send(self, data: bytes) -> None:
        self._write(data)


class _Dtls(RTCDtlsTransport):
    """aiortc's DTLS that hands out its keys instead of making SRTP sessions of its own from them."""

    def __init__(self, pipe: _Pipe, certificate: DtlsCertificate, on_keys: Callable[[bytes, bytes, int], None]) -> None:
        super().__init__(pipe, [certificate])  # type: ignore[arg-type]
        self._on_keys = on_keys

    def _setup_srtp(self) -> None:
        assert self._ssl is not None
        name = self._ssl.get_selected_srtp_profile()
        profile = next((item for item in self._srtp_profiles if item.openssl_profile == name), None)
        if profile is None:
            self._set_state(State.FAILED)
            return
        size = 2 * (profile.key_length + profile.salt_length)
        material = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", size)
        client, server = (profile.get_key_and_salt(material, index) for index in (0, 1))
        ours, theirs = (server, client) if self._role == "server" else (client, server)
        self._on_keys(ours, theirs, profile.libsrtp_profile)


class Connection:
    """The transport under an UpPeer or DownPeer. Callbacks are plain functions, called on the loop, that do not block.

    An exception in a callback is logged and changes nothing for other connections.
    """

    def __init__(self, mux: UdpMux, certificate: DtlsCertificate, on_state: Callable[[PeerState], None]) -> None:
        self.mux = mux
        self.ice = IceLite()
        self.state = PeerState.NEW
        self.reason = ""
        self.remote: RemoteTransport | None = None
        self.outbound = OutboundSrtp()
        self.on_packets: Callable[[list[RtpPacket], float], None] | None = None
        self.on_rtcp: Callable[[list[Rtcp], float], None] | None = None
        self.data: DataChannels | None = None
        self._certificate = certificate
        self._on_state = on_state
        self._inbound: InboundSrtp | None = None
        self._batch: list[RtpPacket] = []
        self._length = ffi.new("int *")
        self._expected: float | None = None
        self._started: float | None = None
        self._handshake: asyncio.Task[Any] | None = None
        mux.add(self)
        mux.new_credentials(self)
        self._pipe = _Pipe(self._send_dtls)
        self._dtls = _Dtls(self._pipe, certificate, self._set_keys)
        self._dtls.on("statechange", self._dtls_changed)

    @property
    def route(self) -> Route | None:
        """Where media goes; None until the keys are known and an address was checked, and after the end."""
        return self.ice.route if self.state is PeerState.CONNECTED else None

    # -- descriptions -----------------------------------------------------------------------------------------------

    def local(self) -> LocalTransport:
        """Return what our description says now; from here on the client is expected to come."""
        if self._expected is None:
            self._expected = self.mux.clock()
        return LocalTransport(self.ice.ufrag, self.ice.pwd, self._certificate.fingerprint, self.mux.candidates())

    def set_remote(self, remote: RemoteTransport) -> bool:
        """Take the client's transport lines. True: it restarted ICE, so our description needs new credentials.

        Raises SdpError if it asks for another DTLS session by another certificate.
        """
        before, self.remote = self.remote, remote
        if before is None:
            self._dtls._set_role(remote.role)
            self._set_state(PeerState.CONNECTING)
            if self.ice.route is not None:
                self._start_handshake()
            return False
        if before.fingerprints != remote.fingerprints:
            self.remote = before
            raise SdpError("another certificate on a running connection; make a new one")
        return before.ufrag != remote.ufrag

    def keep_role(self, remote: RemoteTransport) -> RemoteTransport:
        """Return `remote` with the DTLS role that the first description settled; later ones may say actpass again."""
        return remote if self.remote is None else dataclasses.replace(remote, role=self.remote.role)

    def renew_credentials(self) -> None:
        """Draw new ICE credentials for the next description (ICE restart)."""
        self.mux.new_credentials(self)

    def open_data(
        self,
        section: DataSection,
        on_channel: Callable[[str, Send], None] | None,
        on_message: Callable[[str, str | bytes], None] | None,
    ) -> None:
        """Carry datachannels, now or as soon as DTLS is there. Idempotent."""
        if self.data is None and not self.state.final:
            self.data = DataChannels(self._dtls, section, self.mux.clock, on_channel, on_message)
            if self.state is PeerState.CONNECTED:
                self.data.start()

    # -- the mux calls ----------------------------------------------------------------------------------------------

    def on_checked(self, now: float) -> None:
        if self.remote is not None and self._started is None:
            self._start_handshake()

    def receive_dtls(self, data: bytes) -> None:
        if not self._pipe.put(data):
            self.mux.counters.dropped_dtls_queue += 1

    def receive_rtp(self, buffer: Any, view: memoryview, size: int, now: float) -> bool:
        counters, inbound, length = self.mux.counters, self._inbound, self._length
        if inbound is None or self.on_packets is None:
            counters.dropped_early += 1
            return False
        length[0] = size
        status = inbound.unprotect_rtp(buffer, length, view, now)
        if status:
            self._count_refused(status)
            return False
        try:
            packet = parse_rtp(view[: length[0]], now)
        except RtpError:
            counters.dropped_malformed += 1
            return False
        self._batch.append(packet)
        return len(self._batch) == 1

    def receive_rtcp(self, buffer: Any, view: memoryview, size: int, now: float) -> None:
        counters, inbound, length = self.mux.counters, self._inbound, self._length
        if inbound is None or self.on_rtcp is None:
            counters.dropped_early += 1
            return
        length[0] = size
        status = inbound.unprotect_rtcp(buffer, length, view, now)
        if status:
            self._count_refused(status)
            return
        try:
            packets = parse_compound(bytes(view[: length[0]]))
        except RtpError:
            counters.dropped_malformed += 1
            return
        try:
            self.on_rtcp(packets, now)
        except Exception:
            log.exception("! RTCP callback failed")

    def _count_refused(self, status: int) -> None:
        counters = self.mux.counters
        if status < 0:
            counters.dropped_ssrc_limit += 1
        elif status in REPLAYED:
            counters.dropped_srtp_replayed += 1
        else:
            counters.dropped_srtp_forged += 1

    def flush(self, now: float) -> None:
        batch, self._batch = self._batch, []
        if self.on_packets is None or self.state.final:
            return
        try:
            self.on_packets(batch, now)
        except Exception:
            log.exception("! RTP callback failed")

    def tick(self, now: float) -> None:
        """Notice death: called twice a second."""
        config = self.mux.config
        if self.state is PeerState.CONNECTING and self._started is not None:
            if now - self._started > config.dtls_timeout_s:
                self.fail(f"DTLS handshake not done after {config.dtls_timeout_s:g} s")
                return
        last = self.ice.last_check
        if last is not None:
            if now - last > config.consent_timeout_s:
                self.fail(f"no ICE check for {config.consent_timeout_s:g} s")
        elif self._expected is not None and now - self._expected > CONNECT_TIMEOUT_S:
            self.fail(f"no ICE check within {CONNECT_TIMEOUT_S:g} s")

    def on_mux_closed(self) -> None:
        self.close("the server stops")

    # -- sending ----------------------------------------------------------------------------------------------------

    def send_rtcp(self, data: bytes) -> None:
        """Encrypt and send one compound packet; dropped silently while there is no route."""
        route = self.route
        if route is not None:
            self.mux.send(route, self.outbound.protect_rtcp(data))

    def _send_dtls(self, data: bytes) -> None:
        if self.ice.route is not None:
            self.mux.send(self.ice.route, data)

    # -- DTLS -------------------------------------------------------------------------------------------------------

    def _start_handshake(self) -> None:
        self._started = self.mux.clock()
        self._handshake = self.mux.tasks.start(self._shake_hands(), "DTLS handshake")

    async def _shake_hands(self) -> None:
        assert self.remote is not None
        wanted = [RTCDtlsFingerprint(algorithm, value) for algorithm, value in self.remote.fingerprints]
        try:
            await self._dtls.start(RTCDtlsParameters(fingerprints=wanted))
        except Exception as error:
            self.fail(f"{type(error).__name__} in DTLS: {error}")
            return
        if self._dtls.state != "connected" or self._inbound is None:
            self.fail("DTLS handshake failed: cipher, fingerprint or SRTP profile")
            return
        if self._dtls._task is not None:
            self._dtls._task.add_done_callback(_log_error)
        self._set_state(PeerState.CONNECTED)
        if self.data is not None:
            self.data.start()

    def _set_keys(self, ours: bytes, theirs: bytes, profile: int) -> None:
        self.outbound.set_keys(ours, profile)
        self._inbound = InboundSrtp(theirs, profile)

    def _dtls_changed(self) -> None:
        if self._dtls.state == "closed":
            self._end(PeerState.CLOSED, "closed by the client")

    # -- states -----------------------------------------------------------------------------------------------------

    def fail(self, reason: str) -> None:
        self._end(PeerState.FAILED, reason)

    def close(self, reason: str = "closed") -> None:
        """End the connection with a DTLS close_notify. Idempotent; nothing is called back after it but `on_state`."""
        self._end(PeerState.CLOSED, reason)

    def _end(self, state: PeerState, reason: str) -> None:
        if self.state.final:
            return
        if self.data is not None:
            self.data.close()
        self.reason = reason
        before, self.state = self.state, state  # _dtls_changed must find the end made
        run_now(self._dtls.stop())
        self._pipe.close()
        if self._handshake is not None and self._handshake is not asyncio.current_task():
            self._handshake.cancel()
        self.mux.remove(self)
        self._inbound = None
        self._announce(before)

    def _set_state(self, state: PeerState) -> None:
        if not self.state.final and state is not self.state:
            before, self.state = self.state, state
            self._announce(before)

    def _announce(self, before: PeerState) -> None:
        log.debug("= %s → %s %s", before.value, self.state.value, self.reason)
        try:
            self._on_state(self.state)
        except Exception:
            log.exception("! state callback failed")


def _log_error(task: asyncio.Task[Any] | asyncio.Future[Any]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("! DTLS task failed", exc_info=task.exception())
