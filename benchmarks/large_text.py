"""The page of ``large_data.py``."""

from __future__ import annotations

from typing import Any

TITLE = "# A set that streams"
INTRO = (
    "Made by `benchmarks/large_data.py` on shards of `benchmarks/large_set.py`: JPEG, 224 px, about 18 kB each. "
    "The machine has 2 cores and did some other work too, most of all while the shards were made: that wall time says "
    "little."
)
_COST = ("read_ms", "decode_ms", "square_ms", "augment_ms")


def page(rows: dict[str, Any]) -> str:
    """The result for people, of the parts that were measured."""
    lines = [TITLE, "", INTRO]
    for part, write in (("make", _make), ("cost", _cost), ("loader", _loader), ("steps", _steps), ("kill", _kill)):
        if part in rows:
            lines += ["", *write(rows[part])]
    if "commands" in rows:
        lines += ["", *_commands(rows["commands"])]
    return "\n".join(lines) + "\n"


def _table(columns: str, rows: list[str]) -> list[str]:
    return [f"| {columns} |", "|" + "---|" * (columns.count(" | ") + 1), *(f"| {row} |" for row in rows)]


def _make(found: dict[str, Any]) -> list[str]:
    row = (
        f"{found['n']} | {found['wall_s']:.0f} | {1000 * found['cpu_s'] / found['n']:.2f} | "
        f"{found['main']['rss']:.0f} | {found['worker']['rss']:.0f}"
    )
    return [
        "## Making",
        "",
        "One run of `fer-host shard` with one worker: each picture is read, decoded, digested, written.",
        "",
        *_table("pictures | wall, s | CPU ms for each | peak MiB, main process | peak MiB, worker", [row]),
    ]


def _cost(found: dict[str, Any]) -> list[str]:
    shown = []
    for px in ("224", "96"):
        each = [found[px][name] for name in _COST]
        rate = 1000 / sum(each)
        times = " | ".join(f"{ms:.2f}" for ms in each)
        shown.append(f"{px} | {found[px]['n']} | {times} | {rate:.0f} | {15 * rate:.0f}")
    return [
        "## Cost of a picture",
        "",
        "CPU time of one thread, of pictures of one shard in random order. The projection is arithmetic, nothing that "
        "was run: 15 worker processes of 16 cores, each with a core of its own.",
        "",
        *_table(
            "input px | pictures | read, ms | decode, ms | to a square, ms | augment, ms | pictures a CPU second | "
            "15 workers would give",
            shown,
        ),
    ]


def _loader(found: dict[str, Any]) -> list[str]:
    shown = []
    for workers, each in found.items():
        rate, wall = each["images"] / each["cpu_s"], each["images"] / each["wall_s"]
        shown.append(f"{workers} | {each['images']} | {wall:.0f} | {rate:.0f} | {15 * rate:.0f}")
    return [
        "## Loader alone",
        "",
        "Read, decoded and made ready at 224 px in color, and thrown away. The recipe augments nothing. The projection "
        "is arithmetic, nothing that was run: 15 workers of 16 cores at the rate of one CPU second.",
        "",
        *_table(
            "workers | images | images a second, wall | images a CPU second of a worker | 15 workers would give",
            shown,
        ),
    ]


def _steps(found: dict[str, Any]) -> list[str]:
    speed, memory = [], []
    for how, each in found.items():
        n, peak, before, graph = each["images"], each["peak"], each["before"], each["graph"]
        speed.append(
            f"{how} | {each['batch']} | {each['set']} | {n // each['batch']} | {each['first_s']:.1f} | "
            f"{each['first_cpu_s']:.1f} | {each['waited_s'] / each['wall_s']:.1%} | {n / each['cpu_s']:.1f} | "
            f"{each['worker_cpu_s'] / each['cpu_s']:.2f}"
        )
        memory.append(
            f"{how} | {each['batch']} | {peak['rss']:.0f} | {peak['anonymous']:.0f} | {peak['file']:.0f} | "
            f"{peak['shared']:.0f} | {before['rss']:.0f} | {graph['kept_mib']:.0f} | {graph['plain_mib']:.0f} | "
            f"{each['worker_mib']:.0f}"
        )
    return [
        "## Step loop",
        "",
        "MobileNetV2 with SAM and one worker, by `train.loop.train`. Last, the worker's CPU time for all that it made "
        "(some batches more than were trained on) by the trainer's: below 1, a worker with a core keeps ahead.",
        "",
        *_table(
            "input | batch | pictures of the set | steps | first step, wall s | first step, CPU s | "
            "waited, share of wall | images a CPU second, trainer | worker's CPU by trainer's",
            speed,
        ),
        "",
        "## Memory",
        "",
        "MiB, at the trainer's peak. Libraries and mapped files can be taken back by the kernel; what lies in /dev/shm "
        "counts in the worker too. Before the network: Python, torch, the kit, the set's columns. Activations: what "
        "autograd keeps of one forward pass, each memory once; with torch's own ReLU6 it would be the column after.",
        "",
        *_table(
            "input | batch | peak, trainer | its own | libraries and files | batches in /dev/shm | "
            "before the network | activations | with torch's ReLU6 | peak, worker",
            memory,
        ),
    ]


def _kill(found: dict[str, Any]) -> list[str]:
    at = ", ".join(map(str, found["at"]))
    same = "the same" if found["same"] else "OTHERS"
    row = f"{found['steps']} | {found['kills']} | {at} | {same}"
    return ["## Killed", "", *_table("steps | kills | saved steps at each | weights", [row])]


def _commands(found: dict[str, Any]) -> list[str]:
    shown = [
        f"`{each['line']}` | {each['wall_s']:.0f} | {each['cpu_s']:.0f} | {each['main']['rss']:.0f} | "
        f"{each['worker']['rss']:.0f}"
        for each in found.values()
    ]
    return [
        "## Commands",
        "",
        "Each run once on the whole set. A worker is the largest process below the command.",
        "",
        *_table("command | wall, s | CPU s | peak MiB, main process | peak MiB, worker", shown),
    ]
