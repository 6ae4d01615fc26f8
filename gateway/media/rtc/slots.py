"""The sections of a down connection: what a viewer is offered, or what it asked for (WHEP).

When we offer, the first section is an audio section that stays inactive for ever: the first section carries the
transport, and Chromium starts a new one when it goes. Slots come behind it; a slot that is taken away turns its
section inactive, and once the client has answered that, the section serves the next slot of its kind, with the same mid
and new SSRCs. Every SSRC is declared (with its FID group), so packets need no mid; SSRCs are never used twice.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Final

from gateway.base.errors import NoCommonCodec, SdpError, TooMany
from gateway.media.rtc.negotiation import (
    PLAYOUT_DELAY,
    RTP_PROTOCOLS,
    Kind,
    LocalTransport,
    add_codec,
    add_transport,
    best_codecs,
    check_same_sections,
    parameters_for,
    rtx_of,
)
from gateway.wire import sdp
from gateway.wire.frame import Codec
from gateway.wire.rtp import build_extension

MAX_SLOTS: Final = 64
CNAME: Final = "gateway"
PLAYOUT_DELAY_ID: Final = 5
ANCHOR_MID: Final = "0"

_LABEL: Final = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,128}")
_AUDIO: Final = ((Codec.OPUS, sdp.Codec(111, "opus", 48000, 2, "minptime=10;useinbandfec=1;stereo=1", ["nack"]), None),)
_VIDEO_FEEDBACK: Final = ["nack", "nack pli", "ccm fir", "goog-remb"]
_H264: Final = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
_VIDEO: Final = tuple(
    (codec, sdp.Codec(number, codec.value, 90000, parameters=parameters, feedback=_VIDEO_FEEDBACK), rtx)
    for codec, number, rtx, parameters in (
        (Codec.H264, 102, 103, _H264),
        (Codec.VP8, 96, 97, ""),
        (Codec.VP9, 98, 99, "profile-id=0"),
        (Codec.AV1, 45, 46, "level-idx=5;profile=0;tier=0"),
    )
)


@dataclasses.dataclass(slots=True, eq=False)
class Slot:
    """One track towards a viewer. `ready`: the client has agreed to it, so packets will be understood.

    `payload_types` and `rtx_payload_types` shrink in place to what the client accepted; `extension` is the extension
    block for every packet, b"" if none was agreed. `rtx_ssrc` is None for audio.
    """

    mid: str
    kind: Kind
    stream_label: str
    ssrc: int
    rtx_ssrc: int | None
    payload_types: dict[Codec, int]
    rtx_payload_types: dict[Codec, int]
    extension: bytes = b""
    ready: bool = False
    removed: bool = False


@dataclasses.dataclass(slots=True, eq=False)
class _Place:
    """A section behind the anchor. `idle`: the client has answered an offer in which it was inactive."""

    mid: str
    kind: Kind
    slot: Slot | None = None
    idle: bool = False


class Slots:
    """Sections, their reuse, and the versions of offers. Holds no socket and no clock; `draw32` gives random SSRCs.

    `playout_delay_ms`: (min, max), stamped into every video packet.
    """

    def __init__(self, draw32: Callable[[], int], playout_delay_ms: tuple[int, int]) -> None:
        self._draw32 = draw32
        low, high = (min(4095, max(0, round(value / 10))) for value in playout_delay_ms)
        self._delay = (low << 12 | high).to_bytes(3, "big")
        self._places: list[_Place] = []
        self._used_ssrcs: set[int] = {0}
        self._dirty = True
        self._offered: dict[str, Slot | None] = {}
        self.version = 0
        self.outstanding = False
        self.accepted: list[Slot] = []

    @property
    def slots(self) -> list[Slot]:
        """The slots in use, in the order of their sections."""
        return [place.slot for place in self._places if place.slot is not None] + self.accepted

    @property
    def needs_offer(self) -> bool:
        """Something changed that the client has not been offered, and no offer is outstanding."""
        return self._dirty and not self.outstanding and not self.accepted

    def touch(self) -> None:
        """Ask for a new offer although no slot changed (an ICE restart). An outstanding one is void."""
        self._dirty, self.outstanding = True, False

    def add(self, kind: Kind, stream_label: str) -> Slot:
        """Make a slot; it counts from the next offer on. Slots with one label form one stream, in lip sync.

        Raises TooMany. ValueError: the label is not 1..128 token characters, or the client was the one to offer.
        """
        if not _LABEL.fullmatch(stream_label):
            raise ValueError(f"stream label {stream_label!r} must be a token")
        if self.accepted:
            raise ValueError("the client offers on this connection")
        place = next((place for place in self._places if place.kind == kind and place.idle), None)
        if place is None:
            if len(self._places) >= MAX_SLOTS:
                raise TooMany(f"{MAX_SLOTS} sections on one down connection")
            place = _Place(str(len(self._places) + 1), kind)
            self._places.append(place)
        place.idle = False
        place.slot = self._make_slot(place.mid, kind, stream_label)
        if kind == "video":
            place.slot.extension = build_extension({PLAYOUT_DELAY_ID: self._delay})
        for codec, offered, rtx in _VIDEO if kind == "video" else _AUDIO:
            place.slot.payload_types[codec] = offered.payload_type
            if rtx is not None:
                place.slot.rtx_payload_types[codec] = rtx
        self._dirty = True
        return place.slot

    def remove(self, slot: Slot) -> None:
        """Take a slot away: nothing may be sent on it any more. Idempotent."""
        slot.removed, slot.ready = True, False
        for place in self._places:
            if place.slot is slot:
                place.slot = None
                self._dirty = True

    def _make_slot(self, mid: str, kind: Kind, label: str) -> Slot:
        return Slot(mid, kind, label, self._draw_ssrc(), self._draw_ssrc() if kind == "video" else None, {}, {})

    def _draw_ssrc(self) -> int:
        while (ssrc := self._draw32()) in self._used_ssrcs:
            pass
        self._used_ssrcs.add(ssrc)
        return ssrc

    # -- we offer ---------------------------------------------------------------------------------------------------

    def offer(self, transport: LocalTransport) -> sdp.Session:
        """Describe everything as it is now; its number is `version`. An offer still outstanding is void from here."""
        self.version += 1
        self.outstanding, self._dirty = True, False
        session = sdp.Session("1", self.version, True, False)
        anchor = _media_section("audio", ANCHOR_MID, None)
        session.sections.append(anchor)
        self._offered = {ANCHOR_MID: None}
        for place in self._places:
            session.sections.append(_media_section(place.kind, place.mid, place.slot))
            self._offered[place.mid] = place.slot
        for section in session.sections:
            add_transport(section, transport, "actpass")
            session.bundle.append(section.mid)
        return session

    def answer(self, answer: sdp.Session) -> None:
        """Take the client's answer to the outstanding offer. Raises SdpError: the answer does not fit the offer."""
        if [section.mid for section in answer.sections] != list(self._offered):
            raise SdpError("the answer must have the mids of the offer, in its order")
        self.outstanding = False
        places = {place.mid: place for place in self._places}
        for section in answer.sections[1:]:
            slot = self._offered[section.mid]
            if slot is None:
                place = places[section.mid]
                place.idle = place.slot is None
            elif not slot.removed:
                _agree(slot, section)

    # -- the client offers ------------------------------------------------------------------------------------------

    def accept(
        self, offer: sdp.Session, before: Sequence[sdp.Section], transport: LocalTransport, role: str, label: str
    ) -> sdp.Session:
        """Answer a player's offer (WHEP): the first audio and the first video section that wants to receive get a slot.

        A later offer (ICE restart) keeps the slots of the sections that it keeps. Raises SdpError, NoCommonCodec.
        """
        check_same_sections(before, offer.sections)
        if not _LABEL.fullmatch(label):
            raise ValueError(f"stream label {label!r} must be a token")
        self.version += 1
        session = sdp.Session("1", self.version, True, offer.extmap_allow_mixed)
        kept = {slot.mid: slot for slot in self.accepted}
        slots: list[Slot] = []
        for index, section in enumerate(offer.sections):
            if not section.mid:
                raise SdpError(f"section {index} has no mid")
            bundled = section.mid in offer.bundle or (index == 0 and not offer.bundle)
            usable = bundled and not section.rejected and section.protocol in RTP_PROTOCOLS and section.rtcp_mux
            offered = best_codecs(section) if usable and section.kind in ("audio", "video") else {}
            if not offered:
                if index == 0:
                    raise NoCommonCodec(f"nothing in the first section ({section.kind}) that this gateway can send")
                rejected = sdp.Section(section.kind, section.mid, 0, section.protocol, section.formats[:1], "inactive")
                session.sections.append(rejected)
                continue
            kind: Kind = "video" if section.kind == "video" else "audio"
            slot: Slot | None = None
            wanted = section.direction in ("recvonly", "sendrecv")
            if wanted and all(other.kind != kind for other in slots):
                slot = kept.get(section.mid) or self._make_slot(section.mid, kind, label)
                slots.append(slot)
            session.sections.append(self._answer_section(section, offered, slot))
            add_transport(session.sections[-1], transport, "active" if role == "client" else "passive")
            if offer.bundle:
                session.bundle.append(section.mid)
        for slot in self.accepted:
            slot.removed = slot not in slots
            slot.ready = slot.ready and not slot.removed
        self.accepted = slots
        return session

    def _answer_section(self, offered: sdp.Section, codecs: dict[Codec, sdp.Codec], slot: Slot | None) -> sdp.Section:
        section = sdp.Section(offered.kind, offered.mid, 9, offered.protocol)
        section.direction = "inactive" if slot is None else "sendonly"
        section.rtcp_mux, section.rtcp_rsize = True, offered.rtcp_rsize
        wanted = _VIDEO_FEEDBACK if offered.kind == "video" else ["nack"]
        payload_types, rtx_types = {}, {}
        for name, codec in codecs.items():
            feedback = [what for what in wanted if what in codec.feedback]
            parameters = parameters_for(name, codec)
            add_codec(section, dataclasses.replace(codec, parameters=parameters, feedback=feedback))
            payload_types[name] = codec.payload_type
            if offered.kind == "video" and (rtx := rtx_of(offered, codec.payload_type)) is not None:
                add_codec(section, sdp.Codec(rtx, "rtx", codec.clock_rate, parameters=f"apt={codec.payload_type}"))
                rtx_types[name] = rtx
        if slot is None:
            return section
        _update(slot.payload_types, payload_types)
        _update(slot.rtx_payload_types, rtx_types)
        slot.extension, slot.ready = b"", True
        for item in offered.extensions:
            if item.uri == PLAYOUT_DELAY and item.id <= 255 and slot.kind == "video" and not slot.extension:
                section.extensions.append(sdp.Extension(item.id, item.uri))
                slot.extension = build_extension({item.id: self._delay})
        _declare(section, slot)
        return section


