"""Signaling over a real WebSocket, without media: entering, rights, takeover, resume, limits."""

from __future__ import annotations

from tests.endpoints.world import World


async def test_two_members_meet_and_part() -> None:
    async with World() as world:
        alice = await world.enter("alice", nick="Al")
        entered = alice.entered
        assert entered["t"] == "entered" and entered["v"] == 1 and entered["roomId"] == 1001
        assert entered["privileges"] == 255 and entered["members"] == [] and entered["streams"] == []
        assert entered["urls"]["push"].startswith("rtmp://127.0.0.1/live/8888_1001_alice?txSecret=")
        assert entered["resumeMs"] == 15000 and not entered["resumed"] and not entered["dev"]
        bob = await world.enter("bob", role="audience")
        assert bob.entered["members"] == [{"userId": "alice", "nick": "Al", "role": "anchor"}]
        assert bob.entered["role"] == "audience" and bob.entered["privileges"] == 255 & ~(4 | 16 | 64)
        assert "push" not in bob.entered["urls"]
        assert await alice.expect(t="member+") == {"t": "member+", "userId": "bob", "nick": "", "role": "audience"}
        assert (await bob.request("leave"))["ok"]
        assert await bob.closed() == 4002
        assert await alice.expect(t="member-") == {"t": "member-", "userId": "bob", "reason": "left"}
