"""Why a relay is not, or no longer, on the air."""

from __future__ import annotations

import enum
from typing import Final


class Reason(enum.Enum):
    """What a client is told."""

    FORBIDDEN = "forbidden"  # the name leads to an address that nothing is pushed to
    UNREACHABLE = "unreachable"  # no such name, or nobody answers there
    REFUSED = "refused"  # the server there said no, in its own words
    PROTOCOL = "protocol"  # what answers there does not speak RTMP as it should
    SILENT = "silent"  # it does not answer, or takes nothing more
    LOST = "lost"  # the connection broke, or the server there ended the stream
    STOPPED = "stopped"  # asked for
    REPLACED = "replaced"  # a newer relay of the same stream has its place
    UNPUBLISHED = "unpublished"  # the stream has ended
    TAKEN_OVER = "taken_over"  # another program publishes the stream now
    SERVER_STOPS = "server_stops"


FAILURES: Final = frozenset(
    {Reason.FORBIDDEN, Reason.UNREACHABLE, Reason.REFUSED, Reason.PROTOCOL, Reason.SILENT, Reason.LOST}
)
FINAL: Final = frozenset({Reason.FORBIDDEN})
"""Failures after which trying again is in vain."""


class PushFailed(Exception):
    """A connection that did not come about, or has ended. The text is for people and holds no ticket."""

    def __init__(self, reason: Reason, words: str) -> None:
        super().__init__(words)
        self.reason = reason
