from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.base.log import Repeated, redact
from gateway.base.tasks import Tasks


async def test_closing_cancels_and_waits() -> None:
    tasks, ended = Tasks("t"), []

    async def forever() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(1)

    tasks.start(forever())
    await asyncio.sleep(0)
    await tasks.aclose()
    await tasks.aclose()
    assert ended == [1]
    assert len(tasks) == 0
    with pytest.raises(RuntimeError):
        tasks.start(forever())


async def test_a_failure_is_logged_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[BaseException] = []
    tasks = Tasks("t", errors.append)

    async def fails() -> None:
        raise ValueError("boom")

    tasks.start(fails(), "x")
    await tasks.join(1.0)
    await asyncio.sleep(0)
    assert [str(error) for error in errors] == ["boom"]
    assert "t:x" in caplog.text
    await tasks.aclose()


@pytest.mark.parametrize(
    "text",
    [
        "rtmp://h/live/s?txSecret=TICKET&txTime=5C",
        "/push/1?usersig=TICKET&privatemapkey=TICKET",
        "Authorization: Bearer TICKET",
        '{"userSig": "TICKET"}',
        "?u=a&p=255&t=TICKET",
    ],
)
def test_tickets_are_redacted(text: str) -> None:
    assert "TICKET" not in redact(text)
    assert redact("room 5 has 3 members") == "room 5 has 3 members"


def test_repeats_are_counted() -> None:
    repeated = Repeated()
    assert [repeated.hit(t) for t in (0.0, 0.1, 0.2, 1.1)] == [1, 0, 0, 3]
    assert logging.getLogger("x") is not None
