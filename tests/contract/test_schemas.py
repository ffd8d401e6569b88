import dataclasses
import json
from datetime import datetime, timedelta

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


def test_times_and_places_of_a_reading_come_back() -> None:
    timed = dataclasses.replace(
        READING,
        time=reading.wall_time(1_764_194_400.1234),
        t_media_s=4.69,
        published_s=0.3,
        faces=(dataclasses.replace(READING.faces[0], zone="door", shift={"happiness": 0.4}),),
    )
    line = reading.dump_line(timed)
    assert reading.load_line(line) == timed
    assert json.loads(line)["time"] == "2025-11-26T22:00:00.123+00:00"


def test_a_line_of_the_first_version_is_still_read() -> None:
    """As 0.1.0 wrote it, before readings said when they were."""
    line = (
        '{"schema": "fer-edge/reading/1", "width": 64, "height": 48, "faces": [], "source": "file://a.mp4", '
        '"frame_index": 7, "t_capture_s": 12.5, "stage_ms": {"detect": 1.5}}'
    )
    assert reading.load_line(line).frame_index == 7
    assert reading.dump_line(reading.load_line(line)) == line


def test_wall_times_sort_as_text_and_are_read_by_python() -> None:
    times = [reading.wall_time(t_s) for t_s in (0, 0.0005, 1_761_440_399.9996, 1_761_440_400, 4_000_000_000)]
    assert times == sorted(times)
    for text in times:
        assert datetime.fromisoformat(text).utcoffset() == timedelta(0)
