"""Does a set of the papers' size stream? Loader, step loop, memory, kills; on one of large_set.py.

    python benchmarks/large_set.py /tmp/large/set && fer-host shard /tmp/large/set /tmp/large/shards
    python benchmarks/large_data.py /tmp/large/shards [cost] [loader] [steps] [kill]

A busy machine stretches every wall time, so that speed is images by second of CPU time: of all workers, and of the
trainer. Writes the rows of results/large_data.md that were measured; others stay.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from written import write

STARTED = time.monotonic()
RESULT = Path(__file__).parent / "results" / "large_data.md"
KEPT = Path(tempfile.gettempdir()) / "large_data.rows.json"  # of parts that were measured one by one
BATCH = 64


def child(*arguments: object, **more: str) -> dict[str, Any]:
    """One measurement in a process of its own; what it printed last, as JSON."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def cpu_s(who: int) -> float:
    """CPU time of this process, or of its children that ended."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def loader(shards: Path, px: int, n: int) -> dict[str, Any]:
    """In a child: batches decoded, augmented and thrown away."""
    from fer_host.train.batches import Batches
    from fer_host.train.parallel import ALONE

    recipe, cycle, rows = case(shards, px)
    began = time.monotonic()
    run, count = Batches(rows, cycle, recipe.input, ALONE, 0), 0
    batches = iter(run)
    for _ in batches:
        count += cycle.batch
        if count >= n:
            break
    wall = time.monotonic() - began
    del batches
    assert run.ahead is not None
    workers = run.ahead.workers
    run.ahead = None
    return {"images": count, "wall_s": wall, "workers": workers, "cpu_s": cpu_s(resource.RUSAGE_CHILDREN)}


def case(shards: Path, px: int) -> Any:
    """MobileNetV2's recipe for color pictures of 224 px as they lie, at a size of its input."""
    from dataclasses import replace

    from fer_host.recipe.recipe import load_recipe
    from fer_host.recipe.train import Phase
    from fer_host.train.rows import train_split
    from fer_host.train.run import training_data

    paper = load_recipe("paper_mobilenet_v2")
    batch = BATCH if px <= 112 else 16
    cycle = replace(paper.train[1], batch=batch, phases=(Phase(1, px),))
    recipe = replace(paper, size_px=px)
    return recipe, cycle, train_split(training_data(recipe, shards, quiet=True), recipe, cycle)


