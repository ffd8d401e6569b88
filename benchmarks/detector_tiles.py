"""Faces found and time a frame with and without tiles, on photos and clips.

python benchmarks/detector_tiles.py dist/hawqc_mbv2 ../shared/data   (writes benchmarks/results/detector_tiles.md)
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from fer_edge.contract.bundle import open_bundle
from fer_edge.detectors import make_detector
from fer_edge.pictures.photo import read_photo
from fer_edge.sources import open_source
from written import write


def main() -> int:
    """Writes a table; times are ratios to no tiles in the same run, on the clips, interleaved."""
    bundle, data = open_bundle(Path(sys.argv[1])), Path(sys.argv[2])
    detectors = {
        tiles: make_detector(bundle.manifest.detector, bundle.read, tiles, threads=1) for tiles in ((), (2,), (2, 3))
    }
    photos = {
        "faces_london (100 faces)": sorted((data / "faces_london").rglob("*.jpg")),
        "astronaut (1)": [data / "scenes" / "astronaut_nasa.png"],
        "solvay1927 (29)": [data / "scenes" / "solvay1927.jpg"],
    }
    lines = [
        "# Faces found with and without tiles",
        "",
        "`benchmarks/detector_tiles.py`; time in turns, as a ratio to no tiles.",
        "",
        "| pictures | " + " | ".join(f"tiles {','.join(map(str, tiles)) or 'none'}" for tiles in detectors) + " |",
        "|---" * (1 + len(detectors)) + "|",
    ]
    for name, paths in photos.items():
        images = [read_photo(path).image for path in paths]
        counts = [sum(len(detector.detect(image)) for image in images) for detector in detectors.values()]
        lines.append(f"| {name} | " + " | ".join(f"{count} faces" for count in counts) + " |")
    seconds, frames_in_all = dict.fromkeys(detectors, 0.0), 0
    for clip in sorted((data / "videos").glob("*.mp4")):
        frames = [frame.image for frame in open_source(str(clip))]
        frames_in_all += len(frames)
        found = dict.fromkeys(detectors, 0)
        for image in frames:
            for tiles, detector in detectors.items():
                started = time.perf_counter()
                found[tiles] += bool(detector.detect(image))
                seconds[tiles] += time.perf_counter() - started
        cells = " | ".join(f"a face in {n}" for n in found.values())
        lines.append(f"| {clip.name} ({len(frames)} frames) | {cells} |")
    ratios = [seconds[tiles] / seconds[()] for tiles in detectors]
    lines.append(
        f"| time of detection, ratio (n = {frames_in_all} frames) | {' | '.join(f'{r:.1f}' for r in ratios)} |"
    )
    write(Path(__file__).parent / "results" / "detector_tiles.md", "\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
