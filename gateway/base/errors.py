"""Every error that the gateway raises on purpose.

    GatewayError            name: str   code: int   http_status: int   closes: bool
    ├── PeerError           the other side broke a protocol: close that connection, log once
    │     RtmpError · FlvError · RtpError · SdpError · StunError · SignalingError · CodecDataError
    ├── Refused             understood, and no: reply, keep the connection
    │     BadTicket · NotPermitted (Muted) · NoSuchRoom · NoSuchStream · NoSuchMember · NameTaken · RoomFull
    │     BadRequest · TooLarge · TooMany · NoCommonCodec
    └── Unavailable         not now: reply with retry advice
          Overloaded · ShuttingDown · TranscoderFailed

The class carries the name and numbers that a client sees; the message carries the facts ("chunk stream 4: 70000
bytes, limit 65536") and never a ticket, a key or a stack. Translation to JSON, RTMP or HTTP happens once per endpoint.
Misuse by our own code is ValueError or assert, never one of these.
"""

from __future__ import annotations

from typing import ClassVar


class GatewayError(Exception):
    """Base of all. `code` is the number a signaling client sees; faces with their own numbers translate by `name`."""

    name: ClassVar[str] = "error"
    code: int = 1000
    http_status: ClassVar[int] = 500
    closes: ClassVar[bool] = False
    retry_after_ms: int | None = None

    def __init__(self, message: str = "", *, code: int | None = None, retry_after_ms: int | None = None) -> None:
        super().__init__(message or self.name)
        if code is not None:
            self.code = code
        if retry_after_ms is not None:
            self.retry_after_ms = retry_after_ms

    @property
    def message(self) -> str:
        return str(self)


class PeerError(GatewayError):
    name, code, http_status, closes = "protocol_error", 1100, 400, True


class RtmpError(PeerError):
    name, code = "rtmp_error", 1101


class FlvError(PeerError):
    name, code = "flv_error", 1102


class RtpError(PeerError):
    name, code = "rtp_error", 1103


class SdpError(PeerError):
    name, code, closes = "sdp_error", 1104, False


class StunError(PeerError):
    name, code = "stun_error", 1105


class SignalingError(PeerError):
    name, code = "signaling_error", 1106


class CodecDataError(PeerError):
    """A codec's own bytes (SPS, AudioSpecificConfig, VP8 header, ...) cannot be read."""

    name, code = "codec_data_error", 1107


class Refused(GatewayError):
    name, code, http_status = "refused", 1200, 403


class BadTicket(Refused):
    """A userSig, privateMapKey or URL signature does not hold. `code` is the number of docs/tickets.md 3 (1..17)."""

    name, code, http_status = "bad_ticket", 8, 401


class NotPermitted(Refused):
    name, code = "not_permitted", 1202


class Muted(NotPermitted):
    """A moderator took the user's words (or everybody's in the room). `retry_after_ms` stands there if it ends."""

    name, code = "muted", 1212


class NoSuchRoom(Refused):
    name, code, http_status = "no_such_room", 1203, 404


class NoSuchStream(Refused):
    name, code, http_status = "no_such_stream", 1204, 404


class NoSuchMember(Refused):
    name, code, http_status = "no_such_member", 1205, 404


class NameTaken(Refused):
    name, code, http_status = "name_taken", 1206, 409


class RoomFull(Refused):
    name, code = "room_full", 5001


class BadRequest(Refused):
    """A field is absent, of the wrong type or out of its range; the message names the field."""

    name, code, http_status = "bad_request", 1208, 400


class TooLarge(Refused):
    name, code, http_status = "too_large", 1209, 413


class TooMany(Refused):
    name, code, http_status = "too_many", 1210, 429


class NoCommonCodec(Refused):
    name, code, http_status = "no_common_codec", 1211, 406


class Unavailable(GatewayError):
    name, code, http_status, retry_after_ms = "unavailable", 1300, 503, 2000


class Overloaded(Unavailable):
    name, code = "overloaded", 1301


class ShuttingDown(Unavailable):
    name, code = "shutting_down", 1302


class TranscoderFailed(Unavailable):
    name, code = "transcoder_failed", 1303


class ConfigError(GatewayError):
    """One line for the operator that names the cause and the cure."""

    name, code = "config_error", 1400
