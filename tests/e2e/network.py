"""Two hosts on one cable: network namespaces joined by a veth pair, with loss, address translation and a plug to pull.

The server runs in one, Chromium and ffmpeg in the other. Needs root; the machine's own network is not touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

from tests.e2e.gateway_process import ROOT, START_TIMEOUT_S, Gateway

Host = Literal["client", "server"]

IPV4 = {"server": "10.99.7.1", "client": "10.99.7.2"}
IPV6 = {"server": "fd99:7::1", "client": "fd99:7::2"}


class Network:
    """Namespaces and cable, made by `with Network() as network`. Raises AssertionError where that is not possible."""

    def __init__(self) -> None:
        self.names: dict[Host, str] = {"client": f"gw{os.getpid()}c", "server": f"gw{os.getpid()}s"}

    def __enter__(self) -> Network:
        assert os.geteuid() == 0, "network namespaces need root: run the tests as root, or deselect test_network.py"
        try:
            self.__exit__()  # what a killed run with this pid has left
            for name in self.names.values():
                _run("ip", "netns", "add", name)
            client, server = self.names["client"], self.names["server"]
            _run("ip", "link", "add", "eth0", "netns", client, "type", "veth", "peer", "eth0", "netns", server)
            for host in self.names:
                self.run(host, "ip", "link", "set", "lo", "up")
            self.readdress(IPV4, IPV6)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.names.values():
            with contextlib.suppress(AssertionError):
                _run("ip", "netns", "del", name)

    def run(self, host: Host, *command: str, stdin: str = "") -> str:
        """Run a command in a host and return what it prints; AssertionError with its words if it fails."""
        return _run("ip", "netns", "exec", self.names[host], *command, stdin=stdin)

    def wrapper(self, host: Host, program: str, folder: Path) -> str:
        """Return a script in `folder` that runs `program` in a host, under its own name."""
        script = folder / Path(program).name
        script.write_text(f'#!/bin/sh\nexec ip netns exec {self.names[host]} {program} "$@"\n')
        script.chmod(0o755)
        return str(script)

    def readdress(self, *families: dict[str, str]) -> None:
        """Give both hosts their addresses in these families (IPV4, IPV6) and no others; no rule of before stays."""
        hosts: tuple[Host, ...] = ("server", "client")
        for host in hosts:
            self.run(host, "nft", "flush", "ruleset")
            self.run(host, "ip", "address", "flush", "dev", "eth0")
            self.run(host, "ip", "link", "set", "eth0", "up")
        for addresses in families:
            for host in hosts:
                six = ("nodad",) if addresses is IPV6 else ()
                bits = 64 if six else 24
                self.run(host, "ip", "address", "add", f"{addresses[host]}/{bits}", "dev", "eth0", *six)
            # Chromium tells its addresses on the interface with the default route.
            self.run("client", "ip", "route", "replace", "default", "via", addresses["server"])

    def nft(self, host: Host, rules: str) -> None:
        self.run(host, "nft", "-f", "-", stdin=rules)

    def counted(self, host: Host, table: str) -> int:
        """Return how many packets the counters of a table have seen, together."""
        listed = json.loads(self.run(host, "nft", "-j", "list", "table", "inet", table))
        rules = [item["rule"]["expr"] for item in listed["nftables"] if "rule" in item]
        return sum(part["counter"]["packets"] for rule in rules for part in rule if "counter" in part)

    def plug(self, inserted: bool) -> None:
        """Pull the cable, or put it back: both ends lose their carrier."""
        self.run("server", "ip", "link", "set", "eth0", "up" if inserted else "down")


def _run(*command: str, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
    return done.stdout


class FarGateway(Gateway):
    """The server in the other host; reached at `http`. Without `--dev` in `options` it is a production server."""

    def __init__(self, data: Path, network: Network, host: str = IPV4["server"], *, options: tuple[str, ...] = ()):
        super().__init__(data, options=options)
        self.network = network
        self.http = f"http://[{host}]:{self.http_port}" if ":" in host else f"http://{host}:{self.http_port}"

    async def start(self) -> Gateway:
        self.printed = self.log = ""
        at = self.options[self.options.index("--host") + 1] if "--host" in self.options else ""
        self._process = await asyncio.create_subprocess_exec(
            "ip", "netns", "exec", self.network.names["server"],
            sys.executable, "-m", "gateway", "serve", "--config", str(self._config), "--data", str(self.data),
            "--http", f"{at}:{self.http_port}", "--rtmp", f"{at}:{self.rtmp_port}", "--udp", f"{at}:{self.udp_port}",
            *self.options, cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self._readers = [
            asyncio.create_task(self._read(self._process.stdout, "printed")),
            asyncio.create_task(self._read(self._process.stderr, "log")),
        ]
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.returncode is None:
            if re.search(r"WebRTC \d+/udp\n", self.printed):  # said once everything listens
                return self
            await asyncio.sleep(0.05)
        await self.kill()
        raise AssertionError(f"the server did not start\n{self.printed}\n{self.log[-4000:]}")

    @property
    def candidates(self) -> list[str]:
        """The addresses that clients are told."""
        found = re.search(r"candidates (.*)", self.log)
        assert found is not None, self.log
        return found[1].split(", ")
