"""A WebRTC gateway that bridges browsers and RTMP mini-program peers. Start at docs/architecture.md."""

__version__ = "0.1.0"
