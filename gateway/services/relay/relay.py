"""One relay: it pushes a stream to its target for as long as the stream lasts, and tries again when that fails.

    connecting ──▶ live ──▶ waiting ──▶ connecting …        a failure: again after `retry_s`
        │           │          └──▶ ended                   after `retries` in a row, or one that is final
        └───────────┴──▶ ended                              stop(), or another program takes the stream

Only what a browser publishes is relayed. When an RTMP publisher takes the stream over, the relay ends: else a relay
whose target leads back here would go round in a circle.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import logging
from collections.abc import Callable
from typing import Final

from gateway.base.clock import Clock
from gateway.base.config import RelayConfig
from gateway.base.log import Tagged
from gateway.media.live.reader import QueuedReader
from gateway.media.live.stream import Start
from gateway.media.streams import Stream
from gateway.services.relay.dial import Resolve, dial
from gateway.services.relay.failure import FINAL, PushFailed, Reason
from gateway.services.relay.push import Push
from gateway.services.relay.targets import Target
from gateway.wire.rtmp.client import RtmpUrl

LOOK_S: Final = 0.5
STEADY_S: Final = 10.0
"""After so long on the air a failure is the first again, not the next in a row."""


class RelayState(enum.Enum):
    CONNECTING = "connecting"
    LIVE = "live"
    WAITING = "waiting"
    ENDED = "ended"


@dataclasses.dataclass(slots=True)
class Totals:
    """What all relays have pushed, brought up to date twice a second."""

    bytes_sent: int = 0
    dropped_video: int = 0


class Relay:
    """See the module. `changed(relay)` is called at each change of `state`, on the event loop."""

    def __init__(
        self,
        stream: Stream,
        target: Target,
        config: RelayConfig,
        changed: Callable[[Relay], None],
        totals: Totals,
        *,
        clock: Clock,
        resolve: Resolve,
    ) -> None:
        self.stream_id = stream.id
        self.url = target.url
        self.state = RelayState.CONNECTING
        self.reason: Reason | None = None
        """Why it waits or has ended."""
        self.words = ""
        self.bytes_sent = 0
        self.task: asyncio.Task[None] | None = None
        self._stream = stream
        self._target = target
        self._config = config
        self._changed = changed
        self._totals = totals
        self._clock = clock
        self._resolve = resolve
        self._opened = clock()
        self._log = Tagged(logging.getLogger(__name__), stream.id, "relay")

    async def run(self) -> None:
        """Push until it has ended. `stop` cancels it."""
        self._log.info("to %s", _logged(self.url))
        failures = 0
        try:
            while self.state is not RelayState.ENDED:
                live_since: float | None = None
                try:
                    push = await dial(
                        self._target, lambda: Push(self.url), self._config.connect_timeout_s, self._resolve
                    )
                    try:
                        await self._wait_begin(push)
                        live_since = self._clock()
                        await self._serve(push)
                    finally:
                        await push.close()
                except PushFailed as failure:
                    steady = live_since is not None and self._clock() - live_since >= STEADY_S
                    failures = 1 if steady else failures + 1
                    if failures > self._config.retries or failure.reason in FINAL:
                        self._set(RelayState.ENDED, failure.reason, str(failure))
                        return
                    self._set(RelayState.WAITING, failure.reason, str(failure))
                    self._log.info("! %s; try %d of %d follows", failure, failures, self._config.retries)
                    await asyncio.sleep(self._config.retry_s)
                    self._set(RelayState.CONNECTING, None, "")
        finally:
            self._set(RelayState.ENDED, Reason.SERVER_STOPS, "")
            lasted = self._clock() - self._opened
            why = self.reason.value if self.reason is not None else "?"
            self._log.info("closed: %s, %.0f s, %d bytes", why, lasted, self.bytes_sent)

    def stop(self, reason: Reason, words: str = "") -> None:
        """End it now; the target is told that the stream is over. Idempotent."""
        if self.state is not RelayState.ENDED:
            self._set(RelayState.ENDED, reason, words)
            if self.task is not None:
                self.task.cancel()

    def _set(self, state: RelayState, reason: Reason | None, words: str) -> None:
        if self.state is not RelayState.ENDED and state is not self.state:
            self.state, self.reason, self.words = state, reason, words
            self._changed(self)

    # --- one connection

    async def _wait_begin(self, push: Push) -> None:
        """Wait until the target has accepted the publish. Raises PushFailed."""
        await asyncio.wait(
            (push.began, push.failed), timeout=self._config.start_timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if push.failed.done():
            raise push.failed.result()
        if not push.began.done():
            raise PushFailed(
                Reason.SILENT, f"the server there did not accept within {self._config.start_timeout_s:g} s"
            )

    async def _serve(self, push: Push) -> None:
        """Feed the connection until it ends. Raises PushFailed."""
        self._set(RelayState.LIVE, None, "")
        reader = push.feed(self._config.queue_s, self._still_ours)
        live = self._stream.live
        live.add_reader(reader, Start.NEWEST_KEY)
        push.go()
        counted = Totals()
        try:
            while not push.failed.done():
                self._count(reader, counted)
                self._check(reader)
                self._still_ours()
                if reader not in live.readers:  # the stream had ended, and may begin again
                    live.add_reader(reader, Start.NEWEST_KEY)
                await asyncio.wait((push.failed,), timeout=LOOK_S)
            raise push.failed.result()
        finally:
            self._count(reader, counted)
            live.remove_reader(reader)

    def _count(self, reader: QueuedReader, counted: Totals) -> None:
        """Add to the totals what `reader` has done since `counted`."""
        more = reader.bytes_sent - counted.bytes_sent
        self.bytes_sent += more
        self._totals.bytes_sent += more
        self._totals.dropped_video += reader.dropped_video - counted.dropped_video
        counted.bytes_sent, counted.dropped_video = reader.bytes_sent, reader.dropped_video

    def _check(self, reader: QueuedReader) -> None:
        blocked = reader.blocked_since
        if blocked is not None and self._clock() - blocked > self._config.blocked_timeout_s:
            raise PushFailed(Reason.SILENT, "the server there takes nothing more")

    def _still_ours(self) -> bool:
        if self._stream.native == "live":
            self.stop(Reason.TAKEN_OVER, "another program publishes the stream now")
            return False
        return True


def _logged(url: RtmpUrl) -> str:
    """What a log may keep: many services' stream names are keys themselves."""
    name = url.name.partition("?")[0]
    return f"{url.tc_url}/{name if len(name) <= 4 else name[:4] + '…'}"
