"""GStreamer's webrtcbin as a WHIP publisher or a WHEP player. Run by the system's Python, which has its bindings:

    gstreamer_client.py whip URL TOKEN FILM      sends the H.264 and the sound of FILM (MP4), encoded anew
    gstreamer_client.py whep URL TOKEN FOLDER    writes FOLDER/picture (GRAY8, as many as come) and FOLDER/sound (F32LE)

It prints "connected", and for each received kind "decoding video 320x240"; it ends by SIGTERM, after a DELETE.
"""

import signal
import sys
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

WEBRTC = "webrtcbin name=w bundle-policy=max-bundle "
SEND = WEBRTC + (
    "filesrc location={film} ! qtdemux name=d "
    "d.video_0 ! queue ! h264parse ! avdec_h264 ! videoconvert ! video/x-raw,format=I420 ! clocksync "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=600 "
    "! video/x-h264,profile=constrained-baseline ! rtph264pay config-interval=-1 aggregate-mode=zero-latency "
    "! application/x-rtp,media=video,encoding-name=H264,payload=102,clock-rate=90000 ! w. "
    "d.audio_0 ! queue ! aacparse ! avdec_aac ! audioconvert ! audioresample ! clocksync ! opusenc ! rtpopuspay "
    "! application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000 ! w. "
)
RECEIVE = {
    "H264": "rtph264depay ! h264parse ! avdec_h264 ! videoconvert ! video/x-raw,format=GRAY8 ! filesink location={}",
    "VP8": "rtpvp8depay ! vp8dec ! videoconvert ! video/x-raw,format=GRAY8 ! filesink location={}",
    "OPUS": "rtpopusdepay ! opusdec ! audioconvert ! audioresample ! audio/x-raw,format=F32LE,rate=48000,channels=1 "
    "! filesink location={}",
}
WANTED = (
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000",
    "application/x-rtp,media=video,encoding-name=H264,payload=102,clock-rate=90000,packetization-mode=(string)1,"
    "profile-level-id=(string)42e01f",
)


class Client:
    """One connection; the client offers in both directions."""

    def __init__(self, way: str, url: str, token: str, place: str) -> None:
        self.url, self.token, self.place = url, token, place
        self.session = ""
        self.kept = []  # what the bindings free too early without us
        self.loop = GLib.MainLoop()
        # (A description of one element would make no pipeline.)
        self.pipeline = Gst.parse_launch(
            SEND.format(film=place) if way == "whip" else f"{WEBRTC} fakesrc num-buffers=0"
        )
        self.webrtc = self.pipeline.get_by_name("w")
        self.webrtc.connect("on-negotiation-needed", self.offer)
        self.webrtc.connect("notify::ice-gathering-state", self.gathered)
        self.webrtc.connect("notify::connection-state", self.state)
        self.webrtc.connect("pad-added", self.receive)
        if way == "whep":
            for caps in WANTED:
                direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
                self.kept.append(self.webrtc.emit("add-transceiver", direction, Gst.Caps.from_string(caps)))

    def run(self) -> None:
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, message: self.fail(message.parse_error()))
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGTERM, self.loop.quit)
        self.pipeline.set_state(Gst.State.PLAYING)
        self.loop.run()
        self.pipeline.set_state(Gst.State.NULL)
        if self.session:
            self.http("DELETE", self.session, None)

    def fail(self, why: object) -> None:
        print("failed", why, flush=True)
        self.loop.quit()

    def offer(self, _: object) -> None:
        def made(promise: Gst.Promise, *_: object) -> None:
            reply = promise.get_reply()
            offer = reply.get_value("offer")
            self.kept += [promise, reply, offer]
            self.webrtc.emit("set-local-description", offer, Gst.Promise.new())

        promise = Gst.Promise.new_with_change_func(made)
        self.kept.append(promise)
        self.webrtc.emit("create-offer", None, promise)

    def gathered(self, *_: object) -> None:
        if self.webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.post, self.webrtc.get_property("local-description").sdp.as_text())

    def post(self, sdp: str) -> None:
        headers, answer = self.http("POST", self.url, sdp.encode())
        base = "/".join(self.url.split("/", 3)[:3])
        self.session = headers["Location"] if "://" in headers["Location"] else base + headers["Location"]
        _, message = GstSdp.SDPMessage.new_from_text(answer)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.kept.append(description)
        self.webrtc.emit("set-remote-description", description, Gst.Promise.new())

    def http(self, method: str, url: str, body: bytes | None) -> tuple[dict[str, str], str]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/sdp"}
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=10) as answer:
            return dict(answer.headers), answer.read().decode()

    def state(self, *_: object) -> None:
        print(self.webrtc.get_property("connection-state").value_nick, flush=True)

    def receive(self, _: object, pad: Gst.Pad) -> None:
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        caps = (pad.get_current_caps() or pad.query_caps()).get_structure(0)
        kind = caps.get_string("media")
        file = f"{self.place}/{'picture' if kind == 'video' else 'sound'}"
        decode = Gst.parse_bin_from_description(RECEIVE[caps.get_string("encoding-name")].format(file), True)
        self.pipeline.add(decode)
        decode.sync_state_with_parent()
        assert pad.link(decode.get_static_pad("sink")) == Gst.PadLinkReturn.OK
        print("decoding", kind, flush=True)


if __name__ == "__main__":
    Gst.init(None)
    Client(*sys.argv[1:]).run()
