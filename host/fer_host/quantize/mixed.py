"""Float tflite -> int8 tflite whose weights are exactly the tuned integers and steps.

ai-edge-quantizer derives a weight's step from its largest value, which would move every tuned grid. Its registry takes
own functions for known operators; ours hands out the steps and integers of the layer that the operator computes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_host.convert.int8 import quantize_int8
from fer_host.quantize.placed import OPERATORS, FoundLayer, PlacedLayer, place_layers
from fer_host.tflite.ranges import ActivationRanges


def quantize_mixed(
    float_tflite: Path, ranges: ActivationRanges, found: Sequence[FoundLayer], target: Path, *, weights_sha256: str
) -> tuple[PlacedLayer, ...]:
    """Static int8 as ``quantize_int8``, with every layer's weights on its own grid.

    Args:
        float_tflite: converted from the dequantized network.
        ranges: observed on it.
        found: its layers, by ``find_layers``.
        target: the .tflite file to write.
        weights_sha256: of the dequantized network.

    Returns:
        The layers in ``target``.

    Raises:
        GateError: a layer that is not in ``target`` as it was tuned.
        DataError: see ``quantize_int8``.
        ToolError: see ``quantize_int8``.
    """
    with _own_steps({layer.operator: layer for layer in found}):
        quantize_int8(float_tflite, ranges, target, weights_sha256=weights_sha256)
    return place_layers(target, found)


@contextmanager
def _own_steps(layers: dict[int, FoundLayer]) -> Iterator[None]:
    """Inside, ai-edge-quantizer takes the steps and integers of weights from ``layers``, by operator index."""
    from ai_edge_quantizer import algorithm_manager as manager
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithms.uniform_quantize import common_quantize, naive_min_max_quantize

    def parameters(
        op_info: Any, tensor_config: Any, tensor_content: NDArray[Any] | None = None, tensor_qsv: Any = None
    ) -> Any:
        usual = naive_min_max_quantize.get_tensor_quant_params(op_info, tensor_config, tensor_content, tensor_qsv)
        if tensor_content is None:
            return usual
        layer = layers[op_info.subgraph_op_index]
        return dataclasses.replace(
            usual,
            scale=layer.grid.scale.reshape(np.shape(usual.scale)).astype(np.asarray(usual.scale).dtype),
            zero_point=np.zeros_like(usual.zero_point),
            quantized_data=layer.integers.astype(usual.quantized_data.dtype),
        )

    def register(function: Any) -> None:
        for name in OPERATORS:
            manager.register_quantized_op(
                manager.AlgorithmName.MIN_MAX_UNIFORM_QUANT,
                qtyping.TFLOperationName(name),
                naive_min_max_quantize.init_qsvs,
                calibration_func=naive_min_max_quantize.min_max_calibrate,
                materialize_func=functools.partial(common_quantize.materialize_fc_conv, function),
            )

    register(parameters)
    try:
        yield
    finally:
        register(naive_min_max_quantize.get_tensor_quant_params)
