"""Offers and answers as values: codecs, extensions, sections that come and go, and text that a stranger wrote."""

from __future__ import annotations

import itertools
import random

import pytest

from gateway.base.errors import GatewayError, NoCommonCodec, SdpError, TooMany
from gateway.media.rtc.negotiation import (
    MID,
    PLAYOUT_DELAY,
    TWCC,
    LocalTransport,
    UpAnswer,
    answer_up,
    check_same_sections,
    remote_transport,
)
from gateway.media.rtc.slots import MAX_SLOTS, Slots
from gateway.wire import sdp
from gateway.wire.frame import Codec
from gateway.wire.rtp import parse_rtp
from tests.wire.test_sdp import CHROMIUM, FINGERPRINT

LOCAL = LocalTransport("ufrag678", "p" * 24, FINGERPRINT, [("192.0.2.1", 8000), ("2001:db8::1", 8000)])
ORIENTATION = "urn:3gpp:video-orientation"
TRANSPORT = (
    f"a=ice-ufrag:abcd\na=ice-pwd:{'q' * 24}\na=fingerprint:sha-256 {FINGERPRINT}\na=setup:actpass\na=rtcp-mux\n"
)
HEAD = "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n"


def answer(text: str, role: str = "server", **options: int) -> UpAnswer:
    return answer_up(sdp.parse(text), LOCAL, role, version=1, max_bitrate_kbps=options.get("kbps", 2500))


def video_offer(*codecs: str, lines: str = "") -> str:
    """An offer of one video section; a codec is "VP8" or "H264/<fmtp>"; each gets rtx behind it and transport-cc."""
    formats, body = [], ""
    for number, codec in zip(range(96, 127, 2), codecs, strict=False):
        name, _, parameters = codec.partition("/")
        formats += [number, number + 1]
        body += f"a=rtpmap:{number} {name}/90000\na=rtcp-fb:{number} nack\na=rtcp-fb:{number} transport-cc\n"
        body += f"a=fmtp:{number} {parameters}\n" if parameters else ""
        body += f"a=rtpmap:{number + 1} rtx/90000\na=fmtp:{number + 1} apt={number}\n"
    section = f"m=video 9 UDP/TLS/RTP/SAVPF {' '.join(map(str, formats))}\na=mid:v\na=sendonly\n"
    return HEAD + "a=group:BUNDLE v\n" + section + TRANSPORT + body + lines


def h264(profile: str, mode: int = 1) -> str:
    return f"H264/level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile}"


def test_a_browsers_offer_is_answered() -> None:
    result = answer(CHROMIUM)
    text = result.answer.serialize()
    audio, video, data = sdp.parse(text).sections
    assert "a=ice-lite" in text and result.answer.bundle == ["0", "1", "2"]
    assert {section.setup for section in (audio, video, data)} == {"passive"}
    assert audio.candidates[0] == "1 1 udp 2130706431 192.0.2.1 8000 typ host" and len(audio.candidates) == 2
    assert (audio.direction, video.direction) == ("recvonly", "recvonly")
    assert list(audio.codecs) == [111] and audio.codecs[111].parameters == "minptime=10;useinbandfec=1"
    assert video.formats == ["108", "109"] and video.codecs[109].parameters == "apt=108"
    assert video.bandwidth == {"AS": 2500, "TIAS": 2500000} and not video.rids and not video.simulcast
    assert (data.sctp_port, data.max_message_size) == (5000, 16384)
    assert result.data is not None and result.data.max_message_size == 262144
    track = result.tracks[1]
    assert track.payload_types == {108: Codec.H264} and track.rtx == {109: 108}
    assert track.ssrcs == (2001,) and track.rtx_ssrcs == {2002: 2001}
    assert result.tracks[0].extensions.mid == 4 and result.tracks[0].extensions.audio_level == 1


