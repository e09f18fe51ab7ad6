"""Networks by ONNX Runtime: one thread a call and several calls in flight, as many as there are cores.

Two threads inside one call scaled no better than two calls beside each other where it was measured (RetinaFace
640x384: 8.9 ms a frame either way on two cores), and a spinning pool under load can be twenty times slower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from vcn_trt.errors import ModelError
from vcn_trt.zoo import initialisers
from vcn_trt.zoo.prelu import spell_out


class OnnxNetwork:
    """An ONNX file as a `Network` on the CPU. Raises ModelError where ONNX Runtime cannot load it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.input_names: Sequence[str]
        self.output_names: Sequence[str]
        try:
            self._open(onnx.load(str(path)))
        except Exception as error:
            raise ModelError(
                f"{path} is not a network that ONNX Runtime can load ({_first_line(error)}); "
                "check the file with `vcn models verify`, or give another by path"
            ) from error

    def _open(self, model: onnx.ModelProto) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            spell_out(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.input_names = [i.name for i in self._session.get_inputs()]
        self.output_names = [o.name for o in self._session.get_outputs()]

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return dict(zip(self.output_names, self._session.run(None, dict(inputs)), strict=True))

    def refit(self, weights: Mapping[str, NDArray[np.generic]]) -> None:
        model = onnx.load(str(self.path))
        initialisers.replace(model, weights, self.path.name)
        self._open(model)

    def proven_on(self, inputs: Mapping[str, NDArray[Any]]) -> bool:
        """It is what others are held to."""
        return True


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
