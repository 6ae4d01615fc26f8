"""`/im`: the WebSocket of a mini program. It logs in, is told who can be played, and hears what happens to it.

Frames are JSON objects. A client's have `cmd` and `id` and get one answer `{"re": id, "code": 0, …}`, or a code that is
not 0 with `name` and `message`. The server's are `userlist` (complete, without oneself, at each change; the play URL of
a stream is the same text for the whole stay, since a changed one restarts the player), `message`, `c2c` and `custom`
(what people write, in the IM's own shapes), `event` (what the component raises as such) and `kicked`.
docs/protocol.md shows every frame.

A connection that names a room at its login is a member there. One that names none is its user's only such connection:
it hears what is sent to the user, and may join one group at a time (the rooms of RoomService, whose pushers come in by
other calls and whose viewers are no members at all).
"""

from gateway.endpoints.chat.hub import Chat

__all__ = ["Chat"]
