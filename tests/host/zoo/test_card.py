"""The card's learning curve: a table short enough to read, and a gain that is counted and not written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fer_edge.contract.evaluate import Sure
from fer_edge.contract.labels import Calibration
from fer_host.device_pipeline import TrackSettings
from fer_host.zoo.card import Card, CardRow, card_markdown
from fer_host.zoo.sureness import Answers, sure_of


def card(accuracies: Sequence[float], sizes: Sequence[int] = (), epochs: Sequence[int] = ()) -> Card:
    sizes, epochs = sizes or [96] * len(accuracies), epochs or range(len(accuracies))
    return Card(
        recipe="r",
        network="n",
        weights_sha256="0" * 64,
        dataset="generated",
        n_train=1,
        split="s",
        seed=1,
        epochs=len(accuracies),
        minutes=1.0,
        float_scores=(CardRow("fer7", 1, 0.5, 0.5, 0.1, {"anger": 0.5}),),
        curve=tuple(
            {"epoch": float(e), "size_px": float(s), "loss": 1.0, "accuracy": a, "minutes": 1.0}
            for e, s, a in zip(epochs, sizes, accuracies, strict=True)
        ),
    )


def test_the_curve_is_a_small_table_with_its_ends() -> None:
    lines = card_markdown(card([0.4 + 0.01 * i for i in range(33)])).splitlines()
    at = lines.index("Learning curve (fer7, PublicTest):")
    assert lines[at + 2 : at + 5] == [
        "| epochs | 1 | 5 | 9 | 13 | 17 | 21 | 25 | 29 | 33 |",
        "|---|---|---|---|---|---|---|---|---|---|",
        "| accuracy | 40.0% | 44.0% | 48.0% | 52.0% | 56.0% | 60.0% | 64.0% | 68.0% | 72.0% |",
    ]
    assert "Gain over the last quarter of the epochs (8 of 33): +8.00 points; best after 33." in lines


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        ((0.1, 0.5, 0.6, 0.55, 0.7, 0.72, 0.71, 0.70), "(2 of 8): -1.00 points; best after 6."),
        ((0.1, 0.5, 0.6, 0.55, 0.7, 0.72, 0.71, 0.73), "(2 of 8): +1.00 points; best after 8."),
    ],
)
def test_the_gain_is_between_the_best_before_and_in_the_last_quarter(accuracies: tuple[float, ...], said: str) -> None:
    assert said in card_markdown(card(accuracies))


def test_epochs_at_another_size_are_shown_and_not_compared() -> None:
    text = card_markdown(card([0.9, 0.9, 0.5, 0.6, 0.6, 0.6, 0.65, 0.61], [64] * 2 + [96] * 6))
    assert "| input, px | 64 | 64 | 96 |" in text
    assert "+5.00 points; best after 7." in text
    assert "input, px" not in card_markdown(card([0.5] * 8))
    assert "Gain" not in card_markdown(card([0.9] * 6 + [0.5] * 2, [64] * 6 + [96] * 2))  # nothing to compare with


def test_a_pruning_run_has_no_learning_curve() -> None:
    text = card_markdown(card([0.78, 0.81, 0.80, 0.83], epochs=(0, 11, 22, 23)))
    assert "Accuracy along the pruning run (fer7, PublicTest):" in text
    assert "| steps | 1 | 12 | 23 | 24 |" in text
    assert "Gain" not in text
    assert "curve" not in card_markdown(card([]))


def test_it_says_how_sure_each_label_set_is() -> None:
    found = Calibration("temperature", 1.25, "PublicTest, ferplus8", 3553, 0.0512, 0.0114)
    text = card_markdown(replace(card([0.5]), calibration={"ferplus8": found}))
    said = "Calibration, ferplus8: temperature 1.250, ECE 0.051 before, 0.011 after (PublicTest, ferplus8, n = 3553)."
    assert said in text.splitlines()
    assert "Calibration" not in card_markdown(card([0.5]))


def test_it_says_what_the_threshold_and_the_surest_are_worth() -> None:
    answers = [
        Answers("ferplus8", np.array([0.3] * 5), np.array([0.9, 0.8, 0.7, 0.4, 0.1]), np.array([1, 1, 0, 1, 0], bool))
    ]
    sure = sure_of(answers)
    threshold = TrackSettings().uncertain_below
    assert 0.3 < threshold < 0.4
    assert sure == {"ferplus8": Sure(threshold, 0.8, 0.75, 0.75)}
    said = [line for line in card_markdown(replace(card([0.5]), sure=sure)).splitlines() if line.startswith("Sure")]
    assert said == [
        f"Sure, ferplus8: 80.0% of the calibrated answers reach {threshold:g} and are not marked uncertain; "
        "of these 75.0% are right, of the surest 80% 75.0%."
    ]
