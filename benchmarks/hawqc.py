"""HAWQC's table: every allocator at one budget, before and after the same tuning, measured on the interpreter.

    .venv/bin/python benchmarks/hawqc.py --compression 9.93
    .venv/bin/python benchmarks/hawqc.py --report

Rows go to benchmarks/results/hawqc.jsonl as they are measured; a run that is stopped goes on after the last one. The
report is benchmarks/results/hawqc.md with its pictures. With 1 epoch a row takes about 10 minutes on two cores, and an
agent's search (650 episodes, each the loss on 1,024 images) about 30 more.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from fer_edge.contract.bundle import Bundle
from fer_host.commands.options import DEFAULT_DATA
from fer_host.evaluate import evaluate
from fer_host.pipeline import ConvertRequest, convert
from fer_host.quantize.allocate import one_width
from fer_host.quantize.config import ALLOCATORS
from fer_host.quantize.hawqc import Workshop, settings
from fer_host.quantize.plots import plot_bits, plot_search, plot_sizes, plot_traces
from fer_host.quantize.policy import BitPolicy, load_policy, save_policy
from fer_host.quantize.tuned import read_tuning
from fer_host.recipe import load_recipe

RESULTS = Path(__file__).parent / "results"
ROWS, REPORT = RESULTS / "hawqc.jsonl", RESULTS / "hawqc.md"


@dataclass(frozen=True)
class Row:
    """One line of the table; accuracies are the interpreter's on PublicTest."""

    recipe: str
    allocator: str
    asked: float
    compression: float
    epochs: int
    proxy_loss: float
    bound: float | None
    held_out_loss: float
    search_s: float
    tuning_min: float
    before: dict[str, float]
    after: dict[str, float]
    effective_bytes: float
    tflite_bytes: int
    at_rest_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--model", default="hawqc_mbv2")
    parser.add_argument("--compression", type=float, default=9.93)
    parser.add_argument("--allocators", nargs="*", choices=ALLOCATORS, default=list(ALLOCATORS))
    parser.add_argument(
        "--bits", type=int, nargs="*", choices=(3, 4), default=[3, 4], help="one width for all channels"
    )
    parser.add_argument("--epochs", type=int, default=1, help="of tuning, the same for every row")
    parser.add_argument("--report", action="store_true", help="only write the table of the rows measured so far")
    arguments = parser.parse_args()
    if not arguments.report:
        measure(arguments)
    write_report()


