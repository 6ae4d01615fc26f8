"""Datachannels: aiortc's SCTP behind a guard.

aiortc's SCTP trusts its peer: reassembly has no bound and is quadratic (8,000 never-ending fragments cost 4.4 s), a
SACK may name 360 gaps of 65,536 numbers each, a FORWARD-TSN any number of streams, a broken chunk raises through the
DTLS transport. So every packet passes `SctpGuard` first. What breaks a limit ends the association, and only that: the
media of the connection go on. A client that is merely fast is slowed: the guard sleeps, its datagrams queue and drop.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from typing import Any, Final

from aiortc import RTCDataChannel, RTCSctpTransport
from aiortc.rtcsctptransport import RTCSctpCapabilities

from gateway.base.clock import Clock
from gateway.base.errors import PeerError
from gateway.media.rtc.negotiation import MAX_MESSAGE_SIZE, DataSection

log = logging.getLogger(__name__)

Send = Callable[[str | bytes], bool]
"""Sends over a channel; False: it cannot take that now."""

MAX_CHANNELS: Final = 4
MAX_UNFINISHED_BYTES: Final = 65536
MAX_UNFINISHED_FRAGMENTS: Final = 512
"""Chromium cuts a message into what its window leaves over: on a busy machine 8 KB came in over 73 fragments of 100
bytes. At 200 chunks a second, who stays just under this costs about 2 % of a core (0.2 us per fragment kept).
"""
MAX_WAITING_CHUNKS: Final = 1024
"""Whole small messages behind a gap count here, not as fragments."""
MAX_GAPS: Final = 200
"""Runs of numbers out of order: each takes four bytes of our SACK, and a SACK over 1,500 bytes breaks aiortc's DTLS."""
RECEIVE_WINDOW: Final = 60000
"""Announced, so that a client that keeps to it stays under the limit above."""
MAX_GAP_NUMBERS: Final = 4096
CHUNKS_PER_S: Final = 200
CHUNK_BURST: Final = 400
MAX_BUFFERED: Final = 262144
"""Bytes that wait for a client that does not acknowledge; more is not taken, and counted."""
STALLED_AFTER: Final = 2
"""A chunk that was sent so often and is not acknowledged (the first repeat comes after 1 to 3 s): the path may be
broken, which ICE finds only after 15 s. What another way could carry should not wait for that.
"""

_DATA, _SACK = 0, 3
_FIRST_AND_LAST: Final = 3


class SctpGuardError(PeerError):
    name, code = "sctp_limit", 1108


def inspect(packet: bytes) -> int:
    """Check what one SCTP packet alone can do wrong. Returns what it costs: its chunks, SACKs not counted.

    Raises SctpGuardError. RFC 9260 section 3.
    """
    cost = 0
    position, size = 12, len(packet)
    while position + 4 <= size:
        kind, _flags, length = struct.unpack_from("!BBH", packet, position)
        if length < 4 or position + length > size:
            raise SctpGuardError(f"chunk of {length} bytes")
        if kind == _SACK:
            _inspect_sack(packet[position + 4 : position + length])
        elif kind == _DATA and length < 17:
            raise SctpGuardError("DATA chunk without data")
        else:
            cost += 1
        position += length + -length % 4
    return cost


def _inspect_sack(body: bytes) -> None:
    if len(body) < 12:
        raise SctpGuardError(f"SACK of {len(body)} bytes")
    gaps, duplicates = struct.unpack_from("!HH", body, 8)
    if len(body) < 12 + 4 * (gaps + duplicates):
        raise SctpGuardError("SACK shorter than its gaps")
    total = 0
    for index in range(gaps):
        start, end = struct.unpack_from("!HH", body, 12 + 4 * index)
        total += max(0, end - start + 1)
    if total > MAX_GAP_NUMBERS:
        raise SctpGuardError(f"SACK with {total} numbers in its gaps, limit {MAX_GAP_NUMBERS}")


