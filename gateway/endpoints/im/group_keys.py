"""The keys by which users poll a group, and what waits for each.

    join ──▶ key (pending) ──▶ its first poll: it is the one that hears; the key before hears no more ──▶ ended

A client of 2018 that joins again goes on polling by its older key as well, and takes an entry that comes by both for
two. So every join gives a fresh key, which takes over what the older one has not handed out yet, but only when it is
used: the answer to the join may have been lost, and then the older key goes on.

`StartSeq` acknowledges all before it, and what is not acknowledged is given again. The numbers carry the group's own
(`seq << SHIFT`), so that a poll says after a restart of the server how far its client has read.
"""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from gateway.endpoints.im.waiters import Waiters
from gateway.rooms.room import RoomKey

if TYPE_CHECKING:
    from gateway.endpoints.im.sessions import Session

QUEUE: Final = 500
"""Entries that wait for one key; the oldest go first."""
BATCH: Final = 100
"""Entries in one answer."""
SHIFT: Final = 20
MAX_NUMBER: Final = (1 << 53) - 1


class GroupKey:
    """One key. `since` is the group's seq when it was given; `session` is None for whoever has not logged in."""

    __slots__ = (
        "_entries",
        "_last",
        "digest",
        "ended",
        "given",
        "group",
        "repeats",
        "seen_at",
        "session",
        "since",
        "stale",
        "waiters",
    )

    def __init__(self, digest: str, group: RoomKey, session: Session | None, since: int, now: float) -> None:
        self.digest = digest
        self.group = group
        self.session = session
        self.since = since
        self.seen_at = now
        self.ended = False
        """Nothing new comes, but what waits is still to be fetched."""
        self.stale = False
        """From an earlier run of the server, and not used since: what was missed is to be looked up."""
        self.repeats = 0
        """Polls in a row that were given nothing but what had been given before."""
        self.waiters = Waiters()
        self.given = self._last = since << SHIFT
        self._entries: collections.deque[tuple[int, bytes, int]] = collections.deque(maxlen=QUEUE)

    @property
    def user_id(self) -> str:
        """ "" for whoever has not logged in."""
        return "" if self.session is None else self.session.user_id

    def put(self, entry: bytes, seq: int = 0) -> None:
        """Let an entry wait; `seq` is its message's in the group, 0 for what has none."""
        self._append(entry, seq)
        self.waiters.wake()

    def _append(self, entry: bytes, seq: int) -> None:
        self._last = max(self._last + 1, seq << SHIFT)
        self._entries.append((self._last, entry, seq))

    def acknowledge(self, start: int) -> None:
        """The client has all entries before `start` that it was given."""
        while self._entries and self._entries[0][0] < min(start, self.given + 1):
            self._entries.popleft()

    def give(self, *, again: bool) -> tuple[list[bytes], int]:
        """Return the entries of one answer and its NextSeq. `again`: also what was given and not acknowledged."""
        after = 0 if again else self.given
        found = [entry for entry in self._entries if entry[0] > after][:BATCH]
        if found:
            self.repeats = self.repeats + 1 if found[-1][0] <= self.given else 0
            self.given = found[-1][0]
        return [entry for _, entry, _ in found], self.given + 1

    def hand_over(self) -> list[tuple[bytes, int]]:
        """Hear no more; return what nobody has been given yet."""
        fresh = [(entry, seq) for number, entry, seq in self._entries if number > self.given]
        for _ in fresh:
            self._entries.pop()
        self.ended = True
        return fresh

    def begin(self, start: int, missed: Iterable[tuple[bytes, int]]) -> None:
        """Go on from a poll's `start`, in an earlier run's numbers (0: from the beginning), with what was `missed`."""
        waiting = [(entry, seq) for _, entry, seq in self._entries]
        self._entries.clear()
        self.given = self._last = max(self.given, start - 1)
        for entry, seq in (*missed, *waiting):
            self._append(entry, seq)
        self.stale = False

    def read_up_to(self, start: int) -> int:
        """Return the seq of the last message that a client has which asks for `start`."""
        return (start - 1) >> SHIFT if start > 0 else self.since


class GroupKeys:
    """All keys of this node, by digest, and which of them hear each group."""

    def __init__(self) -> None:
        self._keys: dict[str, GroupKey] = {}
        self._hearing: dict[RoomKey, dict[GroupKey, None]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, secret: str) -> GroupKey | None:
        return self._keys.get(digest_of(secret))

    def get(self, digest: str) -> GroupKey | None:
        return self._keys.get(digest)

    def add(self, key: GroupKey, *, hears: bool) -> None:
        self._keys[key.digest] = key
        if hears:
            self._hearing.setdefault(key.group, {})[key] = None

    def take_over(self, key: GroupKey, before: GroupKey) -> None:
        """`key` hears from now on, and has what `before` has not given yet."""
        for entry, seq in before.hand_over():
            key.put(entry, seq)
        self.deafen(before)
        self._hearing.setdefault(key.group, {})[key] = None

    def hears(self, key: GroupKey) -> bool:
        return key in self._hearing.get(key.group, ())

    def hearing(self, group: RoomKey) -> Iterator[GroupKey]:
        yield from self._hearing.get(group, ())

    def is_heard(self, group: RoomKey) -> bool:
        return group in self._hearing

    def deafen(self, key: GroupKey) -> None:
        """Nothing new comes by the key; what waits is still given."""
        key.ended = True
        keys = self._hearing.get(key.group)
        if keys is not None:
            keys.pop(key, None)
            if not keys:
                del self._hearing[key.group]

    def remove(self, key: GroupKey) -> None:
        """Forget the key: its polls end at once, later ones find nothing."""
        self._keys.pop(key.digest, None)
        self.deafen(key)
        key.waiters.wake_all()

    def wake_all(self) -> None:
        for key in self._keys.values():
            key.waiters.wake_all()


def digest_of(secret: str) -> str:
    """Return how a secret is kept: what is written down opens nothing."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()[:40]
