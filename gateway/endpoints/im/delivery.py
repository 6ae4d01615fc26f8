"""What comes to whom by the polls: the groups' events, put where each reader's next poll finds them.

An entry is written once for all readers of a group. In groups of RoomService rooms only what the room clients of 2018
can read is delivered (forms.py); where a room needs a privateMapKey, only those who are in it hear its group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from gateway.base.errors import Overloaded
from gateway.endpoints.entry.joining import hearers, may_hear
from gateway.endpoints.im import forms
from gateway.endpoints.im.group_keys import GroupKey, GroupKeys, digest_of
from gateway.endpoints.im.sessions import SILENT_S, Session
from gateway.rooms.groups import (
    DirectKept,
    GroupDissolved,
    GroupEvent,
    GroupNotice,
    GroupTip,
    LoginRecord,
    MemberQuitGroup,
    MessagePosted,
    UserNotice,
)
from gateway.rooms.room import RoomKey
from gateway.wire import chat

if TYPE_CHECKING:
    from gateway.endpoints.im.server import Im

MAX_KEYS_OF_SESSION: Final = 4
MAX_ANONYMOUS: Final = 5000
MISSED_BYTES: Final = 4 * 1024 * 1024
"""Of messages that a client gets which comes back after a restart of the server."""


class Delivery:
    """See the module."""

    def __init__(self, im: Im) -> None:
        self.keys = GroupKeys()
        self._im = im
        self._anonymous: dict[GroupKey, None] = {}
        im.entry.messages.events.on("event", self._on_event)

    # --- keys

    def restore(self, login: LoginRecord) -> None:
        """Take a login of an earlier run of the server; its keys hear again, and catch up with their first poll."""
        now = self._im.clock()
        session = self._im.sessions.restore(login, now)
        if login.group is None or login.group not in self._im.groups:
            session.group = None
        else:
            self._im.groups.rejoin(login.group, login.user_id)
            for digest, since in login.keys:
                key = GroupKey(digest, login.group, session, since, now)
                key.stale = True
                self._add(session, key)
        self._im.sessions.save(session)

    def give_key(self, session: Session | None, group: RoomKey) -> str:
        """Return a fresh secret by which the session (None: whoever it is) polls the group. Raises Overloaded."""
        secret, im = self._im.entry.random(16).hex(), self._im
        since = im.groups.group(group, im.now_ms()).seq
        key = GroupKey(digest_of(secret), group, session, since, im.clock())
        if session is None:
            if len(self._anonymous) >= MAX_ANONYMOUS:
                raise Overloaded(f"{MAX_ANONYMOUS} readers without a login")
            self._anonymous[key] = None
            self.keys.add(key, hears=True)
            return secret
        if session.group != group:
            self.forget_keys(session)
        session.group = group
        self._add(session, key)
        im.sessions.save(session)
        return secret

    def _add(self, session: Session, key: GroupKey) -> None:
        """The key hears at once if it is the only one, else from its first poll on."""
        self.keys.add(key, hears=not any(self.keys.hears(known) for known in session.keys))
        session.keys.append(key)
        for known in session.keys[:-MAX_KEYS_OF_SESSION]:
            if not self.keys.hears(known):
                session.keys.remove(known)
                self.keys.remove(known)

    def polled(self, key: GroupKey, start: int) -> None:
        """A poll has come by the key: it is the one that hears from now on."""
        if key.session is not None and not key.ended and not self.keys.hears(key):
            for before in key.session.keys:
                if self.keys.hears(before):
                    self.keys.take_over(key, before)
                    break
        if key.stale:
            key.begin(start, self._missed(key, start))

    def _missed(self, key: GroupKey, start: int) -> Iterator[tuple[bytes, int]]:
        """What was said before this run of the server, and the client has not got."""
        group = self._im.groups.find(key.group)
        if group is None or not may_hear(self._im.entry, key.group, key.user_id):
            return
        read = min(key.read_up_to(start), group.restored_seq)
        wanted = chat.Range(after=read, count=group.restored_seq - read)
        for message in group.read(wanted, MISSED_BYTES).messages if wanted.count else ():
            entry = self._message_entry(key.group, message)
            if entry is not None and message.seq <= group.restored_seq:
                yield entry, message.seq

    def touch(self, key: GroupKey) -> None:
        """Whoever polls by the key is there."""
        now = key.seen_at = self._im.clock()
        if key.session is not None and not key.session.ended:
            self._im.sessions.touch(key.session, now)

    def forget_keys(self, session: Session) -> None:
        keys, session.keys = session.keys, []
        for key in keys:
            self.keys.remove(key)

    def sweep(self, now: float) -> None:
        for key in list(self._anonymous):
            if now - key.seen_at >= SILENT_S and not key.waiters:
                del self._anonymous[key]
                self.keys.remove(key)

    # --- what waits for one user

    def acknowledge(self, session: Session, read: int) -> None:
        """The client has all that was numbered up to `read`."""
        waiting = self._im.groups.waiting
        waiting.acknowledge(session.app, session.user_id, read, lambda direct: self._can_read(session, direct))
        while session.notices and session.notices[0][0] <= read:
            session.notices.popleft()

    def waiting(self, session: Session, after: int, count: int) -> list[chat.Direct]:
        """Return the messages after that number that this client can read, oldest first: they are given to it now.

        A guest does not get what was written to somebody who has once come by a ticket.
        """
        app, user_id, groups = session.app, session.user_id, self._im.groups
        if session.guest and groups.accounts.profile(app, user_id).proven:
            return []
        found = [direct for direct in groups.waiting.of(app, user_id, after) if self._can_read(session, direct)]
        return [direct for direct in found[:count] if groups.waiting.give(direct.seq, session.digest)]

    def personal_events(self, session: Session, after: int, count: int) -> list[bytes]:
        """Return the events of one answer to the personal poll.

        Each has one entry: of an event with several the library would remember the first one's number only.
        """
        directs = [
            (direct.seq, b'{"Event":9,"C2cMsgArray":[' + chat.direct_entry_json(direct, numbered=True).encode() + b"]}")
            for direct in self.waiting(session, after, count)
        ]
        notices = [
            (number, b'{"Event":5,"GroupTips":[' + entry + b"]}") for number, entry in session.notices if number > after
        ]
        events = sorted(directs + notices)
        if events:
            newest = events[-1][0]
            session.repeats = session.repeats + 1 if newest <= session.given else 0
            session.given = max(session.given, newest)
        return [event for _, event in events]

    def _can_read(self, session: Session, direct: chat.Direct) -> bool:
        """A live room's code parses every message to its user; what it cannot read waits for another client.

        Before it has joined a group it is known by what it does first: it logs in at RoomService, and calls its user by
        the user's id.
        """
        app, user_id = session.app, session.user_id
        parses = session.group is not None and self._kind(session.group) == forms.LIVE
        if not parses and self._im.uses_rooms(app, user_id):
            parses = self._im.groups.accounts.profile(app, user_id).nick == user_id
        return not parses or forms.is_one_json(direct.body)

    # --- events

    def _on_event(self, event: GroupEvent) -> None:
        match event:
            case MessagePosted(room=group, message=message):
                if self.keys.is_heard(group):
                    self._put(group, self._message_entry(group, message), message.seq)
            case GroupNotice(room=group, message=notice):
                if self.keys.is_heard(group) and self._may_be_told(group, notice):
                    self._put(group, chat.notice_entry_json(notice, group.id).encode())
            case GroupTip(room=group, message=tip):
                if self.keys.is_heard(group):
                    self._put(group, chat.tip_entry_json(tip, group.id, self._name(group)).encode())
            case GroupDissolved(room=group, message=notice):
                self._dissolved(group, chat.notice_entry_json(notice, group.id).encode())
            case UserNotice(room=group, user_id=user_id, message=notice):
                self._tell(group, user_id, notice)
            case MemberQuitGroup(room=group, user_id=user_id):
                self._quit(group, user_id)
            case DirectKept(app=app, user_id=user_id):
                session = self._im.sessions.of(app, user_id)
                if session is not None:
                    session.waiters.wake()
            case _:
                pass

    def _message_entry(self, group: RoomKey, message: chat.Message) -> bytes | None:
        told: chat.Message | None = message
        kind = self._kind(group)
        if kind in forms.ROOM_SERVICE:
            told = forms.for_room_service(message, kind)
        return None if told is None else chat.entry_json(told, group.id, self._name(group)).encode()

    def _put(self, group: RoomKey, entry: bytes | None, seq: int = 0) -> None:
        if entry is None:
            return
        allowed = hearers(self._im.entry, group)
        for key in self.keys.hearing(group):
            if allowed is None or not key.user_id or key.user_id in allowed:
                key.put(entry, seq)

    def _may_be_told(self, group: RoomKey, notice: chat.Notice) -> bool:
        """Room clients parse the text of a notice without a guard."""
        return self._kind(group) not in forms.ROOM_SERVICE or forms.is_json(notice.text)

    def _dissolved(self, group: RoomKey, entry: bytes) -> None:
        for key in list(self.keys.hearing(group)):
            key.put(entry)
            self.keys.deafen(key)
            self._anonymous.pop(key, None)
            if key.session is not None and key.session.group == group:
                key.session.group = None
                self._im.sessions.save(key.session)

    def _tell(self, group: RoomKey, user_id: str, notice: chat.Notice) -> None:
        """Into the group's poll what is about being in it, into the personal one the rest."""
        session = self._im.sessions.of(group.app, user_id)
        if session is None:
            return
        if notice.report in (chat.REMOVED, chat.CUSTOM_NOTICE):
            for key in session.keys:
                if key.group == group and self.keys.hears(key) and self._may_be_told_to(group, notice):
                    key.put(chat.notice_entry_json(notice, group.id).encode())
                    if notice.report == chat.REMOVED:
                        self.keys.deafen(key)
                    return
        else:
            session.notices.append((notice.number, chat.personal_notice_json(notice, group.id).encode()))
            session.waiters.wake()

    def _may_be_told_to(self, group: RoomKey, notice: chat.Notice) -> bool:
        return notice.report == chat.REMOVED or self._may_be_told(group, notice)

    def _quit(self, group: RoomKey, user_id: str) -> None:
        session = self._im.sessions.of(group.app, user_id)
        if session is None or session.group != group:
            return
        session.group = None
        for key in list(session.keys):
            # A key that ended before holds the word that its user was thrown out.
            if not key.ended:
                session.keys.remove(key)
                self.keys.remove(key)
        self._im.sessions.save(session)

    def _kind(self, group: RoomKey) -> str:
        room = self._im.entry.directory.rooms.get(group)
        return "" if room is None else room.policy.kind

    def _name(self, group: RoomKey) -> str:
        return self._im.groups.info(group).name
