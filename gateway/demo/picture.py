"""The drawn picture: a clock with the user's name, the time, a frame counter, and a stamp that a program can read.

The dial and everything else that stands still is drawn once; a frame is a copy of it with hands, two lines of text and
the stamp on top, so that drawing costs little beside encoding. While the beep sounds the hub of the hands is bright.

The stamp is the lowest strip: two rows of 24 blocks, dark or bright, the lowest bit left: frame counter (16 bits),
unix time in ms (16 bits), and a check over both (16 bits). Blocks are fractions of the picture, so scaling does it no
harm; whatever is not a stamp reads as None.
"""

from __future__ import annotations

import binascii
import math
import time
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from gateway.demo.font import HEIGHT, text_mask

Luma = npt.NDArray[np.uint8]

BEEP_S: Final = 0.15
"""How long the beep sounds and the hub is bright, from the beginning of each second on."""
COLUMNS: Final = 24
ROWS: Final = 2
_STRIP: Final = 1 / 40
"""Height of one row of the stamp, as a part of the picture's height."""
_DARK, _BRIGHT = 52, 168
_INK: Final = 225
_THRESHOLD: Final = (_DARK + _BRIGHT) // 2


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a stamp says. Both numbers are 16 bits wide: the counter wraps, the time wraps each 65.536 s."""

    counter: int
    time_ms: int

    def delay_ms(self, now_s: float) -> int:
        """Return how old the picture is at unix time `now_s`, below 65 s; meaningful where both clocks agree."""
        age = (int(now_s * 1000) - self.time_ms) & 0xFFFF
        return age - 0x10000 if age > 0xF000 else age


class ClockPicture:
    """Draws for one user. Frames are yuv420p as one (height × 3/2, width) array, valid until the next `draw`."""

    def __init__(self, width: int, height: int, user: str, hue: float) -> None:
        """`width`, `height`: even. `hue`: 0..1, the colour of the background."""
        self.width, self.height = width, height
        self._radius = min(width, height) * 0.36
        self._center = (width / 2, height * 0.47)
        self._scale = max(1, width // 90)
        self._still = self._background(user, hue)
        self._frame = np.empty_like(self._still)

    def draw(self, number: int, unix_s: float) -> npt.NDArray[np.uint8]:
        """Return frame `number` as it looks at `unix_s`."""
        frame = self._frame
        np.copyto(frame, self._still)
        luma = frame[: self.height]
        local = time.localtime(unix_s)
        second = local.tm_sec + unix_s % 1
        minute = local.tm_min + second / 60
        self._hand(luma, (local.tm_hour % 12 + minute / 60) / 12, 0.5, 3.0, 215)
        self._hand(luma, minute / 60, 0.75, 2.0, 215)
        self._hand(luma, second / 60, 0.88, 1.0, 245)
        bright = unix_s % 1 < BEEP_S
        self._disc(luma, 0.12 if bright else 0.06, 250 if bright else 110)
        top = int(self._center[1] + self._radius * 1.16)
        self._text(luma, time.strftime("%H:%M:%S", local), top, self._scale)
        small = max(1, self._scale * 2 // 3)
        self._text(luma, f"#{number}", top + (HEIGHT + 3) * self._scale, small)
        self._stamp(luma, number & 0xFFFF, int(unix_s * 1000) & 0xFFFF)
        return frame

    # --- what stands still

    def _background(self, user: str, hue: float) -> npt.NDArray[np.uint8]:
        width, height = self.width, self.height
        still = np.empty((height * 3 // 2, width), np.uint8)
        still[:height] = np.linspace(92, 44, height, dtype=np.uint8)[:, None]
        angle = 2 * math.pi * hue
        # Chroma planes of yuv420p lie one after the other, each (height/2, width/2).
        chroma = still[height:].reshape(2, -1)
        chroma[0] = round(128 + 34 * math.cos(angle))
        chroma[1] = round(128 + 34 * math.sin(angle))
        luma = still[:height]
        self._dial(luma)
        scale = self._scale
        while scale > 1 and len(user) * 6 * scale > width * 0.92:
            scale -= 1
        self._text(luma, user, int(self._center[1] - self._radius * 1.14) - HEIGHT * scale, scale)
        return still

    def _dial(self, luma: Luma) -> None:
        rows, columns = np.ogrid[: self.height, : self.width]
        x, y = columns - self._center[0], rows - self._center[1]
        distance = np.hypot(x, y) / self._radius
        luma[distance < 1] = 34
        ring = max(0.015, 1.5 / self._radius)
        luma[np.abs(distance - 1) < ring] = 190
        turn = np.arctan2(y, x) / (2 * math.pi) * 12
        mark = np.abs(turn - np.round(turn)) * distance < 0.09
        luma[mark & (distance > 0.86) & (distance < 0.96)] = 190

    # --- what moves

    def _hand(self, luma: Luma, turn: float, length: float, thickness: float, value: int) -> None:
        """Draw a hand: `turn` 0..1 clockwise from the top, `length` in radii, `thickness` in 1/100 of the width."""
        angle = 2 * math.pi * turn
        size = self._radius * length
        steps = np.linspace(-0.12 * self._radius, size, int(size * 1.2) + 2)
        x = (self._center[0] + steps * math.sin(angle)).astype(np.intp)
        y = (self._center[1] - steps * math.cos(angle)).astype(np.intp)
        half = max(1, round(thickness * self.width / 200))
        for offset in range(-half, half + 1):
            if abs(math.sin(angle)) > abs(math.cos(angle)):
                luma[y + offset, x] = value
            else:
                luma[y, x + offset] = value

    def _disc(self, luma: Luma, radius: float, value: int) -> None:
        size = max(2, int(self._radius * radius))
        x, y = int(self._center[0]), int(self._center[1])
        rows, columns = np.ogrid[-size : size + 1, -size : size + 1]
        luma[y - size : y + size + 1, x - size : x + size + 1][rows * rows + columns * columns <= size * size] = value

    def _text(self, luma: Luma, text: str, top: int, scale: int) -> None:
        """Write `text` centred; what does not fit is cut."""
        mask = text_mask(text, scale)[:, : self.width]
        left = (self.width - mask.shape[1]) // 2
        place = luma[max(0, top) : top + mask.shape[0], left : left + mask.shape[1]]
        place[mask[: place.shape[0]]] = _INK

    def _stamp(self, luma: Luma, counter: int, time_ms: int) -> None:
        bits = counter | time_ms << 16 | _check(counter, time_ms) << 32
        row_height = max(2, int(self.height * _STRIP))
        top = self.height - ROWS * row_height
        edges = [round(column * self.width / COLUMNS) for column in range(COLUMNS + 1)]
        line = np.empty(self.width, np.uint8)
        for row in range(ROWS):
            for column in range(COLUMNS):
                bright = bits >> (row * COLUMNS + column) & 1
                line[edges[column] : edges[column + 1]] = _BRIGHT if bright else _DARK
            luma[top + row * row_height : top + (row + 1) * row_height] = line


def read_stamp(luma: Luma) -> Stamp | None:
    """Read the stamp of a (height, width) picture; None when it carries none or is too damaged."""
    height, width = luma.shape
    row_height = height * _STRIP
    if row_height < 2 or width < 2 * COLUMNS:
        return None
    xs = ((np.arange(COLUMNS) + 0.5) * width / COLUMNS).astype(np.intp)
    bits = 0
    for row in range(ROWS):
        y = int(height - (ROWS - row - 0.5) * row_height)
        bright = luma[y, xs] > _THRESHOLD
        bits |= int(np.packbits(bright, bitorder="little").view("<u1").astype(np.uint32) @ [1, 256, 65536]) << (
            row * COLUMNS
        )
    counter, time_ms, check = bits & 0xFFFF, bits >> 16 & 0xFFFF, bits >> 32
    return Stamp(counter, time_ms) if check == _check(counter, time_ms) else None


def _check(counter: int, time_ms: int) -> int:
    return binascii.crc_hqx((counter | time_ms << 16).to_bytes(4, "little"), 0x5A5A)
