"""What a network scores on labelled rows in float: one pass over the images, every protocol from the same outputs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_edge.contract.answer import answer
from fer_edge.contract.labels import Calibration
from fer_edge.contract.preprocess import preprocess, softmax
from fer_host.data.faces import FaceData
from fer_host.data.pieces import pieces
from fer_host.data.streamed import Images
from fer_host.evaluate.metrics import Scores, drop_label, score
from fer_host.evaluate.temperature import calibrate
from fer_host.recipe.recipe import Recipe
from fer_host.train.parallel import device_of
from fer_host.zoo.sureness import Answers

_LEAST_ROWS = 500  # fewer say little about a temperature


def protocols(recipe: Recipe) -> tuple[str, ...]:
    """The protocols that a network with these labels can be scored under, its own first."""
    return ("ferplus8", "ferplus8_majority", "fer7") if recipe.labels == "ferplus8" else (recipe.labels,)


def predict_logits(
    network: nn.Module, recipe: Recipe, images: Images, size_px: int, precision: str = "float32"
) -> NDArray[np.float32]:
    """All outputs (n, outputs) of gray crops (n, h, w) through the device's preprocess, single view.

    A picture that cannot be read has ``-inf`` in all outputs, and counts nowhere (``_answered``).
    ``precision`` is of activations, as a cycle's: the curve of a bfloat16 run is measured as it is trained.
    """
    parts = [np.zeros((0, recipe.n_outputs), dtype=np.float32)]
    with torch.no_grad():
        for crops, readable in pieces(images, 128):
            batch = np.stack([preprocess(crop, recipe.input, (size_px, size_px)) for crop in crops])
            x = torch.from_numpy(batch).permute(0, 3, 1, 2).to(device_of(network))
            reduced = torch.autocast(x.device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()
            with reduced:
                logits = network(x)
            parts.append(logits.float().cpu().numpy())
            parts[-1][~readable] = -np.inf
    return np.concatenate(parts)


def _answered(logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(n,) bool: the rows whose pictures could be read."""
    return np.asarray(~np.isneginf(logits).all(axis=1))


def predict(network: nn.Module, recipe: Recipe, images: Images, size_px: int) -> NDArray[np.float32]:
    """Probabilities (n, classes) of the recipe's own labels; see ``predict_logits``."""
    start, stop = recipe.label_sets[0].slice
    return softmax(predict_logits(network, recipe, images, size_px)[:, start:stop])


def protocol_scores(logits: NDArray[np.float32], recipe: Recipe, rows: FaceData, protocol: str) -> Scores | None:
    """Scores of a network's outputs (n, outputs) on the rows with a label of this protocol; None where none has one.

    "ferplus8" and "ferplus8_majority" drop rows that the crowd could not read. "fer7" is FER2013's original label: by
    a label set of its own where the network has it, else by the eight without contempt.
    """
    truth = rows.labels(protocol)
    kept = (truth >= 0) & _answered(logits)
    if not kept.any():
        return None
    own = {each.id: each for each in recipe.label_sets}.get(protocol, recipe.label_sets[0])
    probabilities = softmax(logits[kept, own.slice[0] : own.slice[1]])
    if protocol == "fer7" and "contempt" in own.labels:
        probabilities = drop_label(probabilities, own.labels.index("contempt"))
    return score(probabilities, truth[kept])


def all_scores(
    network: nn.Module, recipe: Recipe, rows: FaceData, size_px: int | None = None, precision: str = "float32"
) -> dict[str, Scores]:
    """Scores under every protocol that the rows have labels for, the recipe's own first."""
    logits = predict_logits(network, recipe, rows.images, size_px or recipe.size_px, precision)
    found = {protocol: protocol_scores(logits, recipe, rows, protocol) for protocol in protocols(recipe)}
    return {protocol: scores for protocol, scores in found.items() if scores is not None}


def scores_of_card(network: nn.Module, recipe: Recipe, rows: FaceData) -> dict[str, Scores]:
    """Scores under every protocol, on all rows and then without those that training has seen the pixels of."""
    fresh = rows.select(~rows.duplicate)
    found = all_scores(network, recipe, rows)
    apart = all_scores(network, recipe, fresh)
    return found | {f"{name} without training duplicates": each for name, each in apart.items()}


def calibrations(network: nn.Module, recipe: Recipe, rows: FaceData) -> dict[str, Calibration]:
    """For each label set, the temperature of its float outputs on rows that training has not seen."""
    logits, found = predict_logits(network, recipe, rows.images, recipe.size_px), {}
    for each in recipe.label_sets:
        truth = rows.labels(each.id)
        kept = (truth >= 0) & _answered(logits)
        if kept.sum() >= _LEAST_ROWS:
            what = f"{rows.usage[0]}, {each.id}"
            own, groups = logits[kept, slice(*each.slice)], rows.sequence[kept]
            found[each.id] = calibrate(own, truth[kept], groups, what, recipe.seed)
    return found


def sureness(network: nn.Module, recipe: Recipe, rows: FaceData, known: Mapping[str, Calibration]) -> list[Answers]:
    """What a plot of calibrated label sets needs, of those that are."""
    logits, found = predict_logits(network, recipe, rows.images, recipe.size_px), []
    for each in recipe.label_sets:
        if each.id in known:
            truth = rows.labels(each.id)
            kept = (truth >= 0) & _answered(logits)
            before = answer(logits[kept], each)
            after = answer(logits[kept], replace(each, calibration=known[each.id]))
            correct = before.argmax(axis=1) == truth[kept]
            found.append(Answers(each.id, before.max(axis=1), after.max(axis=1), correct))
    return found


def scores(network: nn.Module, recipe: Recipe, rows: FaceData, size_px: int | None = None) -> Scores:
    """Scores under the protocol of the recipe's own labels."""
    return _one(network, recipe, rows, recipe.labels, size_px)


def scores8(network: nn.Module, recipe: Recipe, rows: FaceData, size_px: int | None = None) -> Scores:
    """``ferplus8`` scores."""
    return _one(network, recipe, rows, "ferplus8", size_px)


def _one(network: nn.Module, recipe: Recipe, rows: FaceData, protocol: str, size_px: int | None) -> Scores:
    kept = rows.select(rows.labels(protocol) >= 0)
    found = protocol_scores(
        predict_logits(network, recipe, kept.images, size_px or recipe.size_px), recipe, kept, protocol
    )
    if found is None:
        return score(np.zeros((0, len(recipe.label_names)), dtype=np.float32), np.zeros(0, dtype=np.int64))
    return found
