from __future__ import annotations

import numpy as np
import pytest

from gateway.demo.picture import BEEP_S
from gateway.demo.sound import SILENCE_DB, Beeper, Ear, analyse, tone_of


@pytest.mark.parametrize("rate", [16000, 48000])
@pytest.mark.parametrize("start", [0.0, 1_700_000_000.73])
def test_a_beep_begins_with_each_second(rate: int, start: float) -> None:
    beeper = Beeper(rate, 900, start)
    parts = [beeper.samples(first, 1024) for first in range(0, 3 * rate, 1024)]
    assert all(part.size == 1024 and part.dtype == np.float32 for part in parts)
    samples = np.concatenate(parts)
    time = (start % 1 + np.arange(samples.size) / rate) % 1
    assert not samples[(time > BEEP_S + 0.001) & (time < 0.999)].any()
    assert np.abs(samples[(time > 0.02) & (time < BEEP_S - 0.02)]).max() > 0.15


@pytest.mark.parametrize("tone", [500, 950, 1450])
def test_level_and_tone_of_what_is_heard(tone: int) -> None:
    ear = Ear()
    assert ear.heard() is None
    beeper = Beeper(48000, tone, 0.4)
    for first in range(0, 3 * 48000, 1024):
        ear.hear(beeper.samples(first, 1024), 48000)
    heard = ear.heard()
    assert heard is not None
    assert abs(heard[1] - tone) <= 5
    assert -30 < heard[0] < -20
    assert sum(piece.size for piece in ear._pieces) < 48000 + 1024


def test_silence() -> None:
    assert analyse(np.zeros(480, np.float32), 48000) == (SILENCE_DB, 0)
    assert analyse(np.zeros(0, np.float32), 48000) == (SILENCE_DB, 0)


def test_a_change_of_rate_forgets() -> None:
    ear = Ear()
    ear.hear(np.ones(100, np.float32), 48000)
    ear.hear(np.zeros(100, np.float32), 16000)
    assert ear.heard() == (SILENCE_DB, 0)


def test_tones_are_steady_and_mostly_differ() -> None:
    assert tone_of("demo") == tone_of("demo")
    assert len({tone_of(f"user{number}") for number in range(50)}) > 12
