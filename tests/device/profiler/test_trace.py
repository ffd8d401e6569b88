"""The trace of a second: spans in the threads that did the work, nested, and as Perfetto wants them."""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fer_edge.contract.bundle import Bundle
from fer_edge.pipeline import open_pipeline, watched_stages
from fer_edge.profiler.spans import Recorder
from fer_edge.sources import open_source

Edge = Callable[..., subprocess.CompletedProcess[str]]
OneLine = Callable[..., str]
Events = dict[str, list[dict[str, Any]]]


def by_thread(document: dict[str, Any]) -> Events:
    events = document["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    found: Events = {name: [] for name in names.values()}
    for event in events:
        if event["ph"] == "X":
            found[names[event["tid"]]].append(event)  # a thread without a name fails here
    return found


def check_form(document: dict[str, Any]) -> None:
    """What the format asks for, and that spans of a thread lie inside each other or apart, to the nanosecond."""
    assert document["displayTimeUnit"] == "ms"
    for event in document["traceEvents"]:
        assert {"name", "ph", "pid", "tid", "args"} <= set(event)
        assert isinstance(event["tid"], int)
        assert event["tid"] > 0
        assert event["ph"] in ("M", "X", "C")
        assert event["ph"] == "M" or event["ts"] >= 0
    for spans in by_thread(document).values():
        open_until: list[int] = []
        for span in sorted(spans, key=lambda span: (span["ts"], -span["dur"])):
            start, end = round(span["ts"] * 1000), round((span["ts"] + span["dur"]) * 1000)
            while open_until and open_until[-1] <= start:
                open_until.pop()
            assert not open_until or end <= open_until[-1], span
            open_until.append(end)


def test_spans_of_several_threads() -> None:
    recorder = Recorder()
    recorder.add("before", 0.0, 1.0)
    assert recorder.spans == []
    recorder.is_on = True
    zero = time.perf_counter()
    third = 1 / 3e6  # ends and begins that no decimal number is
    recorder.add("outer", zero, zero + 10 * third, frame=1)
    recorder.add("first", zero, zero + 3 * third)
    recorder.add("second", zero + 3 * third, zero + 10 * third)
    recorder.add("waits", zero - 1.0, zero, recorder.track("waiting"))
    recorder.count("memory", 3.5)
    thread = threading.Thread(target=lambda: recorder.add("other", zero, zero + 1), name="sink x")
    thread.start()
    thread.join()
    document = json.loads(json.dumps(recorder.document({"board": "b"})))
    check_form(document)
    found = by_thread(document)
    assert {name: [span["name"] for span in spans] for name, spans in found.items()} == {
        "main": ["outer", "first", "second"],
        "waiting": ["waits"],
        "sink x": ["other"],
    }
    assert found["waiting"][0]["ts"] == 0
    assert found["waiting"][0]["dur"] == pytest.approx(1e6)
    assert found["main"][0]["args"] == {"frame": 1}
    assert [event["args"] for event in document["traceEvents"] if event["ph"] == "C"] == [{"memory": 3.5}]
    assert document["otherData"] == {"board": "b"}


def test_stages_are_told_inside_alone(bundle: Bundle) -> None:
    pipeline, frame = open_pipeline(bundle), next(iter(open_source("synthetic://?n=1")))
    told: list[tuple[str, float]] = []
    with watched_stages(lambda name, start, end: told.append((name, end - start))):
        reading = pipeline.read_frame(frame)
    n = len(told)
    pipeline.read_frame(frame)
    assert len(told) == n
    assert {name for name, _ in told} == set(reading.stage_ms) == {"detect", "align", "infer"}
    for name, ms in reading.stage_ms.items():
        assert sum(s for stage, s in told if stage == name) * 1000 == pytest.approx(ms)


def test_command_writes_a_second(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "trace.json"
    done = edge("bench", "--bundle", bundle.path, "--trace", target, "--threads", 1)
    assert done.returncode == 0, done.stderr
    document = json.loads(target.read_text(encoding="utf-8"))
    check_form(document)
    found = by_thread(document)
    assert set(found) == {"main", "sink jsonl", "sink csv"}
    names = {name: {span["name"] for span in spans} for name, spans in found.items()}
    assert {"capture", "frame", "track", "align", "infer", "publish"} <= names["main"]  # a search is not in each frame
    assert {"queue jsonl", "queue csv", "metrics"} <= names["main"]
    assert "write jsonl" in names["sink jsonl"]
    assert "write csv" in names["sink csv"]
    frames = [span for span in found["main"] if span["name"] == "frame"]
    for span in found["main"]:  # each inside its frame
        if span["name"] in ("infer", "publish"):
            assert any(f["ts"] <= span["ts"] and span["ts"] + span["dur"] <= f["ts"] + f["dur"] + 1e-3 for f in frames)
    assert document["otherData"]["source"] == "synthetic://"
    assert document["otherData"]["bundle_sha256"] == bundle.sha256
    assert "infer" in done.stdout
    assert "perfetto" in done.stdout


def test_live_frames_wait_in_a_row_of_their_own(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "trace.json"
    camera = ("--mode", "camera", "--source", "synthetic://?fps=20")
    done = edge("bench", "--bundle", bundle.path, "--trace", target, "--threads", 1, *camera)
    assert done.returncode == 0, done.stderr
    document = json.loads(target.read_text(encoding="utf-8"))
    check_form(document)
    found = by_thread(document)
    assert found["captured, waits for the pipeline"]
    assert "wait for a frame" in {span["name"] for span in found["main"]}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--json"], "--trace and --json"),
        (["--sweep", "threads"], "--trace and --sweep"),
        (["--mode", "model"], "--trace and --mode model"),
        (["--source", "synthetic://?n=3"], "it ended before there was anything to trace"),
    ],
)
def test_what_cannot_be_traced(
    edge: Edge, bundle: Bundle, tmp_path: Path, one_line: OneLine, more: list[str], expected: str
) -> None:
    target = tmp_path / "trace.json"
    one_line(edge("bench", "--bundle", bundle.path, "--trace", target, *more), expected)
    assert not target.exists()


def test_no_folder(edge: Edge, bundle: Bundle, tmp_path: Path, one_line: OneLine) -> None:
    one_line(edge("bench", "--bundle", bundle.path, "--trace", tmp_path / "no" / "t.json"), "no folder")
