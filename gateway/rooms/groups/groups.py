"""Every group on this node, and what people and the system say in it. A group lives as long as its room.

    post ──▶ resend? answered as the first time
         ──▶ muted? ──▶ bucket of the sender ──▶ the group's next seq ──▶ kept, announced to everybody in the room
    post_direct ──▶ the same ──▶ announced to the receiver's connections, or kept for it (waiting.py)

All calls are synchronous and cheap; times (`now` monotonic seconds, `now_ms` unix ms) are arguments. What happens is
announced by `events.on("event", listener)` in one order for everybody; a listener must not raise, block or call back.
Notices and tips of the system stand in no list: they have no seq, are not kept, and go to those who are there.

Users of the old IM join groups (one at a time). A group that they make without a room ends when it is destroyed, or
some time after its last member (members.py).
"""

from __future__ import annotations

import collections
import dataclasses
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Final

from pyee import EventEmitter

from gateway.base.config import MessagesConfig
from gateway.base.errors import NameTaken, ShuttingDown, TooLarge
from gateway.rooms import events
from gateway.rooms.groups.accounts import Accounts
from gateway.rooms.groups.group import Group
from gateway.rooms.groups.limits import RESEND_S, Sender
from gateway.rooms.groups.members import BareGroups, Members
from gateway.rooms.groups.shelf import Shelf
from gateway.rooms.groups.values import (
    CustomPosted,
    DirectKept,
    DirectPosted,
    GroupChanges,
    GroupDissolved,
    GroupEvent,
    GroupInfo,
    GroupNotice,
    GroupSnapshot,
    GroupTip,
    KeptDirect,
    MemberJoinedGroup,
    MemberQuitGroup,
    MessagePosted,
    Receipt,
    UserNotice,
)
from gateway.rooms.groups.waiting import Waiting
from gateway.rooms.room import RoomKey
from gateway.wire import chat
from gateway.wire.chat import DIRECT_BYTES, GROUP_BYTES, Body, Custom, Direct, Notice, Tip

log = logging.getLogger(__name__)

MAX_SENDERS: Final = 50000
"""Users whose limits and resends are remembered; the one that has been silent longest goes first."""
NO_INFO: Final = GroupInfo()
MAX_TOLD: Final = 200
"""Who comes and goes is told in groups of at most so many users of the old IM: it would be their number squared."""


