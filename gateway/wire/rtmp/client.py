"""The client's side of one RTMP connection, without I/O: publishes one stream or plays one.

Adobe RTMP 1.0 section 7, as librtmp and phones speak it, with `releaseStream` and `FCPublish` before `publish` since
some servers wait for them. The session says what it has to say by itself; whoever owns the socket moves the bytes and
is told `Connected`, `Began`, media, and how it ended. The other half of `ServerSession`.

    HANDSHAKE ──▶ CONNECTING ──▶ OPENING ──▶ RUNNING ──▶ CLOSED
                       └─────────────┴──▶ CLOSED (Refused)

Invariant: for any input `receive_data` gives events or raises RtmpError.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from gateway.base.errors import RtmpError
from gateway.wire.rtmp import amf0
from gateway.wire.rtmp import messages as m
from gateway.wire.rtmp.chunks import Message
from gateway.wire.rtmp.handshake import ClientHandshake
from gateway.wire.rtmp.link import WINDOW, ChunkLink
from gateway.wire.rtmp.session import AudioReceived, MetadataReceived, VideoReceived

DEFAULT_PORT: Final = 1935
OUT_CHUNK_SIZE: Final = 4096
"""What we write: large enough for a picture of a phone in a few chunks, small enough for any server."""
MAX_COMMANDS: Final = 10000
_CONNECT, _CREATE = 1.0, 4.0
_FLASH_VERSION: Final = "LNX 9,0,124,2"


class Purpose(enum.Enum):
    PUBLISH = "publish"
    PLAY = "play"


class ClientState(enum.Enum):
    HANDSHAKE = "handshake"
    CONNECTING = "connecting"
    OPENING = "opening"
    RUNNING = "running"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class RtmpUrl:
    """`rtmp://host[:port]/app/name?query`. `name` keeps its query, which holds tickets and is never shown."""

    host: str
    port: int
    app: str
    name: str = field(repr=False)

    @property
    def tc_url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"rtmp://{host}:{self.port}/{self.app}"

    @property
    def shown(self) -> str:
        """What may be printed of it."""
        return f"{self.tc_url}/{self.name.partition('?')[0]}"

    @classmethod
    def parse(cls, text: str) -> RtmpUrl:
        """Read a URL; its last path part is the stream's name. Raises RtmpError, without showing the query."""
        try:
            parts = urlsplit(text)
            port = parts.port or DEFAULT_PORT
            host = parts.hostname or ""
        except ValueError:
            raise RtmpError("not an RTMP URL: host or port cannot be read") from None
        if parts.scheme.lower() != "rtmp" or not host:
            raise RtmpError("not an RTMP URL: rtmp://HOST[:PORT]/APP/STREAM is needed")
        app, _, name = parts.path.strip("/").rpartition("/")
        if not app or not name:
            raise RtmpError(f"not an RTMP URL: app and stream are missing behind rtmp://{host}")
        if parts.query:
            name += "?" + parts.query
        return cls(unquote(host), port, app, name)


@dataclass(frozen=True, slots=True)
class Connected:
    """The handshake and `connect` are done."""


@dataclass(frozen=True, slots=True)
class Began:
    """The server has accepted the publish or play."""

    code: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The server said no, before or while streaming; it will close, and so should the caller."""

    code: str
    description: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The server ended the stream without a fault: its publisher has left, or the server closes."""

    code: str
    description: str


ClientEvent = Connected | Began | Refused | Ended | AudioReceived | VideoReceived | MetadataReceived

_BEGINS: Final = {Purpose.PUBLISH: "NetStream.Publish.Start", Purpose.PLAY: "NetStream.Play.Start"}
_ENDS: Final = frozenset(
    {
        "NetStream.Play.Stop",
        "NetStream.Play.Complete",
        "NetStream.Play.UnpublishNotify",
        "NetStream.Unpublish.Success",
        "NetConnection.Connect.Closed",
    }
)


