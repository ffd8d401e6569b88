"""Gated pruning against its baselines: same start, same budget of MACs, same training, paired on PublicTest.

    .venv/bin/python benchmarks/pruning.py --macs 0.66
    .venv/bin/python benchmarks/pruning.py --macs 0.40
    .venv/bin/python benchmarks/pruning.py --report

Every run is ``recipes/hawqc_mbv2_prune64.toml`` with one thing changed, resumes when it is killed, and is done once.
Gated runs train one epoch before the first round and one per round. Baselines, and the network that is not pruned,
train as many epochs around their cut as the run of the shipped form that they are compared with; all recover for 2.
Ranked by importance alone, channels that cost little go first, so the thesis' form takes more rounds to a budget of
MACs than the shipped one, and more epochs with them: the shipped form is also run in steps so small that it trains as
long. The penalties of network slimming and GReg are scaled to so short a training (``slimming_l1`` and ``Growth``), for
which their papers' constants would do nothing. Nothing was tuned for any method: one try each. Results go to
benchmarks/results/pruning/, one file per run with each image's answer, from which the report's intervals come (paired
bootstrap, 10,000 draws).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_host.commands.options import add_data, given_data
from fer_host.evaluate.metrics import drop_label
from fer_host.files.artifacts import write_bytes
from fer_host.files.paths import TRAIN_CACHE
from fer_host.models.weights import load_network
from fer_host.prune.costs import cost_of
from fer_host.prune.run import run_pruning, with_options
from fer_host.recipe.prune import Budget
from fer_host.recipe.recipe import Recipe, load_recipe
from fer_host.train.rows import validation_split
from fer_host.train.run import training_data
from fer_host.train.scoring import predict
from paired import accuracy, in_points, right
from written import write

HERE = Path(__file__).parent
RUNS, REPORT = HERE / "results" / "pruning", HERE / "results" / "pruning.md"
SHIPPED = "gated, importance per cost"
SMALL_STEPS = f"{SHIPPED}, small steps"


@dataclass(frozen=True)
class Contender:
    """One line of the comparison.

    Attributes:
        name: of the line.
        method: as `fer-host prune --method` takes it.
        changes: of the recipe's [prune] table.
        budgets: shares of the start's MACs it is run at.
        epochs_of: the run whose number of epochs it takes; a gated run has its own.
    """

    name: str
    method: str
    changes: dict[str, Any]
    budgets: tuple[float, ...] = (0.66, 0.40)
    epochs_of: str = SHIPPED


# in the order of running: a run comes after the one whose epochs it takes
CONTENDERS = (
    Contender(SHIPPED, "gated", {"rank": "importance_per_cost"}),
    Contender("network slimming", "slimming", {}),
    Contender("growing regularization", "greg", {}),
    Contender("uniform width", "uniform", {}),
    Contender("gated", "gated", {}),
    Contender("gated, per batch", "gated", {"form": "per_batch"}, (0.66,)),
    Contender("not pruned", "uniform", {"budget": Budget(macs=1.0)}, (0.66,)),
    Contender(SMALL_STEPS, "gated", {"rank": "importance_per_cost", "filters": 0.0011}),
    Contender("network slimming, more epochs", "slimming", {}, (0.66,), SMALL_STEPS),
    Contender("growing regularization, more epochs", "greg", {}, (0.66,), SMALL_STEPS),
    Contender("uniform width, more epochs", "uniform", {}, (0.66,), SMALL_STEPS),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--macs", type=float, choices=(0.66, 0.40), default=0.66, help="budget, of the start's")
    parser.add_argument("--only", nargs="*", help="names of contenders")
    parser.add_argument("--report", action="store_true", help="only write the table of the runs so far")
    arguments = parser.parse_args()
    arguments.data = given_data(arguments.data)
    if not arguments.report:
        base = load_recipe(str(HERE / "recipes" / "hawqc_mbv2_prune64.toml"))
        for contender in CONTENDERS:
            if contender.name in (arguments.only or [contender.name]) and arguments.macs in contender.budgets:
                measure(base, contender, arguments.macs, arguments.data)
    write_report()


def measure(base: Recipe, contender: Contender, macs: float, data: Path) -> None:
    """Runs one contender, unless its result is there."""
    result = result_of(contender.name, macs)
    if result.is_file():
        return
    recipe = with_options(base, contender.method, Budget(macs=macs))  # type: ignore[arg-type]
    assert recipe.prune is not None
    source = recipe.prune.source
    changes = dict(contender.changes)
    if contender.method != "gated":
        other = result_of(contender.epochs_of, macs)
        if not other.is_file():
            raise SystemExit(f"{other}: not there; expected the run of {contender.epochs_of!r} first, for its epochs")
        changes["baseline_epochs"] = json.loads(other.read_text())["epochs"]
    recipe = dataclasses.replace(recipe, prune=dataclasses.replace(recipe.prune, **changes))
    weights = run_pruning(recipe, data, TRAIN_CACHE / f"{result.stem}.safetensors")
    held_out = validation_split(training_data(recipe, data, quiet=True))
    network, start = load_network(recipe, weights), load_network(load_recipe(source))
    cost, before = (cost_of(each, recipe.input.channels, recipe.size_px) for each in (network, start))
    steps = [json.loads(line) for line in weights.with_suffix(".steps.jsonl").read_text().splitlines()]
    probabilities = predict(network, recipe, held_out.images, recipe.size_px)
    document = {
        "name": contender.name,
        "budget_macs": macs,
        "macs": cost.macs / before.macs,
        "parameters": cost.parameters / before.parameters,
        "minutes": steps[-1]["minutes"],
        "epochs": recipe.prune.baseline_epochs if contender.method != "gated" else rewards(steps),
        "ferplus8": right(probabilities, held_out.label8),
        "fer7": right(drop_label(probabilities, recipe.label_names.index("contempt")), held_out.label7),
    }
    RUNS.mkdir(parents=True, exist_ok=True)
    write_bytes(result, json.dumps(document).encode() + b"\n")
    print(contender.name, {key: value for key, value in document.items() if not isinstance(value, str)}, flush=True)


def rewards(steps: list[dict[str, Any]]) -> int:
    """Epochs on all data around a gated run's cuts."""
    return sum(step["phase"] == "reward" for step in steps)


