"""One reader in eight threads: a lock against an interpreter a thread, 2,000 pictures; and what afollow costs a loop.

python benchmarks/library.py BUNDLE PHOTO… [--pictures 2000] [--seconds 20]   (writes benchmarks/results/library.md)
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

import fer_edge
from clips import machine
from fer_edge.library.lending import Lender
from fer_edge.types import RgbImage

THREADS, ROUNDS, PER_ROUND = 8, 5, 32
TICK_S = 0.010
WAYS = (  # interpreters, threads of their kernels
    *(("a lock", 1, 1), ("a lock", 1, 2), ("one a core", 2, 1), ("one a core", 2, 2), ("one a thread", 8, 1)),
    ("as shipped", 0, 0),
)


def main() -> int:
    """Measures the three and writes them down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    photos: list[RgbImage] = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in given.photos]
    pictures = [np.ascontiguousarray(photo[: 300 + 40 * i]) for i in range(4) for photo in photos]
    reader = fer_edge.open_reader(given.bundle)
    head = f"`benchmarks/library.py`, {reader.model}; {machine()}, beside other work."
    parts = [
        f"# The library\n\n{head}\n",
        _threads_table(given.bundle, pictures),
        _same(reader, pictures, given.pictures),
        asyncio.run(_loop(reader, given.seconds)),
    ]
    text = "\n".join(parts)
    (Path(__file__).parent / "results" / "library.md").write_text(text)
    print(text)
    return 0


def in_threads(work: Callable[[int], None], n: int) -> None:
    """Calls ``work`` with 0 to n - 1 from eight threads."""
    turns = itertools.count()

    def run() -> None:
        while (turn := next(turns)) < n:
            work(turn)

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _threads_table(bundle: Path, pictures: list[RgbImage]) -> str:
    readers = {}
    for way in WAYS:
        _, most, kernel_threads = way
        reader = readers[way] = fer_edge.open_reader(bundle, threads=kernel_threads or None)
        if most:
            reader._photos = Lender(reader._open_photos, most, most)
        in_threads(lambda turn, reader=reader: reader.read(pictures[turn % len(pictures)]) and None, 8)  # type: ignore[misc]
    rates: dict[object, list[float]] = {way: [] for way in WAYS}
    cpu_ms: dict[object, list[float]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way, reader in readers.items():
            began, began_cpu = time.perf_counter(), time.process_time()
            in_threads(
                lambda turn, reader=reader: reader.read(pictures[turn % len(pictures)]) and None,  # type: ignore[misc]
                PER_ROUND,
            )
            rates[way].append(PER_ROUND / (time.perf_counter() - began))
            cpu_ms[way].append((time.process_time() - began_cpu) * 1000 / PER_ROUND)
    lines = [
        f"## Eight threads read photos\n\nMedian of {ROUNDS} rounds of {PER_ROUND} pictures after a warm-up, the ways "
        "interleaved. A picture is searched through tiles, as by the command.\n",
        "| interpreters | kernel threads | pictures per second | CPU ms a picture |",
        "|---|---|---|---|",
    ]
    for way in WAYS:
        rate, cpu = statistics.median(rates[way]), statistics.median(cpu_ms[way])
        of = f"{way[1]}: {way[0]} | {way[2]}" if way[1] else f"{way[0]} | first: all, others: 1"
        lines.append(f"| {of} | {rate:.1f} | {cpu:.0f} |")
    return "\n".join(lines) + "\n"


def _same(reader: fer_edge.Reader, pictures: list[RgbImage], n: int) -> str:
    alone = [reader.read(picture).faces for picture in pictures]
    wrong = []

    def work(turn: int) -> None:
        if reader.read(pictures[turn % len(pictures)]).faces != alone[turn % len(pictures)]:
            wrong.append(turn)

    in_threads(work, n)
    return (
        f"## The same answers\n\n{n} pictures in {THREADS} threads of one reader: {len(wrong)} answers unlike alone.\n"
    )


async def _loop(reader: fer_edge.Reader, seconds: float) -> str:
    idle = await _late_ms(seconds, None)
    counts = []

    async def follow() -> None:
        with fer_edge.open_source("synthetic://?faces=2&width=1280&height=720") as frames:
            async for reading in reader.afollow(frames):
                counts.append(len(reading.faces))

    task = asyncio.create_task(follow())
    while not counts:
        await asyncio.sleep(0.01)
    n_before = len(counts)
    busy = await _late_ms(seconds, task)
    task.cancel()
    lines = [
        f"## A 10 ms timer beside afollow\n\nHow late it is in an event loop, ms, over {seconds:g} s; meanwhile "
        f"{len(counts) - n_before} frames of 1280 x 720 px with two faces were read.\n",
        "| | ticks | p50 | p95 | p99 | largest |",
        "|---|---|---|---|---|---|",
    ]
    for name, late in (("nothing else in the loop", idle), ("beside afollow", busy)):
        p50, p95, p99 = np.percentile(late, (50, 95, 99))
        lines.append(f"| {name} | {len(late)} | {p50:.2f} | {p95:.2f} | {p99:.2f} | {max(late):.2f} |")
    return "\n".join(lines) + "\n"


async def _late_ms(seconds: float, task: asyncio.Task[None] | None) -> list[float]:
    late = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        due = time.perf_counter() + TICK_S
        await asyncio.sleep(TICK_S)
        late.append(max(0.0, time.perf_counter() - due) * 1000)
        if task is not None and task.done():
            task.result()
    return late


if __name__ == "__main__":
    raise SystemExit(main())
