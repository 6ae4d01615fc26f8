"""Pure parts of the page and the library under Node. The tests themselves are in tests/node/*.test.mjs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NODE = Path(sys.executable).parent / "node"


@pytest.mark.parametrize(("name", "least"), [("webm", 5), ("exe", 8), ("linkmic", 5)])
def test_pure_parts(name: str, least: int) -> None:
    done = subprocess.run(
        [NODE, "--test", "--test-reporter=spec", f"tests/node/{name}.test.mjs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    passed = re.search(r"^\S* ?pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None and int(passed[1]) >= least, done.stdout[-2000:]
