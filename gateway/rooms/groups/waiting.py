"""Messages to one user that wait until it fetches them, by whichever way it comes first.

    put ──▶ of ──▶ acknowledge      for readers that poll, and say with the next poll how far they have read
    put ──▶ take                    for a connection that gets them at once

Ordered by `seq`, which grows over all users and restarts. Bounded by count a user, age, and bytes of all together, the
oldest go first; and by what one sender may have waiting, so that nobody pushes out what others wrote.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Collection, Mapping
from typing import Final

from gateway.base.config import MessagesConfig
from gateway.base.errors import TooMany
from gateway.rooms.groups.values import KeptDirect
from gateway.wire.chat import Direct

OVERHEAD: Final = 768
"""Bytes of memory that a waiting message takes besides its body, roughly."""
SENDER_SHARE: Final = 16
"""One sender may fill the 16th part of `direct_total_bytes`."""
MAX_READERS: Final = 3
"""A message that stopped so many logins of its user, each before it acknowledged it, would stop the next one too."""

User = tuple[int, str]


class Waiting:
    """See the module. Use it from one thread."""

    def __init__(self, config: MessagesConfig) -> None:
        self._config = config
        self._queues: dict[User, collections.OrderedDict[int, KeptDirect]] = {}
        self._oldest: collections.OrderedDict[int, User] = collections.OrderedDict()
        """Every message there is, by seq, with its receiver."""
        self._of_sender: dict[User, int] = {}
        """Bytes that wait of each sender."""
        self._readers: dict[int, set[str]] = {}
        """To whom messages were given that are not acknowledged."""
        self.bytes = 0
        self._changed: dict[int, KeptDirect | None] = {}
        self._unsaved: set[int] = set()
        """Messages that the file has never seen: when they go, it need not hear of them."""

    def __len__(self) -> int:
        return len(self._oldest)

    def check_sender(self, app: int, sender: str) -> None:
        """Raises TooMany: so much that this sender wrote waits already."""
        limit = self._config.direct_total_bytes // SENDER_SHARE
        if self._of_sender.get((app, sender), 0) >= limit:
            raise TooMany(f"{limit} bytes that you wrote wait for users who are away", retry_after_ms=60_000)

    def put(self, kept: KeptDirect, now_ms: int) -> None:
        """Keep a message, whose seq is above all others'. Those that are over the limits go."""
        self._add(kept)
        self._changed[kept.message.seq] = kept
        self._unsaved.add(kept.message.seq)
        self._trim((kept.app, kept.message.to), now_ms)

    def _add(self, kept: KeptDirect) -> None:
        user, message = (kept.app, kept.message.to), kept.message
        self._queues.setdefault(user, collections.OrderedDict())[message.seq] = kept
        self._oldest[message.seq] = user
        self._count(kept, 1)

    def of(self, app: int, user_id: str, after: int = 0) -> list[Direct]:
        """Return the messages with seq > `after`, oldest first. They go on waiting."""
        return [kept.message for seq, kept in self._queue(app, user_id).items() if seq > after]

    def _queue(self, app: int, user_id: str) -> Mapping[int, KeptDirect]:
        return self._queues.get((app, user_id), {})

    def give(self, seq: int, reader: str) -> bool:
        """The message is about to be given to a reader, one login of its user; return whether it may be.

        After MAX_READERS that never acknowledged it, it goes instead.
        """
        readers = self._readers.setdefault(seq, set())
        if reader not in readers and len(readers) >= MAX_READERS:
            self._drop(seq)
            return False
        readers.add(reader)
        return True

    def acknowledge(
        self, app: int, user_id: str, seq: int, can_read: Callable[[Direct], bool] = lambda direct: True
    ) -> None:
        """The reader has all messages up to `seq` that it was given: they go.

        Of those of an earlier run it was given what it `can_read`.
        """
        queue = self._queue(app, user_id)
        for number in [number for number in queue if number <= seq]:
            if number in self._readers and can_read(queue[number].message):
                self._drop(number)

    def take(self, app: int, user_id: str) -> list[Direct]:
        """Return what waits for the user, oldest first, but for what it was shown already; nothing waits any more."""
        queue = self._queue(app, user_id)
        found = [kept.message for kept in queue.values() if not kept.shown]
        for seq in list(queue):
            self._drop(seq)
        return found

    def expire(self, now_ms: int) -> None:
        limit = now_ms - self._config.direct_max_age_s * 1000
        while self._oldest:
            seq = next(iter(self._oldest))
            if self._queues[self._oldest[seq]][seq].message.time_ms >= limit:
                return
            self._drop(seq)

    def _trim(self, user: User, now_ms: int) -> None:
        queue = self._queues[user]
        while len(queue) > self._config.direct_kept:
            self._drop(next(iter(queue)))
        self.expire(now_ms)
        while self.bytes > self._config.direct_total_bytes and len(self._oldest) > 1:
            self._drop(next(iter(self._oldest)))

    def _drop(self, seq: int) -> None:
        user = self._oldest.pop(seq, None)
        if user is None:
            return
        queue = self._queues[user]
        self._count(queue.pop(seq), -1)
        if not queue:
            del self._queues[user]
        self._readers.pop(seq, None)
        if seq in self._unsaved:
            self._unsaved.discard(seq)
            del self._changed[seq]
        else:
            self._changed[seq] = None

    def _count(self, kept: KeptDirect, sign: int) -> None:
        size = sign * (OVERHEAD + len(kept.message.body.json.encode()))
        self.bytes += size
        sender = (kept.app, kept.message.sender)
        left = self._of_sender.get(sender, 0) + size
        if left > 0:
            self._of_sender[sender] = left
        else:
            self._of_sender.pop(sender, None)

    # --- lasting

    def take_changes(self) -> dict[int, KeptDirect | None]:
        changed, self._changed = self._changed, {}
        self._unsaved = set()
        return changed

    def restore(self, saved: Collection[KeptDirect], now_ms: int) -> None:
        """Fill an empty book from the store."""
        assert not self._oldest
        for kept in sorted(saved, key=lambda item: item.message.seq):
            if kept.message.seq not in self._oldest:
                self._add(kept)
                self._readers[kept.message.seq] = set()
                self._trim((kept.app, kept.message.to), now_ms)
