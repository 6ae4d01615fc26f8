"""The requests of docs/room-service.md, sent in their order; what stands in capitals is taken from the answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.endpoints.room_service_world import ServiceWorld

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "room-service.md"
EXAMPLE = re.compile(r"^    (GET|POST) (\S+)\n(?:    (\{.*)\n)?    → (\{(?:.|\n)*?\})$", re.MULTILINE)
NAME = re.compile(r"[A-Z]{3,}")


def compare(shown: Any, got: Any, known: dict[str, str]) -> None:
    """Compare an answer with the document's: `…` is anything, capitals are learned at their first use."""
    if isinstance(shown, dict):
        assert isinstance(got, dict) and set(shown) == set(got), (shown, got)
        for name, value in shown.items():
            compare(value, got[name], known)
    elif isinstance(shown, list):
        assert isinstance(got, list) and len(shown) == len(got)
        for one, other in zip(shown, got, strict=True):
            compare(one, other, known)
    elif isinstance(shown, str) and NAME.fullmatch(shown):
        assert shown == "ANY" or known.setdefault(shown, str(got)) == str(got), (shown, got, known)
    elif isinstance(shown, str):
        assert re.fullmatch(".*".join(re.escape(part) for part in shown.split("…")), got), (shown, got)
    else:
        assert shown == got


def filled(text: str, known: dict[str, str]) -> str:
    return re.sub(r"\b[A-Z]{3,}\b", lambda match: known.get(match[0], match[0]), text)


async def test_the_examples_are_true() -> None:
    examples = EXAMPLE.findall(DOCUMENT.read_text(encoding="utf-8"))
    assert len(examples) >= 12
    known: dict[str, str] = {}
    async with ServiceWorld(guests=("127.0.0.0/8",)) as world:
        for method, path, body, shown in examples:
            data = json.loads(filled(body, known)) if body else None
            async with world.client.request(method, filled(path, known), json=data) as answer:
                assert answer.status == 200, path
                got = await answer.json()
            # A number in capitals stands without quotes in the document.
            compare(json.loads(re.sub(r": ([A-Z]{3,})", r': "\1"', shown)), got, known)
    assert {"TOKEN", "PUSHURL", "ROOM"} <= set(known)
