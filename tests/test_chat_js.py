"""The messages of the browser library under Node: thousands of them through bad weather, in simulated time.

The tests themselves are in tests/node/chat.test.mjs.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NODE = Path(sys.executable).parent / "node"


def test_messages_of_the_browser_library() -> None:
    done = subprocess.run(
        [NODE, "--test", "--test-reporter=spec", "tests/node/chat.test.mjs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    passed = re.search(r"^\S* ?pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None and int(passed[1]) >= 28, done.stdout[-2000:]
