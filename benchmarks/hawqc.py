"""HAWQC's table: every allocator at one budget, before and after the same tuning, against float, on the interpreter.

    .venv/bin/python benchmarks/hawqc.py --compression 9.93
    .venv/bin/python benchmarks/hawqc.py --report

Rows go to benchmarks/results/hawqc.jsonl as they are measured; a run that is stopped goes on after the last one. The
report is benchmarks/results/hawqc.md with its pictures. With 1 epoch a row takes 5 to 10 minutes, and an agent's search
(650 episodes, each the loss on 1,024 images) 20 to 35 more. Two runs with other ``--allocators``, one thread each, in
folders of their own (``convert`` works in ./build) share the rows and the workshop.

Times are ratios of p50 to the int8 file of the same weights, both in turns in one process (``zoo.ratios``).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fer_edge.contract.bundle import Bundle, open_bundle
from fer_host.commands.options import add_data, given_data
from fer_host.data.faces import FaceData
from fer_host.data.load import open_data
from fer_host.evaluate.evaluate import predict
from fer_host.evaluate.metrics import drop_label
from fer_host.pipeline import ConvertRequest, convert
from fer_host.quantize.allocate import one_width
from fer_host.quantize.grids import read_tuning
from fer_host.quantize.hawqc import Workshop, settings
from fer_host.quantize.plots import plot_bits, plot_search, plot_sizes, plot_traces
from fer_host.quantize.policy import BitPolicy, float_bytes, load_policy, save_policy, weights_per_channel
from fer_host.recipe.quantize import ALLOCATORS
from fer_host.recipe.recipe import load_recipe
from paired import accuracy, in_points, right
from written import write
from zoo import opened, ratios

RESULTS, FIGURES = Path(__file__).parent / "results", Path(__file__).parent / "figures"
ROWS, REPORT = RESULTS / "hawqc.jsonl", RESULTS / "hawqc.md"
FLOAT = "float"
ROUNDS = 200  # of timing


@dataclass(frozen=True)
class Row:
    """One line of the table; accuracies are the interpreter's on PublicTest.

    Attributes:
        recipe: whose network.
        source_sha256: of the float weights that were quantized.
        allocator: who chose the widths; "float": nothing was quantized.
        asked: compression that was the budget.
        compression: reached.
        epochs: of tuning.
        proxy_loss: see ``BitPolicy``.
        bound: likewise.
        held_out_loss: on the search images, without tuning.
        search_s: of the allocator alone.
        traces_s: of the traces, which all allocators of this recipe and these weights share; None for float.
        tuning_min: of tuning.
        before: accuracy by protocol, without tuning.
        after: and tuned.
        answers: of the tuned network by protocol, see ``paired.right``.
        effective_bytes: by contracts.md's rule.
        tflite_bytes: of the file that runs.
        at_rest_bytes: of the file in the bundle.
        time_ratio: p50 of one inference over the int8 file's.
    """

    recipe: str
    source_sha256: str
    allocator: str
    asked: float
    compression: float
    epochs: int
    proxy_loss: float
    bound: float | None
    held_out_loss: float
    search_s: float
    traces_s: float | None
    tuning_min: float
    before: dict[str, float]
    after: dict[str, float]
    answers: dict[str, str]
    effective_bytes: float
    tflite_bytes: int
    at_rest_bytes: int
    time_ratio: float

    @property
    def key(self) -> tuple[str, str, str, float, int]:
        """What is measured once."""
        return self.recipe, self.source_sha256, self.allocator, self.asked, self.epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--model", default="hawqc_mbv2")
    parser.add_argument("--compression", type=float, default=9.93)
    parser.add_argument("--allocators", nargs="*", choices=ALLOCATORS, default=list(ALLOCATORS))
    parser.add_argument(
        "--bits", type=int, nargs="*", choices=(3, 4), default=[3, 4], help="one width for all channels"
    )
    parser.add_argument("--epochs", type=int, default=1, help="of tuning, the same for every row")
    parser.add_argument("--report", action="store_true", help="only write the table of the rows measured so far")
    arguments = parser.parse_args()
    arguments.data = given_data(arguments.data)
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
    if is_missing((recipe.id, workshop.source_sha256, FLOAT, 1.0, 0)):
        keep(float_row(workshop, arguments.data))
    for name in (*(f"{bits} bits" for bits in arguments.bits), *arguments.allocators):
        if not is_missing((recipe.id, workshop.source_sha256, name, arguments.compression, arguments.epochs)):
            continue
        config = workshop.config
        drawn = f"{config.trace_images}-{config.search_images}-{config.seed}"
        kept = workshop.state / f"{name}-{arguments.compression:g}-{drawn}.bits.json"
        if name.endswith("bits"):
            policy = dataclasses.replace(one_width(workshop.table, int(name[0])), source_sha256=workshop.source_sha256)
        elif kept.is_file():
            policy = load_policy(kept)
        else:
            policy = workshop.search(name, arguments.compression)
            save_policy(policy, kept)
        keep(measure_row(workshop, policy, arguments))
    plot_traces(workshop.table, FIGURES / "hawqc-traces.png", f"{recipe.id}: traces of the Hessian, channel by channel")
    curves = {}
    for path in sorted(workshop.state.glob(f"*-{arguments.compression:g}.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        curves[path.name.split("-")[0]] = [(line["number"], line["loss"], line["best"]) for line in lines]
    if curves:
        plot_search(curves, FIGURES / "hawqc-search.png", f"{recipe.id}: searches at {arguments.compression:g}x")
    knapsack = workshop.search("knapsack", arguments.compression)
    plot_bits(knapsack, FIGURES / "hawqc-bits.png", f"{recipe.id}: widths by knapsack at {arguments.compression:g}x")


def is_missing(key: tuple[str, str, str, float, int]) -> bool:
    """Whether no row of this key has been measured."""
    return key not in {row.key for row in read_rows()}


def keep(row: Row) -> None:
    """Adds a row to the file."""
    with ROWS.open("a") as file:
        file.write(json.dumps(asdict(row)) + "\n")
    print({key: value for key, value in asdict(row).items() if key != "answers"}, flush=True)


def float_row(workshop: Workshop, data: Path) -> Row:
    """What all others are compared with: the same weights in float, never tuned."""
    bundle = int8_bundle(workshop)
    answers = answers_of(bundle, data, "float32")
    found = accuracies(answers)
    n_weights = np.concatenate(list(weights_per_channel(workshop.network).values()))
    entry = bundle.manifest.files["network/float32"]
    return Row(
        recipe=workshop.recipe.id,
        source_sha256=workshop.source_sha256,
        allocator=FLOAT,
        asked=1.0,
        compression=1.0,
        epochs=0,
        proxy_loss=0.0,
        bound=None,
        held_out_loss=workshop.held_out_loss.in_float(),
        search_s=0.0,
        traces_s=None,
        tuning_min=0.0,
        before=found,
        after=found,
        answers=answers,
        effective_bytes=float(float_bytes(n_weights)),
        tflite_bytes=entry.decoded_size_bytes,
        at_rest_bytes=entry.size_bytes,
        time_ratio=time_ratio(bundle, "float32", bundle),
    )


def measure_row(workshop: Workshop, policy: BitPolicy, arguments: argparse.Namespace) -> Row:
    """Places, tunes, converts and evaluates one policy."""
    stem = f"{policy.allocator}-{arguments.compression:g}-{arguments.epochs}"
    placed = workshop.place(policy, workshop.state / f"{stem}.placed.safetensors")
    tuned = workshop.tune(policy, workshop.state / f"{stem}.tuned.safetensors")
    before = answers_of(bundle_of(workshop, placed, arguments.data), arguments.data, "mixed")
    bundle = bundle_of(workshop, tuned, arguments.data)
    answers = answers_of(bundle, arguments.data, "mixed")
    entry = bundle.manifest.files["network/mixed"]
    tuning = read_tuning(tuned)
    return Row(
        recipe=workshop.recipe.id,
        source_sha256=workshop.source_sha256,
        allocator=policy.allocator,
        asked=arguments.compression,
        compression=tuning.compression,
        epochs=arguments.epochs,
        proxy_loss=policy.proxy_loss,
        bound=policy.bound,
        held_out_loss=workshop.held_out_loss(policy),
        search_s=policy.seconds,
        traces_s=workshop.trace_seconds,
        tuning_min=tuning.minutes,
        before=accuracies(before),
        after=accuracies(answers),
        answers=answers,
        effective_bytes=tuning.effective_bytes,
        tflite_bytes=entry.decoded_size_bytes,
        at_rest_bytes=entry.size_bytes,
        time_ratio=time_ratio(bundle, "mixed", int8_bundle(workshop)),
    )


def bundle_of(workshop: Workshop, weights: Path, data: Path) -> Bundle:
    """Made of weights on their grids; a folder a file, so that two runs can share the workshop."""
    out = workshop.state / "bundles" / weights.stem
    request = ConvertRequest(workshop.recipe.id, scheme="mixed", calib=str(data), out=out, quiet=True, tuned=weights)
    return convert(request).bundle


def answers_of(bundle: Bundle, data: Path, variant: str) -> dict[str, str]:
    """By protocol, of one variant on PublicTest; see ``paired.right``."""
    rows = open_data(data)
    assert isinstance(rows, FaceData)
    rows = rows.select(rows.usage == "PublicTest")
    manifest = bundle.manifest
    eight = predict(bundle, manifest.variant(variant), list(rows.images))
    seven = drop_label(eight, manifest.labels.index("contempt"))
    return {"ferplus8": right(eight, rows.label8), "fer7": right(seven, rows.label7)}


def accuracies(answers: dict[str, str]) -> dict[str, float]:
    """By protocol."""
    return {labels: round(accuracy(found), 6) for labels, found in answers.items()}


def int8_bundle(workshop: Workshop) -> Bundle:
    """The recipe's own weights in float and in int8, by the shipped ranges; made once."""
    out = workshop.state / "int8-bundle"
    if not (out / "manifest.json").is_file():
        convert(ConvertRequest(workshop.recipe.id, scheme="int8", out=out, quiet=True))
    return open_bundle(out)