@pytest.mark.parametrize(
    ("codecs", "chosen", "payload_type"),
    [
        (["VP8", h264("42001f"), h264("42e01f"), "VP9/profile-id=0"], Codec.H264, 100),
        (["VP8", h264("42e01f", 0), h264("4d001f")], Codec.H264, 100),
        ([h264("640c1f"), h264("42e01f")], Codec.H264, 98),
        ([h264("640c1f")], Codec.H264, 96),
        (["VP8"], Codec.VP8, 96),
        (["VP9/profile-id=2", "VP9/profile-id=0", "VP8", h264("42e01f")], Codec.VP9, 98),
        (["AV1/level-idx=5;profile=0", h264("42e01f")], Codec.AV1, 96),
        (["AV1/profile=1", "VP8", h264("42e01f")], Codec.H264, 100),
        (["H265", "ulpfec", "VP8"], Codec.VP8, 100),
    ],
)
def test_which_codec_a_publisher_shall_encode(codecs: list[str], chosen: Codec, payload_type: int) -> None:
    (track,) = answer(video_offer(*codecs)).tracks
    assert track.payload_types == {payload_type: chosen} and track.rtx == {payload_type + 1: payload_type}


def test_the_answer_echoes_the_profile_it_took() -> None:
    text = answer(video_offer(h264("640c1f")), kbps=600).answer.serialize()
    assert "profile-level-id=640c1f;x-google-start-bitrate=600" in text


def test_transport_cc_is_answered_whole_or_not_at_all() -> None:
    line = f"a=extmap:3 {TWCC}\n"
    both = answer(video_offer("VP8", lines=line))
    assert both.tracks[0].extensions.twcc == 3 and "a=rtcp-fb:96 transport-cc" in both.answer.serialize()
    feedback_only = answer(video_offer("VP8"))
    assert feedback_only.tracks[0].extensions.twcc == 0 and "transport-cc" not in feedback_only.answer.serialize()
    extension_only = answer(video_offer("VP8", lines=line).replace("a=rtcp-fb:96 transport-cc\n", ""))
    assert extension_only.tracks[0].extensions.twcc == 0 and TWCC not in extension_only.answer.serialize()


def test_video_orientation_is_never_answered() -> None:
    lines = f"a=extmap:13 {ORIENTATION}\na=extmap:4 {MID}\na=extmap:300 {TWCC}\n"
    result = answer(video_offer("VP8", lines=lines))
    assert ORIENTATION not in result.answer.serialize()
    assert [item.uri for item in result.answer.sections[0].extensions] == [MID], "an id above 255 fits no packet"


def test_a_section_without_a_common_codec_is_rejected_alone() -> None:
    text = CHROMIUM.replace("VP8/90000", "H265/90000").replace("H264/90000", "H266/90000")
    result = answer(text)
    assert [section.port for section in result.answer.sections] == [9, 0, 9]
    assert result.answer.bundle == ["0", "2"] and [track.mid for track in result.tracks] == ["0"]
    with pytest.raises(NoCommonCodec):
        answer(CHROMIUM.replace("opus/48000/2", "speex/16000"))


def test_inactive_sections_stay() -> None:
    result = answer(CHROMIUM.replace("a=sendonly", "a=inactive", 1))
    assert result.answer.sections[0].direction == "inactive" and result.tracks[0].direction == "inactive"
    assert result.tracks[1].direction == "sendonly"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("m=audio 9", "m=audio 0", "port 0"),
        ("a=rtcp-mux", "a=x", "rtcp-mux"),
        ("a=mid:0\r\n", "", "no mid"),
        ("sha-256", "sha-1", "sha-256"),
        ("a=ice-ufrag:4ZcD\r\n", "", "ice-ufrag"),
    ],
)
def test_offers_that_cannot_work(old: str, new: str, reason: str) -> None:
    text = CHROMIUM.replace(old, new)
    with pytest.raises(SdpError, match=reason):
        remote_transport(sdp.parse(text))
        answer(text)


def test_roles() -> None:
    for offered, role, ours in (
        ("actpass", "server", "passive"),
        ("active", "server", "passive"),
        ("passive", "client", "active"),
    ):
        text = CHROMIUM.replace("a=setup:actpass", f"a=setup:{offered}")
        assert remote_transport(sdp.parse(text)).role == role
        assert {section.setup for section in answer(text, role).answer.sections} == {ours}


