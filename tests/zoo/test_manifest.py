"""The manifests in `models/` and the rules that they keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcn_trt.errors import ModelError
from vcn_trt.zoo import manifest

WHOLE = """
title = "T"
kind = "base"
architecture = "sface"
licence = "MIT"
file = "t.onnx"
input_size = 112
colour = "rgb"
mean = [0.0, 0.0, 0.0]
scale = 1.0
outputs = ["embedding"]
dim = 128
[source]
form = "path"
[sha256]
"""


def test_the_paper_s_bases_and_detectors_and_the_defaults_are_there() -> None:
    expected = {"retinaface_mnet025", "sface", "mobilefacenet", "arcface_r100", "adaface_r101", "vggface2_r50"}
    assert expected | {"farl_b16", "retinaface_r50", "scrfd_10g"} <= set(manifest.names())


@pytest.mark.parametrize("name", manifest.names())
def test_every_manifest_is_valid(name: str) -> None:
    found = manifest.load(name)
    assert found.name == name
    assert found.licence
    assert found.title
    if found.kind == "base":
        assert 0 < found.dropout < 1  # SER-FIQ needs one
        assert found.dropout_position
        assert found.outputs == ("embedding", "features")


def test_known_files_are_pinned() -> None:
    pins = {f: d for n in manifest.names() for f, d in manifest.load(n).sha256.items()}
    assert pins["sface.onnx"].startswith("fb143eea")
    assert pins["retinaface_mnet025.onnx"].startswith("b7a7acab")
    assert pins["glintr100.onnx"].startswith("4ab1d643")
    assert pins["adaface_ir_101.onnx"].startswith("f2eb07d0")
    assert pins["retinaface_r50.onnx"].startswith("905eac74")
    assert pins["scrfd_10g_bnkps.onnx"].startswith("5838f7fe")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"no model called 'sfac'.*arcface_r100.*sface"):
        manifest.load("sfac")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('kind = "base"', 'kind = "base"\nsise = 3', "unknown keys .'sise'"),
        ("scale = 1.0", "", "missing keys .'scale'"),
        ('colour = "rgb"', 'colour = "grey"', "colour is rgb or bgr"),
        ("mean = [0.0, 0.0, 0.0]", "mean = [0.0]", "three numbers"),
        ("scale = 1.0", "scale = nan", "three numbers"),
        ("dim = 128", "dim = 0", "a base has dim"),
        ('form = "path"', 'form = "wheel"\npackage = "p"', "what is fetched is pinned"),
        ("[sha256]", '[sha256]\n"t.onnx" = "12"', "64 hexadecimal"),
        ('form = "path"', "", "missing keys .'form'"),
        ("[source]", "[elsewhere]", r"needs a \[source\]"),
        ("title", "title = = 3", "cannot read the manifest"),
    ],
)
def test_a_broken_manifest_is_refused_with_the_rule_it_breaks(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    path = tmp_path / "t.toml"
    path.write_text(WHOLE, encoding="utf-8")
    manifest.read(path)
    path.write_text(WHOLE.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ModelError, match=complaint):
        manifest.read(path)
