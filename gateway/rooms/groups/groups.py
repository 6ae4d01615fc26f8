"""Every group on this node. A group lives as long as its room; its messages are kept by number, bytes and age.

    post ──▶ resend? answered as the first time
         ──▶ bucket of the sender ──▶ the group's next seq ──▶ kept, announced to everybody in the room

All calls are synchronous and cheap; times (`now` monotonic seconds, `now_ms` unix ms) are arguments. What happens is
announced by `events.on("event", listener)` in one order for everybody; a listener must not raise, block or call back.
Notices of the system stand in no list: they have no seq, are not kept, and go to those who are there.

Users of the old IM join groups (one at a time). A group that they make without a room ends when it is destroyed or
when nobody has been in it for BARE_S; it does not outlast a restart.

After a kill. The store writes each half second, so the newest messages of a killed server may be seen by clients and
missing in the file, and their seqs would be given again, to other messages. Therefore a restored group gets a new
epoch unless the last server wrote all it had (`GroupSnapshot.complete`): clients forget what they know and take what
is kept. A jump of seq would be the other way. It leaves a hole that nobody can fill, shows the lost messages to some
members for ever and to others never, and shows one that is sent again twice to those; with a new epoch everybody has
the same list again, which is the promise.
"""

from __future__ import annotations

import collections
import logging
from collections.abc import Callable, Collection
from typing import Final

from pyee import EventEmitter

from gateway.base.config import MessagesConfig
from gateway.base.errors import NameTaken, Overloaded, ShuttingDown, TooLarge
from gateway.rooms import events
from gateway.rooms.groups.group import Group, cost
from gateway.rooms.groups.limits import RESEND_S, Sender
from gateway.rooms.groups.values import (
    CustomPosted,
    DirectPosted,
    GroupChanges,
    GroupDissolved,
    GroupEvent,
    GroupNotice,
    GroupRecord,
    GroupSnapshot,
    MemberJoinedGroup,
    MemberQuitGroup,
    MessagePosted,
    Receipt,
)
from gateway.rooms.room import RoomKey
from gateway.wire.chat import CUSTOM_NOTICE, DIRECT_BYTES, DISSOLVED, GROUP_BYTES, Body, Custom, Direct, Message, Notice

log = logging.getLogger(__name__)

MAX_SENDERS: Final = 50000
"""Users whose limits and resends are remembered; the one that has been silent longest goes first."""
BARE_S: Final = 600.0
"""A group without a room lives so long after its last member has quit."""
MAX_BARE: Final = 10000
MAX_IM_MEMBERS: Final = 20000


