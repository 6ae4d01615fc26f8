"""Publications and their viewers: numbers, starts, replays, sources that change."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from gateway.media.sfu.pacer import BURST_BYTES
from gateway.media.sfu.publication import Publication
from gateway.media.sfu.subscription import State, Subscription
from gateway.wire.frame import Codec
from gateway.wire.rtp import RtpPacket, seq_diff, ts_diff
from tests.media.sfu_harness import Encoder, Keys, Time, Viewer, audio, subscription, video


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


# --- starts


def test_video_starts_at_a_key_frame_which_is_asked_for(time: Time, viewer: Viewer) -> None:
    publication, encoder = video(time), Encoder()
    publication.start(Codec.H264, 90000, encoder, time.now)
    publication.write(encoder.picture(key=True), time.now)
    time.pass_(2.0)
    publication.write(encoder.picture(), time.now)
    assert encoder.asked == 0
    one = subscription(publication, viewer)
    publication.subscribe(one, time.now)
    assert encoder.asked == 1
    publication.write(encoder.picture(), time.now)
    assert viewer.packets() == []
    publication.write(encoder.picture(key=True), time.now)
    publication.write(encoder.picture(), time.now)
    got = viewer.packets()
    assert len(got) == 6 and continuous(got) and got[0].payload[0] == 0x67 and got[0].seq < 1 << 15


def test_a_viewer_soon_after_a_key_frame_gets_it_without_asking(time: Time, viewer: Viewer) -> None:
    publication, encoder, _ = live(time, Viewer())
    asked = encoder.asked
    publication.write(encoder.picture(), time.now)
    time.pass_(0.2)
    publication.subscribe(subscription(publication, viewer, ssrc=5), time.now)
    assert encoder.asked == asked
    time.pass_(0.1)
    publication.write(encoder.picture(), time.now)
    got = viewer.packets()
    assert len(got) == 9 and continuous(got) and got[0].payload[0] == 0x67


def test_a_viewer_in_the_middle_of_a_key_frame_gets_its_beginning(time: Time, viewer: Viewer) -> None:
    publication, encoder = video(time), Encoder()
    publication.start(Codec.H264, 90000, encoder, time.now)
    publication.write(encoder.picture(), time.now)
    key = encoder.picture(key=True, packets=4)
    publication.write(key[:2], time.now)
    publication.subscribe(one := subscription(publication, viewer), time.now)
    publication.write(key[2:], time.now)
    assert [p.payload[0] for p in viewer.packets()] == [0x67, 0x65, 0x65, 0x65]
    assert one.state is State.LIVE


def test_nobody_starts_before_keys_and_route_are_there(time: Time, viewer: Viewer) -> None:
    keys, route = viewer.srtp, viewer.route
    viewer.srtp = viewer.route = None
    publication, encoder = video(time), Encoder()
    publication.start(Codec.H264, 90000, encoder, time.now)
    publication.subscribe(one := subscription(publication, viewer), time.now)
    publication.write(encoder.picture(key=True), time.now)
    viewer.srtp = keys
    time.pass_(1)
    publication.write(encoder.picture(key=True), time.now)
    assert one.state is State.WAITING and encoder.asked == 0
    viewer.route = route
    time.pass_(1)
    publication.begin(one, time.now)
    publication.begin(one, time.now)
    assert encoder.asked == 1
    publication.write(encoder.picture(key=True), time.now)
    assert one.state is State.LIVE and len(viewer.packets()) == 3


def test_keys_that_are_not_made_yet_do_not_count(time: Time, viewer: Viewer) -> None:
    assert viewer.srtp is not None
    handle, viewer.srtp.handle = viewer.srtp.handle, None
    one = subscription(video(time), viewer)
    assert not one.ready()
    viewer.srtp.handle = handle
    assert one.ready() and one.handle is handle


def test_sound_starts_with_the_next_packet(time: Time, viewer: Viewer) -> None:
    publication, encoder = audio(time), Encoder()
    publication.start(Codec.OPUS, 48000, encoder, time.now)
    publication.write(encoder.sound(), time.now)
    publication.subscribe(subscription(publication, viewer), time.now)
    for _ in range(3):
        publication.write(encoder.sound(), time.now)
    got = viewer.packets()
    assert len(got) == 3 and continuous(got) and got[0].payload_type == 111 and got[0].seq < 1 << 15


def test_key_frame_requests_repeat_while_somebody_waits(time: Time, viewer: Viewer) -> None:
    publication, encoder = video(time), Encoder()
    publication.start(Codec.H264, 90000, encoder, time.now)
    publication.subscribe(one := subscription(publication, viewer), time.now)
    time.pass_(3.5)
    assert encoder.asked == 4
    publication.write(encoder.picture(key=True), time.now)
    time.pass_(5)
    assert encoder.asked == 4 and one.state is State.LIVE and publication.plis == 4


def test_many_viewers_at_once_cause_two_requests(time: Time) -> None:
    publication, encoder = video(time), Encoder()
    publication.start(Codec.H264, 90000, encoder, time.now)
    viewers = [Viewer() for _ in range(10)]
    for number, one in enumerate(viewers):
        publication.subscribe(subscription(publication, one, ssrc=number + 1), time.now)
        time.pass_(0.01)
    publication.write(encoder.picture(key=True), time.now)
    time.pass_(3)
    assert encoder.asked == 1
    for one in viewers:
        assert len(one.packets()) == 3


# --- loss, order, padding


def test_losses_stay_until_repaired_and_then_have_the_right_number(time: Time, viewer: Viewer) -> None:
    publication, encoder, _ = live(time, viewer)
    viewer.packets()
    first, lost, last = encoder.picture()
    publication.write([first, last], time.now)
    got = viewer.packets()
    assert seq_diff(got[1].seq, got[0].seq) == 2
    publication.write([lost], time.now)
    (repaired,) = viewer.packets()
    assert seq_diff(repaired.seq, got[0].seq) == 1 and repaired.payload == lost.payload
    publication.write([lost], time.now)
    assert viewer.packets() == []


def test_a_late_packet_from_before_the_start_is_not_sent(time: Time, viewer: Viewer) -> None:
    publication, encoder, _ = live(time, Viewer())
    _, late, _ = old = encoder.picture()
    publication.write([old[0], old[2]], time.now)
    time.pass_(1.0)
    one = subscription(publication, viewer, ssrc=9, first_seq=0)
    publication.subscribe(one, time.now)
    publication.write(encoder.picture(key=True), time.now)
    publication.write([late, *encoder.picture()], time.now)
    got = viewer.packets()
    assert [p.seq for p in got] == [0, 1, 2, 3, 4, 5]
    assert one.packets == 6


def test_padding_only_packets_are_not_losses(time: Time, viewer: Viewer) -> None:
    publication, encoder, _ = live(time, viewer)
    for _ in range(20):
        packets = encoder.picture()
        packets[1].payload = b""
        publication.write(packets, time.now)
    got = viewer.packets()
    assert len(got) == 3 + 40 and continuous(got)


def test_padding_that_comes_late_fills_its_place(time: Time, viewer: Viewer) -> None:
    publication, encoder, _ = live(time, viewer)
    first, padding, last = encoder.picture()
    padding.payload = b""
    publication.write([first, last], time.now)
    publication.write([padding], time.now)
    publication.write(encoder.picture(), time.now)
    got = sorted(viewer.packets(), key=lambda p: p.seq)
    assert continuous(got) and [len(p.payload) for p in got[3:6]] == [200, 0, 200]


def test_numbers_go_on_over_both_wraps(time: Time, viewer: Viewer) -> None:
    publication, encoder = video(time), Encoder(seq=65500, timestamp=2**32 - 9000)
    publication.start(Codec.H264, 90000, encoder, time.now)
    publication.subscribe(subscription(publication, viewer, first_seq=32760), time.now)
    publication.write(encoder.picture(key=True), time.now)
    for _ in range(40):
        time.pass_(0.033)
        publication.write(encoder.picture(), time.now)
    got = viewer.packets()
    assert len(got) == 123 and continuous(got)
    assert all(ts_diff(b.timestamp, a.timestamp) in (0, 3000) for a, b in itertools.pairwise(got))


def test_a_source_that_jumps_in_its_numbers_starts_anew_at_a_key_frame(time: Time, viewer: Viewer) -> None:
    publication, encoder, _ = live(time, viewer)
    encoder.seq = (encoder.seq + 20000) & 0xFFFF
    publication.write(encoder.picture(), time.now)
    publication.write(encoder.picture(key=True), time.now)
    got = viewer.packets()
    assert len(got) == 6 and continuous(got)


def test_too_large_packets_are_dropped_and_counted(time: Time, viewer: Viewer) -> None:
    publication, encoder, _ = live(time, viewer)
    publication.write(encoder.picture(size=1600), time.now)
    assert publication.dropped == 3


# --- sources


def test_numbers_and_time_continue_over_a_change_of_source(time: Time, viewer: Viewer) -> None:
    publication, old, one = live(time, viewer)
    time.pass_(2.0)
    new = Encoder(seq=40000, timestamp=123456)
    publication.start(Codec.H264, 90000, new, time.now)
    assert new.asked == 1
    publication.write(new.picture(), time.now)  # no key frame yet: nobody sees it
    publication.write(new.picture(key=True), time.now)
    publication.stop(old, time.now)  # the old one ends later: nothing happens
    assert publication.live and publication.source is new
    publication.write(new.picture(), time.now)
    got = viewer.packets()
    assert len(got) == 9 and continuous(got) and {p.ssrc for p in got} == {0x1000}
    assert ts_diff(got[3].timestamp, got[2].timestamp) == 180000
    assert ts_diff(got[6].timestamp, got[5].timestamp) == 3000
    publication.stop(new, time.now)
    assert not publication.live and one.state is State.LIVE
    publication.write(new.picture(key=True), time.now)
    assert viewer.packets() == []


def test_codec_changes_on_the_fly(time: Time, viewer: Viewer) -> None:
    publication, encoder, one = live(time, viewer)
    other = Viewer()
    told: list[Codec] = []
    plain = subscription(publication, other, ssrc=7, payload_types={Codec.H264: 102}, rtx_payload_types={})
    plain.on_unsupported = told.append
    publication.subscribe(plain, time.now)
    publication.write(encoder.picture(key=True), time.now)
    assert [len(v.packets()) for v in (viewer, other)] == [6, 6]
    publication.start(Codec.VP8, 90000, encoder, time.now)
    assert told == [Codec.VP8] and plain.unsupported
    vp8 = [RtpPacket(98, True, encoder.seq + n, 99000, 1, b"\x10" + bytes([n & 1]) + bytes(50)) for n in range(4)]
    encoder.seq += 4
    publication.write(vp8, time.now)
    got = viewer.packets()
    assert [p.payload_type for p in got] == [98] * 4 and other.packets() == []
    publication.start(Codec.H264, 90000, encoder, time.now)
    publication.write(encoder.picture(key=True), time.now)
    assert [p.payload_type for p in viewer.packets()] == [100] * 3
    again = other.packets()
    assert len(again) == 3 and not plain.unsupported and plain.dropped == 0
    assert one.payload_type == 100


def test_demand_is_told_at_the_first_and_the_last_viewer(time: Time, viewer: Viewer) -> None:
    publication = video(time)
    told: list[bool] = []
    publication.demand = told.append
    one, two = subscription(publication, viewer), subscription(publication, viewer, ssrc=2)
    publication.subscribe(one, time.now)
    publication.subscribe(one, time.now)
    publication.subscribe(two, time.now)
    publication.unsubscribe(one, time.now)
    publication.unsubscribe(one, time.now)
    publication.unsubscribe(two, time.now)
    assert told == [True, False]


class Ear:
    """A tap that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, object]] = []

    def on_packets(self, packets: object, now: float) -> None:
        self.heard.append(("packets", packets))

    def on_sender_report(self, ntp: int, rtp: int, now: float) -> None:
        self.heard.append(("report", (ntp, rtp)))

    def on_source(self, codec: Codec | None, now: float) -> None:
        self.heard.append(("source", codec))


