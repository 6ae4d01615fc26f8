"""privateMapKey: this user may enter this room with these rights until then. Layout: docs/tickets.md 2.

offset  size  content (big-endian)
0       1     cVer: 0 number room, 1 text room
1       2     L, length of the user id
3       L     user id, ASCII
3+L     4     sdkAppID
7+L     4     room number (0 with a text room)
11+L    4     end time, unix seconds
15+L    4     privilege bits
19+L    4     account type, 0
23+L    2+R   cVer 1 only: length and text of the room id
"""

from __future__ import annotations

import dataclasses
import struct
from typing import Final

from gateway.base.errors import BadRequest, BadTicket
from gateway.rooms import privileges as rights
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey
from gateway.rooms.tickets import signature, token
from gateway.rooms.tickets.keys import AppKeys

_TAIL: Final = struct.Struct(">IIIII")
_LENGTH: Final = struct.Struct(">H")


@dataclasses.dataclass(frozen=True, slots=True)
class RoomTicket:
    """A verified privateMapKey. `expires` is unix seconds, the last valid one (the earlier of token and blob)."""

    user_id: str
    room: RoomKey
    privileges: Privilege
    expires: int
    version: int


def pack_blob(user_id: str, room: RoomKey, privileges: int, expires: int) -> bytes:
    """Return the binary ticket. Raises ValueError for ids that are not ASCII or numbers that do not fit."""
    if not user_id.isascii() or not room.id.isascii():
        raise ValueError("user and room ids must be ASCII")
    account = user_id.encode("ascii")
    try:
        blob = b"".join(
            (
                bytes([1 if room.text else 0]),
                _LENGTH.pack(len(account)),
                account,
                _TAIL.pack(room.app, 0 if room.text else int(room.id), expires, privileges, 0),
            )
        )
    except struct.error:
        raise ValueError("a number does not fit into the ticket (32 bits)") from None
    return blob + _LENGTH.pack(len(room.id)) + room.id.encode("ascii") if room.text else blob


def parse_blob(blob: bytes) -> RoomTicket:
    """Read the binary ticket; checks its form, nothing else. `version` is left 0. Raises BadTicket (15)."""
    if len(blob) < 3 or blob[0] > 1:
        raise _bad("its first byte (cVer) is neither 0 nor 1" if blob else "it is empty")
    (length,) = _LENGTH.unpack_from(blob, 1)
    fixed = 3 + length + _TAIL.size
    if len(blob) < fixed:
        raise _bad(f"{len(blob)} bytes, at least {fixed} expected")
    app, number, expires, bits, _account_type = _TAIL.unpack_from(blob, 3 + length)
    try:
        account = blob[3 : 3 + length].decode("ascii")
        if blob[0] == 0:
            if len(blob) != fixed:
                raise _bad(f"{len(blob)} bytes, {fixed} expected")
            room = RoomKey.parse(app, number)
        else:
            room = RoomKey.parse(app, _room_text(blob, fixed), force_text=True)
    except UnicodeDecodeError:
        raise _bad("ids must be ASCII") from None
    except BadRequest as error:
        raise _bad(error.message) from None
    return RoomTicket(account, room, rights.from_bits(bits), expires, 0)


def _room_text(blob: bytes, offset: int) -> str:
    if len(blob) < offset + 2:
        raise _bad("the room text is missing")
    (length,) = _LENGTH.unpack_from(blob, offset)
    if len(blob) != offset + 2 + length:
        raise _bad(f"{len(blob)} bytes, {offset + 2 + length} expected")
    return blob[offset + 2 :].decode("ascii")


def _bad(why: str) -> BadTicket:
    return BadTicket(f"the room part of the privateMapKey is damaged: {why}", code=token.BAD_USERBUF)


def mint_v1(
    key_pem: str,
    sdk_app_id: int,
    user_id: str,
    now_wall: float,
    expire_s: int,
    room: RoomKey,
    privileges: int = Privilege.ALL,
    *,
    appid_at_3rd: str = "0",
    account_type: str = "0",
    version: str = "201512300000",
    level: int = -1,
) -> str:
    """Return a privateMapKey signed with the app's private key (either curve). Raises ValueError."""
    blob = _blob(sdk_app_id, user_id, now_wall, expire_s, room, privileges)
    return signature.mint_v1(
        key_pem, sdk_app_id, user_id, now_wall, expire_s, blob, appid_at_3rd, account_type, version, level
    )


def mint_v2(
    secret: str,
    sdk_app_id: int,
    user_id: str,
    now_wall: float,
    expire_s: int,
    room: RoomKey,
    privileges: int = Privilege.ALL,
    *,
    level: int = -1,
) -> str:
    """Return a privateMapKey signed with the app's secret. Raises ValueError."""
    blob = _blob(sdk_app_id, user_id, now_wall, expire_s, room, privileges)
    return signature.mint_v2(secret, sdk_app_id, user_id, now_wall, expire_s, blob, level)


def mint(
    app: AppKeys, user_id: str, now_wall: float, expire_s: int, room: RoomKey, privileges: int = Privilege.ALL
) -> str:
    """Return a privateMapKey by whichever key `app` has, v1 if both. Raises ValueError if it can sign neither."""
    if app.private_key_pem:
        return mint_v1(app.private_key_pem, app.sdk_app_id, user_id, now_wall, expire_s, room, privileges)
    if app.secret:
        return mint_v2(app.secret, app.sdk_app_id, user_id, now_wall, expire_s, room, privileges)
    raise ValueError(f"app {app.sdk_app_id} has neither a private key nor a secret to sign with")


def verify(text: object, app: AppKeys, user_id: str | None, room: RoomKey | None, now_wall: float) -> RoomTicket:
    """Check `text` for `user_id` and `room` (None: whoever, whichever it names). docs/tickets.md 2.

    The privileges are the caller's to apply (step 5). Raises BadTicket (codes 1-10, 13-15).
    """
    signed = signature.verify(text, app, user_id, now_wall, userbuf=True)
    ticket = parse_blob(signed.userbuf)
    if ticket.user_id != signed.user_id:
        raise BadTicket("the privateMapKey's room part belongs to another user", code=token.WRONG_USER)
    if ticket.room.app != app.sdk_app_id:
        raise BadTicket(f"the privateMapKey's room part is for app {ticket.room.app}", code=token.WRONG_APP)
    if room is not None and ticket.room != room:
        raise BadTicket(f"the privateMapKey is for room {ticket.room}, not {room}", code=token.BAD_USERBUF)
    if ticket.expires < int(now_wall):
        raise BadTicket(
            f"the privateMapKey's room part expired {int(now_wall) - ticket.expires} s ago", code=token.EXPIRED
        )
    return dataclasses.replace(ticket, expires=min(ticket.expires, signed.expires), version=signed.version)


def _blob(sdk_app_id: int, user_id: str, now_wall: float, expire_s: int, room: RoomKey, privileges: int) -> bytes:
    if room.app != sdk_app_id:
        raise ValueError(f"room {room} is not of app {sdk_app_id}")
    return pack_blob(user_id, room, int(privileges), int(now_wall) + int(expire_s))
