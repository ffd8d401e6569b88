"""The loop closed: a budget in ms by this board's table, the file it gives, and what that file takes when measured.

    .venv/bin/python benchmarks/budget_ms.py                 (in .venv; writes benchmarks/results/budget_ms.md)
    .venv/bin/python benchmarks/budget_ms.py --share 0.8 --latency mine.json

The budget is a share of what the table says of the unpruned int8 file. Both files are then timed in turns in one
process, by processor time, so that the measured ratio holds on a busy machine. Exit status 1 where the file misses the
budget or loses more than two points of accuracy (the manifests' figures, FER2013 PublicTest).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from fer_edge.contract.bundle import Bundle, open_bundle
from fer_host.boards import predict
from fer_host.boards.budget import candidate, within_ms
from fer_host.errors import HostError
from fer_host.pipeline import ConvertRequest, convert
from fer_host.recipe.recipe import load_recipe
from written import write
from zoo import opened, ratios

HERE = Path(__file__).parent
MOST_LOST = 0.02


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="hawqc_mbv2")
    parser.add_argument("--latency", type=Path, default=HERE / "latency" / "x86_64.json")
    parser.add_argument("--share", type=float, default=0.7, help="of the unpruned int8 file's time in the table")
    parser.add_argument("--rounds", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "budget_ms.md")
    arguments = parser.parse_args()
    try:
        table = predict.load(arguments.latency)
        start = candidate(load_recipe(arguments.model), table)
        budget = arguments.share * start.ms
        chosen = within_ms(arguments.model, budget, arguments.latency, quiet=True)
        predicted = candidate(load_recipe(chosen), table)
        with tempfile.TemporaryDirectory() as scratch:
            bundles = {name: _bundle(name, Path(scratch)) for name in (arguments.model, chosen)}
            timed = [opened(bundle, name, "int8") for name, bundle in bundles.items()]
            found = ratios(timed, arguments.rounds, (arguments.model, "int8"))
            accuracies = {n: _accuracies(bundle) for n, bundle in bundles.items()}
    except HostError as error:
        print(f"budget_ms: error: {error}", file=sys.stderr)
        return 2
    ratio, low, high = found[chosen, "int8"]
    lost = [before - after for before, after in zip(*accuracies.values(), strict=True)]
    lines = [
        "# A budget in milliseconds",
        "",
        f"`benchmarks/budget_ms.py --share {arguments.share:g}`, table of {table.board}, {table.runtime.name} "
        f"{table.runtime.version}, {arguments.rounds} rounds in turns, one thread, processor time.",
        "",
        "| | int8 file of | predicted ms | of the start | measured, of the start | 5th to 95th percentile | accuracy |",
        "|---|---|---|---|---|---|---|",
        f"| start | `{start.model}` | {start.ms:.3f} | 1 | 1 | | {_text(accuracies[start.model])} |",
        f"| within {budget:.3f} ms | `{chosen}` | {predicted.ms:.3f} | {predicted.ms / start.ms:.3f} | {ratio:.3f} "
        f"| {low:.3f} to {high:.3f} | {_text(accuracies[chosen])} |",
        "",
        f"Budget {arguments.share:.0%}: {'met' if ratio <= arguments.share else 'missed'}; accuracy lost, in points: "
        f"{', '.join(f'{100 * each:.2f}' for each in lost)}.",
        "",
    ]
    write(arguments.out, "\n".join(lines))
    print("\n".join(lines))
    return int(ratio > arguments.share or max(lost) > MOST_LOST)


def _bundle(name: str, scratch: Path) -> Bundle:
    """Converted anew, or all stages reused."""
    convert(ConvertRequest(name, out=scratch / name, quiet=True))
    return open_bundle(scratch / name)


def _accuracies(bundle: Bundle) -> list[float]:
    metrics = bundle.manifest.variant("int8").metrics
    if not metrics:
        raise HostError(f"{bundle.manifest.model_id}: no accuracy in its manifest; `fer-host release` measures it")
    return [metric.accuracy for metric in metrics]


def _text(accuracies: list[float]) -> str:
    return ", ".join(f"{value:.2%}" for value in accuracies)


if __name__ == "__main__":
    sys.exit(main())
