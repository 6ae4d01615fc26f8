"""A real Firefox, headless, driven by WebDriver BiDi (https://www.w3.org/TR/webdriver-bidi/) over its own WebSocket.

It stands for browsers without H.264: Debian's build has VP8, VP9 and AV1 only (H.264 is a plugin that it would have to
download). Its camera and microphone are its own fakes: a plain picture that changes its colour, and a tone.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import aiohttp

from tests.e2e.browser import until
from tests.e2e.programs import Program

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox") or "/usr/bin/firefox-esr"
TONE = 440
PREFERENCES: dict[str, bool | int] = {
    "media.navigator.streams.fake": True,
    "media.navigator.audio.fake_frequency": TONE,
    "media.navigator.permission.disabled": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.peerconnection.ice.loopback": True,
    "media.autoplay.default": 0,
    "media.gmp-manager.updateEnabled": False,
    "app.update.disabledForTesting": True,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}


def missing() -> str | None:
    """Return what a test with Firefox lacks on this machine, or None."""
    return None if Path(FIREFOX).exists() else "firefox-esr is not installed"


class Firefox:
    """One window with a fresh profile in `folder`. Use as `async with Firefox(folder) as firefox`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
        (folder / "user.js").write_text("\n".join(lines))
        command = (FIREFOX, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port=0")
        self._program = Program(*command, "about:blank", env={"HOME": str(folder), "MOZ_DISABLE_CONTENT_SANDBOX": "1"})
        self._id = 0
        self._context = ""

    async def __aenter__(self) -> Firefox:
        await self._program.start()
        self._http = aiohttp.ClientSession()
        try:
            pattern = r"WebDriver BiDi listening on (ws://\S+)"
            said = await until(lambda: re.search(pattern, self._program.output), 20, lambda: self._program.output)
            self._socket = await self._http.ws_connect(said[1] + "/session", max_msg_size=0)
            await self._command("session.new", capabilities={})
            tree = await self._command("browsingContext.getTree")
            self._context = tree["contexts"][0]["context"]
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()
        await self._program.stop()

    async def _command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and wait for its answer; events are not subscribed, so all that comes is answers."""
        self._id += 1
        await self._socket.send_json({"id": self._id, "method": method, "params": parameters})
        while True:
            answer = json.loads(await asyncio.wait_for(self._socket.receive_str(), 20))
            if answer.get("id") == self._id:
                assert answer["type"] == "success", answer
                result: dict[str, Any] = answer["result"]
                return result

    async def goto(self, url: str) -> None:
        await self._command("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def evaluate(self, expression: str) -> Any:
        """Return the value of `expression` (awaited) in the page, by way of JSON."""
        answer = await self._command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression}) ?? null))()",
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    async def wait(self, expression: str, timeout: float = 15.0) -> Any:
        """Wait until `expression` is true in the page; return its value."""
        return await until(lambda: self.evaluate(expression), timeout, f"{expression} in Firefox")
