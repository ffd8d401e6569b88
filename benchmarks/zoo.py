"""One table of the zoo: parameters, MACs, bytes, accuracies, and time as a ratio to the flagship's int8 network.

``make bench`` runs it and writes benchmarks/results/zoo.md. Every network is timed in turns in one process, one thread,
default kernels, by the thread's own processor time, which is the wall's on a machine with nothing else to do: ratios
hold on a busy one too. Milliseconds are left out on purpose.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import thread_time_ns

import numpy as np

from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.contract.manifest import Variant
from fer_host.device_pipeline import LiteRunner
from fer_host.models.weights import zoo_path
from fer_host.recipe.recipe import load_recipe
from fer_host.zoo.listing import recipe_row
from written import kept, write

MODELS = (
    "hawqc_mbv2",
    "hawqc_mbv2_pruned",
    "hawqc_mbv2_tiny",
    "fer48",
    "larn",
    "ddamfn",
    "shufflenet_ldam",
    "lfer_ldl",
)
FLAGSHIP = ("hawqc_mbv2", "int8")
SCHEMES = ("float32", "int8")
RESULT = Path(__file__).parent / "results" / "zoo.md"


@dataclass(frozen=True)
class Timed:
    """A network that is timed: one call is one inference."""

    model: str
    variant: Variant
    run: Callable[[], object]


def opened(bundle: Bundle, model: str, scheme: str) -> Timed:
    """One variant, ready to run on a blank face."""
    variant = bundle.manifest.variant(scheme)
    runner = LiteRunner(bundle.read(variant.file), variant)
    face = np.zeros(variant.input.shape, dtype=np.float32)
    return Timed(model, variant, lambda: runner.raw(face))


def ratios(
    networks: list[Timed], rounds: int, reference: tuple[str, str] = FLAGSHIP
) -> dict[tuple[str, str], tuple[float, float, float]]:
    """By (model, variant): p50 over the reference's, and the 5th and 95th percentile of its ratio round by round."""
    taken: dict[tuple[str, str], list[int]] = {(n.model, n.variant.id): [] for n in networks}
    for network in networks:
        for _ in range(10):
            network.run()
    order = list(networks)
    shuffle = random.Random(1)
    for _ in range(rounds):
        shuffle.shuffle(order)  # no network always follows the same one
        for network in order:
            started = thread_time_ns()
            network.run()
            taken[network.model, network.variant.id].append(thread_time_ns() - started)
    base = taken[reference]
    middle = statistics.median(base)
    found = {}
    for key, times in taken.items():
        each = [a / b for a, b in zip(times, base, strict=True)]
        found[key] = (statistics.median(times) / middle, *map(float, np.percentile(each, (5, 95))))
    return found


def accuracy(variant: Variant) -> str:
    """The manifest's first figure, which is of the recipe's own labels."""
    return f"{variant.metrics[0].accuracy:.2%}" if variant.metrics else "not measured"


def main() -> int:
    """Prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist", type=Path, default=Path("dist"), help="where the bundles are, by model")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    networks: list[Timed] = []
    missing = []
    earlier = kept(arguments.out)
    for model in MODELS:
        recipe = load_recipe(model)
        if (arguments.dist / model / "manifest.json").is_file():
            bundle = open_bundle(arguments.dist / model)
            networks += [opened(bundle, model, scheme) for scheme in SCHEMES]
        elif f"`{model}`" in earlier:
            missing.append(f"{model}: no bundle here; its row is of an earlier run.")
        elif zoo_path(recipe).is_file():
            missing.append(f"{model}: no bundle; `make convert MODEL={model}` makes it.")
        else:
            missing.append(f"{model}: no trained weights yet; left out.")
    if not any((n.model, n.variant.id) == FLAGSHIP for n in networks):
        print(f"{arguments.dist}: no hawqc_mbv2 bundle; expected it to compare with", file=sys.stderr)
        return 2
    found = ratios(networks, arguments.rounds)
    lines = [
        "| model | labels | parameters | MACs | float32 bytes | int8 bytes | accuracy, float32 | accuracy, int8 "
        "| time, float32 | time, int8 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for model in MODELS:
        if not any(network.model == model for network in networks):
            if f"`{model}`" in earlier:
                lines.append(f"| {' | '.join(earlier[f'`{model}`'])} |")
            continue
        recipe = load_recipe(model)
        row = recipe_row(recipe)
        manifest = open_bundle(arguments.dist / model).manifest
        variants = [manifest.variant(scheme) for scheme in SCHEMES]
        sizes = [f"{manifest.files[variant.file].decoded_size_bytes:,}" for variant in variants]
        scores = [accuracy(variant) for variant in variants]
        times = [f"{found[model, s][0]:.2f} ({found[model, s][1]:.2f} to {found[model, s][2]:.2f})" for s in SCHEMES]
        cells = [f"`{model}`", recipe.labels, f"{row.parameters:,}", f"{row.macs / 1e6:.1f} M", *sizes, *scores, *times]
        lines.append(f"| {' | '.join(cells)} |")
    text = "\n".join(
        [
            "# The zoo",
            "",
            "`make bench`. Accuracy: FER2013 PublicTest under the model's own labels, single view, as in the bundle's "
            f"manifest. Time: p50 as a ratio to {FLAGSHIP[0]} {FLAGSHIP[1]}, {arguments.rounds} rounds in turns in one "
            "process, one thread, processor time; in brackets the 5th and 95th percentile of the ratio within a round.",
            "",
            *lines,
            "",
            *missing,
            "",
        ]
    )
    write(arguments.out, text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