def measure(arguments: argparse.Namespace) -> None:
    """All rows that are not in the file yet."""
    recipe = load_recipe(arguments.model)
    tune = settings(recipe).tune
    tune = dataclasses.replace(tune, phases=(dataclasses.replace(tune.phases[0], epochs=arguments.epochs),))
    recipe = dataclasses.replace(recipe, quantize=dataclasses.replace(settings(recipe), tune=tune))
    workshop = Workshop(recipe, arguments.data)
    for name in (*(f"{bits} bits" for bits in arguments.bits), *arguments.allocators):
        done = {(row.recipe, row.allocator, row.asked, row.epochs) for row in read_rows()}
        if (recipe.id, name, arguments.compression, arguments.epochs) in done:
            continue
        kept = workshop.state / f"{name}-{arguments.compression:g}.bits.json"
        if name.endswith("bits"):
            policy = dataclasses.replace(one_width(workshop.table, int(name[0])), source_sha256=workshop.source_sha256)
        elif kept.is_file():
            policy = load_policy(kept)
        else:
            policy = workshop.search(name, arguments.compression)
            save_policy(policy, kept)
        row = measure_row(workshop, policy, arguments)
        with ROWS.open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        print(row, flush=True)
    figures = Path(__file__).parent / "figures"
    plot_traces(workshop.table, figures / "hawqc-traces.png", f"{recipe.id}: traces of the Hessian, channel by channel")
    curves = {}
    for path in sorted(workshop.state.glob(f"*-{arguments.compression:g}.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        curves[path.name.split("-")[0]] = [(line["number"], line["loss"], line["best"]) for line in lines]
    if curves:
        plot_search(curves, figures / "hawqc-search.png", f"{recipe.id}: searches at {arguments.compression:g}x")
    knapsack = workshop.search("knapsack", arguments.compression)
    plot_bits(knapsack, figures / "hawqc-bits.png", f"{recipe.id}: widths by knapsack at {arguments.compression:g}x")


def measure_row(workshop: Workshop, policy: BitPolicy, arguments: argparse.Namespace) -> Row:
    """Places, tunes, converts and evaluates one policy."""
    stem = f"{policy.allocator}-{arguments.compression:g}-{arguments.epochs}"
    placed = workshop.place(policy, workshop.state / f"{stem}.placed.safetensors")
    tuned = workshop.tune(policy, workshop.state / f"{stem}.tuned.safetensors")
    before, _ = accuracies(workshop, placed, arguments.data)
    after, bundle = accuracies(workshop, tuned, arguments.data)
    entry = bundle.manifest.files["network/mixed"]
    tuning = read_tuning(tuned)
    return Row(
        workshop.recipe.id,
        policy.allocator,
        arguments.compression,
        tuning.compression,
        arguments.epochs,
        policy.proxy_loss,
        policy.bound,
        workshop.held_out_loss(policy),
        policy.seconds,
        tuning.minutes,
        before,
        after,
        tuning.effective_bytes,
        entry.decoded_size_bytes,
        entry.size_bytes,
    )


def accuracies(workshop: Workshop, tuned: Path, data: Path) -> tuple[dict[str, float], Bundle]:
    """On PublicTest by both protocols, from a bundle made of these weights."""
    out = workshop.state / "bundle"
    request = ConvertRequest(workshop.recipe.id, scheme="mixed", calib=str(data), out=out, quiet=True, tuned=tuned)
    bundle = convert(request).bundle
    found = {
        labels: evaluate(bundle, data, labels, usage="PublicTest", variant_id="mixed").accuracy
        for labels in ("ferplus8", "fer7")
    }
    return found, bundle


def read_rows() -> list[Row]:
    """All rows measured so far."""
    return [Row(**json.loads(line)) for line in ROWS.read_text().splitlines()] if ROWS.is_file() else []


def write_report() -> None:
    """The rows as Markdown, and accuracy against size as a picture."""
    rows = read_rows()
    lines = [
        "# HAWQC: allocators at equal budget",
        "",
        "FER2013 PublicTest, single view, the tflite interpreter; by benchmarks/hawqc.py. Proxy: sum of mean trace x",
        "squared error. Held-out loss: 1,024 Training images, no tuning. Sizes: contracts.md's rule, the tflite file,",
        "and what lies in the bundle. `uniform` takes the widest width that fits, so it may use less than its",
        "budget; rows of 3 and 4 bits take what they take. The float network was trained on the held-out images too.",
        "",
        "| network | allocator | asked | reached | proxy | lower bound | held-out loss | ferplus8 before | after | "
        "fer7 before | after | epochs | effective KiB | tflite KiB | at rest KiB | search s |",
        "|" + "---|" * 16,
    ]
    for row in sorted(rows, key=lambda row: (row.recipe, row.asked, row.proxy_loss)):
        bound = "" if row.bound is None else f"{row.bound:.4f}"
        lines.append(
            f"| {row.recipe} | {row.allocator} | {row.asked:g} | {row.compression:.2f} | {row.proxy_loss:.4f} "
            f"| {bound} | {row.held_out_loss:.3f} | {row.before['ferplus8']:.2%} | {row.after['ferplus8']:.2%} "
            f"| {row.before['fer7']:.2%} | {row.after['fer7']:.2%} | {row.epochs} | {row.effective_bytes / 1024:.0f} "
            f"| {row.tflite_bytes / 1024:.0f} | {row.at_rest_bytes / 1024:.0f} | {row.search_s:.1f} |"
        )
    REPORT.write_text("\n".join(lines) + "\n")
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        points.setdefault(row.allocator, []).append((row.effective_bytes / 1024, row.after["ferplus8"]))
    if points:
        figure = Path(__file__).parent / "figures" / "hawqc-sizes.png"
        plot_sizes(points, figure, "accuracy after equal tuning against size", "ferplus8 accuracy")
    print(REPORT)


if __name__ == "__main__":
    main()
