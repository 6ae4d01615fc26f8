"""The demo peer as a child of the development server: it comes back when it dies, and goes when it is told."""

from __future__ import annotations

import logging
import sys
import time

import pytest

from gateway.base import log as logs
from gateway.demo import child
from gateway.demo.child import DemoChild
from tests.e2e.browser import until


async def test_it_is_started_again_after_growing_pauses(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(child, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(child, "LAST_PAUSE_S", 0.1)
    command = [sys.executable, "-c", "print('x' * 200000); print('txSecret=abcdef'); raise SystemExit(3)"]
    demo = DemoChild("http://127.0.0.1:1", "1001", command=command)
    with caplog.at_level(logging.DEBUG, "gateway.demo.child"):
        demo.start()
        await until(lambda: demo.starts >= 3, 10)
        await demo.aclose()
        await demo.aclose()
    text = caplog.text
    assert "status 3: txSecret=…" in text and "abcdef" not in text
    assert "starts again in 0.05 s" in text and "starts again in 0.1 s" in text
    assert logs.redact("txSecret=abcdef") == "txSecret=…"


async def test_one_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "STOP_S", 0.3)
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    demo = DemoChild("http://127.0.0.1:1", "1001", command=[sys.executable, "-c", script])
    began = time.monotonic()
    demo.start()
    await until(lambda: demo.starts == 1, 5)
    await demo.aclose()
    assert time.monotonic() - began < 5


async def test_what_cannot_be_started_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    demo = DemoChild("http://127.0.0.1:1", "1001", command=["/nonexistent/python"])
    demo.start()
    await until(lambda: "cannot be started" in caplog.text, 5)
    await demo.aclose()
