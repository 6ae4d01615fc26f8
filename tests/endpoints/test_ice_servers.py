"""The operator's STUN and TURN servers reach every kind of client, with credentials that a TURN server accepts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from aiortc import RTCConfiguration, RTCPeerConnection

from gateway.base.config import Address, RtcConfig
from gateway.endpoints.entry import IceServers
from tests.endpoints.test_whip import bearer, sending_offer
from tests.endpoints.world import World

CONFIG = RtcConfig(
    listen=Address("127.0.0.1", 0),
    ice_servers=("stun:stun.example.com:3478", "turn:turn.example.com:3478?transport=tcp"),
    turn_secret="north",
)


def check_turn(username: str, credential: str, user: str, now: float) -> None:
    expires, _, name = username.partition(":")
    assert name == user
    assert now < int(expires) <= now + 86400
    digest = hmac.new(b"north", username.encode(), hashlib.sha1).digest()
    assert base64.b64decode(credential) == digest


def test_credentials_are_for_turn_with_a_secret_only() -> None:
    stun, turn = IceServers(CONFIG, lambda: 1000.0).for_user("alice")
    assert stun.json() == {"urls": ["stun:stun.example.com:3478"]}
    assert stun.link() == '<stun:stun.example.com:3478>; rel="ice-server"'
    check_turn(turn.username, turn.credential, "alice", 1000.0)
    assert "north" not in repr(turn) and turn.credential not in repr(turn)
    plain = IceServers(RtcConfig(ice_servers=("turn:t.example.com",)), lambda: 1000.0).for_user("alice")
    assert plain[0].json() == {"urls": ["turn:t.example.com"]}
    assert IceServers(RtcConfig(), lambda: 1000.0).for_user("alice") == []


async def test_signaling_and_whip_name_them() -> None:
    async with World(rtc_config=CONFIG) as world:
        alice = await world.enter("alice", 1001)
        servers = alice.entered["iceServers"]
        assert servers[0] == {"urls": ["stun:stun.example.com:3478"]}
        check_turn(servers[1]["username"], servers[1]["credential"], "alice", world.wall())

        token = world.map_key("bob", 1001)
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        offer = await sending_offer(peer)
        async with world.client.post("/whip/1001/bob", headers=bearer(token), data=offer.encode()) as answer:
            assert answer.status == 201, await answer.text()
            links = answer.headers.getall("Link")
        assert links[0] == '<stun:stun.example.com:3478>; rel="ice-server"'
        found = re.fullmatch(
            r'<turn:turn\.example\.com:3478\?transport=tcp>; rel="ice-server"; username="([^"]+)"; '
            r'credential="([^"]+)"; credential-type="password"',
            links[1],
        )
        assert found is not None
        check_turn(found[1], found[2], "bob", world.wall())
        await peer.close()
