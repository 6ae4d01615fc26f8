"""The vectors of tests/vectors/auth.json, and apps made of their keys."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from gateway.rooms.tickets.keys import AppKeys

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent.parent / "vectors" / "auth.json").read_text())
CURVES = ("p256", "secp256k1")
NOW = 1546300800
"""The issue time of all our own vectors, 2019-01-01."""


def pem(body: str, label: str = "PUBLIC KEY") -> str:
    return "\n".join([f"-----BEGIN {label}-----", *textwrap.wrap(body, 64), f"-----END {label}-----", ""])


def app(curve: str = "p256", **changes: Any) -> AppKeys:
    values: dict[str, Any] = {
        "sdk_app_id": 1400000001,
        "bizid": "8888",
        "public_key_pem": VECTORS["keys"][curve]["public"],
        "private_key_pem": VECTORS["keys"][curve]["private"],
        "secret": VECTORS["C3"]["secret"],
        "push_key": "p" * 32,
        "rtcplay_key": "r" * 32,
        "play_key": "l" * 32,
    }
    return AppKeys(**(values | changes))
