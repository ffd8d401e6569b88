"""Readings as a table: header, one row per face, appended, never torn, read back by csv and (where it is) pandas."""

from __future__ import annotations

import csv
import dataclasses
import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.contract.bundle import Bundle
from fer_edge.contract.reading import FaceReadingDoc, ReadingDoc, load_line
from fer_edge.errors import UsageError
from fer_edge.sinks.csv_file import CsvSink, columns, row_of, rows
from fer_edge.types import FaceBox, FaceReading, Frame, FrameReading

Edge = Callable[..., "subprocess.CompletedProcess[str]"]
LABELS = ("happiness", "neutral")
HEAD = row_of(columns(LABELS))


def a_reading(index: int = 0, n: int = 1, source: str = "file://a.mp4") -> FrameReading:
    frame = Frame(np.zeros((48, 64, 3), np.uint8), index, 12.5, source, t_media_s=index / 25)
    box = FaceBox((-8.0, 8.5, 20.0, 20.0), {}, 0.9)
    faces = tuple(FaceReading(box, "happiness", {"happiness": 0.75, "neutral": 0.25}, i + 1, False) for i in range(n))
    return FrameReading(frame, faces)


def table(content: bytes | str) -> list[dict[str, str]]:
    text = content if isinstance(content, str) else content.decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_row_per_face_under_one_header(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    for first in (0, 3):  # two runs
        with CsvSink(str(out), LABELS) as sink:
            for index, n in enumerate((1, 0, 2), first):
                sink.publish(a_reading(index, n).published())
    lines = out.read_bytes().split(b"\r\n")
    assert lines[0] == (
        b"time,t_media_s,frame_index,source,track,label,uncertain,score,x,y,w,h,"
        b"p_happiness,p_neutral,shift_happiness,shift_neutral,zone"
    )
    assert lines[-1] == b""
    found = table(out.read_bytes())
    assert [(row["frame_index"], row["track"]) for row in found] == [
        ("0", "1"), ("2", "1"), ("2", "2"), ("3", "1"), ("5", "1"), ("5", "2")
    ]  # fmt: skip
    assert found[1] | {"time": ""} == {
        "time": "", "t_media_s": "0.08", "frame_index": "2", "source": "file://a.mp4", "track": "1",
        "label": "happiness", "uncertain": "false", "score": "0.9", "x": "-8.0", "y": "8.5", "w": "20.0", "h": "20.0",
        "p_happiness": "0.75", "p_neutral": "0.25", "shift_happiness": "", "shift_neutral": "", "zone": "",
    }  # fmt: skip
    assert found[1]["time"].endswith("+00:00")


def test_the_header_is_there_without_a_face(tmp_path: Path) -> None:
    with CsvSink(str(tmp_path / "out.csv"), LABELS) as sink:
        sink.publish(a_reading(0, 0))
    assert (tmp_path / "out.csv").read_bytes() == HEAD


def test_the_same_numbers_as_in_the_json_lines(tmp_path: Path, bundle: Bundle, edge: Edge) -> None:
    lines, out = tmp_path / "out.jsonl", tmp_path / "out.csv"
    source = "synthetic://?n=8&width=320&height=240&faces=2"
    done = edge("run", "--source", source, "--jsonl", lines, "--csv", out, "--bundle", bundle.path)
    assert done.returncode == 0, done.stderr
    expected = [
        (reading.time, str(reading.t_media_s), str(reading.frame_index), str(face.track), face.label,
         *map(str, face.box), *(str(p) for p in face.probabilities.values()))
        for reading in map(load_line, lines.read_text().splitlines()) for face in reading.faces
    ]  # fmt: skip
    names = ("time", "t_media_s", "frame_index", "track", "label", "x", "y", "w", "h")
    names += tuple(f"p_{name}" for name in bundle.manifest.labels)
    assert [tuple(row[name] for name in names) for row in table(out.read_bytes())] == expected
    assert len(expected) >= 8


def test_to_standard_output(bundle: Bundle, edge: Edge) -> None:
    done = edge("run", "--source", "synthetic://?n=3&width=320&height=240", "--csv", "-", "--bundle", bundle.path)
    assert done.returncode == 0, done.stderr
    assert len(table(done.stdout)) == 3


def test_a_row_that_was_torn_is_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture, logged: None) -> None:
    out = tmp_path / "out.csv"
    with CsvSink(str(out), LABELS) as sink:
        sink.publish(a_reading(0, 3))
    whole = out.read_bytes()
    for torn in (whole[:-1], whole[:-20], whole[: len(HEAD) + 5], whole[: len(HEAD) - 4], whole[:3]):
        out.write_bytes(torn)
        with CsvSink(str(out), LABELS) as sink:
            sink.publish(a_reading(7))
        found = table(out.read_bytes())
        assert found[-1]["frame_index"] == "7"
        assert all(row["zone"] == "" and row["p_neutral"] == "0.25" for row in found)  # none short, none doubled
        assert whole.startswith(out.read_bytes()[: len(HEAD)])
    assert "cut off an unfinished row" in caplog.text


