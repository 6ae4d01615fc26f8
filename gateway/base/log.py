"""How the gateway logs. Only cli.py calls `configure()`; everybody else uses logging.getLogger(__name__).

INFO: one line when a thing opens, one when it closes. DEBUG marks: `<` received, `>` sent, `=` state, `x` dropped,
`!` trouble. Tickets, keys and message bodies never reach a log: `redact()` is for the rare text that may hold them.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

_SECRET: Final = re.compile(
    r"(?i)\b(tx(?:secret|serect)|usersig|privatemapkey|token|authorization|t)"  # the name
    r"(\"?\s*[=:]\s*\"?)"  # its mark, in a query, a header or JSON
    r"(?:bearer\s+)?[^&\s\"',}]+"
)


def redact(text: str) -> str:
    """Return `text` with the values of ticket-like parameters replaced by `…`, for log lines only."""
    return _SECRET.sub(r"\1\2…", text)


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every record of `level` and above to `stream` (standard error), one line each."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(name)s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Third-party chatter: their INFO is our DEBUG.
    for name in ("aiortc", "aioice", "aiohttp.access", "asyncio", "libav"):
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)


class Tagged(logging.LoggerAdapter[logging.Logger]):
    """Prefix each line with what it is about: `[room 42 · alice · main]`."""

    def __init__(self, logger: logging.Logger, *parts: object) -> None:
        super().__init__(logger, {})
        self.tag = "[" + " · ".join(str(part) for part in parts) + "]"

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return f"{self.tag} {msg}", kwargs


class Repeated:
    """Counts a repeated trouble and lets a line a second through: `if (n := r.hit(now)): log.debug("%d times", n)`."""

    __slots__ = ("_count", "_interval_s", "_next")

    def __init__(self, interval_s: float = 1.0) -> None:
        self._interval_s = interval_s
        self._count = 0
        self._next = float("-inf")

    def hit(self, now: float, count: int = 1) -> int:
        """Add `count`; return how many have gathered since the last line if a line is due, else 0."""
        self._count += count
        if now < self._next:
            return 0
        gathered, self._count = self._count, 0
        self._next = now + self._interval_s
        return gathered
