"""The sound transcoders alone: sample positions, concealment, silence, damage."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gateway.media.bridge import libopus
from gateway.media.bridge.libopus import AvOpusDecoder, open_decoder
from gateway.media.bridge.sound import BROWSER_DELAY, AacToOpus, Coded, Fifo, OpusIn, OpusToAac, SoundIn
from gateway.wire import aac
from gateway.wire.frame import Codec
from tests.media.bridge_tools import audio_encoder, beeps, decode_audio, encode_audio, find_beep, sine, speech

BEATS = (0.7, 1.5)


def spoken(samples: np.ndarray, channels: int = 1, milliseconds: float = 20, **options: object) -> list[OpusIn]:
    options = {"application": "voip", "frame_duration": milliseconds} | options
    encoder = audio_encoder("libopus", 48000, channels, "flt", 48000, **options)
    step = round(48 * milliseconds)
    packets = encode_audio(encoder, samples, step)
    return [OpusIn(48000 + index * step - BROWSER_DELAY, data) for index, (_, data) in enumerate(packets)]


def to_aac(items: list[OpusIn], channels: int = 1, rate: int = 48000) -> tuple[list[Coded], OpusToAac]:
    transcoder = OpusToAac(channels, rate=rate)
    return transcoder.process(items), transcoder


def sound_of(coded: list[Coded], channels: int = 1, rate: int = 48000) -> np.ndarray:
    assert {b.position - a.position for a, b in itertools.pairwise(coded)} == {1024}
    return decode_audio("aac", [c.data for c in coded], channels, aac.build_asc(rate, channels))


@pytest.mark.parametrize(
    ("milliseconds", "channels", "limit"),
    [(10, 1, 3), (20, 1, 3), (40, 1, 3), (60, 1, 3), (10, 2, 3), (20, 2, 3), (40, 2, 48), (60, 2, 48)],
)
def test_opus_to_aac_to_the_sample(milliseconds: float, channels: int, limit: int) -> None:
    """Mono to a few samples (SILK needs some 100 ms to settle); stereo in SILK comes up to a millisecond early."""
    coded, _ = to_aac(spoken(beeps(48000, 2.0, BEATS), channels, milliseconds), channels)
    samples = sound_of(coded, channels)
    for beat in BEATS:
        heard = find_beep(samples, 48000, beat + 1 - coded[0].position / 48000) + coded[0].position / 48000 - 1
        assert abs(heard - beat) * 48000 < limit


@pytest.mark.parametrize("rate", [44100, 96000])
def test_other_rates(rate: int) -> None:
    coded, _ = to_aac(spoken(beeps(48000, 2.0, BEATS)), rate=rate)
    samples = sound_of(coded, 1, rate)
    for beat in BEATS:
        heard = find_beep(samples, rate, beat + 1 - coded[0].position / rate) + coded[0].position / rate - 1
        assert abs(heard - beat) * 48000 < 3.0


def test_packets_of_changing_length_and_channels() -> None:
    mono, stereo = spoken(sine(48000, 1.0, 440.0)), spoken(sine(48000, 1.0, 440.0), 2, 60)
    shifted = [OpusIn(item.position + len(mono) * 960, item.data) for item in stereo]
    coded, transcoder = to_aac(mono + shifted)
    assert transcoder.concealed == transcoder.silent == transcoder.errors == 0
    assert np.abs(sound_of(coded)[48000:90000]).max() > 0.2


@pytest.mark.parametrize("backend", ["libopus", "plain"])
def test_loss_is_concealed_then_silent(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if backend == "plain":
        monkeypatch.setattr(libopus, "_library", lambda: None)
        assert isinstance(open_decoder(1), AvOpusDecoder)
    items = spoken(sine(48000, 2.0, 440.0), application="audio")
    del items[40:60]  # 400 ms
    coded, transcoder = to_aac(items)
    samples = sound_of(coded)
    assert transcoder.concealed == 4800 and transcoder.silent == 20 * 960 - 4800
    start = 48000 - BROWSER_DELAY + 40 * 960 - coded[0].position
    before, first = samples[start - 960 : start], samples[start : start + 960]
    quiet, after = samples[start + 9600 : start + 18000], samples[start + 21 * 960 : start + 30 * 960]
    assert np.abs(first).max() > 0.5 * np.abs(before).max(), "the first lost frame is continued"
    assert np.abs(quiet).max() < 0.02
    assert np.abs(after).max() > 0.3


def test_a_lost_frame_is_recovered_from_the_next_packet() -> None:
    if libopus._library() is None:
        pytest.fail("libopus is not where PyAV's wheel has it")
    items = spoken(speech(3.0), fec=1, packet_loss=20)
    whole = sound_of(to_aac(items)[0])
    lost = [index for index in range(len(items)) if index % 9 == 8 and index < len(items) - 1]
    coded, transcoder = to_aac([item for index, item in enumerate(items) if index not in lost])
    repaired = sound_of(coded)
    assert transcoder.recovered + transcoder.concealed == len(lost) * 960
    assert transcoder.recovered > 0
    plain_items = [item for index, item in enumerate(items) if index not in lost]
    plain = OpusToAac(1)
    plain._decoder = AvOpusDecoder(1)
    concealed = sound_of(plain.process(plain_items))
    size = min(len(whole), len(repaired), len(concealed))
    error = ((whole[:size] - repaired[:size]) ** 2).sum()
    assert error < 0.7 * ((whole[:size] - concealed[:size]) ** 2).sum()


def test_silence_by_the_clock_and_overlap_cut_to_the_sample() -> None:
    items = spoken(beeps(48000, 2.0, BEATS))
    transcoder = OpusToAac(1)
    coded = transcoder.process([OpusIn(0, b""), *items[:50]])
    assert transcoder.silent == 0, "nothing is filled before the first packet"
    until = items[50].position + 3333
    coded += transcoder.process([OpusIn(until, b""), OpusIn(until - 500, b"")])
    coded += transcoder.process(items[50:])
    samples = sound_of(coded)
    assert transcoder.dropped == 3333
    heard = find_beep(samples, 48000, 2.5 - coded[0].position / 48000) + coded[0].position / 48000 - 1
    assert abs(heard - 1.5) * 48000 < 3.0


def test_a_jump_of_hours_is_not_filled() -> None:
    items = spoken(sine(48000, 1.0, 440.0))
    moved = [OpusIn(item.position + 3600 * 48000, item.data) for item in items]
    coded, transcoder = to_aac(items + moved)
    steps = [b.position - a.position for a, b in itertools.pairwise(coded)]
    assert len([step for step in steps if step != 1024]) == 1 and transcoder.silent < 48000


def test_damaged_packets_are_concealed() -> None:
    items = spoken(sine(48000, 1.0, 440.0))
    items[10] = OpusIn(items[10].position, b"\xff")
    coded, transcoder = to_aac(items)
    assert transcoder.errors == 1
    sound_of(coded)


# ---------------------------------------------------------------- AAC to Opus


def frames(rate: int, channels: int, samples: np.ndarray) -> tuple[bytes, list[bytes]]:
    encoder = audio_encoder("aac", rate, channels, "fltp")
    return bytes(encoder.extradata), [data for _, data in encode_audio(encoder, samples, 1024)]


def test_damaged_frames_keep_the_count() -> None:
    config, data = frames(48000, 1, beeps(48000, 2.0, BEATS))
    transcoder = AacToOpus(Codec.AAC)
    items = [
        SoundIn(b"" if index in (20, 50) else b"\x00" * 9 if index == 51 else frame, 1024.0,
                anchor=47000 if index == 0 else None, config=config if index == 0 else None, channels=1)
        for index, frame in enumerate(data)
    ]  # fmt: skip
    coded = transcoder.process(items)
    assert {b.position - a.position for a, b in itertools.pairwise(coded)} == {960}
    samples = decode_audio("libopus", [c.data for c in coded], 1)
    first = coded[0].position
    for beat in BEATS:
        at = beat + (47000 + 1024) / 48000 - first / 48000
        assert abs(find_beep(samples, 48000, at) - at) * 48000 < 3.0


def test_an_overlap_is_cut_and_a_short_hole_filled() -> None:
    config, data = frames(48000, 1, sine(48000, 1.5, 440.0))
    transcoder = AacToOpus(Codec.AAC)
    coded = []
    position = 48000
    for index, frame in enumerate(data):
        anchor = None
        if index == 0:
            anchor = position
        elif index == 20:
            anchor = position = position + 20 * 1024 - 700
        elif index == 40:
            anchor = position = position + 20 * 1024 + 5000
        coded += transcoder.process([SoundIn(frame, 1024.0, anchor, config if index == 0 else None, channels=1)])
    assert {b.position - a.position for a, b in itertools.pairwise(coded)} == {960}
    assert coded[-1].position + 312 + 960 >= position + (len(data) - 40) * 1024 - 960


def test_mp3() -> None:
    encoder = audio_encoder("libmp3lame", 44100, 1, "fltp")
    data = [data for _, data in encode_audio(encoder, sine(44100, 1.5, 700.0), 1152)]
    transcoder = AacToOpus(Codec.MP3)
    coded = transcoder.process(
        [
            SoundIn(
                frame,
                1152 * 48000 / 44100,
                anchor=0 if index == 0 else None,
                config=b"" if index == 0 else None,
                channels=1,
            )
            for index, frame in enumerate(data)
        ]
    )
    samples = decode_audio("libopus", [c.data for c in coded], 1)
    assert np.abs(samples[24000:48000]).max() > 0.2


def test_closing_frees_the_codecs() -> None:
    config, data = frames(48000, 2, sine(48000, 0.5, 440.0))
    to_opus = AacToOpus(Codec.AAC, frame_ms=10)
    out = to_opus.process([SoundIn(data[0], 1024.0, 0, config, channels=2)])
    assert [c.position for c in out] == [-312, 168]
    to_opus.close()
    assert to_opus._decoder is None and to_opus._encoder is None
    to_frames = OpusToAac(1)
    to_frames.close()
    to_frames.close()


def test_the_fifo_grows_and_keeps_positions() -> None:
    fifo = Fifo(2, 100)
    fifo.write(np.ones((2, 20000), np.float32))
    fifo.write_silence(5)
    assert (len(fifo), fifo.end) == (20005, 20105)
    assert fifo.read(20000).shape == (2, 20000)
    assert (fifo.position, len(fifo)) == (20100, 5)
    assert not fifo.read(5).any()
