"""Weights given by path: every kind of file loads, and every wrong one is refused by the first tensor that does not
fit."""

from __future__ import annotations

import pickle
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from networks import randomised, session, small_iresnet, small_vit
from onnx import helper, numpy_helper
from safetensors.torch import save_file
from torch import Tensor, nn

from vcn_trt.errors import ModelError
from vcn_trt.zoo import layers, weights
from vcn_trt.zoo.iresnet import DEPTHS, IResNet


def tiny() -> nn.Sequential:
    """Convolution, BatchNorm, PReLU, linear."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.PReLU(4), nn.Flatten(), nn.Linear(4 * 36, 5)
    )
    randomised(network)
    return network


def trace(network: nn.Module, path: Path, folded: bool, size: int = 8) -> Path:
    """As public ONNX files are made: BatchNorm folded into convolutions, tensors renamed, or neither."""
    mode = torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.PRESERVE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, size, size),),
            str(path),
            dynamo=False,
            do_constant_folding=folded,
            training=mode,
        )
    return path


def same_function(a: nn.Module, b: nn.Module, size: int = 8) -> None:
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(a(x), b(x), atol=1e-4, rtol=1e-4)


def state(network: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in network.state_dict().items()}


@pytest.mark.parametrize("kind", ["safetensors", "torch", "wrapped", "folded", "unfolded"])
def test_every_kind_of_file_loads(kind: str, tmp_path: Path) -> None:
    given, path = tiny(), tmp_path / "weights.bin"
    if kind == "safetensors":
        save_file(state(given), path)
    elif kind == "torch":
        torch.save(given.state_dict(), path)
    elif kind == "wrapped":
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in given.state_dict().items()}}, path)
    else:
        trace(given, path, folded=kind == "folded")
    loaded = randomised(tiny(), seed=9)
    weights.load_into(loaded, path)
    same_function(loaded, given)


@pytest.mark.parametrize("adaface", [False, True])
def test_a_residual_network_with_folded_batch_norms_loads_in_running_order(adaface: bool, tmp_path: Path) -> None:
    given = small_iresnet(adaface)
    path = trace(given, tmp_path / "r.onnx", folded=True, size=112)
    kinds = [layer.kind for layer in layers.of_onnx(onnx.load(path))]
    ours = [m for m in given.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d)]
    assert kinds.count("bn") < len(ours)  # folded indeed
    loaded = IResNet(adaface=adaface, depths=(1, 2, 1, 1)).eval()
    weights.load_into(loaded, path)
    same_function(loaded, given, size=112)


def test_adaface_s_numbered_checkpoint_names_are_ours() -> None:
    places = [f"layer{i + 1}.{j}" for i, depth in enumerate(DEPTHS) for j in range(depth)]
    ours = dict(IResNet(adaface=True).state_dict())
    numbered: dict[str, Tensor] = {"head.kernel": torch.zeros(512, 10)}
    parts = {"bn1": 0, "conv1": 1, "bn2": 2, "prelu": 3, "conv2": 4, "bn3": 5}
    outer = {"conv1": "input_layer.0", "bn1": "input_layer.1", "prelu": "input_layer.2"}
    outer |= {"bn2": "output_layer.0", "fc": "output_layer.3", "features_bn": "output_layer.4"}
    for key, value in ours.items():
        layer, _, rest = key.partition(".")
        if layer.startswith("layer"):
            number, part, name = key.split(".", 3)[1:]
            at = f"body.{places.index(f'{layer}.{number}')}"
            inner = f"res_layer.{parts[part]}" if part in parts else "shortcut_layer"
            numbered[f"{at}.{inner}.{name}"] = value
        elif key not in ("features_bn.weight", "features_bn.bias"):  # its last norm has none
            numbered[f"{outer[layer]}.{rest}"] = value
    found = IResNet.rename_adaface(numbered)
    assert found.keys() == ours.keys()
    assert all(found[k].shape == v.shape for k, v in ours.items())
    assert torch.equal(found["features_bn.weight"], torch.ones(512))


def test_clip_s_text_half_is_left_out(tmp_path: Path) -> None:
    given = small_vit()
    tensors = {f"visual.{k}": v for k, v in given.state_dict().items()} | {"token_embedding.weight": torch.zeros(9, 9)}
    torch.save({"state_dict": tensors}, tmp_path / "farl.pth")
    loaded = small_vit()
    with torch.no_grad():
        loaded.proj.zero_()
    weights.load_into(loaded, tmp_path / "farl.pth", loaded.rename)
    same_function(loaded, given, size=32)


def test_a_wrong_shape_is_named_with_both_shapes(tmp_path: Path) -> None:
    tensors = state(tiny()) | {"4.weight": torch.zeros(7, 144)}
    save_file(tensors, tmp_path / "w")
    with pytest.raises(ModelError, match=r"4\.weight expected shape \(5, 144\), found \(7, 144\)"):
        weights.load_into(tiny(), tmp_path / "w")


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    tensors = state(tiny())
    del tensors["1.running_mean"]
    save_file(tensors, tmp_path / "w")
    with pytest.raises(ModelError, match=r"expected 1\.running_mean of shape \(4,\), found no such name"):
        weights.load_into(tiny(), tmp_path / "w")


def test_another_architecture_s_further_layers_are_refused(tmp_path: Path) -> None:
    save_file(state(tiny()) | {"5.weight": torch.zeros(2, 5)}, tmp_path / "w")
    with pytest.raises(ModelError, match=r"found 5\.weight of shape \(2, 5\) \(1 such\), expected no such layer"):
        weights.load_into(tiny(), tmp_path / "w")


def test_onnx_of_another_architecture_names_the_first_layer_that_differs(tmp_path: Path) -> None:
    wider = nn.Sequential(nn.Conv2d(3, 6, 3), nn.PReLU(6), nn.Flatten(), nn.Linear(6 * 36, 5)).eval()
    trace(wider, tmp_path / "w", folded=True)
    with pytest.raises(ModelError, match=r"0\.weight expected shape \(4, 3, 3, 3\), found \(6, 3, 3, 3\)"):
        weights.load_into(tiny(), tmp_path / "w")
    shorter = nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU(4)).eval()
    trace(shorter, tmp_path / "w", folded=True)
    with pytest.raises(
        ModelError, match=r"expected 4\.weight of shape \(5, 144\) \(linear\), found the end of the file"
    ):
        weights.load_into(tiny(), tmp_path / "w")
    longer = nn.Sequential(*tiny(), nn.PReLU(5)).eval()
    trace(longer, tmp_path / "w", folded=True)
    with pytest.raises(ModelError, match=r"found prelu .* after the last layer, 1 are left over"):
        weights.load_into(tiny(), tmp_path / "w")


def test_onnx_without_a_transformer_s_names_is_refused(tmp_path: Path) -> None:
    vit = small_vit()
    trace(nn.Conv2d(3, 64, 16, 16, bias=False).eval(), tmp_path / "w", folded=True, size=32)
    with pytest.raises(ModelError, match="does not fit VisionTransformer: expected"):
        weights.load_into(vit, tmp_path / "w")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    tensors = state(tiny())
    tensors["4.bias"][2] = value
    save_file(tensors, tmp_path / "w")
    untouched = tiny()
    with pytest.raises(ModelError, match=r"4\.bias holds 1 NaN or infinite values"):
        weights.load_into(untouched, tmp_path / "w")
    same_function(untouched, tiny())  # nothing was half loaded


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not an ONNX model"),
        (b"these are not weights, but a sentence\n", "not an ONNX model"),
        (b"PK\x03\x04 half a zip", "not a torch file"),
        (b"\x80\x04 half a pickle", "not a torch file"),
        (struct.pack("<Q", 20) + b'{"a": half a header', "not a whole safetensors"),
        (b"\x1c\x00\x00\x00TFL3 half a flatbuffer", "not a whole TensorFlow Lite"),
    ],
    ids=["empty", "text", "zip", "pickle", "safetensors", "tflite"],
)
def test_a_damaged_file_is_told_by_what_it_claims_to_be(content: bytes, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(ModelError, match=complaint):
        weights.load_into(tiny(), tmp_path / "w")


@pytest.mark.parametrize("kind", ["safetensors", "torch", "onnx"])
def test_a_truncated_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "w"
    if kind == "onnx":
        trace(tiny(), path, folded=True)
    elif kind == "torch":
        torch.save(tiny().state_dict(), path)
    else:
        save_file(state(tiny()), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelError, match=r"truncated|damaged|not a whole"):
        weights.load_into(tiny(), path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    (tmp_path / "w").write_bytes(pickle.dumps({"0.weight": Trap()}))
    with pytest.raises(ModelError, match="save its state_dict as safetensors"):
        weights.load_into(tiny(), tmp_path / "w")
    torch.save({"0.weight": Trap()}, tmp_path / "w")
    with pytest.raises(ModelError, match="save its state_dict as safetensors"):
        weights.load_into(tiny(), tmp_path / "w")
    assert not (tmp_path / "ran").exists()


def test_a_torch_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "w")
    with pytest.raises(ModelError, match="holds a list: expected a state_dict"):
        weights.load_into(tiny(), tmp_path / "w")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read the weights .*absent"):
        weights.load_into(tiny(), tmp_path / "absent")


def test_blockwise_quantised_weights_unfold_to_the_numbers_of_onnx_runtime() -> None:
    # Worked by hand: row 0 has blocks (1, 2) and (3) with scales 0.5 and 2, zero points 0 and 1.
    q = np.array([[1, 2, 3], [-4, 5, -6]], np.int8)
    scale = np.array([[0.5, 2], [1, 0.25]], np.float32)
    zero = np.array([[0, 1], [-1, 2]], np.int8)
    node = helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=1, block_size=2)
    output = helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [2, 3])
    tensors: Mapping[str, np.ndarray] = {"q": q, "s": scale, "z": zero}
    initialisers = [numpy_helper.from_array(v, k) for k, v in tensors.items()]
    graph = helper.make_graph([node], "g", [], [output], initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    unfolded = layers.constants(model)["w"]
    np.testing.assert_array_equal(unfolded, [[0.5, 1.0, 4.0], [-3.0, 6.0, -2.0]])
    np.testing.assert_array_equal(unfolded, session(model.SerializeToString()).run(None, {})[0])
