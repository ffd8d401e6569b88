"""Is anything half-written after kill -9? A command is killed at random moments, again and again.

.venv/bin/python benchmarks/kills.py run --times 100 --seed 1
.venv/bin/python benchmarks/kills.py convert|convert-cached|shard|train|install|update --times 100

After each kill: nothing is half-written, what was acknowledged is there. Each start goes on where the last one was
killed, and must not fail by itself; the last is not killed, and makes what it makes without kills. Every second kill is
of the whole group of processes, the others of the first alone, whose children must end by themselves.

The moments are seconds of the processor, spread evenly over an undisturbed run; with --within S over the first S
seconds of each start: for convert, which is long, and goes on where it was killed, so that one stage after another is
reached. fer-host is started as a fork of a process that has its imports (killing/forked.py).

Needs dist/hawqc_mbv2 (run), build/fer48 (convert-cached), and dist/hawqc_mbv2-*x86*.tar.gz (install, update:
fer-host pack --target x86 --offline).
Writes a row of results/kills.md and .json. SIGTERM or Ctrl-C ends it earlier, with a row of the kills so far.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from killing.installing import Install, Update
from killing.making import Convert, ConvertCached, Shard, Train
from killing.readings import Run
from killing.subject import Subject, worked_s
from written import kept, write

SUBJECTS: dict[str, type[Subject]] = {
    "run": Run,
    "convert": Convert,
    "convert-cached": ConvertCached,
    "shard": Shard,
    "train": Train,
    "install": Install,
    "update": Update,
}
RESULTS = Path(__file__).parent / "results" / "kills.md"
LOOK_S = 0.02  # between two looks at how much it has done
MOST_WRONG = 10  # then it stops
AT_WORK_S = 1800.0  # for the pip of a killed install.sh, on a busy machine
ORPHANS_S = 60.0  # for what a killed process started to see that it is alone
COLUMNS = "| command | kills | between | ended before | half-written or lost | failed to start again | note |"


@dataclass
class Count:
    """What happened in all."""

    kills: int = 0
    ended: int = 0
    longest_s: float = 0.0
    seen_s: float = 0.0  # of the last start, at the last look
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    note: str = ""


def kill_often(subject: Subject, times: int, seed: int, within_s: float = float("inf")) -> Count:
    """Kills a command so many times; the moments are spread evenly over the work of an undisturbed run.

    One is drawn from each of so many equal parts of it, in seconds of the processor: on a machine that others use too,
    a clock would put most of them at its beginning. Or over the first ``within_s`` of each start.
    """
    draw, count = random.Random(seed), Count()
    asked_to_end: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked_to_end.append(1))
    subject.prepare()
    count.longest_s = subject.undisturbed()
    count.wrong += [f"without a kill: {text}" for text in subject.finished()]
    subject.reset()
    moments = [(number + draw.random()) / times for number in range(times)]
    draw.shuffle(moments)
    for moment in moments:
        is_whole = False
        while not _killed(subject, moment * min(count.longest_s, within_s), count) and not asked_to_end:
            if len(count.failed) >= MOST_WRONG:
                break
            if is_whole:  # a whole run took less than the first did, which also filled caches
                count.longest_s = max(0.5 * count.longest_s, min(0.97 * count.longest_s, count.seen_s))
            is_whole = True
        if asked_to_end or len(count.wrong) + len(count.failed) >= MOST_WRONG:
            break
    _last(subject, count)
    return count


def _killed(subject: Subject, after_s: float, count: Count) -> bool:
    """Starts it and kills it after so many seconds of work; False where it ended before, having little left to do."""
    if subject.waits:
        _wait_for_orphans(subject, AT_WORK_S)  # said, not failed
    process = subject.start()
    count.seen_s = 0.0
    while process.poll() is None and count.seen_s < after_s:
        time.sleep(LOOK_S)
        count.seen_s = max(count.seen_s, worked_s(process.pid))
    is_killed = process.poll() is None
    if is_killed:
        subject.before_kill()
        (os.killpg if count.kills % 2 else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        count.kills += 1
        found = subject.whole()
    else:
        count.ended += 1
        if process.returncode:
            count.failed.append(f"kill {count.kills}: status {process.returncode}: {subject.last_line()}")
        found = subject.finished() if not process.returncode else []
        subject.reset()
    count.wrong += [f"kill {count.kills}, after {after_s:.2f} s: {text}" for text in found]
    print(f"{count.kills} kills, {count.ended} ended before; {count.wrong + count.failed}", flush=True)
    return is_killed


def _last(subject: Subject, count: Count) -> None:
    """Nobody disturbs it."""
    if subject.waits:
        _wait_for_orphans(subject, AT_WORK_S)
    try:
        subject.undisturbed()
        count.wrong += [f"at the end: {text}" for text in subject.finished()]
    except RuntimeError as error:
        count.failed.append(f"at the end: {error}")
    if left := _wait_for_orphans(subject, ORPHANS_S):
        count.wrong.append(f"{len(left)} processes still run {ORPHANS_S:g} s later")
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    if isinstance(subject, Run):
        count.note = f"{subject.lines()} lines, {subject.torn()} torn"


def _wait_for_orphans(subject: Subject, longest_s: float) -> list[int]:
    """Gives those that are still there."""
    until = time.monotonic() + longest_s
    while (left := subject.orphans()) and time.monotonic() < until:
        time.sleep(0.5)
    return left


def main() -> int:
    """Runs, prints and writes; status 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=tuple(SUBJECTS))
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--within", type=float, default=float("inf"), metavar="S", help="of each start (default: all)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the page with the table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fer-edge-kills-", ignore_cleanup_errors=True) as folder:
        subject = SUBJECTS[arguments.what](Path(folder))
        count = kill_often(subject, arguments.times, arguments.seed, arguments.within)
    for text in (*count.wrong, *count.failed):
        print(f"kills: {arguments.what}: {text}", file=sys.stderr)
    longest_s = min(count.longest_s, arguments.within)
    if longest_s < count.longest_s:
        count.note = f"{count.longest_s:.0f} s in all, in stages that stay"
    row = [f"`{arguments.what}`", str(count.kills), f"0 and {longest_s:.2f} s", str(count.ended)]
    row += [str(len(count.wrong)), str(len(count.failed)), count.note or "-"]
    rows = kept(arguments.results) | {row[0]: row}
    text = "# Kills\n\nWritten by `benchmarks/kills.py`: kill -9 at random moments, spread evenly over the work of an "
    text += f"undisturbed run; each start on what the last kill left.\n\n{COLUMNS}\n|{'---|' * COLUMNS.count('| ')}\n"
    write(arguments.results, text + "".join(f"| {' | '.join(cells)} |\n" for cells in rows.values()))
    print(f"{arguments.what}: {count.kills} kills, {count.ended} ended before; {count.note}", flush=True)
    return int(bool(count.wrong or count.failed))


if __name__ == "__main__":
    sys.exit(main())
