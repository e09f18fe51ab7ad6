"""The kernels that read frames, held to their headers' formulas in NumPy, and to the CPU column."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import ORIENTATIONS, Picture, batch, bilinear, picture, rgb

from vcn_trt.backends.cpu.ops import CpuOps
from vcn_trt.backends.cuda.frame import CudaFrame
from vcn_trt.backends.cuda.ops import CudaOps, inverted

EXACT = 0.02  # levels of 255: what float coordinates leave of double ones
SIZES = [(320, 180, 160), (320, 180, 96), (300, 170, 640), (180, 320, 101)]
TURN = np.array([[[0.8, -0.3, 20], [0.3, 0.8, -10]]], np.float32)

pictures = st.builds(
    picture,
    width=st.integers(2, 40),
    height=st.integers(2, 40),
    seed=st.integers(0, 99),
    bits=st.sampled_from([8, 10]),
    matrix=st.sampled_from([1, 6, 9]),
    full=st.booleans(),
    orientation=st.sampled_from(ORIENTATIONS),
    siting=st.sampled_from([(0.0, 0.0), (0.25, 0.0), (0.25, 0.25), (0.0, -0.25)]),
    shown=st.none() | st.tuples(st.integers(2, 50), st.integers(2, 50)),
)


@settings(max_examples=25)
@given(p=pictures, size=st.integers(2, 60), in_rgb=st.booleans())
def test_letterbox_is_the_formula(ops: CudaOps, p: Picture, size: int, in_rgb: bool) -> None:
    found, factor = ops.letterbox(batch(p.cuda), size, (104.0, 117.0, 123.0), 0.5, in_rgb)
    width, height = (max(1, round(n * factor)) for n in (p.cuda.width, p.cuda.height))
    expected = rgb(p, width, height, "area")
    expected = (expected if in_rgb else expected[..., ::-1]) - (104, 117, 123)
    np.testing.assert_allclose(found[0, :, :height, :width], expected.transpose(2, 0, 1) * 0.5, atol=EXACT, rtol=0)
    assert not found[0, :, height:].any()
    assert not found[0, :, :, width:].any()


@settings(max_examples=10)
@given(p=pictures, width=st.integers(1, 40))
def test_thumbnails_are_the_formula_rounded(ops: CudaOps, p: Picture, width: int) -> None:
    found = ops.thumbnails(batch(p.cuda), width)
    expected = rgb(p, found.shape[2], found.shape[1], "area")[..., ::-1]
    assert np.abs(found[0] - expected).max() <= 0.5 + EXACT


@settings(max_examples=4)
@given(p=pictures, angle=st.floats(-3, 3), scale=st.floats(0.3, 4))
def test_warped_faces_are_the_formula(ops: CudaOps, p: Picture, angle: float, scale: float) -> None:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    transform = np.array([[[c, -s, 30], [s, c, 40]]], np.float32)
    found = ops.warp_faces(batch(p.cuda), np.array([0]), transform)[0]
    whole = rgb(p, p.cuda.width, p.cuda.height, "tent")
    expected = bilinear(np.rint(whole), inverted(transform)[0])
    off = np.abs(found - expected)
    # A sample a hair from a half may round the other way, and takes its neighbours' crop pixels along.
    assert off.max() <= 1.5 + EXACT
    assert (off > 0.5 + EXACT).mean() < 0.01


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("bits", [8, 10])
def test_faces_are_cut_out_as_on_the_cpu(ops: CudaOps, orientation: tuple[bool, bool, bool], bits: int) -> None:
    p = picture(90, 120, 1, bits, 1, orientation=orientation, noise=False)
    found = ops.warp_faces(batch(p.cuda), np.array([0]), TURN).astype(int)
    expected = CpuOps().warp_faces(batch(p.cpu), np.array([0]), TURN)
    assert np.abs(found - expected).max() <= 1
    assert np.abs(found - expected).mean() < 0.02
    assert expected.std() > 10


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize(
    ("bits", "full", "shown"), [(8, False, None), (8, True, (100, 120)), (10, False, None), (10, True, None)]
)
def test_sharpness_is_that_of_the_cpu(
    ops: CudaOps, orientation: tuple[bool, bool, bool], bits: int, full: bool, shown: tuple[int, int] | None
) -> None:
    p = picture(120, 90, 2, bits, 6, full, orientation, shown, noise=False)
    found = ops.sharpness(batch(p.cuda), np.array([0]), TURN)
    assert found == pytest.approx(CpuOps().sharpness(batch(p.cpu), np.array([0]), TURN), rel=2e-3)
    assert found > 10


@pytest.mark.parametrize(("width", "height", "size"), SIZES)
@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("full", [False, True])
def test_a_resized_frame_is_that_of_the_cpu(
    once: CudaOps, width: int, height: int, size: int, matrix: int, full: bool
) -> None:
    p = picture(width, height, 3, matrix=matrix, full=full, noise=False)
    found, _ = once.letterbox(batch(p.cuda), size, (0.0, 0.0, 0.0), 1.0, True)
    expected, _ = CpuOps().letterbox(batch(p.cpu), size, (0.0, 0.0, 0.0), 1.0, True)
    off = np.abs(found - expected)
    # swscale rounds a colour thrice and its green down, by 1.3 in the mean; enlarged, its rows of chroma too.
    assert off.mean() < 1.5
    assert off.max() < 7


def test_frames_of_a_batch_keep_their_own_colours_and_planes(ops: CudaOps) -> None:
    three = [picture(40, 30, 1), picture(40, 30, 2, bits=10, matrix=9), picture(40, 30, 3, full=True)]
    together, _ = ops.letterbox(batch(*(p.cuda for p in three)), 20, (0.0, 0.0, 0.0), 1.0, True)
    for i, p in enumerate(three):
        alone, _ = ops.letterbox(batch(p.cuda), 20, (0.0, 0.0, 0.0), 1.0, True)
        np.testing.assert_array_equal(together[i], alone[0])


def test_a_transform_of_zeros_cuts_out_one_colour(ops: CudaOps) -> None:
    p = picture(40, 30, 1)
    nothing = np.zeros((1, 2, 3), np.float32)
    crop = ops.warp_faces(batch(p.cuda), np.array([0]), nothing)
    assert (crop == CpuOps().warp_faces(batch(p.cpu), np.array([0]), nothing)).all()
    assert ops.sharpness(batch(p.cuda), np.array([0]), nothing) == 0


def test_a_face_far_outside_is_black(ops: CudaOps) -> None:
    p = picture(40, 30, 1)
    away = np.array([[[1e-4, 0, 1e6], [0, 1e-4, -1e6]]], np.float32)
    assert not ops.warp_faces(batch(p.cuda), np.array([0]), away).any()
    assert ops.sharpness(batch(p.cuda), np.array([0]), away) == 0


def test_a_frame_that_the_batch_lacks_is_refused(ops: CudaOps) -> None:
    with pytest.raises(IndexError, match="frames 0 to 0 of the batch, found 1 to 1"):
        ops.warp_faces(batch(picture(4, 4).cuda), np.array([1]), TURN)


def test_planes_that_are_no_nv12_are_refused() -> None:
    luma, chroma = np.zeros((4, 6), np.uint8), np.zeros((2, 6), np.uint8)
    CudaFrame(luma, chroma, 1, False)
    with pytest.raises(TypeError, match="uint8 and uint16"):
        CudaFrame(luma, chroma.astype(np.uint16), 1, False)
    with pytest.raises(ValueError, match=r"found \(4, 6\) and \(2, 4\)"):
        CudaFrame(luma, chroma[:, :4], 1, False)
    with pytest.raises(ValueError, match="strides"):
        CudaFrame(np.asfortranarray(luma), chroma, 1, False)
    with pytest.raises(ValueError, match=r"matrix must be one of .* found 10"):
        CudaFrame(luma, chroma, 10, False)
