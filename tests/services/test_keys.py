from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import pytest

from gateway.base.config import AppConfig, Config
from gateway.base.errors import ConfigError
from gateway.rooms.room import RoomKey
from gateway.rooms.tickets import mapkey, urlsig, usersig
from gateway.services.keys import load_apps
from tests.rooms.auth_vectors import VECTORS, pem

NOW = 1546300800


def config(tmp_path: Path, *apps: AppConfig, **more: object) -> Config:
    return dataclasses.replace(Config(), data=str(tmp_path / "data"), app=apps, **more)  # type: ignore[arg-type]


def test_first_start_makes_an_app_and_the_second_finds_it(tmp_path: Path) -> None:
    first = load_apps(config(tmp_path))
    assert first.new_admin_token and len(first.admin_token) >= 32
    app = first.default
    assert app.bizid.isdecimal() and 1400000000 <= app.sdk_app_id < 1500000000
    assert len({app.push_key, app.rtcplay_key, app.play_key}) == 3 and app.private_map_key == "required"
    directory = tmp_path / "data" / "keys"
    assert {path.name for path in directory.iterdir()} == {
        "admin_token",
        "app.json",
        "private_key.pem",
        "public_key.pem",
    }
    for path in directory.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
    assert directory.stat().st_mode & 0o777 == 0o700
    second = load_apps(config(tmp_path))
    assert second.by_id == first.by_id and second.admin_token == first.admin_token and not second.new_admin_token
    assert load_apps(config(tmp_path), create=False).by_id == first.by_id
    assert first.bizids == {app.sdk_app_id: app.bizid}


def test_the_made_app_signs_and_verifies_everything(tmp_path: Path) -> None:
    app = load_apps(config(tmp_path)).default
    room = RoomKey(app.sdk_app_id, "1")
    for v2 in (False, True):
        only = dataclasses.replace(app, private_key_pem="") if v2 else app
        assert usersig.verify(usersig.mint(only, "alice", NOW, 60), app, "alice", NOW).version == 1 + v2
        assert mapkey.verify(mapkey.mint(only, "alice", NOW, 60, room), app, "alice", room, NOW).room == room
    query = dict(part.split("=") for part in urlsig.mint(app, "push", "s", NOW + 60).split("&"))
    assert urlsig.verify(app, "s", query, NOW, urlsig.PUBLISH, 100).key_name == "push"
    public = (tmp_path / "data" / "keys" / "public_key.pem").read_text()
    assert usersig.verify(usersig.mint(app, "a", NOW, 60), dataclasses.replace(app, public_key_pem=public), "a", NOW)


def test_without_create_nothing_is_written(tmp_path: Path) -> None:
    apps = load_apps(config(tmp_path), create=False)
    assert len(apps) == 0 and apps.default_app == 0 and apps.admin_token == ""
    assert not (tmp_path / "data").exists()


def test_signing_before_the_first_start_leaves_the_admin_token_to_it(tmp_path: Path) -> None:
    signer = load_apps(config(tmp_path), admin=False)
    assert len(signer) == 1 and signer.admin_token == "" and not signer.new_admin_token
    server = load_apps(config(tmp_path))
    assert server.new_admin_token and server.by_id == signer.by_id
    assert load_apps(config(tmp_path), admin=False).admin_token == server.admin_token


def test_two_data_directories_get_different_keys(tmp_path: Path) -> None:
    one, two = load_apps(config(tmp_path / "1")), load_apps(config(tmp_path / "2"))
    assert one.admin_token != two.admin_token and one.default.secret != two.default.secret


def test_a_first_start_that_was_cut_short_is_done_again_with_the_same_key_pair(tmp_path: Path) -> None:
    first = load_apps(config(tmp_path))
    directory = tmp_path / "data" / "keys"
    (directory / "app.json").unlink()
    (directory / "public_key.pem").unlink()
    (directory / "app.json.new").write_text("half")
    second = load_apps(config(tmp_path))
    assert second.default.private_key_pem == first.default.private_key_pem
    assert second.default.secret != first.default.secret


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("app.json", b""),
        ("app.json", b"{"),
        ("app.json", b"[]"),
        ("app.json", b"[" * 50000),
        ("app.json", b"\xff\xfe"),
        ("app.json", b"x" * 70000),
        ("app.json", b'{"sdk_app_id": 1}'),
        ("private_key.pem", b""),
        ("private_key.pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ("private_key.pem", VECTORS["keys"]["p256"]["public"].encode()),
        ("admin_token", b""),
        ("admin_token", b"two words here, not a token"),
    ],
)
def test_a_damaged_file_is_named_with_the_cure(tmp_path: Path, name: str, content: bytes) -> None:
    load_apps(config(tmp_path))
    path = tmp_path / "data" / "keys" / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=str(path)):
        load_apps(config(tmp_path))


