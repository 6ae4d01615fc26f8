"""What we say to a description: the codecs, header extensions and transport lines that a connection agrees on.

Up (this file): a client offers what it sends and `answer_up()` answers. Down is slots.py. Rules were measured against
Chromium 156 (docs/architecture.md): one codec per video section is answered, so that what comes is known; transport-cc
is answered together with its extension or not at all; urn:3gpp:video-orientation never, so that the browser turns the
pixels itself (FLV has no field for it). Values in, values out; nothing here touches a socket.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from gateway.base.errors import NoCommonCodec, SdpError
from gateway.wire import sdp
from gateway.wire.frame import Codec

Kind = Literal["audio", "video"]

MID: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID: Final = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID: Final = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
AUDIO_LEVEL: Final = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
TWCC: Final = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
ABS_CAPTURE_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
PLAYOUT_DELAY: Final = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"

MAX_MESSAGE_SIZE: Final = 16384
SCTP_PORT: Final = 5000
START_BITRATE_KBPS: Final = 1000
"""Where Chromium's encoder begins (1240 kbps in its first half second instead of 700), never above the cap."""

HASHES: Final = frozenset({"sha-256", "sha-384", "sha-512"})
RTP_PROTOCOLS: Final = frozenset({"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF"})
SCTP_PROTOCOLS: Final = frozenset({"UDP/DTLS/SCTP", "TCP/DTLS/SCTP"})

