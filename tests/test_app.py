"""The command as a user runs it: a process, its output, its exit."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GATEWAY = [sys.executable, "-m", "gateway"]


def run(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GATEWAY, *argv], cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, timeout=20
    )


class Served:
    """A running `gateway serve` with drawn ports."""

    def __init__(self, data: Path, *argv: str, last: str = "  play") -> None:
        self.last = last
        """What the last line of interest begins with."""
        self.errors = data.parent / "stderr.txt"
        command = [*GATEWAY, "serve", "--data", str(data), *argv]
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
        self.lines: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith(self.last) or ("--dev" not in argv and line.startswith("gateway ")):
                break

    def url(self, name: str) -> str:
        return next(line.split()[1] for line in self.lines if line.startswith(f"  {name} "))

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Stop it; return the seconds that took. What it printed meanwhile is added to `lines`."""
        started = time.monotonic()
        self.process.send_signal(number)
        assert self.process.stdout is not None
        with self.process.stdout as rest:
            self.lines += rest.read().splitlines()
        assert self.process.wait(10) == 0, self.errors.read_text()
        text = self.errors.read_text()
        assert "Traceback" not in text and " E " not in text, text
        return time.monotonic() - started


DRAWN = ("--http", "127.0.0.1:0", "--rtmp", "127.0.0.1:0", "--udp", "127.0.0.1:0")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path / "data", "--dev", *DRAWN)
    yield server
    if server.process.poll() is None:
        server.process.kill()
        server.process.wait()
    if server.process.stdout is not None:
        server.process.stdout.close()


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_dev_with_an_app_that_signs_no_urls_prints_the_page(tmp_path: Path) -> None:
    """The keys of an imported app are optional; it has no ready-made push URL then, and everything else."""
    config = tmp_path / "gateway.toml"
    config.write_text('[[app]]\nsdk_app_id = 1400000009\nbizid = "9999"\nsecret = "of-the-business-server"\n')
    served = Served(tmp_path / "data", "--dev", "--config", str(config), *DRAWN, last="  page")
    assert served.url("page").endswith("/#room=1001&user=chrome")
    served.stop()
    assert not any(line.startswith(("  push", "  play")) for line in served.lines)


def test_dev_prints_three_things_that_work_and_stops_in_time(served: Served) -> None:
    page, push, play = served.url("page"), served.url("push"), served.url("play")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#room=1001&user=chrome", page)
    assert re.fullmatch(r"rtmp://127\.0\.0\.1:\d+/live/\w+_1001_phone\?txSecret=\w{32}&txTime=\w{8}", push)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/live/\w+_1001_chrome\.flv\?txSecret=\w{32}&txTime=\w{8}", play)
    base = page.split("#")[0]
    status, body = get(base)
    assert status == 200
    assert b"<script" in body
    assert get(base + "healthz")[0] == 200
    assert get(base + "readyz")[0] == 200
    assert get(base + "metrics")[0] == 401
    assert get(play.replace("txSecret=", "txSecret=0"))[0] == 401
    assert get(play.replace(".flv", ".m3u8"))[0] == 404
    assert served.stop() < 3


def test_ctrl_c_ends_it_like_sigterm(served: Served) -> None:
    assert served.stop(signal.SIGINT) < 3


def test_the_first_start_makes_private_keys_and_prints_the_admin_token_once(tmp_path: Path) -> None:
    first = Served(tmp_path / "data", *DRAWN)
    first.stop()
    text = "\n".join(first.lines)
    token = re.search(r"admin token.*: (\S+)", text)
    assert token is not None
    assert "DEVELOPMENT" not in text
    for path in (tmp_path / "data" / "keys").iterdir():
        assert path.stat().st_mode & 0o077 == 0 or path.name == "public_key.pem", path
    second = Served(tmp_path / "data", *DRAWN)
    second.stop()
    assert token[1] not in "\n".join(second.lines)


@pytest.mark.parametrize(
    ("option", "kind"), [("--http", socket.SOCK_STREAM), ("--rtmp", socket.SOCK_STREAM), ("--udp", socket.SOCK_DGRAM)]
)
def test_a_busy_port_is_one_line_that_names_cause_and_cure(tmp_path: Path, option: str, kind: int) -> None:
    with socket.socket(socket.AF_INET, kind) as busy:
        busy.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            busy.listen()
        ports = list(DRAWN)
        ports[ports.index(option) + 1] = f"127.0.0.1:{busy.getsockname()[1]}"
        done = run("serve", "--data", str(tmp_path), *ports)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("gateway: ")
    assert "address already in use" in last.lower()
    assert option in last
    assert "Traceback" not in done.stderr


def test_two_servers_do_not_share_a_data_directory(tmp_path: Path, served: Served) -> None:
    done = run("serve", "--data", str(tmp_path / "data"), *DRAWN)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "data") in done.stderr


def test_sign_mints_what_verifies(tmp_path: Path) -> None:
    data = ["--data", str(tmp_path)]
    for argv in (
        ["usersig", "alice"],
        ["usersig", "alice", "--v2"],
        ["mapkey", "alice", "1001", "--privileges", "42"],
        ["mapkey", "alice", "lobby", "--v2"],
    ):
        done = run("sign", *argv, *data)
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"eJ[A-Za-z0-9*_-]+\n", done.stdout), done.stdout
    url = run("sign", "url", "push", "--room", "1001", "--user", "alice", *data)
    match = re.fullmatch(r"rtmp://127\.0\.0\.1/live/(\d+_1001_alice)\?txSecret=\w{32}&txTime=\w{8}\n", url.stdout)
    assert match, url.stdout + url.stderr
    flv = run("sign", "url", "play", match[1], "--flv", "--expire", "60", *data)
    assert flv.stdout.startswith(f"http://127.0.0.1:8080/live/{match[1]}.flv?")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["sign", "url", "push"], "give a STREAM"),
        (["sign", "usersig", "not a user"], "user"),
        (["sign", "mapkey", "alice", "1", "--app", "7"], "--app 7"),
        (["sign", "url", "push", "a b"], "stream name"),
        (["check-config", "--config", "/nonexistent"], "cannot read"),
        (["serve", "--http", "nonsense"], "--http"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, argv: list[str], words: str) -> None:
    done = run(*argv, "--data", str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_check_config_says_what_it_read(tmp_path: Path) -> None:
    done = run("check-config", "--data", str(tmp_path), GATEWAY_RTMP_LISTEN="127.0.0.1:1999")
    assert done.returncode == 0, done.stderr
    assert "127.0.0.1:1999" in done.stdout
    assert not list(tmp_path.iterdir()), "it wrote something"
