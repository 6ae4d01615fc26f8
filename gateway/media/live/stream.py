"""One stream as frames: what is kept for newcomers, and the fan-out to readers.

A source (an RTMP publisher, or the bridge for a browser) writes frames; readers get each one at once, on the event
loop, without queue or task here. Kept are the metadata, the configuration of sound and picture, and the frames since
the last key frame (limited by time, bytes and number; past a limit nothing, until the next key frame).

Invariant: within one track dts never runs back, whoever writes. Sources come and go: stream time goes on across the
change, readers stay, and are told that the stream has ended only after it had no source for `linger_s`.

    no source ──start_source──▶ alive ──stop_source──▶ lingering ──start_source──▶ alive
                                                          └──linger_s, or close──▶ readers are stopped
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from gateway.base.clock import Clock, monotonic
from gateway.base.config import LiveConfig
from gateway.wire.flv import ENHANCED, LEGACY
from gateway.wire.frame import TICKS, Frame, Metadata

log = logging.getLogger(__name__)

LINGER_S: Final = 15.0
"""How long readers are kept without a publisher: one that was replaced, or comes back soon, must not end them."""
FRESH_S: Final = 0.3
"""A kept group longer than this is held back from a newcomer while a requested key frame may still come."""
SETTLED_S: Final = 2.0
"""After so long, a kind that a new source has not sent is taken not to come. Before, the old source's kinds stand."""
MIN_GAP: Final = TICKS // 25
"""Least stream time between the last frame of one source and the first of the next."""
_MS: Final = TICKS // 1000


class Start(enum.Enum):
    """Where a new reader begins."""

    GOP = "gop"  # with all that is kept since the last key frame
    NEWEST_KEY = "newest key"  # at the newest key frame; what is kept since then comes with it
    LIVE = "live"  # at the next key frame


class Reader(Protocol):
    """Whoever takes frames. Calls come on the event loop and must neither block nor raise.

    `audio`, `video`: which kinds it takes; call `LiveStream.refresh` after changing them. `wants_keyframes`: its
    arrival is a reason to ask a browser for a key frame.
    """

    @property
    def audio(self) -> bool: ...
    @property
    def video(self) -> bool: ...
    @property
    def wants_keyframes(self) -> bool: ...

    def deliver(self, frame: Frame) -> None:
        """Take one frame, shared by all readers: do not change it."""

    def metadata(self, metadata: Metadata) -> None: ...

    def stopped(self, reason: str) -> None:
        """The stream is over; the reader has been removed already."""


