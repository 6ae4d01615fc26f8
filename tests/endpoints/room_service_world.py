"""A World with RoomService, its users, and what its groups were told."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.base.config import RoomServiceConfig
from gateway.endpoints.im import Im, ImTimes
from gateway.endpoints.room_service import RoomService, room_service_policies
from gateway.endpoints.room_service.book import Book
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey
from tests.endpoints.im.phone import HOLD, Phone
from tests.endpoints.world import APP, World

KINDS = ("double_room", "multi_room", "live_room")


class Notices:
    """The groups: every notice, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.news = asyncio.Event()

    def notice(self, key: RoomKey, text: str, *, now_ms: int) -> None:
        assert now_ms > 1_600_000_000_000
        self.told.append((key.id, text))
        self.news.set()


class ServiceWorld(World):
    """`im`: with the old IM, whose groups are then told of pushers (and `notices` is not)."""

    all = Privilege.ALL

    def __init__(
        self,
        *,
        im: bool = False,
        creator_ends_room: bool = False,
        book: Book | None = None,
        notice_gap_s: float = 0.0,
        **options: Any,
    ) -> None:
        self.notices = Notices()
        super().__init__(**options)
        self.entry.policies = room_service_policies(
            self.entry.policies, RoomServiceConfig(creator_ends_room=creator_ends_room)
        )
        told = self.groups if im else self.notices
        self.service = RoomService(self.entry, self.access, told, book=book, notice_gap_s=notice_gap_s)
        self.app.add_routes(self.service.routes())
        if im:
            times = ImTimes(hold_s=HOLD, error_s=0.05)
            self.im = Im(self.entry, times, self.clock, uses_rooms=self.service.sessions.holds)
            self.app.add_routes(self.im.routes())

    async def post(self, name: str, body: object, query: dict[str, str], base: str = "/roomservice") -> dict[str, Any]:
        options = {} if body is None else {"json": body}
        async with self.client.post(f"{base}/weapp/{name}", params=query, **options) as answer:
            assert answer.status == 200, await answer.text()
            value: dict[str, Any] = await answer.json()
            return value

    def ticket_query(self, name: str) -> dict[str, str]:
        """Return the query of a login."""
        return {"accountType": "0", "sdkAppID": str(APP.sdk_app_id), "userSig": self.sig(name), "userID": name}

    async def user(self, name: str) -> User:
        answer = await self.post("multi_room/login", None, self.ticket_query(name))
        assert answer["code"] == 0, answer
        return User(self, name, answer["token"])


class User:
    """Somebody who is logged in: `await user("multi_room/get_pushers", roomID="r")`."""

    def __init__(self, world: ServiceWorld, name: str, token: str) -> None:
        self.world = world
        self.name = name
        self.token = token
        self.query = {"userID": name, "token": token}

    async def __call__(self, call: str, **body: Any) -> dict[str, Any]:
        return await self.world.post(call, body, self.query)

    async def add(self, kind: str, room: str, *, info: str = "", nick: str = "", avatar: str = "") -> dict[str, Any]:
        """get_push_url and add_pusher; nothing is pushed."""
        url = (await self(f"{kind}/get_push_url", userID=self.name, roomID=room))["pushURL"]
        body = {"roomID": room, "userID": self.name, "userName": nick, "userAvatar": avatar, "roomInfo": info}
        return await self(f"{kind}/add_pusher", pushURL=url, **body)

    async def push_in(self, kind: str, room: str) -> None:
        assert (await self.add(kind, room))["code"] == 0

    async def pushers(self, kind: str, room: str) -> list[str]:
        """Return the user ids of get_pushers."""
        return [pusher["userID"] for pusher in (await self(f"{kind}/get_pushers", roomID=room))["pushers"]]


async def notices(phone: Phone) -> list[tuple[int, str]]:
    """Return (ReportType, text) of what the system says to the group in one poll of `phone`."""
    entries = [entry["MsgBody"] for entry in await phone.poll() if entry["Event"] == 5]
    return [(body["ReportType"], body.get("UserDefinedField", "")) for body in entries]