def time_ratio(bundle: Bundle, variant: str, int8: Bundle) -> float:
    """p50 of a variant over the int8 file's, in turns in this process."""
    networks = [opened(bundle, "here", variant), opened(int8, "reference", "int8")]
    return round(ratios(networks, ROUNDS, ("reference", "int8"))["here", variant][0], 3)


def read_rows() -> list[Row]:
    """All rows measured so far."""
    return [Row(**json.loads(line)) for line in ROWS.read_text().splitlines()] if ROWS.is_file() else []


def write_report() -> None:
    """The rows as Markdown, and accuracy against size: a picture for each recipe and number of epochs."""
    rows = read_rows()
    lines = [
        "# HAWQC: allocators at equal budget",
        "",
        "FER2013 PublicTest, single view, the tflite interpreter; by benchmarks/hawqc.py. Proxy: sum of mean trace x",
        "squared error. Held-out loss: 1,024 Training images, no tuning. Sizes: contracts.md's rule, the tflite file,",
        f"and what lies in the bundle. Time: p50 over the int8 file's, {ROUNDS} rounds in turns, one thread, here.",
        "`uniform` takes the widest width that fits, so it may use less than its budget; rows of 3 and 4 bits take",
        "what they take. The float network, which is not tuned, was trained on the held-out images too.",
        "Columns knapsack - row: accuracy after tuning on the same images, in points, 95% interval of a paired",
        "bootstrap; one seed.",
        "",
        *traces_lines(rows),
        "| network | allocator | asked | reached | proxy | lower bound | held-out loss | ferplus8 before | after | "
        "fer7 before | after | knapsack - row, ferplus8 | fer7 | epochs | effective KiB | tflite KiB | at rest KiB | "
        "time / int8's | search s |",
        "|" + "---|" * 19,
    ]
    for row in sorted(rows, key=lambda row: (row.recipe, row.source_sha256, row.asked, row.epochs, row.proxy_loss)):
        bound = "" if row.bound is None else f"{row.bound:.4f}"
        ours = knapsack_beside(row, rows)
        beside = [in_points(ours.answers[labels], row.answers[labels]) if ours else "" for labels in row.answers]
        lines.append(
            f"| {row.recipe} | {row.allocator} | {row.asked:g} | {row.compression:.2f} | {row.proxy_loss:.4f} "
            f"| {bound} | {row.held_out_loss:.3f} | {row.before['ferplus8']:.2%} | {row.after['ferplus8']:.2%} "
            f"| {row.before['fer7']:.2%} | {row.after['fer7']:.2%} | {' | '.join(beside)} "
            f"| {row.epochs} | {row.effective_bytes / 1024:.0f} "
            f"| {row.tflite_bytes / 1024:.0f} | {row.at_rest_bytes / 1024:.0f} | {row.time_ratio:.2f} "
            f"| {row.search_s:.1f} |"
        )
    write(REPORT, "\n".join(lines) + "\n")
    for (recipe, epochs), points in points_of(rows).items():
        float_rows = [row for row in rows if row.recipe == recipe and row.allocator == FLOAT]
        level = float_rows[-1].after["ferplus8"] if float_rows else None
        title = f"{recipe}: accuracy against size, epochs of tuning: {epochs}"
        plot_sizes(points, FIGURES / f"hawqc-sizes-{recipe}-{epochs}.png", title, "ferplus8 accuracy", level)
    print(REPORT)


