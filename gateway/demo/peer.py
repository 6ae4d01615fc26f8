"""The demo peer: enters a room as the mini-program component does, pushes, plays the others, chats, and tells of it.

    get_login_info → enter_room | create_room → get_push_url → push · heartbeat · /im → a player for each of its list
    leaving: push and players end → logout → quit_room

It ends by itself when the time is over or the input ends (status 0), by SIGTERM or Ctrl-C (0), or because it cannot
go on (Failure: one line, 1).
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import aiohttp

from gateway.base.errors import RtmpError
from gateway.base.tasks import Tasks
from gateway.demo import codes
from gateway.demo.clip import ClipSource, open_clip
from gateway.demo.failure import Failure, Kicked
from gateway.demo.im import Heard, Im
from gateway.demo.options import Options
from gateway.demo.play import Player
from gateway.demo.push import Pusher
from gateway.demo.room import Place, RoomService
from gateway.demo.screen import Screen
from gateway.demo.source import ClockSource, Source
from gateway.wire.rtmp.client import RtmpUrl

REPORT_S: Final = 1.0
ECHO_MARK: Final = "Echo: "
"""How an answer begins; what begins so is not answered, or two who answer would never stop."""
ECHO_EVERY_S: Final = 0.5
MAX_ECHO: Final = 500
MAX_PLAYERS: Final = 16
MAX_LINE: Final = 4000


def run(options: Options) -> int:
    """Be a peer until the end; return the exit status. Raises GatewayError for a reason in one line."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> int:
    source, words = await asyncio.to_thread(_source, options)
    peer = Peer(options, source, words, Screen())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, peer.leave)
    await peer.run()
    return 0


def _source(options: Options) -> tuple[Source | None, str]:
    """Return the source of a file, with what is done to it. Raises ConfigError."""
    if options.file is None:
        return None, f"clock, {options.preset.width}x{options.preset.height} {options.preset.fps} fps"
    clip = open_clip(options.file)
    return ClipSource(clip, options.preset, options.sound), clip.words


