"""SDP: text ⇄ values, as much of it as WebRTC uses (RFC 8866, 8829, 8839, 8843, 5576, 5888, 8285, 8841).

`parse()` reads what a stranger sent: every count and length is bounded, and for any text it returns a `Session` or
raises SdpError. `Session.serialize()` writes what `parse()` reads back equal. What the lines mean for a connection is
media/rtc/negotiation.py's business; here nothing is decided.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sized
from typing import Final, Literal, get_args

from gateway.base.errors import SdpError

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)

MAX_BYTES: Final = 262144
MAX_LINES: Final = 8192
MAX_LINE: Final = 4096
MAX_SECTIONS: Final = 128
MAX_FORMATS: Final = 128
MAX_PARAMETERS: Final = 1024
"""Bytes of one fmtp line's parameters."""
MAX_PER_SECTION: Final = 64
"""Header extensions, SSRCs, SSRC groups, candidates, rids: of each so many in one section."""
MAX_FINGERPRINTS: Final = 8

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,64}")
_ICE_CHARS: Final = re.compile(r"[A-Za-z0-9+/=_\-]{4,256}")
# Firefox writes msid streams as {uuid}; some stacks use base64. Anything visible without a space goes.
_VISIBLE: Final = re.compile(r"[!-~]{1,256}")


@dataclasses.dataclass(slots=True)
class Codec:
    """One payload type of a section: rtpmap, fmtp and rtcp-fb lines together."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    parameters: str = ""
    feedback: list[str] = dataclasses.field(default_factory=list)

    def parameter(self, name: str) -> str | None:
        """Return one fmtp parameter (`name` in lower case), None if it is not there."""
        for part in self.parameters.split(";"):
            key, _, value = part.strip().partition("=")
            if key.lower() == name:
                return value.strip()
        return None


@dataclasses.dataclass(slots=True)
class Extension:
    id: int
    uri: str
    direction: str = ""


@dataclasses.dataclass(slots=True)
class Fingerprint:
    """`algorithm` in lower case, `value` as colon separated upper case hex."""

    algorithm: str
    value: str


@dataclasses.dataclass(slots=True)
class Section:
    """One m-line and what belongs to it, the session level's transport lines included. `port` 0: rejected."""

    kind: str
    mid: str = ""
    port: int = 9
    protocol: str = "UDP/TLS/RTP/SAVPF"
    formats: list[str] = dataclasses.field(default_factory=list)
    direction: Direction = "sendrecv"
    codecs: dict[int, Codec] = dataclasses.field(default_factory=dict)
    extensions: list[Extension] = dataclasses.field(default_factory=list)
    ssrcs: dict[int, dict[str, str]] = dataclasses.field(default_factory=dict)
    ssrc_groups: list[tuple[str, tuple[int, ...]]] = dataclasses.field(default_factory=list)
    msids: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    rids: list[str] = dataclasses.field(default_factory=list)
    simulcast: str = ""
    bandwidth: dict[str, int] = dataclasses.field(default_factory=dict)
    rtcp_mux: bool = False
    rtcp_rsize: bool = False
    bundle_only: bool = False
    ice_ufrag: str = ""
    ice_pwd: str = ""
    ice_options: str = ""
    fingerprints: list[Fingerprint] = dataclasses.field(default_factory=list)
    setup: str = ""
    candidates: list[str] = dataclasses.field(default_factory=list)
    end_of_candidates: bool = False
    sctp_port: int | None = None
    max_message_size: int | None = None

    @property
    def rejected(self) -> bool:
        """Port 0 without bundle-only: refused, or not in use any more (RFC 8843 section 6)."""
        return self.port == 0 and not self.bundle_only

    @property
    def ordered_codecs(self) -> list[Codec]:
        """The codecs in the order of the m-line, which is the order of preference."""
        return [self.codecs[int(name)] for name in self.formats if name.isdigit() and int(name) in self.codecs]


@dataclasses.dataclass(slots=True)
class Session:
    id: str = "0"
    version: int = 0
    ice_lite: bool = False
    extmap_allow_mixed: bool = False
    bundle: list[str] = dataclasses.field(default_factory=list)
    sections: list[Section] = dataclasses.field(default_factory=list)

    def serialize(self) -> str:
        """Write the description, CRLF ended lines."""
        lines = ["v=0", f"o=- {self.id} {self.version} IN IP4 0.0.0.0", "s=-", "t=0 0"]
        if self.ice_lite:
            lines.append("a=ice-lite")
        if self.bundle:
            lines.append("a=group:BUNDLE " + " ".join(self.bundle))
        if self.extmap_allow_mixed:
            lines.append("a=extmap-allow-mixed")
        lines.append("a=msid-semantic: WMS *")
        for section in self.sections:
            _write_section(section, lines)
        return "\r\n".join(lines) + "\r\n"


