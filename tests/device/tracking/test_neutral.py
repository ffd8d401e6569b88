"""A face's own neutral: learned from what looks neutral, and a shift that light and another crop do not make."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge import cli
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.pictures.photo import prepare
from fer_edge.pipeline import Pipeline, open_pipeline
from fer_edge.tracking.neutral import LEAST_P, MARGIN, Neutral, learned, log_odds, shift
from fer_edge.tracking.track import TrackSettings
from fer_edge.tracking.tracker import Tracker
from fer_edge.types import FaceBox, Frame, RgbImage

Edge = Callable[..., "subprocess.CompletedProcess[str]"]
LABELS = ("happiness", "neutral", "sadness")
STILL, SMILE = (0.1, 0.6, 0.3), (0.9, 0.08, 0.02)


def after(seconds: float, *looks: tuple[float, ...], fps: float = 10) -> Neutral:
    """What is known after each look was seen for so long."""
    neutral, t_s = None, 0.0
    for look in looks:
        for _ in range(round(seconds * fps)):
            neutral = learned(neutral, look, LABELS, t_s)
            t_s += 1 / fps
    assert neutral is not None
    return neutral


def test_log_odds_and_their_ends() -> None:
    assert log_odds((0.5, 0.75))[1] == pytest.approx(math.log(3))
    low, high = log_odds((0.0, 1.0))
    assert low == pytest.approx(-high)
    assert low == pytest.approx(math.log(LEAST_P / (1 - LEAST_P)))
    assert shift(STILL, log_odds(STILL)) == (0, 0, 0)


def test_nothing_is_known_of_a_new_face_and_soon_its_neutral_is() -> None:
    assert not after(1, STILL).is_known
    known = after(3, STILL)
    assert known.is_known
    assert known.log_odds == pytest.approx(log_odds(STILL))


@pytest.mark.parametrize("fps", [2, 10, 30])
def test_a_smile_moves_the_neutral_little_at_any_frame_rate(fps: float) -> None:
    neutral = after(10, STILL, SMILE, fps=fps)
    moved = neutral.log_odds[0] - log_odds(STILL)[0]
    assert 0 < moved < 1
    happy = shift(SMILE, neutral.log_odds)[0]
    assert happy > MARGIN
    assert happy == pytest.approx(shift(SMILE, after(10, STILL, SMILE, fps=60).log_odds)[0], abs=0.3)


def test_gaps_and_clocks_that_jump_count_for_nothing() -> None:
    known = after(3, STILL)
    assert learned(known, SMILE, LABELS, known.t_s - 100).log_odds == known.log_odds
    late = learned(known, STILL, LABELS, known.t_s + 1000)
    assert late.seen_s <= known.seen_s + 0.5
    assert learned(None, STILL, LABELS, 0.0).seen_s == 0
    assert learned(known, (0.5, 0.5), LABELS[:2], 9.0) == Neutral(log_odds((0.5, 0.5)), 0.0, 9.0)


def test_without_a_neutral_label_every_moment_counts() -> None:
    neutral = None
    for i in range(30):
        neutral = learned(neutral, (0.3, 0.7), ("open", "shut"), i / 10)
    assert neutral is not None
    assert neutral.is_known


def test_a_followed_face_gets_a_shift_once_its_neutral_is_known(astronaut: RgbImage) -> None:
    marks: dict[str, tuple[float, float]] = {"right_eye": (100, 100), "left_eye": (140, 100)}
    marks |= {"nose": (120, 120), "mouth": (120, 140)}
    face = FaceBox((80.0, 80.0, 80.0, 80.0), marks, 0.9)

    def shifts(settings: TrackSettings, baseline: tuple[float, ...] | None = None) -> list[dict[str, float] | None]:
        tracker, found = Tracker(settings), []
        for i in range(60):
            frame = Frame(astronaut, i, i / 10, "x", t_media_s=i / 10)
            look = list(STILL if i < 40 else SMILE)
            tracker.correct(frame, [face])
            readings = tracker.readings(frame, LABELS, lambda _, look=look: [look], baseline=baseline)
            found.append(readings[0].shift)
        return found

    own = shifts(TrackSettings(smooth_s=0))
    assert own[9] is None  # a second of neutral, at a p(neutral) of 0.6, takes longer
    still, smile = own[39], own[59]
    assert still == pytest.approx(dict.fromkeys(LABELS, 0.0), abs=1e-6)
    assert smile is not None
    assert smile["happiness"] > MARGIN > 0 > smile["neutral"]
    given = shifts(TrackSettings(smooth_s=0), log_odds(SMILE))
    assert given[0] is not None
    assert given[0]["happiness"] < -MARGIN
    assert set(map(str, shifts(TrackSettings(shift=False)))) == {"None"}


def test_baseline_of_a_photo_for_image_and_run(
    edge: Edge, bundle: Bundle, astronaut: RgbImage, photo_path: Callable[[str], Path], tmp_path: Path
) -> None:
    photo, own = photo_path("astronaut.png"), tmp_path / "own.json"
    done = edge("baseline", photo, "--out", own, "--bundle", bundle.path)
    assert done.returncode == 0, done.stderr
    document = json.loads(own.read_text())
    assert (document["schema"], document["n"]) == ("fer-edge/baseline/1", 1)
    done = edge("image", photo, "--json", "--baseline", own, "--bundle", bundle.path)
    (face,) = json.loads(done.stdout)[0]["faces"]
    assert max(map(abs, face["shift"].values())) < 0.02
    clip = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 10, (360, 300))
    for _ in range(3):
        writer.write(np.ascontiguousarray(astronaut[:300, 60:420, ::-1]))
    writer.release()
    line = edge("run", "--source", clip, "--jsonl", "-", "--baseline", own, "--bundle", bundle.path).stdout
    assert "shift" in json.loads(line.splitlines()[0])["faces"][0]  # from the first frame on


def test_a_baseline_of_something_else_is_one_line(
    bundle: Bundle, photo_path: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, own = str(photo_path("astronaut.png")), tmp_path / "own.json"
    assert cli.main(["baseline", photo, "--out", str(own), "--bundle", str(bundle.path)]) == 0
    document = json.loads(own.read_text())
    for change, words in (
        ({"bundle_sha256": "0" * 64}, "made with tiny 000000000000, not tiny"),
        ({"labels": ["a"]}, "make it again: fer-edge baseline"),
        ({"log_odds": [1.0]}, "1 log-odds, expected one for each label"),
        ({"schema": "fer-edge/bench/1"}, "make it again: fer-edge baseline"),
    ):
        own.write_text(json.dumps(document | change))
        assert cli.main(["image", photo, "--baseline", str(own), "--bundle", str(bundle.path)]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
    assert cli.main(["baseline", "--out", str(own), "--bundle", str(bundle.path)]) == 2
    assert "no sources; expected PHOTO" in capsys.readouterr().err
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.zeros((200, 200, 3), np.uint8))
    assert cli.main(["baseline", str(blank), "--out", str(tmp_path / "x"), "--bundle", str(bundle.path)]) == 2
    assert "0 faces, expected one" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def probabilities(pipeline: Pipeline, image: RgbImage) -> list[float]:
    """Of the largest face."""
    faces = pipeline.read_frame(prepare(np.ascontiguousarray(image)).frame(0, "x")).faces
    return list(max(faces, key=lambda face: face.face.box[2]).probabilities.values())


@pytest.mark.skipif("FER_DATA" not in os.environ, reason="FER_DATA is not set")
def test_smiles_are_above_the_margin_and_neutral_faces_below() -> None:
    """The bar: 45 of 50 smiles, 47 of 50 neutral faces in another crop or light."""
    own = open_bundle(Path(os.environ["FER_TEST_BUNDLE"]))
    pipeline, happy = open_pipeline(own), own.manifest.labels.index("happiness")
    smiles, still = 0, [0, 0, 0]
    portraits = sorted(Path(os.environ["FER_DATA"], "faces_london", "neutral").iterdir())
    for path in portraits:
        neutral = np.asarray(cv2.imread(str(path)))[:, :, ::-1]
        smile = next(path.parents[1].joinpath("happy").glob(f"{path.name.split('_')[0]}_*"))
        base = log_odds(probabilities(pipeline, neutral))
        smiles += shift(probabilities(pipeline, np.asarray(cv2.imread(str(smile)))[:, :, ::-1]), base)[happy] > MARGIN
        changed = (neutral[8:-4, 5:-9], (neutral * 0.5).astype(np.uint8), np.clip(neutral * 1.4, 0, 255))
        for i, image in enumerate(changed):
            still[i] += shift(probabilities(pipeline, image.astype(np.uint8)), base)[happy] < MARGIN
    assert smiles >= 45
    assert min(still) >= 47
