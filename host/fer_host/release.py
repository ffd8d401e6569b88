"""``fer-host release``: measures what ships, through the interpreter, and writes it into the model card."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from fer_edge.contract.bundle import Bundle
from fer_edge.contract.manifest import Metric
from fer_host import builtin
from fer_host.errors import ToolError, WeightsError
from fer_host.evaluate.evaluate import evaluate
from fer_host.models.weights import load_network, zoo_path
from fer_host.pipeline import ConvertRequest, convert
from fer_host.recipe.convert import ONNX_VARIANTS
from fer_host.recipe.recipe import Recipe, load_recipe
from fer_host.train.protocols import temperature_rows
from fer_host.train.rows import validation_split
from fer_host.train.run import training_data
from fer_host.train.scoring import calibrations, protocols, scores_of_card, sureness
from fer_host.zoo.card import Released, card_rows, read_card, save_card, with_released
from fer_host.zoo.sureness import plot_sureness, sure_of


def release(model: str, data: Path) -> None:
    """Calibrates, converts, scores every variant on PublicTest under the protocols of its labels; rewrites the card.

    The network that fer-edge's wheel carries is made again for it.

    Raises:
        WeightsError: there is no model card to write to; training makes it.
    """
    recipe = load_recipe(model)
    weights = zoo_path(recipe)
    card = read_card(weights)
    if card is None:
        raise WeightsError(f"weights {weights}: no model card beside them; `fer-host train {model}` writes one")
    every = training_data(recipe, data, quiet=True)
    rows = validation_split(every)
    network = load_network(recipe)
    card = dataclasses.replace(
        card,
        calibration=calibrations(network, recipe, temperature_rows(every)),
        float_scores=card_rows(recipe, scores_of_card(network, recipe, rows)),
    )
    if card.calibration:
        picture, answers = weights.with_suffix(".sureness.png"), sureness(network, recipe, rows, card.calibration)
        plot_sureness(answers, picture, f"{recipe.id}, {rows.usage[0]}")
        card = dataclasses.replace(card, sure=sure_of(answers))
    save_card(card, weights)  # the bundle takes its temperatures from there
    converted = convert(ConvertRequest(model, data=data))
    bundle = converted.bundle
    released = {}
    for variant in bundle.manifest.variants:
        metrics = _metrics(recipe, bundle, data, variant.id)
        released[variant.id] = Released(converted.networks[variant.id].conditions, metrics)
    with tempfile.TemporaryDirectory() as scratch:
        released |= _onnx(recipe, model, data, Path(scratch))
    save_card(with_released(card, released), weights)
    convert(ConvertRequest(model))
    if model == builtin.MODEL:
        builtin.make_builtin()


def _onnx(recipe: Recipe, model: str, data: Path, scratch: Path) -> dict[str, Released]:
    """Figures of the files for onnxruntime, which ship in no bundle unless asked for; without those that cannot be."""
    found = {}
    for name in ONNX_VARIANTS:
        try:
            converted = convert(ConvertRequest(model, variant=name, data=data, out=scratch / name, quiet=True))
        except ToolError as error:  # an operator that has no form there; the others' figures stand without it
            print(f"{model}: no {name}: {error}")
            continue
        metrics = _metrics(recipe, converted.bundle, data, name)
        found[name] = Released(converted.networks[name].conditions, metrics)
    return found


def _metrics(recipe: Recipe, bundle: Bundle, data: Path, variant: str) -> tuple[Metric, ...]:
    documents = (evaluate(bundle, data, labels, usage="PublicTest", variant_id=variant) for labels in protocols(recipe))
    return tuple(
        Metric("FER2013 PublicTest", document.labels, document.n, document.accuracy, "at release")
        for document in documents
    )
