"""The room service as the mini-program component asks it: REST calls in JSON, refusals in words with a way out."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from gateway.demo.failure import Failure, reason

CALL_S: Final = 8.0
LEAVE_S: Final = 0.7
HEARTBEAT_S: Final = 7.0
MISSES: Final = 3
"""Heartbeats that may fail one after the other; then the component leaves."""

_BASE: Final = "/webrtc/weapp/webrtc_room/"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the peer is, and as whom."""

    room: str
    user: str
    user_sig: str
    private_map_key: str
    app: int
    push_url: str
    members: tuple[tuple[str, str], ...]
    """(user, play URL) of those who are there."""


class _Unreachable(Exception):
    pass


class RoomService:
    """The calls of one peer."""

    def __init__(self, http: aiohttp.ClientSession, server: str) -> None:
        self._http = http
        self._server = server

    async def enter(
        self,
        *,
        room: str,
        create: str | None,
        user: str,
        nick: str,
        user_sig: str,
        private_map_key: str,
        app: int,
    ) -> Place:
        """Go in: log in, enter or create, and ask where to push. Raises Failure."""
        asked = {"roomID": room, "userID": user}
        if not user_sig:
            login = await self._call("get_login_info", asked, userID=user)
            user, user_sig, app = _text(login, "userID"), _text(login, "userSig"), int(login.get("sdkAppID") or app)
        if create is not None:
            made = await self._call("create_room", asked, userID=user, userSig=user_sig, nickName=nick, roomInfo=create)
            room, private_map_key = _text(made, "roomID"), _text(made, "privateMapKey")
        elif not private_map_key:
            fields = {"userID": user, "userSig": user_sig, "nickName": nick, "roomID": room}
            private_map_key = _text(await self._call("enter_room", asked, **fields), "privateMapKey")
        answer = await self._call(
            "get_push_url", asked, userID=user, roomID=room, userSig=user_sig, privateMapKey=private_map_key,
            nickName=nick,
        )  # fmt: skip
        members = answer.get("members")
        listed = members if isinstance(members, list) else []
        return Place(
            room,
            user,
            user_sig,
            private_map_key,
            app,
            _text(answer, "pushURL"),
            tuple((_text(item, "userID"), _text(item, "accelerateURL")) for item in listed if isinstance(item, dict)),
        )

    async def heartbeats(self, place: Place) -> None:
        """Say each seven seconds that we are there. Raises Failure after three misses, or when we are refused."""
        missed = 0
        while True:
            try:
                await self._ask("heartbeat", _who(place), CALL_S)
                missed = 0
            except (_Unreachable, Failure) as error:
                missed += 1
                if missed >= MISSES:
                    raise Failure(f"{missed} heartbeats failed: {error}") from None
            await asyncio.sleep(HEARTBEAT_S)

    async def quit(self, place: Place) -> None:
        """Leave, as well as it goes."""
        try:
            await self._ask("quit_room", _who(place), LEAVE_S)
        except (_Unreachable, Failure):
            pass

    async def _call(self, name: str, asked: dict[str, str], **fields: str) -> dict[str, Any]:
        try:
            answer = await self._ask(name, fields, CALL_S)
        except _Unreachable as error:
            raise Failure(str(error)) from None
        code = answer.get("code")
        if code != 0:
            raise Failure(refusal(code, answer, asked["roomID"], asked["userID"]))
        return answer

    async def _ask(self, name: str, fields: dict[str, str], timeout_s: float) -> dict[str, Any]:
        """Return the answer, whatever its code. Raises _Unreachable, Failure."""
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._http.post(self._server + _BASE + name, json=fields, timeout=timeout) as response:
                body = await response.content.read(1 << 20)
                status = response.status
        except aiohttp.ClientConnectorCertificateError:
            raise _Unreachable(
                f"{self._server}: its certificate is not trusted here; use its http:// address if it is your own"
            ) from None
        except TimeoutError:
            raise _Unreachable(f"{self._server} does not answer within {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Unreachable(
                f"{self._server} is not reachable ({reason(error)}); start the server (./serve.sh) or give --server URL"
            ) from None
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not isinstance(answer.get("code"), int):
            raise Failure(f"{self._server} is no gateway: HTTP {status} to {name}; check --server")
        return answer


def _who(place: Place) -> dict[str, str]:
    return {"userID": place.user, "roomID": place.room, "userSig": place.user_sig}


def _text(answer: dict[str, Any], name: str) -> str:
    value = answer.get(name)
    return value if isinstance(value, str) else ""


def refusal(code: object, answer: dict[str, Any], room: str, user: str) -> str:
    """Return cause and cure of an answer that is not 0."""
    detail = answer.get("detail")
    facts = str(detail.get("message", "")) if isinstance(detail, dict) else ""
    because = f": {facts}" if facts else ""
    who = user or "the name"
    match code:
        case 3:
            return f"room {room} does not exist; --create makes one, and 1001 is there with serve --dev"
        case 7:
            return (
                f"{who} is no name that the room service takes{because}; a guest's has 4 to 24 letters, digits and _, "
                "a letter first"
            )
        case 4001 if facts:
            return f"the ticket of {who} was refused{because}; make a new one with gateway sign"
        case 4001:
            return (
                f"{who} needs a ticket: guests are let in by serve --dev only, and not under a name that is taken; "
                "give --user-sig, as gateway sign usersig prints it"
            )
        case 4003:
            return f"{who} may not enter room {room}{because}; the privateMapKey must allow it"
        case 5001:
            return f"room {room} is full; wait until somebody leaves, or --create another"
        case 4503:
            return f"the server is busy{because}; try again in a moment"
        case _:
            return f"the room service answered {code}: {answer.get('message', '')}{because}"
