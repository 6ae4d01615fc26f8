"""What clients of `/im` send, read: frames and their fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.base.errors import BadRequest, SignalingError
from gateway.wire import chat


def read_frame(text: str) -> dict[str, Any]:
    """Return the frame: an object with a text `cmd` and a number or text `id`. Raises SignalingError."""
    try:
        frame = json.loads(text)
        text.encode()
    except (ValueError, RecursionError):
        raise SignalingError("the frame is not JSON") from None
    if not isinstance(frame, dict):
        raise SignalingError("the frame is not a JSON object")
    command, request = frame.get("cmd"), frame.get("id")
    if not isinstance(command, str) or len(command) > 32:
        raise SignalingError("cmd: the name of a command is needed")
    if isinstance(request, bool) or not isinstance(request, int | str) or len(str(request)) > 64:
        raise SignalingError("id: a number or a short text is needed")
    return frame


def read_text(frame: Mapping[str, Any], name: str) -> str:
    value = frame.get(name)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63:
        return str(value)
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BadRequest(f"{name}: a text is needed")
    return value


def read_position(frame: Mapping[str, Any]) -> chat.Position | None:
    """Read how far the client has read. Raises BadRequest."""
    if frame.get("lastSeq") is None:
        return None
    # Without an epoch nobody can say what the number counts: then it is none that we know.
    epoch = frame.get("epoch")
    return chat.read_position(0 if epoch is None else epoch, frame["lastSeq"])


def read_app(frame: Mapping[str, Any]) -> int | None:
    value = frame.get("sdkAppID")
    if value is None or value == "" or value == 0:
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 10:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest("sdkAppID: a number is needed")
    return value
