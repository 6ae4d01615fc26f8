"""H.264 bytes: NAL units, parameter sets, slice types. ITU-T H.264 sections 7.3 and E.1; ISO 14496-15 for avcC.

A NAL unit here is `bytes` without start code and without length prefix; its first byte is the NAL header. Nothing
decodes pictures. For any input a function returns a value or raises CodecDataError.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.base.errors import CodecDataError

MAX_NALS: Final = 1024
"""NAL units in one access unit; a level 5.2 picture has at most 696 slices (table A-1)."""

MAX_PARAMETER_SET: Final = 16384
"""Bytes of one SPS or PPS that we are willing to read."""


class NalType(enum.IntEnum):
    SLICE = 1
    PARTITION_A = 2
    IDR = 5
    SEI = 6
    SPS = 7
    PPS = 8
    AUD = 9
    END_OF_SEQUENCE = 10
    END_OF_STREAM = 11
    FILLER = 12
    STAP_A = 24
    FU_A = 28


class SliceType(enum.IntEnum):
    P = 0
    B = 1
    I = 2  # noqa: E741 - the standard's letter
    SP = 3
    SI = 4


def nal_type(nal: bytes) -> int:
    """Return nal_unit_type 0..31. Raises CodecDataError if `nal` is empty."""
    if not nal:
        raise CodecDataError("empty NAL unit")
    return nal[0] & 0x1F


def is_reference(nal: bytes) -> bool:
    """True if other pictures may be predicted from this one (nal_ref_idc is not 0)."""
    return bool(nal) and bool(nal[0] & 0x60)


def has_idr(nals: Iterable[bytes]) -> bool:
    return any(nal and nal[0] & 0x1F == NalType.IDR for nal in nals)


# ---------------------------------------------------------------- bits


def unescape(nal: bytes) -> bytes:
    """Remove emulation prevention: 00 00 03 becomes 00 00. Section 7.4.1.1."""
    if b"\x00\x00\x03" not in nal:
        return nal
    out = bytearray()
    start = 0
    while (at := nal.find(b"\x00\x00\x03", start)) >= 0:
        out += nal[start : at + 2]
        start = at + 3
    out += nal[start:]
    return bytes(out)


class BitReader:
    """Reads an RBSP from its most significant bit. Raises CodecDataError past the end."""

    __slots__ = ("_bits", "_position", "_value")

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._bits = len(data) * 8
        self._position = 0

    def u(self, count: int) -> int:
        """Return the next `count` bits as an unsigned number."""
        end = self._position + count
        if end > self._bits:
            raise CodecDataError("codec data end in the middle of a field")
        self._position = end
        return (self._value >> (self._bits - end)) & ((1 << count) - 1)

    def flag(self) -> bool:
        return self.u(1) == 1

    def ue(self) -> int:
        """Return an unsigned Exp-Golomb number, 0..2**32-2. Section 9.1."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise CodecDataError("Exp-Golomb number longer than 32 bits")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """Return a signed Exp-Golomb number."""
        value = self.ue()
        return (value + 1) // 2 if value & 1 else -(value // 2)


# ---------------------------------------------------------------- parameter sets

_HIGH_PROFILES: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
"""Profiles whose SPS carries chroma format, bit depth and scaling lists."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sps:
    """What the gateway needs of a sequence parameter set. Sizes in pixels, after cropping.

    `max_num_reorder_frames` is None if the VUI does not say it.
    """

    profile_idc: int
    constraint_flags: int
    level_idc: int
    sps_id: int
    chroma_format_idc: int
    bit_depth: int
    width: int
    height: int
    interlaced: bool
    pic_order_cnt_type: int
    max_num_ref_frames: int
    max_num_reorder_frames: int | None

    @property
    def profile_level_id(self) -> str:
        """Six hex digits, as SDP writes it: "42e01f"."""
        return f"{self.profile_idc:02x}{self.constraint_flags:02x}{self.level_idc:02x}"

    @property
    def codec_string(self) -> str:
        """As media source extensions and HLS write it: "avc1.42E01F"."""
        return f"avc1.{self.profile_level_id.upper()}"

    @property
    def may_reorder(self) -> bool | None:
        """False: output order is decoding order for sure. True: the stream announces reordering. None: not said.

        Baseline has no B slices (A.2.1); picture order count type 2 excludes reordering (8.2.1.3).
        """
        if self.profile_idc == 66 or self.pic_order_cnt_type == 2:
            return False
        if self.max_num_reorder_frames is None:
            return None
        return self.max_num_reorder_frames > 0


