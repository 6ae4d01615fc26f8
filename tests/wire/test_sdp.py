"""SDP: what browsers write is read, what is read is written back equal, and no text makes the reader fail otherwise."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import SdpError
from gateway.wire import sdp

FINGERPRINT = ":".join(["AB"] * 32)
CHROMIUM = "\r\n".join(
    f"""v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1 2
a=extmap-allow-mixed
a=msid-semantic: WMS stream
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 0
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:4ZcD
a=ice-pwd:2/1muCWoOi3uLifh0NuRHlx+
a=ice-options:trickle
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:4/sendonly urn:ietf:params:rtp-hdrext:sdes:mid
a=sendonly
a=msid:stream track
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:0 PCMU/8000
a=ssrc:1001 cname:c
a=ssrc:1001 msid:stream track
m=video 9 UDP/TLS/RTP/SAVPF 96 97 108 109
c=IN IP4 0.0.0.0
b=AS:2500
a=ice-ufrag:4ZcD
a=ice-pwd:2/1muCWoOi3uLifh0NuRHlx+
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
a=mid:1
a=sendonly
a=rtcp-mux
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:108 H264/90000
a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=rtpmap:109 rtx/90000
a=fmtp:109 apt=108
a=rid:h send
a=rid:l send
a=simulcast:send l;h
a=ssrc-group:FID 2001 2002
a=ssrc:2001 cname:c
a=ssrc:2002 cname:c
a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:4ZcD
a=ice-pwd:2/1muCWoOi3uLifh0NuRHlx+
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
a=mid:2
a=sctp-port:5000
a=max-message-size:262144
""".splitlines()
)


def test_a_browsers_offer_is_read() -> None:
    session = sdp.parse(CHROMIUM)
    audio, video, data = session.sections
    assert session.bundle == ["0", "1", "2"] and session.extmap_allow_mixed and session.version == 2
    assert (audio.kind, audio.mid, audio.direction, audio.rtcp_mux) == ("audio", "0", "sendonly", True)
    assert [codec.name for codec in audio.ordered_codecs] == ["opus", "red", "PCMU"]
    assert audio.codecs[111].channels == 2 and audio.codecs[111].parameter("useinbandfec") == "1"
    assert audio.codecs[111].parameter("usedtx") is None
    assert audio.extensions[1] == sdp.Extension(4, "urn:ietf:params:rtp-hdrext:sdes:mid", "sendonly")
    assert video.codecs[96].feedback == ["nack", "nack pli"] and video.bandwidth == {"AS": 2500}
    assert video.ssrc_groups == [("FID", (2001, 2002))] and list(video.ssrcs) == [2001, 2002]
    assert video.rids == ["h send", "l send"] and video.simulcast == "send l;h"
    assert (data.sctp_port, data.max_message_size, data.setup) == (5000, 262144, "actpass")
    assert data.fingerprints == [sdp.Fingerprint("sha-256", FINGERPRINT)]


def test_what_is_read_is_written_back_equal() -> None:
    session = sdp.parse(CHROMIUM)
    assert sdp.parse(session.serialize()) == session


def test_transport_lines_of_the_session_level_count_for_every_section() -> None:
    session = sdp.parse(
        f"v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\na=ice-ufrag:abcd\na=ice-pwd:{'p' * 22}\na=setup:active\n"
        f"a=fingerprint:SHA-256 {FINGERPRINT.lower()}\nm=audio 9 UDP/TLS/RTP/SAVPF 0\n"
    )
    section = session.sections[0]
    assert (section.ice_ufrag, section.ice_pwd, section.setup) == ("abcd", "p" * 22, "active")
    assert section.fingerprints == [sdp.Fingerprint("sha-256", FINGERPRINT)]


HEAD = "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n"
VIDEO = HEAD + "m=video 9 UDP/TLS/RTP/SAVPF 96\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "o=- 1 1 IN IP4 0.0.0.0\n",
        "v=0\no=- 1\n",
        HEAD + "m=video\n",
        HEAD + "m=video 70000 UDP/TLS/RTP/SAVPF 96\n",
        HEAD + "m=video ٩ UDP/TLS/RTP/SAVPF 96\n",
        HEAD + "m=audio 9 UDP/TLS/RTP/SAVPF 0\n" * 129,
        HEAD + "m=audio 9 UDP/TLS/RTP/SAVPF " + "0 " * 129,
        HEAD + "a=mid:0\n" * 9000,
        "v=0\n" + "x" * 300000,
        VIDEO + "a=fmtp:96 " + "x" * 1025,
        VIDEO + "a=fmtp:960 x=1",
        VIDEO + "a=rtpmap:96 VP8/9e4",
        VIDEO + "a=rtpmap:96 VP8/" + "9" * 5000,
        VIDEO + "a=mid:a b",
        VIDEO + "a=mid:\xe9",
        VIDEO + "a=mid:0\nm=video 9 UDP/TLS/RTP/SAVPF 96\na=mid:0\n",
        VIDEO + "".join(f"a=ssrc:{number} cname:x\n" for number in range(65)),
        VIDEO + "a=ssrc:4294967296 cname:x",
        VIDEO + "a=extmap:3 urn:x\n" * 65,
        VIDEO + "a=rid:x send\n" * 65,
        VIDEO + "a=rtcp-fb:96 nack\n" * 17,
        VIDEO + f"a=fingerprint:sha-256 {FINGERPRINT}\n" * 9,
        VIDEO + "a=fingerprint:sha-256 nonsense",
        VIDEO + "a=setup:holdconn",
        VIDEO + "a=ice-pwd:short",
        VIDEO + "not a line",
        HEAD + "a=group:BUNDLE 0\na=group:BUNDLE 1\n",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(SdpError):
        sdp.parse(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_gives_a_session_or_an_sdp_error(text: str) -> None:
    for candidate in (text, VIDEO + text, VIDEO + "a=" + text, HEAD + "a=group:" + text):
        read_and_write(candidate)


def test_mutated_offers_give_a_session_or_an_sdp_error() -> None:
    rng = random.Random(7)
    lines = CHROMIUM.split("\r\n")
    pieces = ["", " ", ":", "/", "0", "-1", "99999999999999999999", "\0", "é", "a=", "m=", "BUNDLE", ";", "*"]
    for _ in range(1500):
        mutated = list(lines)
        for _ in range(rng.randrange(1, 8)):
            index = rng.randrange(len(mutated))
            line = mutated[index]
            cut = rng.randrange(len(line) + 1)
            action = rng.randrange(4)
            if action == 0:
                mutated[index] = line[:cut] + rng.choice(pieces) + line[cut + rng.randrange(3) :]
            elif action == 1:
                mutated.insert(index, rng.choice(lines))
            elif action == 2 and len(mutated) > 1:
                del mutated[index]
            else:
                mutated[index] = line[:cut]
        read_and_write("\r\n".join(mutated))


def read_and_write(text: str) -> None:
    try:
        session = sdp.parse(text)
    except SdpError:
        return
    assert sdp.parse(session.serialize()) == session