class Groups:
    """See the module. Use it from one thread."""

    def __init__(
        self,
        config: MessagesConfig | None = None,
        may_post: Callable[[RoomKey, str, float], None] = lambda room, sender, now: None,
    ) -> None:
        """`may_post(room, sender, now)` raises Muted for whoever may not write."""
        self.events = EventEmitter()
        self.bytes = 0
        self.posted = 0
        """Messages taken so far, resends not counted; for the metrics."""
        self._config = config or MessagesConfig()
        self._may_post = may_post
        self._groups: dict[RoomKey, Group] = {}
        self._senders: collections.OrderedDict[tuple[int, str], Sender] = collections.OrderedDict()
        self._oldest: collections.OrderedDict[tuple[int, int], Group] = collections.OrderedDict()
        self._last_number = 0
        self._last_direct = 0
        self._last_notice = 0
        self._rooms: set[RoomKey] = set()
        self._owners: dict[RoomKey, str] = {}
        self._bare: dict[RoomKey, float] = {}
        """Groups without a room, and since when nobody is in them."""
        self._members: dict[RoomKey, set[str]] = {}
        self._joined: dict[tuple[int, str], RoomKey] = {}
        self._stopped = False
        self._queue: collections.deque[GroupEvent] = collections.deque()
        self._delivering = False
        self._changed: dict[int, GroupRecord | None] = {}
        self._dirty: dict[int, Group] = {}
        self._new: dict[tuple[int, int], Message] = {}

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def groups(self) -> Collection[Group]:
        return self._groups.values()

    def group(self, room: RoomKey, now_ms: int) -> Group:
        """Return the group of a room that exists, made now if it has none yet."""
        group = self._groups.get(room)
        if group is None:
            number = self._number(now_ms)
            group = self._groups[room] = Group(number, room, number)
            self._dirty[number] = group
        return group

    def _number(self, now_ms: int) -> int:
        """A number that no group has or had: the time, since the groups that are gone are not remembered."""
        self._last_number = max(self._last_number + 1, now_ms)
        return self._last_number

    # --- writing

    def post(
        self, room: RoomKey, sender: str, nick: str, random: int, body: Body, *, now: float, now_ms: int
    ) -> Receipt:
        """Put a message of a member into its room's group; a resend changes nothing and is answered as before.

        Raises Muted, TooMany (both with the time to wait), TooLarge, ShuttingDown.
        """
        self._check_running()
        if body.size > GROUP_BYTES:
            raise TooLarge(f"the message has more than {GROUP_BYTES} bytes")
        group = self.group(room, now_ms)
        state = self._sender(room.app, sender, now)
        known = state.receipt(group.id, random, now)
        if known is not None:
            return known
        self._may_post(room, sender, now)
        state.take_message(now)
        message = group.append(sender, nick, random, body, now_ms)
        receipt = Receipt(message.seq, message.time_ms)
        state.remember(group.id, random, receipt, now)
        self.posted += 1
        self._keep(group, message)
        self._new[(group.id, message.seq)] = message
        self._dirty[group.id] = group
        self._trim(group, now_ms)
        self._announce(MessagePosted(room, group.epoch, message))
        return receipt

    def post_direct(
        self,
        app: int,
        sender: str,
        nick: str,
        to: str,
        random: int,
        body: Body,
        *,
        now: float,
        now_ms: int,
        sender_seq: int | None = None,
    ) -> Receipt:
        """Send a message to one user who can be told now (the caller has looked). It is not kept.

        It counts in the same bucket as messages to the group. Raises as `post`.
        """
        self._check_running()
        if body.size > DIRECT_BYTES:
            raise TooLarge(f"the message has more than {DIRECT_BYTES} bytes")
        state = self._sender(app, sender, now)
        known = state.receipt(to, random, now)
        if known is not None:
            return known
        state.take_message(now)
        # The time makes it grow over restarts without being kept.
        self._last_direct = max(self._last_direct + 1, now_ms)
        receipt = Receipt(self._last_direct, now_ms)
        state.remember(to, random, receipt, now)
        self._announce(DirectPosted(app, Direct(receipt.seq, now_ms, sender, nick, to, random, body, sender_seq)))
        return receipt

    def post_custom(self, room: RoomKey, sender: str, cmd_id: int, data: bytes, *, now: float) -> int:
        """Send a custom message to the others in the room; return its number. Raises Muted, TooMany, ShuttingDown."""
        self._check_running()
        self._may_post(room, sender, now)
        seq = self._sender(room.app, sender, now).take_custom(len(data), now)
        self._announce(CustomPosted(room, Custom(sender, cmd_id, seq, data)))
        return seq

    # --- what the system says

    def notice(self, key: RoomKey, text: str, *, now_ms: int) -> None:
        """Say `text` (ReportType 255) to everybody in the group, whichever way they came in."""
        self._announce(GroupNotice(key, self._notice(CUSTOM_NOTICE, text, now_ms)))

    def dissolve(self, key: RoomKey, now_ms: int) -> None:
        """Tell everybody that the group is gone (ReportType 5), and forget it. Harmless for one that is not there."""
        self._announce(GroupDissolved(key, self._notice(DISSOLVED, "", now_ms)))
        self.close(key)

    def _notice(self, report: int, text: str, now_ms: int) -> Notice:
        self._last_notice = max(self._last_notice + 1, now_ms)
        return Notice(report, self._last_notice, now_ms, text)

    # --- users of the old IM, and groups without a room

    def __contains__(self, key: RoomKey) -> bool:
        return key in self._groups or key in self._rooms

    def create(self, key: RoomKey, owner: str, now: float, now_ms: int) -> None:
        """Make a group without a room. Raises NameTaken (it is there, or a room is), Overloaded."""
        if key in self:
            raise NameTaken(f"group {key.id} exists")
        self._make_bare(key, now, now_ms)
        self._owners[key] = owner

    def _make_bare(self, key: RoomKey, now: float, now_ms: int) -> None:
        if len(self._bare) >= MAX_BARE:
            raise Overloaded(f"{MAX_BARE} groups without a room")
        self.group(key, now_ms)
        self._bare[key] = now

    def owner(self, key: RoomKey) -> str:
        """Return who made the group without a room; "" if nobody did."""
        return self._owners.get(key, "")

    def join(self, key: RoomKey, user_id: str, now: float, now_ms: int) -> None:
        """A user of the old IM joins; it quits the group that it was in. An unknown group is made.

        Raises Overloaded. Joining again changes nothing.
        """
        before = self._joined.get((key.app, user_id))
        if before == key:
            return
        if len(self._joined) >= MAX_IM_MEMBERS:
            raise Overloaded(f"{MAX_IM_MEMBERS} users in groups")
        if key not in self:
            self._make_bare(key, now, now_ms)
        self.group(key, now_ms)
        if before is not None:
            self.quit(before, user_id, now)
        self._joined[(key.app, user_id)] = key
        self._members.setdefault(key, set()).add(user_id)
        self._announce(MemberJoinedGroup(key, user_id))

    def quit(self, key: RoomKey, user_id: str, now: float) -> bool:
        """A user of the old IM quits; return whether it was in."""
        members = self._members.get(key)
        if members is None or user_id not in members:
            return False
        members.discard(user_id)
        self._joined.pop((key.app, user_id), None)
        if not members:
            del self._members[key]
            if key in self._bare:
                self._bare[key] = now
        self._announce(MemberQuitGroup(key, user_id))
        return True

    def members(self, key: RoomKey) -> Collection[str]:
        """Return the users of the old IM who are in the group."""
        return tuple(self._members.get(key, ()))

    def joined(self, app: int, user_id: str) -> RoomKey | None:
        """Return the group in which a user of the old IM is."""
        return self._joined.get((app, user_id))

    def _sender(self, app: int, user_id: str, now: float) -> Sender:
        key = (app, user_id)
        state = self._senders.get(key)
        if state is None:
            state = self._senders[key] = Sender(now)
            if len(self._senders) > MAX_SENDERS:
                self._senders.popitem(last=False)
        else:
            self._senders.move_to_end(key)
        state.seen_at = now
        return state

    def _check_running(self) -> None:
        if self._stopped:
            raise ShuttingDown("the server stops; send it again")

    def _announce(self, event: GroupEvent) -> None:
        self._queue.append(event)
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._queue:
                try:
                    self.events.emit("event", self._queue.popleft())
                except Exception:  # one broken hearer must not silence the others
                    log.exception("! a listener of the groups failed")
        finally:
            self._delivering = False

    # --- what is kept

    def _keep(self, group: Group, message: Message) -> None:
        self.bytes += cost(message)
        self._oldest[(group.id, message.seq)] = group

    def _trim(self, group: Group, now_ms: int) -> None:
        """Let go of what is over the limits, of this group and of all together."""
        config = self._config
        while len(group) > config.kept or (group.bytes > config.kept_bytes and len(group) > 1):
            self._drop_oldest(group)
        while (oldest := group.oldest()) is not None and oldest.time_ms < now_ms - config.max_age_s * 1000:
            self._drop_oldest(group)
        while self.bytes > config.total_bytes and len(self._oldest) > 1:
            self._drop_oldest(next(iter(self._oldest.values())))

    def _drop_oldest(self, group: Group) -> None:
        message = group.drop_oldest()
        assert message is not None
        self.bytes -= cost(message)
        del self._oldest[(group.id, message.seq)]
        self._new.pop((group.id, message.seq), None)
        self._dirty[group.id] = group

    def expire(self, now: float, now_ms: int) -> None:
        """Let go of messages that are too old and of users that have long been silent. Call it each minute or so."""
        for group in self._groups.values():
            self._trim(group, now_ms)
        while self._senders:
            key = next(iter(self._senders))
            if now - self._senders[key].seen_at < RESEND_S:
                break
            del self._senders[key]
        for bare, since in list(self._bare.items()):
            if bare not in self._members and now - since >= BARE_S:
                self.close(bare)

    # --- rooms

    def on_room_event(self, event: events.RoomEvent) -> None:
        """Listen to the directory with this: a group ends with its room."""
        if isinstance(event, events.RoomCreated):
            self._rooms.add(event.room)
            self._bare.pop(event.room, None)
        elif isinstance(event, events.RoomClosed):
            self._rooms.discard(event.room)
            if event.room in self._members:
                self.dissolve(event.room, max(self._last_notice, self._last_number))
            else:
                self.close(event.room)

    def close(self, room: RoomKey) -> None:
        """End the group of a room and forget its messages. The room of that name that opens next has a new one."""
        for user_id in self._members.pop(room, ()):
            self._joined.pop((room.app, user_id), None)
        self._owners.pop(room, None)
        self._bare.pop(room, None)
        group = self._groups.pop(room, None)
        if group is None:
            return
        while (message := group.drop_oldest()) is not None:
            self.bytes -= cost(message)
            del self._oldest[(group.id, message.seq)]
            self._new.pop((group.id, message.seq), None)
        self._dirty.pop(group.id, None)
        self._changed[group.id] = None

    def stop(self) -> None:
        """Take nothing any more: what comes after the last save would be lost. Who sends is told to send again."""
        self._stopped = True

    # --- lasting

    def take_changes(self) -> GroupChanges:
        """Return what changed since the last call, for the store."""
        changed = {**self._changed, **{number: group.record() for number, group in self._dirty.items()}}
        changes = GroupChanges(changed, self._new)
        self._changed, self._dirty, self._new = {}, {}, {}
        return changes

    def restore(self, saved: GroupSnapshot, rooms: Collection[RoomKey], now: float, now_ms: int) -> None:
        """Fill empty groups from the store, for the rooms that exist; what belongs to others is deleted.

        `saved.complete` False gives every group a new epoch: see the module.
        """
        assert not self._groups
        self._rooms.update(rooms)
        by_id: dict[int, Group] = {}
        newest: dict[int, int] = {}
        for record in sorted(saved.groups, key=lambda item: item.id):
            self._last_number = max(self._last_number, record.id, record.epoch)
            if record.room not in rooms:
                self._changed[record.id] = None
                continue
            double = self._groups.get(record.room)
            if double is not None:
                self._changed[double.id] = None
                del by_id[double.id]
            self._groups[record.room] = by_id[record.id] = Group(record.id, record.room, record.epoch, record.seq)
            newest[record.id] = record.first - 1
        for group_id, message in sorted(saved.messages, key=lambda item: (item[1].time_ms, item[0], item[1].seq)):
            group = by_id.get(group_id)
            if group is not None and message.seq > max(0, newest[group_id]):
                newest[group_id] = message.seq
                self._restore_message(group, message, now, now_ms)
        for group in by_id.values():
            if not saved.complete:
                group.epoch = self._number(now_ms)
                self._dirty[group.id] = group
            self._trim(group, now_ms)

    def _restore_message(self, group: Group, message: Message, now: float, now_ms: int) -> None:
        group.put(message)
        self._keep(group, message)
        age = max(0.0, (now_ms - message.time_ms) / 1000)
        if age < RESEND_S:
            sender = self._sender(group.room.app, message.sender, now)
            sender.remember(group.id, message.random, Receipt(message.seq, message.time_ms), now - age)
