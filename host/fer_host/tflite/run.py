"""Runs a tflite file, float or int8: here, and in a process of its own where a native crash must not reach us."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.quantization import dequantize, quantize
from fer_edge.contract.specs import TensorSpec
from fer_host.errors import DataError, ToolError
from fer_host.files.child import run_python


def open_interpreter(
    path: Path, reference_kernels: bool = False, threads: int = 1, keep_all: bool = False, silent: bool = True
) -> Any:
    """The device's interpreter of a file, tensors allocated.

    Args:
        path: the .tflite file.
        reference_kernels: the portable kernels, whose int8 results do not depend on the processor.
        threads: number of threads.
        keep_all: keeps every intermediate tensor readable after ``invoke``; no delegate then.
        silent: drops what the interpreter says of itself.

    Raises:
        ToolError: no such file, or not a network this interpreter can run.
    """
    from fer_host import device_pipeline

    try:
        return device_pipeline.open_interpreter(
            path.read_bytes(), str(path), threads, reference_kernels, keep_tensors=keep_all, keep_lines=not silent
        )
    except (OSError, device_pipeline.RunnerError) as error:
        cause = error.__cause__ or error
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise ToolError(f"the tflite interpreter cannot load {path}: {reason}") from error


def run_tflite(
    path: Path, inputs: NDArray[np.float32], reference_kernels: bool = False, threads: int = 1
) -> NDArray[np.float32]:
    """Logits of a tflite network; integer inputs and outputs are converted by the file's own scale and zero point.

    Args:
        path: a network with one input (1, H, W, 3) and one output (1, classes).
        inputs: (N, H, W, 3) float32, normalized.
        reference_kernels: see ``open_interpreter``.
        threads: number of threads.

    Returns:
        (N, classes) float32.

    Raises:
        ToolError: the interpreter cannot load or run it.
        DataError: the inputs do not have the network's shape.
    """
    interpreter = open_interpreter(path, reference_kernels, threads)
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    taken, given = _spec(source), _spec(result)
    if inputs.shape[1:] != taken.shape[1:]:
        expected = ", ".join(map(str, taken.shape[1:]))
        raise DataError(f"{path}: found inputs of shape {inputs.shape}, expected (N, {expected})")
    rows = []
    for row in inputs:
        interpreter.set_tensor(source["index"], quantize(row[None], taken))
        interpreter.invoke()
        rows.append(dequantize(interpreter.get_tensor(result["index"])[0], given))
    return np.stack(rows)


def _spec(details: dict[str, Any]) -> TensorSpec:
    """An interpreter's description of a tensor as a manifest has it."""
    dtype: Any = np.dtype(details["dtype"]).name
    scale, zero_point = details["quantization"]  # (0.0, 0) where there is none
    return TensorSpec(details["name"], tuple(int(side) for side in details["shape"]), dtype, scale or 1.0, zero_point)


def check_runs(path: Path) -> None:
    """Loads a network and runs it once on zeros, in a process of its own: a native crash kills that one only.

    Raises:
        ToolError: the interpreter refuses the file, or dies of it.
    """
    script = "import sys; from fer_host.tflite.run import run_once; run_once(sys.argv[1])"
    done = run_python("-c", script, str(path.resolve()))
    if done.returncode == 0:
        return
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    last = lines[-1].removeprefix("fer_host.errors.ToolError: ") if lines else "no output"
    if done.returncode > 0:
        raise ToolError(last[:300])
    raise ToolError(
        f"the tflite interpreter was killed by {signal.Signals(-done.returncode).name} when it loaded {path} "
        f"({last[:120]}); use SCHEME=dynamic, and report the network"
    )


def run_once(path: str) -> None:
    """Loads and runs a network on zeros with the default kernels; what ``check_runs`` starts."""
    interpreter = open_interpreter(Path(path), silent=False)
    for details in interpreter.get_input_details():
        interpreter.set_tensor(details["index"], np.zeros(details["shape"], details["dtype"]))
    interpreter.invoke()
