"""Runs the classifier: inputs quantized and outputs dequantized as the manifest says, checked against the file."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fer_edge.classifier.runtime import RunsOn, find_runtime, invoke, open_interpreter
from fer_edge.contract.manifest import Variant
from fer_edge.contract.quantization import dequantize, quantize
from fer_edge.contract.specs import TensorSpec
from fer_edge.errors import RunnerError

MAX_BATCH = 8  # more at once gain nothing and take memory


class VariantRunner(Protocol):
    """A ``Runner`` of one variant, whatever computes it."""

    variant: Variant

    @property
    def runs_on(self) -> RunsOn:
        """What computes it here."""
        ...

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (N, labels) float32 for normalized inputs (N, H, W, channels) float32."""
        ...

    def raw(self, row: NDArray[np.float32]) -> NDArray[Any]:
        """The output tensor (1, labels) as stored, int8 or float32, for one input (1, H, W, channels) float32."""
        ...


def open_runner(model: bytes, variant: Variant, threads: int = 1, provider: str | None = None) -> VariantRunner:
    """The runner for what the manifest says the file is; onnxruntime is loaded for an ONNX file alone.

    Args:
        model: content of the variant's file.
        variant: the manifest's entry for it.
        threads: of the kernels.
        provider: of onnxruntime, one of ``providers.NAMES``; None takes the best of this board.

    Raises:
        RunnerError: see ``LiteRunner`` and ``OnnxRunner``.
    """
    if variant.format == "onnx":
        from fer_edge.classifier.onnx_runner import OnnxRunner

        return OnnxRunner(model, variant, threads, provider)
    return LiteRunner(model, variant, threads)


class LiteRunner:
    """One variant in one interpreter, and in a second one for several inputs at once.

    A batch is 6 to 15% faster than its inputs in turn (benchmarks/results/batch.md); the second interpreter is made
    when it is first needed. Networks that a batch cannot pass through run in turn.

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
        self._model, self._threads, self._reference = model, threads, reference_kernels
        self._several: tuple[int, Any] | None = None  # (batch, interpreter)
        self._in_turn = False
        self._interpreter = open_interpreter(model, what, threads, reference_kernels, variant.min_runtime)
        self._input = _checked(self._interpreter.get_input_details(), variant.input, what, "input")
        self._output = _checked(self._interpreter.get_output_details(), variant.output, what, "output")

    @property
    def runs_on(self) -> RunsOn:
        """The interpreter's package and version."""
        runtime = find_runtime()
        return RunsOn(runtime.name, runtime.version)

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (N, labels) float32 for normalized inputs (N, H, W, channels) float32."""
        if len(inputs) == 1:
            return dequantize(self.raw(inputs), self.variant.output)
        parts = [inputs[i : i + MAX_BATCH] for i in range(0, len(inputs), MAX_BATCH)]
        return np.concatenate([dequantize(self._part(part), self.variant.output) for part in parts])

    def _part(self, inputs: NDArray[np.float32]) -> NDArray[Any]:
        """The outputs (n, labels) as stored for at most MAX_BATCH inputs."""
        interpreter = self._sized(len(inputs)) if len(inputs) > 1 else None
        if interpreter is None:
            return np.concatenate([self.raw(row[None]) for row in inputs])
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], quantize(inputs, self.variant.input))
        invoke(interpreter, f"variant {self.variant.id}")
        return np.array(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))

    def _sized(self, batch: int) -> Any | None:
        """An interpreter for so many inputs; None where the network has its batch of one built in."""
        if self._in_turn:
            return None
        shape = (batch, *self.variant.input.shape[1:])
        if self._several is not None:  # of another size it took a batch, so it takes this one
            known, interpreter = self._several
            if known != batch:
                interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], shape)
                interpreter.allocate_tensors()
                self._several = batch, interpreter
            return interpreter
        try:
            interpreter = open_interpreter(
                self._model, f"variant {self.variant.id}", self._threads, self._reference, input_shape=shape
            )
        except RunnerError:
            self._in_turn = True
            return None
        if tuple(interpreter.get_output_details()[0]["shape"]) != (batch, *self.variant.output.shape[1:]):
            self._in_turn = True
            return None
        self._several = batch, interpreter
        return interpreter

    def raw(self, row: NDArray[np.float32]) -> NDArray[Any]:
        """The output tensor (1, labels) as stored, int8 or float32, for one input (1, H, W, channels) float32."""
        self._interpreter.set_tensor(self._input, quantize(row, self.variant.input))
        invoke(self._interpreter, f"variant {self.variant.id}")
        return np.array(self._interpreter.get_tensor(self._output))


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
