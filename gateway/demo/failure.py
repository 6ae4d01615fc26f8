"""How the demo peer ends when it cannot go on: one line that names cause and cure, exit status 1."""

from __future__ import annotations

from gateway.base.errors import GatewayError


class Failure(GatewayError):
    name = "demo_peer"


class Kicked(Failure):
    """The server has let go of us. There is nothing to leave, and whoever has our name now must not be put out."""
