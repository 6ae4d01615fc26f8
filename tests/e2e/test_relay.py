"""A browser's stream pushed on by one server to another: what arrives there, how it is told, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.browser import Member, until
from tests.e2e.content import Maker
from tests.e2e.gateway_process import Gateway, free_port
from tests.e2e.player import plays

ALICE = Maker(ident=21, tone=610)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """The server that is pushed to."""
    server = Gateway(tmp_path_factory.mktemp("elsewhere"))
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def here(tmp_path_factory: pytest.TempPathFactory, elsewhere: Gateway) -> AsyncIterator[Gateway]:
    """The server with the browser. It may push to the other one, and to a port where nobody listens."""
    nobody = free_port()
    allow = [f"rtmp://127.0.0.1:{elsewhere.rtmp_port}/live", f"rtmp://127.0.0.1:{nobody}"]
    config = f"[relay]\nallow = {allow}\nretry_s = 0.1\n".replace("'", '"')
    server = Gateway(tmp_path_factory.mktemp("here"), config=config)
    server.nobody = nobody  # type: ignore[attr-defined]
    await server.start()
    yield server
    await server.stop()


async def url(server: Gateway, action: str, stream: str) -> str:
    """Return a signed URL of `stream` on `server`."""
    return (await server.sign("url", action, stream)).replace("127.0.0.1/", f"127.0.0.1:{server.rtmp_port}/")


async def told(member: Member) -> list[tuple[str, str]]:
    return [(detail["state"], detail["reason"]) for _, detail in await member.events("relay-state-changed")]


async def refused(member: Member, call: str, argument: Any = None) -> str:
    tried = f"(async () => trtc.{call})().then(() => 'done', (error) => error.reason || String(error.code))"
    return str(await member.call(tried, argument))


async def test_a_browsers_stream_plays_elsewhere(
    browser: Browser, here: Gateway, elsewhere: Gateway, tmp_path: Path
) -> None:
    """By startRelay and by TRTC's plugin; the address there changes on the way; it ends with the stream."""
    streams = [f"8888_from_alice_{number}" for number in (1, 2)]
    push = [await url(elsewhere, "push", stream) for stream in streams]
    play = [await url(elsewhere, "play", stream) for stream in streams]
    alice = await Member.join(browser, here.http, await here.tickets("alice", 1001))
    try:
        assert await refused(alice, "startRelay({ url: argument })", push[0]) == "5100", "nothing is sent yet"
        await alice.send(ALICE)
        await alice.call("trtc.startRelay({ url: argument })", push[0])
        assert (await alice.call("trtc.getRelays()"))[0]["state"] == "live"
        await plays(play[0], ALICE, tmp_path, seconds=2, skew_ms=60)
        options = {"target": {"publishMode": "PublishMainStreamToCDN", "url": push[1]}}
        await alice.call("trtc.startPlugin('CDNStreaming', argument)", options)
        await plays(play[1], ALICE, tmp_path, seconds=1)
        await alice.call("trtc.stopPlugin('CDNStreaming', argument)", options)
        assert await alice.call("trtc.getRelays()") == []
        await alice.call("trtc.startRelay({ url: argument })", push[0])
        await alice.call("trtc.stopLocalVideo()")
        await alice.call("trtc.stopLocalAudio()")
        await until(lambda: ended(alice, "unpublished"), 10)
    finally:
        await alice.close()
    assert "8888_from" not in here.log, "the name there is a key of many services: the log keeps its beginning"


async def ended(member: Member, reason: str) -> bool:
    return ("ended", reason) in await told(member)


async def test_what_is_refused_and_what_fails(browser: Browser, here: Gateway, elsewhere: Gateway) -> None:
    alice = await Member.join(browser, here.http, await here.tickets("alice", 1002))
    try:
        await alice.send(ALICE, video=False)
        there = f"rtmp://127.0.0.1:{elsewhere.rtmp_port}"
        start = "startRelay({ url: argument })"
        for target in (f"{there}/other/s", "rtmp://127.0.0.1/live/s", f"rtmp://localhost:{elsewhere.rtmp_port}/live/s"):
            assert await refused(alice, start, target) == "not_permitted"
        assert await refused(alice, start, "http://127.0.0.1/live/s") == "bad_request"
        assert await refused(alice, start, f"{there}/live/8888_unsigned") == "refused"
        assert [state for state, _ in await told(alice)].count("waiting") == 3
        assert await refused(alice, start, f"rtmp://127.0.0.1:{here.nobody}/live/s") == "unreachable"  # type: ignore[attr-defined]
        mixed = {"target": {"publishMode": "PublishMixStreamToCDN", "url": there}}
        assert await refused(alice, "startPlugin('CDNStreaming', argument)", mixed) == "5200"
        assert await refused(alice, "stopRelay()") == "5100"
    finally:
        await alice.close()