def test_taps_hear_the_source_unchanged(time: Time) -> None:
    publication, encoder, ear = video(time), Encoder(), Ear()
    publication.start(Codec.H264, 90000, encoder, time.now)
    publication.sender_report(123, 456, time.now, ntp_offset=99)
    publication.add_tap(ear, time.now)
    packets = encoder.picture()
    publication.write(packets, time.now)
    publication.sender_report(124, 457, time.now)
    publication.stop(encoder, time.now)
    publication.remove_tap(ear, time.now)
    publication.start(Codec.H264, 90000, Encoder(), time.now)
    assert ear.heard == [
        ("source", Codec.H264),
        ("report", (123, 456)),
        ("packets", packets),
        ("report", (124, 457)),
        ("source", None),
    ]
    assert publication.taps == 0


def test_the_clock_is_the_sources_in_our_numbers(time: Time, viewer: Viewer) -> None:
    publication, encoder, _ = live(time, viewer)
    assert publication.clock(time.now) is not None  # by arrival
    publication.sender_report(50 << 32, encoder.timestamp, time.now, ntp_offset=1 << 32)
    time.pass_(1.0)
    ntp, stamp = publication.clock(time.now) or (0, 0)
    assert (ntp >> 32, stamp) == (52, encoder.timestamp + 90000)
    new = Encoder(seq=1, timestamp=777)
    publication.start(Codec.H264, 90000, new, time.now)
    publication.sender_report(60 << 32, 777, time.now)  # before its first picture
    publication.write(new.picture(key=True), time.now)
    _, stamp = publication.clock(time.now) or (0, 0)
    assert stamp == viewer.packets()[-1].timestamp


