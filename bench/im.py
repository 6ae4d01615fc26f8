"""The old IM under load: N members of one group hold their long polls, R messages a second come to all of them.

A real server process, real HTTP, the clients in a process of their own. The yardstick is measured in the same rounds: a
bare aiohttp server that holds as many polls and answers them with one text (bench/_bare_polls.py). Prints medians over
`--rounds`: CPU of the server in percent of a core and in microseconds a delivered message, what that is in bare polls,
the time from saying to hearing, memory a member that polls (of the first round), and messages that did not come.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

from bench._server import PAGE_KB, ROOT, TICKS_PER_S, Server


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--members", type=int, default=500)
    parser.add_argument("--rate", type=float, default=10.0, help="messages a second")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)


class Measured(Protocol):
    """A server process."""

    @property
    def http(self) -> str: ...
    def cpu_s(self) -> float: ...
    def rss_kb(self) -> float: ...


class BareServer:
    """The yardstick, as a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "bench._bare_polls"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.http = self.process.stdout.readline().strip()

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def rss_kb(self) -> float:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE_KB

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


Row = tuple[float, float, float, float, float, float]


def measure(args: argparse.Namespace, server: Measured, kind: str) -> Row:
    """Return CPU %, us a message, p50 and p99 in ms, KB a member, messages lost."""
    numbers = [str(args.members), str(args.rate), str(args.seconds)]
    before = server.rss_kb()
    crowd = subprocess.Popen(
        [sys.executable, "-m", "bench._pollers", server.http, kind, *numbers],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert crowd.stdin is not None and crowd.stdout is not None
    with crowd.stdin, crowd.stdout:
        assert json.loads(crowd.stdout.readline())["ready"]
        memory = (server.rss_kb() - before) / args.members
        cpu, began = server.cpu_s(), time.monotonic()
        crowd.stdin.write("\n")
        crowd.stdin.flush()
        found = json.loads(crowd.stdout.readline())
        used, took = server.cpu_s() - cpu, time.monotonic() - began
    crowd.wait(30)
    each = used / max(1, found["delivered"]) * 1e6
    return used / took * 100, each, found["p50_ms"], found["p99_ms"], memory, found["lost"]


def run(args: argparse.Namespace) -> None:
    rows: dict[str, list[Row]] = {"gateway": [], "bare aiohttp": []}
    bare = BareServer()
    try:
        with Server() as server:
            for _ in range(args.rounds):
                rows["gateway"].append(measure(args, server, "im"))
                rows["bare aiohttp"].append(measure(args, bare, "bare"))
                time.sleep(1)
    finally:
        bare.close()
    print(f"{args.members} members, {args.rate:g} messages/s for {args.seconds:g} s, medians of {args.rounds}")
    names = ("% of core", "us/message", "ratio", "p50 ms", "p99 ms", "KB/member", "lost")
    print(f"{'':>12}" + "".join(f"{name:>11}" for name in names))
    yardstick = statistics.median(row[1] for row in rows["bare aiohttp"])
    for name, found in rows.items():
        share, each, p50, p99, _, lost = (statistics.median(column) for column in zip(*found, strict=True))
        numbers = (share, each, each / yardstick, p50, p99, found[0][4], lost)
        print(
            f"{name:>12}" + "".join(f"{number:>11.{2 if index == 2 else 1}f}" for index, number in enumerate(numbers))
        )
