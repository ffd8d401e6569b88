"""Whether the shift from a face's own neutral tells a smile from another light or crop of the same still face.

    python benchmarks/shift.py dist/hawqc_mbv2 --data PORTRAITS

PORTRAITS has the folders neutral/ and happy/ with NAME_xx.jpg of the same people (Face Research Lab London Set). Each
neutral photo is the baseline; a smile should be above the margin of ``tracking/neutral.py``, the neutral photo in
other light, mirrored, smaller or cropped below it. The margin was chosen on these portraits.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from fer_edge.contract.bundle import open_bundle
from fer_edge.pictures.photo import prepare
from fer_edge.pipeline import Pipeline, open_pipeline
from fer_edge.tracking.neutral import MARGIN, log_odds, shift
from fer_edge.types import RgbImage

RESULTS = Path(__file__).parent / "results"
CHANGES = {
    "cropped": lambda v: v[8:-4, 5:-9],
    "mirrored": lambda v: v[:, ::-1],
    "brightness x0.5": lambda v: v * 0.5,
    "brightness x0.25": lambda v: v * 0.25,
    "brightness x1.4": lambda v: np.clip(v * 1.4, 0, 255),
    "three quarters of the size": lambda v: cv2.resize(np.ascontiguousarray(v), None, fx=0.75, fy=0.75),
}


def probabilities(pipeline: Pipeline, image: RgbImage) -> list[float] | None:
    """Of the largest face; None where none is found."""
    faces = pipeline.read_frame(prepare(np.ascontiguousarray(image, dtype=np.uint8)).frame(0, "portrait")).faces
    best = max(faces, key=lambda face: face.face.box[2], default=None)
    return None if best is None else list(best.probabilities.values())


def rgb(path: Path) -> RgbImage:
    """(h, w, 3)."""
    return np.asarray(cv2.imread(str(path)))[:, :, ::-1]


def main() -> None:
    """Prints the table and writes results/shift.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    bundle = open_bundle(arguments.bundle)
    pipeline, happy = open_pipeline(bundle), bundle.manifest.labels.index("happiness")
    names = ["smiling", *CHANGES]
    above: dict[str, list[float]] = {name: [] for name in names}
    portraits = sorted((arguments.data / "neutral").glob("*.jpg"))
    for path in portraits:
        neutral = rgb(path)
        smile = rgb(next((arguments.data / "happy").glob(f"{path.name.split('_')[0]}_*")))
        own = probabilities(pipeline, neutral)
        if own is None:
            continue
        for name, image in (("smiling", smile), *((name, change(neutral)) for name, change in CHANGES.items())):
            found = probabilities(pipeline, image)
            if found is not None:
                above[name].append(shift(found, log_odds(own))[happy])
    rows = {
        name: {"n": len(v), "above": sum(x > MARGIN for x in v), "median": round(float(np.median(v)), 2)}
        for name, v in above.items()
    }
    document = {
        "what": "shift of happiness from the own neutral photo",
        "bundle": f"{bundle.manifest.model_id} {bundle.sha256[:12]}",
        "margin": MARGIN,
        "rows": rows,
    }
    path = RESULTS / "shift.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, bundle.manifest.model_id: document}, indent=1) + "\n")
    for name, row in rows.items():
        print(f"{name:28} {row['above']:3} of {row['n']} above {MARGIN}, median {row['median']:+.2f}")


if __name__ == "__main__":
    main()
