"""Which crop, colour and detail suit a network trained on FER2013? Whole photos of known expression decide.

    python benchmarks/crop_geometry.py dist/hawqc_mbv2 ../shared/data/faces_london

Every photo goes through the bundle's detector; then the crop is cut by the measured template or as the plain detector
box, reduced to 48 px first or not, gray or coloured.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from fer_edge.classifier.crop import crop_face
from fer_edge.classifier.runner import LiteRunner
from fer_edge.contract.bundle import open_bundle
from fer_edge.contract.preprocess import preprocess
from fer_edge.contract.specs import InputSpec
from fer_edge.pictures.photo import read_photo
from fer_host.data.labels import LABEL_SYNONYMS
from fer_host.device_pipeline import largest_face, make_detector, photo_files

SOURCES_PX = (32, 40, 48, 64, 96)


def plain_box(image: np.ndarray, box: tuple[float, float, float, float], side: int) -> np.ndarray:
    """The detector's own box, resized: what most kits feed their network."""
    x, y, w, h = (round(value) for value in box)
    part = image[max(0, y) : y + h, max(0, x) : x + w]
    return cv2.resize(
        part, (side, side), interpolation=cv2.INTER_AREA if min(part.shape[:2]) > side else cv2.INTER_LINEAR
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--variant", default="float32")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    bundle = open_bundle(arguments.bundle)
    manifest = bundle.manifest
    variant = manifest.variant(arguments.variant)
    runner = LiteRunner(bundle.read(variant.file), variant, threads=2)
    detector = make_detector(manifest.detector, bundle.read)
    side = manifest.align.crop_hw[0]
    crops: dict[str, list[np.ndarray]] = {"template": [], "detector box": []}
    labels, n = [], 0
    for path in photo_files(arguments.photos):
        label = LABEL_SYNONYMS.get(path.parent.name.lower())
        if label is None:
            continue
        n += 1
        image = read_photo(path).image
        face = largest_face(detector, image)
        if face is None:
            continue
        labels.append(manifest.labels.index(label))
        crops["template"].append(crop_face(image, face.landmarks, manifest.align))
        crops["detector box"].append(plain_box(image, face.box, side))
    truth = np.array(labels)

    def accuracy(geometry: str, spec: InputSpec) -> dict[str, object]:
        inputs = [preprocess(crop, spec, variant.input_hw)[None] for crop in crops[geometry]]
        predicted = np.array([runner(row)[0].argmax() for row in inputs])
        by_label = {manifest.labels[i]: float((predicted[truth == i] == i).mean()) for i in np.unique(truth)}
        return {
            "geometry": geometry,
            "color": spec.color,
            "source_px": spec.source_px,
            "accuracy": float((predicted == truth).mean()),
            **by_label,
        }

    rows = [
        accuracy(geometry, replace(manifest.input, color=color, source_px=source_px))
        for geometry in crops
        for color in ("gray3", "rgb")
        for source_px in SOURCES_PX
    ]
    if arguments.json:
        print(json.dumps({"n_photos": n, "n_faces": len(truth), "rows": rows}, indent=2))
        return 0
    print(f"{len(truth)} faces in {n} photos, variant {variant.id}; source_px {side} = the crop as it is")
    print(
        "| geometry | color | source_px | accuracy | " + " | ".join(manifest.labels[i] for i in np.unique(truth)) + " |"
    )
    print("|---" * (4 + len(np.unique(truth))) + "|")
    for row in rows:
        cells = [f"{value:.1%}" if isinstance(value, float) else str(value) for value in row.values()]
        print("| " + " | ".join(cells) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