# --- bursts and replays


def test_a_burst_is_paced_in_order(time: Time, viewer: Viewer) -> None:
    publication, encoder, one = live(time, viewer)
    viewer.packets()
    publication.write(encoder.picture(packets=200, size=1000), time.now)
    publication.write(encoder.picture(), time.now)
    at_once = viewer.packets()
    assert BURST_BYTES // 1000 - 2 <= len(at_once) <= BURST_BYTES // 1000 + 2
    time.pass_(0.05)
    soon = viewer.packets()
    assert 50 <= len(soon) <= 75  # 10 Mbit/s
    time.pass_(0.2)
    rest = viewer.packets()
    everything = at_once + soon + rest
    assert len(everything) == 203 and continuous(everything) and one.dropped == 0
    time.pass_(1.0)
    publication.write(encoder.picture(), time.now)
    assert len(viewer.packets()) == 3


def test_a_hopeless_burst_is_thrown_away_up_to_a_key_frame(time: Time, viewer: Viewer) -> None:
    publication, encoder, _ = live(time, viewer)
    asked = encoder.asked
    for _ in range(60):
        publication.write(encoder.picture(packets=100, size=1000), time.now)
    time.pass_(1.0)
    assert encoder.asked == asked + 1
    publication.write(encoder.picture(key=True), time.now)
    got = viewer.packets()
    assert continuous(got) and got[-3].payload[0] == 0x67 and publication.dropped > 4000


