"""A clip gives the same faces on a board as here: found, numbered and named alike, places and probabilities rounded.

Bounds: measured on these clips and on three real ones, with headroom. The userland is unpacked packages under qemu.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from arm_roots import Root

Edge = Callable[..., "subprocess.CompletedProcess[str]"]
LEAST_IOU, MOST_DP = 0.9, 0.05
N = 16


def iou(a: list[float], b: list[float]) -> float:
    """Of boxes (x, y, width, height)."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def moving(photo: Path, zoom: float, dx: float) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """The photo, (300, 400, 3) BGR, coming nearer or passing by."""
    image = cv2.imread(str(photo))
    image = cv2.resize(image, (400, round(400 * image.shape[0] / image.shape[1])))[:300]
    moves = [cv2.getRotationMatrix2D((200, 120), 0.4 * i, 1 + zoom * i) for i in range(N)]
    for i, move in enumerate(moves):
        move[0, 2] += dx * i
    return [cv2.warpAffine(image, m, (400, 300), borderMode=cv2.BORDER_REPLICATE) for m in moves]


@pytest.fixture(scope="module")
def clips(photos: Path, data: Path | None, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    astronaut, hopper = next(photos.glob("*astronaut*")), next(photos.glob("*grace_hopper*"))
    made = (
        ("pan.avi", "MJPG", moving(astronaut, 0, 4)),
        ("near.mp4", "mp4v", moving(hopper, 0.02, 0)),
        ("far.mp4", "mp4v", moving(astronaut, -0.01, -3)),
    )
    paths = []
    for name, codec, pictures in made:
        writer = cv2.VideoWriter(str(folder / name), cv2.VideoWriter_fourcc(*codec), 12, (400, 300))
        for picture in pictures:
            writer.write(picture)
        writer.release()
        paths.append(folder / name)
    real = sorted((data / "videos").glob("head-pose*.mp4")) if data else []
    for path in real:
        (folder / path.name).write_bytes(path.read_bytes())  # a link would not be seen
        paths.append(folder / path.name)
    return paths


def test_the_same_faces(bookworm: Root, here: Edge, bundle: Path, clips: list[Path]) -> None:
    n, least_iou, most_px, most_dp = 0, 1.0, 0.0, 0.0
    for clip in clips:
        command = ("run", "--source", clip, "--jsonl", "-", "--bundle", bundle, "--tiles", "0", "--to", "2")
        ours, theirs = here(*command), bookworm.edge(*command, binds=[bundle, clip.parent], timeout_s=600)
        assert (ours.returncode, theirs.returncode) == (0, 0), ours.stderr + theirs.stderr
        a, b = ([json.loads(line) for line in done.stdout.splitlines()] for done in (ours, theirs))
        assert len(a) >= N
        for here_, arm in zip(a, b, strict=True):
            where = f"{clip.name}, frame {here_['frame_index']}"
            assert here_["t_media_s"] == arm["t_media_s"], where
            assert sorted(here_["stage_ms"]) == sorted(arm["stage_ms"]), where  # searched in the same frames
            names = [[(face["track"], face["label"]) for face in reading["faces"]] for reading in (here_, arm)]
            assert names[0] == names[1], where
            for f, g in zip(here_["faces"], arm["faces"], strict=True):
                n += 1
                least_iou = min(least_iou, iou(f["box"], g["box"]))
                most_px = max(most_px, *(abs(p - q) for p, q in zip(f["box"], g["box"], strict=True)))
                most_dp = max(most_dp, *(abs(p - g["probabilities"][k]) for k, p in f["probabilities"].items()))
    print(f"{n} faces: least IoU {least_iou:.3f}, boxes within {most_px:.2f} px, probabilities within {most_dp:.4f}")
    assert n >= 2 * N
    assert least_iou >= LEAST_IOU
    assert most_dp <= MOST_DP
