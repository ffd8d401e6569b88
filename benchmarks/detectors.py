"""The bundle's detectors against each other: faces found, agreement where both answer, speed of the whole pipeline.

python benchmarks/detectors.py dist/hawqc_mbv2 ../shared/data   (writes benchmarks/results/detectors.md)
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clips import agreement, eye_error, load_clip, machine, overlap, pairs, run_interleaved
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.detectors import PHOTO_TILES, make_detector
from fer_edge.pictures.photo import read_photo
from fer_edge.pipeline import Pipeline, open_pipeline
from fer_edge.setting.setting import Setting, setting_for
from fer_edge.tracking.track import TrackSettings, is_large_enough
from fer_edge.types import FaceReading, Frame
from written import write

NAMES = ("blazeface_short", "blazeface_full", "mtcnn")
BARS = {"iou": 0.6, "eyes": 0.1, "labels": 0.95}
LEAST_PX = (
    TrackSettings().min_face_px
)  # smaller faces are left out of a video's readings; counted in a row of their own


def behind(bundle: Bundle, detector: str) -> Setting:
    return setting_for(bundle.manifest, threads=1, detector=detector)


def main() -> int:
    """Prints the tables, writes them, and ends with status 1 where a bar is missed."""
    bundle, data = open_bundle(Path(sys.argv[1])), Path(sys.argv[2])
    lines = [f"# Detectors\n\n`benchmarks/detectors.py`, {bundle.manifest.model_id}, default variant; {machine()}.\n"]
    missed: list[str] = []
    _photos(bundle, data, lines, missed)
    _clips(bundle, data, lines, missed)
    lines.append("\nBars missed: " + ("; ".join(missed) if missed else "none") + ".")
    text = "\n".join(lines) + "\n"
    write(Path(__file__).parent / "results" / "detectors.md", text)
    print(text)
    return int(bool(missed))


def _photos(bundle: Bundle, data: Path, lines: list[str], missed: list[str]) -> None:
    groups = {
        "faces_london, 100 photos of one face": sorted((data / "faces_london").rglob("*.jpg")),
        "astronaut, one face": [data / "scenes" / "astronaut_nasa.png"],
        "solvay1927, 29 faces": [data / "scenes" / "solvay1927.jpg"],
    }
    detectors = {name: make_detector(bundle.manifest.find_detector(name), bundle.read, PHOTO_TILES) for name in NAMES}
    lines += ["## Photos (as `fer-edge image` searches them)\n", "| photos | " + " | ".join(NAMES) + " |"]
    lines.append("|---" * (1 + len(NAMES)) + "|")
    for group, paths in groups.items():
        images = [read_photo(path).image for path in paths]
        cells = []
        for name, detector in detectors.items():
            counts = [len(detector.detect(image)) for image in images]
            cells.append(f"{sum(counts)} faces, in {sum(map(bool, counts))} of {len(images)}")
            if group.startswith("faces_london") and name != "blazeface_full" and not all(counts):
                missed.append(f"{name} finds no face in {counts.count(0)} London photos")
        lines.append(f"| {group} | " + " | ".join(cells) + " |")
    pipelines = {name: open_pipeline(bundle, behind(bundle, name), tiles=PHOTO_TILES) for name in NAMES}
    frames = [_as_frame(path) for path in groups["faces_london, 100 photos of one face"]]
    _agreement("faces_london", pipelines, frames, lines)


def _as_frame(path: Path) -> Frame:
    return Frame(read_photo(path).image, 0, 0.0, str(path))


def _agreement(
    title: str, pipelines: dict[str, Pipeline], frames: Sequence[Frame], lines: list[str]
) -> dict[str, float]:
    """Adds the table; gives MTCNN's row of faces that are large enough."""
    runs = run_interleaved(pipelines, frames)
    lines += [
        f"\n### {title}: where both answer\n",
        "| against blazeface_short | faces in both | median IoU | eyes, median, of the eye distance | same label |",
        "|---|---|---|---|---|",
    ]
    row: dict[str, float] = {}
    for name in NAMES[1:]:
        both = zip(runs[NAMES[0]].readings, runs[name].readings, strict=True)
        couples = [couple for a, b in both for couple in pairs(a, b)]
        large = [pair for pair in couples if all(is_large_enough(reading.face, LEAST_PX) for reading in pair)]
        for label, chosen in ((f"{name}, faces of {LEAST_PX:g} px or more", large), (f"{name}, all", couples)):
            measured = _measured(chosen)
            row = measured if chosen is large else row
            lines.append(
                f"| {label} | {len(chosen)} | {measured['iou']:.3f} | {measured['eyes']:.3f} "
                f"| {measured['labels']:.1%} |"
            )
    lines.append(
        "\nWhole pipeline, frames per second as a ratio to blazeface_short in the same run: "
        + ", ".join(f"{name} {run.fps / runs[NAMES[0]].fps:.2f}" for name, run in runs.items())
        + f" (blazeface_short here: {runs[NAMES[0]].fps:.0f})."
    )
    return row


def _measured(couples: Sequence[tuple[FaceReading, FaceReading]]) -> dict[str, float]:
    if not couples:
        return {"iou": math.nan, "eyes": math.nan, "labels": math.nan}
    return {
        "iou": float(np.median([overlap(a.face, b.face) for a, b in couples])),
        "eyes": float(np.median([eye_error(a.face, b.face) for a, b in couples])),
        "labels": agreement(couples),
    }


def _clips(bundle: Bundle, data: Path, lines: list[str], missed: list[str]) -> None:
    lines.append("\n## Clips, every frame detected, nothing smoothed")
    frames = [frame for clip in sorted((data / "videos").glob("*.mp4")) for frame in load_clip(clip)]
    for tiles in ((), PHOTO_TILES):
        pipelines = {name: open_pipeline(bundle, behind(bundle, name), tiles=tiles) for name in NAMES}
        title = f"all clips, tiles {','.join(map(str, tiles)) or 'none'}"
        found = _agreement(title, pipelines, frames, lines)
        if not found["iou"] >= BARS["iou"]:
            missed.append(f"{title}: median IoU {found['iou']:.3f}")
        if not found["eyes"] <= BARS["eyes"]:
            missed.append(f"{title}: eyes {found['eyes']:.3f}")
        if not found["labels"] >= BARS["labels"]:
            missed.append(f"{title}: labels {found['labels']:.1%}")


if __name__ == "__main__":
    sys.exit(main())
