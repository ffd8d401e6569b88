"""Where the landmarks lie in a face's box, as shares of it: what `read(faces=…)` takes where the detector sees no face.

python benchmarks/own_boxes.py BUNDLE FOLDER… (photos; prints medians and standard deviations for library/boxes.py)
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import fer_edge
from fer_edge.library.boxes import NAMES


def main() -> int:
    """Over the faces that the search finds in all photos below the folders."""
    reader = fer_edge.open_reader(sys.argv[1], tiles=(0,))
    rows = []
    for path in sorted(path for folder in sys.argv[2:] for path in Path(folder).rglob("*.jpg")):
        for face in reader.read(path).faces:
            x, y, width, height = face.box
            marks = [face.landmarks[name] for name in NAMES]
            rows.append([((mx - x) / width, (my - y) / height) for mx, my in marks])
    shares = np.array(rows)
    print(f"{reader.model}: {len(shares)} faces")
    for name, median, deviation in zip(NAMES, np.median(shares, axis=0), shares.std(axis=0), strict=True):
        print(f"{name:10} {median[0]:.3f}, {median[1]:.3f} ± {deviation[0]:.3f}, {deviation[1]:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
