"""Activation ranges: their summary, their JSON, and the refusal of another network's. No converter needed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from fer_edge.contract.specs import TensorSpec
from fer_host.errors import DataError
from fer_host.tflite import ranges
from fer_host.tflite.arithmetic import not_int8, scheme_of
from fer_host.tflite.inspection import OpInfo, TensorInfo, TfliteInfo

SPEC = TensorSpec("input", (1, 4, 4, 3), "float32")
TENSORS = (
    TensorInfo(0, "x", (1, 4, 4, 3), "float32", constant=False),
    TensorInfo(1, "w", (8, 1, 1, 3), "float32", constant=True),
    TensorInfo(2, "model_2/conv", (1, 4, 4, 8), "float32", constant=False),
    TensorInfo(3, "axes", (2,), "int32", constant=True, integers=(1, 2)),
    TensorInfo(4, "out", (1, 8), "float32", constant=False),
)
OPS = (
    OpInfo(0, "CONV_2D", (0, 1, -1), (2,), {"strideW": 1}),
    OpInfo(1, "MEAN", (2, 3), (4,), {"keepDims": False}),
)
INFO = TfliteInfo(Path("x.tflite"), 1, TENSORS, OPS, (SPEC,), (SPEC,), (0,), (4,), "")
WEIGHTS = "ab" * 32


def with_tensor(index: int, **changes: object) -> TfliteInfo:
    tensors = [dataclasses.replace(t, **changes) if t.index == index else t for t in TENSORS]  # type: ignore[arg-type]
    return dataclasses.replace(INFO, tensors=tuple(tensors))


def with_op(index: int, **changes: object) -> TfliteInfo:
    ops = [dataclasses.replace(op, **changes) if op.index == index else op for op in OPS]  # type: ignore[arg-type]
    return dataclasses.replace(INFO, ops=tuple(ops))


def good() -> ranges.ActivationRanges:
    found = {"input.0": (-2.0, 2.1), "000.CONV_2D.0": (0.0, 6.0), "001.MEAN.0": (-0.1, 1e-3)}
    return ranges.ActivationRanges(ranges.graph_digest(INFO), WEIGHTS, "minmax", 3, found, "faces")


def test_keys_name_the_producing_operator() -> None:
    assert ranges.activation_keys(INFO) == {"input.0": 0, "000.CONV_2D.0": 2, "001.MEAN.0": 4}


def test_keys_leave_out_integer_results() -> None:
    assert "001.MEAN.0" not in ranges.activation_keys(with_tensor(4, dtype="int32"))


@pytest.mark.parametrize("index", range(5))
def test_digest_ignores_names(index: int) -> None:
    assert ranges.graph_digest(with_tensor(index, name="model_7/other")) == ranges.graph_digest(INFO)


def test_digest_ignores_the_numbering_of_tensors() -> None:
    order = [3, 0, 4, 1, 2]  # new index of each tensor
    tensors = sorted((dataclasses.replace(t, index=order[t.index]) for t in TENSORS), key=lambda t: t.index)
    move = {**dict(enumerate(order)), -1: -1}
    ops = tuple(
        dataclasses.replace(op, inputs=tuple(move[i] for i in op.inputs), outputs=tuple(move[i] for i in op.outputs))
        for op in OPS
    )
    moved = dataclasses.replace(
        INFO, tensors=tuple(tensors), ops=ops, input_indices=(order[0],), output_indices=(order[4],)
    )
    assert ranges.graph_digest(moved) == ranges.graph_digest(INFO)


@pytest.mark.parametrize(
    "other",
    [
        with_tensor(1, shape=(16, 1, 1, 3)),
        with_tensor(0, shape=(1, 8, 8, 3)),
        with_tensor(2, dtype="int8"),
        with_tensor(3, integers=(2, 3)),
        with_op(0, attributes={"strideW": 2}),
        with_op(0, type="DEPTHWISE_CONV_2D"),
        with_op(1, inputs=(0, 3)),
        dataclasses.replace(INFO, output_indices=(2,)),
    ],
    ids=["weight shape", "input shape", "dtype", "axes", "stride", "type", "wiring", "output"],
)
def test_digest_sees_topology(other: TfliteInfo) -> None:
    assert ranges.graph_digest(other) != ranges.graph_digest(INFO)


def test_ranges_of_this_network_apply() -> None:
    ranges.check_applies(good(), with_tensor(2, name="model_9/conv"), WEIGHTS)


@pytest.mark.parametrize(
    ("found", "info", "weights", "what"),
    [
        (good(), INFO, "cd" * 32, "other weights"),
        (good(), with_op(0, attributes={"strideW": 2}), WEIGHTS, "another graph"),
        (dataclasses.replace(good(), ranges={"input.0": (0.0, 1.0)}), INFO, WEIGHTS, "000.CONV_2D.0"),
        (dataclasses.replace(good(), ranges={**good().ranges, "9": (0.0, 1.0)}), INFO, WEIGHTS, "9 is in"),
    ],
)
def test_others_are_refused_with_the_remedy(
    found: ranges.ActivationRanges, info: TfliteInfo, weights: str, what: str
) -> None:
    with pytest.raises(DataError, match=what) as caught:
        ranges.check_applies(found, info, weights)
    assert "fer-host calibrate" in str(caught.value)
    assert "\n" not in str(caught.value)


EXTREMES = ranges.Extremes(
    ("a", "b"),
    np.array([[-1, 0], [-3, 0], [-2, 0]], np.float32),
    np.array([[5, 1], [1, 9], [3, 2]], np.float32),
)


@pytest.mark.parametrize(
    ("method", "percentile", "expected"),
    [
        ("minmax", 99.0, {"a": (-3, 5), "b": (0, 9)}),
        ("percentile", 100.0, {"a": (-3, 5), "b": (0, 9)}),
        ("percentile", 50.0, {"a": (-2, 3), "b": (0, 2)}),
        ("percentile", 75.0, {"a": (-2.5, 4), "b": (0, 5.5)}),
        ("moving_average", 99.0, {"a": (-1.145, 4.71), "b": (0, 1.43)}),
    ],
)
def test_summary(method: ranges.Method, percentile: float, expected: dict[str, tuple[float, float]]) -> None:
    found = ranges.summarize(EXTREMES, method, percentile)
    assert found.keys() == expected.keys()
    for key, ends in expected.items():
        assert found[key] == pytest.approx(ends, abs=1e-6)


rows = hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(2)), elements=st.floats(-1e3, 1e3, width=32))


@given(rows, rows, st.sampled_from(["minmax", "percentile", "moving_average"]), st.floats(50, 100))
def test_every_summary_lies_within_the_outermost(
    a: NDArray[np.float32], b: NDArray[np.float32], method: ranges.Method, percentile: float
) -> None:
    n = min(len(a), len(b))
    extremes = ranges.Extremes(("a", "b"), np.minimum(a[:n], b[:n]), np.maximum(a[:n], b[:n]))
    outer = ranges.summarize(extremes)
    for key, (low, high) in ranges.summarize(extremes, method, percentile).items():
        assert outer[key][0] - 1e-3 <= low <= high + 1e-3
        assert high <= outer[key][1] + 1e-3


float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.dictionaries(st.text(min_size=1), st.tuples(float32s, float32s).map(sorted).map(tuple)))
def test_json_gives_back_every_bit(found: dict[str, tuple[float, float]]) -> None:
    document = dataclasses.replace(good(), ranges=found)
    text = ranges.dumps(document)
    assert ranges.loads(text) == document
    assert ranges.dumps(ranges.loads(text)) == text
    assert all(np.float32(end) == end for pair in ranges.loads(text).ranges.values() for end in pair)


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("schema",), "fer-edge/ranges/2", "ranges.schema"),
        (("more",), 1, "ranges.more"),
        (("n_inputs",), "3", "ranges.n_inputs"),
        (("ranges", "input.0"), [0.0], "ranges.ranges.input.0"),
        (("ranges", "input.0"), [1.0, 0.0], "ranges.ranges.input.0"),
        (("ranges", "input.0"), [0.0, float("inf")], "ranges.ranges.input.0"),
    ],
)
def test_broken_documents_are_refused_with_the_path(
    tmp_path: Path, path: tuple[str, ...], value: object, where: str
) -> None:
    document = json.loads(ranges.dumps(good()))
    holder = document
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    file = tmp_path / "r.json"
    file.write_text(json.dumps(document))
    with pytest.raises(DataError) as caught:
        ranges.load(file)
    assert where in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_absent_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no activation ranges there"):
        ranges.load(tmp_path / "absent.json")


def test_save_and_load(tmp_path: Path) -> None:
    ranges.save(good(), tmp_path / "deep" / "r.json")
    assert ranges.load(tmp_path / "deep" / "r.json") == good()


def network(*dtypes: str) -> TfliteInfo:
    """INFO with these dtypes: input, weights, convolution's result, axes, output."""
    tensors = tuple(dataclasses.replace(t, dtype=d) for t, d in zip(TENSORS, dtypes, strict=True))
    return dataclasses.replace(INFO, tensors=tensors)


