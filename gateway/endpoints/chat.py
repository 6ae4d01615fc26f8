"""`/im`: the WebSocket of a mini program. It logs in, is told who can be played, and hears what happens to it.

Frames are JSON objects. A client's have `cmd` and `id` and get one answer `{"re": id, "code": 0, …}`, or a code that is
not 0 with `name` and `message`. The server's are `userlist` (complete, without oneself, at each change; the play URL of
a stream is the same text for the whole stay, since a changed one restarts the player), `message`, `c2c` and `custom`
(what people write, in the IM's own shapes), `event` (what the component raises as such) and `kicked`.
docs/protocol.md shows every frame.

A connection that names a room at its login is a member there. One that names none is its user's only such connection:
it hears what is sent to the user, and may join one group at a time (the rooms of RoomService, whose pushers come in by
other calls and whose viewers are no members at all).
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
from gateway.base.errors import BadRequest, GatewayError, NameTaken, NoSuchRoom, PeerError, SignalingError, TooMany
from gateway.base.log import Tagged
from gateway.endpoints.entry import Bases, Entry
from gateway.endpoints.entry.joining import check_may_join
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
from gateway.rooms.directory.directory import MAX_NICK
from gateway.rooms.groups import (
    CustomPosted,
    DirectPosted,
    GroupDissolved,
    GroupEvent,
    GroupNotice,
    MemberQuitGroup,
    MessagePosted,
)
from gateway.rooms.room import Member, RoomKey, check_user_id
from gateway.wire import chat
from gateway.wire.chat import Backlog

LOGIN_S: Final = 5.0
MAX_FRAME: Final = 64 * 1024
MAX_SESSIONS: Final = 20000
GRACE_S: Final = 15.0
"""A user whose connection is lost stays in its group for so long, and may come back."""
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
        self._users: dict[tuple[int, str], ImSession] = {}
        """Connections without a room."""
        self._absent: dict[tuple[RoomKey, str], asyncio.TimerHandle] = {}
        """Users whose connection is lost, and who are still in a group."""
        entry.messages.elsewhere.append(lambda app, user_id: (app, user_id) in self._users)
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
        for timer in self._absent.values():
            timer.cancel()

    # --- users without a room

    def check_arrival(self, app: int, user_id: str) -> None:
        """Whether a guest may come by this name. Raises NotPermitted, NameTaken."""
        self.entry.directory.check_guest(app, user_id)
        older = self._users.get((app, user_id))
        if older is not None and not older.guest:
            raise NameTaken(f"{user_id} is present by a ticket")

    def arrived(self, session: ImSession, app: int) -> None:
        older = self._users.get((app, session.user_id))
        self._users[(app, session.user_id)] = session
        if older is not None:
            older.kicked("replaced")

    def is_visitor(self, session: ImSession, app: int) -> bool:
        """Whether it is its user's connection without a room."""
        return self._users.get((app, session.user_id)) is session

    def gone(self, session: ImSession, app: int, group: RoomKey | None) -> None:
        """The connection has ended. Its user stays in `group` for a while, unless a newer connection is there."""
        if self._users.get((app, session.user_id)) is session:
            del self._users[(app, session.user_id)]
        if group is not None:
            absent = (group, session.user_id)
            earlier = self._absent.pop(absent, None)
            if earlier is not None:
                earlier.cancel()
            self._absent[absent] = asyncio.get_running_loop().call_later(GRACE_S, self._stayed_away, absent)

    def _stayed_away(self, absent: tuple[RoomKey, str]) -> None:
        del self._absent[absent]
        group, user_id = absent
        now = self._users.get((group.app, user_id))
        if now is None or now.group != group:
            self.entry.messages.groups.quit(group, user_id, self.clock())

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
            if event.reason == "kicked" and self.entry.directory.is_blocked(event.room, event.user_id):
                self._removed(event.room, event.user_id)

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
            case GroupNotice(room=room, message=notice):
                self._tell(list(self._by_room.get(room, ())), chat.notice_frame(notice, room.id))
            case GroupDissolved(room=room, message=notice):
                sessions = self._by_room.get(room, set())
                self._tell(sessions, chat.notice_frame(notice, room.id))
                for session in [session for session in sessions if session.group == room]:
                    session.part()
            case MemberQuitGroup(room=room, user_id=user_id):
                self._removed(room, user_id)
            case DirectPosted(app=app, message=direct):
                member, visitor = self.entry.directory.member(app, direct.to), self._users.get((app, direct.to))
                if member is not None and isinstance(member.session, ImSession):
                    self._tell([member.session], chat.direct_frame(direct))
                if visitor is not None:
                    self._tell([visitor], chat.direct_frame(direct))

    def _removed(self, room: RoomKey, user_id: str) -> None:
        """A user without a room is no longer in its group, and has not asked for that."""
        session = self._users.get((room.app, user_id))
        if session is None or session.group != room:
            return
        session.part()
        if self.entry.directory.is_blocked(room, user_id):
            now_ms = self.entry.messages.now_ms()
            session.socket.send(chat.notice_frame(chat.Notice(chat.REMOVED, now_ms, now_ms), room.id))

    @staticmethod
    def _tell(sessions: Iterable[ImSession], text: str) -> None:
        for session in sessions:
            session.socket.send(text)


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
        to, visitor = _text(frame, "to"), self._chat.is_visitor(self, self._app)
        if to:
            message, to = chat.read_body(body, chat.DIRECT_BYTES), check_user_id(to)
            if visitor:
                receipt = self._messages.post_direct_as(self._app, self.user_id, self._nick, to, random, message)
            else:
                receipt = self._messages.post_direct(self._present(), to, random, message)
        elif self.group is not None:
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
        position, groups = _position(frame), self._messages.groups
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
        if group is not None and _text(frame, "groupID") in ("", group.id):
            self.part()
            self._messages.groups.quit(group, self.user_id, self._chat.clock())
        return {}

    def part(self) -> None:
        """Hear no more of the group."""
        group, self.group = self.group, None
        if group is not None:
            self._chat.parted(self, group)

    def _login(self, frame: Mapping[str, Any]) -> dict[str, object]:
        if self.user_id:
            raise BadRequest("cmd: this connection has logged in")
        user_id = check_user_id(_text(frame, "userID"))
        user_sig, map_key = _text(frame, "userSig"), _text(frame, "privateMapKey")
        position, nick = _position(frame), _text(frame, "nickName")
        if len(nick) > MAX_NICK:
            raise BadRequest(f"nickName may have {MAX_NICK} characters")
        tickets = self._entry.tickets
        app = tickets.app(_app(frame))
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


def _position(frame: Mapping[str, Any]) -> chat.Position | None:
    """Read how far the client has read. Raises BadRequest."""
    if frame.get("lastSeq") is None:
        return None
    # Without an epoch nobody can say what the number counts: then it is none that we know.
    epoch = frame.get("epoch")
    return chat.read_position(0 if epoch is None else epoch, frame["lastSeq"])


def _app(frame: Mapping[str, Any]) -> int | None:
    value = frame.get("sdkAppID")
    if value is None or value == "" or value == 0:
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 10:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest("sdkAppID: a number is needed")
    return value
