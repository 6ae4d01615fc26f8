"""All relays of this server: one per stream, so many in all, to allowed addresses only."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.base.clock import Clock, monotonic
from gateway.base.config import RelayConfig
from gateway.base.errors import TooMany
from gateway.base.tasks import Tasks
from gateway.media.streams import Streams
from gateway.services.relay.dial import Resolve, resolve
from gateway.services.relay.failure import FAILURES, Reason
from gateway.services.relay.relay import Relay, RelayState, Totals
from gateway.services.relay.targets import AllowList


class Relays:
    """See the module. Everything runs on the event loop."""

    def __init__(
        self, streams: Streams, config: RelayConfig, *, clock: Clock = monotonic, resolve: Resolve = resolve
    ) -> None:
        """Raises ValueError for an entry of `allow` that cannot be read."""
        self.allowed = AllowList(config.allow)
        self.started = 0
        self.failed = 0
        self.totals = Totals()
        self._streams = streams
        self._config = config
        self._clock = clock
        self._resolve = resolve
        self._relays: dict[str, Relay] = {}
        self._tasks = Tasks("relays")

    def __len__(self) -> int:
        return len(self._relays)

    def __iter__(self) -> Iterator[Relay]:
        return iter(list(self._relays.values()))

    def of(self, stream_id: str) -> Relay | None:
        return self._relays.get(stream_id)

    def start(self, stream_id: str, url: str, changed: Callable[[Relay], None]) -> Relay:
        """Push the stream to `url` from now on; a relay of it to elsewhere ends, one to the same URL goes on.

        `changed` hears of each change of its state, the last one as ENDED. Raises BadRequest, NotPermitted, TooMany.
        """
        target = self.allowed.check(url)
        present = self._relays.get(stream_id)
        if present is not None and present.url == target.url:
            return present
        if present is None and len(self._relays) >= self._config.max_relays:
            raise TooMany(f"{len(self._relays)} relays, the limit of this server", retry_after_ms=10_000)
        if present is not None:
            present.stop(Reason.REPLACED)

        def heard(relay: Relay) -> None:
            if relay.state is RelayState.ENDED and self._relays.get(stream_id) is relay:
                self._forget(relay)
            changed(relay)

        stream = self._streams.open(stream_id)
        relay = Relay(stream, target, self._config, heard, self.totals, clock=self._clock, resolve=self._resolve)
        self._relays[stream_id] = relay
        self.started += 1
        relay.task = self._tasks.start(relay.run(), stream_id)
        return relay

    def stop(self, stream_id: str, reason: Reason) -> bool:
        """End the relay of that stream; False if there is none."""
        relay = self._relays.get(stream_id)
        if relay is None:
            return False
        relay.stop(reason)
        return True

    def _forget(self, relay: Relay) -> None:
        del self._relays[relay.stream_id]
        if relay.reason in FAILURES:
            self.failed += 1

    async def aclose(self) -> None:
        """End all; each target is told that its stream is over."""
        for relay in self:
            relay.stop(Reason.SERVER_STOPS)
        await self._tasks.join(1.0)
        await self._tasks.aclose()
