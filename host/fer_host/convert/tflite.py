"""SavedModel -> float tflite, and the runner of every tflite file, float or int8."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fer_host
from fer_host.convert.saved_model import run_worker
from fer_host.errors import DataError, ToolError

TOOLS = ("tensorflow",)  # of ``to_float_tflite``, for ``Stage.tools``


def to_float_tflite(saved_model: Path, target: Path, log: Path) -> None:
    """Writes ``target``, float32, with the signature that ai-edge-quantizer needs.

    Args:
        saved_model: folder made by ``to_saved_model``.
        target: the .tflite file to write.
        log: file that receives what TensorFlow prints.

    Raises:
        ToolError: TFLiteConverter failed; names the log.
        OSError: no space left (ENOSPC).
    """
    run_worker("float-tflite", saved_model, target, log)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drops what C++ code prints to standard error ("Created TensorFlow Lite XNNPACK delegate"); one thread only."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def open_interpreter(
    path: Path, reference_kernels: bool = False, threads: int = 1, keep_all: bool = False, silent: bool = True
) -> Any:
    """An ``ai_edge_litert`` interpreter, tensors allocated.

    Args:
        path: the .tflite file.
        reference_kernels: the portable kernels, whose int8 results do not depend on the processor.
        threads: number of threads.
        keep_all: keeps every intermediate tensor readable after ``invoke``; no delegate then.
        silent: drops what the interpreter prints.

    Raises:
        ToolError: no such file, or not a network this interpreter can run.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if keep_all else OpResolverType.BUILTIN
    if reference_kernels:
        resolver = OpResolverType.BUILTIN_REF
    try:
        with quiet() if silent else contextlib.nullcontext():
            interpreter = Interpreter(
                model_content=path.read_bytes(),
                experimental_op_resolver_type=resolver,
                num_threads=threads,
                experimental_preserve_all_tensors=keep_all,
            )
            interpreter.allocate_tensors()
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ToolError(f"the tflite interpreter cannot load {path}: {reason}") from error
    return interpreter


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
    shape = tuple(int(side) for side in source["shape"])
    if inputs.shape[1:] != shape[1:]:
        raise DataError(f"{path}: found inputs of shape {inputs.shape}, expected (N, {', '.join(map(str, shape[1:]))})")
    rows = []
    for row in inputs:
        interpreter.set_tensor(source["index"], quantize(row[None], source["dtype"], *source["quantization"]))
        interpreter.invoke()
        rows.append(dequantize(interpreter.get_tensor(result["index"])[0], *result["quantization"]))
    return np.stack(rows)


def check_runs(path: Path) -> None:
    """Loads a network and runs it once on zeros, in a process of its own: a native crash kills that one only.

    Raises:
        ToolError: the interpreter refuses the file, or dies of it.
    """
    script = "import sys; from fer_host.convert.tflite import run_once; run_once(sys.argv[1])"
    home = str(Path(fer_host.__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([home, os.environ.get("PYTHONPATH", "")]).rstrip(":")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, str(path.resolve())],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment,
        check=False,
    )
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


def quantize(values: NDArray[np.float32], dtype: Any, scale: float, zero_point: int) -> NDArray[Any]:
    """round(value / scale) + zero_point, half to even, clipped to ``dtype``; float types pass unchanged."""
    if np.issubdtype(dtype, np.floating):
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    stored: NDArray[Any] = np.clip(np.rint(values / np.float32(scale)) + zero_point, limits.min, limits.max).astype(
        dtype
    )
    return stored


def dequantize(values: NDArray[Any], scale: float, zero_point: int) -> NDArray[np.float32]:
    """(value - zero_point) * scale for integers; float types pass unchanged."""
    if np.issubdtype(values.dtype, np.floating):
        return values.astype(np.float32)
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
