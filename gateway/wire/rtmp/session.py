"""The server's side of one RTMP connection, without I/O: bytes in, events out; answers in, bytes out.

Adobe RTMP 1.0 section 7, and what librtmp, FFmpeg, OBS, GStreamer and phones do beyond it. The session decides
nothing: it asks with ConnectRequested, PublishRequested and PlayRequested, and whoever owns the socket calls `accept`
or `reject`. `receive_data` gives events one at a time and reads on only when the caller comes back for the next, so
an answer given meanwhile leaves before what the client sent in the same packet is looked at.

    HANDSHAKE ──▶ CONNECTING ──▶ CONNECTED      message streams: idle ──▶ asked ──▶ publishing | playing ──▶ idle
                       └──▶ CLOSED ◀──┘

Invariant: until a publish is accepted no message may exceed 64 KiB, so a stranger cannot make us hold much.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.base.errors import RtmpError
from gateway.wire.rtmp import amf0
from gateway.wire.rtmp import messages as m
from gateway.wire.rtmp.chunks import Message
from gateway.wire.rtmp.handshake import ServerHandshake
from gateway.wire.rtmp.link import WINDOW, ChunkLink
from gateway.wire.rtmp.target import Target, parse_target

OUT_CHUNK_SIZE: Final = 60000
"""What we write. Nearly every message is one chunk: old librtmp cannot read extended timestamps on further ones."""
MAX_SCRIPT_MESSAGE: Final = 64 << 10
MAX_COMMANDS: Final = 2000
MAX_STREAMS: Final = 8
_TAKES: Final = (1.0, 3.0, 4.0, 5.0, 6.0, 7.0)
"""Flags of a FourCC that say "can decode" (1) or "can forward" (4)."""
FORWARDED: Final = ("hvc1", "av01", "vp09", "vp08", "avc1", "Opus", "mp4a", ".mp3")
"""FourCCs that are passed on, as the answer to connect says (enhanced RTMP)."""


@dataclass(frozen=True, slots=True)
class ConnectRequested:
    """`four_ccs`: what the client takes besides the classic codecs ("*": everything)."""

    app: str
    tc_url: str
    flash_version: str
    four_ccs: frozenset[str]
    object_encoding: float
    transaction_id: float
    enhanced: bool


@dataclass(frozen=True, slots=True)
class PublishRequested:
    stream_id: int
    target: Target


@dataclass(frozen=True, slots=True)
class PlayRequested:
    stream_id: int
    target: Target


@dataclass(frozen=True, slots=True)
class PublishStopped:
    stream_id: int


@dataclass(frozen=True, slots=True)
class PlayStopped:
    stream_id: int


@dataclass(frozen=True, slots=True)
class PauseChanged:
    stream_id: int
    paused: bool


@dataclass(frozen=True, slots=True)
class KindsChanged:
    """The player switched sound or picture on or off; None leaves it as it is."""

    stream_id: int
    audio: bool | None
    video: bool | None


class AudioReceived:
    """Body of an audio message of an accepted publish. `timestamp`: ms, 32 bits."""

    __slots__ = ("body", "timestamp")

    def __init__(self, timestamp: int, body: bytes) -> None:
        self.timestamp = timestamp
        self.body = body


class VideoReceived:
    """Body of a video message of an accepted publish. `timestamp`: ms, 32 bits."""

    __slots__ = ("body", "timestamp")

    def __init__(self, timestamp: int, body: bytes) -> None:
        self.timestamp = timestamp
        self.body = body


@dataclass(frozen=True, slots=True)
class MetadataReceived:
    values: dict[str, object]


@dataclass(frozen=True, slots=True)
class PingAnswered:
    timestamp: int


Event = (
    ConnectRequested
    | PublishRequested
    | PlayRequested
    | PublishStopped
    | PlayStopped
    | PauseChanged
    | KindsChanged
    | AudioReceived
    | VideoReceived
    | MetadataReceived
    | PingAnswered
)


class State(enum.Enum):
    HANDSHAKE = "handshake"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"


class Use(enum.Enum):
    """What a message stream is used for."""

    IDLE = "idle"
    ASKED_PUBLISH = "asked publish"
    ASKED_PLAY = "asked play"
    PUBLISHING = "publishing"
    PLAYING = "playing"


@dataclass(slots=True)
class _Counters:
    commands: int = 0
    unknown_commands: int = 0
    ignored_messages: int = 0


class ServerSession:
    """One connection. `random(n)` gives n random bytes for the handshake."""

    def __init__(self, random: Callable[[int], bytes], *, max_message: int = 8 << 20) -> None:
        self.state = State.HANDSHAKE
        self.counters = _Counters()
        self.app = ""
        self.tc_url = ""
        self.handshake = ServerHandshake(random)
        self._max_message = max_message
        self._link = ChunkLink(max_message=MAX_SCRIPT_MESSAGE)
        self._uses: dict[int, Use] = {}
        self._publishing: int | None = None

    # --- bytes

    def receive_data(self, data: bytes) -> Iterator[Event]:
        """Take bytes; give the events in them. Iterate to the end. Raises RtmpError: then close the connection."""
        self._link.count(len(data))
        if self.state is State.HANDSHAKE:
            self._link.send_raw(self.handshake.receive(data))
            if not self.handshake.done:
                return
            self.state = State.CONNECTING
            data = self.handshake.rest
        for message in self._link.messages(data):
            if self.state is State.CLOSED:
                return
            yield from self._message(message)

    def data_to_send(self) -> bytes:
        """Return what is to be written now, and forget it."""
        return self._link.data_to_send()

    def use(self, stream_id: int) -> Use:
        return self._uses.get(stream_id, Use.IDLE)

    # --- messages

    def _message(self, message: Message) -> Iterator[Event]:
        kind = message.type
        if kind == m.VIDEO or kind == m.AUDIO:
            if self._publishing is None or not message.body:
                self.counters.ignored_messages += 1  # an empty audio message means silence
            elif kind == m.VIDEO:
                yield VideoReceived(message.timestamp, message.body)
            else:
                yield AudioReceived(message.timestamp, message.body)
            return
        match kind:
            case m.COMMAND | m.COMMAND_AMF3:
                yield from self._command(message)
            case m.DATA | m.DATA_AMF3:
                yield from self._data(message)
            case m.USER_CONTROL:
                event, data = m.parse_user_control(message.body)
                if event == m.PING_RESPONSE:
                    yield PingAnswered(int.from_bytes(data[:4], "big"))
            case _:
                self.counters.ignored_messages += 1

    def _data(self, message: Message) -> Iterator[Event]:
        if self._publishing is None:
            return
        values = m.parse_data(message.type, message.body)
        if values[:1] == ["@setDataFrame"]:
            del values[0]
        if len(values) >= 2 and values[0] == "onMetaData" and isinstance(values[1], dict):
            yield MetadataReceived(values[1])

    def _command(self, message: Message) -> Iterator[Event]:
        self.counters.commands += 1
        if self.counters.commands > MAX_COMMANDS:
            raise RtmpError(f"more than {MAX_COMMANDS} commands")
        command = m.parse_command(message.type, message.body)
        name, stream_id, first = command.name, message.stream_id, command.arguments[:1]
        if name == "connect":
            if self.state is not State.CONNECTING or self.app:
                raise RtmpError("a second connect")
            yield self._connect(command)
            return
        if self.state is not State.CONNECTED:
            raise RtmpError("a command before connect was accepted")
        match name:
            case "createStream":
                self._result(command, self._create_stream())
            case "deleteStream" | "closeStream":
                number = first[0] if first else None
                target = int(number) if isinstance(number, float) and 0 <= number < 1 << 32 else stream_id
                yield from self._stop(target)
                if name == "deleteStream":
                    self._uses.pop(target, None)
            case "publish":
                yield from self._ask(stream_id, command, Use.ASKED_PUBLISH)
            case "play" | "play2":
                yield from self._ask(stream_id, command, Use.ASKED_PLAY)
            case "FCUnpublish":
                stopped = self._publishing
                if stopped is not None:
                    information = m.status("status", "NetStream.Unpublish.Success", "Stopped publishing")
                    self._link.command(m.COMMAND_CSID, 0, m.command("onFCUnpublish", 0, None, information))
                self._result(command)
                if stopped is not None:
                    self._status(stopped, information)
                    yield from self._stop(stopped)
            case "pause" | "pauseRaw":
                paused = bool(first and first[0])
                if self.use(stream_id) is Use.PLAYING:
                    yield PauseChanged(stream_id, paused)
                    what = "NetStream.Pause.Notify" if paused else "NetStream.Unpause.Notify"
                    self._link.control(
                        m.USER_CONTROL, m.user_control(m.STREAM_EOF if paused else m.STREAM_BEGIN, stream_id)
                    )
                    self._status(stream_id, m.status("status", what, "Paused" if paused else "Going on"))
            case "receiveAudio" | "receiveVideo":
                wanted = bool(first and first[0])
                if self.use(stream_id) in (Use.PLAYING, Use.ASKED_PLAY):
                    audio = name == "receiveAudio"
                    yield KindsChanged(stream_id, wanted if audio else None, None if audio else wanted)
            case "seek":
                # Not as an error: FFmpeg gives up playing at any status of that level.
                self._status(stream_id, m.status("status", "NetStream.Seek.Failed", "A live stream has no past"))
            case "getStreamLength":
                self._result(command, 0.0)
            case "_result" | "_error" | "onStatus" | "onBWDone":
                pass
            case _:
                if name not in ("releaseStream", "FCPublish", "FCSubscribe", "FCUnsubscribe", "_checkbw"):
                    self.counters.unknown_commands += 1
                if command.transaction_id > 0:  # clients that wait for an answer must not hang
                    self._result(command)

    def _connect(self, command: m.Command) -> ConnectRequested:
        fields = command.properties if isinstance(command.properties, dict) else {}

        def text(name: str) -> str:
            value = fields.get(name)
            return value if isinstance(value, str) else ""

        self.app, self.tc_url = text("app") or "/", text("tcUrl")
        encoding = fields.get("objectEncoding")
        four_ccs: set[str] = set()
        listed = fields.get("fourCcList")
        if isinstance(listed, list):
            four_ccs.update(item for item in listed if isinstance(item, str))
        for name in ("videoFourCcInfoMap", "audioFourCcInfoMap"):
            flags = fields.get(name)
            if isinstance(flags, dict):
                four_ccs.update(key for key, value in flags.items() if value in _TAKES)
        return ConnectRequested(
            text("app"),
            self.tc_url,
            text("flashVer"),
            frozenset(four_ccs),
            encoding if isinstance(encoding, float) else 0.0,
            command.transaction_id,
            bool({"fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"} & fields.keys()),
        )

    def _create_stream(self) -> float:
        for number in (1, *range(3, MAX_STREAMS + 2)):  # FFmpeg takes 0 and 2 for something else
            if number not in self._uses:
                self._uses[number] = Use.IDLE
                return float(number)
        raise RtmpError(f"more than {MAX_STREAMS} message streams")

    def _ask(self, stream_id: int, command: m.Command, use: Use) -> Iterator[Event]:
        name = command.arguments[0] if command.arguments else None
        if not isinstance(name, str):
            if use is Use.ASKED_PLAY and name is False:  # play(false): the old way to stop
                yield from self._stop(stream_id)
                return
            name = ""
        yield from self._stop(stream_id)
        if stream_id not in self._uses and len(self._uses) > MAX_STREAMS:
            raise RtmpError(f"more than {MAX_STREAMS} message streams")
        self._uses[stream_id] = use
        target = parse_target("" if self.app == "/" else self.app, self.tc_url, name)
        if use is Use.ASKED_PUBLISH:
            yield PublishRequested(stream_id, target)
        else:
            yield PlayRequested(stream_id, target)

    def _stop(self, stream_id: int) -> Iterator[Event]:
        match self.use(stream_id):
            case Use.PUBLISHING | Use.ASKED_PUBLISH:
                self._uses[stream_id] = Use.IDLE
                if self._publishing == stream_id:
                    self._publishing = None
                yield PublishStopped(stream_id)
            case Use.PLAYING | Use.ASKED_PLAY:
                self._uses[stream_id] = Use.IDLE
                yield PlayStopped(stream_id)
            case Use.IDLE:
                pass

    # --- answers

    def accept(self, request: ConnectRequested | PublishRequested | PlayRequested) -> None:
        """Say yes, in all the messages that clients expect."""
        match request:
            case ConnectRequested():
                self._accept_connect(request)
            case PublishRequested(stream_id):
                assert self.use(stream_id) is Use.ASKED_PUBLISH and self._publishing is None
                self._uses[stream_id] = Use.PUBLISHING
                self._publishing = stream_id
                self._link.max_message = self._max_message
                self._link.control(m.USER_CONTROL, m.user_control(m.STREAM_BEGIN, stream_id))
                information = m.status("status", "NetStream.Publish.Start", "Publishing")
                self._link.command(m.COMMAND_CSID, 0, m.command("onFCPublish", 0, None, information))
                self._status(stream_id, information)
            case PlayRequested(stream_id):
                assert self.use(stream_id) is Use.ASKED_PLAY
                self._uses[stream_id] = Use.PLAYING
                self._link.control(m.USER_CONTROL, m.user_control(m.STREAM_BEGIN, stream_id))
                self._status(stream_id, m.status("status", "NetStream.Play.Reset", "Starting over"))
                self._status(stream_id, m.status("status", "NetStream.Play.Start", "Playing"))
                # No NetStream.Data.Start: FFmpeg takes a stream that says so and has no data yet for empty.
                access = amf0.encode("|RtmpSampleAccess", True, True)
                self._link.write(m.STATUS_CSID, m.DATA, stream_id, access)

    def _accept_connect(self, request: ConnectRequested) -> None:
        assert self.state is State.CONNECTING
        self.state = State.CONNECTED
        self._link.control(m.WINDOW_ACK_SIZE, m.uint32(WINDOW))
        self._link.control(m.SET_PEER_BANDWIDTH, m.peer_bandwidth(WINDOW))
        self._link.control(m.SET_CHUNK_SIZE, m.uint32(OUT_CHUNK_SIZE))
        self._link.chunk_size = OUT_CHUNK_SIZE
        properties: dict[str, object] = {"fmsVer": "FMS/3,5,3,888", "capabilities": 127.0, "mode": 1.0}
        information = m.status("status", "NetConnection.Connect.Success", "Connection succeeded")
        information["objectEncoding"] = request.object_encoding
        if request.enhanced:
            video = {name: 4.0 for name in FORWARDED if name.islower() and name not in ("mp4a", ".mp3")}
            enhanced: dict[str, object] = {
                "fourCcList": list(FORWARDED),
                "videoFourCcInfoMap": video,
                "audioFourCcInfoMap": {name: 4.0 for name in FORWARDED if name not in video},
                "capsEx": 4.0,  # ModEx is understood; of several tracks only the first is kept
            }
            properties.update(enhanced)
            information.update(enhanced)
        body = m.command("_result", request.transaction_id, properties, information)
        self._link.command(m.COMMAND_CSID, 0, body)
        self._link.command(m.COMMAND_CSID, 0, m.command("onBWDone", 0))

    def reject(self, request: ConnectRequested | PublishRequested | PlayRequested, code: str, description: str) -> None:
        """Say no with a status code; `description` is shown to the user by some clients."""
        information = m.status("error", code, description)
        match request:
            case ConnectRequested():
                self.state = State.CLOSED
                self._link.command(m.COMMAND_CSID, 0, m.command("_error", request.transaction_id, None, information))
            case PublishRequested(stream_id) | PlayRequested(stream_id):
                self._uses[stream_id] = Use.IDLE
                self._status(stream_id, information)

    def end_publish(self, code: str, description: str) -> None:
        """Take the stream from the publisher: an error status, after which clients close."""
        stream_id, self._publishing = self._publishing, None
        if stream_id is not None:
            self._uses[stream_id] = Use.IDLE
            self._status(stream_id, m.status("error", code, description))

    def publish_notify(self, stream_id: int) -> None:
        """Tell a player that waited that the publisher has come."""
        self._status(stream_id, m.status("status", "NetStream.Play.PublishNotify", "The publisher has come"))

    def end_play(self, stream_id: int) -> None:
        """Tell a player that the stream is over, in every way that some player understands."""
        if self.use(stream_id) is not Use.PLAYING:
            return
        self._uses[stream_id] = Use.IDLE
        self._link.control(m.USER_CONTROL, m.user_control(m.STREAM_EOF, stream_id))
        self._status(stream_id, m.status("status", "NetStream.Play.UnpublishNotify", "The publisher has left"))
        self._status(stream_id, m.status("status", "NetStream.Play.Stop", "The stream has ended"))

    def ping(self, timestamp_ms: int) -> None:
        """Ask for a sign of life; the answer comes as PingAnswered."""
        self._link.control(m.USER_CONTROL, m.user_control(m.PING_REQUEST, timestamp_ms))

    def close(self, description: str = "The server closes") -> None:
        """Say that the connection ends. Nothing is read afterwards."""
        if self.state is State.CONNECTED:
            information = m.status("status", "NetConnection.Connect.Closed", description)
            self._link.command(m.COMMAND_CSID, 0, m.command("onStatus", 0, None, information))
        self.state = State.CLOSED

    # --- writing

    def _result(self, command: m.Command, value: object = None) -> None:
        self._link.command(m.COMMAND_CSID, 0, m.command("_result", command.transaction_id, None, value))

    def _status(self, stream_id: int, information: dict[str, object]) -> None:
        self._link.command(m.STATUS_CSID, stream_id, m.command("onStatus", 0, None, information))
