"""Handshakes that go wrong, connections that end, and datachannels that somebody abuses."""

from __future__ import annotations

import asyncio
import gc
import re
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.rtcdtlstransport import RTCCertificate
from aiortc.rtcsctptransport import DataChunk, ForwardTsnChunk, SackChunk
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import SdpError
from gateway.media.rtc import datachannel
from gateway.media.rtc.connection import DTLS_QUEUE, _Pipe
from gateway.media.rtc.peer import DownPeer, PeerState, UpPeer
from gateway.media.rtc.udp_mux import UdpMux
from tests.media.rtc_tools import CERTIFICATE, make_mux, until


@pytest_asyncio.fixture
async def mux() -> AsyncIterator[UdpMux]:
    mux = await make_mux(dtls_timeout_s=0.4)
    yield mux
    await mux.aclose()
    await asyncio.sleep(0)
    assert len(mux) == 0 and len(mux.tasks) == 0 and not mux._by_key and not mux._by_ufrag


class Client:
    """An aiortc client with one datachannel, connected to an UpPeer."""

    def __init__(self, up: UpPeer) -> None:
        self.up = up
        self.pc = RTCPeerConnection()
        self.channel = self.pc.createDataChannel("chat")

    async def connect(self, edit: Any = None) -> None:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        offer = self.pc.localDescription.sdp
        answer = self.up.accept(edit(offer) if edit else offer).answer
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    @property
    def sctp(self) -> Any:
        return self.pc.sctp

    async def send_data(
        self, *, flags: int, stream: int = 0, size: int = 10, tsn: int | None = None, seq: int = 0
    ) -> None:
        chunk = DataChunk(flags)
        chunk.tsn = self.sctp._local_tsn if tsn is None else tsn
        if tsn is None:
            self.sctp._local_tsn += 1
        chunk.stream_id, chunk.stream_seq, chunk.protocol, chunk.user_data = stream, seq, 51, bytes(size)
        await self.sctp._send_chunk(chunk)

    async def close(self) -> None:
        await self.pc.close()


@pytest_asyncio.fixture
async def client(mux: UdpMux) -> AsyncIterator[Client]:
    client = Client(UpPeer(mux, CERTIFICATE))
    yield client
    await client.close()
    client.up.close()


async def opened(client: Client) -> Client:
    await client.connect()
    await until(lambda: client.channel.readyState == "open")
    return client


async def test_a_wrong_fingerprint_fails(mux: UdpMux, client: Client) -> None:
    other = RTCCertificate.generateCertificate().getFingerprints()[0].value
    await client.connect(lambda offer: re.sub(r"sha-256 \S+", f"sha-256 {other}", offer))
    await until(lambda: client.up.state is PeerState.FAILED)
    assert "fingerprint" in client.up.reason and client.up._connection.route is None


async def test_a_handshake_that_never_comes_fails_in_time(mux: UdpMux, client: Client) -> None:
    client.pc.sctp.transport.start = lambda _: asyncio.sleep(3600)  # type: ignore[method-assign]
    await client.connect()
    await until(lambda: client.up.state is PeerState.FAILED, 3)
    assert "0.4 s" in client.up.reason


async def test_a_client_that_wants_to_be_the_dtls_server(client: Client) -> None:
    await client.connect(lambda offer: offer.replace("a=setup:actpass", "a=setup:passive"))
    await until(lambda: client.up.state is PeerState.CONNECTED and client.channel.readyState == "open")
    assert client.pc.sctp.transport._role == "server"
    answer = client.up.accept(client.pc.localDescription.sdp).answer
    assert "a=setup:active" in answer, "a later actpass changes no role"


