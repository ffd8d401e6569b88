"""A reader of the shipped bundle where there is one (FER_TEST_BUNDLE, set by make test), else of the small one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_files import encode, exif_tiff, jpeg, jpeg_with_exif

import fer_edge
from fer_edge.contract.bundle import Bundle
from fer_edge.types import RgbImage


@pytest.fixture(scope="session")
def bundle_path(bundle: Bundle) -> Path:
    given = os.environ.get("FER_TEST_BUNDLE")
    return Path(given) if given else bundle.path


@pytest.fixture(scope="session")
def reader(bundle_path: Path) -> Iterator[fer_edge.Reader]:
    with fer_edge.open_reader(bundle_path, threads=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def photos(photo_path: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twenty files, each prepared in a way of its own: by size, shape, turn, format, color, damage."""
    folder = tmp_path_factory.mktemp("photos")
    astronaut = cv2.imread(str(photo_path("astronaut.png")))
    hopper = cv2.imread(str(photo_path("grace_hopper.jpg")))
    large = cv2.resize(astronaut, None, fx=1.8, fy=1.8)
    both = np.hstack([cv2.resize(astronaut, (600, 700)), cv2.resize(hopper, (600, 700))])
    wide = np.hstack([hopper[:512], np.full((512, 1100, 3), 90, np.uint8), astronaut])
    files = {
        "astronaut.png": encode(".png", astronaut),
        "hopper.jpg": jpeg(hopper),
        "large.jpg": jpeg(large),
        "large.png": encode(".png", large),
        "both.jpg": jpeg(both),
        "both.webp": encode(".webp", both),
        "wide.jpg": jpeg(wide),
        "small.bmp": encode(".bmp", cv2.resize(astronaut, (160, 160))),
        "gray.png": encode(".png", cv2.cvtColor(hopper, cv2.COLOR_BGR2GRAY)),
        "alpha.png": encode(".png", cv2.cvtColor(hopper, cv2.COLOR_BGR2BGRA)),
        "hopper.tiff": encode(".tiff", hopper),
        "face only.jpg": jpeg(astronaut[60:200, 150:300]),
        "no face.jpg": jpeg(astronaut[300:]),
        "cut.jpg": jpeg(large)[:50_000],
        **{f"turned {code}.jpg": jpeg_with_exif(jpeg(hopper), exif_tiff(code)) for code in (3, 5, 6, 8)},
        "dark.jpg": jpeg((astronaut * 0.3).astype(np.uint8)),
        "tiny.png": encode(".png", astronaut[:2, :2]),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]


@pytest.fixture(scope="session")
def moving(astronaut: RgbImage) -> list[RgbImage]:
    """The astronaut's face for eight frames, a wall for as many as it takes to be sure, and the face again."""
    face = np.ascontiguousarray(astronaut[0:300, 60:420])
    wall = np.full_like(face, 120)
    return [*[np.roll(face, i, axis=1) for i in range(8)], *[wall] * 4, face, face]
