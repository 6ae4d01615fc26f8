"""`live-pusher`: sends a source to one push URL, and says what happens in the tag's event codes.

Lost connections are tried again three times, three seconds apart; then -1307 and the end. A network that is too slow
loses pictures up to the next key frame (1101), sound only when there is no end to it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from gateway.demo.codes import RETRIES, RETRY_S
from gateway.demo.encode import Tag
from gateway.demo.failure import Failure
from gateway.demo.link import Link, LinkError, Silence, ended
from gateway.demo.source import Source
from gateway.wire.rtmp.client import Began, ClientState, Connected, Ended, Purpose, Refused, RtmpUrl

Say = Callable[[int, str], None]

BEGIN_S: Final = 10.0
LOOK_S: Final = 1.0
SOURCE_S: Final = 3.0
QUEUE_S: Final = 2.0
"""Seconds of media that may wait for the network."""
QUEUE_MIN: Final = 65536
_BUSY_EVERY_S: Final = 5.0


class Pusher:
    """One live-pusher. `run` lasts until it is cancelled or the push is lost for good."""

    def __init__(self, url: RtmpUrl, source: Source, say: Say, bitrate: int) -> None:
        self.pictures = 0
        self.bytes = 0
        self._url, self._source, self._say = url, source, say
        self._queue = max(QUEUE_MIN, int(bitrate / 8 * QUEUE_S))
        self._configs: dict[bool, Tag] = {}
        self._link: Link | None = None
        self._base_ms: int | None = None
        self._wait_key = True
        self._busy_until = 0.0
        self._first = True
        self._began = False

    async def run(self) -> None:
        """Push. Raises Failure after -1307."""
        loop = asyncio.get_running_loop()

        def sink(tag: Tag) -> None:
            try:
                loop.call_soon_threadsafe(self._take, tag)
            except RuntimeError:
                pass  # the loop has ended, and the source will presently

        self._say(1003, "the picture is made here")
        self._source.start(sink)
        tries = 0
        try:
            await self._first_tag()
            while True:
                try:
                    await self._once()
                except LinkError as error:
                    tries = 1 if self._began else tries + 1
                    self._say(error.code, str(error))
                    if tries > RETRIES:
                        self._say(-1307, f"{RETRIES} tries in vain")
                        raise Failure(f"the push is lost: {error}; is the server still running?") from None
                self._say(1102, f"try {tries} of {RETRIES} in {RETRY_S:g} s")
                await asyncio.sleep(RETRY_S)
        finally:
            self._source.stop()

    async def _first_tag(self) -> None:
        """Wait for the source, as a phone for its camera, so that the events come in the tag's order."""
        deadline = time.monotonic() + SOURCE_S
        kind = "width" in self._source.metadata
        while kind not in self._configs and time.monotonic() < deadline:
            self._check_source()
            await asyncio.sleep(0.02)

    def _check_source(self) -> None:
        if (error := self._source.error) is not None:
            self._say(-1301, str(error))
            raise Failure(f"there is no picture to send: {error}")

    async def _once(self) -> None:
        """One connection, until it ends. Raises LinkError."""
        self._began = False
        link = await Link.open(self._url, Purpose.PUBLISH)
        try:
            deadline = time.monotonic() + BEGIN_S
            while True:
                try:
                    events = await link.read(LOOK_S if self._began else max(0.1, deadline - time.monotonic()))
                except Silence:
                    if not self._began:
                        raise LinkError(3003, "the server does not answer publish") from None
                    link.pending(time.monotonic())
                    self._check_source()
                    continue
                for event in events:
                    match event:
                        case Connected():
                            self._say(1001, "connected")
                        case Began():
                            self._begin(link)
                        case Refused() | Ended():
                            raise ended(event)
                        case _:
                            pass
        finally:
            self._link = None
            await link.close()

    def _begin(self, link: Link) -> None:
        self._began = True
        self._say(1002, "publishing")
        link.session.send_metadata(self._source.metadata)
        self._base_ms, self._wait_key = None, True
        self._link = link
        for tag in self._configs.values():
            self._send(link, tag, 0)
        link.flush()
        self._source.want_keyframe()

    # --- tags from the source's thread

    def _take(self, tag: Tag) -> None:
        if tag.config:
            self._configs[tag.video] = tag
            if tag.video and self._first:
                self._first = False
                self._say(1007, "first picture")
                self._say(1008, "encoding")
        link = self._link
        if link is None or link.session.state is not ClientState.RUNNING:
            return
        if tag.config:
            self._send(link, tag, 0 if self._base_ms is None else tag.time_ms - self._base_ms)
            link.flush()
            return
        if self._base_ms is None:
            self._base_ms = tag.time_ms
        now = time.monotonic()
        waiting = link.pending(now)
        if waiting > self._queue and tag.video:
            self._wait_key = True
            self._source.want_keyframe()
            if now > self._busy_until:
                self._busy_until = now + _BUSY_EVERY_S
                self._say(1101, f"{waiting // 1024} KB wait for the network; pictures are left out")
            return
        if waiting > 2 * self._queue:
            return
        if tag.video:
            if self._wait_key and not tag.keyframe:
                return
            self._wait_key = False
            self.pictures += 1
        self._send(link, tag, max(0, tag.time_ms - self._base_ms))
        link.flush()

    def _send(self, link: Link, tag: Tag, time_ms: int) -> None:
        self.bytes += len(tag.body)
        (link.session.send_video if tag.video else link.session.send_audio)(max(0, time_ms), tag.body)
