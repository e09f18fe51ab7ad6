"""Configurations of Gst-nvinfer: keys that NVIDIA's parser knows, our conventions in them, and what they cannot say."""

from __future__ import annotations

import configparser
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from vcn_trt.cli import app
from vcn_trt.errors import ModelError, UsageError
from vcn_trt.export import nvinfer
from vcn_trt.zoo import manifest

KNOWN = {
    *("gpu-id", "gie-unique-id", "onnx-file", "model-engine-file", "batch-size", "infer-dims", "network-mode"),
    *("network-type", "output-tensor-meta", "output-blob-names", "process-mode", "model-color-format"),
    *("net-scale-factor", "offsets", "maintain-aspect-ratio", "symmetric-padding", "input-tensor-from-meta"),
}
"""Of what DeepStream's gstnvinfer_property_parser.h defines, those that are used."""


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """x -> loc, conf, landmarks."""
    names = ["loc", "conf", "landmarks"]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["input"], [name]) for name in names],
        "three",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
    )
    onnx.save(helper.make_model(graph), tmp_path / "network.onnx")
    return tmp_path / "network.onnx"


def read(text: str) -> dict[str, str]:
    """As GLib's key files: groups, comments by #, lists by semicolons."""
    parser = configparser.ConfigParser(comment_prefixes="#", delimiters="=")
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string(text)
    assert parser.sections() == ["property"]
    keys = dict(parser["property"])
    assert set(keys) <= KNOWN
    return keys


def test_a_detector_sees_whole_frames_as_its_manifest_says(network: Path) -> None:
    keys = read(nvinfer.config(manifest.load("retinaface_mnet025"), network, batch=8, engine=Path("/plans/r.engine")))
    assert keys["model-color-format"] == "1", "BGR"
    assert keys["offsets"] == "104;117;123", "in the order of the planes"
    assert (keys["net-scale-factor"], keys["infer-dims"], keys["batch-size"]) == ("1", "3;384;640", "8")
    assert (keys["process-mode"], keys["network-type"], keys["output-tensor-meta"]) == ("1", "100", "1")
    assert (keys["maintain-aspect-ratio"], keys["symmetric-padding"]) == ("1", "0"), "bars right and below"
    assert keys["output-blob-names"] == "loc;conf;landmarks"
    assert (keys["onnx-file"], keys["model-engine-file"]) == (str(network), "/plans/r.engine")
    assert "input-tensor-from-meta" not in keys


@pytest.mark.parametrize("name", ["sface", "farl_b16"])
def test_a_base_takes_tensors_that_were_warped_upstream(name: str, network: Path) -> None:
    m = manifest.load(name)
    text = nvinfer.config(m, network)
    keys = read(text)
    assert keys["input-tensor-from-meta"] == "1"
    assert keys["infer-dims"] == f"3;{m.input_size};{m.input_size}"
    assert not {"offsets", "net-scale-factor", "model-engine-file"} & set(keys), "its preparation is not nvinfer's"
    assert str(m.mean) in text
    assert str(m.std) in text


def test_what_cannot_be_said_is_refused(network: Path, tmp_path: Path) -> None:
    detector = manifest.load("retinaface_mnet025")
    with pytest.raises(UsageError, match="multiples of 32; found 640x360"):
        nvinfer.config(detector, network, size=(640, 360))
    with pytest.raises(UsageError, match="batches of 1; found 4"):
        nvinfer.config(manifest.load("scrfd_10g"), network, batch=4)
    with pytest.raises(ModelError, match="one factor for all"):
        nvinfer.config(replace(detector, std=(1.0, 2.0, 3.0)), network)
    (tmp_path / "broken.onnx").write_text("no network")
    with pytest.raises(ModelError, match=r"broken\.onnx is no ONNX file"):
        nvinfer.config(detector, tmp_path / "broken.onnx")


def test_the_verb_writes_the_file_and_overwrites_none(network: Path, tmp_path: Path) -> None:
    out = tmp_path / "retinaface.txt"
    command = ["models", "nvinfer", f"retinaface_mnet025={network}", "--out", str(out), "--size", "1280x736"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert read(out.read_text())["infer-dims"] == "3;736;1280"
    again = CliRunner().invoke(app, command)
    assert "is there already" in str(again.exception)
    assert CliRunner().invoke(app, [*command, "--force"]).exit_code == 0
    bad = CliRunner().invoke(app, [*command[:-1], "wide", "--force"])
    assert "WIDTHxHEIGHT" in str(bad.exception)