_UP_EXTENSIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "audio": {MID: "mid", AUDIO_LEVEL: "audio_level", TWCC: "twcc", ABS_CAPTURE_TIME: "abs_capture_time"},
    # RID and REPAIRED_RID join here once a simulcast line is answered; alone they change nothing.
    "video": {MID: "mid", TWCC: "twcc", ABS_CAPTURE_TIME: "abs_capture_time"},
}
_UP_FEEDBACK: Final[Mapping[str, tuple[str, ...]]] = {
    "audio": ("nack", "transport-cc"),
    "video": ("nack", "nack pli", "ccm fir", "transport-cc"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class ExtensionIds:
    """RTP header extension ids (1..255) as negotiated; 0 where there is none."""

    mid: int = 0
    rid: int = 0
    repaired_rid: int = 0
    audio_level: int = 0
    twcc: int = 0
    abs_capture_time: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class InboundTrack:
    """One accepted section of an up connection: how its packets are recognised and read.

    `payload_types` maps a payload type to its codec; `rtx` a retransmission payload type to the one it repairs. `ssrcs`
    and `rtx_ssrcs` (retransmission SSRC to media SSRC) are what the client declared, empty if it declared nothing:
    then packets are known by `mid` in their header, or by payload type. `direction` "inactive": nothing comes for now.
    """

    mid: str
    kind: Kind
    direction: Literal["sendonly", "inactive"]
    payload_types: Mapping[int, Codec]
    rtx: Mapping[int, int]
    ssrcs: tuple[int, ...] = ()
    rtx_ssrcs: Mapping[int, int] = dataclasses.field(default_factory=dict)
    extensions: ExtensionIds = ExtensionIds()


@dataclasses.dataclass(frozen=True, slots=True)
class LocalTransport:
    """What our sections say of the transport. `candidates`: (address, port), best first; one fingerprint, sha-256."""

    ufrag: str
    pwd: str
    fingerprint: str
    candidates: Sequence[tuple[str, int]]


@dataclasses.dataclass(frozen=True, slots=True)
class RemoteTransport:
    """What their first section says. `role` is our DTLS role. Fingerprints: (algorithm, value), one at least."""

    ufrag: str
    fingerprints: tuple[tuple[str, str], ...]
    role: Literal["client", "server"]


@dataclasses.dataclass(frozen=True, slots=True)
class DataSection:
    """A datachannel section that was agreed on. `max_message_size` in bytes is what the client takes."""

    mid: str
    port: int
    max_message_size: int


@dataclasses.dataclass(frozen=True, slots=True)
class UpAnswer:
    answer: sdp.Session
    tracks: list[InboundTrack]
    data: DataSection | None


def identify(codec: sdp.Codec) -> Codec | None:
    """Return which of our codecs a payload type is; None for what we do not carry: RED, FEC, G.711, VP9 profile 2."""
    match codec.name.lower(), codec.clock_rate:
        case "opus", 48000:
            return Codec.OPUS
        case "h264", 90000:
            return Codec.H264
        case "vp8", 90000:
            return Codec.VP8
        case "vp9", 90000 if codec.parameter("profile-id") in (None, "0"):
            return Codec.VP9
        case "av1", 90000 if codec.parameter("profile") in (None, "0"):
            return Codec.AV1
    return None


def best_codecs(section: sdp.Section) -> dict[Codec, sdp.Codec]:
    """Return one payload type per codec that we carry, in the order in which the section first names the codec.

    H.264 comes in many: packetization mode 1 before 0, Constrained Baseline before Baseline, Main and High. Chromium
    sends and decodes the same under each that it knows, and High (640c1f) alone is refused by builds without it.
    """
    best: dict[Codec, sdp.Codec] = {}
    for codec in section.ordered_codecs:
        name = identify(codec)
        if name is None or name.is_audio != (section.kind == "audio"):
            continue
        if name not in best or (name is Codec.H264 and _h264_rank(codec) > _h264_rank(best[name])):
            best[name] = codec
    return best


def _h264_rank(codec: sdp.Codec) -> tuple[bool, int]:
    profile = (codec.parameter("profile-level-id") or "420010").lower()
    if profile.startswith("42"):
        constrained = profile[2:3] in set("4567cdef")  # constraint_set1_flag
        rank = 3 if constrained else 2
    else:
        rank = 1 if profile.startswith("4d") else 0
    return codec.parameter("packetization-mode") == "1", rank


def rtx_of(section: sdp.Section, payload_type: int) -> int | None:
    """Return the payload type that repairs `payload_type` (RFC 4588), None if the section has none."""
    for codec in section.ordered_codecs:
        if codec.name.lower() == "rtx" and codec.parameter("apt") == str(payload_type):
            return codec.payload_type
    return None


def choose_video(offered: Mapping[Codec, sdp.Codec]) -> Codec:
    """Return the codec a publisher shall encode. `offered` is `best_codecs()` of its section, not empty.

    H.264 if it can, since only that goes to RTMP as it is. A client that puts another codec first by
    setCodecPreferences gets that one; VP8 first is every browser's default and says nothing.
    """
    first = next(iter(offered))
    return Codec.H264 if first is Codec.VP8 and Codec.H264 in offered else first


def parameters_for(codec: Codec, offered: sdp.Codec) -> str:
    """Return the fmtp of our side of `offered`: an echo of what defines the stream, without what we did not choose."""
    if codec is Codec.OPUS:
        return "minptime=10;useinbandfec=1" + (";stereo=1" if offered.parameter("stereo") == "1" else "")
    if codec is Codec.H264:
        mode = offered.parameter("packetization-mode") or "0"
        profile = offered.parameter("profile-level-id") or "42e01f"
        return f"level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile}"
    if codec is Codec.VP8:
        return ""
    return offered.parameters


def remote_transport(session: sdp.Session) -> RemoteTransport:
    """Read the transport lines of an offer or answer. Raises SdpError if they cannot carry a connection."""
    if not session.sections:
        raise SdpError("no m-line")
    first = session.sections[0]
    if first.rejected:
        raise SdpError("the first section has port 0: it carries the transport and must stay")
    if not first.ice_ufrag or not first.ice_pwd:
        raise SdpError("no ice-ufrag and ice-pwd in the first section")
    fingerprints = tuple((item.algorithm, item.value) for item in first.fingerprints)
    if not any(algorithm in HASHES for algorithm, _ in fingerprints):
        raise SdpError("no fingerprint with sha-256, sha-384 or sha-512")
    for section in session.sections[1:]:
        if not section.rejected and section.fingerprints and section.fingerprints != first.fingerprints:
            raise SdpError("sections with different fingerprints; one bundled transport is needed")
    return RemoteTransport(first.ice_ufrag, fingerprints, "client" if first.setup == "passive" else "server")


def add_transport(section: sdp.Section, transport: LocalTransport, setup: str) -> None:
    """Put our ICE and DTLS lines into `section`; candidates too: browsers read the first's, aiortc the last's."""
    section.ice_ufrag, section.ice_pwd = transport.ufrag, transport.pwd
    section.fingerprints = [sdp.Fingerprint("sha-256", transport.fingerprint)]
    section.setup = setup
    section.candidates = [
        f"{index + 1} 1 udp {(126 << 24) + ((65535 - index) << 8) + 255} {address} {port} typ host"
        for index, (address, port) in enumerate(transport.candidates)
    ]
    section.end_of_candidates = True


def check_same_sections(old: Sequence[sdp.Section], new: Sequence[sdp.Section]) -> None:
    """A later description keeps every section at its place; only a rejected place may be used anew. Raises SdpError."""
    if len(new) < len(old):
        raise SdpError(f"{len(new)} sections, the description before had {len(old)}")
    for index, (before, after) in enumerate(zip(old, new, strict=False)):
        if not before.rejected and (before.mid != after.mid or before.kind != after.kind):
            raise SdpError(f"section {index} was {before.kind} mid {before.mid!r}, is {after.kind} mid {after.mid!r}")


def answer_up(
    offer: sdp.Session, transport: LocalTransport, role: str, *, version: int, max_bitrate_kbps: int
) -> UpAnswer:
    """Answer a publisher's offer. Raises SdpError, NoCommonCodec. `version` is the number in our o= line, rising.

    A section that cannot be used is answered with port 0, except the first, which must be usable.
    """
    setup = "active" if role == "client" else "passive"
    result = UpAnswer(sdp.Session("1", version, True, offer.extmap_allow_mixed), [], None)
    data: DataSection | None = None
    for index, section in enumerate(offer.sections):
        if not section.mid:
            raise SdpError(f"section {index} has no mid")
        answered: sdp.Section | None = None
        bundled = section.mid in offer.bundle or (index == 0 and not offer.bundle)
        if bundled and not section.rejected:
            if section.kind in ("audio", "video") and section.protocol in RTP_PROTOCOLS:
                answered = _answer_media(section, result.tracks, max_bitrate_kbps)
            elif section.kind == "application" and section.protocol in SCTP_PROTOCOLS and data is None:
                answered = _answer_data(section)
                size = section.max_message_size
                data = DataSection(section.mid, section.sctp_port or SCTP_PORT, 65536 if size is None else size)
        if answered is None:
            if index == 0:
                raise NoCommonCodec(f"nothing in the first section ({section.kind}) that this gateway can take")
            answered = sdp.Section(section.kind, section.mid, 0, section.protocol, section.formats[:1], "inactive")
        else:
            add_transport(answered, transport, setup)
            if offer.bundle:
                result.answer.bundle.append(section.mid)
        result.answer.sections.append(answered)
    return dataclasses.replace(result, data=data)


def _answer_media(section: sdp.Section, tracks: list[InboundTrack], max_bitrate_kbps: int) -> sdp.Section | None:
    """Answer one audio or video section and append its track; None if there is no common codec."""
    if not section.rtcp_mux:
        raise SdpError(f"section {section.mid!r} has no rtcp-mux")
    offered = best_codecs(section)
    if not offered:
        return None
    video = section.kind == "video"
    name = choose_video(offered) if video else next(iter(offered))
    chosen = offered[name]
    active = section.direction in ("sendonly", "sendrecv")
    extensions = _up_extensions(section, chosen)
    answered = sdp.Section(
        section.kind, section.mid, 9, section.protocol, direction="recvonly" if active else "inactive"
    )
    answered.rtcp_mux, answered.rtcp_rsize = True, section.rtcp_rsize
    answered.extensions = [sdp.Extension(item.id, item.uri) for item in extensions]
    twcc = any(item.uri == TWCC for item in extensions)
    wanted = [what for what in _UP_FEEDBACK[section.kind] if what != "transport-cc" or twcc]
    feedback = [what for what in wanted if what in chosen.feedback]
    parameters = parameters_for(name, chosen)
    if video:
        start = f"x-google-start-bitrate={min(START_BITRATE_KBPS, max_bitrate_kbps)}"
        parameters = f"{parameters};{start}" if parameters else start
        # Chromium reads AS (kbit/s), Firefox TIAS (bit/s).
        answered.bandwidth = {"AS": max_bitrate_kbps, "TIAS": max_bitrate_kbps * 1000}
    add_codec(answered, dataclasses.replace(chosen, parameters=parameters, feedback=feedback))
    rtx = rtx_of(section, chosen.payload_type) if video else None
    if rtx is not None:
        add_codec(answered, sdp.Codec(rtx, "rtx", chosen.clock_rate, parameters=f"apt={chosen.payload_type}"))
    repairs = {pair[1]: pair[0] for name_, pair in section.ssrc_groups if name_ == "FID" and len(pair) == 2}
    tracks.append(
        InboundTrack(
            mid=section.mid,
            kind="video" if video else "audio",
            direction="sendonly" if active else "inactive",
            payload_types={chosen.payload_type: name},
            rtx={} if rtx is None else {rtx: chosen.payload_type},
            ssrcs=tuple(ssrc for ssrc in section.ssrcs if ssrc not in repairs),
            rtx_ssrcs=repairs,
            extensions=ExtensionIds(**{_UP_EXTENSIONS[section.kind][item.uri]: item.id for item in extensions}),
        )
    )
    return answered


def _up_extensions(section: sdp.Section, chosen: sdp.Codec) -> list[sdp.Extension]:
    """Return the offered extensions that we use. TWCC without its feedback would starve the sender: both or none."""
    wanted = _UP_EXTENSIONS[section.kind]
    found: dict[str, sdp.Extension] = {}
    for item in section.extensions:
        usable = item.uri in wanted and item.id <= 255 and item.direction in ("", "sendrecv", "sendonly")
        if usable and (item.uri != TWCC or "transport-cc" in chosen.feedback):
            found.setdefault(item.uri, item)
    return list(found.values())


def _answer_data(section: sdp.Section) -> sdp.Section:
    answered = sdp.Section("application", section.mid, 9, section.protocol, section.formats[:1])
    answered.sctp_port, answered.max_message_size = SCTP_PORT, MAX_MESSAGE_SIZE
    return answered


def add_codec(section: sdp.Section, codec: sdp.Codec) -> None:
    """Append one payload type to the m-line, the least wanted so far."""
    section.formats.append(str(codec.payload_type))
    section.codecs[codec.payload_type] = codec
