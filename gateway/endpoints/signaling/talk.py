"""What one member says and asks about messages, over the WebSocket and over its datachannel "chat".

    WebSocket    session.py reads and answers; `answer()` does what is asked
    datachannel  `receive()` reads, and answers over the channel

The channel belongs to the member's place, so it works on while the WebSocket is being made anew. An announcement goes
over the channel if that takes it now and the frame is small enough, else over the WebSocket, else nowhere: whoever
comes back asks by seq. So between the two there is no order; the client makes one by seq.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, assert_never

from gateway.base.clock import Clock
from gateway.base.errors import BadRequest, GatewayError, NotPermitted, SignalingError, TooLarge, TooMany
from gateway.base.log import Tagged
from gateway.endpoints.entry.messages import MAX_BYTES, Messages
from gateway.endpoints.entry.socket import RateLimit
from gateway.media.rtc.datachannel import Send
from gateway.media.view import StreamView, TrackView
from gateway.rooms.room import Member, StreamKind
from gateway.wire import signaling as wire

CHANNEL: Final = "chat"
MAX_CHANNEL_FRAME: Final = 16000
"""Bytes. Every stack takes a message of 16 KB; over that the peers would have to agree."""


class Talk:
    """See the module. `speaks()`: whether the member is still there, and no other face has become its session."""

    def __init__(self, messages: Messages, member: Member, speaks: Callable[[], bool], clock: Clock) -> None:
        self._messages = messages
        self._member = member
        self._speaks = speaks
        self._rate = RateLimit(50.0, 200, clock)
        self._send: Send | None = None
        self._log = Tagged(logging.getLogger(__name__), f"room {member.key.id}", member.user_id, CHANNEL)

    # --- the channel

    def opened(self, send: Send) -> None:
        """The client has opened a channel; a newer one takes the place of an older."""
        self._send = send

    def dropped(self) -> None:
        """The connection of the channel is gone."""
        self._send = None

    def tell(self, text: str, size: int) -> bool:
        """Send an announcement of `size` bytes over the channel; False: it cannot go there now."""
        return self._send is not None and size <= MAX_CHANNEL_FRAME and self._speaks() and self._send(text)

    def receive(self, data: str | bytes) -> None:
        """Take one frame of the channel: do what it asks and answer it there."""
        request: wire.RequestId | None = None
        try:
            if not isinstance(data, str):
                raise SignalingError("the frame is not a text")
            envelope = wire.read(data)
            request = envelope.id
            if not self._rate.take():
                raise TooMany("too many requests", retry_after_ms=500)
            if not self._speaks():
                raise NotPermitted("another connection speaks for this user now")
            message = wire.parse(envelope)
            if not isinstance(message, wire.ChatRequest):
                raise BadRequest("t: the datachannel knows message, history, custom and inspect")
            reply = wire.serialize(self.answer(request, message, MAX_CHANNEL_FRAME // 2))
            if len(reply.encode()) > MAX_CHANNEL_FRAME:
                raise TooLarge("the answer does not fit the datachannel; ask over the WebSocket")
        except GatewayError as error:
            self._log.debug("! refused: %s (%s)", error.name, error.message)
            reply = wire.serialize(wire.Failure.of(request, error))
        except Exception:
            self._log.exception("! a request failed")
            failure = wire.Failure(request, GatewayError.code, "internal_error", "the server has failed")
            reply = wire.serialize(failure)
        if self._send is not None and not self._send(reply):
            self._log.debug("x an answer that the channel did not take")

    # --- requests

    def answer(
        self, request: wire.RequestId, message: wire.ChatRequest, max_bytes: int = MAX_BYTES
    ) -> wire.Reply | wire.Told:
        """Do it and return the answer; `max_bytes` of messages at most. Raises GatewayError."""
        messages, member = self._messages, self._member
        match message:
            case wire.Post(to=""):
                receipt = messages.post(member, message.random, message.body)
                return wire.Reply(request, {"seq": receipt.seq, "time": receipt.time_ms})
            case wire.Post():
                receipt = messages.post_direct(member, message.to, message.random, message.body)
                return wire.Reply(request, {"seq": receipt.seq, "time": receipt.time_ms})
            case wire.History():
                return wire.Told(request, messages.history(member, message.range, max_bytes))
            case wire.Custom():
                return wire.Reply(request, {"seq": messages.post_custom(member, message.cmd_id, message.data)})
            case wire.Inspect():
                transport, view = messages.inspect(member, message.user_id, StreamKind(message.stream))
                return wire.Reply(request, _view_fields(transport, view))
            case _ as never:
                assert_never(never)


def _view_fields(transport: str | None, view: StreamView) -> dict[str, object]:
    return {
        "source": transport,
        "audio": _track_fields(view.audio),
        "video": _track_fields(view.video),
        "viewers": view.viewers,
        "players": view.players,
    }


def _track_fields(track: TrackView | None) -> dict[str, object] | None:
    return None if track is None else {"codec": track.codec, "bridge": track.bridge}
