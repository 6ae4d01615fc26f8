"""The old IM over HTTP: login, profiles, groups, messages, and the two long polls. docs/protocol.md 7."""

from gateway.endpoints.im.server import Im, ImTimes

__all__ = ["Im", "ImTimes"]
