"""What leaves: headers, extension, encryption, segmentation and what the kernel refuses."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.media.sfu import forward as module
from gateway.media.sfu.forward import MediaPacket, forward, segmentation
from gateway.media.sfu.subscription import Subscription
from gateway.wire.frame import Codec
from gateway.wire.rtp import build_extension
from tests.media.sfu_harness import Time, Viewer, subscription, video


@pytest.fixture(autouse=True)
def fresh_segmentation() -> Iterator[None]:
    segmentation.enabled, segmentation.refusals = True, 0
    yield
    segmentation.enabled, segmentation.refusals = True, 0
    Viewer.close_all()


def started(viewer: Viewer, **options: Any) -> Subscription:
    """A subscription that went live with one packet, which has been read."""
    one = subscription(video(Time()), viewer, first_seq=32767, **options)
    one.codec_changed(Codec.H264)
    assert one.ready()
    one.start([MediaPacket(Codec.H264, 9, 90, True, b"first", True)], 0.0)
    (packet,) = viewer.packets()
    assert (packet.seq, packet.payload) == (32767, b"first")
    return one


def media(*sizes: int, seq: int = 10) -> list[MediaPacket]:
    last = len(sizes) - 1
    return [
        MediaPacket(Codec.H264, seq + index, 3000, index == last, bytes([index]) * size, False)
        for index, size in enumerate(sizes)
    ]


class Spy:
    """A socket that tells how it was used, and may refuse."""

    def __init__(self, sock: socket.socket, refuse: int = 0, whole: bool = False) -> None:
        self.sock, self.refuse, self.whole = sock, refuse, whole
        self.calls: list[int] = []

    def sendmsg(self, buffers: list[Any], ancillary: list[Any], flags: int, address: Any) -> int:
        segmented = any(kind == module.UDP_SEGMENT for _, kind, _ in ancillary)
        if self.refuse and (segmented or self.whole):
            raise OSError(self.refuse, "refused")
        self.calls.append(sum(len(buffer) for buffer in buffers))
        return self.sock.sendmsg(buffers, ancillary, flags, address)

    def sendto(self, data: Any, address: Any) -> int:
        return self.sock.sendto(data, address)


@pytest.mark.parametrize("profile", ["gcm", "cm"])
@pytest.mark.parametrize("extension", [b"", build_extension({4: b"mid7", 5: b"\0\0\0"})])
def test_every_packet_arrives_with_its_own_header(profile: str, extension: bytes) -> None:
    viewer = Viewer(profile)
    one = started(viewer, extension=extension)
    one.ts_offset = 2**32 - 1000
    forward(media(1200, 1200, 1200, 700, 900, 20, 20, 21), [one])
    got = viewer.packets()
    assert [p.seq for p in got] == [(32768 + n) & 0xFFFF for n in range(8)]
    assert [len(p.payload) for p in got] == [1200, 1200, 1200, 700, 900, 20, 20, 21]
    assert all(p.payload == bytes([n]) * len(p.payload) for n, p in enumerate(got))
    assert {(p.payload_type, p.ssrc, p.timestamp) for p in got} == {(100, 0x1000, 2000)}
    assert [p.marker for p in got] == [False] * 7 + [True]
    assert got[0].extensions == ({4: b"mid7", 5: b"\0\0\0"} if extension else None)


def test_viewers_of_unlike_layouts_and_families_in_one_call() -> None:
    viewers = [Viewer("gcm"), Viewer("cm"), Viewer("gcm", family=socket.AF_INET6)]
    ones = [
        started(viewer, ssrc=50 + n, extension=build_extension({4: bytes([65 + n])}))
        for n, viewer in enumerate(viewers)
    ]
    forward(media(1000, 1000, 300), ones)
    for n, viewer in enumerate(viewers):
        got = viewer.packets()
        assert [(p.ssrc, len(p.payload)) for p in got] == [(50 + n, 1000), (50 + n, 1000), (50 + n, 300)]
        assert got[0].extensions == {4: bytes([65 + n])}


def test_equal_sizes_and_a_shorter_last_one_leave_in_one_call() -> None:
    viewer = Viewer()
    one = started(viewer)
    spy = viewer.route.socket = Spy(viewer.outbox)
    forward(media(1000, 1000, 1000, 400), [one])
    assert len(spy.calls) == 1 and len(viewer.packets()) == 4
    forward(media(400, 1000, 1000, 400, 400, seq=20), [one])
    assert len(spy.calls) == 1 + 3 and len(viewer.packets()) == 5
    forward(media(*[1100] * 100, seq=30), [one])
    assert len(spy.calls) == 4 + 3 and len(viewer.packets()) == 100


def test_refused_segmentation_falls_back_to_single_packets() -> None:
    viewer = Viewer()
    one = started(viewer)
    spy = viewer.route.socket = Spy(viewer.outbox, refuse=errno.EIO)
    for turn in range(segmentation.GIVE_UP):
        assert segmentation.enabled
        forward(media(800, 800, 100, seq=10 + 3 * turn), [one])
        assert [len(p.payload) for p in viewer.packets()] == [800, 800, 100]
    assert not segmentation.enabled and one.dropped == 0
    spy.refuse = 0
    forward(media(800, 800, 100, seq=100), [one])
    assert [len(p.payload) for p in viewer.packets()] == [800, 800, 100]


def test_full_socket_and_missing_route_are_losses_and_counted() -> None:
    viewer = Viewer()
    one = started(viewer)
    before = one.packets
    viewer.route.socket = Spy(viewer.outbox, refuse=errno.EAGAIN, whole=True)
    forward(media(800, 800), [one])
    assert one.dropped == 2 and segmentation.refusals == 0
    viewer.route = None
    forward(media(800, 800, seq=12), [one])
    assert one.dropped == 4 and one.packets == before - 4
    assert viewer.datagrams() == []


def test_nothing_leaves_in_clear_when_encryption_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = Viewer()
    one = started(viewer)
    monkeypatch.setattr(module, "_protect", lambda handle, pointer, length: 1)
    forward(media(800, 800), [one])
    assert one.dropped == 2 and viewer.datagrams() == []
    assert module.send_one(one, media(10)[0], payload_type=100, ssrc=1, seq=1) == -1
    assert viewer.datagrams() == []


def test_an_extension_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="extension"):
        module.layout(bytes(600), 16)
