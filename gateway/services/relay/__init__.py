"""Relays: a member's stream, pushed on to an `rtmp://` address elsewhere that the operator allows.

targets.py says which addresses, dial.py connects to one, push.py is one connection, relay.py keeps trying, relays.py
has them all.
"""

from gateway.services.relay.failure import Reason
from gateway.services.relay.relay import Relay, RelayState
from gateway.services.relay.relays import Relays

__all__ = ["Reason", "Relay", "RelayState", "Relays"]
