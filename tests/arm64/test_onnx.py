"""onnxruntime's wheel for 64-bit ARM against its wheel for this machine: the same faces, the same answers.

Each machine finds and cuts the faces of whole photos itself. Where both are given the same inputs: see
benchmarks/arm_kernels.py --onnx.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from arm_roots import Root
from test_commands import Edge, assert_same_faces, succeeded

from fer_host import cli

ONNX = ("onnx", "onnx_fp16", "onnx_int8")
# Measured: int8 0.024 for one of two faces, 0 for the other; onnx 0 in four decimals. For the same inputs int8 gives
# the same bits (arm_kernels.py): the cut faces are suspected, which was not looked into. 0.05: test_kernels.py's bound.
MOST_DP = {"int8": 0.05, "onnx": 1e-3, "onnx_fp16": 1e-3, "onnx_int8": 0.05}


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of fer48 for both runtimes."""
    path = tmp_path_factory.mktemp("both") / "fer48"
    line = ["convert", "fer48", "--variant", ",".join(("int8", *ONNX)), "--quiet", "--out", str(path)]
    assert cli.main(line) == 0
    return path


@pytest.mark.parametrize("variant", sorted(MOST_DP))
def test_the_same_faces(bookworm: Root, here: Edge, both: Path, photos: Path, variant: str) -> None:
    paths = sorted(photos.glob("photos-*"))
    command = ("image", *paths, "--tiles", "0", "--variant", variant, "--bundle", both, "--json")
    ours = json.loads(succeeded(here(*command)))
    theirs = json.loads(succeeded(bookworm.edge(*command, binds=[both, photos], wheels="onnx")))
    assert [reading["path"] for reading in theirs] == list(map(str, paths))
    assert sum(len(reading["faces"]) for reading in ours) >= len(paths)
    most_dp = 0.0
    for a, b in zip(ours, theirs, strict=True):
        assert_same_faces(a["faces"], b["faces"], a["path"])
        for f, g in zip(*(sorted(side["faces"], key=lambda face: face["box"]) for side in (a, b)), strict=True):
            most_dp = max(most_dp, *(abs(p - g["probabilities"][k]) for k, p in f["probabilities"].items()))
    print(f"{variant}: probabilities within {most_dp:.2g}")
    assert most_dp <= MOST_DP[variant]
