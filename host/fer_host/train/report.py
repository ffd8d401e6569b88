"""The model card of what was trained: measured anew on the weights that ship."""

from __future__ import annotations

from pathlib import Path

from fer_host.data.faces import FaceData
from fer_host.models.weights import load_network, weights_sha256
from fer_host.recipe.recipe import Recipe
from fer_host.train.curve import Epoch, figures
from fer_host.train.machine import machine
from fer_host.train.protocols import temperature_rows
from fer_host.train.rows import train_split, validation_split
from fer_host.train.scoring import calibrations, scores_of_card, sureness
from fer_host.train.way import Way
from fer_host.zoo.card import write_card
from fer_host.zoo.sureness import plot_sureness, sure_of


def write_card_for(
    recipe: Recipe,
    weights: Path,
    data: FaceData,
    curve: list[Epoch],
    minutes: float,
    start: Path | None = None,
    way: Way | None = None,
) -> None:
    """Measures shipped weights in float and writes their model card.

    Args:
        recipe: of the network.
        weights: that were trained; the card stands beside them.
        data: with the rows to measure on.
        curve: an entry for each epoch.
        minutes: of training.
        start: weights in place of the recipe's own start.
        way: how it was computed, where the recipe leaves that open.
    """
    held_out = validation_split(data)
    network = load_network(recipe, weights)
    rows = scores_of_card(network, recipe, held_out)
    calibration = calibrations(network, recipe, temperature_rows(data))
    answers = sureness(network, recipe, held_out, calibration) if calibration else []
    if calibration:
        picture = weights.with_suffix(".sureness.png")
        plot_sureness(answers, picture, f"{recipe.id}, {held_out.usage[0]}")
    n_train = len(train_split(data, recipe, recipe.train[-1]).images)
    lines = [figures(entry) for entry in curve]
    write_card(
        recipe,
        weights,
        rows,
        lines,
        minutes,
        n_train,
        data.source,
        str(held_out.usage[0]),
        calibration,
        machine(recipe, way),
        None if start is None else f"{start} ({weights_sha256(load_network(recipe, start))[:12]})",
        sure_of(answers),
    )
