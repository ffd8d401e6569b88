"""Whether ``torch.compile`` makes training faster here: eager and compiled steps by turns, and what compiling takes.

    python benchmarks/training_compiled.py hawqc_mbv2 fer48 [--seconds 4] [--threads 1]

A step is that of ``training_speed.py``, in float32, its loss compiled by inductor (which needs a C++ compiler).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from fer_host.recipe.recipe import load_recipe
from training_speed import BATCH, CASES, Run, cpu
from written import write

RESULT = Path(__file__).parent / "results" / "training_compiled.md"


def main() -> None:
    """Measures the networks that are named, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--seconds", type=float, default=4.0, help="of CPU a turn")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    lines = [
        "# torch.compile",
        "",
        f"`benchmarks/training_compiled.py {' '.join(arguments.names)}`: {cpu()}, {arguments.threads} thread, torch "
        f"{torch.__version__}, batch {BATCH}, images per second of CPU time, by turns. The machine was shared.",
        "",
        "| network | input, px | eager | compiled | compiled is faster by | compiling, s |",
        "|---|---|---|---|---|---|",
    ]
    sizes = dict(reversed(CASES))  # the first size of each
    for name in arguments.names:
        eager, compiled = (Run(load_recipe(name), sizes[name], "float32") for _ in range(2))
        started = time.monotonic()
        compiled.objective = torch.compile(compiled.objective)  # type: ignore[assignment]
        compiled.turn(0)
        took = time.monotonic() - started
        for _ in range(2):
            for run in (eager, compiled):
                run.turn(arguments.seconds)
        lines.append(
            f"| `{name}` | {sizes[name]} | {BATCH / eager.step_s:.0f} | {BATCH / compiled.step_s:.0f} | "
            f"{eager.step_s / compiled.step_s:.2f}x | {took:.0f} |"
        )
        print(lines[-1], flush=True)
    write(RESULT, "\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
