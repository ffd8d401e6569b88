"""Zones: faces are read only here or never there, by the middle of their box; what is outside is hidden, not read."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.contract.bundle import Bundle
from fer_edge.contract.errors import SchemaError
from fer_edge.pictures.annotate import blur_faces
from fer_edge.pipeline import open_pipeline
from fer_edge.sources import open_source
from fer_edge.tracking.track import TrackSettings
from fer_edge.tracking.zones import Zone, Zones, ZoneSettings, parse_zone

LEFT = "left=0:0 0.5:0 0.5:1 0:1"
CORNER = "corner=0:0 0.3:0 0:0.3"
HW = (100, 200)


def box_at(x: float, y: float) -> tuple[float, float, float, float]:
    """A box of 20 x 10 px whose middle lies at these fractions of the picture."""
    return x * HW[1] - 10, y * HW[0] - 5, 20.0, 10.0


@pytest.mark.parametrize(
    ("look", "never", "at", "expected"),
    [
        ((), (), (0.9, 0.9), (True, None)),
        ((LEFT,), (), (0.2, 0.5), (True, "left")),
        ((LEFT,), (), (0.6, 0.5), (False, None)),
        ((LEFT,), (CORNER,), (0.05, 0.05), (False, None)),
        ((LEFT,), (CORNER,), (0.25, 0.25), (True, "left")),
        ((), (CORNER,), (0.25, 0.25), (True, None)),
        ((), (CORNER,), (0.1, 0.1), (False, None)),
        ((CORNER, LEFT), (), (0.1, 0.1), (True, "corner")),
        ((LEFT,), (), (-0.1, 0.5), (False, None)),
    ],
)
def test_where_a_face_is_read(
    look: tuple[str, ...], never: tuple[str, ...], at: tuple[float, float], expected: tuple[bool, str | None]
) -> None:
    assert Zones.of(ZoneSettings(look, never)).place(box_at(*at), HW) == expected


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.integers(0, 7))
def test_the_first_point_and_the_direction_do_not_matter(x: float, y: float, turn: int) -> None:
    points = ((0.1, 0.1), (0.9, 0.2), (0.6, 0.5), (0.8, 0.9), (0.2, 0.7))
    turned = points[turn % 5 :] + points[: turn % 5]
    assert Zone("a", points).holds(x, y) == Zone("a", turned).holds(x, y) == Zone("a", turned[::-1]).holds(x, y)


def test_a_polygon_that_bends_inwards() -> None:
    bent = parse_zone("u=0:0 1:0 1:1 0.7:1 0.7:0.3 0.3:0.3 0.3:1 0:1")
    assert bent.holds(0.1, 0.9)
    assert bent.holds(0.9, 0.9)
    assert not bent.holds(0.5, 0.9)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0:0 1:0 1:1", "expected a name"),
        ("a=0:0 1:0", "found 2 points"),
        ("a=0:0 1:0 1", "the point '1'"),
        ("a=0:0 1:0 1:2", "fractions of the picture"),
        ("a=0:0 1:0 1:nan", "fractions of the picture"),
        ("=0:0 1:0 1:1", "expected a name"),
        ("a\x1b=0:0 1:0 1:1", "expected a name"),
    ],
)
def test_a_zone_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        ZoneSettings(look=(text,))


def test_a_name_twice_and_too_many() -> None:
    with pytest.raises(SchemaError, match="twice"):
        ZoneSettings(look=(LEFT, LEFT))
    with pytest.raises(SchemaError, match="at most 32"):
        ZoneSettings(never=tuple(f"z{i}=0:0 1:0 1:1" for i in range(33)))


@pytest.mark.parametrize("tracking", [None, TrackSettings()])
def test_faces_outside_are_not_read_and_are_blurred(bundle: Bundle, tracking: TrackSettings | None) -> None:
    frames = list(open_source("synthetic://?n=6&faces=2"))
    alone = open_pipeline(bundle, tracking=tracking)
    assert {len(alone.read_frame(frame).faces) for frame in frames} == {2}
    pipeline = open_pipeline(bundle, tracking=tracking, zones=ZoneSettings(look=(LEFT,)))
    classified: list[int] = []
    runner = pipeline.runner

    def counted(inputs: np.ndarray) -> np.ndarray:
        classified.append(len(inputs))
        return runner(inputs)

    pipeline.runner = counted
    for frame in frames:
        reading = pipeline.read_frame(frame)
        ((face,), (other,)) = reading.faces, reading.outside
        assert face.zone == "left"
        assert face.face.box[0] < frame.image.shape[1] / 2 < other.box[0] + other.box[2] / 2
        assert [f.zone for f in reading.to_doc().faces] == ["left"]
        hidden = blur_faces(frame.image, reading.all_faces)
        for box in (face.face.box, other.box):
            x, y, w, h = (round(v) for v in box)
            assert np.abs(hidden[y : y + h, x : x + w].astype(int) - frame.image[y : y + h, x : x + w]).mean() > 3
    assert set(classified) == {1}


def test_from_the_command_line_to_the_readings(
    edge: Callable[..., subprocess.CompletedProcess[str]], bundle: Bundle, tmp_path: Path
) -> None:
    line = ("run", "--bundle", bundle.path, "--source", "synthetic://?n=3&faces=2", "--jsonl", "-")
    done = edge(*line, "--zones-look", LEFT)
    zones = [[face["zone"] for face in json.loads(text)["faces"]] for text in done.stdout.splitlines()]
    assert zones == [["left"]] * 3
    (tmp_path / "c.toml").write_text(f'[zones]\nnever = ["{LEFT}"]\n')
    done = edge(*line, "--config", tmp_path / "c.toml")
    faces = [json.loads(text)["faces"] for text in done.stdout.splitlines()]
    assert [len(row) for row in faces] == [1] * 3
    assert all(row[0]["box"][0] > 200 and "zone" not in row[0] for row in faces)
    (tmp_path / "c.toml").write_text('[zones]\nnever = ["door=0:0 1:0"]\n')
    done = edge(*line, "--config", tmp_path / "c.toml")
    assert done.returncode == 2
    assert "line 2: zones.never: found 2 points in zone 'door', expected 3 to 64" in done.stderr
