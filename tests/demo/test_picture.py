from __future__ import annotations

import time

import numpy as np
import pytest

from gateway.demo.font import text_mask
from gateway.demo.picture import ClockPicture, Stamp, read_stamp
from gateway.demo.presets import MODES


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [0, 1, 0x5555, 0xFFFF, 0x12345])
def test_what_is_stamped_is_read(mode: str, number: int) -> None:
    preset = MODES[mode]
    picture = ClockPicture(preset.width, preset.height, "demo", 0.3)
    unix_s = 1_700_000_000.345 + number / 7
    frame = picture.draw(number, unix_s)
    assert frame.shape == (preset.height * 3 // 2, preset.width)
    assert read_stamp(frame[: preset.height]) == Stamp(number & 0xFFFF, int(unix_s * 1000) & 0xFFFF)


def test_a_stamp_survives_scaling_and_some_noise() -> None:
    luma = ClockPicture(360, 640, "demo", 0.3).draw(77, 1_700_000_000.0)[:640].copy()
    small = luma[::2, ::2]
    noise = np.random.default_rng(1).integers(-25, 25, small.shape)
    damaged = np.clip(small.astype(int) + noise, 0, 255).astype(np.uint8)
    stamp = read_stamp(damaged)
    assert stamp is not None
    assert stamp.counter == 77


@pytest.mark.parametrize("shape", [(1, 1), (640, 360), (480, 640), (3, 5000), (5000, 3)])
def test_other_pictures_carry_no_stamp(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        assert read_stamp(rng.integers(0, 256, shape).astype(np.uint8)) is None
    assert read_stamp(np.zeros(shape, np.uint8)) is None
    assert read_stamp(np.full(shape, 255, np.uint8)) is None


def test_delay_wraps() -> None:
    assert Stamp(0, 65_500).delay_ms(65.600) == 100
    assert Stamp(0, 65_500).delay_ms(65.536 + 0.064) == 100
    assert Stamp(0, 1_000).delay_ms(0.999) == -1


def test_something_moves_and_the_hub_flashes_with_the_beep() -> None:
    picture = ClockPicture(360, 640, "demo", 0.3)
    quiet = picture.draw(10, 1_700_000_000.5)[:640].copy()
    beeping = picture.draw(11, 1_700_000_001.05)[:640].copy()
    y, x = int(640 * 0.47), 180
    assert beeping[y, x] > 200 > quiet[y, x]
    assert (quiet != beeping).sum() > 500


@pytest.mark.parametrize("user", ["a", "A_very-long.name of 32 letters ..", "名字", ""])
@pytest.mark.parametrize("size", [(16, 16), (64, 36), (360, 640), (1280, 720)])
def test_any_name_and_size_can_be_drawn(user: str, size: tuple[int, int]) -> None:
    picture = ClockPicture(*size, user, 0.9)
    for second in range(0, 60, 7):
        picture.draw(second, 1_700_000_000 + second * 61.7)


def test_letters() -> None:
    assert text_mask("1", 1).shape == (7, 5)
    assert text_mask("12", 3).shape == (21, 33)
    assert text_mask("", 2).shape == (14, 2)
    glyphs = {
        text_mask(letter, 1).tobytes() for letter in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    }
    assert len(glyphs) == 62


def test_drawing_is_cheap() -> None:
    picture = ClockPicture(360, 640, "demo", 0.3)
    began = time.process_time()
    for number in range(60):
        picture.draw(number, 1_700_000_000 + number / 15)
    assert (time.process_time() - began) / 60 < 0.003  # 0.25 ms as measured; 15 a second
