"""How few bits would activations need, channel by channel? Simulated: tflite has one scale and 8 bits per tensor.

    .venv/bin/python benchmarks/activations.py       (writes benchmarks/results/activations.md; about 10 minutes)

Each layer's input is put on a grid of its own for every channel, between the channel's least and largest value on the
trace images. Widths of 2 to 8 bits: one for all, or by the knapsack over mean trace x squared error at the same number
of bits. Weights stay in float, nothing is tuned. Accuracies: FER2013 PublicTest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from torch import nn

from fer_host.commands.options import add_data, given_data
from fer_host.evaluate.metrics import drop_label
from fer_host.quantize.activations import activation_table, input_ranges, simulated
from fer_host.quantize.allocate import knapsack, one_width
from fer_host.quantize.hawqc import Workshop
from fer_host.quantize.policy import BitPolicy
from fer_host.recipe.recipe import load_recipe
from fer_host.train.rows import validation_split
from fer_host.train.scoring import predict
from written import write

RESULT = Path(__file__).parent / "results" / "activations.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--model", default="hawqc_mbv2")
    parser.add_argument("--bits", type=int, nargs="*", default=[8, 6, 5, 4, 3])
    parser.add_argument("--traces", type=int, default=64, help="images that the traces are a mean over")
    arguments = parser.parse_args()
    arguments.data = given_data(arguments.data)
    workshop = Workshop(load_recipe(arguments.model), arguments.data)
    faces = workshop.trace_inputs()
    ranges = input_ranges(workshop.network, faces)
    table = activation_table(workshop.network, faces, ranges, arguments.traces)
    lines = [
        "# Activation bits, channel by channel (simulated)",
        "",
        f"`benchmarks/activations.py --model {arguments.model}`: inputs of {len(table.layers)} layers, "
        f"{len(table.n_weights):,} channels; ranges over {len(faces)} Training images, traces over {arguments.traces}; "
        "weights in float, nothing tuned. No tflite file can hold this.",
        "",
        "| bits a value | widths | ferplus8 | fer7 | 2 bits | 3 | 4 | 5 | 6 | 7 | 8 |",
        "|" + "---|" * 11,
        f"| float | | {accuracies(workshop, workshop.network)} | | | | | | | |",
    ]
    for bits in arguments.bits:
        uniform = one_width(table, bits)
        for name, policy in (("one for all", uniform), ("knapsack", knapsack(table, uniform.budget_bytes))):
            with simulated(workshop.network, policy, ranges):
                found = accuracies(workshop, workshop.network)
            lines.append(f"| {bits} | {name} | {found} | {shares(policy)} |")
            print(lines[-1], flush=True)
    write(RESULT, "\n".join(lines) + "\n")
    print(RESULT)


def accuracies(workshop: Workshop, network: nn.Module) -> str:
    """Of both protocols, as two cells."""
    recipe, rows = workshop.recipe, validation_split(workshop.data)
    probabilities = predict(network, recipe, rows.images, recipe.size_px)
    seven = drop_label(probabilities, recipe.label_names.index("contempt"))
    cells = []
    for found, labels in ((probabilities, rows.label8), (seven, rows.label7)):
        kept = labels >= 0
        cells.append(f"{(found[kept].argmax(axis=1) == labels[kept]).mean():.2%}")
    return " | ".join(cells)


def shares(policy: BitPolicy) -> str:
    """Of the channels, by width, as cells."""
    return " | ".join(f"{np.mean(policy.all_bits == bits):.0%}" for bits in range(2, 9))


if __name__ == "__main__":
    main()
