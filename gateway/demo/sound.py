"""The beep of each second, and what somebody hears: level and strongest tone of the last second."""

from __future__ import annotations

import math
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

from gateway.demo.picture import BEEP_S

Samples = npt.NDArray[np.float32]

SILENCE_DB: Final = -70.0
_AMPLITUDE: Final = 0.2
_FADE_S: Final = 0.008
_TONES: Final = tuple(range(500, 1500, 50))


def tone_of(user: str) -> int:
    """Return the frequency (Hz) of a user's beep: the same at each start, mostly another one than a neighbour's."""
    return _TONES[zlib.crc32(user.encode()) % len(_TONES)]


class Beeper:
    """Makes the sound. Sample 0 is at unix time `start_s`; a beep begins with each full second."""

    def __init__(self, rate: int, tone: int, start_s: float) -> None:
        self._rate = rate
        self._offset = round(start_s % 1 * rate)
        length = round(BEEP_S * rate)
        fade = round(_FADE_S * rate)
        wave = _AMPLITUDE * np.sin(2 * np.pi * tone / rate * np.arange(length))
        wave[:fade] *= np.linspace(0, 1, fade)
        wave[-fade:] *= np.linspace(1, 0, fade)
        self._second = np.zeros(rate, np.float32)
        self._second[:length] = wave

    def samples(self, first: int, count: int) -> Samples:
        """Return `count` mono samples from sample `first` on, -1..1. `count` is below one second."""
        at = (first + self._offset) % self._rate
        part = self._second[at : at + count]
        if part.size < count:
            part = np.concatenate((part, self._second[: count - part.size]))
        return part


class Ear:
    """Remembers the last second of what is heard."""

    def __init__(self) -> None:
        self._pieces: list[Samples] = []
        self._size = 0
        self._rate = 48000

    def hear(self, samples: Samples, rate: int) -> None:
        """Take decoded mono samples. What is older than a second is forgotten."""
        if rate != self._rate:
            self._rate = rate
            self.forget()
        self._pieces.append(samples)
        self._size += samples.size
        while self._pieces and self._size - self._pieces[0].size >= self._rate:
            self._size -= self._pieces.pop(0).size

    def forget(self) -> None:
        self._pieces.clear()
        self._size = 0

    def heard(self) -> tuple[float, int] | None:
        """Return (level in dB of full scale, strongest tone in Hz, 0 if silent), or None if nothing was heard."""
        if not self._pieces:
            return None
        return analyse(np.concatenate(self._pieces), self._rate)


def analyse(samples: Samples, rate: int) -> tuple[float, int]:
    """Return (root mean square in dB of full scale, strongest tone in Hz); (SILENCE_DB, 0) when all is quiet."""
    power = float(np.mean(np.square(samples))) if samples.size else 0.0
    level = 10 * math.log10(power) if power > 0 else SILENCE_DB
    if level <= SILENCE_DB:
        return SILENCE_DB, 0
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    spectrum[: max(1, int(60 * samples.size / rate))] = 0
    return level, round(float(np.argmax(spectrum)) * rate / samples.size)
