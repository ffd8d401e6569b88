"""ONNX -> SavedModel by onnx2tf, in a process of its own: quiet, offline, its log kept."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_host.errors import ToolError
from fer_host.files.child import run_python

_LOW_SPACE_BYTES = 64 * 1024

# Whose versions change the result, for ``Stage.tools``. onnx2tf checks its own layouts only where onnxruntime is there.
TOOLS = ("onnx2tf", "tensorflow", "tf-keras", "onnx-graphsurgeon", "onnxruntime", "numpy")


def to_saved_model(source: Path, target: Path, log: Path) -> None:
    """Writes the folder ``target`` with ``saved_model.pb``: (1, H, W, 3) ``input`` -> (1, classes) ``logits``.

    Args:
        source: ONNX network of batch 1, channels first.
        target: folder to make; TensorFlow's layout, channels last, the weights inside the .pb.
        log: file that receives everything TensorFlow and onnx2tf print; outside ``target``.

    Raises:
        ToolError: onnx2tf or TensorFlow failed; names the log.
        OSError: no space left (ENOSPC).
    """
    run_worker("saved-model", source, target, log)
    if not (target / "saved_model.pb").is_file():
        raise ToolError(f"onnx2tf left no saved_model.pb in {target}; its log is {log}")


def run_saved_model(source: Path, inputs: NDArray[np.float32], log: Path) -> NDArray[np.float32]:
    """Logits of a SavedModel made by ``to_saved_model``.

    Args:
        source: the SavedModel's folder.
        inputs: (N, H, W, 3) float32, normalized.
        log: file that receives what TensorFlow prints.

    Returns:
        (N, classes) float32.

    Raises:
        ToolError: TensorFlow failed; names the log.
    """
    with tempfile.TemporaryDirectory() as scratch:
        rows, logits = Path(scratch) / "inputs.npy", Path(scratch) / "logits.npy"
        np.save(rows, inputs)
        run_worker("run", source, logits, log, rows)
        return np.asarray(np.load(logits), dtype=np.float32)


def run_worker(command: str, source: Path, target: Path, log: Path, *more: Path) -> None:
    """One ``tf_worker`` command in a fresh process.

    Raises:
        ToolError: it failed; the message has the last line of its log and names the log.
        OSError: it failed because no space was left (ENOSPC).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = [str(path.resolve()) for path in (source, target, *more)]
    with log.open("wb") as output:
        process = run_python("-m", "fer_host.convert.tf_worker", command, *arguments, output=output)
    if process.returncode == 0:
        return
    text = log.read_text(errors="replace")
    if "No space left on device" in text or shutil.disk_usage(target.parent).free < _LOW_SPACE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
    if process.returncode < 0:
        reason = f"killed by {signal.Signals(-process.returncode).name} (out of memory?)"
    else:
        reason = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")
    raise ToolError(f"tensorflow's {command} step failed on {source}: {reason[:300]}; the whole log is {log}")