def filled(time: Time, pictures: int = 90) -> tuple[Publication, Encoder]:
    """A publication as the bridge feeds it: no viewers yet, pictures kept."""
    publication, encoder = video(time), Encoder()
    publication.keep_gop = True
    publication.start(Codec.H264, 90000, encoder, time.now)
    for number in range(pictures):
        publication.write(encoder.picture(key=number == 0, packets=4, size=1000, now=time.now), time.now)
        time.pass_(1 / 30)
    return publication, encoder


def test_kept_pictures_are_replayed_with_true_stamps_then_live(time: Time, viewer: Viewer) -> None:
    publication, encoder = filled(time)
    one = subscription(publication, viewer)
    publication.subscribe(one, time.now)
    assert one.state is State.REPLAYING and encoder.asked == 0
    begun = time.now
    got = viewer.packets()
    assert 1 <= len(got) < 40
    while one.state is State.REPLAYING:
        assert time.now - begun < 1.0
        publication.write(encoder.picture(packets=4, size=1000), time.now)
        time.pass_(1 / 30)
    assert time.now - begun == pytest.approx(360 * 1060 * 8 / 10e6, abs=0.15)
    for _ in range(5):
        publication.write(encoder.picture(packets=4, size=1000), time.now)
    got += viewer.packets()
    assert continuous(got) and got[0].payload[0] == 0x67
    stamps = [p.timestamp for p in got if p.marker]
    assert {ts_diff(b, a) for a, b in itertools.pairwise(stamps)} == {3000}
    assert len(stamps) == len({p.payload[1:3] for p in got}) // 4


