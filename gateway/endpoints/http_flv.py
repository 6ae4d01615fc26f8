"""HTTP-FLV and WS-FLV: `GET /live/<stream>.flv`, the same stream as RTMP play, from the same frames.

With `Upgrade: websocket` each tag is one binary frame. Both write ready-made bytes straight to the transport: one
framing per frame for all players. The first bytes say whether sound and picture will come; players wait for what is
announced and absent, so that is decided after a short probe. FLV has no end mark: the end of a stream is the end of
the response. The query holds the ticket and is never logged.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from typing import Final, Protocol

from aiohttp import WSMsgType, hdrs, web

from gateway.base.clock import Clock, monotonic
from gateway.base.config import LiveConfig
from gateway.base.errors import NoSuchStream, ShuttingDown, TooMany
from gateway.base.tasks import Tasks
from gateway.endpoints.entry import Flows, Kinds, PlayGrant
from gateway.media.live.encode import FlvEncoder
from gateway.media.live.reader import QueuedReader
from gateway.media.live.stream import LiveStream, Start

log = logging.getLogger(__name__)

PLAY_WAIT_S: Final = 10.0
PROBE_S: Final = 0.4
"""How long a stream that has just begun may take to show both sound and picture."""
SETTLED_S: Final = 1.5
"""A stream of this age has shown what it has."""
CHECK_S: Final = 1.0
POLL_S: Final = 0.02
WRITE_HIGH: Final = 64 << 10
WRITE_LOW: Final = 16 << 10
UNSENT: Final = 128 << 10
"""Bytes that the kernel holds unsent for a player: else seconds of media hide where no rule can drop them."""
MAX_PLAYERS: Final = 2000
WS_PING_S: Final = 20.0
GOODBYE_S: Final = 2.0
"""How long the last bytes of a response may take."""
_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_HEADERS: Final[Mapping[str, str]] = {
    hdrs.CONTENT_TYPE: "video/x-flv",
    hdrs.CACHE_CONTROL: "no-store",
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    "X-Accel-Buffering": "no",
}
_PREFLIGHT: Final[Mapping[str, str]] = {
    hdrs.ALLOW: "GET, HEAD, OPTIONS",
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, HEAD, OPTIONS",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "*",
    hdrs.ACCESS_CONTROL_MAX_AGE: "3600",
}


class Entry(Protocol):
    """Tickets into grants; raises a GatewayError to refuse. `flows` follows whoever was admitted."""

    @property
    def flows(self) -> Flows: ...
    def admit_play(self, stream: str, query: Mapping[str, str], /) -> PlayGrant: ...


class Stream(Protocol):
    @property
    def live(self) -> LiveStream: ...


class Streams(Protocol):
    def open(self, stream_id: str, /) -> Stream: ...


class _Player:
    """One response: a reader of the stream, and the transport that it writes to. It is the gate of its flow."""

    def __init__(self, owner: HttpFlv, request: web.Request, grant: PlayGrant, live: LiveStream, framing: str) -> None:
        self.live = live
        self.first = asyncio.Event()
        self.ended = asyncio.Event()
        self.why = "closed by the peer"
        self.encoder = FlvEncoder(framing, audio=grant.audio, video=grant.video)
        fast = grant.start is Start.NEWEST_KEY
        self._flow = owner.entry.flows.follow(grant, self)
        self.reader = QueuedReader(
            self.encoder,
            self._write,
            limit_s=owner.config.queue_rtc_s if fast else owner.config.queue_live_s,
            audio=self._flow.allowed.audio,
            video=self._flow.allowed.video,
            on_first=self.first.set,
            on_stopped=self.end,
            clock=owner.clock,
        )
        self._grant = grant
        self._loop = asyncio.get_running_loop()
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        self._transport: asyncio.Transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            try:
                sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT)
            except OSError:  # not everywhere; the queue then starts later
                log.debug("no TCP_NOTSENT_LOWAT")

    def allow(self, kinds: Kinds) -> None:
        """What its user may receive has changed."""
        self.reader.audio, self.reader.video = kinds.audio, kinds.video
        self.live.refresh(self.reader)

    def cut(self, reason: str) -> None:
        """Its user has been thrown out."""
        self.end(reason)

    def end(self, why: str) -> None:
        if not self.ended.is_set():
            self.why = why
            self._flow.close()
            self.live.remove_reader(self.reader)
            self.ended.set()

    def attach(self) -> None:
        self.live.add_reader(self.reader, self._grant.start)

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport.is_closing():
            self.end("closed by the peer")
            return
        transport.write(data)
        if transport.get_write_buffer_size() > WRITE_HIGH:
            self.reader.pause()
            self._loop.call_later(POLL_S, self._poll)

    def _poll(self) -> None:
        if self._transport.is_closing():
            self.end("closed by the peer")
        elif not self.ended.is_set():
            if self._transport.get_write_buffer_size() <= WRITE_LOW:
                self.reader.resume()
            else:
                self._loop.call_later(POLL_S, self._poll)

    async def wait_first(self, timeout_s: float) -> bool:
        """Wait until the stream gives something. Returns whether it has, or at least has a publisher."""
        try:
            await asyncio.wait_for(self.first.wait(), timeout_s)
        except TimeoutError:
            return self.live.alive
        return True

    async def probe(self, now: float) -> tuple[bool, bool]:
        """Return whether (sound, picture) will come, waiting a little if the stream has just begun."""
        live, grant = self.live, self._grant

        def complete() -> bool:
            return (live.has_audio or not grant.audio) and (live.has_video or not grant.video)

        if not complete() and now - live.source_since < SETTLED_S:
            for _ in range(int(PROBE_S / POLL_S)):
                await asyncio.sleep(POLL_S)
                if complete():
                    break
        audio, video = live.has_audio and grant.audio, live.has_video and grant.video
        if not audio and not video:  # nothing seen yet: promise what is allowed
            return grant.audio, grant.video
        return audio, video

    def begin(self, audio: bool, video: bool) -> None:
        """Send the file header, then what has waited."""
        self._write(self.encoder.header(audio, video))
        self.reader.start()

    def blocked_for(self, now: float) -> float:
        since = self.reader.blocked_since
        return 0.0 if since is None or not self.reader.started else now - since

    def gone(self) -> bool:
        return self._transport.is_closing()

    def abort(self, why: str) -> None:
        self.end(why)
        self._transport.abort()


class HttpFlv:
    """The routes, and the players that are open. Refusals are raised; the web application makes answers of them."""

    def __init__(
        self,
        config: LiveConfig,
        entry: Entry,
        streams: Streams,
        *,
        play_wait_s: float = PLAY_WAIT_S,
        max_players: int = MAX_PLAYERS,
        clock: Clock = monotonic,
    ) -> None:
        self.config = config
        self.clock = clock
        self.total = 0
        self.blocked = 0
        self.dropped_video = 0
        self.dropped_audio = 0
        self.entry = entry
        self._streams = streams
        self._play_wait_s = play_wait_s
        self._max_players = max_players
        self._players: set[_Player] = set()
        self._stopping = False
        self._tasks = Tasks("http flv")

    @property
    def players(self) -> int:
        return len(self._players)

    def routes(self) -> list[web.RouteDef]:
        path = "/live/{stream:[^/]+}.flv"
        return [web.get(path, self.play), web.options(path, self.options)]

    async def options(self, _request: web.Request) -> web.Response:
        return web.Response(status=204, headers=_PREFLIGHT)

    async def play(self, request: web.Request) -> web.StreamResponse:
        """GET, HEAD, and GET with an upgrade. Raises GatewayError: bad ticket, no right, nobody publishes."""
        if self._stopping:
            raise ShuttingDown("the server is stopping")
        if len(self._players) >= self._max_players:
            raise TooMany(f"{self._max_players} players are the limit here")
        name = request.match_info["stream"].removesuffix(".live")
        query = {key: request.query[key] for key in request.query}
        grant = self.entry.admit_play(name, query)
        live = self._streams.open(grant.stream_id).live
        if request.method == hdrs.METH_HEAD:
            if not live.alive:
                raise NoSuchStream("nobody publishes this stream")
            return web.Response(headers=_HEADERS)
        upgrade = request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"
        framing = "ws" if upgrade else "http" if request.version >= (1, 1) else ""
        player = _Player(self, request, grant, live, framing)
        self._players.add(player)
        self.total += 1
        try:
            player.attach()
            if not await player.wait_first(self._play_wait_s):
                raise NoSuchStream("nobody publishes this stream")
            audio, video = await player.probe(self.clock())
            if upgrade:
                return await self._websocket(request, player, audio, video)
            return await self._http(request, player, audio, video)
        finally:
            player.end(player.why)
            self._players.discard(player)
            self._closed(player)

    async def _http(self, request: web.Request, player: _Player, audio: bool, video: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers=_HEADERS)
        response.force_close()
        if request.version >= (1, 1):
            response.enable_chunked_encoding()
        await response.prepare(request)
        self._opened(player, request, "http-flv")
        player.begin(audio, video)
        while not player.ended.is_set():
            await self._wait(player)
        if not player.gone():
            try:
                await asyncio.wait_for(response.write_eof(), GOODBYE_S)
            except (TimeoutError, ConnectionError):
                player.abort(player.why)
        return response

    async def _wait(self, player: _Player) -> None:
        """Wait for the end, and look now and then whether the peer still takes anything."""
        try:
            await asyncio.wait_for(player.ended.wait(), CHECK_S)
        except TimeoutError:
            if player.blocked_for(self.clock()) > self.config.blocked_timeout_s:
                self.blocked += 1
                player.abort("takes nothing")
            elif player.gone():
                player.end("closed by the peer")

    async def _websocket(self, request: web.Request, player: _Player, audio: bool, video: bool) -> web.StreamResponse:
        socket_response = web.WebSocketResponse(
            compress=False, heartbeat=WS_PING_S, max_msg_size=4096, timeout=GOODBYE_S
        )
        await socket_response.prepare(request)
        self._opened(player, request, "ws-flv")
        player.begin(audio, video)
        listener = self._tasks.start(self._listen(socket_response, player), "listen")
        try:
            while not player.ended.is_set():
                await self._wait(player)
            await socket_response.close()
        finally:
            listener.cancel()
        return socket_response

    async def _listen(self, socket_response: web.WebSocketResponse, player: _Player) -> None:
        """Read what a player says: pings are answered by aiohttp, a close ends it, the rest is ignored."""
        while not player.ended.is_set():
            message = await socket_response.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                player.end("closed by the peer")

    def _opened(self, player: _Player, request: web.Request, what: str) -> None:
        log.info("[%s] %s player %s", player.live.name, what, request.remote)

    def _closed(self, player: _Player) -> None:
        reader = player.reader
        self.dropped_video += reader.dropped_video
        self.dropped_audio += reader.dropped_audio
        if reader.started:
            log.info(
                "[%s] flv player left: %s; %d bytes, %d pictures and %d sounds dropped",
                player.live.name,
                player.why,
                reader.bytes_sent,
                reader.dropped_video,
                reader.dropped_audio,
            )

    async def aclose(self) -> None:
        """End all responses. Idempotent."""
        self._stopping = True
        for player in list(self._players):
            player.end("server stops")
        await self._tasks.aclose()
