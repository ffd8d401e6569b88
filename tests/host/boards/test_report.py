"""``fer-host report``: one table and figures out of measurements; only numbers that somebody measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fer_edge.contract import bench, reference
from fer_edge.contract.bench import BenchDoc, Power
from fer_host.cli import main

REFERENCES = sorted((Path(__file__).parents[3] / "benchmarks" / "reference").glob("*.json"))


@pytest.fixture
def measured() -> BenchDoc:
    return reference.loads(REFERENCES[0].read_bytes()).entries[0]


def written(path: Path, document: BenchDoc) -> Path:
    path.write_text(bench.dumps(document))
    return path


def test_report(measured: BenchDoc, tmp_path: Path) -> None:
    power = Power("ina219 (hwmon1)", "5 V", 4.25, 31.5, 2.0, net_mj_per_frame=16.5)
    files = [
        written(tmp_path / "a.json", measured),
        written(tmp_path / "b.json", dataclasses.replace(measured, board="Pi | 4", power=power, metrics=())),
        written(tmp_path / "c.json", dataclasses.replace(measured, emulated=True, variant="int8x")),
    ]
    assert main(["report", *map(str, files), "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "report.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 3
    assert all(line.replace("\\|", "").count("|") == 15 for line in rows)
    assert sum("31.5 (16.5), ina219" in line for line in rows) == 1
    assert sum("not measured" in line for line in rows) == 2
    assert sum("**emulated**" in line for line in rows) == 1
    pictures = {path.name for path in (tmp_path / "out").glob("*.png")}
    # nobody measured both accuracy and energy of one thing
    assert pictures == {"accuracy-latency.png", "accuracy-size.png"}
    assert all((tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_no_measurement_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text("{}")
    for path in (tmp_path / "a.json", tmp_path / "absent.json"):
        assert main(["report", str(path), "--out", str(tmp_path / "out")]) == 2
        line = capsys.readouterr().err
        assert str(path) in line
        assert len(line.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_probes_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = Path(__file__).parents[2] / "device" / "data" / "tiny_int8.tflite"
    assert main(["probes", str(tiny), "--out", str(tmp_path / "p")]) == 0
    assert "operators of tiny_int8" in capsys.readouterr().out
    assert (tmp_path / "p" / "probes.json").is_file()
    assert main(["probes", str(tiny)]) == 2
    assert "--out" in capsys.readouterr().err
    (tmp_path / "x.tflite").write_bytes(b"no network")
    assert main(["probes", str(tmp_path / "x.tflite"), "--out", str(tmp_path / "q")]) == 2
    assert not (tmp_path / "q").exists()
