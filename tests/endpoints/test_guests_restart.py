"""A guest is a guest after the server was killed as well: nobody keeps a name by a ticket that proves nothing."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import aiohttp

from tests.endpoints.test_messages_restart import base, call, ports
from tests.endpoints.world import Client
from tests.test_app import Served


async def enter(http: aiohttp.ClientSession, server: Served, tickets: dict[str, str]) -> Client:
    client = Client(await http.ws_connect(base(server).replace("http", "ws", 1) + "/signaling"))
    entered = await client.request("enter", v=1, userId="alice", roomId=1001, **tickets)
    assert entered.get("ok"), entered
    return client


async def test_a_guest_stays_a_guest(tmp_path: Path) -> None:
    options = ports()
    server = await asyncio.to_thread(Served, tmp_path / "data", *options)
    try:
        login = await asyncio.to_thread(call, server, "get_login_info", userID="alice")
        room = await asyncio.to_thread(call, server, "enter_room", userID="alice", roomID="1001")
        tickets = {"userSig": login["userSig"], "privateMapKey": room["privateMapKey"]}
        for _ in range(2):
            async with aiohttp.ClientSession() as http:
                client = await enter(http, server, tickets)
                await asyncio.sleep(1)  # the member is written down
                server.process.send_signal(signal.SIGKILL)
                await asyncio.to_thread(server.process.wait)
                assert server.process.stdout is not None
                server.process.stdout.close()
                await client.close()
            server = await asyncio.to_thread(Served, tmp_path / "data", *options)
        # Restored as present, and still a guest: another guest may have the name.
        members = await asyncio.to_thread(call, server, "get_room_members", roomID="1001")
        assert [member["userID"] for member in members["members"]] == ["alice"]
        await asyncio.to_thread(call, server, "get_login_info", userID="alice")
    finally:
        server.process.kill()
        await asyncio.to_thread(server.process.wait)
        if server.process.stdout is not None:
            server.process.stdout.close()
