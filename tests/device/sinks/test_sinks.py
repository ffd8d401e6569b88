"""The fan-out, JSON lines on a full disk, metrics, blurred faces."""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import web_helpers as helpers

from fer_edge.contract.bundle import Bundle
from fer_edge.contract.reading import load_line
from fer_edge.detectors.blazeface import BlazeFace
from fer_edge.errors import UsageError
from fer_edge.pictures.annotate import annotate, blur_faces
from fer_edge.sinks.fanout import Fanout, QueuedSink
from fer_edge.sinks.jsonl import JsonlSink
from fer_edge.sinks.metrics import BUCKETS_S, CONTENT_TYPE, MetricsSink
from fer_edge.sinks.running import Running
from fer_edge.sinks.summary import summarize_faces
from fer_edge.types import FaceBox, FaceReading, Frame, FrameReading, RgbImage, Status


@pytest.fixture(autouse=True)
def logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's own log settings, of another test, must not hide records from caplog."""
    monkeypatch.setattr(logging.getLogger("fer_edge"), "propagate", True)


def a_reading(index: int = 0, *labels: str) -> FrameReading:
    frame = Frame(np.zeros((48, 64, 3), np.uint8), index, time.monotonic(), "test")
    box = FaceBox((8.0, 8.0, 20.0, 20.0), {}, 0.9)
    faces = tuple(FaceReading(box, label, {"happiness": 0.2, "anger": 0.2} | {label: 0.8}) for label in labels)
    return FrameReading(frame, faces, {"detect": 12.0})


class Listening:
    """A sink that does as it is told."""

    def __init__(self, name: str = "listening") -> None:
        self.name, self.dropped, self.got = name, 0, list[int]()
        self.go, self.error, self.closed = threading.Event(), None, 0
        self.go.set()
        self.error: Exception | None
        self.states: list[Status] = []
        self.readings: list[FrameReading] = []

    def publish(self, reading: FrameReading) -> None:
        self.go.wait()
        if self.error:
            raise self.error
        self.got.append(reading.frame.index)
        self.readings.append(reading)

    def status(self, status: Status) -> None:
        self.states.append(status)

    def close(self) -> None:
        self.closed += 1


def test_a_slow_sink_gets_the_newest_and_delays_nobody() -> None:
    slow, quick = Listening("slow"), Listening("quick")
    queued = QueuedSink(slow, capacity=4)
    fanout = Fanout([queued, quick])
    slow.go.clear()
    fanout.publish(a_reading(0))
    helpers.until(lambda: not queued._waiting, "the first is being delivered")
    for index in range(1, 101):
        fanout.publish(a_reading(index))
    assert quick.got == list(range(101))  # the slow one has not even taken its first
    assert slow.got == []
    assert fanout.dropped_by_sink == {"slow": 96, "quick": 0}
    slow.go.set()
    fanout.close()
    assert slow.got == [0, 97, 98, 99, 100]
    assert (slow.closed, quick.closed) == (1, 1)
    blank = slow.readings[-1].frame.image
    assert (blank.shape, blank.strides) == ((48, 64, 3), (0, 0, 0))  # no picture is kept waiting


def test_a_sink_that_never_returns_does_not_hold_up_the_end() -> None:
    stuck = Listening()
    queued = QueuedSink(stuck, capacity=4, close_s=0.1)
    stuck.go.clear()
    for index in range(4):
        queued.publish(a_reading(index))
    started = time.monotonic()
    queued.close()
    assert time.monotonic() - started < 10
    assert queued.dropped == 3
    queued.publish(a_reading(9))
    assert queued.dropped == 4
    stuck.go.set()


def test_an_error_in_one_sink_stays_there(caplog: pytest.LogCaptureFixture) -> None:
    broken, good = Listening("broken"), Listening("good")
    broken.error = ValueError("of a test")
    fanout = Fanout([broken, QueuedSink(good)])
    for index in range(50):
        fanout.publish(a_reading(index))
    status = Status("running", "test")
    fanout.status(status)
    fanout.close()
    assert good.got == list(range(50))
    assert good.states == [status]
    assert fanout.dropped_by_sink == {"broken": 50, "good": 0}
    assert len([record for record in caplog.records if "of a test" in record.getMessage()]) == 1


