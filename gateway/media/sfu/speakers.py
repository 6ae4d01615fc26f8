"""Who speaks in a room, from the audio levels that browsers stamp on their packets (RFC 6464). Pure.

`update` is called about five times a second with everybody's level. The active speaker changes only when somebody else
has been clearly louder for a while, or has spoken while the active one was silent: a cough or a pause between two
sentences moves nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final, Generic, TypeVar

SPEECH_DBOV: Final = -50.0
"""Louder than this is speech: rooms are at -60 to -75, voices at -20 to -40."""

SILENCE_DBOV: Final = -127.0
LOUDER_DB: Final = 6.0
TAKEOVER_S: Final = 0.6
SILENT_S: Final = 1.0
"""An active speaker this long silent is replaced by anybody who speaks."""

NOBODY_S: Final = 3.0
"""After so much silence nobody is the active speaker."""

ATTACK: Final = 0.6
RELEASE: Final = 0.25

Key = TypeVar("Key", bound=Hashable)


def volume(level: int | None) -> int:
    """Return an audio level (0 loudest to 127, or None) as a volume of 0 to 100 for a meter."""
    return 0 if level is None else max(0, min(100, round((90 - level) / 0.9)))


class Speakers(Generic[Key]):
    """`active` is the key of who speaks, None if nobody does; `volumes` maps every key to 0..100."""

    __slots__ = ("_challenge", "_heard", "_loudness", "active", "volumes")

    def __init__(self) -> None:
        self.active: Key | None = None
        self.volumes: dict[Key, int] = {}
        self._loudness: dict[Key, float] = {}
        self._heard: dict[Key, float] = {}  # when each spoke last
        self._challenge: tuple[Key, float] | None = None  # who is about to take over, since when

    def update(self, levels: Mapping[Key, int | None], now: float) -> bool:
        """Take everybody's level (0..127, None: nothing came lately); True if `active` has changed.

        Keys that are no longer in `levels` have left.
        """
        for gone in [key for key in self._loudness if key not in levels]:
            del self._loudness[gone]
            self._heard.pop(gone, None)
        for key, level in levels.items():
            target = SILENCE_DBOV if level is None else -float(level)
            before = self._loudness.get(key, SILENCE_DBOV)
            weight = ATTACK if target > before else RELEASE
            self._loudness[key] = loudness = before + (target - before) * weight
            if loudness > SPEECH_DBOV:
                self._heard[key] = now
        self.volumes = {key: volume(level) for key, level in levels.items()}
        chosen = self._choose(now)
        if chosen == self.active:
            return False
        self.active = chosen
        self._challenge = None
        return True

    def _choose(self, now: float) -> Key | None:
        active = self.active
        if active not in self._loudness:
            active = None
        loudest = max(self._loudness, key=self._loudness.__getitem__, default=None)
        speaks = loudest is not None and self._loudness[loudest] > SPEECH_DBOV
        if active is None:
            return loudest if speaks else None
        silent_s = now - self._heard.get(active, float("-inf"))
        if loudest is None or not speaks or loudest == active:
            self._challenge = None
            return None if silent_s > NOBODY_S else active
        if silent_s >= SILENT_S:
            return loudest
        if self._loudness[loudest] < self._loudness[active] + LOUDER_DB:
            self._challenge = None
            return active
        if self._challenge is None or self._challenge[0] != loudest:
            self._challenge = (loudest, now)
        return loudest if now - self._challenge[1] >= TAKEOVER_S else active
