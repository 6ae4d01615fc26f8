"""One group: the messages of one room, in their order.

`seq` counts 1, 2, 3 … without a hole for as long as the group lives. `epoch` names the counting: where it is another
one, the seqs that a client knows mean nothing. A reader needs nothing but "all after seq N": long polls can ask the
same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.rooms.groups.values import GroupInfo, GroupRecord
from gateway.rooms.room import RoomKey
from gateway.wire.chat import Backlog, Body, Message, Position, Range

KEPT_OVERHEAD: Final = 768
"""Bytes of memory that a message takes besides its body, the books of all kinds included (measured: 840 in all)."""
SENT_OVERHEAD: Final = 200
"""Bytes that a message takes besides its body in a frame, roughly."""


def cost(message: Message) -> int:
    """Bytes that a message counts for while it is kept."""
    return KEPT_OVERHEAD + _body_bytes(message)


def _body_bytes(message: Message) -> int:
    text = message.body.json
    return len(text) if text.isascii() else len(text.encode())


class Group:
    """See the module. Only `Groups` changes it."""

    __slots__ = (
        "_messages",
        "bare",
        "bytes",
        "epoch",
        "first",
        "id",
        "info",
        "last_time_ms",
        "owner",
        "restored_seq",
        "room",
        "seq",
    )

    def __init__(self, id: int, room: RoomKey, epoch: int, seq: int = 0) -> None:
        self.id = id
        self.room = room
        self.epoch = epoch
        self.seq = seq
        self.first = seq + 1
        """The oldest seq still kept, seq + 1 if there is none."""
        self.bytes = 0
        self.last_time_ms = 0
        self.bare = False
        """It has no room."""
        self.owner = ""
        """Who made a bare group; "" if somebody just joined it."""
        self.info = GroupInfo()
        self.restored_seq = 0
        """The newest seq that the last server had written down."""
        self._messages: dict[int, Message] = {}

    @classmethod
    def of(cls, record: GroupRecord) -> Group:
        """Return the group of an earlier run, as yet without its messages."""
        group = cls(record.id, record.room, record.epoch, record.seq)
        group.bare, group.owner, group.info = record.bare, record.owner, record.info
        return group

    def __len__(self) -> int:
        return len(self._messages)

    def record(self) -> GroupRecord:
        return GroupRecord(self.id, self.room, self.epoch, self.seq, self.first, self.bare, self.owner, self.info)

    # --- writing

    def append(
        self, sender: str, nick: str, random: int, body: Body, time_ms: int, priority: str = "COMMON"
    ) -> Message:
        """Give the message its place. Its time is never before that of the one before it."""
        self.last_time_ms = max(self.last_time_ms, time_ms)
        message = Message(self.seq + 1, self.last_time_ms, sender, nick, random, body, priority=priority)
        self.put(message)
        return message

    def put(self, message: Message) -> None:
        """Put a message behind the newest: a new one, or a kept one of an earlier run."""
        if not self._messages:
            self.first = message.seq
        self.seq = max(self.seq, message.seq)
        self.last_time_ms = max(self.last_time_ms, message.time_ms)
        self._messages[message.seq] = message
        self.bytes += cost(message)

    def oldest(self) -> Message | None:
        return self._messages.get(self.first)

    def drop_oldest(self) -> Message | None:
        """Let go of the oldest message; None if there is none."""
        message = self._messages.pop(self.first, None)
        if message is None:
            return None
        self.bytes -= cost(message)
        self.first += 1
        # Only a damaged row of an earlier run leaves a hole.
        while self._messages and self.first not in self._messages:
            self.first += 1
        if not self._messages:
            self.first = self.seq + 1
        return message

    # --- reading

    def read(self, wanted: Range, max_bytes: int) -> Backlog:
        """Return what is asked for and kept, at most `max_bytes` of it, but one message at least.

        What does not fit is missing at the far end: the newest of "after", the oldest otherwise.
        """
        low = max(self.first, (wanted.after or 0) + 1)
        high = self.seq if wanted.before is None else min(self.seq, wanted.before - 1)
        if wanted.after is not None:
            found = self._collect(range(low, high + 1), wanted.count, max_bytes)
        else:
            found = self._collect(range(high, low - 1, -1), wanted.count, max_bytes)
            found.reverse()
        return Backlog(self.epoch, self.seq, self.first, tuple(found))

    def missed(self, position: Position | None, newest: int, most: int, max_bytes: int) -> Backlog:
        """Return what a client gets that comes: all after `position` (at most `most`), or the `newest`.

        A position of another epoch is none.
        """
        if position is not None and position.epoch == self.epoch:
            return self.read(Range(after=position.seq, count=most), max_bytes)
        return self.read(Range(count=newest), max_bytes) if newest else Backlog(self.epoch, self.seq, self.first, ())

    def _collect(self, seqs: Iterable[int], count: int, max_bytes: int) -> list[Message]:
        found: list[Message] = []
        size = 0
        for seq in seqs:
            message = self._messages.get(seq)
            if message is None:
                continue
            size += SENT_OVERHEAD + _body_bytes(message)
            if found and size > max_bytes:
                break
            found.append(message)
            if len(found) == count:
                break
        return found
