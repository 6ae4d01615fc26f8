"""How the demo peer ends when it cannot go on: one line that names cause and cure, exit status 1."""

from __future__ import annotations

import os

from gateway.base.errors import GatewayError


class Failure(GatewayError):
    name = "demo_peer"


class Kicked(Failure):
    """The server has let go of us. There is nothing to leave, and whoever has our name now must not be put out."""


def reason(error: BaseException) -> str:
    """Return why a connection failed, in the words of the operating system; asyncio's own name only the address."""
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number > 0:
        return os.strerror(number).lower()
    return str(error) or type(error).__name__
