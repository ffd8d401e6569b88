"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fer_host.errors import DataError
from fer_host.files.paths import FER2013, default_data

if TYPE_CHECKING:
    from fer_host.recipe.recipe import Recipe


def add_data(parser: argparse.ArgumentParser, what: str = "npz, CSV, a data set's folder") -> None:
    """``--data``, for ``given_data``."""
    parser.add_argument("--data", type=Path, metavar="PATH", help=f"{what} (default: {FER2013} below FER_DATA)")


def given_data(path: Path | None) -> Path:
    """The data set that was asked for, else that of FER_DATA.

    Raises:
        DataError: neither is given.
    """
    found = path or default_data()
    if found is None:
        raise DataError(
            f"--data: not given; expected a data set's path, or {FER2013} below the folder that FER_DATA names"
        )
    return found


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number above 0")
    return int(text)


def recipe_to_train(model: str) -> Recipe:
    """The recipe of a command that trains, with this process' memory set for its inputs.

    Call it before anything imports torch. Errors: see ``load_recipe``.
    """
    from fer_host.recipe.recipe import load_recipe
    from fer_host.train import blocks

    recipe = load_recipe(model)
    blocks.keep_large_blocks_apart(
        max([recipe.size_px, *(phase.size_px for cycle in recipe.train for phase in cycle.phases)])
    )
    return recipe
