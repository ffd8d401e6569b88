"""Parity: the figures by hand-made logits, and gates that do stop."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from fer_edge.contract.errors import SchemaError
from fer_host.convert import parity
from fer_host.errors import GateError

GOOD = parity.Parity("int8", "torch", 10, 5e-4, 1e-4, 0.995, 0.999, 0.95, 8, 0.98)


def logits(*rows: list[float]) -> NDArray[np.float32]:
    return np.array(rows, dtype=np.float32)


def test_figures_of_a_hand_made_case() -> None:
    reference = logits([3.0, 0.0], [0.01, 0.0], [0.0, 4.0])
    candidate = logits([0.0, 3.0], [0.0, 0.01], [0.0, 2.0])
    found = parity.compare("int8", reference, candidate)
    assert found.n == 3
    assert found.max_abs == 3.0
    assert found.mean_abs == pytest.approx((3 + 3 + 0.01 + 0.01 + 2) / 6)
    assert found.cosine_min == 0.0
    assert found.cosine_mean == pytest.approx(1 / 3)
    assert found.top1_agreement == pytest.approx(1 / 3)
    assert found.n_at_margin == 2  # the middle row is a coin toss
    assert found.top1_agreement_at_margin == 0.5


def test_margin_is_of_probabilities_and_of_the_reference() -> None:
    step = float(np.log(0.55 / 0.45))  # two classes at 0.55 and 0.45: a margin of 0.10
    assert parity.margins(logits([step, 0.0])) == pytest.approx([0.10], abs=1e-6)
    below, above = logits([step - 0.01, 0.0]), logits([step + 0.01, 0.0])
    assert parity.compare("s", below, logits([9.0, 0.0])).n_at_margin == 0
    assert parity.compare("s", above, logits([0.0, 0.0])).n_at_margin == 1


def test_without_a_clear_input_agreement_is_not_measured() -> None:
    found = parity.compare("s", logits([0.0, 0.0]), logits([0.0, 0.0]))
    assert found.top1_agreement_at_margin is None
    with pytest.raises(GateError, match="nothing measured"):
        parity.check(found, parity.DATA_GATES)


finite = st.floats(-50, 50, width=32)


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(2, 8)), elements=finite))
def test_equal_logits_pass_every_gate(values: NDArray[np.float32]) -> None:
    found = parity.compare("same", values, values.copy())
    assert (found.max_abs, found.top1_agreement) == (0.0, 1.0)
    assert found.cosine_min == pytest.approx(1.0)
    parity.check(found, parity.FLOAT_GATES + parity.QUANTIZED_GATES)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_logits_that_are_not_finite_stop(bad: float, side: int) -> None:
    pair = [logits([1.0, 2.0]), logits([1.0, 2.0])]
    pair[side] = logits([1.0, bad])
    with pytest.raises(GateError, match=r"stage s: found 1 of 2 logits of .* not finite"):
        parity.compare("s", pair[0], pair[1])


@pytest.mark.parametrize(
    "candidate", [logits([1.0, 2.0, 3.0]), logits([1.0, 2.0], [1.0, 2.0]), np.zeros((0, 2), np.float32)]
)
def test_other_shapes_stop(candidate: NDArray[np.float32]) -> None:
    with pytest.raises(GateError, match="shape"):
        parity.compare("s", logits([1.0, 2.0]), candidate)


def test_all_zero_logits_are_alike_only_to_themselves() -> None:
    zero = logits([0.0, 0.0])
    assert parity.compare("s", zero, zero).cosine_min == 1.0
    assert parity.compare("s", zero, logits([1.0, 0.0])).cosine_min == 0.0


def test_no_input_stops() -> None:
    with pytest.raises(GateError, match="shape"):
        parity.compare("s", np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32))


@pytest.mark.parametrize(
    ("gates", "metric", "inside", "outside"),
    [
        (parity.FLOAT_GATES, "max_abs", 1e-3, 1.01e-3),
        (parity.QUANTIZED_GATES, "cosine_mean", 0.99, 0.9899),
        (parity.DATA_GATES, "top1_agreement", 0.93, 0.929),
        (parity.DATA_GATES, "top1_agreement_at_margin", 0.97, 0.969),
    ],
)
def test_gates_are_the_contract(gates: tuple[parity.Gate, ...], metric: str, inside: float, outside: float) -> None:
    parity.check(dataclasses.replace(GOOD, **{metric: inside}), gates)  # type: ignore[arg-type]  # a float field
    with pytest.raises(GateError) as caught:
        parity.check(dataclasses.replace(GOOD, **{metric: outside}), gates)  # type: ignore[arg-type]  # a float field
    message = str(caught.value)
    assert "\n" not in message
    for part in ("stage int8", metric, f"{outside:.6g}", f"{inside:g}"):
        assert part in message


def test_accuracy_drop() -> None:
    parity.check_accuracy_drop("int8", 0.84, 0.83, 0.0101, 3553)
    parity.check_accuracy_drop("int8", 0.84, 0.90, 0.0, 3553)
    with pytest.raises(GateError, match=r"stage int8: accuracy drop on 3553 inputs: found 0.0200"):
        parity.check_accuracy_drop("int8", 0.84, 0.82, 0.01, 3553)
    with pytest.raises(GateError):
        parity.check_accuracy_drop("int8", 0.84, float("nan"), 0.01, 3553)


def test_json_round_trip_and_refusal(tmp_path: Path) -> None:
    stages = (GOOD, dataclasses.replace(GOOD, stage="onnx", top1_agreement_at_margin=None))
    parity.write_parity(tmp_path / "parity.json", stages)
    assert parity.read_parity(tmp_path / "parity.json") == stages
    text = (tmp_path / "parity.json").read_text().replace('"cosine_min"', '"cosine"')
    (tmp_path / "parity.json").write_text(text)
    with pytest.raises(SchemaError, match=r"parity.stages\[0\].cosine"):
        parity.read_parity(tmp_path / "parity.json")


def test_table_shows_every_stage_with_its_gate_and_whether_it_holds() -> None:
    bad = dataclasses.replace(GOOD, stage="mixed", cosine_mean=0.98)
    float_stage = dataclasses.replace(GOOD, stage="onnx", max_abs=2e-3)
    lines = parity.format_table([GOOD, bad, float_stage, dataclasses.replace(float_stage, max_abs=9e-4)]).splitlines()
    assert lines[1].split()[:3] == ["int8", "torch", "5.00e-04"]
    assert [line.partition("95%")[2].strip() for line in lines[1:5]] == [
        "cos mean ≥ 0.99 ok",
        "cos mean ≥ 0.99 FAILS",
        "max |Δ| ≤ 0.001 FAILS",
        "max |Δ| ≤ 0.001 ok",
    ]
    assert "no accuracy" in lines[5]
    assert parity.format_table([]).count("\n") == 0
