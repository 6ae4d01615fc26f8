"""A whole node in one process for endpoint tests: real rooms, streams, WebRTC and web application, on loopback.

async with World() as world:
    async with world.client.post("/weapp/webrtc_room/create_room", json={...}) as answer: ...
    alice = await world.enter("alice")          # a signaling client: send, expect
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.base.config import (
    Address,
    AudioConfig,
    BridgeConfig,
    HttpConfig,
    LiveConfig,
    MessagesConfig,
    PublicConfig,
    RelayConfig,
    RoomApiConfig,
    RoomsConfig,
    RtcConfig,
    UrlsConfig,
)
from gateway.endpoints.chat import Chat
from gateway.endpoints.cors import Access
from gateway.endpoints.entry import Entry, IceServers, Ports, Tickets, Urls
from gateway.endpoints.entry.links import WebRtc
from gateway.endpoints.metrics import Metrics
from gateway.endpoints.room_api import RoomApi
from gateway.endpoints.signaling.websocket import Signaling
from gateway.endpoints.webapp import WebContext, make_app
from gateway.endpoints.whip import Whip
from gateway.media.bridge.pool import CodecPool
from gateway.media.rtc.peer import DtlsCertificate
from gateway.media.rtc.udp_mux import UdpMux
from gateway.media.streams import Streams
from gateway.rooms.directory import Directory
from gateway.rooms.groups import Groups
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey, StreamKind, policies
from gateway.rooms.tickets import mapkey, usersig
from gateway.rooms.tickets.keys import AppKeys
from gateway.services.relay import Relays

APP = AppKeys(
    sdk_app_id=1400000001,
    bizid="8888",
    secret="s" * 64,
    push_key="push-key",
    rtcplay_key="rtcplay-key",
    play_key="play-key",
)
OTHER_APP = AppKeys(sdk_app_id=1400000002, bizid="9999", secret="t" * 64, private_map_key="optional")
ADMIN = "admin-token"
STATIC = Path(__file__).resolve().parent.parent.parent / "static"


class Clock:
    """Real monotonic time plus what a test adds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class World:
    def __init__(
        self,
        *,
        guests: tuple[str, ...] = (),
        http: HttpConfig | None = None,
        public: PublicConfig | None = None,
        rooms: RoomsConfig | None = None,
        urls: UrlsConfig | None = None,
        apps: tuple[AppKeys, ...] = (APP, OTHER_APP),
        static: Path = STATIC,
        refuse_duplicates: bool = False,
        more_routes: tuple[web.RouteDef, ...] = (),
        rtc_config: RtcConfig | None = None,
        messages: MessagesConfig | None = None,
        relay: RelayConfig | None = None,
    ) -> None:
        self.clock = Clock()
        self.wall = time.time
        public = public or PublicConfig()
        rooms = rooms or RoomsConfig()
        urls = urls or UrlsConfig()
        self.http = http or HttpConfig(listen=Address("127.0.0.1", 0))
        rtc_config = rtc_config or RtcConfig(listen=Address("127.0.0.1", 0))
        self.directory = Directory(rooms, {app.sdk_app_id: app.bizid for app in apps})
        self.streams = Streams(
            CodecPool(1),
            bridge=BridgeConfig(),
            audio=AudioConfig(),
            live=LiveConfig(),
            rtc=rtc_config,
            refuse_duplicates=refuse_duplicates,
        )
        self.groups = Groups(messages, self.directory.moderation.check_words)
        self.tickets = Tickets(
            {app.sdk_app_id: app for app in apps}, apps[0].sdk_app_id, urls.max_lifetime_s, self.wall
        )
        self.entry = Entry(
            tickets=self.tickets,
            urls=Urls(public, urls, Ports(http=8080, rtmp=1935), self.wall),
            directory=self.directory,
            streams=self.streams,
            policies=policies(rooms),
            url_rules=urls,
            random=secrets.token_bytes,
            clock=self.clock,
            ice_servers=IceServers(rtc_config, self.wall),
            groups=self.groups,
        )
        self.mux = UdpMux(rtc_config)
        self.rtc = WebRtc(self.mux, DtlsCertificate.generate(), self.streams, self.entry, self.clock)
        self.access = Access(self.http, public, RoomApiConfig(guests=guests))
        self.relays = Relays(self.streams, relay or RelayConfig())
        self.signaling = Signaling(self.entry, self.rtc, relays=self.relays, clock=self.clock)
        self.chat = Chat(self.entry, self.clock)
        self.whip = Whip(self.entry, self.rtc, self.clock)
        self.metrics = Metrics(ADMIN)
        self.ready = ""
        self.context = WebContext(
            http=self.http,
            room_api=RoomApi(self.entry, self.access),
            signaling=self.signaling,
            chat=self.chat,
            whip=self.whip,
            metrics=self.metrics,
            static=static,
            ready=lambda: self.ready,
            more_routes=more_routes,
        )
        self.app = make_app(self.context)
        self.client: TestClient[Any, Any]
        self._clients: list[Client] = []

    async def __aenter__(self) -> World:
        await self.mux.start()
        await self.rtc.start()
        self.server = TestServer(self.app)
        self.client = TestClient(self.server)
        await self.client.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            await client.close()
        await self.client.close()
        await self.relays.aclose()
        await self.rtc.aclose()
        await self.streams.aclose()
        await self.mux.aclose()
        self.streams.pool.close()

    # --- tickets

    @staticmethod
    def kind(name: str) -> StreamKind:
        return StreamKind(name)

    def key(self, room: int | str = 1001, app: AppKeys = APP) -> RoomKey:
        return RoomKey.parse(app.sdk_app_id, room)

    def sig(self, user: str, app: AppKeys = APP, expire: int = 3600, age: int = 0) -> str:
        return usersig.mint(app, user, self.wall() - age, expire)

    def map_key(
        self, user: str, room: int | str = 1001, rights: int = Privilege.ALL, app: AppKeys = APP, expire: int = 3600
    ) -> str:
        return mapkey.mint(app, user, self.wall(), expire, self.key(room, app), rights)

    def ticket(self, user: str, room: int | str = 1001, rights: int = Privilege.ALL) -> dict[str, Any]:
        """Return what `enter` carries."""
        name = {"roomId": room} if isinstance(room, int) else {"strRoomId": room}
        return {
            "v": 1,
            "sdkAppId": APP.sdk_app_id,
            "userId": user,
            "userSig": self.sig(user),
            "privateMapKey": self.map_key(user, room, rights),
            **name,
        }

    # --- REST

    async def call(self, name: str, body: object, **options: Any) -> dict[str, Any]:
        """POST to a webrtc_room call, expecting HTTP 200."""
        async with self.client.post(f"/webrtc/weapp/webrtc_room/{name}", json=body, **options) as answer:
            assert answer.status == 200, await answer.text()
            value: dict[str, Any] = await answer.json()
            return value

    # --- WebSockets

    async def connect(self, path: str = "/signaling") -> Client:
        client = Client(await self.client.ws_connect(path, autoping=True))
        self._clients.append(client)
        return client

    async def enter(self, user: str, room: int | str = 1001, rights: int = Privilege.ALL, **fields: Any) -> Client:
        client = await self.connect()
        client.entered = await client.request("enter", **{**self.ticket(user, room, rights), **fields})
        assert client.entered.get("ok"), client.entered
        return client

    async def login(self, user: str, room: int | str | None = 1001, **fields: Any) -> Client:
        client = await self.connect("/im")
        ticket = {"sdkAppID": APP.sdk_app_id, "userID": user, "userSig": self.sig(user)}
        if room is not None:
            ticket |= {"roomID": room, "privateMapKey": self.map_key(user, room)}
        client.entered = await client.command("login", **{**ticket, **fields})
        return client


