"""The runtimes side by side on this machine: time, memory and accuracy of every variant of bundles that hold both.

.venv/bin/python benchmarks/runtimes.py BUNDLE… --data NPZ    (writes results/runtimes.md; 2 CPU minutes a bundle)

A bundle for it: fer-host convert fer48 --variant int8,onnx,onnx_fp16,onnx_int8 --out build/onnx-fer48
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from fer_edge.board import identify as board
from fer_edge.classifier.runner import open_runner
from fer_edge.contract.answer import raw_answers
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.contract.preprocess import preprocess
from fer_host.data import fer2013
from written import write

RESULT = Path(__file__).parent / "results" / "runtimes.md"
ROUNDS, EACH = 60, 5
_MEMORY = """
import sys
from pathlib import Path
import numpy as np, cv2
from fer_edge.classifier.runtime import find_runtime
from fer_edge.contract.bundle import open_bundle
from fer_edge.profiler.memory import own_bytes
from fer_edge.classifier.runner import open_runner
bundle = open_bundle(Path(sys.argv[1]))
variant = bundle.manifest.variant(sys.argv[2])
content = bundle.read(variant.file)
before = own_bytes()
runner = open_runner(content, variant)
runner(np.zeros((1, *variant.input_hwc), np.float32))
print(own_bytes() - before)
"""


def main() -> int:
    """Measures, and writes one section a bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    lines = [
        "# Two runtimes, side by side",
        "",
        f"`benchmarks/runtimes.py` on {board.cpu_name()} ({board.machine_name()}), one thread, the network alone. "
        f"Time: CPU time of an inference, the smallest of {ROUNDS} rounds of {EACH}, all variants in turn; a ratio is "
        "against the tflite file of the same numbers (half against float). Memory: what opening the runtime and the "
        "network and running it once adds to a process of its own. Accuracy: FER2013 PublicTest, through the device's "
        "preprocess. No GPU was here: of onnxruntime it is the CPU provider.",
    ]
    for path in arguments.bundles:
        bundle = open_bundle(path)
        lines += ["", f"## {bundle.manifest.model_id}", ""]
        lines += _section(bundle, arguments.data)
    write(RESULT, "\n".join(lines) + "\n")
    print(RESULT)
    return 0


def _section(bundle: Bundle, data: Path) -> list[str]:
    manifest = bundle.manifest
    runners = {v.id: open_runner(bundle.read(v.file), v, provider="cpu") for v in manifest.variants}
    times: dict[str, list[float]] = {name: [] for name in runners}
    row = np.random.default_rng(0).normal(size=(1, *manifest.variants[0].input_hwc)).astype(np.float32)
    for runner in runners.values():
        runner(row)
    for _ in range(ROUNDS):
        for name, runner in runners.items():
            started = time.process_time()
            for _ in range(EACH):
                runner(row)
            times[name].append((time.process_time() - started) / EACH * 1000)
    rows = fer2013.load(data)
    rows = rows.select(rows.usage == "PublicTest")
    inputs = [preprocess(image, manifest.input, manifest.variants[0].input_hw)[None] for image in rows.images]
    answers = {name: np.concatenate([runner(each) for each in inputs]) for name, runner in runners.items()}
    lines = [
        "| variant | runtime | ms | ratio | memory MiB | accuracy | like float32 | largest abs dp |",
        "|---" * 8 + "|",
    ]
    best = {name: min(found) for name, found in times.items()}
    probabilities = {name: raw_answers(logits, manifest.sets) for name, logits in answers.items()}
    for variant in manifest.variants:
        name = variant.id
        against = {"onnx": "float32", "onnx_fp16": "float32", "onnx_int8": "int8"}.get(name)
        ratio = f"{best[name] / best[against]:.2f}" if against in best else ""
        same, difference = _like(bundle, probabilities["float32"], probabilities[name])
        cells = [
            name,
            str(runners[name].runs_on),
            f"{best[name]:.3f}",
            ratio,
            f"{_memory(bundle, name):.1f}",
            ", ".join(_accuracies(bundle, rows, answers[name])),
            f"{same:.2%}",
            f"{difference:.2g}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return lines


def _accuracies(bundle: Bundle, rows: fer2013.FaceData, answers: np.ndarray) -> list[str]:
    """By label set, over the rows that have a label in it."""
    found = []
    for each in bundle.manifest.sets:
        truth = rows.labels(each.id)
        known, own = truth >= 0, slice(*each.slice)
        right = answers[known][:, own].argmax(axis=1) == truth[known]
        found.append(f"{right.mean():.2%} {each.id} (n = {known.sum():,})")
    return found


def _like(bundle: Bundle, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Share of answers that are the same, each label set's counted by itself, and the largest |difference|."""
    own = [slice(*each.slice) for each in bundle.manifest.sets]
    same = np.concatenate([a[:, part].argmax(axis=1) == b[:, part].argmax(axis=1) for part in own])
    return float(same.mean()), float(np.abs(a - b).max())


def _memory(bundle: Bundle, variant: str) -> float:
    command = [sys.executable, "-c", _MEMORY, str(bundle.path), variant]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024 / 1024


if __name__ == "__main__":
    sys.exit(main())