def steps(shards: Path, px: int, n: int, state: Path, every: int = 150) -> dict[str, Any]:
    """In a child: a step loop as ``fer-host train`` runs it."""
    import torch

    from fer_host.models.weights import build_network
    from fer_host.train import loop
    from fer_host.train.batches import Batches

    seen: dict[str, Any] = {}

    class Watched(Batches):
        def __iter__(self) -> Any:
            seen["run"] = self
            for batch in super().__iter__():
                seen.setdefault("first_s", time.monotonic() - STARTED)
                seen.setdefault("first_cpu_s", time.process_time())
                seen.setdefault("waited_before_s", self.ahead.waited_s if self.ahead else 0.0)
                seen.setdefault("began", (time.monotonic(), time.process_time()))
                yield batch

    loop.Batches = Watched  # type: ignore[misc]
    recipe, cycle, rows = case(shards, px)
    torch.manual_seed(0)
    average, _ = loop.train(
        build_network(recipe),
        rows,
        cycle,
        normalize=recipe.input,
        checkpoint=state,
        on_epoch=lambda *_: None,
        stop_after=n,
        checkpoint_every=every,
    )
    wall, cpu = (now - then for now, then in zip((time.monotonic(), time.process_time()), seen["began"], strict=True))
    ahead = seen["run"].ahead
    waited = ahead.waited_s - seen["waited_before_s"]
    del seen["run"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    of_worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    digest = sum(float(value.double().abs().sum()) for value in average.state_dict().values())
    return {
        "set": len(rows.images), "first_s": seen["first_s"], "first_cpu_s": seen["first_cpu_s"], "wall_s": wall,
        "cpu_s": cpu, "images": n * cycle.batch, "waited_s": waited, "peak_mib": peak, "worker_mib": of_worker,
        "workers": ahead.workers, "worker_cpu_s": cpu_s(resource.RUSAGE_CHILDREN), "digest": digest.hex(),
    }  # fmt: skip


def cost(shard: Path) -> dict[str, Any]:
    """In a child: CPU time of each thing that is done to a picture, by one thread, without a worker around it."""
    import numpy as np
    import torch
    from array_record.python.array_record_module import ArrayRecordReader

    from fer_host.data.augment import augment_batch, normalized, planes
    from fer_host.data.streamed import square
    from fer_host.device_pipeline import decode_photo
    from fer_host.recipe.recipe import load_recipe

    torch.set_num_threads(1)
    recipe = load_recipe("paper_mobilenet_v2")
    reader = ArrayRecordReader(str(shard), "readahead_buffer_size:0,max_parallelism:0")
    order = np.random.default_rng(0).permutation(reader.num_records())
    found: dict[str, Any] = {}
    for px, batch in ((224, 16), (96, 16)):
        spent, n = [0.0] * 4, 0
        for start in range(0, 64, batch):
            times = [time.process_time()]
            records = [bytes(reader.read([int(i)])[0]) for i in order[start : start + batch]]
            times.append(time.process_time())
            pictures = [decode_photo(record, "picture").image for record in records]
            times.append(time.process_time())
            squares = np.stack([square(picture, 224, "rgb") for picture in pictures])
            times.append(time.process_time())
            draws = torch.Generator().manual_seed(start)
            normalized(augment_batch(planes(squares), px, recipe.train[1].augment, draws), recipe.input).contiguous()
            times.append(time.process_time())
            if start:  # the first one warms up
                spent = [total + after - before for total, before, after in zip(spent, times, times[1:], strict=False)]
                n += batch
        names = ("read_ms", "decode_ms", "square_ms", "augment_ms")
        found[str(px)] = {name: 1000 * value / n for name, value in zip(names, spent, strict=True)} | {"n": n}
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def kill(shards: Path, n: int, seed: int) -> dict[str, Any]:
    """A run killed at a random moment and started again has the weights of one that was left alone."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = child("_steps", shards, 48, n, Path(folder) / "a.pt", 2)
        state, kills, at = Path(folder) / "b.pt", 0, []
        while kills < 3:
            command = [sys.executable, __file__, "_steps", str(shards), "48", str(n), str(state), "2"]
            process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
            before = step_of(state)
            until = draw.randint(before + 1, before + 4)
            while step_of(state) < until and process.poll() is None:
                time.sleep(0.1)
            time.sleep(draw.uniform(0, 1))
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            at.append(step_of(state))
        left = n - step_of(state)
        resumed = child("_steps", shards, 48, left, state, 2) if left > 0 else {"digest": None}
    return {"kills": kills, "at": at, "same": resumed["digest"] == undisturbed["digest"], "steps": n}


def step_of(state: Path) -> int:
    """Steps that are saved."""
    from fer_host.train.checkpoint import steps_done

    return steps_done(state)


def main() -> int:
    """Measures, prints and writes."""
    if sys.argv[1].startswith("_"):
        name, shards, *rest = sys.argv[1:]
        if name == "_cost":
            print(json.dumps(cost(Path(shards))))
        elif name == "_loader":
            print(json.dumps(loader(Path(shards), int(rest[0]), int(rest[1]))))
        else:
            every = int(rest[3]) if len(rest) > 3 else 150
            print(json.dumps(steps(Path(shards), int(rest[0]), int(rest[1]), Path(rest[2]), every)))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path)
    parser.add_argument("parts", nargs="*", default=["cost", "loader", "steps", "kill"])
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=12)
    arguments = parser.parse_args()
    rows = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    if "cost" in arguments.parts:
        rows["cost"] = child("_cost", next(arguments.shards.glob("shard-*.array_record")))
        print(rows["cost"], flush=True)
    if "loader" in arguments.parts:
        for workers in (1, 2, 4):
            found = child("_loader", arguments.shards, 224, arguments.images, FER_WORKERS=str(workers))
            rows.setdefault("loader", {})[str(workers)] = found
            print(found, flush=True)
    if "steps" in arguments.parts:
        for px in (96, 224):
            with tempfile.TemporaryDirectory() as folder:
                found = child("_steps", arguments.shards, px, arguments.steps, Path(folder) / "c.pt", FER_WORKERS="1")
            rows.setdefault("steps", {})[str(px)] = found
            print(found, flush=True)
        rows["n_steps"] = arguments.steps
    if "kill" in arguments.parts:
        rows["kill"] = kill(arguments.shards, arguments.steps, 1)
        print(rows["kill"], flush=True)
    KEPT.write_text(json.dumps(rows, indent=1) + "\n")
    write(RESULT, page(rows))
    return 0


def page(rows: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        "# A set that streams",
        "",
        "Made by `benchmarks/large_data.py` on shards of `benchmarks/large_set.py`: JPEG, 224 px, about 18 kB each. "
        "The machine has 2 cores and did much else: wall times are long, and say little; CPU times count.",
    ]
    if "shard" in rows:  # by hand: ps and /proc/PID/status of the processes of one `fer-host shard`
        found = rows["shard"]
        lines += [
            "",
            "## Making shards",
            "",
            "Two workers of `fer-host shard`, looked at as they ran: each picture is read, decoded, digested, written.",
            "",
            "| pictures | of | CPU ms for each | peak MiB, main process | peak MiB, worker |",
            "|---|---|---|---|---|",
            f"| {found['n']} | {found['of']} | {1000 * found['cpu_s'] / found['n']:.2f} | {found['main_mib']:.0f} | "
            f"{found['worker_mib']:.0f} |",
        ]
    if "cost" in rows:
        lines += [
            "",
            "## Cost of a picture",
            "",
            "CPU time of one thread, of pictures of one shard in random order. The projection is arithmetic, nothing "
            "that was run: 15 worker processes of 16 cores, each with a core of its own.",
            "",
            "| input px | pictures | read, ms | decode, ms | to a square, ms | augment, ms | pictures a CPU second | "
            "15 workers would give |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for px in ("224", "96"):
            found = rows["cost"][px]
            each = [found[name] for name in ("read_ms", "decode_ms", "square_ms", "augment_ms")]
            rate = 1000 / sum(each)
            shown = " | ".join(f"{ms:.2f}" for ms in each)
            lines.append(f"| {px} | {found['n']} | {shown} | {rate:.0f} | {15 * rate:.0f} |")
    if "loader" in rows:
        lines += [
            "",
            "## Loader alone",
            "",
            "Read, decoded and augmented to 224 px in color, and thrown away. The projection is arithmetic, nothing "
            "that was run: 15 workers of 16 cores at the rate of one CPU second.",
            "",
            "| workers | images | images a CPU second of a worker | images a second, wall, machine busy | 15 workers "
            "would give |",
            "|---|---|---|---|---|",
        ]
        for workers, found in rows["loader"].items():
            rate = found["images"] / found["cpu_s"]
            wall = found["images"] / found["wall_s"]
            lines.append(f"| {workers} | {found['images']} | {rate:.0f} | {wall:.0f} | {15 * rate:.0f} |")
    if "steps" in rows:
        lines += [
            "",
            "## Step loop",
            "",
            "MobileNetV2 with one worker, by `train.loop.train`. Last, the worker's CPU time for all that it made "
            "(some batches more than were trained on) by the trainer's: below 1, a worker with a core keeps ahead.",
            "",
            "| input px | batch | pictures of the set | first step, wall s | first step, CPU s | peak MiB, trainer | "
            "peak MiB, worker | waited, share of wall | images a CPU second, trainer | worker's CPU by trainer's |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for px, found in rows["steps"].items():
            n = found["images"]
            batch = n // rows["n_steps"]
            lines.append(
                f"| {px} | {batch} | {found['set']} | {found['first_s']:.1f} | {found['first_cpu_s']:.1f} | "
                f"{found['peak_mib']:.0f} | {found['worker_mib']:.0f} | {found['waited_s'] / found['wall_s']:.1%} | "
                f"{n / found['cpu_s']:.1f} | {found['worker_cpu_s'] / found['cpu_s']:.2f} |"
            )
    if "kill" in rows:
        kill = rows["kill"]
        lines += ["", "## Killed", "", "| steps | kills | saved steps at each | weights |", "|---|---|---|---|"]
        at = ", ".join(map(str, kill["at"]))
        lines.append(f"| {kill['steps']} | {kill['kills']} | {at} | {'the same' if kill['same'] else 'OTHERS'} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
