from __future__ import annotations

import dataclasses

import pytest

from gateway.base.config import Address, Config
from gateway.base.errors import ConfigError
from gateway.cli import _parser, main, serve_config


def settings(*argv: str, config: Config | None = None) -> Config:
    return serve_config(_parser().parse_args(["serve", *argv]), config or Config())


def test_dev_changes_four_things_and_nothing_else() -> None:
    config = settings("--dev")
    default = Config()
    assert config.http.listen == Address("127.0.0.1", 8080)
    assert config.rtmp.listen == Address("127.0.0.1", 1935)
    assert config.rtc.listen == Address("127.0.0.1", 8000)
    assert config.room_api.guests == ("127.0.0.0/8", "::1/128")
    undone = dataclasses.replace(
        config, dev=False, http=default.http, rtmp=default.rtmp, rtc=default.rtc, room_api=default.room_api
    )
    assert undone == default


def test_dev_on_an_address_of_the_lan_lets_in_its_network_and_speaks_https() -> None:
    config = settings("--dev", "--host", "192.168.1.5")
    assert config.room_api.guests[0] == "192.168.1.0/24"
    assert config.http.https_listen == Address("192.168.1.5", 8443)
    assert config.rtc.listen.host == "192.168.1.5"


def test_the_command_line_beats_the_rest() -> None:
    config = settings(
        "--dev", "--http", "[::1]:1", "--rtmp", ":2", "--udp", "127.0.0.1:3", "--public-address", "203.0.113.7",
        "--public-address", "2001:db8::7", "--log-level", "debug",
    )  # fmt: skip
    assert (config.http.listen, config.rtmp.listen, config.rtc.listen) == (
        Address("::1", 1),
        Address("", 2),
        Address("127.0.0.1", 3),
    )
    assert config.rtc.public_addresses == ("203.0.113.7", "2001:db8::7")
    assert config.log.level == "debug"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--host", "127.0.0.1"], "--host belongs to --dev"),
        (["--dev", "--host", "gw"], "give an IP address"),
        (["--demo"], "--demo belongs to --dev"),
        (["--http", "x"], "--http"),
        (["--public-address", "gw"], "not an IP address"),
        (["--https", ":8443"], "tls_cert"),
    ],
)
def test_mistakes_are_one_line(argv: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings(*argv)


def test_a_demo_peer_changes_no_setting() -> None:
    assert settings("--dev", "--demo") == settings("--dev")
    assert settings("--demo", config=Config(dev=True)).dev


def test_an_error_is_one_line_and_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--config", "/nonexistent.toml"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert "cannot read the configuration" in shown.err
