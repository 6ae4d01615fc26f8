"""The composition root: everything is built here from Config, and starts and stops in one order.

    start   keys → store → directory → codecs, streams → UDP → RTMP → HTTP → ticks
    stop    rooms saved → sessions told goodbye → HTTP → RTMP → UDP → streams → codecs

Nothing else knows all the parts. `serve()` runs until SIGTERM or Ctrl-C; `Gateway` alone is what tests start.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import functools
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from gateway import __version__
from gateway.base.clock import monotonic, wall
from gateway.base.config import Address, Config
from gateway.base.errors import ConfigError
from gateway.base.tasks import Tasks
from gateway.demo.child import USER as DEMO_USER
from gateway.demo.child import DemoChild
from gateway.endpoints.admin import AdminApi
from gateway.endpoints.chat import Chat
from gateway.endpoints.cors import Access
from gateway.endpoints.entry import Entry, IceServers, Ports, Tickets, Urls
from gateway.endpoints.entry.links import WebRtc
from gateway.endpoints.entry.open_rooms import OpenRooms
from gateway.endpoints.http_flv import HttpFlv
from gateway.endpoints.im import Im
from gateway.endpoints.metrics import Metrics
from gateway.endpoints.room_api import RoomApi
from gateway.endpoints.room_service import RoomService, room_service_policies
from gateway.endpoints.rtmp import RtmpServer
from gateway.endpoints.signaling.websocket import Signaling
from gateway.endpoints.webapp import WebContext, make_app
from gateway.endpoints.whip import Whip
from gateway.media.bridge.pool import CodecPool
from gateway.media.rtc.connection import DtlsCertificate
from gateway.media.rtc.udp_mux import UdpMux
from gateway.media.streams import Streams
from gateway.rooms.directory import Directory
from gateway.rooms.groups import Groups
from gateway.rooms.room import RoomKey, StreamKind, check_user_id, policies
from gateway.rooms.tickets import mapkey, urlsig, usersig
from gateway.services.keys import Apps, load_apps
from gateway.services.relay import Relays
from gateway.services.store import GuestTickets, OpenRoomChanges, RoomServiceTokens, Store, allocate_stream_id
from gateway.services.tls import ServerTls, self_signed

log = logging.getLogger(__name__)

STATIC = Path(__file__).resolve().parent.parent / "static"
TICK_S = 1.0
SWEEP_EVERY = 5
EXPIRE_EVERY = 60
STOP_WITHIN_S = 2.7
DEV_ROOM = "1001"
DEV_PAGE_USER = "chrome"
DEV_PUSH_USER = "phone"
DEV_LIFETIME_S = 86400


class Gateway:
    """One server. `await start()`, then `await aclose()`. `config` ports of 0 draw free ones; see `ports`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ports = Ports(http=0, rtmp=0)
        self.apps: Apps
        self.directory: Directory
        self.groups: Groups
        self.streams: Streams
        self.entry: Entry
        self.mux: UdpMux
        self._stop: list[Callable[[], object]] = []
        self._tasks = Tasks("gateway")
        self._tls: ServerTls | None = None

    async def start(self) -> None:
        """Build and start everything. Raises ConfigError (one line) and leaves nothing running."""
        try:
            await self._start()
        except BaseException:
            await self.aclose()
            raise

    async def _start(self) -> None:
        config = self.config
        self.apps = load_apps(config)
        store = Store(Path(config.data))
        self._stop.append(store.close)
        kinds = room_service_policies(policies(config.rooms), config.room_service)
        self.directory = Directory(config.rooms, self.apps.bizids)
        self.groups = Groups(config.messages, self.directory.moderation.check_words)
        store.restore(self.directory, kinds, self.groups)
        guests = GuestTickets(store)
        known_guests = guests.load()
        opened = OpenRoomChanges(store)
        open_rooms = OpenRooms(
            self.apps, config.app, member=self.directory.member_in, changes=opened.load(), remember=opened.remember
        )
        room_tokens = RoomServiceTokens(store)
        store.start()

        pool = CodecPool(config.bridge.threads)
        self._stop.append(pool.close)
        self.streams = Streams(
            pool,
            bridge=config.bridge,
            audio=config.audio,
            live=config.live,
            rtc=config.rtc,
            refuse_duplicates=config.rtmp.on_duplicate == "refuse",
        )
        self._stop.append(self.streams.aclose)
        self.mux = UdpMux(config.rtc)
        await self.mux.start()
        self._stop.append(self.mux.aclose)

        http_sockets = _listen(config.http.listen, "--http", "http.listen")
        self._stop.append(lambda: _close(http_sockets))
        https_sockets: list[socket.socket] = []
        if config.http.https_listen is not None:
            self._tls = self._load_tls(config.http.https_listen)
            https_sockets = _listen(config.http.https_listen, "--https", "http.https_listen")
            self._stop.append(lambda: _close(https_sockets))
        rtmp_listen = config.rtmp.listen
        if rtmp_listen.port == 0:
            rtmp_listen = dataclasses.replace(rtmp_listen, port=_free_port(rtmp_listen))
        self.ports = Ports(
            http=http_sockets[0].getsockname()[1],
            rtmp=rtmp_listen.port,
            https=https_sockets[0].getsockname()[1] if https_sockets else None,
        )
        urls = Urls(config.public, config.urls, self.ports, wall)
        tickets = Tickets(
            self.apps,
            self.apps.default_app,
            config.urls.max_lifetime_s,
            wall,
            guests=known_guests,
            remember=lambda digest, end: guests.remember(digest, end, wall()),
            open_rooms=open_rooms,
        )
        self.entry = Entry(
            tickets=tickets,
            urls=urls,
            directory=self.directory,
            streams=self.streams,
            policies=kinds,
            url_rules=config.urls,
            random=os.urandom,
            dev=config.dev,
            ice_servers=IceServers(config.rtc, wall),
            groups=self.groups,
        )
        rtmp = RtmpServer(dataclasses.replace(config.rtmp, listen=rtmp_listen), config.live, self.entry, self.streams)
        try:
            await rtmp.start()
        except OSError as error:
            raise _cannot_listen(rtmp_listen, "--rtmp", "rtmp.listen", error) from None
        self._stop.append(rtmp.aclose)

        rtc = WebRtc(self.mux, DtlsCertificate.generate(), self.streams, self.entry)
        await rtc.start()
        self._stop.append(rtc.aclose)
        try:
            relays = Relays(self.streams, config.relay)
        except ValueError as error:
            raise ConfigError(f"relay.allow: {error}") from None
        self._stop.append(relays.aclose)
        flv = HttpFlv(config.live, self.entry, self.streams, play_wait_s=config.rtmp.play_wait_s)
        metrics = self._metrics(rtmp, rtc, flv, pool, relays)
        access = Access(config.http, config.public, config.room_api)
        service = RoomService(self.entry, access, self.groups, book=room_tokens)
        im = Im(
            self.entry,
            config=config.messages,
            administrators=config.rooms.administrators,
            uses_rooms=service.sessions.holds,
        )
        app = make_app(
            WebContext(
                http=config.http,
                room_api=RoomApi(self.entry, access),
                signaling=Signaling(self.entry, rtc, relays=relays, resume_s=config.rooms.resume_s),
                chat=Chat(self.entry),
                whip=Whip(self.entry, rtc),
                metrics=metrics,
                static=STATIC,
                more_routes=[
                    *flv.routes(),
                    *service.routes(),
                    *im.routes(),
                    *AdminApi(self.entry, self.apps.admin_token).routes(),
                ],
            )
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handle_signals=False)
        await runner.setup()
        self._stop.append(runner.cleanup)
        self._stop.append(flv.aclose)
        self._stop.append(im.goodbye)
        for sock in http_sockets:
            await web.SockSite(runner, sock).start()
        for sock in https_sockets:
            assert self._tls is not None
            await web.SockSite(runner, sock, ssl_context=self._tls.context).start()
        log.info("HTTP on port %d%s", self.ports.http, f", HTTPS on {self.ports.https}" if self.ports.https else "")
        self._tasks.start(self._tick(), "tick")
        self._tasks.start(im.run(), "old IM")
        self._tasks.start(store.run(self.directory, self.groups), "store")
        # First of all when stopping: who is here now is here at the next start, and not seen to leave.
        self._stop.append(functools.partial(store.aclose, self.directory, self.groups))

    def _load_tls(self, listen: Address) -> ServerTls:
        http = self.config.http
        if http.tls_cert:
            return ServerTls(Path(http.tls_cert), Path(http.tls_key))
        names = {"localhost", listen.host or "localhost", *self.config.rtc.public_addresses}
        return ServerTls(*self_signed_files(Path(self.config.data), names))

    def _metrics(self, rtmp: RtmpServer, rtc: WebRtc, flv: HttpFlv, pool: CodecPool, relays: Relays) -> Metrics:
        metrics = Metrics(self.apps.admin_token)
        directory, streams, counters, groups = self.directory, self.streams, self.mux.counters, self.groups
        metrics.gauge("rooms", "Rooms", lambda: len(directory.rooms))
        metrics.gauge("members", "Members of all rooms", lambda: len(directory.members))
        metrics.gauge("messages_bytes", "Memory for messages that are kept", lambda: groups.kept_bytes)
        metrics.counter("messages", "Messages to rooms", lambda: groups.posted)
        metrics.gauge("messages_waiting", "Messages that wait for users who are away", lambda: len(groups.waiting))
        metrics.gauge("streams", "Streams in memory", lambda: len(streams))
        metrics.gauge("bridges", "Bridges that run", lambda: sum(stream.bridging is not None for stream in streams))
        metrics.gauge("webrtc_up", "Connections that send", lambda: len(rtc.ups))
        metrics.gauge("webrtc_down", "Connections that receive", lambda: len(rtc.downs))
        metrics.gauge("rtmp_connections", "RTMP connections", lambda: rtmp.connections)
        metrics.gauge("rtmp_publishers", "RTMP publishers", lambda: rtmp.publishers)
        metrics.gauge("rtmp_players", "RTMP players", lambda: rtmp.players)
        metrics.gauge("flv_players", "HTTP-FLV and WS-FLV players", lambda: flv.players)
        metrics.counter("rtmp_refused", "RTMP publishers and players refused", lambda: rtmp.refused)
        metrics.counter("rtmp_dropped_video", "Pictures that slow RTMP players lost", lambda: rtmp.dropped_video)
        metrics.gauge("relays", "Streams that are pushed on to servers elsewhere", lambda: len(relays))
        metrics.counter("relays_started", "Relays so far", lambda: relays.started)
        metrics.counter("relays_failed", "Relays that were given up after failures", lambda: relays.failed)
        metrics.counter("relay_bytes", "Bytes of media pushed on", lambda: relays.totals.bytes_sent)
        metrics.counter("relay_dropped_video", "Pictures that slow targets lost", lambda: relays.totals.dropped_video)
        metrics.counter("codec_jobs", "Codec jobs", lambda: pool.jobs)
        metrics.counter(
            "datagrams",
            "UDP datagrams",
            lambda: {("in",): counters.datagrams_in, ("out",): counters.datagrams_out},
            labels=("direction",),
        )
        return metrics

    async def _tick(self) -> None:
        beat = 0
        while True:
            await asyncio.sleep(TICK_S)
            beat += 1
            now = monotonic()
            self.directory.expire(now)
            self.directory.moderation.expire(now)
            if beat % EXPIRE_EVERY == 0:
                self.groups.expire(now, int(wall() * 1000))
                self.directory.moderation.prune(self.groups.__contains__)
            if beat % SWEEP_EVERY == 0:
                self.streams.sweep(now)
                if self._tls is not None:
                    self._tls.reload()

    async def aclose(self) -> None:
        """Stop everything, in the opposite order of starting. Idempotent; a step that fails does not stop the rest."""
        await self._tasks.aclose()
        stops, self._stop = self._stop, []
        for stop in reversed(stops):
            try:
                result = stop()
                if asyncio.iscoroutine(result):
                    await result
            except Exception:
                log.exception("! stopping")

    # --- what --dev prints

    def own_url(self) -> str:
        """Return the HTTP address under which this machine itself reaches the server."""
        host = self.config.http.listen.host or "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.ports.http}"

    def dev_urls(self) -> dict[str, str]:
        """Open room 1001 and return the ready-made URLs: "page", "push", "play"; valid for 24 hours.

        The latter two only if the configured app has the keys that sign them.
        """
        room = RoomKey(self.apps.default_app, DEV_ROOM)
        if room not in self.directory.rooms:
            self.directory.create_room(
                room,
                creator=DEV_PAGE_USER,
                creator_is_guest=True,
                info="development room",
                policy=self.entry.policies["lasting"],
                now=monotonic(),
            )
        host = self.config.http.listen.host or "127.0.0.1"
        name = f"[{host}]" if ":" in host else host
        secure = self.ports.https is not None
        bases = self.entry.urls.bases(f"{name}:{self.ports.http}", secure=secure)
        app = self.apps.default
        expires = wall() + DEV_LIFETIME_S
        push = self.entry.stream_id(room, DEV_PUSH_USER, StreamKind.MAIN)
        play = self.entry.stream_id(room, DEV_PAGE_USER, StreamKind.MAIN)
        urls = {"page": f"{bases.http}/#room={DEV_ROOM}&user={DEV_PAGE_USER}"}
        if app.push_key:
            urls["push"] = f"{bases.rtmp}/live/{push}?{urlsig.mint(app, 'push', push, expires)}"
        if app.play_key:
            urls["play"] = f"{bases.http}/live/{play}.flv?{urlsig.mint(app, 'play', play, expires)}"
        return urls


