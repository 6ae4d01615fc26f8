"""A demo peer beside a development server: a process of its own, so that its encoding takes no time from media.

It ends with the server, even one that is killed: its standard input is a pipe from there, and it leaves when that
ends. If it dies it is started again after pauses that grow; what it prints goes to the log at debug level.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from typing import Final

from gateway.base.log import redact
from gateway.base.tasks import Tasks

log = logging.getLogger(__name__)

USER: Final = "demo"
GREETING: Final = "Hello! I am a demo: a clock that beeps, on the mini-program side. Write something, I answer."
FIRST_PAUSE_S: Final = 1.0
LAST_PAUSE_S: Final = 60.0
LIVED_S: Final = 60.0
"""After so long a life the next pause is a short one again."""
STOP_S: Final = 1.2
"""For leaving the room; then it is killed."""


class DemoChild:
    """Keeps one demo peer running in `room` of the gateway at `server` (an HTTP base URL)."""

    def __init__(self, server: str, room: str, *, command: list[str] | None = None) -> None:
        self.starts = 0
        self._command = command or [
            sys.executable, "-m", "gateway", "demo-peer", "--server", server, "--room", room, "--user", USER,
            "--say", GREETING, "--echo", "--end-with-input",
        ]  # fmt: skip
        self._tasks = Tasks("demo")
        self._process: asyncio.subprocess.Process | None = None

    def start(self) -> None:
        """Begin; does not wait for anything."""
        self._tasks.start(self._keep(), "keep")

    async def aclose(self) -> None:
        """End the peer, so that it has left the room; takes STOP_S at most. Idempotent."""
        await self._tasks.aclose()

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            why = await self._once()
            if time.monotonic() - began > LIVED_S:
                pause = FIRST_PAUSE_S
            log.warning("! the demo peer has ended (%s); it starts again in %g s", why, pause)
            await asyncio.sleep(pause)
            pause = min(LAST_PAUSE_S, pause * 2)

    async def _once(self) -> str:
        """Run one peer until it ends; return why, in a few words."""
        pipe = asyncio.subprocess.PIPE
        try:
            # In a process group of its own: Ctrl-C is for the server, which then ends it in good order.
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            return f"cannot be started: {error.strerror}"
        self.starts += 1
        last = ""
        try:
            assert process.stdout is not None
            while line := await _line(process.stdout):
                last = redact(line.decode(errors="replace").strip())
                log.debug("[demo] %s", last)
            return f"status {await process.wait()}: {last}"
        finally:
            await _stop(process)


async def _line(stream: asyncio.StreamReader) -> bytes:
    """Return one line, or a piece of one that is too long; b"" at the end."""
    try:
        return await stream.readuntil()
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.read(error.consumed)


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Ask the process to end, then make it. Its output is read on, or it could not end."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                await process.communicate()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
