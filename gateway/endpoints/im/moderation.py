"""The moderation commands of `/v4/group_open_http_svc/`, by name; `server.py` hands over what it does not know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.endpoints.im.requests import Who

if TYPE_CHECKING:
    from gateway.endpoints.im.server import Im

Command = Callable[["Im", Who, Mapping[str, Any]], Mapping[str, object]]
"""Returns the fields of an OK answer; raises a GatewayError, which the caller turns into the IM's number."""

MODERATION: Final[Mapping[str, Command]] = {}
