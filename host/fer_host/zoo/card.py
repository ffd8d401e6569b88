"""Model cards: what a network was trained on, how long, and what it scores. JSON for tools, Markdown for readers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.contract import codec
from fer_edge.contract.evaluate import Sure
from fer_edge.contract.labels import Calibration
from fer_edge.contract.manifest import Metric
from fer_edge.contract.whole import whole_file
from fer_host.evaluate.metrics import Scores
from fer_host.files.artifacts import write_bytes
from fer_host.recipe.recipe import Recipe

SCHEMA = "fer-edge/card/1"
_CURVE_COLUMNS = 9


@dataclass(frozen=True)
class CardRow:
    """Float scores of one protocol on the validation split."""

    protocol: str
    n: int
    accuracy: float
    macro_f1: float
    ece: float
    recall: dict[str, float]


@dataclass(frozen=True)
class Released:
    """Figures of one converted variant, and the digest of what it was made from (see ``Build.conditions``)."""

    conditions_sha256: str
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class Card:
    """A model card; ``released`` holds figures of converted variants, by variant, "measured at release".

    ``validation`` names the split that the float scores were measured on; ``calibration`` is of the outputs, by label
    set; ``trained_on`` is the machine in words, None in cards of before it was kept; ``started_from`` names the weights
    that this training went on from, where the recipe's own start was not taken: ``epochs`` counts none of theirs.
    ``sure`` says by label set what the calibrated float probabilities are worth on the validation split.
    """

    recipe: str
    network: str
    weights_sha256: str
    dataset: str
    n_train: int
    split: str
    seed: int
    epochs: int
    minutes: float
    float_scores: tuple[CardRow, ...]
    curve: tuple[dict[str, float], ...] = ()
    released: dict[str, Released] = field(default_factory=dict)
    validation: str = "PublicTest"
    calibration: dict[str, Calibration] = field(default_factory=dict)
    trained_on: str | None = None
    started_from: str | None = None
    sure: dict[str, Sure] = field(default_factory=dict)


def card_path(weights: Path) -> Path:
    """The card's place: beside its weights."""
    return weights.with_suffix(".card.json")


def read_card(weights: Path) -> Card | None:
    """The card beside these weights, if there is one."""
    path = card_path(weights)
    return codec.loads(SCHEMA, Card, path.read_bytes()) if path.is_file() else None


def save_card(card: Card, weights: Path) -> None:
    """Writes the card as JSON and as Markdown."""
    write_bytes(card_path(weights), codec.dumps(SCHEMA, card).encode())
    write_bytes(weights.with_suffix(".card.md"), card_markdown(card).encode())


def card_rows(recipe: Recipe, rows: dict[str, Scores]) -> tuple[CardRow, ...]:
    """Scores by protocol as the card keeps them."""
    found = []
    for protocol, scores in rows.items():
        names = recipe.label_names
        if len(scores.recall) != len(names):
            names = tuple(name for name in names if name != "contempt")
        recall = {name: round(value, 4) for name, value in zip(names, scores.recall, strict=True)}
        row = CardRow(
            protocol, scores.n, round(scores.accuracy, 5), round(scores.macro_f1, 4), round(scores.ece, 4), recall
        )
        found.append(row)
    return tuple(found)


def write_card(
    recipe: Recipe,
    weights: Path,
    rows: dict[str, Scores],
    curve: list[dict[str, Any]],
    minutes: float,
    n_train: int,
    dataset: str,
    validation: str,
    calibration: dict[str, Calibration] | None = None,
    trained_on: str | None = None,
    started_from: str | None = None,
    sure: dict[str, Sure] | None = None,
) -> None:
    """Card and confusion matrix for freshly trained weights.

    Args:
        recipe: what was trained.
        weights: the .safetensors file.
        rows: float scores by protocol; the first is the one drawn as a confusion matrix.
        curve: one mapping of figures an epoch.
        minutes: wall-clock training time.
        n_train: number of training images.
        dataset: in words.
        calibration: of the outputs, by label set.
        trained_on: the machine, in words.
        started_from: see ``Card``.
        sure: likewise.
        validation: the split on which epochs were chosen, and on which ``rows`` were measured.
    """
    from fer_host.models.weights import load_network, weights_sha256

    card = Card(
        recipe=recipe.id,
        network=recipe.network,
        weights_sha256=weights_sha256(load_network(recipe, weights)),
        dataset=dataset,
        n_train=n_train,
        split=f"trained on Training, chosen on {validation}; the test split never seen",
        validation=validation,
        calibration=calibration or {},
        seed=recipe.train[0].seed,
        epochs=sum(phase.epochs for cycle in recipe.train for phase in cycle.phases),
        minutes=round(minutes, 1),
        float_scores=card_rows(recipe, rows),
        trained_on=trained_on,
        started_from=started_from,
        sure=sure or {},
        curve=tuple({key: float(value) for key, value in entry.items()} for entry in curve),
    )
    save_card(card, weights)
    first = next(iter(rows.values()))
    plot_confusion(
        first.confusion, recipe.label_names, weights.with_suffix(".confusion.png"), f"{recipe.id}, {validation}"
    )


