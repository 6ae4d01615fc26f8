"""One `/im` connection: its commands, and what it is told."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from gateway.base.errors import BadRequest, GatewayError, NoSuchRoom, PeerError, TooMany
from gateway.base.log import Tagged
from gateway.endpoints.chat.frames import read_app, read_frame, read_position, read_text
from gateway.endpoints.entry import Bases
from gateway.endpoints.entry.joining import check_may_join
from gateway.endpoints.entry.messages import Messages
from gateway.endpoints.entry.socket import (
    CLOSE_KICKED,
    CLOSE_LEFT,
    CLOSE_NEVER_ENTERED,
    CLOSE_PROTOCOL,
    CLOSE_TOO_MANY,
    RateLimit,
    Socket,
)
from gateway.rooms.directory.directory import MAX_NICK
from gateway.rooms.moderation import Medium
from gateway.rooms.room import Member, RoomKey, check_user_id
from gateway.wire import chat
from gateway.wire.chat import Backlog

if TYPE_CHECKING:
    from gateway.endpoints.chat.hub import Chat

LOGIN_S: Final = 5.0
MAX_FRAME: Final = 64 * 1024
MESSAGES_PER_FRAME: Final = 20
MAX_MESSAGES_FRAME: Final = 48 * 1024
"""Characters of a frame with old messages: phones take it in pieces."""


class ImSession:
    """One connection. With a room it is its member's control session, beside the REST calls.

    Without, it may be in `group`: never both.
    """

    def __init__(self, hub: Chat, bases: Bases) -> None:
        self._chat = hub
        self._entry = hub.entry
        self._bases = bases
        self.socket = Socket("im", max_frame=MAX_FRAME, clock=hub.clock)
        self._rate = RateLimit(60.0, 120, hub.clock)
        self.user_id = ""
        self.guest = False
        self.group: RoomKey | None = None
        self._app = 0
        self._nick = ""
        self._member: Member | None = None
        self._messages: Messages = hub.entry.messages
        self._backlog: Backlog | None = None
        self._told: list[tuple[str, str]] | None = None
        self._list_timer: asyncio.Handle | None = None
        self._muted = {medium.value: False for medium in Medium}
        self._log = Tagged(logging.getLogger(__name__), "im")

    async def run(self, request: web.Request) -> web.StreamResponse:
        deadline = asyncio.get_running_loop().call_later(LOGIN_S, self._too_late)
        try:
            return await self.socket.run(request, self._receive)
        finally:
            deadline.cancel()
            self._gone()

    def _too_late(self) -> None:
        if not self.user_id:
            self.socket.close(CLOSE_NEVER_ENTERED, "login_timeout")

    # --- frames

    async def _receive(self, text: str) -> None:
        request: int | str | None = None
        try:
            frame = read_frame(text)
            request = frame["id"]
            if not self._rate.take():
                raise TooMany("too many frames", retry_after_ms=1000)
            answer = self._command(frame["cmd"], frame)
        except GatewayError as error:
            self._answer(request, error)
            if isinstance(error, PeerError) or not self.user_id:
                self.socket.close(CLOSE_PROTOCOL if self.user_id else CLOSE_NEVER_ENTERED, error.name)
            if self._rate.exhausted:
                self.socket.close(CLOSE_TOO_MANY, "too_many")
            return
        head = {"re": request, "code": 0}
        if isinstance(answer, Backlog):
            room = self._room()
            assert room is not None
            self.socket.send(chat.entries_json(answer, room.id, head))
            return
        self._send({**head, **answer})
        if frame["cmd"] == "logout":
            self.socket.close(CLOSE_LEFT, "left")
        elif frame["cmd"] == "login":
            self._welcome()
        elif frame["cmd"] == "join" and self.group is not None and self._backlog is not None:
            self._send_backlog(self._backlog, self.group.id)
            self._backlog = None

    def _command(self, command: str, frame: Mapping[str, Any]) -> dict[str, object] | Backlog:
        if not self.user_id and command != "login":
            raise BadRequest("cmd: login must come first")
        if self._member is not None:
            self._entry.directory.touch(self._member, "im", self._chat.clock())
        match command:
            case "login":
                return self._login(frame)
            case "ping":
                return {}
            case "logout":
                return self._logout()
            case "send":
                return self._say(frame)
            case "history":
                wanted = chat.read_range(frame)
                if self.group is not None:
                    check_may_join(self._entry, self.group, self.user_id)
                    return self._messages.group_history(self.group, self.user_id, wanted)
                return self._messages.history(self._present(), wanted)
            case "custom":
                return {"seq": self._messages.post_custom(self._present(), *chat.read_custom(frame))}
            case "join":
                return self._join(frame)
            case "quit":
                return self._quit(frame)
        known = "login, ping, logout, send, history, custom, join, quit"
        raise BadRequest(f"cmd: {command!r} is unknown; known here: {known}")

    def _present(self) -> Member:
        if self._member is None:
            raise BadRequest("cmd: this connection is in no room")
        return self._member

    def _room(self) -> RoomKey | None:
        """The room or group whose messages this connection hears."""
        return self.group if self._member is None else self._member.key

    def _say(self, frame: Mapping[str, Any]) -> dict[str, object]:
        random = chat.read_random(frame.get("random"))
        body = frame["body"] if "body" in frame else frame.get("MsgBody")
        to, visitor = read_text(frame, "to"), self._chat.is_visitor(self, self._app)
        if to:
            message, to = chat.read_body(body, chat.DIRECT_BYTES), check_user_id(to)
            if visitor:
                receipt = self._messages.post_direct_as(self._app, self.user_id, self._nick, to, random, message)
            else:
                receipt = self._messages.post_direct(self._present(), to, random, message)
        elif self.group is not None:
            check_may_join(self._entry, self.group, self.user_id)
            receipt = self._messages.post_to_group(self.group, self.user_id, self._nick, random, chat.read_body(body))
        else:
            receipt = self._messages.post(self._present(), random, chat.read_body(body))
        return {"seq": receipt.seq, "time": receipt.time_ms}

    def _join(self, frame: Mapping[str, Any]) -> dict[str, object]:
        """Hear a group without being in its room. With a position all since then comes, else only what is new."""
        if not self._chat.is_visitor(self, self._app):
            raise BadRequest("cmd: a connection that logged in with a room has the group of that room")
        value = frame.get("groupID")
        key = RoomKey.parse(self._app, value if isinstance(value, str | int) else "")
        position, groups = read_position(frame), self._messages.groups
        check_may_join(self._entry, key, self.user_id)
        if key not in groups:
            raise NoSuchRoom(f"there is no group {key.id}")
        self.part()
        groups.join(key, self.user_id, self._chat.clock(), self._messages.now_ms())
        self.group = key
        self._chat.joined(self, key)
        self._backlog = self._messages.missed_in_group(key, self.user_id, position)
        where = {"epoch": self._backlog.epoch, "seq": self._backlog.seq, "first": self._backlog.first}
        return {"groupID": key.id, "JoinedStatus": "JoinedSuccess", **where}

    def _quit(self, frame: Mapping[str, Any]) -> dict[str, object]:
        """Quitting a group that one is not in is no error: it may have ended just now."""
        group = self.group
        if group is not None and read_text(frame, "groupID") in ("", group.id):
            self.part()
            self._messages.groups.quit(group, self.user_id, self._chat.clock(), self._messages.now_ms())
        return {}

    def part(self) -> None:
        """Hear no more of the group."""
        group, self.group = self.group, None
        if group is not None:
            self._chat.parted(self, group)

    def _login(self, frame: Mapping[str, Any]) -> dict[str, object]:
        if self.user_id:
            raise BadRequest("cmd: this connection has logged in")
        user_id = check_user_id(read_text(frame, "userID"))
        user_sig, map_key = read_text(frame, "userSig"), read_text(frame, "privateMapKey")
        position, nick = read_position(frame), read_text(frame, "nickName")
        if len(nick) > MAX_NICK:
            raise BadRequest(f"nickName may have {MAX_NICK} characters")
        tickets = self._entry.tickets
        app = tickets.app(read_app(frame))
        room_id, self.guest = frame.get("roomID"), tickets.is_guest_ticket(user_sig)
        if room_id is None or room_id == "":
            tickets.user(app, user_id, user_sig)
            if self.guest:
                self._chat.check_arrival(app.sdk_app_id, user_id)
        else:
            key = RoomKey.parse(app.sdk_app_id, room_id)
            privileges = tickets.room(app, user_id, key, user_sig, map_key)
            self._member = self._entry.enter(key, user_id, privileges, nick=nick, session=self, guest=self.guest)
            self._chat.joined(self, key)
            self._backlog = self._messages.missed(self._member, position)
        self.user_id, self._app, self._nick = user_id, app.sdk_app_id, nick
        if self._member is None:
            self._chat.arrived(self, app.sdk_app_id)
            self._messages.arrived(app.sdk_app_id, user_id, guest=self.guest)
        self._log = Tagged(logging.getLogger(__name__), f"room {room_id or '-'}", user_id, "im")
        self._log.info("logged in")
        backlog = self._backlog
        where = {} if backlog is None else {"epoch": backlog.epoch, "seq": backlog.seq, "first": backlog.first}
        return {"userID": user_id, "sdkAppID": app.sdk_app_id, **where}

    def _welcome(self) -> None:
        """After the answer to login: the events of the component, who can be played, what was written."""
        member, backlog = self._member, self._backlog
        nick = member.nick if member is not None and member.nick else self.user_id
        logged_in: dict[str, object] = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "login success"}
        self.event("login_event", 0, {**logged_in, "identifierNick": nick, "headurl": ""})
        if member is None or backlog is None:
            return
        # The key is what the IM's own poll would carry; its SDK takes an answer without one for an error.
        key = self._entry.random(16).hex()
        joined: dict[str, object] = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}
        joined |= {"JoinedStatus": "JoinedSuccess", "GroupId": member.key.id, "LongPollingKey": key}
        self.event("join_group_event", 0, joined)
        self._send_list(always=True)
        self.muted("")
        self._send_backlog(backlog, member.key.id)
        self._backlog = None

    def _send_backlog(self, backlog: Backlog, group_id: str) -> None:
        entries = [chat.entry_json(message, group_id) for message in backlog.messages]
        while entries:
            sizes = itertools.accumulate(len(entry) for entry in entries)
            count = max(1, sum(size <= MAX_MESSAGES_FRAME for size in sizes))
            count = min(count, MESSAGES_PER_FRAME)
            self.socket.send(chat.message_frame(backlog.epoch, entries[:count]))
            entries = entries[count:]

    def _logout(self) -> dict[str, object]:
        member, self._member = self._member, None
        if member is not None:
            self._chat.parted(self, member.key)
            self._entry.leave(member, "left")
        return self._quit({})

    # --- what the member is told

    def list_changed(self) -> None:
        """A stream of the room has changed. Several changes of one moment make one list."""
        if self._list_timer is None and self._member is not None:
            self._list_timer = asyncio.get_running_loop().call_soon(self._send_list)

    def _send_list(self, *, always: bool = False) -> None:
        self._list_timer = None
        if self._member is None:
            return
        try:
            entries = self._entry.play_list(self._member, self._bases)
        except NoSuchRoom:
            return
        now = [(item.user_id, item.url) for item in entries]
        if now != self._told or always:
            self._told = now
            self._send({"cmd": "userlist", "userlist": [{"userid": user, "playurl": url} for user, url in now]})

    def muted(self, by: str) -> None:
        """Say what of this member moderators have muted, where that has changed. `by`: who said so last."""
        member = self._member
        if member is None:
            return
        moderation = self._entry.directory.moderation
        now = {medium.value: moderation.is_muted(member.key, self.user_id, medium) for medium in Medium}
        if now != self._muted:
            self._muted = now
            self._send({"cmd": "muted", **now, "by": by})

    def member_left(self) -> None:
        """Somebody has left the room. If it is us (quit_room), the connection goes on without a room."""
        member = self._member
        if member is not None and not self._entry.directory.is_present(member):
            self._member = None
            self._chat.parted(self, member.key)

    def kicked(self, reason: str) -> None:
        """The directory has let go of us: another session of this user, or the operator."""
        member, self._member = self._member, None
        if member is not None:
            self._chat.parted(self, member.key)
        self._send({"cmd": "kicked", "reason": reason})
        self.socket.close(CLOSE_KICKED, reason)

    def event(self, tag: str, code: int, detail: object) -> None:
        """Tell the page what its component raises as an event."""
        self._send({"cmd": "event", "tag": tag, "code": code, "detail": detail})

    def _gone(self) -> None:
        member, self._member = self._member, None
        if self._list_timer is not None:
            self._list_timer.cancel()
        if member is not None:
            self._chat.parted(self, member.key)
            self._entry.directory.detach(member, self, self._chat.clock())
        if self.user_id:
            group = self.group
            self.part()
            self._chat.gone(self, self._app, group)
            self._log.info("closed: %s", self.socket.close_reason)

    def _answer(self, request: int | str | None, error: GatewayError) -> None:
        later = {} if error.retry_after_ms is None else {"retryAfterMs": error.retry_after_ms}
        self._send({"re": request, "code": error.code, "name": error.name, "message": error.message, **later})

    def _send(self, frame: Mapping[str, object]) -> None:
        self.socket.send(json.dumps(frame, ensure_ascii=False, separators=(",", ":")))
