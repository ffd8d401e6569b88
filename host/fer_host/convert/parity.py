"""Parity: how far a stage's logits are from the reference's, and the gates that stop a build."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract import codec
from fer_edge.contract.preprocess import softmax
from fer_host.errors import GateError
from fer_host.files.artifacts import write_bytes

SCHEMA = "fer-edge/parity/1"
MARGIN = 0.10  # of the reference's two largest probabilities; below it top-1 is a coin toss


@dataclass(frozen=True)
class Gate:
    """A limit on one field of ``Parity``."""

    metric: str
    bound: Literal["at most", "at least"]
    limit: float


@dataclass(frozen=True)
class Parity:
    """One stage against its reference, on n inputs.

    Attributes:
        stage: name of the stage.
        reference: name of what it is compared with.
        n: number of inputs.
        max_abs: largest |difference| of a logit.
        mean_abs: mean |difference| of a logit.
        cosine_min: smallest cosine similarity of an input's logits, -1 to 1.
        cosine_mean: mean cosine similarity.
        top1_agreement: share of inputs with the same top-1, 0 to 1.
        n_at_margin: inputs whose reference margin is at least ``MARGIN``.
        top1_agreement_at_margin: share of those with the same top-1; None where there are none.
        on: the inputs, in words, where they are not the golden ones.
        reference_accuracy: of the reference on them, where they have labels.
        accuracy: of the stage, likewise.
        gates: what it must hold; None: by the stage's name, see ``gates_of``.
    """

    stage: str
    reference: str
    n: int
    max_abs: float
    mean_abs: float
    cosine_min: float
    cosine_mean: float
    top1_agreement: float
    n_at_margin: int
    top1_agreement_at_margin: float | None = None
    on: str | None = None
    reference_accuracy: float | None = None
    accuracy: float | None = None
    gates: tuple[Gate, ...] | None = None

    @property
    def accuracy_drop(self) -> float | None:
        """Of the reference's accuracy, 0 to 1; None without labels."""
        if self.reference_accuracy is None or self.accuracy is None:
            return None
        return self.reference_accuracy - self.accuracy


@dataclass(frozen=True)
class ParityDoc:
    """``parity.json``: every stage of one conversion, in order."""

    stages: tuple[Parity, ...]


FLOAT_GATES = (Gate("max_abs", "at most", 1e-3),)
# On the golden inputs, without a data set. The mean: the smallest of many falls with their number (0.986 of 1,500).
QUANTIZED_GATES = (Gate("cosine_mean", "at least", 0.99),)
DATA_GATES = (Gate("top1_agreement_at_margin", "at least", 0.97), Gate("top1_agreement", "at least", 0.93))

# A mixed file against the float file of its own tuned weights: only activations differ.
TUNED_GATES = (Gate("top1_agreement_at_margin", "at least", 0.99), Gate("top1_agreement", "at least", 0.975))


# Halves, with float sums or not as the kernels have it: of the largest logit, which is 3 to 12 here.
HALF_GATES = (Gate("max_abs", "at most", 0.05), Gate("cosine_mean", "at least", 0.9999))

_QUANTIZED = ("dynamic", "int8", "mixed", "onnx_int8")  # variants that a stage is named after
_HALF = "onnx_fp16"


def gates_of(parity: Parity) -> tuple[Gate, ...]:
    """What a stage must hold: its own gates, or by its name those on the golden inputs."""
    if parity.gates is not None:
        return parity.gates
    if parity.stage == _HALF:
        return HALF_GATES
    return QUANTIZED_GATES if is_quantized(parity.stage) else FLOAT_GATES


def is_quantized(stage: str) -> bool:
    """Whether a stage's numbers are coarser than float's."""
    return stage in _QUANTIZED


def float_gates(reference: NDArray[np.float32]) -> tuple[Gate, ...]:
    """For a network of the user's own, whose logits may be large: 1e-3 of the largest, at least of 1."""
    return (Gate("max_abs", "at most", 1e-3 * max(1.0, float(np.abs(reference).max(initial=0)))),)


def answer_gates(n: int, has_labels: bool, accuracy_drop: float, accepted: float | None) -> tuple[Gate, ...]:
    """What a user's own quantized network must hold on pictures of theirs; one answer may always differ.

    Args:
        n: of pictures.
        has_labels: whether they have labels.
        accuracy_drop: the recipe's limit.
        accepted: a loss that the user accepts: of accuracy with labels, else of answers that agree; None: none.
    """
    one = 1 / n
    if accepted is not None:
        if has_labels:
            return (Gate("accuracy_drop", "at most", accepted),)
        return (Gate("top1_agreement", "at least", 1 - accepted),)
    gates = tuple(Gate(gate.metric, gate.bound, min(gate.limit, 1 - one)) for gate in DATA_GATES)
    return (*gates, Gate("accuracy_drop", "at most", max(accuracy_drop, one))) if has_labels else gates


