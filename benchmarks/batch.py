"""Several faces in one batch or in turn: the classifier's time a face both ways, by number of faces.

python benchmarks/batch.py dist/hawqc_mbv2   (writes benchmarks/results/batch.md)
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from clips import machine
from fer_edge.classifier.runtime import open_interpreter
from fer_edge.contract.bundle import Bundle, open_bundle
from written import write

FACES = (1, 2, 4, 8)
ROUNDS, WARMUP = 40, 5


def main() -> int:
    """Times three ways, interleaved: in turn; one batch of a kept size; a batch whose size changes every frame."""
    bundle = open_bundle(Path(sys.argv[1]))
    lines = [
        f"# Several faces: in turn or in one batch\n\n`benchmarks/batch.py`, {bundle.manifest.model_id}; {machine()}. "
        f"Median of {ROUNDS} after {WARMUP}, ms a frame, the ways interleaved.\n",
        "| variant | faces | in turn | one batch, size kept | one batch, resized for the frame | same answers |",
        "|---|---|---|---|---|---|",
    ]
    for variant in ("int8", "float32"):
        lines += [_row(bundle, variant, faces) for faces in FACES]
    text = "\n".join(lines) + "\n"
    write(Path(__file__).parent / "results" / "batch.md", text)
    print(text)
    return 0


def _row(bundle: Bundle, name: str, faces: int) -> str:
    variant = bundle.manifest.variant(name)
    model, shape = bundle.read(variant.file), variant.input.shape[1:]
    single = open_interpreter(model, name)
    try:
        kept = open_interpreter(model, name, input_shape=(faces, *shape))
        resized = open_interpreter(model, name)
        random = np.random.default_rng(0)
        inputs: Any = random.normal(size=(faces, *shape)).astype(np.float32)
        if variant.input.dtype == "int8":
            inputs = np.clip(inputs * 40, -128, 127).astype(np.int8)
        ways = {
            "turn": lambda: np.concatenate([_run(single, row[None]) for row in inputs]),
            "kept": lambda: _run(kept, inputs),
            "resized": lambda: _resized(resized, inputs),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        answers = {}
        for i in range(WARMUP + ROUNDS):
            for way, run in ways.items():
                if way == "resized":  # the frame before had another number of faces
                    _resize(resized, (faces + 1, *shape))
                started = time.perf_counter()
                answers[way] = run()
                if i >= WARMUP:
                    times[way].append((time.perf_counter() - started) * 1000)
        ms = {way: statistics.median(values) for way, values in times.items()}
        same = all(np.allclose(answers["turn"], other, atol=1) for other in answers.values())
        cells = (f"{ms[way]:.2f}" for way in ways)
        return f"| {name} | {faces} | {' | '.join(cells)} | {'yes' if same else 'no'} |"
    except (RuntimeError, ValueError) as error:
        return f"| {name} | {faces} | - | the file does not take a batch: {str(error).splitlines()[0][:80]} | - | - |"


def _run(interpreter: Any, rows: Any) -> Any:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], rows)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def _resize(interpreter: Any, shape: tuple[int, ...]) -> None:
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], shape)
    interpreter.allocate_tensors()


def _resized(interpreter: Any, rows: Any) -> Any:
    _resize(interpreter, rows.shape)
    return _run(interpreter, rows)


if __name__ == "__main__":
    sys.exit(main())
