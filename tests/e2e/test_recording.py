"""Recording in the browser: what the files hold is what the call was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest_asyncio
from playwright.async_api import Browser, Download

from tests.e2e import content
from tests.e2e.browser import Member, until
from tests.e2e.content import RATE, Maker, Samples
from tests.e2e.gateway_process import Gateway
from tests.e2e.page import PHONE, Visits, place, settled, shown, state, visiting

ALICE = Maker(ident=31, tone=640)
BOB = Maker(ident=32, tone=1040)
CAROL = Maker(ident=33, tone=1440)

RECORDER = """async (sliceMs) => {
  const { Recorder } = await import('/sdk/recorder.js');
  const trtc = probe.peers.me.trtc;
  const box = (userId, left, streamType = 'main') =>
    ({ userId, streamType, left, top: 0, width: 320, height: 240, whole: true });
  const pictures = () => [
    box('', 0), ...trtc.getRoom().members.map(({ userId }) => box(userId, 320)),
    ...(trtc.getVideoTrack({ streamType: 'sub' }) ? [box('', 640, 'sub')] : []),
  ];
  window.recorder = new Recorder(trtc, { width: 960, height: 240, pictures, sliceMs });
  await recorder.start({ name: 'test' });
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def visits(browser: Browser) -> AsyncIterator[Visits]:
    async with visiting(browser) as visits:
        yield visits


class Film:
    """One file, decoded: the pictures as (time, luma), the sound as mono samples."""

    def __init__(self, path: Path) -> None:
        self.pictures: list[tuple[float, content.Gray]] = []
        pieces: list[Samples] = []
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE)
        with av.open(str(path)) as source:
            self.duration = source.duration / 1e6 if source.duration else None
            for frame in source.decode(video=0, audio=0):
                if isinstance(frame, av.VideoFrame):
                    self.pictures.append((float(frame.time or 0.0), frame.to_ndarray(format="gray")))
                elif isinstance(frame, av.AudioFrame):
                    frame.pts = None
                    pieces += [part.to_ndarray()[0].astype(np.float32) for part in resampler.resample(frame)]
        self.samples = np.concatenate(pieces)

    @property
    def length(self) -> float:
        return self.pictures[-1][0] - self.pictures[0][0]

    def idents(self, left: int) -> list[int]:
        """Return who was seen in the box of 320x240 at `left`, each change once."""
        found: list[int] = []
        for time, gray in self.pictures:
            seen = content.read_picture(np.ascontiguousarray(gray[:, left : left + 320]), time)
            if seen is not None and (not found or found[-1] != seen.ident):
                found.append(seen.ident)
        return found

    def hears(self, *makers: Maker) -> list[int]:
        """Return the tones of `makers` that stand out in the sound."""
        spectrum = np.abs(np.fft.rfft(self.samples * np.hanning(self.samples.size)))

        def loudest(hertz: int) -> float:
            low, high = (int((hertz + side) * self.samples.size / RATE) for side in (-8, 8))
            return float(spectrum[low:high].max())

        return [maker.tone for maker in makers if loudest(maker.tone) > 10 * loudest(maker.tone + 150)]


async def saved(download: Download, folder: Path) -> Film:
    path = folder / download.suggested_filename
    await download.save_as(path)
    return await asyncio.to_thread(Film, path)


