"""The calls of the old IM. What it promises its clients is in docs/protocol.md 7; errors never have another status."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from gateway.base.clock import Clock, monotonic, wall
from gateway.base.errors import BadRequest, BadTicket, GatewayError, NoSuchRoom, NotPermitted
from gateway.endpoints.entry import Entry
from gateway.endpoints.entry.joining import check_may_join
from gateway.endpoints.im import answers, forms
from gateway.endpoints.im.moderation import MODERATION
from gateway.endpoints.im.requests import Who, app_number, group_key
from gateway.endpoints.im.sessions import GroupKey, Session, Sessions
from gateway.rooms import events
from gateway.rooms.groups import DirectPosted, GroupDissolved, GroupEvent, GroupNotice, MemberQuitGroup, MessagePosted
from gateway.rooms.room import RoomKey, check_user_id
from gateway.wire import chat

log = logging.getLogger(__name__)

MAX_KEYS: Final = 40000
MAX_HELD: Final = 40000
MAX_PROFILES: Final = 50000
KEPT: Final = 200
KEPT_S: Final = 7 * 86400.0
KEPT_USERS: Final = 2000
KEPT_SIZE: Final = 32 * 1024 * 1024
"""Messages to one user who is away, their age, the users with some, and characters of all; old ones go first."""
MAX_NICK: Final = 500
_PROFILE_TAGS: Final = ("Tag_Profile_IM_Nick", "Tag_Profile_IM_Image")
_STUBS: Final = frozenset({"web_report", "msgreaded", "logout", "longpollinglogout"})


@dataclasses.dataclass(frozen=True, slots=True)
class ImTimes:
    """Seconds: how long polls are held, what clients are told, and how late an error of a poll comes."""

    hold_s: float = 50.0
    told_s: int = 60
    error_s: float = 1.0


class Im:
    """All users of the old IM on this node."""

    def __init__(
        self, entry: Entry, times: ImTimes | None = None, clock: Clock = monotonic, wall: Callable[[], float] = wall
    ) -> None:
        self.entry = entry
        self.times = times or ImTimes()
        self.sessions = Sessions(lambda: entry.random(24).hex())
        self.clock = clock
        self._wall = wall
        self.groups = entry.messages.groups
        self._keys: dict[str, GroupKey] = {}
        self._of_group: dict[RoomKey, set[GroupKey]] = {}
        self._profiles: dict[tuple[int, str], dict[str, str]] = {}
        self._held = 0
        self._swept = clock()
        self._waiting: collections.OrderedDict[tuple[int, str], collections.deque[tuple[float, str]]]
        self._waiting = collections.OrderedDict()
        """What was sent to users who are away, and when; until they log in."""
        self._waiting_size = 0
        entry.messages.elsewhere.append(lambda app, user_id: self.sessions.of(app, user_id) is not None)
        entry.messages.events.on("event", self._on_event)
        entry.directory.events.on("event", self._on_room_event)

    def routes(self) -> list[web.RouteDef]:
        paths = ("/v4/{service}/{command}", "/v1/{service}/{command}")
        return [web.route(method, path, self._handle) for path in paths for method in ("POST", "OPTIONS")]

    def now_ms(self) -> int:
        return int(self._wall() * 1000)

    # --- requests

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=answers.HEADERS)
        service, command = request.match_info["service"], request.match_info["command"]
        polls = command in ("longpolling", "get_msg")
        try:
            body = await answers.read_json(request)
            self._sweep()
            if command == "jsonvideoapp":
                return self._video_app(request, body)
            if command == "get_msg":
                return await self._poll_group(request, body)
            who = self._who(request, login=command == "login")
            if who.session is not None and who.session.kicked:
                return await self._late(answers.KICKED, "logged in elsewhere")
            if command == "longpolling":
                return await self._poll(request, who)
            return answers.answer(self._call(service, command, who, body))
        except GatewayError as error:
            number = answers.error_number(error)
            return await self._late(number, error.message) if polls else answers.failure(number, error.message)

    async def _late(self, number: int, text: str) -> web.Response:
        """Old clients ask again at once after an error: it comes late, so that they do not spin."""
        await asyncio.sleep(self.times.error_s)
        return answers.failure(number, text)

    def _who(self, request: web.Request, *, login: bool) -> Who:
        """Return who asks: by A2Key, or by a userSig in the query. Raises BadTicket."""
        query = request.query
        app = self.entry.tickets.app(app_number(query.get("sdkappid", "")))
        a2 = query.get("a2", "")
        if a2 and not login:
            session = self.sessions.find(a2, self.clock())
            if session is None or session.app != app.sdk_app_id:
                raise BadTicket("a2: not logged in")
            return Who(app.sdk_app_id, session.user_id, session)
        user_id = check_user_id(query.get("identifier", ""))
        self.entry.tickets.user(app, user_id, query.get("usersig", ""))
        return Who(app.sdk_app_id, user_id)

    def _call(self, service: str, command: str, who: Who, body: Mapping[str, Any]) -> Mapping[str, object]:
        match command:
            case "login":
                return self._login(who)
            case "getlongpollingid":
                return {"LongPollingId": self.entry.random(8).hex(), "Timeout": self.times.told_s}
            case "portrait_get":
                return self._portraits(who, body)
            case "portrait_set":
                return self._set_portrait(who, body)
            case "get_joined_group_list":
                return {"GroupIdList": [], "TotalCount": 0}
            case "authkey":
                return {"IpList": [], "AuthKey": "", "ExpireTime": 0}
            case "getmsg":
                return {"MsgList": [], "SyncFlag": 2, "Cookie": ""}
            case "create_group":
                return self._create(who, body)
            case "apply_join_group":
                return self._join(who, group_key(who, body))
            case "quit_group":
                self._quit(who, group_key(who, body))
                return {}
            case "destroy_group":
                return self._destroy(who, group_key(who, body))
            case "send_group_msg":
                return self._send(who, body)
            case "sendmsg":
                return self._send_direct(who, body)
            case "send_group_system_notification":
                return self._notify(who, body)
        moderation = MODERATION.get(command)
        if service == "group_open_http_svc" and moderation is not None:
            return moderation(self, who, body)
        if command in _STUBS or service in ("imopenstat", "recentcontact", "sns"):
            return {}
        raise BadRequest(f"{command[:64]!r} is not known here")

    def _login(self, who: Who) -> Mapping[str, object]:
        before = self.sessions.of(who.app, who.user_id)
        session = self.sessions.login(who.app, who.user_id, self.clock())
        if before is not None and before.group is not None:
            self._end_key(before.group)
        for at, entry in self._fetch_kept((who.app, who.user_id)):
            if self.clock() - at < KEPT_S:
                session.mailbox.put(entry)
        # Digits, and small enough for a number of JavaScript.
        return {"TinyId": str(144115188000000000 + int(session.a2[:8], 16)), "A2Key": session.a2}

    # --- profiles

    def _nick(self, app: int, user_id: str) -> str:
        return self._profiles.get((app, user_id), {}).get("Tag_Profile_IM_Nick", "")

    def _portraits(self, who: Who, body: Mapping[str, Any]) -> Mapping[str, object]:
        asked = body.get("To_Account")
        items = []
        for user_id in asked[:100] if isinstance(asked, list) else ():
            if isinstance(user_id, str):
                profile = self._profiles.get((who.app, user_id), {})
                tags = [{"Tag": tag, "Value": value} for tag, value in profile.items()]
                items.append({"To_Account": user_id, "ProfileItem": tags, "ResultCode": 0, "ResultInfo": ""})
        return {"UserProfileItem": items}

    def _set_portrait(self, who: Who, body: Mapping[str, Any]) -> Mapping[str, object]:
        items = body.get("ProfileItem")
        if not isinstance(items, list):
            raise BadRequest("ProfileItem: a list is needed")
        profile = self._profiles.setdefault((who.app, who.user_id), {})
        if len(self._profiles) > MAX_PROFILES:
            del self._profiles[next(iter(self._profiles))]
        for item in items[:16]:
            tag, value = (item.get("Tag"), item.get("Value")) if isinstance(item, dict) else (None, None)
            if tag in _PROFILE_TAGS and isinstance(value, str) and len(value) <= MAX_NICK and chat.is_sound(value):
                profile[tag] = value
        return {}

    # --- groups

    def _create(self, who: Who, body: Mapping[str, Any]) -> Mapping[str, object]:
        key = group_key(who, body)
        if key in self.groups:
            raise answers.GroupTaken("the group exists", code=10025 if self._owner(key) == who.user_id else 10021)
        owner = body.get("Owner_Account") if who.is_admin else who.user_id
        self.groups.create(key, check_user_id(owner or who.user_id), self.clock(), self.now_ms())
        return {"GroupId": key.id}

    def _owner(self, key: RoomKey) -> str:
        room = self.entry.directory.rooms.get(key)
        return room.creator if room is not None else self.groups.owner(key)

    def _join(self, who: Who, key: RoomKey) -> Mapping[str, object]:
        if who.session is None:
            raise NotPermitted("log in first")
        check_may_join(self.entry, key, who.user_id)
        self.groups.join(key, who.user_id, self.clock(), self.now_ms())
        held = who.session.group
        if held is None or held.mailbox.closed or held.group != key:
            if held is not None:
                self._end_key(held)
            held = who.session.group = GroupKey(self.entry.random(16).hex(), key, who.user_id)
            self._keys[held.key] = held
            if len(self._keys) > MAX_KEYS:
                self._end_key(next(iter(self._keys.values())))
        self._of_group.setdefault(key, set()).add(held)
        return {"JoinedStatus": "JoinedSuccess", "LongPollingKey": held.key, "GroupId": key.id}

    def _quit(self, who: Who, key: RoomKey) -> None:
        self.groups.quit(key, who.user_id, self.clock())

    def _end_key(self, held: GroupKey, *, last_words: bool = False) -> None:
        if not last_words:
            held.mailbox.close()
            self._keys.pop(held.key, None)
        keys = self._of_group.get(held.group)
        if keys is not None:
            keys.discard(held)
            if not keys:
                del self._of_group[held.group]

    def _destroy(self, who: Who, key: RoomKey) -> Mapping[str, object]:
        if key not in self.groups:
            raise NoSuchRoom(f"no group {key.id}")
        if not who.is_admin and self.groups.owner(key) != who.user_id:
            raise NotPermitted("only who made the group may end it")
        self.groups.dissolve(key, self.now_ms())
        return {}

    def _notify(self, who: Who, body: Mapping[str, Any]) -> Mapping[str, object]:
        key, text = group_key(who, body), body.get("Content")
        if not who.is_admin:
            raise NotPermitted("for the administrator only")
        if key not in self.groups:
            raise NoSuchRoom(f"no group {key.id}")
        if not isinstance(text, str) or not chat.is_sound(text) or len(text.encode()) > chat.GROUP_BYTES:
            raise BadRequest("Content: a text is needed")
        self.groups.notice(key, text, now_ms=self.now_ms())
        return {}

    # --- messages

    def _send(self, who: Who, body: Mapping[str, Any]) -> Mapping[str, object]:
        key = group_key(who, body)
        inside = self.groups.joined(who.app, who.user_id) == key
        if not inside and self.entry.directory.member_in(key, who.user_id) is None:
            if not who.is_admin:
                raise NotPermitted("not in the group")
            if key not in self.groups:
                raise NoSuchRoom(f"no group {key.id}")
        message = chat.read_body(body.get("MsgBody"))
        receipt = self.groups.post(
            key,
            who.user_id,
            self._nick(who.app, who.user_id),
            chat.read_random(body.get("Random")),
            message,
            now=self.clock(),
            now_ms=self.now_ms(),
        )
        return {"MsgTime": receipt.time_ms // 1000, "MsgSeq": receipt.seq}

    def _send_direct(self, who: Who, body: Mapping[str, Any]) -> Mapping[str, object]:
        to = check_user_id(body.get("To_Account"))
        seq = body.get("MsgSeq", 0)
        if isinstance(seq, bool) or not isinstance(seq, int) or not 0 <= seq <= chat.MAX_SEQ:
            raise BadRequest("MsgSeq: a number is needed")
        random, message = (
            chat.read_random(body.get("MsgRandom")),
            chat.read_body(body.get("MsgBody"), chat.DIRECT_BYTES),
        )
        receipt = self.groups.post_direct(
            who.app,
            who.user_id,
            self._nick(who.app, who.user_id),
            to,
            random,
            message,
            now=self.clock(),
            now_ms=self.now_ms(),
            sender_seq=seq,
        )
        return {"MsgTime": receipt.time_ms // 1000, "MsgKey": f"{seq}_{random}_{receipt.time_ms // 1000}"}

    def _on_event(self, event: GroupEvent) -> None:
        match event:
            case MessagePosted(room=key, message=message):
                if key not in self._of_group:
                    return
                told: chat.Message | None = message
                if self._kind(key) in forms.ROOM_SERVICE:
                    told = forms.for_room_service(message)
                if told is not None:
                    self._put(key, chat.entry_json(told, key.id))
            case GroupNotice(room=key, message=notice):
                # Room clients parse the text of a notice without a guard.
                if self._kind(key) not in forms.ROOM_SERVICE or forms.is_json_object(notice.text):
                    self._put(key, chat.notice_entry_json(notice, key.id))
            case GroupDissolved(room=key, message=notice):
                self._put(key, chat.notice_entry_json(notice, key.id))
                self._of_group.pop(key, None)
            case MemberQuitGroup(room=key, user_id=user_id):
                for held in [held for held in self._of_group.get(key, ()) if held.user_id == user_id]:
                    self._end_key(held)
            case DirectPosted(app=app, message=direct):
                session, entry = self.sessions.of(app, direct.to), chat.direct_entry_json(direct)
                member = self.entry.directory.member(app, direct.to)
                if session is None:
                    reached = self.entry.messages.is_elsewhere(app, direct.to)
                    if not reached and (member is None or member.session is None):
                        self._keep(app, direct.to, entry)
                elif self._reads_anything(session) or forms.is_one_json(direct.body):
                    session.mailbox.put(entry)

    def _keep(self, app: int, to: str, entry: str) -> None:
        """Keep a message for a user who is nowhere, until it logs in."""
        waiting = self._waiting.setdefault((app, to), collections.deque())
        self._waiting.move_to_end((app, to))
        waiting.append((self.clock(), entry))
        self._waiting_size += len(entry)
        if len(waiting) > KEPT:
            self._waiting_size -= len(waiting.popleft()[1])
        while len(self._waiting) > KEPT_USERS or self._waiting_size > KEPT_SIZE:
            self._fetch_kept(next(iter(self._waiting)))

    def _fetch_kept(self, user: tuple[int, str]) -> collections.deque[tuple[float, str]]:
        kept = self._waiting.pop(user, None) or collections.deque()
        self._waiting_size -= sum(len(entry) for _, entry in kept)
        return kept

    def _kind(self, key: RoomKey) -> str:
        room = self.entry.directory.rooms.get(key)
        return "" if room is None else room.policy.kind

    def _reads_anything(self, session: Session) -> bool:
        return session.group is None or self._kind(session.group.group) != "live_room"

    def _put(self, key: RoomKey, entry: str) -> None:
        for held in self._of_group.get(key, ()):
            held.mailbox.put(entry)

    def _on_room_event(self, event: events.RoomEvent) -> None:
        """Who is thrown out of the room is told so (type 4), and hears no more of its group."""
        if not isinstance(event, events.MemberLeft) or event.reason != "kicked":
            return
        # Where the room itself ends, everybody leaves as kicked, and type 5 is still to come.
        if self.entry.directory.is_blocked(event.room, event.user_id):
            now_ms = self.now_ms()
            notice = chat.Notice(chat.REMOVED, now_ms, now_ms)
            for held in [held for held in self._of_group.get(event.room, ()) if held.user_id == event.user_id]:
                held.mailbox.put(chat.notice_entry_json(notice, event.room.id))
                self._end_key(held, last_words=True)
            self.groups.quit(event.room, event.user_id, self.clock())

    # --- polls

    async def _poll(self, request: web.Request, who: Who) -> web.Response:
        session = who.session
        if session is None:
            raise BadTicket("a2: not logged in")
        entries = await self._take(request, session.mailbox.take)
        if session.kicked:
            return answers.failure(answers.KICKED, "logged in elsewhere")
        if not entries:
            return answers.failure(answers.QUIET, "nothing new")
        return answers.answer_entries({}, "EventArray", entries, inside="C2cMsgArray")

    async def _poll_group(self, request: web.Request, body: Mapping[str, Any]) -> web.Response:
        """Polls of keys that are not known, or of groups that are gone, are held and end well and empty."""
        name = body.get("Key")
        if not isinstance(name, str) or not 0 < len(name) <= 128 or not name.isascii():
            raise BadRequest("Key: the LongPollingKey is needed")
        held = self._keys.get(name) or GroupKey(name, RoomKey(0, "-", True), "")
        self._touch(held)
        if held.key not in self._keys:
            held.mailbox.closed = True
        entries = await self._take(request, held.mailbox.take)
        held.next_seq += len(entries)
        fields = {"Key": name, "NextSeq": held.next_seq, "HoldTime": self.times.told_s}
        return answers.answer_entries(fields, "RspMsgList", entries) if entries else answers.answer(fields)

    def _touch(self, held: GroupKey) -> None:
        session = self.sessions.of(held.group.app, held.user_id)
        if session is not None and session.group is held:
            self.sessions.find(session.a2, self.clock())

    async def _take(self, request: web.Request, take: Callable[..., Any]) -> list[str]:
        hold_s = self.times.hold_s if self._held < MAX_HELD else self.times.error_s
        self._held += 1
        try:
            entries: list[str] = await take(hold_s, lambda: _is_there(request))
            return entries
        finally:
            self._held -= 1

    def _sweep(self) -> None:
        now = self.clock()
        if now - self._swept < 10:
            return
        self._swept = now
        for session in self.sessions.silent(now):
            held, session.group = session.group, None
            if held is not None and not held.mailbox.closed:
                self.groups.quit(held.group, held.user_id, now)
                self._end_key(held)

    # --- the signature host

    def _video_app(self, request: web.Request, body: Mapping[str, Any]) -> web.Response:
        """Check the tickets of a mini program's component. RspHead is in every answer: the old one needs it."""
        number, text, rights = 0, "", 0
        head, inner = body.get("ReqHead"), body.get("ReqBody")
        try:
            app = self.entry.tickets.app(app_number(request.query.get("sdkappid", "")))
            user_id = check_user_id(request.query.get("identifier", ""))
            group = head.get("GroupId") if isinstance(head, dict) else None
            room = RoomKey.parse(app.sdk_app_id, group if isinstance(group, int | str) else "")
            ticket = inner.get("PrivMapEncrypt") if isinstance(inner, dict) else None
            key = ticket if isinstance(ticket, str) else ""
            rights = int(self.entry.tickets.room(app, user_id, room, request.query.get("usersig", ""), key))
        except GatewayError as error:
            number, text = answers.error_number(error), error.message
        reply = {"RspHead": {"ErrorCode": number, "ErrorInfo": text}, "RspBody": {"Privileges": rights}}
        return web.json_response(reply, headers=answers.HEADERS)


def _is_there(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()
