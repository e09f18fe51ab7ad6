"""The default detector's torch architecture, with the weights of its ONNX file, is that file's function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from networks import session

from vcn_trt.errors import ModelError
from vcn_trt.zoo import fetch, weights
from vcn_trt.zoo.retinaface import retinaface_mnet025, retinaface_r50


def test_the_module_equals_onnx_runtime(weights_home: Path) -> None:
    path = fetch.path("retinaface_mnet025")
    network = retinaface_mnet025()
    weights.load_into(network, path)
    picture = np.random.default_rng(0).normal(0, 60, (2, 3, 96, 160)).astype(np.float32)
    with torch.no_grad():
        ours = network(torch.from_numpy(picture))
    for name, a, b in zip(("loc", "conf", "landmarks"), ours, session(path).run(None, {"input": picture}), strict=True):
        np.testing.assert_allclose(a.numpy(), b, atol=5e-5, err_msg=name)


def test_its_weights_do_not_fit_the_large_architecture(weights_home: Path) -> None:
    with pytest.raises(ModelError, match=r"body\.conv1\.weight expected shape \(64, 3, 7, 7\), found \(8, 3, 3, 3\)"):
        weights.load_into(retinaface_r50(), fetch.path("retinaface_mnet025"))
