"""What is converted: a recipe with its weights, or a network's file with what the command line says of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from fer_host.errors import RecipeError
from fer_host.models.exported import load_exported
from fer_host.models.onnx_file import open_onnx
from fer_host.models.weights import load_network
from fer_host.recipe.of_file import EXPECTED, FileInput, is_file, recipe_of_file
from fer_host.recipe.recipe import Recipe, load_recipe


@dataclass(frozen=True)
class Job:
    """A network and its recipe; ``is_own``: the user's, of which nobody measured anything in advance."""

    recipe: Recipe
    network: nn.Module
    is_own: bool


@dataclass(frozen=True)
class Choices:
    """What a user decides beyond the recipe, for their own network.

    Attributes:
        percentile: see ``ConvertConfig.calibration_percentile``; None: the recipe's.
        keep_float: see ``ConvertConfig.keep_float``; added to the recipe's.
        accept_loss: a loss of accuracy, or of answers that agree, 0 to 1; None: none beyond the gates.
    """

    percentile: float | None = None
    keep_float: tuple[str, ...] = ()
    accept_loss: float | None = None

    def __post_init__(self) -> None:
        if self.accept_loss is not None and not 0 < self.accept_loss < 1:
            raise RecipeError(f"--accept-loss {self.accept_loss:g}: expected a share above 0 and below 1, e.g. 0.02")
        if self.percentile is not None and not 50 <= self.percentile <= 100:
            raise RecipeError(f"--percentile {self.percentile:g}: expected 50 to 100, e.g. 99.9")


def open_job(model: str, weights: Path | None, given: FileInput | None, choices: Choices) -> Job:
    """The network that MODEL names.

    Args:
        model: a recipe's name, a TOML file, or a network's .onnx or .pt2 file.
        weights: a user's own, for a recipe.
        given: of a file, what it does not say of itself.
        choices: see there.

    Raises:
        HostError: no such thing, it does not fit, or choices that only a user's own network has.
    """
    if is_file(model):
        if given is None:
            raise RecipeError(
                f"network {model}: its file does not say what its outputs mean; expected --labels NAME,… and --input "
                f"{EXPECTED}"
            )
        if weights is not None:
            raise RecipeError(f"network {model}: holds its weights; expected no --weights")
        path, recipe = Path(model), recipe_of_file(Path(model), given)
        open_network = open_onnx if path.suffix.lower() == ".onnx" else load_exported
        network = open_network(path, recipe.n_outputs, recipe.input.channels, recipe.size_px)
        return Job(_chosen(recipe, choices), network, True)
    if given is not None:
        raise RecipeError(
            f"--labels, --input: a recipe says these itself; expected them for .onnx and .pt2, found {model}"
        )
    recipe = load_recipe(model)
    if recipe.labels == "identities":
        raise RecipeError(f"recipe {recipe.id}: tells people apart; a bundle needs a recipe with expression labels")
    is_own = recipe.folder is not None or weights is not None
    if not is_own and choices != Choices():
        raise RecipeError(
            f"--accept-loss, --keep-float, --percentile: for a network of your own, found {model} as it ships; its "
            "limits are in its recipe: copy it to a file of yours to change them"
        )
    return Job(_chosen(recipe, choices), load_network(recipe, weights), is_own)


def _chosen(recipe: Recipe, choices: Choices) -> Recipe:
    convert = recipe.convert
    if choices.percentile is not None:
        convert = dataclasses.replace(convert, calibration_percentile=choices.percentile)
    if choices.keep_float:
        convert = dataclasses.replace(convert, keep_float=(*convert.keep_float, *choices.keep_float))
    return dataclasses.replace(recipe, convert=convert)