class LiveStream:
    """One stream. `name` is its id; everything runs on the event loop.

    `demand(True)` is called when the first reader comes, `demand(False)` when the last one goes.
    `request_keyframe` is set by a source that can be asked for one. `kinds_changed()` is called when has_audio or
    has_video change.
    """

    def __init__(
        self, name: str, config: LiveConfig | None = None, *, clock: Clock = monotonic, linger_s: float = LINGER_S
    ) -> None:
        self.name = name
        self.alive = False
        self.last_write = 0.0
        self.configs: dict[str, Frame] = {}
        self.gop: list[Frame] = []
        self.last_metadata: Metadata | None = None
        self.has_audio = False
        self.has_video = False
        self.source_since = 0.0
        self.frames = 0
        self.dropped = 0
        self.demand: Callable[[bool], None] | None = None
        self.request_keyframe: Callable[[], None] | None = None
        self.kinds_changed: Callable[[], None] | None = None
        self._config = config or LiveConfig()
        self._clock = clock
        self._linger_s = linger_s
        self._lingering: asyncio.TimerHandle | None = None
        self._waiters: set[asyncio.Future[bool]] = set()
        self._readers: tuple[Reader, ...] = ()
        self._audio_to: tuple[Reader, ...] = ()
        self._video_to: tuple[Reader, ...] = ()
        self._awaiting_key: set[Reader] = set()
        self._held: dict[Reader, asyncio.TimerHandle] = {}
        self._gop_bytes = 0
        self._keyed = False  # a key frame of this source, under this configuration, has been seen
        self._offset: int | None = None
        self._last = {True: 0, False: 0}  # dts by "is audio"
        self._furthest: int | None = None
        self._last_media = 0.0
        self._seen = {True: False, False: False}  # kinds of this source, by "is audio"
        self._settled = False

    @property
    def readers(self) -> tuple[Reader, ...]:
        return self._readers

    @property
    def position(self) -> int:
        """Stream time reached so far, in ticks."""
        return self._furthest or 0

    # --- sources

    def start_source(self, now: float) -> None:
        """A source begins, the first or in place of another. Its times may start anywhere."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        self.alive = True
        self.source_since = now
        self.last_write = now
        self._seen = {True: False, False: False}
        self._settled = False
        self._forget_media()
        if self._furthest is not None:
            self._offset = None
        self._awaiting_key.update(reader for reader in self._readers if reader.video)
        self._retarget()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(True)

    def stop_source(self, reason: str) -> None:
        """The source has ended. Readers stay for `linger_s`, in case that another begins."""
        if not self.alive:
            return
        self.alive = False
        self._forget_media()
        self._set_kinds(False, False)
        if self._readers:
            loop = asyncio.get_running_loop()
            self._lingering = loop.call_later(self._linger_s, self.close, reason)

    def close(self, reason: str) -> None:
        """End the stream for all its readers now. It can be used again."""
        self.alive = False
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        self._forget_media()
        self._set_kinds(False, False)
        for reader in self._readers:
            self.remove_reader(reader)
            reader.stopped(reason)

    def interrupt(self, *, video: bool) -> None:
        """What was written so far is for those who have it: newcomers get none of it.

        `video`: the picture itself is broken off, and goes on with a key frame.
        """
        self._clear_gop()
        if video:
            self._keyed = False

    def _forget_media(self) -> None:
        self.configs = {}
        self._clear_gop()
        self._keyed = False
        self.last_metadata = None

    async def wait_alive(self, timeout_s: float) -> bool:
        """Wait until there is a source, at most `timeout_s`. Return whether there is one."""
        if self.alive:
            return True
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            return await asyncio.wait_for(waiter, timeout_s)
        except TimeoutError:
            return self.alive
        finally:
            self._waiters.discard(waiter)

    def write_metadata(self, metadata: Metadata) -> None:
        if not self.alive:
            return
        self.last_metadata = metadata
        for reader in self._readers:
            if reader not in self._held:
                reader.metadata(metadata)

    def write(self, frame: Frame) -> None:
        """Give one frame to the readers and keep what newcomers need. Without a source it is dropped.

        The frame becomes the stream's: its times are moved to stream time.
        """
        if not self.alive:
            self.dropped += 1
            return
        now = self._clock()
        audio = frame.codec.is_audio
        if not self._seen[audio] or not self._settled:
            self._see(audio, now)
        if frame.config:
            self._write_config(frame, audio)
        else:
            self._stamp(frame, audio, now)
            if audio:
                self._keep(frame)
                self._deliver(frame, self._audio_to)
            else:
                self._write_picture(frame)
            self.frames += 1
        self.last_write = now

    def _write_config(self, frame: Frame, audio: bool) -> None:
        kind = "audio" if audio else "video"
        current = self.configs.get(kind)
        if current is not None and current.data == frame.data and current.codec is frame.codec:
            return  # encoders repeat it at every key frame; some players start over at each
        frame.dts = frame.pts = self.position
        self.configs[kind] = frame
        if not audio:
            self._clear_gop()  # it was coded under the old configuration
            self._keyed = False
        wanted = [r for r in self._readers if (r.audio if audio else r.video) and r not in self._held]
        self._deliver(frame, wanted)

    def _stamp(self, frame: Frame, audio: bool, now: float) -> None:
        """Move the frame to stream time."""
        if self._offset is None:
            gap = max(MIN_GAP, int((now - self._last_media) * TICKS))
            # Whole milliseconds, so that FLV stamps stay exact.
            self._offset = (self.position + gap - frame.dts) // _MS * _MS if self._furthest is not None else 0
        dts = max(frame.dts + self._offset, self._last[audio])
        frame.pts += dts - frame.dts
        frame.dts = dts
        self._last[audio] = dts
        if self._furthest is None or dts > self._furthest:
            self._furthest = dts
        self._last_media = now

    def _write_picture(self, frame: Frame) -> None:
        if frame.keyframe:
            self._keyed = True
            self.gop = []
            self._gop_bytes = 0
            if self._held or self._awaiting_key:
                self._release()
            self.gop.append(frame)
            self._gop_bytes = len(frame.data)
        elif not self._keyed:
            self.dropped += 1  # nobody can decode it
            return
        else:
            self._keep(frame)
        self._deliver(frame, self._video_to)

    def _keep(self, frame: Frame) -> None:
        """Add a frame to the kept group, which always begins with a key frame."""
        if not self.gop:
            return
        self.gop.append(frame)
        self._gop_bytes += len(frame.data)
        config = self._config
        if (
            frame.dts - self.gop[0].dts > config.gop_seconds * TICKS
            or self._gop_bytes > config.gop_bytes
            or len(self.gop) > config.gop_frames
        ):
            self._clear_gop()

    def _clear_gop(self) -> None:
        self.gop = []
        self._gop_bytes = 0

    def _deliver(self, frame: Frame, readers: Sequence[Reader]) -> None:
        for reader in readers:
            try:
                reader.deliver(frame)
            except Exception:  # one reader's fault must reach neither the publisher nor the other readers
                log.exception("[%s] ! a reader failed and is removed", self.name)
                self.remove_reader(reader)
                reader.stopped("internal error")

    def _see(self, audio: bool, now: float) -> None:
        """Keep has_audio and has_video true to what comes."""
        self._seen[audio] = True
        if now - self.source_since >= SETTLED_S:
            self._settled = True
            self._set_kinds(self._seen[True], self._seen[False])
        elif audio:
            self._set_kinds(True, self.has_video)
        else:
            self._set_kinds(self.has_audio, True)

    def _set_kinds(self, audio: bool, video: bool) -> None:
        if (audio, video) != (self.has_audio, self.has_video):
            self.has_audio, self.has_video = audio, video
            if self.kinds_changed is not None:
                self.kinds_changed()

    # --- readers

    def add_reader(self, reader: Reader, start: Start = Start.GOP) -> None:
        """Add a reader; metadata, configurations and, by `start`, the kept group are delivered before this returns.

        Where the source can make a key frame and the group is not fresh, one is asked for, and the group is replayed
        only if none comes within 0.3 s.
        """
        if reader in self._readers:
            return
        self._readers += (reader,)
        if reader.video:
            self._awaiting_key.add(reader)
        self._retarget()
        if len(self._readers) == 1 and self.demand is not None:
            self.demand(True)
        if reader not in self._readers or not self.alive:
            return
        replay = self.gop if start is not Start.LIVE and reader.video else []
        if self.request_keyframe is not None and reader.wants_keyframes and reader.video:
            if not replay or self.position - replay[0].dts > FRESH_S * TICKS:
                self.request_keyframe()
                if replay:
                    self._held[reader] = asyncio.get_running_loop().call_later(FRESH_S, self._held_too_long, reader)
                    self._retarget()
                    return
        self._begin(reader, replay)

    def _held_too_long(self, reader: Reader) -> None:
        if self._held.pop(reader, None) is not None:
            self._begin(reader, self.gop)

    def _begin(self, reader: Reader, replay: Sequence[Frame]) -> None:
        """Deliver what a newcomer needs, then `replay`."""
        if self.last_metadata is not None:
            reader.metadata(self.last_metadata)
        at = replay[0].dts if replay else self.position
        for frame in self._configs_at(at):
            if reader.audio if frame.codec.is_audio else reader.video:
                self._deliver(frame, (reader,))
        for frame in replay:
            if reader.audio if frame.codec.is_audio else reader.video:
                self._deliver(frame, (reader,))
        if replay:
            self._awaiting_key.discard(reader)
        self._retarget()

    def _configs_at(self, dts: int) -> list[Frame]:
        """The configurations, stamped so that a newcomer's time does not begin with a jump."""
        copies = []
        for frame in self.configs.values():
            copy = Frame(frame.codec, dts, dts, frame.data, config=True)
            copy.encodings = {key: frame.encodings[key] for key in (LEGACY, ENHANCED) if key in frame.encodings}
            copies.append(copy)
        return copies

    def _release(self) -> None:
        """A key frame is about to be delivered: everyone who waited for one gets it."""
        held, self._held = self._held, {}
        for reader, timer in held.items():
            timer.cancel()
            self._begin(reader, ())
        self._awaiting_key.clear()
        self._retarget()

    def remove_reader(self, reader: Reader) -> None:
        """Remove a reader; nothing happens if it is not there."""
        if reader not in self._readers:
            return
        self._readers = tuple(other for other in self._readers if other is not reader)
        self._awaiting_key.discard(reader)
        timer = self._held.pop(reader, None)
        if timer is not None:
            timer.cancel()
        self._retarget()
        if not self._readers and self.demand is not None:
            self.demand(False)

    def refresh(self, reader: Reader) -> None:
        """The reader has changed `audio` or `video`.

        A kind that is switched on begins with its configuration, a picture at the next key frame.
        """
        if reader not in self._readers:
            return
        more_audio = reader.audio and reader not in self._audio_to
        more_video = reader.video and reader not in self._video_to and reader not in self._awaiting_key
        if not reader.video:
            self._awaiting_key.discard(reader)
        elif more_video:
            self._awaiting_key.add(reader)
        if reader in self._held:
            return
        for frame in self._configs_at(self.position):
            if more_audio if frame.codec.is_audio else more_video:
                self._deliver(frame, (reader,))
        self._retarget()

    def _retarget(self) -> None:
        ready = [reader for reader in self._readers if reader not in self._held]
        self._audio_to = tuple(reader for reader in ready if reader.audio)
        self._video_to = tuple(reader for reader in ready if reader.video and reader not in self._awaiting_key)
