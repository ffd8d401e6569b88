"""The commands that measure: ``bench``, ``compare``, ``tune``. Heavy imports stay inside the functions."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from fer_edge.contract.bench import Accuracy, BenchDoc
    from fer_edge.contract.bundle import Bundle
    from fer_edge.profiler.measure import Plan
    from fer_edge.profiler.session import Request
    from fer_edge.profiler.workloads import Mode, Setting
    from fer_edge.types import FrameSource

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
Common = argparse.ArgumentParser


def add_commands(
    commands: Any, common: Common, detectors: tuple[str, ...], tiles: Callable[[str], tuple[int, ...]]
) -> None:
    """Adds the three commands to ``fer-edge``'s parser."""
    bench = commands.add_parser("bench", parents=[common], help="time the pipeline or the network on this machine")
    bench.add_argument("--mode", choices=("pipeline", "model", "camera"), help="default: pipeline")
    bench.add_argument("--model-only", action="store_true", help="the network alone; the same as --mode model")
    bench.add_argument("--source", metavar="URI", help="default: synthetic://?n=60; for --mode camera the first camera")
    bench.add_argument("--n", type=_positive, help="measured repetitions, at least 2 (default: until --precision)")
    bench.add_argument("--warmup", type=_positive, metavar="N", help="default: until timings have settled")
    bench.add_argument("--precision", type=_percent, default=0.01, metavar="P%", help="of the mean (default: 1%%)")
    bench.add_argument("--max-s", type=_seconds, default=20.0, metavar="S", help="but no longer (default: 20)")
    bench.add_argument("--soak", type=_seconds, metavar="TIME", help="measure for so long, e.g. 30m: heat, throttling")
    bench.add_argument("--detector", choices=detectors, help="of faces (default: the bundle's first)")
    bench.add_argument("--tiles", type=tiles, default=(), metavar="N,…")
    bench.add_argument("--sweep", metavar="WHAT,…", help="every combination of threads, scheme, detector; interleaved")
    bench.add_argument("--against", metavar="BUNDLE|VARIANT", help="measure this too, interleaved, and compare")
    bench.add_argument("--per-op", nargs="?", const="", metavar="DIR", help="time probes (default: the bundle's)")
    bench.add_argument("--accuracy", type=Path, metavar="DATA", help="an npz, or a folder with one folder a label")
    bench.add_argument("--limit", type=_positive, metavar="N", help="rows of --accuracy")
    bench.add_argument("--meter", type=Path, metavar="CSV", help="a USB meter's file, being written while this runs")
    bench.add_argument("--no-power", action="store_true", help="leave power sensors alone")
    bench.add_argument("--json", action="store_true", help="print the fer-edge/bench/1 document")
    bench.add_argument(
        "--out", type=Path, action="append", default=[], metavar="FILE", help=".json, .md or .html; may be repeated"
    )
    bench.set_defaults(run=_bench)

    compare = commands.add_parser(
        "compare",
        help="is B faster or slower than A, or can they not tell?",
        description="Exit status: 0 where B is faster or nobody can tell, 1 where it is slower, 2 for an error.",
    )
    compare.add_argument("a", type=Path, metavar="A.json")
    compare.add_argument("b", type=Path, metavar="B.json")
    compare.add_argument("--stage", help="default: the whole (total, or infer for a network alone)")
    compare.add_argument("--level", type=_percent, default=0.99, metavar="P%", help="of the interval (default: 99%%)")
    compare.add_argument(
        "--margin", type=_percent, metavar="P%", help="call no smaller difference (default: 2%% interleaved, else 5%%)"
    )
    compare.add_argument("--across-boards", action="store_true", help="compare different boards or modes all the same")
    compare.set_defaults(run=_compare)

    tune = commands.add_parser("tune", parents=[common], help="find the fastest setting here, and remember it")
    tune.add_argument("--floor", type=_percent, metavar="P%", help="least accuracy (default: the best's less 1 point)")
    tune.add_argument("--any-detector", action="store_true", help="take the fastest detector too; it may find less")
    tune.add_argument("--source", default="synthetic://?n=60", metavar="URI")
    tune.add_argument("--max-s", type=_seconds, default=60.0, metavar="S", help="to measure at most (default: 60)")
    tune.add_argument("--forget", action="store_true", help="go back to the defaults")
    tune.set_defaults(run=_tune)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number above 0")
    return int(text)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|min|h|)", text)
    if not found or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a time such as 45, 90s, 30m or 2h")
    return float(found[1]) * _UNITS[found[2]]


