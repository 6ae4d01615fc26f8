"""What waits for one poll loop, and the polls that wait for it.

Each entry goes to one poll only, since old clients may run two loops and do not notice doubles. A poll whose client has
gone away takes nothing. Bounded: QUEUE entries (the oldest go first) and MAX_HELD polls at a time.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable
from typing import Final

QUEUE: Final = 500
BATCH: Final = 100
MAX_HELD: Final = 3


class Mailbox:
    """See the module. Use it from the event loop."""

    def __init__(self) -> None:
        self.closed = False
        """Nothing comes any more; polls are held and end empty."""
        self._entries: collections.deque[str] = collections.deque(maxlen=QUEUE)
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}

    @property
    def held(self) -> int:
        return len(self._waiting)

    def put(self, entry: str) -> None:
        if not self.closed:
            self._entries.append(entry)
            self._wake_one()

    def close(self) -> None:
        """Answer the polls that wait, at once; what was not fetched is gone."""
        self.closed = True
        self._entries.clear()
        self.wake()

    def wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _wake_one(self) -> None:
        for waiter, alive in self._waiting.items():
            if waiter.done():
                return  # it is on its way and takes all there is
            if alive():
                waiter.set_result(None)
                return

    async def take(self, hold_s: float, alive: Callable[[], bool]) -> list[str]:
        """Return up to BATCH entries, oldest first; none after `hold_s`, or when woken."""
        if not self._entries and self.held < MAX_HELD:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[waiter] = alive
            try:
                async with asyncio.timeout(hold_s):
                    await waiter
            except TimeoutError:
                pass
            finally:
                del self._waiting[waiter]
        elif not self._entries:
            await asyncio.sleep(min(1.0, hold_s))
            return []
        if not alive():
            if self._entries:
                self._wake_one()
            return []
        return [self._entries.popleft() for _ in range(min(BATCH, len(self._entries)))]
