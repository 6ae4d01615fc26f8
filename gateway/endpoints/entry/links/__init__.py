"""WebRTC connections as the endpoints use them: a peer, its RTP feedback, and the streams that it feeds or plays.

`UpLink` is what a browser or an encoder sends: it makes each sending section the source of one kind of one stream, and
tells the directory when media may flow. `DownLink` is what a viewer receives: a wish per track, kept over restarts of
the stream, an offer whenever the sections have to change, one offer outstanding at a time. Signaling, WHIP and WHEP
use the same two. `WebRtc` owns them all and gives them the clock's beat.
"""

from gateway.endpoints.entry.links.downlink import DownLink, TrackKey, Viewer
from gateway.endpoints.entry.links.offers import Kind, Offered, read_offer
from gateway.endpoints.entry.links.uplink import UpLink
from gateway.endpoints.entry.links.webrtc import WebRtc

__all__ = ["DownLink", "Kind", "Offered", "TrackKey", "UpLink", "Viewer", "WebRtc", "read_offer"]
