"""RoomService's rooms after a restart of the server: kind, creator, custom fields, pushers as they were."""

from __future__ import annotations

import time
from pathlib import Path

from gateway.base.config import RoomsConfig
from gateway.rooms.directory import Directory
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey, policies
from gateway.services.store import Store

ROOM = RoomKey(1, "room_0", True)


def test_rooms_are_as_they_were(tmp_path: Path) -> None:
    kinds, now = policies(RoomsConfig()), time.monotonic()
    before = Directory(RoomsConfig(), {1: "8888"})
    with Store(tmp_path) as store:
        store.start()
        room = before.create_room(ROOM, creator="", info="i", policy=kinds["live_room"], now=now)
        for name in ("host", "guest"):
            member = before.enter(ROOM, name, privileges=Privilege.ALL, session=None, now=now)
            before.show_pusher(member, f"http://a/{name}.png")
        before.set_custom(room, "likes", 3)
        before.set_custom(room, "title", "}} 好")
        store.tick(before)
    after = Directory(RoomsConfig(), {1: "8888"})
    with Store(tmp_path) as store:
        store.restore(after, kinds)
    found = after.room(ROOM)
    assert (found.policy.kind, found.creator, found.info) == ("live_room", "host", "i")
    assert found.custom == {"likes": 3, "title": "}} 好"}
    assert [(one.user_id, one.avatar) for one in found.pushers()] == [
        ("host", "http://a/host.png"),
        ("guest", "http://a/guest.png"),
    ]
    after.expire(now + 60)  # nobody has shown life
    assert not after.rooms