def test_reader_of_standard_output_that_goes_ends_the_run() -> None:
    gone = Listening()
    gone.error = BrokenPipeError()
    queued = QueuedSink(gone)
    queued.publish(a_reading())
    helpers.until(lambda: queued._thread.is_done, "it is noticed in the thread")
    with pytest.raises(BrokenPipeError):
        queued.publish(a_reading())
    queued.close()
    with pytest.raises(BrokenPipeError):
        Fanout([gone]).publish(a_reading())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("cannot mount a small disk here: needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_full_disk_drops_counts_and_resumes(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 40_000)
    out = small_disk / "out.jsonl"
    acknowledged = []
    with JsonlSink(str(out), strict=False) as sink:
        for index in range(400):
            if index == 300:
                assert sink.dropped > 100
                filler.unlink()
            before = sink.dropped
            sink.publish(a_reading(index, "happiness"))
            if sink.dropped == before:
                acknowledged.append(index)
        dropped = sink.dropped
    lines = out.read_text().splitlines()
    assert [load_line(line).frame_index for line in lines] == acknowledged  # each line whole, none lost, none doubled
    assert len(acknowledged) + dropped == 400
    assert 300 in acknowledged
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "No space left" in said[0]
    assert f"{dropped} readings were dropped" in said[1]


def test_full_disk_is_an_error_where_readings_must_be_complete() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with JsonlSink("/dev/full") as sink, pytest.raises(UsageError, match="No space left"):
        sink.publish(a_reading())


def test_line_torn_by_a_kill_does_not_spoil_the_next(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text('{"schema": "fer-edge/rea')
    with JsonlSink(str(out)) as sink:
        sink.publish(a_reading(7))
        sink.publish(a_reading(8))
    lines = out.read_text().splitlines()
    assert len(lines) == 3
    assert [load_line(line).frame_index for line in lines[1:]] == [7, 8]


def test_killed_writer_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    code = """
import sys, time, numpy as np
from fer_edge.sinks.jsonl import JsonlSink
from fer_edge.types import Frame, FrameReading
sink = JsonlSink(sys.argv[1])
for index in range(10**9):
    sink.publish(FrameReading(Frame(np.zeros((9, 9, 3), np.uint8), index, 0.0, "x"), ()))
    print(index, flush=True)"""
    out = tmp_path / "out.jsonl"
    process = subprocess.Popen([sys.executable, "-c", code, out], stdout=subprocess.PIPE, env=os.environ)
    assert process.stdout is not None
    last = [int(process.stdout.readline()) for _ in range(500)][-1]
    process.kill()
    last = int((process.stdout.read().split() or [last])[-1])
    process.wait()
    assert [load_line(line).frame_index for line in out.read_text().splitlines()][: last + 1] == list(range(last + 1))


def test_summary_of_faces() -> None:
    none = summarize_faces(())
    assert (none.faces, none.dominant, none.probability) == (0, None, None)
    three = summarize_faces(a_reading(0, "anger", "anger", "happiness").faces)
    assert (three.faces, three.dominant, three.counts) == (3, "anger", {"anger": 2, "happiness": 1})
    assert three.probability == pytest.approx(0.6)


def test_metrics_are_what_prometheus_reads() -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is not installed")
    sink = MetricsSink(Running('a"b\\c\nd', "1", "int8", "mtcnn"), labels=("anger", "happiness"))
    for index in range(5):
        sink.publish(a_reading(index, *["anger", "anger"][: index % 3]).published())
    old = dataclasses.replace(a_reading(5).frame, t_capture_s=time.monotonic() - 3)
    old = dataclasses.replace(old, t_media_s=4.2, damaged=True)
    sink.publish(FrameReading(old, (), {"detect": 12.0}).published())
    sink.status(
        Status("waiting", "x", dropped={"source": 3, "mqtt": 1}, temperature_c=61.5, throttled="hot", corrupt=2)
    )
    text = sink.text()
    assert text.endswith("\n")
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    values = {(s.name, *sorted(s.labels.items())): s.value for family in families.values() for s in family.samples}
    assert values["fer_edge_frames_total",] == 6
    assert values["fer_edge_frames_with_face_total",] == 3
    assert values["fer_edge_frames_damaged_total",] == 1
    assert values["fer_edge_media_seconds",] == 4.2
    assert values["fer_edge_faces_total", ("expression", "anger")] == 4
    assert values["fer_edge_faces_total", ("expression", "happiness")] == 0
    assert values["fer_edge_dropped_total", ("place", "source")] == 3
    assert values["fer_edge_state", ("state", "waiting")] == 1
    assert values["fer_edge_state", ("state", "running")] == 0
    assert values["fer_edge_temperature_celsius",] == 61.5
    assert values["fer_edge_last_capture_timestamp_seconds",] == pytest.approx(time.time() - 3, abs=2)
    assert values["fer_edge_throttled",] == 1
    (info,) = families["fer_edge_build_info"].samples
    assert info.labels["model"] == 'a"b\\c\nd'
    age = families["fer_edge_frame_age_seconds"]
    assert age.type == "histogram"
    buckets = [s.value for s in age.samples if s.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert len(buckets) == len(BUCKETS_S) + 1
    assert buckets[-1] == 6
    assert buckets[-3] == 5  # the old one is above 2.5 s and below 5 s
    assert values["fer_edge_stage_seconds_sum", ("stage", "detect")] == pytest.approx(0.072)
    for family in families.values():  # every family explained; no name with a unit that is none of the base ones
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        assert not family.name.endswith(("_ms", "_percent", "_mb"))
        assert not {label for s in family.samples for label in s.labels} & {"pid", "face", "track"}
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_metrics_of_a_board_without_sensors_have_no_such_lines() -> None:
    sink = MetricsSink()
    sink.status(Status("running", "x"))
    assert "celsius" not in sink.text()
    assert "fer_edge_throttled" not in sink.text()  # nothing known is not 0
    sink.status(Status("running", "x", tells_throttling=True))
    assert "fer_edge_throttled 0" in sink.text()


def face_of(astronaut: RgbImage, blazeface: BlazeFace) -> FaceReading:
    (face,) = blazeface.detect(astronaut)
    return FaceReading(face, "happiness", {"happiness": 1.0})


def test_blurred_face_is_gone_and_the_rest_stays(astronaut: RgbImage, blazeface: BlazeFace) -> None:
    reading = face_of(astronaut, blazeface)
    before = astronaut.copy()
    blurred = blur_faces(astronaut, [reading.face])
    assert np.array_equal(astronaut, before)
    assert blazeface.detect(blurred) == []
    x, y, w, h = (round(value) for value in reading.face.box)
    inside = blurred[y : y + h, x : x + w].astype(float)
    # next to no detail finer than a sixth of the face is left
    detail = cv2.Laplacian(inside.mean(axis=2), cv2.CV_64F).std()
    assert detail < 0.1 * cv2.Laplacian(astronaut[y : y + h, x : x + w].mean(axis=2), cv2.CV_64F).std()
    assert np.array_equal(blurred[:, 400:], astronaut[:, 400:])
    drawn = annotate(astronaut, [reading], blur=True)
    assert blazeface.detect(drawn) == []


@pytest.mark.parametrize(
    "box", [(-50, -50, 40, 40), (-20, -20, 60, 60), (500, 500, 60, 60), (600, 600, 9, 9), (0, 0, 0, 0)]
)
def test_blur_at_the_edges(box: tuple[float, ...], astronaut: RgbImage) -> None:
    x, y, w, h = box
    reading = FaceReading(FaceBox((x, y, w, h), {}, 0.9), "anger", {"anger": 1.0})
    assert blur_faces(astronaut, [reading.face]).shape == astronaut.shape


def test_blurred_picture_of_a_photo(
    edge: Callable[..., subprocess.CompletedProcess[str]],
    bundle: Bundle,
    photo_path: Callable[[str], Path],
    blazeface: BlazeFace,
    tmp_path: Path,
) -> None:
    out = tmp_path / "blurred.png"
    photo = photo_path("astronaut.png")
    assert edge("image", photo, "--annotate", out, "--blur", "--bundle", bundle.path).returncode == 0
    assert blazeface.detect(np.ascontiguousarray(cv2.imread(str(out))[:, :, ::-1])) == []
