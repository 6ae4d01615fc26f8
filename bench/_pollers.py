"""Clients of long polls, in a process of their own: `python -m bench._pollers URL KIND MEMBERS RATE SECONDS`.

KIND `im` logs MEMBERS users in at the old IM and lets them poll one group; `bare` polls bench/_bare_polls.py,
which does nothing but hold and answer. One more connection says RATE messages a second. Prints a line of JSON when all
poll ("ready"), waits for a line on its standard input, then measures and prints {"delivered", "p50_ms", "p99_ms",
"lost"}. A message carries the time at which it was sent, on the clock of this machine.

The connections are as plain as can be (one request at a time, the answer searched and not parsed), so that the clients
are not what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import statistics
import sys
import time
import urllib.request
from urllib.parse import urlsplit

NEXT = re.compile(rb'"NextSeq": ?(\d+)')
SENT = re.compile(rb"sent at (\d+\.\d+)")
LENGTH = re.compile(rb"Content-Length: (\d+)\r\n")
POLL = "/v1/group_open_long_polling_http_noauth_svc/get_msg"


class Line(asyncio.Protocol):
    """One connection that is kept. `ask` sends a request and returns the body of its answer."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._waiting: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        found = LENGTH.search(self._data, 0, end) if end >= 0 else None
        if found is None or len(self._data) < end + 4 + int(found[1]):
            return
        body = bytes(self._data[end + 4 : end + 4 + int(found[1])])
        del self._data[: end + 4 + int(found[1])]
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(body)

    async def ask(self, path: str, body: str) -> bytes:
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write((head + body).encode())
        return await self._waiting


class Crowd:
    """All who poll, and what they heard."""

    def __init__(self, url: str, kind: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.kind, self.url = kind, url
        self.late: list[float] = []
        self.identity = ""
        """How the first of them says who it is: it is the one that speaks."""
        self._due = sys.maxsize
        self._all = asyncio.Event()

    async def line(self) -> Line:
        _, line = await asyncio.get_running_loop().create_connection(Line, self.host, self.port)
        return line

    def login_info(self, user: str) -> dict[str, str]:
        request = urllib.request.Request(
            f"{self.url}/webrtc/weapp/webrtc_room/get_login_info",
            json.dumps({"userID": user}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            value: dict[str, str] = json.load(answer)
        return value

    async def member(self, index: int) -> None:
        """Log in, join, and poll for ever."""
        line = await self.line()
        key, start = "", 0
        if self.kind == "im":
            info = await asyncio.to_thread(self.login_info, f"user{index}")
            app = f"sdkappid={info['sdkAppID']}"
            login = f"/v4/openim/login?identifier=user{index}&usersig={info['userSig']}&{app}"
            a2 = json.loads(await line.ask(login, "{}"))["A2Key"]
            identity = f"tinyid=1&a2={a2}&{app}"
            joined = await line.ask(f"/v4/group_open_http_svc/apply_join_group?{identity}", '{"GroupId":"77"}')
            key = json.loads(joined)["LongPollingKey"]
            self.identity = self.identity or identity
        path = POLL + "?websdkappid=537048168&v=1.7.0&contenttype=json&accounttype=0&apn=1"
        self._polling.release()
        while True:
            answer = await line.ask(path, f'{{"StartSeq":{start},"HoldTime":90,"Key":"{key}"}}')
            now = time.monotonic()
            found = NEXT.search(answer)
            assert found is not None, answer
            start = int(found[1])
            self.late += [(now - float(sent)) * 1000 for sent in SENT.findall(answer)]
            if len(self.late) >= self._due:
                self._all.set()

    async def run(self, members: int, rate: float, seconds: float) -> None:
        self._polling = asyncio.Semaphore(0)
        tasks = [asyncio.create_task(self.member(0))]
        await self._polling.acquire()
        for first in range(1, members, 20):
            tasks += [asyncio.create_task(self.member(index)) for index in range(first, min(first + 20, members))]
            for _ in range(first, min(first + 20, members)):
                await self._polling.acquire()
        await asyncio.sleep(1)
        print('{"ready": true}', flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        self.late.clear()
        speaker, count = await self.line(), round(rate * seconds)
        path = f"/v4/group_open_http_svc/send_group_msg?{self.identity}"
        began = time.monotonic()
        for index in range(count):
            text = f"sent at {time.monotonic():.6f} and padded to a usual length of what people say"
            message = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}]
            body = {"GroupId": "77", "Random": int(began * 1000) % 100000 * 1000 + index, "MsgBody": message}
            answer = await speaker.ask(path, json.dumps(body))
            assert b'"OK"' in answer, answer
            await asyncio.sleep(max(0.0, began + (index + 1) / rate - time.monotonic()))
        self._due = count * members
        self._all.clear()
        with contextlib.suppress(TimeoutError):
            if len(self.late) < self._due:
                await asyncio.wait_for(self._all.wait(), 3)
        cuts = statistics.quantiles(self.late, n=100)
        found = {
            "delivered": len(self.late),
            "p50_ms": cuts[49],
            "p99_ms": cuts[98],
            "lost": self._due - len(self.late),
        }
        print(json.dumps(found), flush=True)
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    address, kind, members, rate, seconds = sys.argv[1:]
    asyncio.run(Crowd(address, kind).run(int(members), float(rate), float(seconds)))
