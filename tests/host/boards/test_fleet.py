"""Boards by percentile and the odd one: benches and tables of operators as a fleet's ``collect`` brings them."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.contract import bench, latency, reference
from fer_edge.contract.bench import BenchDoc
from fer_edge.contract.latency import LatencyDoc
from fer_host.boards import fleet
from fer_host.cli import main

ROOT = Path(__file__).parents[3]
SPREAD = (0.97, 1.02, 1.0, 0.99, 1.03, 0.98, 1.01, 1.0, 1.02, 0.99, 1.0)  # as boards of one kind differ


def measured() -> BenchDoc:
    path = min((ROOT / "benchmarks" / "reference").glob("*.json"))
    return reference.loads(path.read_bytes()).entries[0]


def table() -> LatencyDoc:
    path = min((ROOT / "benchmarks" / "latency").rglob("*.json"))
    return latency.loads(path.read_bytes())


def slower(document: BenchDoc, factor: float) -> BenchDoc:
    name = fleet.headline(document)[0]
    stage = document.stages[name]
    times = {f.name: getattr(stage, f.name) * factor for f in dataclasses.fields(stage) if f.name != "ci95_ms"}
    return dataclasses.replace(
        document,
        stages=document.stages | {name: dataclasses.replace(stage, **times)},
        fps=document.fps / factor,
        session=None,
    )


def written(folder: Path, factors: tuple[float, ...], **odd: object) -> list[str]:
    """A fleet's folder: a bench of each board; the last one differs in ``odd``."""
    files = []
    for index, factor in enumerate(factors):
        document = slower(measured(), factor)
        if index == len(factors) - 1:
            document = dataclasses.replace(document, **odd)
        files.append(folder / f"pi-{index:02}.json")
        files[-1].write_text(bench.dumps(document))
    return [str(path) for path in files]


def test_the_odd_board_is_named_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = written(tmp_path, (*SPREAD, 1.6), governor="powersave")
    assert main(["report", *files]) == 0
    text = capsys.readouterr().out
    row = next(line for line in text.splitlines() if line.startswith("| median, ms |"))
    assert row.count("pi-") == 1
    assert "pi-11 (" in row
    assert "governor powersave, most " in row
    assert "| 12 |" in row
    rate = next(line for line in text.splitlines() if line.startswith("| frames per second |"))
    assert "pi-11" in rate
    assert "z -" in rate
    assert "| PSS, MiB | 12 |" in text
    memory = next(line for line in text.splitlines() if line.startswith("| PSS, MiB |"))
    assert memory.endswith("| none |")
    assert list(tmp_path.glob("*.md")) == []  # without --out nothing is written


def test_boards_that_are_alike_have_no_odd_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = written(tmp_path, SPREAD)
    assert main(["report", *files, "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "report.md").read_text()
    assert "## Boards by percentile" in text
    assert " pi-" not in text
    few = written(tmp_path, (1.0, 1.0, 1.0, 3.0))
    assert main(["report", *few]) == 0
    assert "not asked of fewer than 5" in capsys.readouterr().out
    assert main(["report", few[0]]) == 0
    assert "percentile" not in capsys.readouterr().out  # one board is no fleet


def test_boards_of_another_kind_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = written(tmp_path, (*SPREAD, 4.0), board="Raspberry Pi Zero 2 W Rev 1.0")
    assert main(["report", *files]) == 0
    assert "pi-11" not in capsys.readouterr().out


def test_tables_of_operators(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = []
    for index, factor in enumerate((*SPREAD, 0.6)):
        document = table()
        extra = factor * document.overhead_ms
        rows = tuple(
            dataclasses.replace(r, ms_p50=extra + factor * max(r.ms_p50 - document.overhead_ms, 0))
            for r in document.rows
        )
        folder = tmp_path / f"pi-{index:02}"  # one file of the same name in a folder for each board
        folder.mkdir()
        files.append(folder / "latency.json")
        files[-1].write_text(latency.dumps(dataclasses.replace(document, overhead_ms=extra, rows=rows[index % 3 :])))
    assert main(["report", *map(str, files)]) == 0
    text = capsys.readouterr().out
    row = next(
        line for line in text.splitlines() if line.startswith("| operators, times as slow as the middle board |")
    )
    assert "pi-11/latency (0.6" in row
    assert row.count("pi-") == 1
    shown = [float(cell) for cell in row.split("|")[3:8]]
    assert shown == sorted(shown)
    assert shown[2] == pytest.approx(1, abs=0.01)


def test_what_cannot_be_read_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (good,) = written(tmp_path, (1.0,))
    bad = tmp_path / "doctor.json"
    for content in ('{"schema": "fer-edge/doctor/1"}', "[]", "no json", '{"schema": "fer-edge/latency/1"}'):
        bad.write_text(content)
        assert main(["report", good, str(bad)]) == 2
        said = capsys.readouterr().err
        assert str(bad) in said
        assert len(said.splitlines()) == 1
    assert main(["report", good, good]) == 2
    assert "given twice" in capsys.readouterr().err


def test_the_rule_on_a_table() -> None:
    """Worked by hand: median 10, MAD 1, so that 0.6745 (16 - 10) / 1 = 4.05 and 0.6745 (15 - 10) = 3.37."""
    values = {"a": 9.0, "b": 10.0, "c": 11.0, "d": 10.0, "e": 9.0, "f": 16.0}
    assert [odd.board for odd in fleet.odd_ones(values) or ()] == ["f"]
    assert fleet.scores(list(values.values()))[-1] == pytest.approx(4.047)
    assert fleet.odd_ones(values | {"f": 15.0}) == ()
    near = {name: 100 + value / 10 for name, value in values.items()}  # as far in MADs, and less than a tenth
    assert fleet.odd_ones(near) == ()
    same = dict.fromkeys("abcdef", 10.0) | {"f": 12.0}
    (odd,) = fleet.odd_ones(same) or ()
    assert (odd.board, odd.score) == ("f", math.inf)
    assert fleet.odd_ones(dict.fromkeys("abcd", 1.0)) is None


@given(st.lists(st.floats(1, 1000), min_size=5, max_size=30), st.floats(0.01, 100))
def test_odd_does_not_depend_on_the_unit(values: list[float], unit: float) -> None:
    """Nearly: a value on the border may fall to either side by rounding, so those are left out."""
    middle = float(np.median(values))
    scores = [abs(score) for score in fleet.scores(values)]
    borders = [abs(score - fleet.CUTOFF) for score in scores] + [
        abs(abs(v - middle) / middle - fleet.SHARE) for v in values
    ]
    if min(borders) < 1e-6 or float(np.median(np.abs(np.array(values) - middle))) < 1e-6:
        return
    named = {str(i): value for i, value in enumerate(values)}
    scaled = {name: value * unit for name, value in named.items()}
    assert {o.board for o in fleet.odd_ones(named) or ()} == {o.board for o in fleet.odd_ones(scaled) or ()}


def test_names() -> None:
    assert fleet.names_of([Path("fleet/pi-1.json"), Path("fleet/pi-2.json")]) == ["pi-1", "pi-2"]
    assert fleet.names_of([Path("a/x/b.json"), Path("a/y/b.json")]) == ["x/b", "y/b"]
