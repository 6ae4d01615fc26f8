"""What a viewer is told that cannot have something, for people: what is missing, and the cure."""

from __future__ import annotations

from typing import Literal

from gateway.wire.frame import Codec


def cannot_take(user_id: str, kind: Literal["audio", "video"], codec: Codec | None, *, makes_vp8: bool) -> str:
    """Say that a browser has no decoder for what `user_id` publishes (`codec`; None: for nothing that we send)."""
    what = "any codec that this server sends" if codec is None else codec.value
    does = "show" if kind == "video" else "play"
    text = f"this browser cannot {does} {what}; the {kind} of {user_id} is missing here"
    if codec is None:
        return f"{text}. Another browser can."
    if codec is Codec.H264 and not makes_vp8:
        return f"{text}. A browser with H264 can, and so can this one once the operator sets to_vp8 in [bridge]."
    return f"{text}. A browser with {codec.value} can."
