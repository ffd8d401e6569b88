"""A budget in milliseconds on a board: the recipe itself, or the pruned form of it that keeps the budget.

Bits inside int8 storage change no time, so only pruned networks are faster; bits fill a budget of bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fer_edge.contract.latency import LatencyDoc
from fer_host.boards import predict
from fer_host.errors import RecipeError
from fer_host.models.weights import load_network, zoo_path
from fer_host.recipe.recipe import Recipe, load_recipe, recipe_names
from fer_host.zoo.card import read_card


@dataclass(frozen=True)
class Candidate:
    """A recipe with trained weights, its predicted time on the board, and its float accuracy by its own labels."""

    model: str
    ms: float
    accuracy: float


def within_ms(model: str, budget_ms: float, table_path: Path, quiet: bool = False) -> str:
    """The most accurate of a recipe and its pruned forms whose int8 file keeps the budget.

    Args:
        model: a recipe's name or TOML file.
        budget_ms: of one inference.
        table_path: the board's latency table.
        quiet: do not say what was chosen.

    Raises:
        RecipeError: none keeps it; names the command that makes one.
        DataError: no such table, or one that lacks operators of the network.
    """
    recipe = load_recipe(model)
    table = predict.load(table_path)
    found = [candidate(recipe, table)] if zoo_path(recipe).is_file() else []
    for name in recipe_names():
        other = load_recipe(name)
        if other.prune is not None and other.prune.source == recipe.id and zoo_path(other).is_file():
            found.append(candidate(other, table))
    chosen = choose(found, budget_ms)
    if chosen is None:
        own = f"{recipe.id}_pruned" in recipe_names()  # the zoo's own place takes its weights
        making = f"{recipe.id}_pruned" if own else f"{recipe.id} --out FILE"
        have = ", ".join(f"{c.model} {c.ms:.3f} ms" for c in found) or "none with trained weights"
        raise RecipeError(
            f"budget of {budget_ms:g} ms on {table.board}: found {have}, expected one within it; "
            f"`fer-host prune {making} --ms {budget_ms:g} --latency {table_path} --data FER2013.npz` "
            "makes one"
        )
    if not quiet:
        print(f"{chosen.model}: {chosen.ms:.3f} ms predicted on {table.board}, budget {budget_ms:g}", flush=True)
    return model if chosen.model == recipe.id else chosen.model


def choose(candidates: list[Candidate], budget_ms: float) -> Candidate | None:
    """The most accurate within the budget; of equals the fastest; None where there is none."""
    fitting = [candidate for candidate in candidates if candidate.ms <= budget_ms]
    return max(fitting, key=lambda candidate: (candidate.accuracy, -candidate.ms), default=None)


def candidate(recipe: Recipe, table: LatencyDoc) -> Candidate:
    """A recipe with trained weights, predicted."""
    ms = predict.network_ms(table, recipe.input.channels, recipe.size_px, "int8")(load_network(recipe))
    card = read_card(zoo_path(recipe))
    return Candidate(recipe.id, ms, card.float_scores[0].accuracy if card else 0.0)
