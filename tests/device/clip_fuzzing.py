"""Damaged clips: whatever is in the file, it is read as far as it goes or refused in one line.

The cases run in a child process, so that a crash of a decoder (a signal) ends only the child and names its case.
``benchmarks/fuzz_clips.py`` runs many, a test a few; the same seed gives the same cases.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

BASES = {"mp4": "h264", "mkv": "h264", "webm": "vp8", "avi": "mpeg4", "ts": "mpeg2"}
MORE_BASES = {"hevc.mp4": "hevc", "mjpeg.avi": "mjpeg", "vp9.webm": "vp9", "h264.ts": "h264", "mjpeg.mov": "mjpeg"}
FRAMES = 8
LONGEST_S = 10.0
MOST_MEMORY = 3 << 30  # of addresses: a decoder that wants more gets none
HEAD = 600  # bytes in which sizes, counts and codecs stand


@dataclass
class Outcome:
    """What came of the cases."""

    cases: int = 0
    read: int = 0
    refused: int = 0
    incomplete: int = 0
    with_loss: int = 0
    slowest_s: float = 0.0
    peak_bytes: int = 0
    failures: list[str] = field(default_factory=list)


def make_bases(folder: Path) -> list[Path]:
    """Small sound clips."""
    from made_clips import encode, numbered

    pictures = [numbered(i) for i in range(FRAMES)]
    return [encode(folder / f"base.{name}", pictures, codec=codec) for name, codec in {**BASES, **MORE_BASES}.items()]


def damaged(rng: np.random.Generator, content: bytes) -> bytes:
    """Bytes changed (half of them where the headers are, at either end), cut out, doubled, moved, zeroed, cut off."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 8))):
        size = len(data)
        reach = (0, min(size, HEAD)) if rng.integers(0, 3) == 0 else (max(0, size - HEAD), size)
        low, high = (0, size) if rng.integers(0, 2) else reach
        at, n = int(rng.integers(low, max(low + 1, high))), int(rng.integers(1, 300))
        kind = int(rng.integers(0, 8))
        if kind <= 2:
            data[at : at + 1] = bytes([int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(0, 256))]))])
        elif kind == 3:
            data[at : at + 4] = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\1")[rng.integers(0, 4)]
        elif kind == 4:
            data[at : at + n] = bytes(len(data[at : at + n]))
        elif kind == 5:
            del data[at : at + n]
        elif kind == 6:
            data[at:at] = data[at : at + n]
        elif rng.integers(0, 3) == 0:
            del data[max(1, at) :]
    return bytes(data)


def fuzz(n: int, seed: int, folder: Path, limit_s: float = 3600.0) -> Outcome:
    """Runs ``n`` cases, as many of each base; begins again behind a case that ended the child."""
    outcome, started = Outcome(), time.monotonic()
    bases = make_bases(folder)
    first = 0
    while first < n and time.monotonic() - started < limit_s:
        line = [sys.executable, __file__, str(seed), str(first), str(n), *map(str, bases)]
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            for row in child.stdout:
                case = json.loads(row)
                first = case["index"] + 1
                _count(outcome, case)
                if time.monotonic() - started > limit_s:
                    child.kill()
                    return outcome
            said = child.stderr.read().strip()
        if child.returncode:
            outcome.failures.append(f"case {first}: the child ended with status {child.returncode}: {said[-300:]}")
            outcome.cases += 1
            first += 1
    return outcome


def _count(outcome: Outcome, case: dict[str, Any]) -> None:
    outcome.cases += 1
    outcome.read += case["refused"] == ""
    outcome.refused += case["refused"] != ""
    outcome.incomplete += bool(case["incomplete"])
    outcome.with_loss += case["corrupt"] > 0
    outcome.slowest_s = max(outcome.slowest_s, case["seconds"])
    outcome.peak_bytes = max(outcome.peak_bytes, case["peak_bytes"])
    outcome.failures += [f"case {case['index']} ({case['base']}): {text}" for text in case["failures"]]


def _run_case(index: int, seed: int, bases: list[Path], folder: Path) -> dict[str, Any]:
    from fer_edge.errors import SourceError
    from fer_edge.sources import open_source
    from fer_edge.sources.packets import PacketWatch

    base = bases[index % len(bases)]
    path = folder / f"case{base.suffix}"
    path.write_bytes(damaged(np.random.default_rng((seed, index)), base.read_bytes()))
    case: dict[str, Any] = {"index": index, "base": base.name, "refused": "", "incomplete": "", "corrupt": 0}
    failures: list[str] = []
    sys.stderr.flush()
    silent = os.lseek(2, 0, os.SEEK_CUR)
    started, frames, last_s = time.monotonic(), 0, -1.0
    try:
        source = open_source(str(path))
        for frame in source:
            frames += 1
            if frame.t_media_s is None or frame.t_media_s < last_s:
                failures.append(f"time goes back from {last_s} to {frame.t_media_s}")
            last_s = frame.t_media_s or 0.0
            if frame.image.ndim != 3 or frame.image.dtype != np.uint8:
                failures.append(f"no picture: {frame.image.shape} {frame.image.dtype}")
        case["incomplete"], case["corrupt"] = source.incomplete, source.corrupt
        if "\n" in source.incomplete:
            failures.append("more than one line about what is missing")
    except SourceError as error:
        case["refused"] = str(error)
        if "\n" in str(error) or not str(error) or len(str(error)) > 600:
            failures.append(f"not one short line: {str(error)[:200]!r}")
    except Exception as error:
        failures.append(f"{type(error).__name__}: {str(error)[:200]}")
    case["seconds"] = time.monotonic() - started
    if case["seconds"] > LONGEST_S:
        failures.append(f"took {case['seconds']:.1f} s")
    packets = PacketWatch(str(path))
    n_packets = 0
    while frames > FRAMES and packets.step():
        n_packets += 1
    packets.close()
    if frames > max(FRAMES, n_packets):
        failures.append(f"{frames} frames out of {n_packets} packets: some were read twice")
    printed = os.lseek(2, 0, os.SEEK_CUR) - silent
    if printed:
        failures.append(f"{printed} bytes on stderr beside our line")
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {**case, "failures": failures, "peak_bytes": peak_bytes}


def _work(seed: int, first: int, last: int, bases: list[Path]) -> None:
    from fer_edge.program.own import ENVIRONMENT

    os.environ |= ENVIRONMENT  # as the program; what is printed beside it is a failure
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryDirectory() as folder:
        ours = os.dup(2)
        os.dup2(printed.fileno(), 2)
        try:
            for index in range(first, last):
                print(json.dumps(_run_case(index, seed, bases, Path(folder))), flush=True)
        finally:
            os.lseek(printed.fileno(), 0, os.SEEK_SET)
            said = printed.read()[-2000:]
            os.dup2(ours, 2)
            sys.stderr.write(said.decode(errors="replace"))


if __name__ == "__main__":
    _work(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), [Path(name) for name in sys.argv[4:]])