def _percent(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)%?", text)
    if not found or not 0 <= float(found[1]) < 100:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a percentage such as 1%")
    return float(found[1]) / 100


def _bench(arguments: argparse.Namespace) -> int:
    from fer_edge.contract import bench as schema
    from fer_edge.contract.bundle import open_bundle
    from fer_edge.profiler import report
    from fer_edge.setting.find import find_bundle

    # not what tune found: a measurement says itself what it is of
    arguments.threads = arguments.threads or min(4, len(os.sched_getaffinity(0)))
    if arguments.n == 1:
        raise UsageError("--n 1: a single repetition has no spread; expected at least 2")
    bundle = open_bundle(find_bundle(arguments.bundle))
    if arguments.per_op is not None:
        return _per_op(arguments, bundle)
    mode = _mode(arguments)
    if arguments.sweep:
        return _sweep(arguments, bundle, mode)
    report.check_targets(arguments.out)
    settings = [_setting(arguments, bundle)]
    if arguments.against:
        settings.append(_against(arguments, bundle))
    from fer_edge.profiler.session import bench

    documents = bench(_request(arguments, settings, mode), _progress())
    if len(documents) == 2:
        return _show_pair(arguments, documents)
    (document,) = documents
    for path in arguments.out:
        report.write(document, path)
    if arguments.json:
        print(schema.dumps(document), end="")
    else:
        print(report.as_table(document))
        if arguments.soak:
            print(report.as_soak(document))
    return 0


def _mode(arguments: argparse.Namespace) -> Mode:
    if arguments.model_only and arguments.mode not in (None, "model"):
        raise UsageError(f"--model-only and --mode {arguments.mode}: expected one of them")
    mode: Mode = "model" if arguments.model_only else arguments.mode or "pipeline"
    if mode == "model" and arguments.source:
        raise UsageError(f"--source {arguments.source}: the network alone reads no frames; expected --mode pipeline")
    return mode


def _setting(arguments: argparse.Namespace, bundle: Bundle) -> Setting:
    from fer_edge.profiler.workloads import Setting

    variant = bundle.manifest.variant(arguments.variant)
    return Setting(bundle, variant.id, arguments.threads, arguments.detector, arguments.tiles)


def _against(arguments: argparse.Namespace, bundle: Bundle) -> Setting:
    """The other side: another bundle's folder, or another variant of this one."""
    from fer_edge.contract.bundle import open_bundle
    from fer_edge.profiler.workloads import Setting

    other = Path(arguments.against)
    if other.is_dir():
        there = open_bundle(other)
        known = [variant.id for variant in there.manifest.variants]
        variant = arguments.variant if arguments.variant in known else there.manifest.default_variant
        return Setting(there, variant, arguments.threads, arguments.detector, arguments.tiles)
    variant = bundle.manifest.variant(arguments.against).id
    return Setting(bundle, variant, arguments.threads, arguments.detector, arguments.tiles)


def _request(arguments: argparse.Namespace, settings: list[Setting], mode: Mode) -> Request:
    from fer_edge.profiler.session import Request

    accuracy: tuple[Accuracy | None, ...] = ()
    if arguments.accuracy is not None:
        from fer_edge.profiler.accuracy import measure_accuracy

        accuracy = tuple(measure_accuracy(setting, arguments.accuracy, arguments.limit) for setting in settings)
    return Request(
        settings=settings,
        mode=mode,
        plan=_plan(arguments, mode),
        source=arguments.source or "synthetic://?n=60",
        open_camera=_camera(arguments.source) if mode == "camera" else None,
        meter=arguments.meter,
        accuracy=accuracy,
        use_power=not arguments.no_power,
    )


