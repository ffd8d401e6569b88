"""Makes the tiny networks of the device tests; needs the host's tensorflow: python tests/device/data/make_tiny.py."""

from __future__ import annotations

import json
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from fer_host.convert.from_tflite import tflite_to_onnx

HERE = Path(__file__).parent
SIDE, LABELS = 32, 8


def network(channels: int) -> tf.Module:
    """Convolution, mean, dense: random weights, but answers that differ from picture to picture."""
    random = np.random.default_rng(7)
    kernel = tf.constant(random.normal(0, 0.25, (3, 3, channels, 8)), tf.float32)
    dense = tf.constant(random.normal(0, 1.5, (8, LABELS)), tf.float32)

    class Tiny(tf.Module):  # type: ignore[misc]  # tensorflow has no stubs
        @tf.function(input_signature=[tf.TensorSpec((1, SIDE, SIDE, channels), tf.float32)])  # type: ignore[untyped-decorator]
        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            hidden = tf.nn.relu(tf.nn.conv2d(x, kernel, 2, "SAME"))
            return tf.matmul(tf.reduce_mean(hidden, (1, 2)), dense)

    return Tiny()


def converted(module: tf.Module, channels: int, quantized: bool) -> bytes:
    """The network as tflite, float or full int8."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.__call__.get_concrete_function()], module)
    if quantized:
        random = np.random.default_rng(8)
        samples = [random.normal(0, 1, (1, SIDE, SIDE, channels)).astype(np.float32) for _ in range(32)]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    content: bytes = converter.convert()
    return content


def too_new(content: bytes) -> bytes:
    """The same network, asking for a convolution of version 99."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    for code in model.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.CONV_2D:
            code.version = 99
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def main() -> None:
    """Writes the files, those of one channel with "gray" in their names, and the tensors' quantization."""
    contents = {}
    for prefix, channels in (("", 3), ("gray_", 1)):
        module = network(channels)
        contents[f"{prefix}float32"] = converted(module, channels, False)
        contents[f"{prefix}int8"] = converted(module, channels, True)
    contents["too_new"] = too_new(contents["float32"])
    specs = {}
    for name, content in contents.items():
        (HERE / f"tiny_{name}.tflite").write_bytes(content)
        if name in ("float32", "int8"):
            tflite_to_onnx(HERE / f"tiny_{name}.tflite", HERE / f"tiny_{name}.onnx")
        if name != "too_new":
            interpreter = tf.lite.Interpreter(model_content=content)
            details = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
            specs[name] = [[float(d["quantization"][0]) or 1.0, int(d["quantization"][1])] for d in details]
    (HERE / "tiny.json").write_text(json.dumps(specs, indent=1) + "\n")


if __name__ == "__main__":
    main()
