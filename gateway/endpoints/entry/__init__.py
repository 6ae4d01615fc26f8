"""What every way in shares: tickets, admission, URLs, and the shells around them (socket, links)."""

from gateway.endpoints.entry.admission import Entry
from gateway.endpoints.entry.flows import Flow, Flows, Kinds
from gateway.endpoints.entry.grants import PlayGrant, PlayItem, PushGrant
from gateway.endpoints.entry.ice_servers import IceServers
from gateway.endpoints.entry.publishing import Publishing
from gateway.endpoints.entry.tickets import Tickets
from gateway.endpoints.entry.urls import Bases, PlayForm, Ports, Urls
from gateway.media.live.stream import Start

__all__ = [
    "Bases",
    "Entry",
    "Flow",
    "Flows",
    "IceServers",
    "Kinds",
    "PlayForm",
    "PlayGrant",
    "PlayItem",
    "Ports",
    "Publishing",
    "PushGrant",
    "Start",
    "Tickets",
    "Urls",
]
