"""What the demo peer prints: one line for each thing, with the time, safe for a terminal."""

from __future__ import annotations

import sys
import time
from typing import Final, TextIO

MAX_LINE: Final = 1000


def plain(text: str) -> str:
    """Return `text` on one line, without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else "·" for letter in text)[:MAX_LINE]


class Screen:
    """Writes lines to `stream` (standard output). A reader that went away is no error."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def line(self, text: str) -> None:
        try:
            print(time.strftime("%H:%M:%S"), plain(text), file=self._stream, flush=True)
        except (BrokenPipeError, ValueError):
            pass