def knapsack_beside(row: Row, rows: list[Row]) -> Row | None:
    """The knapsack's row that another row is compared with; None for the knapsack's own and for the float network."""
    ours = dataclasses.replace(row, allocator="knapsack").key
    return next((each for each in rows if each.key == ours != row.key and row.allocator != FLOAT), None)


def traces_lines(rows: list[Row]) -> list[str]:
    """What the traces of each recipe's weights took, which is in no row's search."""
    seconds = {(row.recipe, row.source_sha256): row.traces_s for row in rows if row.traces_s is not None}
    who = "knapsack, hawq_v2, thresholds, uniform and the agents"
    lines = [
        f"{recipe} ({source[:8]}): traces: {took:.0f} s, shared by {who}."
        for (recipe, source), took in sorted(seconds.items())
    ]
    return [*lines, ""] if lines else []


def points_of(rows: list[Row]) -> dict[tuple[str, int], dict[str, list[tuple[float, float]]]]:
    """(effective KiB, accuracy) by allocator, by recipe and epochs: other networks and tunings are no one line.

    Rows of one width for all channels are one allocator's, whatever the budget that led to it.
    """
    found: dict[tuple[str, int], dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        if row.allocator != FLOAT:
            lines = found.setdefault((row.recipe, row.epochs), {})
            one_for_all = row.allocator == "uniform" or row.allocator.endswith("bits")
            lines.setdefault("one width" if one_for_all else row.allocator, []).append(
                (row.effective_bytes / 1024, row.after["ferplus8"])
            )
    return found


if __name__ == "__main__":
    main()
