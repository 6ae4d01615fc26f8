"""`/metrics`: the counters of every part in Prometheus' text format, read at the moment of the scrape.

Parts count in plain ints and know nothing of Prometheus; whoever builds them registers a reading here:

    metrics.gauge("rooms", "Rooms that exist", lambda: len(directory.rooms))
    metrics.counter("rtp_packets", "RTP packets", lambda: {("in",): mux.packets_in}, labels=("direction",))

The answer is for the operator only: `Authorization: Bearer <admin token>`.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from aiohttp import hdrs, web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

log = logging.getLogger(__name__)

PREFIX: Final = "gateway_"
Reading = float | Mapping[tuple[str, ...], float]
"""One number, or one per tuple of label values."""


class Metrics(Collector):
    """A registry of readings."""

    def __init__(self, admin_token: str) -> None:
        self._admin_token = admin_token
        self._readings: dict[str, tuple[type[Metric], str, Sequence[str], Callable[[], Reading]]] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self.requests: dict[tuple[str, ...], float] = {}
        """HTTP answers by method and status; the web application counts here."""
        self.counter("http_requests", "HTTP requests answered", lambda: self.requests, labels=("method", "status"))

    def gauge(self, name: str, text: str, read: Callable[[], Reading], labels: Sequence[str] = ()) -> None:
        """Register a value that goes up and down. `read` is called at each scrape, on the event loop."""
        self._add(GaugeMetricFamily, name, text, labels, read)

    def counter(self, name: str, text: str, read: Callable[[], Reading], labels: Sequence[str] = ()) -> None:
        """Register a value that only grows (the text format appends `_total`)."""
        self._add(CounterMetricFamily, name, text, labels, read)

    def _add(
        self, kind: type[Metric], name: str, text: str, labels: Sequence[str], read: Callable[[], Reading]
    ) -> None:
        if name in self._readings:
            raise ValueError(f"metric {name} is registered twice; a scrape would be refused")
        self._readings[name] = (kind, text, labels, read)

    def collect(self) -> Iterator[Metric]:
        for name, (kind, text, labels, read) in self._readings.items():
            try:
                value = read()
            except Exception:
                log.exception("! metric %s cannot be read", name)
                continue
            family = kind(PREFIX + name, text, labels=labels)  # type: ignore[call-arg]
            pairs: Iterable[tuple[tuple[str, ...], float]]
            pairs = value.items() if isinstance(value, Mapping) else [((), value)]
            for values, number in pairs:
                family.add_metric(values, number)  # type: ignore[attr-defined]
            yield family

    def count_request(self, method: str, status: int) -> None:
        """Count one HTTP answer. Methods are those we know, so that a peer cannot make the table grow."""
        known = method if method in ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT") else "other"
        key = (known, str(status))
        self.requests[key] = self.requests.get(key, 0) + 1

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/metrics", self.scrape)]

    async def scrape(self, request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        known = self._admin_token.encode()
        if not known or scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), known):
            raise web.HTTPUnauthorized(headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="admin"'})
        return web.Response(body=generate_latest(self._registry), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST})
