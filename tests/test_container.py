"""Dockerfile and docker-compose.yml, as far as they can be checked without an engine (test.sh checks the schema)."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from gateway.base.config import Config, load
from gateway.cli import _parser, serve_config

ROOT = Path(__file__).resolve().parent.parent


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_everything_that_is_copied_exists_and_nothing_needed_is_left_out() -> None:
    copied = [source for word, rest in instructions() if word == "COPY" for source in shlex.split(rest)[:-1]]
    assert all((ROOT / source).exists() for source in copied), copied
    assert {"gateway", "static", "pyproject.toml", "README.md", "LICENSE"} <= {Path(source).name for source in copied}
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not set(copied) & set(ignored)


def test_the_command_is_one_that_the_gateway_takes() -> None:
    parts = {word: rest for word, rest in instructions()}
    assert json.loads(parts["ENTRYPOINT"]) == ["python", "-m", "gateway"]
    arguments = _parser().parse_args(json.loads(parts["CMD"]))
    assert (arguments.command, arguments.data) == ("serve", "/data")
    assert parts["VOLUME"] == "/data"
    assert parts["USER"] != "root"


def test_the_ports_and_settings_of_both_files_are_the_gateways() -> None:
    config = serve_config(_parser().parse_args(["serve"]), Config())
    ports = {
        f"{config.http.listen.port}/tcp",
        f"{config.rtmp.listen.port}/tcp",
        f"{config.rtc.listen.port}/udp",
    }
    exposed = next(rest for word, rest in instructions() if word == "EXPOSE")
    assert set(exposed.split()) == ports
    compose = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r'"\d+:(\d+/\w+)"', compose)) == ports
    variables = re.findall(r"(GATEWAY_\w+):", compose)
    assert variables
    load(None, {variable: "203.0.113.7" for variable in variables})  # an unknown one would be refused
