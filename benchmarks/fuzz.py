"""Feeds damaged manifests, configurations, readings and photos to their readers: 10,000 cases, none may crash.

With ``--pictures`` all of them are picture files, of every format and kind; none may take 10 s or 2 GB either.

A crash of the decoder itself (a signal) ends the worker, and is told with the seed of its batch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
BATCH = 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path, help="a photo to damage, e.g. build/photos/astronaut.png")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit-s", type=float, default=900.0, help="no new batch after so long")
    parser.add_argument("--pictures", action="store_true", help="picture files alone, of every format")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(arguments.photo, arguments.cases, arguments.seed, arguments.pictures)
    started, cases, failures = time.monotonic(), 0, list[str]()
    read: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    slowest_s = 0.0
    for batch in range(-(-arguments.cases // BATCH)):
        if time.monotonic() - started > arguments.limit_s:
            break
        n, seed = min(BATCH, arguments.cases - batch * BATCH), arguments.seed + batch
        line = [sys.executable, __file__, str(arguments.photo), "--worker", "--cases", str(n), "--seed", str(seed)]
        line += ["--pictures"] * arguments.pictures
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            tail = done.stderr.strip().splitlines()[-1:] or ["nothing said"]
            failures.append(f"seed {seed}: the process ended with status {done.returncode}: {tail[0]}")
            continue
        result = json.loads(done.stdout.splitlines()[-1])
        cases += result["cases"]
        read.update(result["read"])
        refused.update(result["refused"])
        slowest_s = max(slowest_s, result["slowest_s"])
        failures += [f"seed {seed}: {text}" for text in result["failures"]]
        print(f"\r{cases}/{arguments.cases}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(f"{cases} cases in {time.monotonic() - started:.0f} s, slowest {slowest_s:.2f} s, {len(failures)} failures")
    for kind in sorted(read | refused):
        print(f"  {kind:12} read {read[kind]:5}  refused {refused[kind]:5}")
    for text in failures:
        print(f"  {text}")
    return int(bool(failures) or cases < arguments.cases)


def work(photo: Path, cases: int, seed: int, only_pictures: bool) -> int:
    """One batch, in a process of its own."""
    sys.path.insert(0, str(ROOT / "tests" / "device"))
    from fuzzing import fuzz, small_photo  # the same cases as in the tests
    from picture_fuzzing import fuzz_pictures

    from fer_edge.pictures.photo import read_photo

    outcome = (fuzz_pictures if only_pictures else fuzz)(cases, seed, small_photo(read_photo(photo).image))
    print(json.dumps(vars(outcome)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