def _plan(arguments: argparse.Namespace, mode: Mode) -> Plan:
    from fer_edge.profiler.measure import Plan

    return Plan(arguments.n, arguments.warmup, arguments.precision, arguments.max_s, arguments.soak)


def _camera(source: str | None) -> Callable[[], FrameSource]:
    def open_it() -> FrameSource:
        if source is None:
            from fer_edge.sources.camera import find_camera

            return find_camera()
        from fer_edge.sources import open_source

        return open_source(source, realtime=True)

    return open_it


def _progress() -> Callable[[str], None] | None:
    """One line that is written over, on a terminal only."""
    if not sys.stderr.isatty():
        return None
    return lambda text: print(f"\r{text}\033[K\r", end="", file=sys.stderr, flush=True)


def _show_pair(arguments: argparse.Namespace, documents: list[BenchDoc]) -> int:
    """Two interleaved runs: both tables, the verdict, and files with -a and -b in their names."""
    from fer_edge.contract import bench as schema
    from fer_edge.profiler import report
    from fer_edge.profiler.compare import compare, format_comparison

    for path in arguments.out:
        for role, document in zip("ab", documents, strict=True):
            report.write(document, path.with_name(f"{path.stem}-{role}{path.suffix}"))
    if arguments.json:
        for document in documents:
            print(schema.dumps(document), end="")
        return 0
    found = compare(documents[0], documents[1], across_boards=True)
    for role, document in zip("AB", documents, strict=True):
        print(f"{role}:\n{report.as_table(document)}\n")
    print(format_comparison(found).splitlines()[0])
    return int(found.verdict == "slower")


def _compare(arguments: argparse.Namespace) -> int:
    from fer_edge.contract import bench as schema
    from fer_edge.errors import SchemaError
    from fer_edge.profiler.compare import compare, format_comparison

    documents = []
    for path in (arguments.a, arguments.b):
        try:
            documents.append(schema.loads(path.read_bytes()))
        except SchemaError as error:
            raise UsageError(f"{path}: {error}") from error
    a, b = documents
    found = compare(a, b, arguments.stage, arguments.level, arguments.margin, arguments.across_boards)
    print(format_comparison(found))
    return int(found.verdict == "slower")


def _sweep(arguments: argparse.Namespace, bundle: Bundle, mode: Mode) -> int:
    from fer_edge.profiler import sweep

    settings = sweep.combinations(arguments.sweep, _setting(arguments, bundle), mode)
    document = sweep.run_sweep(_request(arguments, settings, mode), arguments.sweep, _progress())
    for path in arguments.out:
        sweep.write(document, path)
    print(sweep.dumps(document) if arguments.json else sweep.as_table(document), end="" if arguments.json else "\n")
    return 0


def _per_op(arguments: argparse.Namespace, bundle: Bundle) -> int:
    from fer_edge.contract import latency
    from fer_edge.profiler import per_op, report

    report.check_targets(arguments.out)
    folder = Path(arguments.per_op) if arguments.per_op else bundle.path / "probes"
    document = per_op.time_probes(folder, arguments.threads, _progress())
    for path in arguments.out:
        report.write_text(path, latency.dumps(document) if path.suffix == ".json" else per_op.as_table(document) + "\n")
    print(latency.dumps(document) if arguments.json else per_op.as_table(document), end="" if arguments.json else "\n")
    return 0


def _tune(arguments: argparse.Namespace) -> int:
    from fer_edge.contract.bundle import open_bundle
    from fer_edge.profiler import tune
    from fer_edge.setting.find import find_bundle

    bundle = open_bundle(find_bundle(arguments.bundle))
    if arguments.forget:
        print(tune.forget(bundle))
        return 0
    chosen = tune.tune(
        bundle, arguments.floor, arguments.any_detector, arguments.source, arguments.max_s, print, _progress()
    )
    print(tune.remember(bundle, chosen))
    return 0
