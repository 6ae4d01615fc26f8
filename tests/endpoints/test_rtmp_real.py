"""Real peers: ffmpeg, rtmpdump and PyAV publish to and play from the two ports; the pictures are counted."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from gateway.media.live.stream import LiveStream
from gateway.wire.frame import Codec, Frame
from tests.endpoints.rtmp_fakes import rtmp_server
from tests.endpoints.test_http_flv import Site, site

WIDTH, HEIGHT, FPS = 320, 64, 25
COUNTER = (
    f"color=black:size={WIDTH}x32:rate={FPS},format=gray,"
    "geq=lum='16+219*mod(floor(N/pow(2\\,floor(X/20)))\\,2)',format=yuv420p,pad=320:64"
)


async def publish(url: str, *, seconds: float, b_frames: int = 0, audio: bool = True) -> asyncio.subprocess.Process:
    """Start ffmpeg pushing a counted picture and a tone at their own pace."""
    video = ["-f", "lavfi", "-i", COUNTER]
    sound = ["-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000"] if audio else []
    coder = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", str(FPS), "-b:v", "400k"]
    coder += ["-bf", str(b_frames)] if b_frames else ["-tune", "zerolatency", "-profile:v", "baseline"]
    return await asyncio.create_subprocess_exec(
        *["ffmpeg", "-nostdin", "-v", "error", "-re", *video, *sound, "-t", str(seconds), *coder],
        *(["-c:a", "aac", "-b:a", "64k"] if audio else []),
        *["-f", "flv", "-flvflags", "no_duration_filesize", url],
    )


async def run(*command: str, timeout_s: float = 20.0) -> tuple[int, str]:
    """Run a command to its end; return (exit code, what it said on standard error)."""
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(timeout_s):
            _, text = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, text.decode()


async def alive(live: LiveStream, timeout_s: float = 10.0) -> None:
    assert await live.wait_alive(timeout_s)
    async with asyncio.timeout(timeout_s):
        while not live.gop:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def counters(path: Path | str) -> list[int]:
    """Decode a file and read the counter of every picture."""
    found = []
    with av.open(str(path)) as container:
        for picture in container.decode(video=0):
            row = picture.to_ndarray(format="gray")[16]
            found.append(sum(int(row[20 * bit + 10] > 128) << bit for bit in range(16)))
    return found


def packets(path: Path | str) -> dict[str, int]:
    with av.open(str(path)) as container:
        counts = {stream.type: 0 for stream in container.streams}
        for packet in container.demux():
            if packet.size:
                counts[packet.stream.type] += 1
        return counts


@asynccontextmanager
async def both_ports(linger_s: float = 15.0) -> AsyncIterator[tuple[str, Site]]:
    """The RTMP and the HTTP port on one set of streams. Gives the RTMP base URL and the site."""
    async with site(linger_s=linger_s) as http, rtmp_server(http.streams) as server:
        yield f"rtmp://127.0.0.1:{server.port}/live", http


@pytest.mark.parametrize("b_frames", [0, 2])
async def test_ffmpeg_publishes_and_everybody_plays(tmp_path: Path, b_frames: int) -> None:
    async with both_ports() as (rtmp, http):
        pusher = await publish(f"{rtmp}/cam?txSecret=a&txTime=b", seconds=3.6, b_frames=b_frames)
        live = http.streams.live("cam")
        await alive(live)
        await asyncio.sleep(0.3)
        a, b, c = tmp_path / "a.flv", tmp_path / "b.flv", tmp_path / "c.flv"
        copy = ["-t", "1.6", "-c", "copy", "-y"]
        url = http.url("/live/cam.flv?k=v")
        results = await asyncio.gather(
            run("ffmpeg", "-nostdin", "-v", "error", "-rtmp_live", "live", "-i", f"{rtmp}/cam?k=v", *copy, str(a)),
            run("ffmpeg", "-nostdin", "-v", "error", "-i", url, *copy, str(b)),
            run("timeout", "2", "rtmpdump", "-q", "-r", f"{rtmp}/cam?k=v", "-o", str(c)),
        )
        assert [code for code, _ in results] == [0, 0, 124], results
        for path in (a, b, c):
            seen = counters(path)
            assert len(seen) >= 30, path
            del seen[-b_frames - 1 :]  # a copy that is cut between B-frames lacks what its last ones refer to
            assert seen == list(range(seen[0], seen[0] + len(seen))), f"{path} {seen}"
            assert packets(path)["audio"] >= 60
        if b_frames:
            assert any(f.pts != f.dts for f in live.gop)
        assert await pusher.wait() == 0


async def test_takeover_between_ffmpegs_with_a_player_that_lives_on(tmp_path: Path) -> None:
    async with both_ports() as (rtmp, http):
        first = await publish(f"{rtmp}/cam", seconds=20)
        live = http.streams.live("cam")
        await alive(live)
        out = tmp_path / "a.flv"
        player = asyncio.ensure_future(
            run(
                "ffmpeg",
                "-nostdin",
                "-v",
                "error",
                "-rtmp_live",
                "live",
                "-i",
                f"{rtmp}/cam",
                "-t",
                "3",
                "-c",
                "copy",
                str(out),
            )
        )
        await asyncio.sleep(1.0)
        second = await publish(f"{rtmp}/cam", seconds=3)
        assert await asyncio.wait_for(first.wait(), 10) != 0, "the older publisher is told and ends"
        code, text = await player
        assert code == 0, text
        await second.wait()
        with av.open(str(out)) as container:
            times = [p.dts for p in container.demux(video=0) if p.dts is not None]
        assert times == sorted(times)
        assert len(times) > 50
        assert max(b - a for a, b in itertools.pairwise(times)) < 2500


async def test_an_ffmpeg_player_ends_when_the_stream_does(tmp_path: Path) -> None:
    async with both_ports(linger_s=0.3) as (rtmp, http):
        pusher = await publish(f"{rtmp}/cam", seconds=1.5)
        await alive(http.streams.live("cam"))
        url = http.url("/live/cam.flv")
        base = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
        results = await asyncio.gather(
            run(*base, "-rtmp_live", "live", "-i", f"{rtmp}/cam", "-c", "copy", str(tmp_path / "a.flv"), timeout_s=8),
            run(*base, "-i", url, "-c", "copy", str(tmp_path / "b.flv"), timeout_s=8),
        )
        assert await pusher.wait() == 0
        assert results[0][0] in (0, 1)
        assert results[1][0] == 0, results
        assert min(packets(tmp_path / name)["video"] for name in ("a.flv", "b.flv")) >= 15


async def test_video_only_is_announced_as_such(tmp_path: Path) -> None:
    async with both_ports() as (rtmp, http):
        pusher = await publish(f"{rtmp}/cam", seconds=2.2, audio=False)
        await alive(http.streams.live("cam"))
        out = tmp_path / "b.flv"
        code, text = await run(
            "ffmpeg",
            "-nostdin",
            "-v",
            "error",
            "-probesize",
            "32",
            "-analyzeduration",
            "0",
            "-i",
            http.url("/live/cam.flv"),
            "-t",
            "1",
            "-c",
            "copy",
            str(out),
        )
        assert code == 0, text
        assert set(packets(out)) == {"video"}
        await pusher.wait()


PUSH = """
import sys, time
import av, numpy as np
url, coder, fourcc = sys.argv[1:4]
out = av.open(url, "w", format="flv", options={"rtmp_enhanced_codecs": fourcc})
stream = out.add_stream(coder, rate=25)
stream.width, stream.height, stream.pix_fmt = 320, 64, "yuv420p"
stream.gop_size = 25
stream.options = {"libx265": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none"},
                  "libsvtav1": {"preset": "12", "svtav1-params": "pred-struct=1:lp=1"}}[coder]
