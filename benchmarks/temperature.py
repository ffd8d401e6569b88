"""What a temperature depends on: the rows that it is fitted on, and whether training has seen them.

    python benchmarks/temperature.py fer48 hawqc_mbv2 --data ../shared/data/fer2013/fer2013_train_public.npz

The shipped weights in float. PublicTest is halved again and again (identical images stay together): the temperature of
one half is judged on the other, beside that other half's own. "Seen" is fitted on as many Training rows, which the
shipped networks were trained on: what a temperature of such rows would be worth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from fer_host.data import fer2013
from fer_host.data.faces import TRAINING
from fer_host.evaluate.temperature import ece, fit_temperature
from fer_host.models.weights import load_network, weights_sha256
from fer_host.recipe.recipe import load_recipe
from fer_host.train.scoring import predict_logits
from written import kept, write

RESULT = Path(__file__).parent / "results" / "temperature.md"
HALVES = 20


def rows_of(model: str, data: Path) -> list[list[str]]:
    """One row for each label set of a recipe's network."""
    recipe = load_recipe(model)
    network, every = load_network(recipe).eval(), fer2013.load(data)
    public = every.select(every.usage == "PublicTest")
    training = every.select(every.usage == TRAINING)
    training = training.select(np.sort(np.random.default_rng(1).permutation(len(training))[: len(public)]))
    logits = {
        name: predict_logits(network, recipe, part.images, recipe.size_px)
        for name, part in (("public", public), ("training", training))
    }
    found = []
    for each in recipe.label_sets:
        columns = slice(*each.slice)
        known = public.labels(each.id) >= 0
        own, truth = logits["public"][known, columns], public.labels(each.id)[known]
        seen = training.labels(each.id) >= 0
        of_seen = fit_temperature(logits["training"][seen, columns], training.labels(each.id)[seen])
        names, members = np.unique(public.sequence[known], return_inverse=True)
        temperatures, crossed, same = [], [], []
        for seed in range(HALVES):
            first = np.random.default_rng(seed).permutation(len(names))[members] % 2 == 0
            here, there = (fit_temperature(own[half], truth[half]) for half in (first, ~first))
            temperatures += [here, there]
            crossed += [ece(own[~first], truth[~first], here), ece(own[first], truth[first], there)]
            same += [ece(own[first], truth[first], here), ece(own[~first], truth[~first], there)]
        found.append(
            [
                f"{model}, {each.id}",
                str(len(truth)),
                f"{fit_temperature(own, truth):.3f}",
                f"{np.mean(temperatures):.3f} ± {np.std(temperatures):.3f}",
                f"{ece(own, truth, 1.0):.4f}",
                f"{np.mean(crossed):.4f} ± {np.std(crossed):.4f}",
                f"{np.mean(same):.4f} ± {np.std(same):.4f}",
                f"{of_seen:.3f}",
                f"{ece(own, truth, of_seen):.4f}",
                f"`{weights_sha256(network)[:12]}`",
            ]
        )
        print(" | ".join(found[-1]), flush=True)
    return found


def main() -> None:
    """Measures, and writes the table; rows of other networks stay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/fer2013/fer2013_train_public.npz"))
    arguments = parser.parse_args()
    rows = kept(RESULT)
    for model in arguments.models:
        rows |= {row[0]: row for row in rows_of(model, arguments.data)}
        save(rows)


def save(rows: dict[str, list[str]]) -> None:
    """Writes the table of all rows."""
    head = ["network, labels", "n", "T of all", "T of a half", "ECE at T = 1", "ECE at the other half's T"]
    head += ["ECE at the half's own T", "T of seen rows", "ECE at that", "weights"]
    lines = [
        "# What a temperature is fitted on",
        "",
        f"`benchmarks/temperature.py`, float, PublicTest, {HALVES} random halvings, mean ± standard deviation. The "
        "shipped networks were trained on all Training rows and their epochs chosen on PublicTest, on which their "
        "temperature is fitted too: one number of n rows. If fitting and judging on the same rows mattered, the "
        "error at a half's own temperature would be below that at the other half's. \"Seen\": as many Training rows.",
        "",
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
        *(f"| {' | '.join(rows[key])} |" for key in sorted(rows)),
        "",
    ]
    write(RESULT, "\n".join(lines))


if __name__ == "__main__":
    main()
