"""Configuration: frozen dataclasses by section; command line beats environment beats TOML beats these defaults.

`load()` reads one TOML file and the environment and returns a `Config`. Every problem is a ConfigError of one line
that names the place and the cure: an unknown key is an error, not a warning. `gateway.example.toml` comments every
key, and a test compares it with the defaults here. A component receives its own section only.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from gateway.base.errors import ConfigError


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: host (IPv4, IPv6 or name; "" is every address of both families) and port (0 draws one)."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `HOST:PORT`, `[V6]:PORT`, `:PORT` or `PORT`. Raises ValueError."""
        host, _, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f"{text!r}: write an IPv6 address in brackets, as in [::1]:8080")
        if not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"{text!r} is not HOST:PORT with a port of 0 to 65535")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclasses.dataclass(frozen=True, slots=True)
class HttpConfig:
    listen: Address = Address("", 8080)
    https_listen: Address | None = None
    tls_cert: str = ""
    tls_key: str = ""
    origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    max_body_bytes: int = 262144


@dataclasses.dataclass(frozen=True, slots=True)
class RtmpConfig:
    listen: Address = Address("", 1935)
    on_duplicate: Literal["replace", "refuse"] = "replace"
    max_connections: int = 2000
    handshake_timeout_s: float = 10.0
    publish_timeout_s: float = 20.0
    play_wait_s: float = 10.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 30.0
    max_message_bytes: int = 8 * 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class LiveConfig:
    gop_seconds: float = 10.0
    gop_bytes: int = 8 * 1024 * 1024
    gop_frames: int = 2500
    queue_rtc_s: float = 0.8
    queue_live_s: float = 4.0
    blocked_timeout_s: float = 15.0


@dataclasses.dataclass(frozen=True, slots=True)
class RtcConfig:
    listen: Address = Address("", 8000)
    public_addresses: tuple[str, ...] = ()
    max_peers: int = 2000
    dtls_timeout_s: float = 10.0
    consent_timeout_s: float = 15.0
    history_s: float = 1.5
    playout_delay_ms: tuple[int, int] = (0, 400)
    max_bitrate_kbps: int = 2500
    ice_servers: tuple[str, ...] = ()
    turn_secret: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class PublicConfig:
    """Base URLs that clients reach; empty: the validated Host header with the listening ports."""

    http: str = ""
    rtmp: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class UrlsConfig:
    lifetime_s: int = 7 * 86400
    max_lifetime_s: int = 400 * 86400
    open_play: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class RoomsConfig:
    max_members: int = 10
    max_rooms: int = 20000
    heartbeat_s: float = 20.0
    resume_s: float = 15.0
    reserved_users: tuple[str, ...] = ("admin", "administrator")
    administrators: tuple[str, ...] = ("administrator", "admin")


@dataclasses.dataclass(frozen=True, slots=True)
class MessagesConfig:
    """What is kept of a room's messages. `total_bytes`: of all rooms together, in memory.

    The same for messages to users who are away, of one user and of all. `anonymous_groups`: groups that whoever has not
    logged in may read by the old IM ("*": all).
    """

    kept: int = 2000
    kept_bytes: int = 4 * 1024 * 1024
    max_age_s: int = 7 * 86400
    total_bytes: int = 256 * 1024 * 1024
    direct_kept: int = 200
    direct_max_age_s: int = 7 * 86400
    direct_total_bytes: int = 32 * 1024 * 1024
    anonymous_groups: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class RoomApiConfig:
    guests: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class RoomServiceConfig:
    """`creator_ends_room`: of double_room and multi_room; a live_room ends with its creator in any case."""

    creator_ends_room: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class BridgeConfig:
    b_frames: Literal["transcode", "drop"] = "transcode"
    to_vp8: bool = False
    video_transcode: bool = True
    threads: int = 2
    linger_s: float = 5.0
    keyframe_interval_s: float = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class AudioConfig:
    aac_rate: int = 48000
    aac_bitrate: int = 64000
    opus_bitrate: int = 64000
    opus_frame_ms: Literal[10, 20] = 20


@dataclasses.dataclass(frozen=True, slots=True)
class RelayConfig:
    """Pushing members' streams to RTMP servers elsewhere. `allow`: where to, `rtmp://HOST[:PORT][/PATH]`."""

    allow: tuple[str, ...] = ()
    max_relays: int = 20
    connect_timeout_s: float = 5.0
    start_timeout_s: float = 10.0
    retries: int = 3
    retry_s: float = 3.0
    queue_s: float = 4.0
    blocked_timeout_s: float = 15.0


@dataclasses.dataclass(frozen=True, slots=True)
class LogConfig:
    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclasses.dataclass(frozen=True, slots=True)
