"""Does a set of the papers' size stream? Making it, loader, step loop, memory, kills, commands.

    python benchmarks/large_set.py /tmp/large/set
    python benchmarks/large_data.py /tmp/large/shards [PART …] --make /tmp/large/set

Parts are make, cost, loader, steps, kill, commands. ``make`` runs ``fer-host shard`` and wants no folder of that name.
A busy machine stretches every wall time: CPU time stands beside it. What was measured before stays in the result.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from large_commands import commands
from large_text import page
from large_watch import watched
from written import write

RESULT = Path(__file__).parent / "results" / "large_data.md"
PARTS = ("make", "cost", "loader", "steps", "kill", "commands")
CHILD = [sys.executable, str(Path(__file__).parent / "large_parts.py")]
IN_THE_HEAP = {"MALLOC_ARENA_MAX": "64"}  # the user's own word, which changes nothing else with one thread
KILLS, EVERY = 3, 2  # EVERY: steps between checkpoints, so that a kill costs few


def child(*arguments: object, **more: str) -> dict[str, Any]:
    """One measurement in a process of its own; what it printed last, as JSON."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    done = subprocess.run(
        [*CHILD, *map(str, arguments)], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def make(source: Path, out: Path) -> dict[str, Any]:
    """``fer-host shard``, from outside; pictures that are in the set."""
    host = Path(sys.executable).with_name("fer-host")
    found = watched([str(host), "shard", str(source), str(out)])
    return found | {"n": json.loads((out / "set.json").read_bytes())["n"]}


def kill(shards: Path, n: int, seed: int) -> dict[str, Any]:
    """A run killed three times within its steps and started again has the weights of one that was left alone."""
    draw = random.Random(seed)
    marks = sorted(draw.sample(range(1, n - 4 * EVERY), KILLS))
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = child("steps", shards, 48, n, Path(folder) / "a.pt", EVERY)
        state, at = Path(folder) / "b.pt", []
        for mark in marks:
            left = n - step_of(state)
            command = [*CHILD, "steps", str(shards), "48", str(left), str(state), str(EVERY)]
            process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
            first = step_of(state)
            while step_of(state) < max(mark, first + 1) and process.poll() is None:
                time.sleep(0.05)
            time.sleep(draw.uniform(0, 0.5))
            if process.poll() is not None:
                raise SystemExit(f"kill: the run ended at step {step_of(state)} before it was killed: more --steps")
            process.send_signal(signal.SIGKILL)
            process.wait()
            at.append(step_of(state))
        left = n - at[-1]
        if left <= 0:
            raise SystemExit("kill: nothing was left to resume: more --steps")
        resumed = child("steps", shards, 48, left, state, EVERY)
    return {"kills": len(at), "at": at, "same": resumed["digest"] == undisturbed["digest"], "steps": n}


def step_of(state: Path) -> int:
    """Steps that are saved."""
    from fer_host.train.checkpoint import steps_done

    return steps_done(state)


def main() -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path)
    parser.add_argument("parts", nargs="*", default=[], metavar="PART", help=f"of {', '.join(PARTS)}; none: all")
    parser.add_argument("--make", type=Path, metavar="SET", help="what shards are made of")
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1, help="of the steps at which it is killed")
    parser.add_argument("--commands", default="", help="only these of the part commands, with a comma between")
    arguments = parser.parse_args()
    parts = arguments.parts or [part for part in PARTS if part != "make" or arguments.make]
    if not set(parts) <= set(PARTS) or ("make" in parts and arguments.make is None):
        parser.error(f"expected some of {', '.join(PARTS)}, and --make SET for make")
    kept = Path(tempfile.gettempdir()) / "large_data.rows.json"  # of parts that were measured one by one
    rows = json.loads(kept.read_text()) if kept.is_file() else {}

    def keep(name: str, found: Any, row: str = "") -> None:
        print(name, row, json.dumps(found), flush=True)
        if row:
            rows.setdefault(name, {})[row] = found
        else:
            rows[name] = found
        kept.write_text(json.dumps(rows, indent=1) + "\n")
        write(RESULT, page(rows))

    shards = arguments.shards
    if "make" in parts:
        keep("make", make(arguments.make, shards))
    if "cost" in parts:
        keep("cost", child("cost", next(shards.glob("shard-*.array_record"))))
    if "loader" in parts:
        for workers in (1, 2, 4):
            keep("loader", child("loader", shards, 224, arguments.images, FER_WORKERS=str(workers)), str(workers))
    if "steps" in parts:
        for px, name, more in ((96, "as it is", {}), (224, "as it is", {}), (224, "all in the heap", IN_THE_HEAP)):
            with tempfile.TemporaryDirectory() as folder:
                state = Path(folder) / "c.pt"
                found = child("steps", shards, px, arguments.steps, state, FER_WORKERS="1", **more)
            keep("steps", found | {"graph": child("graph", px, found["batch"])}, f"{px} px, {name}")
    if "kill" in parts:
        keep("kill", kill(shards, 4 * arguments.steps, arguments.seed))
    if "commands" in parts:
        for name, found in commands(shards, arguments.commands.split(",") if arguments.commands else []):
            keep("commands", found, name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
