"""Opens a detector's network, whatever computes it: a tflite interpreter, or onnxruntime with the same methods."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from fer_edge.classifier import runtime


class Engine(NamedTuple):
    """What computes a detector's networks.

    Attributes:
        threads: of the kernels.
        format: of the files.
        provider: of onnxruntime, one of ``providers.NAMES``; None takes the best of this board.
    """

    threads: int = 1
    format: Literal["tflite", "onnx"] = "tflite"
    provider: str | None = None

    @property
    def takes_any_size(self) -> bool:
        """Whether one opened network without a fixed size serves pictures of every size."""
        return self.format == "onnx"


DEFAULT = Engine()


def open_interpreter(
    model: bytes, what: str, engine: Engine = DEFAULT, input_shape: tuple[int, ...] | None = None
) -> Any:
    """A network with the methods of a tflite interpreter; onnxruntime is loaded for an ONNX file alone.

    Args:
        model: content of the file.
        what: names the network in messages.
        engine: what computes it; ``model`` is in its format.
        input_shape: of the one input, for tflite networks that take any; None keeps the file's.

    Raises:
        RunnerError: see ``runtime.open_interpreter`` and ``OnnxInterpreter``.
    """
    if engine.format == "onnx":
        from fer_edge.classifier.onnx_interpreter import OnnxInterpreter

        return OnnxInterpreter(model, what, engine.threads, engine.provider)
    return runtime.open_interpreter(model, what, engine.threads, input_shape=input_shape)
