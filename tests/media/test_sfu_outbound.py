"""A viewer's connection: reports to it, its own words, pauses under lasting loss."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.media.sfu.feedback import Outbound
from gateway.media.sfu.publication import Publication
from gateway.media.sfu.subscription import State, Subscription
from gateway.wire.frame import Codec
from gateway.wire.rtcp import (
    Fir,
    Nack,
    Pli,
    ReceiverReport,
    Remb,
    ReportBlock,
    Sdes,
    SenderReport,
    TransportFeedback,
)
from tests.media.sfu_harness import Encoder, Time, Viewer, audio, subscription, video


class Down:
    """One viewer of one sound and one picture, and the sources behind them."""

    def __init__(self) -> None:
        self.time = Time()
        self.viewer = Viewer()
        self.outbound = Outbound(self.viewer, cname="c")
        self.encoder, self.sounder = Encoder(), Encoder(step=960)
        self.video, self.audio = video(self.time), audio(self.time)
        self.video.start(Codec.H264, 90000, self.encoder, self.time.now)
        self.audio.start(Codec.OPUS, 48000, self.sounder, self.time.now)
        self.picture = subscription(self.video, self.viewer)
        self.sound = subscription(self.audio, self.viewer, ssrc=0x3000, rtx_ssrc=None)
        for one in (self.sound, self.picture):
            self.outbound.add(one, self.time.now)

    def run(self, seconds: float, *, loss: float = 0.0, sound_loss: float = 0.0) -> list[bool]:
        """Let media run, with a key frame a second and a report each 0.8 s; returns what the picture's state was."""
        states = []
        for step in range(round(seconds * 20)):
            now = self.time.now
            self.video.write(self.encoder.picture(key=step % 20 == 0, now=now), now)
            self.audio.write(self.sounder.sound(now), now)
            if step % 16 == 0:
                blocks = tuple(
                    ReportBlock(one.ssrc, int(value * 255), 0, 0, 900)
                    for one, value in ((self.picture, loss), (self.sound, sound_loss))
                )
                self.outbound.handle_rtcp([ReceiverReport(1, blocks)], now)
            self.outbound.tick(now)
            states.append(self.picture.state is State.LIVE)
            self.time.pass_(0.05)
        return states

    def reports(self) -> list[SenderReport]:
        found = [packet for packet in self.viewer.rtcp if isinstance(packet, SenderReport)]
        self.viewer.rtcp.clear()
        return found


@pytest.fixture
def down() -> Iterator[Down]:
    yield Down()
    Viewer.close_all()


def test_sender_reports_at_once_and_then_each_second(down: Down) -> None:
    down.outbound.tick(down.time.now)
    assert down.viewer.rtcp == []  # nothing was sent yet
    down.run(0.1)
    assert {report.ssrc for report in down.reports()} == {0x1000, 0x3000}
    down.run(5.0)
    assert len(down.reports()) in (8, 10)


def test_reports_lie_on_the_sources_line_and_name_what_was_sent(down: Down) -> None:
    down.run(0.5)
    down.video.sender_report(100 << 32, 5000, down.time.now - 0.5)
    down.run(1.5)
    names = [packet for packet in down.viewer.rtcp if isinstance(packet, Sdes)]
    assert names[-1].names == ((0x3000, "c"), (0x1000, "c"))
    last = [report for report in down.reports() if report.ssrc == 0x1000][-1]
    got = [p for p in down.viewer.packets() if p.ssrc == 0x1000]
    assert last.packets <= len(got) == down.picture.packets and last.octets == 200 * last.packets
    elapsed = (last.ntp - (100 << 32)) / 2**32
    assert (last.rtp - 5000) / 90000 == pytest.approx(elapsed, abs=0.001) and 0.5 < elapsed < 2.0


