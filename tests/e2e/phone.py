"""A mini program's calls to RoomService and the old IM, by HTTP alone: for whoever shares a room with one."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self

import aiohttp

from gateway.base.config import Config
from gateway.services.keys import load_apps
from tests.e2e.gateway_process import Gateway


class Phone:
    """`async with Phone(gateway, "alice", "live_room") as phone`: logged in to both."""

    def __init__(self, gateway: Gateway, user: str, kind: str) -> None:
        self.gateway, self.user, self.kind = gateway, user, kind
        self.app = load_apps(Config(data=str(gateway.data)), admin=False).default_app
        self._query: dict[str, str] = {}
        self._identity: dict[str, str] = {}
        self._key = ""
        self._seq = self._notice = 0

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=70))
        sig = (await self.gateway.tickets(self.user, 1))["userSig"]
        login = {"accountType": "1", "sdkAppID": str(self.app), "userID": self.user, "userSig": sig}
        answer = await self._post(f"/roomservice//weapp/{self.kind}/login", login, {})
        self._query = {"userID": self.user, "token": answer["token"]}
        self._identity = {"identifier": self.user, "usersig": sig}
        answer = await self.im("v4/openim/login", State="Online")
        self._identity = {"tinyid": answer["TinyId"], "a2": answer["A2Key"]}
        await self.im("v4/profile/portrait_set", ProfileItem=[{"Tag": "Tag_Profile_IM_Nick", "Value": self.user}])
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self._http.close()

    async def _post(self, path: str, query: dict[str, str], body: object) -> dict[str, Any]:
        async with self._http.post(self.gateway.http + path, params=query, json=body) as answer:
            assert answer.status == 200, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    # --- RoomService

    async def call(self, name: str, **body: object) -> dict[str, Any]:
        answer = await self._post(f"/roomservice//weapp/{self.kind}/{name}", self._query, body)
        assert answer["code"] == 0, (name, answer)
        return answer

    async def push_url(self, room: str) -> str:
        return str((await self.call("get_push_url", userID=self.user, roomID=room))["pushURL"])

    async def add(self, room: str, push_url: str) -> None:
        await self.call(
            "add_pusher", roomID=room, userID=self.user, userName=self.user, userAvatar="", pushURL=push_url
        )

    async def pushers(self, room: str) -> list[tuple[str, str]]:
        """Return (user, accelerateURL) in the room's order."""
        found = (await self.call("get_pushers", roomID=room))["pushers"]
        return [(pusher["userID"], pusher["accelerateURL"]) for pusher in found]

    # --- the IM

    async def im(self, path: str, **body: object) -> dict[str, Any]:
        query = {"websdkappid": "537048168", "v": "1.7.0", "sdkappid": str(self.app), **self._identity}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        async with self._http.post(
            f"{self.gateway.http}/{path}", params=query, data=json.dumps(body), headers=headers
        ) as answer:
            found: dict[str, Any] = await answer.json(content_type=None)
            return found

    async def join(self, room: str) -> None:
        answer = await self.im(
            "v4/group_open_http_svc/apply_join_group", GroupId=room, ApplyMsg="", UserDefinedField=""
        )
        assert answer["JoinedStatus"] == "JoinedSuccess", answer
        self._key = answer["LongPollingKey"]

    async def heard(self, event: int) -> dict[str, Any]:
        """Poll the group until an entry of that kind comes: 3 a message, 5 a notice."""
        while True:
            body = {"StartSeq": self._seq, "HoldTime": 90, "Key": self._key}
            answer = await self.im("v1/group_open_long_polling_http_noauth_svc/get_msg", **body)
            self._seq, self._key = answer["NextSeq"], answer["Key"]
            for entry in answer.get("RspMsgList", []):
                if entry["Event"] == event:
                    found: dict[str, Any] = entry
                    return found

    async def tell(self, user: str, command: dict[str, Any], random: int) -> None:
        """Send a message to one user, as liveroom.js does."""
        body = [{"MsgType": "TIMCustomElem", "MsgContent": {"Data": json.dumps(command), "Desc": "", "Ext": ""}}]
        sent = {"From_Account": self.user, "To_Account": user, "MsgTimeStamp": 1, "MsgSeq": random, "MsgRandom": random}
        answer = await self.im("v4/openim/sendmsg", **sent, MsgBody=body)
        assert answer["ActionStatus"] == "OK", answer

    async def told(self) -> dict[str, Any]:
        """Poll until a message to this user comes; return what its elements say together."""
        while True:
            cookie = {"NotifySeq": 0, "NoticeSeq": self._notice}
            answer = await self.im("v4/openim/longpolling", Timeout=60, Cookie=cookie)
            for event in answer.get("EventArray", []):
                for message in event.get("C2cMsgArray", []):
                    self._notice = message["NoticeSeq"]
                    contents = [element["MsgContent"] for element in message["MsgBody"]]
                    said: dict[str, Any] = json.loads("".join(c.get("Data") or c.get("Text", "") for c in contents))
                    return said
