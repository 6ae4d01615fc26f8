"""The apps' keys: those of [[app]] in the configuration, else one app made at the first start, in the data directory.

    <data>/keys/private_key.pem   ECDSA P-256, for business servers that sign userSig and privateMapKey   0600
    <data>/keys/public_key.pem
    <data>/keys/app.json          sdkAppID, bizid, the v2 secret, the three URL keys                      0600
    <data>/keys/admin_token       one line                                                                0600

app.json is written last: without it the first start was cut short and is done again (with the key pair that is there).
Nothing is ever overwritten. Every problem is a ConfigError that names the file and the cure.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.base.config import AppConfig, Config
from gateway.base.errors import ConfigError
from gateway.rooms.tickets import keys
from gateway.rooms.tickets.keys import AppKeys

log = logging.getLogger(__name__)

PRIVATE_FILE: Final = "private_key.pem"
PUBLIC_FILE: Final = "public_key.pem"
APP_FILE: Final = "app.json"
TOKEN_FILE: Final = "admin_token"
MAX_FILE: Final = 65536

_TEXT_KEYS: Final = ("secret", "push_key", "rtcplay_key", "play_key")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,256}")


@dataclasses.dataclass(frozen=True)
class Apps(Mapping[int, AppKeys]):
    """The apps by sdkAppID. `default_app` is 0 only if there is none (before the first start)."""

    by_id: Mapping[int, AppKeys]
    default_app: int
    admin_token: str = dataclasses.field(repr=False)
    new_admin_token: bool = False
    """Made just now: print it once."""

    def __getitem__(self, sdk_app_id: int) -> AppKeys:
        return self.by_id[sdk_app_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self.by_id)

    def __len__(self) -> int:
        return len(self.by_id)

    @property
    def default(self) -> AppKeys:
        return self.by_id[self.default_app]

    @property
    def bizids(self) -> dict[int, str]:
        return {number: app.bizid for number, app in self.by_id.items()}


def load_apps(config: Config, *, create: bool = True, admin: bool = True) -> Apps:
    """Return the apps of `config`. `create`: make what the first start makes (an app, the admin token).

    Without it nothing is written; before the first start there may be no app and no token ("") then. `admin` False
    makes no token, so that the server's own first start still has one to print. Raises ConfigError.
    """
    directory = Path(config.data) / "keys"
    if config.app:
        apps = {app.sdk_app_id: _import(app, index) for index, app in enumerate(config.app)}
    else:
        own = _own_app(directory, create)
        apps = {own.sdk_app_id: own} if own is not None else {}
    default = config.default_app or next(iter(apps), 0)
    if apps and default not in apps:
        raise ConfigError(f"default_app = {default} is not the app in {directory} ({next(iter(apps))})")
    token, new = _admin_token(directory, create and admin)
    return Apps(apps, default, token, new)


# --- [[app]] of the configuration


def _import(app: AppConfig, index: int) -> AppKeys:
    where = f"app[{index}]"
    private = _pem(Path(app.private_key), f"{where}.private_key") if app.private_key else ""
    public = _pem(Path(app.public_key), f"{where}.public_key") if app.public_key else ""
    if private:
        try:
            keys.signing_key(private)
            derived = keys.public_pem(private)
        except ValueError as error:
            raise ConfigError(f"{where}.private_key {app.private_key}: {error}") from None
        if public and not _same_public(public, derived):
            raise ConfigError(f"{where}: public_key and private_key do not belong together; drop public_key")
        public = public or derived
    return AppKeys(
        app.sdk_app_id,
        app.bizid,
        public,
        private,
        app.secret,
        app.push_key,
        app.rtcplay_key,
        app.play_key,
        app.private_map_key,
    )


def _pem(path: Path, name: str) -> str:
    text = _read(path, name)
    try:
        keys.public_key(text)
    except ValueError as error:
        raise ConfigError(f"{name} {path}: {error}; give a PEM file") from None
    return text


def _same_public(one: str, other: str) -> bool:
    return keys.public_key(one).public_numbers() == keys.public_key(other).public_numbers()


# --- the app of the first start


def _own_app(directory: Path, create: bool) -> AppKeys | None:
    path = directory / APP_FILE
    if not _exists(path):
        if not create:
            return None
        _make_app(directory)
    values = _read_app(path)
    private_path = directory / PRIVATE_FILE
    private = _pem(private_path, "private key")
    _warn_if_open(path)
    _warn_if_open(private_path)
    try:
        keys.signing_key(private)
        public = keys.public_pem(private)
    except ValueError as error:
        raise ConfigError(f"private key {private_path}: {error}; restore the file from a backup") from None
    return AppKeys(
        values["sdk_app_id"],
        values["bizid"],
        public,
        private,
        **{name: values[name] for name in _TEXT_KEYS},
        private_map_key=values["private_map_key"],
    )


def _make_app(directory: Path) -> None:
    private_path = directory / PRIVATE_FILE
    if not _exists(private_path):
        key = ec.generate_private_key(ec.SECP256R1())
        _write(private_path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii"))
    public_path = directory / PUBLIC_FILE
    if not _exists(public_path):
        try:
            _write(public_path, keys.public_pem(_read(private_path, "private key")))
        except ValueError as error:
            raise ConfigError(f"private key {private_path}: {error}; restore or remove the file") from None
    values = {
        "sdk_app_id": 1400000000 + secrets.randbelow(100_000_000),
        "bizid": str(10000 + secrets.randbelow(90000)),
        "secret": secrets.token_hex(32),
        "push_key": secrets.token_hex(16),
        "rtcplay_key": secrets.token_hex(16),
        "play_key": secrets.token_hex(16),
        "private_map_key": "required",
    }
    _write(directory / APP_FILE, json.dumps(values, indent=2) + "\n")
    log.info("made an app with sdkAppID %d; its keys are in %s", values["sdk_app_id"], directory)


def _read_app(path: Path) -> dict[str, Any]:
    damaged = f"{path} is damaged; restore it from a backup, or remove the directory to start with new keys"
    try:
        values = json.loads(_read(path, "the app's keys"))
    except (ValueError, RecursionError):
        raise ConfigError(damaged) from None
    good = (
        isinstance(values, dict)
        and isinstance(values.get("sdk_app_id"), int)
        and 1 <= values["sdk_app_id"] <= 4294967295
        and isinstance(values.get("bizid"), str)
        and re.fullmatch(r"[0-9]{1,10}", values["bizid"]) is not None
        and all(isinstance(values.get(name), str) for name in _TEXT_KEYS)
        and values.get("private_map_key") in ("required", "optional")
    )
    if not good:
        raise ConfigError(damaged)
    return dict(values)


def _admin_token(directory: Path, create: bool) -> tuple[str, bool]:
    path = directory / TOKEN_FILE
    if not _exists(path):
        if not create:
            return "", False
        token = secrets.token_urlsafe(24)
        _write(path, token + "\n")
        return token, True
    token = _read(path, "the admin token").strip()
    if not _TOKEN.fullmatch(token):
        raise ConfigError(f"{path} is damaged (16 or more letters and digits expected); remove it to get a new one")
    _warn_if_open(path)
    return token, False


# --- files


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise ConfigError(f"cannot look at {path}: {error.strerror}; check --data and its permissions") from None


def _read(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ConfigError(f"{name} {path}: larger than {MAX_FILE} bytes; this is not a key file")
        return data.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {name} {path}: {error.strerror}; check path and permissions") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name} {path}: not a text file; restore it from a backup") from None


def _write(path: Path, text: str) -> None:
    """Put a new file there, whole or not at all, readable by its owner only. Never overwrites."""
    temporary = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.unlink(missing_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _put(temporary, path)
    except FileExistsError:
        raise ConfigError(f"{path} appeared meanwhile: another gateway is starting on this data directory") from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; check --data and its permissions") from None


def _put(temporary: Path, path: Path) -> None:
    """Give `temporary` its name; a link, unlike a rename, fails if the name is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        os.replace(temporary, path)
    else:
        temporary.unlink()


def _warn_if_open(path: Path) -> None:
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        log.warning("! %s can be read by other users of this machine; chmod 600 it", path)
