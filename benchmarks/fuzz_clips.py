"""Reads 2,000 damaged clips (mp4, mov, mkv, webm, avi, ts): no crash, no hang above 10 s, no frame twice, one line.

A crash of a decoder (a signal) ends only the child that reads, and is told with its case.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit-s", type=float, default=3600.0, help="no new case after so long")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "device"))
    from clip_fuzzing import fuzz  # the same cases as in the tests

    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcome = fuzz(arguments.cases, arguments.seed, Path(folder), arguments.limit_s)
    print(
        f"{outcome.cases} cases in {time.monotonic() - started:.0f} s: {outcome.read} read ({outcome.incomplete} named "
        f"incomplete, {outcome.with_loss} with frames that could not be decoded), {outcome.refused} refused; slowest "
        f"{outcome.slowest_s:.1f} s, peak {outcome.peak_bytes / 1e6:.0f} MB, {len(outcome.failures)} failures"
    )
    for text in outcome.failures:
        print(f"  {text}")
    return int(bool(outcome.failures) or outcome.cases < arguments.cases)


if __name__ == "__main__":
    sys.exit(main())
