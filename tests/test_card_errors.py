"""A card that is full or lost: what says so, and what becomes of a run. The texts are those of CUDA, torch and CuPy;
the errors are raised by fakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import Face, Studio, detector_of, film, write_files

from vcn_trt import api, backends, pipeline
from vcn_trt.backends.base import FrameBatch
from vcn_trt.card_errors import as_device_error, out_of_memory
from vcn_trt.config import Config
from vcn_trt.errors import DeviceError, UsageError
from vcn_trt.ingest import production
from vcn_trt.ingest.detect import FaceDetector
from vcn_trt.run import Desk, Run, Stage, read_record
from vcn_trt.sources import find
from vcn_trt.zoo import manifest
from vcn_trt.zoo.models import Model


class OutOfMemoryError(MemoryError):
    """Named and derived as CuPy's, whose text is of this form."""


CUPY = OutOfMemoryError("Out of memory allocating 1,024 bytes (allocated so far: 512 bytes).")
ILLEGAL = RuntimeError(
    "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported"
)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), True),
        (CUPY, True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cudaErrorMemoryAllocation: out of memory"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), True),
        (MemoryError("Unable to allocate 8.00 GiB for an array"), False),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
    ],
)
def test_what_says_that_a_card_is_full(error: Exception, is_one: bool) -> None:
    assert out_of_memory(error) is is_one


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported",
        "cudaErrorIllegalAddress: an illegal memory access was encountered",
        "CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure",
        "CUDA error: device-side assert triggered",
        "CUDA error: uncorrectable ECC error encountered",
    ],
)
def test_a_lost_card_is_told_with_what_was_found_and_what_comes_next(text: str) -> None:
    known = as_device_error(RuntimeError(text))
    assert known is not None
    assert text.splitlines()[0] in str(known)
    assert "asynchronously" not in str(known)
    assert "the same command goes on where this one stood" in str(known)


def test_other_errors_are_no_trouble_of_a_card() -> None:
    assert as_device_error(RuntimeError("shape mismatch")) is None
    assert as_device_error(ValueError("an illegal memory access was encountered")) is None
    assert "raise --gpu-memory" in str(as_device_error(CUPY))


# In a run -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "says"), [(ILLEGAL, "card is lost"), (CUPY, "no memory left")])
def test_a_run_ends_cleanly_and_its_record_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"a film")

    def broken(run: Run, *inputs: Any) -> None:
        run.stage(Stage("first", 1, (), lambda desk: {}, lambda folder, facts: None))
        raise error

    monkeypatch.setattr(pipeline, "cluster_videos", broken)
    with pytest.raises(DeviceError, match=says):
        api.cluster_sources(find([video]), tmp_path / "run", Config(device="cpu"))
    record = read_record(tmp_path / "run")
    assert record["state"] == "failed"
    assert says in record["error"]
    assert "first" in record["stages"], "what was computed is kept"


def test_a_lost_card_is_not_taken_for_a_bad_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = Studio({"a.mp4": film([[Face(60)]] * 30), "b.mp4": film([[Face(60)]] * 30)})
    studio.films["a.mp4"].breaks_at, studio.films["a.mp4"].error = 8, ILLEGAL
    monkeypatch.setattr(production, "FaceDetector", lambda *inputs: detector_of(studio))
    monkeypatch.setattr(production, "_probe", lambda *inputs: None)
    model = Model("fake", manifest.load("retinaface_mnet025"), tmp_path, "fake")
    folders = [tmp_path / name for name in ("new", "unfinished", "keep")]
    for folder in folders:
        folder.mkdir()
    desk = Desk(*folders, lambda *progress: None)
    with pytest.raises(DeviceError, match="card is lost"):
        production.ingest(desk, find(write_files(tmp_path, studio)), model, studio.backend, Config().ingest)


def test_the_detector_goes_on_with_fewer_frames() -> None:
    studio = Studio({"a.mp4": film([[Face(60)]] * 8)})
    batch: FrameBatch = next(iter(studio.backend.open_decoder(Path("a.mp4"), 0, replace(Config().decode, batch=8))))
    network, shown = studio.network, []

    def narrow(inputs: Any) -> Any:
        (pixels,) = inputs.values()
        shown.append(len(pixels))
        if len(pixels) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return network(inputs)

    narrow.input_names, narrow.proven_on = ("input",), network.proven_on  # type: ignore[attr-defined]
    config = replace(Config().detect, close_up=False)
    detector = FaceDetector(narrow, manifest.load("retinaface_mnet025"), studio.backend, config)  # type: ignore[arg-type]
    whole = FaceDetector(network, manifest.load("retinaface_mnet025"), studio.backend, config)(batch)
    for _ in range(2):
        for found, expected in zip(detector(batch), whole, strict=True):
            assert found.boxes.tolist() == expected.boxes.tolist()
    assert shown == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]


def test_the_bound_may_be_raised_by_whatever_command_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Run(tmp_path, Config(), [], "cpu", lambda *progress: None).begin()
    seen: list[Config] = []
    monkeypatch.setattr(api, "cluster_sources", lambda sources, folder, config, **options: seen.append(config))
    api.recompute(tmp_path, ("adapt",), ["gpu_memory=12"])
    assert seen[0].gpu_memory == 12
    with pytest.raises(UsageError, match="found seed"):
        api.recompute(tmp_path, ("adapt",), ["seed=1"])


# What a stage took --------------------------------------------------------------------------------------------------


def test_the_record_says_what_a_stage_took_of_the_card(tmp_path: Path) -> None:
    answers = iter([{}, {"gpu_memory_mib": {"peak_allocated": 7}}])
    (tmp_path / ".work").mkdir()
    run = Run(tmp_path, Config(), [], "cuda:0", lambda *progress: None, lambda: next(answers))
    stage = Stage("first", 1, (), lambda desk: {"n": 1}, lambda folder, facts: facts)
    assert run.stage(stage) == {"n": 1, "gpu_memory_mib": {"peak_allocated": 7}}
    again = Run(tmp_path, Config(), [], "cuda:0", lambda *progress: None, lambda: pytest.fail("nothing is computed"))
    again.stage(stage)
    assert again.record["stages"]["first"]["gpu_memory_mib"] == {"peak_allocated": 7}


def test_without_a_card_the_record_says_nothing_of_one() -> None:
    assert backends.open("cpu").memory() == {}
