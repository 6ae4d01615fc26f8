"""The import order of docs/architecture.md, read with `ast`: a file imports only from folders before its own.

Inside a folder, siblings are strangers except along the arrows listed here. `wire` and `rooms` stay pure.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "gateway"
ORDER = ["base", "wire", "demo", "rooms", "media", "services", "endpoints", "app", "cli", "__main__"]
PURE = {"wire", "rooms"}
IMPURE_MODULES = {"asyncio", "aiohttp", "aiortc", "av", "redis", "socket", "time", "random", "secrets", "threading"}

# Inside a folder: who may import whom (module or subfolder names, lowest first).
WIRE_CODECS = {"h264", "vp8", "aac", "opus"}
SIBLINGS: dict[str, dict[str, set[str]]] = {
    "base": {"config": {"errors"}},
    "wire": {
        "flv": {"frame", "rtmp", *WIRE_CODECS},
        "mpegts": {"frame", *WIRE_CODECS},
        "payload": {"frame", *WIRE_CODECS},
        "h264": {"frame"},
        "vp8": {"frame"},
        "aac": {"frame"},
        "opus": {"frame"},
        "rtcp": {"rtp"},
        "timeline": {"frame"},
        "signaling": {"chat"},
    },
    # The demo peer is a client: it knows base and wire, and nobody but app and cli knows it.
    "demo": {
        "picture": {"font"},
        "sound": {"picture"},
        "encode": {"presets"},
        "source": {"presets", "picture", "sound", "encode"},
        "clip": {"presets", "source", "encode"},
        "watch": {"picture", "sound"},
        "link": {"failure"},
        "room": {"failure"},
        "im": {"room", "failure", "codes"},
        "push": {"link", "source", "encode", "codes", "failure"},
        "play": {"link", "watch", "codes"},
        "options": {"presets"},
        "peer": {"options", "clip", "source", "room", "im", "push", "play", "codes", "failure", "screen"},
    },
    "rooms": {
        "tickets": {"privileges", "room"},
        "room": {"privileges", "events"},
        "events": {"privileges", "room"},
        "resume": {"room"},
        "moderation": {"room", "privileges", "deadlines"},
        # It shows what moderators have decided.
        "directory": {"room", "events", "privileges", "resume", "deadlines", "moderation"},
        "groups": {"room", "events"},
    },
    "media": {
        "sfu": {"rtc"},
        "bridge": {"sfu", "live", "rtc"},
        "streams": {"bridge", "sfu", "live", "rtc"},
        "view": {"streams", "live"},
    },
    "services": {},
    "endpoints": {},  # webapp → its siblings → entry: checked below
}


def modules() -> Iterator[Path]:
    yield from sorted(ROOT.rglob("*.py"))


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            base = node.module or ""
            yield node.lineno, base
            if base.startswith("gateway"):
                for alias in node.names:
                    child = f"{base}.{alias.name}"
                    if (ROOT.parent / Path(*child.split("."))).with_suffix(".py").exists():
                        yield node.lineno, child


def place(module: str) -> tuple[str, str, str]:
    """Return (folder, unit inside the folder, file) of a dotted gateway module."""
    parts = module.split(".")[1:]
    folder = parts[0] if parts else ""
    unit = parts[1] if len(parts) > 1 else ""
    return folder, unit, ".".join(parts)


@pytest.mark.parametrize("path", list(modules()), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    relative = path.relative_to(ROOT).with_suffix("")
    parts = relative.parts
    if parts == ("__init__",):
        return
    folder = parts[0]
    unit = parts[1] if len(parts) > 1 else ""
    wrong = []
    for line, name in imports_of(path):
        top = name.split(".")[0]
        if folder in PURE and top in IMPURE_MODULES:
            wrong.append(f"{path}:{line}: {folder} must not import {name}")
        if top != "gateway" or name == "gateway":
            continue
        other_folder, other_unit, _ = place(name)
        if ORDER.index(other_folder) > ORDER.index(folder):
            wrong.append(f"{path}:{line}: {folder} imports {name}, which comes later")
        elif other_folder == "demo" and folder not in ("demo", "app", "cli"):
            wrong.append(f"{path}:{line}: the server does not know its demo client {name}")
        elif other_folder == folder and other_unit and unit and other_unit != unit:
            if folder == "endpoints":
                allowed = unit == "webapp" or other_unit == "entry" or {unit, other_unit} <= {"cors", unit}
            else:
                allowed = other_unit in SIBLINGS[folder].get(unit, set())
            if not allowed:
                wrong.append(f"{path}:{line}: {folder}.{unit} imports its sibling {name}")
    assert not wrong, "\n".join(wrong)


def test_the_rule_can_fail(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("import asyncio\nfrom gateway.endpoints import entry\n")
    assert {name for _, name in imports_of(bad)} >= {"asyncio", "gateway.endpoints"}
