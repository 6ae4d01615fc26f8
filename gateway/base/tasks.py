"""Owned background tasks: nothing runs without somebody who stops it.

`Tasks` is a bag of tasks with one owner. A task that ends with an exception is logged with its traceback (once) and
reported to `on_error`; it never dies silently. `aclose()` cancels what is left and waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Tasks:
    """A bag of background tasks. Not thread-safe: use it from its event loop only."""

    def __init__(self, name: str, on_error: Callable[[BaseException], None] | None = None) -> None:
        self.name = name
        self._on_error = on_error
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str = "") -> asyncio.Task[Any]:
        """Run `coroutine` until it ends or this bag is closed."""
        if self._closed:
            coroutine.close()
            raise RuntimeError(f"{self.name} is closed")
        task = asyncio.get_running_loop().create_task(coroutine, name=f"{self.name}:{name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            log.error("! task %s failed", task.get_name(), exc_info=error)
            if self._on_error is not None:
                self._on_error(error)

    async def join(self, timeout_s: float) -> None:
        """Wait until every task has ended by itself, at most `timeout_s`; what is left then goes on running."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=timeout_s)

    async def aclose(self) -> None:
        """Cancel every task and wait until all have ended. Idempotent; safe to call from one of the tasks."""
        self._closed = True
        current = asyncio.current_task()
        pending = [task for task in self._tasks if task is not current]
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
