"""Networks of one channel (larn, ddamfn, shufflenet_ldam, lfer_ldl) through every command that runs one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from fer_edge.contract.bundle import Bundle
from fer_edge.contract.reading import load_line
from fer_edge.types import RgbImage

Edge = Callable[..., subprocess.CompletedProcess[str]]


def test_the_bundle_is_one_of_one_channel(gray_bundle: Bundle) -> None:
    assert {variant.input.shape[-1] for variant in gray_bundle.manifest.variants} == {1}


@pytest.mark.parametrize("mode", ["model", "pipeline"])
def test_bench(mode: str, gray_bundle: Bundle, edge: Edge) -> None:
    """Field fault 27: three channels were assumed."""
    line = ("bench", "--mode", mode, "--n", 3, "--warmup", 1, "--no-power", "--json", "--bundle", gray_bundle.path)
    for variant in ("float32", "int8"):
        done = edge(*line, "--variant", variant)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["variant"] == variant


def test_bench_against_one_of_three_channels(gray_bundle: Bundle, bundle: Bundle, edge: Edge) -> None:
    line = ("bench", "--mode", "model", "--n", 16, "--warmup", 1, "--no-power", "--bundle", gray_bundle.path)
    done = edge(*line, "--against", bundle.path)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr


def test_doctor(gray_bundle: Bundle, edge: Edge) -> None:
    done = edge("doctor", "--bundle", gray_bundle.path, "--json")
    found = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert found["inference"]["level"] == "ok", found["inference"]
    assert found["inference"]["found"].endswith("loaded and run once")


def test_verify_info_image_run_and_tune(gray_bundle: Bundle, edge: Edge, drawn: RgbImage, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "drawn.png"), drawn[:, :, ::-1])
    end = ("--bundle", gray_bundle.path)
    assert "gray" in edge("info", *end).stdout
    for line in (["verify"], ["image", tmp_path / "drawn.png", "--annotate", tmp_path / "out.png"]):
        done = edge(*line, *end)
        assert done.returncode == 0, done.stderr
    done = edge("run", "--source", "synthetic://?n=3", "--jsonl", "-", *end)
    assert done.returncode == 0, done.stderr
    assert [len(load_line(text).faces) for text in done.stdout.splitlines()] == [1, 1, 1]
    small = "synthetic://?n=3&width=320&height=240"
    environ = {"XDG_STATE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = edge("tune", "--keep-tainted", "--max-s", "2", "--source", small, *end, env=environ)
    assert done.returncode == 0, done.stderr
