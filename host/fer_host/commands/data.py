"""``fer-host shard``: a data set made ready for training at any size. Heavy imports stay inside the function."""

from __future__ import annotations

import argparse
from pathlib import Path

from fer_host.commands.options import positive


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds it to the parser."""
    shard = commands.add_parser(
        "shard", help="make shards of a data set, faces cut out of photos once; a killed run goes on"
    )
    shard.add_argument("data", type=Path, metavar="DATA", help="a data set's folder, or a CSV: image,label")
    shard.add_argument("out", type=Path, metavar="OUT", help="folder to make; train and others take it as --data")
    shard.add_argument(
        "--model", default="hawqc_mbv2", metavar="RECIPE", help="whose detector, crop and own labels photos go by"
    )
    shard.add_argument("--workers", type=positive, metavar="N", help="processes (default: one a core, less one)")
    shard.set_defaults(run=_shard)


def _shard(arguments: argparse.Namespace) -> int:
    from fer_host.data.sharding import LEFT_OUT, make_shards
    from fer_host.data.sharding_job import job_of
    from fer_host.detector.cut import cut_of, cutter
    from fer_host.recipe.recipe import load_recipe

    recipe = load_recipe(arguments.model)
    job = job_of(
        arguments.data, cut_of(recipe.detector, recipe.align), lambda: cutter(recipe), recipe.own_labels, recipe.person
    )
    made = make_shards(job, arguments.out, arguments.workers)
    print(f"{arguments.out}: {made.n} pictures in {len(made.shards)} shards, digest {made.digest[:12]}")
    for reason, n in made.left_out.items():
        print(f"{n} left out, {reason}: {arguments.out / LEFT_OUT} names them")
    return 0
