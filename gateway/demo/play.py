"""`live-player`: plays one member by one play URL, and says what happens in the tag's event codes.

The order is that of the tag: 2001 connected, 2002 the server sends, 2003 first key frame, 2004 playing. 2007 after a
second without data, then 2004 again. Lost connections are tried again three times, three seconds apart; then -2301.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

from gateway.demo.codes import RETRIES, RETRY_S
from gateway.demo.link import Link, LinkError, Silence, ended
from gateway.demo.watch import Happened, Report, Watcher
from gateway.wire.rtmp.client import Began, Connected, Ended, Purpose, Refused, RtmpUrl
from gateway.wire.rtmp.session import AudioReceived, VideoReceived

Say = Callable[[int, str], None]

BEGIN_S: Final = 15.0
"""For the answer to play: a server may wait for the publisher first."""
LOADING_S: Final = 1.0
IDLE_S: Final = 20.0
SOUND_ONLY_S: Final = 1.0
"""A stream whose picture does not come in this time begins with its sound."""
_TROUBLE_EVERY_S: Final = 5.0


class Player:
    """One live-player. `run` returns after -2301; cancel it to stop. Decoding runs in `pool`."""

    def __init__(self, url: RtmpUrl, say: Say, pool: Executor) -> None:
        self._url, self._say, self._pool = url, say, pool
        self._watcher = Watcher()
        self._began = 0.0
        self._received = self._playing = self._loading = False
        self._next_trouble = 0.0

    def take(self) -> Report | None:
        """Return what was seen and heard since the last call; None while nothing plays."""
        report = self._watcher.take(time.monotonic())
        return report if self._playing else None

    async def run(self) -> None:
        tries = 0
        while True:
            self._began = 0.0
            try:
                await self._once()
            except LinkError as error:
                tries = 1 if self._began else tries + 1
                self._playing = False
                self._say(error.code, str(error))
                if tries > RETRIES:
                    self._say(-2301, f"{RETRIES} tries in vain")
                    return
            self._say(2103, f"try {tries} of {RETRIES} in {RETRY_S:g} s")
            await asyncio.sleep(RETRY_S)

    async def _once(self) -> None:
        """One connection, until it ends. Raises LinkError."""
        self._received = self._playing = self._loading = False
        link = await Link.open(self._url, Purpose.PLAY)
        heard = time.monotonic()
        try:
            while True:
                try:
                    events = await link.read(LOADING_S if self._playing else 0.5)
                except Silence:
                    self._silent(time.monotonic() - heard)
                    continue
                heard = time.monotonic()
                batch: list[AudioReceived | VideoReceived] = []
                end: LinkError | None = None
                for event in events:
                    match event:
                        case Connected():
                            self._say(2001, "connected")
                        case Began():
                            self._began = heard
                            self._say(2002, "the server sends")
                        case AudioReceived() | VideoReceived():
                            batch.append(event)
                        case Ended():
                            end = LinkError(2006, event.description or "the stream is over")
                        case Refused():
                            end = ended(event)
                        case _:
                            pass
                if batch:
                    loop = asyncio.get_running_loop()
                    self._tell(await loop.run_in_executor(self._pool, self._watcher.feed, batch), heard)
                if end is not None:
                    raise end
        finally:
            await link.close()

    def _silent(self, seconds: float) -> None:
        if not self._began:
            if seconds > BEGIN_S:
                raise LinkError(3003, "the server does not answer play")
        elif seconds > IDLE_S:
            raise LinkError(3005, f"nothing came for {IDLE_S:g} s")
        elif self._playing and not self._loading:
            self._loading = True
            self._say(2007, "nothing comes; waiting")

    def _tell(self, happened: Happened, now: float) -> None:
        late = now - self._began > SOUND_ONLY_S
        if not self._received and (happened.key_frame or (happened.sound and late)):
            self._received = True
            self._say(2003, "first key frame" if happened.key_frame else "first sound; no picture")
        if not self._playing and (happened.picture or (happened.sound and late)):
            self._playing = True
            self._say(2004, "playing")
        elif self._loading:
            self._loading = False
            self._say(2004, "playing again")
        if happened.resized is not None:
            self._say(2009, "{}x{}".format(*happened.resized))
        if (happened.video_failed or happened.audio_failed) and now >= self._next_trouble:
            self._next_trouble = now + _TROUBLE_EVERY_S
            if happened.video_failed:
                self._say(2101, happened.video_failed)
            if happened.audio_failed:
                self._say(2102, happened.audio_failed)
