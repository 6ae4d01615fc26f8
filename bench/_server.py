"""A real `gateway serve --dev` process for the benches, on drawn loopback ports, and what it costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_KB = os.sysconf("SC_PAGE_SIZE") / 1024


class Server:
    """`with Server() as server:` — `url("page"|"push"|"play")`, `cpu_s()`, `rss_kb()`, `sign(...)`."""

    def __init__(self, *argv: str) -> None:
        self._data = tempfile.TemporaryDirectory(prefix="gateway-bench-")
        self._errors = open(Path(self._data.name) / "stderr.txt", "w")
        loopback = ("--http", "127.0.0.1:0", "--rtmp", "127.0.0.1:0", "--udp", "127.0.0.1:0")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--dev", "--data", self._data.name, *loopback, *argv],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._urls: dict[str, str] = {}
        assert self.process.stdout is not None
        for line in self.process.stdout:
            words = line.split()
            if line.startswith("  ") and len(words) == 2:
                self._urls[words[0]] = words[1]
            if "play" in self._urls:
                break
        else:
            raise RuntimeError(Path(self._errors.name).read_text())

    def url(self, name: str) -> str:
        return self._urls[name]

    @property
    def http(self) -> str:
        return self._urls["page"].split("/#")[0]

    def sign(self, *argv: str) -> str:
        command = [sys.executable, "-m", "gateway", "sign", *argv, "--data", self._data.name]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    def cpu_s(self) -> float:
        """CPU seconds of the process so far, all threads, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def rss_kb(self) -> float:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE_KB

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.close()
        self._data.cleanup()
