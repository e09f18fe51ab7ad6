"""What an H.264 sequence header says of fields (ITU-T H.264, 7.3.2.1.1): a film that begins with whole frames may have
fields further on, and only its header tells."""

from __future__ import annotations

_WITH_CHROMA = (44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244)
"""Profiles whose headers tell the chroma format, the depth and the scaling lists."""


def frames_only(parameters: bytes) -> bool:
    """frame_mbs_only_flag of every sequence header; False where one cannot be read, or there is none.

    parameters: sequence headers as in the stream, each behind its start code.
    """
    try:
        flags = [_frames_only(header) for header in parameters.split(b"\0\0\1") if header]
    except (IndexError, ValueError):
        return False
    return bool(flags) and all(flags)


class _Bits:
    """Reads a payload from its first bit. Raises ValueError behind its end."""

    def __init__(self, data: bytes) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in data)
        self._at = 0

    def number(self, n: int) -> int:
        """u(n)"""
        self._at += n
        return int(self._bits[self._at - n : self._at], 2)

    def golomb(self) -> int:
        """ue(v), of which se(v) takes as many bits"""
        zeros = self._bits.index("1", self._at) - self._at
        self._at += zeros
        return self.number(zeros + 1) - 1

    def signed(self) -> int:
        """se(v)"""
        k = self.golomb()
        return (k + 1) // 2 if k % 2 else -(k // 2)


def _frames_only(header: bytes) -> bool:
    """header: the NAL unit from its first byte."""
    profile = header[1]
    bits = _Bits(header.replace(b"\0\0\3", b"\0\0")[4:])  # behind profile, constraints and level
    bits.golomb()  # seq_parameter_set_id
    if profile in _WITH_CHROMA:
        _pass_chroma(bits)
    bits.golomb()  # log2_max_frame_num_minus4
    order = bits.golomb()  # pic_order_cnt_type
    if order == 0:
        bits.golomb()  # log2_max_pic_order_cnt_lsb_minus4
    elif order == 1:
        bits.number(1), bits.golomb(), bits.golomb()  # delta_pic_order_always_zero_flag and two offsets
        for _ in range(bits.golomb()):
            bits.golomb()  # offset_for_ref_frame
    bits.golomb(), bits.number(1), bits.golomb(), bits.golomb()  # reference frames, gaps; width, height
    return bool(bits.number(1))


def _pass_chroma(bits: _Bits) -> None:
    chroma = bits.golomb()
    if chroma == 3:
        bits.number(1)  # separate_colour_plane_flag
    bits.golomb(), bits.golomb(), bits.number(1)  # depths; qpprime_y_zero_transform_bypass_flag
    if bits.number(1):
        for i in range(12 if chroma == 3 else 8):
            if bits.number(1):
                _pass_scaling_list(bits, 16 if i < 6 else 64)


def _pass_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last