def card_markdown(card: Card) -> str:
    """The card for readers."""
    lines = [
        f"# {card.recipe}",
        "",
        f"{card.network}, trained on {card.dataset} ({card.n_train:,} images; {card.split}).",
        f"Seed {card.seed}, {card.epochs} epochs, {card.minutes:g} minutes on {card.trained_on or 'two shared cores'}.",
        *([f"Started from {card.started_from}."] if card.started_from else []),
        "",
        f"Float, single view, {card.validation}:",
        "",
        "| protocol | n | accuracy | macro-F1 | ECE |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.protocol} | {r.n} | {r.accuracy:.2%} | {r.macro_f1:.3f} | {r.ece:.3f} |" for r in card.float_scores
    ]
    first = card.float_scores[0]
    lines += ["", f"Recall ({first.protocol}): " + ", ".join(f"{k} {v:.2f}" for k, v in first.recall.items()) + "."]
    for labels, c in card.calibration.items():
        errors = f"ECE {c.ece_before:.3f} before, {c.ece_after:.3f} after"
        lines += ["", f"Calibration, {labels}: {c.method} {c.temperature:.3f}, {errors} ({c.fitted_on}, n = {c.n})."]
    for labels, s in card.sure.items():
        lines += [
            "",
            f"Sure, {labels}: {s.share:.1%} of the calibrated answers reach {s.threshold:g} and are not marked "
            f"uncertain; of these {s.accuracy:.1%} are right, of the surest 80% {s.surest_80:.1%}.",
        ]
    lines += curve_lines(card)
    if card.released:
        lines += ["", "Measured at release through the interpreter:", "", "| variant | protocol | n | accuracy |"]
        lines += ["|---|---|---|---|"]
        for variant, released in card.released.items():
            lines += [f"| {variant} | {m.labels} | {m.n} | {m.accuracy:.2%} |" for m in released.metrics]
    lines += ["", f"Weights (values) sha256: `{card.weights_sha256}`", ""]
    return "\n".join(lines)


def curve_lines(card: Card) -> list[str]:
    """The learning curve as a small table, and what the last quarter of the epochs gained; nothing without a curve.

    The gain is between the best epochs before and in that quarter, at the size that ships. The curve of a pruning run
    counts steps, with a point at the end of each round: it shows what was lost and recovered, and has no gain.
    """
    if not card.curve:
        return []
    every_epoch = [point["epoch"] for point in card.curve] == list(range(len(card.curve)))
    shown = np.unique(np.linspace(0, len(card.curve) - 1, _CURVE_COLUMNS).round().astype(int))
    points = [card.curve[i] for i in shown]
    rows = {"epochs" if every_epoch else "steps": [f"{point['epoch'] + 1:.0f}" for point in points]}
    if len({point["size_px"] for point in card.curve}) > 1:
        rows["input, px"] = [f"{point['size_px']:.0f}" for point in points]
    rows["accuracy"] = [f"{point['accuracy']:.1%}" for point in points]
    head, *body = (f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())
    what = "Learning curve" if every_epoch else "Accuracy along the pruning run"
    title = f"{what} ({card.float_scores[0].protocol}, {card.validation}):"
    gain = late_gain(card.curve) if every_epoch else None
    return ["", title, "", head, "|---" * (len(points) + 1) + "|", *body, *(["", gain] if gain else [])]


def late_gain(curve: tuple[dict[str, float], ...]) -> str | None:
    """One sentence on the last quarter of a curve that has every epoch; None where it is too short to have one."""
    n = len(curve)
    rivals = [point for point in curve if point["size_px"] == curve[-1]["size_px"]]
    early, late = ([p["accuracy"] for p in rivals if (p["epoch"] < n - n // 4) == first] for first in (True, False))
    if not early or not late:
        return None
    best = max(point["epoch"] for point in rivals if point["accuracy"] == max(early + late))
    gain = 100 * (max(late) - max(early))
    return f"Gain over the last quarter of the epochs ({n // 4} of {n}): {gain:+.2f} points; best after {best + 1:.0f}."


def with_released(card: Card, released: dict[str, Released]) -> Card:
    """The card with the figures of converted variants."""
    return dataclasses.replace(card, released=released)


def plot_confusion(confusion: np.ndarray[Any, Any], names: tuple[str, ...], path: Path, title: str) -> None:
    """Writes a row-normalized confusion matrix (rows are true) with counts as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure, axes = pyplot.subplots(figsize=(7, 6), dpi=110)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{title} (n = {int(confusion.sum())})")
    for i, row in enumerate(confusion):
        for j, count in enumerate(row):
            if count:
                axes.text(j, i, str(count), ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black")
    figure.tight_layout()
    with whole_file(path) as file:
        figure.savefig(file, format="png")
    pyplot.close(figure)
