"""What an offer of an up connection says, before anything is done with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from gateway.base.errors import SdpError
from gateway.wire import sdp

Kind = Literal["audio", "video"]


@dataclasses.dataclass(frozen=True, slots=True)
class Offered:
    """What an up offer says before anything is done with it: its certificate, and the kind of each sending section."""

    fingerprint: str
    ufrag: str
    sending: Mapping[str, Kind]


def read_offer(text: str) -> Offered:
    """Look into an offer. Raises SdpError."""
    session = sdp.parse(text)
    if not session.sections:
        raise SdpError("no m-line")
    sending: dict[str, Kind] = {}
    for section in session.sections:
        if (
            section.kind in ("audio", "video")
            and not section.rejected
            and section.direction in ("sendonly", "sendrecv")
        ):
            sending[section.mid] = "video" if section.kind == "video" else "audio"
    first = session.sections[0]
    return Offered(" ".join(sorted(item.value.upper() for item in first.fingerprints)), first.ice_ufrag, sending)