class Client:
    """One WebSocket: answers by id, everything else in `messages`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.entered: dict[str, Any] = {}
        self.messages: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self._ids = itertools.count(1)
        self._answers: dict[Any, dict[str, Any]] = {}
        self._news = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for frame in self.socket:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                break
            message = frame.json()
            if "re" in message:
                self._answers[message["re"]] = message
            else:
                self.messages.append(message)
            self._news.set()
        self.close_code = self.socket.close_code
        self._news.set()

    async def _wait(self, what: Any, timeout: float) -> Any:
        async with asyncio.timeout(timeout):
            while (found := what()) is None:
                self._news.clear()
                await self._news.wait()
        return found

    async def request(self, kind: str, /, timeout: float = 5.0, **fields: Any) -> dict[str, Any]:
        """Send a signaling request and return its answer, good or bad."""
        number = next(self._ids)
        await self.socket.send_json({"id": number, "t": kind, **fields})
        answer: dict[str, Any] = await self._wait(lambda: self._answers.pop(number, None), timeout)
        return answer

    async def command(self, name: str, /, timeout: float = 5.0, **fields: Any) -> dict[str, Any]:
        """Send an /im command and return its answer."""
        number = next(self._ids)
        await self.socket.send_json({"id": number, "cmd": name, **fields})
        answer: dict[str, Any] = await self._wait(lambda: self._answers.pop(number, None), timeout)
        return answer

    async def answer_to_nothing(self, timeout: float = 5.0) -> dict[str, Any]:
        answer: dict[str, Any] = await self._wait(lambda: self._answers.pop(None, None), timeout)
        return answer

    async def expect(self, timeout: float = 5.0, **fields: Any) -> dict[str, Any]:
        """Return (and take out) the first message with these fields, waiting for it."""

        def find() -> dict[str, Any] | None:
            for index, message in enumerate(self.messages):
                if fields.items() <= message.items():
                    return self.messages.pop(index)
            return None

        found: dict[str, Any] = await self._wait(find, timeout)
        return found

    async def closed(self, timeout: float = 5.0) -> int | None:
        """Wait for the end and return the close code."""
        with contextlib.suppress(TimeoutError):
            await self._wait(lambda: True if self._reader.done() else None, timeout)
        assert self._reader.done(), "the socket is still open"
        return self.close_code

    async def close(self) -> None:
        await self.socket.close()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    def abort(self) -> None:
        """Lose the connection without a word."""
        transport = self.socket.get_extra_info("socket")
        assert self.socket._conn is not None and self.socket._conn.transport is not None and transport is not None
        self.socket._conn.transport.abort()
