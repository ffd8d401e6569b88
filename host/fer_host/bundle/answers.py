"""A user's own network on pictures of theirs: every quantized variant judged, what was found kept for the manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fer_edge.contract.manifest import AcceptedLoss, Metric
from fer_host.bundle.converted import Converted
from fer_host.bundle.stages import Build
from fer_host.convert.parity import Parity, check, gates_of, holds, is_quantized
from fer_host.evaluate.answers import Pictures, answer_parity


@dataclass(frozen=True)
class Answers:
    """By variant the accuracies that were measured, and the losses that were accepted."""

    metrics: Mapping[str, tuple[Metric, ...]]
    accepted: tuple[AcceptedLoss, ...] = ()


def judge_answers(
    build: Build,
    networks: Mapping[str, Converted],
    pictures: Pictures,
    accepted: float | None,
    remedies: Callable[[Path], str],
) -> Answers:
    """Compares every quantized variant with float32 and stops at one that answers otherwise.

    Args:
        build: gets the rows of its parity table.
        networks: by variant, float32 among them.
        pictures: that they are asked about.
        accepted: a loss that the user accepts; None: none beyond the gates.
        remedies: of an int8 file, what would mend it; asked only where the gate does not hold.

    Raises:
        GateError: names the variant, what was found, the limit and remedies that were tried.
    """
    metrics: dict[str, tuple[Metric, ...]] = {}
    losses = []
    for name, network in networks.items():
        if not is_quantized(name) or network.placed:
            continue
        parity = answer_parity(name, build.recipe, networks["float32"].path, network.path, pictures, accepted)
        build.parity.append(parity)
        gates = gates_of(parity)
        fails = not all(holds(parity, gate) for gate in gates)
        check(parity, gates, remedies(network.path) if fails and name == "int8" else "use --variant float32")
        if parity.accuracy is not None and parity.reference_accuracy is not None:
            metrics["float32"] = _metric(build, parity, parity.reference_accuracy)
            metrics[name] = _metric(build, parity, parity.accuracy)
        if accepted is not None:
            losses.append(_loss(name, parity, accepted))
    return Answers(metrics, tuple(losses))


def _metric(build: Build, parity: Parity, accuracy: float) -> tuple[Metric, ...]:
    return (Metric(parity.on or "", build.recipe.labels, parity.n, round(accuracy, 6), "at conversion"),)


def _loss(variant: str, parity: Parity, accepted: float) -> AcceptedLoss:
    drop = parity.accuracy_drop
    found = 1 - parity.top1_agreement if drop is None else drop
    metric: Literal["agreement", "accuracy"] = "agreement" if drop is None else "accuracy"
    return AcceptedLoss(variant, metric, accepted, round(found, 6), parity.n, parity.on or "")
