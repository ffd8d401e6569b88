"""Runs the classifier: inputs quantized and outputs dequantized as the manifest says, checked against the file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.manifest import TensorSpec, Variant
from fer_edge.errors import RunnerError
from fer_edge.runtime import open_interpreter


class LiteRunner:
    """One variant in one interpreter.

    Args:
        model: content of the tflite file.
        variant: the manifest's entry for it.
        threads: of the kernels.
        reference_kernels: plain kernels that give the same bits on every CPU; slow, for ``verify``.

    Raises:
        RunnerError: no interpreter, a network too new for it, or tensors that are not what the manifest says.
    """

    def __init__(self, model: bytes, variant: Variant, threads: int = 1, reference_kernels: bool = False) -> None:
        what = f"variant {variant.id}"
        self.variant = variant
        self._interpreter = open_interpreter(model, what, threads, reference_kernels, variant.min_runtime)
        self._input = _checked(self._interpreter.get_input_details(), variant.input, what, "input")
        self._output = _checked(self._interpreter.get_output_details(), variant.output, what, "output")

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (N, labels) float32 for normalized inputs (N, H, W, 3) float32, one after another."""
        return np.concatenate([dequantize(self.raw(row[None]), self.variant.output) for row in inputs])

    def raw(self, row: NDArray[np.float32]) -> NDArray[Any]:
        """The output tensor (1, labels) as stored, int8 or float32, for one input (1, H, W, 3) float32."""
        self._interpreter.set_tensor(self._input, quantize(row, self.variant.input))
        self._interpreter.invoke()
        return np.array(self._interpreter.get_tensor(self._output))


def quantize(values: NDArray[np.float32], spec: TensorSpec) -> NDArray[Any]:
    """Real values to the tensor's stored type."""
    if spec.dtype == "float32":
        return values.astype(np.float32, copy=False)
    stored = np.rint(values / np.float32(spec.scale)) + spec.zero_point
    return np.asarray(np.clip(stored, -128, 127), dtype=np.int8)


def dequantize(values: NDArray[Any], spec: TensorSpec) -> NDArray[np.float32]:
    """Stored values to real ones."""
    if spec.dtype == "float32":
        return values.astype(np.float32, copy=False)
    return (values.astype(np.float32) - np.float32(spec.zero_point)) * np.float32(spec.scale)


def _checked(details: list[dict[str, Any]], spec: TensorSpec, what: str, role: str) -> int:
    """The tensor's index, if it is the one that the manifest describes."""
    found = [(tuple(int(n) for n in d["shape"]), np.dtype(d["dtype"]).name) for d in details]
    if found != [(spec.shape, spec.dtype)]:
        raise RunnerError(
            f"{what}: found {role} {found}, the manifest says {spec.shape} {spec.dtype}; rebuild the bundle"
        )
    if spec.dtype != "float32":
        scale, zero_point = details[0]["quantization"]
        if not np.isclose(scale, spec.scale, rtol=1e-5, atol=0) or zero_point != spec.zero_point:
            raise RunnerError(
                f"{what}: found {role} scale {scale:.7g}, zero point {zero_point}, the manifest says "
                f"{spec.scale:.7g}, {spec.zero_point}; rebuild the bundle"
            )
    return int(details[0]["index"])
