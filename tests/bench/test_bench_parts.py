"""Every part over the fake backend: what it yields, and what becomes of one that fails."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import made
import pytest
from fakes import Studio

from vcn_trt.bench import networks, parts, training
from vcn_trt.bench.bench import Bench
from vcn_trt.bench.measure import OURS
from vcn_trt.errors import DeviceError, UsageError
from vcn_trt.zoo import manifest
from vcn_trt.zoo.models import Model
from vcn_trt.zoo.retinaface import retinaface_mnet025


def measured(name: str, bench: Bench) -> dict[str, Any]:
    """A part, as it goes through JSON."""
    return dict(json.loads(json.dumps(parts.measure(name, bench))))


def test_frames_are_decoded_again_and_again(bench: Bench, studio: Studio) -> None:
    found = measured("decode", bench)
    ours = [f for f in found["figures"] if f["by"] == OURS]
    assert [f["streams"] for f in ours] == [1, 2]
    assert all(f["rate"]["min"] > 0 and f["rounds"] == 5 for f in ours)
    assert ours[1]["rate_a_stream"] == pytest.approx(ours[1]["rate"]["median"] / 2)
    # A call is a batch, and films that were through were opened anew and closed.
    assert ours[0]["facts"]["frames_a_call"] == 4
    assert len(studio.decoders) > 3
    assert all(d.closed and not d.reading_when_closed for d in studio.decoders)
    # The scripted film is no file that PyAV could read: the part says so and has its own figures.
    assert found["state"] == "partial"
    assert found["reason"].startswith("file to frames, PyAV: InvalidDataError")


def test_the_detector_is_measured_with_and_without_what_is_around_it(
    bench: Bench, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model("fake", manifest.load("retinaface_mnet025"), Path("fake.onnx"), "fake")
    monkeypatch.setattr(networks, "open_model", lambda name, kind: model)
    monkeypatch.setattr(networks, "detector_module", lambda model: retinaface_mnet025())
    # The fake packs its faces into the picture, which torch could not look at.
    monkeypatch.setattr(networks, "_alone", lambda bench, subject, in_flight: iter(()))
    found = measured(
        "detect", replace(bench, config=replace(bench.config, detect=replace(bench.config.detect, workers=3)))
    )
    assert [(f["what"], f["streams"]) for f in found["figures"]] == [("frames to faces", 1), ("frames to faces", 2)]
    assert "3 calls in flight a stream" in found["figures"][0]["how"]
    assert (found["state"], found["reason"]) == ("done", "")
    frames = sum(f["calls"] for f in found["figures"]) * 4
    assert studio.network.seen >= frames


@pytest.mark.usefixtures("small_base")
def test_the_base_is_held_to_the_same_module_in_torch(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    network = made.TorchNetwork(made.projection())
    monkeypatch.setattr(networks, "cached_onnx", lambda base: Path("fake.onnx"))
    bench = replace(bench, backend=replace(bench.backend, open_network=lambda path: network))
    found = measured("embed", bench)
    assert [(f["by"], f["streams"]) for f in found["figures"]] == [(OURS, 1), ("torch", 1), (OURS, 2), ("torch", 2)]
    ours = found["figures"][0]
    assert set(ours["over"]) == {"torch"}
    assert ours["facts"] == {"shape": "4x3x112x112"}
    # 4 crops through a matrix of 588 x 128, at 1e9 a second; its bytes are fewer than its operations.
    assert ours["most"]["rate"] == pytest.approx(1e9 / (2 * 588 * 128), rel=0.35)
    assert ours["share"] == pytest.approx(ours["rate"]["median"] / ours["most"]["rate"])


@pytest.mark.usefixtures("small_base")
def test_training_steps_are_timed_without_their_start(real_ops: Bench) -> None:
    found = measured("adapt", real_ops)
    (training,) = found["figures"]
    assert (training["unit"], training["rounds"], found["state"]) == ("steps", 5, "done")
    assert training["calls"] == 5 * 2 or training["calls"] == 5 * 3
    assert training["facts"]["pairs_a_step"] == 4


class Refitted(made.TorchNetwork):
    """Takes the weights that it is given, or pretends to."""

    def __init__(self, honest: bool) -> None:
        super().__init__(made.projection())
        self.honest, self.refits = honest, 0

    def refit(self, weights: Any) -> None:
        import torch

        self.refits += 1
        if self.honest:
            self.base.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in weights.items()})
        else:
            self.base.fc.weight.data.copy_(torch.randn(self.base.fc.weight.shape))


@pytest.mark.usefixtures("small_base")
@pytest.mark.parametrize("honest", [True, False])
def test_a_refit_is_timed_beside_a_rebuild_and_held_to_torch(
    real_ops: Bench, monkeypatch: pytest.MonkeyPatch, honest: bool
) -> None:
    network = Refitted(honest)
    exported: list[bytes] = []

    def export(base: Any, path: Path) -> Path:
        exported.append(base.fc.weight.detach().numpy().tobytes())
        return path

    monkeypatch.setattr(training, "cached_onnx", lambda base: Path("fake.onnx"))
    monkeypatch.setattr(training, "export_onnx", export)
    bench = replace(real_ops, backend=replace(real_ops.backend, open_network=lambda path: network))
    found = measured("refit", bench)
    assert [f["by"] for f in found["figures"]] == [OURS, "rebuild"]
    assert network.refits >= 4
    assert len(set(exported)) == len(exported) >= 3  # a cache of plans could not answer
    cosine = found["figures"][0]["facts"]["cosine_to_torch"]
    assert cosine == pytest.approx(1, abs=1e-5) if honest else cosine < 0.9


def test_clustering_tells_whom_it_found(real_ops: Bench) -> None:
    found = measured("cluster", real_ops)
    assert [f["by"] for f in found["figures"]] == [OURS, "SciPy HAC", "FINCH"]
    ours = found["figures"][0]
    assert ours["what"] == "40 tracks"
    assert (ours["facts"]["people"], ours["facts"]["wcp"]) == (4, 1.0)
    assert set(ours["over"]) == {"SciPy HAC", "FINCH"}


def test_peers_that_hold_all_distances_stay_out_of_large_clusterings(
    real_ops: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vcn_trt.bench.grouping.PEERS_UP_TO", 39)
    assert [f["by"] for f in measured("cluster", real_ops)["figures"]] == [OURS]


def test_a_part_that_cannot_begin_is_reported_and_no_more(bench: Bench) -> None:
    def no_engine(path: Path) -> Any:
        raise DeviceError("no engine for this card; run `vcn engines build`\nsecond line")

    from vcn_trt.bench import parts as of

    broken = replace(bench, backend=replace(bench.backend, open_network=no_engine))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "load_base", lambda name: made.projection())
        patch.setattr(networks, "cached_onnx", lambda base: Path("fake.onnx"))
        found = of.measure("embed", broken)
    assert found["state"] == "failed"
    assert found["reason"] == "DeviceError: no engine for this card; run `vcn engines build`"
    assert found["figures"] == []


def test_ops_that_fail_leave_the_others_their_figures(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake has letterbox and NMS, but no SCRFD and no maths."""
    monkeypatch.setattr("vcn_trt.bench.maths.GAUSSIANS", {"cpu": (2, 3)})
    found = measured("kernels", bench)
    ours = {f["what"]: f["failed"] for f in found["figures"] if f["by"] == OURS}
    assert {name for name, failed in ours.items() if not failed} >= {"letterbox", "thumbnails", "nms"}
    assert ours["scrfd_faces"] == "NotImplementedError"
    assert ours["pair_edges"].startswith("AttributeError")
    assert found["state"] == "partial"
    # The peers of what failed have theirs as well.
    assert {f["what"] for f in found["figures"] if f["by"] != OURS and not f["failed"]} == {
        *("nms", "softmax_means", "pair_edges", "log_densities")
    }


def test_parts_are_chosen_by_name_and_keep_their_order() -> None:
    assert parts.chosen("") == tuple(parts.PARTS)
    assert parts.chosen("embed, decode") == ("decode", "embed")
    with pytest.raises(UsageError, match=r"no part 'decoding' of the bench; known: decode, kernels"):
        parts.chosen("decoding")


def test_the_record_says_how_it_was_made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(bench.films), "to_json", lambda self: {"kind": self.kind, "films": []})
    tree = json.loads(json.dumps(parts.begin(bench, "vcn bench film.mp4", ("decode",))))
    assert set(tree) == {
        *("schema", "command", "date", "device", "machine", "versions", "rates", "sheet", "settings", "input", "parts")
    }
    assert tree["schema"] == "vcn-trt/bench/1"
    assert tree["device"] == {"name": "fake", "description": "scripted frames, no codec"}
    assert tree["settings"]["streams"] == [1, 2]
    assert tree["settings"]["config"]["adapt"]["outputs"] == 16
    assert {"python", "torch", "vcn-trt"} <= set(tree["versions"])
    assert tree["rates"]["float32"] == 1e9
