"""Which tuned weights a mixed variant is made from: the most accurate ones that ship and keep the budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from fer_host.errors import RecipeError
from fer_host.paths import TUNED
from fer_host.quantize.fold import fold_batch_norms
from fer_host.quantize.tuned import TunedNetwork, Tuning, load_tuned, read_tuning
from fer_host.recipe import Recipe
from fer_host.weights import weights_sha256


@dataclass(frozen=True)
class MixedBudget:
    """What a mixed variant may weigh, by the rule of ``quantize.policy``; None: any."""

    kib: float | None = None
    compression: float | None = None

    def met_by(self, tuning: Tuning) -> bool:
        """Whether tuned weights keep it."""
        fits = self.kib is None or tuning.effective_bytes <= self.kib * 1024
        # records round to four decimals
        return fits and (self.compression is None or tuning.compression >= self.compression - 1e-4)

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


def tuned_files(recipe: Recipe) -> list[Path]:
    """All tuned weights that ship for a recipe."""
    return sorted(TUNED.glob(f"{recipe.id}-*.safetensors"))


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
    found = [(path, read_tuning(path)) for path in ([given] if given is not None else tuned_files(recipe))]
    mine = [(path, tuning) for path, tuning in found if tuning.source_sha256 == digest]
    remedy = (
        f"`fer-host search {recipe.id} --data FER2013.npz --compression X` and "
        f"`fer-host qat {recipe.id} --data FER2013.npz --policy FILE` make one"
    )
    if not mine:
        why = f"{found[0][0].name} was tuned from other weights" if found else "none ship"
        raise RecipeError(f"SCHEME mixed: {recipe.id} has no tuned weights ({why}); {remedy}")
    fitting = [(path, tuning) for path, tuning in mine if budget.met_by(tuning)]
    if not fitting:
        have = ", ".join(f"{t.compression:.2f}x ({t.effective_bytes / 1024:.0f} KiB)" for _, t in mine)
        raise RecipeError(f"budget of {budget}: found {have} for {recipe.id}, expected one within it; {remedy}")
    path, tuning = max(fitting, key=lambda entry: (entry[1].accuracy, entry[1].compression))
    return ChosenTuning(path, tuning, fold_batch_norms(network, recipe.input.channels, recipe.size_px))