def test_a_last_row_without_an_end_is_kept(tmp_path: Path) -> None:
    """Some editors leave the last line break out."""
    out = tmp_path / "out.csv"
    with CsvSink(str(out), LABELS) as sink:
        sink.publish(a_reading(0, 2))
    out.write_bytes(out.read_bytes().replace(b"\r\n", b"\n")[:-1])
    with CsvSink(str(out), LABELS) as sink:
        sink.publish(a_reading(7))
    assert [row["frame_index"] for row in table(out.read_bytes())] == ["0", "0", "7"]


@pytest.mark.parametrize(
    "content", [b"\x00\x00\x00 ftypisom", b"time,label\r\n", b"a note\n", HEAD.replace(b"p_", b"q_")]
)
def test_another_file_is_left_alone(tmp_path: Path, content: bytes, bundle: Bundle, edge: Edge, one_line: Any) -> None:
    out = tmp_path / "notes"
    out.write_bytes(content)
    done = edge("run", "--source", "synthetic://?n=3", "--csv", out, "--bundle", bundle.path)
    one_line(done, f"--csv {out}: begins with ", "expected a new file")
    assert out.read_bytes() == content


def test_log_rotation_by_copytruncate_keeps_a_header(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with CsvSink(str(out), LABELS) as sink:
        sink.publish(a_reading(0))
        os.truncate(out, 0)
        sink.publish(a_reading(1))
    assert [row["frame_index"] for row in table(out.read_bytes())] == ["1"]


def test_killed_writer_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    code = """
import sys, numpy as np
from fer_edge.sinks.csv_file import CsvSink
from fer_edge.types import FaceBox, FaceReading, Frame, FrameReading
sink = CsvSink(sys.argv[1], ("a", "b"))
face = FaceReading(FaceBox((1, 2, 3, 4), {}, 0.5), "a", {"a": 0.9, "b": 0.1})
for index in range(10**9):
    sink.publish(FrameReading(Frame(np.zeros((9, 9, 3), np.uint8), index, 0.0, "x"), (face, face)))
    print(index, flush=True)"""
    out = tmp_path / "out.csv"
    process = subprocess.Popen([sys.executable, "-c", code, out], stdout=subprocess.PIPE, env=os.environ)
    assert process.stdout is not None
    last = [int(process.stdout.readline()) for _ in range(500)][-1]
    process.kill()
    last = int((process.stdout.read().split() or [last])[-1])
    process.wait()
    with CsvSink(str(out), ("a", "b")):  # what was torn, if anything was, goes
        found = table(out.read_bytes())
    assert [int(row["frame_index"]) for row in found][: 2 * last + 2] == [i // 2 for i in range(2 * last + 2)]
    assert all(row["p_b"] == "0.1" for row in found)


def test_full_disk_is_an_error_where_readings_must_be_complete() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(UsageError, match="--csv /dev/full: No space left"):
        CsvSink("/dev/full", LABELS).publish(a_reading())


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20), st.none() | st.floats(0, 1e6))
def test_any_text_comes_back(name: str, t_s: float | None) -> None:
    face = FaceReadingDoc((0.0, 1.0, 2.0, 3.0), {}, 0.5, name, {"happiness": 1.0}, zone=name, shift={"neutral": -0.5})
    reading = ReadingDoc(9, 9, (face,), source=f'{name}"\r\n,', frame_index=1, t_media_s=t_s)
    content = HEAD + b"".join(map(row_of, rows(reading, LABELS)))
    (row,) = table(content)
    assert (row["source"], row["label"], row["zone"]) == (f'{name}"\r\n,', name, name)
    assert row["t_media_s"] == ("" if t_s is None else str(t_s))
    assert (row["p_happiness"], row["p_neutral"], row["shift_neutral"]) == ("1.0", "", "-0.5")


def test_pandas_reads_it(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    out = tmp_path / "out.csv"
    with CsvSink(str(out), LABELS) as sink:
        for index in range(3):
            sink.publish(dataclasses.replace(a_reading(index)).published())
    frame = pandas.read_csv(out, parse_dates=["time"])
    assert "datetime64" in str(frame.time.dtype)
    assert "UTC" in str(frame.time.dtype)
    assert frame.uncertain.dtype == bool
    assert frame.p_happiness.sum() == pytest.approx(2.25)
    assert frame.shift_neutral.isna().all()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's own log settings, of another test, must not hide records from caplog."""
    monkeypatch.setattr(logging.getLogger("fer_edge"), "propagate", True)
