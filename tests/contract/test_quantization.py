import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.contract.quantization import dequantize, quantize
from fer_edge.contract.specs import TensorSpec


@given(st.floats(-100, 100, width=32), st.floats(1e-3, 1.0), st.integers(-128, 127))
def test_quantize_rounds_to_the_nearest_step(value: float, scale: float, zero_point: int) -> None:
    spec = TensorSpec("input", (1,), "int8", scale, zero_point)
    stored = quantize(np.array([value], np.float32), spec)
    assert stored.dtype == np.int8
    back = float(dequantize(stored, spec)[0])
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
    assert back == pytest.approx(min(max(value, low), high), abs=0.501 * scale + 1e-4)


def test_float_tensors_pass_unchanged() -> None:
    values, spec = np.array([0.1, -3.7], np.float32), TensorSpec("input", (2,), "float32")
    assert np.array_equal(quantize(values, spec), values)
    assert np.array_equal(dequantize(values, spec), values)
