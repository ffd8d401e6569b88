"""torch -> ONNX -> simplified ONNX, and runners of both sides for parity.

Every runner of this package takes the network's input as (N, H, W, C) float32, normalized, and returns (N, classes).
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from fer_edge.contract.whole import whole_file
from fer_host.convert.onnx_file import load_onnx
from fer_host.convert.onnx_rewrites import rewrite_onnx
from fer_host.convert.rewrites import rewrite
from fer_host.errors import ToolError
from fer_host.files.artifacts import write_bytes
from fer_host.models.onnx_file import INPUT_NAME, OPSET, OUTPUT_NAME, OnnxNetwork

EXPORT_TOOLS = ("torch", "onnx")  # whose versions change the result; for ``Stage.tools``
SIMPLIFY_TOOLS = ("onnxsim", "onnx")


def run_torch(model: nn.Module, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of the network in evaluation mode, one input at a time as every later stage computes them.

    Args:
        model: takes (N, C, H, W), gives (N, classes); its own mode and weights stay as they are.
        inputs: (N, H, W, C) float32.

    Returns:
        (N, classes) float32.
    """
    frozen = copy.deepcopy(model).eval()
    with torch.no_grad():
        rows = [frozen(torch.from_numpy(_nchw(inputs[i : i + 1]))).numpy() for i in range(len(inputs))]
    return np.asarray(np.concatenate(rows), dtype=np.float32)


def export_onnx(
    model: nn.Module, input_hw: tuple[int, int], path: Path, channels: int = 3, is_own: bool = False
) -> None:
    """Writes ``path``: batch 1, (1, C, H, W) ``input`` -> (1, classes) ``logits``; batch norm is folded by torch.

    Blocks that int8 cannot hold are exchanged for exact equivalents first (``rewrites``).

    Args:
        model: takes (N, C, H, W), gives (N, classes); not changed.
        input_hw: (height, width) in px.
        path: the .onnx file to write.
        channels: of the input.
        is_own: the user's own network, in which such blocks may be functions and no modules (``onnx_rewrites``).

    Raises:
        ToolError: torch cannot express the network in opset 17.
    """
    if isinstance(model, OnnxNetwork):
        write_bytes(path, rewrite_onnx(onnx.load_from_string(model.content)).SerializeToString(deterministic=True))
        return
    frozen = rewrite(model).eval()
    with whole_file(path) as file:
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter(
                    "ignore"
                )  # the tracing exporter is deprecated; onnx2tf rejects the new one's graphs
                torch.onnx.export(
                    frozen,
                    (torch.zeros(1, channels, *input_hw),),
                    file,
                    input_names=[INPUT_NAME],
                    output_names=[OUTPUT_NAME],
                    opset_version=OPSET,
                    dynamo=False,
                )
        except (RuntimeError, ValueError, TypeError) as error:
            raise ToolError(f"torch.onnx could not export {type(model).__name__}: {_first_line(error)}") from error
        if is_own:
            file.write_bytes(rewrite_onnx(onnx.load(file)).SerializeToString(deterministic=True))


def simplify_onnx(source: Path, target: Path) -> None:
    """Folds constants and fuses operators with onnxsim, which compares both graphs on a random input.

    Raises:
        ToolError: onnxsim failed, or its own check found another output.
    """
    import onnxsim  # 0.8 s

    model = load_onnx(source)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            simplified, same = onnxsim.simplify(model, check_n=1)
    except Exception as error:  # onnxsim raises anything, C++ exceptions included
        raise ToolError(f"onnxsim could not simplify {source}: {_first_line(error)}") from error
    if not same:
        raise ToolError(f"onnxsim's own check: the simplified {source} gives another output than the original")
    del simplified.metadata_props[:]  # a log of what it removed; it says nothing about the network
    onnx.checker.check_model(simplified)
    write_bytes(target, simplified.SerializeToString(deterministic=True))


def run_onnx(path: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits by onnxruntime where it is installed, else by onnx' reference evaluator (0.3 to 1 s an input).

    Args:
        path: a network made by ``export_onnx`` or ``simplify_onnx``.
        inputs: (N, H, W, C) float32; a few are enough without onnxruntime.

    Returns:
        (N, classes) float32.
    """
    feeds = [{INPUT_NAME: _nchw(inputs[i : i + 1])} for i in range(len(inputs))]
    if importlib.util.find_spec("onnxruntime") is not None:
        import onnxruntime

        session = onnxruntime.InferenceSession(load_onnx(path).SerializeToString(), providers=["CPUExecutionProvider"])
        rows = [session.run([OUTPUT_NAME], feed)[0] for feed in feeds]
        return np.asarray(np.concatenate(rows), dtype=np.float32)
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(load_onnx(path))
    rows = [evaluator.run([OUTPUT_NAME], feed)[0] for feed in feeds]
    return np.asarray(np.concatenate(rows), dtype=np.float32)


def _nchw(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(inputs.transpose(0, 3, 1, 2), dtype=np.float32)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
