"""The real server as its own process: `python -m gateway serve --dev` on free ports, watched and stopped by its pid.

A run that left an error or a traceback in its log, or took more than eight seconds to stop, fails its test.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

from gateway.app import Signer
from gateway.base.config import Config
from gateway.services.keys import TOKEN_FILE

ROOT = Path(__file__).resolve().parent.parent.parent
START_TIMEOUT_S = 40.0
STOP_TIMEOUT_S = 8.0


_ports = random.SystemRandom().sample(range(10000, 32768), 5000)


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """Return a port of 127.0.0.1 that nobody has, and that no outgoing connection is given (those begin at 32768)."""
    while True:
        port = _ports.pop()
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Gateway:
    """One server with its data folder; may be started again on the same ports and data."""

    def __init__(self, data: Path, *, config: str = "", options: tuple[str, ...] = ()) -> None:
        self.data = data
        self.http_port, self.rtmp_port = free_port(), free_port()
        self.udp_port = free_port(socket.SOCK_DGRAM)
        self.http = f"http://127.0.0.1:{self.http_port}"
        self.options = options
        self.printed = ""
        self.log = ""
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []
        data.mkdir(parents=True, exist_ok=True)
        self._config = data / "gateway.toml"
        self._config.write_text(config, encoding="utf-8")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> Gateway:
        """Run it and wait until it is ready. Raises AssertionError with its log when it is not."""
        self.printed = self.log = ""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "serve", "--dev", "--config", str(self._config), "--data", str(self.data),
            "--http", f"127.0.0.1:{self.http_port}", "--rtmp", f"127.0.0.1:{self.rtmp_port}",
            "--udp", f"127.0.0.1:{self.udp_port}", *self.options,
            cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self._readers = [
            asyncio.create_task(self._read(self._process.stdout, "printed")),
            asyncio.create_task(self._read(self._process.stderr, "log")),
        ]
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.returncode is not None:
                break
            if await self._ready():
                return self
            await asyncio.sleep(0.05)
        await self.kill()
        raise AssertionError(f"the server did not start\n{self.printed}\n{self.log[-4000:]}")

    async def _ready(self) -> bool:
        try:
            timeout = aiohttp.ClientTimeout(total=1)
            async with aiohttp.ClientSession(timeout=timeout) as http, http.get(f"{self.http}/healthz") as answer:
                return answer.status == 200 and "rtmp://" in self.printed and ".flv" in self.printed
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _read(self, stream: asyncio.StreamReader | None, name: str) -> None:
        assert stream is not None
        while line := await stream.readline():
            setattr(self, name, getattr(self, name) + line.decode(errors="replace"))

    async def stop(self) -> None:
        """Ask it to end (SIGTERM); it must do so in time, with status 0 and a clean log."""
        process = self._process
        if process is None:
            return
        began = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            status = await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S + 2)
        except TimeoutError:
            await self.kill()
            raise AssertionError(f"the server did not stop\n{self.log[-4000:]}") from None
        took = time.monotonic() - began
        await self._finish()
        assert status == 0, f"exit status {status}\n{self.log[-4000:]}"
        assert took <= STOP_TIMEOUT_S, f"stopped only after {took:.1f} s\n{self.log[-2000:]}"
        self.check_log()

    async def kill(self) -> None:
        """End it without a chance to say goodbye (SIGKILL)."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        await self._finish()

    async def _finish(self) -> None:
        await asyncio.gather(*self._readers)
        self._process = None

    def check_log(self) -> None:
        """Raise AssertionError if the log has an error, a traceback or a ticket."""
        bad = re.search(r"Traceback|^\S+ [EC] |\bERROR\b|was never retrieved|never awaited", self.log, re.MULTILINE)
        assert bad is None, self.log[max(0, bad.start() - 1500) : bad.start() + 3000] if bad else ""
        leaked = re.search(r"(?i)(?:txsecret|usersig|privatemapkey)=(?!…)[^&\s]{8}", self.log)
        assert leaked is None, f"a ticket in the log: {leaked}"

    # --- what it printed, and tickets

    @property
    def page_url(self) -> str:
        return self._printed(r"https?://\S+/#room=\S+")

    @property
    def push_url(self) -> str:
        return self._printed(r"rtmp://\S+")

    @property
    def flv_url(self) -> str:
        return self._printed(r"https?://\S+\.flv\S*")

    def _printed(self, pattern: str) -> str:
        found = re.search(pattern, self.printed)
        assert found is not None, f"{pattern} was not printed:\n{self.printed}"
        return found[0]

    async def sign(self, *arguments: str) -> str:
        """Return what `gateway sign ARGUMENTS` prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "sign", *arguments, "--data", str(self.data),
            "--config", str(self._config), cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0, err.decode()
        return out.decode().strip()

    async def call(self, name: str, **body: Any) -> dict[str, Any]:
        """POST to one of the room services as a guest; return the answer, code 0 or not."""
        timeout = aiohttp.ClientTimeout(total=10)
        url = f"{self.http}/webrtc/weapp/webrtc_room/{name}"
        async with aiohttp.ClientSession(timeout=timeout) as http, http.post(url, json=body) as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def admin(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Make a call of the operator's, `path` as in `/rooms/1001`, and return its answer."""
        token = (self.data / "keys" / TOKEN_FILE).read_text(encoding="utf-8").strip()
        url, headers = f"{self.http}/api/v1{path}", {"Authorization": f"Bearer {token}"}
        timeout = aiohttp.ClientTimeout(total=10)
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as http,
            http.request(method, url, json=body) as answer,
        ):
            found: dict[str, Any] = await answer.json()
            assert answer.status < 300, found
            return found

    async def tickets(self, user: str, room: int, privileges: int = 255) -> dict[str, Any]:
        """Return the fields of the library's enterRoom for `user`, minted as a business server would."""
        signer = Signer(Config(data=str(self.data)), 0, time.time())
        return {
            "userId": user,
            "roomId": room,
            "userSig": signer.user_sig(user, 3600, v2=False),
            "privateMapKey": signer.map_key(user, str(room), privileges, 3600, v2=False, text_room=False),
        }

    async def push(self, user: str, room: int) -> tuple[str, dict[str, str]]:
        """Enter as a mini program does; return (push URL, play URL by user)."""
        tickets = await self.tickets(user, room)
        answer = await self.call(
            "get_push_url",
            userID=user,
            roomID=str(room),
            userSig=tickets["userSig"],
            privateMapKey=tickets["privateMapKey"],
        )
        assert answer["code"] == 0, answer
        return answer["pushURL"], {member["userID"]: member["accelerateURL"] for member in answer["members"]}


class TcpProxy:
    """A port of 127.0.0.1 that leads to another one, until it is cut. `async with TcpProxy(target) as proxy`."""

    def __init__(self, target: int) -> None:
        self.target, self.port = target, 0
        self._open: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Reset every connection now; new ones are taken."""
        for writer in self._open:
            writer.transport.abort()

    async def __aenter__(self) -> TcpProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, back = await asyncio.open_connection("127.0.0.1", self.target)
        self._open |= {writer, back}
        for source, sink in ((reader, back), (onward, writer)):
            pump = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.transport.abort()
        self._open.discard(sink)