def parse_sps(nal: bytes) -> Sps:
    """Read a sequence parameter set NAL unit (with its header byte). Raises CodecDataError."""
    if nal_type(nal) != NalType.SPS:
        raise CodecDataError(f"NAL unit of type {nal_type(nal)} where an SPS is expected")
    if len(nal) > MAX_PARAMETER_SET:
        raise CodecDataError(f"SPS of {len(nal)} bytes, limit {MAX_PARAMETER_SET}")
    bits = BitReader(unescape(nal[1:1024]))  # the longest real one, with all scaling lists, is shorter
    profile_idc, constraint_flags, level_idc = bits.u(8), bits.u(8), bits.u(8)
    sps_id = bits.ue()
    if sps_id > 31:
        raise CodecDataError(f"seq_parameter_set_id {sps_id}, at most 31")
    chroma_format_idc, bit_depth, separate_planes = 1, 8, False
    if profile_idc in _HIGH_PROFILES:
        chroma_format_idc = bits.ue()
        if chroma_format_idc > 3:
            raise CodecDataError(f"chroma_format_idc {chroma_format_idc}")
        if chroma_format_idc == 3:
            separate_planes = bits.flag()
        bit_depth = 8 + bits.ue()
        bits.ue()  # bit_depth_chroma_minus8
        bits.flag()  # qpprime_y_zero_transform_bypass_flag
        if bits.flag():
            for index in range(8 if chroma_format_idc != 3 else 12):
                if bits.flag():
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.ue()  # log2_max_frame_num_minus4
    pic_order_cnt_type = bits.ue()
    if pic_order_cnt_type == 0:
        bits.ue()  # log2_max_pic_order_cnt_lsb_minus4
    elif pic_order_cnt_type == 1:
        bits.flag()  # delta_pic_order_always_zero_flag
        bits.se()  # offset_for_non_ref_pic
        bits.se()  # offset_for_top_to_bottom_field
        count = bits.ue()
        if count > 255:
            raise CodecDataError(f"num_ref_frames_in_pic_order_cnt_cycle {count}, at most 255")
        for _ in range(count):
            bits.se()
    elif pic_order_cnt_type != 2:
        raise CodecDataError(f"pic_order_cnt_type {pic_order_cnt_type}")
    max_num_ref_frames = bits.ue()
    bits.flag()  # gaps_in_frame_num_value_allowed_flag
    width_mbs, height_units = bits.ue() + 1, bits.ue() + 1
    frame_mbs_only = bits.flag()
    if not frame_mbs_only:
        bits.flag()  # mb_adaptive_frame_field_flag
    bits.flag()  # direct_8x8_inference_flag
    left = right = top = bottom = 0
    if bits.flag():
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
    # Table 6-1: how many luma samples one chroma sample covers.
    sub_width = 2 if chroma_format_idc in (1, 2) and not separate_planes else 1
    sub_height = 2 if chroma_format_idc == 1 and not separate_planes else 1
    field_factor = 1 if frame_mbs_only else 2
    width = width_mbs * 16 - sub_width * (left + right)
    height = height_units * 16 * field_factor - sub_height * field_factor * (top + bottom)
    if not (0 < width <= 16384 and 0 < height <= 16384):
        raise CodecDataError(f"picture size {width}x{height}")
    return Sps(
        profile_idc=profile_idc,
        constraint_flags=constraint_flags,
        level_idc=level_idc,
        sps_id=sps_id,
        chroma_format_idc=chroma_format_idc,
        bit_depth=bit_depth,
        width=width,
        height=height,
        interlaced=not frame_mbs_only,
        pic_order_cnt_type=pic_order_cnt_type,
        max_num_ref_frames=max_num_ref_frames,
        max_num_reorder_frames=_reorder_frames(bits) if _has_vui(bits) else None,
    )


def _has_vui(bits: BitReader) -> bool:
    try:
        return bits.flag()
    except CodecDataError:  # some encoders cut the SPS here; the rest is optional for us
        return False


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _reorder_frames(bits: BitReader) -> int | None:
    """Read vui_parameters() up to max_num_reorder_frames. Section E.1.1. A VUI that is cut short says nothing."""
    try:
        if bits.flag() and bits.u(8) == 255:  # aspect_ratio: Extended_SAR
            bits.u(32)
        if bits.flag():  # overscan
            bits.flag()
        if bits.flag():  # video_signal_type
            bits.u(4)
            if bits.flag():
                bits.u(24)
        if bits.flag():  # chroma_loc
            bits.ue()
            bits.ue()
        if bits.flag():  # timing
            bits.u(32)
            bits.u(32)
            bits.flag()
        nal_hrd = bits.flag()
        if nal_hrd:
            _skip_hrd(bits)
        vcl_hrd = bits.flag()
        if vcl_hrd:
            _skip_hrd(bits)
        if nal_hrd or vcl_hrd:
            bits.flag()  # low_delay_hrd_flag
        bits.flag()  # pic_struct_present_flag
        if not bits.flag():  # bitstream_restriction_flag
            return None
        bits.flag()  # motion_vectors_over_pic_boundaries_flag
        for _ in range(4):
            bits.ue()
        reorder = bits.ue()
        return reorder if reorder <= 16 else None
    except CodecDataError:
        return None


