"""What browsers and mini programs load is checked as `tsc --checkJs --strict` checks it: the types stand in JSDoc.

The settings are in tests/node/tsconfig*.json, so that an editor shows the same. Node comes with the test packages,
TypeScript with `./setup.sh test`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NODE = Path(sys.executable).parent / "node"
TSC = ROOT / "tests" / "node" / "node_modules" / "typescript" / "bin" / "tsc"
STATIC = ROOT / "static"


def tsc(project: Path | str, *options: str) -> subprocess.CompletedProcess[str]:
    assert TSC.exists(), "TypeScript is missing: run ./setup.sh test"
    return subprocess.run(
        [NODE, TSC, "--project", project, "--pretty", "false", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )


def complaints(output: str) -> list[str]:
    """Return the errors, each with the line of code that it is about."""
    found = []
    for line in output.splitlines():
        place = re.match(r"(\S+?)\((\d+),(\d+)\): (.*)", line)
        if place is None:
            found.append("    " + line.strip())
            continue
        path, number, column, words = place[1], int(place[2]), int(place[3]), place[4]
        try:
            code = (ROOT / path).read_text(encoding="utf-8").splitlines()[number - 1]
        except (OSError, IndexError):
            code = ""
        found += [f"{path}:{number}:{column}  {words}", "    " + code.strip()]
    return found


def check(project: str, folder: Path, expected: str, but: str = "-") -> None:
    """Fail with every error of `project`; it must have looked at each script of `folder`, except those in `but`."""
    done = tsc(f"tests/node/{project}", "--listFiles")
    lines = done.stdout.splitlines()
    seen = {Path(line).resolve() for line in lines if line.startswith("/")}
    errors = "\n".join(line for line in lines if not line.startswith("/"))
    scripts = {path for path in folder.rglob("*.js") if not path.is_relative_to(folder / but)}
    assert scripts <= seen, f"not checked: {sorted(map(str, scripts - seen))}"
    assert any(str(path.relative_to(folder)).startswith(expected) for path in scripts), f"{folder} has no {expected}"
    assert done.returncode == 0 and not errors, "\n" + "\n".join(complaints(errors + done.stderr))


def test_types_of_the_library_and_the_page() -> None:
    check("tsconfig.json", STATIC, "sdk/trtc.js", but="miniprogram")


def test_types_of_the_mini_program() -> None:
    check("tsconfig.miniprogram.json", STATIC / "miniprogram", "components/webrtc-room/")


def test_nothing_is_exempt() -> None:
    """A script that switches the check off is not checked."""
    for path in STATIC.rglob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"@ts-(nocheck|ignore)\b", text), f"{path.relative_to(ROOT)} is exempt"


MISTAKES = [
    ("TRTC.create().enterRoom({ userId: 7, roomId: 1 });", "Type 'number' is not assignable"),
    ("TRTC.create().sendTextMessage();", "Expected 1-2 arguments"),
    ("TRTC.create().nonsense();", "Property 'nonsense' does not exist"),
    (
        "/** @type {import('SDK/chat.js').ChatMessage['seq']} */ export const seq = 'one';",
        "not assignable to type 'number'",
    ),
]


def test_an_application_with_mistakes_is_told(tmp_path: Path) -> None:
    """The types reach whoever uses the library, and the check is not asleep."""
    settings = json.loads(re.sub(r"^\s*//.*$", "", (ROOT / "tests/node/tsconfig.json").read_text(), flags=re.MULTILINE))
    library = (STATIC / "sdk").as_posix()
    lines = [f"import TRTC from '{library}/trtc.js';", *(line.replace("SDK", library) for line, _ in MISTAKES)]
    application = tmp_path / "app.js"
    application.write_text("\n".join(lines), encoding="utf-8")
    settings |= {"include": [str(application)], "exclude": []}
    (tmp_path / "tsconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    done = tsc(tmp_path / "tsconfig.json")
    assert done.returncode != 0
    for number, (_, words) in enumerate(MISTAKES, start=2):
        told = [line for line in done.stdout.splitlines() if f"app.js({number}," in line]
        assert told and words in told[0], done.stdout
