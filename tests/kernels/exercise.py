"""Every kernel once or twice at odd sizes, for the sanitizers to watch: `python exercise.py`, and on a card, for
compute-sanitizer, `python exercise.py cuda:0`. With a `.cu` file as argument, that one alone, of one block of 64
threads with as many floats."""

from __future__ import annotations

import ctypes
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "kernels")]

import numpy as np  # noqa: E402
import shim  # noqa: E402
from pictures import ORIENTATIONS, batch, picture  # noqa: E402

from vcn_trt.backends.base import RawFaces  # noqa: E402
from vcn_trt.backends.cuda.device import CupyDevice, card_of  # noqa: E402
from vcn_trt.backends.cuda.kernels import Device  # noqa: E402
from vcn_trt.backends.cuda.lane import CupyLane  # noqa: E402
from vcn_trt.backends.cuda.ops import CudaOps  # noqa: E402
from vcn_trt.backends.cuda.upload import Uploader  # noqa: E402
from vcn_trt.ragged import Ragged  # noqa: E402


class Unpooled(CupyDevice):
    """Every array is an allocation of its own: inside a pool's block memcheck would see no read beside an array."""

    def active(self) -> ExitStack:
        stack = ExitStack()
        stack.enter_context(super().active())
        stack.enter_context(self.xp.cuda.using_allocator(None))
        return stack


def main(device: Device) -> None:
    ops, rng = CudaOps(device), np.random.default_rng(0)

    def array(*shape: int) -> Any:
        with device.active():
            return device.xp.asarray(rng.random(shape).astype(np.float32))

    transforms = np.array([[[1.5, -0.4, 60], [0.4, 1.5, -20]], [[0.2, 0, 40], [0, 0.2, 40]]], np.float32)
    for i, orientation in enumerate(ORIENTATIONS):
        p = picture(33 + i % 2, 21 + i % 3, i, (8, 10)[i % 2], orientation=orientation, shown=(41, 23))
        frame = Uploader(CupyLane(device))([p.cpu])[0] if isinstance(device, CupyDevice) else p.cuda
        for size in (11, 64):
            ops.letterbox(batch(frame, frame), size, (1.0, 2.0, 3.0), 0.5, True)
        ops.thumbnails(batch(frame), 9)
        ops.warp_faces(batch(frame), np.zeros(2, int), transforms)
        ops.sharpness(batch(frame), np.zeros(2, int), transforms)
    anchors = [2 * -(-45 // s) * -(-67 // s) for s in (8, 16, 32)]
    ops.retinaface_faces([array(2, sum(anchors), k) for k in (4, 2, 10)], (45, 67), 0.5, 0.2)
    ops.scrfd_faces([array(2, a, k) for a in anchors for k in (4, 1, 10)], (45, 67), 0.5, 0.2)
    low = rng.random((37, 2)).astype(np.float32)
    ops.nms(RawFaces(np.hstack([low, low + 0.3]), low[:, 0], np.zeros((37, 5, 2), np.float32)), 0.3)
    for k in (3, 4097):
        logits = Ragged(rng.random((4, k)).astype(np.float32), np.array([0, 1, 1, 4]))
        ops.softmax_means(logits, logits, np.zeros(k), 0.1, 0.1)
    p = rng.dirichlet(np.ones(7), 131).astype(np.float32)
    for _ in ops.pair_edges(p, np.log(p), np.full(131, 9.0), "mean"):
        pass
    tracks = Ragged(rng.random((24, 67)), np.array([0, 1, 1, 3, 24]))
    for kind in ("spherical", "diag", "shrunk", "full"):
        ops.log_densities(tracks, rng.random((5, 67)), kind, 0.5)
        ops.own_log_densities(tracks, kind, 0.5, kind == "full")


def alone(file: Path) -> None:
    out = np.zeros(64, np.float32)
    pointer = ctypes.c_void_p(out.ctypes.data)
    shim.run(shim.build(file, True), (1, 1, 1), (64, 1, 1), (ctypes.c_void_p * 1)(ctypes.addressof(pointer)))


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    if what.endswith(".cu"):
        alone(Path(what))
    elif what == "cpu":
        shim.build_all()
        main(shim.ShimDevice())
    else:
        main(Unpooled(card_of(what)))
