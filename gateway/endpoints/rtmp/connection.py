"""One RTMP connection: bytes, events, and what they start and end."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from gateway.base.errors import BadRequest, GatewayError, NameTaken, NoSuchStream, PeerError
from gateway.endpoints.entry import Flow, Kinds
from gateway.endpoints.rtmp.player import Player
from gateway.endpoints.rtmp.ports import Stream, play_code, publish_code
from gateway.media.live.ingest import Ingest
from gateway.wire import flv
from gateway.wire.rtmp.session import (
    AudioReceived,
    ConnectRequested,
    Event,
    KindsChanged,
    MetadataReceived,
    PauseChanged,
    PingAnswered,
    PlayRequested,
    PlayStopped,
    PublishRequested,
    PublishStopped,
    ServerSession,
    State,
    VideoReceived,
)
from gateway.wire.rtmp.target import Target, parse_target

if TYPE_CHECKING:
    from gateway.endpoints.rtmp.server import RtmpServer

log = logging.getLogger(__name__)

APPS: Final = ("live", "push")
IDLE_S: Final = 30.0
"""A connection that neither publishes nor plays is closed after this long."""
GRACE_S: Final = 0.3
"""Between a last word and the end of the socket: closing at once while the peer still sends would cost it the word."""
WRITE_HIGH: Final = 64 << 10
WRITE_LOW: Final = 16 << 10
UNSENT: Final = 128 << 10
"""Bytes that the kernel holds unsent for a player: else seconds of media hide where no rule can drop them."""
_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Connection(asyncio.Protocol):
    """One TCP connection. Everything runs on the event loop, without tasks."""

    def __init__(self, server: RtmpServer) -> None:
        self.server = server
        self.too_many = False
        self.four_ccs: frozenset[str] = frozenset()
        self.writable = True
        self.write: Callable[[bytes], None]
        self._session = ServerSession(server.random, max_message=server.config.max_message_bytes)
        self._transport: asyncio.Transport
        self._peer = "?"
        self._opened = server.clock()
        self._heard = self._opened
        self._pinged: float | None = None
        self._next_ping = 0.0
        self._deadline: float | None = self._opened + server.config.handshake_timeout_s
        self._closing = False
        self._why = "closed by the peer"
        self._stream: Stream | None = None
        self._ingest: Ingest | None = None
        self._flow: Flow | None = None
        self._live_name = ""
        self._players: dict[int, Player] = {}

    # --- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.write = transport.write
        peer = transport.get_extra_info("peername")
        self._peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "?"
        transport.set_write_buffer_limits(high=WRITE_HIGH, low=WRITE_LOW)
        if not self.server.add(self):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._heard = self.server.clock()
        try:
            for event in self._session.receive_data(data):
                if type(event) is VideoReceived:
                    self._media(flv.VIDEO, event.timestamp, event.body)
                elif type(event) is AudioReceived:
                    self._media(flv.AUDIO, event.timestamp, event.body)
                else:
                    self._on_event(event)
                if self._closing:
                    break
        except PeerError as error:
            self.server.protocol_errors += 1
            self.close(f"{error.name}: {error}")
            return
        self.flush()

    def flush(self) -> None:
        """Write what the session has to say."""
        data = self._session.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def pause_writing(self) -> None:
        self.writable = False
        for player in self._players.values():
            player.reader.pause()

    def resume_writing(self) -> None:
        self.writable = True
        for player in self._players.values():
            player.reader.resume()

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self.server.remove(self)
        self._unpublish(self._why)
        for stream_id in list(self._players):
            self._remove_player(stream_id, self._why)
        log.debug("[rtmp %s] closed: %s", self._peer, self._why)

    def close(self, why: str) -> None:
        """Close soon, after what has been said has had time to arrive."""
        if self._closing:
            return
        self._closing, self._why = True, why
        if self._session.state is not State.HANDSHAKE:
            log.info("[rtmp %s] closing: %s", self._peer, why)
        self.flush()
        self._unpublish(why)
        for stream_id in list(self._players):
            self._remove_player(stream_id, why)
        asyncio.get_running_loop().call_later(GRACE_S, self._transport.close)

    def goodbye(self) -> None:
        """The server stops."""
        if not self._closing:
            self._session.close("The server is shutting down")
            self.close("server stops")

    def abort(self) -> None:
        self._transport.abort()

    # --- events

    def _on_event(self, event: Event) -> None:
        match event:
            case ConnectRequested():
                self._connect(event)
            case PublishRequested():
                self._publish(event)
            case PlayRequested():
                self._play(event)
            case PublishStopped():
                self._unpublish("unpublished")
            case PlayStopped(stream_id):
                self._remove_player(stream_id, "stopped")
            case PauseChanged(stream_id, paused):
                if (player := self._players.get(stream_id)) is not None:
                    self.flush()
                    player.pause(paused)
            case KindsChanged(stream_id, audio, video):
                if (player := self._players.get(stream_id)) is not None:
                    player.choose(audio, video)
            case MetadataReceived(values):
                if self._ingest is not None:
                    self._ingest.metadata(values)
            case PingAnswered():
                self._pinged = None
            case AudioReceived() | VideoReceived():
                raise AssertionError("handled before")

    def _connect(self, request: ConnectRequested) -> None:
        if self.too_many:
            self._session.reject(request, "NetConnection.Connect.Rejected", "The server is full")
            self.close("too many connections")
            return
        app = parse_target(request.app, request.tc_url, "-").app.partition("/")[0]
        if app not in APPS:
            self.server.refused += 1
            self._session.reject(request, "NetConnection.Connect.InvalidApp", "The applications are live and push")
            self.close("unknown application")
            return
        self.four_ccs = request.four_ccs
        self._session.accept(request)
        self._deadline = self._heard + IDLE_S

    def _publish(self, request: PublishRequested) -> None:
        target, entry = request.target, self.server.entry
        try:
            if self._ingest is not None:
                raise NameTaken("this connection publishes already")
            if target.app == "push":
                grant = entry.admit_room_push(unquote(target.stream), target.query)
            elif target.app == "live":
                grant = entry.admit_push(target.stream, target.query)
            else:
                raise BadRequest("publish to /live/<stream> or /push/<room>")
            stream = self.server.streams.open(grant.stream_id)
            live = stream.live
            stream.publish_live(self, self._heard)
        except GatewayError as error:
            self._refuse(request, publish_code(error), error)
            return
        self._stream, self._live_name = stream, grant.stream_id
        self._flow = entry.flows.follow(grant, self)
        self._ingest = Ingest(live, audio=grant.allow_audio, video=grant.allow_video, now=self._heard)
        self.allow(self._flow.allowed)
        self._session.accept(request)
        self._deadline = None
        self.server.publishers += 1
        log.info("[%s] rtmp publisher %s", grant.stream_id, self._peer)

    def _refuse(self, request: PublishRequested | PlayRequested, code: str, error: GatewayError) -> None:
        self.server.refused += 1
        log.info("[rtmp %s] refused %s: %s", self._peer, _shown(request.target), error.name)
        self._session.reject(request, code, error.message)
        self.close(code)

    def _media(self, type: int, timestamp: int, body: bytes) -> None:
        if self._ingest is not None:
            self._ingest.media(type, timestamp, body, self._heard)

    def _play(self, request: PlayRequested) -> None:
        target = request.target
        try:
            if target.app != "live":
                raise NoSuchStream("streams are at /live/<stream>")
            grant = self.server.entry.admit_play(target.stream, target.query)
            live = self.server.streams.open(grant.stream_id).live
        except GatewayError as error:
            self._refuse(request, play_code(error), error)
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None and not self._players:
            try:
                sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT)
            except OSError:  # not everywhere; the queue then starts later
                log.debug("[rtmp %s] no TCP_NOTSENT_LOWAT", self._peer)
        player = self._players[request.stream_id] = Player(self, request, grant, live)
        self.server.players += 1
        self._deadline = None
        self._next_ping = self._heard + self.server.config.ping_interval_s
        player.attach()

    # --- players

    def player_begins(self, player: Player, request: PlayRequested, *, waited: bool) -> None:
        self._session.accept(request)
        if waited:
            self._session.publish_notify(request.stream_id)
        self.flush()
        log.info("[%s] rtmp player %s", player.live.name, self._peer)

    def player_stopped(self, stream_id: int, reason: str) -> None:
        self._session.end_play(stream_id)
        self.flush()
        self._remove_player(stream_id, reason)

    def player_cut(self, stream_id: int, reason: str) -> None:
        """Its user has been thrown out: the player hears that its stream has ended, and is let go."""
        self._session.end_play(stream_id)
        self._remove_player(stream_id, reason)
        if self._ingest is None and not self._players:
            self.close(reason)
        self.flush()

    def _remove_player(self, stream_id: int, why: str) -> None:
        player = self._players.pop(stream_id, None)
        if player is None:
            return
        player.close()
        self.server.players -= 1
        reader = player.reader
        self.server.dropped_video += reader.dropped_video
        self.server.dropped_audio += reader.dropped_audio
        if player.begun:
            log.info(
                "[%s] rtmp player %s left: %s; %d bytes, %d pictures and %d sounds dropped",
                player.live.name,
                self._peer,
                why,
                reader.bytes_sent,
                reader.dropped_video,
                reader.dropped_audio,
            )
        self._became_idle()

    def _became_idle(self) -> None:
        if self._ingest is None and not self._players:
            self._deadline = self.server.clock() + IDLE_S

    # --- publisher

    def allow(self, kinds: Kinds) -> None:
        """What its user may send, or what moderators let pass, has changed."""
        if self._ingest is not None and self._stream is not None:
            self._ingest.hold(audio=not kinds.audio, video=not kinds.video)
            if not (kinds.audio and kinds.video):
                self._stream.interrupt(video=not kinds.video)

    def cut(self, reason: str) -> None:
        """Its user has been thrown out."""
        if self._ingest is not None and not self._closing:
            self._session.end_publish("NetStream.Publish.Denied", f"This stream was ended ({reason})")
            self.close(reason)

    def replaced(self, reason: str) -> None:
        """A newer publisher has taken the stream."""
        if self._ingest is None or self._closing:
            return
        self._forget_publish(f"publisher {reason}")
        self._session.end_publish("NetStream.Publish.BadName", f"This stream is published elsewhere ({reason})")
        self.close(f"publisher {reason}")

    def _unpublish(self, why: str) -> None:
        stream = self._stream
        if stream is not None:
            self._forget_publish(why)
            stream.unpublish(self, self.server.clock(), why)
            self._became_idle()

    def _forget_publish(self, why: str) -> None:
        ingest, self._ingest, self._stream = self._ingest, None, None
        flow, self._flow = self._flow, None
        assert ingest is not None and flow is not None
        flow.close()
        self.server.publishers -= 1
        self.server.not_allowed += ingest.not_allowed
        log.info(
            "[%s] rtmp publisher %s left: %s; %d messages, %d bytes, %d not allowed, %d not understood",
            self._live_name,
            self._peer,
            why,
            ingest.messages,
            ingest.bytes,
            ingest.not_allowed,
            ingest.unsupported,
        )

    # --- deadlines

    def check(self, now: float) -> None:
        """Called by the sweep: end what is dead."""
        if self._closing:
            return
        config = self.server.config
        if self._deadline is not None and now > self._deadline:
            if self._session.state in (State.HANDSHAKE, State.CONNECTING):
                self.close("no connect in time")
            else:
                self.close("neither publishes nor plays")
        elif self._ingest is not None and now - self._ingest.last_media > config.publish_timeout_s:
            self.close(f"no media for {config.publish_timeout_s:g} s")
        elif self._players:
            self._check_players(now)

    def _check_players(self, now: float) -> None:
        config = self.server.config
        for stream_id, player in list(self._players.items()):
            if not player.begun and now > player.waiting_until:
                if player.live.alive:
                    player.begin()
                    continue
                request = PlayRequested(stream_id, Target("live", player.live.name, {}))
                self._refuse(request, "NetStream.Play.StreamNotFound", NoSuchStream("nobody publishes this stream"))
                return
            blocked = player.reader.blocked_since
            if player.begun and blocked is not None and now - blocked > self.server.live_config.blocked_timeout_s:
                self.server.blocked += 1
                self.close("takes nothing")
                self.abort()
                return
        if self._pinged is not None:
            if self._heard > self._pinged:
                self._pinged = None  # any sign of life will do
            elif now - self._pinged > config.ping_timeout_s:
                self.close("no answer to a ping")
                self.abort()
        elif now >= self._next_ping:
            self._pinged = now
            self._next_ping = now + config.ping_interval_s
            self._session.ping(int((now - self._opened) * 1000))
            self.flush()


def _shown(target: Target) -> str:
    """What a log line may say of a target: badly written URLs have tickets in the oddest places."""
    app = target.app if target.app in APPS else "…"
    return f"{app}/{target.stream if _NAME.fullmatch(target.stream) else '…'}"
