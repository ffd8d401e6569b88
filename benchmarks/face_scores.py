"""Detectors' scores on faces and on what is none, and what a second opinion leaves of both.

python benchmarks/face_scores.py dist/hawqc_mbv2 ../shared/data   (writes benchmarks/results/face_scores.md; 10 minutes)

Pictures without a face come from scikit-image (a cat, a horse, coins, cells, textures, a color wheel, …), each turned
four ways, and from drawings made here. Faces: portraits, generated faces, the photo of 1927, clips, and FER2013's
PublicTest enlarged with a gray border.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import skimage

from clips import load_clip, machine
from fer_edge.contract.bundle import open_bundle
from fer_edge.detectors import PHOTO_TILES, make_detector
from fer_edge.detectors.doubt import AGREE, SURE, SecondOpinion, opinion_of
from fer_edge.errors import ImageError
from fer_edge.pictures.photo import read_photo
from fer_edge.types import FaceDetector, RgbImage
from written import write

NAMES = ("blazeface_short", "blazeface_full")
LEVELS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7)
WITH_FACES = ("astronaut", "camera")  # scikit-image's own that show a person


def main() -> None:
    """Prints the tables and writes them."""
    bundle, data = open_bundle(Path(sys.argv[1])), Path(sys.argv[2])
    cv2.setNumThreads(1)
    opinion_maker = opinion_of(bundle.manifest, bundle.read, 1)
    assert opinion_maker is not None
    opinion = opinion_maker()
    lines = [
        f"# Scores of faces and of what is none\n\n`benchmarks/face_scores.py`, {machine()}. As photos are searched."
    ]
    lines.append(
        f"\nDoubtful: a score below {SURE:g}. Kept: doubtful finds to which both of MTCNN's refining networks give at "
        f"least that probability on the upright square. Shipped: {AGREE:g}.\n"
    )
    for name in NAMES:
        detector = make_detector(bundle.manifest.find_detector(name), bundle.read, PHOTO_TILES)
        lines += [f"## {name}\n", "| pictures | n | finds | doubtful | " + " | ".join(f"kept at {x:g}" for x in LEVELS)]
        lines[-1] += " | highest score |"
        lines.append("|---" * (5 + len(LEVELS)) + "|")
        for title, images in groups(data).items():
            lines.append(row(title, images, detector, opinion))
            print(lines[-1], flush=True)
        lines.append("")
    lines.append(cost(data, make_detector(bundle.manifest.find_detector(NAMES[0]), bundle.read), opinion))
    text = "\n".join(lines) + "\n"
    write(Path(__file__).parent / "results" / "face_scores.md", text)
    print(text)


def row(title: str, images: list[RgbImage], detector: FaceDetector, opinion: SecondOpinion) -> str:
    """One group's finds as a line of the table."""
    scores, agreed = [], []
    for image in images:
        for face in detector.detect(image):
            scores.append(face.score)
            if face.score < SURE:
                agreed.append(opinion(image, face))
    kept = [str(sum(value >= level for value in agreed)) for level in LEVELS]
    highest = f"{max(scores):.2f}" if scores else "-"
    return f"| {title} | {len(images)} | {len(scores)} | {len(agreed)} | {' | '.join(kept)} | {highest} |"


def groups(data: Path) -> dict[str, list[RgbImage]]:
    """The pictures by what they show."""
    without = [np.ascontiguousarray(np.rot90(image, k)) for image in packaged() for k in range(4)]
    found = {"no face: scikit-image, four turns": without, "no face: drawings": list(drawings())}
    found["portraits (faces_london)"] = [read_photo(p).image for p in sorted((data / "faces_london").rglob("*.jpg"))]
    found["generated faces, every sixth"] = [
        read_photo(p).image for p in sorted((data / "faces_synthetic").glob("*.*g"))[::6]
    ]
    found["Solvay 1927, 29 faces"] = [read_photo(data / "scenes" / "solvay1927.jpg").image]
    for clip in sorted((data / "videos").glob("*.mp4")):
        found[f"{clip.name}, every sixth frame"] = [frame.image for frame in load_clip(clip)[::6]]
    with np.load(data / "fer2013" / "fer2013_train_public.npz") as arrays:
        crops = arrays["images"][arrays["usage"] == "PublicTest"][:250]
    found["FER2013 PublicTest, 48 px enlarged, gray border"] = [framed(crop) for crop in crops]
    return found


def packaged() -> Iterator[RgbImage]:
    """scikit-image's pictures that lie in the package and show nobody."""
    for path in sorted((Path(skimage.__file__).parent / "data").rglob("*")):
        if path.suffix in (".png", ".jpg", ".gif") and not path.stem.startswith(WITH_FACES):
            try:
                yield read_photo(path).image
            except ImageError:
                continue


def drawings() -> Iterator[RgbImage]:
    """Smileys, wheels, targets, blobs and noise, 24 of each, seeded."""
    for seed in range(24):
        random = np.random.default_rng(seed)
        size = int(random.integers(80, 240))
        color, back = (tuple(int(v) for v in random.integers(0, 256, 3)) for _ in range(2))
        blank = np.full((480, 640, 3), back, dtype=np.uint8)
        center = (int(random.integers(200, 440)), int(random.integers(180, 300)))
        smiley = cv2.circle(blank.copy(), center, size, color, -1)
        for side in (-1, 1):
            cv2.circle(smiley, (center[0] + side * size // 3, center[1] - size // 4), size // 9, (0, 0, 0), -1)
        cv2.ellipse(smiley, center, (size // 2, size // 2), 0, 20, 160, (0, 0, 0), max(2, size // 16))
        yield smiley
        wheel = blank.copy()
        for spoke in range(12):
            fill = tuple(int(v) for v in random.integers(0, 256, 3))
            cv2.ellipse(wheel, center, (size, size), 0, spoke * 30, spoke * 30 + 30, fill, -1)
        yield wheel
        target = blank.copy()
        for ring in range(5, 0, -1):
            cv2.circle(target, center, size * ring // 5, color if ring % 2 else (255, 255, 255), -1)
        yield target
        noise = random.normal(128, 60, (15, 20, 3)).clip(0, 255).astype(np.uint8)
        yield np.asarray(cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def framed(crop: RgbImage) -> RgbImage:
    """A 48 px gray crop as 384 px RGB with a border of half its width."""
    large = cv2.resize(crop, (192, 192), interpolation=cv2.INTER_CUBIC)
    large = cv2.copyMakeBorder(large, 96, 96, 96, 96, cv2.BORDER_CONSTANT, value=128)
    return np.repeat(np.asarray(large, dtype=np.uint8)[:, :, None], 3, axis=2)


def cost(data: Path, detector: FaceDetector, opinion: SecondOpinion) -> str:
    """The opinion's time as a share of one live search, both in one run by turns."""
    image = read_photo(data / "scenes" / "astronaut_nasa.png").image
    (face, *_) = detector.detect(image)
    search, asked = [], []
    for _ in range(200):
        started = time.perf_counter()
        detector.detect(image)
        middle = time.perf_counter()
        opinion(image, face)
        search.append(middle - started)
        asked.append(time.perf_counter() - middle)
    share = min(asked) / min(search)
    how = "the quickest of 200 each, by turns, one thread"
    return f"One opinion takes {share:.2f} of one live search with {NAMES[0]} ({how})."


if __name__ == "__main__":
    main()
