"""The polls of one reader that are being held.

News goes to one of them, the newest whose client is still there: an older one is most often the same client's, whose
connection has died without a word. Bounded: MAX_HELD wait for as long as they may, what comes beyond only shortly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

MAX_HELD: Final = 3


class Waiters:
    """Use it from the event loop."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def wake(self) -> None:
        """There is news: one poll fetches it."""
        for waiter, is_there in reversed(self._waiting.items()):
            if waiter.done():
                return  # it is on its way, and takes all there is
            if is_there():
                waiter.set_result(None)
                return

    def wake_all(self) -> None:
        """All polls end, with nothing if there is nothing."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, hold_s: float, is_there: Callable[[], bool]) -> None:
        """Return when woken, or after `hold_s`. `is_there`: whether the client still listens."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        if len(self._waiting) >= MAX_HELD:
            hold_s = min(hold_s, 1.0)
        timer = loop.call_later(hold_s, _end, waiter)
        self._waiting[waiter] = is_there
        try:
            await waiter
        finally:
            timer.cancel()
            del self._waiting[waiter]


def _end(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
