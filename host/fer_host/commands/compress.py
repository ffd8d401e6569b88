"""``fer-host`` commands that make a trained network smaller: prune, search, qat.

Heavy imports stay inside the functions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fer_host.commands.options import add_data, given_data, positive, recipe_to_train
from fer_host.errors import HostError
from fer_host.recipe.prune import METHODS, RANKS
from fer_host.recipe.quantize import ALLOCATORS


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds them to the parser."""
    prune = commands.add_parser("prune", help="make a recipe's network smaller; a killed run resumes")
    prune.add_argument(
        "model", metavar="RECIPE", help="of the start; hawqc_mbv2_pruned has constants of its own, others take those"
    )
    add_data(prune)
    prune.add_argument("--out", type=Path, metavar="FILE", help=".safetensors to write (default: host/zoo)")
    prune.add_argument("--method", choices=METHODS, help="default: the recipe's")
    prune.add_argument("--macs", type=float, metavar="SHARE", help="budget: of the start's MACs")
    prune.add_argument("--parameters", type=float, metavar="SHARE", help="budget: of the start's parameters")
    prune.add_argument("--int8-kib", type=float, metavar="KIB", help="budget: size of the int8 file, estimated")
    prune.add_argument("--ms", type=float, metavar="MS", help="budget: of the int8 file on the board of --latency")
    prune.add_argument("--latency", type=Path, metavar="FILE", help="a board's table, by fer-edge bench --per-op")
    prune.add_argument("--round-to", type=positive, metavar="N", help="keep multiples of N channels, e.g. 8")
    prune.add_argument(
        "--rank",
        choices=RANKS,
        help="what filters go by: importance suits --macs and --parameters, per cost --ms (default: the recipe's)",
    )
    prune.set_defaults(run=_prune)

    search = commands.add_parser("search", help="choose a bit width for every channel within a budget")
    search.add_argument("model", metavar="RECIPE", help="with a [quantize] table, e.g. hawqc_mbv2")
    add_data(search)
    search.add_argument("--allocator", choices=ALLOCATORS, help="default: the recipe's")
    search.add_argument(
        "--compression", type=float, metavar="FACTOR", help="of the float network; default: the recipe's"
    )
    search.add_argument("--out", type=Path, metavar="FILE", help=".json to write (default: host/zoo)")
    search.set_defaults(run=_search)

    qat = commands.add_parser("qat", help="tune a network on its bit widths; a killed run resumes")
    qat.add_argument("model", metavar="RECIPE", help="with a [quantize] table, e.g. hawqc_mbv2")
    add_data(qat)
    qat.add_argument("--policy", type=Path, metavar="FILE", help="by `search` (default: searched as the recipe says)")
    qat.add_argument("--out", type=Path, metavar="FILE", help=".safetensors to write (default: host/zoo)")
    qat.add_argument("--untuned", action="store_true", help="only move the weights to their grids")
    qat.set_defaults(run=_qat)


def _prune(arguments: argparse.Namespace) -> int:
    recipe = recipe_to_train(arguments.model)
    from fer_host.prune.run import run_pruning, with_options
    from fer_host.recipe.prune import Budget

    limits = (arguments.parameters, arguments.macs, arguments.int8_kib, arguments.ms)
    budget = Budget(*limits) if any(limit is not None for limit in limits) else None
    if recipe.prune is None and arguments.out is None:
        raise HostError(f"--out: not given; expected a file, because host/zoo holds {recipe.id} as it was trained")
    if arguments.method is not None and arguments.out is None:
        raise HostError(f"--out: not given; expected a file, because host/zoo holds {recipe.id} by its own method")
    recipe = with_options(recipe, arguments.method, budget, arguments.round_to, arguments.rank)
    print(run_pruning(recipe, given_data(arguments.data), arguments.out, latency_table=arguments.latency))
    return 0


def _search(arguments: argparse.Namespace) -> int:
    from fer_host.quantize.hawqc import run_search
    from fer_host.recipe.recipe import load_recipe

    recipe = load_recipe(arguments.model)
    print(run_search(recipe, given_data(arguments.data), arguments.allocator, arguments.compression, arguments.out))
    return 0


def _qat(arguments: argparse.Namespace) -> int:
    recipe = recipe_to_train(arguments.model)
    from fer_host.calibrate import tune
    from fer_host.quantize.grids import format_tuning, read_tuning

    target, ranges = tune(recipe, given_data(arguments.data), arguments.policy, arguments.out, arguments.untuned)
    print(ranges)
    print(format_tuning(read_tuning(target)))
    print(target)
    return 0
