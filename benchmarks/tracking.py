"""What tracking brings on the clips: speed, calm labels, and how much time passes outside the networks.

python benchmarks/tracking.py dist/hawqc_mbv2 ../shared/data   (writes benchmarks/results/tracking.md)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clips import Run, agreement, fresh, load_clip, machine, overlap, pairs, run_interleaved
from fer_edge.classifier.runner import LiteRunner
from fer_edge.classifier.runtime import find_runtime
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.detectors import PHOTO_TILES
from fer_edge.pipeline import Pipeline, open_pipeline
from fer_edge.program.own import one_opencv_thread
from fer_edge.setting.setting import Setting, setting_for
from fer_edge.tracking.track import TrackSettings
from fer_edge.types import FaceReading, FrameReading
from written import write

HEAD_POSE = "head-pose-face-detection-male.mp4"
NAMES = ("blazeface_short", "blazeface_full", "mtcnn")
SPEED_BARS = {"blazeface_short": 1.2, "mtcnn": 3.0}
LABEL_BAR, OUTSIDE_BAR = 0.97, 0.5
ROUNDS = 5  # of the clip, for the times


def behind(bundle: Bundle, detector: str) -> Setting:
    return setting_for(bundle.manifest, threads=1, detector=detector)


def main() -> int:
    """Prints the tables, writes them, and ends with status 1 where a bar is missed."""
    one_opencv_thread()  # as fer-edge run does
    bundle, data = open_bundle(Path(sys.argv[1])), Path(sys.argv[2])
    lines = [f"# Tracking\n\n`benchmarks/tracking.py`, {bundle.manifest.model_id}, default variant; {machine()}.\n"]
    missed: list[str] = []
    _speed(bundle, data / "videos" / HEAD_POSE, lines, missed)
    _flips(bundle, sorted((data / "videos").glob("*.mp4")), lines)
    _outside(bundle, data / "videos" / HEAD_POSE, lines, missed)
    lines.append("\nBars missed: " + ("; ".join(missed) if missed else "none") + ".")
    text = "\n".join(lines) + "\n"
    write(Path(__file__).parent / "results" / "tracking.md", text)
    print(text)
    return int(bool(missed))


def _speed(bundle: Bundle, clip: Path, lines: list[str], missed: list[str]) -> None:
    frames = load_clip(clip)
    lines += [
        f"## Speed on {clip.name} ({len(frames)} frames), decoding aside\n",
        "| detector | every frame detected, fps | tracking, fps | ratio | detections | same label as every frame "
        "detected, smoothed alike | as nothing smoothed |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in NAMES:
        trackings = {"plain": None, "every": TrackSettings(detect_every=1), "track": TrackSettings()}
        pipelines = {
            key: open_pipeline(bundle, behind(bundle, name), tracking=value) for key, value in trackings.items()
        }
        runs = run_interleaved(pipelines, frames)
        ratio = runs["track"].fps / runs["plain"].fps
        same = {key: _agreement(runs[key], runs["track"]) for key in ("every", "plain")}
        searched = sum("detect" in reading.stage_ms for reading in runs["track"].readings)
        lines.append(
            f"| {name} | {runs['plain'].fps:.0f} | {runs['track'].fps:.0f} | {ratio:.2f} | {searched} of {len(frames)} "
            f"| {same['every']:.1%} | {same['plain']:.1%} |"
        )
        if ratio < SPEED_BARS.get(name, 0):
            missed.append(f"{name}: {ratio:.2f} times the frames per second, expected {SPEED_BARS[name]}")
        if not min(same.values()) >= LABEL_BAR:
            missed.append(f"{name}: {min(same.values()):.1%} of the labels, expected {LABEL_BAR:.0%}")


def _agreement(a: Run, b: Run) -> float:
    return agreement([couple for x, y in zip(a.readings, b.readings, strict=True) for couple in pairs(x, y)])


def _flips(bundle: Bundle, clips: Sequence[Path], lines: list[str]) -> None:
    """Labels that changed from one frame to the next on the same face, per second that a face was seen."""
    lines += [
        "\n## Label flips per second and face (tiles 2,3, faces of any size)\n",
        "| clip | detector | face seconds | without tracking | with tracking | numbers given |",
        "|---|---|---|---|---|---|",
    ]
    for clip in clips:
        frames = load_clip(clip)
        fps = 1 / (frames[1].t_s - frames[0].t_s)
        for name in ("blazeface_short", "mtcnn"):
            settings = {"plain": None, "track": TrackSettings(min_face_px=0)}
            pipelines = {
                key: open_pipeline(bundle, behind(bundle, name), tiles=PHOTO_TILES, tracking=value)
                for key, value in settings.items()
            }
            runs = run_interleaved(pipelines, frames)
            rates = []
            for run in runs.values():
                flips, steps = _count_flips(run.readings)
                rates.append(f"{flips / (steps / fps):.2f} ({flips})" if steps else "no face")
            n_faces = sum(len(reading.faces) for reading in runs["track"].readings)
            numbers = len({face.track for reading in runs["track"].readings for face in reading.faces})
            lines.append(f"| {clip.name} | {name} | {n_faces / fps:.1f} | {rates[0]} | {rates[1]} | {numbers} |")


def _count_flips(readings: Sequence[FrameReading]) -> tuple[int, int]:
    """(label changes, steps from a frame to the next with the same face in both), by overlap in both cases."""
    flips = steps = 0
    before: tuple[FaceReading, ...] = ()
    for reading in readings:
        for face in reading.faces:
            same = max(before, key=lambda old: overlap(old.face, face.face), default=None)
            if same is not None and overlap(same.face, face.face) >= 0.3:
                steps += 1
                flips += same.label != face.label
        before = reading.faces
    return flips, steps


class _NetworkClock:
    """Adds up the time in the classifier's runner and in the detectors' ``invoke`` by wrapping both."""

    def __init__(self) -> None:
        self.seconds, self.classifier = 0.0, [0.0]
        self._inside = False
        interpreter: Any = find_runtime().module.Interpreter
        self._wrap(interpreter, "invoke", keep=False)
        self._wrap(LiteRunner, "__call__", keep=True)

    def _wrap(self, owner: Any, name: str, keep: bool) -> None:
        real = getattr(owner, name)

        def timed(*arguments: Any) -> Any:
            if self._inside:  # invoke within the runner: counted there
                return real(*arguments)
            self._inside = keep
            started = time.perf_counter()
            try:
                return real(*arguments)
            finally:
                passed = time.perf_counter() - started
                self.seconds += passed
                self._inside = False
                if keep:
                    self.classifier.append(passed)

        setattr(owner, name, timed)


def _outside(bundle: Bundle, clip: Path, lines: list[str], missed: list[str]) -> None:
    """One face: the frame's time without the networks, against one inference as ``bench --model-only`` times it."""
    frames = load_clip(clip)
    length_s = frames[-1].t_s + 1 / 12
    clock = _NetworkClock()
    lines += [
        f"\n## Time outside the networks, {clip.name}, tracking, ms a frame\n",
        "| detector | frames | frames that are followed, median | all frames, mean | one inference, median | mean "
        "| ratio of medians | of means |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in ("blazeface_short", "mtcnn"):
        pipeline = open_pipeline(bundle, behind(bundle, name), tracking=TrackSettings())
        rows = []
        clock.classifier.clear()
        for turn in range(ROUNDS + 1):
            for frame in fresh(frames, turn * length_s):
                row = _one(pipeline, frame, clock)
                if turn:
                    rows.append(row)
        outside = np.array([row[0] for row in rows]) * 1000
        followed = outside[[not row[1] for row in rows]]
        inference = np.array(clock.classifier[len(frames) :]) * 1000
        ratios = np.median(followed) / np.median(inference), outside.mean() / inference.mean()
        lines.append(
            f"| {name} | {len(rows)} | {np.median(followed):.3f} | {outside.mean():.3f} | {np.median(inference):.3f} "
            f"| {inference.mean():.3f} | {ratios[0]:.2f} | {ratios[1]:.2f} |"
        )
        if ratios[0] > OUTSIDE_BAR:
            missed.append(f"{name}: {ratios[0]:.2f} of an inference outside the networks, expected {OUTSIDE_BAR}")


def _one(pipeline: Pipeline, frame: Any, clock: _NetworkClock) -> tuple[float, bool]:
    clock.seconds = 0.0
    started = time.perf_counter()
    reading = pipeline.read_frame(frame)
    return time.perf_counter() - started - clock.seconds, "detect" in reading.stage_ms


if __name__ == "__main__":
    sys.exit(main())
