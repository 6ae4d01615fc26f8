"""The groups and their messages, as far as they are kept: by number, bytes and age, the oldest go first.

Only `Groups` uses this. What changes is noted, for the store to write down.

After a kill. The store writes each half second, so the newest messages of a killed server may be seen by clients and
missing in the file, and their seqs would be given again, to other messages. Therefore a restored group gets a new
epoch unless the last server wrote all it had (`GroupSnapshot.complete`): clients forget what they know and take what
is kept. A jump of seq would be the other way. It leaves a hole that nobody can fill, shows the lost messages to some
members for ever and to others never, and shows one that is sent again twice to those; with a new epoch everybody has
the same list again, which is the promise.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Collection, Mapping

from gateway.base.config import MessagesConfig
from gateway.rooms.groups.group import Group, cost
from gateway.rooms.groups.values import GroupRecord, GroupSnapshot
from gateway.rooms.room import RoomKey
from gateway.wire.chat import Message


class Shelf:
    """See the module."""

    def __init__(self, config: MessagesConfig) -> None:
        self.bytes = 0
        self.groups: dict[RoomKey, Group] = {}
        self._config = config
        self.oldest: collections.OrderedDict[tuple[int, int], Group] = collections.OrderedDict()
        self._changed: dict[int, GroupRecord | None] = {}
        self._dirty: dict[int, Group] = {}
        self._new: dict[tuple[int, int], Message] = {}

    def open(self, room: RoomKey, number: int) -> Group:
        """Make the group of a room that has none; `number` is its id and its epoch."""
        group = self.groups[room] = Group(number, room, number)
        self._dirty[number] = group
        return group

    def touch(self, group: Group) -> None:
        """The group itself has changed."""
        self._dirty[group.id] = group

    def keep(self, group: Group, message: Message, now_ms: int) -> None:
        """Keep a message that the group has just got, and let go of what is over the limits."""
        self._shelve(group, message)
        self._new[(group.id, message.seq)] = message
        self._dirty[group.id] = group
        self.trim(group, now_ms)

    def _shelve(self, group: Group, message: Message) -> None:
        self.bytes += cost(message)
        self.oldest[(group.id, message.seq)] = group

    def trim(self, group: Group, now_ms: int) -> None:
        """Let go of what is over the limits, of this group and of all together."""
        config = self._config
        while len(group) > config.kept or (group.bytes > config.kept_bytes and len(group) > 1):
            self._drop_oldest(group)
        while (oldest := group.oldest()) is not None and oldest.time_ms < now_ms - config.max_age_s * 1000:
            self._drop_oldest(group)
        while self.bytes > config.total_bytes and len(self.oldest) > 1:
            self._drop_oldest(next(iter(self.oldest.values())))

    def _drop_oldest(self, group: Group) -> None:
        message = group.drop_oldest()
        assert message is not None
        self._let_go(group, message)
        self._dirty[group.id] = group

    def _let_go(self, group: Group, message: Message) -> None:
        self.bytes -= cost(message)
        del self.oldest[(group.id, message.seq)]
        self._new.pop((group.id, message.seq), None)

    def close(self, room: RoomKey) -> None:
        """Forget the group and its messages; harmless if there is none."""
        group = self.groups.pop(room, None)
        if group is None:
            return
        while (message := group.drop_oldest()) is not None:
            self._let_go(group, message)
        self._dirty.pop(group.id, None)
        self._changed[group.id] = None

    # --- lasting

    def take_changes(self) -> tuple[Mapping[int, GroupRecord | None], Mapping[tuple[int, int], Message]]:
        """Return the groups and the messages that changed since the last call."""
        changed = {**self._changed, **{number: group.record() for number, group in self._dirty.items()}}
        messages, self._new = self._new, {}
        self._changed, self._dirty = {}, {}
        return changed, messages

    def restore(
        self, saved: GroupSnapshot, rooms: Collection[RoomKey], number: Callable[[], int], now_ms: int
    ) -> list[tuple[Group, Message]]:
        """Fill an empty shelf, for the rooms that exist and the groups without one; the rest is deleted.

        Returns the messages, oldest first. `number()` draws new epochs, if the groups need them: see the module.
        """
        assert not self.groups
        by_id: dict[int, Group] = {}
        newest: dict[int, int] = {}
        for record in sorted(saved.groups, key=lambda item: item.id):
            if record.room not in rooms and not record.bare:
                self._changed[record.id] = None
                continue
            double = self.groups.get(record.room)
            if double is not None:
                self._changed[double.id] = None
                del by_id[double.id]
            group = self.groups[record.room] = by_id[record.id] = Group.of(record)
            if record.room in rooms:
                group.bare, group.owner = False, ""
            newest[record.id] = record.first - 1
        found = []
        for group_id, message in sorted(saved.messages, key=lambda item: (item[1].time_ms, item[0], item[1].seq)):
            known = by_id.get(group_id)
            if known is not None and message.seq > max(0, newest[group_id]):
                newest[group_id] = message.seq
                known.put(message)
                self._shelve(known, message)
                found.append((known, message))
        for group in by_id.values():
            group.restored_seq = group.seq
            if not saved.complete:
                group.epoch = number()
                self._dirty[group.id] = group
            self.trim(group, now_ms)
        return found
