"""The manual's pages, and a folder that looks like a checkout in which their commands are run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).parents[2]
MADE = {"build", "dist"}  # folders that commands write into


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's folders by links, folders of its own for what is made, the test bundle, photos and a clip."""
    bundle = Path(os.environ.get("FER_TEST_BUNDLE") or ROOT / "dist" / "hawqc_mbv2")
    if not bundle.is_dir():
        pytest.fail(f"{bundle} is not there: run `make convert MODEL=hawqc_mbv2` (make test makes one)")
    folder = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        if path.name not in MADE and not path.name.startswith(".git"):
            (folder / path.name).symlink_to(path)
    for name in MADE:
        (folder / name).mkdir()
    shutil.copytree(bundle, folder / "dist" / "hawqc_mbv2")
    photos = folder / "build" / "photos"
    photos.mkdir()
    from skimage import data

    photo = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)
    for path in (photos / "astronaut.png", folder / "build" / "astronaut.png", folder / "holiday" / "1.png"):
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), photo)
    cv2.imwrite(str(folder / "holiday" / "2.png"), photo[:, ::-1])
    cv2.imwrite(str(folder / "photo.jpg"), photo)
    clip = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, (512, 512))
    for _ in range(10):
        clip.write(photo)
    clip.release()
    return folder
