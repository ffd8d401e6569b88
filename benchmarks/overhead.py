"""What does measuring cost? The pipeline with everything recorded against the pipeline alone, interleaved.

python benchmarks/overhead.py dist/hawqc_mbv2    (writes benchmarks/results/overhead.md, exit status 1 beyond the bar)

On: the recording of every stage, and the sampler's thread with a power probe, once out of a
file (INA219) and once by a command of its own (as on a Pi 5, where vcgencmd is a process). Off: frames are read.
Compared is processor time, with that of the sampler's thread and of the commands it starts: an upper bound of what a
frame takes longer (on a board with more than one core the sampler runs beside it), and one that other processes on a
shared machine do not disturb.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import stat
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from clips import machine
from fer_edge.board.commands import run
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.profiler import interference, statistics
from fer_edge.profiler.measure import Recording
from fer_edge.profiler.power import PowerProbe
from fer_edge.profiler.power.hwmon import InaProbe
from fer_edge.profiler.power.pi5 import PmicProbe
from fer_edge.profiler.sampler import Sampler
from fer_edge.profiler.workloads import PipelineWork, Subject
from fer_edge.setting.setting import setting_for
from written import write

SLICE_S, SLICES = 2.0, 16
BAR = 0.02
TREES = Path(__file__).parents[1] / "tests" / "device" / "trees" / "power"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--slices", type=int, default=SLICES, help="two seconds each, for each way")
    arguments = parser.parse_args()
    bundle = open_bundle(arguments.bundle)
    before = interference.look()
    with tempfile.TemporaryDirectory() as scratch:
        probes = {
            "INA219, a file, 10 times a second": _ina(Path(scratch)),
            "Pi 5, a process, twice a second": _pmic(Path(scratch)),
        }
        direct = {name: _direct(bundle, probe) for name, probe in probes.items()}
        found = {name: _overhead(bundle, probe, arguments.slices) for name, probe in probes.items()}
    reasons = interference.judge(before, interference.look())
    lines = [
        "# What measuring costs",
        "",
        f"`python benchmarks/overhead.py {arguments.bundle}`, {machine()}; slices of {SLICE_S} s by turns, "
        f"{arguments.slices} of each. Processor time a frame with everything recorded and sampled, relative to none.",
        "",
        "| power probe | more processor time a frame | 95% interval | sampler alone, of one core |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {f.mean:+.2%} | {f.lower:+.2%} to {f.upper:+.2%} | {direct[name]:.2%} |"
        for name, f in found.items()
    ]
    lines += ["", f"Bar: {BAR:.0%}.", *(f"Tainted: {reason}." for reason in reasons)]
    text = "\n".join(lines) + "\n"
    write(Path(__file__).parent / "results" / "overhead.md", text)
    print(text)
    return int(any(f.mean > BAR for f in found.values()))


def _overhead(bundle: Bundle, probe: PowerProbe, slices: int) -> statistics.Interval:
    """Mean of the logarithm of the ratio, on to off, over pairs of slices."""
    work = PipelineWork(Subject(bundle, setting_for(bundle.manifest, threads=1)), "synthetic://?n=60")
    for _ in range(30):
        work.step()
    ratios = []
    for turn in range(slices):
        order = (True, False) if turn % 2 else (False, True)
        ms = {on: _slice_ms(work, probe if on else None) for on in order}
        ratios.append(np.log(ms[True] / ms[False]))
    return statistics.interval(ratios)


def _direct(bundle: Bundle, probe: PowerProbe) -> float:
    """What the sampler takes of one core, from the cost of single readings in a process of the usual size."""
    work = PipelineWork(Subject(bundle, setting_for(bundle.manifest, threads=1)), "synthetic://?n=60")
    work.step()
    sampler = Sampler(probe)
    costs = []
    for read in (probe.read_w, lambda: sampler._slow(0.0)):
        started = _cpu_s()
        for _ in range(100):
            read()
        costs.append((_cpu_s() - started) / 100)
    return costs[0] / probe.period_s + costs[1]


def _slice_ms(work: PipelineWork, probe: PowerProbe | None) -> float:
    """Mean ms of processor time a frame over one slice."""
    n, recording = 0, Recording("total")
    with Sampler(probe) if probe is not None else contextlib.nullcontext():
        started, cpu = time.perf_counter(), _cpu_s()
        if probe is None:
            frames = work._frames  # the bare pipeline: what `step` adds is part of measuring
            while n % 8 or time.perf_counter() - started < SLICE_S:
                work.pipeline.read_frame(next(frames))
                n += 1
        else:
            while n % 8 or time.perf_counter() - started < SLICE_S:
                times_ms = work.step()
                recording.add(times_ms, time.monotonic())
                n += 1
        return (_cpu_s() - cpu) * 1000 / n


def _cpu_s() -> float:
    """Processor time of this process, all its threads, and the processes it started and that have ended."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _ina(scratch: Path) -> PowerProbe:
    """The recorded INA219, as files here."""
    folder = scratch / "hwmon10"
    folder.mkdir()
    for line in (TREES / "pi4_ina219" / "tree.txt").read_text().splitlines():
        name, _, content = line.partition("\t")
        if "hwmon10" in name:
            (folder / Path(name).name).write_text(content.replace("\\n", "\n"))
    return InaProbe(folder, "ina219")


def _pmic(scratch: Path) -> PowerProbe:
    """The recorded output of vcgencmd, printed by a program of that name that is found first."""
    text = (TREES / "pi5" / "tree.txt").read_text().partition("\t")[2].replace("\\n", "\n")
    folder = scratch / "bin"
    folder.mkdir()
    (folder / "rails").write_text(text)
    program = folder / "vcgencmd"
    program.write_text(f"#!/bin/sh\nwhile IFS= read -r line; do printf '%s\\n' \"$line\"; done < {folder}/rails\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    return PmicProbe(run)


if __name__ == "__main__":
    sys.exit(main())
