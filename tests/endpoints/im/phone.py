"""A client of the old IM, as its library talks on the wire: the same bodies, types, order and memory of numbers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Coroutine
from typing import Any, Protocol, TypeVar

import aiohttp

from gateway.base.config import MessagesConfig
from gateway.endpoints.im import Im, ImTimes
from tests.endpoints.test_messages import until
from tests.endpoints.world import APP, World

ROOM = "55"
TEXT = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hello"}}]
HOLD = 0.15
"""Seconds that polls are held here; clients are told 60."""
GROUPS = "v4/group_open_http_svc"
T = TypeVar("T")
POLL = "v1/group_open_long_polling_http_noauth_svc/get_msg"


class Server(Protocol):
    """What a phone needs of the server that it talks to."""

    client: aiohttp.ClientSession
    sdk_app_id: int

    def sig(self, user: str) -> str: ...


class Phone:
    """One page with the library in it: it takes Key, NextSeq and NoticeSeq from each answer to the next poll."""

    def __init__(self, world: World | Server, user: str, *, sig: str = "") -> None:
        self.world, self.user = world, user
        self.app = APP.sdk_app_id if isinstance(world, World) else world.sdk_app_id
        self.identity = f"identifier={user}&usersig={sig or world.sig(user)}"
        self.key = ""
        self.start = 0
        self.notice_seq = 0
        self.a2 = ""

    async def post(self, path: str, body: object, *, identity: str | None = None) -> dict[str, Any]:
        """Send a request. The web page's library calls its JSON a form."""
        who = self.identity if identity is None else identity
        url = (
            f"/{path}?websdkappid=537048168&v=1.7.0&{who}&contenttype=json&sdkappid={self.app}"
            "&accounttype=0&apn=1&reqtime=1546300800&reqSeq=7"
        )
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
        async with self.world.client.post(url, data=data, headers=kind) as answer:
            assert answer.status == 200
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert answer.content_type == "application/json"
            value: dict[str, Any] = json.loads(await answer.text())
            return value

    async def login(self) -> Phone:
        answer = await self.post("v4/openim/login", {"State": "Online"})
        assert answer["ActionStatus"] == "OK", answer
        assert isinstance(answer["A2Key"], str) and answer["TinyId"].isdecimal()
        self.a2 = answer["A2Key"]
        self.identity = f"tinyid={answer['TinyId']}&a2={self.a2}"
        self.notice_seq = 0
        return self

    async def join(self, group: object = ROOM) -> Phone:
        answer = await self.post(f"{GROUPS}/apply_join_group", {"GroupId": group})
        assert answer["JoinedStatus"] == "JoinedSuccess", answer
        self.key, self.start = answer["LongPollingKey"], 0
        return self

    async def ask(self, key: str, start: int) -> dict[str, Any]:
        """One poll of a group by itself."""
        body = {"StartSeq": start, "HoldTime": 90, "Key": key}
        answer = await self.post(POLL, body, identity="")
        assert answer["ActionStatus"] == "OK" and answer["Key"] == key
        assert answer["HoldTime"] > HOLD and answer["NextSeq"] >= max(1, start)
        return answer

    async def poll(self) -> list[dict[str, Any]]:
        """Poll the group once, and go on from there."""
        answer = await self.ask(self.key, self.start)
        self.start = answer["NextSeq"]
        entries: list[dict[str, Any]] = answer.get("RspMsgList", [])
        assert "RspMsgList" not in answer or entries
        return entries

    async def said(self) -> list[tuple[str, str]]:
        """Poll once: who said what, tips and notices left aside."""
        return [
            (entry["From_Account"], entry["MsgBody"][-1]["MsgContent"].get("Text", ""))
            for entry in await self.poll()
            if entry["Event"] == 3
        ]

    async def ask_own(self, notice_seq: int, **fields: Any) -> dict[str, Any]:
        """One personal poll by itself."""
        cookie = {"NotifySeq": 0, "NoticeSeq": notice_seq, "LongPollingId": "x"}
        return await self.post("v4/openim/longpolling", {"Timeout": 60, "Cookie": cookie, **fields})

    async def listen(self) -> list[dict[str, Any]]:
        """Poll the own messages once, and go on from there; of each event the first entry's number counts."""
        answer = await self.ask_own(self.notice_seq)
        if answer["ErrorCode"] == 60008:
            return []
        assert answer["ActionStatus"] == "OK", answer
        for event in answer["EventArray"]:
            entries = event.get("C2cMsgArray", event.get("GroupTips"))
            assert entries
            self.notice_seq = entries[0]["NoticeSeq"]
        events: list[dict[str, Any]] = answer["EventArray"]
        return events

    async def heard(self) -> list[tuple[str, int]]:
        """Poll the own messages once: who wrote, and the number it drew."""
        entries = [event["C2cMsgArray"] for event in await self.listen() if event["Event"] == 9]
        return [(entry["From_Account"], entry["MsgRandom"]) for array in entries for entry in array]

    async def say(self, body: object = TEXT, number: int = 1, group: str = ROOM, **fields: Any) -> dict[str, Any]:
        fields = {"GroupId": group, "Random": number, "MsgPriority": "COMMON", "MsgBody": body, **fields}
        return await self.post(f"{GROUPS}/send_group_msg", fields)

    async def write(self, to: str, number: int, body: object = TEXT, **fields: Any) -> dict[str, Any]:
        """Send a message to one user."""
        message = {"From_Account": self.user, "To_Account": to, "MsgTimeStamp": 1546300800, "MsgSeq": 4711}
        return await self.post("v4/openim/sendmsg", {**message, "MsgRandom": number, "MsgBody": body, **fields})

    async def create(self, group: str = ROOM, **fields: Any) -> dict[str, Any]:
        body = {"Type": "AVChatRoom", "Name": group, "GroupId": group, "Owner_Account": self.user, "MemberList": []}
        return await self.post(f"{GROUPS}/create_group", {**body, "ApplyJoinOption": "FreeAccess", **fields})

    async def quit(self, group: str = ROOM) -> dict[str, Any]:
        return await self.post(f"{GROUPS}/quit_group", {"GroupId": group})


