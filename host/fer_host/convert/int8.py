"""Float tflite -> int8 or dynamic-range tflite, by ai-edge-quantizer: only the options that fer-host uses."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.contract.descriptors import captured
from fer_host.errors import DataError, ToolError
from fer_host.files.artifacts import write_bytes
from fer_host.tflite.inspection import TfliteInfo, inspect_tflite
from fer_host.tflite.ranges import ActivationRanges, activation_keys, check_applies

_LARGEST = 1e9  # of an activation

TOOLS = ("ai-edge-quantizer", "ai-edge-litert", "numpy")  # whose versions change the result, for ``Stage.tools``


def quantize_int8(
    float_tflite: Path,
    ranges: ActivationRanges,
    target: Path,
    keep_float: Sequence[str] = (),
    *,
    weights_sha256: str,
    float_outputs: bool = False,
    per_tensor_dense: bool = False,
) -> None:
    """Static int8: activations by the given ranges, weights per output channel by their own, biases in 32 bits.

    Input and output are int8 too, unless told otherwise. The same network and ranges always give the same bytes.

    Args:
        float_tflite: the float network.
        ranges: observed on this network, now or earlier; see ``check_applies``.
        target: the .tflite file to write.
        keep_float: operators that stay in float, by their name in ``activation_keys`` ("012.CONV_2D").
        weights_sha256: digest of the weights the network was made from.
        float_outputs: the outputs are float32, as operators give them that stay in float.
        per_tensor_dense: weights of dense layers get one scale, as runtimes and compilers of before 2024 need.

    Raises:
        DataError: the ranges belong to another network, or hold a value that leaves 8 bits nothing.
        ToolError: ai-edge-quantizer failed.
    """
    info = inspect_tflite(float_tflite)
    check_applies(ranges, info, weights_sha256)
    _check_ranges(ranges)
    statistics = {}
    for key, index in activation_keys(info).items():
        shape = (1,) * len(info.tensors[index].shape)
        low, high = (np.full(shape, end, dtype=np.float32) for end in ranges.ranges[key])
        statistics[info.tensors[index].name] = {"min": low, "max": high}
    scopes = [_scope(info, name) for name in keep_float]
    _quantize(float_tflite, "static_wi8_ai8", statistics, target, scopes, float_outputs, per_tensor_dense)


def _scope(info: TfliteInfo, name: str) -> str:
    """A pattern for an operator as ai-edge-quantizer knows it: by its outputs' names."""
    names = {f"{op.index:03d}.{op.type}": op for op in info.ops}
    if name not in names:
        weighted = ", ".join(layer.name for layer in info.layers[:4])
        raise DataError(f"operator {name!r}: this network has no such; expected e.g. {weighted}")
    outputs = "".join(f"{info.tensors[i].name};" for i in names[name].outputs)
    return f"^{re.escape(outputs)}$"


def _check_ranges(ranges: ActivationRanges) -> None:
    """Refuses a range that leaves 8 bits nothing; XNNPACK of ai-edge-litert 2.3.0 even aborts on such a file."""
    for key, (low, high) in ranges.ranges.items():
        if max(-low, high) > _LARGEST:
            raise DataError(
                f"activation ranges: {key} reaches from {low:.3g} to {high:.3g}, expected at most {_LARGEST:g} either "
                "way: int8 would hold nothing else (a pad with the lowest number? convert.rewrites has other forms)"
            )


def quantize_dynamic(float_tflite: Path, target: Path) -> None:
    """Dynamic range: int8 weights per output channel, float32 activations; needs no data.

    Args:
        float_tflite: the float network.
        target: the .tflite file to write.

    Raises:
        ToolError: ai-edge-quantizer failed.
    """
    _quantize(float_tflite, "dynamic_wi8_afp32", None, target)


def static_int8_operators() -> frozenset[str]:
    """tflite operators that ai-edge-quantizer can make int8, as ``OpInfo.type`` names them."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_quantizer import default_policy
    from ai_edge_quantizer.utils.tfl_flatbuffer_utils import TFL_OP_NAME_TO_CODE

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    listed = json.loads(default_policy.DEFAULT_JSON_POLICY)["ops_per_config"]["static_wi8_ai8"]
    return frozenset(names[TFL_OP_NAME_TO_CODE[name]] for name in listed if name in TFL_OP_NAME_TO_CODE)


def _quantize(
    source: Path,
    recipe_name: str,
    statistics: dict[str, dict[str, Any]] | None,
    target: Path,
    left_out: Sequence[str] = (),
    float_outputs: bool = False,
    per_tensor_dense: bool = False,
) -> None:
    from ai_edge_quantizer import qtyping, quantizer, recipe

    try:
        with captured(2), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it opens its own interpreter with settings that it is warned of
            engine = quantizer.Quantizer(str(source), getattr(recipe, recipe_name)())
            if per_tensor_dense:
                engine.update_quantization_recipe(
                    ".*",
                    qtyping.TFLOperationName.FULLY_CONNECTED,
                    op_config=qtyping.OpQuantizationConfig(
                        activation_tensor_config=qtyping.TensorQuantizationConfig(8, symmetric=False),
                        weight_tensor_config=qtyping.TensorQuantizationConfig(
                            8, symmetric=True, granularity=qtyping.QuantGranularity.TENSORWISE
                        ),
                        compute_precision=qtyping.ComputePrecision.INTEGER,
                    ),
                )
            for pattern in left_out:
                engine.update_quantization_recipe(
                    pattern, qtyping.TFLOperationName.ALL_SUPPORTED, algorithm_key="no_quantize"
                )
            if float_outputs:
                engine.update_quantization_recipe(".*", qtyping.TFLOperationName.OUTPUT, algorithm_key="no_quantize")
            result = engine.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    except Exception as error:  # it raises anything; the message is ours
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ToolError(f"ai-edge-quantizer ({recipe_name}) failed on {source}: {reason}") from error
    write_bytes(target, bytes(result.quantized_model))
