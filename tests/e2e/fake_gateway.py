"""A scripted stand-in for the gateway's signaling, to test the browser library alone: docs/protocol.md with one peer.

Its only other member is `echo`, who sends back what the browser sends, through aiortc's own peer connections.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRelay

from tests.e2e.browser import until

STATIC = Path(__file__).resolve().parent.parent.parent / "static"


class FakeGateway:
    """Serves the page and /signaling on a free port of 127.0.0.1. `log` has every request that came.

    `refuse` and `unanswered` say what becomes of requests; `unreachable`: media goes nowhere;
    `members`: others besides.
    """

    def __init__(self) -> None:
        self.log: list[dict[str, Any]] = []
        self.refuse: dict[str, dict[str, Any]] = {}
        self.unanswered: set[str] = set()
        self.unreachable = False
        self.members: list[dict[str, Any]] = []
        self.socket: web.WebSocketResponse | None = None
        self.up: RTCPeerConnection | None = None
        self.down: RTCPeerConnection | None = None
        self.url = ""
        self.n = 0
        self.entries = 0
        self.relay = MediaRelay()
        self.tracks: dict[str, Any] = {}

    async def start(self) -> str:
        app = web.Application()
        app.router.add_get("/signaling", self._signaling)
        app.router.add_get("/", self._index)
        app.router.add_static("/", STATIC)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        for peer in (self.up, self.down):
            if peer is not None:
                await peer.close()
        await self._runner.cleanup()

    def requests(self, kind: str) -> list[dict[str, Any]]:
        return [request for request in self.log if request["t"] == kind]

    async def tell(self, **message: Any) -> None:
        assert self.socket is not None
        await self.socket.send_str(json.dumps(message))

    async def lose(self) -> None:
        """Cut the socket without a word."""
        assert self.socket is not None
        transport = self.socket._req.transport if self.socket._req is not None else None
        assert transport is not None
        transport.abort()

    async def _index(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _signaling(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.socket = socket
        async for frame in socket:
            if frame.type is not WSMsgType.TEXT:
                break
            message = json.loads(frame.data)
            self.log.append(message)
            if message["t"] in self.unanswered:
                continue
            error = self.refuse.get(message["t"])
            if error and not (
                message["t"] == "enter" and "resume" not in message and error["name"] == "no_such_member"
            ):
                await self.tell(re=message["id"], error=error)
                continue
            fields = await getattr(self, "_" + message["t"])(message)
            await self.tell(re=message["id"], ok=True, **(fields or {}))
            if message["t"] in ("publish", "subscribe", "restart"):
                await self._offer()
            if message["t"] == "leave":
                await socket.close(code=4002)
        return socket

    async def _enter(self, message: dict[str, Any]) -> dict[str, Any]:
        self.entries += 1
        # Nothing is kept over an entry: both connections are to be made anew, and everything asked for again.
        if self.down is not None:
            await self.down.close()
        self.down = None
        self.tracks.clear()
        self.wanted: set[str] = set()
        stream = {"userId": "echo", "stream": "main", "audio": True, "video": True, "audioMuted": False}
        return {
            "t": "entered",
            "v": 1,
            "sdkAppId": 1,
            "roomId": message.get("roomId"),
            "userId": message["userId"],
            "role": message["role"],
            "privileges": 255,
            "resume": f"token{self.entries}",
            "resumeMs": 15000,
            "resumed": "resume" in message,
            "kept": [],
            "time": 0,
            "dev": True,
            "members": [{"userId": "echo", "nick": "Echo", "role": "anchor"}, *self.members],
            "streams": [{**stream, "videoMuted": False, "transport": "rtmp", "urls": {"flv": "http://x/e.flv"}}],
            "urls": {"push": "rtmp://x/live/me"},
        }

    async def _publish(self, message: dict[str, Any]) -> dict[str, Any]:
        fingerprint = next(line for line in message["sdp"].splitlines() if line.startswith("a=fingerprint"))
        if self.up is None or fingerprint != self._fingerprint:
            if self.up is not None:
                await self.up.close()
            self.up = RTCPeerConnection()
            self.up.on("track", lambda track: self.tracks.__setitem__(track.kind, track))
            self.up.on("datachannel", self._channel)
            self._fingerprint = fingerprint
        elif not self.unreachable:
            # aiortc never starts receivers that are added while its DTLS handshake runs.
            up = self.up
            await until(lambda: up.connectionState == "connected", 5, "the up connection does not come up")
        offer = RTCSessionDescription(self._led_astray(message["sdp"]), "offer")
        await self.up.setRemoteDescription(offer)
        await self.up.setLocalDescription(await self.up.createAnswer())
        return {"sdp": self._led_astray(self.up.localDescription.sdp)}

    def _led_astray(self, sdp: str) -> str:
        """Neither side may learn an address of the other, or a check from one would open the way for both."""
        return re.sub(r"(a=candidate:\S+ \d \w+ \d+) \S+ \d+", r"\1 192.0.2.1 9", sdp) if self.unreachable else sdp

    def _channel(self, channel: RTCDataChannel) -> None:
        @channel.on("message")
        async def answer(frame: str) -> None:
            message = json.loads(frame)
            self.log.append(message)
            fields = await getattr(self, "_" + message["t"])(message)
            channel.send(json.dumps({"re": message["id"], "ok": True, **fields}))

    async def _subscribe(self, message: dict[str, Any]) -> dict[str, Any]:
        self.wanted |= set(message["kinds"])
        return {"kinds": message["kinds"]}

    async def _unsubscribe(self, _: dict[str, Any]) -> None:
        return None

    async def _mute(self, _: dict[str, Any]) -> None:
        return None

    async def _history(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"epoch": 1, "seq": 0, "first": 1, "messages": []}

    async def _role(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"privileges": 42}

    async def _custom(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"seq": 1}

    async def _inspect(self, message: dict[str, Any]) -> dict[str, Any]:
        audio = {"codec": "AAC", "bridge": "AAC→Opus"}
        video = {"codec": "H264", "bridge": "passes"}
        return {"source": "rtmp", "audio": audio, "video": video, "viewers": 1, "players": 0, "for": message["userId"]}

    async def _leave(self, _: dict[str, Any]) -> None:
        return None

    async def _restart(self, message: dict[str, Any]) -> dict[str, Any]:
        # aiortc knows no ICE restart: a fresh connection tests the same code of the library.
        if message["direction"] == "up":
            return {"sdp": ""}
        if message.get("fresh") and self.down is not None:
            await self.down.close()
            self.down = None
        return {}

    async def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self.down is not None
        if message["n"] != self.n:
            return {"stale": True}
        await self.down.setRemoteDescription(RTCSessionDescription(message["sdp"], "answer"))
        return {}

    async def _offer(self) -> None:
        if self.down is None:
            self.down = RTCPeerConnection()
            self.sent: set[str] = set()
        missing = (self.wanted & self.tracks.keys()) - self.sent
        if not missing:
            return
        for kind in sorted(missing):
            self.sent.add(kind)
            self.down.addTrack(self.relay.subscribe(self.tracks[kind]))
        await self.down.setLocalDescription(await self.down.createOffer())
        self.n += 1
        sections = [
            {"mid": section.mid, "userId": "echo", "stream": "main", "kind": section.kind}
            for section in self.down.getTransceivers()
        ]
        await self.tell(t="offer", n=self.n, sdp=self.down.localDescription.sdp, map=sections)
