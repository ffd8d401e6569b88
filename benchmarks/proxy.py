"""How far HAWQC's proxy is from the loss it stands for: layer by layer, and for whole policies.

    .venv/bin/python benchmarks/proxy.py

The proxy is a sum over channels of mean trace x squared error: twice the second-order rise of the loss, were the
errors of a channel even in all directions and channels independent. Here the rise itself is measured on the recipe's
held-out search images (cross-entropy, weights on their grids, activations in float, no tuning): with one layer
quantized at a time, the others at 8 bits, and with all of them. If the proxy were right the columns would agree;
where "layers one by one" and "all at once" differ, the layers' errors work together, which no sum over channels can
see.

Policies are those that benchmarks/hawqc.py keeps in its workshop; run that first. Writes benchmarks/results/proxy.md.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from fer_host.commands.options import add_data, given_data
from fer_host.quantize.allocate import one_width
from fer_host.quantize.grid import WIDTHS
from fer_host.quantize.hawqc import Workshop
from fer_host.quantize.held_out import HeldOutLoss
from fer_host.quantize.policy import BitPolicy, load_policy
from fer_host.recipe.recipe import load_recipe
from written import write

REPORT = Path(__file__).parent / "results" / "proxy.md"
N_IMAGES = 256  # of the search images
COARSE = (2, 3, 4)  # widths of all channels


class Rises:
    """Of the held-out loss over that of 8 bits everywhere."""

    def __init__(self, workshop: Workshop) -> None:
        whole = workshop.held_out_loss
        self.loss = HeldOutLoss(workshop.network, whole.inputs[:N_IMAGES], whole.labels[:N_IMAGES])
        self.finest = one_width(workshop.table, 8)
        self.least = self.loss(self.finest)
        self._known: dict[tuple[str, str], float] = {}

    def of(self, policy: BitPolicy) -> float:
        """All layers at once."""
        return self.loss(policy) - self.least

    def of_layer(self, policy: BitPolicy, layer: str) -> float:
        """Only this layer as the policy has it, the others at 8 bits."""
        key = layer, policy.bits[layer]
        if key not in self._known:
            self._known[key] = self.of(
                dataclasses.replace(self.finest, bits=self.finest.bits | {layer: policy.bits[layer]})
            )
        return self._known[key]


def predicted(workshop: Workshop, policy: BitPolicy) -> NDArray[np.float64]:
    """(layers,) rise that the proxy stands for: half of it."""
    table = workshop.table
    choice = np.concatenate([policy.of(name) for name in table.layers]) - WIDTHS[0]
    each = table.loss[np.arange(len(choice)), choice]
    return np.asarray(np.bincount(table.layer_of, each) / 2, dtype=np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--model", default="hawqc_mbv2")
    arguments = parser.parse_args()
    arguments.data = given_data(arguments.data)
    workshop = Workshop(load_recipe(arguments.model), arguments.data)
    rises = Rises(workshop)
    layers = list(workshop.table.layers)
    policies = {f"{bits} bits": one_width(workshop.table, bits) for bits in COARSE}
    for path in sorted(workshop.state.glob("*.bits.json")):
        policy = load_policy(path)
        policies[f"{policy.allocator}, {path.name.split('-')[1]}x"] = policy
    lines = [
        "# What the proxy sees, and what it does not",
        "",
        f"`{workshop.recipe.id}`, cross-entropy on {N_IMAGES} held-out search images: rise over 8",
        "bits everywhere, not tuned; by benchmarks/proxy.py. Predicted: half the proxy. Rank correlation: of predicted",
        "and measured rises, layer by layer (Spearman).",
        "",
        "| policy | predicted | layers one by one, summed | all at once | rank correlation |",
        "|---|---|---|---|---|",
    ]
    for name, policy in policies.items():
        expected = predicted(workshop, policy)
        measured = np.array([rises.of_layer(policy, layer) for layer in layers])
        rank = float(spearmanr(expected, measured).statistic)
        lines.append(f"| {name} | {expected.sum():.3f} | {measured.sum():.3f} | {rises.of(policy):.3f} | {rank:.2f} |")
        print(lines[-1], flush=True)
    write(REPORT, "\n".join(lines) + "\n")
    print(REPORT)


if __name__ == "__main__":
    main()
