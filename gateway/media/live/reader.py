"""A reader over a socket: writes at once while the socket takes it, else queues, within bounds of media time.

The rule for a slow peer (reference: what SRS and nginx-rtmp do, made gentler): when more than `limit_s` of picture
waits, the picture is dropped up to the newest key frame, or altogether until the next one; sound stays. When more
than twice that of sound waits, everything is dropped: a jump to the live edge. Configurations are never dropped.
What was queued before `start()` (the kept group) does not count: it is late by nature.

Invariant: the frames that leave are decodable in order; `blocked_since` says since when the socket takes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from gateway.base.clock import Clock, monotonic
from gateway.wire.frame import TICKS, Frame, Metadata

MAX_FRAMES: Final = 8192
MAX_BYTES: Final = 24 << 20
"""Bounds of the queue when time stamps say nothing, as when they stand still."""
BATCH: Final = 64 << 10
"""Bytes that are joined into one write when a queue is emptied."""


class Encoder(Protocol):
    """Makes the bytes that one kind of peer gets."""

    @property
    def key(self) -> object:
        """Where `encode` leaves its bytes in Frame.encodings; may be settled by the first frame."""

    def encode(self, frame: Frame) -> bytes | None:
        """Return the bytes of one frame, cached in it under `key`; None if the peer cannot take the codec."""

    def metadata(self, metadata: Metadata) -> bytes: ...


_Queue = deque[tuple[int, Frame]]


class QueuedReader:
    """A LiveStream reader that writes encoded frames. It holds everything back until `start()`."""

    def __init__(
        self,
        encoder: Encoder,
        write: Callable[[bytes], object],
        *,
        limit_s: float,
        audio: bool = True,
        video: bool = True,
        on_first: Callable[[], None] | None = None,
        on_stopped: Callable[[str], None] | None = None,
        clock: Clock = monotonic,
    ) -> None:
        self.audio = audio
        self.video = video
        self.wants_keyframes = True
        self.started = False
        self.blocked_since: float | None = None
        self.bytes_sent = 0
        self.dropped_video = 0
        self.dropped_audio = 0
        self.jumps = 0
        self.unsupported = 0
        self._encoder = encoder
        self._write = write
        self._limit = int(limit_s * TICKS)
        self._on_first = on_first
        self._on_stopped = on_stopped
        self._clock = clock
        self._key: object = None
        self._open = False  # nothing stands between a frame and the socket
        self._paused = True
        self._wait_key = False
        self._audio: _Queue = deque()
        self._video: _Queue = deque()
        self._metadata: Metadata | None = None
        self._bytes = 0
        self._order = 0
        self._exempt = 0

    @property
    def queued(self) -> int:
        """Frames that wait."""
        return len(self._audio) + len(self._video)

    @property
    def key(self) -> object:
        """The encoder's key, once a frame has been encoded."""
        return self._key

    # --- from the stream

    def deliver(self, frame: Frame) -> None:
        if self._open:
            data = frame.encodings.get(self._key) or self._encode(frame)
            if data is not None:
                self.bytes_sent += len(data)
                self._write(data)
        else:
            self._enqueue(frame)

    def metadata(self, metadata: Metadata) -> None:
        if self._open:
            self._write(self._encoder.metadata(metadata))
        else:
            self._metadata = metadata
            self._first()

    def stopped(self, reason: str) -> None:
        if self._on_stopped is not None:
            self._on_stopped(reason)

    # --- from the socket

    def start(self, *, writable: bool = True) -> None:
        """Let the frames go, those that waited first; now, or when a socket that is full takes again."""
        if not self.started:
            self.started = True
            self._exempt = max((frame.dts for queue in (self._audio, self._video) for _, frame in queue), default=0)
            if writable:
                self.resume()
            else:
                self.pause()

    def pause(self) -> None:
        """The socket takes no more for now."""
        self._paused = True
        self._open = False
        if self.blocked_since is None:
            self.blocked_since = self._clock()

    def resume(self) -> None:
        """The socket takes again."""
        self.blocked_since = None
        if self.started:
            self._paused = False
            self._flush()

    # --- the queue

    def _encode(self, frame: Frame) -> bytes | None:
        data = self._encoder.encode(frame)
        if data is None:
            self.unsupported += 1
        else:
            self._key = self._encoder.key
        return data

    def _first(self) -> None:
        on_first, self._on_first = self._on_first, None
        if on_first is not None:
            on_first()

    def _enqueue(self, frame: Frame) -> None:
        if frame.codec.is_audio:
            queue = self._audio
        else:
            queue = self._video
            if self._wait_key and not frame.config:
                if not frame.keyframe:
                    self.dropped_video += 1
                    return
                self._wait_key = False
        self._order += 1
        queue.append((self._order, frame))
        self._bytes += len(frame.data)
        self._first()
        if not self._paused:
            self._flush()
        else:
            self._bound()

    def _flush(self) -> None:
        if self._metadata is not None and not self._paused:
            metadata, self._metadata = self._metadata, None
            self._write(self._encoder.metadata(metadata))
        audio, video = self._audio, self._video
        batch: list[bytes] = []
        size = 0
        while not self._paused and (audio or video):
            queue = audio if audio and (not video or audio[0][0] < video[0][0]) else video
            frame = queue.popleft()[1]
            self._bytes -= len(frame.data)
            data = frame.encodings.get(self._key) or self._encode(frame)
            if data is None:
                continue
            batch.append(data)
            size += len(data)
            if size >= BATCH or not (audio or video):
                self.bytes_sent += size
                self._write(batch[0] if len(batch) == 1 else b"".join(batch))
                batch = []
                size = 0
        if batch:
            self.bytes_sent += size
            self._write(b"".join(batch))
        self._open = not (self._paused or audio or video or self._wait_key)

    def _span(self, queue: _Queue) -> int:
        """Media time that waits in `queue`, in ticks."""
        return queue[-1][1].dts - max(queue[0][1].dts, self._exempt) if queue else 0

    def _bound(self) -> None:
        if self._bytes > MAX_BYTES or self.queued > MAX_FRAMES:
            self._jump()
        elif self.started:
            if self._span(self._audio) > 2 * self._limit:
                self._jump()
            elif self._span(self._video) > self._limit:
                self._drop_video(keep_newest_group=True)
                if self._span(self._video) > self._limit:
                    self._drop_video(keep_newest_group=False)

    def _drop_video(self, *, keep_newest_group: bool) -> None:
        """Drop pictures before the newest key frame, or all of them; configurations stay."""
        frames = list(self._video)
        keep = len(frames)
        if keep_newest_group:
            for index in range(len(frames) - 1, 0, -1):
                if frames[index][1].keyframe and not frames[index][1].config:
                    keep = index
                    break
        config = [item for item in frames[:keep] if item[1].config][-1:]
        self.dropped_video += sum(not item[1].config for item in frames[:keep])
        self._wait_key = keep == len(frames)
        self._replace_video(config + frames[keep:])

    def _replace_video(self, items: list[tuple[int, Frame]]) -> None:
        self._video = deque(items)
        self._bytes = sum(len(item[1].data) for queue in (self._audio, self._video) for item in queue)

    def _jump(self) -> None:
        self.jumps += 1
        config = [item for item in self._audio if item[1].config][-1:]
        self.dropped_audio += len(self._audio) - len(config)
        self._audio = deque(config)
        self._drop_video(keep_newest_group=False)
        if not self.video:
            self._wait_key = False
