"""A real server that is stopped, and one that is killed: what its members find when it is back."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.endpoints.test_messages import messages, say
from tests.endpoints.world import Client
from tests.test_app import Served


def ports() -> tuple[str, ...]:
    with socket.create_server(("127.0.0.1", 0)) as http:
        port = http.getsockname()[1]
    return ("--dev", "--http", f"127.0.0.1:{port}", "--rtmp", "127.0.0.1:0", "--udp", "127.0.0.1:0")


def base(server: Served) -> str:
    return server.url("page").split("/#")[0]


def call(server: Served, name: str, **body: object) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{base(server)}/webrtc/weapp/webrtc_room/{name}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        value: dict[str, Any] = json.load(answer)
    assert value["code"] == 0, value
    return value


def end(*servers: Served | None) -> None:
    """Leave nothing of them, however they came to their end."""
    for server in servers:
        if server is not None:
            if server.process.poll() is None:
                server.process.kill()
                server.process.wait()
            if server.process.stdout is not None:
                server.process.stdout.close()


async def enter(http: aiohttp.ClientSession, server: Served, user: str, **fields: Any) -> Client:
    login = await asyncio.to_thread(call, server, "get_login_info", userID=user)
    room = await asyncio.to_thread(call, server, "enter_room", userID=user, roomID="1001")
    client = Client(await http.ws_connect(base(server).replace("http", "ws", 1) + "/signaling"))
    tickets = {"userSig": login["userSig"], "privateMapKey": room["privateMapKey"]}
    client.entered = await client.request(
        "enter", v=1, sdkAppId=login["sdkAppID"], userId=user, roomId=1001, **tickets, **fields
    )
    assert client.entered.get("ok"), client.entered
    return client


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_messages_over_an_end_of_the_server(tmp_path: Path, number: int) -> None:
    options = ports()
    server = await asyncio.to_thread(Served, tmp_path / "data", *options)
    again: Served | None = None
    try:
        async with aiohttp.ClientSession() as http:
            alice = await enter(http, server, "alice")
            for index in range(5):
                assert (await say(alice, f"né {index}", index))["ok"]
            if number == signal.SIGKILL:
                await asyncio.sleep(1.2)  # what is older than half a second is kept
                server.process.kill()
                await asyncio.to_thread(server.process.wait)
            else:
                assert (await say(alice, "a late word", 5))["seq"] == 6
                await asyncio.to_thread(server.stop)
            await alice.closed()
            known = messages(alice)
            chat = alice.entered["chat"]

            again = await asyncio.to_thread(Served, tmp_path / "data", *options)
            back = await enter(http, again, "alice", chat={"epoch": chat["epoch"], "seq": 3})
            now = back.entered["chat"]
            assert now["seq"] == len(known) and now["first"] == 1
            if number == signal.SIGTERM:
                assert now["epoch"] == chat["epoch"] and now["messages"] == known[3:]
            else:
                assert now["epoch"] > chat["epoch"] and now["messages"] == known
            assert (await say(back, "né 4", 4))["seq"] == 5, "a resend"
            assert (await say(back, "next", 99))["seq"] == len(known) + 1
            await back.close()
            await alice.close()
        assert "né" not in server.errors.read_text() and "late word" not in server.errors.read_text()
    finally:
        end(server, again)