start = time.monotonic()
for index in range(60):
    picture = np.full((96, 320), 128, np.uint8)
    picture[:32] = np.repeat([235 if index >> bit & 1 else 16 for bit in range(16)], 20)
    frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
    frame.pts = index
    for packet in stream.encode(frame):
        out.mux(packet)
    time.sleep(max(0.0, start + index / 25 - time.monotonic()))
out.close()
"""


def play(url: str, options: dict[str, str], count: int) -> tuple[str, list[int]]:
    """Play `count` pictures with PyAV; return the codec's name and the counters."""
    found: list[int] = []
    options = {"rtmp_live": "live", "analyzeduration": "300000", **options}
    with av.open(url, options=options, timeout=(10, 10)) as container:
        name = container.streams.video[0].codec_context.name
        for picture in container.decode(video=0):
            row = picture.to_ndarray(format="gray")[16]
            found.append(sum(int(row[20 * bit + 10] > 128) << bit for bit in range(16)))
            if len(found) >= count:
                break
    return name, found


@pytest.mark.parametrize(
    ("coder", "four_cc", "codec"), [("libx265", "hvc1", Codec.HEVC), ("libsvtav1", "av01", Codec.AV1)]
)
async def test_enhanced_codecs_pass_through(coder: str, four_cc: str, codec: Codec) -> None:
    async with both_ports() as (rtmp, http):
        log = asyncio.subprocess.DEVNULL
        pusher = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PUSH, f"{rtmp}/cam", coder, four_cc, stderr=log, stdout=log
        )
        live = http.streams.live("cam")
        await alive(live)
        assert live.configs["video"].codec is codec
        loop = asyncio.get_running_loop()
        for url, options in (
            (f"{rtmp}/cam", {"rtmp_enhanced_codecs": four_cc}),
            (http.url("/live/cam.flv"), {}),
        ):
            name, seen = await asyncio.wait_for(loop.run_in_executor(None, play, url, options, 12), 15)
            assert codec.value.lower() in name.lower() or (codec is Codec.AV1 and "dav1d" in name), name
            assert seen == list(range(seen[0], seen[0] + 12))
        await pusher.wait()


