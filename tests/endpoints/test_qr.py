"""QR codes for the page: what is drawn, for whom, and how much of it."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
import segno

from gateway.endpoints import qr
from tests.endpoints.world import World

JSON = {"Content-Type": "application/json"}
PUSH = (
    "rtmp://192.0.2.10:1935/live/8888_1001_alice?txSecret=" + "0" * 32 + "&txTime=6740A1B2&u=alice&p=255&t=" + "A" * 43
)


def modules(svg: str) -> set[tuple[int, int]]:
    """Return the dark modules that the path of `svg` draws: it strokes runs of one module's height."""
    path = re.search(r'class="qrline" d="([^"]+)"|stroke="#000"[^>]* d="([^"]+)"| d="(M[^"]+)" stroke', svg)
    assert path is not None, svg[:300]
    dark: set[tuple[int, int]] = set()
    x, y = 0.0, 0.0
    for command, arguments in re.findall(r"([Mmh])([-\d. ]+)", next(part for part in path.groups() if part)):
        numbers = [float(number) for number in arguments.split()]
        if command == "M":
            x, y = numbers
        elif command == "m":
            x, y = x + numbers[0], y + numbers[1]
        else:
            dark |= {(int(x) + step, int(y)) for step in range(int(numbers[0]))}
            x += numbers[0]
    return dark


@pytest.mark.parametrize("text", ["a", PUSH, "房间 1001", "x" * qr.MAX_TEXT])
async def test_a_code_of_the_text(tmp_path: Path, text: str) -> None:
    async with World(static=tmp_path) as world:
        async with world.client.post("/qr", json={"text": text}) as answer:
            assert answer.status == 200 and answer.content_type == "image/svg+xml"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in answer.headers
            svg = await answer.text()
    wanted = segno.make_qr(text, error="l", boost_error=True)
    border = qr.QUIET_ZONE
    assert modules(svg) == {
        (x + border, y + border) for y, row in enumerate(wanted.matrix) for x, dark in enumerate(row) if dark
    }
    side = len(wanted.matrix) + 2 * border
    assert f'viewBox="0 0 {side} {side}"' in svg


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 5000, 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"text": 5}', 400),
        (b'{"text": ""}', 400),
        (b'{"text": "\\ud800"}', 400),
        (b"\xff\xfe", 400),
        (json.dumps({"text": "x" * (qr.MAX_TEXT + 1)}).encode(), 413),
        (json.dumps({"text": "\u623f" * 342}).encode(), 413),
        (b" " * 10000 + b'{"text": "x"}', 413),
    ],
)
async def test_what_is_refused(tmp_path: Path, body: bytes, status: int) -> None:
    async with World(static=tmp_path) as world:
        async with world.client.post("/qr", data=body, headers=JSON) as answer:
            assert answer.status == status
            assert (await answer.json())["message"]


async def test_only_json_and_only_posted(tmp_path: Path) -> None:
    """A foreign page can send only forms without asking first; an address would be kept by browsers and logs."""
    async with World(static=tmp_path) as world:
        async with world.client.post("/qr", data=b'{"text": "x"}', headers={"Content-Type": "text/plain"}) as answer:
            assert answer.status == 415
        async with world.client.get("/qr?text=x") as answer:
            assert answer.status == 405


async def test_few_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qr, "MAX_WAITING", 2)
    async with World(static=tmp_path) as world:

        async def ask() -> int:
            async with world.client.post("/qr", json={"text": "x" * 1000}) as answer:
                return answer.status

        statuses = await asyncio.gather(*(ask() for _ in range(12)))
        assert set(statuses) == {200, 503}
        assert await ask() == 200
