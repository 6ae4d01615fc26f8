"""The client session joined to the server session: every byte split, refusals, ends, and noise."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gateway.base.errors import RtmpError
from gateway.wire.rtmp import client as c
from gateway.wire.rtmp import session as s
from gateway.wire.rtmp.chunks import write_message
from gateway.wire.rtmp.client import ClientSession, ClientState, Purpose, RtmpUrl

URL = RtmpUrl.parse("rtmp://gw.example.com/live/8888_1001_phone?txSecret=abc&txTime=6740A1B2")


def draw(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


@dataclass
class Pair:
    """A client and a server, and all that each of them was told."""

    purpose: Purpose
    step: int = 0
    """Bytes handed over at a time; 0: all at once."""
    refuse: type | None = None
    client_events: list[c.ClientEvent] = field(default_factory=list)
    server_events: list[s.Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = ClientSession(URL, self.purpose, draw(1))
        self.server = s.ServerSession(draw(2))

    def settle(self) -> None:
        """Carry bytes to and fro until nobody has anything to say."""
        while (up := self.client.data_to_send()) or (down := self.server.data_to_send()):
            if up:
                for part in self.cut(up):
                    for event in self.server.receive_data(part):
                        self.server_events.append(event)
                        self.answer(event)
                continue
            for part in self.cut(down):
                self.client_events += self.client.receive_data(part)

    def cut(self, data: bytes) -> list[bytes]:
        return [data[i : i + self.step] for i in range(0, len(data), self.step)] if self.step else [data]

    def answer(self, event: s.Event) -> None:
        if isinstance(event, s.ConnectRequested | s.PublishRequested | s.PlayRequested):
            if self.refuse is not None and isinstance(event, self.refuse):
                self.server.reject(event, "NetStream.Some.Failed", "not today")
            else:
                self.server.accept(event)

    def got(self) -> list[tuple[str, int, bytes]]:
        events = [*self.client_events, *self.server_events]
        return [
            (type(event).__name__, event.timestamp, event.body)
            for event in events
            if isinstance(event, s.AudioReceived | s.VideoReceived)
        ]


@pytest.mark.parametrize("step", [0, 1, 7])
def test_publish(step: int) -> None:
    pair = Pair(Purpose.PUBLISH, step)
    pair.settle()
    assert pair.client.state is ClientState.RUNNING
    assert pair.client_events == [c.Connected(), c.Began("NetStream.Publish.Start")]
    request = next(event for event in pair.server_events if isinstance(event, s.PublishRequested))
    assert (request.target.app, request.target.stream) == ("live", "8888_1001_phone")
    assert request.target.query == {"txSecret": "abc", "txTime": "6740A1B2"}
    picture = bytes(range(256)) * 40
    pair.client.send_metadata({"width": 360.0})
    pair.client.send_video(0, picture)
    pair.client.send_audio(0x1000000, b"\xaf\x01ab")
    pair.settle()
    assert pair.got() == [("VideoReceived", 0, picture), ("AudioReceived", 0x1000000, b"\xaf\x01ab")]
    assert s.MetadataReceived({"width": 360.0}) in pair.server_events
    pair.client.stop()
    pair.client.stop()
    pair.settle()
    assert isinstance(pair.server_events[-1], s.PublishStopped)


@pytest.mark.parametrize("step", [0, 1, 7])
def test_play(step: int) -> None:
    pair = Pair(Purpose.PLAY, step)
    pair.settle()
    assert pair.client_events == [c.Connected(), c.Began("NetStream.Play.Start")]
    request = next(event for event in pair.server_events if isinstance(event, s.PlayRequested))
    body = b"\x17\x01" + bytes(5000)
    pair.server._link.send_raw(write_message(6, 9, request.stream_id, 40, body, s.OUT_CHUNK_SIZE))
    pair.server.ping(5)
    pair.settle()
    assert pair.got() == [("VideoReceived", 40, body)]
    assert s.PingAnswered(5) in pair.server_events
    pair.server.end_play(request.stream_id)
    pair.settle()
    assert isinstance(pair.client_events[-1], c.Ended)
    assert pair.client.state is ClientState.CLOSED


@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize("what", [s.ConnectRequested, s.PublishRequested, s.PlayRequested])
def test_refusals_carry_their_reason(purpose: Purpose, what: type) -> None:
    pair = Pair(purpose, refuse=what)
    pair.settle()
    expected = what is s.ConnectRequested or (what is s.PublishRequested) == (purpose is Purpose.PUBLISH)
    if expected:
        assert pair.client_events[-1] == c.Refused("NetStream.Some.Failed", "not today")
        assert pair.client.state is ClientState.CLOSED
    else:
        assert pair.client.state is ClientState.RUNNING


def test_a_server_cannot_make_a_publisher_hold_much() -> None:
    """The head of a message says how long it will be: a publisher is told nothing of more than 64 KiB."""
    pair = Pair(Purpose.PUBLISH)
    pair.settle()
    with pytest.raises(RtmpError):
        list(pair.client.receive_data(write_message(3, 20, 0, 0, bytes(70000), s.OUT_CHUNK_SIZE)[:100]))


def test_a_publisher_that_is_replaced_is_told() -> None:
    pair = Pair(Purpose.PUBLISH)
    pair.settle()
    pair.server.end_publish("NetStream.Publish.BadName", "This stream is published elsewhere")
    pair.settle()
    assert pair.client_events[-1] == c.Refused("NetStream.Publish.BadName", "This stream is published elsewhere")


def test_a_server_that_closes_says_so() -> None:
    pair = Pair(Purpose.PLAY)
    pair.settle()
    pair.server.close("The server is shutting down")
    pair.settle()
    assert pair.client_events[-1] == c.Ended("NetConnection.Connect.Closed", "The server is shutting down")


def test_bytes_are_acknowledged() -> None:
    pair = Pair(Purpose.PLAY)
    pair.settle()
    for number in range(30):
        pair.server._link.send_raw(write_message(6, 9, 1, number, bytes(50000), s.OUT_CHUNK_SIZE))
    list(pair.client.receive_data(pair.server.data_to_send()))
    assert len(pair.client.data_to_send()) == 16


@pytest.mark.parametrize(
    ("text", "host", "port", "app", "name"),
    [
        ("rtmp://h/live/s", "h", 1935, "live", "s"),
        ("rtmp://127.0.0.1:1999/live/s?a=b/c&d", "127.0.0.1", 1999, "live", "s?a=b/c&d"),
        ("RTMP://[::1]:1/a/b/s", "::1", 1, "a/b", "s"),
    ],
)
def test_urls(text: str, host: str, port: int, app: str, name: str) -> None:
    url = RtmpUrl.parse(text)
    assert (url.host, url.port, url.app, url.name) == (host, port, app, name)
    assert RtmpUrl.parse(f"{url.tc_url}/{url.name}") == url


@pytest.mark.parametrize(
    "text", ["", "http://h/live/s", "rtmp://", "rtmp://h", "rtmp://h/live", "rtmp://h:x/live/s", "rtmp://[::1/a/b"]
)
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(RtmpError):
        RtmpUrl.parse(text + ("?txSecret=hidden" if "live" in text else ""))


def test_no_secret_is_shown() -> None:
    assert "abc" not in repr(URL) + URL.shown + URL.tc_url


def test_noise_gives_events_or_an_rtmp_error() -> None:
    rng = random.Random(3)
    pair = Pair(Purpose.PLAY)
    recorded = bytearray()
    answer = pair.server.data_to_send
    pair.server.data_to_send = lambda: recorded.extend(data := answer()) or data  # type: ignore[method-assign]
    pair.settle()
    for _ in range(600):
        data = bytearray(recorded)
        for _ in range(rng.randrange(1, 12)):
            data[rng.randrange(3073, len(data))] = rng.randrange(256)
        data += rng.randbytes(rng.randrange(64))
        client = ClientSession(URL, rng.choice(list(Purpose)), draw(4))
        try:
            list(client.receive_data(bytes(data)))
        except RtmpError:
            pass
        client.data_to_send()
