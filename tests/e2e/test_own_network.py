"""A network nobody here made in advance: from its file to a verified int8 bundle with one command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import torch

from fer_edge.contract.bundle import open_bundle
from fer_host.convert.parity import read_parity
from fer_host.models.own import build_own

SHAPES = Path(__file__).parents[1] / "public_shapes.py"
Run = Callable[..., subprocess.CompletedProcess[str]]
LABELS = ("calm", "tired", "glad", "cross", "keen", "bored", "lost")


def test_an_onnx_file_becomes_a_verified_bundle(
    run: Run, refused: Callable[..., None], bundle: Path, tmp_path: Path
) -> None:
    """``bundle`` says that conversions work here at all."""
    namespace: dict[str, Any] = {"__name__": "shapes"}
    exec(compile(SHAPES.read_text(), str(SHAPES), "exec"), namespace)
    network = namespace["settled"](build_own(f"{SHAPES}:Cnn64", 7, 3, 64), 64)
    torch.onnx.export(network, (torch.zeros(1, 3, 64, 64),), tmp_path / "net.onnx", opset_version=13, dynamo=False)
    run("fer-host", "sample-photo", tmp_path / "a.png")
    photo = cv2.imread(str(tmp_path / "a.png"))
    (tmp_path / "photos").mkdir()
    for i in range(20):
        cv2.imwrite(str(tmp_path / "photos" / f"{i:02d}.png"), cv2.convertScaleAbs(photo, alpha=0.7 + i / 30, beta=i))
    given = ("--labels", ",".join(LABELS), "--input", "rgb,64", "--calib", "photos", "--accept-loss", "0.5")
    refused(run("fer-host", "convert", "net.onnx", cwd=tmp_path), "--labels NAME")
    done = run("fer-host", "convert", "net.onnx", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    made = open_bundle(tmp_path / "dist" / "net").manifest
    assert (made.labels, made.sets[0].id, made.default_variant) == (LABELS, "own", "int8")
    assert made.variant("int8").scheme == "int8"
    assert made.accepted_losses is not None
    assert {(loss.variant, loss.metric, loss.limit) for loss in made.accepted_losses} >= {("int8", "agreement", 0.5)}
    rows = read_parity(tmp_path / "build" / "net" / "parity.json")
    assert [row.stage for row in rows if row.on] == ["dynamic", "int8"]
    assert "int8 (20 calibration faces)" in done.stdout
    done = run("fer-edge", "verify", "--bundle", tmp_path / "dist" / "net")
    assert done.returncode == 0, done.stdout + done.stderr
    done = run("fer-edge", "image", tmp_path / "a.png", "--bundle", tmp_path / "dist" / "net", "--json")
    (face,) = json.loads(done.stdout)[0]["faces"]
    assert tuple(face["probabilities"]) == LABELS