def _skip_hrd(bits: BitReader) -> None:
    count = bits.ue() + 1
    if count > 32:
        raise CodecDataError(f"cpb_cnt {count}, at most 32")
    bits.u(8)
    for _ in range(count):
        bits.ue()
        bits.ue()
        bits.flag()
    bits.u(20)


def parameter_set_id(nal: bytes) -> int:
    """Return the id of an SPS (0..31) or PPS (0..255) NAL unit. Raises CodecDataError."""
    kind = nal_type(nal)
    head = unescape(nal[:16])
    if kind == NalType.SPS:
        value, limit = BitReader(head[4:]).ue(), 31
    elif kind == NalType.PPS:
        value, limit = BitReader(head[1:]).ue(), 255
    else:
        raise CodecDataError(f"NAL unit of type {kind} is no parameter set")
    if value > limit:
        raise CodecDataError(f"parameter set id {value}, at most {limit}")
    return value


def slice_type(nal: bytes) -> SliceType | None:
    """Return the slice type of a coded slice (types 1, 2, 5), or None for any other NAL unit. Raises CodecDataError."""
    if nal_type(nal) not in (NalType.SLICE, NalType.PARTITION_A, NalType.IDR):
        return None
    bits = BitReader(unescape(nal[1:12]))
    bits.ue()  # first_mb_in_slice
    value = bits.ue()
    if value > 9:
        raise CodecDataError(f"slice_type {value}, at most 9")
    return SliceType(value % 5)


# ---------------------------------------------------------------- avcC and framing


@dataclasses.dataclass(frozen=True, slots=True)
class AvcConfig:
    """An AVCDecoderConfigurationRecord (ISO 14496-15, 5.2.4.1): parameter sets and the size of the length prefix."""

    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    length_size: int


def parse_avcc(data: bytes) -> AvcConfig:
    """Read an avcC record, or parameter sets in Annex B, which a few publishers send instead. Raises CodecDataError."""
    if data[:3] == b"\x00\x00\x01" or data[:4] == b"\x00\x00\x00\x01":
        nals = split_annexb(data)
        sps = tuple(nal for nal in nals if nal[0] & 0x1F == NalType.SPS)
        pps = tuple(nal for nal in nals if nal[0] & 0x1F == NalType.PPS)
        return AvcConfig(sps, pps, 4)
    if len(data) < 6 or data[0] != 1:
        raise CodecDataError("not an avcC record")
    length_size = (data[4] & 3) + 1
    if length_size == 3:
        raise CodecDataError("avcC: length prefixes of 3 bytes do not exist")
    sps, position = _read_sets(data, 5, data[5] & 0x1F, NalType.SPS)
    if position >= len(data):
        raise CodecDataError("avcC ends before its PPS count")
    pps, _ = _read_sets(data, position, data[position], NalType.PPS)
    return AvcConfig(sps, pps, length_size)


def _read_sets(data: bytes, position: int, count: int, kind: NalType) -> tuple[tuple[bytes, ...], int]:
    """Read `count` 16-bit-length-prefixed NAL units behind data[position]. Those of another type are left out."""
    position += 1
    found: list[bytes] = []
    for _ in range(count):
        size = int.from_bytes(data[position : position + 2], "big")
        nal = data[position + 2 : position + 2 + size]
        if position + 2 > len(data) or len(nal) != size:
            raise CodecDataError("avcC ends in the middle of a parameter set")
        position += 2 + size
        if nal and nal[0] & 0x1F == kind:
            found.append(nal)
    return tuple(found), position


def build_avcc(sps: Sequence[bytes], pps: Sequence[bytes]) -> bytes:
    """Return an avcC record with 4-byte length prefixes. Raises CodecDataError if there is no SPS or PPS."""
    if not sps or not pps or len(sps) > 31 or len(pps) > 255 or len(sps[0]) < 4:
        raise CodecDataError(f"avcC of {len(sps)} SPS and {len(pps)} PPS")
    out = bytearray((1, sps[0][1], sps[0][2], sps[0][3], 0xFC | 3, 0xE0 | len(sps)))
    for nal in sps:
        out += len(nal).to_bytes(2, "big") + nal
    out.append(len(pps))
    for nal in pps:
        out += len(nal).to_bytes(2, "big") + nal
    if sps[0][1] in (100, 110, 122, 144):
        first = parse_sps(sps[0])
        out += bytes((0xFC | first.chroma_format_idc, 0xF8 | first.bit_depth - 8, 0xF8 | first.bit_depth - 8, 0))
    return bytes(out)


