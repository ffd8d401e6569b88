"""The same faces through this machine's kernels and through ARM's: how far do the probabilities differ?"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from arm_roots import PROJECT, Root
from numpy.typing import NDArray

from fer_edge.contract.bundle import open_bundle
from fer_edge.contract.preprocess import preprocess
from fer_host.data import fer2013

PROGRAM = Path(__file__).with_name("kernel_run.py")
NPZ = Path("fer2013") / "fer2013_train_public.npz"
MARGIN = 0.10  # an answer is clear where its probability leads by this much; fer-edge verify's margin too


@dataclass(frozen=True)
class Faces:
    """Network inputs (n, H, W, channels) float32 and labels (n,), rows of PublicTest drawn at random."""

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Output:
    """What one machine made of the faces: stored output (n, labels), probabilities (n, labels) float32."""

    raw: NDArray[np.generic]
    probabilities: NDArray[np.float32]
    machine: str
    runtime: str


@dataclass(frozen=True)
class Difference:
    """Of two outputs for the same faces; accuracies and agreements are fractions, ``dp`` |Δ probability|."""

    n: int
    accuracy_here: float
    accuracy_arm: float
    n_same_bits: int
    agreement: float
    n_clear: int
    clear_agreement: float
    dp_max: float
    dp_p99: float
    dp_mean: float


def draw_faces(npz: Path, bundle: Path, n: int, seed: int = 1) -> Faces:
    """``n`` labelled faces of PublicTest, prepared as on the device."""
    data = fer2013.load(npz)
    rows = np.flatnonzero((data.usage == "PublicTest") & (data.label8 >= 0))
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:n])
    manifest = open_bundle(bundle).manifest
    hw = manifest.variant(None).input_hw
    inputs = np.stack([preprocess(image, manifest.input, hw) for image in data.images[rows]])
    return Faces(inputs, data.label8[rows])


def classify(
    faces: NDArray[np.float32],
    bundle: Path,
    variant: str,
    root: Root | None = None,
    *,
    reference: bool = False,
    cpu: str | None = None,
    wheels: str = "litert",
    timeout_s: float = 3600,
) -> Output:
    """Runs one variant over inputs, in a userland or (``root`` None) here, each time by ``kernel_run.py``.

    Args:
        faces: (n, H, W, channels) float32.
        bundle: a bundle's folder.
        variant: of the classifier.
        root: where to run; None is this machine.
        reference: the plain kernels instead of the default ones.
        cpu: see ``Root.run``.
        wheels: see ``Root.run``.
        timeout_s: for all faces.

    Raises:
        RuntimeError: the program failed.
    """
    with tempfile.TemporaryDirectory(dir=PROJECT / "build") as scratch:
        given, made = Path(scratch) / "inputs.npy", Path(scratch) / "output.npz"
        np.save(given, faces)
        line = [PROGRAM, bundle, variant, given, made, "--reference" if reference else "--default"]
        if root is None:
            command = [sys.executable, *map(str, line)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)
        else:
            places = (PROGRAM.parent, bundle, Path(scratch))
            done = root.python(*line, binds=places, cpu=cpu, wheels=wheels, timeout_s=timeout_s)
        if done.returncode:
            raise RuntimeError(f"kernel_run.py {variant} ended with {done.returncode}: {done.stderr[-2000:]}")
        with np.load(made, allow_pickle=False) as archive:
            return Output(archive["raw"], archive["probabilities"], str(archive["machine"]), str(archive["runtime"]))


def difference(here: Output, arm: Output, labels: NDArray[np.int64]) -> Difference:
    """How ARM's output differs from this machine's, over n faces with labels (n,)."""
    a, b = here.probabilities, arm.probabilities
    if a.shape != b.shape or len(a) != len(labels):
        raise ValueError(f"outputs of {a.shape} and {b.shape} for {len(labels)} faces")
    distance = np.abs(a - b)
    ordered = np.sort(a, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] >= MARGIN
    same = a.argmax(axis=1) == b.argmax(axis=1)
    return Difference(
        n=len(labels),
        accuracy_here=float((a.argmax(axis=1) == labels).mean()),
        accuracy_arm=float((b.argmax(axis=1) == labels).mean()),
        n_same_bits=int((here.raw == arm.raw).all(axis=1).sum()),
        agreement=float(same.mean()),
        n_clear=int(clear.sum()),
        clear_agreement=float(same[clear].mean()),
        dp_max=float(distance.max()),
        dp_p99=float(np.percentile(distance.max(axis=1), 99)),
        dp_mean=float(distance.max(axis=1).mean()),
    )
