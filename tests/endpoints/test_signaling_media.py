"""Signaling with media: aiortc clients publish, others subscribe and read back the content that was sent."""

from __future__ import annotations

from typing import Any

from tests.e2e.content import Maker
from tests.e2e.webrtc_client import AiortcMember
from tests.endpoints.world import World

ALICE = Maker(1, 440)


def member(world: World, user: str, room: int | str = 1001) -> AiortcMember:
    tickets: dict[str, Any] = {name: value for name, value in world.ticket(user, room).items() if name != "v"}
    return AiortcMember(str(world.client.make_url("")).rstrip("/"), tickets)


async def test_what_one_publishes_another_sees_and_hears() -> None:
    async with World() as world:
        async with member(world, "alice") as alice, member(world, "bob") as bob:
            await alice.send(ALICE)
            await bob.sees("alice", ALICE)
            assert any(m["t"] == "stream+" and m["audio"] and m["video"] for m in bob.messages)
            async with member(world, "carol") as carol:
                assert carol.entered["streams"][0]["userId"] == "alice"
                await carol.sees("alice", ALICE)