class ClientSession:
    """One connection that publishes or plays `url`. `random(n)` gives n random bytes for the handshake.

    `max_message`: bytes of the largest message that a player takes. To a publisher a server has little to say.
    """

    def __init__(
        self, url: RtmpUrl, purpose: Purpose, random: Callable[[int], bytes], *, max_message: int = 8 << 20
    ) -> None:
        self.url = url
        self.purpose = purpose
        self.state = ClientState.HANDSHAKE
        self.ignored_messages = 0
        self._handshake = ClientHandshake(random)
        self._link = ChunkLink(max_message=m.MAX_SCRIPT if purpose is Purpose.PUBLISH else max_message)
        self._link.send_raw(self._handshake.hello)
        self._stream_id = 0
        self._commands = 0

    # --- bytes

    def receive_data(self, data: bytes) -> Iterator[ClientEvent]:
        """Take bytes; give the events in them. Iterate to the end. Raises RtmpError: then close the connection."""
        self._link.count(len(data))
        if self.state is ClientState.HANDSHAKE:
            answer = self._handshake.receive(data)
            if answer:
                self._link.send_raw(answer)
                self._connect()
            if not self._handshake.done:
                return
            self.state = ClientState.CONNECTING
            data = self._handshake.rest
        for message in self._link.messages(data):
            if self.state is ClientState.CLOSED:
                return
            yield from self._message(message)

    def data_to_send(self) -> bytes:
        """Return what is to be written now, and forget it."""
        return self._link.data_to_send()

    def _connect(self) -> None:
        # Before the chunk size is changed: a connect in chunks of 128 bytes is what every server has seen.
        properties: dict[str, object] = {"app": self.url.app}
        if self.purpose is Purpose.PUBLISH:
            properties["type"] = "nonprivate"
        properties |= {"flashVer": _FLASH_VERSION, "tcUrl": self.url.tc_url}
        if self.purpose is Purpose.PLAY:
            properties |= {"fpad": False, "capabilities": 15.0, "audioCodecs": 4071.0, "videoCodecs": 252.0}
        self._command(m.command("connect", _CONNECT, properties))

    # --- messages

    def _message(self, message: Message) -> Iterator[ClientEvent]:
        match message.type:
            case m.VIDEO | m.AUDIO:
                if self.state is not ClientState.RUNNING or self.purpose is not Purpose.PLAY or not message.body:
                    self.ignored_messages += 1
                elif message.type == m.VIDEO:
                    yield VideoReceived(message.timestamp, message.body)
                else:
                    yield AudioReceived(message.timestamp, message.body)
            case m.COMMAND | m.COMMAND_AMF3:
                self._commands += 1
                if self._commands > MAX_COMMANDS:
                    raise RtmpError(f"more than {MAX_COMMANDS} commands")
                yield from self._answer(m.parse_command(message.type, message.body))
            case m.DATA | m.DATA_AMF3:
                values = m.parse_data(message.type, message.body)
                if self.state is ClientState.RUNNING and len(values) >= 2 and values[0] == "onMetaData":
                    if isinstance(values[1], dict):
                        yield MetadataReceived(values[1])
            case m.SET_PEER_BANDWIDTH:
                self._link.control(m.WINDOW_ACK_SIZE, m.uint32(WINDOW))
            case _:
                self.ignored_messages += 1

    def _answer(self, command: m.Command) -> Iterator[ClientEvent]:
        first = command.arguments[0] if command.arguments else None
        match command.name, command.transaction_id:
            case "_result", 1.0 if self.state is ClientState.CONNECTING:
                self.state = ClientState.OPENING
                self._open()
                yield Connected()
            case "_result", 4.0 if self.state is ClientState.OPENING and not self._stream_id:
                if not isinstance(first, float) or not 1 <= first < 1 << 31:
                    raise RtmpError("createStream was answered without a stream")
                self._stream_id = int(first)
                self._begin()
            case "_error", 1.0 | 4.0 if self.state in (ClientState.CONNECTING, ClientState.OPENING):
                # `connect` has its facts behind the properties, some servers in their place.
                yield self._refused(first if isinstance(first, dict) else command.properties)
            case "onStatus", _:
                yield from self._status(first if isinstance(first, dict) else command.properties)
            case _:
                pass  # answers to releaseStream and FCPublish, onBWDone, onFCPublish

    def _status(self, information: object) -> Iterator[ClientEvent]:
        if not isinstance(information, dict):
            return
        code, level = str(information.get("code", "")), information.get("level")
        description = str(information.get("description", ""))[:500]
        if code == _BEGINS[self.purpose] and self.state is ClientState.OPENING:
            self.state = ClientState.RUNNING
            yield Began(code)
        elif level == "error" or code.endswith((".Failed", ".Rejected", ".BadName", ".StreamNotFound")):
            yield self._refused(information)
        elif code in _ENDS:
            self.state = ClientState.CLOSED
            yield Ended(code, description)

    def _refused(self, information: object) -> Refused:
        self.state = ClientState.CLOSED
        fields = information if isinstance(information, dict) else {}
        return Refused(str(fields.get("code", ""))[:200], str(fields.get("description", ""))[:500])

    def _open(self) -> None:
        self._link.control(m.SET_CHUNK_SIZE, m.uint32(OUT_CHUNK_SIZE))
        self._link.chunk_size = OUT_CHUNK_SIZE
        if self.purpose is Purpose.PUBLISH:
            self._command(m.command("releaseStream", 2, None, self.url.name))
            self._command(m.command("FCPublish", 3, None, self.url.name))
        self._command(m.command("createStream", _CREATE, None))

    def _begin(self) -> None:
        if self.purpose is Purpose.PUBLISH:
            self._command(m.command("publish", 5, None, self.url.name, "live"), self._stream_id)
        else:
            self._command(m.command("play", 5, None, self.url.name, -1000.0), self._stream_id)  # -1: live only
            self._link.control(m.USER_CONTROL, m.user_control(3, self._stream_id) + m.uint32(100))  # buffer of 100 ms

    # --- what the caller sends

    def send_audio(self, timestamp_ms: int, body: bytes) -> None:
        """Send an audio tag body. Only while RUNNING as a publisher."""
        self._media(m.AUDIO_CSID, m.AUDIO, timestamp_ms, body)

    def send_video(self, timestamp_ms: int, body: bytes) -> None:
        """Send a video tag body. Only while RUNNING as a publisher."""
        self._media(m.VIDEO_CSID, m.VIDEO, timestamp_ms, body)

    def send_metadata(self, values: dict[str, object]) -> None:
        """Send onMetaData. Only while RUNNING as a publisher."""
        body = amf0.encode("@setDataFrame", "onMetaData", amf0.EcmaArray(values))
        self._media(m.AUDIO_CSID, m.DATA, 0, body)

    def _media(self, chunk_stream_id: int, type: int, timestamp_ms: int, body: bytes) -> None:
        assert self.purpose is Purpose.PUBLISH and self.state is ClientState.RUNNING
        self._link.write(chunk_stream_id, type, self._stream_id, body, timestamp_ms)

    def stop(self) -> None:
        """Say goodbye: the stream is over for us. Nothing is read afterwards. Idempotent."""
        if self.state in (ClientState.OPENING, ClientState.RUNNING) and self._stream_id:
            if self.purpose is Purpose.PUBLISH:
                self._command(m.command("FCUnpublish", 6, None, self.url.name))
            self._command(m.command("deleteStream", 7, None, float(self._stream_id)))
        self.state = ClientState.CLOSED

    def _command(self, body: bytes, stream_id: int = 0) -> None:
        self._link.command(m.COMMAND_CSID, stream_id, body)
