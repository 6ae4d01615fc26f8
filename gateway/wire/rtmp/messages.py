"""RTMP messages by type: commands, data, user control, aggregate (Adobe RTMP 1.0 sections 5.4, 6 and 7).

Readers take a body and give a value or raise RtmpError; writers give a body.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.base.errors import RtmpError
from gateway.wire.rtmp import amf0
from gateway.wire.rtmp.chunks import Message

ACKNOWLEDGEMENT: Final = 3
USER_CONTROL: Final = 4
WINDOW_ACK_SIZE: Final = 5
SET_PEER_BANDWIDTH: Final = 6
SET_CHUNK_SIZE: Final = 1
ABORT: Final = 2
AUDIO: Final = 8
VIDEO: Final = 9
DATA_AMF3: Final = 15
COMMAND_AMF3: Final = 17
DATA: Final = 18
COMMAND: Final = 20
AGGREGATE: Final = 22

# User control events.
STREAM_BEGIN: Final = 0
STREAM_EOF: Final = 1
PING_REQUEST: Final = 6
PING_RESPONSE: Final = 7

LIMIT_DYNAMIC: Final = 2

# Chunk streams that we write on; media of one kind stays on one.
CONTROL_CSID: Final = 2
COMMAND_CSID: Final = 3
AUDIO_CSID: Final = 4
STATUS_CSID: Final = 5
VIDEO_CSID: Final = 6

MAX_SCRIPT: Final = 64 << 10
"""Bytes of one command or data message."""
MAX_AGGREGATE: Final = 1024
"""Messages inside one aggregate."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command. `properties` stands in the place of the command object: a dict in connect, else mostly None."""

    name: str
    transaction_id: float
    properties: object
    arguments: tuple[object, ...]


def parse_command(type: int, body: bytes) -> Command:
    """Read a message of type 20 or 17. Missing trailing values are None. Raises RtmpError."""
    values = _script(type == COMMAND_AMF3, body)
    name = values[0] if values else None
    if not isinstance(name, str):
        raise RtmpError("command without a name")
    number = values[1] if len(values) > 1 else 0.0
    transaction_id = number if isinstance(number, float) else 0.0
    return Command(name, transaction_id, values[2] if len(values) > 2 else None, tuple(values[3:]))


def parse_data(type: int, body: bytes) -> list[object]:
    """Read a message of type 18 or 15 into its values; FFmpeg's bare time code reads as []. Raises RtmpError."""
    if len(body) <= 4 and not body.startswith(b"\x02"):
        return []
    return _script(type == DATA_AMF3, body)


def _script(amf3: bool, body: bytes) -> list[object]:
    if len(body) > MAX_SCRIPT:
        raise RtmpError(f"a command or data message of {len(body)} bytes, limit {MAX_SCRIPT}")
    # Types 15 and 17 begin with one byte, normally 0, before ordinary AMF0 values; some encoders forget it.
    return amf0.decode(body, 1 if amf3 and body.startswith(b"\0") else 0)


def parse_user_control(body: bytes) -> tuple[int, bytes]:
    """Return (event, data). Raises RtmpError."""
    if len(body) < 2:
        raise RtmpError(f"user control message of {len(body)} bytes")
    return int.from_bytes(body[:2], "big"), body[2:]


def parse_aggregate(message: Message) -> Iterator[Message]:
    """Give the messages inside a message of type 22, in order. Raises RtmpError.

    Times inside are relative: the first one happens at the aggregate's own timestamp.
    """
    body = message.body
    position = count = 0
    first: int | None = None
    while position < len(body):
        if len(body) - position < 11:
            raise RtmpError("aggregate: a header is cut off")
        kind = body[position]
        size = int.from_bytes(body[position + 1 : position + 4], "big")
        time = int.from_bytes(body[position + 4 : position + 7], "big") | body[position + 7] << 24
        position += 11
        if size > len(body) - position:
            raise RtmpError(f"aggregate: {size} bytes wanted, {len(body) - position} left")
        count += 1
        if count > MAX_AGGREGATE:
            raise RtmpError(f"aggregate of more than {MAX_AGGREGATE} messages")
        if first is None:
            first = time
        timestamp = (message.timestamp + time - first) & 0xFFFFFFFF
        yield Message(kind, timestamp, message.stream_id, body[position : position + size], message.chunk_stream_id)
        position += size + 4  # behind it stands the size of the tag, unchecked


def command(name: str, transaction_id: float, properties: object = None, *arguments: object) -> bytes:
    """Return the body of a type 20 message."""
    return amf0.encode(name, transaction_id, properties, *arguments)


def status(level: str, code: str, description: str, **more: object) -> dict[str, object]:
    """Return the information object of onStatus."""
    return {"level": level, "code": code, "description": description, "clientid": "gateway", **more}


def user_control(event: int, value: int) -> bytes:
    """Return the body of a user control message with one 32-bit value."""
    return struct.pack(">HI", event, value & 0xFFFFFFFF)


def peer_bandwidth(size: int, limit: int = LIMIT_DYNAMIC) -> bytes:
    """Return the body of Set Peer Bandwidth."""
    return struct.pack(">IB", size, limit)


def uint32(value: int) -> bytes:
    """Return the body of Set Chunk Size, Acknowledgement or Window Ack Size."""
    return struct.pack(">I", value & 0xFFFFFFFF)
