"""A file gives the same readings on every run and board: nothing about load or speed enters where no frame is late."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.contract.bundle import Bundle
from fer_edge.pipeline import open_pipeline
from fer_edge.tracking.track import TrackSettings
from fer_edge.types import FaceBox, FaceDetector, Frame, FrameReading, RgbImage

Edge = Callable[..., "subprocess.CompletedProcess[str]"]
# how long things took, and when this run was; all else must be the same to the byte
OF_THE_RUN = ("stage_ms", "t_capture_s", "published_s", "time")
N_FRAMES, FPS = 40, 100
NEVER_CALM = 0.001  # eye distances: any drift asks for more detections, so that a load would be seen


class Slowed(FaceDetector):
    """The real detector on a busy machine."""

    def __init__(self, detector: Any, seconds: float) -> None:
        self._detector, self._seconds = detector, seconds

    def detect(self, image: RgbImage, near: Sequence[FaceBox] = ()) -> list[FaceBox]:
        time.sleep(self._seconds)
        return list(self._detector.detect(image, near))


def jittered(astronaut: RgbImage, seed: int) -> list[RgbImage]:
    """A hand-held photo: it wanders, turns a little and leaves the picture for a while."""
    rng = np.random.default_rng(seed)
    base = np.ascontiguousarray(astronaut[0:300, 60:420])
    pictures = []
    for i in range(N_FRAMES):
        shift = rng.normal(0, 3, 2) + ([400, 0] if 18 <= i < 24 else [2 * i, 0])
        turn = cv2.getRotationMatrix2D((180, 150), float(rng.normal(0, 2)), 1.0)
        turn[:, 2] += shift
        pictures.append(cv2.warpAffine(base, turn, (360, 300), borderMode=cv2.BORDER_REPLICATE))
    return pictures


@pytest.fixture(scope="module")
def clips(astronaut: RgbImage, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three clips of two containers and codecs."""
    paths = []
    for seed, (name, code) in enumerate((("a.avi", "MJPG"), ("b.mp4", "mp4v"), ("c.mp4", "mp4v"))):
        path = tmp_path_factory.mktemp("clips") / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), FPS, (360, 300))
        for picture in jittered(astronaut, seed):
            writer.write(picture[:, :, ::-1])
        writer.release()
        paths.append(path)
    return paths


@contextlib.contextmanager
def busy(n: int) -> Iterator[None]:
    """So many processes that do nothing but take time."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def stable(line: str) -> bytes:
    """A JSON line without what is the run's own."""
    document = json.loads(line)
    return json.dumps({key: value for key, value in document.items() if key not in OF_THE_RUN}).encode()


def readings(bundle: Bundle, frames: list[Frame], slowed_s: float) -> list[FrameReading]:
    pipeline = open_pipeline(bundle, tracking=TrackSettings(drift=NEVER_CALM))
    pipeline.detector = Slowed(pipeline.detector, slowed_s)
    return [pipeline.read_frame(frame) for frame in frames]


def faces_of(readings: list[FrameReading]) -> list[Any]:
    return [(reading.to_doc().faces, sorted(reading.stage_ms)) for reading in readings]


def test_a_slow_machine_reads_a_clip_as_a_quick_one_does(bundle: Bundle, astronaut: RgbImage) -> None:
    pictures = jittered(astronaut, 3)
    frames = [Frame(picture, i, i * 7.0, "clip", t_media_s=i / FPS) for i, picture in enumerate(pictures)]
    quick = faces_of(readings(bundle, frames, 0))
    assert quick == faces_of(readings(bundle, frames, 0.02))
    assert sum(bool(faces) for faces, _ in quick) > N_FRAMES / 2


def test_a_live_picture_is_searched_less_often_on_a_slow_machine(bundle: Bundle, astronaut: RgbImage) -> None:
    """The other side: where frames can be late, the load counts: of a second a frame, or of a hundredth."""
    searched = []
    for interval_s in (1.0, 0.01):
        frames = [
            Frame(picture, i, i * interval_s, "camera", t_media_s=i / FPS, can_be_late=True)
            for i, picture in enumerate(jittered(astronaut, 3))
        ]
        searched.append(sum("detect" in reading.stage_ms for reading in readings(bundle, frames, 0.02)))
    assert searched[1] < searched[0]


