"""One play of one RTMP connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.endpoints.entry import Kinds, PlayGrant
from gateway.media.live.encode import RtmpEncoder
from gateway.media.live.reader import QueuedReader
from gateway.media.live.stream import LiveStream, Start
from gateway.wire.rtmp.session import PlayRequested

if TYPE_CHECKING:
    from gateway.endpoints.rtmp.connection import Connection


class Player:
    """One play of one connection: its grant, and the reader that serves it. It is the gate of its flow."""

    def __init__(self, connection: Connection, request: PlayRequested, grant: PlayGrant, live: LiveStream) -> None:
        self.live = live
        self.waiting_until = connection.server.clock() + connection.server.config.play_wait_s
        self.begun = False
        self.grant = grant
        self._connection = connection
        self._request = request
        self._encoder = RtmpEncoder(request.stream_id, connection.four_ccs, audio=grant.audio, video=grant.video)
        self._attached = False
        self._waited = False
        self._wanted = Kinds(True, True)
        self._flow = connection.server.entry.flows.follow(grant, self)
        self.reader = self._make_reader()

    def _make_reader(self) -> QueuedReader:
        connection, live_config = self._connection, self._connection.server.live_config
        fast = self.grant.start is Start.NEWEST_KEY
        return QueuedReader(
            self._encoder,
            connection.write,
            limit_s=live_config.queue_rtc_s if fast else live_config.queue_live_s,
            audio=self._kinds.audio,
            video=self._kinds.video,
            on_first=self._first,
            on_stopped=self._stopped,
            clock=connection.server.clock,
        )

    def attach(self) -> None:
        """Become a reader of the stream; if there is something to play, begin."""
        self._attached = True
        self.live.add_reader(self.reader, self.grant.start)
        if self.live.alive:
            self.begin()
        else:
            self._waited = True

    def _first(self) -> None:
        if not self.begun:
            asyncio.get_running_loop().call_soon(self.begin)

    def begin(self) -> None:
        if not self._attached:
            return
        if not self.begun:
            self.begun = True
            self._connection.player_begins(self, self._request, waited=self._waited)
        self.reader.start(writable=self._connection.writable)

    def pause(self, paused: bool) -> None:
        if paused == self._attached:
            self.detach()
            if not paused:
                self.reader = self._make_reader()
                self.attach()

    @property
    def _kinds(self) -> Kinds:
        allowed, wanted = self._flow.allowed, self._wanted
        return Kinds(allowed.audio and wanted.audio, allowed.video and wanted.video)

    def choose(self, audio: bool | None, video: bool | None) -> None:
        """The player switched a kind on or off, within what it may receive."""
        old = self._wanted
        self._wanted = Kinds(old.audio if audio is None else audio, old.video if video is None else video)
        self._switch()

    def _switch(self) -> None:
        kinds = self._kinds
        self.reader.audio, self.reader.video = kinds.audio, kinds.video
        self.live.refresh(self.reader)

    def allow(self, kinds: Kinds) -> None:
        """What its user may receive has changed."""
        self._switch()

    def cut(self, reason: str) -> None:
        """Its user has been thrown out."""
        self._connection.player_cut(self._request.stream_id, reason)

    def close(self) -> None:
        """It is over."""
        self._flow.close()
        self.detach()

    def detach(self) -> None:
        if self._attached:
            self._attached = False
            self.live.remove_reader(self.reader)

    def _stopped(self, reason: str) -> None:
        self._attached = False
        self._connection.player_stopped(self._request.stream_id, reason)
