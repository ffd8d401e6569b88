"""Is int4 storage slower here? A mixed file with int8 weights against one with int4 where all channels have <= 4 bits.

    .venv/bin/python benchmarks/int4.py dist/hawqc_mbv2

HAWQC stores a layer as int4 only where this says "not slower" on the target. Both files are timed in turns, one thread,
in one process; their answers must be the same integers.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from fer_edge.classifier.runner import LiteRunner
from fer_edge.contract.bundle import open_bundle
from fer_edge.errors import RunnerError
from written import write

N = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    bundle = open_bundle(parser.parse_args().bundle)
    variant = bundle.manifest.variant("mixed")
    content = bundle.read(variant.file)
    smaller, n_layers, n_weights = with_int4(content)
    try:
        runners = {
            "int8": LiteRunner(content, variant),
            "int4": LiteRunner(smaller, dataclasses.replace(variant, min_runtime="")),
        }
    except RunnerError as error:
        print(f"int4: this runtime does not load it: {error}")
        return
    face = np.random.default_rng(0).normal(size=variant.input.shape).astype(np.float32)
    answers = {name: runner.raw(face) for name, runner in runners.items()}
    print(f"largest difference of outputs: {int(np.abs(answers['int8'].astype(int) - answers['int4']).max())}")
    times: dict[str, list[int]] = {name: [] for name in runners}
    for i in range(N):
        for name in sorted(runners, reverse=bool(i % 2)):
            start = perf_counter_ns()
            runners[name].raw(face)
            times[name].append(perf_counter_ns() - start)
    ratio = statistics.median(times["int4"]) / statistics.median(times["int8"])
    text = (
        "# int4 storage\n\n`benchmarks/int4.py`: a mixed network with int8 weights against one with int4 where all "
        f"channels of a layer have 4 bits or fewer; medians of {N} inferences in turns.\n\n"
        "| layers as int4 | weights as int4 | int8 file, bytes | int4 file, bytes | time, ratio to int8 |\n"
        "|---|---|---|---|---|\n"
        f"| {n_layers} | {n_weights:,} | {len(content):,} | {len(smaller):,} | {ratio:.2f} |\n"
    )
    write(Path(__file__).parent / "results" / "int4.md", text)
    print(text)


def with_int4(content: bytes) -> tuple[bytes, int, int]:
    """The file with every weight tensor whose integers are within -8 to 7 stored as int4, two in a byte."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model: Any = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    graph = model.subgraphs[0]
    n_layers = n_weights = 0
    for op in graph.operators:
        kind = flatbuffer_utils.opcode_to_name(model, op.opcodeIndex)
        if kind not in ("CONV_2D", "FULLY_CONNECTED"):
            continue
        tensor = graph.tensors[op.inputs[1]]
        values = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.int8)
        if tensor.type != schema.TensorType.INT8 or values.min() < -8 or values.max() > 7:
            continue
        padded = np.append(values, np.zeros(len(values) % 2, np.int8)).astype(np.uint8) & 15
        model.buffers[tensor.buffer].data = (padded[0::2] | padded[1::2] << 4).astype(np.uint8)
        tensor.type = schema.TensorType.INT4
        n_layers, n_weights = n_layers + 1, n_weights + len(values)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)), n_layers, n_weights


if __name__ == "__main__":
    main()