class Peer:
    """One member. `source` None: the clock of whatever name the server gives."""

    def __init__(self, options: Options, source: Source | None, words: str, screen: Screen) -> None:
        self._options, self._source, self._words, self._screen = options, source, words, screen
        self._players: dict[str, tuple[str, Player, asyncio.Task[Any]]] = {}
        self._tasks = Tasks("demo peer", self._fail)
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pool = ThreadPoolExecutor(2, "demo decode")
        self._next_echo = 0.0
        self._im: Im
        self._pusher: Pusher

    def leave(self) -> None:
        """End well."""
        if not self._end.done():
            self._end.set_result(None)

    def _fail(self, error: BaseException) -> None:
        if not self._end.done():
            self._end.set_exception(error)

    async def run(self) -> None:
        """Enter, stay, leave. Raises Failure."""
        async with aiohttp.ClientSession() as http:
            rooms = RoomService(http, self._options.server)
            entering = asyncio.ensure_future(self._enter(rooms))
            either: list[asyncio.Future[Any]] = [entering, self._end]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not entering.done():
                entering.cancel()
                await asyncio.wait([entering])
                return
            place = entering.result()
            member = True
            try:
                self._begin(http, rooms, place)
                await self._end
            except Kicked:
                member = False
                raise
            finally:
                await self._tasks.aclose()
                self._pool.shutdown(wait=False, cancel_futures=True)
                if member:
                    await self._im.logout()
                    await rooms.quit(place)
                    self._screen.line(f"left room {place.room}")

    async def _enter(self, rooms: RoomService) -> Place:
        o = self._options
        return await rooms.enter(
            room=o.room, create=o.create, user=o.user, nick=o.nick, user_sig=o.user_sig,
            private_map_key=o.private_map_key, app=o.app,
        )  # fmt: skip

    def _begin(self, http: aiohttp.ClientSession, rooms: RoomService, place: Place) -> None:
        options, say = self._options, self._screen.line
        say(f"{place.user} is in room {place.room}; its page: {options.server}/#room={place.room}")
        say(f"sending as live-pusher mode {options.mode}, audio-quality {options.audio_quality}: {self._words}")
        source = self._source or ClockSource(place.user, options.preset, options.sound)
        self._pusher = Pusher(_url(place.push_url), source, self._say_push, options.preset.max_bitrate)
        self._im = Im(
            http, options.server, place, on_list=self._changed, on_message=self._heard, on_event=self._screen.line
        )
        for name, task in (
            ("push", self._pusher.run()),
            ("im", self._im.run()),
            ("heartbeat", rooms.heartbeats(place)),
            ("reports", self._reports()),
            ("greeting", self._greet()),
        ):
            self._tasks.start(self._guard(task), name)
        if options.duration_s < math.inf:
            asyncio.get_running_loop().call_later(options.duration_s, self.leave)
        read_input(self._im.say, self.leave if options.end_with_input else lambda: None)

    async def _guard(self, task: Any) -> None:
        """Run a part of the peer; what ends it for good ends the peer."""
        try:
            await task
        except Failure as error:
            self._fail(error)

    # --- events

    def _say_push(self, code: int, words: str) -> None:
        self._screen.line(f"push {code} {codes.name(code, push=True)}: {words}")

    def _changed(self, listed: list[tuple[str, str]]) -> None:
        """The list of who can be played: start players for those that are new, stop those of the others."""
        now = {user: url for user, url in listed[:MAX_PLAYERS] if user and url}
        for user in [user for user, (url, _, _) in self._players.items() if now.get(user) != url]:
            _, _, task = self._players.pop(user)
            task.cancel()
            if user not in now:
                self._screen.line(f"{user} has gone")
        for user, url in now.items():
            if user not in self._players:
                self._play(user, url)

    def _play(self, user: str, url: str) -> None:
        def say(code: int, words: str) -> None:
            self._screen.line(f"play {user} {code} {codes.name(code, push=False)}: {words}")

        try:
            player = Player(_url(url), say, self._pool)
        except Failure as error:
            self._screen.line(f"play {user}: {error}")
            return
        self._screen.line(f"{user} can be played")
        task = self._tasks.start(self._watch(user, player), f"play {user}")
        self._players[user] = (url, player, task)

    async def _watch(self, user: str, player: Player) -> None:
        await player.run()  # returns after -2301: the component takes the member away
        self._players.pop(user, None)

    async def _reports(self) -> None:
        pictures = sent = 0
        while True:
            await asyncio.sleep(REPORT_S)
            parts = [f"sends {self._pusher.pictures - pictures} fps {(self._pusher.bytes - sent) // 125} kbit/s"]
            pictures, sent = self._pusher.pictures, self._pusher.bytes
            for user, (_, player, _) in sorted(self._players.items()):
                report = player.take()
                parts.append(f"{user}: {report.words if report else 'nothing yet'}")
            if not self._options.quiet:
                self._screen.line("; ".join(parts))

    # --- chat

    async def _greet(self) -> None:
        """Say what --say says, once the last messages are there; not again what is already the newest of them."""
        if not self._options.say:
            return
        await self._im.logged_in()
        await asyncio.sleep(0.3)
        newest = self._im.newest
        if newest is not None and newest.own and newest.text == self._options.say[-1]:
            return
        for text in self._options.say:
            self._im.say(text)

    def _heard(self, heard: Heard) -> None:
        verb = "said" if heard.earlier else "says"
        self._screen.line(f"{heard.sender} {verb}: {heard.text}")
        if heard.own or heard.earlier or not heard.plain or not self._options.echo:
            return
        now = time.monotonic()
        if heard.text.startswith(ECHO_MARK) or now < self._next_echo:
            return
        self._next_echo = now + ECHO_EVERY_S
        self._im.say(ECHO_MARK + heard.text[:MAX_ECHO])


def _url(text: str) -> RtmpUrl:
    try:
        return RtmpUrl.parse(text)
    except RtmpError as error:
        raise Failure(f"the server gave an address that cannot be used: {error}") from None


def read_input(say: Callable[[str], None], ended: Callable[[], None]) -> None:
    """Hand each line of standard input to `say`, in the event loop; `ended` when there are no more.

    A thread with plain reads: standard input may be a terminal, a pipe, a file or nothing, and a thread that waits in
    `sys.stdin` would hold up the end of the interpreter.
    """
    loop = asyncio.get_running_loop()

    def work() -> None:
        rest = b""
        try:
            while data := os.read(0, 65536):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    text = line.decode(errors="replace").strip()[:MAX_LINE]
                    if text:
                        loop.call_soon_threadsafe(say, text)
                rest = rest[-4 * MAX_LINE :]
        except OSError:
            pass
        except RuntimeError:
            return  # the event loop has ended
        try:
            loop.call_soon_threadsafe(ended)
        except RuntimeError:
            pass

    threading.Thread(target=work, name="demo input", daemon=True).start()