def _media_section(kind: Kind, mid: str, slot: Slot | None) -> sdp.Section:
    section = sdp.Section(kind, mid, direction="inactive" if slot is None else "sendonly")
    section.rtcp_mux = section.rtcp_rsize = True
    for _, codec, rtx in _VIDEO if kind == "video" else _AUDIO:
        add_codec(section, codec)
        if rtx is not None:
            add_codec(section, sdp.Codec(rtx, "rtx", 90000, parameters=f"apt={codec.payload_type}"))
    if kind == "video":
        section.extensions.append(sdp.Extension(PLAYOUT_DELAY_ID, PLAYOUT_DELAY))
    if slot is not None:
        _declare(section, slot)
    return section


def _declare(section: sdp.Section, slot: Slot) -> None:
    track = f"{slot.stream_label}-{slot.kind}-{slot.mid}"
    section.msids = [(slot.stream_label, track)]
    attributes = {"cname": CNAME, "msid": f"{slot.stream_label} {track}"}
    section.ssrcs[slot.ssrc] = attributes
    if slot.rtx_ssrc is not None and slot.rtx_payload_types:
        section.ssrc_groups = [("FID", (slot.ssrc, slot.rtx_ssrc))]
        section.ssrcs[slot.rtx_ssrc] = attributes


def _agree(slot: Slot, section: sdp.Section) -> None:
    """Narrow `slot` to what the client's section accepts; its payload type numbers are those it wants to receive."""
    codecs = {} if section.rejected else best_codecs(section)
    rtx = {name: rtx_of(section, codec.payload_type) for name, codec in codecs.items()}
    _update(slot.payload_types, {name: codec.payload_type for name, codec in codecs.items()})
    _update(slot.rtx_payload_types, {name: number for name, number in rtx.items() if number is not None})
    if all(item.uri != PLAYOUT_DELAY for item in section.extensions):
        slot.extension = b""
    slot.ready = bool(codecs) and section.direction in ("recvonly", "sendrecv")


def _update(target: dict[Codec, int], values: dict[Codec, int]) -> None:
    # In place: subscriptions made earlier hold this very mapping.
    target.clear()
    target.update(values)
