"""A frame's conversions: colours by the textbook's formulas, geometry by hand, and no race between threads."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import av
import clips
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vcn_trt.backends.cpu.frame import CpuFrame, Orientation, displayed_size

ORIENTATIONS = [Orientation(*bits) for bits in itertools.product([False, True], repeat=3)]
BT709, BT601, BT2020 = 1, 6, 9
LIMITED, FULL = 1, 2
# Kr and Kb of the recommendations: Y = Kr R + (1 - Kr - Kb) G + Kb B, Cb = (B - Y) / (2 - 2 Kb), Cr likewise of R.
WEIGHTS = {BT709: (0.2126, 0.0722), BT601: (0.299, 0.114), BT2020: (0.2627, 0.0593)}
COLOURS = [(255, 0, 0), (0, 200, 30), (20, 40, 220), (200, 150, 120), (128, 128, 128), (0, 0, 0), (255, 255, 255)]


def stored(rgb: tuple[int, int, int], matrix: int, colour_range: int, bits: int) -> tuple[int, int, int]:
    """The code values Y, Cb, Cr of a colour."""
    r, g, b = (c / 255 for c in rgb)
    kr, kb = WEIGHTS[matrix]
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    top, unit = 2**bits - 1, 2 ** (bits - 8)
    if colour_range == FULL:
        return round(y * top), *(min(top, round(c * top + 128 * unit)) for c in (cb, cr))
    return round((219 * y + 16) * unit), round((224 * cb + 128) * unit), round((224 * cr + 128) * unit)


def flat(codes: tuple[int, int, int], pix_fmt: str, width: int = 32, height: int = 18) -> av.VideoFrame:
    """A frame of one colour, written plane by plane."""
    frame = av.VideoFrame(width, height, pix_fmt)
    dtype = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    shift = 6 if pix_fmt.startswith("p010") else 0
    for i, plane in enumerate(frame.planes):
        values = [codes[i]] if len(frame.planes) == 3 else ([codes[0]], list(codes[1:]))[i]
        n = plane.buffer_size // np.dtype(dtype).itemsize // len(values)
        plane.update((np.tile(np.array(values, np.int64), n) << shift).astype(dtype).tobytes())
    return frame


@pytest.mark.parametrize("colour_range", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", [BT601, BT709, BT2020])
@pytest.mark.parametrize(
    ("pix_fmt", "bits"),
    [
        *(("yuv420p", 8), ("yuv422p", 8), ("yuv444p", 8), ("nv12", 8)),
        *(("yuv420p10le", 10), ("yuv422p10le", 10), ("yuv444p10le", 10), ("p010le", 10), ("yuv420p12le", 12)),
    ],
)
def test_colours_follow_matrix_range_and_depth(pix_fmt: str, bits: int, matrix: int, colour_range: int) -> None:
    for colour in COLOURS:
        raw = flat(stored(colour, matrix, colour_range, bits), pix_fmt)
        raw.colorspace, raw.color_range = matrix, colour_range
        frame = CpuFrame(raw)
        np.testing.assert_allclose(frame.rgb().reshape(-1, 3), np.tile(colour, (32 * 18, 1)), atol=1)
        np.testing.assert_allclose(frame.bgr_scaled(8, 5)[..., ::-1].reshape(-1, 3), np.tile(colour, (40, 1)), atol=3)
        kr, kb = WEIGHTS[matrix]
        luma = kr * colour[0] + (1 - kr - kb) * colour[1] + kb * colour[2]
        assert np.abs(frame.luma() - luma).max() < 1.1  # The code is rounded, then the luma.


@pytest.mark.parametrize(("height", "matrix"), [(576, BT601), (718, BT601), (720, BT709), (2160, BT709)])
def test_an_untagged_frame_is_limited_and_bt709_from_720_lines(height: int, matrix: int) -> None:
    frame = CpuFrame(flat(stored((200, 60, 40), matrix, LIMITED, 8), "yuv420p", 64, height))
    np.testing.assert_allclose(frame.rgb().reshape(-1, 3).mean(0), (200, 60, 40), atol=1)


def test_a_j_format_is_full_range_without_a_tag() -> None:
    frame = CpuFrame(flat(stored((200, 60, 40), BT601, FULL, 8), "yuvj420p"))
    np.testing.assert_allclose(frame.rgb().reshape(-1, 3).mean(0), (200, 60, 40), atol=1.5)
    assert np.ptp(CpuFrame(flat((255, 128, 128), "yuvj420p")).luma()) == 0
    assert CpuFrame(flat((255, 128, 128), "yuvj420p")).luma()[0, 0] == 255


@pytest.mark.parametrize("pix_fmt", ["rgb24", "bgr24", "gbrp", "rgba", "yuva420p", "gray", "yuyv422"])
def test_other_formats_show_the_same_picture(pix_fmt: str) -> None:
    picture = np.full((32, 48, 3), 180, np.uint8) if pix_fmt == "gray" else clips.numbered(9, 48, 32)
    raw = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt, dst_colorspace=5)
    frame = CpuFrame(raw)
    assert np.abs(frame.rgb().astype(int) - picture)[:, ::4].mean() < (
        1.5 if pix_fmt in ("rgb24", "bgr24", "gbrp", "rgba") else 9
    )
    grey = picture @ np.array([0.299, 0.587, 0.114])
    assert np.abs(frame.luma() - grey).mean() < 2.5


def test_luma_is_the_coded_plane_by_the_formula() -> None:
    codes = np.arange(256, dtype=np.uint8).reshape(16, 16)
    raw = av.VideoFrame(16, 16, "yuv444p")
    for plane, values in zip(raw.planes, (codes, np.full_like(codes, 128), np.full_like(codes, 128)), strict=True):
        padded = np.zeros((16, plane.line_size), np.uint8)
        padded[:, :16] = values
        plane.update(padded.tobytes())
    expected = np.clip(np.rint((codes.astype(float) - 16) * 255 / 219), 0, 255)
    np.testing.assert_array_equal(CpuFrame(raw).luma(), expected)


def test_shrinking_averages_instead_of_skipping() -> None:
    """A chequerboard of single pixels becomes even grey; picking pixels would leave it black or white."""
    board = (np.indices((64, 96)).sum(0) % 2 * 255).astype(np.uint8)
    frame = CpuFrame(av.VideoFrame.from_ndarray(np.repeat(board[..., None], 3, 2), format="rgb24"))
    small = frame.bgr_scaled(24, 16).astype(float)
    assert np.abs(small[2:-2, 2:-2] - 127.5).max() < 3


@pytest.mark.parametrize("width", [32, 48, 96, 192])
def test_scaling_keeps_the_place_of_every_pixel(width: int) -> None:
    """A ramp of value x has value (x' + 1/2) factor - 1/2 after scaling, so nothing moves by a fraction of a pixel."""
    ramp = np.broadcast_to(np.arange(96, dtype=np.uint8)[None, :, None] * 2, (64, 96, 3))
    frame = CpuFrame(av.VideoFrame.from_ndarray(np.ascontiguousarray(ramp), format="rgb24"))
    row = frame.bgr_scaled(width, 64)[32, :, 1].astype(float)
    expected = ((np.arange(width) + 0.5) * 96 / width - 0.5) * 2
    inside = slice(width // 10, -width // 10)
    assert np.abs(row - expected)[inside].max() <= 1.6


def test_displayed_size_by_hand() -> None:
    upright, turned = Orientation(), Orientation(True, True, False)
    assert displayed_size(480, 360, Fraction(4, 3), upright) == (640, 360)
    assert displayed_size(720, 576, Fraction(16, 15), upright) == (768, 576)
    assert displayed_size(1440, 1080, Fraction(4, 3), turned) == (1080, 1920)
    assert displayed_size(639, 359, None, upright) == (639, 359)
    assert displayed_size(639, 359, Fraction(0), upright) == (639, 359)


def test_displayed_to_coded_by_hand() -> None:
    raw = av.VideoFrame(4, 3, "gray")
    # Coded 4 wide, shown 8 wide: pixel 0 is centred a quarter left of coded pixel 0.
    np.testing.assert_allclose(CpuFrame(raw, size=(8, 3)).displayed_to_coded, [[0.5, 0, -0.25], [0, 1, 0]])
    # A quarter clockwise: the displayed top right corner (2, 0) is the coded top left.
    quarter = CpuFrame(raw, Orientation(True, True, False))
    assert (quarter.width, quarter.height, quarter.orientation.rotation) == (3, 4, 90)
    np.testing.assert_allclose(quarter.displayed_to_coded @ (2, 0, 1), (0, 0))
    np.testing.assert_allclose(quarter.displayed_to_coded @ (0, 3, 1), (3, 2))


@given(st.sampled_from(ORIENTATIONS), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_displayed_to_coded_agrees_with_turning_the_picture(turn: Orientation, w: int, h: int, seed: int) -> None:
    coded = np.random.default_rng(seed).integers(0, 256, (h, w))
    shown = turn.apply(coded)
    frame = CpuFrame(av.VideoFrame(w, h, "gray"), turn)
    assert shown.shape == (frame.height, frame.width)
    for y, x in np.ndindex(shown.shape):
        u, v = frame.displayed_to_coded @ (x, y, 1)
        assert shown[y, x] == coded[int(v), int(u)]


def test_threads_do_not_disturb_one_another() -> None:
    rng = np.random.default_rng(1)
    raw = av.VideoFrame.from_ndarray(rng.integers(0, 256, (120, 160, 3), np.uint8), format="rgb24")
    frames = [CpuFrame(raw.reformat(format="yuv420p")) for _ in range(4)]
    calls: list[Any] = [CpuFrame.rgb, CpuFrame.luma, lambda f: f.bgr_scaled(80, 60), lambda f: f.bgr_scaled(40, 30)]
    expected: list[NDArray[np.uint8]] = [call(frames[0]) for call in calls]
    with ThreadPoolExecutor(4) as pool:
        work = [(frame, i) for _ in range(10) for frame in frames for i in range(len(calls))]
        for (_, i), result in zip(work, pool.map(lambda job: calls[job[1]](job[0]), work), strict=True):
            np.testing.assert_array_equal(result, expected[i])
