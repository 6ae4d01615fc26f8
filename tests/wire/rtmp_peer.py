"""An RTMP client without I/O for tests: says what it is told to, and reads what a server answers."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from gateway.wire.rtmp import amf0
from gateway.wire.rtmp.chunks import ChunkReader, Message, write_message


@dataclass
class Answer:
    """One command, data or control message from the server."""

    type: int
    stream_id: int
    values: list[object]
    body: bytes
    timestamp: int


@dataclass
class Peer:
    """`feed` what the server sent; `answers` and `media` collect it. Methods return bytes to send."""

    chunk_size: int = 128
    answers: list[Answer] = field(default_factory=list)
    media: list[Message] = field(default_factory=list)
    _head: bytes = b""
    _handshaken: bool = False
    _reader: ChunkReader = field(default_factory=lambda: ChunkReader(max_message=1 << 24))

    def hello(self) -> bytes:
        rng = random.Random(11)
        return b"\x03" + bytes(8) + rng.randbytes(1528) + rng.randbytes(1536)

    def feed(self, data: bytes) -> None:
        if not self._handshaken:
            self._head += data
            if len(self._head) < 3073:
                return
            data, self._handshaken = self._head[3073:], True
        self._reader.feed(data)
        while (message := self._reader.next_message()) is not None:
            if message.type in (8, 9):
                self.media.append(message)
                continue
            values = amf0.decode(message.body) if message.type in (18, 20) else []
            self.answers.append(Answer(message.type, message.stream_id, values, message.body, message.timestamp))

    def command(self, name: str, number: float, *values: object, stream_id: int = 0, type: int = 20) -> bytes:
        body = (b"\0" if type == 17 else b"") + amf0.encode(name, number, *values)
        return self.message(type, 0, body, stream_id)

    def message(self, type: int, timestamp: int, body: bytes, stream_id: int = 1) -> bytes:
        csid = {8: 4, 9: 6}.get(type, 3)
        return write_message(csid, type, stream_id, timestamp, body, self.chunk_size)

    def set_chunk_size(self, size: int) -> bytes:
        data = write_message(2, 1, 0, 0, size.to_bytes(4, "big"), self.chunk_size)
        self.chunk_size = size
        return data

    def connect(self, app: str = "live", **fields: object) -> bytes:
        properties = {"app": app, "flashVer": "test", "tcUrl": f"rtmp://h/{app}", "objectEncoding": 0.0, **fields}
        return self.command("connect", 1, properties)

    def publish(self, name: str, app: str = "live") -> bytes:
        """Everything up to publish, back to back, as librtmp does."""
        return (
            self.hello()
            + self.connect(app)
            + self.command("releaseStream", 2, None, name)
            + self.command("FCPublish", 3, None, name)
            + self.command("createStream", 4, None)
            + self.command("publish", 5, None, name, "live", stream_id=1)
        )

    def play(self, name: str, app: str = "live", **fields: object) -> bytes:
        return (
            self.hello()
            + self.connect(app, **fields)
            + self.command("createStream", 2, None)
            + self.command("play", 3, None, name, -2000.0, stream_id=1)
        )

    def results(self, number: float) -> list[list[object]]:
        """The values behind `_result` of that transaction."""
        return [a.values[2:] for a in self.answers if a.type == 20 and a.values[:2] == ["_result", number]]

    @property
    def codes(self) -> list[str]:
        """The status codes that came, in order."""
        found = []
        for answer in self.answers:
            for value in answer.values[3:] if answer.type == 20 else ():
                if isinstance(value, dict) and isinstance(value.get("code"), str):
                    found.append(value["code"])
        return found


# Bodies of tags, by the FLV specification.
AVC_CONFIG = bytes.fromhex("1700000000 0142e01effe1000867 42e01e da0280f6 0100 0468ce3c80".replace(" ", ""))
AAC_CONFIG = bytes.fromhex("af00 1190".replace(" ", ""))


def avc(key: bool, size: int = 20, composition: int = 0) -> bytes:
    """A picture of one NAL unit."""
    nal = bytes((0x65 if key else 0x41,)) + bytes((0x9A,)) * (size - 1)
    head = bytes((0x17 if key else 0x27, 1)) + (composition & 0xFFFFFF).to_bytes(3, "big")
    return head + len(nal).to_bytes(4, "big") + nal


def aac(size: int = 8) -> bytes:
    return b"\xaf\x01" + b"\x21" * size
