"""An up connection's packets: whose they are, what is missing, what the browser is told."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gateway.media.rtc.negotiation import ExtensionIds, InboundTrack
from gateway.media.sfu.feedback import Inbound
from gateway.media.sfu.inbound import MAX_SSRCS
from gateway.media.sfu.publication import Publication
from gateway.wire.frame import Codec
from gateway.wire.rtcp import (
    Bye,
    Nack,
    Pli,
    ReceiverReport,
    Rtcp,
    SenderReport,
    TransportFeedback,
    parse_compound,
)
from gateway.wire.rtp import RtpPacket
from tests.media.sfu_harness import Encoder, Time, audio, video

IDS = ExtensionIds(mid=4, audio_level=1, twcc=3, abs_capture_time=6)


def track(mid: str, **options: Any) -> InboundTrack:
    kind = options.pop("kind", "video")
    values: dict[str, Any] = {
        "payload_types": {96: Codec.VP8, 102: Codec.H264} if kind == "video" else {111: Codec.OPUS},
        "rtx": {97: 96, 103: 102} if kind == "video" else {},
        "extensions": IDS,
    }
    return InboundTrack(mid=mid, kind=kind, direction="sendonly", **{**values, **options})


class Up:
    """An Inbound with one audio and one video track, whose publications are heard by a tap."""

    def __init__(self, **options: Any) -> None:
        self.time = Time()
        self.sent: list[Rtcp] = []
        self.inbound = Inbound(self._send, ssrc=0xABC, wall_clock=self.time.wall, later=self.time.later)
        self.audio, self.video = audio(self.time), video(self.time)
        self.heard: dict[str, list[RtpPacket]] = {"audio": [], "video": []}
        self.reports: list[tuple[str, int, int]] = []
        self.sources: list[tuple[str, Codec | None]] = []
        for publication in (self.audio, self.video):
            publication.add_tap(_Tap(self, publication.kind), self.time.now)
        self.inbound.bind(track("0", kind="audio", **options.get("audio", {})), self.audio)
        self.inbound.bind(track("1", **options.get("video", {})), self.video)

    def _send(self, data: bytes) -> None:
        assert len(data) <= 1200
        self.sent += parse_compound(data)

    def receive(self, *packets: RtpPacket) -> None:
        for packet in packets:
            packet.arrival = self.time.now
        self.inbound.receive(packets, self.time.now)

    def tick(self, seconds: float = 0.05) -> None:
        for _ in range(round(seconds / 0.05)):
            self.time.pass_(0.05)
            self.inbound.tick(self.time.now)

    def told(self, kind: type) -> list[Any]:
        found = [packet for packet in self.sent if isinstance(packet, kind)]
        self.sent = [packet for packet in self.sent if not isinstance(packet, kind)]
        return found


class _Tap:
    def __init__(self, up: Up, kind: str) -> None:
        self.up, self.kind = up, kind

    def on_packets(self, packets: list[RtpPacket], now: float) -> None:
        self.up.heard[self.kind] += packets

    def on_sender_report(self, ntp: int, rtp: int, now: float) -> None:
        self.up.reports.append((self.kind, ntp, rtp))

    def on_source(self, codec: Codec | None, now: float) -> None:
        self.up.sources.append((self.kind, codec))


def rtp(pt: int, seq: int, *, ssrc: int = 10, body: bytes = b"\x41xyz", ts: int = 0, **extensions: bytes) -> RtpPacket:
    ids = {"mid": 4, "level": 1, "twcc": 3, "capture": 6}
    found = {ids[name]: value for name, value in extensions.items()}
    return RtpPacket(pt, True, seq & 0xFFFF, ts, ssrc, body, found or None)


# --- whose packet


def test_tracks_are_found_by_mid_and_remembered() -> None:
    up = Up()
    up.receive(rtp(102, 1, ssrc=10, mid=b"1"), rtp(111, 1, ssrc=20, mid=b"0"))
    up.receive(rtp(102, 2, ssrc=10), rtp(111, 2, ssrc=20))
    assert [p.seq for p in up.heard["video"]] == [1, 2] and [p.seq for p in up.heard["audio"]] == [1, 2]
    assert up.sources == [("video", Codec.H264), ("audio", Codec.OPUS)]
    assert up.video.codec is Codec.H264 and up.audio.clock_rate == 48000


def test_tracks_are_found_by_declared_ssrc_or_by_the_only_fitting_payload_type() -> None:
    up = Up(video={"ssrcs": (10,), "rtx_ssrcs": {11: 10}})
    up.receive(rtp(102, 1, ssrc=10), rtp(111, 1, ssrc=20))
    assert len(up.heard["video"]) == len(up.heard["audio"]) == 1
    up.receive(rtp(103, 5, ssrc=11, body=b"\x00\x02\x41repair"), rtp(102, 3, ssrc=10))
    assert [p.seq for p in up.heard["video"]] == [1, 2, 3]


def test_a_payload_type_that_two_tracks_have_says_nothing() -> None:
    up = Up()
    up.inbound.bind(track("2"), other := video(up.time))
    up.receive(rtp(102, 1, ssrc=10))
    assert up.inbound.unknown == 1 and up.heard["video"] == []
    up.receive(rtp(102, 2, ssrc=10, mid=b"2"), rtp(102, 2, ssrc=12, mid=b"nobody"), rtp(102, 2, ssrc=13, mid=b"\xff"))
    assert other.codec is Codec.H264 and up.inbound.unknown == 3


def test_unknown_payload_types_take_no_place() -> None:
    up = Up()
    up.receive(rtp(111, 1, ssrc=20), rtp(13, 2, ssrc=20, body=b"noise"), rtp(111, 3, ssrc=20))
    assert [(p.seq, p.payload) for p in up.heard["audio"]] == [(1, b"\x41xyz"), (2, b""), (3, b"\x41xyz")]
    up.receive(rtp(13, 1, ssrc=21))
    assert up.inbound.unknown == 1


def test_at_most_32_ssrcs_and_silent_ones_make_room() -> None:
    up = Up()
    for ssrc in range(100, 100 + MAX_SSRCS + 10):
        up.receive(rtp(102, 1, ssrc=ssrc, mid=b"1"))
    assert up.inbound.unknown == 10
    up.time.pass_(6.0)
    up.receive(rtp(102, 1, ssrc=999, mid=b"1"))
    assert up.inbound.unknown == 10


# --- RTX, duplicates, padding


def test_rtx_repairs_and_probes_are_ignored() -> None:
    up = Up(video={"ssrcs": (10,), "rtx_ssrcs": {11: 10}})
    up.receive(rtp(103, 1, ssrc=11, body=b""), rtp(103, 2, ssrc=11, body=b"\x00\x07\x41probe"))  # before any media
    assert up.sources == []
    up.receive(rtp(102, 65535, ssrc=10), rtp(102, 1, ssrc=10))
    up.receive(rtp(103, 3, ssrc=11, body=b"\x00\x00\x41repair"), rtp(103, 4, ssrc=11, body=b""))
    up.receive(rtp(103, 5, ssrc=11, body=b"\x00\x01\x41again"), rtp(102, 1, ssrc=10))
    assert [p.seq for p in up.heard["video"]] == [65535, 1, 0]
    repaired = up.heard["video"][2]
    assert (repaired.payload, repaired.payload_type, repaired.ssrc) == (b"\x41repair", 102, 10)
    up.tick(2.0)
    assert up.video.rtx == 1 and up.told(Nack) == []


def test_rtx_without_fid_goes_to_the_media_of_its_mid() -> None:
    up = Up()
    up.inbound.bind(track("2"), other := video(up.time))
    up.receive(rtp(102, 1, ssrc=10, mid=b"1"), rtp(102, 1, ssrc=30, mid=b"2"), rtp(102, 3, ssrc=30))
    up.receive(rtp(103, 9, ssrc=31, mid=b"2", body=b"\x00\x02\x41repair"))
    up.tick(1.5)
    assert [p.seq for p in up.heard["video"]] == [1] and other.lost == 0 and other.rtx == 1


# --- losses


def test_a_gap_is_asked_for_again_until_it_is_filled() -> None:
    up = Up()
    up.receive(rtp(102, 65534), rtp(102, 2))
    assert up.told(Nack) == []
    up.time.pass_(0.02)
    (nack,) = up.told(Nack)
    assert (nack.sender_ssrc, nack.media_ssrc, nack.lost) == (0xABC, 10, (65535, 0, 1))
    up.time.pass_(0.04)
    up.receive(rtp(102, 65535), rtp(102, 1))
    assert up.video.nacks == 3
    up.time.pass_(0.2)
    assert {n for nack in up.told(Nack) for n in nack.lost} == {0}
    up.receive(rtp(102, 0))
    up.time.pass_(1.0)
    assert up.told(Nack) == [] and up.told(Pli) == []
    assert up.video.rtt_s == pytest.approx(0.05, abs=0.02)


def test_reordering_within_a_wake_up_is_no_loss() -> None:
    up = Up()
    up.receive(*(rtp(102, seq) for seq in (1, 3, 2, 6, 5, 4)))
    up.time.pass_(0.5)
    assert up.told(Nack) == []


def test_past_repair_a_key_frame_is_asked_for() -> None:
    up = Up()
    up.receive(rtp(102, 1), rtp(102, 3), rtp(111, 1, ssrc=20), rtp(111, 3, ssrc=20))
    up.time.pass_(0.6)
    assert up.told(Pli) == []
    up.time.pass_(0.5)
    (pli,) = up.told(Pli)
    assert (pli.sender_ssrc, pli.media_ssrc) == (0xABC, 10)
    nacks = up.told(Nack)
    assert 2 <= sum(n.media_ssrc == 20 for n in nacks) <= sum(n.media_ssrc == 10 for n in nacks) <= 10
    up.time.pass_(3.0)
    assert up.told(Nack) == []
    up.receive(rtp(102, 2000))
    assert len(up.told(Pli)) == 1 and up.told(Nack) == []


def test_a_viewer_of_the_publication_leads_to_a_pli() -> None:
    up = Up()
    up.receive(rtp(102, 1))
    up.video.request_keyframe(up.time.now)
    up.video.request_keyframe(up.time.now)
    up.time.pass_(2.0)
    assert len(up.told(Pli)) == 2


def test_a_sender_that_starts_its_numbers_anew_is_heard_again() -> None:
    up = Up()
    up.receive(*(rtp(102, seq) for seq in range(40000, 40010)))
    up.receive(*(rtp(102, seq) for seq in range(20000, 20010)))
    assert [p.seq for p in up.heard["video"]][10:] == list(range(20001, 20010))
    up.tick(1.5)
    assert up.told(Nack) == []


# --- reports


def test_receiver_reports_tell_loss_jitter_and_the_last_sender_report() -> None:
    up = Up()
    up.tick(0.05)
    for seq in range(100):
        if seq % 10:
            up.receive(rtp(102, 65500 + seq, ts=3000 * seq))
        up.time.pass_(1 / 30)
    up.inbound.handle_rtcp([SenderReport(10, 0x1111222233334444, 0, 1, 1)], up.time.now)
    up.time.pass_(0.5)
    up.inbound.tick(up.time.now)
    (report,) = up.told(ReceiverReport)
    (block,) = report.reports
    assert report.ssrc == 0xABC and block.ssrc == 10
    assert block.lost == 9 and block.fraction_lost == pytest.approx(256 * 9 / 99, abs=1)
    assert block.highest == 65536 + 63 and block.lsr == 0x22223333 and block.dlsr == 32768
    assert block.jitter < 200 and up.video.lost == 9
    up.tick(1.1)
    (report,) = up.told(ReceiverReport)
    assert report.reports[0].fraction_lost == 0 and report.reports[0].lost == 9
    up.tick(5.0)
    up.sent.clear()
    up.tick(1.1)
    assert up.told(ReceiverReport) == []  # silent for more than 5 s


def test_no_report_for_what_has_no_mid() -> None:
    up = Up()
    up.inbound.bind(track("2"), video(up.time))
    up.receive(rtp(102, 1, ssrc=77))
    up.tick(2.0)
    assert up.told(ReceiverReport) == []


def test_transport_feedback_every_tick_with_an_ssrc_of_theirs() -> None:
    up = Up()
    number = 65530
    for _ in range(4):
        for _ in range(3):
            seq = (number & 0xFFFF).to_bytes(2, "big")
            up.receive(rtp(102, number, twcc=seq) if number % 2 else rtp(111, number, ssrc=20, twcc=seq))
            number += 1
        up.tick()
    feedback = up.told(TransportFeedback)
    assert [f.base_seq for f in feedback] == [65530, 65533, 0, 3]
    assert {f.media_ssrc for f in feedback} <= {10, 20} and [f.feedback_count for f in feedback] == [0, 1, 2, 3]
    assert all(None not in f.deltas and len(f.deltas) == 3 for f in feedback)
    up.tick(1.0)
    assert up.told(TransportFeedback) == []


def test_probes_count_for_transport_feedback() -> None:
    up = Up()
    up.receive(rtp(102, 1, twcc=b"\0\1"), rtp(103, 1, ssrc=11, mid=b"1", body=b"", twcc=b"\0\2"))
    up.tick()
    assert [len(f.deltas) for f in up.told(TransportFeedback)] == [2]


# --- clocks and levels


def test_both_tracks_stay_on_one_line_with_our_clock() -> None:
    up = Up()
    up.receive(rtp(102, 1, body=b"\x67key", ts=500), rtp(111, 1, ssrc=20, ts=700))
    theirs = 1234 << 32
    up.inbound.handle_rtcp([SenderReport(10, theirs, 500, 0, 0), SenderReport(99, 1, 1, 0, 0)], up.time.now)
    up.time.pass_(2.0)
    up.inbound.handle_rtcp([SenderReport(20, theirs + (2 << 32), 700 + 96000, 0, 0)], up.time.now + 0.3)
    assert up.reports == [("video", theirs, 500), ("audio", theirs + (2 << 32), 96700)]
    video_clock, audio_clock = up.video.clock(up.time.now), up.audio.clock(up.time.now + 0.3)
    assert video_clock is not None and audio_clock is not None
    assert video_clock[0] == audio_clock[0]  # the same moment of theirs, in our time
    assert video_clock[0] / 2**32 - 2208988800 == pytest.approx(up.time.wall(), abs=0.01)


def test_capture_time_gives_the_clock_from_the_first_packet() -> None:
    up = Up()
    stamp = (555 << 32).to_bytes(8, "big") + bytes(8)
    up.receive(rtp(102, 1, ts=42, capture=stamp), rtp(102, 2, ts=43, capture=stamp))
    up.receive(rtp(102, 3, ts=43, capture=b"short"))
    assert up.reports == [("video", 555 << 32, 42)]


def test_audio_levels_are_noted() -> None:
    up = Up()
    assert up.audio.audio_level is None
    up.receive(rtp(111, 1, ssrc=20, level=bytes([0x80 | 33])))
    assert up.audio.audio_level == 33 and up.audio.level_at(up.time.now) == 33
    up.time.pass_(1.0)
    assert up.audio.level_at(up.time.now) is None


# --- ends


def test_bye_ends_the_source_and_it_may_come_back() -> None:
    up = Up()
    up.receive(rtp(102, 1))
    up.inbound.handle_rtcp([Bye((10, 4711))], up.time.now)
    assert not up.video.live
    up.receive(rtp(102, 500, ssrc=12, mid=b"1"))
    assert up.video.live and up.sources[-1] == ("video", Codec.H264)


def test_a_new_ssrc_of_the_same_track_continues_the_publication() -> None:
    up = Up()
    up.receive(rtp(102, 1, body=b"\x67key"))
    first = up.video.emitted
    up.receive(rtp(102, 30000, ssrc=12, mid=b"1", body=b"\x67key"), rtp(102, 2))
    assert up.video.emitted == first + 1 and up.video.live
    assert len(up.heard["video"]) == 2


def test_codec_changes_by_payload_type() -> None:
    up = Up()
    up.receive(rtp(102, 1), rtp(102, 2), rtp(96, 3, body=b"\x10\x00key"), rtp(96, 4))
    assert up.sources == [("video", Codec.H264), ("video", Codec.VP8)]
    assert [p.seq for p in up.heard["video"]] == [1, 2, 3, 4]


def test_a_replaced_source_does_not_take_the_publication_back() -> None:
    up = Up()
    up.receive(rtp(102, 1))
    newer = Encoder()
    up.video.start(Codec.H264, 90000, newer, up.time.now)
    up.receive(rtp(102, 2), rtp(96, 3))
    up.inbound.handle_rtcp([Bye((10,))], up.time.now)
    assert up.video.source is newer
    up.inbound.close(up.time.now)
    assert up.video.source is newer and not up.audio.live


def test_close_stops_everything_and_timers_find_nothing() -> None:
    up = Up()
    up.receive(rtp(102, 1), rtp(102, 5), rtp(111, 1, ssrc=20))
    up.inbound.close(up.time.now)
    up.inbound.close(up.time.now)
    assert not up.video.live and not up.audio.live
    up.sent.clear()
    up.time.pass_(2.0)
    up.receive(rtp(102, 9))
    assert up.sent == []


def test_binding_again_moves_or_keeps_the_track() -> None:
    up = Up()
    up.receive(rtp(102, 1, mid=b"1"))
    up.inbound.bind(track("1", ssrcs=(10,)), up.video)
    up.receive(rtp(102, 2))
    assert len(up.heard["video"]) == 2 and up.sources == [("video", Codec.H264)]
    other = Publication("video", "other", later=up.time.later)
    up.inbound.bind(track("1"), other)
    assert not up.video.live
    up.receive(rtp(102, 3, mid=b"1"))
    assert other.live
    up.inbound.unbind("1", up.time.now)
    assert not other.live


def test_anything_may_come() -> None:
    rng = random.Random(5)
    up = Up()
    for _ in range(3000):
        packet = rtp(
            rng.choice((96, 97, 102, 103, 111, 13)),
            rng.choice((rng.randrange(65536), rng.randrange(40))),
            ssrc=rng.choice((10, 11, 20, rng.randrange(2**32))),
            body=rng.randbytes(rng.randrange(6)),
            ts=rng.randrange(2**32),
        )
        packet.extensions = {rng.randrange(1, 8): rng.randbytes(rng.randrange(4)) for _ in range(rng.randrange(3))}
        up.receive(packet)
        if rng.random() < 0.2:
            up.tick()
        up.inbound.handle_rtcp([SenderReport(10, rng.randrange(2**64), rng.randrange(2**32), 0, 0)], up.time.now)