def self_signed_files(data: Path, names: set[str]) -> tuple[Path, Path]:
    return self_signed(data, names, datetime.datetime.now(datetime.UTC))


def _listen(address: Address, option: str, key: str) -> list[socket.socket]:
    """Bind TCP sockets for `address`, both families for an empty host. Raises ConfigError."""
    hosts = [address.host] if address.host else ["0.0.0.0", "::"]
    sockets: list[socket.socket] = []
    port = address.port
    try:
        for host in hosts:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError:
                if sockets:
                    continue  # a kernel without IPv6
                raise
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind((host, port))
            except OSError:
                if host == "::" and len(sockets) > 1 and not socket.has_dualstack_ipv6():
                    sockets.pop().close()
                    continue
                raise
            sock.listen(512)
            sock.setblocking(False)
            port = sock.getsockname()[1]
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise _cannot_listen(address, option, key, error) from None
    return sockets


def _cannot_listen(address: Address, option: str, key: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot listen on {address}: {(error.strerror or str(error)).lower()}; "
        f"choose another address with {option} or {key}"
    )


def _close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def _free_port(address: Address) -> int:
    with socket.create_server((address.host or "0.0.0.0", 0)) as probe:
        number: int = probe.getsockname()[1]
        return number


async def serve(config: Config, *, demo: bool = False) -> int:
    """Run the server until SIGTERM or Ctrl-C; return the exit status. `demo`: with somebody in the room of --dev."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gateway = Gateway(config)
    await gateway.start()
    _announce(gateway, demo=demo)
    child = DemoChild(gateway.own_url(), DEV_ROOM) if demo else None
    if child is not None:
        child.start()
    await stop.wait()
    log.info("stopping")
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            if child is not None:
                await child.aclose()
            await gateway.aclose()
    except TimeoutError:
        log.warning("! not everything stopped within %s s", STOP_WITHIN_S)
    log.info("stopped")
    return 0


def _announce(gateway: Gateway, *, demo: bool) -> None:
    """Say on standard output what can be tried. The first start also prints the admin token, once."""
    config, ports = gateway.config, gateway.ports
    say = [f"gateway {__version__}: HTTP {ports.http}, RTMP {ports.rtmp}, WebRTC {gateway.mux.port}/udp"]
    if ports.https is not None:
        say.append(f"HTTPS {ports.https}")
    if gateway.apps.new_admin_token:
        say.append(f"admin token, shown this once (kept in {config.data}/keys): {gateway.apps.admin_token}")
    if config.dev:
        where = config.http.listen.host
        say.append(f"DEVELOPMENT SERVER on {where}: callers from {', '.join(config.room_api.guests)} need no ticket")
        log.warning("development server: guests are let in from %s", ", ".join(config.room_api.guests))
        say += [f"  {name}   {url}" for name, url in gateway.dev_urls().items()]
        if demo:
            say.append(f"  demo   {DEMO_USER} is in room {DEV_ROOM}: a clock that beeps, and answers messages")
        if ports.https is not None and not config.http.tls_cert:
            say.append("  (the certificate is self-signed: accept the browser's warning once)")
    print("\n".join(say), flush=True)
    if not sys.stdout.isatty():
        sys.stdout.flush()


class Signer:
    """What `gateway sign` mints, with the keys in the data directory or the configuration. Raises ConfigError."""

    def __init__(self, config: Config, sdk_app_id: int, now_wall: float) -> None:
        self._config = config
        self._now = now_wall
        apps = load_apps(config, admin=False)
        try:
            self._app = apps[sdk_app_id or apps.default_app]
        except KeyError:
            raise ConfigError(f"--app {sdk_app_id}: not one of {', '.join(map(str, apps)) or 'none'}") from None

    def user_sig(self, user: str, expire_s: int, *, v2: bool) -> str:
        app = self._app
        with _as_config_error():
            check_user_id(user)
            if v2:
                return usersig.mint_v2(app.secret, app.sdk_app_id, user, self._now, expire_s)
            return usersig.mint(app, user, self._now, expire_s)

    def map_key(self, user: str, room: str, privileges: int, expire_s: int, *, v2: bool, text_room: bool) -> str:
        app = self._app
        with _as_config_error():
            check_user_id(user)
            key = RoomKey.parse(app.sdk_app_id, room, force_text=text_room)
            if v2:
                return mapkey.mint_v2(app.secret, app.sdk_app_id, user, self._now, expire_s, key, privileges)
            return mapkey.mint(app, user, self._now, expire_s, key, privileges)

    def url(
        self, action: str, stream: str | None, room: str | None, user: str | None, expire_s: int, *, flv: bool
    ) -> str:
        app, config = self._app, self._config
        with _as_config_error():
            if stream is None:
                assert room is not None and user is not None
                stream = self._allocate(RoomKey.parse(app.sdk_app_id, room), user)
            key: urlsig.KeyName = "push" if action == "push" else "play"
            query = urlsig.mint(app, key, stream, self._now + expire_s)
        ports = Ports(
            http=config.http.listen.port,
            rtmp=config.rtmp.listen.port,
            https=config.http.https_listen.port if config.http.https_listen else None,
        )
        bases = Urls(config.public, config.urls, ports, wall).bases(None)
        if flv and action == "play":
            return f"{bases.http}/live/{stream}.flv?{query}"
        return f"{bases.rtmp}/live/{stream}?{query}"

    def _allocate(self, room: RoomKey, user: str) -> str:
        app = self._app
        return allocate_stream_id(
            Path(self._config.data), app.bizid, room, user, StreamKind.MAIN, lambda: os.urandom(8).hex()
        )


class _as_config_error:
    """ValueError and refusals of the minting functions are the operator's mistakes here: one line each."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValueError):
            raise ConfigError(str(error)) from None