def compare(
    stage: str,
    reference: NDArray[np.float32],
    candidate: NDArray[np.float32],
    reference_name: str = "torch",
    sets: Sequence[slice] = (slice(None),),
) -> Parity:
    """Compares two sets of logits of the same inputs.

    Args:
        stage: name of the stage that made ``candidate``.
        reference: (N, classes) float32, N at least 1.
        candidate: (N, classes) float32.
        reference_name: what made ``reference``.
        sets: the columns of each label set; each set's answer counts as one.

    Raises:
        GateError: other shapes, or a logit that is not finite: nothing to measure.
    """
    if reference.shape != candidate.shape or reference.ndim != 2 or not len(reference):
        raise GateError(
            f"stage {stage}: found logits of shape {candidate.shape}, expected {reference.shape} (N, classes)"
        )
    for name, logits in ((reference_name, reference), (stage, candidate)):
        n_bad = int(np.size(logits) - np.isfinite(logits).sum())
        if n_bad:
            raise GateError(f"stage {stage}: found {n_bad} of {logits.size} logits of {name} not finite, expected 0")
    expected, found = reference.astype(np.float64), candidate.astype(np.float64)
    difference = np.abs(expected - found)
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    alike = (difference.max(axis=1) == 0).astype(np.float64)  # what stands for the cosine where a side is all zero
    cosine = np.divide((expected * found).sum(axis=1), lengths, out=alike, where=lengths > 0)
    same = np.concatenate([expected[:, own].argmax(axis=1) == found[:, own].argmax(axis=1) for own in sets])
    clear = np.concatenate([margins(reference[:, own]) >= MARGIN for own in sets])
    return Parity(
        stage=stage,
        reference=reference_name,
        n=len(reference),
        max_abs=float(difference.max()),
        mean_abs=float(difference.mean()),
        cosine_min=float(cosine.min()),
        cosine_mean=float(cosine.mean()),
        top1_agreement=float(same.mean()),
        n_at_margin=int(clear.sum()),
        top1_agreement_at_margin=float(same[clear].mean()) if clear.any() else None,
    )


def margins(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, classes) logits -> (N,) difference of the two largest probabilities, 0 to 1."""
    ordered = np.sort(softmax(logits.astype(np.float64)).astype(np.float64), axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2], dtype=np.float64)


def holds(parity: Parity, gate: Gate) -> bool:
    """Whether the figure is there and inside its limit."""
    found: float | None = getattr(parity, gate.metric)
    return found is not None and (found <= gate.limit if gate.bound == "at most" else found >= gate.limit)


def check(parity: Parity, gates: Iterable[Gate], remedy: str = "") -> None:
    """Stops a build whose stage is outside a limit; ``remedy`` takes the place of the gate's own.

    Raises:
        GateError: names stage, metric, found and limit; also where the metric could not be measured.
    """
    for gate in gates:
        found: float | None = getattr(parity, gate.metric)
        if not holds(parity, gate):
            shown = "nothing measured" if found is None else f"{found:.6g}"
            raise GateError(
                f"stage {parity.stage}: {gate.metric} against {parity.reference} on {parity.n} inputs: "
                f"found {shown}, expected {gate.bound} {gate.limit:g}; {remedy or _remedy(gate)}"
            )


def check_accuracy_drop(stage: str, reference: float, candidate: float, limit: float, n: int) -> None:
    """Stops a build whose quantized network lost too much accuracy.

    Args:
        stage: name of the stage.
        reference: accuracy of the float network, 0 to 1.
        candidate: accuracy of the stage's network on the same data, 0 to 1.
        limit: the recipe's largest drop, 0 to 1.
        n: number of labelled inputs.

    Raises:
        GateError: the drop is above the limit.
    """
    drop = reference - candidate
    if not drop <= limit:
        raise GateError(
            f"stage {stage}: accuracy drop on {n} inputs: found {drop:.4f} ({reference:.4f} -> {candidate:.4f}), "
            f"expected at most {limit:g}; calibrate with more or other pictures, or use SCHEME=dynamic"
        )


def write_parity(path: Path, stages: Sequence[Parity]) -> None:
    """Writes ``parity.json``."""
    write_bytes(path, codec.dumps(SCHEMA, ParityDoc(tuple(stages))).encode())


def read_parity(path: Path) -> tuple[Parity, ...]:
    """Reads ``parity.json``; raises SchemaError with the field's path where it does not decode."""
    return codec.loads(SCHEMA, ParityDoc, path.read_bytes()).stages


def format_table(stages: Sequence[Parity]) -> str:
    """The stages as a table for the terminal, each with what it must hold, and what the pictures cannot tell."""
    rows = [("stage", "against", "max |Δ|", "mean |Δ|", "cos min", "cos mean", "top-1", "gate")]
    for p in stages:
        numbers = (f"{p.max_abs:.2e}", f"{p.mean_abs:.2e}", f"{p.cosine_min:.5f}", f"{p.cosine_mean:.5f}")
        verdicts = [
            f"{_SHORT[g.metric]} {_SIGN[g.bound]} {g.limit:.4g} {'ok' if holds(p, g) else 'FAILS'}" for g in gates_of(p)
        ]
        if p.accuracy is not None:
            verdicts.append(f"accuracy {p.reference_accuracy:.1%} -> {p.accuracy:.1%}")
        verdicts += ["none: answers decide"] if not verdicts else []
        name = f"{p.stage} ({p.on})" if p.on else p.stage
        rows.append((name, p.reference, *numbers, f"{p.top1_agreement:.0%}", ", ".join(verdicts)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if stages:
        lines.append(
            f"Logits on {stages[0].n} pictures: two photos and drawn faces, moved. The gate decides. Top-1 is how "
            "often the same label leads; many are near ties here, and it is no accuracy: the model card has that."
        )
    return "\n".join(lines)


_SHORT = {
    "max_abs": "max |Δ|",
    "cosine_mean": "cos mean",
    "top1_agreement": "top-1",
    "top1_agreement_at_margin": "clear top-1",
    "accuracy_drop": "accuracy loss",
}
_SIGN = {"at most": "≤", "at least": "≥"}


def _remedy(gate: Gate) -> str:
    if gate.metric == FLOAT_GATES[0].metric:
        return "a converter changed the network: compare the stages of parity.json and report it"
    return "calibrate with more or other pictures (`fer-host calibrate`), or use SCHEME=dynamic"
