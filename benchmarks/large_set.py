"""Makes a set of the papers' size out of nothing: AffectNet's cropped layout, JPEGs of 224 px, for measuring loaders.

    python benchmarks/large_set.py OUT --n 100000

A few hundred pictures are drawn and compressed; each file is one of them with its own quantization table, which changes
every pixel a little without compressing again. Nothing of it is a face: only sizes and times are like a real set's.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

BASES, SIDE_PX, QUALITY = 256, 224, 88
VALIDATION = 4_000  # as AffectNet has


def base(number: int) -> bytearray:
    """One compressed picture: blurred noise, brighter by its label, about 13 kB."""
    random = np.random.default_rng(number)
    picture = np.zeros((SIDE_PX, SIDE_PX, 3), np.float32)
    for cells, weight in ((4, 60), (16, 35), (64, 22), (224, 7)):
        noise = random.normal(0, weight, (cells, cells, 3)).astype(np.float32)
        picture += cv2.resize(noise, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    picture += 60 + 18 * (number % 8)
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    done, content = cv2.imencode(".jpg", np.clip(picture, 0, 255).astype(np.uint8), options)
    assert done
    return bytearray(content.tobytes())


def varied(content: bytearray, number: int) -> bytearray:
    """The same picture with other steps of some frequencies: base-5 digits of ``number`` are added to six."""
    changed = bytearray(content)
    table = changed.index(b"\xff\xdb\x00\x43\x00") + 5
    for place in range(6):
        changed[table + place] += number % 5
        number //= 5
    return changed


def main() -> int:
    """Writes the set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--n", type=int, default=100_000)
    arguments = parser.parse_args()
    bases = [base(number) for number in range(BASES)]
    labels = []
    for label in range(8):
        buffer = io.BytesIO()
        np.save(buffer, np.array(str(label)))  # as published: a text
        labels.append(buffer.getvalue())
    for part in ("train_set", "val_set"):
        for folder in ("images", "annotations"):
            (arguments.out / part / folder).mkdir(parents=True)
    for i in tqdm(range(arguments.n), unit="picture", disable=None):
        root = arguments.out / ("val_set" if i < min(VALIDATION, arguments.n // 10) else "train_set")
        (root / "images" / f"{i}.jpg").write_bytes(varied(bases[i % BASES], i // BASES))
        (root / "annotations" / f"{i}_exp.npy").write_bytes(labels[i % 8])
    print(f"{arguments.out}: {arguments.n} pictures, {sum(map(len, bases)) / BASES / 1000:.1f} kB each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