def test_paced_clip_counts_its_load_by_the_clock_of_the_capture(bundle: Bundle, astronaut: RgbImage) -> None:
    """``--rate 5`` of a clip of 100 per second: 200 ms from frame to frame, however close they lie in the clip."""
    pictures = jittered(astronaut, 3)
    paced = [Frame(p, i, i / 5, "clip", t_media_s=i / FPS, can_be_late=True) for i, p in enumerate(pictures)]
    read = [replace(frame, can_be_late=False) for frame in paced]
    assert faces_of(readings(bundle, paced, 0.02)) == faces_of(readings(bundle, read, 0.02))


def test_the_same_bytes_beside_two_busy_processes(clips: list[Path], bundle: Bundle, edge: Edge) -> None:
    for clip in clips:
        command = ("run", "--source", clip, "--jsonl", "-", "--bundle", bundle.path, "--track-drift", NEVER_CALM)
        alone = edge(*command)
        with busy(2):
            beside = edge(*command)
        assert (alone.returncode, beside.returncode) == (0, 0), alone.stderr + beside.stderr
        a, b = ([stable(line) for line in done.stdout.splitlines()] for done in (alone, beside))
        assert len(a) == N_FRAMES
        assert sum(b'"label"' in line for line in a) > N_FRAMES / 2
        assert a == b, f"{clip.name}: {sum(x != y for x, y in zip(a, b, strict=True))} frames differ"


@pytest.mark.parametrize("source", ["synthetic://?n=25&width=320&height=240&seed=3"])
def test_drawn_faces_have_their_own_time(source: str, bundle: Bundle, edge: Edge) -> None:
    """Smoothing of frames that nobody waits for goes by the clip's time, not by how fast they were read."""
    command = ("run", "--source", source, "--jsonl", "-", "--bundle", bundle.path)
    alone = edge(*command)
    with busy(2):
        beside = edge(*command)
    a, b = ([stable(line) for line in done.stdout.splitlines()] for done in (alone, beside))
    assert len(a) == 25
    assert a == b


def test_threads_of_the_interpreter_change_no_bit(clips: list[Path], bundle: Bundle, edge: Edge) -> None:
    """A board with more cores takes more of them."""
    lines = []
    for threads in (1, 2, 4):
        done = edge("run", "--source", clips[0], "--jsonl", "-", "--bundle", bundle.path, "--threads", threads)
        lines.append([stable(line) for line in done.stdout.splitlines()])
    assert len(lines[0]) == N_FRAMES
    assert lines[0] == lines[1] == lines[2]


@pytest.mark.skipif(not os.environ.get("FER_TEST_BUNDLE"), reason="no bundle: set FER_TEST_BUNDLE (make test does)")
def test_threads_change_no_bit_of_the_shipped_networks(clips: list[Path], edge: Edge) -> None:
    bundle = os.environ["FER_TEST_BUNDLE"]
    for variant in ("int8", "float32"):
        lines = []
        for threads in (1, 3):
            command = ("run", "--source", clips[1], "--jsonl", "-", "--bundle", bundle, "--variant", variant)
            done = edge(*command, "--threads", threads)
            assert done.returncode == 0, done.stderr
            lines.append([stable(line) for line in done.stdout.splitlines()])
        assert lines[0] == lines[1], variant


def test_what_tune_found_does_not_enter_a_file(clips: list[Path], bundle: Bundle, edge: Edge, tmp_path: Path) -> None:
    """``fer-edge tune`` finds the fastest setting of a board; a file must not be read by another network for that."""
    code = (
        "import sys; from pathlib import Path; from fer_edge.contract.bundle import open_bundle\n"
        "from fer_edge.setting import tuned; bundle = open_bundle(Path(sys.argv[1]))\n"
        "tuned.save(tuned.Tuned(tuned.identity(bundle), 'float32', 1, 'blazeface_short', 1.0, 2.0, '2026'))"
    )
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    command = ("run", "--source", clips[1], "--jsonl", "-", "--bundle", bundle.path)
    before = edge(*command, env=environment).stdout.splitlines()
    subprocess.run([sys.executable, "-c", code, str(bundle.path)], env=environment, check=True)
    assert list(tmp_path.rglob("tune.json"))
    after = edge(*command, env=environment).stdout.splitlines()
    assert [stable(line) for line in before] == [stable(line) for line in after]
    live = edge(*command, "--realtime", "--max-frames", "1", env=environment).stdout.splitlines()
    assert stable(live[0]) != stable(before[0])  # where frames can be late, it is taken
