"""Four members talk at once while one of them loses its network twice: all end with the same list of messages.

Two browsers by the library and two mini-program members by the client of static/miniprogram. Alice's host is at the
other end of a cable that is pulled; the others are on the server's host. Nobody may send faster than 20 a second, so a
thousand each take most of a minute.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import browser as chromium
from tests.e2e.browser import Tab, launch, until
from tests.e2e.network import IPV4, FarGateway, Network

COUNT = 1000
PER_SECOND = 19
ROOM = 7001
OUTAGES_S = (5, 8)
TALKER = Path(__file__).parent.parent / "node" / "talker.js"
NODE = Path(sys.executable).parent / "node"

ENTER = """async (tickets) => {
  const { default: TRTC } = await import('/sdk/trtc.js');
  const trtc = (window.talker = TRTC.create());
  Object.assign(window, { shown: [], states: [], refused: [], sent: 0 });
  trtc.on(TRTC.EVENT.MESSAGE_RECEIVED, ({ message }) => shown.push([message.seq, message.userId, message.text]));
  trtc.on(TRTC.EVENT.CONNECTION_STATE_CHANGED, ({ state }) => states.push(state));
  await trtc.enterRoom(tickets);
}"""

TALK = """async ([user, count, perSecond]) => {
  const pause = (ms) => new Promise((go) => setTimeout(go, ms));
  const said = [];
  let next = performance.now();
  for (let number = 0; number < count; number += 1) {
    while (number - sent > 150) await pause(50); // the library queues no more than 200
    const done = talker.sendTextMessage(`${user} ${number}`);
    said.push(done.then(() => { window.sent += 1; }, (error) => { refused.push(String(error)); }));
    next = Math.max(next + 1000 / perSecond, performance.now());
    await pause(next - performance.now());
  }
  await Promise.all(said);
}"""


class Talker:
    """A mini-program member on the server's host."""

    def __init__(self, network: Network, gateway: FarGateway, tickets: dict[str, Any]) -> None:
        login = {
            "userID": tickets["userId"], "userSig": tickets["userSig"],
            "roomID": ROOM, "privateMapKey": tickets["privateMapKey"],
        }  # fmt: skip
        given = {"server": gateway.http, "login": login, "count": COUNT, "perSecond": PER_SECOND}
        self.command = ["ip", "netns", "exec", network.names["server"], str(NODE), str(TALKER), json.dumps(given)]
        self.shown: list[list[Any]] = []
        self.entered = self.sent = False

    async def __aenter__(self) -> Talker:
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(*self.command, stdin=pipe, stdout=pipe, stderr=pipe)
        self._reader = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        assert self.process.stdout is not None and self.process.stderr is not None
        while line := await self.process.stdout.readline():
            found = json.loads(line)
            if found == ["in"]:
                self.entered = True
            elif found == ["sent"]:
                self.sent = True
            else:
                self.shown.append(found)
        error = (await self.process.stderr.read()).decode()
        assert not error, error

    def talk(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")

    async def __aexit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert await self.process.wait() == 0
        await self._reader


@pytest.mark.timeout(240)
async def test_the_same_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:
        network = stack.enter_context(Network())
        network.readdress(IPV4)
        gateway = FarGateway(tmp_path / "data", network)
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        tabs: dict[str, Tab] = {}
        plain = chromium.CHROMIUM
        for user, host in (("alice", "client"), ("bob", "server")):
            folder = tmp_path / user
            folder.mkdir()
            monkeypatch.setattr(chromium, "CHROMIUM", network.wrapper(host, plain, folder))
            browser = await stack.enter_async_context(launch())
            tabs[user] = await Tab.open(browser, gateway.http + "/")
        talkers = [
            await stack.enter_async_context(Talker(network, gateway, await gateway.tickets(user, ROOM)))
            for user in ("carol", "dave")
        ]
        for user, tab in tabs.items():
            await tab.page.evaluate(ENTER, await gateway.tickets(user, ROOM))
        await until(lambda: all(talker.entered for talker in talkers), 10, "a mini program does not come in")
        for talker in talkers:
            talker.talk()
        talks = [asyncio.create_task(tab.page.evaluate(TALK, [user, COUNT, PER_SECOND])) for user, tab in tabs.items()]
        alice = tabs["alice"].page
        await tabs["alice"].wait("() => window.shown?.length > 100")

        for seconds in OUTAGES_S:
            network.plug(False)
            await asyncio.sleep(1)  # what is under way arrives
            before = await alice.evaluate("() => shown.length")
            await asyncio.sleep(seconds - 1)
            assert await alice.evaluate("() => shown.length") == before, "the cable was not pulled"
            network.plug(True)
            await tabs["alice"].wait("(before) => shown.length > before + 200", before, 30)

        await asyncio.gather(*talks)
        for tab in tabs.values():
            assert await tab.page.evaluate("() => refused") == []
        assert "CONNECTING" in await alice.evaluate("() => states"), "nobody noticed that the network was gone"
        await until(lambda: all(talker.sent for talker in talkers), 60, "the mini programs still talk")

        total = 4 * COUNT
        for tab in tabs.values():
            await tab.wait("(total) => shown.length >= total", total, 20)
        await until(lambda: all(len(talker.shown) >= total for talker in talkers), 20, "messages are missing")
        lists = [await tab.page.evaluate("() => shown") for tab in tabs.values()]
        lists += [talker.shown for talker in talkers]
        reference = lists[0]
        assert [seq for seq, _, _ in reference] == list(range(1, total + 1))
        assert all(other == reference for other in lists)
        said = Counter(text for _, _, text in reference)
        assert said == Counter({f"{user} {n}": 1 for user in ("alice", "bob", "carol", "dave") for n in range(COUNT)})
        for user in ("alice", "bob", "carol", "dave"):
            own = [int(text.split()[1]) for _, sender, text in reference if sender == user]
            assert own == list(range(COUNT)), f"{user} was not heard in the order of speaking"
