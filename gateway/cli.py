"""The `gateway` command: serve, sign, check-config, demo-peer.

Exit status: 0 success, 1 a refusal in one line, 2 misuse.
Settings: command line beats environment (GATEWAY_*) beats the TOML file beats the defaults of base/config.py.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import ipaddress
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gateway import __version__
from gateway.base import log as logs
from gateway.base.config import Address, Config, load
from gateway.base.errors import ConfigError, GatewayError
from gateway.demo import options as demo_options

STOP_WITHIN_S = 3.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        run = {"serve": _serve, "sign": _sign, "check-config": _check_config, "demo-peer": _demo_peer}[
            arguments.command
        ]
        return run(arguments)
    except GatewayError as error:
        print(f"gateway: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway", description="WebRTC gateway: browsers and RTMP mini-program peers in one room."
    )
    parser.add_argument("--version", action="version", version=f"gateway {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the server")
    _common(serve)
    serve.add_argument("--http", metavar="HOST:PORT", help="HTTP and WebSocket (default :8080)")
    serve.add_argument("--https", metavar="HOST:PORT", help="the same with TLS (off by default)")
    serve.add_argument("--rtmp", metavar="HOST:PORT", help="RTMP (default :1935)")
    serve.add_argument("--udp", metavar="HOST:PORT", help="WebRTC media (default :8000)")
    serve.add_argument(
        "--public-address", metavar="IP", action="append", help="address that browsers reach; repeat for several"
    )
    serve.add_argument(
        "--dev", action="store_true", help="for the first minute: loopback only, guests let in, URLs printed"
    )
    serve.add_argument(
        "--host", metavar="ADDR", help="with --dev: bind every port to this address instead of 127.0.0.1"
    )
    serve.add_argument(
        "--demo", action="store_true", help="with --dev: somebody is in room 1001 already, a demo peer that answers"
    )
    serve.add_argument("--log-level", choices=["debug", "info", "warning", "error"])

    sign = commands.add_parser("sign", help="mint what a business server would mint")
    kinds = sign.add_subparsers(dest="kind", required=True, metavar="KIND")
    usersig = kinds.add_parser("usersig", help="print a userSig")
    usersig.add_argument("user")
    mapkey = kinds.add_parser("mapkey", help="print a privateMapKey")
    mapkey.add_argument("user")
    mapkey.add_argument("room")
    mapkey.add_argument("--privileges", type=int, default=255, metavar="N", help="bits, 255 is everything")
    mapkey.add_argument("--string-room", action="store_true", help="ROOM is a text room even if it is a number")
    url = kinds.add_parser("url", help="print a signed push or play URL")
    url.add_argument("action", choices=["push", "play"])
    url.add_argument("stream", nargs="?", help="stream id; or give --room and --user")
    url.add_argument("--room")
    url.add_argument("--user")
    url.add_argument("--flv", action="store_true", help="with play: the HTTP-FLV form")
    for kind in (usersig, mapkey, url):
        _common(kind)
        kind.add_argument("--app", type=int, default=0, metavar="ID", help="sdkAppID, where there are several")
        kind.add_argument("--expire", type=int, default=86400, metavar="SECONDS")
    for kind in (usersig, mapkey):
        kind.add_argument("--v2", action="store_true", help="the HMAC form instead of ECDSA")

    check = commands.add_parser("check-config", help="read the configuration and say what is wrong")
    _common(check)

    demo = commands.add_parser(
        "demo-peer",
        help="be a mini-program member without a phone: push a clock or a clip, play the others, chat",
        description="Enters a room of a running gateway as a mini program does, pushes H.264 and AAC over RTMP, plays "
        "the others, chats, and prints the events of live-pusher and live-player. Lines typed are said in the room.",
    )
    demo_options.add_arguments(demo)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", type=Path, help="TOML file; see gateway.example.toml")
    parser.add_argument("--data", metavar="DIR", help="what must last: keys, the SQLite file (default ./data)")


def _config(arguments: argparse.Namespace) -> Config:
    config = load(arguments.config, os.environ)
    if arguments.data:
        config = dataclasses.replace(config, data=arguments.data)
    return config


def serve_config(arguments: argparse.Namespace, config: Config) -> Config:
    """Put the command line of `serve` over `config`; --dev changes what docs/rooms.md 2 says and nothing else."""
    dev = arguments.dev or config.dev
    if arguments.host and not dev:
        raise ConfigError("--host belongs to --dev; without it give --http, --rtmp and --udp their own addresses")
    if arguments.demo and not dev:
        raise ConfigError("--demo belongs to --dev; beside another server run `gateway demo-peer --server URL`")
    replace = dataclasses.replace
    if dev:
        host = arguments.host or "127.0.0.1"
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            raise ConfigError(f"--host {host}: give an IP address of this machine, as in 192.168.1.5") from None
        network = (
            "127.0.0.0/8" if address.is_loopback else str(ipaddress.ip_network(f"{host}/{_prefix(address)}", False))
        )
        guests = ("127.0.0.0/8", "::1/128") if address.is_loopback else (network, "127.0.0.0/8", "::1/128")
        https = config.http.https_listen
        if not address.is_loopback and https is None:
            https = Address(host, 8443)
        config = replace(
            config,
            dev=True,
            room_api=replace(config.room_api, guests=guests),
            http=replace(config.http, listen=Address(host, config.http.listen.port), https_listen=https),
            rtmp=replace(config.rtmp, listen=Address(host, config.rtmp.listen.port)),
            rtc=replace(config.rtc, listen=Address(host, config.rtc.listen.port)),
        )
    if arguments.http:
        config = replace(config, http=replace(config.http, listen=_address("--http", arguments.http)))
    if arguments.https:
        config = replace(config, http=replace(config.http, https_listen=_address("--https", arguments.https)))
    if arguments.rtmp:
        config = replace(config, rtmp=replace(config.rtmp, listen=_address("--rtmp", arguments.rtmp)))
    if arguments.udp:
        config = replace(config, rtc=replace(config.rtc, listen=_address("--udp", arguments.udp)))
    if arguments.public_address:
        for text in arguments.public_address:
            try:
                ipaddress.ip_address(text)
            except ValueError:
                raise ConfigError(f"--public-address {text}: not an IP address") from None
        config = replace(config, rtc=replace(config.rtc, public_addresses=tuple(arguments.public_address)))
    if arguments.log_level:
        config = replace(config, log=replace(config.log, level=arguments.log_level))
    if config.http.https_listen is not None and not config.http.tls_cert and not config.dev:
        raise ConfigError("--https needs [http] tls_cert and tls_key (PEM files); only --dev makes its own")
    return config


def _prefix(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    """The network of --host: what a home or office calls "the LAN"."""
    return 24 if address.version == 4 else 64


def _address(option: str, text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def _serve(arguments: argparse.Namespace) -> int:
    config = serve_config(arguments, _config(arguments))
    logs.configure(config.log.level)
    from gateway.app import serve

    return asyncio.run(serve(config, demo=arguments.demo))


def _demo_peer(arguments: argparse.Namespace) -> int:
    options = demo_options.read(arguments)
    logs.configure("warning")
    from gateway.demo.peer import run

    return run(options)


def _check_config(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    from gateway.services.keys import load_apps

    apps = load_apps(config, create=False)
    print(
        f"configuration is good: {len(apps)} app(s), HTTP {config.http.listen}, RTMP {config.rtmp.listen}, "
        f"WebRTC {config.rtc.listen}"
    )
    return 0


def _sign(arguments: argparse.Namespace) -> int:
    from gateway.app import Signer

    signer = Signer(_config(arguments), arguments.app, time.time())
    if arguments.kind == "usersig":
        print(signer.user_sig(arguments.user, arguments.expire, v2=arguments.v2))
    elif arguments.kind == "mapkey":
        print(
            signer.map_key(
                arguments.user,
                arguments.room,
                arguments.privileges,
                arguments.expire,
                v2=arguments.v2,
                text_room=arguments.string_room,
            )
        )
    else:
        if bool(arguments.stream) == bool(arguments.room and arguments.user):
            raise ConfigError("sign url: give a STREAM, or --room and --user")
        print(
            signer.url(
                arguments.action, arguments.stream, arguments.room, arguments.user, arguments.expire, flv=arguments.flv
            )
        )
    return 0
