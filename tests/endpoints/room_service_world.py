"""A World with RoomService, its users, and what its groups were told."""

from __future__ import annotations

from typing import Any

from gateway.endpoints.room_service import RoomService
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey
from tests.endpoints.world import APP, World


class Notices:
    """The groups: every notice, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def notice(self, key: RoomKey, text: str, *, now_ms: int) -> None:
        assert now_ms > 1_600_000_000_000
        self.told.append((key.id, text))

    def dissolve(self, key: RoomKey, now_ms: int) -> None:
        assert now_ms > 1_600_000_000_000
        self.told.append((key.id, "dissolved"))


class ServiceWorld(World):
    all = Privilege.ALL

    def __init__(self, **options: Any) -> None:
        self.notices = Notices()
        super().__init__(**options)
        self.service = RoomService(self.entry, self.access, self.notices)
        self.app.add_routes(self.service.routes())

    async def post(self, name: str, body: object, query: dict[str, str]) -> dict[str, Any]:
        options = {} if body is None else {"json": body}
        async with self.client.post(f"/roomservice/weapp/{name}", params=query, **options) as answer:
            assert answer.status == 200, await answer.text()
            value: dict[str, Any] = await answer.json()
            return value

    async def user(self, name: str) -> User:
        query = {"sdkAppID": str(APP.sdk_app_id), "accountType": "0", "userID": name, "userSig": self.sig(name)}
        answer = await self.post("multi_room/login", None, query)
        assert answer["code"] == 0, answer
        return User(self, name, answer["token"])


class User:
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
