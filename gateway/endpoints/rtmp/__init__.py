"""The RTMP port: asyncio TCP around wire.rtmp, publishers into a LiveStream, players out of one.

    rtmp://HOST/live/<stream>?…   publish and play, by signed URL
    rtmp://HOST/push/<room>?…     publish as a member of a room, by userSig and privateMapKey

Publishers: bytes → events → frames, all inside `data_received`. Players: the stream delivers, the reader writes to the
transport while it takes, and queues otherwise; no task per player or message. One sweep watches all deadlines.
Who replaces whom is decided in media.streams; what a status code says, here. Tickets are never logged.
"""

from gateway.endpoints.rtmp.server import RtmpServer

__all__ = ["RtmpServer"]
