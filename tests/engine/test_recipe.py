"""Recipes: those that come with vcn-trt, one's own, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine_networks import linear, saved
from onnx import TensorProto, helper

from vcn_trt.engine import recipe
from vcn_trt.engine.definition import define
from vcn_trt.errors import ModelError

GOOD = """
title = "mine"
free = ["batch", "height", "width"]
buckets = [1, 4]
optimum = 4
height = [32, 64, 128]
width = [32, 96, 128]
"""


def test_every_recipe_that_comes_with_it_is_sound_and_for_another_network() -> None:
    known = [recipe.load(name) for name in recipe.names()]
    assert {r.name for r in known} >= {"base", "detector"}
    assert len({frozenset(r.free) for r in known}) == len(known)
    assert all(r.precision == "half" for r in known)


def test_sizes_that_are_free_take_the_recipe_s_and_others_stay() -> None:
    shapes = recipe.load("detector").shapes((-1, 3, -1, -1))
    assert shapes == ((1, 3, 32, 32), (4, 3, 544, 960), (16, 3, 1280, 1280))
    assert recipe.load("base").shapes((-1, 3, 112, 112))[1] == (64, 3, 112, 112)
    assert recipe.load("detector_single").shapes((1, 3, -1, -1))[2] == (1, 3, 1280, 1280)


def test_the_free_sizes_tell_the_recipe(tmp_path: Path) -> None:
    assert define(linear(tmp_path / "l.onnx", np.eye(3, dtype=np.float32))).recipe.name == "base"
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, "h", "w"])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [image], [out])
    assert define(saved(graph, tmp_path / "r.onnx")).recipe.name == "detector"
    graph.input[0].type.tensor_type.shape.dim[1].dim_param = "c"
    with pytest.raises(ModelError, match=r"r\.onnx leaves axis 1, batch, height, width .* no recipe is for such a net"):
        define(saved(graph, tmp_path / "r.onnx"))


def test_a_recipe_under_vcn_home_goes_before(home: Path) -> None:
    (home / "engines").mkdir(parents=True)
    (home / "engines" / "detector.toml").write_text(GOOD)
    (home / "engines" / "other.toml").write_text(GOOD)
    assert recipe.load("detector").title == "mine"
    assert "other" in recipe.names()
    assert recipe.load("base").title != "mine"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("optimum = 4", "optimum = 3"), "optimum is one of the buckets"),
        (("[1, 4]", "[4, 1]"), "buckets are whole numbers, ascending"),
        (("[1, 4]", '[1, "4"]'), "buckets are whole numbers, ascending"),
        (("[1, 4]", "4"), "buckets are whole numbers, ascending"),
        (("[32, 64, 128]", "[32, 70, 128]"), r"height is \[smallest, tuned for, largest\], multiples of 32"),
        (("[32, 96, 128]", "[32, 96]"), "width is"),
        (("height = [32, 64, 128]", ""), "height is"),
        (('"batch", ', ""), r"buckets are \[1\] where the batch is not free"),
        (('"batch"', '"depth"'), "free names some of batch, height, width"),
        (('title = "mine"', ""), r"missing keys \['title'\]"),
        (('title = "mine"', 'title = "mine"\nsize = 3'), r"unknown keys \['size'\]"),
        (('title = "mine"', 'title = "mine"\nprecision = "int8"'), "precision is half or float32"),
        (('title = "mine"', 'title = "mine"\nworkspace_mib = true'), "workspace_mib is a whole number"),
        (('title = "mine"', 'title = "mine"\nrefit = "no"'), "refit is true or false"),
        (("title", "= title"), "cannot read the engine recipe"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    recipe.read(path)
    path.write_text(GOOD.replace(*change))
    with pytest.raises(ModelError, match=says) as error:
        recipe.read(path)
    assert "mine.toml" in str(error.value)


def test_an_unknown_recipe_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ModelError, match="no engine recipe 'bas'; known are base, detector"):
        recipe.load("bas")