async def test_a_failing_callback_harms_nobody(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    got: list[str | bytes] = []

    def fail_once(label: str, data: str | bytes) -> None:
        got.append(data)
        if len(got) == 1:
            raise KeyError(label)

    client.up.on_message = fail_once
    await opened(client)
    client.channel.send("one")
    client.channel.send("two")
    await until(lambda: len(got) == 2)
    assert "datachannel callback failed" in caplog.text


async def test_every_exception_of_the_handshake_is_a_failed_peer(mux: UdpMux, client: Client) -> None:
    async def broken(_: object) -> None:
        raise struct.error("unexpected")

    client.up._connection._dtls.start = broken  # type: ignore[method-assign,assignment]
    await client.connect()
    await until(lambda: client.up.state is PeerState.FAILED)
    assert "struct" in client.up.reason or "unexpected" in client.up.reason


async def test_closing_at_every_moment_leaves_nothing(mux: UdpMux) -> None:
    def tasks() -> set[asyncio.Task[Any]]:
        # The client's own ICE forgets a task when it is closed while it connects.
        return {task for task in asyncio.all_tasks() if "query_consent" not in str(task.get_coro())}

    before = tasks()
    for moment in range(12):
        up = UpPeer(mux, CERTIFICATE)
        client = Client(up)
        if moment:
            await client.connect()
            await asyncio.sleep(moment * 0.004)
        up.close()
        up.close()
        assert up.state.final
        with pytest.raises(SdpError):
            up.accept("v=0")
        up.send_rtcp(b"\x80\xc9\0\1\0\0\0\1")
        await client.close()
    await asyncio.sleep(0.1)
    assert tasks() == before


async def test_ended_connections_are_freed(mux: UdpMux) -> None:
    client = await opened(Client(UpPeer(mux, CERTIFICATE)))
    client.up.close()
    await client.close()
    await asyncio.sleep(0.05)
    del client
    gc.collect()
    assert not [item for item in gc.get_objects() if type(item).__name__ == "Connection" and hasattr(item, "outbound")]


async def test_another_certificate_in_a_later_offer_is_refused(mux: UdpMux, client: Client) -> None:
    await opened(client)
    other = RTCCertificate.generateCertificate().getFingerprints()[0].value
    offer = client.pc.localDescription.sdp
    with pytest.raises(SdpError, match="certificate"):
        client.up.accept(re.sub(r"sha-256 \S+", f"sha-256 {other}", offer))
    client.up.accept(offer)
    assert client.up.state is PeerState.CONNECTED


async def test_answers_that_do_not_fit_are_refused(mux: UdpMux) -> None:
    down = DownPeer(mux, CERTIFICATE)
    down.add("video", "alice")
    n, offer = down.offer()
    pc = RTCPeerConnection()
    await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await pc.setLocalDescription(await pc.createAnswer())
    answer = pc.localDescription.sdp
    for broken in ("", "v=0", answer.replace("a=mid:1", "a=mid:7"), answer[: answer.index("m=video")]):
        with pytest.raises(SdpError):
            down.answer(n, broken)
    assert down.state is PeerState.NEW
    assert down.answer(n, answer) and not down.answer(n, answer)
    down.restart()
    m, _ = down.offer()
    assert m > n and not down.answer(n, answer), "stale"
    await pc.close()
    down.close()
    assert not down.answer(m, answer)


async def test_a_cancelled_receive_loses_nothing() -> None:
    pipe = _Pipe(lambda data: None)
    for _ in range(3):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(pipe._recv(), 0.001)
    pipe.put(b"one")
    pipe.put(b"two")
    assert [await asyncio.wait_for(pipe._recv(), 1) for _ in range(2)] == [b"one", b"two"]
    waiting = asyncio.ensure_future(pipe._recv())
    await asyncio.sleep(0)
    pipe.put(b"three")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await pipe._recv() == b"three"
    assert sum(pipe.put(b"x") for _ in range(2 * DTLS_QUEUE)) == DTLS_QUEUE
    pipe.close()
    for _ in range(DTLS_QUEUE):
        await pipe._recv()
    with pytest.raises(ConnectionError):
        await pipe._recv()


# -- datachannels that somebody abuses: the association ends, the connection lives


async def ended(client: Client) -> None:
    data = client.up._connection.data
    assert data is not None
    await until(lambda: data.ended)
    assert client.up.state is PeerState.CONNECTED
    await until(lambda: client.channel.readyState == "closed")


async def test_fragments_that_never_end(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datachannel, "CHUNKS_PER_S", 1e6)  # the rate is another limit
    await opened(client)
    await client.send_data(flags=2)
    for _ in range(datachannel.MAX_UNFINISHED_FRAGMENTS):
        await client.send_data(flags=0)
    await ended(client)


async def test_an_honest_message_in_many_small_fragments_arrives(client: Client) -> None:
    """A busy Chromium sends 8 KB so; with a limit of 64 fragments its datachannels ended, once in twenty runs."""
    got: list[str | bytes] = []
    client.up.on_message = lambda label, data: got.append(data)
    await opened(client)
    for number in range(180):  # 16 KB, our limit for a message
        await client.send_data(flags=2 if number == 0 else 1 if number == 179 else 0, size=91, seq=1)
    await until(lambda: got)
    data = client.up._connection.data
    assert len(got[0]) == 180 * 91 and data is not None and not data.ended


async def test_fragments_without_a_beginning_in_many_bytes(client: Client) -> None:
    await opened(client)
    for _ in range(62):
        await client.send_data(flags=0, size=1100)
    await ended(client)


async def test_a_fifth_stream(client: Client) -> None:
    await opened(client)
    for stream in range(4):
        await client.send_data(flags=3, stream=stream)
    await asyncio.sleep(0.05)
    assert client.up._connection.data is not None and not client.up._connection.data.ended
    await client.send_data(flags=3, stream=9)
    await ended(client)


async def test_forward_tsn_with_many_streams(client: Client) -> None:
    await opened(client)
    chunk = ForwardTsnChunk()
    chunk.cumulative_tsn = client.sctp._local_tsn + 5
    chunk.streams = [(number, 0) for number in range(200)]
    await client.sctp._send_chunk(chunk)
    await ended(client)


async def test_a_sack_with_endless_gaps(client: Client) -> None:
    await opened(client)
    chunk = SackChunk()
    chunk.cumulative_tsn = client.sctp._last_received_tsn
    chunk.gaps = [(1, 65535)] * 200
    await client.sctp._send_chunk(chunk)
    await ended(client)


async def test_numbers_far_out_of_order(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datachannel, "CHUNKS_PER_S", 1e6)  # the rate is another limit: here the count is tested
    await opened(client)
    start = client.sctp._local_tsn
    for number in range(300):
        await client.send_data(flags=7, tsn=(start + 2 + 2 * number) & 0xFFFFFFFF)
        if number % 100 == 0:
            await asyncio.sleep(0.01)
    await ended(client)


@pytest.mark.parametrize(
    "packet",
    [
        b"\0" * 11,
        b"\x13\x88\x13\x88" + bytes(8) + b"\0\3\0\x10" + bytes(12),  # DATA without data
        b"\x13\x88\x13\x88" + bytes(8) + b"\0\3\xff\xff" + bytes(12),
        b"\x13\x88\x13\x88" + bytes(8) + b"\3\0\0\x10" + bytes(8) + b"\xff\xff\xff\xff",
        b"\x13\x88\x13\x88" + bytes(8) + b"\3\0\0\4",
    ],
)
async def test_broken_packets(client: Client, packet: bytes) -> None:
    await opened(client)
    await client.sctp.transport._send_data(packet)
    await asyncio.sleep(0.05)
    assert client.up.state is PeerState.CONNECTED
    if len(packet) > 12:
        await ended(client)


async def test_a_flood_is_slowed(client: Client) -> None:
    await opened(client)
    data = client.up._connection.data
    assert data is not None
    got: list[str | bytes] = []
    client.up.on_message = lambda label, message: got.append(message)
    data._guard._tokens = 20.0
    for number in range(100):
        client.channel.send(f"{number}")
    started = time.monotonic()
    await until(lambda: len(got) > 60)
    # 20 at once, then 200 a second: 41 more take 0.2 s, less one datagram's worth that was let through in advance.
    assert time.monotonic() - started > 0.1
    await until(lambda: len(got) == 100)
    assert got == [str(number) for number in range(100)] and not data.ended


async def test_a_client_that_reads_nothing_costs_a_bounded_queue(client: Client) -> None:
    sends: list[datachannel.Send] = []
    client.up.on_channel = lambda label, send: sends.append(send)
    await opened(client)
    await until(lambda: sends)
    data = client.up._connection.data
    assert data is not None
    for _ in range(100):
        sends[0](b"x" * 16000)
    assert data.dropped > 50
    sends[0]("x" * 70000)
    assert client.up.state is PeerState.CONNECTED


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_any_sctp_packet_is_judged(packet: bytes) -> None:
    for candidate in (packet, bytes(12) + packet):
        try:
            assert datachannel.inspect(candidate) >= 0
        except datachannel.SctpGuardError:
            pass
