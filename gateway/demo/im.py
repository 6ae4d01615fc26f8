"""`/im`, the WebSocket of a mini program, from the client's side: who can be played, messages, and being kicked.

A connection that is lost is made again three times, three seconds apart. What was said meanwhile is sent again with
the same random number, so that it appears once; what was missed comes by `lastSeq`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from gateway.base.tasks import Tasks
from gateway.demo.codes import RETRIES, RETRY_S
from gateway.demo.failure import Failure, Kicked, reason
from gateway.demo.room import Place

ANSWER_S: Final = 8.0
PING_S: Final = 5.0
MAX_FRAME: Final = 4 << 20
MAX_WAITING: Final = 50
_CLOSE_S: Final = 0.3
_KICKS: Final = {
    "replaced": "somebody else came in as this user",
    "kick": "the operator has removed this user",
    "banned": "the operator has banned this user",
    "room_disband": "the room was closed",
    "left": "another call of this user's has left the room",
    "timeout": "the server had no sign of life in time",
}


@dataclass(frozen=True, slots=True)
class Heard:
    """A message. `earlier`: said before we came. `text` is what a person would read; `plain`: it is a text message."""

    sender: str
    text: str
    plain: bool
    earlier: bool
    own: bool


class _Refused(Exception):
    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(str(answer.get("message", "")))
        self.code = answer.get("code")
        self.name = str(answer.get("name", ""))
        self.retry_after_ms = answer.get("retryAfterMs")


class Im:
    """One member's `/im`. The callbacks run in the event loop and must not wait."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        server: str,
        place: Place,
        *,
        on_list: Callable[[list[tuple[str, str]]], None],
        on_message: Callable[[Heard], None],
        on_event: Callable[[str], None],
    ) -> None:
        self._http, self._url, self._place = http, f"ws{server.removeprefix('http')}/im", place
        self._on_list, self._on_message, self._on_event = on_list, on_message, on_event
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._ready = asyncio.Event()
        self._said: asyncio.Queue[str] = asyncio.Queue(MAX_WAITING)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._id = 0
        self._epoch: object = None
        self._seq = 0
        self._known_seq = 0
        self.newest: Heard | None = None

    def say(self, text: str) -> None:
        """Send a text message to the room, soon. A queue that is full says so."""
        try:
            self._said.put_nowait(text)
        except asyncio.QueueFull:
            self._on_event(f"not sent, {MAX_WAITING} messages wait: {text}")

    async def run(self) -> None:
        """Stay connected. Raises Failure when kicked, refused, or out of reach for good."""
        tasks = Tasks("im")
        tasks.start(self._speak(), "speak")
        tries = 0
        try:
            while True:
                try:
                    await self._once()
                    why = "the server closed the connection"
                except TimeoutError:
                    why = f"no answer within {ANSWER_S:g} s"
                except (aiohttp.ClientError, OSError) as error:
                    why = reason(error)
                tries = 1 if self._ready.is_set() else tries + 1
                self._ready.clear()
                if tries > RETRIES:
                    raise Failure(f"/im is lost: {why}; is the server still running?")
                self._on_event(f"im connection lost ({why}); try {tries} of {RETRIES} in {RETRY_S:g} s")
                await asyncio.sleep(RETRY_S)
        finally:
            await tasks.aclose()

    async def logged_in(self) -> None:
        """Wait for the first login."""
        await self._ready.wait()

    async def logout(self) -> None:
        """Say goodbye if connected; waits only a moment."""
        socket = self._socket
        if socket is None or socket.closed:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await socket.send_str(json.dumps({"cmd": "logout", "id": self._next_id()}))
                await socket.close()
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass

    # --- one connection

    async def _once(self) -> None:
        async with asyncio.timeout(ANSWER_S):
            socket = await self._http.ws_connect(self._url, heartbeat=2 * PING_S, max_msg_size=MAX_FRAME)
        self._socket = socket
        try:
            place, number = self._place, self._next_id()
            login: dict[str, object] = {
                "cmd": "login",
                "id": number,
                "userID": place.user,
                "userSig": place.user_sig,
                "roomID": place.room,
                "privateMapKey": place.private_map_key,
            }
            if place.app:
                login["sdkAppID"] = place.app
            if self._epoch is not None:
                login |= {"lastSeq": self._seq, "epoch": self._epoch}
            await socket.send_str(json.dumps(login))
            async with asyncio.timeout(ANSWER_S):
                answer = await self._first_answer(socket, number)
            self._logged_in(answer)
            async for item in socket:
                if item.type is not aiohttp.WSMsgType.TEXT:
                    break
                self._frame(_read(item.data))
        finally:
            self._socket = None
            for waiting in self._answers.values():
                if not waiting.done():
                    waiting.cancel()
            self._answers.clear()
            if not socket.closed:
                await socket.close()

    async def _first_answer(self, socket: aiohttp.ClientWebSocketResponse, number: int) -> dict[str, Any]:
        async for item in socket:
            frame = _read(item.data) if item.type is aiohttp.WSMsgType.TEXT else {}
            if frame.get("re") == number:
                if frame.get("code") != 0:
                    words = f"/im refuses {self._place.user}: {frame.get('message', '')} ({frame.get('name', '')})"
                    raise Failure(f"{words}; the tickets may be out of date: enter again")
                return frame
        raise aiohttp.ClientError("closed before login was answered")

    def _logged_in(self, answer: dict[str, Any]) -> None:
        epoch, seq = answer.get("epoch"), answer.get("seq")
        if epoch != self._epoch:
            self._epoch, self._seq = epoch, 0
        self._known_seq = seq if isinstance(seq, int) else 0
        self._ready.set()

    def _frame(self, frame: dict[str, Any]) -> None:
        number = frame.get("re")
        if isinstance(number, int):
            waiting = self._answers.pop(number, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(frame)
            return
        match frame.get("cmd"):
            case "userlist":
                listed = frame.get("userlist")
                pairs = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
                self._on_list([(str(item.get("userid", "")), str(item.get("playurl", ""))) for item in pairs])
            case "message":
                messages = frame.get("messages")
                for item in messages if isinstance(messages, list) else ():
                    if isinstance(item, dict):
                        self._message(item, frame.get("epoch"))
            case "c2c":
                messages = frame.get("messages")
                for item in messages if isinstance(messages, list) else ():
                    if isinstance(item, dict):
                        text, _ = _text_of(item.get("MsgBody"))
                        self._on_event(f"{item.get('From_Account')} whispers: {text}")
            case "custom":
                self._on_event(f"{frame.get('from')} sends custom message {frame.get('cmdId')}")
            case "event":
                self._on_event(f"im {frame.get('tag')} {frame.get('code')}")
            case "kicked":
                word = str(frame.get("reason", ""))
                raise Kicked(f"kicked: {_KICKS.get(word, word)} ({word})")
            case _:
                pass

    def _message(self, item: dict[str, Any], epoch: object) -> None:
        seq = item.get("MsgSeq")
        if epoch is not None and epoch != self._epoch:
            self._epoch, self._seq, self._known_seq = epoch, 0, 0
        if isinstance(seq, int):
            if seq <= self._seq:
                return
            self._seq = seq
        text, plain = _text_of(item.get("MsgBody"))
        sender = str(item.get("From_Account", ""))
        earlier = isinstance(seq, int) and seq <= self._known_seq
        self.newest = Heard(sender, text, plain, earlier, sender == self._place.user)
        self._on_message(self.newest)

    # --- speaking

    async def _speak(self) -> None:
        """Send what was said, one after the other."""
        while True:
            text = await self._said.get()
            random = secrets.randbelow(1 << 32)
            while True:
                await self._ready.wait()
                try:
                    await self._send(text, random)
                    break
                except _Refused as refused:
                    if isinstance(refused.retry_after_ms, int) and refused.name == "too_many":
                        await asyncio.sleep(min(refused.retry_after_ms, 10_000) / 1000)
                        continue
                    self._on_event(f"not sent ({refused.code} {refused.name}: {refused}): {text}")
                    break
                except (aiohttp.ClientError, OSError, TimeoutError, asyncio.InvalidStateError):
                    await asyncio.sleep(0.5)  # the connection is made again, and this said again

    async def _send(self, text: str, random: int) -> None:
        socket = self._socket
        if socket is None:
            raise aiohttp.ClientError("not connected")
        number = self._next_id()
        body = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}]
        waiting: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = waiting
        await socket.send_str(json.dumps({"cmd": "send", "id": number, "random": random, "body": body}))
        try:
            done, _ = await asyncio.wait({waiting}, timeout=ANSWER_S)
        finally:
            self._answers.pop(number, None)
        if not done or waiting.cancelled():
            raise TimeoutError
        answer = waiting.result()
        if answer.get("code") != 0:
            raise _Refused(answer)

    def _next_id(self) -> int:
        self._id += 1
        return self._id


def _read(text: str) -> dict[str, Any]:
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return frame if isinstance(frame, dict) else {}


def _text_of(body: object) -> tuple[str, bool]:
    """Return (what a person reads of a MsgBody, whether it is a text message)."""
    parts: list[str] = []
    plain = False
    for element in body if isinstance(body, list) else ():
        if not isinstance(element, dict):
            continue
        kind, content = element.get("MsgType"), element.get("MsgContent")
        fields = content if isinstance(content, dict) else {}
        if kind == "TIMTextElem":
            plain = True
            parts.append(str(fields.get("Text", "")))
        elif kind == "TIMCustomElem" and fields.get("Ext") == "TEXT":  # how the chat of the old demos sends text
            plain = True
            parts.append(str(fields.get("Data", "")))
        else:
            parts.append(f"[{kind} {json.dumps(fields, ensure_ascii=False)[:200]}]")
    return " ".join(parts), plain
