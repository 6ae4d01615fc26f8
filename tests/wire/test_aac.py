"""AudioSpecificConfig and ADTS, against FFmpeg's encoder and by hand."""

from __future__ import annotations

import random

import av
import pytest

from gateway.base.errors import CodecDataError
from gateway.wire import aac


@pytest.mark.parametrize("rate", aac.SAMPLE_RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_there_and_back(rate: int, channels: int) -> None:
    config = aac.parse_asc(aac.build_asc(rate, channels))
    assert config == aac.AudioConfig(2, rate, channels)
    assert config.codec_string == "mp4a.40.2"
    if rate != 7350:
        encoder = av.CodecContext.create("aac", "w")
        encoder.sample_rate, encoder.layout, encoder.format = rate, "mono" if channels == 1 else "stereo", "fltp"
        encoder.open()
        assert bytes(encoder.extradata)[:2] == aac.build_asc(rate, channels)
        assert aac.parse_asc(bytes(encoder.extradata)) == config


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("1190", aac.AudioConfig(2, 48000, 2)),
        ("1210", aac.AudioConfig(2, 44100, 2)),
        ("1408", aac.AudioConfig(2, 16000, 1)),
        ("1194", aac.AudioConfig(2, 48000, 2, 960)),
        ("2b118800", aac.AudioConfig(2, 24000, 2, sbr=True)),  # HE-AAC, core 24000, extension 48000
        ("eb098800", aac.AudioConfig(2, 24000, 1, sbr=True)),  # HE-AAC v2
        ("11b0", aac.AudioConfig(2, 48000, 6)),
        ("11b8", aac.AudioConfig(2, 48000, 8)),
    ],
)
def test_known(data: str, expected: aac.AudioConfig) -> None:
    assert aac.parse_asc(bytes.fromhex(data)) == expected
    assert not expected.sbr or expected.codec_string == "mp4a.40.5"


def test_unusual_rates_and_channels() -> None:
    assert aac.parse_asc(aac.build_asc(50000, 2)) == aac.AudioConfig(2, 50000, 2)
    # A program config element: one front pair, one side single, one low-frequency channel.
    bits = "00010" + "0011" + "0000" + "000" + "0000" + "01" + "0011" + "0001" + "0001" + "0000" + "01" + "000" + "0000"
    bits += "0" + "0" + "0" + "1" + "0000" + "0" + "0000"
    data = int(bits + "0" * (-len(bits) % 8), 2).to_bytes(-(-len(bits) // 8), "big")
    assert aac.parse_asc(data) == aac.AudioConfig(2, 48000, 4)
    for rate, channels in ((100, 1), (48000, 7), (48000, 0)):
        with pytest.raises(ValueError, match="AAC at"):
            aac.build_asc(rate, channels)


@pytest.mark.parametrize("bad", ["", "11", "1780", "12", "1180", "ffff", "17f80000080f"])
def test_what_is_no_configuration(bad: str) -> None:
    with pytest.raises(CodecDataError):
        aac.parse_asc(bytes.fromhex(bad))


def test_adts() -> None:
    config = aac.parse_asc(aac.build_asc(44100, 2))
    header = aac.adts_header(config, 300)
    assert header.hex() == "fff1508026" + header.hex()[10:] and len(header) == 7
    body = bytes(range(200)) + bytes(100)
    assert aac.strip_adts(header + body) == body
    assert aac.strip_adts(body) == body
    assert aac.strip_adts(header + body + b"x") == header + body + b"x"
    with pytest.raises(ValueError, match="ADTS"):
        aac.adts_header(config, 9000)


def test_any_bytes_give_a_value_or_a_codec_data_error() -> None:
    draw = random.Random(1)
    for _ in range(5000):
        data = draw.randbytes(draw.randrange(20))
        aac.strip_adts(data)
        try:
            config = aac.parse_asc(data)
        except CodecDataError:
            continue
        assert 1 <= config.channels <= 8 and 7350 <= config.sample_rate <= 96000


@pytest.mark.parametrize("channels", [1, 2])
def test_a_silent_frame_is_silence_to_a_decoder(channels: int) -> None:
    asc = aac.build_asc(48000, channels)
    silence = aac.silent_frame(aac.parse_asc(asc))
    assert silence is not None
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = asc
    frames = [frame for _ in range(5) for frame in decoder.decode(av.Packet(silence))]
    assert [frame.samples for frame in frames] == [1024] * 5
    assert all(abs(frame.to_ndarray()).max() == 0 and frame.layout.nb_channels == channels for frame in frames)


def test_there_is_no_silence_for_other_kinds_of_aac() -> None:
    assert aac.silent_frame(aac.AudioConfig(2, 48000, 6)) is None
    assert aac.silent_frame(aac.AudioConfig(5, 48000, 2)) is None