@pytest.mark.parametrize("field", ["sdk_app_id", "bizid", "secret", "push_key", "private_map_key"])
def test_each_field_of_app_json_is_checked(tmp_path: Path, field: str) -> None:
    load_apps(config(tmp_path))
    path = tmp_path / "data" / "keys" / "app.json"
    values = json.loads(path.read_text())
    for bad in (None, [], "x y", 0):
        path.write_text(json.dumps(values | {field: bad}))
        if not (field in ("secret", "push_key") and bad == "x y"):
            with pytest.raises(ConfigError, match="damaged"):
                load_apps(config(tmp_path))


@pytest.mark.parametrize("name", ["app.json", "private_key.pem", "admin_token"])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str) -> None:
    load_apps(config(tmp_path))
    path = tmp_path / "data" / "keys" / name
    path.unlink()
    path.mkdir()  # root reads every file, but nobody a directory
    with pytest.raises(ConfigError, match="cannot read") as caught:
        load_apps(config(tmp_path))
    assert str(path) in caught.value.message


def test_a_data_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigError, match="--data"):
        load_apps(config(tmp_path))


def test_a_key_open_to_others_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_apps(config(tmp_path))
    (tmp_path / "data" / "keys" / "private_key.pem").chmod(0o644)
    with caplog.at_level(logging.WARNING):
        load_apps(config(tmp_path))
    assert "chmod 600" in caplog.text


def test_keys_do_not_reach_log_or_repr(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        apps = load_apps(config(tmp_path))
    shown = caplog.text + repr(apps)
    for secret in (apps.admin_token, apps.default.secret, apps.default.push_key, "PRIVATE KEY"):
        assert secret not in shown


# --- [[app]]


def files(tmp_path: Path, curve: str = "p256") -> tuple[str, str]:
    private, public = tmp_path / f"{curve}.pem", tmp_path / f"{curve}.pub"
    private.write_text(VECTORS["keys"][curve]["private"])
    public.write_text(VECTORS["keys"][curve]["public"])
    return str(private), str(public)


def test_configured_apps_are_used_instead(tmp_path: Path) -> None:
    private, public = files(tmp_path)
    _, k1_public = files(tmp_path, "secp256k1")
    apps = load_apps(
        config(
            tmp_path,
            AppConfig(sdk_app_id=1400000001, bizid="1", private_key=private, private_map_key="optional"),
            AppConfig(sdk_app_id=1400000002, bizid="2", public_key=k1_public, push_key="k"),
            AppConfig(sdk_app_id=1400000003, bizid="3", private_key=private, public_key=public, secret="s"),
            default_app=1400000002,
        )
    )
    assert list(apps) == [1400000001, 1400000002, 1400000003] and apps.default.bizid == "2"
    assert apps[1400000001].public_key_pem == VECTORS["keys"]["p256"]["public"]
    assert apps[1400000001].private_map_key == "optional" and apps[1400000002].push_key == "k"
    assert apps[1400000002].private_key_pem == "" and apps.new_admin_token
    token = VECTORS["C1"]["tokens"]["p256"]["token"]
    assert usersig.verify(token, apps[1400000001], "alice", NOW).user_id == "alice"
    assert not (tmp_path / "data" / "keys" / "app.json").exists()
    assert load_apps(config(tmp_path, AppConfig(sdk_app_id=5, bizid="5"))).default_app == 5


def test_sec1_key_of_a_console(tmp_path: Path) -> None:
    pair = VECTORS["key_pairs"]["sig-cpp SEC1 secp256k1"]
    path = tmp_path / "console.pem"
    path.write_text(
        "-----BEGIN EC PARAMETERS-----\nBgUrgQQACg==\n-----END EC PARAMETERS-----\n"
        + pem(pair["private"], "EC PRIVATE KEY")
    )
    apps = load_apps(config(tmp_path, AppConfig(sdk_app_id=1, bizid="1", private_key=str(path))))
    assert "".join(apps.default.public_key_pem.splitlines()[1:-1]) == pair["public"]


def test_configured_keys_that_do_not_work_are_named(tmp_path: Path) -> None:
    private, public = files(tmp_path)
    _, other = files(tmp_path, "secp256k1")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("garbage")
    for keys, word in (
        ({"private_key": str(tmp_path / "none.pem")}, r"cannot read app\[0\].private_key"),
        ({"public_key": str(garbage)}, r"app\[0\].public_key .*garbage.pem"),
        ({"private_key": public}, r"app\[0\].private_key .*public key"),
        ({"private_key": private, "public_key": other}, "do not belong together"),
    ):
        with pytest.raises(ConfigError, match=word):
            load_apps(config(tmp_path, AppConfig(sdk_app_id=1, bizid="1", **keys)))
    with pytest.raises(ConfigError, match="default_app"):
        load_apps(config(tmp_path, default_app=5))