def test_sections_keep_their_place() -> None:
    before = sdp.parse(CHROMIUM).sections
    check_same_sections(before, before)
    with pytest.raises(SdpError, match="had 3"):
        check_same_sections(before, before[:2])
    with pytest.raises(SdpError, match="section 0"):
        check_same_sections(before, before[::-1])
    rejected = sdp.parse(CHROMIUM.replace("m=video 9", "m=video 0")).sections
    anew = sdp.parse(CHROMIUM.replace("a=mid:1", "a=mid:9")).sections
    check_same_sections(rejected, anew)
    with pytest.raises(SdpError, match="section 1"):
        check_same_sections(before, anew)


def make_slots() -> Slots:
    counter = itertools.count(1000)
    return Slots(lambda: next(counter), (0, 400))


def reply(offer: sdp.Session, *, without: str = "") -> sdp.Session:
    """What a browser would answer: the same sections, turned round, without what it does not know."""
    text = offer.serialize().replace("a=sendonly", "a=recvonly").replace("a=setup:actpass", "a=setup:active")
    lines = [line for line in text.split("\r\n") if not line.startswith(("a=ssrc", "a=msid:", "a=ice-lite"))]
    session = sdp.parse("\r\n".join(lines))
    for section in session.sections:
        section.codecs = {n: codec for n, codec in section.codecs.items() if codec.name != without}
    return session


def test_down_sections_are_added_and_reused() -> None:
    slots = make_slots()
    assert slots.needs_offer, "the first offer brings the transport up, with or without slots"
    audio, video = slots.add("audio", "alice"), slots.add("video", "alice")
    offer = slots.offer(LOCAL)
    assert not slots.needs_offer and slots.version == 1 and not video.ready
    anchor, first, second = offer.sections
    assert (anchor.direction, anchor.kind, anchor.mid) == ("inactive", "audio", "0") and not anchor.ssrcs
    assert first.msids == [("alice", "alice-audio-1")] and second.msids == [("alice", "alice-video-2")]
    assert second.ssrc_groups == [("FID", (video.ssrc, video.rtx_ssrc))] and list(first.ssrcs) == [audio.ssrc]
    assert first.codecs[111].feedback == ["nack"]
    assert {section.setup for section in offer.sections} == {"actpass"}
    assert sdp.parse(offer.serialize()) == offer
    slots.answer(reply(offer))
    assert audio.ready and video.ready and not slots.needs_offer
    assert list(video.payload_types) == [Codec.H264, Codec.VP8, Codec.VP9, Codec.AV1]

    slots.remove(video)
    slots.remove(video)
    assert slots.needs_offer and not video.ready
    early = slots.add("video", "bob")
    assert early.mid == "3", "the section of a removed slot is not used before the client has heard that it stopped"
    offer = slots.offer(LOCAL)
    assert [section.direction for section in offer.sections] == ["inactive", "sendonly", "inactive", "sendonly"]
    slots.remove(early)
    slots.answer(reply(offer))
    assert not early.ready, "removed while the offer was out"
    again = slots.add("video", "carol")
    assert again.mid == "2" and again.ssrc not in (video.ssrc, early.ssrc, video.rtx_ssrc)
    offer = slots.offer(LOCAL)
    assert [section.direction for section in offer.sections] == ["inactive", "sendonly", "sendonly", "inactive"]
    slots.answer(reply(offer))
    assert again.ready and slots.slots == [audio, again] and slots.version == 3


def test_the_playout_delay_is_a_block_for_every_packet() -> None:
    video = make_slots().add("video", "alice")
    header = bytes([0x90, 96]) + bytes(10)
    packet = parse_rtp(header + video.extension + b"x", 0.0)
    assert packet.extensions == {5: (40).to_bytes(3, "big")} and packet.payload == b"x"


