"""docs/moderation.md keeps its word: each of its `sh` blocks runs against a node, in order, and prints what it says."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest

from gateway.endpoints.admin import AdminApi
from tests.endpoints.world import ADMIN, World

DOCS = (Path(__file__).resolve().parent.parent.parent / "docs" / "moderation.md").read_text(encoding="utf-8")


def examples() -> list[tuple[str, str]]:
    """Return (command, what it is to print) of all blocks."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL):
        commands = re.split(r"^# → (.*)\n", block, flags=re.MULTILINE)
        assert not commands[-1].strip(), f"a command that says not what it prints: {commands[-1]}"
        found += list(zip(commands[::2], commands[1::2], strict=False))
    return found


def matches(printed: str, expected: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in expected.split("…")), printed.strip()) is not None


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_every_example_of_the_operators_calls_runs() -> None:
    world = World()
    world.app.add_routes(AdminApi(world.entry, ADMIN).routes())
    async with world:
        for user in ("alice", "bob", "carol"):
            await world.enter(user)
        address = str(world.client.make_url("")).rstrip("/")
        environment = {"PATH": os.environ["PATH"], "TOKEN": ADMIN, "GATEWAY": address}
        assert len(examples()) > 12
        for command, expected in examples():
            process = await asyncio.create_subprocess_exec(
                "bash", "-euo", "pipefail", "-c", command, env=environment, stdout=asyncio.subprocess.PIPE
            )
            printed, _ = await asyncio.wait_for(process.communicate(), 20)
            text = printed.decode()
            assert matches(text, expected), f"{command}\nprints  {text}\nand not {expected}"
