"""docs/sdk.md keeps its word: each of its examples runs in Chromium against the real server, and prints what it says.

A ```js block is a module of its own. It finds `TRTC`, `ticket` (`ticketOf.carol` is another member's) and, unless it
makes an instance itself, `trtc`, entered as `alice`, who has made the room; `bob` is in it and sends a camera and a
microphone.
`console.log(…); // → text` must print the text (`…` stands for anything) at least once within some seconds. A comment
above a block says what happens besides:

    <!-- bob: EXPRESSION -->         bob does this once the block has run; `later, bob:` after that has shown
    <!-- server: lose -->            the connection to the server is cut
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.browser import HEADPHONES, Tab, until
from tests.e2e.gateway_process import Gateway, TcpProxy

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")
ROOM = 1001
PLACES = ("local-video", "bob_main", "alice_main", "other-place", "screen", "hear")
HTML = "".join(f'<div id="{name}" style="width: 160px; height: 120px"></div>' for name in PLACES)
STAGE = """async ([ticket, ticketOf]) => {
  const { default: TRTC } = await import('/sdk/trtc.js');
  const create = TRTC.create;
  const instances = [];
  TRTC.create = (...options) => {
    const instance = create.apply(TRTC, options);
    instances.push(instance);
    return instance;
  };
  Object.assign(globalThis, {
    TRTC, ticket, ticketOf, instances, printed: [],
    print(line, ...words) {
      const text = (word) => (typeof word === 'string' ? word : (JSON.stringify(word) ?? String(word)));
      printed.push([line, words.map(text).join(' ')]);
    },
    async play(code) {
      await import(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })));
    },
    async enter(roomId) {
      globalThis.trtc = TRTC.create();
      await trtc.enterRoom({ ...ticket, roomId });
    },
    async clear() {
      for (const instance of instances.splice(0)) {
        await instance.exitRoom().catch(() => undefined);
        await instance.destroy();
      }
      printed.length = 0;
      globalThis.trtc = undefined;
    },
  });
}"""


MADE_BY_ALICE = """async (room) => {
  const alice = TRTC.create();
  await alice.enterRoom({ ...ticketOf.alice, roomId: room });
  await enter(room);
  await alice.exitRoom();
}"""


@dataclass(frozen=True)
class Example:
    """A block: its line in the document, what stands above it, its code, and what each line is to print."""

    line: int
    heading: str
    directives: tuple[tuple[str, str], ...]
    code: str

    @property
    def prints(self) -> dict[int, str]:
        found = (
            (number, line.partition("// → ")[2])
            for number, line in enumerate(self.code.splitlines())
            if "// → " in line
        )
        return dict(found)

    def module(self, origin: str) -> str:
        lines = self.code.replace("https://gw.example.com", origin).splitlines()
        for number in self.prints:
            assert "console.log(" in lines[number], f"docs/sdk.md:{self.line + number + 1}: prints nothing"
            lines[number] = lines[number].replace("console.log(", f"print({number}, ")
        return "\n".join(lines)


def examples() -> list[Example]:
    found: list[Example] = []
    heading, directives, code, begin = "", [], None, 0
    for number, line in enumerate(DOCS.splitlines(), start=1):
        if code is not None:
            if line == "```":
                found.append(Example(begin, heading, tuple(directives), "\n".join(code)))
                code, directives = None, []
            else:
                code.append(line)
        elif line == "```js":
            code, begin = [], number
        elif line.startswith("#"):
            heading, directives = line.lstrip("# "), []
        elif directive := re.fullmatch(r"<!-- ([^:]+): (.*) -->", line):
            directives.append((directive[1], directive[2]))
    return found


EXAMPLES = examples()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def proxy(gateway: Gateway) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(gateway.http_port) as way:
        yield way


async def stage(browser: Browser, gateway: Gateway, origin: str, user: str) -> Tab:
    """Open a page of the server's, put the examples' elements into it, and load the library."""
    context = await browser.new_context(permissions=["camera", "microphone"])
    await context.add_init_script(HEADPHONES)
    tab = Tab(context, await context.new_page())

    await tab.page.goto(f"{origin}/healthz")
    await tab.page.evaluate("(html) => { document.body.innerHTML = html; }", HTML)
    app = (await gateway.call("get_login_info"))["sdkAppID"]
    tickets = {name: {**await gateway.tickets(name, ROOM), "sdkAppId": app} for name in ("alice", "bob", "carol")}
    for ticket in tickets.values():
        del ticket["roomId"]
    await tab.page.evaluate(STAGE, [tickets[user], tickets])
    return tab


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bob(browser: Browser, gateway: Gateway) -> AsyncIterator[Tab]:
    await gateway.admin("DELETE", f"/rooms/{ROOM}")  # the development server has one, which nobody has made
    tab = await stage(browser, gateway, gateway.http, "bob")
    await tab.page.evaluate(MADE_BY_ALICE, ROOM)
    await tab.page.evaluate("async () => { await trtc.startLocalAudio(); await trtc.startLocalVideo(); }")
    yield tab
    await tab.page.evaluate("() => clear()")
    await tab.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alice(browser: Browser, gateway: Gateway, proxy: TcpProxy, bob: Tab) -> AsyncIterator[Tab]:
    tab = await stage(browser, gateway, f"http://127.0.0.1:{proxy.port}", "alice")
    yield tab
    await tab.close()


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"line-{example.line}" for example in EXAMPLES])
async def test_example(example: Example, alice: Tab, bob: Tab, proxy: TcpProxy) -> None:
    origin = f"http://127.0.0.1:{proxy.port}"
    code = example.module(origin)
    expected = {number: pattern(text) for number, text in example.prints.items()}
    said_before = len(alice.console)
    printed: list[tuple[int, str]] = []

    async def all_printed() -> bool:
        printed[:] = [(number, text) for number, text in await alice.page.evaluate("() => printed")]
        return all(any(line == n and want.fullmatch(text) for line, text in printed) for n, want in expected.items())

    try:
        if "trtc" in example.code and "TRTC.create(" not in example.code:
            await alice.page.evaluate("(room) => enter(room)", ROOM)
        await asyncio.wait_for(alice.page.evaluate("(code) => play(code)", code), 30)
        for who, what in example.directives:
            if who.startswith("later"):
                await asyncio.sleep(1)
            if who == "server":
                assert what == "lose"
                proxy.cut()
            else:
                assert who.endswith("bob"), who
                await bob.page.evaluate(f"async () => {{ await {what}; }}")
        await until(all_printed, 20, lambda: f"expected {example.prints}, printed {printed}; {alice.console[-5:]}")
    except Exception as error:
        raise AssertionError(f"docs/sdk.md:{example.line} ({example.heading}):\n{example.code}\n{error}") from error
    finally:
        await alice.page.evaluate("() => clear()")
    said = [line for line in alice.console[said_before:] if line.startswith(("error", "pageerror"))]
    assert not [line for line in said if "WebSocket" not in line], said


def pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("…")), re.DOTALL)


# --- nothing is left out


def test_every_section_has_examples_that_say_what_they_do() -> None:
    assert len(EXAMPLES) >= 30
    assert sum(len(example.prints) for example in EXAMPLES) >= 40


def test_no_example_hides_behind_another_language() -> None:
    others = set(re.findall(r"^```(.+)$", DOCS, re.MULTILINE)) - {"js", "html"}
    assert not others, f"docs/sdk.md has blocks that nobody runs: {others}"


def test_every_call_is_documented() -> None:
    source = (ROOT / "static" / "sdk" / "trtc.js").read_text(encoding="utf-8")
    calls = set(re.findall(r"^  (?:static )?(?:async )?(?:get )?([a-z]\w*)(?:\(.*\) \{| = )", source, re.MULTILINE))
    calls -= {"constructor"}
    assert {"enterRoom", "startLocalVideo", "getCameraList", "sendTextMessage"} <= calls
    lacking = sorted(call for call in calls if not re.search(rf"\b{call}\b", DOCS))
    assert not lacking, f"docs/sdk.md does not mention {lacking}"


def test_every_event_and_error_code_is_documented() -> None:
    names = (ROOT / "static" / "sdk" / "names.js").read_text(encoding="utf-8")
    events = re.search(r"EVENT = Object\.freeze\(\{(.*?)\}\)", names, re.DOTALL)
    errors = (ROOT / "static" / "sdk" / "errors.js").read_text(encoding="utf-8")
    codes = re.search(r"ERROR_CODE = Object\.freeze\(\{(.*?)\}\)", errors, re.DOTALL)
    assert events and codes
    table = [line for line in DOCS.splitlines() if line.startswith("| `")]
    for key in re.findall(r"^  ([A-Z][A-Z0-9_]+):", events[1] + codes[1], re.MULTILINE):
        assert any(f"`{key}`" in line.split("|")[1] for line in table), key


def test_every_documented_event_exists() -> None:
    names = (ROOT / "static" / "sdk" / "names.js").read_text(encoding="utf-8")
    for key in re.findall(r"TRTC\.EVENT\.([A-Z0-9_]+)", DOCS):
        assert re.search(rf"^  {key}:", names, re.MULTILINE), f"there is no event {key}"