@pytest.mark.parametrize(
    ("dtypes", "scheme"),
    [
        (("float32", "float32", "float32", "int32", "float32"), "float32"),
        (("float32", "int8", "float32", "int32", "float32"), "dynamic"),
        (("int8", "int8", "int8", "int32", "int8"), "int8"),
        (("int8", "int4", "int8", "int32", "int8"), "mixed"),
        (("int8", "int8", "int8", "int32", "float32"), "mixed"),
        (("int16", "int8", "int16", "int32", "int16"), "mixed"),
        (("float32", "float16", "float32", "int32", "float32"), "mixed"),
    ],
)
def test_scheme_is_what_the_file_has(dtypes: tuple[str, ...], scheme: str) -> None:
    assert scheme_of(network(*dtypes)) == scheme


def test_float_weights_stored_small_are_not_float32() -> None:
    """Weights kept in int8 and dequantized before a float operator: neither float32 nor dynamic nor int8."""
    stored = TensorInfo(5, "stored", (8, 1, 1, 3), "int8", constant=True, scales=(0.1,), zero_points=(0,))
    weights = dataclasses.replace(TENSORS[1], constant=False)
    dequantize = OpInfo(0, "DEQUANTIZE", (5,), (1,), {})
    info = dataclasses.replace(INFO, tensors=(TENSORS[0], weights, *TENSORS[2:], stored), ops=(dequantize, *OPS))
    assert scheme_of(info) == "mixed"


def test_conversion_at_the_borders_stays_int8() -> None:
    tensors = (*network("int8", "int8", "int8", "int32", "int8").tensors, dataclasses.replace(TENSORS[4], index=5))
    ops = (*OPS, OpInfo(2, "DEQUANTIZE", (4,), (5,), {}))
    info = dataclasses.replace(INFO, tensors=tensors, ops=ops, output_indices=(5,))
    assert scheme_of(info) == "int8"
    assert [(note.type, note.reason) for note in not_int8(info)] == [("DEQUANTIZE", "converts between float and int8")]


def test_reasons_say_what_was_out_of_reach() -> None:
    notes = not_int8(INFO, supported=frozenset({"CONV_2D"}))
    assert [note.reason for note in notes] == [
        "activations float32, weights float32",
        "activations float32; ai-edge-quantizer has no static int8 MEAN",
    ]