class SctpGuard:
    """Stands between aiortc's DTLS and SCTP transports and plays the other one to each.

    Towards SCTP it is a DTLS transport whose `_send_data` never raises; towards DTLS a data receiver that never raises.
    """

    def __init__(self, dtls: Any, clock: Clock, on_violation: Callable[[str], None]) -> None:
        self._dtls = dtls
        self._clock = clock
        self._on_violation = on_violation
        self._receiver: Any = None
        self._tokens = float(CHUNK_BURST)
        self._refilled = clock()
        self.ended = False

    # What RTCSctpTransport wants of its transport.
    @property
    def state(self) -> str:
        return str(self._dtls.state)

    @property
    def _role(self) -> str:
        return str(self._dtls._role)

    def _register_data_receiver(self, receiver: Any) -> None:
        self._receiver = receiver
        self._dtls._register_data_receiver(self)

    def _unregister_data_receiver(self, receiver: Any) -> None:
        self._dtls._unregister_data_receiver(self)

    async def _send_data(self, data: bytes) -> None:
        # SCTP's timers send from tasks of their own, where an exception would only be noise.
        if self._dtls.state == "connected":
            await self._dtls._send_data(data)

    # What RTCDtlsTransport wants of its data receiver.
    async def _handle_data(self, data: bytes) -> None:
        if self.ended or self._receiver is None:
            return
        try:
            cost = inspect(data)
            await self._slow_down(cost)
            if self.ended:
                return
            await self._receiver._handle_data(data)
            if cost:
                self._check_waiting(self._receiver)
        except SctpGuardError as error:
            self._end(str(error))
        except Exception as error:
            # Assertions, struct.error, UnicodeDecodeError: whatever a broken packet makes aiortc raise.
            self._end(f"{type(error).__name__} in SCTP: {error}")

    async def _slow_down(self, cost: int) -> None:
        now = self._clock()
        self._tokens = min(CHUNK_BURST, self._tokens + (now - self._refilled) * CHUNKS_PER_S) - cost
        self._refilled = now
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / CHUNKS_PER_S)

    def _check_waiting(self, sctp: RTCSctpTransport) -> None:
        """Bound what aiortc keeps: streams, messages that are not complete, numbers out of order."""
        if len(sctp._inbound_streams) > MAX_CHANNELS or len(sctp._data_channels) > 2 * MAX_CHANNELS:
            raise SctpGuardError(f"more than {MAX_CHANNELS} streams")
        total = fragments = size = 0
        for stream in sctp._inbound_streams.values():
            for chunk in stream.reassembly:
                total += 1
                size += len(chunk.user_data)
                fragments += chunk.flags & _FIRST_AND_LAST != _FIRST_AND_LAST
        if size > MAX_UNFINISHED_BYTES or fragments > MAX_UNFINISHED_FRAGMENTS or total > MAX_WAITING_CHUNKS:
            raise SctpGuardError(f"unfinished data: {size} bytes, {fragments} fragments, {total} chunks")
        numbers = sctp._sack_misordered
        if len(numbers) > MAX_GAPS:
            gaps = sum((number - 1) & 0xFFFFFFFF not in numbers for number in numbers)
            if gaps > MAX_GAPS or len(numbers) > MAX_WAITING_CHUNKS:
                raise SctpGuardError(f"{len(numbers)} chunks out of order in {gaps} runs")

    def _end(self, reason: str) -> None:
        if not self.ended:
            self.ended = True
            self._on_violation(reason)


class DataChannels:
    """The datachannels that a client opens: `on_channel(label, send)`, then `on_message(label, data)` for each message.

    `send(data)` says whether it took the frame. It does not (and counts in `dropped`) where the channel is closed, the
    client reads nothing, or its path seems broken: then the sender has to know another way.
    """

    def __init__(
        self,
        dtls: Any,
        section: DataSection,
        clock: Clock,
        on_channel: Callable[[str, Send], None] | None,
        on_message: Callable[[str, str | bytes], None] | None,
    ) -> None:
        self.section = section
        self.dropped = 0
        self._on_channel = on_channel
        self._on_message = on_message
        self._guard = SctpGuard(dtls, clock, self._violated)
        self._sctp = RTCSctpTransport(self._guard)  # type: ignore[arg-type]
        self._sctp._advertised_rwnd = RECEIVE_WINDOW
        self._sctp.on("datachannel", self._opened)
        self._started = False

    @property
    def ended(self) -> bool:
        """The association broke a limit, or was closed."""
        return self._guard.ended

    def start(self) -> None:
        """Begin the association; DTLS must be connected."""
        if not self._started:
            self._started = True
            run_now(
                self._sctp.start(RTCSctpCapabilities(maxMessageSize=self.section.max_message_size), self.section.port)
            )

    def close(self) -> None:
        """Abort the association and stop its timers. Idempotent."""
        self._guard.ended = True
        if self._started:
            self._started = False
            run_now(self._sctp.stop())

    def _violated(self, reason: str) -> None:
        log.info("! datachannels ended: %s", reason)
        self.close()

    def _opened(self, channel: RTCDataChannel) -> None:
        channel.on("message", lambda data: self._received(channel, data))
        if self._on_channel is not None:
            self._call(self._on_channel, channel.label, lambda data: self._send(channel, data))

    def _received(self, channel: RTCDataChannel, data: str | bytes) -> None:
        if len(data) > MAX_MESSAGE_SIZE:
            self.dropped += 1
        elif self._on_message is not None:
            self._call(self._on_message, channel.label, data)

    def _call(self, callback: Callable[[str, Any], None], label: str, value: Send | str | bytes) -> None:
        try:
            callback(label, value)
        except Exception:  # our own, and no fault of the client's
            log.exception("! datachannel callback failed")

    def _send(self, channel: RTCDataChannel, data: str | bytes) -> bool:
        size = len(data.encode()) if isinstance(data, str) else len(data)
        limit = self.section.max_message_size
        full = channel.bufferedAmount + size > MAX_BUFFERED or (limit and size > limit)
        if channel.readyState != "open" or full or self._stalled:
            self.dropped += 1
            return False
        channel.send(data)
        return True

    @property
    def _stalled(self) -> bool:
        sent = self._sctp._sent_queue
        return bool(sent) and sent[0]._sent_count >= STALLED_AFTER


def run_now(coroutine: Any) -> None:
    """Run a coroutine that never waits (aiortc's stop and start over our transport) to its end, here and now."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError(f"{coroutine} waited")
