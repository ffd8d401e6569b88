"""Tables of benchmarks/hawqc.py and arm_kernels.py: what need not be measured again, what is drawn together."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def hawqc() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        spec = importlib.util.spec_from_file_location("hawqc_benchmark", BENCHMARKS / "hawqc.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, spec.name, module)  # its dataclasses look it up
        spec.loader.exec_module(module)
        yield module


@pytest.fixture
def written(hawqc: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where rows, report and pictures go."""
    for name in ("ROWS", "REPORT", "FIGURES"):
        monkeypatch.setattr(hawqc, name, tmp_path / name.lower())
    (tmp_path / "figures").mkdir()
    return tmp_path


def row(module: ModuleType, **changes: object) -> Any:
    both = {"ferplus8": 0.8, "fer7": 0.6}
    first = module.Row(
        recipe="a", source_sha256="11" * 32, allocator="knapsack", asked=9.0, compression=9.01, epochs=1,
        proxy_loss=0.5, bound=0.4, held_out_loss=0.7, search_s=2.0, traces_s=123.0, tuning_min=3.0, before=both,
        after=both, answers={"ferplus8": "1110", "fer7": "0110"}, effective_bytes=1024.0 * 100, tflite_bytes=4096,
        at_rest_bytes=2048, time_ratio=1.04,
    )  # fmt: skip
    return dataclasses.replace(first, **changes)


def test_a_row_is_measured_once_for_its_weights_budget_and_epochs(
    hawqc: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hawqc, "ROWS", tmp_path / "rows.jsonl")
    first = row(hawqc)
    assert hawqc.is_missing(first.key)
    hawqc.keep(first)
    assert hawqc.read_rows() == [first]
    assert not hawqc.is_missing(first.key)
    for change in ({"source_sha256": "22" * 32}, {"epochs": 3}, {"asked": 12.0}, {"allocator": "haq"}, {"recipe": "b"}):
        assert hawqc.is_missing(row(hawqc, **change).key), change


def test_the_report_has_float_times_and_what_the_traces_took(hawqc: Any, written: Path) -> None:
    floating = row(hawqc, allocator="float", asked=1.0, compression=1.0, epochs=0, traces_s=None, time_ratio=2.07)
    rows = [row(hawqc), row(hawqc, recipe="b"), row(hawqc, epochs=3), row(hawqc, asked=12.0, effective_bytes=5.0)]
    for each in (floating, *rows):
        hawqc.keep(each)
    hawqc.write_report()
    lines = (written / "report").read_text().splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert len({len(cells) for cells in table}) == 1
    times = {cells[1]: cells[table[0].index("time / int8's")] for cells in table[2:]}
    assert times == {"float": "2.07", "knapsack": "1.04"}
    assert sum("traces: 123 s, shared by knapsack, hawq_v2, thresholds, uniform" in line for line in lines) == 2
    assert sorted(path.name for path in (written / "figures").iterdir()) == [
        f"hawqc-sizes-{name}.png" for name in ("a-1", "a-3", "b-1")
    ]


def test_a_row_is_compared_with_the_knapsack_of_its_budget_and_tuning_on_the_same_images(
    hawqc: Any, written: Path
) -> None:
    ours, longer = row(hawqc), row(hawqc, epochs=3, answers={"ferplus8": "1111", "fer7": "1111"})
    floating = row(hawqc, allocator="float", asked=9.0)
    haq = row(hawqc, allocator="haq", answers={"ferplus8": "0110", "fer7": "0111"})
    rows = [longer, ours, floating, haq, row(hawqc, allocator="uniform", asked=12.0)]
    assert [hawqc.knapsack_beside(each, rows) for each in rows] == [None, None, None, ours, None]
    for each in (ours, haq):
        hawqc.keep(each)
    hawqc.write_report()
    lines = (written / "report").read_text().splitlines()
    cells = next(line for line in lines if line.startswith("| a | haq")).split("|")
    assert [cell.split("(")[0].strip() for cell in cells if "to" in cell] == ["+25.00", "-25.00"]


def test_networks_and_tunings_are_no_one_line(hawqc: Any) -> None:
    rows = [row(hawqc, allocator="float", epochs=0), row(hawqc), row(hawqc, effective_bytes=0.0), row(hawqc, epochs=3)]
    rows += [row(hawqc, allocator="uniform", effective_bytes=2048.0), row(hawqc, allocator="3 bits")]
    assert hawqc.points_of([*rows, row(hawqc, recipe="b")]) == {
        ("a", 1): {"knapsack": [(100.0, 0.8), (0.0, 0.8)], "one width": [(2.0, 0.8), (100.0, 0.8)]},
        ("a", 3): {"knapsack": [(100.0, 0.8)]},
        ("b", 1): {"knapsack": [(100.0, 0.8)]},
    }


def test_a_line_of_the_file_says_everything(hawqc: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hawqc, "ROWS", tmp_path / "rows.jsonl")
    hawqc.keep(row(hawqc))
    found = json.loads((tmp_path / "rows.jsonl").read_text())
    assert found.keys() == {field.name for field in dataclasses.fields(hawqc.Row)}
    assert {"source_sha256", "traces_s", "time_ratio"} <= found.keys()


def test_arm_kernels_measure_the_default_variant_by_both_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    runs = importlib.import_module("arm_kernels").RUNS
    assert {wheels for wheels, _, variants in runs if "mixed" in variants} == {"litert", "tflite"}
    boards = {cpu for _, cpu, _ in runs}
    assert boards == {cpu for wheels, cpu, variants in runs if wheels == "litert" and "mixed" in variants}
