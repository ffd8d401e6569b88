"""The only module that imports TensorFlow; it runs as a process of its own, started by ``saved_model`` and ``tflite``.

``python -m fer_host.convert.tf_worker COMMAND SOURCE TARGET [INPUTS]``: its chatter goes to the caller's log file.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

# Set before TensorFlow is imported. oneDNN's kernels sum in another order from run to run: off, for equal results.
os.environ.update(TF_CPP_MIN_LOG_LEVEL="2", CUDA_VISIBLE_DEVICES="-1", TF_ENABLE_ONEDNN_OPTS="0")


def to_saved_model(source: str, target: str) -> None:
    """ONNX (1, C, H, W) -> a SavedModel whose signature takes ``input`` (1, H, W, C) and gives ``logits``."""
    import tensorflow as tf

    network = _onnx2tf(source)
    network._name = "network"  # else "model_2" or "model_7", by how many trial models onnx2tf happened to make
    shape = network.inputs[0].shape

    class Served(tf.Module):  # type: ignore[misc]  # tensorflow has no types
        """Holds the weights and the signature, not the Keras layers, whose tracing took 10 s and 2 MB."""

        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, "input")])  # type: ignore[untyped-decorator]
        def __call__(self, input: Any) -> dict[str, Any]:
            return {"logits": network(input)}

    served = Served()
    # not network.variables: where onnx2tf tries several layouts of a convolution, Keras loses sight of the one it took
    served.tracked = list(served.__call__.get_concrete_function().graph.variables)
    tf.saved_model.save(served, target, signatures=served.__call__)


def _onnx2tf(source: str) -> Any:
    """The network as a Keras model; works in a scratch folder, because onnx2tf writes beside its input."""
    import onnx
    import onnx2tf
    from onnx2tf.utils import common_functions

    from fer_host.convert.onnx_file import load_onnx

    def offline(*_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("onnx2tf tried to download something; fer-host converts offline")

    common_functions.requests.get = offline
    network_path = Path(source).resolve()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        # onnx2tf looks for this file before it downloads one. It feeds a shape check, not the weights: noise will do.
        noise = np.random.default_rng(0).random((20, 128, 128, 3), dtype=np.float32)
        np.save("calibration_image_sample_data_20x128x128x3_float32.npy", noise)
        local = Path(scratch) / "network.onnx"
        network = load_onnx(network_path)
        for node in network.graph.node:  # TensorFlow saves no variable whose name starts with a slash
            node.name = node.name.lstrip("/")
        onnx.save(network, local)
        try:
            return onnx2tf.convert(
                input_onnx_file_path=str(local),
                output_folder_path=str(Path(scratch) / "unused"),
                not_use_onnxsim=True,  # a stage of its own, before this one
                not_use_opname_auto_generate=True,
                disable_model_save=True,  # saved by to_saved_model: saves two tflite conversions nobody asked for
                non_verbose=True,
            )
        finally:
            os.chdir("/")


def to_float_tflite(source: str, target: str) -> None:
    """SavedModel -> float32 tflite with its signature."""
    import tensorflow as tf

    content = tf.lite.TFLiteConverter.from_saved_model(source, signature_keys=["serving_default"]).convert()
    Path(target).write_bytes(content)


def run_saved_model(source: str, target: str, inputs: str) -> None:
    """Feeds the rows of ``inputs`` (.npy, N, H, W, C) one at a time; writes the logits (.npy, N, classes)."""
    import tensorflow as tf

    run = tf.saved_model.load(source).signatures["serving_default"]
    rows = [run(input=tf.constant(row[None]))["logits"].numpy()[0] for row in np.load(inputs)]
    np.save(target, np.stack(rows))


COMMANDS: dict[str, Callable[..., None]] = {
    "saved-model": to_saved_model,
    "float-tflite": to_float_tflite,
    "run": run_saved_model,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*(str(Path(argument).resolve()) for argument in sys.argv[2:]))
