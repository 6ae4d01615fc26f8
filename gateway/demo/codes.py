"""The event codes of `live-pusher` and `live-player`, with the names of their SDK. The spelling of 3002 is theirs."""

from __future__ import annotations

from typing import Final

NAMES: Final = {
    1001: "PUSH_EVT_CONNECT_SUCC",
    1002: "PUSH_EVT_PUSH_BEGIN",
    1003: "PUSH_EVT_OPEN_CAMERA_SUCC",
    1007: "PUSH_EVT_FIRST_FRAME_AVAILABLE",
    1008: "PUSH_EVT_START_VIDEO_ENCODER",
    1101: "PUSH_WARNING_NET_BUSY",
    1102: "PUSH_WARNING_RECONNECT",
    -1301: "PUSH_ERR_OPEN_CAMERA_FAIL",
    -1307: "PUSH_ERR_NET_DISCONNECT",
    2001: "PLAY_EVT_CONNECT_SUCC",
    2002: "PLAY_EVT_RTMP_STREAM_BEGIN",
    2003: "PLAY_EVT_RCV_FIRST_I_FRAME",
    2004: "PLAY_EVT_PLAY_BEGIN",
    2006: "PLAY_EVT_PLAY_END",
    2007: "PLAY_EVT_PLAY_LOADING",
    2008: "PLAY_EVT_START_VIDEO_DECODER",
    2009: "PLAY_EVT_CHANGE_RESOLUTION",
    2101: "PLAY_WARNING_VIDEO_DECODE_FAIL",
    2102: "PLAY_WARNING_AUDIO_DECODE_FAIL",
    2103: "PLAY_WARNING_RECONNECT",
    2105: "PLAY_WARNING_VIDEO_PLAY_LAG",
    -2301: "PLAY_ERR_NET_DISCONNECT",
    3001: "DNS_FAIL",
    3002: "SEVER_CONN_FAIL",
    3003: "SHAKE_FAIL",
    3004: "SERVER_DISCONNECT",
    3005: "READ_WRITE_FAIL",
}

RETRIES: Final = 3
RETRY_S: Final = 3.0
"""The tags try three times, three seconds apart, and then give up (-1307, -2301)."""


def name(code: int, *, push: bool) -> str:
    """Return the name of `code`; those from 3001 on belong to both tags, under a prefix each."""
    text = NAMES.get(code, "UNKNOWN")
    return f"{'PUSH' if push else 'PLAY'}_WARNING_{text}" if 3000 < code < 4000 else text