async def test_a_stream_made_of_frames_plays_as_one_that_came_by_rtmp(tmp_path: Path) -> None:
    """What the bridge does: frames without any tag body, H.264 and AAC made here."""
    async with both_ports() as (rtmp, http):
        live = http.streams.live("cam")
        loop = asyncio.get_running_loop()
        live.start_source(loop.time())
        coder = av.CodecContext.create("libx264", "w")
        coder.width, coder.height, coder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        coder.time_base, coder.framerate = Fraction(1, 25), Fraction(25)
        coder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "25", "x264-params": "annexb=0"}
        coder.flags |= 1 << 22  # global header
        coder.open()
        live.write(Frame(Codec.H264, 0, 0, bytes(coder.extradata or b""), config=True))
        player = asyncio.ensure_future(
            run(
                "ffmpeg",
                "-nostdin",
                "-v",
                "error",
                "-rtmp_live",
                "live",
                "-i",
                f"{rtmp}/cam",
                "-frames:v",
                "30",
                "-c",
                "copy",
                str(tmp_path / "a.flv"),
            )
        )
        for index in range(150):
            picture = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
            picture[:32] = np.repeat([235 if index >> bit & 1 else 16 for bit in range(16)], 20)
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts = index
            for packet in coder.encode(frame):
                live.write(Frame(Codec.H264, index * 3600, index * 3600, bytes(packet), keyframe=packet.is_keyframe))
            if player.done():
                break
            await asyncio.sleep(0.02)
        code, text = await player
        assert code == 0, text
        seen = counters(tmp_path / "a.flv")
        assert len(seen) >= 25
        assert seen == list(range(seen[0], seen[0] + len(seen)))
