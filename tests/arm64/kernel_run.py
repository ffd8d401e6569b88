"""Classifies prepared inputs and writes the probabilities; needs nothing but fer_edge, so it runs in any userland.

python kernel_run.py BUNDLE VARIANT INPUTS.npy OUT.npz [--reference]
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import numpy as np

from fer_edge.classifier.runner import LiteRunner, dequantize, open_runner
from fer_edge.contract.bundle import open_bundle
from fer_edge.contract.preprocess import softmax


def main(bundle_path: str, variant_id: str, inputs_path: str, out: str, kernels: str = "--default") -> None:
    bundle = open_bundle(Path(bundle_path))
    variant = bundle.manifest.variant(variant_id)
    threads = min(4, os.cpu_count() or 1)  # no kernel adds in an order that depends on it; verify does the same
    model = bundle.read(variant.file)
    if kernels == "--reference":
        runner = LiteRunner(model, variant, threads, reference_kernels=True)
    else:
        runner = open_runner(model, variant, threads)
    raw = np.concatenate([runner.raw(row[None]) for row in np.load(inputs_path, mmap_mode="r")])
    np.savez(
        out,
        raw=raw,
        probabilities=softmax(dequantize(raw, variant.output)),
        machine=platform.machine(),
        runtime=str(runner.runs_on),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
