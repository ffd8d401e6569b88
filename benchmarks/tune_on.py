"""Fine-tuning on 100 photos of 50 people: accuracy on people that it never saw, by seed (each draws other people).

    python benchmarks/tune_on.py ../shared/data/faces_london --from hawqc_mbv2 --seeds 5

Writes benchmarks/results/tune_on.json and tune_on.md. No bundle is made: ``fer-host tune-on`` does both.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from fer_host.recipe.recipe import load_recipe
from fer_host.train.tune import judged_rows, scores_after, scores_before
from fer_host.tune_on import TuneRequest, train_on

RESULT = Path(__file__).parent / "results" / "tune_on.json"


def measure(data: Path, source: str, seed: int) -> dict[str, object]:
    """One seed: which people are held out, what training gave, and what it cost this process' processors."""
    started, used = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        request = TuneRequest(data, source, seed=seed, limit_min=60)
        recipe, rows, tuned = train_on(request, "tuned", Path(folder) / "tuned", lambda line: print(line, flush=True))
        held_out = judged_rows(rows)
        before = scores_before(load_recipe(source), recipe, held_out)
        after = scores_after(recipe, tuned.weights, held_out)
    return {
        "source": source,
        "seed": seed,
        "n": after.n,
        "persons": len(np.unique(held_out.subject)),
        "before": None if before is None else before.accuracy,
        "after": after.accuracy,
        "epochs": len(tuned.curve),
        "processor_minutes": round((time.process_time() - used) / 60, 2),
        "wall_minutes": round((time.monotonic() - started) / 60, 1),
    }


def table(rows: list[dict[str, object]]) -> str:
    """The results for readers."""
    lines = [
        "| seed | held-out photos (persons) | before | after | epochs | processor min |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        before = "-" if row["before"] is None else f"{row['before']:.0%}"
        lines.append(
            f"| {row['seed']} | {row['n']} ({row['persons']}) | {before} | {row['after']:.0%} | {row['epochs']} | "
            f"{row['processor_minutes']} |"
        )
    after = [float(str(row["after"])) for row in rows]
    mean = f"After, over {len(rows)} seeds: mean {np.mean(after):.1%}, from {min(after):.0%} to {max(after):.0%}."
    note = "20 photos of 10 people a seed: one photo is 5 points. People of different seeds overlap."
    return "\n".join([f"# tune-on from {rows[0]['source']}", "", *lines, "", f"{mean} {note}"]) + "\n"


def main() -> None:
    """Measures seed by seed; what is measured is kept, also where the run is stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--from", dest="source", default="hawqc_mbv2")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    for seed in range(1, arguments.seeds + 1):
        rows.append(measure(arguments.data, arguments.source, seed))
        RESULT.write_text(json.dumps(rows, indent=1) + "\n")
        RESULT.with_suffix(".md").write_text(table(rows))
    print(RESULT.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