@contextlib.asynccontextmanager
async def node(world: World | None = None, **config: Any) -> AsyncIterator[World]:
    """A world with the old IM in it, as `world.im`."""
    world = world or World()
    im = Im(world.entry, ImTimes(hold_s=HOLD, error_s=0.05), world.clock, config=MessagesConfig(**config))
    world.app.add_routes(im.routes())
    world.im = im  # type: ignore[attr-defined]
    async with world:
        yield world


def im_of(world: World) -> Im:
    im: Im = world.im  # type: ignore[attr-defined]
    return im


async def hold(world: World, *polls: Coroutine[Any, Any, T]) -> list[asyncio.Task[T]]:
    """Start polls, one after the other, and return when they are held: so long that one which ends was answered."""
    im = im_of(world)
    times, im.times = im.times, ImTimes(hold_s=60.0, error_s=0.05)
    tasks = [await _held(im, poll) for poll in polls]
    im.times = times
    return tasks


async def _held(im: Im, poll: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    expected = im.held + 1
    task = asyncio.create_task(poll)
    await until(lambda: im.held >= expected, 20)
    return task


async def soon(what: Awaitable[T]) -> T:
    """Await what must not take as long as such a poll is held."""
    return await asyncio.wait_for(what, 20)


async def phones(world: World, *users: str, group: str = ROOM) -> list[Phone]:
    """Log users in and let them join a group; none has heard anything yet."""
    found = [await (await Phone(world, user).login()).join(group) for user in users]
    for phone in found[:-1]:
        await phone.poll()  # tips of those who came later
    return found
