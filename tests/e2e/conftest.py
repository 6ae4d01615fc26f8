"""What the end-to-end tests share: one Chromium for the session, one server per module, content made once.

All of these tests run in one event loop of the session, since a browser driver belongs to one loop.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e import browser as chromium
from tests.e2e import content, pusher
from tests.e2e.content import Maker
from tests.e2e.fake_gateway import FakeGateway
from tests.e2e.gateway_process import Gateway

BESIDE = {"test_messages.py", "test_miniprogram.py", "test_stock_clients.py"}
"""Tests that mostly wait: they run beside the others (of which only one runs at a time: their timing is real)."""

CAMERA = Maker(ident=99, tone=900)
"""What Chromium's fake camera and microphone show in every test."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all before pytest-xdist looks: it reads the groups in the same hook."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.xdist_group("beside" if item.path.name in BESIDE else "e2e"))
        if item.path.is_relative_to(here) and item.get_closest_marker("asyncio") is not None:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fail where the groups have no effect: tests whose timing is real would run two at a time."""
    if getattr(session.config.option, "loadgroup", False):
        assert all("@" in item.nodeid for item in session.items if item.get_closest_marker("xdist_group"))


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for content files that tests share."""
    return tmp_path_factory.mktemp("media")


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser(media: Path) -> AsyncIterator[Browser]:
    lacking = chromium.missing()
    if lacking:
        pytest.fail(lacking)
    camera = content.write_camera(media / "camera.y4m", CAMERA, 10)
    microphone = content.write_microphone(media / "microphone.wav", CAMERA, 10)
    async with chromium.launch(camera=camera, microphone=microphone) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A server of this module. It must end with a clean log."""
    server = Gateway(tmp_path_factory.mktemp("data"))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
def files(media: Path) -> Callable[..., Path]:
    """Give `files(maker, …)`: a content file of 30 s, made at the first call with these arguments."""
    if pusher.missing():
        pytest.fail(str(pusher.missing()))

    @functools.cache
    def make(maker: Maker, kind: str = "plain") -> Path:
        x264 = {"preset": "veryfast", "bf": "3", "g": str(2 * maker.fps)} if kind == "b-frames" else None
        return content.write_file(media / f"{maker.ident}-{kind}.mp4", maker, 30, x264=x264)

    return make


@pytest_asyncio.fixture(loop_scope="session")
async def fake() -> AsyncIterator[FakeGateway]:
    """A scripted server, for what a real one cannot be made to say."""
    gateway = FakeGateway()
    await gateway.start()
    yield gateway
    await gateway.stop()
