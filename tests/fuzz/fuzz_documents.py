"""JSON documents that programs hand each other: readings, bench, reference, latency tables, evaluations."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from damage import damage_json, one_of
from harness import Case, one_line

from fer_edge.contract import bench, evaluate, latency, reading, reference
from fer_edge.errors import EdgeError

SILENT = True
ROOT = Path(__file__).parents[2]


def a_reading() -> str:
    face = reading.FaceReadingDoc(
        (1.0, 2.0, 30.0, 40.0), {"nose": (10.0, 20.0)}, 0.9, "anger", {"anger": 0.75, "happiness": 0.25}
    )
    return reading.dump_line(reading.ReadingDoc(640, 480, (face, face), "synthetic://", frame_index=3, t_capture_s=0.2))


def an_evaluation() -> str:
    return evaluate.dumps(
        evaluate.EvaluateDoc(
            "int8", "ferplus8", 2, 1, 0.5, 0.4, {"fear": 1.0}, ((1, 0), (1, 0)), 0.1, evaluate.WithoutDuplicates(0.5, 2)
        )
    )


def documents() -> list[tuple[Callable[[bytes], Any], Any]]:
    """Readers, each with a sound document."""
    table = json.loads((ROOT / "benchmarks/latency/x86_64.json").read_text())
    table["rows"] = table["rows"][:4]
    board = json.loads(next((ROOT / "benchmarks/reference").glob("*.json")).read_text())
    board["entries"] = board["entries"][:2]  # the others are of the same shape
    measured = next(value for value in _values(board) if isinstance(value, dict) and "stages" in value)
    return [
        (reading.load_line, json.loads(a_reading())),
        (evaluate.loads, json.loads(an_evaluation())),
        (bench.loads, {"schema": "fer-edge/bench/1"} | measured),
        (reference.loads, board),
        (latency.loads, table),
    ]


def _values(node: Any) -> Iterator[Any]:
    yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _values(value)


@contextmanager
def cases(folder: Path) -> Iterator[Case]:
    bases = documents()
    for load, document in bases:
        load(json.dumps(document).encode())

    def case(rng: np.random.Generator, _: int) -> str:
        load, document = one_of(rng, bases)
        try:
            load(damage_json(rng, document))
        except EdgeError as error:
            one_line(str(error))
            return "refused"
        return "read"

    yield case
