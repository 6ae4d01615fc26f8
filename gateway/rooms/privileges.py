"""The rights that a privateMapKey grants: one bit each, as in the binary ticket's dwPrivilegeMap.

Which bits a medium needs is decided here and nowhere else. The sound of a screen share needs the auxiliary bit and the
audio bit: whoever may not be heard is not heard through the side door either.
"""

from __future__ import annotations

import enum
from typing import Final


class Privilege(enum.IntFlag):
    CREATE = 1
    ENTER = 2
    SEND_AUDIO = 4
    RECEIVE_AUDIO = 8
    SEND_VIDEO = 16
    RECEIVE_VIDEO = 32
    SEND_AUX = 64
    RECEIVE_AUX = 128

    ALL = 255
    SENDING = SEND_AUDIO | SEND_VIDEO | SEND_AUX
    AUDIENCE = ENTER | RECEIVE_AUDIO | RECEIVE_VIDEO


KNOWN_BITS: Final = int(Privilege.ALL)


def from_bits(bits: int) -> Privilege:
    """Return the known rights in `bits` (32 bits on the wire); bits without a meaning are dropped."""
    return Privilege(bits & KNOWN_BITS)


def grants(held: Privilege, needed: Privilege) -> bool:
    """Whether `held` has every bit of `needed`."""
    return held & needed == needed


def to_send(*, aux: bool, video: bool) -> Privilege:
    """The bits needed to send this medium of the main (aux=False) or screen (aux=True) stream."""
    if aux:
        return Privilege.SEND_AUX if video else Privilege.SEND_AUX | Privilege.SEND_AUDIO
    return Privilege.SEND_VIDEO if video else Privilege.SEND_AUDIO


def to_receive(*, aux: bool, video: bool) -> Privilege:
    """The bits needed to receive this medium of the main (aux=False) or screen (aux=True) stream."""
    if aux:
        return Privilege.RECEIVE_AUX if video else Privilege.RECEIVE_AUX | Privilege.RECEIVE_AUDIO
    return Privilege.RECEIVE_VIDEO if video else Privilege.RECEIVE_AUDIO
