"""The options of `gateway demo-peer`."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gateway.base.errors import ConfigError
from gateway.demo.presets import MODES, QUALITIES, Preset, Sound

SERVER: Final = "http://127.0.0.1:8080"
ROOM: Final = "1001"


@dataclass(frozen=True, slots=True)
class Options:
    """`user` "" lets the server draw a name; `create` not None makes a room of that description."""

    server: str = SERVER
    room: str = ROOM
    create: str | None = None
    user: str = ""
    nick: str = ""
    user_sig: str = ""
    private_map_key: str = ""
    app: int = 0
    mode: str = "RTC"
    audio_quality: str = "high"
    file: Path | None = None
    say: tuple[str, ...] = ()
    echo: bool = False
    duration_s: float = math.inf
    quiet: bool = False
    end_with_input: bool = False

    @property
    def preset(self) -> Preset:
        return MODES[self.mode]

    @property
    def sound(self) -> Sound:
        return QUALITIES[self.audio_quality]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server", default=SERVER, metavar="URL", help=f"the gateway's HTTP address (default {SERVER})"
    )
    parser.add_argument("--room", default=ROOM, metavar="ID", help=f"the room to enter (default {ROOM})")
    parser.add_argument(
        "--create", nargs="?", const="demo", metavar="INFO", help="make a new room instead; its number is printed"
    )
    parser.add_argument("--user", default="", metavar="NAME", help="who to be (default: the server draws a name)")
    parser.add_argument("--nick", default="", metavar="NAME", help="the name that is shown to others")
    tickets = parser.add_argument_group("tickets (without them the server must let guests in: serve --dev)")
    tickets.add_argument("--user-sig", default="", metavar="SIG", help="as `gateway sign usersig NAME` prints it")
    tickets.add_argument(
        "--private-map-key", default="", metavar="KEY", help="as `gateway sign mapkey NAME ROOM` prints it"
    )
    tickets.add_argument("--app", type=int, default=0, metavar="ID", help="sdkAppID, where there are several")
    media = parser.add_argument_group("what is sent, as live-pusher's attributes say")
    media.add_argument("--mode", choices=list(MODES), default="RTC", help="size and bit rate (default RTC)")
    media.add_argument(
        "--audio-quality", choices=list(QUALITIES), default="high", help="48 kHz or 16 kHz (default high)"
    )
    media.add_argument("--file", type=Path, metavar="CLIP", help="send this file over and over instead of the clock")
    parser.add_argument(
        "--say", action="append", default=[], metavar="TEXT", help="a message on entering; repeat for several"
    )
    parser.add_argument("--echo", action="store_true", help="answer each text message")
    parser.add_argument("--duration", type=_seconds, default=math.inf, metavar="S", help="leave after S seconds")
    parser.add_argument("--quiet", action="store_true", help="no line a second about what is seen and heard")
    parser.add_argument("--end-with-input", action="store_true", help="leave when standard input ends")


def read(arguments: argparse.Namespace) -> Options:
    """Return the options of a parsed command line. Raises ConfigError."""
    server = arguments.server.rstrip("/")
    if "://" not in server:
        server = "http://" + server
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.fragment or parts.query:
        raise ConfigError(f"--server {arguments.server}: give the address of the page, as in {SERVER}")
    if arguments.private_map_key and not arguments.user_sig:
        raise ConfigError("--private-map-key is a key to a room; it needs --user-sig, which says who comes")
    if arguments.user_sig and not arguments.user:
        raise ConfigError("--user-sig needs --user, the name that it was made for")
    if arguments.create is not None and arguments.private_map_key:
        raise ConfigError("--create makes a new room, to which no --private-map-key can exist yet")
    return Options(
        server=server,
        room=arguments.room,
        create=arguments.create,
        user=arguments.user,
        nick=arguments.nick,
        user_sig=arguments.user_sig,
        private_map_key=arguments.private_map_key,
        app=arguments.app,
        mode=arguments.mode,
        audio_quality=arguments.audio_quality,
        file=arguments.file,
        say=tuple(arguments.say),
        echo=arguments.echo,
        duration_s=arguments.duration,
        quiet=arguments.quiet,
        end_with_input=arguments.end_with_input,
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r}: a number of seconds above 0 is needed")
    return value
