"""What the end-to-end tests share: one Chromium for the session, one server per module, content made once.

All of these tests run in one event loop of the session, since a browser driver belongs to one loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e import browser as chromium
from tests.e2e import content
from tests.e2e.content import Maker

CAMERA = Maker(ident=99, tone=900)
"""What Chromium's fake camera and microphone show in every test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.get_closest_marker("asyncio") is not None:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for content files that tests share."""
    return tmp_path_factory.mktemp("media")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(media: Path) -> AsyncIterator[Browser]:
    lacking = chromium.missing()
    if lacking:
        pytest.skip(lacking)
    camera = content.write_camera(media / "camera.y4m", CAMERA, 10)
    microphone = content.write_microphone(media / "microphone.wav", CAMERA, 10)
    async with chromium.launch(camera=camera, microphone=microphone) as running:
        yield running
