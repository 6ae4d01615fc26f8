"""`/api/v1`: the operator's calls about rooms. docs/moderation.md shows each with curl."""

from gateway.endpoints.admin.api import AdminApi

__all__ = ["AdminApi"]
