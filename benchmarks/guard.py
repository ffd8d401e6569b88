"""Does this commit take more memory, or longer to start, than the one before? Both measured in one run, by turns.

python benchmarks/guard.py [--against REV] [--bundle DIR]      (exit status 1: a figure rose by more than 15%)

The working tree as it is against a commit (HEAD where something is changed, else HEAD~1) in a git worktree of its own,
with the same Python, libraries, bundle and source. Peak memory is the kernel's (VmHWM), time that of the processor:
others on the machine disturb it less than the clock. The least of all rounds counts: noise only adds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from clips import machine
from written import write

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "guard.md"
MOST = 1.15
SOURCE = "synthetic://?width=640&height=480&n={n}"
FRAMES = 60
TIMES = 3  # rounds of what counts time for one of what counts memory: the least of a few is still the machine's noise
# fer_edge of another tree than the installed one; says at its end what it took
CHILD = """
import os, re, resource, sys
import fer_edge
from fer_edge.__main__ import main
if not fer_edge.__file__.startswith(os.environ["GUARDED_TREE"]):
    sys.exit(f"guard: {fer_edge.__file__} is not of {os.environ['GUARDED_TREE']}")
try:
    status = main()
except SystemExit as end:
    status = end.code
peak = re.search(r"^VmHWM:\\s*(\\d+)", open("/proc/self/status").read(), re.M)
used = resource.getrusage(resource.RUSAGE_SELF)
sys.stderr.write(f"\\nGUARD {int(peak[1]) / 1024} {used.ru_utime + used.ru_stime}\\n")
sys.exit(status)
"""


@dataclass(frozen=True)
class Kind:
    """One thing that is guarded: what is run, and which of the two figures counts."""

    name: str
    arguments: tuple[str, ...]
    is_memory: bool
    unit: str


def kinds(bundle: Path) -> tuple[Kind, ...]:
    """All of them."""

    def run(n: int, *more: str) -> tuple[str, ...]:
        return ("run", "--source", SOURCE.format(n=n), "--bundle", str(bundle), "--jsonl", os.devnull, *more)

    sending = ("--web", "--web-port", "0", "--metrics")

    return (
        Kind("peak memory of run", run(FRAMES), True, "MiB"),
        Kind("peak memory of run with page and metrics", run(FRAMES, *sending), True, "MiB"),
        Kind("start to the first reading", run(1), False, "s of processor"),
        Kind("--help", ("--help",), False, "s of processor"),
        Kind("run --help", ("run", "--help"), False, "s of processor"),
    )


def measured(tree: Path, kind: Kind) -> float:
    """One process of the tree's program.

    Raises:
        SystemExit: it failed.
    """
    package = str(tree / "device")
    environ = os.environ | {"PYTHONPATH": package, "GUARDED_TREE": package, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-c", CHILD, *kind.arguments]
    done = subprocess.run(line, capture_output=True, text=True, env=environ, cwd=package, check=False)
    said = [text.split()[1:] for text in done.stderr.splitlines() if text.startswith("GUARD ")]
    if done.returncode or not said:
        raise SystemExit(f"guard: {tree}: {' '.join(kind.arguments)}: status {done.returncode}: {done.stderr[-2000:]}")
    return float(said[0][0 if kind.is_memory else 1])


def compared(before: Path, after: Path, which: tuple[Kind, ...], rounds: int) -> list[tuple[Kind, float, float]]:
    """The least of each, before and after; in each round both, and in every other the other one first."""
    found = []
    for kind in which:
        least = {before: float("inf"), after: float("inf")}
        for tree in least:
            measured(tree, kind)  # the first one compiles, decodes and tries the bundle
        for turn in range(rounds * (1 if kind.is_memory else TIMES)):
            for tree in (before, after) if turn % 2 else (after, before):
                least[tree] = min(least[tree], measured(tree, kind))
        found.append((kind, least[before], least[after]))
    return found


def git(*arguments: str) -> str:
    """What git says."""
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> int:
    """Compares, prints and writes; status 1 where something rose."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--against", metavar="REV", help="default: HEAD where the tree has changes, else HEAD~1")
    parser.add_argument("--bundle", type=Path, default=ROOT / "device/fer_edge/builtin")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--most", type=float, default=MOST, help="the ratio that is still no rise (default: 1.15)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    is_changed = bool(git("status", "--porcelain", "--", "device"))
    revision = git("rev-parse", "--short", arguments.against or ("HEAD" if is_changed else "HEAD~1"))
    now = git("rev-parse", "--short", "HEAD") + (" with changes" if is_changed else "")
    with tempfile.TemporaryDirectory() as scratch:
        before = Path(scratch) / "before"
        git("worktree", "add", "--detach", "--quiet", str(before), revision)
        try:
            rows = compared(before, ROOT, kinds(arguments.bundle.resolve()), arguments.rounds)
        finally:
            git("worktree", "remove", "--force", str(before))
    lines = [f"| | {revision} | {now} | ratio | at most {arguments.most:g} |", "|---|---|---|---|---|"]
    risen = []
    for kind, old, new in rows:
        verdict = "kept" if new <= arguments.most * old else "**risen**"
        lines.append(f"| {kind.name}, {kind.unit} | {old:.2f} | {new:.2f} | {new / old:.2f} | {verdict} |")
        if new > arguments.most * old:
            risen.append(f"{kind.name}: {old:.2f} became {new:.2f} {kind.unit}, at most {arguments.most:g} times")
    text = (
        "# Memory and start, against the commit before\n\n"
        f"`python benchmarks/guard.py --against {revision}`, {machine()}; the least of {arguments.rounds} rounds (of "
        f"times, of {TIMES * arguments.rounds}), "
        "by turns.\n\n" + "\n".join(lines) + "\n"
    )
    write(arguments.out, text)
    print(text)
    for line in risen:
        print(f"guard: {line}", file=sys.stderr)
    return int(bool(risen))


if __name__ == "__main__":
    sys.exit(main())
