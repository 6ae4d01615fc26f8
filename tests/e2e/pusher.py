"""ffmpeg as an RTMP publisher: a content file sent in real time, its packets unchanged."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from pathlib import Path

FFMPEG = shutil.which("ffmpeg") or "/usr/bin/ffmpeg"


def missing() -> str | None:
    """Return what a test with ffmpeg lacks on this machine, or None."""
    return None if Path(FFMPEG).exists() else "ffmpeg is not installed"


class Pusher:
    """`async with Pusher(url, file)`: publishes `file` over and over until the end of the block."""

    def __init__(self, url: str, file: Path, *options: str) -> None:
        self.url, self.file, self.options = url, file, options
        self.errors = ""
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> Pusher:
        self._process = await asyncio.create_subprocess_exec(
            FFMPEG, "-hide_banner", "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", str(self.file),
            *(self.options or ("-c", "copy")), "-f", "flv", "-flvflags", "no_duration_filesize", self.url,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.errors += line.decode(errors="replace")

    async def ended(self, timeout: float) -> int:
        """Wait until it ends by itself; return its status."""
        assert self._process is not None
        status = await asyncio.wait_for(self._process.wait(), timeout)
        await self._reader
        return status

    async def stop(self) -> None:
        """End it as Ctrl-C does: it says deleteStream."""
        process = self._process
        if process is None:
            return
        for sign in (signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(sign)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 2)
                break
        await self._reader

    async def __aenter__(self) -> Pusher:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
