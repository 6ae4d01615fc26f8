from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path

import pytest

from gateway.base.config import Address, AppConfig, Config, load
from gateway.base.errors import ConfigError

EXAMPLE = Path(__file__).resolve().parents[2] / "gateway.example.toml"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    return path


def test_the_example_file_is_the_defaults() -> None:
    assert load(EXAMPLE, {}) == Config()


def test_the_example_file_names_every_key_with_a_comment() -> None:
    text = EXAMPLE.read_text()
    for name, annotation in typing.get_type_hints(Config).items():
        if not dataclasses.is_dataclass(annotation):
            if name != "app":
                assert re.search(rf"^{name} = ", text, re.M), name
            continue
        body = text.split(f"[{name}]\n", 1)[1].split("\n[", 1)[0]
        for field in dataclasses.fields(annotation):
            assert re.search(rf"^{field.name} = ", body, re.M), f"{name}.{field.name}"
    for field in dataclasses.fields(AppConfig):
        assert re.search(rf"^# {field.name} = ", text, re.M), field.name


def test_environment_beats_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[http]\nlisten = ":1"\n[rooms]\nmax_members = 3\n')
    config = load(
        path,
        {
            "GATEWAY_HTTP_LISTEN": "[::1]:9000",
            "GATEWAY_HTTP_ORIGINS": "https://a.example, https://b.example",
            "GATEWAY_DEV": "true",
            "GATEWAY_ROOMS_RESUME_S": "7",
            "PATH": "/bin",
        },
    )
    assert config.http.listen == Address("::1", 9000)
    assert config.http.origins == ("https://a.example", "https://b.example")
    assert config.rooms.max_members == 3
    assert config.rooms.resume_s == 7.0
    assert config.dev is True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("datta = 1", "unknown key datta"),
        ("[http]\nlissen = ':1'", "unknown key http.lissen"),
        ("[http]\nlisten = 'x:y'", "http.listen"),
        ("[http]\nlisten = '::1:80'", "brackets"),
        ("[rtmp]\non_duplicate = 'ignore'", "'replace', 'refuse'"),
        ("[rooms]\nmax_members = 'ten'", "must be of type int"),
        ("[rooms]\nmax_members = true", "must be of type int"),
        ("[rooms]\nmax_members = 0", "at least 1"),
        ("[room_api]\nguests = ['lan']", "is not a network"),
        ("[rtc]\npublic_addresses = ['gw.example.com']", "is not an IP address"),
        ("[rtc]\nplayout_delay_ms = [5]", "must have 2 entries"),
        ("[rtc]\nplayout_delay_ms = [9, 5]", "min <= max"),
        ("[http]\ntls_cert = 'a.pem'", "belong together"),
        ("[public]\nrtmp = 'http://x'", "rtmp://"),
        ("http = 3", "must be a table"),
        ("[[app]]\nsdk_app_id = 0\nbizid = '1'", "app[0].sdk_app_id"),
        ("[[app]]\nsdk_app_id = 5\nbizid = 'x'", "must be digits"),
        ("[[app]]\nsdk_app_id = 5\nbizid = '1'\n[[app]]\nsdk_app_id = 6\nbizid = '1'", "must be unique"),
        ("[[app]]\nsdk_app_id = 5\nbizid = '1'\nopen_rooms = ['1', 'Raum ä']", "app[0].open_rooms: 'Raum ä'"),
        ("default_app = 7\n[[app]]\nsdk_app_id = 5\nbizid = '1'", "default_app = 7"),
        ("= 3", "not valid TOML"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), {})
    assert words in caught.value.message
    assert "\n" not in caught.value.message.strip()


def test_an_unknown_variable_and_a_missing_file_are_named() -> None:
    with pytest.raises(ConfigError, match="GATEWAY_HTTP_LISSEN"):
        load(None, {"GATEWAY_HTTP_LISSEN": ":1"})
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load(Path("/nonexistent/gateway.toml"), {})


@pytest.mark.parametrize(
    ("text", "value"),
    [("8080", Address("", 8080)), (":0", Address("", 0)), ("h:1", Address("h", 1)), ("[::]:2", Address("::", 2))],
)
def test_addresses(text: str, value: Address) -> None:
    assert Address.parse(text) == value
    assert Address.parse(str(value)) == value