def test_a_viewer_without_h264_is_known() -> None:
    slots = make_slots()
    slot = slots.add("video", "alice")
    held = slot.payload_types
    offer = slots.offer(LOCAL)
    answer = reply(offer, without="H264")
    answer.sections[1].extensions.clear()
    slots.answer(answer)
    assert slot.ready and Codec.H264 not in held and held is slot.payload_types and slot.extension == b""


def test_a_section_that_the_client_rejects_is_not_ready() -> None:
    slots = make_slots()
    slot = slots.add("video", "alice")
    answer = reply(slots.offer(LOCAL))
    answer.sections[1].port = 0
    slots.answer(answer)
    assert not slot.ready and slot.payload_types == {}


def test_there_is_an_end_to_slots() -> None:
    slots = make_slots()
    for number in range(MAX_SLOTS):
        slots.add("video" if number % 2 else "audio", "x")
    with pytest.raises(TooMany):
        slots.add("audio", "x")
    assert len(sdp.parse(slots.offer(LOCAL).serialize()).sections) == MAX_SLOTS + 1
    for label in ("", "a b", "a\r\na=x", "é", "x" * 129):
        with pytest.raises(ValueError, match="token"):
            slots.add("audio", label)


def test_ssrcs_are_never_drawn_twice() -> None:
    numbers = iter([0, 7, 7, 0, 8, 8, 9])
    slots = Slots(lambda: next(numbers), (0, 0))
    slot = slots.add("video", "a")
    assert (slot.ssrc, slot.rtx_ssrc, slots.add("audio", "a").ssrc) == (7, 8, 9)


def test_a_players_offer() -> None:
    slots = make_slots()
    offer = sdp.parse(
        CHROMIUM.replace("a=sendonly", "a=recvonly").replace(
            "a=extmap:1 ", f"a=extmap:5 {PLAYOUT_DELAY}\r\na=extmap:1 "
        )
    )
    result = slots.accept(offer, [], LOCAL, "server", "alice")
    audio, video = slots.slots
    assert [section.port for section in result.sections] == [9, 9, 0] and result.bundle == ["0", "1"]
    assert video.payload_types == {Codec.VP8: 96, Codec.H264: 108} and video.rtx_payload_types == {
        Codec.VP8: 97,
        Codec.H264: 109,
    }
    assert audio.extension == b"" and audio.payload_types == {Codec.OPUS: 111} and audio.ready
    assert [section.direction for section in result.sections[:2]] == ["sendonly", "sendonly"]
    assert list(result.sections[1].ssrcs) == [video.ssrc, video.rtx_ssrc]
    again = slots.accept(offer, offer.sections, LOCAL, "server", "alice")
    assert slots.slots == [audio, video] and again.version > result.version
    with pytest.raises(NoCommonCodec):
        make_slots().accept(sdp.parse(CHROMIUM.replace("opus/48000/2", "speex/16000")), [], LOCAL, "server", "alice")


def test_mutated_descriptions_give_an_answer_or_a_named_error() -> None:
    rng = random.Random(3)
    lines = CHROMIUM.split("\r\n")
    slots = make_slots()
    for kind in ("audio", "video", "video"):
        slots.add(kind, "alice")  # type: ignore[arg-type]
    theirs = reply(slots.offer(LOCAL)).serialize().split("\r\n")
    for number in range(1500):
        mutated = list(theirs if number % 3 == 0 else lines)
        for _ in range(rng.randrange(1, 6)):
            index = rng.randrange(len(mutated))
            line = mutated[index]
            cut = rng.randrange(len(line) + 1)
            mutated[index] = rng.choice(
                [line[:cut], line[cut:], line + line, rng.choice(lines), line.replace("9", "0")]
            )
        try:
            session = sdp.parse("\r\n".join(mutated))
            remote_transport(session)
            if number % 3 == 0:
                slots.answer(session)
                slots.offer(LOCAL)
            elif number % 3 == 1:
                sdp.parse(answer_up(session, LOCAL, "server", version=1, max_bitrate_kbps=1).answer.serialize())
            else:
                sdp.parse(make_slots().accept(session, [], LOCAL, "server", "x").serialize())
        except GatewayError:
            continue