def split_avcc(data: bytes, length_size: int) -> list[bytes]:
    """Split length-prefixed NAL units, strictly; empty ones are left out. Raises CodecDataError."""
    nals: list[bytes] = []
    position, end = 0, len(data)
    while position < end:
        start = position + length_size
        size = int.from_bytes(data[position:start], "big")
        position = start + size
        if position > end or start > end:
            raise CodecDataError("NAL unit longer than its frame")
        if size:
            if len(nals) >= MAX_NALS:
                raise CodecDataError(f"more than {MAX_NALS} NAL units in a frame")
            nals.append(data[start:position])
    return nals


def split_annexb(data: bytes) -> list[bytes]:
    """Split at start codes (three or four bytes); zero bytes behind a NAL unit are dropped. Raises CodecDataError."""
    nals: list[bytes] = []
    at = data.find(b"\x00\x00\x01")
    if at < 0:
        raise CodecDataError("no start code")
    while at >= 0:
        start = at + 3
        at = data.find(b"\x00\x00\x01", start)
        nal = data[start : at if at >= 0 else len(data)].rstrip(b"\x00")
        if nal:
            if len(nals) >= MAX_NALS:
                raise CodecDataError(f"more than {MAX_NALS} NAL units in a frame")
            nals.append(nal)
    return nals


def split_access_unit(data: bytes, length_size: int = 4) -> list[bytes]:
    """Split what a publisher sent as one frame, whatever it is framed in. Raises CodecDataError.

    Tried in turn: length prefixes of the declared size, 4-byte ones, Annex B, and the other sizes; the first that
    fits to the last byte and gives well-formed NAL headers wins. Publishers exist that declare one and send another.
    """
    for size in dict.fromkeys((length_size, 4)):
        nals = _try_avcc(data, size)
        if nals:
            return nals
    if data[:3] == b"\x00\x00\x01" or data[:4] == b"\x00\x00\x00\x01":
        return split_annexb(data)
    for size in (2, 1):
        nals = _try_avcc(data, size)
        if nals:
            return nals
    raise CodecDataError("frame is neither length-prefixed nor Annex B")


def _try_avcc(data: bytes, length_size: int) -> list[bytes] | None:
    try:
        nals = split_avcc(data, length_size)
    except CodecDataError:
        return None
    # forbidden_zero_bit, and types that a file never holds
    return nals if all(not nal[0] & 0x80 and 0 < nal[0] & 0x1F < 24 for nal in nals) else None


def join_avcc(nals: Iterable[bytes]) -> bytes:
    """Return the NAL units with 4-byte length prefixes: the body of an H.264 Frame."""
    parts: list[bytes] = []
    for nal in nals:
        parts.append(len(nal).to_bytes(4, "big"))
        parts.append(nal)
    return b"".join(parts)


def join_annexb(nals: Iterable[bytes]) -> bytes:
    return b"".join(b"\x00\x00\x00\x01" + nal for nal in nals)


class ParameterSets:
    """The SPS and PPS in force, by id; the newest of an id wins. At most 32 and 256 of them, by the standard."""

    __slots__ = ("_pps", "_sps")

    def __init__(self) -> None:
        self._sps: dict[int, bytes] = {}
        self._pps: dict[int, bytes] = {}

    def update(self, nal: bytes) -> bool:
        """Take an SPS or PPS; any other NAL unit is ignored. True if something changed. Raises CodecDataError."""
        kind = nal_type(nal)
        if kind not in (NalType.SPS, NalType.PPS):
            return False
        if len(nal) > MAX_PARAMETER_SET:
            raise CodecDataError(f"parameter set of {len(nal)} bytes, limit {MAX_PARAMETER_SET}")
        store = self._sps if kind == NalType.SPS else self._pps
        key = parameter_set_id(nal)
        if store.get(key) == nal:
            return False
        store[key] = nal
        return True

    def clear(self) -> None:
        self._sps.clear()
        self._pps.clear()

    @property
    def complete(self) -> bool:
        return bool(self._sps and self._pps)

    @property
    def sps(self) -> list[bytes]:
        return list(self._sps.values())

    @property
    def pps(self) -> list[bytes]:
        return list(self._pps.values())
