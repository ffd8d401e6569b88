"""What an evaluation leaves behind: rows, the sheet of wrong answers, figures by group."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_host.errors import DataError
from fer_host.evaluate.groups import by_group, format_groups, gap, plot_groups, read_groups
from fer_host.evaluate.intervals import wilson
from fer_host.evaluate.judged import Judged
from fer_host.evaluate.outputs import write_rows, write_wrong

IMAGES = tuple(f"{label}/{i:03d}_0.jpg" for label in ("calm", "tired") for i in range(10))


def judged(wrong: tuple[int, ...] = ()) -> Judged:
    labels = np.repeat(np.arange(2), 10)
    answers = np.array([1 - label if i in wrong else label for i, label in enumerate(labels)])
    probabilities = np.where(np.arange(2) == answers[:, None], 0.8, 0.2).astype(np.float32)
    crops = tuple(np.full((8, 8) if i % 2 else (8, 8, 3), 10 * i, dtype=np.uint8) for i in range(20))
    return Judged(("calm", "tired"), IMAGES, crops, labels, probabilities)


def test_each_picture_has_its_row(tmp_path: Path) -> None:
    write_rows(judged(wrong=(3,)), tmp_path / "rows.csv")
    rows = list(csv.DictReader((tmp_path / "rows.csv").open()))
    assert len(rows) == 20
    assert rows[3] == {
        **{"image": "calm/003_0.jpg", "label": "calm", "answer": "tired", "correct": "0", "probability": "0.8000"},
        **{"p_calm": "0.2000", "p_tired": "0.8000"},
    }


@pytest.mark.parametrize("wrong", [(), (3,), tuple(range(11))])
def test_the_wrong_ones_are_one_picture(tmp_path: Path, wrong: tuple[int, ...]) -> None:
    assert write_wrong(judged(wrong), tmp_path / "wrong.png") == len(wrong)
    sheet = cv2.imread(str(tmp_path / "wrong.png"))
    assert sheet.shape[1] == 128 * min(8, max(1, len(wrong)))
    assert sheet.shape[0] == 162 * (2 if len(wrong) > 8 else 1)
    with pytest.raises(DataError, match="no kind of picture"):
        write_wrong(judged(wrong), tmp_path / "wrong.xyz")
    assert not (tmp_path / "wrong.xyz").exists()


def test_figures_by_group_show_the_largest_gap_first(tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_text(
        "person,age,gender\n" + "".join(f"{i:03d},{20 + i},{'fm'[i % 2]}\n" for i in range(10)) + "010,NA,NA\n"
    )
    columns = read_groups(table, IMAGES)
    assert set(columns["age"]) == {"20 to 23", "24 to 26", "27 to 29"}
    groups = by_group(judged(wrong=(1, 3, 5, 7, 9)), columns)
    assert [group.column for group in groups[:2]] == ["gender", "gender"]
    men = groups[0]
    assert (men.value, men.n, men.accuracy, men.recall) == ("m", 10, 0.5, {"calm": 0.0, "tired": 1.0})
    assert men.interval == pytest.approx(wilson(5, 10), abs=1e-6)
    assert men.mean_probability == pytest.approx(0.5)
    assert gap([g for g in groups if g.column == "gender"]) == 0.5
    text = format_groups(groups)
    assert "| gender | m | 10 | 50.0% | 23.7% to 76.3% | 0.500 | 0.0% | 100.0% |" in text
    assert "gender (m against f) p = 0.033" in text
    plot_groups(groups, tmp_path / "groups.png", "mine")
    assert cv2.imread(str(tmp_path / "groups.png")) is not None


def test_a_table_of_pictures_is_matched_by_path_or_name(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("image,room\ncalm/000_0.jpg,a\n001_0.jpg,b\n")
    assert read_groups(table, IMAGES)["room"][:3] == ["a", "b", ""]
    for text, said in (
        ("name,room\nx,y\n", "expected image or person"),
        ("image\ncalm/000_0.jpg\n", "expected image or person"),
        ("image,room\nother.jpg,a\n", "none of its 1 rows is of these pictures"),
    ):
        table.write_text(text)
        with pytest.raises(DataError, match=said):
            read_groups(table, IMAGES)


@pytest.mark.parametrize(("hits", "n", "low", "high"), [(0, 10, 0.0, 0.2775), (50, 100, 0.4038, 0.5962), (0, 0, 0, 1)])
def test_an_interval_is_wilsons(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits, n) == pytest.approx((low, high), abs=1e-4)
