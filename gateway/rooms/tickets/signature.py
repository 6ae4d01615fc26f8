"""The two signatures over a ticket's fields: v1 is ECDSA with SHA-256, v2 HMAC-SHA256.

Sources: docs/tickets.md 1 to 3. What is signed is rebuilt from the JSON fields in a fixed order, one
`key:value` and a line feed each; a privateMapKey has one more line (TLS.userbuf) than a userSig, so neither can pass
for the other. Signing is deterministic (RFC 6979). The signature is checked before anything is said about the contents.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from ecdsa.util import sigencode_der

from gateway.base.errors import BadTicket
from gateway.rooms.tickets import keys, token
from gateway.rooms.tickets.keys import AppKeys

USERBUF: Final = "TLS.userbuf"
_V1_LINES: Final = ("TLS.account_type", "TLS.identifier", "TLS.sdk_appid", "TLS.time", "TLS.expire_after")
_V2_LINES: Final = ("TLS.identifier", "TLS.sdkappid", "TLS.time", "TLS.expire")
_APPID_AT_3RD: Final = "TLS.appid_at_3rd"
_ECDSA_SHA256: Final = ec.ECDSA(hashes.SHA256())


@dataclasses.dataclass(frozen=True, slots=True)
class Signed:
    """What a verified ticket says. Times are unix seconds; the ticket is valid up to and including `expires`."""

    version: int
    user_id: str
    sdk_app_id: int
    issued: int
    expires: int
    userbuf: bytes


def sign_string(fields: Mapping[str, str], lines: tuple[str, ...]) -> bytes:
    """Return `name:value\\n` for each of `lines`, UTF-8."""
    return "".join(f"{name}:{fields[name]}\n" for name in lines).encode("utf-8")


def sign_v1(key_pem: str, fields: Mapping[str, str]) -> str:
    """Return TLS.sig for `fields` (all texts; with TLS.userbuf if it is a privateMapKey). Raises ValueError."""
    lines = (_APPID_AT_3RD, *_V1_LINES, *((USERBUF,) if USERBUF in fields else ()))
    signature = keys.signing_key(key_pem).sign_deterministic(
        sign_string(fields, lines), hashfunc=hashlib.sha256, sigencode=sigencode_der
    )
    return base64.b64encode(signature).decode("ascii")


def sign_v2(secret: str, fields: Mapping[str, str]) -> str:
    """Return TLS.sig for `fields` (numbers as decimal texts). Raises ValueError without a secret."""
    if not secret:
        raise ValueError("a v2 ticket needs the app's secret")
    lines = (*_V2_LINES, *((USERBUF,) if USERBUF in fields else ()))
    return base64.b64encode(_hmac(secret, sign_string(fields, lines))).decode("ascii")


def mint_v1(
    key_pem: str,
    sdk_app_id: int,
    user_id: str,
    now_wall: float,
    expire_s: int,
    userbuf: bytes | None,
    appid_at_3rd: str,
    account_type: str,
    version: str,
    level: int,
) -> str:
    """Return a v1 token; with `userbuf` it is a privateMapKey. Raises ValueError."""
    _check_mint(user_id)
    fields = {
        "TLS.account_type": account_type,
        "TLS.identifier": user_id,
        _APPID_AT_3RD: appid_at_3rd,
        "TLS.sdk_appid": str(sdk_app_id),
        "TLS.expire_after": str(int(expire_s)),
        "TLS.version": version,
        "TLS.time": str(int(now_wall)),
    }
    if userbuf is not None:
        fields[USERBUF] = base64.b64encode(userbuf).decode("ascii")
    return token.pack(fields | {"TLS.sig": sign_v1(key_pem, fields)}, level)


def mint_v2(
    secret: str,
    sdk_app_id: int,
    user_id: str,
    now_wall: float,
    expire_s: int,
    userbuf: bytes | None,
    level: int,
) -> str:
    """Return a v2 token; with `userbuf` it is a privateMapKey. Raises ValueError."""
    _check_mint(user_id)
    fields: dict[str, str | int] = {
        "TLS.ver": "2.0",
        "TLS.identifier": user_id,
        "TLS.sdkappid": sdk_app_id,
        "TLS.expire": int(expire_s),
        "TLS.time": int(now_wall),
    }
    if userbuf is not None:
        fields[USERBUF] = base64.b64encode(userbuf).decode("ascii")
    signature = sign_v2(secret, {name: str(value) for name, value in fields.items()})
    return token.pack(fields | {"TLS.sig": signature}, level)


def verify(text: object, app: AppKeys, user_id: str | None, now_wall: float, *, userbuf: bool) -> Signed:
    """Check a userSig (userbuf=False) or a privateMapKey's envelope (True) against `app` and `user_id`.

    `user_id` None accepts any user: the caller then uses the one in the result. Raises BadTicket (codes 1-10, 13, 14).
    """
    fields = token.unpack(text)
    version = 2 if fields.get("TLS.ver") == "2.0" else 1
    what = f"v{version} {'privateMapKey' if userbuf else 'userSig'}"
    carries_userbuf = fields.get(USERBUF) is not None
    if carries_userbuf != userbuf:
        given, wanted = ("privateMapKey", "userSig") if carries_userbuf else ("userSig", "privateMapKey")
        raise BadTicket(f"this is a {given}, a {wanted} is needed here", code=token.MISMATCH)
    lines = _lines(fields, version, userbuf)
    values = {name: token.text_field(fields, name) for name in lines if name != USERBUF}
    if userbuf:
        values[USERBUF] = _userbuf_text(fields)
    signature = token.base64_field(token.text_of(fields, "TLS.sig"), "TLS.sig", token.BAD_INNER_BASE64)
    message = sign_string(values, lines)
    if not (_holds_v1(app, signature, message) if version == 1 else _holds_v2(app, signature, message)):
        raise BadTicket(f"the signature of the {what} is not of app {app.sdk_app_id}", code=token.MISMATCH)
    return _claims(values, app, user_id, now_wall, version, what)


def _lines(fields: Mapping[str, object], version: int, userbuf: bool) -> tuple[str, ...]:
    """The signed lines in order. Raises BadTicket (7) with a word about tickets shown as the other version."""
    lines: tuple[str, ...]
    if version == 2:
        lines = _V2_LINES
        if "TLS.sdkappid" not in fields and "TLS.sdk_appid" in fields:
            raise BadTicket("TLS.ver says v2, but the fields are those of a v1 ticket", code=token.MISSING)
    else:
        # Producers that leave appid_at_3rd out do not sign its line either; with a userbuf it is mandatory.
        lines = (_APPID_AT_3RD, *_V1_LINES) if userbuf or fields.get(_APPID_AT_3RD) is not None else _V1_LINES
        if "TLS.sdk_appid" not in fields and "TLS.sdkappid" in fields:
            raise BadTicket('the fields are those of a v2 ticket, but TLS.ver is not "2.0"', code=token.MISSING)
    return (*lines, USERBUF) if userbuf else lines


def _userbuf_text(fields: Mapping[str, object]) -> str:
    """The last signed line as it stands: line breaks inside are harmless there, nothing follows it."""
    text = token.text_of(fields, USERBUF)
    if not text.isascii():
        raise BadTicket("TLS.userbuf is not base64", code=token.BAD_USERBUF)
    return text


def _holds_v1(app: AppKeys, signature: bytes, message: bytes) -> bool:
    pem = app.public_key_pem or app.private_key_pem
    if not pem:
        raise BadTicket(f"app {app.sdk_app_id} takes no v1 tickets (it has no public key)", code=token.MISMATCH)
    try:
        keys.public_key(pem).verify(signature, message, _ECDSA_SHA256)
    except InvalidSignature:
        return False
    except ValueError:
        raise BadTicket(f"the public key of app {app.sdk_app_id} cannot be read", code=token.INTERNAL) from None
    return True


def _holds_v2(app: AppKeys, signature: bytes, message: bytes) -> bool:
    if not app.secret:
        raise BadTicket(f"app {app.sdk_app_id} takes no v2 tickets (it has no secret)", code=token.MISMATCH)
    return hmac.compare_digest(signature, _hmac(app.secret, message))


def _hmac(secret: str, message: bytes) -> bytes:
    return hmac.new(secret.encode("utf-8"), message, hashlib.sha256).digest()


def _claims(
    values: Mapping[str, str], app: AppKeys, user_id: str | None, now_wall: float, version: int, what: str
) -> Signed:
    identifier = values["TLS.identifier"]
    if user_id is not None and identifier != user_id:
        raise BadTicket(f"the {what} belongs to another user", code=token.WRONG_USER)
    app_name, expire_name = ("TLS.sdk_appid", "TLS.expire_after") if version == 1 else ("TLS.sdkappid", "TLS.expire")
    sdk_app_id = token.number(values[app_name], app_name)
    if sdk_app_id != app.sdk_app_id:
        raise BadTicket(f"the {what} is for app {sdk_app_id}, not {app.sdk_app_id}", code=token.WRONG_APP)
    issued = token.number(values["TLS.time"], "TLS.time")
    expires = issued + token.number(values[expire_name], expire_name)
    if expires < int(now_wall):
        raise BadTicket(f"the {what} expired {int(now_wall) - expires} s ago", code=token.EXPIRED)
    blob = token.base64_field(values[USERBUF], USERBUF, token.BAD_USERBUF) if USERBUF in values else b""
    return Signed(version, identifier, sdk_app_id, issued, expires, blob)


def _check_mint(user_id: str) -> None:
    if not user_id or not user_id.isprintable():
        raise ValueError("the user id must be a plain text")
