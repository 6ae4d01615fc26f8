"""Opus decoding with concealment and in-band error correction: libopus itself, else PyAV.

FFmpeg's interface has no way to ask for error correction, so the libopus inside PyAV's wheel is called by ctypes
(its public API, unchanged since 1.0; the calls release the GIL). Where it cannot be found `AvOpusDecoder` does the
same with plain PyAV, without error correction.
"""

from __future__ import annotations

import ctypes
import functools
import logging
from pathlib import Path
from typing import Any, Final, Protocol

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext

from gateway.base.errors import CodecDataError
from gateway.wire import opus

log = logging.getLogger(__name__)

Pcm = npt.NDArray[np.float32]
"""(channels, samples), -1..1."""

STEP: Final = 120
"""libopus conceals in multiples of 2.5 ms."""


class OpusDecoder(Protocol):
    """`channels` is fixed; packets of either channel count are taken. Not thread-safe."""

    channels: int

    def decode(self, packet: bytes) -> Pcm:
        """Return the packet's samples. Raises CodecDataError."""
        ...

    def conceal(self, samples: int) -> Pcm:
        """Return `samples` samples that continue the sound; less and less of it the longer nothing is decoded."""
        ...

    def recover(self, following: bytes, samples: int) -> Pcm | None:
        """Return the `samples` before `following` from the copy that it carries; None if it carries none."""
        ...

    def close(self) -> None: ...


def open_decoder(channels: int) -> OpusDecoder:
    """Return a decoder for 48 kHz output with 1 or 2 channels."""
    library = _library()
    return LibOpusDecoder(library, channels) if library is not None else AvOpusDecoder(channels)


@functools.cache
def _library() -> Any | None:
    found = sorted((Path(av.__file__).resolve().parent.parent / "av.libs").glob("libopus-*.so*"))
    for path in found:
        try:
            library = ctypes.CDLL(str(path))
            library.opus_decoder_create.argtypes = [ctypes.c_int32, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
            library.opus_decoder_create.restype = ctypes.c_void_p
            library.opus_decoder_destroy.argtypes = [ctypes.c_void_p]
            library.opus_decoder_destroy.restype = None
            library.opus_decode_float.argtypes = [
                ctypes.c_void_p,
                ctypes.c_char_p,
                ctypes.c_int32,
                ctypes.c_void_p,
                ctypes.c_int,
                ctypes.c_int,
            ]
            library.opus_decode_float.restype = ctypes.c_int
            library.opus_packet_has_lbrr.argtypes = [ctypes.c_char_p, ctypes.c_int32]
            library.opus_packet_has_lbrr.restype = ctypes.c_int
        except (OSError, AttributeError) as error:
            log.debug("! %s: %s", path.name, error)
            continue
        return library
    log.info("libopus is not where PyAV's wheel has it: lost sound is concealed without error correction")
    return None


class LibOpusDecoder:
    def __init__(self, library: Any, channels: int) -> None:
        self.channels = channels
        self._library = library
        error = ctypes.c_int()
        self._handle: int | None = library.opus_decoder_create(opus.RATE, channels, ctypes.byref(error))
        if not self._handle:
            raise MemoryError(f"opus_decoder_create: {error.value}")
        self._out = np.zeros((opus.MAX_DURATION, channels), np.float32)

    def _call(self, data: bytes | None, samples: int, recover: int) -> Pcm:
        size = len(data) if data is not None else 0
        count = self._library.opus_decode_float(self._handle, data, size, self._out.ctypes.data, samples, recover)
        if count < 0:
            raise CodecDataError(f"Opus packet of {size} bytes: libopus error {count}")
        return np.ascontiguousarray(self._out[:count].T)

    def decode(self, packet: bytes) -> Pcm:
        if not packet:
            raise CodecDataError("empty Opus packet")
        return self._call(packet, opus.MAX_DURATION, 0)

    def conceal(self, samples: int) -> Pcm:
        whole = min(-(-samples // STEP) * STEP, opus.MAX_DURATION)
        return self._call(None, whole, 0)[:, :samples]

    def recover(self, following: bytes, samples: int) -> Pcm | None:
        if samples % STEP or self._library.opus_packet_has_lbrr(following, len(following)) != 1:
            return None
        return self._call(following, samples, 1)

    def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle:
            self._library.opus_decoder_destroy(handle)


class AvOpusDecoder:
    def __init__(self, channels: int) -> None:
        self.channels = channels
        context = av.CodecContext.create("libopus", "r")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate = opus.RATE
        context.layout = "mono" if channels == 1 else "stereo"
        self._context: AudioCodecContext | None = context
        self._toc = 0

    def decode(self, packet: bytes) -> Pcm:
        if not packet:
            raise CodecDataError("empty Opus packet")
        pcm = self._decode(packet)
        self._toc = packet[0]
        return pcm

    def _decode(self, packet: bytes) -> Pcm:
        assert self._context is not None
        try:
            frames = self._context.decode(av.Packet(packet))
        except av.error.FFmpegError as error:
            raise CodecDataError(f"Opus packet of {len(packet)} bytes: {error}") from None
        if not frames:
            return np.zeros((self.channels, 0), np.float32)
        return np.concatenate([_planar(frame.to_ndarray(), self.channels) for frame in frames], axis=1)

    def conceal(self, samples: int) -> Pcm:
        parts: list[Pcm] = []
        missing = samples
        while missing > 0:
            part = self._decode(opus.concealment_packet(self._toc))
            if not part.shape[1]:
                part = np.zeros((self.channels, missing), np.float32)
            parts.append(part[:, :missing])
            missing -= part.shape[1]
        return np.concatenate(parts, axis=1)

    def recover(self, following: bytes, samples: int) -> Pcm | None:
        return None

    def close(self) -> None:
        self._context = None


def _planar(samples: npt.NDArray[Any], channels: int) -> Pcm:
    """Bring what PyAV gives (packed or planar, 16-bit or float) to (channels, samples)."""
    if samples.dtype == np.int16:
        samples = samples.astype(np.float32) / 32768
    if samples.shape[0] != channels:
        samples = samples.reshape(-1, channels).T
    return np.ascontiguousarray(samples, np.float32)