def test_a_replay_is_sent_again_on_request_although_the_history_is_short(time: Time, viewer: Viewer) -> None:
    publication, _ = filled(time, 150)  # 5 s, the history holds 1.5
    one = subscription(publication, viewer)
    publication.subscribe(one, time.now)
    time.pass_(1.0)
    got = viewer.packets()
    one.handle_nack([got[3].seq], time.now)
    (rtx,) = viewer.packets()
    assert rtx.ssrc == 0x2000 and rtx.payload[2:] == got[3].payload
    time.pass_(3.0)
    one.tick(time.now)
    one.handle_nack([got[4].seq], time.now)
    assert viewer.packets() == [] and one.unanswered == 1


def test_a_replay_with_loss_is_repaired_though_it_is_faster_than_the_stream(time: Time, viewer: Viewer) -> None:
    publication, _ = filled(time, 150)
    one = subscription(publication, viewer)
    publication.subscribe(one, time.now)
    rng = random.Random(4)
    missing: set[int] = set()
    repaired: set[int] = set()
    for _ in range(100):
        time.pass_(0.02)
        for packet in viewer.packets():
            if packet.ssrc == 0x2000:
                repaired.add(int.from_bytes(packet.payload[:2], "big"))
            elif rng.random() < 0.1:
                missing.add(packet.seq)
        one.handle_nack(sorted(missing - repaired), time.now)
    assert len(missing) > 40 and repaired == missing


def test_two_viewers_replay_apart(time: Time, viewer: Viewer) -> None:
    publication, encoder = filled(time, 30)
    other = Viewer()
    publication.subscribe(subscription(publication, viewer), time.now)
    time.pass_(0.02)
    publication.write(encoder.picture(packets=4, size=1000), time.now)
    publication.subscribe(subscription(publication, other, ssrc=3), time.now)
    time.pass_(1.0)
    publication.write(encoder.picture(), time.now)
    for one in (viewer, other):
        got = one.packets()
        assert len(got) == 31 * 4 + 3 and continuous(got)


def test_a_stopped_source_leaves_nothing_to_replay(time: Time, viewer: Viewer) -> None:
    publication, encoder = filled(time, 10)
    publication.stop(encoder, time.now)
    publication.subscribe(one := subscription(publication, viewer), time.now)
    assert one.state is State.WAITING and viewer.packets() == []


def test_random_life_keeps_the_promises(time: Time) -> None:
    """Loss, reordering, padding, pauses, sources that change: one SSRC never repeats a number nor goes back."""
    rng = random.Random(11)
    publication, encoder = video(time), Encoder()
    publication.start(Codec.H264, 90000, encoder, time.now)
    viewer = Viewer()
    one = subscription(publication, viewer, first_seq=32000)
    publication.subscribe(one, time.now)
    late: list[RtpPacket] = []
    seen: dict[int, bytes] = {}
    newest: int | None = None
    for turn in range(2500):
        time.pass_(1 / 30)
        packets = encoder.picture(key=turn % 60 == 0, packets=rng.randint(1, 6), size=rng.choice((60, 300, 1200)))
        for packet in packets:
            if rng.random() < 0.01:
                packet.payload = b""
        kept = [p for p in packets if rng.random() > 0.05]
        lost = [p for p in packets if p not in kept]
        publication.write(kept + (late if rng.random() < 0.5 else []), time.now)
        late = lost if rng.random() < 0.7 else []
        event = rng.random()
        if event < 0.003:
            encoder = Encoder(seq=rng.randrange(65536), timestamp=rng.randrange(2**32))
            publication.start(Codec.H264, 90000, encoder, time.now)
            late = []
        elif event < 0.006:
            one.pause(time.now)
        elif event < 0.05:
            one.resume(time.now)
        elif event < 0.055:
            publication.unsubscribe(one, time.now)
            publication.subscribe(one, time.now)
        for packet in viewer.packets():
            index = packet.seq if newest is None else newest + seq_diff(packet.seq, newest & 0xFFFF)
            assert index not in seen and index >= 32000
            seen[index] = packet.payload
            if newest is None or index > newest:
                assert newest is None or index - newest < 200
                newest = index
    assert len(seen) > 4000 and isinstance(viewer.srtp, Keys)
