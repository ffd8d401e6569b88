"""SavedModel -> float tflite."""

from __future__ import annotations

from pathlib import Path

from fer_host.convert.saved_model import run_worker

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
