"""One client's conversation: each request to one short method, each announcement of its room to one message.

    waiting ──enter──▶ in the room ──leave──▶ over
                          ├──socket dies──▶ the member resumes within 15 s on another session, or is gone
                          └──kicked──▶ over

Everything here is synchronous: a request is done, and answered, before the next one is read, and announcements leave by
the same outbox in the order in which the directory made them. Tickets are needed once, at `enter`; the rights that they
grant are looked at again wherever media begins.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, assert_never

from gateway.base.clock import wall
from gateway.base.errors import (
    BadRequest,
    GatewayError,
    NoSuchMember,
    NoSuchStream,
    NotPermitted,
    PeerError,
    TooMany,
)
from gateway.base.log import Tagged
from gateway.endpoints.entry import Bases, PushGrant
from gateway.endpoints.entry.links import TrackKey, read_offer
from gateway.endpoints.entry.messages import NEWEST, SENDING
from gateway.endpoints.entry.socket import (
    CLOSE_KICKED,
    CLOSE_LEFT,
    CLOSE_NEVER_ENTERED,
    CLOSE_PROTOCOL,
    CLOSE_TOO_MANY,
    RateLimit,
    Socket,
)
from gateway.endpoints.signaling.kinds import admit
from gateway.endpoints.signaling.place import Place
from gateway.rooms import events
from gateway.rooms.privileges import Privilege, to_receive, to_send
from gateway.rooms.room import Member, RoomKey, StreamInfo, StreamKind
from gateway.wire import signaling as wire

if TYPE_CHECKING:
    from gateway.endpoints.signaling.websocket import Signaling

MAX_ENTER_TRIES: Final = 5


class Session:
    """See the module. It is the member's control session in the directory."""

    def __init__(self, hub: Signaling, socket: Socket, bases: Bases) -> None:
        self.socket = socket
        self.member: Member | None = None
        self.key: RoomKey | None = None
        self._hub = hub
        self._entry = hub.entry
        self._bases = bases
        self._place: Place | None = None
        self._rate = RateLimit(50.0, 200, hub.clock)
        self._tries = 0
        self._shown: dict[tuple[str, StreamKind], wire.StreamView] = {}
        self._log = Tagged(logging.getLogger(__name__), "signaling")

    # --- requests

    async def receive(self, text: str) -> None:
        """Take one text frame: do what it asks and answer it."""
        request: wire.RequestId | None = None
        try:
            envelope = wire.read(text)
            request = envelope.id
            if not self._rate.take():
                raise TooMany("too many requests", retry_after_ms=500)
            self._handle(request, wire.parse(envelope))
        except GatewayError as error:
            self._log.debug("! refused: %s (%s)", error.name, error.message)
            self.send(wire.Failure.of(request, error))
            if isinstance(error, PeerError) and error.closes:
                self.socket.close(CLOSE_PROTOCOL, error.name)
            if self.member is None and self._tries >= MAX_ENTER_TRIES:
                self.socket.close(CLOSE_NEVER_ENTERED, "too_many_tries")
            if self._rate.exhausted:
                self.socket.close(CLOSE_TOO_MANY, "too_many")
        except Exception:
            self._log.exception("! a request failed")
            self.send(wire.Failure(request, GatewayError.code, "internal_error", "the server has failed"))

    def _handle(self, request: wire.RequestId, message: wire.Message) -> None:
        if isinstance(message, wire.Enter):
            self._enter(request, message)
            return
        member, place = self.member, self._place
        if member is None or place is None:
            raise BadRequest("t: enter must come first")
        self._entry.directory.touch(member, "ws", self._hub.clock())
        fields: dict[str, object] = {}
        match message:
            case wire.Publish():
                fields = {"sdp": self._publish(place, message.sdp, dict(message.streams))}
            case wire.Unpublish():
                self._unpublish(place, StreamKind(message.stream))
            case wire.Mute():
                self._mute(place, message)
            case wire.Subscribe():
                fields = {"kinds": self._subscribe(place, message)}
            case wire.Unsubscribe():
                self._unsubscribe(place, message)
            case wire.Answer():
                fields = self._answer(place, message)
            case wire.Role():
                fields = {"privileges": int(self._switch_role(place, message))}
            case wire.Restart():
                fields = self._restart(place, message)
            case wire.Leave():
                self._leave(member)
            case wire.Relay() | wire.Unrelay():
                fields = self._hub.relays.handle(member, message)
            case wire.Moderate():
                fields = self._hub.moderation.handle(member, message)
            case wire.Post() | wire.History() | wire.Custom() | wire.Inspect():
                self.send(place.talk.answer(request, message))
                return
            case _ as never:
                assert_never(never)
        self.send(wire.Reply(request, fields))
        if isinstance(message, wire.Leave):
            self.socket.close(CLOSE_LEFT, "left")
        elif isinstance(message, wire.Moderate):
            self._hub.moderation.finish(member, message)

    def _enter(self, request: wire.RequestId, message: wire.Enter) -> None:
        if self.member is not None:
            raise BadRequest("t: this connection has entered")
        self._tries += 1
        tickets, entry = self._entry.tickets, self._entry
        app = tickets.app(message.sdk_app_id)
        force_text = message.room_text is not None
        room_id = message.room_id if message.room_id is not None else message.room_text
        assert room_id is not None
        key = RoomKey.parse(app.sdk_app_id, room_id, force_text)
        kept: tuple[wire.Direction, ...] = ()
        if message.resume:
            member = entry.directory.resume(key, message.user_id, self, self._hub.clock(), token=message.resume)
            place, kept = self._hub.take_place(member, self.send, message.keep)
        else:
            granted = admit(entry, app, key, message)
            member = entry.enter(
                key,
                message.user_id,
                _in_role(granted, message.role),
                nick=message.nick,
                session=self,
                guest=tickets.is_guest_ticket(message.user_sig),
                audience=message.role == "audience",
                policy="" if message.kind else "page",
            )
            place = self._hub.make_place(member, granted, self.send)
        self.member, self.key, self._place = member, key, place
        self._hub.joined(self, key)
        self._log = Tagged(logging.getLogger(__name__), f"room {key.id}", member.user_id)
        self._log.info("%s", "resumed" if message.resume else "entered")
        self.send(self._entered(request, message, member, kept))
        for relay in self._hub.relays.known(member):
            self.send(relay)

    def _entered(
        self, request: wire.RequestId, message: wire.Enter, member: Member, kept: tuple[wire.Direction, ...]
    ) -> wire.Entered:
        entry, key = self._entry, member.key
        others = [other for other in member.room.members.values() if other is not member]
        views = tuple(self._show(other, info) for other in others for info in other.streams.values() if info.live)
        return wire.Entered(
            request=request,
            sdk_app_id=key.app,
            room_id=None if key.text else int(key.id),
            room_text=key.id if key.text else None,
            user_id=member.user_id,
            role=_role_of(member.privileges),
            privileges=int(member.privileges),
            resume=entry.directory.issue_resume_token(member, entry.random(32)),
            resume_ms=int(self._hub.resume_s * 1000),
            resumed=bool(message.resume),
            kept=kept,
            time_ms=int(wall() * 1000),
            dev=entry.dev,
            members=tuple(wire.MemberView(other.user_id, other.nick, _role_of(other.privileges)) for other in others),
            streams=views,
            urls=self._own_urls(member),
            ice_servers=tuple(server.json() for server in entry.ice_servers.for_user(member.user_id)),
            backlog=entry.messages.missed(
                member, message.position, newest=0 if message.resume and message.position is None else NEWEST
            ),
            kind=member.room.policy.kind,
            creator=member.room.creator,
            info=member.room.info,
            moderation=self._hub.moderation.summary(member),
        )

    def _own_urls(self, member: Member) -> dict[str, str]:
        stream = self._entry.stream_id(member.key, member.user_id, StreamKind.MAIN)
        urls = {"push": self._entry.push_url(member, StreamKind.MAIN, self._bases), **self._play_urls(member, stream)}
        return {form: url for form, url in urls.items() if url}

    def _play_urls(self, member: Member, stream: str) -> dict[str, str]:
        urls = {
            "rtc": self._entry.play_url(member, stream, self._bases, "rtc"),
            "rtmp": self._entry.play_url(member, stream, self._bases, "rtmp"),
            "flv": self._entry.play_url(member, stream, self._bases, "flv"),
        }
        return {form: url for form, url in urls.items() if url}

    # --- up

    def _publish(self, place: Place, sdp: str, streams: dict[str, wire.StreamName]) -> str:
        offered = read_offer(sdp)
        plan: dict[str, PushGrant] = {}
        for mid, kind in offered.sending.items():
            name = streams.get(mid)
            if name is None:
                raise BadRequest(f"streams: section {mid} sends and has no stream")
            stream = StreamKind(name)
            needed = to_send(aux=stream is StreamKind.AUX, video=kind == "video")
            if not place.member.may_claim(needed):
                raise NotPermitted(f"sending {kind} of the {name} stream needs right {int(needed)}")
            # What a moderator has taken away is held back on its way, not refused: it may be given back.
            plan[mid] = self._entry.grant_push(place.member.key, place.member.user_id, stream, Privilege.ALL)
        answer = place.publish(sdp, offered.fingerprint, plan)
        place.up_streams = streams
        return answer

    def _unpublish(self, place: Place, kind: StreamKind) -> None:
        stream = self._entry.stream_id(place.member.key, place.member.user_id, kind)
        if place.up is None or not place.up.stop(stream):
            raise NoSuchStream(f"the {kind.value} stream is not published here")

    def _mute(self, place: Place, message: wire.Mute) -> None:
        stream = self._entry.stream_id(place.member.key, place.member.user_id, StreamKind(message.stream))
        audio = message.muted if message.kind == "audio" else None
        video = message.muted if message.kind == "video" else None
        publishing = place.up.publishing(stream) if place.up is not None else None
        publishing = publishing or self._entry.publishers.get(stream)
        if publishing is None:
            raise NoSuchStream(f"the {message.stream} stream is not published")
        publishing.mute(audio=audio, video=video)

    # --- down

    def _subscribe(self, place: Place, message: wire.Subscribe) -> list[str]:
        member, stream = place.member, StreamKind(message.stream)
        if message.user_id == member.user_id:
            raise BadRequest("userId: one's own stream is not played back")
        if self._entry.find_member(member.key, message.user_id) is None:
            raise NoSuchMember(f"{message.user_id} is not in the room")
        stream_id = self._entry.directory.find_stream_id(member.key, message.user_id, stream)
        if stream_id is None:
            raise NoSuchStream(f"{message.user_id} has no {message.stream} stream")
        kinds = [kind for kind in sorted(message.kinds) if member.may_receive(stream, video=kind == "video")]
        if not kinds:
            needed = [to_receive(aux=stream is StreamKind.AUX, video=kind == "video") for kind in message.kinds]
            raise NotPermitted(f"receiving it needs right {' or '.join(str(int(bits)) for bits in needed)}")
        for kind in kinds:
            place.wish(TrackKey(message.user_id, stream, kind), stream_id)
        return list(kinds)

    def _unsubscribe(self, place: Place, message: wire.Unsubscribe) -> None:
        for kind in message.kinds:
            place.unwish(TrackKey(message.user_id, StreamKind(message.stream), kind))

    def _answer(self, place: Place, message: wire.Answer) -> dict[str, object]:
        if place.down is None or not place.down.answer(message.n, message.sdp):
            return {"stale": True}
        return {}

    def _restart(self, place: Place, message: wire.Restart) -> dict[str, object]:
        if message.direction == "up":
            return {"sdp": self._publish(place, message.sdp, dict(place.up_streams))}
        if message.fresh or place.down is None or not place.down.alive:
            place.fresh_down()
        else:
            place.down.restart()
        return {}

    # --- the member

    def _switch_role(self, place: Place, message: wire.Role) -> Privilege:
        member, granted = place.member, place.granted
        if message.private_map_key:
            app = self._entry.tickets.app(member.key.app)
            granted = self._entry.tickets.map_key(app, member.user_id, member.key, message.private_map_key)
            if not granted & Privilege.ENTER:
                raise NotPermitted("the ticket does not grant entry (bit 2)")
        rights = _in_role(granted, message.role)
        decided = self._entry.directory.moderation.decided_rights(member.key, member.user_id) or Privilege(0)
        if message.role == "anchor" and not (rights | decided) & SENDING:
            raise NotPermitted("the ticket grants no sending (bits 4, 16, 64)")
        self._entry.directory.update_member(member, privileges=rights, audience=message.role == "audience")
        place.granted = granted
        return member.privileges

    def _leave(self, member: Member) -> None:
        self._detach()
        self._entry.leave(member, "left")
        self._log.info("left")

    # --- announcements

    def on_event(self, event: events.RoomEvent) -> None:
        """Something has happened in the room that this session is in."""
        member, place = self.member, self._place
        if member is None or place is None:
            return
        match event:
            case events.MemberEntered() if event.user_id != member.user_id:
                self.send(wire.MemberJoined(_view(event)))
            case events.MemberUpdated():
                if event.user_id == member.user_id:
                    self.send(wire.Rights(int(event.privileges)))
                else:
                    self.send(wire.MemberJoined(_view(event)))
            case events.MemberLeft():
                self._member_left(member, place, event)
            case events.StreamAdded() | events.StreamChanged() if event.user_id != member.user_id:
                self._stream_changed(event)
            case events.StreamRemoved() if event.user_id != member.user_id:
                self._shown.pop((event.user_id, event.kind), None)
                self.send(wire.StreamOff(event.user_id, _name(event.kind)))
            case _:
                pass

    def _member_left(self, member: Member, place: Place, event: events.MemberLeft) -> None:
        if event.user_id != member.user_id:
            place.forget(event.user_id)
            self.send(wire.MemberGone(event.user_id, event.reason))
        elif event.reason in ("left", "timeout"):
            self.kicked(event.reason)  # by another face: quit_room. Other reasons are told by a call of kicked().

    def _stream_changed(self, event: events.StreamAdded | events.StreamChanged) -> None:
        old = self._shown.get((event.user_id, event.kind))
        other = self._entry.find_member(event.room, event.user_id)
        info = other.streams.get(event.kind) if other is not None else None
        if other is None or info is None:
            return
        new = self._show(other, info)
        restarted = isinstance(event, events.StreamChanged) and event.restarted
        if old is None or restarted or (old.audio, old.video) != (new.audio, new.video):
            self.send(wire.StreamOn(new))
            return
        name = _name(event.kind)
        if old.audio_muted != new.audio_muted:
            self.send(wire.Muted(event.user_id, name, "audio", new.audio_muted))
        if old.video_muted != new.video_muted:
            self.send(wire.Muted(event.user_id, name, "video", new.video_muted))

    def _show(self, other: Member, info: StreamInfo) -> wire.StreamView:
        """Return what the client is told of a stream, and remember it."""
        viewer = self.member
        urls = self._play_urls(viewer, info.stream_id) if viewer is not None else {}
        view = wire.StreamView(
            other.user_id,
            _name(info.kind),
            info.has_audio,
            info.has_video,
            info.audio_muted,
            info.video_muted,
            info.transport,
            urls,
        )
        self._shown[(other.user_id, info.kind)] = view
        return view

    def kicked(self, reason: str) -> None:
        """The directory has let go of this session; the member may live on with another."""
        self._detach()
        self.send(wire.Kicked(reason))
        self.socket.close(CLOSE_KICKED, reason)
        self._log.info("kicked: %s", reason)

    # --- the end

    def send(self, message: wire.ServerMessage) -> None:
        self.socket.send(wire.serialize(message))

    def gone(self) -> None:
        """The socket has ended. A member that has not left may come back."""
        member = self.member
        self._detach()
        if member is not None:
            self._hub.entry.directory.detach(member, self, self._hub.clock())
            self._log.info("socket closed: %s", self.socket.close_reason)

    def _detach(self) -> None:
        place, self._place = self._place, None
        self.member = None
        if place is not None and place.tell == self.send:
            place.tell = None
        if self.key is not None:
            self._hub.parted(self, self.key)


def _in_role(granted: Privilege, role: wire.RoleName) -> Privilege:
    return granted & ~SENDING if role == "audience" else granted


def _role_of(privileges: Privilege) -> wire.RoleName:
    return "anchor" if privileges & SENDING else "audience"


def _view(event: events.MemberEntered | events.MemberUpdated) -> wire.MemberView:
    return wire.MemberView(event.user_id, event.nick, _role_of(event.privileges))


def _name(kind: StreamKind) -> wire.StreamName:
    return "aux" if kind is StreamKind.AUX else "main"
