"""RTCP of a connection: `Inbound` for one that publishes, `Outbound` for one that views."""

from gateway.media.sfu.inbound import Inbound
from gateway.media.sfu.outbound import Outbound

__all__ = ["Inbound", "Outbound"]
