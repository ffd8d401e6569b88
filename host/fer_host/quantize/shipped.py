"""Which tuned weights a mixed variant is made from: the most accurate ones that ship and keep the budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from fer_host.errors import RecipeError
from fer_host.files.paths import TUNED
from fer_host.models.weights import load_network, weights_sha256, zoo_path
from fer_host.quantize.fold import fold_batch_norms
from fer_host.quantize.grid import WIDTHS
from fer_host.quantize.grids import TunedNetwork, Tuning, load_tuned, read_tuning
from fer_host.quantize.policy import effective_bytes, float_bytes, weights_per_channel
from fer_host.recipe.recipe import Recipe, model_of


@dataclass(frozen=True)
class MixedBudget:
    """What a mixed variant may weigh, by the rule of ``quantize.policy``; None: any."""

    kib: float | None = None
    compression: float | None = None

    def met_by(self, tuning: Tuning) -> bool:
        """Whether tuned weights keep it."""
        # records round to a tenth of a byte, and to four decimals
        fits = self.kib is None or tuning.effective_bytes <= self.kib * 1024 + 0.05
        return fits and (self.compression is None or tuning.compression >= self.compression - 1e-4)

    def as_compression(self, n_float_bytes: int) -> float | None:
        """The budget as ``fer-host search --compression`` takes it, never below; None: any.

        Args:
            n_float_bytes: of the float network, by ``quantize.policy.float_bytes``.
        """
        factors = [n_float_bytes / (self.kib * 1024)] if self.kib is not None else []
        factors += [self.compression] if self.compression is not None else []
        return math.ceil(round(max(factors) * 1e4, 4)) / 1e4 if factors else None

    def __str__(self) -> str:
        parts = [f"{self.kib:g} KiB"] if self.kib is not None else []
        return " and ".join(parts + ([f"compression {self.compression:g}"] if self.compression is not None else []))


@dataclass(frozen=True)
class ChosenTuning:
    """Tuned weights on disk, and the folded network that they fit."""

    path: Path
    tuning: Tuning
    folded: nn.Module

    def load(self) -> TunedNetwork:
        """The network with the tuned weights in it."""
        return load_tuned(self.folded, self.path)


def _home(recipe: Recipe) -> Path:
    """Where tuned weights and policies lie: beside a recipe of the user's own, else in the zoo."""
    return recipe.folder or TUNED


def policy_path(recipe: Recipe, allocator: str, compression: float) -> Path:
    """Where ``fer-host search`` writes unless told otherwise."""
    return _home(recipe) / f"{recipe.id}-{compression:g}.{allocator}.bits.json"


def tuned_path(recipe: Recipe, compression: float) -> Path:
    """Where ``fer-host qat`` writes unless told otherwise, and where ``convert`` looks."""
    return _home(recipe) / f"{recipe.id}-{compression:g}.safetensors"


def tuned_files(recipe: Recipe) -> list[Path]:
    """All tuned weights that ship for a recipe."""
    return sorted(_home(recipe).glob(f"{recipe.id}-[0-9]*.safetensors"))


def find_tuned(recipe: Recipe, network: nn.Module, budget: MixedBudget, given: Path | None = None) -> ChosenTuning:
    """The most accurate tuned weights of this network within the budget; of equals, the smallest.

    Args:
        recipe: of the network.
        network: with its own weights.
        budget: to be kept.
        given: a file to take instead of those that ship.

    Raises:
        RecipeError: none keeps it, or there are none for these weights; names the commands that make some.
    """
    digest = weights_sha256(network)
    folded = fold_batch_norms(network, recipe.input.channels, recipe.size_px)
    found = [(path, read_tuning(path)) for path in ([given] if given is not None else tuned_files(recipe))]
    mine = [(path, tuning) for path, tuning in found if tuning.source_sha256 == digest]
    if not mine:
        why = f"{found[0][0].name} was tuned from other weights" if found else "none ship"
        remedy = _remedy(recipe, digest, folded, budget)
        raise RecipeError(f"SCHEME mixed: {recipe.id} has no tuned weights ({why}); {remedy}")
    fitting = [(path, tuning) for path, tuning in mine if budget.met_by(tuning)]
    if not fitting:
        have = ", ".join(f"{t.compression:.2f}x ({t.effective_bytes / 1024:.0f} KiB)" for _, t in mine)
        remedy = _remedy(recipe, digest, folded, budget)
        raise RecipeError(f"budget of {budget}: found {have} for {recipe.id}, expected one within it; {remedy}")
    path, tuning = max(fitting, key=lambda entry: (entry[1].accuracy, entry[1].compression))
    return ChosenTuning(path, tuning, folded)


def _remedy(recipe: Recipe, digest: str, folded: nn.Module, budget: MixedBudget) -> str:
    """What makes tuned weights within the budget: commands to paste, or why no command can."""
    if zoo_path(recipe).is_file() and weights_sha256(load_network(recipe)) != digest:
        return "they are made from the recipe's own weights only: leave WEIGHTS out, or take SCHEME=int8"
    n_weights = np.concatenate(list(weights_per_channel(folded).values()))
    least = effective_bytes(np.full(len(n_weights), WIDTHS[0]), n_weights)
    factor = budget.as_compression(float_bytes(n_weights))
    most = float_bytes(n_weights) / least
    if factor is not None and factor > most:
        return (
            f"{WIDTHS[0]} bits everywhere take {least / 1024:.1f} KiB (compression {most:.2f}): give a larger budget, "
            "or make the network smaller with `fer-host prune`"
        )
    if recipe.quantize is None:
        less = "" if recipe.heads else ", without head_shares and"
        commands = _commands("my.toml", "--variant mixed ", factor)
        return (
            f"its recipe has no [quantize] table: copy it to my.toml, add tables [quantize] and [quantize.tune] like "
            f"hawqc_mbv2's{less} with phases of {recipe.size_px} px, and {commands}"
        )
    return _commands(model_of(recipe), "" if "mixed" in recipe.convert.variants else "--variant mixed ", factor)


def _commands(model: str, variant: str, factor: float | None) -> str:
    """The commands from a network to a bundle with tuned weights; ``factor`` None takes the recipe's compression."""
    data, out = "--data FER2013.npz", "my.safetensors"
    qat, convert = f"fer-host qat {model} {data}", f"`fer-host convert {model} {variant}--tuned {out}`"
    if factor is None:
        return f"`{qat} --out {out}` and {convert} make one"
    search = f"`fer-host search {model} {data} --compression {factor!r} --out my.bits.json`"
    return f"{search}, `{qat} --policy my.bits.json --out {out}` and {convert} make one"
