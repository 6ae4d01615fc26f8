"""What `enter` needs: the tickets of a room of browsers, or only the userSig where the room is one of RoomService's.

RoomService lets whoever logs in by a userSig send and watch in its rooms (docs/rooms.md 3): a browser that says which
kind of room it means gets the same, no more. A room of another kind does not exist for it, so that nobody passes by
the privateMapKey that rooms of browsers need.
"""

from __future__ import annotations

from gateway.base.errors import NameTaken, NoSuchRoom, NotPermitted
from gateway.endpoints.entry import Entry
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey
from gateway.rooms.tickets.keys import AppKeys
from gateway.wire import signaling as wire


def admit(entry: Entry, app: AppKeys, key: RoomKey, message: wire.Enter) -> Privilege:
    """Verify the tickets of `enter` and return what they grant; make the room of a kind if that is asked for.

    Raises BadTicket, NotPermitted, NoSuchRoom (not there, of another kind, or not begun), NameTaken (the room or the
    group is somebody else's).
    """
    if message.kind is None:
        return entry.tickets.room(app, message.user_id, key, message.user_sig, message.private_map_key)
    entry.tickets.user(app, message.user_id, message.user_sig)
    granted = Privilege.ALL
    if message.private_map_key:
        granted = entry.tickets.map_key(app, message.user_id, key, message.private_map_key)
    room = entry.directory.rooms.get(key)
    if room is None:
        if not message.create or message.role == "audience":
            raise NoSuchRoom(f"there is no room {key.id}")
        if not granted & Privilege.CREATE:
            raise NotPermitted(f"there is no room {key.id}, and the ticket has no right to create it (bit 1)")
        _make(entry, key, message)
    elif room.policy.kind != message.kind:
        raise NoSuchRoom(f"there is no room {key.id} of this kind")
    elif message.create and room.creator not in ("", message.user_id):
        raise NameTaken(f"room {key.id} exists; it belongs to {room.creator}")
    elif not room.creator and message.role == "audience":
        raise NoSuchRoom(f"room {key.id} has not begun")
    return granted


def _make(entry: Entry, key: RoomKey, message: wire.Enter) -> None:
    """Make the room, for its first member to become its creator. It goes by itself if nobody enters."""
    assert message.kind is not None
    if entry.messages.groups.owner(key) not in ("", message.user_id):
        raise NameTaken(f"{key.id} is the group of somebody else")
    entry.directory.create_room(
        key, creator="", info=message.info, policy=entry.policies[message.kind], now=entry.clock()
    )
