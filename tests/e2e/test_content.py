"""The makers and readers of test content agree with each other, through real codecs, before anything relies on them."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.e2e import content, player, pusher
from tests.e2e.content import Maker
from tests.e2e.gateway_process import free_port

ALICE = Maker(ident=7, tone=660)


def test_picture_reads_back_at_any_size() -> None:
    large = Maker(ident=200, tone=440, width=640, height=480, fps=30)
    for number in (0, 1, 5, 6, 29, 30, 12345, 65535):
        seen = content.read_picture(content.picture(large, number))
        assert seen is not None
        assert (seen.counter, seen.ident, seen.flash) == (number, 200, number % 30 < 6)
        half = content.read_picture(content.picture(large, number)[::2, ::2])
        assert half is not None and half.counter == number


def test_foreign_pictures_are_not_ours() -> None:
    assert content.read_picture(np.zeros((240, 320), np.uint8)) is None
    assert content.read_picture(np.full((240, 320), 255, np.uint8)) is None
    noise = np.random.default_rng(1).integers(0, 255, (240, 320), dtype=np.uint8)
    assert content.read_picture(noise) is None


def test_frequency_and_beeps() -> None:
    samples = content.sound(ALICE, content.RATE // 2, 3 * content.RATE)
    assert content.frequency(samples) == pytest.approx(660, abs=3)
    assert content.beeps(samples) == pytest.approx([0.5, 1.5, 2.5], abs=0.003)
    assert content.frequency(np.zeros(48000, np.float32)) == 0.0
    assert content.beeps(np.zeros(48000, np.float32)) == []


@pytest.mark.parametrize(
    ("name", "video", "x264", "b_frames"),
    [
        ("a.mp4", "h264", None, 0),
        ("b.mp4", "h264", {"preset": "veryfast", "bf": "3", "g": "30"}, 2),
        ("c.webm", "vp8", None, 0),
    ],
)
def test_files_read_back(tmp_path: Path, name: str, video: str, x264: dict[str, str] | None, b_frames: int) -> None:
    path = content.write_file(tmp_path / name, ALICE, 4, video=video, x264=x264)
    reading = content.read_file(path)
    assert [seen.counter for seen in reading.pictures] == list(range(60))
    assert reading.unreadable == 0 and reading.idents() == [7] and reading.size == (320, 240)
    assert reading.frequency() == pytest.approx(660, abs=5)
    found = reading.skews_ms()
    assert len(found) >= 3 and max(map(abs, found)) < 10, found
    assert (reading.has_b_frames > 0) == (b_frames > 0)


def test_capture_files(tmp_path: Path) -> None:
    camera = content.write_camera(tmp_path / "camera.y4m", ALICE, 1)
    assert camera.stat().st_size > 15 * 320 * 240 * 3 // 2
    with wave.open(str(content.write_microphone(tmp_path / "microphone.wav", ALICE, 2))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (48000, 1, 96000)


@pytest.mark.parametrize("x264", [None, {"preset": "veryfast", "bf": "3", "g": "30"}])
async def test_pusher_and_player_lose_nothing_between_them(tmp_path: Path, x264: dict[str, str] | None) -> None:
    """ffmpeg to ffmpeg without a server between: what a test later finds is then the server's."""
    file = content.write_file(tmp_path / "source.mp4", ALICE, 6, x264=x264)
    url = f"rtmp://127.0.0.1:{free_port()}/live/a"
    out = tmp_path / "out.flv"
    server = await asyncio.create_subprocess_exec(
        pusher.FFMPEG, "-nostdin", "-loglevel", "error", "-listen", "1", "-i", url, "-t", "4", "-c", "copy", "-y",
        str(out), stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await asyncio.sleep(0.5)
    async with pusher.Pusher(url, file):
        await asyncio.wait_for(server.communicate(), 15)
    reading = content.read_file(out)
    assert player.wrong(reading, ALICE, 3) == ""
    skews = reading.skews_ms()
    assert len(skews) >= 2 and max(map(abs, skews)) < 10, skews
