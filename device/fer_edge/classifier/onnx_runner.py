"""Runs an ONNX variant of the classifier by onnxruntime, the other side of ``LiteRunner``."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.classifier.onnx_runtime import open_session
from fer_edge.classifier.runtime import RunsOn
from fer_edge.contract.manifest import Variant
from fer_edge.contract.quantization import dequantize, quantize
from fer_edge.contract.specs import TensorSpec
from fer_edge.errors import RunnerError

log = logging.getLogger(__name__)
_TYPES = {"float32": "tensor(float)", "int8": "tensor(int8)"}


class OnnxRunner:
    """One variant in one session. A file has a batch of one, for which TensorRT builds its engine; several go in turn.

    Args:
        model: content of the ONNX file.
        variant: the manifest's entry for it.
        threads: of the CPU's kernels.
        provider: one of ``providers.NAMES``; None takes the best of this board.

    Raises:
        RunnerError: no onnxruntime, a network that it cannot run, or tensors that are not what the manifest says.
    """

    def __init__(self, model: bytes, variant: Variant, threads: int = 1, provider: str | None = None) -> None:
        what = f"variant {variant.id}"
        self.variant = variant
        self._session = open_session(model, what, threads, variant.scheme, variant.min_runtime, provider)
        if self.runs_on.lacks:
            log.warning("%s: %s", what, self.runs_on.lacks)
        native = self._session.native
        self._input = _checked(native.get_inputs(), variant.input, what, "input")
        _checked(native.get_outputs(), variant.output, what, "output")

    @property
    def runs_on(self) -> RunsOn:
        """Package, version and the provider that really computes."""
        return self._session.runs_on

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (N, labels) float32 for normalized inputs (N, H, W, channels) float32."""
        return np.concatenate([dequantize(self.raw(row[None]), self.variant.output) for row in inputs])

    def raw(self, row: NDArray[np.float32]) -> NDArray[Any]:
        """The output tensor (1, labels) as stored, int8 or float32, for one input (1, H, W, channels) float32."""
        (output,) = self._session.run({self._input: quantize(row, self.variant.input)})
        return output


def _checked(found: list[Any], spec: TensorSpec, what: str, role: str) -> str:
    """The tensor's name, if it is the one that the manifest describes."""
    described = [(tuple(tensor.shape), tensor.type) for tensor in found]
    if described != [(spec.shape, _TYPES[spec.dtype])]:
        raise RunnerError(
            f"{what}: found {role} {described}, the manifest says {spec.shape} {spec.dtype}; rebuild the bundle"
        )
    return str(found[0].name)