def parse(text: str) -> Session:
    """Read an offer or an answer. Raises SdpError. Unknown lines and attributes are skipped, as RFC 8866 wants."""
    if len(text) > MAX_BYTES:
        raise SdpError(f"description of {len(text)} characters, limit {MAX_BYTES}")
    lines = [line for line in re.split(r"\r\n|\n|\r", text) if line]
    if len(lines) > MAX_LINES:
        raise SdpError(f"{len(lines)} lines, limit {MAX_LINES}")
    if not lines or lines[0] != "v=0":
        raise SdpError("must begin with v=0")
    session = Session()
    common = Section("session")
    section = common
    for line in lines:
        if len(line) > MAX_LINE:
            raise SdpError(f"line of {len(line)} characters, limit {MAX_LINE}")
        kind, value = line[:1], line[2:]
        if line[1:2] != "=":
            raise SdpError(f"not an SDP line: {line[:40]!r}")
        if kind == "o":
            _read_origin(session, value)
        elif kind == "m":
            if len(session.sections) == MAX_SECTIONS:
                raise SdpError(f"more than {MAX_SECTIONS} sections")
            section = _read_media(value, common)
            session.sections.append(section)
        elif kind == "b":
            _read_bandwidth(section, value)
        elif kind == "a":
            name, _, argument = value.partition(":")
            if section is common and name in _SESSION:
                _SESSION[name](session, argument)
            elif name in DIRECTIONS:
                section.direction = name
            elif name in _SECTION:
                _SECTION[name](section, argument)
    _finish(session)
    return session


def _finish(session: Session) -> None:
    for section in session.sections:
        # fmtp or rtcp-fb of a payload type without rtpmap: static types, which nobody here speaks.
        section.codecs = {number: codec for number, codec in section.codecs.items() if codec.name}
    mids = [section.mid for section in session.sections if section.mid]
    if len(set(mids)) != len(mids):
        raise SdpError("the same mid twice")


def _integer(text: str, low: int, high: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20) or not low <= int(text) <= high:
        raise SdpError(f"{what} {text[:24]!r}: must be {low} to {high}")
    return int(text)


