"""One viewer: its pauses, its way to another publication, its resends."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from gateway.media.sfu.publication import Publication
from gateway.media.sfu.subscription import State, Subscription
from gateway.wire.frame import Codec
from gateway.wire.rtp import RtpPacket, seq_diff, ts_diff
from tests.media.sfu_harness import Encoder, Time, Viewer, subscription, video


@pytest.fixture
def time() -> Iterator[Time]:
    yield Time()
    Viewer.close_all()


@pytest.fixture
def viewer() -> Viewer:
    return Viewer()


def live(time: Time, viewer: Viewer) -> tuple[Publication, Encoder, Subscription]:
    """A video publication with one viewer that has just got a key frame of three packets."""
    publication, encoder = video(time), Encoder()
    publication.start(Codec.H264, 90000, encoder, time.now)
    one = subscription(publication, viewer)
    publication.subscribe(one, time.now)
    publication.write(encoder.picture(key=True), time.now)
    assert one.state is State.LIVE
    return publication, encoder, one


def continuous(packets: list[RtpPacket]) -> bool:
    return all(seq_diff(b.seq, a.seq) == 1 for a, b in itertools.pairwise(packets))


# --- pauses, switching


def test_pause_and_resume_continue_the_numbers_at_a_key_frame(time: Time, viewer: Viewer) -> None:
    publication, encoder, one = live(time, viewer)
    told: list[bool] = []
    one.on_paused = told.append
    one.pause(time.now)
    one.pause(time.now, slow=True)
    publication.write(encoder.picture(), time.now)
    assert one.paused and one.state is State.PAUSED and one.paused_for_loss
    one.resume(time.now)
    assert one.paused and one.state is State.PAUSED
    time.pass_(1.0)
    asked = encoder.asked
    one.resume(time.now, slow=True)
    assert encoder.asked == asked + 1 and one.state is State.WAITING and told == [True, False]
    publication.write(encoder.picture(), time.now)
    publication.write(encoder.picture(key=True), time.now)
    got = viewer.packets()
    assert len(got) == 6 and continuous(got) and got[3].payload[0] == 0x67
    assert ts_diff(got[3].timestamp, got[2].timestamp) == 3 * 3000
    assert one.packets == 6 and one.octets == 1200


def test_switching_to_another_publication_goes_on_on_the_same_ssrc(time: Time, viewer: Viewer) -> None:
    publication, _, one = live(time, viewer)
    other, source = video(time), Encoder(seq=7, timestamp=99)
    other.start(Codec.H264, 90000, source, time.now)
    time.pass_(3.0)
    one.switch(other, time.now)
    assert publication.subscriptions == [] and other.subscriptions == [one] and source.asked == 1
    time.pass_(1.0)
    other.write(source.picture(key=True), time.now)
    got = viewer.packets()
    assert len(got) == 6 and continuous(got) and {p.ssrc for p in got} == {0x1000}
    assert ts_diff(got[3].timestamp, got[2].timestamp) == 4 * 90000
    assert one.packets == 6


def test_a_viewer_that_left_can_come_back(time: Time, viewer: Viewer) -> None:
    publication, encoder, one = live(time, viewer)
    publication.unsubscribe(one, time.now)
    for _ in range(100):
        publication.write(encoder.picture(), time.now)
    time.pass_(1.0)
    publication.subscribe(one, time.now)
    publication.write(encoder.picture(key=True), time.now)
    got = viewer.packets()
    assert len(got) == 6 and continuous(got)


# --- resends


def test_rtx_has_its_own_ssrc_numbers_and_the_original_number(time: Time, viewer: Viewer) -> None:
    _, _, one = live(time, viewer)
    got = viewer.packets()
    one.handle_nack([p.seq for p in got], time.now)
    again = viewer.packets()
    assert [(p.ssrc, p.payload_type) for p in again] == [(0x2000, 101)] * 3
    assert continuous(again) and again[0].seq < 1 << 15
    assert [p.payload for p in again] == [p.seq.to_bytes(2, "big") + p.payload for p in got]
    assert [(p.marker, p.timestamp) for p in again] == [(p.marker, p.timestamp) for p in got]
    assert one.rtx_packets == 3 and one.packets == 3


def test_without_rtx_a_resend_is_byte_identical(time: Time) -> None:
    for profile in ("gcm", "cm"):
        viewer = Viewer(profile)
        publication, encoder = video(time), Encoder()
        publication.start(Codec.H264, 90000, encoder, time.now)
        one = subscription(publication, viewer, rtx_ssrc=None, extension=b"\xbe\xde\x00\x01\x40A\x00\x00")
        publication.subscribe(one, time.now)
        publication.write(encoder.picture(key=True, size=500), time.now)
        for _ in range(5):
            publication.write(encoder.picture(size=500), time.now)
        sent = viewer.datagrams()
        numbers = [viewer.keys.reader.unprotect(data)[2:4] for data in sent]
        one.handle_nack([int.from_bytes(number, "big") for number in numbers[2:9]], time.now)
        assert viewer.datagrams() == sent[2:9]
        assert one.resent_packets == 7


def test_the_same_packet_is_not_sent_again_within_half_a_round_trip(time: Time, viewer: Viewer) -> None:
    _, _, one = live(time, viewer)
    (first, *_) = viewer.packets()
    one.rtt_s = 0.1
    for wait, expected in ((0.0, 1), (0.02, 0), (0.02, 0), (0.02, 1)):
        time.pass_(wait)
        one.handle_nack([first.seq], time.now)
        assert len(viewer.packets()) == expected


def test_resends_take_at_most_a_fifth_of_the_rate(time: Time, viewer: Viewer) -> None:
    publication, encoder, one = live(time, viewer)
    one.rtt_s = 0.0
    media = again = 0
    for number in range(300):
        time.pass_(1 / 30)
        publication.write(encoder.picture(packets=4, size=1000), time.now)
        got = viewer.packets()
        media += sum(len(p.payload) for p in got if p.ssrc == 0x1000)
        again += sum(len(p.payload) for p in got if p.ssrc == 0x2000)
        if number > 60:
            one.handle_nack([p.seq for p in got if p.ssrc == 0x1000], time.now)
    assert 0.1 < again / media < 0.22


def test_requests_for_what_never_was_are_harmless(time: Time, viewer: Viewer) -> None:
    publication, encoder, one = live(time, viewer)
    first = viewer.packets()[0].seq
    one.handle_nack([(first - 1) & 0xFFFF, (first + 3) & 0xFFFF, (first + 30000) & 0xFFFF], time.now)
    assert viewer.packets() == []
    rng = random.Random(3)
    one.handle_nack([rng.randrange(65536) for _ in range(3000)], time.now)
    one.pause(time.now)
    one.handle_nack([first], time.now)
    assert all(p.ssrc == 0x2000 for p in viewer.packets())
    time.pass_(5.0)
    one.resume(time.now)
    publication.write(encoder.picture(key=True), time.now)
    one.handle_nack([first], time.now)  # from before the pause
    assert [p.ssrc for p in viewer.packets()] == [0x1000] * 3


def test_one_viewer_causes_one_request_in_two_seconds(time: Time, viewer: Viewer) -> None:
    publication, encoder, one = live(time, viewer)
    time.pass_(1.0)
    asked = encoder.asked
    for _ in range(50):
        one.request_keyframe(time.now)
        time.pass_(0.1)
        publication.write(encoder.picture(key=True), time.now)
    assert encoder.asked - asked == 3 and one.plis == 50


def test_statistics_are_plain_numbers(time: Time, viewer: Viewer) -> None:
    publication, encoder, one = live(time, viewer)
    for _ in range(60):
        time.pass_(1 / 30)
        publication.write(encoder.picture(size=1000), time.now)
        one.tick(time.now)
    for stats in (publication.stats(), one.stats()):
        assert all(type(value) in (int, float, str, bool) for value in stats.values())
        assert stats["packets"] == 183 and stats["bitrate_bps"] == pytest.approx(720000, rel=0.1)