class AppConfig:
    """One imported application. Keys are PEM files; whatever is empty is simply not accepted (or not minted)."""

    sdk_app_id: int = 0
    bizid: str = ""
    public_key: str = ""
    private_key: str = ""
    secret: str = ""
    push_key: str = ""
    rtcplay_key: str = ""
    play_key: str = ""
    private_map_key: Literal["required", "optional"] = "required"
    open_rooms: tuple[str, ...] = ()
    open_to_members: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    data: str = "./data"
    dev: bool = False
    default_app: int = 0
    http: HttpConfig = HttpConfig()
    rtmp: RtmpConfig = RtmpConfig()
    rtc: RtcConfig = RtcConfig()
    live: LiveConfig = LiveConfig()
    public: PublicConfig = PublicConfig()
    urls: UrlsConfig = UrlsConfig()
    rooms: RoomsConfig = RoomsConfig()
    messages: MessagesConfig = MessagesConfig()
    room_api: RoomApiConfig = RoomApiConfig()
    room_service: RoomServiceConfig = RoomServiceConfig()
    bridge: BridgeConfig = BridgeConfig()
    audio: AudioConfig = AudioConfig()
    relay: RelayConfig = RelayConfig()
    log: LogConfig = LogConfig()
    app: tuple[AppConfig, ...] = ()


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read `path` (None: no file) and the GATEWAY_* variables of `environ`. Raises ConfigError."""
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read the configuration {path}: {error.strerror}; check --config") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not valid TOML: {error}") from None
    _merge_environment(values, environ)
    config: Config = _section(Config, values, str(path) if path else "environment", "")
    _validate(config)
    return config


def _merge_environment(values: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Put GATEWAY_HTTP_LISTEN=... at values["http"]["listen"]; lists are comma separated."""
    for variable in sorted(environ):
        if not variable.startswith("GATEWAY_"):
            continue
        key = variable[len("GATEWAY_") :].lower()
        place = _find_place(key)
        if place is None:
            raise ConfigError(f"environment variable {variable}: no such setting; see gateway.example.toml")
        section, name, annotation = place
        target = values.setdefault(section, {}) if section else values
        target[name] = _from_text(environ[variable], annotation, variable)


def _find_place(key: str) -> tuple[str, str, Any] | None:
    hints = typing.get_type_hints(Config)
    if key in hints and not dataclasses.is_dataclass(hints[key]) and key != "app":
        return "", key, hints[key]
    for section in hints:
        if dataclasses.is_dataclass(hints[section]) and key.startswith(section + "_"):
            name = key[len(section) + 1 :]
            inner = typing.get_type_hints(hints[section])
            if name in inner:
                return section, name, inner[name]
    return None


def _from_text(text: str, annotation: Any, where: str) -> Any:
    if typing.get_origin(annotation) is tuple:
        item = typing.get_args(annotation)[0]
        return [_from_text(part.strip(), item, where) for part in text.split(",") if part.strip()]
    if annotation is bool:
        if text.lower() not in ("1", "0", "true", "false", "yes", "no"):
            raise ConfigError(f"{where}: {text!r} is not true or false")
        return text.lower() in ("1", "true", "yes")
    if annotation in (int, float) or (
        typing.get_origin(annotation) is Literal and isinstance(typing.get_args(annotation)[0], int)
    ):
        try:
            return float(text) if annotation is float else int(text)
        except ValueError:
            raise ConfigError(f"{where}: {text!r} is not a number") from None
    return text


def _section(kind: type, values: Any, source: str, prefix: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: [{prefix.rstrip('.')}] must be a table")
    hints = typing.get_type_hints(kind)
    known: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f"{source}: unknown key {prefix}{key!s}; known here: {', '.join(sorted(hints))}")
        known[key] = _value(hints[key], value, source, prefix + key)
    return kind(**known)


def _value(annotation: Any, value: Any, source: str, name: str) -> Any:
    if dataclasses.is_dataclass(annotation) and annotation is not Address:
        return _section(typing.cast(type, annotation), value, source, name + ".")
    origin = typing.get_origin(annotation)
    if origin is typing.Union or origin is types.UnionType:
        inner = next(part for part in typing.get_args(annotation) if part is not type(None))
        return None if value in ("", None) else _value(inner, value, source, name)
    if annotation is Address:
        try:
            return Address.parse(str(value))
        except ValueError as error:
            raise ConfigError(f"{source}: {name}: {error}") from None
    if origin is Literal:
        if value not in typing.get_args(annotation):
            choices = ", ".join(repr(choice) for choice in typing.get_args(annotation))
            raise ConfigError(f"{source}: {name} = {value!r}; must be one of {choices}")
        return value
    if origin is tuple:
        items = typing.get_args(annotation)
        if not isinstance(value, list):
            raise ConfigError(f"{source}: {name} must be a list")
        if items[-1] is not Ellipsis and len(value) != len(items):
            raise ConfigError(f"{source}: {name} must have {len(items)} entries")
        return tuple(_value(items[0], item, source, f"{name}[{index}]") for index, item in enumerate(value))
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, annotation) or (annotation in (int, float) and isinstance(value, bool)):
        raise ConfigError(f"{source}: {name} = {value!r}; must be of type {annotation.__name__}")
    return value


