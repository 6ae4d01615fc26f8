"""ffmpeg as a player of RTMP and HTTP-FLV: records what comes, unchanged, to be read back by content.read_file."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import time
from pathlib import Path

from tests.e2e import content
from tests.e2e.content import Maker, Reading
from tests.e2e.pusher import FFMPEG

_numbers = itertools.count()


async def play(url: str, seconds: float, folder: Path, *, timeout: float = 25.0) -> Reading:
    """Record `seconds` of `url` from its first packet on and read them back.

    Raises AssertionError with ffmpeg's words if nothing that can be read came within `timeout`.
    """
    path = folder / f"played{next(_numbers)}.flv"
    live = ("-rtmp_live", "live") if url.startswith("rtmp") else ()
    process = await asyncio.create_subprocess_exec(
        FFMPEG, "-hide_banner", "-nostdin", "-loglevel", "error", *live,
        "-probesize", "200k", "-analyzeduration", "1500000", "-i", url,
        "-t", str(seconds), "-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", "-y", str(path),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, errors = await asyncio.wait_for(process.communicate(), timeout)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        errors = b"still waiting for the end"
    assert path.exists() and path.stat().st_size > 1000, f"nothing from {url}: {errors.decode(errors='replace')[-800:]}"
    return await asyncio.to_thread(content.read_file, path)


async def plays(
    url: str, maker: Maker, folder: Path, *, seconds: float = 3.0, timeout: float = 30.0, skew_ms: float | None = None
) -> Reading:
    """Play until a recording of `seconds` holds pictures and tone of `maker`; return it.

    With `skew_ms` flash and beep of a recording must also be no farther apart, by the median of its flashes.
    """
    deadline = time.monotonic() + timeout
    while True:
        trouble = ""
        try:
            reading = await play(url, seconds, folder, timeout=seconds + 12)
            trouble = wrong(reading, maker, seconds) or out_of_step(reading, skew_ms)
            if not trouble:
                return reading
        except (AssertionError, OSError) as error:
            trouble = str(error)
        if time.monotonic() > deadline:
            raise AssertionError(f"{maker} does not play: {trouble}")
        await asyncio.sleep(0.2)


class Playing:
    """A player that stays: `async with Playing(url) as player`; `ended(timeout)` waits for the server to end it."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def __aenter__(self) -> Playing:
        live = ("-rtmp_live", "live") if self.url.startswith("rtmp") else ()
        self._process = await asyncio.create_subprocess_exec(
            FFMPEG, "-hide_banner", "-nostdin", "-loglevel", "error", "-nostats", "-progress", "pipe:1", *live,
            "-probesize", "200k", "-analyzeduration", "1500000", "-i", self.url, "-c", "copy", "-f", "null", "-",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        return self

    async def runs(self, timeout: float = 15.0) -> None:
        """Wait until something plays."""
        assert self._process.stdout is not None
        await asyncio.wait_for(self._process.stdout.readuntil(b"progress=continue"), timeout)

    async def ended(self, timeout: float) -> None:
        await asyncio.wait_for(self._process.communicate(), timeout)

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.communicate()


def wrong(reading: Reading, maker: Maker, seconds: float) -> str:
    """Say in words what `reading` lacks of `maker`; "" if all is there."""
    seen = [picture for picture in reading.pictures if picture.ident == maker.ident]
    if len(seen) < 0.6 * seconds * maker.fps:
        return f"{len(seen)} of {len(reading.pictures)} pictures, {reading.unreadable} unreadable, {reading.idents()}"
    if abs(reading.frequency() - maker.tone) > 12:
        return f"tone of {reading.frequency():.0f} Hz"
    return ""


def out_of_step(reading: Reading, limit_ms: float | None) -> str:
    """Say in words how far flash and beep are apart; "" if within `limit_ms`, or if there is no limit."""
    skews = reading.skews_ms()
    if limit_ms is None or (skews and abs(statistics.median(skews)) <= limit_ms):
        return ""
    return f"beep minus flash: {skews} ms"
