"""What flags may say, and the flags of the commands that measure; without heavy imports."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def add_measuring_commands(commands: Any, common: argparse.ArgumentParser, detectors: tuple[str, ...]) -> None:
    """Adds ``bench``, ``compare`` and ``tune`` to ``fer-edge``'s parser."""
    bench = commands.add_parser("bench", parents=[common], help="time the pipeline or the network on this machine")
    bench.add_argument("--mode", choices=("pipeline", "model", "camera"), help="default: pipeline")
    bench.add_argument("--model-only", action="store_true", help="the network alone; the same as --mode model")
    bench.add_argument("--source", metavar="URI", help="default: synthetic://?n=60; for --mode camera the first camera")
    bench.add_argument("--n", type=positive, help="measured repetitions, at least 2 (default: until --precision)")
    bench.add_argument("--warmup", type=positive, metavar="N", help="default: until timings have settled")
    bench.add_argument("--precision", type=percent, default=0.01, metavar="P%", help="of the mean (default: 1%%)")
    bench.add_argument("--max-s", type=seconds, default=20.0, metavar="S", help="but no longer (default: 20)")
    bench.add_argument("--soak", type=seconds, metavar="TIME", help="measure for so long, e.g. 30m: heat, throttling")
    bench.add_argument("--provider", choices=("tensorrt", "cuda", "cpu"), help="of onnxruntime (default: the best)")
    bench.add_argument("--detector", choices=detectors, help="of faces (default: the bundle's first)")
    bench.add_argument("--tiles", type=grids, default=(), metavar="N,…")
    bench.add_argument("--sweep", metavar="WHAT,…", help="all combinations of variant, threads, detector, provider")
    bench.add_argument("--against", metavar="BUNDLE|VARIANT", help="measure this too, interleaved, and compare")
    bench.add_argument("--per-op", nargs="?", const="", metavar="DIR", help="time probes (default: the bundle's)")
    bench.add_argument("--accuracy", type=Path, metavar="DATA", help="an npz, or a folder with one folder per label")
    bench.add_argument("--limit", type=positive, metavar="N", help="rows of --accuracy")
    bench.add_argument("--meter", type=Path, metavar="CSV", help="a USB meter's file, being written while this runs")
    bench.add_argument("--no-power", action="store_true", help="leave power sensors alone")
    bench.add_argument(
        "--trace",
        type=Path,
        metavar="FILE",
        help="measure nothing, but write a second as a trace for Perfetto or Chrome",
    )
    bench.add_argument("--json", action="store_true", help="print the fer-edge/bench/1 document")
    bench.add_argument(
        "--out", type=Path, action="append", default=[], metavar="FILE", help=".json, .md or .html; may be repeated"
    )

    compare = commands.add_parser(
        "compare",
        help="is B faster or slower than A, or can they not tell?",
        description="Exit status: 0 where B is faster or nobody can tell, 1 where it is slower, 2 for an error.",
    )
    compare.add_argument("a", type=Path, metavar="A.json")
    compare.add_argument("b", type=Path, metavar="B.json")
    compare.add_argument("--stage", help="default: the whole (total, or infer for a network alone)")
    compare.add_argument("--level", type=percent, default=0.99, metavar="P%", help="of the interval (default: 99%%)")
    compare.add_argument(
        "--margin", type=percent, metavar="P%", help="call no smaller difference (default: 2%% interleaved, else 5%%)"
    )
    compare.add_argument("--across-boards", action="store_true", help="compare different boards or modes all the same")

    tune = commands.add_parser("tune", parents=[common], help="find the fastest setting here, and remember it")
    tune.add_argument("--floor", type=percent, metavar="P%", help="least accuracy (default: the best's less 1 point)")
    tune.add_argument("--any-detector", action="store_true", help="take the fastest detector too; it may find less")
    tune.add_argument("--source", default="synthetic://?n=60", metavar="URI")
    tune.add_argument("--max-s", type=seconds, default=60.0, metavar="S", help="to measure at most (default: 60)")
    tune.add_argument(
        "--keep-tainted", action="store_true", help="keep the result also where something disturbed the measurement"
    )
    tune.add_argument("--forget", action="store_true", help="go back to the defaults")


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number above 0")
    return int(text)


def port(text: str) -> int:
    """A port; 0 for a free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 0 to 65535")
    return int(text)


def grids(text: str) -> tuple[int, ...]:
    """Grids to search; 0 for none."""
    found = text.split(",")
    if not all(grid.isdecimal() and int(grid) <= 8 for grid in found):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected grid sizes such as 2,3, or 0")
    return tuple(int(grid) for grid in found if int(grid) > 1)


def score(text: str) -> float:
    """Least score of a face."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 0.99:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a score of 0.01 to 0.99")
    return value


def seconds(text: str) -> float:
    """A time, in s."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|min|h|)", text)
    if not found or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a time such as 45, 90s, 30m or 2h")
    return float(found[1]) * _UNITS[found[2]]


def percent(text: str) -> float:
    """A share: 1% is 0.01."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)%?", text)
    if not found or not 0 <= float(found[1]) < 100:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a percentage such as 1%")
    return float(found[1]) / 100


def progress() -> Callable[[str], None] | None:
    """One line that is written over, on a terminal only."""
    if not sys.stderr.isatty():
        return None
    return lambda text: print(f"\r{text}\033[K\r", end="", file=sys.stderr, flush=True)
