"""A small RTMP server for one test: answers as it is told, notes what it gets, sends what it is given."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.demo.encode import Tag
from gateway.wire.rtmp import session as s
from gateway.wire.rtmp.chunks import write_message
from gateway.wire.rtmp.client import RtmpUrl


class Server:
    """`refuse`: the status with which publish and play are refused. `tags`: what players get.

    While `hearing` is cleared it reads nothing.
    """

    def __init__(self) -> None:
        self.url: RtmpUrl
        self.connections = 0
        self.refuse = ""
        self.end_after_tags = False
        self.tags: list[Tag] = []
        self.hearing = asyncio.Event()
        self.hearing.set()
        self.got: list[s.Event] = []
        self.on_accept: Callable[[asyncio.StreamWriter], None] | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        session = s.ServerSession(os.urandom)
        try:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65536):
                    for event in session.receive_data(data):
                        self.got.append(event)
                        self._answer(session, event, writer)
                    writer.write(session.data_to_send())
                    await self.hearing.wait()
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, session: s.ServerSession, event: s.Event, writer: asyncio.StreamWriter) -> None:
        if not isinstance(event, s.ConnectRequested | s.PublishRequested | s.PlayRequested):
            return
        if self.refuse and not isinstance(event, s.ConnectRequested):
            session.reject(event, self.refuse, "not you")
            return
        session.accept(event)
        if isinstance(event, s.PlayRequested):
            for tag in self.tags:
                data = write_message(
                    6 if tag.video else 4,
                    9 if tag.video else 8,
                    event.stream_id,
                    tag.time_ms,
                    tag.body,
                    s.OUT_CHUNK_SIZE,
                )
                session._link.send_raw(data)
            if self.end_after_tags:
                session.end_play(event.stream_id)
        if self.on_accept is not None and not isinstance(event, s.ConnectRequested):
            self.on_accept(writer)


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(server.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    server.url = RtmpUrl("127.0.0.1", listening.sockets[0].getsockname()[1], "live", "s?txSecret=hidden")
    try:
        yield server
    finally:
        listening.close()
        server.hearing.set()
        server.cut()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listening.wait_closed()
