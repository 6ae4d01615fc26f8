"""`python -m gateway demo-peer` as a process of its own: what it prints, what is typed, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
import time

from tests.e2e.browser import until
from tests.e2e.gateway_process import ROOT


class DemoPeer:
    """`async with DemoPeer(server, "--user", "phone", …) as peer`: ended by SIGTERM at the end of the block."""

    def __init__(self, server: str, *options: str) -> None:
        self._command = (sys.executable, "-m", "gateway", "demo-peer", "--server", server, *options)
        self.lines: list[str] = []
        self.errors = ""

    async def start(self) -> DemoPeer:
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            *self._command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe
        )
        self._readers = [asyncio.create_task(self._read_lines()), asyncio.create_task(self._read_errors())]
        return self

    async def _read_lines(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode().rstrip("\n"))

    async def _read_errors(self) -> None:
        assert self.process.stderr is not None
        while data := await self.process.stderr.read(4096):
            self.errors += data.decode()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def seen(self, pattern: str) -> re.Match[str] | None:
        return re.search(pattern, self.text, re.MULTILINE)

    async def prints(self, pattern: str, timeout: float = 15.0) -> re.Match[str]:
        """Wait until a line matches; return the match."""

        def what() -> str:
            return f"{pattern!r} was not printed:\n{self.text[-3000:]}\n{self.errors[-2000:]}"

        await until(lambda: self.seen(pattern) or self.process.returncode is not None, timeout, what)
        found = self.seen(pattern)
        assert found is not None, what()
        return found

    def codes(self, who: str) -> list[int]:
        """The event codes of "push" or "play NAME", in order."""
        return [int(code) for code in re.findall(rf"^\S+ {who} (-?\d+) ", self.text, re.MULTILINE)]

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")

    async def ended(self, timeout: float = 10.0) -> int:
        """Wait until it ends; return its status."""
        status = await asyncio.wait_for(self.process.wait(), timeout)
        await asyncio.gather(*self._readers)
        assert "Traceback" not in self.errors, self.errors
        return status

    async def stop(self, number: int = signal.SIGTERM) -> float:
        """End it; return the seconds that took."""
        began = time.monotonic()
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
            try:
                status = await self.ended()
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
                raise AssertionError(f"it did not end:\n{self.text[-2000:]}\n{self.errors}") from None
            assert status == 0, self.errors
        await asyncio.gather(*self._readers)
        return time.monotonic() - began

    async def __aenter__(self) -> DemoPeer:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
