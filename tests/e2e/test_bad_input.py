"""Bar 5: bad input gives one line, status 2, and leaves nothing half-written."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_no_such_model(run: Run, refused: Callable[..., None], tmp_path: Path) -> None:
    done = run("fer-host", "convert", "hawqc_mbv3", "--out", tmp_path / "out")
    refused(done, "hawqc_mbv3", "did you mean hawqc_mbv2")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("scheme", ["int4", "int16"])
def test_no_such_scheme(run: Run, refused: Callable[..., None], tmp_path: Path, scheme: str) -> None:
    done = run("fer-host", "convert", "hawqc_mbv2", "--scheme", scheme, "--out", tmp_path / "out")
    refused(done, scheme, "expected one of float32, dynamic, int8, mixed")


@pytest.mark.parametrize("kind", ["absent", "empty", "faceless", "not photos"])
def test_hopeless_calibration_photos(run: Run, refused: Callable[..., None], tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "photos"
    if kind != "absent":
        folder.mkdir()
    if kind == "faceless":
        for i in range(20):
            noise = np.random.default_rng(i).integers(0, 256, (120, 160, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f"{i}.png"), noise)
    if kind == "not photos":
        for i in range(20):
            (folder / f"{i}.jpg").write_text("this is text")
    done = run("fer-host", "convert", "hawqc_mbv2", "--calib", folder, "--out", tmp_path / "out")
    refused(done, "calibration")
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name != "photos"] == []


def test_weights_that_do_not_fit(run: Run, refused: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "mine.pt").write_text("no weights")
    done = run("fer-host", "convert", "hawqc_mbv2", "--weights", tmp_path / "mine.pt", "--out", tmp_path / "out")
    refused(done, "mine.pt")


@pytest.mark.parametrize("source", ["file:///nowhere/clip.mp4", "/nowhere/clip.mp4", "images:///nowhere", "ftp://x/y"])
def test_no_such_source(run: Run, refused: Callable[..., None], bundle: Path, source: str) -> None:
    refused(run("fer-edge", "run", "--bundle", bundle, "--source", source, "--jsonl", "-"))


def test_text_named_jpg(run: Run, refused: Callable[..., None], bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("this is text, not a photo\n" * 20)
    refused(run("fer-edge", "image", tmp_path / "photo.jpg", "--bundle", bundle), "photo.jpg")
    refused(run("fer-edge", "run", "--source", f"file://{tmp_path}/photo.jpg", "--bundle", bundle))


def test_a_flipped_byte_in_the_bundle(
    run: Run, refused: Callable[..., None], bundle_copy: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "p.png"
    cv2.imwrite(str(photo), np.zeros((64, 64, 3), dtype=np.uint8))
    for name in ("hawqc_mbv2.int8.tflite", "golden.npz", "manifest.json"):
        file = bundle_copy / name
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        refused(run("fer-edge", "image", photo, "--bundle", bundle_copy), name)
        refused(run("fer-edge", "verify", "--bundle", bundle_copy), name)
        content[len(content) // 2] ^= 1
        file.write_bytes(content)


def test_a_truncated_bundle(run: Run, refused: Callable[..., None], bundle_copy: Path) -> None:
    file = bundle_copy / "hawqc_mbv2.int8.tflite"
    file.write_bytes(file.read_bytes()[:1000])
    refused(run("fer-edge", "info", "--bundle", bundle_copy), "hawqc_mbv2.int8.tflite", "make convert")


def test_no_such_variant(run: Run, refused: Callable[..., None], bundle: Path) -> None:
    refused(run("fer-edge", "verify", "--bundle", bundle, "--variant", "int4"), "int4", "this bundle has")


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small tmpfs here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_in_the_bundle(run: Run, refused: Callable[..., None], full_disk: Path) -> None:
    done = run("fer-host", "convert", "hawqc_mbv2", "--out", full_disk / "out")
    refused(done, "no space left")
    assert list(full_disk.iterdir()) == []


def test_a_full_disk_in_the_stages(run: Run, refused: Callable[..., None], full_disk: Path) -> None:
    done = run("fer-host", "convert", "hawqc_mbv2", cwd=full_disk)
    refused(done, "no space left")
    left = [path for path in full_disk.rglob("*") if path.is_file() and path.name != ".lock"]
    assert not [path for path in left if "tmp" in str(path.relative_to(full_disk))], left
    assert not (full_disk / "dist").exists()