async def test_a_call_in_two_files(browser: Browser, gateway: Gateway, tmp_path: Path) -> None:
    """Own and others' pictures and sound; one leaves, another comes, a screen is shared; file follows file."""
    alice = await Member.join(browser, gateway.http, await gateway.tickets("alice", 4300))
    bob = await Member.join(browser, gateway.http, await gateway.tickets("bob", 4300))
    carol: Member | None = None
    downloads: list[Download] = []
    alice.tab.page.on("download", lambda download: downloads.append(download))
    try:
        await alice.watch_all()
        await alice.send(ALICE)
        await bob.send(BOB)
        await alice.sees("bob", BOB)
        await alice.tab.page.evaluate(RECORDER, 2000)
        await until(lambda: downloads, 15)
        await bob.close()
        carol = await Member.join(browser, gateway.http, await gateway.tickets("carol", 4300))
        await carol.send(CAROL)
        await alice.sees("carol", CAROL)
        await alice.call("trtc.startScreenShare({ option: { videoTrack: trtc.getVideoTrack().clone() } })")
        await asyncio.sleep(0.6)
        files = await alice.tab.page.evaluate("() => recorder.stop()")
        assert [file["name"].startswith("test_20") for file in files] == [True] * len(files)
        await until(lambda: len(downloads) == len(files), 10)
        films = [await saved(download, tmp_path) for download in downloads]
    finally:
        for member in (alice, carol):
            if member is not None:
                await member.close()
    first, last = films[0], films[-1]
    assert first.idents(0) == [ALICE.ident] and first.idents(320) == [BOB.ident]
    assert first.hears(ALICE, BOB, CAROL) == [ALICE.tone, BOB.tone]
    assert first.duration is not None and abs(first.duration - first.length) < 1 and 1.5 < first.length < 10
    assert len(first.pictures) > 3 * first.length
    assert abs(first.samples.size / RATE - first.length) < 1
    assert last.idents(0) == [ALICE.ident] and last.idents(320)[-1] == CAROL.ident
    assert last.idents(640) == [ALICE.ident], "the shared screen"
    assert any(film.hears(CAROL) for film in films[1:])


async def test_by_the_button(visits: Visits, gateway: Gateway, tmp_path: Path) -> None:
    """The dialog says what happens, the mark tells the time, leaving ends the recording well."""
    tab = await visits.open(gateway.http + await place(gateway, "walter", 4301))
    await state(tab, "live")
    await settled(tab)
    await tab.page.keyboard.press("r")
    await shown(tab, "#recordDialog")
    assert "Tell the others" in await tab.page.inner_text("#recordDialog")
    await tab.page.click("#recordStart")
    await shown(tab, "#recordMark")
    await tab.wait("() => document.getElementById('recordTime').textContent >= '00:02'")
    async with tab.page.expect_download() as coming:
        await tab.page.click("#leave")
    film = await saved(await coming.value, tmp_path)
    await shown(tab, "#recordMark", False)
    assert film.length > 0.5 and film.pictures[-1][1].shape == (720, 1280)
    levels = [float(gray[500:700, 600:700].mean()) for _, gray in film.pictures]
    assert max(levels) > 200 and min(levels) < 80, "the camera's picture flashes"
    assert film.hears(Maker(ident=99, tone=900)) == [900]


async def test_into_a_folder_on_an_upright_screen(visits: Visits, gateway: Gateway) -> None:
    """Into a folder that the person has chosen (the browser's dialog is played by a script), by the phone's menu."""
    choose = "window.showDirectoryPicker = async () => navigator.storage.getDirectory();"
    tab = await visits.open(gateway.http + await place(gateway, "walter", 4302), script=choose, **PHONE)
    await state(tab, "live")
    await settled(tab)
    await tab.page.click("#more")
    await tab.page.click("#record")
    await tab.page.click("#recordFolder")
    await shown(tab, "#recordMark")
    await tab.wait("() => document.getElementById('recordTime').textContent >= '00:01'")
    await tab.page.click("#recordMark")
    await shown(tab, "#recordMark", False)
    found: Any = await tab.page.evaluate(
        """async () => {
          const folder = await navigator.storage.getDirectory();
          const files = [];
          for await (const [name, handle] of folder.entries()) {
            if (handle.kind === 'file') files.push([name, (await handle.getFile()).size]);
          }
          return files;
        }"""
    )
    assert len(found) == 1 and found[0][0].startswith("call_4302_") and found[0][1] > 1000, found
