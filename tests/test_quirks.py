"""Each habit of old clients in quirks.md has a test that sends what the client sends."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent


def in_python(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "quirk":
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, int))


def in_javascript(path: Path) -> Iterator[int]:
    for title in re.findall(r"""\b(?:test|it|describe)\(\s*['"`]([^'"`]*)""", path.read_text("utf-8")):
        for numbers in re.findall(r"quirks? ([0-9]+(?:(?:, | and )[0-9]+)*)", title):
            yield from map(int, re.findall(r"[0-9]+", numbers))


def test_every_quirk_has_a_test() -> None:
    listed = [int(number) for number in re.findall(r"^([0-9]+)\. ", (TESTS / "quirks.md").read_text("utf-8"), re.M)]
    assert listed == list(range(1, 40))
    tested: set[int] = set()
    for path in TESTS.rglob("test_*.py"):
        tested.update(in_python(path))
    for folder in (TESTS / "node" / name for name in ("", "miniprogram", "stock")):
        for path in [*folder.glob("*.test.js"), *folder.glob("*.test.mjs")]:
            tested.update(in_javascript(path))
    assert tested <= set(listed), sorted(tested - set(listed))
    assert not set(listed) - tested, f"no test for the quirks {sorted(set(listed) - tested)}"
