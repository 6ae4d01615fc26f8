"""userSig: this user may speak for itself in this app. v1 (ECDSA) and v2 (HMAC), docs/tickets.md 1.

token = mint_v1(private_pem, 1400000001, "alice", now, 3600)
verify(token, app, "alice", now)      # raises BadTicket with the code of docs/tickets.md 3
"""

from __future__ import annotations

import dataclasses

from gateway.rooms.tickets import signature
from gateway.rooms.tickets.keys import AppKeys


@dataclasses.dataclass(frozen=True, slots=True)
class UserSig:
    """A verified userSig. `expires` is unix seconds, the last valid one."""

    user_id: str
    sdk_app_id: int
    issued: int
    expires: int
    version: int


def mint_v1(
    key_pem: str,
    sdk_app_id: int,
    user_id: str,
    now_wall: float,
    expire_s: int,
    *,
    appid_at_3rd: str = "0",
    account_type: str = "0",
    version: str = "201512300000",
    level: int = -1,
) -> str:
    """Return a userSig signed with the app's private key (either curve). Raises ValueError."""
    return signature.mint_v1(
        key_pem, sdk_app_id, user_id, now_wall, expire_s, None, appid_at_3rd, account_type, version, level
    )


def mint_v2(secret: str, sdk_app_id: int, user_id: str, now_wall: float, expire_s: int, *, level: int = -1) -> str:
    """Return a userSig signed with the app's secret. Raises ValueError."""
    return signature.mint_v2(secret, sdk_app_id, user_id, now_wall, expire_s, None, level)


def mint(app: AppKeys, user_id: str, now_wall: float, expire_s: int) -> str:
    """Return a userSig by whichever key `app` has, v1 if both. Raises ValueError if it can sign neither."""
    if app.private_key_pem:
        return mint_v1(app.private_key_pem, app.sdk_app_id, user_id, now_wall, expire_s)
    if app.secret:
        return mint_v2(app.secret, app.sdk_app_id, user_id, now_wall, expire_s)
    raise ValueError(f"app {app.sdk_app_id} has neither a private key nor a secret to sign with")


def verify(token: object, app: AppKeys, user_id: str | None, now_wall: float) -> UserSig:
    """Check `token` for `user_id` (None: whoever it names). Raises BadTicket (codes 1-10, 13, 14)."""
    signed = signature.verify(token, app, user_id, now_wall, userbuf=False)
    return UserSig(signed.user_id, signed.sdk_app_id, signed.issued, signed.expires, signed.version)
