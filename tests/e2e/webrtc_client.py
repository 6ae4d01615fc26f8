"""aiortc as a member of a room: a second WebRTC stack, speaking docs/protocol.md by itself.

It sends the content of one maker and notes what it sees and hears of the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from fractions import Fraction
from typing import Any

import aiohttp
import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from tests.e2e import content
from tests.e2e.browser import until
from tests.e2e.content import Maker, Seen


class ContentTrack(MediaStreamTrack):
    """One kind of a maker's content in real time; tracks with the same `begin` (monotonic) are in step."""

    def __init__(self, kind: str, maker: Maker, begin: float) -> None:
        self.kind = kind
        super().__init__()
        self.maker, self.begin, self.number = maker, begin, 0

    async def recv(self) -> Any:
        maker, number = self.maker, self.number
        self.number += 1
        step = 1 / maker.fps if self.kind == "video" else 0.02
        # Sound of a time exists when the time is over, a picture at its begin: as devices give them.
        due = self.begin + number * step + (step if self.kind == "audio" else 0.0)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if self.kind == "video":
            picture = content.frame_of(content.picture(maker, number))
            picture.pts, picture.time_base = number * 90000 // maker.fps, Fraction(1, 90000)
            return picture
        samples = (content.sound(maker, number * 960, 960) * 32767).astype(np.int16)
        sound = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = content.RATE, number * 960, Fraction(1, content.RATE)
        return sound


class AiortcMember:
    """One member of a room. Use as `async with AiortcMember(http, tickets) as member`."""

    def __init__(self, http: str, tickets: dict[str, Any]) -> None:
        self.url = http.replace("http", "ws", 1) + "/signaling"
        self.tickets = tickets
        self.entered: dict[str, Any] = {}
        self.messages: list[dict[str, Any]] = []
        self.pictures: dict[str, list[Seen]] = {}
        self.sounds: dict[str, list[tuple[float, content.Samples]]] = {}
        self.up = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.down = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._tasks: list[asyncio.Task[None]] = []
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading: set[str] = set()
        self._id = 0

    async def __aenter__(self) -> AiortcMember:
        self._http = aiohttp.ClientSession()
        self._socket = await self._http.ws_connect(self.url)
        self._tasks.append(asyncio.create_task(self._read()))
        self.entered = await self.request("enter", v=1, role="anchor", **self.tickets)
        for stream in self.entered["streams"]:
            await self._subscribe(stream)
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(TimeoutError, ConnectionError, aiohttp.ClientError):
            await asyncio.wait_for(self.request("leave"), 2)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.up.close()
        await self.down.close()
        await self._socket.close()
        await self._http.close()

    async def request(self, kind: str, **fields: Any) -> dict[str, Any]:
        self._id += 1
        future = self._replies[self._id] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._id, "t": kind, **fields})
        reply: dict[str, Any] = await asyncio.wait_for(future, 10)
        assert "error" not in reply, reply["error"]
        return reply

    async def send(self, maker: Maker) -> None:
        begin = time.monotonic()
        for kind in ("audio", "video"):
            self.up.addTransceiver(ContentTrack(kind, maker, begin), direction="sendonly")
        await self.up.setLocalDescription(await self.up.createOffer())
        streams = {section.mid: "main" for section in self.up.getTransceivers()}
        reply = await self.request("publish", sdp=self.up.localDescription.sdp, streams=streams)
        await self.up.setRemoteDescription(RTCSessionDescription(reply["sdp"], "answer"))

    async def sees(self, user: str, maker: Maker, timeout: float = 15.0) -> None:
        """Wait until what came from `user` since this call (2 s at most) is the pictures and tone of `maker`."""
        report = ""
        began = time.monotonic()

        def good() -> bool:
            nonlocal report
            since = max(began, time.monotonic() - 2)
            seen = [picture for picture in self.pictures.get(user, []) if picture.time >= since]
            tone = content.frequency(self._heard(user, since))
            report = f"{len(seen)} pictures of { ({picture.ident for picture in seen}) }, {tone:.0f} Hz"
            return len(seen) >= maker.fps and seen[-1].ident == maker.ident and abs(tone - maker.tone) <= 12

        await until(good, timeout, lambda: f"aiortc does not get {maker} from {user}: {report}")

    def _heard(self, user: str, since: float) -> content.Samples:
        parts = [samples for at, samples in self.sounds.get(user, []) if at >= since]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    async def _read(self) -> None:
        async for frame in self._socket:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                break
            message = frame.json()
            waiting = self._replies.pop(message["re"], None) if "re" in message else None
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
                continue
            self.messages.append(message)
            if message.get("t") == "stream+":
                self._tasks.append(asyncio.create_task(self._subscribe(message)))
            elif message.get("t") == "offer":
                self._tasks.append(asyncio.create_task(self._accept(message)))

    async def _subscribe(self, stream: dict[str, Any]) -> None:
        await self.request("subscribe", userId=stream["userId"], stream=stream["stream"], kinds=["audio", "video"])

    async def _accept(self, offer: dict[str, Any]) -> None:
        await self.down.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
        await self.down.setLocalDescription(await self.down.createAnswer())
        await self.request("answer", n=offer["n"], sdp=self.down.localDescription.sdp)
        sections = {section.mid: section for section in self.down.getTransceivers()}
        for slot in offer["map"]:
            key = f"{slot['userId']} {slot['kind']}"
            if slot["stream"] == "main" and key not in self._reading:
                self._reading.add(key)
                track = sections[slot["mid"]].receiver.track
                self._tasks.append(asyncio.create_task(self._watch(slot["userId"], track)))

    async def _watch(self, user: str, track: MediaStreamTrack) -> None:
        pictures = self.pictures.setdefault(user, [])
        sounds = self.sounds.setdefault(user, [])
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=content.RATE)
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                now = time.monotonic()
                if isinstance(frame, av.VideoFrame):
                    seen = content.read_picture(frame.to_ndarray(format="gray"), now)
                    if seen is not None:
                        pictures.append(seen)
                elif isinstance(frame, av.AudioFrame):
                    for part in resampler.resample(frame):
                        sounds.append((now, part.to_ndarray()[0].astype(np.float32)))