def _match(pattern: re.Pattern[str], text: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise SdpError(f"{what} {text[:40]!r} has forbidden characters or length")
    return text


def _room(items: Sized, what: str, limit: int = MAX_PER_SECTION) -> None:
    if len(items) >= limit:
        raise SdpError(f"more than {limit} {what} in one section")


def _read_origin(session: Session, value: str) -> None:
    parts = value.split()
    if len(parts) != 6:
        raise SdpError("o= must have six parts")
    session.id = _match(_TOKEN, parts[1], "session id")
    session.version = _integer(parts[2], 0, 2**64 - 1, "session version")


def _read_group(session: Session, value: str) -> None:
    semantics, *mids = value.split()[: MAX_SECTIONS + 2] or [""]
    if semantics != "BUNDLE":
        return
    if session.bundle or len(mids) > MAX_SECTIONS:
        raise SdpError("one BUNDLE group of at most as many mids as sections is possible")
    session.bundle = [_match(_TOKEN, mid, "mid") for mid in mids]


def _set_ice_lite(session: Session, _: str) -> None:
    session.ice_lite = True


def _set_allow_mixed(session: Session, _: str) -> None:
    session.extmap_allow_mixed = True


def _read_media(value: str, common: Section) -> Section:
    parts = value.split()
    if len(parts) < 4:
        raise SdpError(f"m-line {value[:40]!r}: must be kind, port, protocol, formats")
    kind, port, protocol, *formats = parts
    if len(formats) > MAX_FORMATS:
        raise SdpError(f"{len(formats)} formats, limit {MAX_FORMATS}")
    section = Section(_match(_TOKEN, kind, "media kind"))
    section.port = _integer(port.partition("/")[0], 0, 65535, "port")
    section.protocol = _match(_VISIBLE, protocol, "protocol")
    section.formats = [_match(_TOKEN, name, "format") for name in formats]
    section.direction = common.direction
    section.ice_ufrag, section.ice_pwd = common.ice_ufrag, common.ice_pwd
    section.ice_options, section.setup = common.ice_options, common.setup
    section.fingerprints = list(common.fingerprints)
    section.extensions = list(common.extensions)
    return section


def _read_bandwidth(section: Section, value: str) -> None:
    name, _, number = value.partition(":")
    if name in ("AS", "TIAS") and number.isascii() and number.isdigit() and len(number) < 12:
        section.bandwidth[name] = int(number)


def _read_codec(section: Section, value: str) -> None:
    number, _, encoding = value.partition(" ")
    payload_type = _integer(number, 0, 127, "payload type")
    name, _, rest = encoding.strip().partition("/")
    rate, _, channels = rest.partition("/")
    codec = section.codecs.setdefault(payload_type, Codec(payload_type, "", 0))
    codec.name = _match(_TOKEN, name, "codec")
    codec.clock_rate = _integer(rate, 1, 1_000_000, "clock rate")
    codec.channels = _integer(channels, 1, 255, "channels") if channels else 1


def _codec_of(section: Section, number: str) -> Codec:
    payload_type = _integer(number, 0, 127, "payload type")
    return section.codecs.setdefault(payload_type, Codec(payload_type, "", 0))


def _read_parameters(section: Section, value: str) -> None:
    number, _, parameters = value.partition(" ")
    if not (number.isascii() and number.isdigit()):
        return  # formats of other protocols may carry names here
    if len(parameters) > MAX_PARAMETERS:
        raise SdpError(f"fmtp of {len(parameters)} characters, limit {MAX_PARAMETERS}")
    _codec_of(section, number).parameters = parameters.strip()


def _read_feedback(section: Section, value: str) -> None:
    number, _, what = value.partition(" ")
    targets = list(section.codecs.values()) if number == "*" else [_codec_of(section, number)]
    for codec in targets:
        if len(codec.feedback) >= 16:
            raise SdpError(f"more than 16 rtcp-fb lines for payload type {codec.payload_type}")
        codec.feedback.append(what.strip()[:64].strip())


def _read_extension(section: Section, value: str) -> None:
    _room(section.extensions, "extmap lines")
    parts = value.split()
    if len(parts) < 2:
        raise SdpError(f"extmap {value[:40]!r}: must be id and URI")
    number, _, direction = parts[0].partition("/")
    identifier = _integer(number, 1, 65535, "extmap id")
    section.extensions.append(Extension(identifier, _match(_VISIBLE, parts[1], "extmap URI"), direction[:8]))


def _read_ssrc(section: Section, value: str) -> None:
    number, _, attribute = value.partition(" ")
    ssrc = _integer(number, 0, 2**32 - 1, "SSRC")
    if ssrc not in section.ssrcs:
        _room(section.ssrcs, "SSRCs")
        section.ssrcs[ssrc] = {}
    name, _, content = attribute.partition(":")
    if name and len(section.ssrcs[ssrc]) < 8:
        section.ssrcs[ssrc][name[:32]] = content


def _read_ssrc_group(section: Section, value: str) -> None:
    _room(section.ssrc_groups, "SSRC groups")
    semantics, *numbers = value.split()[:65] or [""]
    ssrcs = tuple(_integer(number, 0, 2**32 - 1, "SSRC") for number in numbers)
    section.ssrc_groups.append((semantics[:16], ssrcs))


def _read_msid(section: Section, value: str) -> None:
    if len(section.msids) < 8:
        stream, _, track = value.partition(" ")
        section.msids.append((_match(_VISIBLE, stream, "msid"), track.strip()[:256].strip()))


def _read_fingerprint(section: Section, value: str) -> None:
    _room(section.fingerprints, "fingerprints", MAX_FINGERPRINTS)
    algorithm, _, digest = value.partition(" ")
    if not re.fullmatch(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){15,63}", digest.strip()):
        raise SdpError("fingerprint must be colon separated hex bytes")
    section.fingerprints.append(Fingerprint(_match(_TOKEN, algorithm, "hash").lower(), digest.strip().upper()))


def _read_candidate(section: Section, value: str) -> None:
    # A lite agent only answers checks and needs nobody's candidates: kept as text, and their number is bounded.
    if len(section.candidates) < MAX_PER_SECTION:
        section.candidates.append(value[:256])


def _read_rid(section: Section, value: str) -> None:
    _room(section.rids, "rids")
    section.rids.append(value[:128])


def _set_mid(section: Section, value: str) -> None:
    section.mid = _match(_TOKEN, value, "mid")


def _set_ufrag(section: Section, value: str) -> None:
    section.ice_ufrag = _match(_ICE_CHARS, value, "ice-ufrag")


def _set_pwd(section: Section, value: str) -> None:
    if len(value) < 22:
        raise SdpError(f"ice-pwd of {len(value)} characters, must be at least 22")
    section.ice_pwd = _match(_ICE_CHARS, value, "ice-pwd")


def _set_ice_options(section: Section, value: str) -> None:
    section.ice_options = value[:64]


def _set_setup(section: Section, value: str) -> None:
    if value not in ("actpass", "active", "passive"):
        raise SdpError(f"setup {value[:16]!r}: must be actpass, active or passive")
    section.setup = value


def _set_rtcp_mux(section: Section, _: str) -> None:
    section.rtcp_mux = True


def _set_rtcp_rsize(section: Section, _: str) -> None:
    section.rtcp_rsize = True


def _set_bundle_only(section: Section, _: str) -> None:
    section.bundle_only = True


def _set_end_of_candidates(section: Section, _: str) -> None:
    section.end_of_candidates = True


def _set_simulcast(section: Section, value: str) -> None:
    section.simulcast = value[:512].strip()


def _set_sctp_port(section: Section, value: str) -> None:
    section.sctp_port = _integer(value, 0, 65535, "sctp-port")


def _set_max_message_size(section: Section, value: str) -> None:
    section.max_message_size = _integer(value, 0, 2**63, "max-message-size")


_SESSION: Final[dict[str, Callable[[Session, str], None]]] = {
    "group": _read_group,
    "ice-lite": _set_ice_lite,
    "extmap-allow-mixed": _set_allow_mixed,
}

_SECTION: Final[dict[str, Callable[[Section, str], None]]] = {
    "mid": _set_mid,
    "rtpmap": _read_codec,
    "fmtp": _read_parameters,
    "rtcp-fb": _read_feedback,
    "extmap": _read_extension,
    "ssrc": _read_ssrc,
    "ssrc-group": _read_ssrc_group,
    "msid": _read_msid,
    "rid": _read_rid,
    "simulcast": _set_simulcast,
    "rtcp-mux": _set_rtcp_mux,
    "rtcp-rsize": _set_rtcp_rsize,
    "bundle-only": _set_bundle_only,
    "ice-ufrag": _set_ufrag,
    "ice-pwd": _set_pwd,
    "ice-options": _set_ice_options,
    "fingerprint": _read_fingerprint,
    "setup": _set_setup,
    "candidate": _read_candidate,
    "end-of-candidates": _set_end_of_candidates,
    "sctp-port": _set_sctp_port,
    "max-message-size": _set_max_message_size,
}


def _write_section(section: Section, lines: list[str]) -> None:
    """Append the section's lines in the order that browsers write them."""
    add = lines.append
    add(f"m={section.kind} {section.port} {section.protocol} {' '.join(section.formats)}")
    add("c=IN IP4 0.0.0.0")
    lines += [f"b={name}:{number}" for name, number in section.bandwidth.items()]
    for name, value in (
        ("ice-ufrag", section.ice_ufrag),
        ("ice-pwd", section.ice_pwd),
        ("ice-options", section.ice_options),
    ):
        if value:
            add(f"a={name}:{value}")
    lines += [f"a=fingerprint:{item.algorithm} {item.value}" for item in section.fingerprints]
    if section.setup:
        add(f"a=setup:{section.setup}")
    if section.mid:
        add(f"a=mid:{section.mid}")
    for extension in section.extensions:
        direction = f"/{extension.direction}" if extension.direction else ""
        add(f"a=extmap:{extension.id}{direction} {extension.uri}")
    if section.kind != "application" or section.direction != "sendrecv":
        add(f"a={section.direction}")
    lines += [f"a=msid:{stream} {track}".rstrip() for stream, track in section.msids]
    if section.rtcp_mux:
        add("a=rtcp-mux")
    if section.rtcp_rsize:
        add("a=rtcp-rsize")
    if section.bundle_only:
        add("a=bundle-only")
    for codec in section.codecs.values():
        _write_codec(codec, lines)
    lines += [f"a=rid:{rid}" for rid in section.rids]
    if section.simulcast:
        add(f"a=simulcast:{section.simulcast}")
    lines += [f"a=ssrc-group:{name} {' '.join(map(str, ssrcs))}" for name, ssrcs in section.ssrc_groups]
    for ssrc, attributes in section.ssrcs.items():
        lines += [
            f"a=ssrc:{ssrc} {name}:{value}" if value else f"a=ssrc:{ssrc} {name}" for name, value in attributes.items()
        ]
        if not attributes:
            add(f"a=ssrc:{ssrc}")
    if section.sctp_port is not None:
        add(f"a=sctp-port:{section.sctp_port}")
    if section.max_message_size is not None:
        add(f"a=max-message-size:{section.max_message_size}")
    lines += [f"a=candidate:{candidate}" for candidate in section.candidates]
    if section.end_of_candidates:
        add("a=end-of-candidates")


def _write_codec(codec: Codec, lines: list[str]) -> None:
    if codec.name:
        channels = f"/{codec.channels}" if codec.channels > 1 else ""
        lines.append(f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}")
    if codec.parameters:
        lines.append(f"a=fmtp:{codec.payload_type} {codec.parameters}")
    lines += [f"a=rtcp-fb:{codec.payload_type} {what}" for what in codec.feedback]
