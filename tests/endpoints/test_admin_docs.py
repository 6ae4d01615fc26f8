"""docs/moderation.md keeps its word: its `sh` blocks run against a node, by section, and print what they say."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from gateway.endpoints.admin import AdminApi
from gateway.endpoints.im import Im
from tests.endpoints.world import ADMIN, APP, World

DOCS = (Path(__file__).resolve().parent.parent.parent / "docs" / "moderation.md").read_text(encoding="utf-8")


def examples(section: int) -> list[tuple[str, str]]:
    """Return (command, what it is to print) of all blocks of a section."""
    found = []
    text = DOCS.partition(f"\n## {section}. ")[2].partition("\n## ")[0]
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        commands = re.split(r"^# → (.*)\n", block, flags=re.MULTILINE)
        assert not commands[-1].strip(), f"a command that says not what it prints: {commands[-1]}"
        found += list(zip(commands[::2], commands[1::2], strict=False))
    return found


def matches(printed: str, expected: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in expected.split("…")), printed.strip()) is not None


@pytest.mark.parametrize(("section", "least"), [(5, 13), (6, 7)])
async def test_every_example_runs(section: int, least: int) -> None:
    world = World()
    world.app.add_routes([*AdminApi(world.entry, ADMIN).routes(), *Im(world.entry).routes()])
    async with world:
        for user in ("alice", "bob", "carol"):
            await world.enter(user)
        environment = {
            "PATH": os.environ["PATH"],
            "TOKEN": ADMIN,
            "GATEWAY": str(world.client.make_url("")).rstrip("/"),
            "SDKAPPID": str(APP.sdk_app_id),
            "SIG": world.sig("administrator"),
        }
        assert len(examples(section)) >= least
        for command, expected in examples(section):
            process = await asyncio.create_subprocess_exec(
                "bash", "-euo", "pipefail", "-c", command, env=environment, stdout=asyncio.subprocess.PIPE
            )
            printed, _ = await asyncio.wait_for(process.communicate(), 20)
            text = printed.decode()
            assert matches(text, expected), f"{command}\nprints  {text}\nand not {expected}"
