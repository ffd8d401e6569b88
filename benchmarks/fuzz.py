"""Damaged input of one kind, case after case: no crash, no traceback, no hang above 10 s, memory bounded, one line.

    .venv-device/bin/python benchmarks/fuzz.py KIND --cases 20000 --seed 1
    .venv/bin/python benchmarks/fuzz.py npz --cases 20000 --seed 1
    .venv-device/bin/python benchmarks/fuzz.py KIND --seed 1 --first 4711 --cases 1        one case again, by its number

With --record the row goes into results/fuzz.json and into the table of docs/fuzz.md, after every slice, so that a run
that is ended keeps what it did; with --go-on it begins where the record of that seed ends. Several may run at once.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "fuzz"))

from harness import KINDS, Outcome, fuzz  # noqa: E402

RESULTS, PAGE = ROOT / "benchmarks" / "results" / "fuzz.json", ROOT / "docs" / "fuzz.md"
SCHEMA = "fer-edge/fuzz/1"
BEGIN, END = "<!-- benchmarks/fuzz.py writes this table -->", "<!-- end of the table -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--cases", type=int, help="default: 200,000; clips 2,000; tflite 5,000")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first case (default: 0)")
    parser.add_argument("--limit-s", type=float, default=float("inf"), metavar="S", help="no new case after so long")
    parser.add_argument("--record", action="store_true", help="write the row into results/fuzz.json and docs/fuzz.md")
    parser.add_argument("--slice", type=int, default=5000, metavar="N", help="cases between two records")
    parser.add_argument("--go-on", action="store_true", help="with --record: after the cases that are recorded already")
    arguments = parser.parse_args()
    kind, cases = arguments.kind, arguments.cases or KINDS[arguments.kind].cases
    first, last = arguments.first, arguments.first + cases
    row: dict[str, Any] = {}
    if arguments.go_on and (before := recorded().get(kind, {})).get("seed") == arguments.seed:
        row = before if before["first"] == first else {}
    done, until_s = Outcome(), time.monotonic() + arguments.limit_s
    while (at := row["first"] + row["cases"] if row else first) < last and time.monotonic() < until_s:
        n = min(arguments.slice, last - at)
        part = fuzz(kind, n, arguments.seed, at, limit_s=until_s - time.monotonic(), progress=progress(kind, at, last))
        row = together(row, as_row(kind, arguments.seed, at, part)) if row else as_row(kind, arguments.seed, at, part)
        done.answers.update(part.answers)
        done.faults += part.faults
        if arguments.record:
            record(kind, row)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print("\n".join(table({kind: row} if row else {})))
    for answer, n in done.answers.most_common():
        print(f"  {n:8,}  {answer}")
    for text in done.faults:
        print(f"  {text}")
    return int(not row or bool(row["broken_promises"]) or row["cases"] < cases)


def progress(kind: str, at: int, last: int) -> Callable[[Outcome], None]:
    """Tells on a terminal how far it is; says nothing elsewhere."""

    def tell(outcome: Outcome) -> None:
        line = f"{kind}: {at + outcome.cases:,} of {last:,}, {outcome.n_faults} faults in this slice"
        print(f"\r{line:78}", end="", file=sys.stderr, flush=True)

    return tell if sys.stderr.isatty() else lambda _: None


def together(row: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Two rows of a kind, the second of which goes on where the first ends."""
    summed = {key: row[key] + more[key] for key in ("cases", "broken_promises")}
    most = {key: max(row[key], more[key]) for key in ("slowest_ms", "slowest_cpu_ms", "peak_mb")}
    answers = Counter(row["answers"])
    answers.update(more["answers"])
    seconds = round(row["seconds"] + more["seconds"], 1)
    return row | summed | most | {"seconds": seconds, "answers": dict(answers.most_common())}


def as_row(kind: str, seed: int, first: int, done: Outcome) -> dict[str, Any]:
    """What is kept of a run."""
    return {
        "cases": done.cases,
        "seed": seed,
        "first": first,
        "seconds": round(done.seconds, 1),
        "broken_promises": done.n_faults,
        "slowest_ms": round(1000 * done.slowest_s),
        "slowest_cpu_ms": round(1000 * done.worked_s),
        "before_mb": round(done.before_bytes / 1e6),
        "peak_mb": round(done.peak_bytes / 1e6),
        "limit_mb": round(KINDS[kind].most_bytes / 1e6),
        "answers": dict(done.answers.most_common()),
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
    }


def table(rows: dict[str, dict[str, Any]]) -> list[str]:
    """The rows as Markdown."""
    lines = ["| kind | cases | of | seconds | broken promises | slowest case, ms | peak memory, MB (limit) | command |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for kind, row in rows.items():
        python = ".venv" if KINDS[kind].host else ".venv-device"
        again = f"`{python}/bin/python benchmarks/fuzz.py {kind} --cases {row['cases']} --seed {row['seed']}`"
        again = again if not row["first"] else f"{again[:-1]} --first {row['first']}`"
        lines.append(
            f"| {kind}: {KINDS[kind].what} | {row['cases']:,} | {KINDS[kind].cases:,} | {row['seconds']:,.0f} | "
            f"{row['broken_promises']} | {row['slowest_ms']:,} | {row['peak_mb']} ({row['limit_mb']:,}) | {again} |"
        )
    return lines


def record(kind: str, row: dict[str, Any]) -> None:
    """Puts the row in the results, and all of them into the page."""
    with (Path(tempfile.gettempdir()) / "fer-fuzz.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = recorded()
        rows[kind] = row
        rows = {name: rows[name] for name in KINDS if name in rows}
        RESULTS.write_text(json.dumps({"schema": SCHEMA, "kinds": rows}, indent=1) + "\n")
        if PAGE.is_file():
            PAGE.write_text(with_table(PAGE.read_text(), rows))


def recorded() -> dict[str, dict[str, Any]]:
    """The rows by kind."""
    return json.loads(RESULTS.read_text())["kinds"] if RESULTS.is_file() else {}


def with_table(page: str, rows: dict[str, dict[str, Any]]) -> str:
    """The page with these rows in place of its table's."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([before + BEGIN, *table(rows), END + after])


if __name__ == "__main__":
    sys.exit(main())
