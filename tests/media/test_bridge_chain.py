"""The whole way with nothing faked but the network's ends: FLV bodies → frame hub → bridge → RTP hub → SRTP over a
real socket → RTP hub of a second stream → bridge → frames; flash and beep compared at both ends, in real time."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.base.config import AudioConfig, BridgeConfig, LiveConfig, RtcConfig
from gateway.media.bridge.pool import CodecPool
from gateway.media.live.ingest import Ingest
from gateway.media.sfu.outbound import Outbound
from gateway.media.sfu.subscription import Subscription
from gateway.media.streams import Streams
from gateway.wire import flv
from gateway.wire.frame import Codec
from gateway.wire.rtcp import SenderReport
from tests.media.bridge_tools import (
    X264_B,
    X264_LIVE,
    FrameViewer,
    RtpViewer,
    aac_frames,
    beeps,
    find_beep,
    flash_times,
    h264_frames,
    pictures,
)
from tests.media.sfu_harness import Viewer

BEATS = (0.7, 1.3, 1.9)
SECONDS = 2.4
SOUND, PICTURE = 1111, 2222


class Publisher:
    def replaced(self, reason: str) -> None:
        return


class Asked:
    def request_keyframe(self) -> None:
        return


def skews(sound: tuple, shown: list) -> list[float]:
    """Beep minus flash, less what the material has, in ms."""
    samples, first = sound
    out = []
    flashes = [s.time for s in shown if s.flash]
    for beat, made, seen in zip(BEATS, flash_times(beats=BEATS), flashes, strict=True):
        expected = seen + beat - made - first
        out.append((find_beep(samples, 48000, expected) - expected) * 1000)
    return out


@pytest.mark.parametrize("options", [X264_LIVE, X264_B], ids=["passed", "B-frames"])
async def test_from_rtmp_to_a_browser_and_on_to_rtmp(options: dict[str, str]) -> None:
    pool = CodecPool(2)
    streams = Streams(pool, bridge=BridgeConfig(), audio=AudioConfig(), live=LiveConfig(), rtc=RtcConfig())
    first, second = streams.open("first"), streams.open("second")
    viewer, player = Viewer(), FrameViewer()
    try:
        sound_config, sound = aac_frames(beeps(48000, SECONDS, BEATS), 48000, 1)
        picture_config, frames = h264_frames(pictures(SECONDS, beats=BEATS), options)
        first.publish_live(Publisher(), time.monotonic())
        ingest = Ingest(first.live, audio=True, video=True, now=time.monotonic())
        ingest.media(flv.AUDIO, 0, flv.tag_body(sound_config), time.monotonic())
        ingest.media(flv.VIDEO, 0, flv.tag_body(picture_config), time.monotonic())

        outbound = Outbound(viewer)
        for publication, ssrc, codec, number in (
            (first.audio, SOUND, Codec.OPUS, 111),
            (first.video, PICTURE, Codec.H264, 102),
        ):
            subscription = Subscription(
                publication,
                viewer,
                ssrc=ssrc,
                rtx_ssrc=None,
                payload_types={codec: number},
                rtx_payload_types={},
            )
            outbound.add(subscription, time.monotonic())
        assert first.bridging == "to_rtp"

        heard, seen = RtpViewer(48000), RtpViewer(90000)
        second.publish_rtp(Publisher(), time.monotonic())
        second.live.add_reader(player)
        assert second.bridging == "to_live"
        second.audio.start(Codec.OPUS, 48000, Asked(), time.monotonic())
        second.video.start(Codec.H264, 90000, Asked(), time.monotonic())
        second.audio.add_tap(heard, 0.0)
        second.video.add_tap(seen, 0.0)
        told = 0

        def relay() -> None:
            """What the viewer gets is what the second stream's publisher sends, reports included."""
            nonlocal told
            now = time.monotonic()
            outbound.tick(now)
            for report in viewer.rtcp[told:]:
                if isinstance(report, SenderReport):
                    target = second.audio if report.ssrc == SOUND else second.video
                    target.sender_report(report.ntp, report.rtp, now)
            told = len(viewer.rtcp)
            for packet in viewer.packets():
                packet.arrival = now
                (second.audio if packet.ssrc == SOUND else second.video).write([packet], now)

        begun = time.monotonic()
        for item in sorted(sound + frames, key=lambda t: t.at):
            while time.monotonic() < begun + item.at:
                relay()
                await asyncio.sleep(0.003)
            frame = item.frame
            body = flv.tag_body(frame)
            kind = flv.AUDIO if frame.is_audio else flv.VIDEO
            ingest.media(kind, frame.dts // 90, body, time.monotonic())
        for _ in range(60):
            relay()
            await asyncio.sleep(0.005)

        shown = seen.shown()
        assert [s.counter for s in shown] == list(range(len(shown))) and len(shown) >= SECONDS * 30 - 5
        assert max(abs(s) for s in skews(heard.sound(), shown)) < 3.0
        assert {
            (b.timestamp - a.timestamp) % 2**32 for a, b in zip(heard.packets, heard.packets[1:], strict=False)
        } == {960}
        player.check_sound()
        played = player.shown()
        assert [s.counter for s in played] == [s.counter for s in shown]
        assert max(abs(s) for s in skews(player.sound(), played)) < 20.0
    finally:
        await streams.aclose()
        pool.close()
        Viewer.close_all()