def test_round_trip_is_measured_from_the_viewers_answer(down: Down) -> None:
    down.run(0.1)
    report = next(r for r in down.reports() if r.ssrc == 0x1000)
    sent_at = down.time.now - 0.1
    lsr = report.ntp >> 16 & 0xFFFFFFFF
    block = ReportBlock(0x1000, 12, 34, 0, 900, lsr, 65536 // 2)
    down.outbound.handle_rtcp([ReceiverReport(9, (block,))], sent_at + 0.58)
    assert down.picture.rtt_s == pytest.approx(0.08, abs=0.051)
    assert (down.picture.lost, down.picture.jitter_ms) == (34, 10.0)
    assert down.picture.fraction_lost == pytest.approx(0.047, abs=0.001)
    strange = ReportBlock(0x1000, 0, 0, 0, 0, lsr ^ 1, 0)
    before = down.picture.rtt_s
    down.outbound.handle_rtcp([ReceiverReport(9, (strange, ReportBlock(4711, 0, 0, 0, 0)))], sent_at + 9)
    assert down.picture.rtt_s == before


def test_requests_reach_the_subscription_they_name(down: Down) -> None:
    down.run(0.1)
    got = {p.ssrc: p for p in down.viewer.packets()}
    down.outbound.handle_rtcp(
        [
            Nack(1, 0x1000, (got[0x1000].seq,)),
            Nack(1, 0x3000, (got[0x3000].seq,)),
            Nack(1, 0x9999, (1,)),
            Pli(1, 0x9999),
            Remb(1, 250000),
            TransportFeedback(1, 2, 3, 4, 5),
        ],
        down.time.now,
    )
    assert len(down.viewer.datagrams()) == 2 and down.outbound.remb_bps == 250000
    assert (down.picture.rtx_packets, down.sound.resent_packets) == (1, 1)
    asked = down.encoder.asked
    down.time.pass_(1.0)
    down.outbound.handle_rtcp([Pli(1, 0x1000)], down.time.now)
    down.outbound.handle_rtcp([Fir(1, ((0x1000, 3), (0x9999, 1)))], down.time.now)
    assert down.encoder.asked == asked + 1 and down.picture.plis == 2


def test_lasting_loss_pauses_the_picture_and_the_sound_goes_on(down: Down) -> None:
    told: list[bool] = []
    down.picture.on_paused = told.append
    assert all(down.run(3.0))
    assert all(down.run(2.0, loss=0.5))  # not yet
    assert not all(down.run(4.0, loss=0.5)) and told == [True] and down.picture.paused
    sounds = down.sound.packets
    down.viewer.packets()
    assert not any(down.run(2.0, sound_loss=0.3))
    assert down.sound.packets == sounds + 40 and {p.ssrc for p in down.viewer.packets()} == {0x3000}
    down.run(12.0)
    assert told == [True, False] and down.picture.state is State.LIVE
    first = next(p for p in down.viewer.packets() if p.ssrc == 0x1000)
    assert first.payload[0] == 0x67


def test_short_loss_pauses_nothing_and_patience_grows(down: Down) -> None:
    for _ in range(5):
        assert all(down.run(1.6, loss=0.6)) and all(down.run(5.0))
    waits = []
    for _ in range(3):
        while not down.picture.paused:
            down.run(0.8, loss=0.9)
        begun = down.time.now
        while down.picture.paused:
            down.run(0.2)
        waits.append(down.time.now - begun)
    assert waits == [pytest.approx(5, abs=1.5), pytest.approx(10, abs=1.5), pytest.approx(20, abs=1.5)]


def test_what_waits_for_the_connection_starts_when_it_is_ready(down: Down) -> None:
    other = Viewer()
    keys, other.srtp = other.srtp, None
    outbound = Outbound(other)
    one = subscription(down.video, other, ssrc=8)
    outbound.add(one, down.time.now)
    down.run(0.2)
    assert one.state is State.WAITING
    other.srtp = keys
    outbound.ready(down.time.now)
    down.run(0.1)
    assert one.state is State.LIVE
    outbound.close(down.time.now)
    outbound.remove(one, down.time.now)
    assert down.video.subscriptions == [down.picture] and outbound.subscriptions == []


def test_replay_slows_down_when_the_viewer_loses_packets(down: Down) -> None:
    publication, encoder = video(down.time), Encoder()
    publication.keep_gop = True
    publication.start(Codec.H264, 90000, encoder, down.time.now)
    for number in range(60):
        publication.write(encoder.picture(key=number == 0, packets=5, size=1000), down.time.now)
        down.time.pass_(1 / 30)

    def seconds(loss: float) -> float:
        viewer = Viewer()
        outbound, one = Outbound(viewer), _any(publication, viewer)
        outbound.add(one, down.time.now)
        begun = down.time.now
        block = ReportBlock(one.ssrc, int(loss * 255), 0, 0, 0)
        outbound.handle_rtcp([ReceiverReport(1, (block,))], down.time.now)
        while one.state is State.REPLAYING:
            down.time.pass_(0.01)
        outbound.close(down.time.now)
        return down.time.now - begun

    assert seconds(0.3) == pytest.approx(2 * seconds(0.0), rel=0.15)


def _any(publication: Publication, viewer: Viewer) -> Subscription:
    return subscription(publication, viewer, ssrc=0x4000)
