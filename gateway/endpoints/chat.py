"""`/im`: the WebSocket of a mini program. It logs in, is told who can be played, and hears what happens to it.

Frames are JSON objects. A client's have `cmd` and `id` and get one answer `{"re": id, "code": 0, …}`, or a code that is
not 0 with `name` and `message`. The server's are `userlist` (complete, without oneself, at each change; the play URL of
a stream is the same text for the whole stay, since a changed one restarts the player), `message`, `c2c` and `custom`
(what people write, in the IM's own shapes), `event` (what the component raises as such) and `kicked`.
docs/protocol.md shows every frame.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiohttp import hdrs, web

from gateway.base.clock import Clock, monotonic
from gateway.base.errors import BadRequest, GatewayError, NoSuchRoom, PeerError, SignalingError, TooMany
from gateway.base.log import Tagged
from gateway.endpoints.entry import Bases, Entry
from gateway.endpoints.entry.messages import Messages
from gateway.endpoints.entry.socket import (
    CLOSE_GOING_AWAY,
    CLOSE_KICKED,
    CLOSE_LEFT,
    CLOSE_NEVER_ENTERED,
    CLOSE_PROTOCOL,
    CLOSE_TOO_MANY,
    RateLimit,
    Socket,
)
from gateway.rooms import events
from gateway.rooms.groups import CustomPosted, DirectPosted, GroupDissolved, GroupEvent, GroupNotice, MessagePosted
from gateway.rooms.room import Member, RoomKey, check_user_id
from gateway.wire import chat
from gateway.wire.chat import Backlog

LOGIN_S: Final = 5.0
MAX_FRAME: Final = 64 * 1024
MAX_SESSIONS: Final = 20000
MESSAGES_PER_FRAME: Final = 20
MAX_MESSAGES_FRAME: Final = 48 * 1024
"""Characters of a frame with old messages: phones take it in pieces."""


class Chat:
    """All `/im` connections of this node."""

    def __init__(self, entry: Entry, clock: Clock = monotonic) -> None:
        self.entry = entry
        self.clock = clock
        self.sessions: set[ImSession] = set()
        self._by_room: dict[RoomKey, set[ImSession]] = {}
        entry.directory.events.on("event", self._on_event)
        entry.messages.events.on("event", self._on_message)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/im", self._handle)]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if len(self.sessions) >= MAX_SESSIONS:
            raise TooMany(f"{MAX_SESSIONS} connections", retry_after_ms=5000)
        session = ImSession(self, self.entry.urls.bases(request.headers.get(hdrs.HOST), secure=request.secure))
        self.sessions.add(session)
        try:
            return await session.run(request)
        finally:
            self.sessions.discard(session)

    async def goodbye(self) -> None:
        """The server stops: tell everybody, so that their handlers end."""
        for session in list(self.sessions):
            session.socket.close(CLOSE_GOING_AWAY, "server_stops")

    async def aclose(self) -> None:
        self.entry.directory.events.remove_listener("event", self._on_event)
        self.entry.messages.events.remove_listener("event", self._on_message)

    # --- who hears what

    def joined(self, session: ImSession, room: RoomKey) -> None:
        self._by_room.setdefault(room, set()).add(session)

    def parted(self, session: ImSession, room: RoomKey) -> None:
        sessions = self._by_room.get(room)
        if sessions is not None:
            sessions.discard(session)
            if not sessions:
                del self._by_room[room]

    def _on_event(self, event: events.RoomEvent) -> None:
        if isinstance(event, events.StreamAdded | events.StreamChanged | events.StreamRemoved | events.MemberUpdated):
            for session in self._by_room.get(event.room, ()):
                session.list_changed()
        elif isinstance(event, events.MemberLeft):
            for session in list(self._by_room.get(event.room, ())):
                session.member_left()

    def _on_message(self, event: GroupEvent) -> None:
        """Somebody has written: the frame is made once, whoever gets it."""
        match event:
            case MessagePosted(room=room, message=message):
                sessions = self._by_room.get(room)
                if sessions:
                    self._tell(sessions, chat.message_frame(event.epoch, [chat.entry_json(message, room.id)]))
            case CustomPosted(room=room, message=custom):
                others = [s for s in self._by_room.get(room, ()) if s.user_id != custom.sender]
                if others:
                    self._tell(others, chat.custom_frame(custom))
            case GroupNotice(room=room, message=notice) | GroupDissolved(room=room, message=notice):
                self._tell(list(self._by_room.get(room, ())), chat.notice_frame(notice, room.id))
            case DirectPosted(app=app, message=direct):
                member = self.entry.directory.member(app, direct.to)
                if member is not None and isinstance(member.session, ImSession):
                    self._tell([member.session], chat.direct_frame(direct))

    @staticmethod
    def _tell(sessions: Iterable[ImSession], text: str) -> None:
        for session in sessions:
            session.socket.send(text)


class ImSession:
    """One connection. With a room it is its member's control session, beside the REST calls."""

    def __init__(self, hub: Chat, bases: Bases) -> None:
        self._chat = hub
        self._entry = hub.entry
        self._bases = bases
        self.socket = Socket("im", max_frame=MAX_FRAME, clock=hub.clock)
        self._rate = RateLimit(60.0, 120, hub.clock)
        self.user_id = ""
        self._member: Member | None = None
        self._messages: Messages = hub.entry.messages
        self._backlog: Backlog | None = None
        self._told: list[tuple[str, str]] | None = None
        self._list_timer: asyncio.Handle | None = None
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
            frame = _read(text)
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
            assert self._member is not None
            self.socket.send(chat.entries_json(answer, self._member.key.id, head))
            return
        self._send({**head, **answer})
        if frame["cmd"] == "logout":
            self.socket.close(CLOSE_LEFT, "left")
        elif frame["cmd"] == "login":
            self._welcome()

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
                return self._say(self._present(), frame)
            case "history":
                return self._messages.history(self._present(), chat.read_range(frame))
            case "custom":
                return {"seq": self._messages.post_custom(self._present(), *chat.read_custom(frame))}
        raise BadRequest(f"cmd: {command!r} is unknown; known here: login, ping, logout, send, history, custom")

    def _present(self) -> Member:
        if self._member is None:
            raise BadRequest("cmd: this connection is in no room")
        return self._member

    def _say(self, member: Member, frame: Mapping[str, Any]) -> dict[str, object]:
        random = chat.read_random(frame.get("random"))
        body = frame["body"] if "body" in frame else frame.get("MsgBody")
        to = _text(frame, "to")
        if to:
            message = chat.read_body(body, chat.DIRECT_BYTES)
            receipt = self._messages.post_direct(member, check_user_id(to), random, message)
        else:
            receipt = self._messages.post(member, random, chat.read_body(body))
        return {"seq": receipt.seq, "time": receipt.time_ms}

    def _login(self, frame: Mapping[str, Any]) -> dict[str, object]:
        if self.user_id:
            raise BadRequest("cmd: this connection has logged in")
        user_id = check_user_id(_text(frame, "userID"))
        user_sig, map_key = _text(frame, "userSig"), _text(frame, "privateMapKey")
        position = None
        if frame.get("lastSeq") is not None:
            # Without an epoch nobody can say what the number counts: then the newest come.
            epoch = frame.get("epoch")
            position = chat.read_position(0 if epoch is None else epoch, frame["lastSeq"])
        nick = _text(frame, "nickName")
        tickets = self._entry.tickets
        app = tickets.app(_app(frame))
        room_id = frame.get("roomID")
        if room_id is None or room_id == "":
            tickets.user(app, user_id, user_sig)
        else:
            key = RoomKey.parse(app.sdk_app_id, room_id)
            privileges = tickets.room(app, user_id, key, user_sig, map_key)
            guest = tickets.is_guest_ticket(user_sig)
            self._member = self._entry.enter(key, user_id, privileges, nick=nick, session=self, guest=guest)
            self._chat.joined(self, key)
            self._backlog = self._messages.missed(self._member, position)
        self.user_id = user_id
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
        return {}

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
            self._log.info("closed: %s", self.socket.close_reason)

    def _answer(self, request: int | str | None, error: GatewayError) -> None:
        later = {} if error.retry_after_ms is None else {"retryAfterMs": error.retry_after_ms}
        self._send({"re": request, "code": error.code, "name": error.name, "message": error.message, **later})

    def _send(self, frame: Mapping[str, object]) -> None:
        self.socket.send(json.dumps(frame, ensure_ascii=False, separators=(",", ":")))


def _read(text: str) -> dict[str, Any]:
    """Return the frame: an object with a text `cmd` and a number or text `id`. Raises SignalingError."""
    try:
        frame = json.loads(text)
        text.encode()
    except (ValueError, RecursionError):
        raise SignalingError("the frame is not JSON") from None
    if not isinstance(frame, dict):
        raise SignalingError("the frame is not a JSON object")
    command, request = frame.get("cmd"), frame.get("id")
    if not isinstance(command, str) or len(command) > 32:
        raise SignalingError("cmd: the name of a command is needed")
    if isinstance(request, bool) or not isinstance(request, int | str) or len(str(request)) > 64:
        raise SignalingError("id: a number or a short text is needed")
    return frame


def _text(frame: Mapping[str, Any], name: str) -> str:
    value = frame.get(name)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63:
        return str(value)
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BadRequest(f"{name}: a text is needed")
    return value


def _app(frame: Mapping[str, Any]) -> int | None:
    value = frame.get("sdkAppID")
    if value is None or value == "" or value == 0:
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 10:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest("sdkAppID: a number is needed")
    return value
