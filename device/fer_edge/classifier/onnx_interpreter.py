"""A network of onnxruntime's with the methods of a tflite interpreter, which the detectors are written for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.classifier.onnx_runtime import open_session
from fer_edge.classifier.runtime import RunsOn
from fer_edge.errors import RunnerError

log = logging.getLogger(__name__)
_FLOAT = "tensor(float)"


class OnnxInterpreter:
    """A float32 network of one input in one session; a size that the file leaves open is told as 1.

    Args:
        model: content of the ONNX file.
        what: names the network in messages.
        threads: of the CPU's kernels.
        provider: one of ``providers.NAMES``; None takes the best of this board.

    Raises:
        RunnerError: no onnxruntime, a network that it cannot run, or one that is not of the kind said above.
    """

    def __init__(self, model: bytes, what: str, threads: int = 1, provider: str | None = None) -> None:
        self._session = open_session(model, what, threads, provider=provider)
        if self.runs_on.lacks:
            log.warning("%s: %s", what, self.runs_on.lacks)
        native = self._session.native
        self._inputs, self._outputs = (_details(found) for found in (native.get_inputs(), native.get_outputs()))
        kinds = {tensor.type for tensor in (*native.get_inputs(), *native.get_outputs())}
        if kinds != {_FLOAT} or len(self._inputs) != 1:
            raise RunnerError(
                f"{what}: found {len(self._inputs)} inputs, tensors of {', '.join(sorted(kinds))}; expected one input "
                f"and {_FLOAT}; rebuild the bundle"
            )
        self._given: NDArray[Any] = np.zeros(0, np.float32)
        self._found: Sequence[NDArray[Any]] = ()

    @property
    def runs_on(self) -> RunsOn:
        """Package, version and the provider that really computes."""
        return self._session.runs_on

    def get_input_details(self) -> list[dict[str, Any]]:
        """Of the one input: index, name, shape, dtype, quantization."""
        return self._inputs

    def get_output_details(self) -> list[dict[str, Any]]:
        """Of each output, likewise."""
        return self._outputs

    def set_tensor(self, _index: int, value: NDArray[Any]) -> None:
        """Keeps the input, which is not copied, for ``invoke``."""
        self._given = value

    def invoke(self) -> None:
        """Computes the outputs.

        Raises:
            RunnerError: it cannot, as of a damaged network.
        """
        self._found = self._session.run({self._inputs[0]["name"]: self._given})

    def get_tensor(self, index: int) -> NDArray[Any]:
        """An output of the last ``invoke``."""
        return self._found[index]


def _details(tensors: list[Any]) -> list[dict[str, Any]]:
    return [
        {
            "index": index,
            "name": str(tensor.name),
            "shape": tuple(size if isinstance(size, int) else 1 for size in tensor.shape),
            "dtype": np.float32,
            "quantization": (0.0, 0),
        }
        for index, tensor in enumerate(tensors)
    ]