def result_of(name: str, macs: float) -> Path:
    """The file of one run's result."""
    return RUNS / f"{name.replace(', ', '-').replace(' ', '-')}-{macs:g}.json"


def compared_with(run: dict[str, Any], runs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The shipped form's run at this budget with the nearest number of epochs; None for such a run itself."""
    shipped = [r for r in runs if r["name"] in (SHIPPED, SMALL_STEPS) and r["budget_macs"] == run["budget_macs"]]
    if run in shipped:
        return None
    return min(shipped, key=lambda r: abs(r["epochs"] - run["epochs"]), default=None)


def write_report() -> None:
    """All runs so far as Markdown; the shipped form against each other method of its budget, at like epochs."""
    runs = [json.loads(path.read_text()) for path in sorted(RUNS.glob("*.json"))]
    lines = [
        "# Gated pruning and its baselines",
        "",
        "`hawqc_mbv2` at 64 px, float, FER2013 PublicTest, one seed, one try each; by benchmarks/pruning.py.",
        f"`gated` is the thesis' form, `{SHIPPED}` the one that ships. Epochs: on all data around the cuts; 2 of",
        "recovery follow. The last two columns are the accuracy of the shipped form's run with the nearest number of",
        "epochs minus the row's, on the same images, in points, with the 95% interval of a paired bootstrap.",
        "",
        "| MACs budget | method | MACs | parameters | epochs | minutes | ferplus8 | fer7 "
        "| shipped form - row, ferplus8 | fer7 |",
        "|" + "---|" * 10,
    ]
    order = {contender.name: i for i, contender in enumerate(CONTENDERS)}
    for run in sorted(runs, key=lambda run: (-run["budget_macs"], order.get(run["name"], len(order)))):
        shipped = compared_with(run, runs)
        cells = [f"{run['budget_macs']:.0%}", run["name"], f"{run['macs']:.1%}", f"{run['parameters']:.1%}"]
        cells += [str(run["epochs"]), f"{run['minutes']:.0f}"]
        cells += [f"{accuracy(run[labels]):.2%}" for labels in ("ferplus8", "fer7")]
        for labels in ("ferplus8", "fer7"):
            if shipped is None:
                cells.append("")
                continue
            cells.append(in_points(shipped[labels], run[labels]))
        lines.append("| " + " | ".join(cells) + " |")
    write(REPORT, "\n".join(lines) + "\n")
    print(REPORT)


if __name__ == "__main__":
    main()
