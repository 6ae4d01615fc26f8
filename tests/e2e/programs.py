"""Publishers and players that others wrote, as processes of their own: OBS Studio and GStreamer.

All send or record the test content, so that what arrives can be told from anything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.browser import until

GST = shutil.which("gst-launch-1.0") or "/usr/bin/gst-launch-1.0"


class Program:
    """One process with its children. `async with Program(*command)`; what it says is kept in `output`."""

    def __init__(self, *command: str, env: dict[str, str] | None = None) -> None:
        self.command, self.env = command, env
        self.output = ""
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> Program:
        self._process = await asyncio.create_subprocess_exec(
            *self.command, env={**os.environ, **(self.env or {})}, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        while piece := await self._process.stdout.read(65536):
            self.output += piece.decode(errors="replace")

    async def ended(self, timeout: float) -> int:
        """Wait until it ends by itself; return its status."""
        assert self._process is not None
        status = await asyncio.wait_for(self._process.wait(), timeout)
        await self._reader
        return status

    async def stop(self) -> None:
        """End it and what it has started: SIGTERM, after two seconds SIGKILL."""
        process = self._process
        if process is None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 2)
                break
        await self._reader

    async def __aenter__(self) -> Program:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


# --- OBS

GLOBAL = """[General]
FirstRun=true
LastVersion=486539266
InfoIncrement=100
EnableAutoUpdates=false
[Basic]
Profile=P
ProfileDir=P
SceneCollection=S
SceneCollectionFile=S
"""
PROFILE = """[General]
Name=P
[Output]
Mode=Simple
[SimpleOutput]
VBitrate=800
ABitrate=64
StreamEncoder=x264
Preset=veryfast
[Video]
BaseCX={width}
BaseCY={height}
OutputCX={width}
OutputCY={height}
FPSCommon=30
[Audio]
SampleRate=48000
ChannelSetup=Stereo
"""


def write_obs_home(home: Path, push_url: str, film: Path, size: tuple[int, int]) -> None:
    """Make an OBS whose only scene plays `film` over and over and whose service is `push_url` (server and key)."""
    settings = home / ".config/obs-studio"
    profile, scenes = settings / "basic/profiles/P", settings / "basic/scenes"
    profile.mkdir(parents=True)
    scenes.mkdir(parents=True)
    (settings / "global.ini").write_text(GLOBAL)
    (profile / "basic.ini").write_text(PROFILE.format(width=size[0], height=size[1]))
    parts = urlsplit(push_url)
    application, _, key = parts.path[1:].partition("/")
    service = {"server": f"rtmp://{parts.netloc}/{application}", "key": f"{key}?{parts.query}", "use_auth": False}
    (profile / "service.json").write_text(json.dumps({"type": "rtmp_custom", "settings": service}))
    item = {"id": 1, "name": "Film", "visible": True, "align": 5, "pos": {"x": 0, "y": 0}, "scale": {"x": 1, "y": 1}}
    film_settings = {"local_file": str(film), "looping": True, "hw_decode": False, "restart_on_activate": False}
    scene = {
        "name": "S",
        "current_scene": "Scene",
        "current_program_scene": "Scene",
        "scene_order": [{"name": "Scene"}],
        "sources": [
            {"id": "ffmpeg_source", "name": "Film", "settings": film_settings, "mixers": 255, "volume": 1.0},
            {"id": "scene", "name": "Scene", "settings": {"items": [item], "id_counter": 1, "custom_size": False}},
        ],
    }
    (scenes / "S.json").write_text(json.dumps(scene))


@contextlib.asynccontextmanager
async def obs(home: Path, push_url: str, film: Path, size: tuple[int, int]) -> AsyncIterator[Program]:
    """Run OBS on a display of its own, streaming; give its Program."""
    write_obs_home(home, push_url, film, size)
    runtime = home / "run"
    runtime.mkdir(mode=0o700)
    async with Program("Xvfb", "-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp") as display:
        number = await until(lambda: re.match(r"(\d+)\n", display.output), 10, lambda: f"Xvfb: {display.output}")
        env = {"HOME": str(home), "XDG_RUNTIME_DIR": str(runtime), "DISPLAY": f":{number[1]}"}
        command = ("obs", "--startstreaming", "--profile", "P", "--collection", "S", "--multi")
        async with Program(*command, env=env) as program:
            yield program


# --- GStreamer


def gst(pipeline: str) -> Program:
    """Return gst-launch-1.0 with `pipeline`, in its own notation."""
    return Program(GST, "-q", *shlex.split(pipeline))


def gst_film(film: Path, picture: str, sound: str) -> str:
    """Return a pipeline's beginning: decode `film` in real time into the encoders `picture` and `sound`."""
    return (
        f"filesrc location={film} ! qtdemux name=d"
        f" d.video_0 ! queue ! h264parse ! avdec_h264 ! videoconvert ! video/x-raw,format=I420 ! clocksync ! {picture}"
        f" d.audio_0 ! queue ! aacparse ! avdec_aac ! audioconvert ! audioresample ! clocksync ! {sound}"
    )


def webrtcbin(*arguments: str) -> Program:
    """Return a run of gstreamer_client.py: by the system's Python, to which GStreamer's bindings belong."""
    return Program("/usr/bin/python3", str(Path(__file__).with_name("gstreamer_client.py")), *arguments)
