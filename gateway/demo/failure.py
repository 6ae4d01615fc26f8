"""How the demo peer ends when it cannot go on: one line that names cause and cure, exit status 1."""

from __future__ import annotations

from gateway.base.errors import GatewayError


class Failure(GatewayError):
    name = "demo_peer"
