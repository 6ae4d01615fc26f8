"""The STUN and TURN servers that clients are told of: an operator's own, for clients whose network blocks our UDP port.

Credentials are the time-limited ones that TURN servers share a secret for (draft-uberti-behave-turn-rest): the user
name is `<end of validity, unix seconds>:<user>`, the credential its HMAC-SHA1 with the secret in base64.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
from typing import Final

from gateway.base.clock import Clock
from gateway.base.config import RtcConfig

LIFETIME_S: Final = 86400


@dataclasses.dataclass(frozen=True, slots=True)
class IceServer:
    """One server. `username` and `credential` are "" for STUN, and for TURN without a shared secret."""

    url: str
    username: str = ""
    credential: str = dataclasses.field(default="", repr=False)

    def json(self) -> dict[str, object]:
        """Return it as an RTCIceServer."""
        if not self.username:
            return {"urls": [self.url]}
        return {"urls": [self.url], "username": self.username, "credential": self.credential}

    def link(self) -> str:
        """Return it as a Link header of WHIP and WHEP (RFC 9725 section 4.6)."""
        link = f'<{self.url}>; rel="ice-server"'
        if self.username:
            link += f'; username="{self.username}"; credential="{self.credential}"; credential-type="password"'
        return link


class IceServers:
    """Makes the list for one user."""

    def __init__(self, config: RtcConfig, wall: Clock) -> None:
        self._urls = config.ice_servers
        self._secret = config.turn_secret.encode()
        self._wall = wall

    def for_user(self, user_id: str) -> list[IceServer]:
        username = f"{int(self._wall()) + LIFETIME_S}:{user_id}"
        digest = hmac.new(self._secret, username.encode(), hashlib.sha1).digest()
        credential = base64.b64encode(digest).decode("ascii")
        return [
            IceServer(url, username, credential) if url.startswith("turn") and self._secret else IceServer(url)
            for url in self._urls
        ]
