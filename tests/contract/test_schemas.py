import json

import pytest

from fer_edge.contract import bench, evaluate, reading
from fer_edge.contract.errors import SchemaError

READING = reading.ReadingDoc(
    width=640,
    height=480,
    faces=(
        reading.FaceReadingDoc(
            (1.0, 2.0, 30.0, 40.0), {"nose": (10.0, 20.0)}, 0.9, "happiness", {"happiness": 0.8, "neutral": 0.2}
        ),
    ),
    source="file://clip.mp4",
    frame_index=3,
    t_capture_s=0.25,
    stage_ms={"detect": 1.5},
)
EVALUATE = evaluate.EvaluateDoc(
    "int8", "ferplus8", 2, 1, 0.5, 0.4, {"fear": 1.0}, ((1, 0), (1, 0)), 0.1, evaluate.WithoutDuplicates(0.5, 2)
)
TIMING = bench.StageTiming(1.0, 1.0, 1.2, 1.3, 2.0, (0.9, 1.1))
BENCH = bench.BenchDoc(
    "unknown",
    "x",
    "performance",
    1,
    bench.Runtime("ai-edge-litert", "2.3.0"),
    "a" * 64,
    "int8",
    10,
    2,
    {"infer": TIMING},
    30.0,
    {"p50": 3.0},
    bench.Memory(1, 2),
    bench.Throttled("unknown", "unknown"),
    (),
    False,
)


def test_reading_is_one_line_and_comes_back() -> None:
    line = reading.dump_line(READING)
    assert "\n" not in line
    assert json.loads(line)["schema"] == "fer-edge/reading/1"
    assert reading.load_line(line) == READING
    assert reading.dump_line(reading.load_line(line)) == line


def test_no_face_is_a_result() -> None:
    assert json.loads(reading.dump_line(reading.ReadingDoc(1, 1, (), path="a.jpg")))["faces"] == []


def test_evaluate_comes_back() -> None:
    text = evaluate.dumps(EVALUATE)
    assert evaluate.loads(text) == EVALUATE
    assert evaluate.dumps(evaluate.loads(text)) == text


def test_bench_comes_back_and_unmeasured_power_is_null() -> None:
    text = bench.dumps(BENCH)
    assert json.loads(text)["power"] is None
    assert bench.dumps(bench.loads(text)) == text
    assert bench.loads(text) == BENCH


def test_a_wrong_field_is_named() -> None:
    data = json.loads(bench.dumps(BENCH))
    data["stages"]["infer"]["ci95_ms"] = [1.0]
    with pytest.raises(SchemaError, match=r"^bench\.stages\.infer\.ci95_ms: found 1 values, expected 2"):
        bench.loads(json.dumps(data))
