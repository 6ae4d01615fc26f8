"""Both directions with an unmodified aiortc RTCPeerConnection as client: another stack, which decodes what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack, VideoStreamTrack

from gateway.media.rtc.peer import DownPeer, PeerState, UpPeer
from gateway.media.rtc.udp_mux import UdpMux
from gateway.wire.frame import Codec
from tests.media.rtc_tools import CERTIFICATE, Echo, make_mux, until

CONFIG = RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)


@pytest_asyncio.fixture
async def mux() -> AsyncIterator[UdpMux]:
    mux = await make_mux()
    yield mux
    await mux.aclose()
    await asyncio.sleep(0)
    assert len(mux) == 0 and len(mux.tasks) == 0


async def publish(echo: Echo, *tracks: MediaStreamTrack, channel: str = "") -> RTCPeerConnection:
    client = RTCPeerConnection(CONFIG)
    for track in tracks:
        client.addTransceiver(track, direction="sendonly")
    if channel:
        client.createDataChannel(channel)
    await client.setLocalDescription(await client.createOffer())
    answer = echo.publish(client.localDescription.sdp)
    await client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await until(lambda: echo.up.state is PeerState.CONNECTED)
    return client


class Frames:
    """Counts the decoded frames of a client by kind."""

    def __init__(self, client: RTCPeerConnection) -> None:
        self.count = {"audio": 0, "video": 0}
        self.tasks: list[asyncio.Task[None]] = []
        client.on("track", self._track)

    def _track(self, track: MediaStreamTrack) -> None:
        self.tasks.append(asyncio.ensure_future(self._read(track)))

    async def _read(self, track: MediaStreamTrack) -> None:
        while True:
            await track.recv()
            self.count[track.kind] += 1

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_up_and_down_when_we_offer(mux: UdpMux) -> None:
    states: list[PeerState] = []
    echo = Echo(mux, UpPeer(mux, CERTIFICATE, states.append))
    publisher = await publish(echo, AudioStreamTrack(), VideoStreamTrack())
    assert states == [PeerState.CONNECTING, PeerState.CONNECTED]
    audio, video = echo.tracks
    assert list(audio.payload_types.values()) == [Codec.OPUS] and list(video.payload_types.values()) == [Codec.H264]
    assert video.rtx and len(video.ssrcs) == 1 and len(video.rtx_ssrcs) == 1 and video.extensions.mid

    down = DownPeer(mux, CERTIFICATE)
    slots = [down.add("audio", "alice"), down.add("video", "alice")]
    assert down.needs_offer and down.route is None and down.srtp is None
    client = RTCPeerConnection(CONFIG)
    frames = Frames(client)
    n, offer = down.offer()
    assert not down.needs_offer
    await client.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await client.setLocalDescription(await client.createAnswer())
    assert not down.answer(n + 1, "nonsense") and not any(slot.ready for slot in slots)
    assert down.answer(n, client.localDescription.sdp)
    assert not down.answer(n, client.localDescription.sdp)
    assert all(slot.ready for slot in slots)
    assert set(slots[1].payload_types) == {Codec.H264, Codec.VP8}, "aiortc knows no more"
    assert slots[1].extension == b"", "aiortc has no playout-delay"
    echo.play(down, *slots)
    await until(lambda: down.state is PeerState.CONNECTED)
    assert down.route is not None and down.srtp is not None and down.srtp.handle
    echo.request_keyframe()
    await until(lambda: frames.count["video"] > 10 and frames.count["audio"] > 20)

    await frames.stop()
    await client.close()
    await publisher.close()
    await until(lambda: down.state is PeerState.CLOSED and echo.up.state is PeerState.CLOSED)
    assert down.reason == "closed by the client" and down.route is None


async def test_a_player_that_offers(mux: UdpMux) -> None:
    echo = Echo(mux, UpPeer(mux, CERTIFICATE))
    publisher = await publish(echo, AudioStreamTrack(), VideoStreamTrack())
    down = DownPeer(mux, CERTIFICATE)
    client = RTCPeerConnection(CONFIG)
    frames = Frames(client)
    client.addTransceiver("video", direction="recvonly")
    client.addTransceiver("audio", direction="recvonly")
    await client.setLocalDescription(await client.createOffer())
    answer = down.accept(client.localDescription.sdp, "alice")
    await client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    assert [slot.kind for slot in down.slots] == ["video", "audio"] and all(slot.ready for slot in down.slots)
    with pytest.raises(ValueError):
        down.add("audio", "bob")
    echo.play(down, *down.slots)
    await until(lambda: down.state is PeerState.CONNECTED)
    echo.request_keyframe()
    await until(lambda: frames.count["video"] > 5 and frames.count["audio"] > 10)
    await frames.stop()
    down.close()
    down.close()
    echo.up.close()
    assert down.state is PeerState.CLOSED
    await until(lambda: client.connectionState == "closed" and publisher.connectionState == "closed")
    await client.close()
    await publisher.close()


async def test_datachannels_both_ways(mux: UdpMux) -> None:
    got: list[tuple[str, str | bytes]] = []
    sends = {}
    up = UpPeer(
        mux,
        CERTIFICATE,
        on_channel=lambda label, send: sends.__setitem__(label, send),
        on_message=lambda label, data: got.append((label, data)),
    )
    client = RTCPeerConnection(CONFIG)
    channel = client.createDataChannel("chat")
    back: list[str | bytes] = []
    channel.on("message", back.append)
    await client.setLocalDescription(await client.createOffer())
    answer = up.accept(client.localDescription.sdp).answer
    assert "a=max-message-size:16384" in answer
    await client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await until(lambda: channel.readyState == "open" and sends)
    for data in ("hello", b"\0\1", "x" * 16000, ""):
        channel.send(data)
        sends["chat"](data)
    await until(lambda: len(got) == 4 and len(back) == 4)
    assert [data for _, data in got] == back == ["hello", b"\0\1", "x" * 16000, ""]
    assert up.state is PeerState.CONNECTED
    up.close()
    sends["chat"]("too late")
    await until(lambda: channel.readyState == "closed")
    await client.close()
