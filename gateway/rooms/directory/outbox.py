"""One order for everything the directory says, to listeners and to replaced sessions."""

from __future__ import annotations

import logging
from collections import deque

from pyee import EventEmitter

from gateway.rooms.events import RoomEvent
from gateway.rooms.room import ControlSession

log = logging.getLogger(__name__)


class Outbox:
    """Collects during a call, delivers at its end. Calls made meanwhile by a hearer queue behind."""

    def __init__(self) -> None:
        self.events = EventEmitter()
        self._queue: deque[RoomEvent | tuple[ControlSession, str]] = deque()
        self._delivering = False

    def announce(self, event: RoomEvent) -> None:
        self._queue.append(event)

    def tell(self, session: ControlSession, reason: str) -> None:
        """Have `session.kicked(reason)` called; its member has been taken from it already."""
        self._queue.append((session, reason))

    def deliver(self) -> None:
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._queue:
                item = self._queue.popleft()
                try:
                    if isinstance(item, tuple):
                        item[0].kicked(item[1])
                    else:
                        self.events.emit("event", item)
                except Exception:  # one broken hearer must not silence the others or undo the call
                    log.exception("! a listener of the directory failed on %s", type(item).__name__)
        finally:
            self._delivering = False
