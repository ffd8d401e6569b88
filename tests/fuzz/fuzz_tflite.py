"""Networks whose file is damaged: loaded and run as the program does, each in a fork of its own with limits.

A network is somebody's program: LiteRT may die of it (a signal), and that is counted, not a broken promise, because the
program first loads a network that it does not know in a child. Such a case is given to ``fer-edge verify --untrusted``,
which has to refuse it in a line. Promised is everything else: no error but ours, no hang.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import device_helpers
import numpy as np
from commands import command
from damage import damage_bytes
from harness import HANG_S, Case, Fault, one_line

from fer_edge.classifier.runner import LiteRunner
from fer_edge.classifier.runtime import find_runtime
from fer_edge.cli import main
from fer_edge.errors import EdgeError

SILENT = False  # the library's C++ prints what it thinks
NETWORKS = (("float32", "gray3"), ("int8", "gray3"), ("float32", "gray"), ("int8", "gray"))
MOST_ADDRESSES = 4 << 30


@contextmanager
def cases(folder: Path) -> Iterator[Case]:
    find_runtime()
    sound = {(name, color): device_helpers.tiny(name, color) for name, color in NETWORKS}  # type: ignore[arg-type]

    def case(rng: np.random.Generator, index: int) -> str:
        name, color = NETWORKS[index % len(NETWORKS)]
        content = sound[name, color]
        # the flatbuffer's tables stand behind the weights, the subgraph's at the end
        content = damage_bytes(rng, content, 200, 5, 2500) if index % 8 else content
        found = _in_a_fork(content, name, color, bool(index % 3 == 0))
        if "died" in found:
            _refused_by_the_program(folder / f"bundle-{index}", content, name, color)
        return found

    yield case


def _refused_by_the_program(path: Path, content: bytes, name: str, color: str) -> None:
    """A bundle with this network, as somebody would send it."""
    detector = device_helpers.detector_file()
    if detector is None:
        return
    device_helpers.make_bundle(path, detector.read_bytes(), color=color, **{name: content})  # type: ignore[arg-type]
    if command(main, "fer-edge", "verify", "--untrusted", path) != "refused":
        raise Fault("a network that ends its process was not refused")


def _in_a_fork(content: bytes, name: str, color: str, reference: bool) -> str:
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.close(ours)
        _load(content, name, color, reference, theirs)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answer:
        said = answer.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = signal.Signals(os.WTERMSIG(status))
        if number in (signal.SIGALRM, signal.SIGXCPU):
            raise Fault(f"no end in {HANG_S:g} s")
        return f"the child died of {number.name}"
    if said.startswith("!"):
        raise Fault(said[1:])
    return said or "the child ended without a word"


def _load(content: bytes, name: str, color: str, reference: bool, answer: int) -> None:
    """The child, which does not come back."""
    said = "!no end"
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CPU, (int(HANG_S), int(HANG_S) + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)  # a child that sleeps for ever
        variant = device_helpers.tiny_variant(name, color)  # type: ignore[arg-type]
        started = time.monotonic()
        try:
            runner = LiteRunner(content, variant, reference_kernels=reference)
            found = runner(np.zeros((1, *variant.input_hwc), np.float32))
            runner(np.zeros((2, *variant.input_hwc), np.float32))
            said = "run" if np.isfinite(found).all() else "run, not finite"
        except EdgeError as error:
            one_line(str(error))
            said = "refused"
        except MemoryError:
            said = "refused: memory"
        if time.process_time() > HANG_S or time.monotonic() - started > 6 * HANG_S:
            said = "!took too long"
    except BaseException as error:
        said = f"!{type(error).__name__}: {str(error)[:300]}"
    finally:
        os.write(answer, said.encode("utf-8", "replace")[:4000])
        os._exit(0)