class Groups:
    """See the module. Use it from one thread."""

    def __init__(
        self,
        config: MessagesConfig | None = None,
        may_post: Callable[[RoomKey, str, float], None] = lambda room, sender, now: None,
    ) -> None:
        """`may_post(room, sender, now)` raises Muted for whoever may not write."""
        config = config or MessagesConfig()
        self.events = EventEmitter()
        self.posted = 0
        """Messages taken so far, resends not counted; for the metrics."""
        self.waiting = Waiting(config)
        self.accounts = Accounts()
        self._may_post = may_post
        self._shelf = Shelf(config)
        self._senders: collections.OrderedDict[tuple[int, str], Sender] = collections.OrderedDict()
        self._last_number = 0
        self._last_time_ms = 0
        self._rooms: set[RoomKey] = set()
        self._bare = BareGroups(config.max_age_s)
        self._members = Members()
        self._stopped = False
        self._queue: collections.deque[GroupEvent] = collections.deque()
        self._delivering = False

    def __len__(self) -> int:
        return len(self._shelf.groups)

    @property
    def kept_bytes(self) -> int:
        """Memory that the kept messages of groups take, roughly."""
        return self._shelf.bytes

    @property
    def groups(self) -> Collection[Group]:
        return self._shelf.groups.values()

    def group(self, room: RoomKey, now_ms: int) -> Group:
        """Return the group of a room that exists, made now if it has none yet."""
        group = self._shelf.groups.get(room)
        return self._shelf.open(room, self._number(now_ms)) if group is None else group

    def find(self, room: RoomKey) -> Group | None:
        """Return the group if it has been used already."""
        return self._shelf.groups.get(room)

    def _number(self, now_ms: int) -> int:
        """A number above all given before, also before a restart: the time, since not all that it names is kept."""
        self._last_time_ms = max(self._last_time_ms, now_ms)
        self._last_number = max(self._last_number + 1, now_ms)
        return self._last_number

    # --- writing

    def post(
        self,
        room: RoomKey,
        sender: str,
        nick: str,
        random: int,
        body: Body,
        *,
        now: float,
        now_ms: int,
        priority: str = "COMMON",
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
        message = group.append(sender, nick, random, body, now_ms, priority)
        receipt = Receipt(message.seq, message.time_ms)
        state.remember(group.id, random, receipt, now)
        self.posted += 1
        self._shelf.keep(group, message, now_ms)
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
        live: bool = True,
        keep: bool = False,
    ) -> Receipt:
        """Send a message to one user. The caller has looked how it can be told: `live`, by a connection that is there
        now; `keep`, when it fetches what waits for it.

        It counts in the same bucket as messages to the group. Raises as `post`, TooMany also where too much waits.
        """
        self._check_running()
        if body.size > DIRECT_BYTES:
            raise TooLarge(f"the message has more than {DIRECT_BYTES} bytes")
        state = self._sender(app, sender, now)
        known = state.receipt(to, random, now)
        if known is not None:
            return known
        if keep:
            self.waiting.check_sender(app, sender)
        state.take_message(now)
        number = self._number(now_ms)
        receipt = Receipt(number, now_ms)
        state.remember(to, random, receipt, now)
        direct = Direct(number, now_ms, sender, nick, to, random, body, sender_seq)
        if keep:
            self.waiting.put(KeptDirect(app, direct, shown=live), now_ms)
            self._announce(DirectKept(app, to))
        if live:
            self._announce(DirectPosted(app, direct))
        return receipt

    def deliver_waiting(self, app: int, user_id: str) -> None:
        """A connection of the user is there: it gets what waits, and nothing waits any more."""
        for direct in self.waiting.take(app, user_id):
            self._announce(DirectPosted(app, direct))

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
        self._announce(GroupNotice(key, Notice(chat.CUSTOM_NOTICE, self._number(now_ms), now_ms, text)))

    def tell(
        self,
        key: RoomKey,
        user_id: str,
        report: int,
        *,
        now_ms: int,
        operator: str = chat.SYSTEM,
        text: str = "",
    ) -> None:
        """Tell one user something about the group: a ReportType, 255 with a text."""
        self._announce(UserNotice(key, user_id, Notice(report, self._number(now_ms), now_ms, text, operator)))

    def tip(
        self,
        key: RoomKey,
        op: int,
        operator: str,
        users: Collection[str] = (),
        *,
        now_ms: int,
        changed: Mapping[str, str] | None = None,
        shut_up_s: int | None = None,
    ) -> None:
        """Tell everybody in the group what has happened to it or its members: an OpType; the rest as in `Tip`."""
        number, members = self._number(now_ms), len(self._members.of(key))
        tip = Tip(op, number, self._last_time_ms, operator, tuple(users), members, dict(changed or {}), shut_up_s)
        self._announce(GroupTip(key, tip))

    def dissolve(self, key: RoomKey, now_ms: int) -> None:
        """Tell everybody that the group is gone (ReportType 5), and forget it. Harmless for one that is not there."""
        self._announce(GroupDissolved(key, Notice(chat.DISSOLVED, self._number(now_ms), now_ms)))
        self.close(key)

    # --- users of the old IM, and groups without a room

    def __contains__(self, key: RoomKey) -> bool:
        return key in self._shelf.groups or key in self._rooms

    def create(
        self, key: RoomKey, owner: str, now: float, now_ms: int, info: GroupInfo = NO_INFO, *, limited: bool = True
    ) -> None:
        """Make a group without a room. Raises NameTaken (it is there, or a room is), Overloaded, TooMany (`limited`:
        a user may make so many)."""
        if key in self:
            raise NameTaken(f"group {key.id} exists")
        if limited:
            self._bare.check_owner(key.app, owner)
        self._make_bare(key, owner, now, now_ms).info = info

    def _make_bare(self, key: RoomKey, owner: str, now: float, now_ms: int) -> Group:
        stale = self._bare.find_room(self._members)
        if stale is not None:
            self.close(stale)
        group = self.group(key, now_ms)
        group.bare, group.owner = True, owner
        self._bare.add(key, owner, now)
        return group

    def owner(self, key: RoomKey) -> str:
        """Return who made the group without a room; "" if nobody did."""
        return self._bare.owner(key)

    def info(self, key: RoomKey) -> GroupInfo:
        group = self._shelf.groups.get(key)
        return GroupInfo() if group is None else group.info

    def modify(self, key: RoomKey, changed: Mapping[str, str], *, operator: str, now_ms: int) -> None:
        """Change what the group says of itself, and tip its members (OpType 6). `changed`: fields of GroupInfo."""
        group = self.group(key, now_ms)
        group.info = dataclasses.replace(group.info, **changed)
        self._shelf.touch(group)
        names = {name: text for name, text in changed.items() if text}
        told = {_INFO_NAMES[name]: text for name, text in names.items()}
        self.tip(key, chat.TIP_GROUP_CHANGED, operator, now_ms=now_ms, changed=told)

    def join(self, key: RoomKey, user_id: str, now: float, now_ms: int) -> None:
        """A user of the old IM joins; it quits the group that it was in. An unknown group is made.

        Raises Overloaded. Joining again changes nothing.
        """
        before = self._members.joined(key.app, user_id)
        if before == key:
            return
        self._members.check_room()
        if key not in self:
            self._make_bare(key, "", now, now_ms)
        self.group(key, now_ms)
        if before is not None:
            self.quit(before, user_id, now, now_ms)
        self._members.add(key, user_id)
        self._announce(MemberJoinedGroup(key, user_id))
        self._tip_member(key, chat.TIP_JOINED, user_id, user_id, now, now_ms)

    def rejoin(self, key: RoomKey, user_id: str) -> None:
        """A user who was in the group before a restart of the server is in it again; nobody is told."""
        if self._members.joined(key.app, user_id) is None:
            self._members.add(key, user_id)

    def quit(self, key: RoomKey, user_id: str, now: float, now_ms: int = 0) -> bool:
        """A user of the old IM quits; return whether it was in."""
        if not self._leave(key, user_id, now):
            return False
        self._tip_member(key, chat.TIP_QUIT, user_id, user_id, now, now_ms)
        return True

    def remove(
        self, key: RoomKey, user_id: str, now: float, now_ms: int, operator: str = chat.SYSTEM, *, silent: bool = False
    ) -> bool:
        """A user of the old IM is thrown out, and told so (ReportType 4); return whether it was in.

        `silent`: the others are not told.
        """
        if user_id not in self._members.of(key):
            return False
        self.tell(key, user_id, chat.REMOVED, now_ms=now_ms, operator=operator)
        self._leave(key, user_id, now)
        if not silent:
            self.tip(key, chat.TIP_KICKED, operator, (user_id,), now_ms=now_ms)
        return True

    def _leave(self, key: RoomKey, user_id: str, now: float) -> bool:
        if not self._members.remove(key, user_id):
            return False
        self._bare.used(key, now)
        self._announce(MemberQuitGroup(key, user_id))
        group = self._shelf.groups.get(key)
        if group is not None and group.bare and not group.owner and group.seq == 0 and key not in self._members:
            self.close(key)  # nothing was ever said in it
        return True

    def _tip_member(self, key: RoomKey, op: int, operator: str, user_id: str, now: float, now_ms: int) -> None:
        if len(self._members.of(key)) <= MAX_TOLD and self._sender(key.app, user_id, now).take_tip(now):
            self.tip(key, op, operator, (user_id,), now_ms=now_ms)

    def members(self, key: RoomKey) -> Collection[str]:
        """Return the users of the old IM who are in the group."""
        return tuple(self._members.of(key))

    def joined(self, app: int, user_id: str) -> RoomKey | None:
        """Return the group in which a user of the old IM is."""
        return self._members.joined(app, user_id)

    # --- inside

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

    def expire(self, now: float, now_ms: int) -> None:
        """Let go of messages that are too old and of users that have long been silent. Call it each minute or so."""
        for group in self._shelf.groups.values():
            self._shelf.trim(group, now_ms)
        self.waiting.expire(now_ms)
        while self._senders:
            key = next(iter(self._senders))
            if now - self._senders[key].seen_at < RESEND_S:
                break
            del self._senders[key]
        for bare in self._bare.expired(self._members, now):
            self.close(bare)

    # --- rooms

    def on_room_event(self, event: events.RoomEvent) -> None:
        """Listen to the directory with this: a group ends with its room."""
        if isinstance(event, events.RoomCreated):
            self._rooms.add(event.room)
            self._bare.remove(event.room)
            group = self._shelf.groups.get(event.room)
            if group is not None and group.bare:
                group.bare, group.owner = False, ""
                self._shelf.touch(group)
        elif isinstance(event, events.RoomClosed):
            self._rooms.discard(event.room)
            if event.room in self._members:
                self.dissolve(event.room, self._last_time_ms)
            else:
                self.close(event.room)

    def close(self, room: RoomKey) -> None:
        """End the group of a room and forget its messages. The room of that name that opens next has a new one."""
        self._members.clear(room)
        self._bare.remove(room)
        self._shelf.close(room)

    def stop(self) -> None:
        """Take nothing any more: what comes after the last save would be lost. Who sends is told to send again."""
        self._stopped = True

    # --- lasting

    def take_changes(self) -> GroupChanges:
        """Return what changed since the last call, for the store."""
        groups, messages = self._shelf.take_changes()
        profiles, logins = self.accounts.take_changes()
        return GroupChanges(groups, messages, self.waiting.take_changes(), profiles, logins)

    def restore(self, saved: GroupSnapshot, rooms: Collection[RoomKey], now: float, now_ms: int) -> None:
        """Fill empty groups from the store, for the rooms that exist; what belongs to others is deleted.

        `saved.complete` False gives every group a new epoch: see shelf.py.
        """
        self._rooms.update(rooms)
        directs = (kept.message.seq for kept in saved.directs)
        known = (number for record in saved.groups for number in (record.id, record.epoch))
        self._last_number = max((self._last_number, *directs, *known))
        for group, message in self._shelf.restore(saved, rooms, lambda: self._number(now_ms), now_ms):
            age = max(0.0, (now_ms - message.time_ms) / 1000)
            if age < RESEND_S:
                sender = self._sender(group.room.app, message.sender, now)
                sender.remember(group.id, message.random, Receipt(message.seq, message.time_ms), now - age)
        for group in self._shelf.groups.values():
            if group.bare:
                self._bare.add(group.room, group.owner, now)
        self.waiting.restore(saved.directs, now_ms)
        self.accounts.restore(saved.profiles, saved.logins)


_INFO_NAMES: Final = {
    "name": "GroupName",
    "introduction": "GroupIntroduction",
    "notification": "GroupNotification",
    "face_url": "GroupFaceUrl",
}
