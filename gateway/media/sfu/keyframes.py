"""When to ask a source for a key frame: at once, but not too often, and again while nobody was answered. Pure."""

from __future__ import annotations

from typing import Final

INTERVAL_S: Final = 0.5
"""Requests to one source are at least this far apart (browsers answer one per 300 ms)."""

RETRY_S: Final = 1.0
"""While somebody waits, the source is asked again this often: a request can be lost. Half of it if it is urgent."""


class KeyframeRequests:
    """Throttle of one publication. Each method that may lead to a request returns True if it is to be sent now."""

    __slots__ = ("_asked", "_open", "_retry_s", "_wanted", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self._asked = float("-inf")
        self._wanted = False  # a request was put off
        self._open = False  # a request was sent and no key frame has come since
        self._retry_s = RETRY_S

    def request(self, now: float, urgent: bool = False) -> bool:
        """Somebody needs a key frame."""
        self._retry_s = RETRY_S / 2 if urgent else RETRY_S
        if now < self._asked + INTERVAL_S:
            self._wanted = True
            return False
        return self._send(now)

    def arrived(self) -> None:
        """A key frame begins: all wishes so far are answered."""
        self._wanted = self._open = False

    def due(self, now: float, waiting: bool) -> bool:
        """Say whether a request that was put off, or not answered while somebody is `waiting`, is due."""
        if self._wanted:
            return now >= self._asked + INTERVAL_S and self._send(now)
        if self._open and waiting:
            return now >= self._asked + self._retry_s and self._send(now)
        return False

    def next_due(self, waiting: bool) -> float | None:
        """Return when `due` should be called next, None if there is nothing to wait for."""
        if self._wanted:
            return self._asked + INTERVAL_S
        return self._asked + self._retry_s if self._open and waiting else None

    def _send(self, now: float) -> bool:
        self._asked = now
        self._wanted = False
        self._open = True
        self.sent += 1
        return True
