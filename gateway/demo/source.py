"""What the camera and the microphone would give: a thread that makes tags in real time.

`ClockSource` draws and beeps. (`clip.py` has the source that plays a file.) A source hands its tags to a sink in its
own thread; it never waits for whoever takes them, and drops pictures when the machine is too slow to draw them.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Callable
from typing import Final, Protocol

import av

from gateway.demo.encode import AAC_FRAME, AudioEncoder, Sink, VideoEncoder
from gateway.demo.picture import ClockPicture
from gateway.demo.presets import Preset, Sound
from gateway.demo.sound import Beeper, tone_of

log = logging.getLogger(__name__)

LATE_S: Final = 0.5
"""A source that is so much behind drops the pictures that it missed."""
ASLEEP_S: Final = 5.0
"""And after so much the machine was asleep: sound goes on from now, too."""


class Source(Protocol):
    """What a pusher needs of a source. `metadata`: the fields of onMetaData."""

    metadata: dict[str, object]

    @property
    def error(self) -> Exception | None:
        """Why its thread has ended, if it has."""

    def start(self, sink: Sink) -> None: ...

    def want_keyframe(self) -> None:
        """Let the next picture be a key frame, if the source can."""

    def stop(self) -> None:
        """End the thread; wait for it a moment. Idempotent."""


def metadata_of(width: int, height: int, fps: float, rate: int, bitrate: int) -> dict[str, object]:
    """Return the fields of onMetaData that a phone sends; 0 leaves out picture (`width`) or sound (`rate`)."""
    values: dict[str, object] = {"encoder": "gateway demo-peer"}
    if width:
        values |= {"width": width, "height": height, "framerate": fps, "videocodecid": 7.0}
        values["videodatarate"] = bitrate / 1000
    if rate:
        values |= {"audiocodecid": 10.0, "audiosamplerate": rate, "audiosamplesize": 16.0, "stereo": False}
    return values


class Thread:
    """A thread that ends when it is told to. `run(stopped)` is its body; what it raises is kept in `error`."""

    def __init__(self, name: str) -> None:
        self.stopped = threading.Event()
        self.error: Exception | None = None
        self._name = name
        self._thread: threading.Thread | None = None

    def start(self, run: Callable[[], None]) -> None:
        assert self._thread is None

        def guarded() -> None:
            try:
                run()
            except Exception as error:
                self.error = error  # whoever pushes it tells
                log.debug("! %s failed", self._name, exc_info=True)

        self._thread = threading.Thread(target=guarded, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.stopped.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1.0)


class ClockSource:
    """The drawn clock of `user`, beeping each second."""

    def __init__(self, user: str, preset: Preset, sound: Sound) -> None:
        self.metadata = metadata_of(preset.width, preset.height, preset.fps, sound.rate, preset.max_bitrate)
        self._user, self._preset, self._sound = user, preset, sound
        self._thread = Thread("demo clock")
        self._key = threading.Event()

    @property
    def error(self) -> Exception | None:
        return self._thread.error

    def start(self, sink: Sink) -> None:
        self._thread.start(lambda: self._run(sink))

    def want_keyframe(self) -> None:
        self._key.set()

    def stop(self) -> None:
        self._thread.stop()

    def _run(self, sink: Sink) -> None:
        preset, rate, stopped = self._preset, self._sound.rate, self._thread.stopped
        hue = zlib.crc32(self._user.encode()) % 1000 / 1000
        picture = ClockPicture(preset.width, preset.height, self._user, hue)
        video = VideoEncoder(preset, sink)
        audio = AudioEncoder(self._sound, sink)
        began, began_unix = time.monotonic(), time.time()
        beeper = Beeper(rate, tone_of(self._user), began_unix)
        number = position = 0
        while not stopped.is_set():
            now = time.monotonic() - began
            if now - number / preset.fps > LATE_S:
                number = int(now * preset.fps)  # pictures missed; sound is made up for, so that it has no hole
            if now - position / rate > ASLEEP_S:
                position = int(now * rate)
            # Sound of a frame exists when its last sample has been spoken.
            while (position + AAC_FRAME) / rate <= now:
                audio.encode(beeper.samples(position, AAC_FRAME), position)
                position += AAC_FRAME
            if number / preset.fps <= now:
                at = number / preset.fps
                frame = av.VideoFrame.from_ndarray(picture.draw(number, began_unix + at), format="yuv420p")
                want = self._key.is_set()
                if want:
                    self._key.clear()
                video.encode(frame, round(at * 1000), want_keyframe=want)
                number += 1
            due = min(number / preset.fps, (position + AAC_FRAME) / rate)
            stopped.wait(max(0.0, due - (time.monotonic() - began)))