def _validate(config: Config) -> None:
    """What types cannot say. Raises ConfigError."""
    for section, names in (
        ("room_api.guests", config.room_api.guests),
        ("http.trusted_proxies", config.http.trusted_proxies),
    ):
        for text in names:
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError:
                raise ConfigError(f"{section}: {text!r} is not a network such as 127.0.0.0/8") from None
    for text in config.rtc.public_addresses:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise ConfigError(f"rtc.public_addresses: {text!r} is not an IP address") from None
    for text in config.rtc.ice_servers:
        if not re.fullmatch(r"(?:stuns?|turns?):[A-Za-z0-9.\[\]:_-]+(?:\?transport=(?:udp|tcp))?", text):
            raise ConfigError(f"rtc.ice_servers: {text!r} is not like stun:HOST:PORT or turn:HOST:PORT?transport=tcp")
    for text in config.relay.allow:
        if not re.fullmatch(r"rtmp://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[^\s?#%\\@]*)?", text):
            raise ConfigError(f"relay.allow: {text!r} is not like rtmp://HOST, rtmp://HOST:PORT/APP or with more path")
    for name, url, schemes in (
        ("public.http", config.public.http, ("http://", "https://")),
        ("public.rtmp", config.public.rtmp, ("rtmp://", "rtmps://")),
    ):
        if url and not url.startswith(schemes):
            raise ConfigError(f"{name}: {url!r} must start with {' or '.join(schemes)}")
    if bool(config.http.tls_cert) != bool(config.http.tls_key):
        raise ConfigError("http.tls_cert and http.tls_key belong together; give both or neither")
    for low, name, number in (
        (1, "rooms.max_members", config.rooms.max_members),
        (1, "messages.kept", config.messages.kept),
        (65536, "messages.kept_bytes", config.messages.kept_bytes),
        (60, "messages.max_age_s", config.messages.max_age_s),
        (65536, "messages.total_bytes", config.messages.total_bytes),
        (1, "messages.direct_kept", config.messages.direct_kept),
        (60, "messages.direct_max_age_s", config.messages.direct_max_age_s),
        (262144, "messages.direct_total_bytes", config.messages.direct_total_bytes),
        (1, "rtc.max_peers", config.rtc.max_peers),
        (1, "bridge.threads", config.bridge.threads),
        (60, "urls.lifetime_s", config.urls.lifetime_s),
        (0, "relay.max_relays", config.relay.max_relays),
        (0, "relay.retries", config.relay.retries),
    ):
        if number < low:
            raise ConfigError(f"{name} = {number}; must be at least {low}")
    low_ms, high_ms = config.rtc.playout_delay_ms
    if not 0 <= low_ms <= high_ms <= 40950:
        raise ConfigError("rtc.playout_delay_ms: two numbers of milliseconds, 0 <= min <= max <= 40950")
    if config.audio.aac_rate not in (44100, 48000, 96000):
        raise ConfigError(f"audio.aac_rate = {config.audio.aac_rate}; must be 44100, 48000 or 96000")
    seen_ids: set[int] = set()
    seen_biz: set[str] = set()
    for index, app in enumerate(config.app):
        where = f"app[{index}]"
        if not 1 <= app.sdk_app_id <= 4294967295:
            raise ConfigError(f"{where}.sdk_app_id = {app.sdk_app_id}; must be 1 to 4294967295")
        if app.sdk_app_id in seen_ids or (app.bizid and app.bizid in seen_biz):
            raise ConfigError(f"{where}: sdk_app_id and bizid must be unique")
        if not app.bizid.isdecimal():
            raise ConfigError(f"{where}.bizid = {app.bizid!r}; must be digits, as in 8888")
        for room in app.open_rooms:
            if not re.fullmatch(r"[\x20-\x7e]{1,64}", room):
                raise ConfigError(f"{where}.open_rooms: {room!r} is not a room (1 to 64 printable ASCII characters)")
        seen_ids.add(app.sdk_app_id)
        seen_biz.add(app.bizid)
    if config.default_app and config.app and config.default_app not in seen_ids:
        raise ConfigError(f"default_app = {config.default_app} is not among the [[app]] entries")
